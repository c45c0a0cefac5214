//! The model card: what a model is, learned from what, how far to trust it.
//!
//! A card is generated from a [`ModelCard`], never typed; every sentence in it
//! is a field or follows from one. It comes as JSON (the struct itself), as
//! Markdown, and with a plot of the training curve as SVG. The idea is that of
//! [Mitchell et al. 2019](https://arxiv.org/abs/1810.03993).

use cloudops_operators::score::ModelInfo;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::scorer::Invariance;

mod markdown;
mod plot;

/// Everything a card tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// Name, version, channels, calibration quantiles.
    pub info: ModelInfo,
    /// The family, e.g. `vae-cnn`; `onnx` for a brought file.
    pub architecture: String,
    /// Learned parameters; `None` where not counted.
    pub parameters: Option<u64>,
    /// The declaration it was trained from, as it was; null for a brought file.
    #[serde(default)]
    pub specification: Value,
    /// What it was learned from; `None` where unknown, as for a brought file.
    pub data: Option<DataCard>,
    /// Loss after each pass; empty for a model without any.
    pub curve: Vec<CurvePoint>,
    /// Whether scores depend on the batch, as measured at registration.
    pub invariance: Option<Invariance>,
    /// Rows of an evaluation table; each an object. Empty if it was not evaluated.
    pub evaluation: Vec<Value>,
    /// Commands, in order, that lead to this version again.
    pub reproduce: Vec<String>,
}

/// The data a model was learned from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataCard {
    /// Name of the stream or data set.
    pub source: String,
    /// Windows the parameters were learned from.
    pub train_windows: u64,
    /// Windows held out, on which the best pass was chosen.
    pub holdout_windows: u64,
    /// Windows that set the score's scale and quantiles.
    pub calibration_windows: u64,
    /// First and last source offset, inclusive, where the source has such.
    pub offsets: Option<(u64, u64)>,
    /// First and last event time, µs since 1970, UTC.
    pub time_range: Option<(i64, i64)>,
    /// SHA-256 of the training values, hex; tells whether a repetition had the same data.
    pub fingerprint: Option<String>,
}

/// One pass over the training windows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Counted from 1.
    pub epoch: u32,
    /// Mean loss over the training windows.
    pub train: f64,
    /// Mean loss over the held-out windows.
    pub holdout: f64,
}

impl ModelCard {
    /// A card that tells what the model's own description tells; fill in what else is known.
    #[must_use]
    pub fn new(info: ModelInfo, architecture: impl Into<String>) -> Self {
        Self {
            info,
            architecture: architecture.into(),
            parameters: None,
            specification: Value::Null,
            data: None,
            curve: Vec::new(),
            invariance: None,
            evaluation: Vec::new(),
            reproduce: Vec::new(),
        }
    }

    /// The pass with the least held-out loss, the earliest of equals; `None` without a curve.
    #[must_use]
    pub fn best_pass(&self) -> Option<&CurvePoint> {
        self.curve
            .iter()
            .reduce(|best, point| if point.holdout < best.holdout { point } else { best })
    }

    /// The card as Markdown. It shows `card.svg` where there is a training curve.
    #[must_use]
    pub fn markdown(&self) -> String {
        markdown::write(self)
    }

    /// The card as indented JSON.
    ///
    /// # Errors
    /// When a value cannot be JSON, which no field allows.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }

    /// The training curve as an SVG picture; `None` without a curve.
    #[must_use]
    pub fn svg(&self) -> Option<String> {
        plot::curve(&self.curve)
    }
}
