//! Errors to a score, and the score's quantiles.
//!
//! Reconstruction error and KL divergence have different units. Each is
//! standardised by its median and spread on calibration data (later in time
//! than what the model learned from), and the score is their sum. Median and
//! interquartile range rather than mean and standard deviation: held-out data
//! may hold an incident, and one such must not stretch the scale for all.

use serde::{Deserialize, Serialize};

use cloudops_operators::score::{ModelId, ModelInfo, ScoreWeights};

use crate::learn::scaling::moments;
use crate::learn::{Learned, Outputs};
use crate::samples::Samples;
use crate::specification::Specification;

/// Evenly spaced quantiles kept: from the least score over every thousandth to the greatest.
pub const QUANTILES: usize = 1_001;

/// A standard normal's interquartile range.
const NORMAL_IQR: f64 = 1.349;

/// What calibration found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Windows it rests on.
    pub windows: usize,
    /// Of the reconstruction error.
    pub reconstruction: Spread,
    /// Of the KL divergence; `None` without latents' variance.
    pub kl: Option<Spread>,
    /// The score they make.
    pub weights: ScoreWeights,
    /// Scores at [`QUANTILES`] evenly spaced quantiles. Left out of the JSON: `ModelInfo` has them.
    #[serde(skip)]
    pub score_quantiles: Vec<f32>,
}

/// Where a quantity lies and how wide it spreads.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The interquartile range, as the standard deviation of a normal distribution with it.
    pub std: f64,
}

impl Spread {
    /// Of these values; a spread of nothing counts as 1.
    #[must_use]
    pub fn of(values: &[f32]) -> Self {
        let sorted = sorted(values);
        let at = |q: f64| f64::from(quantile(&sorted, q));
        let (median, range) = (at(0.5), at(0.75) - at(0.25));
        let std = range / NORMAL_IQR;
        // Relative to the median, since a spread at the edge of f32 is rounding.
        let std = if std > 1e-6 * median.abs() && std > 1e-30 { std } else { 1.0 };
        Self { median, std }
    }
}

/// Calibrates a model on its own outputs.
#[must_use]
pub fn calibrate(outputs: &Outputs) -> Calibration {
    let reconstruction = Spread::of(&outputs.reconstruction_error);
    let kl = (!outputs.kl.is_empty()).then(|| Spread::of(&outputs.kl));
    let kl_share = kl.map_or(0.0, |kl| kl.median / kl.std);
    let weights = ScoreWeights {
        reconstruction: (1.0 / reconstruction.std) as f32,
        kl: kl.map_or(0.0, |kl| (1.0 / kl.std) as f32),
        offset: (-(reconstruction.median / reconstruction.std) - kl_share) as f32,
    };
    let scores: Vec<f32> =
        (0..outputs.reconstruction_error.len()).map(|at| score(&weights, outputs, at)).collect();
    let sorted = sorted(&scores);
    Calibration {
        windows: scores.len(),
        reconstruction,
        kl,
        weights,
        score_quantiles: (0..QUANTILES)
            .map(|at| quantile(&sorted, at as f64 / (QUANTILES - 1) as f64))
            .collect(),
    }
}

/// The score of one window of a model's outputs.
#[must_use]
pub fn score(weights: &ScoreWeights, outputs: &Outputs, at: usize) -> f32 {
    let kl = outputs.kl.get(at).copied().unwrap_or(0.0);
    weights.reconstruction * outputs.reconstruction_error[at] + weights.kl * kl + weights.offset
}

/// What operators need to know of the model; its version stays empty until it is registered.
#[must_use]
pub fn model_info(
    specification: &Specification,
    learned: &Learned,
    calibration: &Calibration,
    holdout: &Samples,
) -> ModelInfo {
    let moments = moments(holdout);
    ModelInfo {
        id: ModelId { name: specification.name.clone(), version: String::new() },
        channels: specification.channels.clone(),
        steps: specification.steps,
        latents: learned.body.latents(),
        weights: Some(calibration.weights),
        score_quantiles: calibration.score_quantiles.clone(),
        channel_mean: moments.iter().map(|(mean, _)| *mean as f32).collect(),
        channel_std: moments.iter().map(|(_, std)| *std as f32).collect(),
        entities: learned.scaling.personal.names.clone(),
    }
}

fn sorted(values: &[f32]) -> Vec<f32> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    sorted
}

/// Linearly interpolated, of ascending values; 0 of none.
fn quantile(sorted: &[f32], q: f64) -> f32 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = q * last as f64;
    let low = at.floor() as usize;
    let high = (low + 1).min(last);
    sorted[low] + (sorted[high] - sorted[low]) * (at - low as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(reconstruction_error: Vec<f32>, kl: Vec<f32>) -> Outputs {
        Outputs { reconstruction_error, kl, ..Outputs::default() }
    }

    #[test]
    fn both_parts_weigh_the_same_whatever_their_units() {
        let small: Vec<f32> = (0..1_001).map(|v| v as f32 * 1e-4).collect();
        let large: Vec<f32> = (0..1_001).map(|v| v as f32 * 1e3).rev().collect();
        let calibration = calibrate(&outputs(small, large));
        // One rises as the other falls: standardised, they cancel.
        assert!(calibration.score_quantiles.iter().all(|score| score.abs() < 1e-3));
    }

    #[test]
    fn an_incident_in_the_calibration_data_does_not_stretch_the_scale() {
        let mut errors: Vec<f32> = (0..1_000).map(|v| v as f32 / 1_000.0).collect();
        let calm = calibrate(&outputs(errors.clone(), vec![]));
        errors[990..].fill(1e6);
        let incident = calibrate(&outputs(errors, vec![]));
        let ratio = incident.weights.reconstruction / calm.weights.reconstruction;
        assert!((0.9..1.1).contains(&ratio));
        assert_eq!(incident.weights.kl, 0.0);
    }

    #[test]
    fn quantiles_run_from_the_least_to_the_greatest_score() {
        let calibration = calibrate(&outputs(vec![3.0, 1.0, 2.0], vec![]));
        let quantiles = &calibration.score_quantiles;
        assert_eq!(quantiles.len(), QUANTILES);
        assert!(quantiles.is_sorted());
        assert!(quantiles[500].abs() < 1e-6);
        let constant = calibrate(&outputs(vec![2.0; 5], vec![]));
        assert!(constant.score_quantiles.iter().all(|score| *score == 0.0));
    }
}
