//! Samples to a model file: check, learn, calibrate, export.

use cloudops_operators::score::ModelInfo;
use serde::{Deserialize, Serialize};

#[cfg(not(feature = "train"))]
use crate::Error;
use crate::Result;
use crate::calibrate::{calibrate, model_info};
#[cfg(feature = "train")]
use crate::learn::vae;
use crate::learn::{Body, Learned, Outputs, max_abs_z, pca, scaling::Scaling};
use crate::onnx::export;
use crate::samples::Samples;
use crate::specification::{Architecture, Specification};

/// The losses of one pass over the training windows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochLoss {
    /// The pass, from 1.
    pub epoch: usize,
    /// Mean loss over the training windows, as they were met.
    pub train: f32,
    /// Mean loss over the holdout windows after it, at the latent's mean.
    pub holdout: f32,
}

/// How training went. Holds nothing of the machine it ran on: equal runs give equal reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainReport {
    /// One entry a pass; empty for models that are not learned by gradients.
    pub history: Vec<EpochLoss>,
    /// The pass whose weights were kept; 0 for models that are not learned by gradients.
    pub best_epoch: usize,
    /// Windows learned from, after thinning.
    pub windows_train: usize,
    /// Windows that decided when to stop.
    pub windows_holdout: usize,
    /// Windows that the score was calibrated on.
    pub windows_calibration: usize,
}

/// Hears of every pass over the training windows.
pub trait Progress {
    /// Pass `epoch` (from 1) of at most `of` ended with these mean losses.
    fn epoch(&mut self, epoch: usize, of: usize, train_loss: f32, holdout_loss: f32);
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn epoch(&mut self, _: usize, _: usize, _: f32, _: f32) {}
}

/// A trained model.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The file: a function of the specification and the samples, to the bit.
    pub onnx: Vec<u8>,
    /// What operators need to know of it. The version is empty: the registry computes it from the
    /// file, which can therefore not hold it.
    pub info: ModelInfo,
    /// How training went.
    pub report: TrainReport,
    /// What it was trained by.
    pub specification: Specification,
}

/// Trains, calibrates and exports a model.
///
/// `train` is what it learns from, thinned to `training.max_windows`; `holdout` is later in time
/// than all of it, decides when training stops, and calibrates the score. The result is a function
/// of the three arguments, to the bit.
///
/// # Errors
/// [`crate::Error::Configuration`] for a specification that cannot be learned, or one of a VAE in a build
/// without the feature `train`; [`crate::Error::Data`] for samples that do not fit it;
/// [`crate::Error::Training`] when the loss does not stay finite.
pub fn train(
    specification: &Specification,
    train: &Samples,
    holdout: &Samples,
    progress: &mut dyn Progress,
) -> Result<Trained> {
    let fitted = fit(specification, train, holdout, progress)?;
    let Fit { learned, outputs, report } = fitted;
    let calibration = calibrate(&outputs);
    let info = model_info(specification, &learned, &calibration, holdout);
    let onnx = export(specification, &learned, &calibration, &info, &report)?;
    Ok(Trained { onnx, info, report, specification: specification.clone() })
}

/// A fitted model before calibration.
#[derive(Debug, Clone)]
pub struct Fit {
    /// What was learned.
    pub learned: Learned,
    /// The trainer's own outputs on all holdout windows.
    pub outputs: Outputs,
    /// How it went.
    pub report: TrainReport,
}

/// The first half of [`train()`]: what was learned, and the trainer's own outputs on the holdout,
/// which an exported file can be held against.
///
/// # Errors
/// As [`train()`].
pub fn fit(
    specification: &Specification,
    train: &Samples,
    holdout: &Samples,
    progress: &mut dyn Progress,
) -> Result<Fit> {
    specification.validate()?;
    train.check(specification, "training")?;
    holdout.check(specification, "holdout")?;
    let train = train.thinned(specification.training.max_windows);
    let scaling = match specification.personal {
        true => Scaling::fit_personal(&train),
        false => Scaling::fit(&train),
    };
    let report = TrainReport {
        history: vec![],
        best_epoch: 0,
        windows_train: train.len(),
        windows_holdout: 0,
        windows_calibration: holdout.len(),
    };
    let (body, outputs, report) = match specification.architecture {
        Architecture::MaxAbsZ => (Body::MaxAbsZ, max_abs_z::forward(&scaling, holdout), report),
        Architecture::Pca => {
            let components = pca::fit(specification, &scaling, &train);
            let outputs = pca::forward(specification, &scaling, &components, holdout);
            (Body::Pca(components), outputs, report)
        }
        Architecture::VaeCnn
        | Architecture::VaeTransformer
        | Architecture::VaeDense
        | Architecture::Autoencoder => {
            fit_vae(specification, &scaling, (&train, holdout), progress, report)?
        }
    };
    Ok(Fit { learned: Learned { scaling, body }, outputs, report })
}

#[cfg(feature = "train")]
fn fit_vae(
    specification: &Specification,
    scaling: &Scaling,
    samples: (&Samples, &Samples),
    progress: &mut dyn Progress,
    report: TrainReport,
) -> Result<(Body, Outputs, TrainReport)> {
    let fitted = vae::fit(specification, scaling, samples, progress)?;
    let report = TrainReport {
        history: fitted.history,
        best_epoch: fitted.best_epoch,
        windows_holdout: fitted.windows_holdout,
        ..report
    };
    Ok((Body::Vae(Box::new(fitted.vae)), fitted.outputs, report))
}

#[cfg(not(feature = "train"))]
fn fit_vae(
    specification: &Specification,
    _: &Scaling,
    _: (&Samples, &Samples),
    _: &mut dyn Progress,
    _: TrainReport,
) -> Result<(Body, Outputs, TrainReport)> {
    Err(Error::Configuration(format!(
        "model `{}`: {} is trained by builds with the feature `train` only; this one offers pca and max-abs-z",
        specification.name, specification.architecture
    )))
}
