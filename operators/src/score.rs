//! Windows to scores: the [`Scorer`] trait, and which model is in force when.
//!
//! A model version takes effect from an *event time*, so a window is scored by
//! the version in force at its end, whichever epoch carries it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, TimestampMicrosecondType};
use serde::{Deserialize, Serialize};

use crate::schema::result::{
    CHANNEL_ERROR, KL, LATENT, MODEL, MODEL_VERSION, RECONSTRUCTION_ERROR, SCORE, STEP_ERROR,
    WINDOW_END,
};
use crate::schema::{column, mismatch, vector_array};
use crate::{Error, Result};

/// A model's name and immutable version.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelId {
    /// The name it is registered under, e.g. `turbofan`.
    pub name: String,
    /// The version: a hash of the model file.
    pub version: String,
}

impl std::fmt::Display for ModelId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

/// How a score is made of its parts: `score = a · reconstruction + b · kl + c`.
///
/// The constants standardise the two parts on calibration data before they are
/// added, since their units differ. A model without latents has `b = 0`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ScoreWeights {
    /// Weight of the reconstruction error.
    pub reconstruction: f32,
    /// Weight of the KL divergence.
    pub kl: f32,
    /// The constant.
    pub offset: f32,
}

/// What the operators need to know of a model besides its scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Name and version.
    pub id: ModelId,
    /// Names of the channels (of the features, for a vector model) that errors are split over.
    pub channels: Vec<String>,
    /// Steps of its windows; 1 for a vector model.
    pub steps: usize,
    /// Latent dimensions; 0 where it has none.
    pub latents: usize,
    /// The parts of the score; `None` for a brought model whose score is opaque.
    pub weights: Option<ScoreWeights>,
    /// Scores on calibration data at evenly spaced quantiles, from the least (0) to the greatest (1).
    /// Empty for a brought model without calibration.
    pub score_quantiles: Vec<f32>,
    /// Per channel, the mean of the calibration data, in its own unit; empty if unknown.
    pub channel_mean: Vec<f32>,
    /// Per channel, the standard deviation of the calibration data; empty if unknown.
    pub channel_std: Vec<f32>,
    /// Entities that the model knows by themselves: the graph's input `entity` is 1 for the first, 2 for
    /// the next, and 0 for whoever is not named. Empty where the model is one for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<String>,
}

impl ModelInfo {
    /// The calibration score at quantile `q` in `[0, 1]`, linearly interpolated.
    #[must_use]
    pub fn score_quantile(&self, q: f64) -> Option<f32> {
        let last = self.score_quantiles.len().checked_sub(1)?;
        let at = q.clamp(0.0, 1.0) * last as f64;
        let low = at.floor() as usize;
        let high = (low + 1).min(last);
        let part = (at - low as f64) as f32;
        let (a, b) = (self.score_quantiles[low], self.score_quantiles[high]);
        Some(a + (b - a) * part)
    }
}

/// A batch of scores, row for row with the windows given. All vectors are row-major.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scores {
    /// `[n]`
    pub score: Vec<f32>,
    /// `[n]`, empty where the model has none
    pub reconstruction_error: Vec<f32>,
    /// `[n]`, empty where the model has none
    pub kl: Vec<f32>,
    /// `[n, channels]`, sums over channels to the reconstruction error; empty where the model has none
    pub channel_error: Vec<f32>,
    /// `[n, steps]`, sums over steps to the reconstruction error; empty where the model has none
    pub step_error: Vec<f32>,
    /// `[n, latents]`, empty where the model has none
    pub latent: Vec<f32>,
}

/// A model that scores window batches. One lives on each worker.
///
/// The implementer's duty: the scores of a row are a function of that row
/// alone, to the bit, whatever batch it travels in.
pub trait Scorer: std::fmt::Debug {
    /// What the model is.
    fn info(&self) -> &ModelInfo;

    /// Scores a window batch, reading its `window` and `features` columns as the model needs.
    ///
    /// # Errors
    /// [`Error::Column`] when a column it needs is missing or of another width,
    /// [`Error::Model`] when the runtime fails.
    fn score(&mut self, windows: &RecordBatch) -> Result<Scores>;
}

/// Makes a worker's scorer of a model; called once a model and worker.
pub type ScorerFactory = Arc<dyn Fn(&ModelId) -> Result<Box<dyn Scorer>> + Send + Sync>;

/// Which version is in force from which event time on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// Ascending by event time (µs); a later entry at the same time replaces the earlier.
    entries: Vec<(i64, ModelId)>,
}

impl Timeline {
    /// Puts a version in force from `effective_from_us` on (until the next entry).
    pub fn promote(&mut self, effective_from_us: i64, model: ModelId) {
        let at = self.entries.partition_point(|(from, _)| *from <= effective_from_us);
        self.entries.insert(at, (effective_from_us, model));
    }

    /// The version in force at an event time; `None` before the first.
    #[must_use]
    pub fn at(&self, event_time_us: i64) -> Option<&ModelId> {
        let after = self.entries.partition_point(|(from, _)| *from <= event_time_us);
        Some(&self.entries[after.checked_sub(1)?].1)
    }

    /// All entries, ascending.
    #[must_use]
    pub fn entries(&self) -> &[(i64, ModelId)] {
        &self.entries
    }
}

/// The operator: scores each window by the version in force at its end.
pub struct Score {
    factory: ScorerFactory,
    timeline: Timeline,
    scorers: Vec<Box<dyn Scorer>>,
}

impl std::fmt::Debug for Score {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Score")
            .field("timeline", &self.timeline)
            .field("scorers", &self.scorers)
            .finish_non_exhaustive()
    }
}

impl Score {
    /// An operator with no model in force yet.
    #[must_use]
    pub fn new(factory: ScorerFactory, timeline: Timeline) -> Self {
        Self { factory, timeline, scorers: Vec::new() }
    }

    /// Puts a version in force from an event time on; no window ending there may have passed yet.
    pub fn promote(&mut self, effective_from_us: i64, model: ModelId) {
        self.timeline.promote(effective_from_us, model);
    }

    /// Scores a window batch: the same rows in the same order, with `model`, `model_version`,
    /// `score` and the model's further outputs appended. One batch a run of rows of one version.
    ///
    /// # Errors
    /// [`Error::Configuration`] when no model is in force at a window's end; else the scorer's own.
    pub fn score(&mut self, windows: &RecordBatch) -> Result<Vec<RecordBatch>> {
        let ends = column(windows, WINDOW_END)?;
        let ends = ends
            .as_primitive_opt::<TimestampMicrosecondType>()
            .ok_or_else(|| mismatch(WINDOW_END, "timestamp in µs", ends))?;
        let mut scored = Vec::new();
        let mut from = 0;
        while from < windows.num_rows() {
            let model = self.in_force(ends.value(from))?.clone();
            let mut to = from + 1;
            while to < windows.num_rows() && *self.in_force(ends.value(to))? == model {
                to += 1;
            }
            let part = windows.slice(from, to - from);
            let scorer = self.scorer(&model)?;
            let scores = scorer.score(&part)?;
            scored.push(append(&part, scorer.info(), scores)?);
            from = to;
        }
        Ok(scored)
    }

    /// What is known of a model in force; loads it if need be.
    ///
    /// # Errors
    /// The factory's, when the model cannot be loaded.
    pub fn info(&mut self, model: &ModelId) -> Result<&ModelInfo> {
        Ok(self.scorer(model)?.info())
    }

    fn in_force(&self, event_time_us: i64) -> Result<&ModelId> {
        self.timeline.at(event_time_us).ok_or_else(|| {
            Error::Configuration(format!(
                "no model is in force at event time {event_time_us} µs: train and promote one first"
            ))
        })
    }

    fn scorer(&mut self, model: &ModelId) -> Result<&mut Box<dyn Scorer>> {
        let at = match self.scorers.iter().position(|s| s.info().id == *model) {
            Some(at) => at,
            None => {
                self.scorers.push((self.factory)(model)?);
                self.scorers.len() - 1
            }
        };
        Ok(&mut self.scorers[at])
    }
}

fn append(windows: &RecordBatch, info: &ModelInfo, scores: Scores) -> Result<RecordBatch> {
    let rows = windows.num_rows();
    let mut fields: Vec<_> = windows.schema().fields().iter().cloned().collect();
    let mut columns = windows.columns().to_vec();
    let mut push = |name: &str, array: ArrayRef, nullable: bool| {
        fields.push(Arc::new(Field::new(name, array.data_type().clone(), nullable)));
        columns.push(array);
    };
    let text = |value: &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(value, rows)))
    };
    let optional = |values: Vec<f32>| -> ArrayRef {
        if values.is_empty() && rows > 0 {
            arrow::array::new_null_array(&DataType::Float32, rows)
        } else {
            Arc::new(Float32Array::from(values))
        }
    };
    push(MODEL, text(&info.id.name), false);
    push(MODEL_VERSION, text(&info.id.version), false);
    push(SCORE, Arc::new(Float32Array::from(scores.score)), false);
    push(RECONSTRUCTION_ERROR, optional(scores.reconstruction_error), true);
    push(KL, optional(scores.kl), true);
    for (name, values) in [
        (LATENT, scores.latent),
        (CHANNEL_ERROR, scores.channel_error),
        (STEP_ERROR, scores.step_error),
    ] {
        if !values.is_empty() {
            push(name, Arc::new(vector_array(values.len() / rows, values)), false);
        }
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}
