//! The forest that ships, learned from simulated fleets alone, on rows that it was not learned from.

use cloudops_operators::utilisation::verdict::{Policy, Verdict};

use super::baseline::Said;
use crate::Result;
use crate::zombie::sample::ZombieSamples;
use crate::zombie::{PRETRAINED, ZombieModel};

/// What its models' names in tables begin with.
pub(super) const SHIPPED: &str = "shipped";

/// What it says of rows.
pub(super) struct Shipped {
    /// Its score, one a row.
    pub(super) raw: Vec<f64>,
    /// Alone, then by policy.
    pub(super) models: Vec<Said>,
}

/// Judges rows at the limits in its file: none is chosen here.
pub(super) fn shipped(judged: &ZombieSamples) -> Result<Shipped> {
    let mut model = ZombieModel::open(PRETRAINED)?;
    let said = model.run(&judged.table()?)?;
    let probability: Vec<f64> = said.probability.iter().map(|said| f64::from(*said)).collect();
    let of = |name: String, limit: f64, policy: Policy| {
        let rows = probability.iter().zip(&judged.evidence);
        let verdicts = rows.map(|(said, evidence)| Verdict::of(*said, limit, policy, evidence));
        Said {
            model: name,
            flags: verdicts.map(|verdict| verdict.is_zombie).collect(),
            probability: probability.clone(),
            threshold: Some(limit),
        }
    };
    let mut models = vec![of(SHIPPED.to_owned(), model.limits().balanced, Policy::Score)];
    for policy in Policy::ALL {
        let name = match policy {
            Policy::Score => format!("{SHIPPED}-action"),
            asked => format!("{SHIPPED}-action-{}", asked.name()),
        };
        models.push(of(name, model.limit(policy), policy));
    }
    let raw = said.score.iter().map(|score| f64::from(*score)).collect();
    Ok(Shipped { raw, models })
}
