//! A model's graph, rewritten while it is loaded: bits that do not depend on
//! the batch, and less work for the same values.
//!
//! The file in the registry stays as it is; only the session sees the result.
//! Each change keeps the values up to the rounding of a sum taken in another
//! order (registration measures it), and each has its own reason:
//!
//! - outputs nobody asked for are dropped, with every node only they need:
//!   ONNX Runtime computes a graph output whether or not it is fetched;
//! - a sum or mean over trailing axes becomes a product with a constant column:
//!   the runtime's short reductions round by the row's alignment in memory, so
//!   by its place in the batch, its matrix product does not;
//! - a 1-D convolution becomes a 2-D one of height 1, since the runtime's
//!   blocked kernels (NCHWc) exist for images only;
//! - a transposed convolution of stride s becomes s ordinary ones, one for each
//!   phase of the output ([Shi et al. 2016](https://arxiv.org/abs/1609.07009)),
//!   whose results are interleaved;
//! - an operation with one constant a channel, on windows `[n, steps, channels]`,
//!   is done on flat rows with the constant repeated: broadcasting over a short
//!   last axis costs several times the arithmetic.
//!
//! What does not fit a pattern exactly is left alone.

use std::collections::{HashMap, HashSet};

use prost::Message;

use super::wire::{Attribute, Graph, Model, Node, Tensor, value_name};

/// Operator sets whose nodes mean what is assumed here: `Squeeze` takes its axes as an input since 13.
const OPSETS: std::ops::RangeInclusive<i64> = 13..=25;
/// The longest sum that becomes a product.
const LONGEST_SUM: usize = 4096;
/// Operations that treat every element alike, so that any layout of it will do.
pub(super) const ELEMENTWISE: [&str; 19] = [
    "Abs",
    "Celu",
    "Clip",
    "Elu",
    "Erf",
    "Exp",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LeakyRelu",
    "Mish",
    "Neg",
    "Relu",
    "Selu",
    "Sigmoid",
    "Softplus",
    "Softsign",
    "Tanh",
];

/// Dimensions of every value, by name; -1 where unknown until run.
pub(super) type Shapes = HashMap<String, Vec<i64>>;

/// The model with every value declared an output, so that a session's outputs tell all shapes.
pub(super) fn exposed(onnx: &[u8]) -> Option<Vec<u8>> {
    let mut model = editable(onnx)?;
    let graph = model.graph.as_mut()?;
    let known: HashSet<String> = graph.output.iter().map(|value| value_name(value)).collect();
    for name in graph.node.iter().flat_map(|node| &node.output) {
        if !name.is_empty() && !known.contains(name) {
            let named = super::wire::Named { name: Some(name.clone()) };
            graph.output.push(named.encode_to_vec());
        }
    }
    Some(model.encode_to_vec())
}

/// The names of a model's outputs.
pub(super) fn outputs(onnx: &[u8]) -> Vec<String> {
    let graph = Model::decode(onnx).ok().and_then(|model| model.graph);
    graph.iter().flat_map(|graph| &graph.output).map(|value| value_name(value)).collect()
}

/// The model rewritten for these outputs; `None` where its graph is of a kind not understood here.
pub(super) fn rewritten(onnx: &[u8], outputs: &[&str], shapes: &Shapes) -> Option<Vec<u8>> {
    let mut model = editable(onnx)?;
    let graph = model.graph.take()?;
    model.graph = Some(Rewriter::new(&graph, shapes).run(graph, outputs));
    Some(model.encode_to_vec())
}

/// Only graphs whose names are all in sight: a subgraph or function may refer to any value.
pub(super) fn editable(onnx: &[u8]) -> Option<Model> {
    let model = Model::decode(onnx).ok()?;
    let standard = model
        .opset_import
        .iter()
        .find(|set| matches!(set.domain.as_deref(), None | Some("" | "ai.onnx")))?;
    let flat =
        model.graph.as_ref()?.node.iter().flat_map(|node| &node.attribute).all(|attribute| {
            attribute.g.is_none()
                && attribute.graphs.is_empty()
                && attribute.ref_attr_name.is_none()
        });
    (OPSETS.contains(&standard.version?) && flat && model.functions.is_empty()).then_some(model)
}

/// In what other layouts a value exists already.
#[derive(Debug, Clone)]
enum Form {
    /// `[n, c, 1, l]` in place of `[n, c, l]`.
    Wide(String),
    /// `[n, c, 1, l / s]`, s of them: every s-th element, from the first, the second, ...
    Phases(Vec<String>),
    /// `[n, t * c]` in place of `[n, t, c]`.
    Flat(String),
}

struct Rewriter<'a> {
    shapes: &'a Shapes,
    constants: HashMap<String, Tensor>,
    forms: HashMap<String, Form>,
    /// Values that exist as the original graph names them.
    plain: HashSet<String>,
    nodes: Vec<Node>,
    added: Vec<Tensor>,
}

impl<'a> Rewriter<'a> {
    fn new(graph: &Graph, shapes: &'a Shapes) -> Self {
        let constants = constants(graph);
        let inputs = graph.input.iter().map(|value| value_name(value));
        let plain = inputs.chain(constants.keys().cloned()).collect();
        Self { shapes, constants, forms: HashMap::new(), plain, nodes: vec![], added: vec![] }
    }

    fn run(mut self, mut graph: Graph, outputs: &[&str]) -> Graph {
        graph.output.retain(|value| outputs.contains(&value_name(value).as_str()));
        let nodes = live(std::mem::take(&mut graph.node), outputs);
        for node in nodes {
            let done = match node.standard_op() {
                "Conv" => self.convolution(&node),
                "ConvTranspose" => self.transposed_convolution(&node),
                "ReduceMean" | "ReduceSum" => self.sum(&node),
                "Add" | "Sub" | "Mul" | "Div" => {
                    self.elementwise(&node).or_else(|| self.with_channel_constant(&node))
                }
                op if ELEMENTWISE.contains(&op) => self.elementwise(&node),
                _ => None,
            };
            if done.is_none() {
                self.keep(node);
            }
        }
        for output in outputs {
            self.plain(output);
        }
        graph.node = live(self.nodes, outputs);
        graph.initializer.extend(self.added.iter().map(Message::encode_to_vec));
        prune(&mut graph, outputs);
        graph
    }

    /// A node as it is, on plain inputs.
    fn keep(&mut self, node: Node) {
        for input in &node.input {
            self.plain(input);
        }
        self.plain.extend(node.output.iter().cloned());
        self.nodes.push(node);
    }

    /// On whatever layout there is; other operands must be single numbers.
    fn elementwise(&mut self, node: &Node) -> Option<()> {
        let [output] = &node.output[..] else { return None };
        let (mut at, mut others) = (None, 0);
        for (place, name) in node.input.iter().enumerate() {
            match self.constants.get(name) {
                _ if name.is_empty() => {}
                Some(constant) if constant.dims.iter().product::<i64>() == 1 => others += 1,
                Some(_) => return None,
                None if at.is_some() => return None,
                None => at = Some(place),
            }
        }
        let at = at?;
        let input = &node.input[at];
        // A number of a higher rank than the value's would raise the result's.
        let flat = |name: &String| self.constants.get(name).is_none_or(|c| c.dims.len() <= 1);
        if others > 0 && !node.input.iter().all(flat) {
            return None;
        }
        let mut on = |from: &str, to: String| {
            let mut copy = node.clone();
            copy.input[at] = from.to_owned();
            copy.output = vec![to.clone()];
            copy.name = Some(format!("{to}/node"));
            self.nodes.push(copy);
            to
        };
        let form = match self.forms.get(input)?.clone() {
            Form::Wide(name) => Form::Wide(on(&name, format!("{output}/wide"))),
            Form::Flat(name) => Form::Flat(on(&name, format!("{output}/flat"))),
            Form::Phases(names) => Form::Phases(
                (names.iter().enumerate())
                    .map(|(phase, name)| on(name, format!("{output}/phase{phase}")))
                    .collect(),
            ),
        };
        self.forms.insert(output.clone(), form);
        Some(())
    }

    fn convolution(&mut self, node: &Node) -> Option<()> {
        let weight = self.constants.get(node.input.get(1)?)?;
        let &[filters, channels, taps] = &weight.shape()[..] else { return None };
        let values = weight.as_floats()?;
        let wide_weight = self.constant(
            &format!("{}/wide", node.input[1]),
            &[filters, channels, 1, taps],
            &values,
        );
        let output = format!("{}/wide", node.output.first()?);
        let mut wide = node.clone();
        wide.input[0] = self.wide(&node.input[0])?;
        wide.input[1] = wide_weight;
        wide.output = vec![output.clone()];
        for attribute in &mut wide.attribute {
            let ints = &mut attribute.ints;
            match (attribute.name.as_deref(), &ints[..]) {
                (Some("kernel_shape" | "strides" | "dilations"), &[value]) => {
                    *ints = vec![1, value];
                }
                (Some("pads"), &[before, after]) => *ints = vec![0, before, 0, after],
                _ => {}
            }
        }
        self.nodes.push(wide);
        self.forms.insert(node.output[0].clone(), Form::Wide(output));
        Some(())
    }

    /// Output `o = s·m + r` meets the taps `t ≡ r + a (mod s)` (a: padding before), so the outputs
    /// of one phase `r` are an ordinary convolution with every s-th tap, in reverse order.
    fn transposed_convolution(&mut self, node: &Node) -> Option<()> {
        let (input, output) = (&node.input[0], node.output.first()?);
        let weight = self.constants.get(node.input.get(1)?)?;
        let (&[channels, filters, taps], values) = (&weight.shape()[..], weight.as_floats()?)
        else {
            return None;
        };
        let one_group = node.attribute("group").is_none_or(|group| group.i == Some(1));
        // Padding at the output's end is in its inferred length already.
        let allowed = ["kernel_shape", "strides", "pads", "group", "dilations", "output_padding"];
        let named =
            |attribute: &Attribute| allowed.contains(&attribute.name.as_deref().unwrap_or(""));
        if !one_group
            || !node.attribute.iter().all(named)
            || node.ints("dilations").iter().any(|d| *d != 1)
        {
            return None;
        }
        let &stride = node.ints("strides").first()?;
        let padding = match node.ints("pads") {
            [] => 0,
            [before, _] => *before,
            _ => return None,
        };
        let (&[_, _, from], &[_, _, to]) =
            (&self.shapes.get(input)?[..], &self.shapes.get(output)?[..])
        else {
            return None;
        };
        if stride < 2 || from < 1 || to < 1 || to % stride != 0 {
            return None;
        }
        let mut phases = Vec::new();
        for phase in 0..stride {
            let (first, shift) = ((phase + padding) % stride, (phase + padding) / stride);
            let mut own: Vec<usize> = (first as usize..taps).step_by(stride as usize).collect();
            own.reverse();
            let before = own.len() as i64 - 1 - shift;
            let after = to / stride - from - before + own.len() as i64 - 1;
            if own.is_empty() || before < 0 || after < 0 {
                return None;
            }
            phases.push((own, before, after));
        }
        let wide = self.wide(input)?;
        let mut names = Vec::new();
        for (phase, (own, before, after)) in phases.into_iter().enumerate() {
            let mut turned = Vec::with_capacity(filters * channels * own.len());
            for filter in 0..filters {
                for channel in 0..channels {
                    let at = (channel * filters + filter) * taps;
                    turned.extend(own.iter().map(|tap| values[at + tap]));
                }
            }
            let constant = format!("{}/phase{phase}", node.input[1]);
            let constant = self.constant(&constant, &[filters, channels, 1, own.len()], &turned);
            let name = format!("{output}/phase{phase}");
            let mut inputs = vec![wide.as_str(), &constant];
            inputs.extend(node.input.get(2).filter(|bias| !bias.is_empty()).map(String::as_str));
            self.nodes.push(
                Node::new("Conv", &inputs, &name)
                    .with(Attribute::ints("kernel_shape", &[1, own.len() as i64]))
                    .with(Attribute::ints("pads", &[0, before, 0, after])),
            );
            names.push(name);
        }
        self.forms.insert(output.clone(), Form::Phases(names));
        Some(())
    }

    fn sum(&mut self, node: &Node) -> Option<()> {
        let (input, output) = (node.input.first()?, node.output.first()?);
        let shape = self.shapes.get(input)?.clone();
        let rank = shape.len();
        let axes = match node.input.get(1) {
            Some(axes) => self.constants.get(axes)?.as_integers()?,
            None => node.ints("axes").to_vec(),
        };
        let mut axes: Vec<usize> =
            axes.iter().map(|axis| axis.rem_euclid(rank as i64) as usize).collect();
        axes.sort_unstable();
        let &first = axes.first()?;
        let trailing = axes.iter().copied().eq(first..rank);
        let all_but_first = first == 1;
        if !trailing || first == 0 || !(all_but_first || axes.len() == 1) {
            return None;
        }
        let known: Option<Vec<usize>> =
            shape[first..].iter().map(|dim| usize::try_from(*dim).ok()).collect();
        let count: usize = known?.iter().product();
        if count == 0 || count > LONGEST_SUM {
            return None;
        }
        let keep = node.attribute("keepdims").is_none_or(|keep| keep.i != Some(0));
        let factor = if node.standard_op() == "ReduceMean" { 1.0 / count as f64 } else { 1.0 };
        let column =
            self.constant(&format!("{output}/column"), &[count, 1], &vec![factor as f32; count]);
        self.plain(input);
        let mut rows = input.clone();
        if axes.len() > 1 {
            let flat = format!("{output}/rows");
            self.nodes.push(Node::new("Flatten", &[&rows], &flat).with(Attribute::int("axis", 1)));
            rows = flat;
        }
        let product = format!("{output}/product");
        self.nodes.push(Node::new("MatMul", &[&rows, &column], &product));
        if keep {
            let shape: Vec<i64> = (0..rank).map(|at| if at < first { 0 } else { 1 }).collect();
            let shape = self.integers(&format!("{output}/kept"), &shape);
            self.nodes.push(Node::new("Reshape", &[&product, &shape], output));
        } else {
            let last = self.integers(&format!("{output}/last"), &[-1]);
            self.nodes.push(Node::new("Squeeze", &[&product, &last], output));
        }
        self.plain.insert(output.clone());
        Some(())
    }

    fn with_channel_constant(&mut self, node: &Node) -> Option<()> {
        let ([left, right], [output]) = (&node.input[..], &node.output[..]) else { return None };
        let (value, constant) = match (self.constants.get(left), self.constants.get(right)) {
            (None, Some(_)) => (left, right),
            (Some(_), None) => (right, left),
            _ => return None,
        };
        let &[_, steps, channels] = &self.shapes.get(value)?[..] else { return None };
        let (steps, channels) = (usize::try_from(steps).ok()?, usize::try_from(channels).ok()?);
        let given = &self.constants[constant];
        let shape = given.shape();
        let one_a_channel = shape.len() <= 3
            && shape.last() == Some(&channels)
            && shape.iter().product::<usize>() == channels;
        if !one_a_channel || channels < 2 || steps < 2 {
            return None;
        }
        let width = steps * channels;
        let repeated = given.as_floats()?.repeat(steps);
        let repeated =
            self.constant(&format!("{constant}/repeated{steps}"), &[1, width], &repeated);
        let flat = match self.forms.get(value) {
            Some(Form::Flat(name)) => name.clone(),
            _ => {
                self.plain(value);
                let shape = self.integers(&format!("{output}/width"), &[-1, width as i64]);
                let name = format!("{output}/rows");
                self.nodes.push(Node::new("Reshape", &[value, &shape], &name));
                name
            }
        };
        let result = format!("{output}/flat");
        let operands =
            if value == left { [flat.as_str(), &repeated] } else { [repeated.as_str(), &flat] };
        self.nodes.push(Node::new(node.standard_op(), &operands, &result));
        self.forms.insert(output.clone(), Form::Flat(result));
        Some(())
    }

    /// Makes a value exist under its own name and shape.
    fn plain(&mut self, name: &str) {
        if self.plain.contains(name) {
            return;
        }
        match self.forms.get(name).cloned() {
            None => return,
            Some(Form::Flat(flat)) => {
                let mut shape = self.shapes[name].clone();
                shape[0] = -1;
                let shape = self.integers(&format!("{name}/shape"), &shape);
                self.nodes.push(Node::new("Reshape", &[&flat, &shape], name));
            }
            Some(Form::Wide(_) | Form::Phases(_)) => {
                let wide = self.wide(name).expect("a value in pieces can be put together");
                let height = self.integers(&format!("{name}/height"), &[2]);
                self.nodes.push(Node::new("Squeeze", &[&wide, &height], name));
            }
        }
        self.plain.insert(name.to_owned());
    }

    /// The name of a value `[n, c, l]` as `[n, c, 1, l]`, making it if need be.
    fn wide(&mut self, name: &str) -> Option<String> {
        let wide = match self.forms.get(name).cloned() {
            Some(Form::Wide(wide)) => return Some(wide),
            Some(Form::Phases(phases)) => self.interleaved(name, &phases),
            Some(Form::Flat(_)) | None => {
                if self.shapes.get(name).is_none_or(|shape| shape.len() != 3) {
                    return None;
                }
                self.plain(name);
                let wide = format!("{name}/wide");
                let height = self.integers(&format!("{name}/height"), &[2]);
                self.nodes.push(Node::new("Unsqueeze", &[name, &height], &wide));
                wide
            }
        };
        self.forms.insert(name.to_owned(), Form::Wide(wide.clone()));
        Some(wide)
    }

    fn interleaved(&mut self, name: &str, phases: &[String]) -> String {
        let last = self.integers(&format!("{name}/last"), &[4]);
        let columns: Vec<String> = phases.iter().map(|phase| format!("{phase}/column")).collect();
        for (phase, column) in phases.iter().zip(&columns) {
            self.nodes.push(Node::new("Unsqueeze", &[phase, &last], column));
        }
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let joined = format!("{name}/joined");
        self.nodes.push(Node::new("Concat", &columns, &joined).with(Attribute::int("axis", 4)));
        let shape = self.integers(&format!("{name}/joined/shape"), &[0, 0, 1, -1]);
        let wide = format!("{name}/wide");
        self.nodes.push(Node::new("Reshape", &[&joined, &shape], &wide));
        wide
    }

    /// Adds a constant unless one of this name was added before (two nodes may share a weight).
    fn constant(&mut self, name: &str, dims: &[usize], values: &[f32]) -> String {
        self.add(Tensor::floats(name, dims, values))
    }

    fn integers(&mut self, name: &str, values: &[i64]) -> String {
        self.add(Tensor::integers(name, values))
    }

    fn add(&mut self, tensor: Tensor) -> String {
        let name = tensor.name.clone().unwrap_or_default();
        if self.added.iter().all(|added| added.name != tensor.name) {
            self.added.push(tensor);
        }
        name
    }
}

/// Constants by name; an initializer that is also an input is only a default.
pub(super) fn constants(graph: &Graph) -> HashMap<String, Tensor> {
    let inputs: HashSet<String> = graph.input.iter().map(|value| value_name(value)).collect();
    let initial = graph.initializer.iter().filter_map(|bytes| Tensor::decode(&**bytes).ok());
    let given = graph.node.iter().filter(|node| node.standard_op() == "Constant");
    let given = given.filter_map(|node| {
        let tensor = Tensor::decode(&**node.attribute("value")?.t.as_ref()?).ok()?;
        Some(Tensor { name: node.output.first().cloned(), ..tensor })
    });
    initial
        .chain(given)
        .filter_map(|tensor| Some((tensor.name.clone()?, tensor)))
        .filter(|(name, _)| !inputs.contains(name))
        .collect()
}

/// Drops constants that no node uses, and hints, some of which name values that are gone.
pub(super) fn prune(graph: &mut Graph, outputs: &[&str]) {
    let used: HashSet<&String> = graph.node.iter().flat_map(|node| &node.input).collect();
    graph.initializer.retain(|bytes| {
        Tensor::decode(&**bytes)
            .ok()
            .and_then(|tensor| tensor.name)
            .is_none_or(|name| used.contains(&name) || outputs.contains(&name.as_str()))
    });
    graph.value_info.clear();
}

/// The nodes that these outputs need, in the same order.
pub(super) fn live(nodes: Vec<Node>, outputs: &[&str]) -> Vec<Node> {
    let mut needed: HashSet<String> = outputs.iter().map(|&name| name.to_owned()).collect();
    let mut kept = Vec::with_capacity(nodes.len());
    for node in nodes.into_iter().rev() {
        if node.output.iter().any(|name| needed.contains(name)) {
            needed.extend(node.input.iter().cloned());
            kept.push(node);
        }
    }
    kept.reverse();
    kept
}
