//! A step up above a utilisation, a step down below another, and then a pause: step scaling.

use super::{Controller, Observation};

/// The rule, with how long it still pauses.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// Utilisation above which instances are added.
    pub up: f64,
    /// Utilisation below which instances are removed.
    pub down: f64,
    /// Share of those there are that is added or removed, at least one.
    pub step: f64,
    /// Steps after a decision in which nothing is removed.
    pub cool_down: usize,
    left: usize,
}

impl Threshold {
    /// The rule, not pausing.
    #[must_use]
    pub fn new(up: f64, down: f64, step: f64, cool_down: usize) -> Self {
        Self { up, down, step, cool_down, left: 0 }
    }
}

impl Controller for Threshold {
    /// Instances that are starting count as capacity: else one peak would be answered again and again.
    fn decide(&mut self, seen: &Observation) -> isize {
        let is_paused = self.left > 0;
        self.left = self.left.saturating_sub(1);
        let some = (self.step * seen.committed() as f64).ceil().max(1.0) as isize;
        let change = match seen.utilisation() {
            high if high > self.up => some,
            low if low < self.down && !is_paused => -some,
            _ => 0,
        };
        if change != 0 {
            self.left = self.cool_down;
        }
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_adds_at_once_and_removes_after_a_pause() {
        let mut rule = Threshold::new(0.8, 0.4, 0.0, 2);
        let seen = |demand| Observation { demand, expected: demand, running: 2, starting: 0 };
        let said = [1.7, 0.1, 0.1, 0.1, 1.0].map(|demand| rule.decide(&seen(demand)));
        assert_eq!(said, [1, 0, 0, -1, 0]);
    }

    #[test]
    fn a_step_is_a_share_of_those_there_are() {
        let mut rule = Threshold::new(0.8, 0.4, 0.5, 0);
        let seen = Observation { demand: 5.0, expected: 5.0, running: 4, starting: 1 };
        assert_eq!(rule.decide(&seen), 3);
    }
}
