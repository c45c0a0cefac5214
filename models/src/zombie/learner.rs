//! From rows of the past to a file and the thresholds at which it is acted upon.

use std::collections::BTreeMap;

use cloudops_operators::utilisation::verdict::Policy;

use crate::Result;
use crate::learn::forest::{ForestConfig, Platt, fit};
use crate::onnx::forest::{ForestFile, read};
use crate::scorer::{ForestScorer, ForestScores};

use super::sample::ZombieSamples;

/// A learned hunter: all of it comes from the rows learned from.
#[derive(Debug, Clone, PartialEq)]
pub struct Hunter {
    /// The forest, calibrated on what its trees say of rows out of their bags.
    pub onnx: Vec<u8>,
    /// The probability at which F1 is greatest, out of bag.
    pub threshold: f64,
    /// The probability from which a termination is proposed, by policy; see [`action_threshold`].
    pub action: BTreeMap<Policy, f64>,
    /// Mean squared error of the probability (Brier 1950), out of bag.
    pub brier: f64,
}

impl Hunter {
    /// Learns a forest, its calibration and its thresholds.
    ///
    /// # Errors
    /// [`crate::Error::Data`] when rows of one class are missing.
    pub fn learn(
        samples: &ZombieSamples,
        name: &str,
        target: &str,
        config: &ForestConfig,
    ) -> Result<Self> {
        let fitted = fit(config, &samples.table()?, &samples.labels, Some(&samples.groups))?;
        // A row that is in every bag says nothing of the forest; of hundreds of trees there is none.
        let seen: Vec<(usize, f64)> = fitted
            .out_of_bag
            .iter()
            .enumerate()
            .filter_map(|(row, share)| share.map(|share| (row, share)))
            .collect();
        let shares: Vec<f64> = seen.iter().map(|(_, share)| *share).collect();
        let labels: Vec<bool> = seen.iter().map(|(row, _)| samples.labels[*row]).collect();
        let calibration = Platt::fit(&shares, &labels)?;
        let said: Vec<f64> = shares.iter().map(|share| calibration.probability(*share)).collect();
        let action = |policy: Policy| {
            let free = |row: usize| !policy.holds_back(&samples.evidence[row]);
            let rows = seen.iter().zip(&said).filter(|((row, _), _)| free(*row));
            let rows: Vec<(bool, f64)> =
                rows.map(|((row, _), said)| (samples.labels[*row], *said)).collect();
            (policy, action_threshold(&rows))
        };
        let file = ForestFile {
            name: name.to_owned(),
            target: target.to_owned(),
            forest: fitted.forest,
            calibration,
        };
        Ok(Self {
            onnx: file.to_onnx()?,
            threshold: best_f1(&said, &labels),
            brier: brier(&said, &labels),
            action: Policy::ALL.into_iter().map(action).collect(),
        })
    }

    /// Means over some rows of what each feature did to the score, up or down: the file's forest, explained.
    ///
    /// # Errors
    /// [`crate::Error::Model`] when the file is none of a forest.
    pub fn importance(&self, samples: &ZombieSamples, rows: &[usize]) -> Result<Vec<f64>> {
        let (forest, table) = (read(&self.onnx)?.forest, samples.table()?);
        let mut means = vec![0.0; forest.features.len()];
        for row in rows {
            let found = forest.attribute(table.row(*row));
            for (mean, value) in means.iter_mut().zip(&found.values) {
                *mean += value.abs() / rows.len() as f64;
            }
        }
        Ok(means)
    }

    /// What the file says of rows, in ONNX Runtime.
    ///
    /// # Errors
    /// [`crate::Error::Runtime`] when the runtime cannot be loaded or fails.
    pub fn score(&self, samples: &ZombieSamples) -> Result<ForestScores> {
        ForestScorer::open(&self.onnx)?.run(&samples.table()?)
    }
}

/// Mean squared error of probabilities (Brier 1950).
#[must_use]
pub fn brier(said: &[f64], labels: &[bool]) -> f64 {
    let off = said.iter().zip(labels).map(|(said, label)| said - f64::from(*label));
    off.map(|off| off * off).sum::<f64>() / labels.len() as f64
}

/// The probability at which F1 is greatest; of equal ones the highest, which names fewest.
#[must_use]
pub fn best_f1(said: &[f64], labels: &[bool]) -> f64 {
    let positives = labels.iter().filter(|label| **label).count();
    let mut rows: Vec<(f64, bool)> = said.iter().copied().zip(labels.iter().copied()).collect();
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut best, mut found, mut named) = ((0.0, 0.5), 0, 0);
    for tied in rows.chunk_by(|a, b| a.0 == b.0) {
        found += tied.iter().filter(|row| row.1).count();
        named += tied.len();
        let f1 = 2.0 * found as f64 / (named + positives) as f64;
        if f1 > best.0 {
            best = (f1, tied[0].0);
        }
    }
    best.1
}

/// The probability from which a termination is proposed: half way from the highest out-of-bag
/// probability of a row that must *not* be terminated to 1, and never below one half.
///
/// At the highest itself, no resource learned from would be wrongly named, but the next one may well
/// lie a little higher; half of the rest is what is paid for that, in recall.
#[must_use]
pub fn action_threshold(rows: &[(bool, f64)]) -> f64 {
    let wrong = rows.iter().filter(|(label, _)| !label).map(|(_, said)| *said);
    let highest = wrong.fold(0.0, f64::max);
    ((1.0 + highest) / 2.0).max(0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f1_is_greatest_where_the_classes_part() {
        assert_eq!(best_f1(&[0.1, 0.4, 0.6, 0.9], &[false, false, true, true]), 0.6);
        assert_eq!(best_f1(&[0.2, 0.2, 0.7], &[true, true, false]), 0.2);
    }

    #[test]
    fn action_is_taken_above_everything_wrong() {
        assert_eq!(action_threshold(&[(false, 0.6), (true, 0.99), (true, 0.3)]), 0.8);
        assert_eq!(action_threshold(&[(true, 0.99)]), 0.5);
    }
}
