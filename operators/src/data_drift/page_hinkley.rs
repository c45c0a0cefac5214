//! The Page–Hinkley test for a rise of a sequence's mean.

/// A cumulative sum of how far values lie above their own running mean (Page, 1954; Hinkley, 1971).
#[derive(Debug, Clone, PartialEq)]
pub struct PageHinkley {
    /// How far above the mean a value must lie to count, in the values' unit.
    delta: f64,
    count: f64,
    mean: f64,
    sum: f64,
    least: f64,
}

impl PageHinkley {
    /// A test that has seen nothing.
    #[must_use]
    pub fn new(delta: f64) -> Self {
        Self { delta, count: 0.0, mean: 0.0, sum: 0.0, least: f64::INFINITY }
    }

    /// Takes up the next value; gives the statistic, to be held against a limit.
    pub fn update(&mut self, value: f64) -> f64 {
        self.count += 1.0;
        self.mean += (value - self.mean) / self.count;
        self.sum += value - self.mean - self.delta;
        self.least = self.least.min(self.sum);
        self.sum - self.least
    }

    /// Its state as numbers.
    pub(super) fn numbers(&self) -> [f64; 4] {
        [self.count, self.mean, self.sum, self.least]
    }

    /// A test with the state that [`PageHinkley::numbers`] gave.
    pub(super) fn with_numbers(delta: f64, [count, mean, sum, least]: [f64; 4]) -> Self {
        Self { delta, count, mean, sum, least }
    }
}
