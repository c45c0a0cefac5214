//! Builds a graph node by node: each method adds one operator and returns its value's name.

use prost::Message;

use super::proto;

/// Opset 17 is the first with every operator we use in its present form; IR 8 belongs to it.
const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;
/// The operators of classical models, in the version that belongs to opset 17.
const ML_DOMAIN: &str = "ai.onnx.ml";
const ML_OPSET: i64 = 3;
/// The operator of trees.
pub(crate) const TREE_ENSEMBLE: &str = "TreeEnsembleClassifier";

/// A value in the graph, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value(String);

/// A graph under construction. Names are counted, so equal constructions give equal bytes.
#[derive(Debug, Default)]
pub(crate) struct GraphBuilder {
    graph: proto::Graph,
}

impl GraphBuilder {
    /// An empty graph.
    pub(crate) fn new(name: &str) -> Self {
        Self { graph: proto::Graph { name: name.to_owned(), ..proto::Graph::default() } }
    }

    /// An input of shape `[batch, rest…]`.
    pub(crate) fn input(&mut self, name: &str, rest: &[usize]) -> Value {
        self.graph.input.push(value_info(name, rest));
        Value(name.to_owned())
    }

    /// Makes a value an output of shape `[batch, rest…]`.
    pub(crate) fn output(&mut self, name: &str, value: &Value, rest: &[usize]) {
        self.graph.node.push(proto::Node {
            input: vec![value.0.clone()],
            output: vec![name.to_owned()],
            name: format!("output_{name}"),
            op_type: "Identity".to_owned(),
            ..proto::Node::default()
        });
        self.graph.output.push(value_info(name, rest));
    }

    /// A constant of 32-bit floats, row-major.
    pub(crate) fn constant(&mut self, values: &[f32], shape: &[usize]) -> Value {
        debug_assert_eq!(values.len(), shape.iter().product::<usize>());
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.initializer(raw, proto::Tensor::FLOAT, shape)
    }

    /// A single float.
    pub(crate) fn scalar(&mut self, value: f32) -> Value {
        self.constant(&[value], &[])
    }

    fn integers(&mut self, values: &[i64]) -> Value {
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.initializer(raw, proto::Tensor::INT64, &[values.len()])
    }

    fn initializer(&mut self, raw_data: Vec<u8>, data_type: i32, shape: &[usize]) -> Value {
        let name = format!("c{}", self.graph.initializer.len());
        self.graph.initializer.push(proto::Tensor {
            dims: shape.iter().map(|&length| length as i64).collect(),
            data_type,
            name: name.clone(),
            raw_data,
        });
        Value(name)
    }

    fn node(
        &mut self,
        op_type: &str,
        inputs: &[&Value],
        attribute: Vec<proto::Attribute>,
    ) -> Value {
        let name = format!("v{}", self.graph.node.len());
        self.graph.node.push(proto::Node {
            input: inputs.iter().map(|value| value.0.clone()).collect(),
            output: vec![name.clone()],
            name: format!("{}_{name}", op_type.to_lowercase()),
            op_type: op_type.to_owned(),
            attribute,
            domain: String::new(),
        });
        Value(name)
    }

    /// Element by element, with broadcasting: `a + b`.
    pub(crate) fn add(&mut self, a: &Value, b: &Value) -> Value {
        self.node("Add", &[a, b], vec![])
    }

    /// Element by element, with broadcasting: `a − b`.
    pub(crate) fn sub(&mut self, a: &Value, b: &Value) -> Value {
        self.node("Sub", &[a, b], vec![])
    }

    /// Element by element, with broadcasting: `a · b`.
    pub(crate) fn mul(&mut self, a: &Value, b: &Value) -> Value {
        self.node("Mul", &[a, b], vec![])
    }

    /// Element by element, with broadcasting: `a / b`.
    pub(crate) fn div(&mut self, a: &Value, b: &Value) -> Value {
        self.node("Div", &[a, b], vec![])
    }

    /// `|x|`
    pub(crate) fn abs(&mut self, x: &Value) -> Value {
        self.node("Abs", &[x], vec![])
    }

    /// `eˣ`
    pub(crate) fn exp(&mut self, x: &Value) -> Value {
        self.node("Exp", &[x], vec![])
    }

    /// `√x`
    pub(crate) fn sqrt(&mut self, x: &Value) -> Value {
        self.node("Sqrt", &[x], vec![])
    }

    /// `max(x, 0)`
    pub(crate) fn relu(&mut self, x: &Value) -> Value {
        self.node("Relu", &[x], vec![])
    }

    /// `x`, but no further from 0 than `limit`.
    pub(crate) fn clip(&mut self, x: &Value, limit: f32) -> Value {
        self.clamp(x, -limit, limit)
    }

    /// For each row, the row of a table that it numbers; what numbers none, the nearest.
    /// `[batch, 1]` and `[rows, width]` to `[batch, 1, width]`.
    pub(crate) fn rows_of(&mut self, table: &[f32], shape: &[usize; 2], number: &Value) -> Value {
        let number = self.clamp(number, 0.0, (shape[0] - 1) as f32);
        let to = integer("to", i64::from(proto::Tensor::INT64));
        let number = self.node("Cast", &[&number], vec![to]);
        let table = self.constant(table, shape);
        self.node("Gather", &[&table, &number], vec![integer("axis", 0)])
    }

    /// `x`, but no less than `low` and no more than `high`.
    pub(crate) fn clamp(&mut self, x: &Value, low: f32, high: f32) -> Value {
        let (low, high) = (self.scalar(low), self.scalar(high));
        self.node("Clip", &[x, &low, &high], vec![])
    }

    /// `ln x`
    pub(crate) fn log(&mut self, x: &Value) -> Value {
        self.node("Log", &[x], vec![])
    }

    /// `1 / (1 + e⁻ˣ)`
    pub(crate) fn sigmoid(&mut self, x: &Value) -> Value {
        self.node("Sigmoid", &[x], vec![])
    }

    /// The sums of the leaves' weights by class, `[batch, classes]`, of trees given as attributes.
    pub(crate) fn tree_ensemble(&mut self, x: &Value, trees: Vec<proto::Attribute>) -> Value {
        let value = self.node(TREE_ENSEMBLE, &[x], trees);
        // The first output is the class of the greatest sum, which nobody needs.
        if let Some(node) = self.graph.node.last_mut() {
            node.output.insert(0, format!("{}_class", value.0));
            node.domain = ML_DOMAIN.to_owned();
        }
        value
    }

    /// `a × b` over the last two axes.
    pub(crate) fn matmul(&mut self, a: &Value, b: &Value) -> Value {
        self.node("MatMul", &[a, b], vec![])
    }

    /// `x · weight + bias` for `x` of `[batch, inputs]` and a weight of `[inputs, outputs]`.
    pub(crate) fn gemm(&mut self, x: &Value, weight: &Value, bias: &Value) -> Value {
        self.node("Gemm", &[x, weight, bias], vec![])
    }

    /// Softmax over the last axis.
    pub(crate) fn softmax(&mut self, x: &Value) -> Value {
        self.node("Softmax", &[x], vec![integer("axis", -1)])
    }

    /// `ln(1 + eˣ)`
    #[cfg(feature = "train")]
    pub(crate) fn softplus(&mut self, x: &Value) -> Value {
        self.node("Softplus", &[x], vec![])
    }

    /// One behind the other along an axis.
    #[cfg(feature = "train")]
    pub(crate) fn concat(&mut self, parts: &[&Value], axis: i64) -> Value {
        self.node("Concat", parts, vec![integer("axis", axis)])
    }

    /// The last hidden states, `[2, batch, hidden]`, of an LSTM that reads `x` of `[steps, batch,
    /// inputs]` in both directions; weights as the operator has them, gates in the order i, o, f, c.
    #[cfg(feature = "train")]
    pub(crate) fn bidirectional_lstm(
        &mut self,
        x: &Value,
        (weight, recurrence, bias): (&Value, &Value, &Value),
        hidden: usize,
    ) -> Value {
        let attributes =
            vec![text("direction", "bidirectional"), integer("hidden_size", hidden as i64)];
        let value = self.node("LSTM", &[x, weight, recurrence, bias], attributes);
        // The first output is every step's state, which nobody needs: an empty name leaves it out.
        if let Some(node) = self.graph.node.last_mut() {
            node.output.insert(0, String::new());
        }
        value
    }

    /// The greatest element along an axis, which is dropped.
    pub(crate) fn max_over(&mut self, x: &Value, axis: usize) -> Value {
        let attributes = vec![integers("axes", &[axis as i64]), integer("keepdims", 0)];
        self.node("ReduceMax", &[x], attributes)
    }

    /// Shape `[batch, rest…]`.
    pub(crate) fn reshape(&mut self, x: &Value, rest: &[usize]) -> Value {
        let shape: Vec<i64> =
            std::iter::once(-1).chain(rest.iter().map(|&length| length as i64)).collect();
        let shape = self.integers(&shape);
        self.node("Reshape", &[x, &shape], vec![])
    }

    /// Axes in another order.
    pub(crate) fn transpose(&mut self, x: &Value, order: &[i64]) -> Value {
        self.node("Transpose", &[x], vec![integers("perm", order)])
    }

    /// 1-D convolution without padding: `[batch, in, steps]`, weight `[out, in, kernel]`.
    pub(crate) fn conv(
        &mut self,
        x: &Value,
        weight: &Value,
        bias: &Value,
        kernel: usize,
        stride: usize,
    ) -> Value {
        let attributes =
            vec![integers("kernel_shape", &[kernel as i64]), integers("strides", &[stride as i64])];
        self.node("Conv", &[x, weight, bias], attributes)
    }

    /// 1-D transposed convolution: `[batch, in, steps]`, weight `[in, out, kernel]`.
    pub(crate) fn conv_transpose(
        &mut self,
        x: &Value,
        weight: &Value,
        bias: &Value,
        kernel: usize,
        (stride, padding_out): (usize, usize),
    ) -> Value {
        let attributes = vec![
            integers("kernel_shape", &[kernel as i64]),
            integers("strides", &[stride as i64]),
            integers("output_padding", &[padding_out as i64]),
        ];
        self.node("ConvTranspose", &[x, weight, bias], attributes)
    }

    /// The file's bytes.
    pub(crate) fn into_bytes(self, metadata: Vec<(String, String)>) -> Vec<u8> {
        let version = |domain: &str, version| proto::OperatorSet { domain: domain.into(), version };
        let mut opset_import = vec![version("", OPSET)];
        if self.graph.node.iter().any(|node| node.domain == ML_DOMAIN) {
            opset_import.push(version(ML_DOMAIN, ML_OPSET));
        }
        let model = proto::Model {
            ir_version: IR_VERSION,
            producer_name: "cloudops".to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            graph: Some(self.graph),
            opset_import,
            metadata_props: metadata
                .into_iter()
                .map(|(key, value)| proto::Entry { key, value })
                .collect(),
        };
        model.encode_to_vec()
    }
}

fn integer(name: &str, value: i64) -> proto::Attribute {
    proto::Attribute {
        name: name.to_owned(),
        i: Some(value),
        kind: proto::Attribute::INT,
        ..proto::Attribute::default()
    }
}

pub(crate) fn integers(name: &str, values: &[i64]) -> proto::Attribute {
    proto::Attribute {
        name: name.to_owned(),
        ints: values.to_vec(),
        kind: proto::Attribute::INTS,
        ..proto::Attribute::default()
    }
}

pub(crate) fn floats(name: &str, values: Vec<f32>) -> proto::Attribute {
    proto::Attribute {
        name: name.to_owned(),
        floats: values,
        kind: proto::Attribute::FLOATS,
        ..proto::Attribute::default()
    }
}

pub(crate) fn texts(name: &str, values: &[&str]) -> proto::Attribute {
    proto::Attribute {
        name: name.to_owned(),
        strings: values.iter().map(|value| value.as_bytes().to_vec()).collect(),
        kind: proto::Attribute::STRINGS,
        ..proto::Attribute::default()
    }
}

pub(crate) fn text(name: &str, value: &str) -> proto::Attribute {
    proto::Attribute {
        name: name.to_owned(),
        s: Some(value.as_bytes().to_vec()),
        kind: proto::Attribute::STRING,
        ..proto::Attribute::default()
    }
}

pub(crate) fn value_info(name: &str, rest: &[usize]) -> proto::ValueInfo {
    let batch = proto::Dimension { length: Some(proto::Length::Named("batch".to_owned())) };
    let fixed = rest
        .iter()
        .map(|&length| proto::Dimension { length: Some(proto::Length::Fixed(length as i64)) });
    let shape = proto::Shape { dim: std::iter::once(batch).chain(fixed).collect() };
    proto::ValueInfo {
        name: name.to_owned(),
        kind: Some(proto::Type {
            tensor: Some(proto::TensorType { elem_type: proto::Tensor::FLOAT, shape: Some(shape) }),
        }),
    }
}
