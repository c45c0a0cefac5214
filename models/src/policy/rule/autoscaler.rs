//! The formula of Kubernetes' HorizontalPodAutoscaler.
//!
//! From its documentation: wanted = ⌈current · utilisation / target⌉, nothing where the ratio is within
//! 10 % of 1, and on the way down the greatest number wanted within a window. Instances that are starting
//! count as current.

use std::collections::VecDeque;

use super::{Controller, Observation};

/// How far from 1 the ratio may be before anything is done: Kubernetes' default.
const TOLERANCE: f64 = 0.1;

/// The formula, with what it wanted lately.
#[derive(Debug, Clone, PartialEq)]
pub struct Autoscaler {
    /// Utilisation to be held.
    pub target: f64,
    /// Steps over which the greatest number wanted is kept.
    pub window: usize,
    wanted: VecDeque<usize>,
}

impl Autoscaler {
    /// The formula with no past.
    #[must_use]
    pub fn new(target: f64, window: usize) -> Self {
        Self { target, window, wanted: VecDeque::new() }
    }
}

impl Controller for Autoscaler {
    fn decide(&mut self, seen: &Observation) -> isize {
        let current = seen.committed();
        // current · (demand / current) / target, which also holds where nothing runs.
        let exact = seen.demand / self.target;
        let is_near = (exact - current as f64).abs() <= TOLERANCE * current as f64;
        let now = if is_near { current } else { exact.ceil() as usize };
        self.wanted.push_back(now);
        while self.wanted.len() > self.window.max(1) {
            self.wanted.pop_front();
        }
        let most = self.wanted.iter().copied().fold(now, usize::max);
        // Within the window nothing is removed that was wanted, and nothing added that no longer is.
        let next = if now > current { now } else { most.min(current) };
        next as isize - current as isize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_the_target_with_tolerance_and_is_slow_to_go_down() {
        let mut formula = Autoscaler::new(0.5, 2);
        let mut decide = |demand, running| {
            formula.decide(&Observation { demand, expected: demand, running, starting: 0 })
        };
        assert_eq!(decide(2.0, 2), 2);
        assert_eq!(decide(2.1, 4), 0, "within the tolerance");
        assert_eq!(decide(0.5, 4), 0, "four were wanted within the window");
        assert_eq!(decide(0.5, 4), -3);
    }
}
