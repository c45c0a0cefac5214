//! Samples to a model file: check, learn, calibrate, export.

use cloudops_operators::score::ModelInfo;
use serde::{Deserialize, Serialize};

use crate::specification::Specification;

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
