//! Controllers with all their settings.

use crate::Result;
use crate::policy::rule::{Autoscaler, Controller, Fixed, Predictive, Threshold, TimeOut};
use crate::policy::scaling::Scaling;
use crate::policy::standby::Standby;
use crate::policy::tabular::{Table, TabularTraining};
use crate::policy::{Problem, Tally, play};

use super::sets::Parts;

/// What violations may be worth, instance-steps: the settings of what is learned.
pub const PRICES: [f64; 12] =
    [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0];

/// A controller with one of its settings, played.
#[derive(Debug, Clone, PartialEq)]
pub struct Played {
    /// The settings in words.
    pub settings: String,
    /// On the part that settings are chosen on.
    pub chosen_on: Tally,
    /// On the test part, block by block.
    pub tested: Vec<Tally>,
}

/// Plays problems with one setting of a rule, in blocks of so many steps.
pub(super) type Play<P> = Box<dyn Fn(&[P], usize) -> Vec<Tally>>;

/// A rule and all settings tried.
pub(super) struct Rule<P> {
    /// The name in tables.
    pub(super) name: &'static str,
    /// Settings in words, and how each plays.
    pub(super) settings: Vec<(String, Play<P>)>,
}

/// Fresh controllers of one kind, one for each problem.
fn controlled<'a, C: Controller + Clone + 'static>(fresh: C) -> Play<Scaling<'a>> {
    Box::new(move |problems, block| {
        play(problems, block, || {
            let mut controller = fresh.clone();
            move |problem: &mut Scaling<'a>| {
                let change = controller.decide(&problem.observation());
                problem.change(change)
            }
        })
    })
}

/// The rules that scale a service.
#[must_use]
pub(super) fn scaling_rules<'a>() -> Vec<Rule<Scaling<'a>>> {
    let fixed = (1..=super::sets::MAXIMUM)
        .map(|instances| (format!("{instances} instances"), controlled(Fixed(instances))));
    let mut thresholds = Vec::new();
    for up in [0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95] {
        for down in [0.2, 0.3, 0.4, 0.5, 0.6, 0.7] {
            for step in [0.0, 0.25, 0.5, 1.0] {
                for cool_down in [0, 3, 6] {
                    if down < up {
                        let settings = format!(
                            "up above {up}, down below {down}, step {step}, pause {cool_down}"
                        );
                        let rule = Threshold::new(up, down, step, cool_down);
                        thresholds.push((settings, controlled(rule)));
                    }
                }
            }
        }
    }
    let mut formulas = Vec::new();
    for target in 4..=19 {
        for window in [1, 3, 6, 12, 24] {
            let target = f64::from(target) / 20.0;
            let settings = format!("target {target}, window {window}");
            formulas.push((settings, controlled(Autoscaler::new(target, window))));
        }
    }
    let predictive = (20..=80).map(|headroom| {
        let headroom = f64::from(headroom) / 20.0;
        (format!("headroom {headroom}"), controlled(Predictive { headroom }))
    });
    vec![
        Rule { name: "fixed", settings: fixed.collect() },
        Rule { name: "threshold", settings: thresholds },
        Rule { name: "autoscaler", settings: formulas },
        Rule { name: "predictive", settings: predictive.collect() },
    ]
}

/// The rules that stop and terminate machines.
#[must_use]
pub(super) fn standby_rules<'a>() -> Vec<Rule<Standby<'a>>> {
    let rule = |stop: f64, terminate: f64, schedule: f64| {
        let after = |hours: f64| match hours.is_finite() {
            true => format!("after {hours} h"),
            false => "never".to_owned(),
        };
        let mut settings = format!("stop {}, terminate {}", after(stop), after(terminate));
        if schedule <= 1.0 {
            settings += &format!(", keep hours needed on a share of {schedule}");
        }
        let rule = TimeOut { stop, terminate, schedule };
        let play: Play<Standby<'a>> = Box::new(move |problems, block| {
            play(problems, block, || {
                move |problem: &mut Standby<'a>| problem.want(rule.decide(&problem.idle()))
            })
        });
        (settings, play)
    };
    const NEVER: f64 = f64::INFINITY;
    let stops = [1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 24.0, 48.0, 96.0, 168.0, 336.0, NEVER];
    let ends = [24.0, 72.0, 168.0, 336.0, 504.0, NEVER];
    let pairs = || stops.into_iter().flat_map(|stop| ends.map(|end| (stop, end)));
    let schedules = [0.02, 0.1, 0.2, 0.5];
    vec![
        Rule { name: "always-on", settings: vec![rule(NEVER, NEVER, 2.0)] },
        Rule {
            name: "time-out",
            settings: pairs().map(|(stop, end)| rule(stop, end, 2.0)).collect(),
        },
        Rule {
            name: "time-out-schedule",
            settings: pairs()
                .flat_map(|(stop, end)| schedules.map(|schedule| rule(stop, end, schedule)))
                .collect(),
        },
    ]
}

/// What one seed learned, played at every price.
#[derive(Debug, Clone, PartialEq)]
pub struct Learned {
    /// Tables, one for each of [`PRICES`].
    pub tables: Vec<Table>,
    /// How they did.
    pub tabular: Vec<Played>,
    /// How the network did.
    pub network: Vec<Played>,
    /// The network's file.
    pub onnx: Vec<u8>,
}

impl Learned {
    /// Learns from the part to fit; plays the parts to choose on and to test.
    ///
    /// # Errors
    /// [`crate::Error::Training`] and [`crate::Error::Runtime`] of the network.
    pub fn new<P: Problem>(parts: &Parts<P>, seed: u64, quick: bool) -> Result<Self> {
        let settings = |price: f64| format!("a violation is worth {price} instance-steps");
        let passes = if quick { 2 } else { parts.passes };
        let mut tables = Vec::new();
        let mut tabular = Vec::new();
        for price in PRICES {
            let table = Table::learn(&parts.fit, &TabularTraining { price, passes, seed });
            let played = |problems: &[P]| {
                play(problems, parts.block, || {
                    |problem: &mut P| problem.act(table.action(problem.cell()))
                })
            };
            tabular.push(Played {
                settings: settings(price),
                chosen_on: Tally::sum(&played(&parts.choose)),
                tested: played(&parts.test),
            });
            tables.push(table);
        }
        let (onnx, played) = network(parts, seed, quick)?;
        let network = played.into_iter().zip(PRICES).map(|((chosen_on, tested), price)| Played {
            settings: settings(price),
            chosen_on,
            tested,
        });
        Ok(Self { tables, tabular, network: network.collect(), onnx })
    }
}

/// A network's file, and how it did at every price where settings are chosen, and on the test part.
type OfNetwork = (Vec<u8>, Vec<(Tally, Vec<Tally>)>);

#[cfg(feature = "train")]
fn network<P: Problem>(parts: &Parts<P>, seed: u64, quick: bool) -> Result<OfNetwork> {
    use crate::policy::network::{NetworkTraining, QNetwork, learn};
    let full = NetworkTraining { seed, ..NetworkTraining::default() };
    let training = match quick {
        true => NetworkTraining { transitions: 2_000, rounds: 4, steps: 10, ..full },
        false => full,
    };
    let onnx = learn(&parts.fit, &training)?.onnx;
    let mut network = QNetwork::open(&onnx)?;
    let chosen_on = network.play(&parts.choose, parts.block, &PRICES)?;
    let chosen_on = chosen_on.iter().map(Vec::as_slice).map(Tally::sum);
    let tested = network.play(&parts.test, parts.block, &PRICES)?;
    Ok((onnx, chosen_on.zip(tested).collect()))
}

#[cfg(not(feature = "train"))]
fn network<P: Problem>(_: &Parts<P>, _: u64, _: bool) -> Result<OfNetwork> {
    let reason = "this build cannot train: build with the feature `train`".to_owned();
    Err(crate::Error::Configuration(reason))
}
