//! Limits that stationary data exceed no more often than promised.

use super::page_hinkley::PageHinkley;
use super::statistic::{Seeded, moments};

/// The upper prediction bound for one more draw of a positive statistic, from a few draws.
///
/// The logarithms of the draws are taken as normal, so the bound on the next is
/// `mean + t · sd · √(1 + 1/n)`, with Student's `t` for `n − 1` degrees of freedom (the usual
/// prediction interval). For the statistics here, weighted sums of squares and absolute values,
/// the logarithm's upper tail is shorter than normal: the bound errs on the side of silence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    /// The bound.
    pub limit: f64,
}

/// Added before the logarithm: an effect of nothing at all is as good as this.
const TINY: f64 = 1e-6;

impl Bound {
    /// The bound that the next draw exceeds with probability `tail`.
    #[must_use]
    pub fn of(draws: &[f64], tail: f64) -> Self {
        let logs: Vec<f64> = draws.iter().map(|draw| (draw.max(0.0) + TINY).ln()).collect();
        let count = logs.len() as f64;
        let (mean, population) = moments(logs.iter().copied());
        let deviation = population * (count / (count - 1.0).max(1.0)).sqrt();
        let t = student_quantile(count - 1.0, tail);
        Self { limit: (mean + t * deviation * (1.0 + 1.0 / count).sqrt()).exp() }
    }
}

/// Where Student's distribution has `tail` (at most a half) above it.
///
/// With `x = √df · tan θ` its density is proportional to `cos^(df−1) θ`, which is integrated by
/// Simpson's rule and inverted by bisection.
fn student_quantile(df: f64, tail: f64) -> f64 {
    let half = std::f64::consts::FRAC_PI_2;
    let above = |theta: f64| {
        let steps = 512;
        let width = (half - theta) / f64::from(steps);
        let sum: f64 = (0..=steps)
            .map(|i| {
                let weight = match i {
                    0 => 1.0,
                    _ if i == steps => 1.0,
                    _ if i % 2 == 1 => 4.0,
                    _ => 2.0,
                };
                weight * (theta + f64::from(i) * width).cos().max(0.0).powf(df - 1.0)
            })
            .sum();
        sum * width / 3.0
    };
    let whole = 2.0 * above(0.0);
    let (mut low, mut high) = (0.0, half);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if above(middle) / whole > tail { low = middle } else { high = middle }
    }
    df.sqrt() * low.tan()
}

/// How far above its mean a standardised value must lie to count for Page–Hinkley: half of the
/// least lasting rise that matters, one standard deviation.
pub(super) const DELTA: f64 = 0.5;

/// Standardised values are cut off here: one wild period is not a drift.
pub(super) const CLIP: f64 = 4.0;

/// Sequences simulated.
const SEQUENCES: usize = 400;

/// The Page–Hinkley limit for standardised values, of which the first `reference` gave mean and
/// standard deviation, that is passed with probability `rate` a period where nothing changes.
///
/// Found by simulating normal sequences, so that the reference's own error is in it.
pub(super) fn page_hinkley_limit(reference: usize, rate: f64, seed: u64) -> f64 {
    // Long enough for the later periods to dominate, short enough for one alarm at most.
    let horizon = (0.25 / rate).clamp(50.0, 1000.0) as usize;
    let mut seeded = Seeded(seed ^ 0x5048);
    let mut most: Vec<f64> = (0..SEQUENCES)
        .map(|_| {
            let values: Vec<f64> = (0..reference + horizon).map(|_| seeded.normal()).collect();
            let scale = Scale::of(&values[..reference]);
            let mut test = PageHinkley::new(DELTA);
            let warm = values[..reference].iter().fold(0.0, |_, v| test.update(scale.apply(*v)));
            values[reference..].iter().fold(warm, |most, v| most.max(test.update(scale.apply(*v))))
        })
        .collect();
    most.sort_unstable_by(f64::total_cmp);
    let share = rate * horizon as f64;
    let simulated = share.clamp(0.1, 0.5);
    let at = ((1.0 - simulated) * (SEQUENCES - 1) as f64) as usize;
    // Beyond what was simulated the tail falls as exp(−2 δ h) (Siegmund, 1985).
    most[at] + (simulated / share).ln().max(0.0) / (2.0 * DELTA)
}

/// Standardises a sequence by its reference part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    mean: f64,
    deviation: f64,
}

impl Scale {
    pub(super) fn of(reference: &[f64]) -> Self {
        let (mean, population) = moments(reference.iter().copied());
        let count = reference.len() as f64;
        let deviation = population * (count / (count - 1.0).max(1.0)).sqrt();
        // A sequence that never moved is measured against a thousandth of its size.
        Self { mean, deviation: deviation.max(1e-3 * mean.abs()).max(1e-12) }
    }

    pub(super) fn apply(self, value: f64) -> f64 {
        ((value - self.mean) / self.deviation).clamp(-CLIP, CLIP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn student_quantiles_are_those_of_the_tables() {
        for (df, tail, want) in
            [(9.0, 0.025, 2.262), (13.0, 0.001, 3.852), (4.0, 0.005, 4.604), (30.0, 0.05, 1.697)]
        {
            let found = student_quantile(df, tail);
            assert!((found - want).abs() < 1e-3, "{df} {tail}: {found}, {want}");
        }
    }
}
