//! A graph cut in two behind its convolutions, the first part made to run over a stretch.
//!
//! A convolution without padding says the same of the same steps, in whichever window they lie. So
//! the nodes from `window` up to the last such convolution can run over a stretch of overlapping
//! windows as if it were one long window. Where the hop is a multiple of the strides so far, a
//! stride stays: the positions of every window are among the stretch's. From the first layer
//! where it is not, strides become 1 and the layers after them are dilated instead ("à trous",
//! [Holschneider et al. 1990](https://doi.org/10.1007/978-3-642-75988-8_28)), which visits every
//! position that any window visits, and some that none does.

use std::collections::{HashMap, HashSet};

use cloudops_operators::schema::result::WINDOW;
use prost::Message;

use super::rewrite::{self, ELEMENTWISE, Shapes};
use super::wire::{Attribute, Graph, Model, Node, Tensor, value_name};
use crate::onnx::graph::value_info;

/// How windows lie in a stretch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// Steps of a window.
    pub(super) steps: usize,
    /// Channels of a step.
    pub(super) channels: usize,
    /// Steps from one window to the next.
    pub(super) hop: usize,
    /// Windows of a stretch.
    pub(super) windows: usize,
}

impl Layout {
    /// Steps of a stretch.
    pub(super) fn length(&self) -> usize {
        (self.windows - 1) * self.hop + self.steps
    }
}

/// The two parts, and how the first one's output holds each window's.
#[derive(Debug)]
pub(super) struct Split {
    /// `window` `[s, length, channels]` to `encoded` `[s, filters, length']`.
    pub(super) encoder: Vec<u8>,
    /// The whole graph's inputs and `encoded` `[n, filters, positions]` to the whole's outputs.
    pub(super) rest: Vec<u8>,
    /// The value at which the graph is cut.
    pub(super) encoded: String,
    pub(super) filters: usize,
    /// Positions of one window.
    pub(super) positions: usize,
    /// Positions of a stretch from one window's first to the next one's.
    pub(super) between: usize,
    /// Positions of a stretch from one of a window's to its next.
    pub(super) apart: usize,
    /// Multiplications of the encoder for a window alone.
    pub(super) window_cost: f64,
    /// Multiplications of the encoder for a stretch.
    pub(super) stretch_cost: f64,
}

/// Cuts a model; `None` where it does not begin with convolutions of the kind that can be shared.
pub(super) fn split(
    onnx: &[u8],
    outputs: &[&str],
    shapes: &Shapes,
    layout: Layout,
) -> Option<Split> {
    let mut model = rewrite::editable(onnx)?;
    let graph = model.graph.take()?;
    let constants = rewrite::constants(&graph);
    let chain = Follower { graph: &graph, constants: &constants, channels: layout.channels }
        .follow(WINDOW, Form::Rows)
        .filter(|chain| chain.convolutions > 0)?;
    let encoded = graph.node[*chain.nodes.last()?].output[0].clone();
    let &[_, filters, positions] = &shapes.get(&encoded)?[..] else { return None };
    let (filters, positions) = (usize::try_from(filters).ok()?, usize::try_from(positions).ok()?);
    let mut walk = Walk::new(layout);
    let mut stretched = graph.clone();
    for &at in &chain.nodes {
        if graph.node[at].standard_op() == "Conv" {
            walk.convolution(&mut stretched.node[at], &constants)?;
        }
    }
    let last = (layout.windows - 1) * walk.between() + (positions - 1) * walk.dropped;
    if last >= walk.stretch || walk.window != positions {
        return None;
    }
    Some(Split {
        encoder: encode_part(&model, stretched, &chain, &encoded, layout)?,
        rest: rest_part(&model, graph, outputs, &encoded, [filters, positions]),
        encoded,
        filters,
        positions,
        between: walk.between(),
        apart: walk.dropped,
        window_cost: walk.window_cost,
        stretch_cost: walk.stretch_cost,
    })
}

/// The nodes up to the cut, over a stretch.
fn encode_part(
    model: &Model,
    mut graph: Graph,
    chain: &Chain,
    encoded: &str,
    layout: Layout,
) -> Option<Vec<u8>> {
    let on_chain: HashSet<&str> =
        chain.nodes.iter().map(|&at| graph.node[at].output[0].as_str()).collect();
    let needed = rewrite::live(graph.node.clone(), &[encoded]);
    let known = |node: &Node| {
        node.standard_op() == "Constant" || on_chain.contains(node.output[0].as_str())
    };
    if !needed.iter().all(known) {
        return None;
    }
    graph.node = needed;
    graph.input = vec![value_info(WINDOW, &[layout.length(), layout.channels]).encode_to_vec()];
    let output = super::wire::Named { name: Some(encoded.to_owned()) };
    graph.output = vec![output.encode_to_vec()];
    rewrite::prune(&mut graph, &[encoded]);
    Some(Model { graph: Some(graph), ..model.clone() }.encode_to_vec())
}

/// The nodes from the cut on, window by window.
fn rest_part(
    model: &Model,
    mut graph: Graph,
    outputs: &[&str],
    encoded: &str,
    dims: [usize; 2],
) -> Vec<u8> {
    graph.node.retain(|node| node.output.iter().all(|name| name != encoded));
    graph.node = rewrite::live(graph.node, outputs);
    graph.input.push(value_info(encoded, &dims).encode_to_vec());
    graph.output.retain(|value| outputs.contains(&value_name(value).as_str()));
    rewrite::prune(&mut graph, outputs);
    Model { graph: Some(graph), ..model.clone() }.encode_to_vec()
}

/// Which axis of a value is time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `[n, steps, channels]`
    Rows,
    /// `[n, channels, steps]`
    Channels,
}

/// Nodes from the window on, each fed by the one before and by constants.
#[derive(Debug, Default)]
struct Chain {
    nodes: Vec<usize>,
    convolutions: usize,
}

struct Follower<'a> {
    graph: &'a Graph,
    constants: &'a HashMap<String, Tensor>,
    channels: usize,
}

impl Follower<'_> {
    /// The chain from a value on that passes most convolutions.
    fn follow(&self, value: &str, form: Form) -> Option<Chain> {
        let mut best: Option<Chain> = None;
        for (at, node) in self.graph.node.iter().enumerate() {
            let Some(next) = self.step(node, value, form) else { continue };
            let mut chain = self.follow(&node.output[0], next).unwrap_or_default();
            chain.nodes.insert(0, at);
            chain.convolutions += usize::from(node.standard_op() == "Conv");
            if best.as_ref().is_none_or(|best| chain.convolutions > best.convolutions) {
                best = Some(chain);
            }
        }
        best
    }

    /// The form of a node's output, if it treats each step by itself or as a convolution does.
    fn step(&self, node: &Node, value: &str, form: Form) -> Option<Form> {
        if node.output.len() != 1 || !node.input.iter().any(|name| name == value) {
            return None;
        }
        let others = || node.input.iter().filter(|name| *name != value && !name.is_empty());
        let single = |name: &String| {
            self.constants.get(name).is_some_and(|c| c.shape().iter().product::<usize>() == 1)
        };
        match (node.standard_op(), form) {
            ("Transpose", Form::Rows) if node.ints("perm") == [0, 2, 1] => Some(Form::Channels),
            ("Conv", Form::Channels) if node.input[0] == value => {
                let plain = others().all(|name| self.constants.contains_key(name))
                    && node.ints("pads").iter().all(|&pad| pad == 0)
                    && node.ints("dilations").iter().all(|&dilation| dilation == 1)
                    && node.attribute("group").is_none_or(|group| group.i == Some(1))
                    && node
                        .attribute("auto_pad")
                        .is_none_or(|pad| matches!(pad.s.as_deref(), Some(b"NOTSET" | b"VALID")));
                plain.then_some(form)
            }
            ("Add" | "Sub" | "Mul" | "Div", _) => {
                let by_channel = |name: &String| {
                    self.constants.get(name).is_some_and(|constant| {
                        let shape = constant.shape();
                        form == Form::Rows
                            && shape.len() <= 3
                            && shape.last() == Some(&self.channels)
                            && shape.iter().product::<usize>() == self.channels
                    })
                };
                let one = others().count() == 1;
                (one && others().all(|name| single(name) || by_channel(name))).then_some(form)
            }
            (op, _) if ELEMENTWISE.contains(&op) && node.input[0] == value => {
                others().all(single).then_some(form)
            }
            _ => None,
        }
    }
}

/// Lengths, strides and costs on the way through the convolutions.
struct Walk {
    /// Positions of a window, of a stretch.
    window: usize,
    stretch: usize,
    /// Product of the strides that stay, and of those that became dilations.
    kept: usize,
    dropped: usize,
    hop: usize,
    window_cost: f64,
    stretch_cost: f64,
}

impl Walk {
    fn new(layout: Layout) -> Self {
        Self {
            window: layout.steps,
            stretch: layout.length(),
            kept: 1,
            dropped: 1,
            hop: layout.hop,
            window_cost: 0.0,
            stretch_cost: 0.0,
        }
    }

    /// Makes a convolution's node fit for stretches.
    fn convolution(&mut self, node: &mut Node, constants: &HashMap<String, Tensor>) -> Option<()> {
        let weight = constants.get(node.input.get(1)?)?.shape();
        let &[_, _, taps] = &weight[..] else { return None };
        let stride = match node.ints("strides") {
            [] => 1,
            &[stride] => usize::try_from(stride).ok()?,
            _ => return None,
        };
        let stays = self.dropped == 1 && self.hop.is_multiple_of(self.kept * stride);
        let (step, dilation) = if stays { (stride, 1) } else { (1, self.dropped) };
        self.window = self.window.checked_sub(taps)? / stride + 1;
        self.stretch = self.stretch.checked_sub((taps - 1) * dilation + 1)? / step + 1;
        if stays {
            self.kept *= stride;
        } else {
            self.dropped *= stride;
        }
        let one: usize = weight.iter().product();
        self.window_cost += (self.window * one) as f64;
        self.stretch_cost += (self.stretch * one) as f64;
        node.attribute.retain(|attribute| {
            !matches!(attribute.name.as_deref(), Some("strides" | "dilations"))
        });
        node.attribute.push(Attribute::ints("strides", &[step as i64]));
        node.attribute.push(Attribute::ints("dilations", &[dilation as i64]));
        Some(())
    }

    fn between(&self) -> usize {
        self.hop / self.kept
    }
}
