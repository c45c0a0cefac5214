//! From healthy windows to a scorer on the exported file: the path that the product takes.

use cloudops_operators::score::Scorer;

use super::sensor::{Options, SensorSet};
use super::series::Healthy;
use crate::Result;
use crate::scorer::{OrtScorer, ScorerOptions};
use crate::specification::{Architecture, Specification};
use crate::train::{Quiet, train};

/// What is fixed for a set before any label is seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Setup {
    /// Rows of a window.
    pub(super) steps: usize,
    /// Passes over the training windows at most.
    pub(super) epochs: usize,
    /// Windows in one step of the optimiser.
    pub(super) batch_size: usize,
    /// Training windows at most.
    pub(super) max_windows: usize,
    /// Latent dimensions of the VAEs; PCA takes as many components as its default says.
    pub(super) latents: usize,
    /// Weight of the VAEs' KL divergence.
    pub(super) beta: f32,
}

impl Setup {
    /// The set-up of a set; `quick` gives up accuracy for time.
    pub(super) fn of(set: SensorSet, quick: bool) -> Self {
        // Windows long enough to hold a shape, short enough that the healthy rows (300 to learn
        // from in SKAB, some 40 cycles an engine) hold many. Fewer windows: smaller batches and
        // more passes, for about as many steps of the optimiser.
        //
        // Latents and β: the best of {8, 16, 32} × {1e-3, 1e-4} for `vae-cnn` by how well it told
        // held-out healthy windows from the same windows with faults drawn into them (shift, stuck
        // value, noise, ramp of 1.5 standard deviations on some channels; every third experiment,
        // fifth series, second machine), so by training rows alone. It matters little: AUROC
        // 0.669–0.690 in SKAB, 0.724–0.775 in NAB, 0.618–0.655 in SMD. C-MAPSS keeps the defaults.
        let max_windows = 8_192;
        let (steps, epochs, batch_size, latents, beta) = match set {
            SensorSet::Smd => (32, 60, 128, 16, 1e-4),
            SensorSet::Skab => (16, 100, 32, 32, 1e-4),
            SensorSet::Nab => (32, 100, 32, 32, 1e-3),
            SensorSet::Cmapss => (16, 40, 64, 8, 1e-3),
        };
        let setup = Self { steps, epochs, batch_size, max_windows, latents, beta };
        if quick { Self { epochs: 3, max_windows: 512, ..setup } } else { setup }
    }
}

/// Trains a model on healthy windows and opens the file that comes of it.
pub(super) fn fit(
    architecture: Architecture,
    set: SensorSet,
    channels: &[String],
    healthy: &Healthy,
    options: &Options,
) -> Result<Box<dyn Scorer>> {
    let setup = Setup::of(set, options.quick);
    let name = format!("{set}-{architecture}");
    let mut specification = Specification::new(architecture, name, setup.steps, channels.to_vec());
    specification.training.seed = options.seed;
    specification.training.epochs = setup.epochs;
    specification.training.batch_size = setup.batch_size;
    specification.training.max_windows = setup.max_windows;
    if architecture.is_vae() {
        specification.latents = setup.latents;
        specification.beta = setup.beta;
    }
    let trained = train(&specification, &healthy.train, &healthy.holdout, &mut Quiet)?;
    let options = ScorerOptions { step_errors: false, latents: false, ..ScorerOptions::default() };
    Ok(Box::new(OrtScorer::new(&trained.onnx, trained.info, &options)?))
}
