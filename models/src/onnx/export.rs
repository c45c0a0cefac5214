//! Each learned model as a graph.

use super::ENTITY;
use super::graph::{GraphBuilder, Value};
use super::metadata as key;
use crate::calibrate::Calibration;
use crate::learn::layer::{Affine, Block, Convolution, HEADS, NORM_EPSILON, Norm};
use crate::learn::max_abs_z::TINY;
use crate::learn::pca::Components;
use crate::learn::scaling::{INPUT_LIMIT, Scaling};
use crate::learn::vae::{Decoder, Encoder, LOGVAR_LIMIT, Vae};
use crate::learn::{Body, ERROR_LIMIT, Learned};
use crate::specification::{Input, Loss, Specification};
use crate::train::TrainReport;
use crate::{Error, Result};
use cloudops_operators::score::ModelInfo;

/// A learned and calibrated model as an ONNX file.
///
/// # Errors
/// [`Error::Model`] when its description cannot be written as JSON.
pub(crate) fn export(
    specification: &Specification,
    learned: &Learned,
    calibration: &Calibration,
    info: &ModelInfo,
    report: &TrainReport,
) -> Result<Vec<u8>> {
    let mut export = Export::new(specification, &learned.scaling);
    let (error, kl) = match &learned.body {
        Body::Vae(vae) => export.vae(vae),
        Body::Pca(components) => (export.pca(components), None),
        Body::MaxAbsZ => (export.max_abs_z(), None),
    };
    export.score(&error, kl.as_ref(), calibration);
    let json = |what: &str, text: serde_json::Result<String>| {
        text.map_err(|error| Error::Model {
            model: specification.name.clone(),
            reason: format!("{what} cannot be written as json: {error}"),
        })
    };
    let metadata = [
        (key::NAME, specification.name.clone()),
        (key::ARCHITECTURE, specification.architecture.name().to_owned()),
        (key::SPECIFICATION, json("specification", serde_json::to_string(specification))?),
        (key::SCHEMA_HASH, specification.schema_hash()),
        (key::CALIBRATION, json("calibration", serde_json::to_string(calibration))?),
        (key::MODEL_INFO, json("model info", serde_json::to_string(info))?),
        (key::TRAINING, json("training report", serde_json::to_string(report))?),
    ];
    Ok(export
        .graph
        .into_bytes(metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()))
}

/// A table's only row, or of several that of each window's entity.
fn row_of(
    graph: &mut GraphBuilder,
    table: &[f32],
    channels: usize,
    entity: Option<&Value>,
) -> Value {
    match entity {
        Some(entity) => graph.rows_of(table, &[table.len() / channels, channels], entity),
        None => graph.constant(table, &[channels]),
    }
}

/// A graph whose input is standardised, ready for a model's own nodes.
struct Export<'a> {
    specification: &'a Specification,
    graph: GraphBuilder,
    steps: usize,
    channels: usize,
    /// Standard deviations: the fleet's, then each entity's own.
    stds: Vec<f32>,
    /// Each row's entity, where some have their own scaling.
    entity: Option<Value>,
    /// `[channels]`, or `[batch, 1, channels]` where entities have their own.
    mean: Value,
    /// `[batch, steps, channels]`
    standardised: Value,
    /// The same, clamped to what an error may weigh.
    target: Value,
}

impl<'a> Export<'a> {
    fn new(specification: &'a Specification, scaling: &'a Scaling) -> Self {
        let (steps, channels) = (specification.steps, specification.channels.len());
        let mut graph = GraphBuilder::new(&specification.name);
        let name = specification.input.name();
        let raw = match specification.input {
            Input::Window => graph.input(name, &[steps, channels]),
            Input::Features => {
                let features = graph.input(name, &[channels]);
                graph.reshape(&features, &[1, channels])
            }
        };
        let entity = (!scaling.personal.names.is_empty()).then(|| graph.input(ENTITY, &[1]));
        let (means, stds) = scaling.tables();
        // As training multiplies by it.
        let inverses: Vec<f32> = stds.iter().map(|std| 1.0 / std).collect();
        let mean = row_of(&mut graph, &means, channels, entity.as_ref());
        let inverse = row_of(&mut graph, &inverses, channels, entity.as_ref());
        let centred = graph.sub(&raw, &mean);
        let standardised = graph.mul(&centred, &inverse);
        let target = graph.clip(&standardised, ERROR_LIMIT);
        Self { specification, graph, steps, channels, stds, entity, mean, standardised, target }
    }

    /// `[batch, steps, channels]`, clamped to what a model may see.
    fn input(&mut self) -> Value {
        self.graph.clip(&self.standardised, INPUT_LIMIT)
    }

    /// Adds the `score` output; `error` and `kl` are `[batch, 1]`.
    fn score(&mut self, error: &Value, kl: Option<&Value>, calibration: &Calibration) {
        let g = &mut self.graph;
        let weights = calibration.weights;
        let a = g.scalar(weights.reconstruction);
        let mut sum = g.mul(error, &a);
        if let Some(kl) = kl {
            let b = g.scalar(weights.kl);
            let part = g.mul(kl, &b);
            sum = g.add(&sum, &part);
        }
        let c = g.scalar(weights.offset);
        let sum = g.add(&sum, &c);
        let score = g.reshape(&sum, &[]);
        g.output("score", &score, &[]);
    }

    fn pca(&mut self, components: &Components) -> Value {
        let width = self.steps * self.channels;
        let input = self.input();
        let g = &mut self.graph;
        let flat = g.reshape(&input, &[width]);
        let mean = g.constant(&components.mean, &[width]);
        let centred = g.sub(&flat, &mean);
        let directions = g.constant(&components.directions, &[width, components.count]);
        let mu = g.matmul(&centred, &directions);
        // The constant is written twice, transposed: so each product is a plain one.
        let back: Vec<f32> = (0..components.count)
            .flat_map(|column| {
                components.directions.iter().skip(column).step_by(components.count).copied()
            })
            .collect();
        let back = g.constant(&back, &[components.count, width]);
        let rebuilt = g.gemm(&mu, &back, &mean);
        g.output("mu", &mu, &[components.count]);
        let rebuilt = g.reshape(&rebuilt, &[self.steps, self.channels]);
        self.errors(&rebuilt)
    }

    fn max_abs_z(&mut self) -> Value {
        let g = &mut self.graph;
        let magnitude = g.abs(&self.target);
        let by_channel = g.max_over(&magnitude, 1);
        let by_step = g.max_over(&magnitude, 2);
        let whole = g.max_over(&by_channel, 1);
        let whole = g.reshape(&whole, &[1]);
        for (name, maxima, count) in [
            ("error_by_channel", by_channel, self.channels),
            ("error_by_step", by_step, self.steps),
        ] {
            let ones = g.constant(&vec![1.0; count], &[count, 1]);
            let sum = g.matmul(&maxima, &ones);
            let tiny = g.scalar(TINY);
            let sum = g.add(&sum, &tiny);
            let factor = g.div(&whole, &sum);
            let parts = g.mul(&maxima, &factor);
            g.output(name, &parts, &[count]);
        }
        let error = g.reshape(&whole, &[]);
        g.output("reconstruction_error", &error, &[]);
        whole
    }

    /// Adds all outputs that follow from a standardised reconstruction `[batch, steps, channels]`;
    /// returns the reconstruction error, `[batch, 1]`.
    fn errors(&mut self, rebuilt: &Value) -> Value {
        let (steps, channels) = (self.steps, self.channels);
        let g = &mut self.graph;
        let difference = g.sub(&self.target, rebuilt);
        let error = match self.specification.loss {
            Loss::Mse => g.mul(&difference, &difference),
            Loss::Mae => g.abs(&difference),
        };
        let share = 1.0 / (steps * channels) as f32;
        let over_steps = g.constant(&vec![share; steps], &[1, steps]);
        let by_channel = g.matmul(&over_steps, &error);
        let by_channel = g.reshape(&by_channel, &[channels]);
        let over_channels = g.constant(&vec![share; channels], &[channels, 1]);
        let by_step = g.matmul(&error, &over_channels);
        let by_step = g.reshape(&by_step, &[steps]);
        let ones = g.constant(&vec![1.0; channels], &[channels, 1]);
        let whole = g.matmul(&by_channel, &ones);
        let flat = g.reshape(&whole, &[]);
        g.output("reconstruction_error", &flat, &[]);
        g.output("error_by_channel", &by_channel, &[channels]);
        g.output("error_by_step", &by_step, &[steps]);
        let shape = match self.specification.input {
            Input::Window => vec![steps, channels],
            Input::Features => vec![channels],
        };
        self.restored("reconstruction", rebuilt, &shape);
        whole
    }

    /// Adds an output of standardised values in raw units; the last axis is channels.
    fn restored(&mut self, name: &str, standardised: &Value, shape: &[usize]) {
        let g = &mut self.graph;
        let std = row_of(g, &self.stds, self.channels, self.entity.as_ref());
        let scaled = g.mul(standardised, &std);
        let raw = g.add(&scaled, &self.mean);
        let raw = g.reshape(&raw, shape);
        g.output(name, &raw, shape);
    }

    /// Returns reconstruction error and KL divergence, both `[batch, 1]`.
    fn vae(&mut self, vae: &Vae) -> (Value, Option<Value>) {
        let input = self.input();
        let hidden = match &vae.encoder {
            Encoder::Cnn(convolutions) => self.encode_cnn(&input, convolutions),
            Encoder::Transformer { embed, position, blocks } => {
                self.encode_transformer(&input, embed, position, blocks)
            }
            Encoder::Dense(layers) => {
                let flat = self.graph.reshape(&input, &[self.steps * self.channels]);
                let hidden = self.layers(&flat, layers);
                self.graph.relu(&hidden)
            }
        };
        let mu = self.affine(&hidden, &vae.mu);
        self.graph.output("mu", &mu, &[vae.mu.outputs]);
        let kl = vae.logvar.as_ref().map(|layer| {
            let logvar = self.affine(&hidden, layer);
            let logvar = self.graph.clip(&logvar, LOGVAR_LIMIT);
            self.graph.output("logvar", &logvar, &[vae.mu.outputs]);
            self.kl(&mu, &logvar, vae.mu.outputs)
        });
        let rebuilt = match &vae.decoder {
            Decoder::Cnn { expand, convolutions } => self.decode_cnn(&mu, expand, convolutions),
            Decoder::Dense(layers) => {
                let flat = self.layers(&mu, layers);
                self.graph.reshape(&flat, &[self.steps, self.channels])
            }
        };
        let error = self.errors(&rebuilt);
        if let Some(forecast) = &self.specification.forecast {
            let shape = [forecast.horizon, self.channels];
            let ahead = self.layers(&mu, &vae.forecast);
            let ahead = self.graph.reshape(&ahead, &shape);
            self.restored("forecast", &ahead, &shape);
        }
        (error, kl)
    }

    /// ½ Σ (e^logvar + mu² − 1 − logvar), `[batch, 1]`; adds the output.
    fn kl(&mut self, mu: &Value, logvar: &Value, latents: usize) -> Value {
        let g = &mut self.graph;
        let square = g.mul(mu, mu);
        let variance = g.exp(logvar);
        let sum = g.add(&variance, &square);
        let one = g.scalar(1.0);
        let sum = g.sub(&sum, &one);
        let sum = g.sub(&sum, logvar);
        let halves = g.constant(&vec![0.5; latents], &[latents, 1]);
        let kl = g.matmul(&sum, &halves);
        let flat = g.reshape(&kl, &[]);
        g.output("kl", &flat, &[]);
        kl
    }

    fn encode_cnn(&mut self, input: &Value, convolutions: &[Convolution]) -> Value {
        let g = &mut self.graph;
        let mut x = g.transpose(input, &[0, 2, 1]);
        for convolution in convolutions {
            let Convolution { inputs, outputs, reach, weight, bias } = convolution;
            let weight = g.constant(weight, &[*outputs, *inputs, reach.kernel]);
            let bias = g.constant(bias, &[*outputs]);
            x = g.conv(&x, &weight, &bias, reach.kernel, reach.stride);
            x = g.relu(&x);
        }
        let width = convolutions.last().map_or(0, |last| last.outputs * last.reach.short);
        g.reshape(&x, &[width])
    }

    fn decode_cnn(&mut self, mu: &Value, expand: &Affine, convolutions: &[Convolution]) -> Value {
        let mut x = self.affine(mu, expand);
        let g = &mut self.graph;
        for (at, convolution) in convolutions.iter().enumerate() {
            let Convolution { inputs, outputs, reach, weight, bias } = convolution;
            x = g.relu(&x);
            if at == 0 {
                x = g.reshape(&x, &[*inputs, reach.short]);
            }
            let weight = g.constant(weight, &[*inputs, *outputs, reach.kernel]);
            let bias = g.constant(bias, &[*outputs]);
            let stride = (reach.stride, reach.padding_out());
            x = g.conv_transpose(&x, &weight, &bias, reach.kernel, stride);
        }
        g.transpose(&x, &[0, 2, 1])
    }

    fn encode_transformer(
        &mut self,
        input: &Value,
        embed: &Affine,
        position: &[f32],
        blocks: &[Block],
    ) -> Value {
        let width = embed.outputs;
        let embedded = self.steps_affine(input, embed);
        let position = self.graph.constant(position, &[self.steps, width]);
        let mut x = self.graph.add(&embedded, &position);
        for block in blocks {
            let normed = self.norm(&x, &block.attend_norm);
            let attended = self.attend(&normed, block);
            x = self.graph.add(&x, &attended);
            let normed = self.norm(&x, &block.forward_norm);
            let wide = self.steps_affine(&normed, &block.widen);
            let wide = self.graph.relu(&wide);
            let narrow = self.steps_affine(&wide, &block.narrow);
            x = self.graph.add(&x, &narrow);
        }
        self.graph.reshape(&x, &[self.steps * width])
    }

    fn attend(&mut self, x: &Value, block: &Block) -> Value {
        let (steps, width) = (self.steps, block.query.outputs);
        let head = width / HEADS;
        let heads = |this: &mut Self, layer: &Affine, order: &[i64]| {
            let y = this.steps_affine(x, layer);
            let y = this.graph.reshape(&y, &[steps, HEADS, head]);
            this.graph.transpose(&y, order)
        };
        let query = heads(self, &block.query, &[0, 2, 1, 3]);
        let key = heads(self, &block.key, &[0, 2, 3, 1]);
        let value = heads(self, &block.value, &[0, 2, 1, 3]);
        let g = &mut self.graph;
        let scale = g.scalar(1.0 / (head as f32).sqrt());
        let query = g.mul(&query, &scale);
        let weights = g.matmul(&query, &key);
        let weights = g.softmax(&weights);
        let mixed = g.matmul(&weights, &value);
        let mixed = g.transpose(&mixed, &[0, 2, 1, 3]);
        let mixed = g.reshape(&mixed, &[steps, width]);
        self.steps_affine(&mixed, &block.merge)
    }

    /// Means as products with a constant: see [`super`].
    fn norm(&mut self, x: &Value, norm: &Norm) -> Value {
        let width = norm.gain.len();
        let g = &mut self.graph;
        let average = g.constant(&vec![1.0 / width as f32; width], &[width, 1]);
        let mean = g.matmul(x, &average);
        let centred = g.sub(x, &mean);
        let square = g.mul(&centred, &centred);
        let variance = g.matmul(&square, &average);
        let epsilon = g.scalar(NORM_EPSILON);
        let variance = g.add(&variance, &epsilon);
        let spread = g.sqrt(&variance);
        let normed = g.div(&centred, &spread);
        let gain = g.constant(&norm.gain, &[width]);
        let bias = g.constant(&norm.bias, &[width]);
        let scaled = g.mul(&normed, &gain);
        g.add(&scaled, &bias)
    }

    /// Layers with ReLU between.
    fn layers(&mut self, x: &Value, layers: &[Affine]) -> Value {
        let mut x = x.clone();
        for (at, layer) in layers.iter().enumerate() {
            if at > 0 {
                x = self.graph.relu(&x);
            }
            x = self.affine(&x, layer);
        }
        x
    }

    /// For `[batch, inputs]`.
    fn affine(&mut self, x: &Value, layer: &Affine) -> Value {
        let weight = self.graph.constant(&layer.weight, &[layer.inputs, layer.outputs]);
        let bias = self.graph.constant(&layer.bias, &[layer.outputs]);
        self.graph.gemm(x, &weight, &bias)
    }

    /// For `[batch, steps, inputs]`.
    fn steps_affine(&mut self, x: &Value, layer: &Affine) -> Value {
        let weight = self.graph.constant(&layer.weight, &[layer.inputs, layer.outputs]);
        let bias = self.graph.constant(&layer.bias, &[layer.outputs]);
        let product = self.graph.matmul(x, &weight);
        self.graph.add(&product, &bias)
    }
}
