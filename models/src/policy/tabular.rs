//! Q-learning with a table (Watkins & Dayan 1992, [doi:10.1007/BF00992698](https://doi.org/10.1007/BF00992698)).
//!
//! Where it differs: cost and violations have a table each, and the price only decides what is greedy; so
//! the table says what to expect in both. Values are means a step (multiplied by 1 − discount). The rate
//! falls with the visits of a cell's action, to the power of 0.6 (Even-Dar & Mansour 2003).

use super::{Problem, Step};
use crate::learn::random::Random;

/// How a table is learned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TabularTraining {
    /// Instance-steps that one violation is worth.
    pub price: f64,
    /// How often every problem is played.
    pub passes: usize,
    /// Seeds what is tried, and the order of the problems.
    pub seed: u64,
}

/// A share of the decisions that are drawn at first; it falls to [`EXPLORED_LAST`] along a line.
const EXPLORED_FIRST: f64 = 1.0;
const EXPLORED_LAST: f64 = 0.1;
/// How fast what was learned before is forgotten.
const RATE_POWER: f64 = 0.6;
const RATE_MIN: f64 = 0.01;
/// Times that an action must have been tried in a cell to be taken there.
const TRIED_MIN: u32 = 10;

/// What is expected of an action in a cell.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Expected {
    /// Cost a step.
    pub cost: f64,
    /// Violations a step.
    pub violations: f64,
    /// How often it was tried.
    pub tried: u32,
}

/// A learned policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// What a violation is worth.
    pub price: f64,
    actions: usize,
    /// `[cells, actions]`
    expected: Vec<Expected>,
    /// The action of each cell; of one never seen, that which is best over all.
    best: Vec<usize>,
}

impl Table {
    /// Learns a policy by playing problems over and over.
    #[must_use]
    pub fn learn<P: Problem>(problems: &[P], training: &TabularTraining) -> Self {
        let actions = P::ACTIONS.len();
        let expected = vec![Expected::default(); P::CELLS * actions];
        let mut table = Self { price: training.price, actions, expected, best: vec![] };
        let mut random = Random::new(training.seed);
        for pass in 0..training.passes {
            let done = pass as f64 / training.passes as f64;
            let explored = EXPLORED_FIRST + (EXPLORED_LAST - EXPLORED_FIRST) * done;
            // In another order each time: else the last would be remembered best.
            for at in random.permutation(problems.len()) {
                table.pass(problems[at].clone(), explored, &mut random);
            }
        }
        table.decide();
        table
    }

    fn pass<P: Problem>(&mut self, mut problem: P, explored: f64, random: &mut Random) {
        let mut cell = problem.cell();
        loop {
            let action = if random.uniform() < explored {
                (random.uniform() * self.actions as f64) as usize
            } else {
                self.greedy(cell)
            };
            let Some(step) = problem.act(action) else { return };
            let next = problem.cell();
            self.update((cell, action), &step, next, P::DISCOUNT);
            cell = next;
        }
    }

    /// What was tried least counts as free, so that all is tried.
    fn greedy(&self, cell: usize) -> usize {
        let all = &self.expected[cell * self.actions..][..self.actions];
        least(all.iter().map(|of| of.cost + self.price * of.violations))
    }

    fn update(&mut self, (cell, action): (usize, usize), step: &Step, next: usize, discount: f64) {
        let ahead = self.expected[next * self.actions + self.greedy(next)];
        let of = &mut self.expected[cell * self.actions + action];
        of.tried = of.tried.saturating_add(1);
        let rate = f64::from(of.tried).powf(-RATE_POWER).max(RATE_MIN);
        let violation = f64::from(u8::from(step.is_violation));
        let target = |now: f64, ahead: f64| (1.0 - discount) * now + discount * ahead;
        of.cost += rate * (target(step.cost, ahead.cost) - of.cost);
        of.violations += rate * (target(violation, ahead.violations) - of.violations);
    }

    /// Fixes the action of every cell.
    fn decide(&mut self) {
        let priced = |of: &Expected| of.cost + self.price * of.violations;
        let over_all = least((0..self.actions).map(|action| {
            let of_action = self.expected.iter().skip(action).step_by(self.actions);
            let (sum, tried) = of_action.fold((0.0, 0.0), |(sum, tried), of| {
                (sum + f64::from(of.tried) * priced(of), tried + f64::from(of.tried))
            });
            if tried > 0.0 { sum / tried } else { f64::INFINITY }
        }));
        self.best = self
            .expected
            .chunks(self.actions)
            .map(|of_cell| {
                let is_known = |of: &&Expected| of.tried >= TRIED_MIN;
                if !of_cell.iter().any(|of| is_known(&of)) {
                    return over_all;
                }
                least(
                    of_cell.iter().map(|of| if is_known(&of) { priced(of) } else { f64::INFINITY }),
                )
            })
            .collect();
    }

    /// What to do in a cell.
    #[must_use]
    pub fn action(&self, cell: usize) -> usize {
        self.best[cell]
    }

    /// What was learned of a cell's action.
    #[must_use]
    pub fn expected(&self, cell: usize, action: usize) -> Expected {
        self.expected[cell * self.actions + action]
    }

    /// How often a cell was seen.
    #[must_use]
    pub fn seen(&self, cell: usize) -> u64 {
        let of_cell = &self.expected[cell * self.actions..][..self.actions];
        of_cell.iter().map(|of| u64::from(of.tried)).sum()
    }
}

/// The place of the least value, the first of equals.
pub(super) fn least(values: impl Iterator<Item = f64>) -> usize {
    let lower = |best: (usize, f64), one: (usize, f64)| if one.1 < best.1 { one } else { best };
    values.enumerate().fold((0, f64::INFINITY), lower).0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two cells. In the first, action 0 costs 1 and stays; action 1 costs 3 once and leads to the second,
    /// where everything is free. Action 2 is free, but breaks a promise.
    #[derive(Clone)]
    struct Door {
        is_out: bool,
        left: usize,
    }

    impl Problem for Door {
        const ACTIONS: &'static [&'static str] = &["stay", "leave", "cheat"];
        const CELLS: usize = 3;
        const FEATURES: usize = 1;
        const DISCOUNT: f64 = 0.8;

        fn cell(&self) -> usize {
            usize::from(self.is_out)
        }

        fn features(&self, into: &mut Vec<f32>) {
            into.push(f32::from(u8::from(self.is_out)));
        }

        fn act(&mut self, action: usize) -> Option<Step> {
            self.left = self.left.checked_sub(1)?;
            let cost = [1.0, 3.0, 0.0][action] * f64::from(u8::from(!self.is_out));
            let is_violation = action == 2 && !self.is_out;
            self.is_out |= action == 1;
            Some(Step { cost, is_violation, ..Step::default() })
        }

        fn words(cell: usize) -> Vec<(&'static str, String)> {
            vec![("place", cell.to_string())]
        }
    }

    fn learn(price: f64) -> Table {
        let training = TabularTraining { price, passes: 400, seed: 1 };
        Table::learn(&[Door { is_out: false, left: 40 }], &training)
    }

    #[test]
    fn it_finds_the_values_that_can_be_worked_out() {
        let table = learn(10.0);
        // Leaving costs (1 − 0.8) · 3 once; staying for ever costs 1 a step.
        assert_eq!((table.action(0), table.price), (1, 10.0));
        assert!((table.expected(0, 1).cost - 0.6).abs() < 0.02, "{:?}", table.expected(0, 1));
        // Staying once, then leaving: 0.2 + 0.8 · 0.6.
        assert!((table.expected(0, 0).cost - 0.68).abs() < 0.05, "{:?}", table.expected(0, 0));
        assert!((table.expected(0, 2).violations - 0.2).abs() < 0.05);
    }

    #[test]
    fn a_low_price_breaks_promises() {
        assert_eq!(learn(0.1).action(0), 2);
    }

    #[test]
    fn a_cell_never_seen_does_what_is_best_over_all_and_seeds_decide() {
        let table = learn(10.0);
        assert_eq!(table.seen(2), 0);
        assert!(table.action(2) < 3 && table.seen(0) > 0);
        assert_eq!(table, learn(10.0));
    }
}
