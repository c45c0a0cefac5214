//! Scores and verdicts of a model on a stretch of rows, by the operators that the product runs.
//!
//! A row's score is the score of the window that *ends* with it: what was known
//! when the row arrived, for every model alike.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Float32Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::{Field, Schema};
use cloudops_operators::schema::result::{
    ANOMALY, ANOMALY_ADAPTIVE, ANOMALY_STATIC, SCORE, window_fields,
};
use cloudops_operators::schema::{column, mismatch, vector_array};
use cloudops_operators::score::Scorer;
use cloudops_operators::threshold::{Threshold, ThresholdConfig};

use super::series::{Cause, Stretch};
use crate::Result;

/// Windows scored at once.
const BATCH: usize = 1024;

/// What a model made of a stretch: one element a judged row.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Judged {
    /// Score of the window that ends with the row.
    pub(super) scores: Vec<f32>,
    /// The score's parts; empty where the model has no KL divergence, hence only one part.
    pub(super) reconstruction: Vec<f32>,
    pub(super) kl: Vec<f32>,
    /// Verdict of the product's default policy.
    pub(super) flagged: Vec<bool>,
    /// Verdict of the static limit.
    pub(super) by_static: Vec<bool>,
    /// Verdict of the adaptive limit; of the static one until it has warmed up.
    pub(super) by_adaptive: Vec<bool>,
    /// Per labelled cause, each channel's error summed over the windows that end in it;
    /// empty where the model has no error by channel.
    pub(super) cause_errors: Vec<Vec<f64>>,
}

/// A stretch to be judged from a row on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    /// Whose rows they are: the adaptive limit is the entity's own.
    pub(super) entity: &'a str,
    /// The rows; those before `from` only warm the adaptive limit up.
    pub(super) stretch: &'a Stretch,
    /// First row judged.
    pub(super) from: usize,
    /// Segments with known causes, in rows counted from `from`.
    pub(super) causes: &'a [Cause],
}

/// Scores every window of the stretch in order and keeps what concerns the rows judged.
///
/// Rows judged before the first full window have no score: `from` must be at least `steps − 1`.
pub(super) fn judge(scorer: &mut dyn Scorer, steps: usize, subject: Subject<'_>) -> Result<Judged> {
    let Subject { entity, stretch, from, causes } = subject;
    let mut threshold = Threshold::new("evaluation", ThresholdConfig::default())?;
    let channels = stretch.channels;
    let mut judged = Judged { cause_errors: vec![vec![]; causes.len()], ..Judged::default() };
    let mut first = steps - 1;
    while first < stretch.rows() {
        let rows = first..(first + BATCH).min(stretch.rows());
        let windows = window_batch(entity, stretch, rows.clone(), steps)?;
        let scores = scorer.score(&windows)?;
        let verdicts = threshold.apply(&with_score(&windows, &scores.score)?, scorer.info())?;
        let keep = from.max(rows.start) - rows.start..rows.len();
        if !keep.is_empty() {
            judged.scores.extend_from_slice(&scores.score[keep.clone()]);
            if !scores.kl.is_empty() {
                judged.kl.extend_from_slice(&scores.kl[keep.clone()]);
                let reconstruction = &scores.reconstruction_error[keep.clone()];
                judged.reconstruction.extend_from_slice(reconstruction);
            }
            judged.keep_verdicts(&verdicts, keep.clone())?;
        }
        for (at, errors) in scores.channel_error.chunks_exact(channels).enumerate() {
            let Some(row) = (rows.start + at).checked_sub(from) else { continue };
            judged.add_channel_errors(causes, row, errors);
        }
        first = rows.end;
    }
    Ok(judged)
}

impl Judged {
    fn keep_verdicts(&mut self, verdicts: &RecordBatch, keep: Range<usize>) -> Result<()> {
        let fixed = booleans(verdicts, ANOMALY_STATIC)?;
        let adaptive = booleans(verdicts, ANOMALY_ADAPTIVE)?;
        let flagged = booleans(verdicts, ANOMALY)?;
        for row in keep {
            let warm = !arrow::array::Array::is_null(adaptive, row);
            self.by_static.push(fixed.value(row));
            self.by_adaptive.push(if warm { adaptive.value(row) } else { fixed.value(row) });
            self.flagged.push(flagged.value(row));
        }
        Ok(())
    }

    fn add_channel_errors(&mut self, causes: &[Cause], row: usize, errors: &[f32]) {
        for (cause, sums) in causes.iter().zip(&mut self.cause_errors) {
            if cause.rows.contains(&row) {
                sums.resize(errors.len(), 0.0);
                sums.iter_mut().zip(errors).for_each(|(sum, &error)| *sum += f64::from(error));
            }
        }
    }
}

fn booleans<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a BooleanArray> {
    let array = column(batch, name)?;
    Ok(array.as_boolean_opt().ok_or_else(|| mismatch(name, "Boolean", array))?)
}

/// The windows that end with `rows`, as the window operator hands them on.
///
/// Event time is the row's ordinal in µs: verdicts depend on the order alone.
fn window_batch(
    entity: &str,
    stretch: &Stretch,
    rows: Range<usize>,
    steps: usize,
) -> Result<RecordBatch> {
    let ordinals = || rows.clone().map(|row| row as u64);
    let firsts = || ordinals().map(|row| row + 1 - steps as u64);
    let at = |micros: Vec<i64>| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC"))
    };
    let width = steps * stretch.channels;
    let mut values = Vec::with_capacity(rows.len() * width);
    for row in rows.clone() {
        values.extend_from_slice(stretch.window(row, steps).unwrap_or_default());
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(entity, rows.len()))),
        at(firsts().map(|row| row as i64).collect()),
        at(ordinals().map(|row| row as i64).collect()),
        Arc::new(UInt32Array::from(vec![0; rows.len()])),
        Arc::new(UInt64Array::from_iter_values(firsts())),
        Arc::new(UInt64Array::from_iter_values(ordinals())),
        Arc::new(UInt32Array::from(vec![steps as u32; rows.len()])),
        Arc::new(vector_array(width, values)),
    ];
    Ok(RecordBatch::try_new(Arc::new(Schema::new(window_fields(Some(width)))), columns)?)
}

fn with_score(windows: &RecordBatch, scores: &[f32]) -> Result<RecordBatch> {
    let schema = windows.schema();
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    let mut columns = windows.columns().to_vec();
    let scores: ArrayRef = Arc::new(Float32Array::from(scores.to_vec()));
    fields.push(Arc::new(Field::new(SCORE, scores.data_type().clone(), false)));
    columns.push(scores);
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}
