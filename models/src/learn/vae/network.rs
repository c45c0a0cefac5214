//! The autoencoder as the training backend sees it.

use burn::module::{Module, Param};
use burn::tensor::activation::{relu, softmax};
use burn::tensor::module::{conv_transpose1d, conv1d, linear};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Device, Tensor, TensorData};

use super::super::layer::{self, HEADS, NORM_EPSILON, Reach};
use super::super::random::Random;
use super::{Decoder, Encoder, LOGVAR_LIMIT, Vae};
use crate::specification::{Architecture, Specification};

/// log σ² of the latent at first: with the prior's 0 the noise drowns what little the mean says
/// yet, and the first passes learn only to ignore the latent.
const LOGVAR_START: f32 = -4.0;

/// `y = x · weight + bias`
#[derive(Module, Debug)]
struct Affine {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

impl Affine {
    fn new(inputs: usize, outputs: usize, random: &mut Random, device: &Device) -> Self {
        let weight = parameter([inputs, outputs], keeping(inputs), random, device);
        Self { weight, bias: Param::from_tensor(Tensor::zeros([outputs], device)) }
    }

    /// Says the same of everything, until it learns better.
    fn constant(inputs: usize, outputs: usize, value: f32, device: &Device) -> Self {
        Self {
            weight: Param::from_tensor(Tensor::zeros([inputs, outputs], device)),
            bias: Param::from_tensor(Tensor::full([outputs], value, device)),
        }
    }

    fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        linear(x, self.weight.val(), Some(self.bias.val()))
    }

    fn numbers(&self) -> layer::Affine {
        let [inputs, outputs] = self.weight.val().dims();
        layer::Affine {
            inputs,
            outputs,
            weight: numbers(self.weight.val()),
            bias: numbers(self.bias.val()),
        }
    }
}

/// See [`layer::Convolution`].
#[derive(Module, Debug)]
struct Convolution {
    weight: Param<Tensor<3>>,
    bias: Param<Tensor<1>>,
}

impl Convolution {
    fn new(
        shape: [usize; 3],
        outputs: usize,
        fan_in: usize,
        random: &mut Random,
        device: &Device,
    ) -> Self {
        let weight = parameter(shape, keeping(fan_in), random, device);
        Self { weight, bias: Param::from_tensor(Tensor::zeros([outputs], device)) }
    }

    fn numbers(&self, inputs: usize, outputs: usize, reach: Reach) -> layer::Convolution {
        layer::Convolution {
            inputs,
            outputs,
            reach,
            weight: numbers(self.weight.val()),
            bias: numbers(self.bias.val()),
        }
    }
}

/// See [`layer::Norm`].
#[derive(Module, Debug)]
struct Norm {
    gain: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
}

impl Norm {
    fn new(width: usize, device: &Device) -> Self {
        Self {
            gain: Param::from_tensor(Tensor::ones([width], device)),
            bias: Param::from_tensor(Tensor::zeros([width], device)),
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let centred = x.clone() - x.mean_dim(2);
        let variance = (centred.clone() * centred.clone()).mean_dim(2);
        let normed = centred / variance.add_scalar(NORM_EPSILON).sqrt();
        normed * self.gain.val().unsqueeze::<3>() + self.bias.val().unsqueeze::<3>()
    }

    fn numbers(&self) -> layer::Norm {
        layer::Norm { gain: numbers(self.gain.val()), bias: numbers(self.bias.val()) }
    }
}

/// See [`layer::Block`].
#[derive(Module, Debug)]
struct Block {
    attend_norm: Norm,
    query: Affine,
    key: Affine,
    value: Affine,
    merge: Affine,
    forward_norm: Norm,
    widen: Affine,
    narrow: Affine,
}

impl Block {
    fn new(width: usize, wide: usize, random: &mut Random, device: &Device) -> Self {
        let mut square = || Affine::new(width, width, random, device);
        let (query, key, value, merge) = (square(), square(), square(), square());
        Self {
            attend_norm: Norm::new(width, device),
            query,
            key,
            value,
            merge,
            forward_norm: Norm::new(width, device),
            widen: Affine::new(width, wide, random, device),
            narrow: Affine::new(wide, width, random, device),
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, steps, width] = x.dims();
        let head = width / HEADS;
        let normed = self.attend_norm.forward(x.clone());
        let heads = |layer: &Affine| {
            layer.forward(normed.clone()).reshape([batch, steps, HEADS, head]).swap_dims(1, 2)
        };
        let query = heads(&self.query).mul_scalar(1.0 / (head as f32).sqrt());
        let key = heads(&self.key).swap_dims(2, 3);
        let mixed = softmax(query.matmul(key), 3).matmul(heads(&self.value));
        let x = x + self.merge.forward(mixed.swap_dims(1, 2).reshape([batch, steps, width]));
        let normed = self.forward_norm.forward(x.clone());
        x + self.narrow.forward(relu(self.widen.forward(normed)))
    }

    fn numbers(&self) -> layer::Block {
        layer::Block {
            attend_norm: self.attend_norm.numbers(),
            query: self.query.numbers(),
            key: self.key.numbers(),
            value: self.value.numbers(),
            merge: self.merge.numbers(),
            forward_norm: self.forward_norm.numbers(),
            widen: self.widen.numbers(),
            narrow: self.narrow.numbers(),
        }
    }
}

/// The whole autoencoder. Lists that an architecture does not use are empty.
#[derive(Module, Debug)]
pub(super) struct Network {
    embed: Vec<Affine>,
    position: Vec<Param<Tensor<2>>>,
    blocks: Vec<Block>,
    convolutions: Vec<Convolution>,
    layers: Vec<Affine>,
    mu: Affine,
    /// Empty of a plain autoencoder.
    logvar: Vec<Affine>,
    expand: Vec<Affine>,
    deconvolutions: Vec<Convolution>,
    unlayers: Vec<Affine>,
    ahead: Vec<Affine>,
}

/// What the network says of a batch; standardised units.
#[derive(Debug)]
pub(super) struct Said {
    /// `[batch, latents]`
    pub(super) mu: Tensor<2>,
    /// `[batch, latents]`; none of a plain autoencoder.
    pub(super) logvar: Option<Tensor<2>>,
    /// `[batch, steps, channels]`
    pub(super) rebuilt: Tensor<3>,
    /// `[batch, horizon · channels]`
    pub(super) ahead: Option<Tensor<2>>,
}

impl Network {
    /// Fresh weights.
    pub(super) fn new(spec: &Specification, random: &mut Random, device: &Device) -> Self {
        let (steps, channels) = (spec.steps, spec.channels.len());
        let plan = Plan::new(spec);
        let mut affine = |inputs, outputs| Affine::new(inputs, outputs, random, device);
        let mut network = Self {
            embed: vec![],
            position: vec![],
            blocks: vec![],
            convolutions: vec![],
            layers: vec![],
            mu: affine(plan.hidden, spec.latents),
            logvar: Vec::new(),
            expand: vec![],
            deconvolutions: vec![],
            unlayers: vec![],
            ahead: vec![],
        };
        if spec.architecture.is_vae() {
            let start = Affine::constant(plan.hidden, spec.latents, LOGVAR_START, device);
            network.logvar = vec![start];
        }
        if let Some(forecast) = &spec.forecast {
            let wide = spec.latents.max(32);
            network.ahead =
                vec![affine(spec.latents, wide), affine(wide, forecast.horizon * channels)];
        }
        match spec.architecture {
            Architecture::VaeTransformer => {
                let width = spec.hidden[0];
                network.embed = vec![affine(channels, width)];
                network.position = vec![parameter([steps, width], 0.1, random, device)];
                network.blocks = spec.hidden[1..]
                    .iter()
                    .map(|wide| Block::new(width, *wide, random, device))
                    .collect();
            }
            Architecture::VaeDense | Architecture::Autoencoder => {
                let widths: Vec<usize> =
                    std::iter::once(steps * channels).chain(spec.hidden.iter().copied()).collect();
                network.layers = widths.windows(2).map(|w| affine(w[0], w[1])).collect();
                let back: Vec<usize> =
                    std::iter::once(spec.latents).chain(widths.into_iter().rev()).collect();
                network.unlayers = back.windows(2).map(|w| affine(w[0], w[1])).collect();
                return network;
            }
            _ => {
                network.convolutions = plan
                    .stages()
                    .map(|(wide, narrow, reach)| {
                        let fan_in = wide * reach.kernel;
                        Convolution::new(
                            [narrow, wide, reach.kernel],
                            narrow,
                            fan_in,
                            random,
                            device,
                        )
                    })
                    .collect();
            }
        }
        network.expand = vec![Affine::new(spec.latents, plan.shortest(), random, device)];
        network.deconvolutions = plan
            .stages()
            .rev()
            .map(|(wide, narrow, reach)| {
                let fan_in = (narrow * reach.kernel).div_ceil(reach.stride);
                Convolution::new([narrow, wide, reach.kernel], wide, fan_in, random, device)
            })
            .collect();
        network
    }

    /// Encodes, takes the latent's mean or, given standard normal noise of `[batch, latents]`,
    /// draws from it, and decodes.
    pub(super) fn forward(&self, plan: &Plan, x: Tensor<3>, noise: Option<Tensor<2>>) -> Said {
        let [batch, steps, channels] = x.dims();
        let hidden = self.encode(plan, x);
        let mu = self.mu.forward(hidden.clone());
        let logvar = self.logvar.first();
        let logvar = logvar.map(|layer| layer.forward(hidden).clamp(-LOGVAR_LIMIT, LOGVAR_LIMIT));
        let latent = match (noise, &logvar) {
            (Some(noise), Some(logvar)) => {
                mu.clone() + logvar.clone().mul_scalar(0.5).exp() * noise
            }
            _ => mu.clone(),
        };
        let ahead = (!self.ahead.is_empty()).then(|| through(&self.ahead, latent.clone()));
        let rebuilt = match self.expand.first() {
            Some(expand) => self.decode_cnn(plan, expand.forward(latent)),
            None => through(&self.unlayers, latent).reshape([batch, steps, channels]),
        };
        Said { mu, logvar, rebuilt, ahead }
    }

    fn encode(&self, plan: &Plan, x: Tensor<3>) -> Tensor<2> {
        let batch = x.dims()[0];
        if let (Some(embed), Some(position)) = (self.embed.first(), self.position.first()) {
            let embedded = embed.forward(x) + position.val().unsqueeze::<3>();
            let encoded = self.blocks.iter().fold(embedded, |x, block| block.forward(x));
            return encoded.reshape([batch, plan.hidden]);
        }
        if !self.layers.is_empty() {
            let [_, steps, channels] = x.dims();
            return relu(through(&self.layers, x.reshape([batch, steps * channels])));
        }
        let mut x = x.swap_dims(1, 2);
        for (convolution, (_, _, reach)) in self.convolutions.iter().zip(plan.stages()) {
            let (weight, bias) = (convolution.weight.val(), convolution.bias.val());
            let options = ConvOptions::new([reach.stride], [0], [1], 1);
            x = relu(conv1d(x, weight, Some(bias), options));
        }
        x.reshape([batch, plan.hidden])
    }

    fn decode_cnn(&self, plan: &Plan, x: Tensor<2>) -> Tensor<3> {
        let batch = x.dims()[0];
        let (_, narrow, reach) = plan.last();
        let mut x = x.reshape([batch, narrow, reach.short]);
        for (convolution, (_, _, reach)) in self.deconvolutions.iter().zip(plan.stages().rev()) {
            let (weight, bias) = (convolution.weight.val(), convolution.bias.val());
            let padding_out = [reach.padding_out()];
            let options = ConvTransposeOptions::new([reach.stride], [0], padding_out, [1], 1);
            x = conv_transpose1d(relu(x), weight, Some(bias), options);
        }
        x.swap_dims(1, 2)
    }

    /// The weights as plain numbers.
    pub(super) fn numbers(&self, plan: &Plan) -> Vae {
        let all = |layers: &[Affine]| layers.iter().map(Affine::numbers).collect::<Vec<_>>();
        let encoder = match (self.embed.first(), self.position.first()) {
            (Some(embed), Some(position)) => Encoder::Transformer {
                embed: embed.numbers(),
                position: numbers(position.val()),
                blocks: self.blocks.iter().map(Block::numbers).collect(),
            },
            _ if !self.layers.is_empty() => Encoder::Dense(all(&self.layers)),
            _ => Encoder::Cnn(
                self.convolutions
                    .iter()
                    .zip(plan.stages())
                    .map(|(layer, (wide, narrow, reach))| layer.numbers(wide, narrow, reach))
                    .collect(),
            ),
        };
        let decoder = match self.expand.first() {
            Some(expand) => Decoder::Cnn {
                expand: expand.numbers(),
                convolutions: self
                    .deconvolutions
                    .iter()
                    .zip(plan.stages().rev())
                    .map(|(layer, (wide, narrow, reach))| layer.numbers(narrow, wide, reach))
                    .collect(),
            },
            None => Decoder::Dense(all(&self.unlayers)),
        };
        Vae {
            encoder,
            mu: self.mu.numbers(),
            logvar: self.logvar.first().map(Affine::numbers),
            decoder,
            forecast: all(&self.ahead),
        }
    }
}

/// The widths and lengths that a specification leads to.
#[derive(Debug)]
pub(super) struct Plan {
    /// Channels at each end of the convolutions, from the window inwards; one more than reaches.
    widths: Vec<usize>,
    reaches: Vec<Reach>,
    /// Width of the hidden vector that the latent is read from.
    hidden: usize,
}

impl Plan {
    pub(super) fn new(spec: &Specification) -> Self {
        let inner = match spec.architecture {
            // The decoder behind a Transformer: two halvings at the model's width.
            Architecture::VaeTransformer => vec![spec.hidden[0]; 2],
            _ => spec.hidden.clone(),
        };
        let reaches = Reach::chain(spec.steps, inner.len());
        let widths = std::iter::once(spec.channels.len()).chain(inner).collect();
        let mut plan = Self { widths, reaches, hidden: 0 };
        plan.hidden = match spec.architecture {
            Architecture::VaeTransformer => spec.steps * spec.hidden[0],
            Architecture::VaeDense | Architecture::Autoencoder => {
                spec.hidden[spec.hidden.len() - 1]
            }
            _ => plan.shortest(),
        };
        plan
    }

    /// Outer width, inner width and reach of each convolution, from the window inwards.
    fn stages(&self) -> impl DoubleEndedIterator<Item = (usize, usize, Reach)> {
        self.widths.windows(2).zip(&self.reaches).map(|(w, reach)| (w[0], w[1], *reach))
    }

    fn last(&self) -> (usize, usize, Reach) {
        self.stages().next_back().expect("a VAE has at least one hidden layer: validated")
    }

    /// Elements of the shortest sequence.
    fn shortest(&self) -> usize {
        let (_, narrow, reach) = self.last();
        narrow * reach.short
    }
}

/// Layers with ReLU between.
fn through(layers: &[Affine], x: Tensor<2>) -> Tensor<2> {
    layers
        .iter()
        .enumerate()
        .fold(x, |x, (at, layer)| layer.forward(if at > 0 { relu(x) } else { x }))
}

/// Weights uniform in ± this keep their input's variance (LeCun et al. 1998).
fn keeping(fan_in: usize) -> f64 {
    (3.0 / fan_in as f64).sqrt()
}

fn parameter<const D: usize>(
    shape: [usize; D],
    limit: f64,
    random: &mut Random,
    device: &Device,
) -> Param<Tensor<D>> {
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| random.symmetric(limit)).collect();
    Param::from_tensor(tensor(values, shape, device))
}

/// A tensor of these values, row-major.
pub(super) fn tensor<const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    device: &Device,
) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// A tensor's values, row-major.
pub(super) fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("every tensor here is made of f32")
}
