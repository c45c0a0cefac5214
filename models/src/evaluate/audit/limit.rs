//! What the product's own limits make of the scores: verdicts without a budget to be told beforehand.
//!
//! Windows pass through the threshold operator in the order of their ends, each with what its principal had
//! shown before; an attack's window takes the place of the victim's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Float32Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use cloudops_operators::schema::result::{
    ANOMALY_ADAPTIVE, ANOMALY_STATIC, MODEL, MODEL_VERSION, SCORE, WINDOW_END,
};
use cloudops_operators::schema::{ENTITY_ID, column, mismatch};
use cloudops_operators::score::ModelInfo;
use cloudops_operators::threshold::{Threshold, ThresholdConfig};

use super::passage::Vector;
use super::traffic::Scenes;
use crate::Result;

/// How a limit did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Judged {
    /// Ordinary windows that it flagged.
    pub(super) false_alerts: usize,
    /// Attacks that it flagged.
    pub(super) found: usize,
}

/// The static limit and the adaptive one, both with the product's defaults.
pub(super) fn judged(
    info: &ModelInfo,
    scenes: &Scenes,
    before: &[f32],
    ordinary: &[f32],
    attacks: &[f32],
) -> Result<[Judged; 2]> {
    let mut threshold = Threshold::new("audit", ThresholdConfig::default())?;
    let pairs = |part: usize, scores: &[f32]| -> BTreeMap<i64, Vec<(String, f32)>> {
        let mut by_end: BTreeMap<i64, Vec<(String, f32)>> = BTreeMap::new();
        for (vector, score) in scenes.part(part).zip(scores) {
            by_end.entry(vector.end).or_default().push((vector.entity.clone(), *score));
        }
        by_end
    };
    for (end, windows) in pairs(2, before) {
        verdicts(&mut threshold, info, end, &windows)?;
    }
    let mut played: BTreeMap<i64, Vec<(&Vector, f32)>> = BTreeMap::new();
    for (attack, score) in scenes.attacks.iter().zip(attacks) {
        played.entry(attack.vector.end).or_default().push((&attack.vector, *score));
    }
    let mut judged = [Judged::default(); 2];
    for (end, windows) in pairs(3, ordinary) {
        for (vector, score) in played.get(&end).into_iter().flatten() {
            let row = [(vector.entity.clone(), *score)];
            let found = verdicts(&mut threshold.clone(), info, end, &row)?;
            for (limit, flags) in judged.iter_mut().zip(found) {
                limit.found += flags;
            }
        }
        let found = verdicts(&mut threshold, info, end, &windows)?;
        for (limit, flags) in judged.iter_mut().zip(found) {
            limit.false_alerts += flags;
        }
    }
    Ok(judged)
}

/// How many of some windows that end together are above the static limit, and above the adaptive one.
fn verdicts(
    threshold: &mut Threshold,
    info: &ModelInfo,
    end: i64,
    windows: &[(String, f32)],
) -> Result<[usize; 2]> {
    let text = |of: &dyn Fn(usize) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values((0..windows.len()).map(of)))
    };
    let ends = TimestampMicrosecondArray::from(vec![end; windows.len()]).with_timezone("UTC");
    let scores: Float32Array = windows.iter().map(|(_, score)| Some(*score)).collect();
    let columns: [(&str, ArrayRef); 5] = [
        (ENTITY_ID, text(&|at| windows[at].0.clone())),
        (WINDOW_END, Arc::new(ends)),
        (MODEL, text(&|_| info.id.name.clone())),
        (MODEL_VERSION, text(&|_| info.id.version.clone())),
        (SCORE, Arc::new(scores)),
    ];
    let batch = RecordBatch::try_from_iter(columns)?;
    let judged = threshold.apply(&batch, info)?;
    let flags = |name: &str| -> Result<usize> {
        let array = column(&judged, name)?;
        let array = array.as_boolean_opt().ok_or_else(|| mismatch(name, "Boolean", array))?;
        Ok(array.iter().filter(|flag| *flag == Some(true)).count())
    };
    Ok([flags(ANOMALY_STATIC)?, flags(ANOMALY_ADAPTIVE)?])
}
