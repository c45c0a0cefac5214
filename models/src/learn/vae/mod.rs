//! The variational autoencoder (Kingma & Welling 2014), with three encoders; and the plain one, which is
//! the dense one without a distribution: a deep autoencoder (Hinton & Salakhutdinov 2006).
//!
//! A window's latent is a normal distribution; training draws from it
//! (reparameterised), the exported model uses its mean. The loss is the
//! reconstruction's mean error per element + β · KL, where specified with the
//! forecasting head's error. Deviation from the paper: β weighs the KL against
//! a *mean* over elements, so that it means the same for every window length.

#[cfg(feature = "train")]
mod fit;
#[cfg(feature = "train")]
mod network;

#[cfg(feature = "train")]
pub(crate) use fit::fit;

use super::layer::{Affine, Block, Convolution};

/// log σ² is clamped to this (±): keeps its exponential finite for windows far from any seen.
pub const LOGVAR_LIMIT: f32 = 10.0;

/// Learned parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Vae {
    /// Window to a hidden vector.
    pub encoder: Encoder,
    /// Hidden vector to the latent's mean.
    pub mu: Affine,
    /// Hidden vector to the latent's log-variance; none of a plain autoencoder.
    pub logvar: Option<Affine>,
    /// Latent to window.
    pub decoder: Decoder,
    /// Latent to the steps after the window, ReLU between; empty without a forecasting head.
    pub forecast: Vec<Affine>,
}

/// Window to a hidden vector.
#[derive(Debug, Clone, PartialEq)]
pub enum Encoder {
    /// Convolutions over steps, ReLU behind each.
    Cnn(Vec<Convolution>),
    /// Transformer blocks over embedded steps.
    Transformer {
        /// A step's channels to the model's width.
        embed: Affine,
        /// `[steps, width]`, learned, added to the embedding.
        position: Vec<f32>,
        /// The blocks.
        blocks: Vec<Block>,
    },
    /// Layers over the whole window, ReLU behind each.
    Dense(Vec<Affine>),
}

/// Latent to window.
#[derive(Debug, Clone, PartialEq)]
pub enum Decoder {
    /// Latent to the shortest sequence, then transposed convolutions; ReLU between.
    Cnn {
        /// Latent to `[channels, steps]` of the shortest sequence.
        expand: Affine,
        /// Each undoes one halving.
        convolutions: Vec<Convolution>,
    },
    /// Layers, ReLU between, to the whole window.
    Dense(Vec<Affine>),
}
