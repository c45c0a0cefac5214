//! A forest as an ONNX file, and back from it.
//!
//! The file reads `features`, `[batch, features]`, raw and with `NaN` where a value is not known, and gives
//! row for row:
//!
//! | output | shape | |
//! |---|---|---|
//! | `score` | `[batch]` | the positive class's mean share over the trees, the bits of [`Forest::score`] |
//! | `probability` | `[batch]` | the score calibrated ([`Platt`]) |
//!
//! The trees stand in one `TreeEnsembleClassifier`, with each node's rows as its *hit rate*: so a forest
//! can be read back whole ([`read`]) and explained from its file alone. Sums of shares are exact in `f32`
//! and scaled last, so no order of summation shows. The weights of both classes are written: with one
//! alone the runtime would take the sums for margins.

use std::borrow::Cow;

use cloudops_operators::score::{ModelId, ModelInfo};
use serde::{Deserialize, Serialize};

use super::graph::{GraphBuilder, TREE_ENSEMBLE, Value, floats, integers, text, texts};
use super::metadata::{self as key, damaged, decode, entry};
use super::proto;
use crate::learn::forest::calibrate::SHARE_MIN;
use crate::learn::forest::{Forest, Node, Platt, Tree};
use crate::specification::{Input, schema_hash};
use crate::{Error, Result};

/// The name of the graph's input.
pub const INPUT: &str = "features";
/// The names of its outputs.
pub const SCORE: &str = "score";
/// The calibrated score's.
pub const PROBABILITY: &str = "probability";
/// What the file says it holds.
pub const ARCHITECTURE: &str = "random-forest";
/// Counted up when a file can no longer be read as before.
const FORMAT: u32 = 1;

const BELOW_OR_EQUAL: &str = "BRANCH_LEQ";
const LEAF: &str = "LEAF";

/// What a file says of its forest, beside the trees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// The version of this description, and of how the trees are written.
    pub format: u32,
    /// Names of the features, in the order of the input.
    pub features: Vec<String>,
    /// What a positive row is, e.g. `idle`.
    pub target: String,
    /// From score to probability.
    pub calibration: Platt,
}

/// A forest, and what belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub struct ForestFile {
    /// The model's name.
    pub name: String,
    /// What a positive row is.
    pub target: String,
    /// The forest.
    pub forest: Forest,
    /// From score to probability.
    pub calibration: Platt,
}

impl ForestFile {
    /// The file's bytes; equal forests give equal bytes.
    ///
    /// # Errors
    /// [`Error::Model`] when the description cannot be written as JSON.
    pub fn to_onnx(&self) -> Result<Vec<u8>> {
        let mut g = GraphBuilder::new(&self.name);
        let features = g.input(INPUT, &[self.forest.features.len()]);
        let sums = g.tree_ensemble(&features, attributes(&self.forest));
        // The second class's column, as a product: no sum of ours depends on a row's place.
        let second = g.constant(&[0.0, 1.0], &[2, 1]);
        let sum = g.matmul(&sums, &second);
        let share = g.scalar(self.forest.share_of_a_tree());
        let score = g.mul(&sum, &share);
        let probability = calibrated(&mut g, &score, self.calibration);
        for (name, value) in [(SCORE, &score), (PROBABILITY, &probability)] {
            let flat = g.reshape(value, &[]);
            g.output(name, &flat, &[]);
        }
        let description = Description {
            format: FORMAT,
            features: self.forest.features.clone(),
            target: self.target.clone(),
            calibration: self.calibration,
        };
        let json = |text: serde_json::Result<String>| {
            text.map_err(|error| Error::Model {
                model: self.name.clone(),
                reason: format!("its description cannot be written as json: {error}"),
            })
        };
        // What the registry asks for: a vector model whose score has no parts.
        let info = ModelInfo {
            id: ModelId { name: self.name.clone(), version: String::new() },
            channels: self.forest.features.clone(),
            steps: 1,
            latents: 0,
            weights: None,
            score_quantiles: vec![],
            channel_mean: vec![],
            channel_std: vec![],
            entities: vec![],
        };
        let metadata = [
            (key::NAME, self.name.clone()),
            (key::ARCHITECTURE, ARCHITECTURE.to_owned()),
            (key::SCHEMA_HASH, schema_hash(Input::Features, 1, &self.forest.features)),
            (key::MODEL_INFO, json(serde_json::to_string(&info))?),
            (key::FOREST, json(serde_json::to_string(&description))?),
        ];
        let metadata = metadata.into_iter().map(|(key, value)| (key.to_owned(), value));
        Ok(g.into_bytes(metadata.collect()))
    }
}

/// Floats of the widest vector register in use.
const LANES: usize = 16;

/// The runtime's logarithm of the last few rows of a batch, which fill no register, differs in the last
/// bit from that of others: so every row fills one, and one of its lanes is taken.
fn calibrated(g: &mut GraphBuilder, score: &Value, platt: Platt) -> Value {
    let low = SHARE_MIN as f32;
    let lanes = g.constant(&[1.0; LANES], &[1, LANES]);
    let score = g.mul(score, &lanes);
    let share = g.clamp(&score, low, 1.0 - low);
    let one = g.scalar(1.0);
    let rest = g.sub(&one, &share);
    let (share, rest) = (g.log(&share), g.log(&rest));
    let odds = g.sub(&share, &rest);
    let (slope, offset) = (g.scalar(platt.slope), g.scalar(platt.offset));
    let odds = g.mul(&odds, &slope);
    let odds = g.add(&odds, &offset);
    let probability = g.sigmoid(&odds);
    let mut first = [0.0; LANES];
    first[0] = 1.0;
    let first = g.constant(&first, &[LANES, 1]);
    g.matmul(&probability, &first)
}

/// What a leaf adds to a class's sum.
struct LeafWeight {
    tree: i64,
    place: i64,
    class: i64,
    weight: f32,
}

fn attributes(forest: &Forest) -> Vec<proto::Attribute> {
    let trees = forest.trees().iter().zip(0_i64..);
    let nodes = || {
        trees.clone().flat_map(|(tree, number)| {
            tree.nodes().iter().zip(0_i64..).map(move |(node, place)| (number, place, *node))
        })
    };
    let whole = |name: &str, of: &dyn Fn(Node) -> i64| {
        integers(name, &nodes().map(|(_, _, node)| of(node)).collect::<Vec<i64>>())
    };
    let real = |name: &str, of: &dyn Fn(Node) -> f32| {
        floats(name, nodes().map(|(_, _, node)| of(node)).collect())
    };
    let modes: Vec<&str> = nodes()
        .map(|(_, _, node)| if matches!(node, Node::Leaf { .. }) { LEAF } else { BELOW_OR_EQUAL })
        .collect();
    // Each leaf twice: the share of the one class, and of the other.
    let leaves: Vec<LeafWeight> = nodes()
        .filter_map(|(tree, place, node)| match node {
            Node::Leaf { share, .. } => Some((tree, place, share)),
            Node::Split { .. } => None,
        })
        .flat_map(|(tree, place, share)| {
            [(0, 1.0 - share), (1, share)].map(|(class, weight)| LeafWeight {
                tree,
                place,
                class,
                weight,
            })
        })
        .collect();
    let of_leaves = |name: &str, of: &dyn Fn(&LeafWeight) -> i64| {
        integers(name, &leaves.iter().map(of).collect::<Vec<i64>>())
    };
    let split = |of: fn(usize, bool, usize, usize) -> i64| {
        move |node: Node| match node {
            Node::Split { feature, missing_below, below, above, .. } => {
                of(feature, missing_below, below, above)
            }
            Node::Leaf { .. } => 0,
        }
    };
    vec![
        of_leaves("class_ids", &|leaf| leaf.class),
        of_leaves("class_nodeids", &|leaf| leaf.place),
        of_leaves("class_treeids", &|leaf| leaf.tree),
        floats("class_weights", leaves.iter().map(|leaf| leaf.weight).collect()),
        integers("classlabels_int64s", &[0, 1]),
        whole("nodes_falsenodeids", &split(|_, _, _, above| above as i64)),
        whole("nodes_featureids", &split(|feature, _, _, _| feature as i64)),
        real("nodes_hitrates", &|node| node.cover()),
        whole("nodes_missing_value_tracks_true", &split(|_, below, _, _| i64::from(below))),
        texts("nodes_modes", &modes),
        integers("nodes_nodeids", &nodes().map(|(_, place, _)| place).collect::<Vec<i64>>()),
        integers("nodes_treeids", &nodes().map(|(tree, _, _)| tree).collect::<Vec<i64>>()),
        whole("nodes_truenodeids", &split(|_, _, below, _| below as i64)),
        real("nodes_values", &|node| match node {
            Node::Split { threshold, .. } => threshold,
            Node::Leaf { .. } => 0.0,
        }),
        text("post_transform", "NONE"),
    ]
}

/// Reads a forest back from a file that [`ForestFile::to_onnx`] wrote.
///
/// # Errors
/// [`Error::Model`] when the bytes are no ONNX file, or not one of a forest in this format.
pub fn read(onnx: &[u8]) -> Result<ForestFile> {
    let model = decode(onnx)?;
    let description: Description = entry(onnx, key::FOREST)?;
    if description.format != FORMAT {
        return Err(damaged(&format!("forest format {}, expected {FORMAT}", description.format)));
    }
    let graph = model.graph.unwrap_or_default();
    let mut ensembles = graph.node.iter().filter(|node| node.op_type == TREE_ENSEMBLE);
    let (Some(ensemble), None) = (ensembles.next(), ensembles.next()) else {
        return Err(damaged("it does not hold one ensemble of trees"));
    };
    let trees = Ensemble::of(ensemble)?.trees(description.features.len())?;
    let forest = Forest::new(description.features, trees)
        .map_err(|error| damaged(&format!("its forest: {error}")))?;
    let (target, calibration) = (description.target, description.calibration);
    Ok(ForestFile { name: graph.name, target, forest, calibration })
}

/// The node's attributes, a node of a tree at each place.
struct Ensemble<'a> {
    trees: &'a [i64],
    modes: Vec<Cow<'a, str>>,
    features: &'a [i64],
    below: &'a [i64],
    above: &'a [i64],
    missing_below: &'a [i64],
    thresholds: &'a [f32],
    covers: &'a [f32],
    /// Of the leaves, in order, those of both classes.
    weights: &'a [f32],
}

impl<'a> Ensemble<'a> {
    fn of(node: &'a proto::Node) -> Result<Self> {
        let attribute = |name: &str| {
            let found = node.attribute.iter().find(|attribute| attribute.name == name);
            found.ok_or_else(|| damaged(&format!("its trees have no `{name}`")))
        };
        let strings = &attribute("nodes_modes")?.strings;
        let ensemble = Self {
            trees: &attribute("nodes_treeids")?.ints,
            modes: strings.iter().map(|mode| String::from_utf8_lossy(mode)).collect(),
            features: &attribute("nodes_featureids")?.ints,
            below: &attribute("nodes_truenodeids")?.ints,
            above: &attribute("nodes_falsenodeids")?.ints,
            missing_below: &attribute("nodes_missing_value_tracks_true")?.ints,
            thresholds: &attribute("nodes_values")?.floats,
            covers: &attribute("nodes_hitrates")?.floats,
            weights: &attribute("class_weights")?.floats,
        };
        let count = ensemble.trees.len();
        let integers = [ensemble.features, ensemble.below, ensemble.above, ensemble.missing_below];
        let leaves = ensemble.modes.iter().filter(|mode| *mode == LEAF).count();
        let fits = integers.iter().all(|values| values.len() == count)
            && [ensemble.thresholds, ensemble.covers].iter().all(|values| values.len() == count)
            && ensemble.modes.len() == count
            && ensemble.weights.len() == 2 * leaves;
        if fits { Ok(ensemble) } else { Err(damaged("its trees' attributes differ in length")) }
    }

    /// Nodes of a tree stand one behind the other, in the order of their places in it.
    fn trees(&self, features: usize) -> Result<Vec<Tree>> {
        let mut leaves = self.weights.chunks_exact(2);
        let place = |value: i64| usize::try_from(value).unwrap_or(usize::MAX);
        let mut trees = Vec::new();
        let mut nodes = Vec::new();
        for at in 0..self.trees.len() {
            let cover = self.covers[at];
            nodes.push(match self.modes[at].as_ref() {
                LEAF => {
                    let share = leaves.next().map_or(f32::NAN, |weights| weights[1]);
                    Node::Leaf { share, cover }
                }
                BELOW_OR_EQUAL => Node::Split {
                    feature: place(self.features[at]),
                    threshold: self.thresholds[at],
                    missing_below: self.missing_below[at] != 0,
                    below: place(self.below[at]),
                    above: place(self.above[at]),
                    cover,
                },
                other => return Err(damaged(&format!("its trees have nodes of mode {other}"))),
            });
            if self.trees.get(at + 1) != Some(&self.trees[at]) {
                let tree = Tree::new(std::mem::take(&mut nodes), features);
                trees.push(tree.map_err(|error| damaged(&error.to_string()))?);
            }
        }
        Ok(trees)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> ForestFile {
        let leaf = |share: f32, cover: f32| Node::Leaf { share, cover };
        let split = Node::Split {
            feature: 1,
            threshold: 0.5,
            missing_below: true,
            below: 1,
            above: 2,
            cover: 7.0,
        };
        let tree = Tree::new(vec![split, leaf(0.25, 4.0), leaf(1.0, 3.0)], 2).unwrap();
        let stump = Tree::new(vec![leaf(0.5, 7.0)], 2).unwrap();
        let names = ["a", "b"].map(str::to_owned).to_vec();
        ForestFile {
            name: "test".to_owned(),
            target: "idle".to_owned(),
            forest: Forest::new(names, vec![tree, stump]).unwrap(),
            calibration: Platt { slope: 1.5, offset: -0.25 },
        }
    }

    #[test]
    fn a_forest_comes_back_from_its_file() {
        let onnx = file().to_onnx().unwrap();
        assert_eq!(read(&onnx).unwrap(), file());
        assert_eq!(onnx, file().to_onnx().unwrap());
    }

    #[test]
    fn what_is_no_forest_is_refused() {
        assert!(matches!(read(b"not onnx"), Err(Error::Model { .. })));
        let mut g = GraphBuilder::new("other");
        let x = g.input(INPUT, &[2]);
        g.output(SCORE, &x, &[2]);
        assert!(matches!(read(&g.into_bytes(vec![])), Err(Error::Model { .. })));
        let mut model = decode(&file().to_onnx().unwrap()).unwrap();
        let ensemble = &mut model.graph.as_mut().unwrap().node[0];
        let covers = ensemble.attribute.iter_mut().find(|a| a.name == "nodes_hitrates").unwrap();
        covers.floats[1] = 0.0;
        let damaged = prost::Message::encode_to_vec(&model);
        assert!(read(&damaged).unwrap_err().to_string().contains("cover"), "{damaged:?}");
    }
}
