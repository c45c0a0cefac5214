//! Growing the trees.

use std::collections::BTreeMap;
use std::num::NonZero;

use cloudops_operators::seeded::SplitMix64;
use serde::{Deserialize, Serialize};

use super::split::{Member, Split, Weights, best};
use super::{Forest, Node, SHARE_STEPS, TREES_MAX, Table, Tree};
use crate::learn::random::Random;
use crate::{Error, Result};

/// How a forest is grown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ForestConfig {
    /// Trees, from 1 to [`TREES_MAX`]. Default 500.
    pub trees: usize,
    /// The longest way from the root to a leaf, in splits. Default 12.
    pub depth_max: usize,
    /// Rows that a leaf has at least, each counted once however often it was drawn. Default 3.
    pub leaf_min: usize,
    /// Features looked at for a split; `None` for the square root of their number, rounded. If none of
    /// them parts the rows, the next ones are looked at.
    pub features_per_split: Option<usize>,
    /// Whether each tree gets its own sample of the rows, drawn with replacement. Default true.
    pub bootstrap: bool,
    /// How many times a positive row weighs a negative one. Default 1.
    pub positive_weight: f64,
    /// Seeds everything that is drawn. Default 1.
    pub seed: u64,
}

impl Default for ForestConfig {
    fn default() -> Self {
        Self {
            trees: 500,
            depth_max: 12,
            leaf_min: 3,
            features_per_split: None,
            bootstrap: true,
            positive_weight: 1.0,
            seed: 1,
        }
    }
}

/// A forest, and what it says of the rows it was learned from.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// The forest.
    pub forest: Forest,
    /// Of each row, the mean share over the trees that have not seen its group; `None` where all have.
    pub out_of_bag: Vec<Option<f64>>,
}

/// Grows a forest; the same configuration and rows give the same, on however many threads.
///
/// `groups` says of each row which rows are drawn with it; `None` draws row by row.
///
/// # Errors
/// [`Error::Configuration`] when a setting is out of its range, [`Error::Data`] when labels or
/// groups are not as many as rows, or one class is missing.
pub fn fit(
    config: &ForestConfig,
    table: &Table,
    labels: &[bool],
    groups: Option<&[u32]>,
) -> Result<Fitted> {
    config.validate()?;
    let rows = table.len();
    if labels.len() != rows || groups.is_some_and(|groups| groups.len() != rows) {
        return Err(Error::Data(format!(
            "forest: labels or groups are not as many as {rows} rows"
        )));
    }
    if !labels.contains(&true) || !labels.contains(&false) {
        return Err(Error::Data("forest: it takes rows of both classes".to_owned()));
    }
    let mut by_group: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for row in 0..rows {
        let group = groups.map_or(row as u32, |groups| groups[row]);
        by_group.entry(group).or_default().push(row);
    }
    let groups: Vec<Vec<usize>> = by_group.into_values().collect();
    let plan = Plan { config, table, labels, groups: &groups };
    let grown = plan.grow_all();
    let mut out_of_bag = vec![(0.0, 0_u32); rows];
    let mut trees = Vec::with_capacity(config.trees);
    for (tree, in_bag) in grown {
        for row in (0..rows).filter(|row| !in_bag[*row]) {
            let (sum, count) = &mut out_of_bag[row];
            *sum += f64::from(tree.share(table.row(row)));
            *count += 1;
        }
        trees.push(tree);
    }
    let out_of_bag = out_of_bag.into_iter();
    Ok(Fitted {
        forest: Forest::new(table.features.clone(), trees)?,
        out_of_bag: out_of_bag
            .map(|(sum, count)| (count > 0).then(|| sum / f64::from(count)))
            .collect(),
    })
}

impl ForestConfig {
    fn validate(&self) -> Result<()> {
        let refused = |what: &str| Err(Error::Configuration(format!("forest: {what}")));
        if !(1..=TREES_MAX).contains(&self.trees) {
            return refused(&format!("trees = {} must be from 1 to {TREES_MAX}", self.trees));
        }
        if self.depth_max == 0 || self.leaf_min == 0 || self.features_per_split == Some(0) {
            return refused("depth_max, leaf_min and features_per_split must be at least 1");
        }
        if !(self.positive_weight > 0.0 && self.positive_weight.is_finite()) {
            return refused("positive_weight must be above 0");
        }
        Ok(())
    }
}

/// What all trees share.
struct Plan<'a> {
    config: &'a ForestConfig,
    table: &'a Table,
    labels: &'a [bool],
    groups: &'a [Vec<usize>],
}

impl Plan<'_> {
    /// Every tree, with which rows it has seen; trees are dealt to threads and put back in order.
    fn grow_all(&self) -> Vec<(Tree, Vec<bool>)> {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let threads = threads.min(self.config.trees);
        let mut grown: Vec<(usize, (Tree, Vec<bool>))> = std::thread::scope(|scope| {
            let work = |first: usize| {
                let numbers = (first..self.config.trees).step_by(threads);
                scope.spawn(move || numbers.map(|n| (n, self.grow(n))).collect::<Vec<_>>())
            };
            let handles: Vec<_> = (0..threads).map(work).collect();
            let join = |handle: std::thread::ScopedJoinHandle<'_, Vec<_>>| {
                handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            handles.into_iter().flat_map(join).collect()
        });
        grown.sort_by_key(|(number, _)| *number);
        grown.into_iter().map(|(_, tree)| tree).collect()
    }

    fn grow(&self, number: usize) -> (Tree, Vec<bool>) {
        // Drawn and not counted: the generator counts too, and trees would share their draws, shifted.
        let of_tree = SplitMix64::new(self.config.seed ^ ((number as u64) << 32)).bits();
        let mut random = Random::new(of_tree);
        let mut drawn = vec![0_u32; self.table.len()];
        for group in 0..self.groups.len() {
            let group = match self.config.bootstrap {
                true => (random.uniform() * self.groups.len() as f64) as usize,
                false => group,
            };
            for row in &self.groups[group] {
                drawn[*row] += 1;
            }
        }
        let in_bag: Vec<bool> = drawn.iter().map(|times| *times > 0).collect();
        let members: Vec<Member> = (0..self.table.len())
            .filter(|row| in_bag[*row])
            .map(|row| {
                let is_positive = self.labels[row];
                let weight = if is_positive { self.config.positive_weight } else { 1.0 };
                Member { row, weight: weight * f64::from(drawn[row]), is_positive }
            })
            .collect();
        let mut growing = Growing { plan: self, random, nodes: Vec::new() };
        growing.node(members, 0);
        (Tree { nodes: growing.nodes }, in_bag)
    }
}

/// One tree.
struct Growing<'a> {
    plan: &'a Plan<'a>,
    random: Random,
    nodes: Vec<Node>,
}

impl Growing<'_> {
    /// Adds the node of these rows and all below it; returns its place.
    fn node(&mut self, members: Vec<Member>, depth: usize) -> usize {
        let mut weights = Weights::default();
        for member in &members {
            weights.add(member.is_positive, member.weight);
        }
        let cover = weights.sum() as f32;
        let place = self.nodes.len();
        let steps = f64::from(SHARE_STEPS);
        let share = (weights.positive / weights.sum() * steps).round() / steps;
        self.nodes.push(Node::Leaf { share: share as f32, cover });
        let is_last = depth >= self.plan.config.depth_max || weights.is_pure();
        let Some(split) = (if is_last { None } else { self.split(&members) }) else { return place };
        let Split { feature, threshold, missing_below, .. } = split;
        let goes_below = |member: &Member| {
            let value = self.plan.table.value(member.row, feature);
            if value.is_nan() { missing_below } else { value <= threshold }
        };
        let (low, high): (Vec<Member>, Vec<Member>) = members.into_iter().partition(goes_below);
        let below = self.node(low, depth + 1);
        let above = self.node(high, depth + 1);
        self.nodes[place] = Node::Split { feature, threshold, missing_below, below, above, cover };
        place
    }

    /// The best split by some features drawn, or by the next ones where these part nothing.
    fn split(&mut self, members: &[Member]) -> Option<Split> {
        let config = self.plan.config;
        let count = self.plan.table.features.len();
        let tried = config.features_per_split.unwrap_or((count as f64).sqrt().round() as usize);
        let mut order: Vec<usize> = (0..count).collect();
        if tried < count {
            for at in 0..count {
                let other = at + (self.random.uniform() * (count - at) as f64) as usize;
                order.swap(at, other);
            }
        }
        let mut found: Option<Split> = None;
        for (at, feature) in order.into_iter().enumerate() {
            if at >= tried && found.is_some() {
                break;
            }
            // A split that makes nothing purer is one too, as in CART: what is below it may.
            let least = found.map_or(0.0, |split| split.purity);
            found = best(self.plan.table, members, feature, config.leaf_min, least).or(found);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two features that matter together, one of noise, some unknown.
    fn sample(rows: usize, seed: u64) -> (Table, Vec<bool>) {
        let mut random = Random::new(seed);
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for _ in 0..rows {
            let row: Vec<f64> = (0..3).map(|_| random.uniform()).collect();
            labels.push((row[0] > 0.5) != (row[1] > 0.5) && random.uniform() > 0.1);
            values.extend(row.iter().map(|v| if *v < 0.1 { f32::NAN } else { *v as f32 }));
        }
        let names = ["a", "b", "noise"].map(str::to_owned).to_vec();
        (Table::new(names, values).unwrap(), labels)
    }

    fn small() -> ForestConfig {
        ForestConfig { trees: 60, ..ForestConfig::default() }
    }

    #[test]
    fn a_forest_learns_what_no_single_feature_says() {
        let (table, labels) = sample(600, 1);
        let fitted = fit(&small(), &table, &labels, None).unwrap();
        let (other, truth) = sample(400, 2);
        let right = |scores: &[f64], labels: &[bool]| {
            let right = scores.iter().zip(labels).filter(|(s, label)| (**s > 0.5) == **label);
            right.count() as f64 / labels.len() as f64
        };
        let scores: Vec<f64> = fitted.forest.scores(&other).into_iter().map(f64::from).collect();
        let held_out = right(&scores, &truth);
        let oob: Vec<f64> = fitted.out_of_bag.iter().map(|share| share.unwrap()).collect();
        let out_of_bag = right(&oob, &labels);
        assert!(held_out > 0.8, "{held_out}");
        assert!((held_out - out_of_bag).abs() < 0.07, "{held_out} {out_of_bag}");
        assert_eq!(fitted, fit(&small(), &table, &labels, None).unwrap());
        let other = ForestConfig { seed: 2, ..small() };
        assert_ne!(fitted, fit(&other, &table, &labels, None).unwrap());
    }

    #[test]
    fn the_number_of_threads_does_not_show() {
        let (table, labels) = sample(200, 3);
        let groups: Vec<Vec<usize>> = (0..200).map(|row| vec![row]).collect();
        let config = ForestConfig { trees: 9, ..small() };
        let plan = Plan { config: &config, table: &table, labels: &labels, groups: &groups };
        let one_by_one: Vec<_> = (0..9).map(|number| plan.grow(number)).collect();
        assert_eq!(plan.grow_all(), one_by_one);
    }

    #[test]
    fn rows_of_a_group_are_out_of_bag_together() {
        // A feature that names the group: within a group it gives the label away.
        let (mut values, mut labels, mut groups) = (Vec::new(), Vec::new(), Vec::new());
        let mut random = Random::new(5);
        for group in 0..60_u32 {
            let label = random.uniform() > 0.5;
            for _ in 0..6 {
                values.push(group as f32);
                labels.push(label);
                groups.push(group);
            }
        }
        let table = Table::new(vec!["group".to_owned()], values).unwrap();
        let config = ForestConfig { leaf_min: 1, ..small() };
        let right = |groups: Option<&[u32]>| {
            let fitted = fit(&config, &table, &labels, groups).unwrap();
            let shares = fitted.out_of_bag.iter().map(|share| share.unwrap() > 0.5);
            shares.zip(&labels).filter(|(said, label)| said == *label).count() as f64 / 360.0
        };
        assert!(right(None) > 0.95 && right(Some(&groups)) < 0.75);
    }

    #[test]
    fn depth_and_leaves_are_bounded() {
        let (table, labels) = sample(300, 4);
        let config = ForestConfig {
            trees: 1,
            depth_max: 3,
            leaf_min: 20,
            bootstrap: false,
            features_per_split: Some(3),
            ..small()
        };
        let fitted = fit(&config, &table, &labels, None).unwrap();
        let nodes = fitted.forest.trees()[0].nodes();
        assert!(nodes.len() <= 15 && nodes.iter().all(|node| node.cover() >= 20.0));
        assert!(fitted.out_of_bag.iter().all(Option::is_none));
    }

    #[test]
    fn what_cannot_be_learned_from_is_refused() {
        let (table, labels) = sample(20, 1);
        assert!(fit(&small(), &table, &labels[1..], None).is_err());
        assert!(fit(&small(), &table, &[true; 20], None).is_err());
        for bad in [
            ForestConfig { trees: 0, ..small() },
            ForestConfig { leaf_min: 0, ..small() },
            ForestConfig { positive_weight: f64::NAN, ..small() },
        ] {
            assert!(matches!(fit(&bad, &table, &labels, None), Err(Error::Configuration(_))));
        }
        assert!(Table::new(vec!["x".to_owned()], vec![f32::INFINITY]).is_err());
    }
}
