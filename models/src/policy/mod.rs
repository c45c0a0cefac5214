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

    /// Another's steps too.
    pub fn merge(&mut self, other: &Self) {
        self.steps += other.steps;
        self.cost += other.cost;
        self.asked += other.asked;
        self.violations += other.violations;
        self.unserved += other.unserved;
        self.changes += other.changes;
    }

    /// Share of the steps with demand in which not all was served.
    #[must_use]
    pub fn violation_share(&self) -> f64 {
        self.violations as f64 / self.asked.max(1) as f64
    }
}

/// Plays problems to their ends.
pub fn play<P: Clone>(
    problems: &[P],
    mut step: impl FnMut(usize, &mut P) -> Option<Step>,
) -> Tally {
    let mut tally = Tally::default();
    for (at, problem) in problems.iter().enumerate() {
        let mut problem = problem.clone();
        while let Some(step) = step(at, &mut problem) {
            tally.add(&step);
        }
    }
    tally
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
