//! The one place where periods are judged, in order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema};

use super::config::DriftConfig;
use super::period::{PeriodPartial, Place as Key, Window};
use super::table::{self, Place};
use super::version::{Outcome, Version};
use crate::key::Shard;
use crate::schema::result::{
    FEATURES, MODEL, MODEL_VERSION, OFFSET_FROM, OFFSET_TO, PARTITION, WINDOW, window_key_fields,
};
use crate::schema::{timestamp, vector, vector_array};
use crate::score::ModelId;
use crate::snapshot::{Extent, Snapshot};
use crate::{Error, Result};

/// What a judged period means for its model.
#[derive(Debug, Clone, PartialEq)]
pub struct DriftVerdict {
    /// The period's end, exclusive, µs.
    pub period_end_us: i64,
    /// The version that was judged.
    pub model: ModelId,
    /// Whether any statistic fired.
    pub fired: bool,
    /// Whether the model should be retrained: drift fired, and that was not asked for lately.
    pub retrain: bool,
    /// With `retrain`: recent unflagged windows, ordered by (`window_end`, `entity_id`), with the
    /// columns of a window batch and `features`. `None` where none was kept.
    pub sample: Option<RecordBatch>,
}

/// What [`DriftJudge::judge`] gives.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judged {
    /// Rows of the drift table besides epoch and source; `None` for none.
    pub rows: Option<RecordBatch>,
    /// One a judged period, ascending.
    pub verdicts: Vec<DriftVerdict>,
}

/// The operator in one place.
#[derive(Debug, Clone)]
pub struct DriftJudge {
    config: DriftConfig,
    version: Option<Version>,
    /// The latest periods' unflagged windows, oldest first.
    recent: VecDeque<PeriodPartial>,
}

impl DriftJudge {
    /// A judge that knows no version yet.
    ///
    /// # Errors
    /// [`Error::Configuration`] as [`DriftConfig::validate`].
    pub fn new(config: DriftConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self { config, version: None, recent: VecDeque::new() })
    }

    /// Merges what the workers saw of periods that have closed, and judges these in order.
    ///
    /// All workers' partials of a period must come in one call: they close it at the same
    /// watermark. The first periods of a model version make its reference and give no rows. A
    /// change of version starts a reference anew.
    ///
    /// Rows: `partition`, `offset_from`, `offset_to`, `kind`, `statistic`, `feature` (null: all
    /// together), `period_start`, `period_end` (exclusive), `effect`, `limit`, `fired`, `action`,
    /// `model`, `model_version`.
    ///
    /// # Errors
    /// Only where Arrow refuses to build the rows, which is a bug.
    pub fn judge(&mut self, partials: Vec<PeriodPartial>) -> Result<Judged> {
        let mut judged = Judged::default();
        let mut rows = Rows::default();
        for period in self.merge(partials) {
            self.remember(&period);
            if period.windows < self.config.windows_min || period.sample.entries.is_empty() {
                continue;
            }
            let version = match &mut self.version {
                Some(version) if *version.model == *period.model => version,
                version => version.insert(Version::new(Arc::clone(&period.model), &self.config)),
            };
            if !version.is_ready() {
                let mut period = period;
                period.healthy = Default::default();
                version.learn(period, &self.config);
                continue;
            }
            let outcomes = version.judge(&period, &self.config);
            let fired = outcomes.iter().any(|outcome| outcome.fired);
            version.asked = version.asked.map(|periods| periods.saturating_add(1));
            let due = version.asked.is_none_or(|periods| periods > self.config.retry_after);
            let retrain = fired && due;
            if retrain {
                version.asked = Some(0);
            }
            let sample = if retrain { self.sample()? } else { None };
            let period_end_us = (period.period + 1) * self.config.period_us();
            let model = (*period.model).clone();
            rows.push(&period, outcomes, retrain);
            judged.verdicts.push(DriftVerdict { period_end_us, model, fired, retrain, sample });
        }
        judged.rows = rows.finish(self.config.period_us())?;
        Ok(judged)
    }

    /// Whole periods in order; within one, the version that came first, first.
    fn merge(&self, partials: Vec<PeriodPartial>) -> Vec<PeriodPartial> {
        let mut whole: BTreeMap<(i64, Arc<ModelId>), PeriodPartial> = BTreeMap::new();
        for partial in partials {
            let key = (partial.period, Arc::clone(&partial.model));
            match whole.get_mut(&key) {
                Some(known) => {
                    known.merge(partial, self.config.sample, self.config.retrain_windows)
                }
                None => drop(whole.insert(key, partial)),
            }
        }
        let mut periods: Vec<_> = whole.into_values().collect();
        periods.sort_by_key(|period| (period.period, period.first_end));
        periods
    }

    /// Keeps a period's unflagged windows.
    fn remember(&mut self, period: &PeriodPartial) {
        let mut kept = PeriodPartial::new(
            period.period,
            Arc::clone(&period.model),
            Arc::clone(&period.variables),
        );
        kept.healthy = period.healthy.clone();
        self.recent.push_back(kept);
        while self.recent.len() > self.config.retrain_periods {
            self.recent.pop_front();
        }
    }

    /// See [`DriftVerdict::sample`].
    fn sample(&self) -> Result<Option<RecordBatch>> {
        let mut rows: Vec<(&Key, &Window)> =
            self.recent.iter().flat_map(|period| &period.healthy.entries).collect();
        rows.sort_by_key(|((_, end, entity), _)| (*end, entity));
        let Some((_, first)) = rows.first() else { return Ok(None) };
        // A version that reads other features or windows begins a sample of its own.
        let widths = (first.values.len(), first.features.len());
        rows.retain(|(_, window)| (window.values.len(), window.features.len()) == widths);
        sample_batch(&rows, widths).map(Some)
    }
}

fn instants(times: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
}

fn sample_batch(rows: &[(&Key, &Window)], (raw, features): (usize, usize)) -> Result<RecordBatch> {
    let windows = || rows.iter().map(|(_, window)| *window);
    let mut fields = window_key_fields();
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|((_, _, entity), _)| entity))),
        instants(windows().map(|window| window.start)),
        instants(rows.iter().map(|((_, end, _), _)| *end)),
        Arc::new(UInt32Array::from_iter_values(windows().map(|window| window.partition))),
        Arc::new(UInt64Array::from_iter_values(windows().map(|window| window.from))),
        Arc::new(UInt64Array::from_iter_values(windows().map(|window| window.to))),
        Arc::new(UInt32Array::from_iter_values(windows().map(|window| window.rows))),
    ];
    if raw > 0 {
        let values = windows().flat_map(|window| window.values.iter().copied()).collect();
        fields.push(Field::new(WINDOW, vector(raw), false));
        columns.push(Arc::new(vector_array(raw, values)));
    }
    if features > 0 {
        let values = windows().flat_map(|window| window.features.iter().copied()).collect();
        fields.push(Field::new(FEATURES, vector(features), false));
        columns.push(Arc::new(vector_array(features, values)));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// Rows of the drift table, as they are collected.
#[derive(Default)]
struct Rows {
    outcomes: Vec<Outcome>,
    /// For each outcome, its period.
    periods: Vec<Origin>,
}

#[derive(Clone)]
struct Origin {
    period: i64,
    model: Arc<ModelId>,
    partition: u32,
    from: u64,
    to: u64,
    retrain: bool,
}

impl Rows {
    fn push(&mut self, period: &PeriodPartial, outcomes: Vec<Outcome>, retrain: bool) {
        let origin = Origin {
            period: period.period,
            model: Arc::clone(&period.model),
            partition: period.partition,
            from: period.offset_from,
            to: period.offset_to,
            retrain,
        };
        self.periods.extend(std::iter::repeat_n(origin, outcomes.len()));
        self.outcomes.extend(outcomes);
    }

    fn finish(self, period_us: i64) -> Result<Option<RecordBatch>> {
        if self.outcomes.is_empty() {
            return Ok(None);
        }
        let (outcomes, periods) = (&self.outcomes, &self.periods);
        let action = |(outcome, origin): (&Outcome, &Origin)| {
            if outcome.fired && origin.retrain { "retrain" } else { "none" }
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from_iter_values(periods.iter().map(|p| p.partition))),
            Arc::new(UInt64Array::from_iter_values(periods.iter().map(|p| p.from))),
            Arc::new(UInt64Array::from_iter_values(periods.iter().map(|p| p.to))),
            Arc::new(StringArray::from_iter_values(outcomes.iter().map(|o| o.group.name()))),
            Arc::new(StringArray::from_iter_values(outcomes.iter().map(|o| o.statistic))),
            Arc::new(StringArray::from_iter(outcomes.iter().map(|o| o.feature.as_deref()))),
            instants(periods.iter().map(|p| p.period * period_us)),
            instants(periods.iter().map(|p| (p.period + 1) * period_us)),
            Arc::new(Float64Array::from_iter_values(outcomes.iter().map(|o| o.effect))),
            Arc::new(Float64Array::from_iter_values(outcomes.iter().map(|o| o.limit))),
            Arc::new(outcomes.iter().map(|o| Some(o.fired)).collect::<BooleanArray>()),
            Arc::new(StringArray::from_iter_values(outcomes.iter().zip(periods).map(action))),
            Arc::new(StringArray::from_iter_values(periods.iter().map(|p| &p.model.name))),
            Arc::new(StringArray::from_iter_values(periods.iter().map(|p| &p.model.version))),
        ];
        Ok(Some(RecordBatch::try_new(row_schema(), columns)?))
    }
}

fn row_schema() -> Arc<Schema> {
    let field = |name: &str, kind| Field::new(name, kind, false);
    Arc::new(Schema::new(vec![
        field(PARTITION, DataType::UInt32),
        field(OFFSET_FROM, DataType::UInt64),
        field(OFFSET_TO, DataType::UInt64),
        field("kind", DataType::Utf8),
        field("statistic", DataType::Utf8),
        Field::new("feature", DataType::Utf8, true),
        field("period_start", timestamp()),
        field("period_end", timestamp()),
        field("effect", DataType::Float64),
        field("limit", DataType::Float64),
        field("fired", DataType::Boolean),
        field("action", DataType::Utf8),
        field(MODEL, DataType::Utf8),
        field(MODEL_VERSION, DataType::Utf8),
    ]))
}

/// The judge's place among the shards: it lives on the worker that owns this one.
const HOME: Shard = Shard(0);

impl Snapshot for DriftJudge {
    fn operator(&self) -> &'static str {
        "drift_judge"
    }

    /// All of the state under shard 0.
    fn snapshot(&self, shard: Shard, _: Extent) -> Result<Option<RecordBatch>> {
        if shard != HOME {
            return Ok(None);
        }
        let version = self.version.as_ref();
        let reference = version.into_iter().flat_map(|version| &version.reference);
        let reference = reference.map(|period| (Place::Reference, period));
        let recent = self.recent.iter().map(|period| (Place::Recent, period));
        let numbers = version.map(|version| (&version.model, version.numbers()));
        let numbers = numbers.as_ref().map(|(model, numbers)| (&***model, numbers.as_slice()));
        table::encode(reference.chain(recent), numbers)
    }

    fn restore(&mut self, _: Shard, state: &RecordBatch) -> Result<()> {
        let decoded = table::decode(state, self.operator())?;
        let mut reference = Vec::new();
        self.recent.clear();
        for (place, period) in decoded.periods {
            match place {
                Place::Recent => self.recent.push_back(period),
                Place::Open | Place::Reference => reference.push(period),
            }
        }
        self.version = None;
        let model = reference.first().map(|period| Arc::clone(&period.model));
        if let (Some(model), Some(numbers)) = (model, decoded.numbers) {
            let mut version = Version::new(model, &self.config);
            version.reference = reference;
            let restored = version.with_numbers(&numbers, &self.config);
            self.version = Some(restored.ok_or_else(|| Error::Snapshot {
                operator: self.operator(),
                reason: "its numbers are cut short".to_owned(),
            })?);
        }
        Ok(())
    }
}
