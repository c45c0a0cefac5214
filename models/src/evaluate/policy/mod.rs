//! What does a policy cost, and how often does it break its promise? Rules in use beside what is learned.
//!
//! Two problems: a service that is scaled to a recorded demand, and machines that are stopped or terminated
//! while nobody needs them. Every controller has settings (a rule its thresholds, a learned one the price
//! of a violation). For each share of violations aimed at, the settings are those that cost least among
//! those that keep it on data set aside for that; then they are played on a test part that nothing was
//! fitted or chosen on. What that gives is a curve, and curves are compared where they violate alike.
//!
//! - [`sets`]: demand, split by time into parts to fit, to choose and to test
//! - [`candidates`]: controllers with all their settings
//! - [`curve`]: settings chosen, and cost where violations are equal
//! - [`interval`]: how sure a comparison is
//! - [`logged`]: what a log would have said of the learned policy

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::parallel::in_parallel;
use crate::Result;
use crate::policy::{Problem, Tally};

pub mod candidates;
pub mod curve;
pub mod interval;
mod judged;
pub mod logged;
mod reading;
mod report;
pub mod sets;

pub use judged::Judged;
pub use report::PolicyEvaluation;

use candidates::{Learned, Played};
use judged::Contender;
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
    /// Of what is learned: the rule that costs least at this share of violations, on the test part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Cost, of that rule's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// The ratio's 95 % interval, over blocks of the test part and over seeds; see [`interval`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio_low: Option<f64>,
    /// See [`PolicyRow::ratio_low`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio_high: Option<f64>,
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
/// [`crate::Error::Data`] when a set cannot be read, [`crate::Error::Runtime`] when ONNX Runtime cannot be loaded.
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

/// Rules, then what is learned with every seed.
fn judge<P: Problem + Send + Sync>(
    set: &str,
    parts: &Parts<P>,
    reference: f64,
    rules: &[candidates::Rule<P>],
    options: &PolicyOptions,
    told: &mut dyn FnMut(&str),
) -> Result<Judged> {
    let rules = rules.iter().map(|rule| {
        let played = rule.settings.iter().map(|(settings, play)| Played {
            settings: settings.clone(),
            chosen_on: Tally::sum(&play(&parts.choose, parts.block)),
            tested: play(&parts.test, parts.block),
        });
        Contender { model: rule.name, is_learned: false, runs: vec![(None, played.collect())] }
    });
    let mut contenders: Vec<Contender> = rules.collect();
    let seeds = options.seeds();
    let mut learned = in_parallel(
        options.threads,
        seeds.len(),
        |_, _| told(set),
        |at| Learned::new(parts, seeds[at], options.quick),
    )?;
    for (model, of) in [
        ("q-table", (|one| &mut one.tabular) as fn(&mut Learned) -> &mut Vec<Played>),
        ("q-network", |one| &mut one.network),
    ] {
        let taken = learned.iter_mut().map(|one| std::mem::take(of(one)));
        let runs = seeds.iter().map(|seed| Some(*seed)).zip(taken).collect();
        contenders.push(Contender { model, is_learned: true, runs });
    }
    let mut judged = Judged::new(set, &contenders, reference);
    let tables = contenders.iter().find(|one| one.model == "q-table");
    let first = tables.and_then(|one| one.runs.first());
    let chosen = first.map_or(0, |(_, played)| curve::chosen(played, LEVEL));
    let seeded: Vec<_> =
        seeds.into_iter().zip(learned.iter().map(|one| &one.tables[chosen])).collect();
    judged.logged = logged::evaluate(set, parts, &seeded);
    if let Some((_, table)) = seeded.first() {
        judged.table = report::cells::<P>(set, table);
    }
    judged.onnx = learned.into_iter().next().map(|one| one.onnx).unwrap_or_default();
    Ok(judged)
}
