//! The isolation forest (Liu, Ting & Zhou 2008): what few random cuts set apart is strange.
//!
//! A baseline: it is learned and scored here, and has no ONNX file. As in the paper, each tree is grown on
//! a sample without replacement, cuts a random channel that still varies at a random value between its
//! extremes, and ends at depth ⌈log₂ sample⌉; a leaf of several points counts as deep as an average search
//! in a tree of them would go on. The score is `2^(−mean depth / c(sample))`, in `(0, 1)`.

use super::random::Random;
use crate::samples::Samples;

/// How a forest is grown; the defaults are the paper's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IsolationOptions {
    /// Trees.
    pub trees: usize,
    /// Vectors that each is grown on, at most.
    pub sample: usize,
    /// Seeds samples and cuts.
    pub seed: u64,
}

impl Default for IsolationOptions {
    fn default() -> Self {
        Self { trees: 100, sample: 256, seed: 1 }
    }
}

/// A fitted forest.
#[derive(Debug, Clone, PartialEq)]
pub struct IsolationForest {
    trees: Vec<Vec<Node>>,
    /// What depths are measured against.
    average: f64,
}

/// A node; its children stand behind it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Node {
    /// Below the cut on the left.
    Cut { channel: u32, at: f32, left: u32, right: u32 },
    /// Its depth, with what an average search would add.
    Leaf(f64),
}

/// The average depth of an unsuccessful search in a binary search tree of `n` keys.
fn average_depth(n: usize) -> f64 {
    const EULER: f64 = 0.577_215_664_901_532_9;
    match n {
        0 | 1 => 0.0,
        2 => 1.0,
        n => {
            let n = n as f64;
            2.0 * ((n - 1.0).ln() + EULER) - 2.0 * (n - 1.0) / n
        }
    }
}

impl IsolationForest {
    /// Grows a forest on vectors.
    #[must_use]
    pub fn fit(samples: &Samples, options: &IsolationOptions) -> Self {
        let sample = options.sample.min(samples.len());
        let depth = (sample.max(2) as f64).log2().ceil() as usize;
        let mut random = Random::new(options.seed);
        let trees = (0..options.trees).map(|_| {
            let mut rows = random.permutation(samples.len());
            rows.truncate(sample);
            let mut tree = Vec::new();
            grow(samples, &mut rows, 0, depth, &mut random, &mut tree);
            tree
        });
        Self { trees: trees.collect(), average: average_depth(sample).max(f64::MIN_POSITIVE) }
    }

    /// How strange a vector is.
    #[must_use]
    pub fn score(&self, vector: &[f32]) -> f32 {
        let depth = |tree: &[Node]| {
            let mut at = 0;
            loop {
                match tree[at] {
                    Node::Leaf(depth) => return depth,
                    Node::Cut { channel, at: cut, left, right } => {
                        let below = vector[channel as usize] < cut;
                        at = if below { left } else { right } as usize;
                    }
                }
            }
        };
        let sum: f64 = self.trees.iter().map(|tree| depth(tree)).sum();
        let mean = sum / self.trees.len().max(1) as f64;
        (-mean / self.average).exp2() as f32
    }
}

/// Appends the tree of some rows; gives its root.
fn grow(
    samples: &Samples,
    rows: &mut [usize],
    depth: usize,
    limit: usize,
    random: &mut Random,
    tree: &mut Vec<Node>,
) -> u32 {
    let root = tree.len() as u32;
    tree.push(Node::Leaf(depth as f64 + average_depth(rows.len())));
    if depth >= limit || rows.len() < 2 {
        return root;
    }
    let extent = |channel: usize| {
        let values = rows.iter().map(|row| samples.window(*row)[channel]);
        values.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
    };
    let varying: Vec<(usize, (f32, f32))> = (0..samples.width())
        .map(|channel| (channel, extent(channel)))
        .filter(|(_, (low, high))| low < high)
        .collect();
    if varying.is_empty() {
        return root;
    }
    let pick = (random.uniform() * varying.len() as f64) as usize;
    let (channel, (low, high)) = varying[pick.min(varying.len() - 1)];
    let cut = f64::from(low) + random.uniform() * (f64::from(high) - f64::from(low));
    // Neither side may be empty, also where the value rounds onto the least.
    let cut = (cut as f32).max(low.next_up());
    rows.sort_by(|a, b| {
        samples.window(*a)[channel].total_cmp(&samples.window(*b)[channel]).then(a.cmp(b))
    });
    let middle = rows.partition_point(|row| samples.window(*row)[channel] < cut);
    let (below, above) = rows.split_at_mut(middle);
    let left = grow(samples, below, depth + 1, limit, random, tree);
    let right = grow(samples, above, depth + 1, limit, random, tree);
    tree[root as usize] = Node::Cut { channel: channel as u32, at: cut, left, right };
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn average_depths_are_the_papers() {
        assert_eq!((average_depth(1), average_depth(2)), (0.0, 1.0));
        // c(256), as the paper's authors and scikit-learn have it.
        assert!((average_depth(256) - 10.244_770_920_116_851).abs() < 1e-9);
    }

    #[test]
    fn what_lies_apart_is_strangest_and_a_seed_means_the_same_forest() {
        let mut random = Random::new(7);
        let mut values = random.normal(4_000);
        values[..2].copy_from_slice(&[9.0, -9.0]);
        let samples = Samples::new(1, 2, values);
        let options = IsolationOptions::default();
        let forest = IsolationForest::fit(&samples, &options);
        let scores: Vec<f32> =
            (0..samples.len()).map(|at| forest.score(samples.window(at))).collect();
        assert!(scores[1..].iter().all(|score| *score < scores[0]));
        assert!(scores[0] > 0.7 && forest.score(&[0.0, 0.0]) < 0.5);
        assert_eq!(forest, IsolationForest::fit(&samples, &options));
        let constant = Samples::new(1, 2, vec![1.0; 20]);
        let flat = IsolationForest::fit(&constant, &options).score(&[1.0, 1.0]);
        assert!((flat - 0.5).abs() < 1e-6, "nothing to tell apart: {flat}");
    }
}
