//! The largest standardised value of a window: the simplest detector that is worth beating.
//!
//! It has no reconstruction. So that it stands under the same interface, its
//! `reconstruction_error` is the maximum of |z| over the window, and each
//! channel's (step's) part is its own maximum's share of the sum of these
//! maxima: parts sum to the error, and rank as the maxima do.

use super::{ERROR_LIMIT, Outputs, scaling::Scaling};
use crate::samples::Samples;

/// Keeps the shares of a window without any deviation finite.
pub(crate) const TINY: f32 = 1e-12;

/// Its outputs on these samples.
#[must_use]
pub fn forward(scaling: &Scaling, samples: &Samples) -> Outputs {
    let mut outputs = Outputs::default();
    for at in 0..samples.len() {
        let z = scaling.of(samples, at).standardise(samples.window(at), ERROR_LIMIT);
        let mut by_channel = vec![0.0_f32; samples.channels];
        let mut by_step = vec![0.0_f32; samples.steps];
        for (at, value) in z.iter().enumerate() {
            let (step, channel) = (at / samples.channels, at % samples.channels);
            by_channel[channel] = by_channel[channel].max(value.abs());
            by_step[step] = by_step[step].max(value.abs());
        }
        let greatest = by_step.iter().copied().fold(0.0, f32::max);
        outputs.reconstruction_error.push(greatest);
        outputs.error_by_channel.extend(shares(&by_channel, greatest));
        outputs.error_by_step.extend(shares(&by_step, greatest));
    }
    outputs
}

fn shares(maxima: &[f32], whole: f32) -> impl Iterator<Item = f32> {
    let factor = whole / (maxima.iter().sum::<f32>() + TINY);
    maxima.iter().map(move |maximum| maximum * factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::scaling::Personal;

    #[test]
    fn parts_sum_to_the_whole_and_rank_by_size() {
        let (mean, std) = (vec![0.0, 1.0], vec![1.0, 2.0]);
        let scaling = Scaling { mean, std, personal: Personal::default() };
        let out = forward(&scaling, &Samples::new(2, 2, vec![0.5, 1.0, -1.0, 7.0]));
        assert_eq!(out.reconstruction_error, [3.0]);
        assert_eq!(out.error_by_channel, [3.0 / 4.0, 9.0 / 4.0]);
        assert!((out.error_by_step.iter().sum::<f32>() - 3.0).abs() < 1e-6);
        let calm = forward(&scaling, &Samples::new(2, 2, vec![0.0, 1.0, 0.0, 1.0]));
        assert_eq!(calm.error_by_channel, [0.0, 0.0]);
    }
}
