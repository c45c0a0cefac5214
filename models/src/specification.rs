//! What to learn, over which channels, and how: a model's declaration.
//!
//! A specification is data (TOML, JSON), travels inside the ONNX file it led
//! to, and together with the samples decides every bit of it.

use cloudops_operators::key::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// The family of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// Variational autoencoder with strided 1-D convolutions.
    VaeCnn,
    /// Variational autoencoder with a Transformer encoder and a convolutional decoder.
    VaeTransformer,
    /// Variational autoencoder with dense layers, for plain vectors.
    VaeDense,
    /// Deep autoencoder with dense layers, for plain vectors.
    Autoencoder,
    /// Reconstruction from the leading principal components.
    Pca,
    /// The largest standardised value of a window.
    MaxAbsZ,
}

impl Architecture {
    /// All of them, baselines last.
    pub const ALL: [Self; 6] = [
        Self::VaeCnn,
        Self::VaeTransformer,
        Self::VaeDense,
        Self::Autoencoder,
        Self::Pca,
        Self::MaxAbsZ,
    ];

    /// The name in configurations, tables and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::VaeCnn => "vae-cnn",
            Self::VaeTransformer => "vae-transformer",
            Self::VaeDense => "vae-dense",
            Self::Autoencoder => "autoencoder",
            Self::Pca => "pca",
            Self::MaxAbsZ => "max-abs-z",
        }
    }

    /// Whether it is learned by gradients.
    #[must_use]
    pub fn is_deep(self) -> bool {
        self.is_vae() || self == Self::Autoencoder
    }

    /// Whether it reads vectors whatever the shape of windows is.
    #[must_use]
    pub fn is_dense(self) -> bool {
        matches!(self, Self::VaeDense | Self::Autoencoder)
    }

    /// Whether it is a variational autoencoder: learned by gradients, with a KL divergence.
    #[must_use]
    pub fn is_vae(self) -> bool {
        matches!(self, Self::VaeCnn | Self::VaeTransformer | Self::VaeDense)
    }
}

impl std::fmt::Display for Architecture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Which column of a window batch a model reads; also the name of the graph's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// `window`: raw values, `[n, steps, channels]`.
    Window,
    /// `features`: one vector, `[n, channels]`; `steps` is 1.
    Features,
}

impl Input {
    /// The name of the column and of the graph's input.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::Features => "features",
        }
    }
}

/// SHA-256 (hex) of what a model reads: the input's name, its steps, its channels in order.
#[must_use]
pub fn schema_hash(input: Input, steps: usize, channels: &[String]) -> String {
    let mut hash = Sha256::new();
    hash.update(input.name());
    hash.update((steps as u64).to_le_bytes());
    for channel in channels {
        hash.update((channel.len() as u64).to_le_bytes());
        hash.update(channel);
    }
    hex(&hash.finalize())
}

/// How far a reconstruction is from its window, per element of the standardised window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Mean squared error.
    Mse,
    /// Mean absolute error: less swayed by single outliers.
    Mae,
}

/// A head that forecasts the steps after the window from its latent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forecast {
    /// Steps to forecast.
    pub horizon: usize,
    /// Weight of its loss (of the same kind as the reconstruction's) in the sum.
    pub weight: f32,
}

/// Self-supervised pre-training: rebuild steps that were blanked.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskedPretraining {
    /// Passes over the training windows before the training proper.
    pub epochs: usize,
    /// Share of steps blanked, above 0 and below 1.
    pub ratio: f32,
}

/// How training proceeds. No effect on models that are not learned by gradients, but `max_windows`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Training {
    /// Passes over the training windows at most.
    pub epochs: usize,
    /// Stop after so many passes without a better holdout loss; the best pass is kept.
    pub patience: usize,
    /// Windows in one step of the optimiser.
    pub batch_size: usize,
    /// Adam's step size at the start; it falls along a half cosine to a tenth.
    pub learning_rate: f64,
    /// Seeds initial weights, shuffling, latent noise and masks.
    pub seed: u64,
    /// Training windows at most; more are thinned evenly. Bounds the time an epoch takes.
    pub max_windows: usize,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            epochs: 20,
            patience: 4,
            batch_size: 64,
            learning_rate: 2e-3,
            seed: 1,
            max_windows: 8_192,
        }
    }
}

/// A model's declaration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Specification {
    /// The name it is registered under: letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// The family of the model.
    pub architecture: Architecture,
    /// Steps of a window; 1 for vectors.
    pub steps: usize,
    /// Names of the channels of a step (features of a vector), in order.
    pub channels: Vec<String>,
    /// Which column it reads.
    pub input: Input,
    /// Latent dimensions (principal components). For `pca`, 0 takes as many components as explain
    /// [`crate::learn::pca::VARIANCE_SHARE`] of the variance. `max-abs-z` has none: 0.
    pub latents: usize,
    /// Widths, from the input inwards; the decoder mirrors them.
    /// `vae-cnn`: filters of each convolution (kernel 4, stride 2, no padding).
    /// `vae-transformer`: the model's width (a multiple of 4: four heads), then one encoder block
    /// for each further entry, which is its feed-forward width.
    /// `vae-dense`, `autoencoder`: units of each layer. Others: empty.
    pub hidden: Vec<usize>,
    /// The reconstruction error, in training and in the score.
    pub loss: Loss,
    /// Weight of the KL divergence (nats a window) against the mean error of an element.
    pub beta: f32,
    /// A forecasting head; VAEs only.
    #[serde(default)]
    pub forecast: Option<Forecast>,
    /// Masked pre-training; VAEs over windows of at least 2 steps only.
    #[serde(default)]
    pub masked_pretraining: Option<MaskedPretraining>,
    /// Whether each entity that was seen often enough is standardised by itself
    /// ([`crate::learn::scaling::Personal`]), and others by the fleet; vectors only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub personal: bool,
    /// How training proceeds.
    #[serde(default)]
    pub training: Training,
}

impl Specification {
    /// A specification with defaults that suit most streams: windows for more than one step, else
    /// features; widths by the architecture.
    #[must_use]
    pub fn new(
        architecture: Architecture,
        name: impl Into<String>,
        steps: usize,
        channels: Vec<String>,
    ) -> Self {
        let (latents, hidden) = match architecture {
            Architecture::VaeCnn => (8, vec![32, 32]),
            Architecture::VaeTransformer => (8, vec![32, 64]),
            Architecture::VaeDense | Architecture::Autoencoder => {
                let wide = (steps * channels.len() * 2).clamp(8, 64);
                ((channels.len() / 2).clamp(2, 8), vec![wide, wide / 2])
            }
            Architecture::Pca | Architecture::MaxAbsZ => (0, vec![]),
        };
        let mut training = Training::default();
        if architecture == Architecture::VaeTransformer {
            // Attention costs three times a convolution: half the windows keep the time alike.
            training.max_windows /= 2;
        }
        Self {
            name: name.into(),
            architecture,
            steps,
            channels,
            input: if steps > 1 { Input::Window } else { Input::Features },
            latents,
            hidden,
            loss: Loss::Mse,
            beta: 1e-3,
            forecast: None,
            masked_pretraining: None,
            personal: false,
            training,
        }
    }

    /// Refuses what cannot be learned.
    ///
    /// # Errors
    /// [`Error::Configuration`], naming the field and what it may be.
    pub fn validate(&self) -> Result<()> {
        self.validate_shape()?;
        self.validate_architecture()?;
        self.validate_training()
    }

    /// SHA-256 (hex) of what a model reads: the input's name, its steps, its channels in order.
    ///
    /// Two models with the same hash can replace each other.
    #[must_use]
    pub fn schema_hash(&self) -> String {
        schema_hash(self.input, self.steps, &self.channels)
    }

    fn validate_shape(&self) -> Result<()> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.name.is_empty() || self.name.starts_with('.') || !self.name.chars().all(allowed) {
            return self
                .refuse("name", "be letters, digits, `-`, `_` or `.`, and begin with no dot");
        }
        if self.steps == 0 || self.channels.is_empty() {
            return self.refuse("steps and channels", "not be empty");
        }
        if (1..self.channels.len()).any(|at| self.channels[..at].contains(&self.channels[at])) {
            return self.refuse("channels", "be distinct");
        }
        if self.personal && self.input != Input::Features {
            return self.refuse("personal", "be false for windows of several steps");
        }
        if self.input == Input::Features && self.steps != 1 {
            return self.refuse("steps", "be 1 for features");
        }
        Ok(())
    }

    fn validate_architecture(&self) -> Result<()> {
        let width = self.steps * self.channels.len();
        if !self.architecture.is_deep() {
            if !self.hidden.is_empty() {
                return self.refuse("hidden", "be empty for this architecture");
            }
            if self.forecast.is_some() || self.masked_pretraining.is_some() {
                return self.refuse(
                    "forecast and masked_pretraining",
                    "be absent: it is not learned by gradients",
                );
            }
            let most = if self.architecture == Architecture::Pca { width } else { 0 };
            if self.latents > most {
                return self.refuse("latents", &format!("be at most {most}"));
            }
            return Ok(());
        }
        if self.latents == 0 || self.hidden.is_empty() || self.hidden.contains(&0) {
            return self.refuse("latents and hidden", "be at least 1 for this architecture");
        }
        match self.architecture {
            Architecture::VaeTransformer if !self.hidden[0].is_multiple_of(4) => {
                self.refuse("hidden", "begin with a multiple of 4")
            }
            Architecture::VaeTransformer if self.hidden.len() < 2 => {
                self.refuse("hidden", "name the width and at least one block's feed-forward width")
            }
            Architecture::VaeCnn | Architecture::VaeTransformer if self.steps < 4 => {
                self.refuse("steps", "be at least 4 for this architecture (use vae-dense)")
            }
            _ => Ok(()),
        }
    }

    fn validate_training(&self) -> Result<()> {
        let positive = |value: f32| value.is_finite() && value >= 0.0;
        if !positive(self.beta) || self.forecast.is_some_and(|f| !positive(f.weight)) {
            return self.refuse("beta and forecast.weight", "be finite and not negative");
        }
        if self.forecast.is_some_and(|f| f.horizon == 0) {
            return self.refuse("forecast.horizon", "be at least 1");
        }
        if self.masked_pretraining.is_some_and(|m| !(m.ratio > 0.0 && m.ratio < 1.0)) {
            return self.refuse("masked_pretraining.ratio", "lie between 0 and 1");
        }
        if self.masked_pretraining.is_some() && self.steps < 2 {
            return self.refuse("masked_pretraining", "be absent for plain vectors");
        }
        let t = &self.training;
        if t.epochs == 0 || t.patience == 0 || t.batch_size == 0 || t.max_windows == 0 {
            return self.refuse("training", "have epochs, patience, batch_size, max_windows ≥ 1");
        }
        if !(t.learning_rate.is_finite() && t.learning_rate > 0.0) {
            return self.refuse("training.learning_rate", "be above 0");
        }
        Ok(())
    }

    fn refuse(&self, field: &str, must: &str) -> Result<()> {
        Err(Error::Configuration(format!(
            "model `{}` ({}): {field} must {must}",
            self.name, self.architecture
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels(n: usize) -> Vec<String> {
        (0..n).map(|c| format!("c{c}")).collect()
    }

    #[test]
    fn defaults_are_valid_and_survive_json() {
        for architecture in Architecture::ALL {
            for (steps, width) in [(30, 14), (100, 38), (8, 1)] {
                let spec = Specification::new(architecture, "m", steps, channels(width));
                spec.validate().unwrap();
                let json = serde_json::to_string(&spec).unwrap();
                assert!(json.contains(architecture.name()));
                assert_eq!(serde_json::from_str::<Specification>(&json).unwrap(), spec);
            }
        }
        Specification::new(Architecture::VaeDense, "m", 1, channels(20)).validate().unwrap();
    }

    #[test]
    fn what_cannot_be_learned_is_refused_by_field() {
        let check = |field: &str, break_it: &dyn Fn(&mut Specification)| {
            let mut spec = Specification::new(Architecture::VaeCnn, "m", 30, channels(3));
            break_it(&mut spec);
            let error = spec.validate().unwrap_err().to_string();
            assert!(error.contains(field), "{error} should name {field}");
        };
        check("name", &|s| s.name = "../m".into());
        check("channels", &|s| s.channels = vec![]);
        check("distinct", &|s| s.channels = vec!["a".into(), "b".into(), "a".into()]);
        check("steps", &|s| s.input = Input::Features);
        check("steps", &|s| s.steps = 3);
        check("latents", &|s| s.latents = 0);
        check("hidden", &|s| s.hidden = vec![]);
        check("beta", &|s| s.beta = f32::NAN);
        check("horizon", &|s| s.forecast = Some(Forecast { horizon: 0, weight: 1.0 }));
        check("ratio", &|s| {
            s.masked_pretraining = Some(MaskedPretraining { epochs: 1, ratio: 1.0 });
        });
        check("training", &|s| s.training.epochs = 0);
        check("learning_rate", &|s| s.training.learning_rate = 0.0);
        check("hidden", &|s| s.architecture = Architecture::Pca);
    }

    #[test]
    fn unknown_fields_are_refused() {
        let spec = Specification::new(Architecture::Pca, "m", 2, channels(1));
        let mut json = serde_json::to_value(&spec).unwrap();
        json["typo"] = 1.into();
        assert!(serde_json::from_value::<Specification>(json).is_err());
    }

    #[test]
    fn the_schema_hash_tells_inputs_apart() {
        let base = Specification::new(Architecture::Pca, "m", 2, vec!["ab".into(), "c".into()]);
        let mut other = base.clone();
        other.name = "n".into();
        assert_eq!(base.schema_hash(), other.schema_hash());
        other.channels = vec!["a".into(), "bc".into()];
        assert_ne!(base.schema_hash(), other.schema_hash());
    }
}
