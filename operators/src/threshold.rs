//! Scores to verdicts: a static limit, each entity's own adaptive one, and alert episodes.
//!
//! The static limit is a quantile of the model's calibration scores. It is
//! right only while the data keep the level they were calibrated at, which on
//! real machines they do not. The adaptive limit follows each entity:
//! `level + factor · spread`, both exponentially weighted means over its own
//! scores. Two guards keep anomalies from being learned as normal:
//!
//! - a score above the limit is never learned; the limit is, in its place, so
//!   one wild score cannot move anything far;
//! - and it is learned at `flagged_rate` of the usual weight, which caps how
//!   fast a lasting change of level is accepted.
//!
//! Everything is `O(1)` an entity and depends only on that entity's scores in
//! event-time order.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, Float32Array, Float32Builder, Float64Array,
    RecordBatch, StringArray, StringBuilder, UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Schema, UInt32Type, UInt64Type};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::key::{SHARDS, Shard, hash};
use crate::schema::result::{
    ALERT_EVENT, ALERT_ID, ANOMALY, ANOMALY_ADAPTIVE, ANOMALY_STATIC, MODEL, MODEL_VERSION, SCORE,
    THRESHOLD_ADAPTIVE, THRESHOLD_STATIC, WINDOW_END,
};
use crate::schema::{ENTITY_ID, column, mismatch, texts, times};
use crate::score::{ModelId, ModelInfo};
use crate::snapshot::{Changes, Extent, Snapshot};
use crate::{Error, Result};

/// `alert_event` of an alert's first window.
pub const OPENED: &str = "opened";
/// `alert_event` of an alert's last window.
pub const CLOSED: &str = "closed";

/// Scores learned before a score may be clipped to the running limit during warm-up.
const SETTLED: u64 = 8;

/// How scores become verdicts and alerts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ThresholdConfig {
    /// Which limit decides. Default `adaptive`.
    pub policy: Policy,
    /// The calibration quantile, in `(0, 1]`, that is the static limit. Default 0.999.
    pub static_quantile: f64,
    /// The static limit itself, in the score's unit; overrides `static_quantile`. Needed for a
    /// model that carries no calibration. Default none.
    pub static_value: Option<f32>,
    /// Windows an entity must have shown before its adaptive limit holds; the static one decides
    /// until then. At least 8. Default 64.
    pub warm_up: u64,
    /// Windows over which level and spread are averaged: the weight of a new score is one over
    /// this. Longer is steadier, shorter follows sooner. At least 8. Default 128.
    pub memory: u64,
    /// Spreads (mean absolute deviations) above the level at which a score is flagged. Default 10.
    pub factor: f64,
    /// The weight at which a flagged window (as the limit itself) is learned, relative to an
    /// unflagged one, in `[0, 1]`. 0 never accepts a new level. Default 0.5.
    pub flagged_rate: f64,
    /// Flagged windows in a row that open an alert. At least 1. Default 1.
    pub open_after: u32,
    /// Unflagged windows in a row that close an alert. At least 1. Default 3.
    pub close_after: u32,
}

/// Which limit decides whether a window is an anomaly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// The static one alone.
    Static,
    /// The adaptive one; the static one before the entity has warmed up.
    Adaptive,
    /// Above one of the two; the static one alone before warm-up.
    Either,
    /// Above both; the static one alone before warm-up.
    Both,
}

impl Default for ThresholdConfig {
    fn default() -> Self {
        Self {
            policy: Policy::Adaptive,
            static_quantile: 0.999,
            static_value: None,
            warm_up: 64,
            memory: 128,
            factor: 10.0,
            flagged_rate: 0.5,
            open_after: 1,
            close_after: 3,
        }
    }
}

impl ThresholdConfig {
    /// Whether the numbers make sense together.
    ///
    /// # Errors
    /// [`Error::Configuration`] that names the field and its range.
    pub fn validate(&self) -> Result<()> {
        let check = |good: bool, what: &str| {
            if good { Ok(()) } else { Err(Error::Configuration(format!("threshold.{what}"))) }
        };
        check(
            self.static_quantile > 0.0 && self.static_quantile <= 1.0,
            "static_quantile must lie in (0, 1]",
        )?;
        check(
            self.static_value.is_none_or(f32::is_finite),
            "static_value must be a finite number",
        )?;
        check(self.warm_up >= SETTLED, "warm_up must be at least 8 windows")?;
        check(self.memory >= SETTLED, "memory must be at least 8 windows")?;
        check(self.factor.is_finite() && self.factor > 0.0, "factor must be above 0")?;
        check((0.0..=1.0).contains(&self.flagged_rate), "flagged_rate must lie in [0, 1]")?;
        check(self.open_after >= 1, "open_after must be at least 1 window")?;
        check(self.close_after >= 1, "close_after must be at least 1 window")
    }
}

/// What is remembered of one entity.
#[derive(Debug, Clone, PartialEq)]
struct Entity {
    /// The model whose scores were learned.
    model: Arc<ModelId>,
    /// Scores learned, flagged ones included.
    learned: u64,
    /// Exponentially weighted mean of the learned scores.
    level: f64,
    /// Exponentially weighted mean absolute deviation from the level.
    spread: f64,
    /// Flagged windows in a row.
    flagged: u32,
    /// Unflagged windows in a row.
    clear: u32,
    /// The open alert.
    alert: Option<u64>,
    /// Whether anything of this has changed since the last checkpoint.
    changed: bool,
}

impl Entity {
    fn new(model: &Arc<ModelId>) -> Self {
        Self {
            model: Arc::clone(model),
            learned: 0,
            level: 0.0,
            spread: 0.0,
            flagged: 0,
            clear: 0,
            alert: None,
            changed: false,
        }
    }

    /// Forgets what was learned of another model's scores; an open alert stays open.
    fn adopt(&mut self, model: &Arc<ModelId>) {
        self.model = Arc::clone(model);
        self.learned = 0;
        self.level = 0.0;
        self.spread = 0.0;
    }

    fn limit(&self, config: &ThresholdConfig) -> f64 {
        self.level + config.factor * self.spread
    }

    fn learn(&mut self, score: f32, config: &ThresholdConfig) {
        let warm = self.learned >= config.warm_up;
        let limit = if self.learned >= SETTLED { self.limit(config) } else { f64::INFINITY };
        let score = f64::from(score);
        let above = exceeds(score, limit);
        let mut weight = (1.0 / config.memory as f64).max(1.0 / (self.learned + 1) as f64);
        if warm && above {
            weight *= config.flagged_rate;
        }
        self.learned += 1;
        let value = if above { limit } else { score };
        if value.is_finite() {
            let away = value - self.level;
            self.level += weight * away;
            self.spread += weight * (away.abs() - self.spread);
        }
    }
}

/// What a window did to its entity's alert.
enum Step {
    Quiet,
    Opened(u64),
    Within(u64),
    Closed(u64),
}

impl Entity {
    fn step(&mut self, flagged: bool, config: &ThresholdConfig, id: impl FnOnce() -> u64) -> Step {
        if flagged {
            self.flagged = self.flagged.saturating_add(1);
            self.clear = 0;
        } else {
            self.clear = self.clear.saturating_add(1);
            self.flagged = 0;
        }
        match self.alert {
            None if self.flagged >= config.open_after => {
                let id = id();
                self.alert = Some(id);
                Step::Opened(id)
            }
            None => Step::Quiet,
            Some(id) if self.clear >= config.close_after => {
                self.alert = None;
                Step::Closed(id)
            }
            Some(id) => Step::Within(id),
        }
    }
}

/// The operator: appends the threshold columns to score batches.
#[derive(Debug, Clone)]
pub struct Threshold {
    stream: String,
    config: ThresholdConfig,
    shards: Vec<HashMap<String, Entity>>,
}

impl Threshold {
    /// An operator that has seen nothing. The stream's name goes into alert ids.
    ///
    /// # Errors
    /// [`Error::Configuration`] as [`ThresholdConfig::validate`].
    pub fn new(stream: &str, config: ThresholdConfig) -> Result<Self> {
        config.validate()?;
        let shards = (0..SHARDS).map(|_| HashMap::new()).collect();
        Ok(Self { stream: stream.to_owned(), config, shards })
    }

    /// Judges scores of one model: the same rows, with `threshold_static`, `threshold_adaptive`,
    /// `is_anomaly_static`, `is_anomaly_adaptive`, `is_anomaly`, `alert_id` and `alert_event`
    /// appended.
    ///
    /// Rows of an entity must come in ascending `window_end`, in a batch and from call to call.
    /// A score that is not a number is flagged. A new model version starts the adaptive limit
    /// anew, while an open alert goes on.
    ///
    /// # Errors
    /// [`Error::Column`] when a column is missing, [`Error::Configuration`] when the model
    /// carries no calibration and no `static_value` is set.
    pub fn apply(&mut self, scores: &RecordBatch, info: &ModelInfo) -> Result<RecordBatch> {
        let fixed = self.static_limit(info)?;
        let entities = texts(scores, ENTITY_ID)?;
        let ends = times(scores, WINDOW_END)?;
        let values = column(scores, SCORE)?;
        let values = values
            .as_primitive_opt::<Float32Type>()
            .ok_or_else(|| mismatch(SCORE, "Float32", values))?
            .values();
        let model = Arc::new(info.id.clone());
        let mut verdicts = Verdicts::with_capacity(scores.num_rows());
        let mut from = 0;
        while from < scores.num_rows() {
            let name = entities.value(from);
            let mut to = from + 1;
            while to < scores.num_rows() && entities.value(to) == name {
                to += 1;
            }
            let shard = &mut self.shards[usize::from(Shard::of(name).0)];
            let entity = shard.entry_ref(name).or_insert_with(|| Entity::new(&model));
            if entity.model != model {
                entity.adopt(&model);
            }
            entity.changed = true;
            for row in from..to {
                let verdict = judge(&self.config, entity, values[row], fixed);
                let step = entity.step(verdict.anomaly, &self.config, || {
                    alert_id(&self.stream, name, &info.id.name, ends[row])
                });
                verdicts.push(verdict, step);
            }
            from = to;
        }
        verdicts.append_to(scores, fixed)
    }

    fn static_limit(&self, info: &ModelInfo) -> Result<f32> {
        self.config
            .static_value
            .or_else(|| info.score_quantile(self.config.static_quantile))
            .ok_or_else(|| {
                Error::Configuration(format!(
                    "model {} carries no calibration scores: set threshold.static_value",
                    info.id
                ))
            })
    }
}

/// The id of the alert that a window opens: stable over replays and re-cuts.
fn alert_id(stream: &str, entity: &str, model: &str, window_end_us: i64) -> u64 {
    let mut key = Vec::with_capacity(stream.len() + entity.len() + model.len() + 11);
    for part in [stream, entity, model] {
        key.extend_from_slice(part.as_bytes());
        key.push(0);
    }
    key.extend_from_slice(&window_end_us.to_le_bytes());
    hash(&key)
}

/// Whether a score is above a limit; one that is no number is above any.
fn exceeds(score: f64, limit: f64) -> bool {
    score > limit || score.is_nan()
}

struct Verdict {
    limit: Option<f32>,
    fixed: bool,
    adaptive: Option<bool>,
    anomaly: bool,
}

fn judge(config: &ThresholdConfig, entity: &mut Entity, score: f32, fixed: f32) -> Verdict {
    let by_static = exceeds(score.into(), fixed.into());
    let limit = (entity.learned >= config.warm_up).then(|| entity.limit(config) as f32);
    let adaptive = limit.map(|limit| exceeds(score.into(), limit.into()));
    let anomaly = match (config.policy, adaptive) {
        (Policy::Static, _) | (_, None) => by_static,
        (Policy::Adaptive, Some(by_own)) => by_own,
        (Policy::Either, Some(by_own)) => by_static || by_own,
        (Policy::Both, Some(by_own)) => by_static && by_own,
    };
    entity.learn(score, config);
    Verdict { limit, fixed: by_static, adaptive, anomaly }
}

/// The appended columns, as they are built.
struct Verdicts {
    limit: Float32Builder,
    fixed: BooleanBuilder,
    adaptive: BooleanBuilder,
    anomaly: BooleanBuilder,
    alert: StringBuilder,
    event: StringBuilder,
}

impl Verdicts {
    fn with_capacity(rows: usize) -> Self {
        Self {
            limit: Float32Builder::with_capacity(rows),
            fixed: BooleanBuilder::with_capacity(rows),
            adaptive: BooleanBuilder::with_capacity(rows),
            anomaly: BooleanBuilder::with_capacity(rows),
            alert: StringBuilder::with_capacity(rows, 0),
            event: StringBuilder::with_capacity(rows, 0),
        }
    }

    fn push(&mut self, verdict: Verdict, step: Step) {
        self.limit.append_option(verdict.limit);
        self.fixed.append_value(verdict.fixed);
        self.adaptive.append_option(verdict.adaptive);
        self.anomaly.append_value(verdict.anomaly);
        let (alert, event) = match step {
            Step::Quiet => (None, None),
            Step::Opened(id) => (Some(id), Some(OPENED)),
            Step::Within(id) => (Some(id), None),
            Step::Closed(id) => (Some(id), Some(CLOSED)),
        };
        self.alert.append_option(alert.map(|id| format!("{id:016x}")));
        self.event.append_option(event);
    }

    fn append_to(mut self, scores: &RecordBatch, fixed: f32) -> Result<RecordBatch> {
        let rows = scores.num_rows();
        let added: [(&str, bool, ArrayRef); 7] = [
            (THRESHOLD_STATIC, false, Arc::new(Float32Array::from(vec![fixed; rows]))),
            (THRESHOLD_ADAPTIVE, true, Arc::new(self.limit.finish())),
            (ANOMALY_STATIC, false, Arc::new(self.fixed.finish())),
            (ANOMALY_ADAPTIVE, true, Arc::new(self.adaptive.finish())),
            (ANOMALY, false, Arc::new(self.anomaly.finish())),
            (ALERT_ID, true, Arc::new(self.alert.finish())),
            (ALERT_EVENT, true, Arc::new(self.event.finish())),
        ];
        let mut fields: Vec<_> = scores.schema().fields().iter().cloned().collect();
        let mut columns = scores.columns().to_vec();
        for (name, nullable, array) in added {
            fields.push(Arc::new(Field::new(name, array.data_type().clone(), nullable)));
            columns.push(array);
        }
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
    }
}

impl Snapshot for Threshold {
    fn operator(&self) -> &'static str {
        "threshold"
    }

    fn snapshot(&self, shard: Shard, extent: Extent) -> Result<Option<RecordBatch>> {
        let whole = extent == Extent::Whole;
        let entities = self.shards[usize::from(shard.0)].iter();
        let mut rows: Vec<_> = entities.filter(|(_, entity)| whole || entity.changed).collect();
        if rows.is_empty() {
            return Ok(None);
        }
        rows.sort_unstable_by_key(|(name, _)| *name);
        let text = |of: &dyn Fn(&(&String, &Entity)) -> String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(rows.iter().map(of)))
        };
        let float = |of: fn(&Entity) -> f64| -> ArrayRef {
            Arc::new(Float64Array::from_iter_values(rows.iter().map(|(_, e)| of(e))))
        };
        let small = |of: fn(&Entity) -> u32| -> ArrayRef {
            Arc::new(UInt32Array::from_iter_values(rows.iter().map(|(_, e)| of(e))))
        };
        let columns: Vec<ArrayRef> = vec![
            text(&|row| row.0.clone()),
            text(&|row| row.1.model.name.clone()),
            text(&|row| row.1.model.version.clone()),
            Arc::new(UInt64Array::from_iter_values(rows.iter().map(|(_, e)| e.learned))),
            float(|e| e.level),
            float(|e| e.spread),
            small(|e| e.flagged),
            small(|e| e.clear),
            Arc::new(UInt64Array::from_iter(rows.iter().map(|(_, e)| e.alert))),
        ];
        Ok(Some(RecordBatch::try_new(state_schema(), columns)?))
    }

    fn restore(&mut self, shard: Shard, state: &RecordBatch) -> Result<()> {
        if state.schema().fields() != state_schema().fields() {
            return Err(Error::Snapshot {
                operator: self.operator(),
                reason: "its columns are not those of this build".to_owned(),
            });
        }
        let text = |at: usize| state.column(at).as_string::<i32>();
        let float = |at: usize| state.column(at).as_primitive::<Float64Type>();
        let small = |at: usize| state.column(at).as_primitive::<UInt32Type>();
        let learned = state.column(3).as_primitive::<UInt64Type>();
        let alerts = state.column(8).as_primitive::<UInt64Type>();
        let mut model = Arc::new(ModelId { name: String::new(), version: String::new() });
        let entities = &mut self.shards[usize::from(shard.0)];
        for row in 0..state.num_rows() {
            let (name, version) = (text(1).value(row), text(2).value(row));
            if model.name != name || model.version != version {
                model = Arc::new(ModelId { name: name.to_owned(), version: version.to_owned() });
            }
            let entity = Entity {
                model: Arc::clone(&model),
                learned: learned.value(row),
                level: float(4).value(row),
                spread: float(5).value(row),
                flagged: small(6).value(row),
                clear: small(7).value(row),
                alert: alerts.is_valid(row).then(|| alerts.value(row)),
                changed: false,
            };
            entities.insert(text(0).value(row).to_owned(), entity);
        }
        Ok(())
    }

    fn changes(&self) -> Option<Changes> {
        let entities = self.shards.iter().flat_map(HashMap::values);
        let changed = entities.filter(|entity| entity.changed).count();
        Some(Changes { keys: self.shards.iter().map(HashMap::len).sum(), changed })
    }

    fn saved(&mut self) {
        let entities = self.shards.iter_mut().flat_map(HashMap::values_mut);
        entities.for_each(|entity| entity.changed = false);
    }
}

fn state_schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new(ENTITY_ID, DataType::Utf8, false),
        Field::new(MODEL, DataType::Utf8, false),
        Field::new(MODEL_VERSION, DataType::Utf8, false),
        Field::new("learned", DataType::UInt64, false),
        Field::new("level", DataType::Float64, false),
        Field::new("spread", DataType::Float64, false),
        Field::new("flagged", DataType::UInt32, false),
        Field::new("clear", DataType::UInt32, false),
        Field::new("alert", DataType::UInt64, true),
    ]))
}
