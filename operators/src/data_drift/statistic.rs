//! Effect sizes between two samples.

use crate::seeded::SplitMix64;

/// The population stability index of two samples over bins between `edges` (ascending): bin `i`
/// holds the values above edge `i - 1`, up to and including edge `i`.
///
/// Each bin counts half a value more than it holds, so that an empty one stays finite.
#[must_use]
pub fn population_stability_index(reference: &[f32], current: &[f32], edges: &[f64]) -> f64 {
    let shares = |values: &[f32]| -> Vec<f64> {
        let mut counts = vec![0.5; edges.len() + 1];
        for value in values {
            counts[edges.partition_point(|edge| *edge < f64::from(*value))] += 1.0;
        }
        let total = values.len() as f64 + 0.5 * counts.len() as f64;
        counts.iter().map(|count| count / total).collect()
    };
    let (p, q) = (shares(reference), shares(current));
    p.iter().zip(&q).map(|(p, q)| (q - p) * (q / p).ln()).sum()
}

/// The distinct deciles of ascending values, linearly interpolated.
pub(super) fn deciles(sorted: &[f32]) -> Vec<f64> {
    let Some(last) = sorted.len().checked_sub(1) else { return Vec::new() };
    let mut edges: Vec<f64> = (1..10)
        .map(|tenth| {
            let at = last as f64 * f64::from(tenth) / 10.0;
            let low = at.floor() as usize;
            let (a, b) = (f64::from(sorted[low]), f64::from(sorted[(low + 1).min(last)]));
            a + (b - a) * (at - low as f64)
        })
        .collect();
    edges.dedup();
    edges
}

/// The Wasserstein-1 distance of two empirical distributions, in the values' unit; both ascending
/// and not empty.
#[must_use]
pub fn wasserstein(a: &[f32], b: &[f32]) -> f64 {
    let (mut i, mut j) = (0, 0);
    let mut distance = 0.0;
    let mut at = f64::from(a[0].min(b[0]));
    // The area between the two distribution functions, value by value.
    while i < a.len() || j < b.len() {
        let next = match (a.get(i), b.get(j)) {
            (Some(x), Some(y)) => x.min(*y),
            (Some(x), None) | (None, Some(x)) => *x,
            (None, None) => break,
        };
        let gap = (i as f64 / a.len() as f64 - j as f64 / b.len() as f64).abs();
        distance += gap * (f64::from(next) - at);
        at = f64::from(next);
        while i < a.len() && a[i] <= next {
            i += 1;
        }
        while j < b.len() && b[j] <= next {
            j += 1;
        }
    }
    distance
}

/// Mean and population standard deviation; two passes.
pub(super) fn moments(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.clone().count().max(1) as f64;
    let mean = values.clone().sum::<f64>() / count;
    let square = values.map(|value| (value - mean) * (value - mean)).sum::<f64>() / count;
    (mean, square.sqrt())
}

/// Distributions over a seeded stream of numbers.
#[derive(Debug, Clone)]
pub(super) struct Seeded(SplitMix64);

impl Seeded {
    pub(super) fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    /// Uniform in `(0, 1)`.
    pub(super) fn uniform(&mut self) -> f64 {
        ((self.0.bits() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Standard normal (Box & Muller, 1958; the cosine half).
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// Random Fourier features (Rahimi & Recht, 2007) of the Gaussian kernel
/// `exp(−‖x − y‖² / (2 · dimensions))` on standardised vectors.
///
/// The squared distance of two samples' mean features estimates the squared maximum mean
/// discrepancy (Gretton et al., 2012; the biased form).
#[derive(Debug, Clone, PartialEq)]
pub struct Fourier {
    dimensions: usize,
    frequencies: Vec<f64>,
}

impl Fourier {
    /// `count` random frequencies for vectors of `dimensions`.
    #[must_use]
    pub fn new(dimensions: usize, count: usize, seed: u64) -> Self {
        let mut seeded = Seeded::new(seed);
        let scale = 1.0 / (dimensions.max(1) as f64).sqrt();
        let frequencies = (0..dimensions * count).map(|_| seeded.normal() * scale).collect();
        Self { dimensions, frequencies }
    }

    /// The mean features of standardised vectors, row-major: a cosine and a sine a frequency.
    #[must_use]
    pub fn embed(&self, vectors: &[f64]) -> Vec<f64> {
        let rows = vectors.len() / self.dimensions.max(1);
        let mut mean = vec![0.0; 2 * self.frequencies.len() / self.dimensions.max(1)];
        for vector in vectors.chunks_exact(self.dimensions) {
            for (at, frequency) in self.frequencies.chunks_exact(self.dimensions).enumerate() {
                let angle: f64 = frequency.iter().zip(vector).map(|(w, x)| w * x).sum();
                mean[2 * at] += angle.cos();
                mean[2 * at + 1] += angle.sin();
            }
        }
        mean.iter_mut().for_each(|value| *value /= rows.max(1) as f64);
        mean
    }

    /// The squared maximum mean discrepancy of two samples from their mean features.
    #[must_use]
    pub fn discrepancy(a: &[f64], b: &[f64]) -> f64 {
        let squares: f64 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
        squares / (a.len() / 2).max(1) as f64
    }
}
