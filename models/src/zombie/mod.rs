//! Which resources are idle and will stay so: the forest that ships, and what it says of a resource.
//!
//! A resource is a vector of [`FEATURES`]. Of each the model says a *score*, the share of trees for it, and
//! a *probability*, the score calibrated. A probability that reaches the *limit* names the resource,
//! unless evidence of use keeps it ([`Verdict`]). The score is divided among the features exactly
//! ([`ZombieModel::attribute`]); the probability, which is no sum, is not.
//!
//! - [`sample`]: a resource at a moment, as a row to learn from or to judge
//! - [`learner`]: forest, calibration and limits from rows of the past alone
//! - [`pretrain`](mod@pretrain): the forest that ships, from simulated fleets
//! - [`ZombieModel`]: a file, ready to judge
//! - [`card`]: what is told of a file
//!
//! `crate::evaluate::zombie` says how good it is.

use std::collections::BTreeMap;

use cloudops_operators::score::ModelId;
use cloudops_operators::seeded::SplitMix64;
use cloudops_operators::utilisation::FEATURES;
use cloudops_operators::utilisation::evidence::Evidence;
use cloudops_operators::utilisation::verdict::{Policy, Verdict};
use serde::{Deserialize, Serialize};

use crate::learn::forest::{Attribution, Node, SHARE_STEPS, Table};
use crate::onnx::forest::{ForestFile, read};
use crate::onnx::metadata::{self, LEARNED_FROM, LIMITS};
use crate::scorer::{ForestScorer, ForestScores};
use crate::{Error, Result, registry};

pub mod card;
pub mod learner;
pub mod pretrain;
pub mod sample;

pub use pretrain::{Pretraining, pretrain};

/// The forest that ships: learned with the defaults by `cloudops models pretrain zombie`, to the bit.
pub const PRETRAINED: &[u8] = include_bytes!("../../pretrained/zombie-forest.onnx");

/// A resource's features, by [`FEATURES`]; `NaN` where one is not known.
pub type Features = [f64; FEATURES.len()];

/// Contributions are whole numbers of this. A score is one too, and their sum stays below 2⁵: so it is
/// exact in `f64`, in whatever order it is taken.
const UNIT: f64 = 1.0 / (1_u64 << 48) as f64;
/// Rows that a file is tried on when it is opened.
const TRIED: usize = 64;
/// How far the graph's probability may be from the calibration's: the runtime's `f32` logarithm, no more.
const PROBABILITY_TOLERANCE: f64 = 1e-5;

/// The probabilities from which a resource is named, chosen on the rows learned from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Where F1 was greatest: as many found as falsely named.
    pub balanced: f64,
    /// From where a termination is proposed, by policy; see [`learner::action_threshold`].
    pub action: BTreeMap<Policy, f64>,
}

/// What a file was learned from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearnedFrom {
    /// In a sentence.
    pub source: String,
    /// Resources; each may stand in several rows.
    pub resources: u64,
    /// Rows.
    pub rows: u64,
    /// Of them, positive.
    pub positive: u64,
    /// SHA-256 of the rows and their labels, hex.
    pub fingerprint: String,
    /// Mean squared error of the probability of rows out of bag.
    pub brier: f64,
    /// The command that learns it again; empty where there is none.
    pub command: String,
}

/// What the model says of a resource.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ZombieScore {
    /// Share of trees for it, from 0 to 1.
    pub score: f32,
    /// The score calibrated.
    pub probability: f32,
}

/// A resource as judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Share of trees for it, from 0 to 1.
    pub score: f32,
    /// The score calibrated.
    pub probability: f32,
    /// The probability from which the model names a resource, under the policy judged by.
    pub limit: f64,
    /// What follows.
    pub verdict: Verdict,
}

/// A forest's file, ready to judge. It holds a session of its own: one for each worker.
#[derive(Debug)]
pub struct ZombieModel {
    id: ModelId,
    file: ForestFile,
    limits: Limits,
    scorer: ForestScorer,
}

impl ZombieModel {
    /// The forest of a file: [`PRETRAINED`], or one of your own.
    ///
    /// # Errors
    /// [`Error::Model`] when the file is none of a forest, reads other features than [`FEATURES`], says nothing of
    /// its limits, or its graph does not say what its trees say; [`Error::Runtime`] when the runtime
    /// cannot be loaded or refuses it.
    pub fn open(onnx: &[u8]) -> Result<Self> {
        let file = read(onnx)?;
        let id = registry::id_of(&file.name, &registry::digest(onnx));
        let refused = |reason: String| Error::Model { model: id.to_string(), reason };
        let limits: Limits = metadata::entry(onnx, LIMITS)?;
        features_fit(&file.forest.features).map_err(refused)?;
        limits.validate().map_err(refused)?;
        shares_are_whole(&file).map_err(refused)?;
        let scorer = ForestScorer::open(onnx)?;
        let mut model = Self { id, file, limits, scorer };
        model.try_out()?;
        Ok(model)
    }

    /// Name and version: the first 16 hex digits of the SHA-256 of the file.
    #[must_use]
    pub fn id(&self) -> &ModelId {
        &self.id
    }

    /// What a positive resource is, as the file says.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.file.target
    }

    /// The probabilities from which it names a resource.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The probability from which it proposes a termination under a policy.
    #[must_use]
    pub fn limit(&self, policy: Policy) -> f64 {
        // Every policy is there: a file without one is not opened.
        self.limits.action.get(&policy).copied().unwrap_or(f64::INFINITY)
    }

    /// Score and probability of each resource, in order; a resource's bits do not depend on the others.
    ///
    /// # Errors
    /// [`Error::Runtime`] when the runtime fails.
    pub fn score(&mut self, rows: &[Features]) -> Result<Vec<ZombieScore>> {
        let said = self.run(&table(rows)?)?;
        let both = said.score.into_iter().zip(said.probability);
        Ok(both.map(|(score, probability)| ZombieScore { score, probability }).collect())
    }

    /// The verdict on each resource, in order, by its features and all that speaks against its
    /// termination ([`cloudops_operators::utilisation::evidence::against_termination`]).
    ///
    /// # Errors
    /// As [`ZombieModel::score`].
    pub fn judge(
        &mut self,
        policy: Policy,
        resources: &[(Features, Vec<Evidence>)],
    ) -> Result<Vec<Judged>> {
        let rows: Vec<Features> = resources.iter().map(|(features, _)| *features).collect();
        let (limit, said) = (self.limit(policy), self.score(&rows)?);
        let judged = said.into_iter().zip(resources).map(|(said, (_, evidence))| {
            let ZombieScore { score, probability } = said;
            let verdict = Verdict::of(f64::from(probability), limit, policy, evidence);
            Judged { score, probability, limit, verdict }
        });
        Ok(judged.collect())
    }

    /// Divides a resource's *score* among the features, in shares of trees: base and values sum to
    /// [`ZombieScore::score`] **exactly**, as `f64` and in any order.
    ///
    /// The values are those of TreeSHAP in steps of 2⁻⁴⁸; what rounding leaves, less than 10⁻⁷, is with the
    /// feature that did most. The base is the same for all resources. It takes no runtime,
    /// and walks every tree by all its paths, where a score follows one: ask for those that are told of.
    #[must_use]
    pub fn attribute(&self, features: &Features) -> Attribution {
        let row = features.map(single);
        let mut found = self.file.forest.attribute(&row);
        found.base = whole(found.base);
        found.values.iter_mut().for_each(|value| *value = whole(*value));
        let rest = f64::from(self.file.forest.score(&row)) - found.score();
        let most = found.ranking()[0];
        found.values[most] += rest;
        found
    }

    /// What the file says of rows, in ONNX Runtime.
    pub(crate) fn run(&mut self, table: &Table) -> Result<ForestScores> {
        self.scorer.run(table)
    }

    /// The graph must say what its trees say, or contributions would sum to another score. Every row
    /// tried stands at thresholds of the trees, or is unknown.
    fn try_out(&mut self) -> Result<()> {
        let mut thresholds = vec![Vec::new(); FEATURES.len()];
        for node in self.file.forest.trees().iter().flat_map(|tree| tree.nodes()) {
            if let Node::Split { feature, threshold, .. } = *node {
                thresholds[feature].push(threshold);
            }
        }
        let mut random = SplitMix64::new(1);
        let mut value = |of: &Vec<f32>| {
            let place = (random.uniform() * (of.len() + 1) as f64) as usize;
            of.get(place).copied().unwrap_or(f32::NAN)
        };
        let values =
            (0..TRIED).flat_map(|_| thresholds.iter().map(&mut value).collect::<Vec<f32>>());
        let table = Table::new(self.file.forest.features.clone(), values.collect())?;
        let said = self.run(&table)?;
        let differs = (0..TRIED).any(|row| {
            let score = self.file.forest.score(table.row(row));
            let probability = self.file.calibration.probability(f64::from(score));
            let off = (f64::from(said.probability[row]) - probability).abs();
            said.score[row].to_bits() != score.to_bits()
                || off.is_nan()
                || off > PROBABILITY_TOLERANCE
        });
        if differs {
            let reason = "its graph does not say what its trees say".to_owned();
            return Err(Error::Model { model: self.id.to_string(), reason });
        }
        Ok(())
    }
}

impl Limits {
    fn validate(&self) -> std::result::Result<(), String> {
        if let Some(missing) = Policy::ALL.iter().find(|policy| !self.action.contains_key(policy)) {
            return Err(format!("metadata `{LIMITS}` has no limit for `{}`", missing.name()));
        }
        let all = self.action.values().chain([&self.balanced]);
        match all.into_iter().find(|limit| !(0.0..=1.0).contains(*limit)) {
            Some(limit) => Err(format!("metadata `{LIMITS}`: {limit} is no probability")),
            None => Ok(()),
        }
    }
}

/// The file of a hunter that says from where it names, and what it was learned from.
///
/// # Errors
/// [`Error::Model`] when either cannot be written as JSON.
pub fn file(onnx: &[u8], limits: &Limits, learned: &LearnedFrom) -> Result<Vec<u8>> {
    let text = |text: serde_json::Result<String>| {
        text.map_err(|error| Error::Model { model: "zombie".to_owned(), reason: error.to_string() })
    };
    let more = BTreeMap::from([
        (LIMITS.to_owned(), text(serde_json::to_string(limits))?),
        (LEARNED_FROM.to_owned(), text(serde_json::to_string(learned))?),
    ]);
    metadata::with_metadata(onnx, &more)
}

/// A vector for the trees, which compare `f32`: what is greater than any is taken for the greatest.
fn single(value: f64) -> f32 {
    (value as f32).clamp(f32::MIN, f32::MAX)
}

fn table(rows: &[Features]) -> Result<Table> {
    let values = rows.iter().flatten().map(|value| single(*value)).collect();
    Table::new(FEATURES.map(str::to_owned).to_vec(), values)
}

fn whole(value: f64) -> f64 {
    (value / UNIT).round() * UNIT
}

fn features_fit(features: &[String]) -> std::result::Result<(), String> {
    let place = (0..features.len().max(FEATURES.len()))
        .find(|at| features.get(*at).map(String::as_str) != FEATURES.get(*at).copied());
    let Some(at) = place else { return Ok(()) };
    let name = |name: Option<&str>| name.map_or("nothing".to_owned(), |name| format!("`{name}`"));
    Err(format!(
        "as feature {} of {} it reads {} where this build has {}: learn it anew from the features of this build",
        at + 1,
        features.len(),
        name(features.get(at).map(String::as_str)),
        name(FEATURES.get(at).copied()),
    ))
}

/// Sums of shares must be exact: the bits of a score would depend on who adds them up.
fn shares_are_whole(file: &ForestFile) -> std::result::Result<(), String> {
    let mut nodes = file.forest.trees().iter().flat_map(|tree| tree.nodes());
    let odd = nodes.find_map(|node| match *node {
        Node::Leaf { share, .. } if (share * SHARE_STEPS as f32).fract() != 0.0 => Some(share),
        Node::Leaf { .. } | Node::Split { .. } => None,
    });
    match odd {
        Some(share) => Err(format!("a leaf's share, {share}, is no multiple of 1/{SHARE_STEPS}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_other_features_is_refused_by_name() {
        let own = FEATURES.map(str::to_owned);
        assert_eq!(features_fit(&own), Ok(()));
        let mut swapped = own.clone();
        swapped.swap(3, 7);
        let reason = features_fit(&swapped).unwrap_err();
        assert!(reason.contains("feature 4") && reason.contains("`cpu_p99`"), "{reason}");
        let reason = features_fit(&own[..38]).unwrap_err();
        assert!(
            reason.contains("reads nothing where this build has `days_since_burst`"),
            "{reason}"
        );
        let more: Vec<String> = own.iter().cloned().chain(["more".to_owned()]).collect();
        assert!(
            features_fit(&more).unwrap_err().contains("reads `more` where this build has nothing")
        );
    }

    #[test]
    fn limits_are_there_for_every_policy() {
        let action = Policy::ALL.map(|policy| (policy, 0.9)).into();
        let limits = Limits { balanced: 0.4, action };
        assert_eq!(limits.validate(), Ok(()));
        let text = serde_json::to_string(&limits).unwrap();
        assert_eq!(serde_json::from_str::<Limits>(&text).unwrap(), limits);
        let mut without = limits.clone();
        without.action.remove(&Policy::Unseen);
        assert!(without.validate().unwrap_err().contains("no limit for `unseen`"));
        assert!(Limits { balanced: f64::NAN, ..limits }.validate().is_err());
    }

    #[test]
    fn what_no_f32_can_hold_is_the_greatest_that_one_can() {
        assert_eq!((single(1e300), single(f64::NEG_INFINITY)), (f32::MAX, f32::MIN));
        assert!(single(f64::NAN).is_nan());
    }
}
