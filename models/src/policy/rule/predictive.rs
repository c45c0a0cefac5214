//! Headroom over what is asked now and what yesterday lets expect, whichever is more.

use super::{Controller, Observation};

/// The factor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Predictive {
    /// Instances for each one needed.
    pub headroom: f64,
}

impl Controller for Predictive {
    fn decide(&mut self, seen: &Observation) -> isize {
        let wanted = (seen.demand.max(seen.expected) * self.headroom).ceil();
        wanted as isize - seen.committed() as isize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_counts_where_it_is_more() {
        let mut rule = Predictive { headroom: 1.5 };
        let seen = Observation { demand: 2.0, expected: 4.0, running: 3, starting: 1 };
        assert_eq!(rule.decide(&seen), 2);
        assert_eq!(rule.decide(&Observation { expected: 1.0, ..seen }), -1);
    }
}
