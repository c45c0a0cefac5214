//! What follows when drift fires: retrain on recent healthy windows, hold the result against the
//! champion on windows that neither has seen, promote it from the period's end on if it is better.
//!
//! The windows are the drift judge's hash-chosen sample, training is seeded, and the watermark
//! waits at the period's end: the decision is a function of the input like any result row.

use anyhow::{Context, Result};
use arrow::array::RecordBatch;
use cloudops_models::train::Quiet;
use cloudops_operators::data_drift::DriftVerdict;
use cloudops_operators::score::{ModelId, Scorer};
use cloudops_sql::catalog::record::{Promote, Record};

use super::Engine;
use crate::learning;

/// Share of the sampled windows, the latest, on which challenger and champion are compared.
const EVALUATION: f64 = 0.2;

/// The calibration quantile that serves as each model's own limit in the comparison.
const LIMIT: f64 = 0.99;

/// Windows below which retraining would only learn noise.
const WINDOWS_MIN: usize = 64;

impl Engine<'_> {
    /// Acts on the verdicts of a stream's period that ended at the watermark `at_us`.
    pub(super) fn retrain(
        &mut self,
        stream: usize,
        at_us: i64,
        verdicts: &[DriftVerdict],
    ) -> Result<()> {
        let settings = std::sync::Arc::clone(&self.job.streams[stream]);
        let Some(model) = &settings.model else { return Ok(()) };
        let timeline = self.catalog.state().timeline(&settings.name);
        // Windows that end later are scored by what is decided here.
        let effective_from_us = at_us.saturating_add(1);
        if timeline.entries().iter().any(|(from, _)| *from == effective_from_us) {
            return Ok(());
        }
        let asking = verdicts.iter().filter(|verdict| verdict.retrain);
        let samples: Vec<&RecordBatch> = asking.filter_map(|v| v.sample.as_ref()).collect();
        let Some(sample) = samples.last().filter(|sample| sample.num_rows() >= WINDOWS_MIN) else {
            tracing::warn!(
                stream = settings.name,
                "drift fired, but there are too few healthy windows to retrain on"
            );
            return Ok(());
        };
        let champion = timeline.at(at_us).context("drift fired without a model in force")?.clone();
        let kept = (sample.num_rows() as f64 * EVALUATION) as usize;
        let (learn, held_out) = (
            sample.slice(0, sample.num_rows() - kept),
            sample.slice(sample.num_rows() - kept, kept),
        );
        let learn = by_entity(&learn)?;
        let trained = learning::fit(&settings, model, &[learn], &mut Quiet)?;
        let extra = serde_json::json!({ "retrained": {
            "stream": settings.name,
            "drift_until_us": at_us,
            "champion": champion,
            "windows": sample.num_rows(),
        }});
        let challenger = self.registry.register(
            settings.model_name(),
            &trained.onnx,
            trained.info.clone(),
            extra,
        )?;
        let alarms = |id: &ModelId| self.false_alarms(id, &held_out);
        let (new, old) = (alarms(&challenger)?, alarms(&champion)?);
        tracing::info!(stream = settings.name, %challenger, %champion, new, old, "retrained after drift");
        if new >= old {
            return Ok(());
        }
        let promote = Promote {
            stream: settings.name.clone(),
            model: challenger.clone(),
            effective_from_us,
            reason: format!(
                "drift: {:.1} % of held-out healthy windows above its limit, {:.1} % with {champion}",
                100.0 * new,
                100.0 * old
            ),
            promoted_at_us: self.options.clock.now_us(),
        };
        self.runtime.block_on(self.catalog.append(Record::Promote(promote)))?;
        self.announce(stream, effective_from_us, &challenger)?;
        self.summary.promotions += 1;
        Ok(())
    }

    /// The share of healthy windows that a model scores above its own calibrated limit.
    fn false_alarms(&self, id: &ModelId, healthy: &RecordBatch) -> Result<f64> {
        let mut scorer =
            self.registry.scorer(id, &cloudops_models::scorer::ScorerOptions::default())?;
        let scores = scorer.score(healthy)?.score;
        let limit = scorer.info().score_quantile(LIMIT).unwrap_or(f32::INFINITY);
        let above = scores.iter().filter(|score| **score > limit).count();
        Ok(above as f64 / scores.len().max(1) as f64)
    }
}

/// The windows ordered by entity and end, as training splits them.
fn by_entity(windows: &RecordBatch) -> Result<RecordBatch> {
    use cloudops_operators::schema::result::WINDOW_END;
    use cloudops_operators::schema::{ENTITY_ID, column};
    let columns = [ENTITY_ID, WINDOW_END]
        .map(|name| {
            column(windows, name).map(|values| arrow::compute::SortColumn {
                values: std::sync::Arc::clone(values),
                options: None,
            })
        })
        .into_iter()
        .collect::<cloudops_operators::Result<Vec<_>>>()?;
    let order = arrow::compute::lexsort_to_indices(&columns, None)?;
    Ok(arrow::compute::take_record_batch(windows, &order)?)
}
