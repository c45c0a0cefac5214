//! Which resources are idle, and which may be terminated? The forest against the rules in use.
//!
//! Two questions, kept apart. On real machines (Bitbrains) nobody has said what may be terminated, so the
//! question is what *will* be idle: from all that is known by the end of August, September's verdict of a
//! rule. On a simulated fleet the truth is known, and the question is what may be terminated, with
//! resources among it that only look idle.
//!
//! Forests are learned as [`crate::zombie`] learns them; the one that ships is judged beside them.
//!
//! - [`baseline`]: the rules, and a regression
//! - [`machines`], [`fleet`]: the two sets
//! - [`figures`]: what is measured

use std::path::Path;

use cloudops_operators::utilisation::FEATURES;
use serde::{Deserialize, Serialize};

use super::metrics;
use crate::Result;
use crate::zombie::learner::Hunter;
use crate::zombie::sample::ZombieSamples;

pub mod baseline;
pub mod figures;
pub mod fleet;
pub mod machines;
mod reading;
mod report;
mod shipped;

pub use report::ZombieEvaluation;

/// What to evaluate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZombieOptions {
    /// Seeds the fleets and the forests. Default 1.
    pub seed: u64,
    /// A small fleet and few trees: to see that it works.
    pub quick: bool,
}

impl Default for ZombieOptions {
    fn default() -> Self {
        Self { seed: 1, quick: false }
    }
}

/// The kind of a row that is of all resources.
pub const ALL: &str = "all";

/// How a model did on a set, or on the resources of one kind in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ZombieRow {
    /// `bitbrains-idle`, `bitbrains-low-utilisation` or `simulated`.
    pub set: String,
    /// The model or rule.
    pub model: String,
    /// [`ALL`], or a kind of the simulated fleet; of a kind only counts are given.
    pub kind: String,
    /// Resources judged.
    pub resources: usize,
    /// Of them, idle (Bitbrains) or to be terminated (simulated).
    pub positives: usize,
    /// The probability from which a resource is named, chosen on training data; rules have none.
    pub threshold: Option<f64>,
    /// Resources named.
    pub flagged: usize,
    /// Share of those named that are positive; absent where none is named.
    pub precision: Option<f64>,
    /// Lower end of its 95 % interval (Wilson 1927).
    pub precision_lower: Option<f64>,
    /// Share of the positive that are named.
    pub recall: Option<f64>,
    /// Harmonic mean of precision and recall.
    pub f1: Option<f64>,
    /// Over all thresholds.
    pub average_precision: Option<f64>,
    /// Mean squared error of the probability (Brier 1950).
    pub brier: Option<f64>,
    /// Expected calibration error, ten bins of equal width.
    pub calibration_error: Option<f64>,
    /// Brier score of the share of trees, not calibrated.
    pub brier_raw: Option<f64>,
    /// Expected calibration error of the share of trees.
    pub calibration_error_raw: Option<f64>,
    /// Resources that look like zombies and are none.
    pub hard_negatives: Option<usize>,
    /// Of them, named: each is a resource in use that would be terminated.
    pub hard_negatives_flagged: Option<usize>,
    /// Upper end of the 95 % interval of their share (Wilson): what may still go wrong where nothing did.
    pub hard_negatives_upper: Option<f64>,
}

/// Evaluates the forest and its baselines; the figures are a function of the options and the data.
///
/// # Errors
/// [`crate::Error::Data`] when the set cannot be read, [`crate::Error::Runtime`] when ONNX Runtime cannot
/// be loaded.
pub fn evaluate_zombie(data: &Path, options: &ZombieOptions) -> Result<ZombieEvaluation> {
    let mut all = ZombieEvaluation::new(*options);
    let machines = machines::load(data)?;
    for target in machines::Target::ALL {
        all.add(machines::evaluate(&machines, target, options)?);
    }
    all.add(fleet::evaluate(options)?);
    Ok(all)
}

/// What a feature did to the scores of resources that are named.
#[derive(Debug, Clone, PartialEq)]
pub struct Importance {
    /// The set.
    pub set: String,
    /// The feature.
    pub feature: String,
    /// Mean of its Shapley value's size, in shares of trees.
    pub mean: f64,
}

/// Features listed.
const FEATURES_LISTED: usize = 8;
/// Resources explained at most: of more, every so many.
const EXPLAINED_MAX: usize = 100;

/// The features that did most to the scores of those named.
fn importance(
    set: &str,
    hunter: &Hunter,
    samples: &ZombieSamples,
    named: &[bool],
) -> Result<Vec<Importance>> {
    let rows: Vec<usize> = (0..named.len()).filter(|row| named[*row]).collect();
    let every = rows.len().div_ceil(EXPLAINED_MAX).max(1);
    let rows: Vec<usize> = rows.into_iter().step_by(every).collect();
    let means = hunter.importance(samples, &rows)?;
    let order = metrics::rank_descending(&means).into_iter().take(FEATURES_LISTED);
    let of = |feature: usize| Importance {
        set: set.to_owned(),
        feature: FEATURES[feature].to_owned(),
        mean: crate::evaluate::files::rounded(means[feature]),
    };
    Ok(order.map(of).collect())
}

/// The rows of a set, and what its probabilities were worth.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judged {
    /// One for each model, and for each kind where there are kinds.
    pub rows: Vec<ZombieRow>,
    /// Of the forest.
    pub reliability: Vec<figures::Bin>,
    /// Of the forest, the greatest first.
    pub importance: Vec<Importance>,
    /// How the set was made and split, a sentence each.
    pub notes: Vec<String>,
}
