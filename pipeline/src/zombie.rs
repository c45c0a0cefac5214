//! The zombie hunter as the dataflow has it: judged resources to verdicts, and to parts of their scores.

use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array, RecordBatch, StringArray,
    UInt32Array,
};
use arrow::compute::take_record_batch;
use cloudops_models::zombie::{Features, ZombieModel};
use cloudops_operators::resource::{EVIDENCE_COLUMN, FEATURE_COLUMN};
use cloudops_operators::schema::result::{MODEL, MODEL_VERSION, SCORE};
use cloudops_operators::schema::{column, mismatch, vectors};
use cloudops_operators::utilisation::FEATURES;
use cloudops_operators::utilisation::evidence::Evidence;
use cloudops_operators::utilisation::verdict::Policy;

use crate::path::with_columns;

/// The column of verdicts; `Boolean`.
const IS_ZOMBIE: &str = "is_zombie";
/// The part of a score that is the same for all resources.
const BASE: &str = "(base)";
/// Features that stand beside a verdict as columns of their own: what people look at first.
const SHOWN: [&str; 7] = [
    "cpu_mean",
    "cpu_p95",
    "cpu_peak",
    "net_mb_day",
    "connections_peak",
    "idle_days_share",
    "days_since_active",
];

/// A model and the policy that it judges by, on one worker.
#[derive(Debug)]
pub struct Hunter {
    model: ZombieModel,
    policy: Policy,
}

impl Hunter {
    /// A hunter by a forest's file.
    ///
    /// # Errors
    /// As [`ZombieModel::open`].
    pub fn new(onnx: &[u8], policy: Policy) -> Result<Self> {
        let model = ZombieModel::open(onnx).context("resources.judge.model")?;
        Ok(Self { model, policy })
    }

    /// Appends the model's verdicts to judged resources.
    ///
    /// # Errors
    /// When the runtime fails.
    pub fn judge(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = features(batch)?;
        let resources: Vec<(Features, Vec<Evidence>)> =
            rows.iter().copied().zip(evidence(batch)?).collect();
        let judged = self.model.judge(self.policy, &resources)?;
        let count = judged.len();
        let same = |text: &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, count)))
        };
        let flag = |of: fn(&cloudops_models::zombie::Judged) -> bool| -> ArrayRef {
            Arc::new(judged.iter().map(|row| Some(of(row))).collect::<BooleanArray>())
        };
        let id = self.model.id();
        let mut added: Vec<(&str, ArrayRef)> = vec![
            (MODEL, same(&id.name)),
            (MODEL_VERSION, same(&id.version)),
            (SCORE, Arc::new(Float32Array::from_iter_values(judged.iter().map(|j| j.score)))),
            (
                "probability",
                Arc::new(Float32Array::from_iter_values(judged.iter().map(|j| j.probability))),
            ),
            ("limit", Arc::new(Float64Array::from_iter_values(judged.iter().map(|j| j.limit)))),
            ("policy", same(self.policy.name())),
            ("model_says", flag(|judged| judged.verdict.model_says)),
            (IS_ZOMBIE, flag(|judged| judged.verdict.is_zombie)),
        ];
        for name in SHOWN {
            let at = FEATURES.iter().position(|feature| *feature == name);
            let at = at.context("bug: a feature that is shown is not there")?;
            let values = rows.iter().map(|row| (!row[at].is_nan()).then_some(row[at]));
            added.push((name, Arc::new(values.collect::<Float64Array>())));
        }
        with_columns(batch, added)
    }

    /// Divides the scores of those that are named: a row a feature, and one of what is the same for all,
    /// that sum to the score; none where nobody is named.
    ///
    /// # Errors
    /// When the batch is none of [`Hunter::judge`].
    pub fn attribute(&self, batch: &RecordBatch) -> Result<Option<RecordBatch>> {
        let array = column(batch, IS_ZOMBIE)?;
        let named = array.as_boolean_opt().ok_or_else(|| mismatch(IS_ZOMBIE, "Boolean", array))?;
        let rows = features(batch)?;
        let (mut of, mut names, mut values, mut parts) = (vec![], vec![], vec![], vec![]);
        for (row, features) in rows.iter().enumerate().filter(|(row, _)| named.value(*row)) {
            let found = self.model.attribute(features);
            let all = FEATURES.iter().zip(features).zip(&found.values);
            let all = all.map(|((name, value), part)| (*name, Some(*value), *part));
            for (name, value, part) in all.chain([(BASE, None, found.base)]) {
                of.push(row as u32);
                names.push(name);
                values.push(value.filter(|value| !value.is_nan()));
                parts.push(part);
            }
        }
        if of.is_empty() {
            return Ok(None);
        }
        let kept = take_record_batch(batch, &UInt32Array::from(of))?;
        let added: Vec<(&str, ArrayRef)> = vec![
            ("feature", Arc::new(StringArray::from(names))),
            ("value", Arc::new(Float64Array::from(values))),
            ("contribution", Arc::new(Float64Array::from(parts))),
        ];
        with_columns(&kept, added).map(Some)
    }
}

fn features(batch: &RecordBatch) -> Result<Vec<Features>> {
    let (values, width) = vectors(batch, FEATURE_COLUMN)?;
    anyhow::ensure!(width == FEATURES.len(), "bug: {width} features of {}", FEATURES.len());
    let row = |row: &[f32]| {
        let mut features = [f64::NAN; FEATURES.len()];
        features.iter_mut().zip(row).for_each(|(to, from)| *to = f64::from(*from));
        features
    };
    Ok(values.chunks_exact(width).map(row).collect())
}

fn evidence(batch: &RecordBatch) -> Result<Vec<Vec<Evidence>>> {
    let array = column(batch, EVIDENCE_COLUMN)?;
    let lists = array.as_list_opt::<i32>();
    let lists = lists.ok_or_else(|| mismatch(EVIDENCE_COLUMN, "List<Utf8>", array))?;
    let named = |list: ArrayRef| {
        let names = list.as_string::<i32>();
        let found = names.iter().flatten().map(|name| {
            let evidence = Evidence::ALL.into_iter().find(|evidence| evidence.name() == name);
            evidence.with_context(|| format!("bug: there is no evidence {name}"))
        });
        found.collect()
    };
    (0..lists.len()).map(|row| named(lists.value(row))).collect()
}
