//! Limits that stationary data exceed no more often than promised.

use super::page_hinkley::PageHinkley;
use super::statistic::{Seeded, moments};

/// Simulated references that [`Prediction`] averages over.
const REFERENCES: usize = 20_000;

/// How many standard deviations above the mean of a few draws the next draws all lie with a given
/// probability, for a normal law of which nothing else is known.
///
/// For one next draw this is the usual prediction interval by Student's `t`. For several in a row
/// it is not the product: a reference that happened to show little spread makes each of them
/// likely at once. So the probability is averaged over simulated references.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Prediction {
    deviations: f64,
}

/// Added before the logarithm: an effect of nothing at all is as good as this.
const TINY: f64 = 1e-6;

impl Prediction {
    /// For `draws` to judge by, and `patience` next ones that all exceed the bound with
    /// probability `tail`.
    pub(super) fn new(draws: usize, patience: u32, tail: f64, seed: u64) -> Self {
        let mut seeded = Seeded::new(seed ^ 0x5052);
        let mut values = vec![0.0; draws];
        let references: Vec<(f64, f64)> = (0..REFERENCES)
            .map(|_| {
                values.iter_mut().for_each(|value| *value = seeded.normal());
                sample_moments(&values)
            })
            .collect();
        let exceeded = |deviations: f64| -> f64 {
            let each = references.iter().map(|(mean, deviation)| {
                normal_tail(mean + deviations * deviation).powi(patience as i32)
            });
            each.sum::<f64>() / REFERENCES as f64
        };
        let (mut low, mut high) = (0.0, 100.0);
        for _ in 0..40 {
            let middle = 0.5 * (low + high);
            if exceeded(middle) > tail { low = middle } else { high = middle }
        }
        Self { deviations: high }
    }

    /// The bound for a positive statistic, from its draws on the reference.
    ///
    /// Their logarithms are taken as normal. For the statistics here, weighted sums of squares and
    /// absolute values, the logarithm's upper tail is shorter than normal: the bound errs on the
    /// side of silence.
    pub(super) fn bound(self, draws: &[f64]) -> f64 {
        let logs: Vec<f64> = draws.iter().map(|draw| (draw.max(0.0) + TINY).ln()).collect();
        let (mean, deviation) = sample_moments(&logs);
        (mean + self.deviations * deviation).exp()
    }
}

/// Mean and standard deviation of a sample (divided by `n − 1`).
fn sample_moments(values: &[f64]) -> (f64, f64) {
    let (mean, population) = moments(values.iter().copied());
    let count = values.len() as f64;
    (mean, population * (count / (count - 1.0).max(1.0)).sqrt())
}

/// The probability that a standard normal number exceeds `x`.
fn normal_tail(x: f64) -> f64 {
    if x < 0.0 {
        return 1.0 - normal_tail(-x);
    }
    let density = (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
    if x < 2.0 {
        // The power series of the distribution function.
        let (mut term, mut sum, mut n) = (x, x, 1.0);
        while term > 1e-17 {
            n += 2.0;
            term *= x * x / n;
            sum += term;
        }
        return 0.5 - density * sum;
    }
    // Mills' ratio as a continued fraction (Laplace).
    density / (1..=40).rev().fold(x, |rest, n| x + f64::from(n) / rest)
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
    let mut seeded = Seeded::new(seed ^ 0x5048);
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
        let (mean, deviation) = sample_moments(reference);
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
    fn normal_tails_are_those_of_the_tables() {
        for (x, want) in
            [(0.0, 0.5), (1.0, 0.158_655_253_9), (2.0, 0.022_750_131_9), (4.0, 3.167_124e-5)]
        {
            assert!((normal_tail(x) / want - 1.0).abs() < 1e-6, "{x}: {}", normal_tail(x));
            assert!((normal_tail(-x) - (1.0 - want)).abs() < 1e-9);
        }
    }

    #[test]
    fn one_next_draw_is_bounded_by_students_t() {
        for (draws, tail, t) in [(10, 0.025, 2.262), (14, 0.001, 3.852), (5, 0.005, 4.604)] {
            let found = Prediction::new(draws, 1, tail, 1).deviations;
            let want = t * (1.0 + 1.0 / draws as f64).sqrt();
            assert!((found / want - 1.0).abs() < 0.02, "{draws} {tail}: {found}, {want}");
        }
    }
}
