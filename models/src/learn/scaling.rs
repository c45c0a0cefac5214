//! Raw values to standardised ones, channel by channel.

use crate::samples::Samples;

/// Standardised values are clamped to this on their way into a model (±): one broken sensor must
/// not drown the others in the latent, nor one outlier the gradients.
pub const INPUT_LIMIT: f32 = 10.0;

/// A channel's standard deviation is at least this share of its mean's magnitude: `f32` noise on a
/// constant 500 is no signal.
const STD_SHARE_MIN: f64 = 1e-5;

/// Mean and standard deviation of each channel, of the training windows.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    /// `[channels]`
    pub mean: Vec<f32>,
    /// `[channels]`, positive. 1 for a channel that never moved in training: how much a move of it
    /// means is unknown, so it counts in its own unit rather than as infinitely strange.
    pub std: Vec<f32>,
}

impl Scaling {
    /// The scaling of these samples.
    #[must_use]
    pub fn fit(samples: &Samples) -> Self {
        let moments = moments(samples);
        Self {
            mean: moments.iter().map(|(mean, _)| *mean as f32).collect(),
            std: moments
                .iter()
                .map(
                    |(mean, std)| if *std > mean.abs() * STD_SHARE_MIN { *std as f32 } else { 1.0 },
                )
                .map(|std| if std > f32::MIN_POSITIVE { std } else { 1.0 })
                .collect(),
        }
    }

    /// What the graph multiplies by.
    #[must_use]
    pub fn inverse_std(&self) -> Vec<f32> {
        self.std.iter().map(|std| 1.0 / std).collect()
    }

    /// Standardises whole steps, clamped to ±`limit`, exactly as the graph does.
    #[must_use]
    pub fn standardise(&self, values: &[f32], limit: f32) -> Vec<f32> {
        let inverse = self.inverse_std();
        let channels = self.mean.len();
        values
            .iter()
            .enumerate()
            .map(|(at, value)| {
                let channel = at % channels;
                ((value - self.mean[channel]) * inverse[channel]).clamp(-limit, limit)
            })
            .collect()
    }

    /// Back to the channels' own units.
    #[must_use]
    pub fn restore(&self, standardised: &[f32]) -> Vec<f32> {
        let channels = self.mean.len();
        standardised
            .iter()
            .enumerate()
            .map(|(at, value)| value * self.std[at % channels] + self.mean[at % channels])
            .collect()
    }
}

/// Mean and population standard deviation of each channel, over all steps of all windows.
#[must_use]
pub fn moments(samples: &Samples) -> Vec<(f64, f64)> {
    let channels = samples.channels;
    let steps = (samples.values.len() / channels.max(1)).max(1) as f64;
    let mut mean = vec![0.0; channels];
    for step in samples.values.chunks_exact(channels) {
        for (sum, value) in mean.iter_mut().zip(step) {
            *sum += f64::from(*value);
        }
    }
    mean.iter_mut().for_each(|sum| *sum /= steps);
    let mut square = vec![0.0; channels];
    for step in samples.values.chunks_exact(channels) {
        for ((sum, value), mean) in square.iter_mut().zip(step).zip(&mean) {
            *sum += (f64::from(*value) - mean).powi(2);
        }
    }
    mean.into_iter().zip(square.into_iter().map(|sum| (sum / steps).sqrt())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_channels_and_outliers_stay_finite() {
        let samples = Samples::new(
            2,
            3,
            vec![500.0, 1.0, 0.0, 500.0, 3.0, 0.0, 500.0, 1.0, 0.0, 500.0, 3.0, 0.0],
        );
        let scaling = Scaling::fit(&samples);
        assert_eq!(scaling.mean, [500.0, 2.0, 0.0]);
        assert_eq!(scaling.std, [1.0, 1.0, 1.0]);
        let out = scaling.standardise(&[502.0, 3.0, f32::MAX], INPUT_LIMIT);
        assert_eq!(out, [2.0, 1.0, INPUT_LIMIT]);
        assert_eq!(scaling.restore(&out[..2]), [502.0, 3.0]);
    }
}
