//! What is measured of a model's probabilities and of what it names.

use serde::{Deserialize, Serialize};

use super::baseline::Said;
use super::{ALL, ZombieRow};
use crate::evaluate::files::rounded;
use crate::evaluate::metrics::average_precision;
use crate::zombie::learner::brier;

/// The normal distribution's quantile of a two-sided interval of 95 %.
const Z: f64 = 1.959_963_984_540_054;
/// Bins of equal width, between 0 and 1.
pub const BINS: usize = 10;

/// Lower end of the 95 % interval of a share: Wilson 1927, *Probable inference, the law of succession, and
/// statistical inference*, [doi:10.1080/01621459.1927.10502953](https://doi.org/10.1080/01621459.1927.10502953).
///
/// `None` of nothing.
#[must_use]
pub fn wilson_lower(hits: usize, of: usize) -> Option<f64> {
    wilson(hits, of).map(|(lower, _)| lower)
}

/// Upper end of the same interval.
#[must_use]
pub fn wilson_upper(hits: usize, of: usize) -> Option<f64> {
    wilson(hits, of).map(|(_, upper)| upper)
}

fn wilson(hits: usize, of: usize) -> Option<(f64, f64)> {
    let (count, share) = (of as f64, hits as f64 / of as f64);
    let square = Z * Z;
    let middle = share + square / (2.0 * count);
    let spread = Z * (share * (1.0 - share) / count + square / (4.0 * count * count)).sqrt();
    let whole = 1.0 + square / count;
    (of > 0).then(|| (((middle - spread) / whole).max(0.0), ((middle + spread) / whole).min(1.0)))
}

/// Rows whose probability falls into one bin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// The set.
    pub set: String,
    /// Lower end of the bin; the upper is a tenth above.
    pub from: f64,
    /// Rows in it.
    pub resources: usize,
    /// Their mean probability.
    pub mean_probability: f64,
    /// The share of them that are positive.
    pub share_positive: f64,
}

/// The bins that hold rows, in order.
#[must_use]
pub fn reliability(set: &str, probability: &[f64], labels: &[bool]) -> Vec<Bin> {
    let mut bins = vec![(0_usize, 0.0, 0_usize); BINS];
    for (said, label) in probability.iter().zip(labels) {
        let bin = &mut bins[((said * BINS as f64) as usize).min(BINS - 1)];
        *bin = (bin.0 + 1, bin.1 + said, bin.2 + usize::from(*label));
    }
    let of = |(at, (count, sum, positive)): (usize, (usize, f64, usize))| {
        (count > 0).then(|| Bin {
            set: set.to_owned(),
            from: at as f64 / BINS as f64,
            resources: count,
            mean_probability: rounded(sum / count as f64),
            share_positive: rounded(positive as f64 / count as f64),
        })
    };
    bins.into_iter().enumerate().filter_map(of).collect()
}

/// Mean distance between a bin's probability and its share, weighed by rows; unrounded bins.
fn calibration_error(probability: &[f64], labels: &[bool]) -> f64 {
    let mut bins = [(0.0, 0.0); BINS];
    for (said, label) in probability.iter().zip(labels) {
        let bin = &mut bins[((said * BINS as f64) as usize).min(BINS - 1)];
        *bin = (bin.0 + said, bin.1 + f64::from(*label));
    }
    let off: f64 = bins.iter().map(|(said, positive)| (said - positive).abs()).sum();
    off / labels.len() as f64
}

/// The row of a model over all resources; `raw` are shares of trees before calibration.
#[must_use]
pub fn row(set: &str, said: &Said, labels: &[bool], raw: Option<&[f64]>) -> ZombieRow {
    let positives = labels.iter().filter(|label| **label).count();
    let flagged = said.flags.iter().filter(|flag| **flag).count();
    let hits = said.flags.iter().zip(labels).filter(|(flag, label)| **flag && **label).count();
    let share = |hits: usize, of: usize| (of > 0).then(|| rounded(hits as f64 / of as f64));
    let single: Vec<f32> = said.probability.iter().map(|said| *said as f32).collect();
    ZombieRow {
        set: set.to_owned(),
        model: said.model.clone(),
        kind: ALL.to_owned(),
        resources: labels.len(),
        positives,
        threshold: said.threshold.map(rounded),
        flagged,
        precision: share(hits, flagged),
        precision_lower: wilson_lower(hits, flagged).map(rounded),
        recall: share(hits, positives),
        f1: share(2 * hits, flagged + positives),
        average_precision: average_precision(&single, labels).map(rounded),
        brier: Some(rounded(brier(&said.probability, labels))),
        calibration_error: Some(rounded(calibration_error(&said.probability, labels))),
        brier_raw: raw.map(|raw| rounded(brier(raw, labels))),
        calibration_error_raw: raw.map(|raw| rounded(calibration_error(raw, labels))),
        hard_negatives: None,
        hard_negatives_flagged: None,
        hard_negatives_upper: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilsons_interval_is_that_of_the_tables() {
        // Newcombe 1998, Statistics in Medicine 17, table I, method 3.
        for (hits, of, lower) in
            [(81, 263, 0.2553), (15, 148, 0.0624), (0, 20, 0.0), (1, 29, 0.0061)]
        {
            let found = wilson_lower(hits, of).unwrap();
            assert!((found - lower).abs() < 6e-5, "{hits}/{of}: {found}");
        }
        assert!((wilson_upper(0, 20).unwrap() - 0.1611).abs() < 6e-5);
        assert_eq!((wilson_lower(0, 0), wilson_upper(0, 0)), (None, None));
    }

    #[test]
    fn probabilities_that_hold_have_no_calibration_error() {
        let probability = [0.25, 0.25, 0.25, 0.25, 1.0];
        let labels = [true, false, false, false, true];
        assert!(calibration_error(&probability, &labels) < 1e-12);
        let bins = reliability("set", &probability, &labels);
        assert_eq!((bins.len(), bins[0].resources, bins[0].share_positive), (2, 4, 0.25));
        assert_eq!(bins[1].from, 0.9);
        let off = calibration_error(&[0.95, 0.95], &[true, false]);
        assert!((off - 0.45).abs() < 1e-12);
        assert!((brier(&[0.5, 1.0], &[true, true]) - 0.125).abs() < 1e-12);
    }

    #[test]
    fn figures_are_counts_over_counts() {
        let said = Said {
            model: "m".to_owned(),
            probability: vec![0.9, 0.8, 0.2, 0.1],
            flags: vec![true, true, false, false],
            threshold: Some(0.8),
        };
        let row = row("set", &said, &[true, false, true, false], None);
        assert_eq!((row.precision, row.recall, row.f1), (Some(0.5), Some(0.5), Some(0.5)));
        let none = Said { flags: vec![false; 4], ..said };
        let row = super::row("set", &none, &[true, false, true, false], None);
        assert_eq!((row.precision, row.recall, row.f1), (None, Some(0.0), Some(0.0)));
    }
}
