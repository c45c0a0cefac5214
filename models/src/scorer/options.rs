//! How a model is to be run, and which of its outputs hold what.

use serde::{Deserialize, Serialize};

use super::{Part, Scheme};
use crate::{Error, Result};

/// Rows of a tile unless configured. Measured on convolutional models of about 30 × 14 windows:
/// from 64 to 512 rows the cost of a window is within 5 %, below and above it rises.
pub const TILE: usize = 128;

/// Which outputs of a graph hold which part of the scores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputNames {
    /// `[n]` or `[n, 1]`: the score.
    pub score: String,
    /// `[n]`: the reconstruction error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconstruction_error: Option<String>,
    /// `[n]`: the KL divergence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kl: Option<String>,
    /// `[n, latents]`: the latent mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mu: Option<String>,
    /// `[n, channels]`: each channel's part of the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_by_channel: Option<String>,
    /// `[n, steps]`: each step's part of the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_by_step: Option<String>,
}

impl OutputNames {
    /// The outputs of a graph that bear a name known here: that of a field of this type, or
    /// `channel_error`, `step_error`, `latent`.
    ///
    /// # Errors
    /// [`Error::Configuration`] when none is called `score`.
    pub fn among<S: AsRef<str>>(outputs: &[S]) -> Result<Self> {
        let find = |names: &[&str]| {
            let named = |output: &&S| names.contains(&output.as_ref());
            outputs.iter().find(named).map(|output| output.as_ref().to_owned())
        };
        Ok(Self {
            score: find(&["score"]).ok_or_else(|| {
                let outputs: Vec<&str> = outputs.iter().map(AsRef::as_ref).collect();
                Error::Configuration(format!(
                    "no output is called `score`; name the one that is among {}",
                    outputs.join(", ")
                ))
            })?,
            reconstruction_error: find(&["reconstruction_error"]),
            kl: find(&["kl"]),
            mu: find(&["mu", "latent"]),
            error_by_channel: find(&["error_by_channel", "channel_error"]),
            error_by_step: find(&["error_by_step", "step_error"]),
        })
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = (Part, &str)> {
        [
            (Part::Score, Some(&self.score)),
            (Part::ReconstructionError, self.reconstruction_error.as_ref()),
            (Part::Kl, self.kl.as_ref()),
            (Part::Latent, self.mu.as_ref()),
            (Part::ChannelError, self.error_by_channel.as_ref()),
            (Part::StepError, self.error_by_step.as_ref()),
        ]
        .into_iter()
        .filter_map(|(part, name)| Some((part, name?.as_str())))
    }
}

/// How many rows go to the runtime at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tile {
    /// What suits the scheme: [`TILE`], or less where tiles must be full.
    #[default]
    Auto,
    /// This many.
    Fixed(usize),
}

/// How a model is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScorerOptions {
    /// Names of its outputs; found by [`OutputNames::among`] if `None`.
    pub outputs: Option<OutputNames>,
    /// Rows of a tile; has no effect on a score.
    pub tile: Tile,
    /// Whether errors by step are wanted; left out of the graph if not.
    pub step_errors: bool,
    /// Whether latents are wanted; left out of the graph if not.
    pub latents: bool,
    /// Whether the graph may be rewritten while it is loaded (see `rewrite`). Changes the score in
    /// its last digits, so it is part of what makes a run repeatable.
    pub rewrite: bool,
    /// In which scheme the model's bits are known not to depend on the batch.
    pub scheme: Scheme,
    /// Steps from one window of an entity to the next, where windows overlap and come in order: what
    /// a convolution says of the shared steps is then computed once (see `overlap`). No effect on a
    /// score.
    pub hop: Option<usize>,
}

impl Default for ScorerOptions {
    fn default() -> Self {
        Self {
            outputs: None,
            tile: Tile::Auto,
            step_errors: true,
            latents: true,
            rewrite: true,
            scheme: Scheme::Tiles,
            hop: None,
        }
    }
}

/// Values a row in each input of a graph; `None` where it has no such input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputShapes {
    /// Steps times channels.
    pub window: Option<usize>,
    /// Length of the feature vector.
    pub features: Option<usize>,
}
