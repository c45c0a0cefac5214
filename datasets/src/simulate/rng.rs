//! Draws of the simulators, from integer and IEEE basic operations only: a seed means the same data
//! on every machine, for ever.

use cloudops_operators::seeded::SplitMix64;

/// A stream of pseudo-random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Rng(SplitMix64);

impl Rng {
    /// The stream of one thing: its numbers do not depend on how many other things there are.
    pub(crate) fn of(seed: u64, path: &[u64]) -> Self {
        let mut numbers = SplitMix64::new(seed);
        for step in path {
            numbers = SplitMix64::new(numbers.bits() ^ step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        }
        numbers.bits();
        Self(numbers)
    }

    /// 64 random bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0.bits()
    }

    /// Uniform in `0..1`.
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0.uniform()
    }

    /// Uniform in `from..to`.
    pub(crate) fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.uniform()
    }

    /// Uniform in `0..count`; `count` must not be 0.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        // The bias is below count / 2^64.
        ((u128::from(self.next()) * count as u128) >> 64) as usize
    }

    /// True with this probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// Near normal, mean 0, standard deviation 1: the sum of twelve uniforms less 6, which needs
    /// no transcendental function; it never leaves ±6.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    /// One of the items; there must be one.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        let mut rng = Rng::of(1, &[2, 3]);
        let values: Vec<f64> = (0..100_000).map(|_| rng.normal()).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }
}
