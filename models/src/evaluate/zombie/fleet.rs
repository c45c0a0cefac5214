//! A simulated fleet: what may be terminated, with resources that only look idle.
//!
//! **Split by entity.** Fleets of some seeds are learned from, those of others judged: no resource is in
//! both. Terminations are proposed at a threshold chosen on the fleets learned from
//! ([`crate::zombie::learner::action_threshold`]), with and without the rules of evidence.

use cloudops_datasets::simulate::fleet::{FleetConfig, Kind, Simulated, simulate};
use cloudops_operators::utilisation::evidence::Evidence;
use cloudops_operators::utilisation::verdict::{Policy, Verdict};

use super::baseline::{self, IDLE, LOW, Said};
use super::figures::{reliability, row, wilson_upper};
use super::machines::config;
use super::shipped::{Shipped, shipped};
use super::{Judged, ZombieOptions, ZombieRow, importance};
use crate::evaluate::files::rounded;
use crate::zombie::learner::Hunter;
use crate::zombie::sample::ZombieSamples;
use crate::{Error, Result};

/// The set's name in tables.
pub const SET: &str = "simulated";
/// Fleets learned from, and fleets judged: so many that what happens to one resource in a thousand shows.
const FLEETS: (u64, u64) = (4, 12);

/// Resources with their kinds.
struct Fleet {
    samples: ZombieSamples,
    kinds: Vec<Kind>,
}

/// Fleets of so many seeds from a first on.
fn fleets(config: &FleetConfig, first: u64, count: u64) -> Result<Fleet> {
    let mut all = Fleet { samples: ZombieSamples::default(), kinds: Vec::new() };
    for seed in first..first + count {
        for Simulated { recorded, kind } in simulate(config, seed) {
            let rows = recorded.rows().map_err(|error| Error::Data(error.to_string()))?;
            let group = all.kinds.len() as u32;
            if all.samples.push(&rows, kind.may_terminate(), group) {
                all.kinds.push(kind);
            }
        }
    }
    Ok(all)
}

/// Learns on some fleets, and judges all models on others.
pub(super) fn evaluate(options: &ZombieOptions) -> Result<Judged> {
    let full = FleetConfig::default();
    let size = if options.quick { FleetConfig { resources: 150, ..full } } else { full };
    let (learned, tested) = FLEETS;
    let first = options.seed * (learned + tested);
    let past = fleets(&size, first, learned)?;
    let judged = fleets(&size, first + learned, tested)?;
    let hunter = Hunter::learn(&past.samples, SET, "may-terminate", &config(options))?;
    let mut all = Judged::default();
    let scores = hunter.score(&judged.samples)?;
    let raw: Vec<f64> = scores.score.iter().map(|share| f64::from(*share)).collect();
    let models = models(&hunter, &scores.probability, &past.samples, &judged.samples)?;
    for said in &models {
        let raw = said.model.starts_with("forest").then_some(raw.as_slice());
        let of_all = row(SET, said, &judged.samples.labels, raw);
        all.rows.extend(by_kind(of_all, said, &judged.kinds));
    }
    let shipped: Shipped = shipped(&judged.samples)?;
    for said in &shipped.models {
        let of_all = row(SET, said, &judged.samples.labels, Some(&shipped.raw));
        all.rows.extend(by_kind(of_all, said, &judged.kinds));
    }
    all.reliability = reliability(SET, &models[0].probability, &judged.samples.labels);
    all.importance = importance(SET, &hunter, &judged.samples, &models[0].flags)?;
    all.notes = notes(&size, &past, &judged);
    Ok(all)
}

/// Every model and rule, the forest alone first.
fn models(
    hunter: &Hunter,
    probability: &[f32],
    past: &ZombieSamples,
    judged: &ZombieSamples,
) -> Result<Vec<Said>> {
    let probability: Vec<f64> = probability.iter().map(|said| f64::from(*said)).collect();
    let forest = |model: &str, threshold: f64, policy: Policy| {
        let names = |(said, evidence): (&f64, &Vec<Evidence>)| {
            Verdict::of(*said, threshold, policy, evidence).is_zombie
        };
        Said {
            model: model.to_owned(),
            flags: probability.iter().zip(&judged.evidence).map(names).collect(),
            probability: probability.clone(),
            threshold: Some(threshold),
        }
    };
    let mut all = vec![forest("forest", hunter.threshold, Policy::Score)];
    for (policy, at) in &hunter.action {
        let model = match policy {
            Policy::Score => "forest-action".to_owned(),
            asked => format!("forest-action-{}", asked.name()),
        };
        all.push(forest(&model, *at, *policy));
    }
    all.push(baseline::regression(past, judged)?);
    for rule in [IDLE, LOW] {
        let said = baseline::rule(rule, rule.0, past, judged);
        all.push(said.clone());
        // What helps the forest must be granted to the rules.
        for policy in [Policy::Unseen, Policy::Any] {
            let flags = said.flags.iter().zip(&judged.evidence);
            let flags = flags.map(|(flag, evidence)| *flag && !policy.holds_back(evidence));
            let model = format!("{}-{}", rule.0, policy.name());
            all.push(Said { model, flags: flags.collect(), ..said.clone() });
        }
    }
    Ok(all)
}

/// The row of all resources, with hard negatives counted, and a row of counts for each kind.
fn by_kind(of_all: ZombieRow, said: &Said, kinds: &[Kind]) -> Vec<ZombieRow> {
    let count = |is: &dyn Fn(Kind) -> bool| {
        let of = kinds.iter().zip(&said.flags).filter(|(kind, _)| is(**kind));
        (of.clone().count(), of.filter(|(_, flag)| **flag).count())
    };
    let (hard, hard_flagged) = count(&Kind::is_hard_negative);
    let mut rows = vec![ZombieRow {
        hard_negatives: Some(hard),
        hard_negatives_flagged: Some(hard_flagged),
        hard_negatives_upper: wilson_upper(hard_flagged, hard).map(rounded),
        ..of_all.clone()
    }];
    rows.extend(Kind::ALL.into_iter().map(|kind| {
        let (resources, flagged) = count(&|other| other == kind);
        ZombieRow {
            kind: kind.name().to_owned(),
            resources,
            positives: if kind.may_terminate() { resources } else { 0 },
            flagged,
            precision: None,
            precision_lower: None,
            recall: None,
            f1: None,
            average_precision: None,
            brier: None,
            calibration_error: None,
            brier_raw: None,
            calibration_error_raw: None,
            ..of_all.clone()
        }
    }));
    rows
}

fn notes(size: &FleetConfig, past: &Fleet, judged: &Fleet) -> Vec<String> {
    let held = |evidence: Evidence| {
        let rows = judged.samples.evidence.iter().zip(&judged.samples.labels);
        let zombies = rows.filter(|(found, label)| **label && found.contains(&evidence));
        format!("`{}` {}", evidence.name(), zombies.count())
    };
    let zombies = judged.samples.labels.iter().filter(|label| **label).count();
    vec![
        format!(
            "`{SET}`: {} fleets of up to {} resources over {} days, {} resources learned from and {} \
             others judged. Positive: forgotten, or orphaned when a project ended. Hard negatives: standbys, hosts \
             of nightly, weekly and monthly jobs, licence servers.",
            FLEETS.0 + FLEETS.1,
            size.resources,
            size.days,
            past.kinds.len(),
            judged.kinds.len(),
        ),
        format!(
            "What the evidence rules cost: of {zombies} zombies judged, they hold back {}.",
            Evidence::ALL.map(held).join(", ")
        ),
    ]
}
