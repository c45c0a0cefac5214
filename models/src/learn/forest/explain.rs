//! What each feature did to a row's score, exactly: path-dependent TreeSHAP.
//!
//! Lundberg, Erion, Chen et al. 2020, *From local explanations to global understanding with explainable AI
//! for trees*, [doi:10.1038/s42256-019-0138-9](https://doi.org/10.1038/s42256-019-0138-9), algorithm 2. The
//! value of a set of features is what the trees say where the others are not known: at a split by one of
//! them a row goes both ways, in proportion to the rows the node was learned from ([`super::Node::cover`]).
//! The Shapley values of that game, over all orders of features, add up to the score less the base, and
//! are found in `O(leaves · depth²)` a tree instead of `O(2^features)`.

use super::{Forest, Node, Tree, next};

/// A row's score, divided among the features.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribution {
    /// The mean score of the rows learned from, as the trees weigh them.
    pub base: f64,
    /// What each feature adds to it, in order: `base + Σ values = score` up to rounding of `f64`.
    pub values: Vec<f64>,
}

impl Attribution {
    /// `base + Σ values`: the score before it is rounded to `f32`.
    #[must_use]
    pub fn score(&self) -> f64 {
        self.base + self.values.iter().sum::<f64>()
    }

    /// Places of the features by how much they did, the greatest first.
    #[must_use]
    pub fn ranking(&self) -> Vec<usize> {
        let sizes: Vec<f64> = self.values.iter().map(|value| value.abs()).collect();
        crate::evaluate::metrics::rank_descending(&sizes)
    }
}

impl Forest {
    /// Divides a row's score among the features.
    ///
    /// # Panics
    /// When the row has fewer values than there are features.
    #[must_use]
    pub fn attribute(&self, row: &[f32]) -> Attribution {
        let mut all = Attribution { base: 0.0, values: vec![0.0; self.features.len()] };
        for tree in self.trees() {
            let mut walk = Walk { tree, row, values: &mut all.values };
            walk.node(0, Vec::new(), Branch { zero: 1.0, one: 1.0, feature: None });
            all.base += mean(tree, 0);
        }
        let trees = self.trees().len() as f64;
        all.base /= trees;
        all.values.iter_mut().for_each(|value| *value /= trees);
        all
    }
}

/// The mean share of a node's leaves, weighed by their rows.
fn mean(tree: &Tree, at: usize) -> f64 {
    match tree.nodes()[at] {
        Node::Leaf { share, .. } => f64::from(share),
        Node::Split { below, above, .. } => {
            let (low, high) = shares(tree, below, above);
            low * mean(tree, below) + high * mean(tree, above)
        }
    }
}

/// The shares of a node's rows that went to its children.
fn shares(tree: &Tree, below: usize, above: usize) -> (f64, f64) {
    let (low, high) = (tree.nodes()[below].cover(), tree.nodes()[above].cover());
    let sum = f64::from(low) + f64::from(high);
    (f64::from(low) / sum, f64::from(high) / sum)
}

/// The way into a node.
#[derive(Debug, Clone, Copy)]
struct Branch {
    /// Share of the rows that go this way where the feature is not known.
    zero: f64,
    /// Share of this row that goes this way where it is: 0 or 1.
    one: f64,
    /// By which feature; `None` into the root.
    feature: Option<usize>,
}

/// A feature on the way, and the weight of the sets of so many features as it stands at that place.
#[derive(Debug, Clone, Copy)]
struct Step {
    branch: Branch,
    weight: f64,
}

struct Walk<'a> {
    tree: &'a Tree,
    row: &'a [f32],
    values: &'a mut [f64],
}

impl Walk<'_> {
    fn node(&mut self, at: usize, mut path: Vec<Step>, branch: Branch) {
        extend(&mut path, branch);
        match self.tree.nodes()[at] {
            Node::Leaf { share, .. } => {
                for place in 1..path.len() {
                    let Branch { zero, one, feature } = path[place].branch;
                    let Some(feature) = feature else { continue };
                    let weight = unwound_sum(&path, place);
                    self.values[feature] += weight * (one - zero) * f64::from(share);
                }
            }
            Node::Split { feature, below, above, .. } => {
                let mut so_far = Branch { zero: 1.0, one: 1.0, feature: Some(feature) };
                // A feature that was met before counts once, with what is left of it.
                let before = path.iter().position(|step| step.branch.feature == Some(feature));
                if let Some(before) = before {
                    so_far = path[before].branch;
                    unwind(&mut path, before);
                }
                let hot = next(&self.tree.nodes()[at], self.row);
                let (low, high) = shares(self.tree, below, above);
                for (child, share) in [(below, low), (above, high)] {
                    let one = if hot == Some(child) { so_far.one } else { 0.0 };
                    let branch = Branch { zero: so_far.zero * share, one, feature: Some(feature) };
                    self.node(child, path.clone(), branch);
                }
            }
        }
    }
}

/// Adds a feature: every set of so many features grows by it, or does not.
fn extend(path: &mut Vec<Step>, branch: Branch) {
    let depth = path.len();
    path.push(Step { branch, weight: if depth == 0 { 1.0 } else { 0.0 } });
    let of = (depth + 1) as f64;
    for at in (0..depth).rev() {
        let weight = path[at].weight;
        path[at + 1].weight += branch.one * weight * (at + 1) as f64 / of;
        path[at].weight = branch.zero * weight * (depth - at) as f64 / of;
    }
}

/// Takes a feature away again, as if it had never been added.
fn unwind(path: &mut Vec<Step>, place: usize) {
    let depth = path.len() - 1;
    let Branch { zero, one, .. } = path[place].branch;
    let of = (depth + 1) as f64;
    let mut following = path[depth].weight;
    for at in (0..depth).rev() {
        let weight = path[at].weight;
        if one > 0.0 {
            path[at].weight = following * of / ((at + 1) as f64 * one);
            following = weight - path[at].weight * zero * (depth - at) as f64 / of;
        } else {
            path[at].weight = weight * of / (zero * (depth - at) as f64);
        }
    }
    for at in place..depth {
        path[at].branch = path[at + 1].branch;
    }
    path.truncate(depth);
}

/// The sum of the weights after [`unwind`], which is all that a leaf needs.
fn unwound_sum(path: &[Step], place: usize) -> f64 {
    let depth = path.len() - 1;
    let Branch { zero, one, .. } = path[place].branch;
    let of = (depth + 1) as f64;
    let (mut following, mut sum) = (path[depth].weight, 0.0);
    for at in (0..depth).rev() {
        let weight = if one > 0.0 {
            let weight = following * of / ((at + 1) as f64 * one);
            following = path[at].weight - weight * zero * (depth - at) as f64 / of;
            weight
        } else {
            path[at].weight * of / (zero * (depth - at) as f64)
        };
        sum += weight;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::forest::{ForestConfig, Table, fit};
    use crate::learn::random::Random;

    /// What the trees say where only some features are known: the game itself.
    fn value(tree: &Tree, at: usize, row: &[f32], known: u32) -> f64 {
        match tree.nodes()[at] {
            Node::Leaf { share, .. } => f64::from(share),
            Node::Split { feature, .. } if known >> feature & 1 == 1 => {
                value(tree, next(&tree.nodes()[at], row).unwrap(), row, known)
            }
            Node::Split { below, above, .. } => {
                let (low, high) = shares(tree, below, above);
                low * value(tree, below, row, known) + high * value(tree, above, row, known)
            }
        }
    }

    /// Shapley's formula over all sets of the other features.
    fn by_definition(forest: &Forest, row: &[f32]) -> Attribution {
        let count = forest.features.len();
        let trees = forest.trees().len() as f64;
        let game = |known: u32| -> f64 {
            forest.trees().iter().map(|tree| value(tree, 0, row, known)).sum::<f64>() / trees
        };
        let factorial = |n: usize| (1..=n).map(|i| i as f64).product::<f64>();
        let values = (0..count).map(|feature| {
            let without = (0_u32..1 << count).filter(|set| set >> feature & 1 == 0);
            let parts = without.map(|set| {
                let size = set.count_ones() as usize;
                let weight = factorial(size) * factorial(count - size - 1) / factorial(count);
                weight * (game(set | 1 << feature) - game(set))
            });
            parts.sum()
        });
        Attribution { base: game(0), values: values.collect() }
    }

    #[test]
    fn values_are_those_of_the_definition_and_add_up_to_the_score() {
        for seed in 0..12 {
            let mut random = Random::new(seed);
            let features = 2 + seed as usize % 6;
            let rows = 120;
            let mut draw = |_: usize| match random.uniform() {
                missing if missing < 0.05 => f32::NAN,
                // Few values, so that features come again and again on the way to a leaf.
                value => (value * 9.0).floor() as f32,
            };
            let values: Vec<f32> = (0..rows * features).map(&mut draw).collect();
            let names = (0..features).map(|feature| format!("f{feature}")).collect();
            let table = Table::new(names, values).unwrap();
            let labels: Vec<bool> = (0..rows)
                .map(|row| {
                    let row = table.row(row);
                    row[0] * row[1] > 12.0 || random.uniform() < 0.15
                })
                .collect();
            let config = ForestConfig { trees: 7, leaf_min: 1, seed, ..ForestConfig::default() };
            let forest = fit(&config, &table, &labels, None).unwrap().forest;
            for row in 0..10 {
                let row = table.row(row);
                let (found, expected) = (forest.attribute(row), by_definition(&forest, row));
                let score = f64::from(forest.score(row));
                assert!((found.score() - score).abs() < 1e-6, "{} {score}", found.score());
                assert!((found.base - expected.base).abs() < 1e-12);
                for (a, b) in found.values.iter().zip(&expected.values) {
                    assert!((a - b).abs() < 1e-10, "seed {seed}: {found:?} {expected:?}");
                }
                let exact: f64 =
                    forest.trees().iter().map(|tree| value(tree, 0, row, u32::MAX)).sum();
                assert!((found.score() - exact / 7.0).abs() < 1e-12);
            }
        }
    }
}
