//! Anomalies and their causes as rows.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int32Array, RecordBatch, StringArray,
    UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::causes::{Cause, causes};
use super::unit::{Record, Scope, Unit};
use super::{Anomalies, Judged};
use crate::Result;
use crate::account::days::{Facts, Origin};
use crate::bill::REASON;
use crate::key::{digest, hex};
use crate::schema::ENTITY_ID;
use crate::schema::cost::{CURRENCY, DAY, KNOWN_ON, SERVICE, money, money_array};
use crate::schema::result::{MODEL, MODEL_VERSION, OFFSET_FROM, OFFSET_TO, PARTITION, SCORE};

/// Names a day of an account and currency, or of one service there; `Utf8`.
pub const ANOMALY_ID: &str = "anomaly_id";
/// The first day's anomaly of a run of strange days, all above or all below; `Utf8`.
pub const EVENT_ID: &str = "event_id";
/// `open`, `retracted` (strange when the day closed, not any more) or `withdrawn` (only ever strange
/// in between); `Utf8`.
pub const STATE: &str = "state";
/// What the days before let expect; money.
pub const EXPECTED: &str = "expected";
/// Less is strange; money.
pub const LOWER: &str = "lower";
/// More is strange; money.
pub const UPPER: &str = "upper";
/// What the day came to when it closed; money.
pub const AT_CLOSE: &str = "at_close";
/// What it comes to now; money.
pub const ACTUAL: &str = "actual";
/// `actual - expected`; money.
pub const DEVIATION: &str = "deviation";
/// Whether the day was off by the least amount worth looking at; `Boolean`.
pub const ABOVE_IMPACT: &str = "above_impact";

/// `service`, `region`, `tag:team`, …; `Utf8`.
pub const DIMENSION: &str = "dimension";
/// From 1 on, by how much they differ; `Int32`.
pub const RANK: &str = "rank";
/// Whose charges; `Utf8`, null of charges without a name and of several names together.
pub const NAME: &str = "name";
/// How many names the row is of; `Int32`.
pub const NAMES: &str = "names";

/// The name under which the expectation stands in results.
pub const LEVEL_MODEL: &str = "robust-level";
/// Its version: a change of what it expects is a new one.
pub const LEVEL_VERSION: &str = "1";

fn key_fields() -> Vec<Field> {
    let field = |name: &str, kind| Field::new(name, kind, false);
    vec![
        field(PARTITION, DataType::UInt32),
        field(OFFSET_FROM, DataType::UInt64),
        field(OFFSET_TO, DataType::UInt64),
        field(ENTITY_ID, DataType::Utf8),
        field(DAY, DataType::Date32),
        field(CURRENCY, DataType::Utf8),
        field(ANOMALY_ID, DataType::Utf8),
    ]
}

/// The columns of anomalies.
#[must_use]
pub fn anomaly_schema() -> SchemaRef {
    let field = |name: &str, kind| Field::new(name, kind, false);
    let mut fields = key_fields();
    fields.extend([
        Field::new(SERVICE, DataType::Utf8, true),
        field(EVENT_ID, DataType::Utf8),
        field(STATE, DataType::Utf8),
        Field::new(REASON, DataType::Utf8, true),
        Field::new(KNOWN_ON, DataType::Date32, true),
        field(EXPECTED, money()),
        field(LOWER, money()),
        field(UPPER, money()),
        field(AT_CLOSE, money()),
        field(ACTUAL, money()),
        field(DEVIATION, money()),
        field(SCORE, DataType::Float64),
        field(ABOVE_IMPACT, DataType::Boolean),
        field(MODEL, DataType::Utf8),
        field(MODEL_VERSION, DataType::Utf8),
    ]);
    Arc::new(Schema::new(fields))
}

/// The columns of causes.
#[must_use]
pub fn cause_schema() -> SchemaRef {
    let field = |name: &str, kind| Field::new(name, kind, false);
    let mut fields = key_fields();
    fields.extend([
        field(DIMENSION, DataType::Utf8),
        field(RANK, DataType::Int32),
        Field::new(NAME, DataType::Utf8, true),
        field(NAMES, DataType::Int32),
        field(EXPECTED, money()),
        field(ACTUAL, money()),
        field(DEVIATION, money()),
    ]);
    Arc::new(Schema::new(fields))
}

/// One anomaly, with all that its rows say.
struct Found<'a> {
    unit: &'a Unit,
    day: i32,
    scope: Scope,
    record: Record,
    facts: Facts,
    origin: Origin,
    id: String,
}

/// Days with something to be said of them: whose, which, and what.
type Rows = [(Judged, Record)];

impl Anomalies {
    /// The rows of anomalies, and of their causes.
    pub(super) fn rows(&self, found: &Rows) -> Result<(RecordBatch, RecordBatch)> {
        let found = self.found(found);
        let mut parts: Vec<(usize, Cause)> = Vec::new();
        for (at, Found { unit, day, scope, record, .. }) in found.iter().enumerate() {
            let causes = causes(unit, (*day, *scope), record, &self.rules, &self.symbols);
            parts.extend(causes.into_iter().map(|cause| (at, cause)));
        }
        Ok((anomalies(self, &found)?, cause_rows(self, &found, &parts)?))
    }

    fn found(&self, found: &Rows) -> Vec<Found<'_>> {
        let named = |(judged, record): &(Judged, Record)| {
            let Judged { place, day, scope } = *judged;
            let unit = &self.units[place as usize];
            let facts = unit.facts(day, scope);
            let origin = facts.origin()?;
            let id = id(self, unit, day, scope);
            Some(Found { unit, day, scope, record: *record, facts, origin, id })
        };
        found.iter().filter_map(named).collect()
    }
}
/// The columns of [`key_fields`].
fn keys<'a>(all: &Anomalies, found: impl Iterator<Item = &'a Found<'a>> + Clone) -> Vec<ArrayRef> {
    let name = |symbol| all.symbols.name(symbol).unwrap_or_default();
    let (unit, origin) = (|f: &'a Found<'a>| f.unit, |f: &Found<'_>| f.origin);
    let all = found;
    vec![
        Arc::new(UInt32Array::from_iter_values(all.clone().map(|f| origin(f).partition))),
        Arc::new(UInt64Array::from_iter_values(all.clone().map(|f| origin(f).from))),
        Arc::new(UInt64Array::from_iter_values(all.clone().map(|f| origin(f).to))),
        Arc::new(StringArray::from_iter_values(all.clone().map(|f| name(unit(f).entity)))),
        Arc::new(Date32Array::from_iter_values(all.clone().map(|f| f.day))),
        Arc::new(StringArray::from_iter_values(all.clone().map(|f| name(unit(f).currency)))),
        Arc::new(StringArray::from_iter_values(all.map(|f| f.id.as_str()))),
    ]
}

fn anomalies(all: &Anomalies, found: &[Found<'_>]) -> Result<RecordBatch> {
    let event = |f: &Found<'_>| id(all, f.unit, f.unit.event(f.day, f.scope, &all.rules), f.scope);
    let events = found.iter().map(event);
    let service = |f: &Found<'_>| all.symbols.name(f.scope.service()?);
    let states = found.iter().map(|f| match (f.record.was_strange(), f.record.is_strange()) {
        (_, true) => "open",
        (true, false) => "retracted",
        (false, false) => "withdrawn",
    });
    let restated = |f: &Found<'_>| f.facts.restated;
    let scores =
        found.iter().map(|f| f.record.deviation() as f64 / f.record.scale as f64).map(f64::abs);
    let above = found.iter().map(|f| Some(f.record.impact() >= all.rules.min_impact));
    let same = |text: &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, found.len())))
    };
    let sums = |of: fn(&Record) -> i128| money_array(found.iter().map(|f| of(&f.record)));
    let mut columns = keys(all, found.iter());
    columns.extend([
        Arc::new(found.iter().map(service).collect::<StringArray>()) as ArrayRef,
        Arc::new(StringArray::from_iter_values(events)),
        Arc::new(StringArray::from_iter_values(states)),
        Arc::new(found.iter().map(|f| Some(restated(f)?.reason.name())).collect::<StringArray>()),
        Arc::new(found.iter().map(|f| Some(restated(f)?.known_on)).collect::<Date32Array>()),
        sums(|record| record.expected)?,
        sums(|record| record.lower)?,
        sums(|record| record.upper)?,
        sums(|record| record.at_close)?,
        sums(|record| record.now)?,
        sums(Record::deviation)?,
        Arc::new(Float64Array::from_iter_values(scores)),
        Arc::new(above.collect::<BooleanArray>()),
        same(LEVEL_MODEL),
        same(LEVEL_VERSION),
    ]);
    Ok(RecordBatch::try_new(anomaly_schema(), columns)?)
}

fn cause_rows(
    all: &Anomalies,
    found: &[Found<'_>],
    parts: &[(usize, Cause)],
) -> Result<RecordBatch> {
    let text = |of: fn(&Cause) -> Option<&str>| -> ArrayRef {
        Arc::new(parts.iter().map(|(_, cause)| of(cause)).collect::<StringArray>())
    };
    let number = |of: fn(&Cause) -> i32| -> ArrayRef {
        Arc::new(Int32Array::from_iter_values(parts.iter().map(|(_, cause)| of(cause))))
    };
    let sums = |of: fn(&Cause) -> i128| money_array(parts.iter().map(|(_, cause)| of(cause)));
    let mut columns = keys(all, parts.iter().map(|(at, _)| &found[*at]));
    columns.extend([
        text(|cause| Some(&cause.dimension)),
        number(|cause| cause.rank),
        text(|cause| cause.name.as_deref()),
        number(|cause| cause.names),
        sums(|cause| cause.expected)?,
        sums(|cause| cause.actual)?,
        sums(Cause::deviation)?,
    ]);
    Ok(RecordBatch::try_new(cause_schema(), columns)?)
}

/// The anomaly of a day: 16 hexadecimal digits.
pub(super) fn id(all: &Anomalies, unit: &Unit, day: i32, scope: Scope) -> String {
    let name = |symbol| all.symbols.name(symbol).unwrap_or_default().as_bytes();
    let digest = digest([
        all.stream.as_bytes(),
        name(unit.entity),
        name(unit.currency),
        &day.to_le_bytes(),
        scope.service().map_or(&[], name),
    ]);
    hex(&digest[..8])
}
