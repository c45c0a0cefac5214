//! Bitbrains: which machines will be idle in September, by what is known at the end of August.
//!
//! **Split by time.** Everything learned comes from rows before [`ORIGIN`]: [`learn`] cuts all machines
//! there before it looks at any, so no value of September can move a model, a calibration or a
//! threshold. It learns from earlier moments, each with its own month ahead, of which the last ends
//! where August does. The label is a rule's verdict on the last fourteen days of the month ahead.

use std::collections::BTreeMap;
use std::path::Path;

use cloudops_datasets::utilisation::{Recorded, bitbrains};
use cloudops_operators::utilisation::evidence::Evidence;
use cloudops_operators::utilisation::rule::{RULE_DAYS, verdict};
use cloudops_operators::utilisation::{DAY, Rows};

use super::baseline::{self, IDLE, LOW, Rule, Said};
use super::figures::{reliability, row};
use super::shipped::{Shipped, shipped};
use super::{Judged, ZombieOptions, importance};
use crate::learn::forest::ForestConfig;
use crate::zombie::learner::Hunter;
use crate::zombie::sample::ZombieSamples;
use crate::{Error, Result};

/// 2013-08-31, 00:00 UTC: what happens from here on is what is to be predicted.
pub const ORIGIN: i64 = 1_377_907_200;
/// The month that is predicted, as the set names it.
pub const MONTH: &str = "2013-9";
/// Days of the month ahead.
const AHEAD_DAYS: i64 = 30;
/// Moments learned from, and days between them.
const ORIGINS: i64 = 4;
const APART_DAYS: i64 = 3;
/// Days of history that a machine must have at a moment.
const HISTORY_DAYS: i64 = 14;
/// The set's folder.
const DIRECTORY: &str = "bitbrains_rnd";

/// Which rule's verdict is predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Every day idle.
    Idle,
    /// Low utilisation on four days of fourteen.
    LowUtilisation,
}

impl Target {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Idle, Self::LowUtilisation];

    /// The set's name in tables.
    #[must_use]
    pub fn set(self) -> &'static str {
        match self {
            Self::Idle => "bitbrains-idle",
            Self::LowUtilisation => "bitbrains-low-utilisation",
        }
    }

    /// The rule itself, and the other one.
    fn rules(self) -> (Rule, Rule) {
        match self {
            Self::Idle => (IDLE, LOW),
            Self::LowUtilisation => (LOW, IDLE),
        }
    }
}

/// The machines and the rules' verdicts on their months.
#[derive(Debug, Clone, PartialEq)]
pub struct Machines {
    /// Rows of every machine.
    pub machines: Vec<Recorded>,
    /// Verdicts by machine and month.
    pub labels: Vec<bitbrains::Label>,
}

/// Loads the set from a directory with its folder.
///
/// # Errors
/// [`Error::Data`], naming the file.
pub fn load(data: &Path) -> Result<Machines> {
    let dir = data.join(DIRECTORY);
    let failed = |error: cloudops_datasets::Error| Error::Data(error.to_string());
    let machines = bitbrains::load(&dir).map_err(failed)?;
    Ok(Machines { machines, labels: bitbrains::labels(&dir).map_err(failed)? })
}

/// Rows to learn from: every machine at moments whose month ahead ends by [`ORIGIN`].
///
/// # Errors
/// [`Error::Data`] when a machine's rows are none.
pub fn past(machines: &[Recorded], target: Target) -> Result<ZombieSamples> {
    let (rule, _) = target.rules();
    let mut samples = ZombieSamples::default();
    for (group, machine) in (0..).zip(machines) {
        // Cut first: nothing below can see what comes after.
        let rows = rows(machine)?.between(i64::MIN / 2, ORIGIN);
        for number in 0..ORIGINS {
            let origin = ORIGIN - (AHEAD_DAYS + number * APART_DAYS) * DAY;
            let end = origin + AHEAD_DAYS * DAY;
            let Some(known) = known_at(&rows, origin) else { continue };
            let Some(truth) = verdict(&rows.between(end - RULE_DAYS * DAY, end)) else { continue };
            samples.push(&known, rule.1(&truth), group);
        }
    }
    Ok(samples)
}

/// Rows to be judged: every machine at [`ORIGIN`] that has a label of [`MONTH`].
fn judged(machines: &Machines, target: Target) -> Result<ZombieSamples> {
    let labels: BTreeMap<&str, bool> = machines
        .labels
        .iter()
        .filter(|label| label.month == MONTH)
        .map(|label| {
            let is_positive = match target {
                Target::Idle => label.idle,
                Target::LowUtilisation => label.low_utilisation,
            };
            (label.vm.as_str(), is_positive)
        })
        .collect();
    let mut samples = ZombieSamples::default();
    for (group, machine) in (0..).zip(&machines.machines) {
        let Some(label) = labels.get(machine.name.as_str()) else { continue };
        let rows = rows(machine)?;
        if let Some(known) = known_at(&rows, ORIGIN) {
            samples.push(&known, *label, group);
        }
    }
    Ok(samples)
}

fn rows(machine: &Recorded) -> Result<Rows<'_>> {
    machine.rows().map_err(|error| Error::Data(error.to_string()))
}

/// What is known of a machine at a moment; `None` where it is too new, or gone.
fn known_at<'a>(rows: &Rows<'a>, origin: i64) -> Option<Rows<'a>> {
    let known = rows.between(i64::MIN / 2, origin);
    let is_there = known.end() > origin - 2 * DAY && known.start() <= origin - HISTORY_DAYS * DAY;
    is_there.then_some(known)
}

/// What the guarded policies come to here.
fn held_back(set: &str, judged: &ZombieSamples, models: &[Said]) -> String {
    let named: Vec<String> = models[1..]
        .iter()
        .map(|said| format!("`{}` {}", said.model, said.flags.iter().filter(|flag| **flag).count()))
        .collect();
    let unknown = judged.evidence.iter().filter(|all| all.contains(&Evidence::ConnectionsUnknown));
    format!(
        "`{set}`: of {} machines the connections of {} are not measured, which keeps them under the guarded \
         policies; named for termination: {}.",
        judged.len(),
        unknown.count(),
        named.join(", ")
    )
}

/// The hunter of a target, from rows before [`ORIGIN`] alone.
///
/// # Errors
/// [`Error::Data`] when there is nothing to learn from.
pub fn learn(machines: &[Recorded], target: Target, options: &ZombieOptions) -> Result<Hunter> {
    Hunter::learn(&past(machines, target)?, target.set(), target.rules().0.0, &config(options))
}

/// The forest's settings, the same for every set.
pub(super) fn config(options: &ZombieOptions) -> ForestConfig {
    let trees = if options.quick { 60 } else { ForestConfig::default().trees };
    ForestConfig { trees, seed: options.seed, ..ForestConfig::default() }
}

/// Learns before September, and judges all models on it.
pub(super) fn evaluate(
    machines: &Machines,
    target: Target,
    options: &ZombieOptions,
) -> Result<Judged> {
    let past = past(&machines.machines, target)?;
    let judged = judged(machines, target)?;
    let hunter = learn(&machines.machines, target, options)?;
    let scores = hunter.score(&judged)?;
    let probability: Vec<f64> = scores.probability.iter().map(|p| f64::from(*p)).collect();
    let raw: Vec<f64> = scores.score.iter().map(|share| f64::from(*share)).collect();
    let set = target.set();
    let forest = Said {
        model: "forest".to_owned(),
        flags: probability.iter().map(|said| *said >= hunter.threshold).collect(),
        probability,
        threshold: Some(hunter.threshold),
    };
    let (own, other) = target.rules();
    let mut rows = vec![row(set, &forest, &judged.labels, Some(&raw))];
    for said in [
        baseline::regression(&past, &judged)?,
        baseline::rule(own, "persistence", &past, &judged),
        baseline::rule(other, other.0, &past, &judged),
    ] {
        rows.push(row(set, &said, &judged.labels, None));
    }
    let Shipped { raw, models } = shipped(&judged)?;
    rows.push(row(set, &models[0], &judged.labels, Some(&raw)));
    let notes = vec![
        format!(
            "`{set}`: {} machines judged at 2013-08-31 for {MONTH}; learned from {} rows of {} machines at \
         {ORIGINS} moments, {APART_DAYS} days apart, of which the last looks ahead to the end of August. \
         Positive: `{}` holds on the last fourteen days of the month ahead. `persistence` says that what \
         the rule names now it will name then.",
            judged.len(),
            past.len(),
            past.groups.iter().collect::<std::collections::BTreeSet<_>>().len(),
            own.0,
        ),
        held_back(set, &judged, &models),
    ];
    let reliability = reliability(set, &forest.probability, &judged.labels);
    let importance = importance(set, &hunter, &judged, &forest.flags)?;
    Ok(Judged { rows, reliability, importance, notes })
}
