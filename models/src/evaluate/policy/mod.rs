//! What does a policy cost, and how often does it break its promise? Rules in use beside what is learned.
//!
//! Two problems: a service that is scaled to a recorded demand, and machines that are stopped or terminated
//! while nobody needs them. Every controller has settings (a rule its thresholds, a learned one the price
//! of a violation). For each share of violations aimed at, the settings are those that cost least among
//! those that keep it on data set aside for that; then they are played on a test part that nothing was
//! fitted or chosen on. What that gives is a curve, and curves are compared where they violate alike.
//!
//! - [`sets`]: demand, split into parts to fit, to choose and to test
//! - [`candidates`]: controllers with all their settings
//! - [`curve`]: settings chosen, and cost where violations are equal
//! - [`logged`]: what a log would have said of the learned policy

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::files::rounded;
use super::parallel::in_parallel;
use crate::policy::{Problem, Tally};
use crate::{Error, Result};

pub mod candidates;
pub mod curve;
pub mod logged;
mod reading;
mod report;
pub mod sets;

pub use report::PolicyEvaluation;

use candidates::{Learned, Played};
use curve::{AIMS, LEVELS, Point};
use sets::{Parts, StandbySet};

/// What to evaluate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyOptions {
    /// The first of the seeds of what is learned. Default 1.
    pub seed: u64,
    /// Two seeds, and little of everything: to see that it works.
    pub quick: bool,
    /// Seeds learned at once; no effect on the figures. Default 2.
    pub threads: usize,
}

impl Default for PolicyOptions {
    fn default() -> Self {
        Self { seed: 1, quick: false, threads: 2 }
    }
}

impl PolicyOptions {
    /// Every learned policy is learned once for each of these.
    #[must_use]
    pub fn seeds(&self) -> Vec<u64> {
        (self.seed..).take(if self.quick { 2 } else { 5 }).collect()
    }
}

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Figure {
    /// A controller whose settings were chosen for a share of violations, on the test part.
    Aimed,
    /// A controller's cost on the test part where it violates this share: mean over the seeds.
    Equal,
}

/// A controller on a set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyRow {
    /// The set, e.g. `scaling-bitbrains`.
    pub set: String,
    /// The controller.
    pub model: String,
    /// What the row is about.
    pub figure: Figure,
    /// The share of violations aimed at, or compared at.
    pub at: f64,
    /// Of what was learned with a seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Settings chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<String>,
    /// Cost, as a ratio: of what is needed for scaling, of always running for machines. Absent where the
    /// controller comes nowhere near the violations compared at.
    pub cost: Option<f64>,
    /// Standard deviation over the seeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<f64>,
    /// Share of the steps with demand in which not all of it was served.
    pub violations: Option<f64>,
    /// Share of a step's demand that was not served, mean over the steps with demand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unserved: Option<f64>,
    /// Share of the steps in which something was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<f64>,
}

/// Where what is learned is compared with rules: one violating step of a hundred.
pub const LEVEL: f64 = 0.01;

/// Evaluates rules and learned policies; the figures are a function of the options and the data.
///
/// `progress` is told how many learners are done, of how many, and of which set the last one was.
///
/// # Errors
/// [`Error::Data`] when a set cannot be read, [`Error::Runtime`] when ONNX Runtime cannot be loaded.
pub fn evaluate_policy(
    data: &Path,
    options: &PolicyOptions,
    progress: &mut dyn FnMut(usize, usize, &str),
) -> Result<PolicyEvaluation> {
    let scaling = sets::scaling(data, options.quick)?;
    let standby = sets::standby(data, options.quick)?;
    let mut all = PolicyEvaluation::new(*options);
    let of = (scaling.len() + 1) * options.seeds().len();
    let mut done = 0;
    let mut told = |set: &str| {
        done += 1;
        progress(done, of, set);
    };
    for set in &scaling {
        let parts = set.parts()?;
        let (needed, rules) = (set.needed(), candidates::scaling_rules());
        let judged = judge(&set.name, &parts, needed, &rules, options, &mut told)?;
        all.add(judged, set.notes());
    }
    let StandbySet { name, .. } = &standby;
    let rules = candidates::standby_rules();
    let judged = judge(name, &standby.parts()?, standby.hours(), &rules, options, &mut told)?;
    all.add(judged, standby.notes());
    Ok(all)
}

/// What one set gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// See [`PolicyRow`].
    pub rows: Vec<PolicyRow>,
    /// Points on the test part, by controller; of the first seed where there are seeds.
    pub curves: Vec<(String, Vec<Point>)>,
    /// The table learned with the first seed, at the price chosen for [`LEVEL`].
    pub table: Vec<report::Cell>,
    /// See [`logged`].
    pub logged: Vec<logged::LoggedRow>,
    /// The set's name.
    pub set: String,
}

/// Rules, then what is learned with every seed.
fn judge<P: Problem + Send + Sync>(
    set: &str,
    parts: &Parts<P>,
    reference: f64,
    rules: &[candidates::Rule<P>],
    options: &PolicyOptions,
    told: &mut dyn FnMut(&str),
) -> Result<Judged> {
    let mut judged =
        Judged { rows: vec![], curves: vec![], table: vec![], logged: vec![], set: set.to_owned() };
    for rule in rules {
        let played: Vec<Played> = rule
            .settings
            .iter()
            .map(|(settings, play)| Played {
                settings: settings.clone(),
                chosen_on: play(&parts.choose),
                tested: play(&parts.test),
            })
            .collect();
        judged.add(rule.name, &[(None, played)], reference);
    }
    let seeds = options.seeds();
    let learned = in_parallel(
        options.threads,
        seeds.len(),
        |_, _| told(set),
        |at| Learned::new(parts, seeds[at], options.quick),
    )?;
    for (name, of) in [
        ("q-table", (|one| &one.tabular) as fn(&Learned) -> &Vec<Played>),
        ("q-network", |one| &one.network),
    ] {
        let runs: Vec<(Option<u64>, Vec<Played>)> =
            seeds.iter().zip(&learned).map(|(seed, one)| (Some(*seed), of(one).clone())).collect();
        judged.add(name, &runs, reference);
    }
    let first = learned.first().ok_or_else(|| Error::Data("no seed".to_owned()))?;
    let chosen = curve::chosen(&first.tabular, LEVEL);
    let table = &first.tables[chosen];
    judged.table = report::cells::<P>(set, table);
    judged.logged = logged::evaluate(set, parts, table, options.seed);
    Ok(judged)
}

impl Judged {
    /// A controller's rows: one for each aim and seed, one for each level.
    fn add(&mut self, model: &str, runs: &[(Option<u64>, Vec<Played>)], reference: f64) {
        let row = |figure, at| PolicyRow {
            set: self.set.clone(),
            model: model.to_owned(),
            figure,
            at,
            seed: None,
            settings: None,
            cost: None,
            spread: None,
            violations: None,
            unserved: None,
            changes: None,
        };
        let mut curves = Vec::new();
        for (seed, played) in runs {
            let mut points = Vec::new();
            for aim in AIMS {
                let chosen = &played[curve::chosen(played, aim)];
                let tested: &Tally = &chosen.tested;
                let point = Point::of(tested, reference);
                points.push(point);
                self.rows.push(PolicyRow {
                    seed: *seed,
                    settings: Some(chosen.settings.clone()),
                    cost: Some(rounded(point.cost)),
                    violations: Some(rounded(point.violations)),
                    unserved: Some(rounded(tested.unserved / tested.asked.max(1) as f64)),
                    changes: Some(rounded(tested.changes as f64 / tested.steps.max(1) as f64)),
                    ..row(Figure::Aimed, aim)
                });
            }
            curves.push(curve::frontier(&points));
        }
        for level in LEVELS {
            let costs: Option<Vec<f64>> =
                curves.iter().map(|points| curve::cost_at(points, level)).collect();
            let (cost, spread) = match costs {
                Some(costs) => (Some(rounded(mean(&costs))), deviation(&costs).map(rounded)),
                None => (None, None),
            };
            self.rows.push(PolicyRow {
                cost,
                spread,
                violations: Some(level),
                ..row(Figure::Equal, level)
            });
        }
        self.curves.push((model.to_owned(), curves.swap_remove(0)));
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Of a sample; `None` of one value.
fn deviation(values: &[f64]) -> Option<f64> {
    let squares: f64 = values.iter().map(|value| (value - mean(values)).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt())
}
