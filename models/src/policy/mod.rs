//! How many instances should a service have, and may a machine be stopped? Policies that decide it step by
//! step: rules that people use, and what Q-learning finds on recorded demand.
//!
//! - [`scaling`], [`standby`]: the two problems, as a learner sees them
//! - [`rule`]: what is in use: fixed sizes, thresholds, the autoscaler's formula, time-outs
//! - [`tabular`]: Q-learning with a table that can be read
//! - [`network`]: the same with a small network, as an ONNX file
//! - [`off_policy`]: what a policy would have cost, from another's log
//!
//! Everything is learned for two figures at once, cost and broken promises, and a *price* says how many
//! instance-steps one broken promise is worth. So one policy is a curve, and can be compared with a rule
//! where both break as many promises.

pub mod network;
pub mod off_policy;
pub mod rule;
pub mod scaling;
pub mod standby;
pub mod tabular;

/// What came of a step.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Step {
    /// Instance-steps paid for.
    pub cost: f64,
    /// Whether something was asked for.
    pub is_asked: bool,
    /// Whether some of it was not served.
    pub is_violation: bool,
    /// Share of it that was not served.
    pub unserved: f64,
    /// Whether the policy changed anything.
    pub is_change: bool,
}

impl Step {
    /// What it cost all in all, if a violation is worth so many instance-steps.
    #[must_use]
    pub fn priced(&self, price: f64) -> f64 {
        self.cost + price * f64::from(u8::from(self.is_violation))
    }
}

/// A decision that returns step after step, over a demand that no decision changes.
pub trait Problem: Clone {
    /// What may be done, in words.
    const ACTIONS: &'static [&'static str];
    /// Cells of the table: what distinguishes two situations for a table.
    const CELLS: usize;
    /// Numbers that distinguish two situations for a network.
    const FEATURES: usize;
    /// What a step ahead counts of one now.
    const DISCOUNT: f64;

    /// The situation's cell.
    fn cell(&self) -> usize;

    /// The situation's numbers, appended.
    fn features(&self, into: &mut Vec<f32>);

    /// Does something, and lets a step pass; `None` at the end.
    fn act(&mut self, action: usize) -> Option<Step>;

    /// A cell in words: a name and a value for each thing that it distinguishes.
    fn words(cell: usize) -> Vec<(&'static str, String)>;
}

/// What a policy did over many steps.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tally {
    /// Steps.
    pub steps: usize,
    /// Instance-steps paid for.
    pub cost: f64,
    /// Steps in which something was asked for.
    pub asked: usize,
    /// Of them, those in which not all was served.
    pub violations: usize,
    /// Sum over the steps of the share not served.
    pub unserved: f64,
    /// Steps in which the policy changed something.
    pub changes: usize,
}

impl Tally {
    /// One step more.
    pub fn add(&mut self, step: &Step) {
        self.steps += 1;
        self.cost += step.cost;
        self.asked += usize::from(step.is_asked);
        self.violations += usize::from(step.is_violation);
        self.unserved += step.unserved;
        self.changes += usize::from(step.is_change);
    }

    /// All steps of several.
    #[must_use]
    pub fn sum<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        all.into_iter().fold(Self::default(), |sum, one| Self {
            steps: sum.steps + one.steps,
            cost: sum.cost + one.cost,
            asked: sum.asked + one.asked,
            violations: sum.violations + one.violations,
            unserved: sum.unserved + one.unserved,
            changes: sum.changes + one.changes,
        })
    }

    /// Share of the steps with demand in which not all was served.
    #[must_use]
    pub fn violation_share(&self) -> f64 {
        self.violations as f64 / self.asked.max(1) as f64
    }
}

/// Plays problems to their ends, each with a player of its own: a tally for every block of so many steps, in
/// the order of problems and steps; a problem's last block may be shorter.
pub fn play<P: Clone, S: FnMut(&mut P) -> Option<Step>>(
    problems: &[P],
    block: usize,
    player: impl Fn() -> S,
) -> Vec<Tally> {
    let mut blocks = Vec::new();
    for problem in problems {
        let (mut problem, mut player) = (problem.clone(), player());
        let mut of_problem = Vec::new();
        while let Some(step) = player(&mut problem) {
            add(&mut of_problem, block, &step);
        }
        blocks.extend(of_problem);
    }
    blocks
}

/// Adds a step to the last block, or to a new one where the last is full.
fn add(blocks: &mut Vec<Tally>, block: usize, step: &Step) {
    match blocks.last_mut() {
        Some(last) if last.steps < block => last.add(step),
        _ => {
            let mut first = Tally::default();
            first.add(step);
            blocks.push(first);
        }
    }
}

/// The place of a value among edges: how many it is not below.
fn bucket(value: f64, edges: &[f64]) -> usize {
    edges.iter().filter(|edge| value >= **edge).count()
}

/// A bucket in words.
fn between(bucket: usize, edges: &[f64], unit: &str) -> String {
    match (bucket.checked_sub(1).map(|low| edges[low]), edges.get(bucket)) {
        (None, Some(high)) => format!("< {high}{unit}"),
        (Some(low), Some(high)) => format!("{low}{unit} to {high}{unit}"),
        (Some(low), None) => format!("≥ {low}{unit}"),
        (None, None) => "any".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_has_a_player_and_blocks_of_its_own() {
        let blocks = play(&[5_usize, 2], 2, || {
            let mut played = 0.0;
            move |left: &mut usize| {
                *left = left.checked_sub(1)?;
                played += 1.0;
                Some(Step {
                    cost: played,
                    is_asked: true,
                    is_violation: *left == 0,
                    ..Step::default()
                })
            }
        });
        let costs: Vec<f64> = blocks.iter().map(|block| block.cost).collect();
        assert_eq!(costs, [3.0, 7.0, 5.0, 3.0]);
        let sum = Tally::sum(&blocks);
        assert_eq!((sum.steps, sum.cost, sum.violations), (7, 18.0, 2));
        assert_eq!(sum.violation_share(), 2.0 / 7.0);
    }

    #[test]
    fn a_value_on_an_edge_lies_above_it() {
        let edges = [1.0, 2.0];
        assert_eq!([0.9, 1.0, 2.5].map(|value| bucket(value, &edges)), [0, 1, 2]);
        let words = [0, 1, 2].map(|bucket| between(bucket, &edges, " h"));
        assert_eq!(words, ["< 1 h", "1 h to 2 h", "≥ 2 h"]);
    }
}
