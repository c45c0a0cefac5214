//! From healthy windows to a scorer on the exported file: the path that the product takes.

use cloudops_operators::score::Scorer;

use super::sensor::{Options, SensorSet};
use super::series::Healthy;
use crate::Result;
use crate::scorer::{OrtScorer, ScorerOptions};
use crate::specification::{Architecture, Specification};
use crate::train::{Quiet, train};

/// What is fixed for a set before any label is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Setup {
    /// Rows of a window.
    pub(super) steps: usize,
    /// Passes over the training windows at most.
    pub(super) epochs: usize,
    /// Windows in one step of the optimiser.
    pub(super) batch_size: usize,
    /// Training windows at most.
    pub(super) max_windows: usize,
}

impl Setup {
    /// The set-up of a set; `quick` gives up accuracy for time.
    pub(super) fn of(set: SensorSet, quick: bool) -> Self {
        // Windows long enough to hold a shape, short enough that the healthy rows (300 to learn
        // from in SKAB, some 40 cycles an engine) hold many. Fewer windows: smaller batches and
        // more passes, for about as many steps of the optimiser.
        let max_windows = 8_192;
        let setup = match set {
            SensorSet::Smd => Self { steps: 32, epochs: 20, batch_size: 128, max_windows },
            SensorSet::Skab => Self { steps: 16, epochs: 100, batch_size: 32, max_windows },
            SensorSet::Nab => Self { steps: 32, epochs: 100, batch_size: 32, max_windows },
            SensorSet::Cmapss => Self { steps: 16, epochs: 40, batch_size: 64, max_windows },
        };
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
    let trained = train(&specification, &healthy.train, &healthy.holdout, &mut Quiet)?;
    let options = ScorerOptions { step_errors: false, latents: false, ..ScorerOptions::default() };
    Ok(Box::new(OrtScorer::new(&trained.onnx, trained.info, &options)?))
}
