//! Recorded demand, split into a part to fit, a part to choose settings on, and a part to test.

use std::path::Path;

use cloudops_datasets::demand::{self, Demand, alibaba, planetlab};
use cloudops_datasets::labels::nab;
use cloudops_datasets::simulate::scaling::ScalingConfig;
use cloudops_datasets::simulate::standby::StandbyConfig;
use cloudops_datasets::utilisation::{Recorded, bitbrains};

use crate::learn::random::Random;
use crate::policy::scaling::{Known, Scaling};
use crate::policy::standby::{Needs, Standby};
use crate::{Error, Result};

/// Most instances of a service.
pub const MAXIMUM: usize = 24;
/// Instances that serve the demand that 95 of 100 steps of the part to fit do not exceed.
const USUAL: f64 = 8.0;
/// Seconds until an instance serves: at least a step.
const START: i64 = 300;
/// 2013-09-01, 00:00 UTC: Bitbrains from here on is what policies are tested on.
const TEST: i64 = 1_377_993_600;
/// Days before it that settings are chosen on.
const CHOOSE_DAYS: i64 = 18;
const DAY: i64 = 86_400;
/// Machines that are added up to one service.
const MACHINES: usize = 25;
/// How often Bitbrains' machines are dealt into services anew, for the part to fit.
const DEALS: usize = 4;
/// Shares of a series that are fitted, and fitted or chosen on.
const FIT_SHARE: f64 = 0.5;
const CHOOSE_SHARE: f64 = 0.7;
/// Series of the Numenta benchmark that count what arrives.
const ARRIVALS: [&str; 3] = ["elb_request_count", "nyc_taxi", "Twitter_volume"];

/// Problems to fit, to choose settings on, and to test.
#[derive(Debug, Clone)]
pub struct Parts<P> {
    /// What is learned from.
    pub fit: Vec<P>,
    /// What settings are chosen on.
    pub choose: Vec<P>,
    /// What nothing is fitted or chosen on.
    pub test: Vec<P>,
    /// How often a table plays the first of them.
    pub passes: usize,
}

/// A stretch of one demand: its number, its first step, and the step behind its last.
type Stretch = (usize, usize, usize);

/// Services that are scaled to a demand.
#[derive(Debug, Clone, PartialEq)]
pub struct ScalingSet {
    /// The name in tables.
    pub name: String,
    how: String,
    known: Vec<Known>,
    /// To fit, to choose on, to test.
    stretches: [Vec<Stretch>; 3],
}

/// Steps that a table plays, all passes together.
const STEPS_PLAYED: usize = 3_000_000;

impl ScalingSet {
    /// The problems.
    ///
    /// # Errors
    /// [`Error::Dataset`] when demand is negative or unknown.
    pub fn parts(&self) -> Result<Parts<Scaling<'_>>> {
        let problems = |stretches: &[Stretch]| {
            let problem = |(at, from, to): &Stretch| Scaling::new(&self.known[*at], *from, *to);
            stretches.iter().map(problem).collect::<Result<Vec<_>>>()
        };
        let [fit, choose, test] = &self.stretches;
        let passes = STEPS_PLAYED.div_ceil(steps(fit).max(1));
        Ok(Parts { fit: problems(fit)?, choose: problems(choose)?, test: problems(test)?, passes })
    }

    /// Instance-steps that serve all demand of the test part, were they there at once.
    #[must_use]
    pub fn needed(&self) -> f64 {
        let of = |(at, from, to): &Stretch| {
            let demand = &self.known[*at].demand()[*from..*to];
            demand.iter().map(|demand| demand.ceil().clamp(1.0, MAXIMUM as f64)).sum::<f64>()
        };
        self.stretches[2].iter().map(of).sum()
    }

    /// How it was made and split, a sentence each.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let [fit, choose, test] = self.stretches.each_ref().map(|stretches| steps(stretches));
        vec![format!(
            "`{}`: {} Steps to fit, to choose settings on and to test: {fit}, {choose}, {test}.",
            self.name, self.how
        )]
    }

    /// Demand in whatever unit, scaled by its part to fit.
    fn new(name: &str, how: String, demand: Vec<Demand>, stretches: [Vec<Stretch>; 3]) -> Self {
        let mut units = vec![0.0; demand.len()];
        for (at, unit) in units.iter_mut().enumerate() {
            let fitted = |(of, from, to): &Stretch| (*of == at).then_some(*from..*to);
            let mut values: Vec<f64> = stretches[0]
                .iter()
                .filter_map(fitted)
                .flat_map(|range| demand[at].values[range].to_vec())
                .collect();
            values.sort_by(f64::total_cmp);
            *unit = values.get(values.len() * 95 / 100).map_or(0.0, |usual| usual / USUAL);
        }
        // Services that are only chosen on or tested have the unit of those that are fitted.
        let fitted: Vec<f64> = units.iter().copied().filter(|unit| *unit > 0.0).collect();
        let common = fitted.iter().sum::<f64>() / fitted.len().max(1) as f64;
        let known = demand.into_iter().zip(units).map(|(demand, unit)| {
            let unit = if unit > 0.0 { unit } else { common };
            let start_steps = (START / demand.step).max(1) as usize;
            let config = ScalingConfig { minimum: 1, maximum: MAXIMUM, start_steps };
            let day = demand.steps_a_day();
            Known::new(config, demand.values.iter().map(|value| value / unit).collect(), day)
        });
        Self { name: name.to_owned(), how, known: known.collect(), stretches }
    }
}

fn steps(stretches: &[Stretch]) -> usize {
    stretches.iter().map(|(_, from, to)| to - from).sum()
}

fn failed(error: cloudops_datasets::Error) -> Error {
    Error::Data(error.to_string())
}

/// The sets of demand.
///
/// # Errors
/// [`Error::Data`] when a set cannot be read.
pub fn scaling(data: &Path, quick: bool) -> Result<Vec<ScalingSet>> {
    let machines = bitbrains::load(&data.join("bitbrains_rnd")).map_err(failed)?;
    let mut all = vec![of_bitbrains(&machines)];
    if quick {
        return Ok(all);
    }
    let machines = planetlab::load(&data.join("planetlab_cpu")).map_err(failed)?;
    all.push(of_planetlab(&machines));
    let series = nab::load(&data.join("nab")).map_err(failed)?;
    all.push(of_arrivals(series));
    let series = alibaba::load(&data.join("alibaba_gentd26_gpu")).map_err(failed)?;
    let how = "requests a second to a service of generative models by the minute, two kinds over 22 hours; \
               split by time."
        .to_owned();
    all.push(by_time("scaling-alibaba", how, series));
    Ok(all)
}

fn of_bitbrains(machines: &[Recorded]) -> ScalingSet {
    let services = |order: &[usize]| {
        let service = |members: &[usize]| {
            let members: Vec<&Recorded> = members.iter().map(|at| &machines[*at]).collect();
            demand::fleet("", &members)
        };
        order.chunks(MACHINES).map(service).collect::<Vec<_>>()
    };
    let in_order: Vec<usize> = (0..machines.len()).collect();
    let mut all = services(&in_order);
    let tested = all.len();
    // Always the same deals: a seed is one of learning.
    let mut random = Random::new(1);
    for _ in 0..DEALS {
        let mut order = in_order.clone();
        for at in (1..order.len()).rev() {
            order.swap(at, (random.uniform() * (at + 1) as f64) as usize);
        }
        all.extend(services(&order));
    }
    let mut stretches: [Vec<Stretch>; 3] = Default::default();
    for (at, demand) in all.iter().enumerate() {
        let step = |time: i64| {
            let steps = (time - demand.start).div_euclid(demand.step);
            usize::try_from(steps).unwrap_or(0).min(demand.values.len())
        };
        let (choose, test) = (step(TEST - CHOOSE_DAYS * DAY), step(TEST));
        stretches[0].push((at, 1.min(choose), choose));
        if at < tested {
            stretches[1].push((at, choose, test));
            stretches[2].push((at, test, demand.values.len()));
        }
    }
    let how = format!(
        "CPU of {MACHINES} virtual machines added up to a service, {tested} of them, by the hour; tested on \
         September 2013, settings chosen on the {CHOOSE_DAYS} days before, fitted on what is before those, \
         where the machines are also dealt into services in {DEALS} other ways."
    );
    ScalingSet::new("scaling-bitbrains", how, all, stretches)
}

fn of_planetlab(machines: &[Demand]) -> ScalingSet {
    let count = machines.len() / MACHINES;
    let mut all = Vec::new();
    let mut stretches: [Vec<Stretch>; 3] = Default::default();
    for at in 0..count {
        // Machines of one place have neighbouring names: a service takes every so many.
        let members: Vec<&Demand> = machines.iter().skip(at).step_by(count).collect();
        let length = members.iter().map(|member| member.values.len()).min().unwrap_or(0);
        let sum = |step: usize| members.iter().map(|member| member.values[step]).sum();
        let values = (0..length).map(sum).collect();
        all.push(Demand { name: String::new(), start: 0, step: planetlab::STEP, values });
        stretches[[0, 0, 1, 2][at % 4]].push((at, 1.min(length), length));
    }
    let how = format!(
        "CPU of {MACHINES} virtual machines added up to a service, {count} of them, every five minutes of one \
         day; split by service, so nothing is known of a day before."
    );
    ScalingSet::new("scaling-planetlab", how, all, stretches)
}

fn of_arrivals(series: Vec<nab::Series>) -> ScalingSet {
    let is_counted = |name: &str| ARRIVALS.iter().any(|counted| name.contains(counted));
    let demand = series.into_iter().filter(|series| is_counted(&series.name)).map(|series| {
        let step = match series.times[..] {
            [first, second, ..] => (second - first) / 1_000_000,
            _ => 1,
        };
        let start = series.times.first().map_or(0, |time| time / 1_000_000);
        let values = series.values.data.iter().map(|value| f64::from(value.max(0.0))).collect();
        Demand { name: series.name, start, step: step.max(1), values }
    });
    let demand: Vec<Demand> = demand.collect();
    let how = format!(
        "{} series of the Numenta benchmark that count arrivals: a load balancer's requests, taxi rides of a \
         city, messages that name a company; five or thirty minutes a step, split by time.",
        demand.len()
    );
    by_time("scaling-nab", how, demand)
}

/// Every series is fitted on its beginning, chosen on its middle and tested on its end.
fn by_time(name: &str, how: String, demand: Vec<Demand>) -> ScalingSet {
    let mut stretches: [Vec<Stretch>; 3] = Default::default();
    for (at, series) in demand.iter().enumerate() {
        let length = series.values.len();
        let place = |share: f64| (share * length as f64) as usize;
        let (choose, test) = (place(FIT_SHARE), place(CHOOSE_SHARE));
        stretches[0].push((at, 1.min(choose), choose));
        stretches[1].push((at, choose, test));
        stretches[2].push((at, test, length));
    }
    ScalingSet::new(name, how, demand, stretches)
}

/// Machines that may be stopped or terminated.
#[derive(Debug, Clone, PartialEq)]
pub struct StandbySet {
    /// The name in tables.
    pub name: String,
    needs: Vec<Needs>,
    stretches: [Vec<Stretch>; 3],
}

/// An hour in which the CPU peaks below this, per cent, and that moves less than [`MEGABYTES`], needs no
/// machine.
const PEAK: f64 = 5.0;
/// The rule's 5 MB a day, of an hour.
const MEGABYTES: f64 = 5.0 / 24.0;
/// Times that a table plays the part to fit.
const STANDBY_PASSES: usize = 8;

/// Bitbrains' machines, and the hours in which they were needed.
///
/// # Errors
/// [`Error::Data`] when the set cannot be read.
pub fn standby(data: &Path, quick: bool) -> Result<StandbySet> {
    let mut machines = bitbrains::load(&data.join("bitbrains_rnd")).map_err(failed)?;
    if quick {
        machines.truncate(40);
    }
    let mut stretches: [Vec<Stretch>; 3] = Default::default();
    let mut all = Vec::new();
    for (at, machine) in machines.iter().enumerate() {
        let [_, peak, _, _, received, sent, _] = &machine.channels;
        let is_needed = |((peak, received), sent): ((&f64, &f64), &f64)| {
            // What is not known is no use: comparisons with it are false.
            *peak >= PEAK || received + sent >= MEGABYTES
        };
        let needed: Vec<bool> = peak.iter().zip(received).zip(sent).map(is_needed).collect();
        let step = |time: i64| {
            usize::try_from((time - machine.start) / machine.step).unwrap_or(0).min(needed.len())
        };
        let (choose, test) = (step(TEST - CHOOSE_DAYS * DAY), step(TEST));
        for (part, (from, to)) in
            [(0, choose), (choose, test), (test, needed.len())].iter().enumerate()
        {
            if from < to {
                stretches[part].push((at, *from, *to));
            }
        }
        all.push(Needs::new(StandbyConfig::default(), needed));
    }
    Ok(StandbySet { name: "standby-bitbrains".to_owned(), needs: all, stretches })
}

impl StandbySet {
    /// The problems.
    ///
    /// # Errors
    /// [`Error::Dataset`] when a price is out of range.
    pub fn parts(&self) -> Result<Parts<Standby<'_>>> {
        let problems = |stretches: &[Stretch]| {
            let problem = |(at, from, to): &Stretch| Standby::new(&self.needs[*at], *from, *to);
            stretches.iter().map(problem).collect::<Result<Vec<_>>>()
        };
        let [fit, choose, test] = &self.stretches;
        let (fit, choose, test) = (problems(fit)?, problems(choose)?, problems(test)?);
        Ok(Parts { fit, choose, test, passes: STANDBY_PASSES })
    }

    /// Hours of the test part: what machines cost that always run.
    #[must_use]
    pub fn hours(&self) -> f64 {
        steps(&self.stretches[2]) as f64
    }

    /// How it was made and split, a sentence each.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let needed = |(at, from, to): &Stretch| {
            self.needs[*at].needed()[*from..*to].iter().filter(|needed| **needed).count()
        };
        let share = self.stretches[2].iter().map(needed).sum::<usize>() as f64 / self.hours();
        let StandbyConfig { stopped_cost, terminated_cost, start_steps, restore_steps } =
            StandbyConfig::default();
        vec![format!(
            "`{}`: {} virtual machines by the hour, split by time as above. A machine is needed in an hour \
             whose CPU peaks at {PEAK} % or more, or that moves 5 MB ÷ 24 or more: {share:.3} of the hours \
             tested. Stopped it costs {stopped_cost} of its price and takes {start_steps} hour to come back, \
             terminated {terminated_cost} and {restore_steps}; whoever needs it while it is off has it \
             started.",
            self.name,
            self.needs.len()
        )]
    }
}
