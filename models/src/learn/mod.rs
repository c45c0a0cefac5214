//! The models, one a file: parameters, how they are fitted, and their own forward pass.
//!
//! What was learned is plain numbers ([`Learned`]): the export knows nothing
//! of the training backend, and models without gradients need none.

pub mod forest;
pub mod isolation_forest;
pub mod layer;
pub mod logistic;
pub mod max_abs_z;
pub mod pca;
pub(crate) mod random;
pub mod scaling;
pub mod vae;

use crate::specification::{Loss, Specification};
use scaling::Scaling;

/// Errors are measured against standardised values clamped to this (±): wider than
/// [`scaling::INPUT_LIMIT`], so that of several broken channels the worst still ranks first.
///
/// Mean AUPRC of windows of 30 steps over four SMD machines: max-|z| 0.27 with errors clamped to
/// 10, 0.60 to 100, 0.60 unclamped; PCA with inputs and errors clamped to 10 0.54, to 10 and 100
/// 0.63, unclamped 0.53.
pub const ERROR_LIMIT: f32 = 100.0;

/// A fitted model.
#[derive(Debug, Clone, PartialEq)]
pub struct Learned {
    /// Raw to standardised.
    pub scaling: Scaling,
    /// The rest, by architecture.
    pub body: Body,
}

/// What is particular to a model.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// A variational autoencoder.
    Vae(Box<vae::Vae>),
    /// Principal components.
    Pca(pca::Components),
    /// Nothing: the scaling is all there is.
    MaxAbsZ,
}

impl Body {
    /// Latent dimensions.
    #[must_use]
    pub fn latents(&self) -> usize {
        match self {
            Self::Vae(vae) => vae.mu.outputs,
            Self::Pca(components) => components.count,
            Self::MaxAbsZ => 0,
        }
    }
}

/// What a model says of windows, before calibration; row-major, named as in [`crate::onnx`].
/// Empty where a model has no such output.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outputs {
    /// `[n]`
    pub reconstruction_error: Vec<f32>,
    /// `[n]`
    pub kl: Vec<f32>,
    /// `[n, latents]`
    pub mu: Vec<f32>,
    /// `[n, latents]`
    pub logvar: Vec<f32>,
    /// `[n, channels]`
    pub error_by_channel: Vec<f32>,
    /// `[n, steps]`
    pub error_by_step: Vec<f32>,
    /// `[n, steps, channels]`, raw units
    pub reconstruction: Vec<f32>,
    /// `[n, horizon, channels]`, raw units
    pub forecast: Vec<f32>,
}

impl Outputs {
    /// Adds the errors of windows of which `target` is the standardised value and `rebuilt` the
    /// standardised reconstruction, both `[n, steps, channels]`.
    fn push_errors(&mut self, specification: &Specification, target: &[f32], rebuilt: &[f32]) {
        let (steps, channels) = (specification.steps, specification.channels.len());
        let share = 1.0 / (steps * channels) as f32;
        for (target, rebuilt) in
            target.chunks_exact(steps * channels).zip(rebuilt.chunks_exact(steps * channels))
        {
            let mut by_channel = vec![0.0; channels];
            let mut by_step = vec![0.0; steps];
            for (at, (target, rebuilt)) in target.iter().zip(rebuilt).enumerate() {
                let error = match specification.loss {
                    Loss::Mse => (target - rebuilt) * (target - rebuilt),
                    Loss::Mae => (target - rebuilt).abs(),
                } * share;
                by_channel[at % channels] += error;
                by_step[at / channels] += error;
            }
            self.reconstruction_error.push(by_channel.iter().sum());
            self.error_by_channel.extend(by_channel);
            self.error_by_step.extend(by_step);
        }
    }
}
