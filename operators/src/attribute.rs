//! Which channel, when: rows that sum to the score.
//!
//! Every method divides one score into parts, and the parts of one alert and
//! method add up to that score, so they can be read as shares of the alarm:
//!
//! - `reconstruction`: `a · channel_error`, then `latent_kl` (`b · kl`) and
//!   `baseline` (`c`), after the score's own definition. A brought model whose
//!   score is opaque has its score shared in proportion to the channel errors;
//! - `reconstruction_by_step`: the same along time;
//! - `max_abs_z`: the score shared in proportion to each channel's greatest
//!   squared deviation from its calibration mean in the window. It is plain,
//!   and the best ranker of root causes on the Server Machine Dataset.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float32Array, Float32Builder, Int32Builder, ListArray,
    PrimitiveArray, RecordBatch, StringArray, StringBuilder, UInt32Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Float32Type, Schema};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::schema::result::{
    ALERT_EVENT, ALERT_ID, ANOMALY, CHANNEL_ERROR, FEATURES, KL, MODEL, MODEL_VERSION, OFFSET_FROM,
    OFFSET_TO, PARTITION, SCORE, STEP_ERROR, WINDOW, WINDOW_END,
};
use crate::schema::{ENTITY_ID, column, mismatch, texts, vectors};
use crate::score::ModelInfo;
use crate::threshold::OPENED;

/// Which method divided the score; `Utf8`.
pub const METHOD: &str = "method";
/// The channel, or [`LATENT_KL`], [`BASELINE`], [`ALL_CHANNELS`]; `Utf8`.
pub const FEATURE: &str = "feature";
/// Step relative to the window's last, `<= 0`; null for all steps together; `Int32`.
pub const T_OFFSET: &str = "t_offset";
/// The part of the score; `Float32`.
pub const VALUE: &str = "value";

/// The part of the score that the latent's divergence gives.
pub const LATENT_KL: &str = "latent_kl";
/// The constant part of the score.
pub const BASELINE: &str = "baseline";
/// The channels together, where the score is divided by step.
pub const ALL_CHANNELS: &str = "all_channels";

/// A way of dividing a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// By the channels' parts of the reconstruction error.
    Reconstruction,
    /// By the steps' parts of the reconstruction error.
    ReconstructionByStep,
    /// By the channels' greatest squared deviation from the calibration mean.
    MaxAbsZ,
}

impl Method {
    /// Its name in the `method` column.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Reconstruction => "reconstruction",
            Self::ReconstructionByStep => "reconstruction_by_step",
            Self::MaxAbsZ => "max_abs_z",
        }
    }
}

/// Which windows are explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Explain {
    /// The window that opens an alert.
    Opened,
    /// Every flagged window of an alert.
    Flagged,
}

/// What orders channels in `top_channel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ranker {
    /// The channel's part of the reconstruction error.
    ChannelError,
    /// The channel's greatest deviation from its calibration mean.
    MaxAbsZ,
}

/// What is explained, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AttributeConfig {
    /// Which windows are explained. Default `opened`.
    pub explain: Explain,
    /// Methods to apply, as far as the model's outputs allow. Default all.
    pub methods: Vec<Method>,
    /// What orders channels in `top_channel`; the other one stands in where the model's outputs
    /// do not allow it. Default `channel_error`.
    pub ranker: Ranker,
}

impl Default for AttributeConfig {
    fn default() -> Self {
        Self {
            explain: Explain::Opened,
            methods: vec![Method::Reconstruction, Method::ReconstructionByStep, Method::MaxAbsZ],
            ranker: Ranker::ChannelError,
        }
    }
}

/// The operator. It keeps no state.
#[derive(Debug, Clone, Default)]
pub struct Attribute {
    config: AttributeConfig,
}

/// Every row's shares by channel, and the first channel.
#[derive(Debug, Clone)]
pub struct Contributions {
    /// `List<Float32>`: each channel's share of the reconstruction error, sums to 1; null where
    /// the model gives none.
    pub shares: ListArray,
    /// Name of the first channel by the configured ranker; null where nothing ranks them.
    pub top_channel: StringArray,
}

impl Attribute {
    /// The operator with its configuration.
    #[must_use]
    pub fn new(config: AttributeConfig) -> Self {
        Self { config }
    }

    /// Divides the scores of alerts: one row a part, with the columns `partition`,
    /// `offset_from`, `offset_to`, `alert_id`, `entity_id`, `window_end`, `model`,
    /// `model_version`, `method`, `feature`, `t_offset`, `value`. `None` when no row is to be
    /// explained.
    ///
    /// The batch is that of [`crate::threshold::Threshold::apply`], of one model.
    ///
    /// # Errors
    /// [`crate::Error::Column`] when a column is missing or of another width than the model says.
    pub fn explain(&self, judged: &RecordBatch, info: &ModelInfo) -> Result<Option<RecordBatch>> {
        let rows = self.rows(judged)?;
        if rows.is_empty() {
            return Ok(None);
        }
        let scores = floats(judged, SCORE)?;
        let sources = Sources::of(judged, info)?;
        let mut parts = Parts::default();
        for &row in &rows {
            for &method in &self.config.methods {
                parts.method(row, method, scores.value(row as usize), &sources, info);
            }
        }
        parts.finish(judged)
    }

    /// Every row's shares by channel and its first channel, for the score table.
    ///
    /// # Errors
    /// [`crate::Error::Column`] when a column has another width than the model says.
    pub fn contributions(&self, scored: &RecordBatch, info: &ModelInfo) -> Result<Contributions> {
        let sources = Sources::of(scored, info)?;
        let rows = scored.num_rows();
        let channels = info.channels.len();
        let item = Arc::new(Field::new("item", DataType::Float32, false));
        let (errors, width) = sources.channel_error.unwrap_or((&[], 0));
        let shares = if width == 0 {
            let nulls = Some(NullBuffer::new_null(rows));
            let empty = Arc::new(Float32Array::from(Vec::<f32>::new()));
            ListArray::try_new(item, OffsetBuffer::from_repeated_length(0, rows), empty, nulls)?
        } else {
            let values = Arc::new(Float32Array::from(shares(errors, width)));
            ListArray::try_new(item, OffsetBuffer::from_repeated_length(width, rows), values, None)?
        };
        let mut top = StringBuilder::with_capacity(rows, rows * 8);
        let by_z = |row: usize| sources.z_squares(row, info).map(|z| largest(&z));
        let by_error = |row: usize| (width > 0).then(|| largest(&errors[row * width..][..width]));
        for row in 0..rows {
            let at = match self.config.ranker {
                Ranker::ChannelError => by_error(row).or_else(|| by_z(row)),
                Ranker::MaxAbsZ => by_z(row).or_else(|| by_error(row)),
            };
            top.append_option(at.filter(|at| *at < channels).map(|at| info.channels[at].as_str()));
        }
        Ok(Contributions { shares, top_channel: top.finish() })
    }

    /// The rows to explain.
    fn rows(&self, judged: &RecordBatch) -> Result<Vec<u32>> {
        let alerts = texts(judged, ALERT_ID)?;
        let wanted: BooleanArray = match self.config.explain {
            Explain::Opened => texts(judged, ALERT_EVENT)?
                .iter()
                .map(|event| Some(event == Some(OPENED)))
                .collect(),
            Explain::Flagged => {
                let array = column(judged, ANOMALY)?;
                array.as_boolean_opt().ok_or_else(|| mismatch(ANOMALY, "Boolean", array))?.clone()
            }
        };
        // Without an alert there is nothing to file an explanation under.
        let rows = 0..judged.num_rows();
        let rows = rows.filter(|row| wanted.value(*row) && alerts.is_valid(*row));
        Ok(rows.map(|row| row as u32).collect())
    }
}

/// Each row's values divided by their sum; equal shares where the sum is 0 or no number.
fn shares(values: &[f32], width: usize) -> Vec<f32> {
    let mut shares = Vec::with_capacity(values.len());
    for row in values.chunks_exact(width) {
        let sum: f32 = row.iter().sum();
        if sum > 0.0 && sum.is_finite() {
            shares.extend(row.iter().map(|value| value / sum));
        } else {
            shares.extend(std::iter::repeat_n(1.0 / width as f32, width));
        }
    }
    shares
}

/// Where the greatest value stands; the first of equals.
fn largest(values: &[f32]) -> usize {
    let mut at = 0;
    for (i, value) in values.iter().enumerate() {
        if *value > values[at] {
            at = i;
        }
    }
    at
}

fn floats<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a PrimitiveArray<Float32Type>> {
    let array = column(batch, name)?;
    array.as_primitive_opt::<Float32Type>().ok_or_else(|| mismatch(name, "Float32", array))
}

/// The model's outputs that scores are divided by, as far as there are any.
struct Sources<'a> {
    channel_error: Option<(&'a [f32], usize)>,
    step_error: Option<(&'a [f32], usize)>,
    kl: Option<&'a PrimitiveArray<Float32Type>>,
    /// Raw values by row, time-major, as many as steps times channels.
    raw: Option<(&'a [f32], usize)>,
}

impl<'a> Sources<'a> {
    fn of(batch: &'a RecordBatch, info: &ModelInfo) -> Result<Self> {
        let channels = info.channels.len();
        let vector = |name: &str, width: usize| -> Result<Option<(&'a [f32], usize)>> {
            if batch.column_by_name(name).is_none() {
                return Ok(None);
            }
            let (values, found) = vectors(batch, name)?;
            if found == width {
                return Ok(Some((values, width)));
            }
            let expected = format!("{width} values a row, as model {} says", info.id);
            Err(mismatch(name, &expected, column(batch, name)?))
        };
        // A vector model reads features, and its channels are their names.
        let standardised =
            info.channel_mean.len() == channels && info.channel_std.len() == channels;
        let input = if info.steps > 1 { WINDOW } else { FEATURES };
        let raw =
            if standardised && channels > 0 { vector(input, info.steps * channels)? } else { None };
        let kl = batch.column_by_name(KL).map(|_| floats(batch, KL)).transpose()?;
        Ok(Self {
            channel_error: vector(CHANNEL_ERROR, channels)?.filter(|(_, width)| *width > 0),
            step_error: vector(STEP_ERROR, info.steps)?.filter(|(_, width)| *width > 0),
            kl,
            raw,
        })
    }

    /// Each channel's greatest squared z over the window.
    fn z_squares(&self, row: usize, info: &ModelInfo) -> Option<Vec<f32>> {
        let (raw, width) = self.raw?;
        let channels = info.channels.len();
        let mut squares = vec![0.0f32; channels];
        for step in raw[row * width..][..width].chunks_exact(channels) {
            for (c, value) in step.iter().enumerate() {
                // A channel that never moved in calibration is measured against a tiny spread:
                // any movement is then the strangest thing there is.
                let std = info.channel_std[c].max(1e-6);
                let z = (value - info.channel_mean[c]) / std;
                squares[c] = squares[c].max(z * z);
            }
        }
        Some(squares)
    }
}

/// The long rows, as they are built.
#[derive(Default)]
struct Parts {
    rows: Vec<u32>,
    method: StringBuilder,
    feature: StringBuilder,
    t_offset: Int32Builder,
    value: Float32Builder,
}

impl Parts {
    fn method(
        &mut self,
        row: u32,
        method: Method,
        score: f32,
        sources: &Sources<'_>,
        info: &ModelInfo,
    ) {
        let at = row as usize;
        let of = |source: Option<(&[f32], usize)>| {
            source.map(|(values, width)| values[at * width..][..width].to_vec())
        };
        let divided = match method {
            Method::Reconstruction => of(sources.channel_error),
            Method::ReconstructionByStep => of(sources.step_error),
            Method::MaxAbsZ => sources.z_squares(at, info),
        };
        let Some(mut values) = divided else { return };
        let count = values.len();
        let mut extra: Vec<&str> = Vec::new();
        match info.weights.filter(|_| method != Method::MaxAbsZ) {
            Some(weights) => {
                values.iter_mut().for_each(|value| *value *= weights.reconstruction);
                if let Some(kl) = sources.kl.filter(|kl| kl.is_valid(at)) {
                    values.push(weights.kl * kl.value(at));
                    extra.push(LATENT_KL);
                }
                values.push(weights.offset);
                extra.push(BASELINE);
            }
            None => values = shares(&values, count).iter().map(|share| share * score).collect(),
        }
        settle(&mut values, score);
        let last_step = count as i32 - 1;
        for (i, value) in values.into_iter().enumerate() {
            let by_step = method == Method::ReconstructionByStep && i < count;
            self.rows.push(row);
            self.method.append_value(method.name());
            self.feature.append_value(match (i.checked_sub(count), by_step) {
                (Some(extra_at), _) => extra[extra_at],
                (None, true) => ALL_CHANNELS,
                (None, false) => &info.channels[i],
            });
            self.t_offset.append_option(by_step.then_some(i as i32 - last_step));
            self.value.append_value(value);
        }
    }

    fn finish(mut self, judged: &RecordBatch) -> Result<Option<RecordBatch>> {
        if self.rows.is_empty() {
            return Ok(None);
        }
        let rows = UInt32Array::from(self.rows);
        let mut fields = Vec::new();
        let mut columns: Vec<ArrayRef> = Vec::new();
        for name in [
            PARTITION,
            OFFSET_FROM,
            OFFSET_TO,
            ALERT_ID,
            ENTITY_ID,
            WINDOW_END,
            MODEL,
            MODEL_VERSION,
        ] {
            let array = take(column(judged, name)?, &rows, None)?;
            fields.push(Field::new(name, array.data_type().clone(), false));
            columns.push(array);
        }
        let own: [(&str, bool, ArrayRef); 4] = [
            (METHOD, false, Arc::new(self.method.finish())),
            (FEATURE, false, Arc::new(self.feature.finish())),
            (T_OFFSET, true, Arc::new(self.t_offset.finish())),
            (VALUE, false, Arc::new(self.value.finish())),
        ];
        for (name, nullable, array) in own {
            fields.push(Field::new(name, array.data_type().clone(), nullable));
            columns.push(array);
        }
        Ok(Some(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?))
    }
}

/// Puts what rounding left between the parts' sum and the score into the largest part.
fn settle(values: &mut [f32], score: f32) {
    let Some(at) =
        (0..values.len()).reduce(|a, b| if values[b].abs() > values[a].abs() { b } else { a })
    else {
        return;
    };
    // The graph sums the errors in another order than we do, so the first pass removes a real
    // residue, the second the rounding of the first.
    for _ in 0..2 {
        let sum: f64 = values.iter().map(|value| f64::from(*value)).sum();
        let residue = f64::from(score) - sum;
        if residue.is_finite() {
            values[at] = (f64::from(values[at]) + residue) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::TimestampMicrosecondArray;
    use proptest::prelude::*;

    use super::*;
    use crate::schema::{times, vector_array};
    use crate::score::{ModelId, ScoreWeights};
    use crate::threshold::CLOSED;

    const CHANNELS: usize = 3;
    const STEPS: usize = 4;

    fn info(weights: Option<ScoreWeights>) -> ModelInfo {
        ModelInfo {
            id: ModelId { name: "m".to_owned(), version: "1".to_owned() },
            channels: ["a", "b", "c"].map(str::to_owned).to_vec(),
            steps: STEPS,
            latents: 2,
            weights,
            score_quantiles: Vec::new(),
            channel_mean: vec![0.0, 10.0, -5.0],
            channel_std: vec![1.0, 2.0, 0.0],
            entities: vec![],
        }
    }

    /// Two windows of an alert each, explained or not by the event.
    fn judged(
        scores: [f32; 2],
        errors: Vec<f32>,
        steps: Vec<f32>,
        kl: f32,
        raw: Vec<f32>,
    ) -> RecordBatch {
        let text = |values: [Option<&str>; 2]| -> ArrayRef {
            Arc::new(StringArray::from(values.to_vec()))
        };
        let columns: Vec<(&str, ArrayRef)> = vec![
            (ENTITY_ID, text([Some("x"), Some("y")])),
            (
                WINDOW_END,
                Arc::new(TimestampMicrosecondArray::from(vec![7, 8]).with_timezone("UTC")),
            ),
            (PARTITION, Arc::new(UInt32Array::from(vec![0, 0]))),
            (OFFSET_FROM, Arc::new(arrow::array::UInt64Array::from(vec![1, 2]))),
            (OFFSET_TO, Arc::new(arrow::array::UInt64Array::from(vec![3, 4]))),
            (WINDOW, Arc::new(vector_array(STEPS * CHANNELS, raw))),
            (MODEL, text([Some("m"), Some("m")])),
            (MODEL_VERSION, text([Some("1"), Some("1")])),
            (SCORE, Arc::new(Float32Array::from(scores.to_vec()))),
            (KL, Arc::new(Float32Array::from(vec![kl, kl]))),
            (CHANNEL_ERROR, Arc::new(vector_array(CHANNELS, errors))),
            (STEP_ERROR, Arc::new(vector_array(STEPS, steps))),
            (ANOMALY, Arc::new(BooleanArray::from(vec![true, true]))),
            (ALERT_ID, text([Some("one"), Some("two")])),
            (ALERT_EVENT, text([Some(OPENED), Some(CLOSED)])),
        ];
        let field =
            |(name, array): &(&str, ArrayRef)| Field::new(*name, array.data_type().clone(), true);
        let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
        RecordBatch::try_new(Arc::new(schema), columns.into_iter().map(|c| c.1).collect()).unwrap()
    }

    fn values<'a>(parts: &'a RecordBatch, alert: &str, method: &str) -> Vec<(&'a str, f32)> {
        let column = |name| texts(parts, name).unwrap();
        let rows = 0..parts.num_rows();
        let rows = rows.filter(|row| {
            column(ALERT_ID).value(*row) == alert && column(METHOD).value(*row) == method
        });
        let value = floats(parts, VALUE).unwrap();
        rows.map(|row| (column(FEATURE).value(row), value.value(row))).collect()
    }

    fn calm() -> Vec<f32> {
        [0.0, 10.0, -5.0].repeat(STEPS * 2)
    }

    #[test]
    fn parts_follow_the_scores_own_definition() {
        let weights = Some(ScoreWeights { reconstruction: 2.0, kl: 0.5, offset: -1.0 });
        let batch = judged(
            [12.0, 1.0],
            vec![1.0, 2.0, 3.0, 1.0, 1.0, 1.0],
            vec![3.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5],
            2.0,
            calm(),
        );
        let parts = Attribute::default().explain(&batch, &info(weights)).unwrap().unwrap();
        assert_eq!(
            values(&parts, "one", "reconstruction"),
            [("a", 2.0), ("b", 4.0), ("c", 6.0), (LATENT_KL, 1.0), (BASELINE, -1.0)]
        );
        let by_step = values(&parts, "one", "reconstruction_by_step");
        assert_eq!(by_step[..2], [(ALL_CHANNELS, 6.0), (ALL_CHANNELS, 2.0)]);
        let offsets =
            column(&parts, T_OFFSET).unwrap().as_primitive::<arrow::datatypes::Int32Type>();
        let offsets: Vec<_> = offsets.iter().flatten().collect();
        assert_eq!(offsets, [-3, -2, -1, 0]);
        assert!(values(&parts, "two", "reconstruction").is_empty(), "only what opens an alert");
        assert!(times(&parts, WINDOW_END).unwrap().iter().all(|end| *end == 7));
    }

    #[test]
    fn the_strangest_channel_takes_most_of_max_abs_z() {
        let mut raw = calm();
        raw[1] = 10.0 + 2.0 * 3.0;
        raw[CHANNELS] = 4.0;
        let config = AttributeConfig { ranker: Ranker::MaxAbsZ, ..AttributeConfig::default() };
        let attribute = Attribute::new(config);
        let batch = judged([25.0, 0.0], vec![1.0; 6], vec![1.0; 8], 0.0, raw);
        let parts = attribute.explain(&batch, &info(None)).unwrap().unwrap();
        assert_eq!(values(&parts, "one", "max_abs_z"), [("a", 16.0), ("b", 9.0), ("c", 0.0)]);
        let contributions = attribute.contributions(&batch, &info(None)).unwrap();
        assert_eq!(contributions.top_channel.value(0), "a");
        let third = 1.0 / 3.0;
        assert_eq!(
            contributions.shares.value(1).as_primitive::<Float32Type>().values(),
            &[third; 3]
        );
    }

    proptest! {
        #[test]
        fn parts_of_an_alert_and_method_sum_to_its_score(
            errors in prop::collection::vec(0.0f32..1e4, CHANNELS * 2),
            steps in prop::collection::vec(0.0f32..1e4, STEPS * 2),
            raw in prop::collection::vec(-1e4f32..1e4, STEPS * CHANNELS * 2),
            kl in 0.0f32..100.0,
            opaque in any::<bool>(),
            scores in prop::array::uniform2(-10.0f32..1e5),
        ) {
            let weights = ScoreWeights { reconstruction: 0.7, kl: 0.03, offset: -1.5 };
            // A model's score is that of its parts, up to rounding.
            let total: f32 = errors[..CHANNELS].iter().sum();
            let own = 0.7 * total + 0.03 * kl - 1.5;
            let scores = if opaque { scores } else { [own, own] };
            let scale = total / steps[..STEPS].iter().sum::<f32>().max(1e-3);
            let steps: Vec<f32> = steps.iter().map(|step| step * scale).collect();
            let batch = judged(scores, errors, steps, kl, raw);
            let config = AttributeConfig { explain: Explain::Flagged, ..AttributeConfig::default() };
            let parts = Attribute::new(config).explain(&batch, &info((!opaque).then_some(weights)));
            let parts = parts.unwrap().unwrap();
            for method in ["reconstruction", "reconstruction_by_step", "max_abs_z"] {
                let found = values(&parts, "one", method);
                prop_assert!(!found.is_empty());
                let sum: f32 = found.iter().map(|part| part.1).sum();
                let near = 1e-5 * scores[0].abs().max(1.0);
                prop_assert!((sum - scores[0]).abs() <= near, "{} {} {}", method, sum, scores[0]);
            }
        }
    }
}
