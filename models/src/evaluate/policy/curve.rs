//! Settings chosen for a share of violations, and cost where violations are equal.

use super::candidates::Played;
use crate::policy::Tally;

/// Shares of violations that settings are chosen for.
pub const AIMS: [f64; 10] = [0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1];
/// Shares at which curves are compared.
pub const LEVELS: [f64; 4] = [0.005, super::LEVEL, 0.02, 0.05];

/// A controller with its settings, on some data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Share of the steps with demand in which not all was served.
    pub violations: f64,
    /// Cost, of a reference.
    pub cost: f64,
}

impl Point {
    /// Where a tally lies.
    #[must_use]
    pub fn of(tally: &Tally, reference: f64) -> Self {
        Self { violations: tally.violation_share(), cost: tally.cost / reference }
    }
}

/// The settings that cost least among those that keep the share where settings are chosen; where none
/// keeps it, those that come nearest.
#[must_use]
pub fn chosen(played: &[Played], aim: f64) -> usize {
    let keeps = |one: &Played| one.chosen_on.violation_share() <= aim;
    let order = |a: &&Played, b: &&Played| match (keeps(a), keeps(b)) {
        (true, true) => a.chosen_on.cost.total_cmp(&b.chosen_on.cost),
        (false, false) => a.chosen_on.violation_share().total_cmp(&b.chosen_on.violation_share()),
        (a, b) => b.cmp(&a),
    };
    let best = played.iter().enumerate().min_by(|(_, a), (_, b)| order(a, b));
    best.map_or(0, |(at, _)| at)
}

/// The cost where a share of violations is kept exactly, of points in the order of [`AIMS`]: from the strictest
/// on, the two settings between which the share is first exceeded, one played in so many of the steps and the
/// other in the rest. `None` where the strictest exceeds it; the cost of the last where none does.
///
/// No point is left out for what it cost, or violated, on the test part: that would be a choice made there.
#[must_use]
pub fn cost_at(points: &[Point], violations: f64) -> Option<f64> {
    let above = points.iter().position(|point| point.violations > violations);
    match above {
        Some(0) => None,
        None => points.last().map(|last| last.cost),
        Some(above) => {
            let (a, b) = (points[above - 1], points[above]);
            let share = (violations - a.violations) / (b.violations - a.violations);
            Some(a.cost + share * (b.cost - a.cost))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(violations: f64, cost: f64) -> Point {
        Point { violations, cost }
    }

    #[test]
    fn between_two_settings_lie_their_mixtures() {
        let points = [point(0.0, 3.0), point(0.02, 1.5), point(0.01, 1.4), point(0.04, 1.0)];
        assert_eq!(cost_at(&points, 0.0), Some(3.0));
        assert_eq!(cost_at(&points, 0.01), Some(2.25));
        assert_eq!(cost_at(&points, 0.5), Some(1.0));
        assert_eq!((cost_at(&points[1..], 0.01), cost_at(&[], 0.01)), (None, None));
    }

    #[test]
    fn settings_are_chosen_by_cost_among_those_that_keep_the_share() {
        let tally = |cost, violations| Tally {
            steps: 100,
            asked: 100,
            cost,
            violations,
            ..Tally::default()
        };
        let played = |cost, violations| Played {
            settings: String::new(),
            chosen_on: tally(cost, violations),
            // The test part is nothing to choose by.
            tested: vec![tally(0.0, 0)],
        };
        let all = [played(9.0, 1), played(5.0, 2), played(1.0, 30), played(6.0, 0)];
        assert_eq!((chosen(&all, 0.01), chosen(&all, 0.02), chosen(&all, 0.5)), (3, 1, 2));
        assert_eq!(chosen(&all[..3], 0.001), 0);
    }
}
