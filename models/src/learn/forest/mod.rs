//! A random forest for two classes: Breiman 2001, *Random forests*, Machine Learning 45,
//! [doi:10.1023/A:1010933404324](https://doi.org/10.1023/A:1010933404324).
//!
//! Trees are CART (Breiman et al. 1984) grown on bootstrap samples by Gini impurity, each split chosen
//! among a random few of the features. Deviations, each for a reason:
//!
//! - **Scores are exact.** A leaf's share is a multiple of 1/[`SHARE_STEPS`], so that the sum over up to
//!   [`TREES_MAX`] trees is exact in `f32`, in whatever order it is taken: the runtime and [`Forest::score`]
//!   give the same bits, in any batch. The mean of the leaves' shares is the score, and not the number
//!   of trees' votes, which has many more ties.
//! - **Splits are `f32`**, the largest not above the middle between two values, as the runtime compares.
//! - **What is not known** (`NaN`) goes to the side of a split where it lowered the impurity more while
//!   learning; where nothing was unknown, to the side with more rows. Whether a value is known at all can
//!   be a split.
//! - **Groups**: rows of one group (a resource at several times) are drawn, and left out, together; else
//!   a row out of bag would still have its like in the bag.
//! - **Probability**: Platt 1999 on the log-odds of the shares out of bag ([`calibrate`]).
//!
//! In reading order: [`Table`], [`ForestConfig`], [`fit`](fit()), [`Forest`]; [`calibrate`] for probabilities,
//! [`explain`] for which feature did what, [`crate::onnx::forest`] for the file.

use crate::{Error, Result};

pub mod calibrate;
pub mod explain;
mod fit;
mod split;

pub use calibrate::Platt;
pub use explain::Attribution;
pub use fit::{Fitted, ForestConfig, fit};

/// A leaf's share is a multiple of one in so many.
pub const SHARE_STEPS: u32 = 1 << 14;
/// So many shares add up exactly in `f32`, whose integers are exact up to 2²⁴.
pub const TREES_MAX: usize = 1 << 10;

/// Rows of features, row-major; `NaN` where a value is not known.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Names of the features.
    pub features: Vec<String>,
    /// `[rows, features]`
    values: Vec<f32>,
}

impl Table {
    /// A table of rows.
    ///
    /// # Errors
    /// [`Error::Data`] when there is no feature, the values are not whole rows, or one is infinite.
    pub fn new(features: Vec<String>, values: Vec<f32>) -> Result<Self> {
        if features.is_empty() || !values.len().is_multiple_of(features.len()) {
            let (values, features) = (values.len(), features.len());
            return Err(Error::Data(format!("{values} values are no rows of {features} features")));
        }
        if let Some(at) = values.iter().position(|value| value.is_infinite()) {
            let name = &features[at % features.len()];
            return Err(Error::Data(format!(
                "`{name}` is infinite in row {}",
                at / features.len()
            )));
        }
        Ok(Self { features, values })
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len() / self.features.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// A row's values.
    ///
    /// # Panics
    /// When there is no such row.
    #[must_use]
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.features.len()..][..self.features.len()]
    }

    /// All values, row-major.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    fn value(&self, row: usize, feature: usize) -> f32 {
        self.values[row * self.features.len() + feature]
    }
}

/// A node of a tree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Node {
    /// Rows are parted.
    Split {
        /// By which feature.
        feature: usize,
        /// A value up to this goes to `below`.
        threshold: f32,
        /// Whether a value that is not known goes to `below`.
        missing_below: bool,
        /// Place of the node for values up to the threshold.
        below: usize,
        /// Place of the node for the others.
        above: usize,
        /// Weight of the rows it was learned from.
        cover: f32,
    },
    /// Rows end.
    Leaf {
        /// The positive class's share, a multiple of 1/[`SHARE_STEPS`].
        share: f32,
        /// Weight of the rows it was learned from.
        cover: f32,
    },
}

impl Node {
    /// Weight of the rows it was learned from.
    #[must_use]
    pub fn cover(&self) -> f32 {
        match self {
            Self::Split { cover, .. } | Self::Leaf { cover, .. } => *cover,
        }
    }
}

/// A tree: nodes, the root first, children behind their parents.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    /// A tree of nodes.
    ///
    /// # Errors
    /// [`Error::Data`] when they are no tree: a child that does not stand behind its parent, a
    /// feature out of range, a share outside 0 and 1, or a cover that is not positive.
    pub fn new(nodes: Vec<Node>, features: usize) -> Result<Self> {
        let damaged = |at: usize, what: &str| Err(Error::Data(format!("tree, node {at}: {what}")));
        if nodes.is_empty() {
            return damaged(0, "there is none");
        }
        for (at, node) in nodes.iter().enumerate() {
            if !(node.cover() > 0.0 && node.cover().is_finite()) {
                return damaged(at, "its cover is not positive");
            }
            match *node {
                Node::Leaf { share, .. } if !(0.0..=1.0).contains(&share) => {
                    return damaged(at, "its share is not within 0 and 1");
                }
                Node::Split { feature, .. } if feature >= features => {
                    return damaged(at, "its feature is not there");
                }
                Node::Split { below, above, .. }
                    if below <= at || above <= at || below.max(above) >= nodes.len() =>
                {
                    return damaged(at, "its children do not stand behind it");
                }
                Node::Leaf { .. } | Node::Split { .. } => {}
            }
        }
        Ok(Self { nodes })
    }

    /// Its nodes.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The share of the leaf that a row ends in.
    fn share(&self, row: &[f32]) -> f32 {
        let mut at = 0;
        loop {
            match &self.nodes[at] {
                Node::Leaf { share, .. } => return *share,
                node => at = next(node, row).unwrap_or(at),
            }
        }
    }
}

/// Where a row goes from a split; `None` from a leaf.
fn next(node: &Node, row: &[f32]) -> Option<usize> {
    match *node {
        Node::Leaf { .. } => None,
        Node::Split { feature, threshold, missing_below, below, above, .. } => {
            let value = row[feature];
            let goes_below = if value.is_nan() { missing_below } else { value <= threshold };
            Some(if goes_below { below } else { above })
        }
    }
}

/// A learned forest.
#[derive(Debug, Clone, PartialEq)]
pub struct Forest {
    /// Names of its features, in order.
    pub features: Vec<String>,
    trees: Vec<Tree>,
}

impl Forest {
    /// A forest of trees.
    ///
    /// # Errors
    /// [`Error::Data`] when there is no tree, or more than [`TREES_MAX`].
    pub fn new(features: Vec<String>, trees: Vec<Tree>) -> Result<Self> {
        if trees.is_empty() || trees.len() > TREES_MAX {
            let count = trees.len();
            return Err(Error::Data(format!("a forest has 1 to {TREES_MAX} trees, not {count}")));
        }
        Ok(Self { features, trees })
    }

    /// Its trees.
    #[must_use]
    pub fn trees(&self) -> &[Tree] {
        &self.trees
    }

    /// The positive class's mean share over the trees.
    ///
    /// # Panics
    /// When the row has fewer values than there are features.
    #[must_use]
    pub fn score(&self, row: &[f32]) -> f32 {
        let sum: f32 = self.trees.iter().map(|tree| tree.share(row)).sum();
        sum * self.share_of_a_tree()
    }

    /// What one tree counts for. Sums are multiplied by it, as the runtime does where a graph divides.
    pub(crate) fn share_of_a_tree(&self) -> f32 {
        1.0 / self.trees.len() as f32
    }

    /// Of every row of a table.
    #[must_use]
    pub fn scores(&self, table: &Table) -> Vec<f32> {
        (0..table.len()).map(|row| self.score(table.row(row))).collect()
    }
}
