//! Charges to daily costs: exact totals, and the day's vector by service.
//!
//! A charge counts on the UTC day on which its period begins (`ts`), whole: a
//! monthly fee is a cost of the day that it is charged from, as on the
//! provider's own daily view. Sums are of integers, so they are exact and do
//! not depend on the order of charges. A day closes once the watermark has
//! reached its end; corrections that come before add up like any charge.
//!
//! A closed day gives its rows of `cost_daily`, and for each entity one window
//! whose features describe the day: spending by service, in total, against the
//! entity's own previous days, and how it is spread.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Decimal128Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Schema, UInt32Type, UInt64Type,
};
use hashbrown::HashMap;

use crate::epoch::Partition;
use crate::key::{SHARDS, Shard};
use crate::schema::cost::{
    BILLED_COST, BILLING_ACCOUNT, CURRENCY, EFFECTIVE_COST, MONEY_PRECISION, MONEY_SCALE, PROVIDER,
    SERVICE, money,
};
use crate::schema::result::{FEATURES, OFFSET_FROM, OFFSET_TO, PARTITION, window_key_fields};
use crate::schema::{ENTITY_ID, TS, column, mismatch, offsets, texts, times, vector, vector_array};
use crate::snapshot::{Changes, Extent, Snapshot};
use crate::watermark::Watermark;
use crate::window::selected;
use crate::{Error, Result};

/// The day on which the charges' periods begin, UTC; `Date32`.
pub const DAY: &str = "day";
/// Charges added up; `UInt64`.
pub const CHARGES: &str = "charges";

const DAY_US: i64 = 86_400_000_000;

/// Days before a day that its total is compared with.
const HISTORY_DAYS: i32 = 7;

/// Features after those of the services: other, total, three ratios, entropy, weekday (2), charges.
const TRAILING: [&str; 9] = [
    "other",
    "total",
    "day_over_day",
    "against_week",
    "days_known",
    "share_entropy",
    "weekday_sin",
    "weekday_cos",
    "charges",
];

/// What is added up within an entity and day, by provider, billing account, service and currency.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Line {
    provider: String,
    billing_account: String,
    service: String,
    currency: String,
}

/// Exact sums, and where their charges stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sum {
    /// In units of 10⁻¹² of the currency.
    billed: i128,
    /// In units of 10⁻¹² of the currency.
    effective: i128,
    charges: u64,
    /// The least partition with a charge: offsets of different partitions do not compare.
    partition: u32,
    from: u64,
    to: u64,
}

impl Sum {
    fn add(&mut self, other: &Self) -> Option<()> {
        self.billed = self.billed.checked_add(other.billed)?;
        self.effective = self.effective.checked_add(other.effective)?;
        self.charges += other.charges;
        if other.partition < self.partition {
            (self.partition, self.from, self.to) = (other.partition, other.from, other.to);
        } else if other.partition == self.partition {
            self.from = self.from.min(other.from);
            self.to = self.to.max(other.to);
        }
        Some(())
    }
}

type Lines = BTreeMap<Line, Sum>;

/// Something kept, and whether it has changed since the last checkpoint.
#[derive(Debug, Clone, Default, PartialEq)]
struct Kept<T> {
    value: T,
    changed: bool,
}

/// One shard's entities.
#[derive(Debug, Clone, Default, PartialEq)]
struct State {
    /// Open days (since 1970-01-01), and each entity's charges in them.
    open: BTreeMap<i32, HashMap<String, Kept<Lines>>>,
    /// Each entity's totals of recent closed days, in units of 10⁻¹², ascending by day.
    closed: HashMap<String, Kept<BTreeMap<i32, i128>>>,
}

impl State {
    /// Its entities, and whether anything of each has changed.
    fn entities(&self) -> HashMap<&str, bool> {
        let open = self.open.values().flatten().map(|(name, kept)| (name, kept.changed));
        let closed = self.closed.iter().map(|(name, kept)| (name, kept.changed));
        let mut entities = HashMap::new();
        for (name, changed) in open.chain(closed) {
            *entities.entry(name.as_str()).or_default() |= changed;
        }
        entities
    }
}

/// The operator: adds up charges by entity and day.
#[derive(Debug, Clone)]
pub struct Daily {
    services: Vec<String>,
    shards: Vec<State>,
    pending: u64,
}

impl Daily {
    /// An operator without charges. `services` are those that get a feature of their own, in
    /// order; all others share one.
    ///
    /// # Errors
    /// [`Error::Configuration`] when a service is named twice.
    pub fn new(services: Vec<String>) -> Result<Self> {
        for (at, service) in services.iter().enumerate() {
            if services[..at].contains(service) {
                return Err(Error::Configuration(format!("services: {service} is named twice")));
            }
        }
        Ok(Self { services, shards: vec![State::default(); SHARDS], pending: 0 })
    }

    /// The names of the features, in order.
    #[must_use]
    pub fn feature_names(&self) -> Vec<String> {
        let services = self.services.iter().map(|service| format!("service:{service}"));
        services.chain(TRAILING.iter().map(|name| (*name).to_owned())).collect()
    }

    /// Charges in days that are still open.
    #[must_use]
    pub fn pending_rows(&self) -> u64 {
        self.pending
    }

    /// Takes up the selected charges (all when `None`) of a partition's input batch
    /// ([`crate::schema::cost`]).
    ///
    /// # Errors
    /// [`Error::Column`] when a column is missing, or a sum exceeds `Decimal128(38, 12)`.
    pub fn push(
        &mut self,
        partition: Partition,
        rows: &RecordBatch,
        selection: Option<&[u32]>,
    ) -> Result<()> {
        let entities = texts(rows, ENTITY_ID)?;
        let ts = times(rows, TS)?;
        let offsets = offsets(rows)?;
        let (providers, accounts) = (texts(rows, PROVIDER)?, texts(rows, BILLING_ACCOUNT)?);
        let (services, currencies) = (texts(rows, SERVICE)?, texts(rows, CURRENCY)?);
        let (billed, effective) = (amounts(rows, BILLED_COST)?, amounts(rows, EFFECTIVE_COST)?);
        // One buffer a batch: a line seen before costs no allocation.
        let mut line = Line {
            provider: String::new(),
            billing_account: String::new(),
            service: String::new(),
            currency: String::new(),
        };
        for row in selected(rows, selection) {
            let entity = entities.value(row);
            let day = day_of(ts[row]);
            for (to, from) in [
                (&mut line.provider, providers),
                (&mut line.billing_account, accounts),
                (&mut line.service, services),
                (&mut line.currency, currencies),
            ] {
                to.clear();
                to.push_str(from.value(row));
            }
            let offset = offsets.value(row);
            let sum = Sum {
                billed: billed.value(row),
                effective: effective.value(row),
                charges: 1,
                partition: partition.0,
                from: offset,
                to: offset,
            };
            let state = &mut self.shards[usize::from(Shard::of(entity).0)];
            let lines = state.open.entry(day).or_default().entry_ref(entity).or_default();
            lines.changed = true;
            match lines.value.get_mut(&line) {
                Some(known) => known.add(&sum).ok_or_else(|| too_large(entity, &line))?,
                None => drop(lines.value.insert(line.clone(), sum)),
            }
            self.pending += 1;
        }
        Ok(())
    }

    /// Closes the days that end at or before the watermark: rows of `cost_daily`, and a window
    /// batch with `features`; both ordered by day and entity, empty when no day closes.
    ///
    /// `cost_daily`: `partition`, `offset_from`, `offset_to` (in the least partition that had a
    /// charge), `entity_id`, `day`, `provider`, `billing_account`, `service`, `currency`,
    /// `billed_cost`, `effective_cost`, `charges`.
    ///
    /// # Errors
    /// [`Error::Column`] when an entity's total exceeds `Decimal128(38, 12)`.
    pub fn advance(
        &mut self,
        watermark: Watermark,
    ) -> Result<(Vec<RecordBatch>, Vec<RecordBatch>)> {
        let end = day_of(watermark.0);
        let mut closing: BTreeMap<i32, BTreeMap<String, Lines>> = BTreeMap::new();
        for state in &mut self.shards {
            let open = state.open.split_off(&end);
            for (day, entities) in std::mem::replace(&mut state.open, open) {
                let lines = entities.into_iter().map(|(entity, kept)| (entity, kept.value));
                closing.entry(day).or_default().extend(lines);
            }
        }
        let (mut rows, mut vectors) = (Rows::default(), Vectors::default());
        for (day, entities) in closing {
            for (entity, lines) in entities {
                self.pending -= lines.values().map(|sum| sum.charges).sum::<u64>();
                let state = &mut self.shards[usize::from(Shard::of(&entity).0)];
                let history = state.closed.entry_ref(&entity).or_default();
                history.changed = true;
                vectors.push(&self.services, day, &entity, &lines, &mut history.value)?;
                rows.push(day, &entity, &lines);
            }
        }
        let width = self.services.len() + TRAILING.len();
        Ok((rows.finish()?.into_iter().collect(), vectors.finish(width)?.into_iter().collect()))
    }
}

/// The day, since 1970-01-01, that an event time falls on.
fn day_of(us: i64) -> i32 {
    us.div_euclid(DAY_US) as i32
}

fn amounts<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a Decimal128Array> {
    let array = column(batch, name)?;
    if *array.data_type() != money() {
        return Err(mismatch(name, "Decimal128(38, 12)", array));
    }
    Ok(array.as_primitive::<Decimal128Type>())
}

fn too_large(entity: &str, line: &Line) -> Error {
    Error::Column {
        column: EFFECTIVE_COST.to_owned(),
        expected: "sums within Decimal128(38, 12)".to_owned(),
        found: format!("more in a day of {entity}, {}", line.service),
    }
}

/// Rows of `cost_daily`, as they are collected.
#[derive(Default)]
struct Rows {
    keys: Vec<(i32, String, Line)>,
    sums: Vec<Sum>,
}

impl Rows {
    fn push(&mut self, day: i32, entity: &str, lines: &Lines) {
        for (line, sum) in lines {
            self.keys.push((day, entity.to_owned(), line.clone()));
            self.sums.push(*sum);
        }
    }

    fn finish(self) -> Result<Option<RecordBatch>> {
        if self.keys.is_empty() {
            return Ok(None);
        }
        Ok(Some(RecordBatch::try_new(row_schema(), self.columns()?)?))
    }

    fn columns(&self) -> Result<Vec<ArrayRef>> {
        let text = |of: fn(&(i32, String, Line)) -> &String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(self.keys.iter().map(of)))
        };
        let number = |of: fn(&Sum) -> u64| -> ArrayRef {
            Arc::new(UInt64Array::from_iter_values(self.sums.iter().map(of)))
        };
        let amount = |of: fn(&Sum) -> i128| -> Result<ArrayRef> {
            let sums = Decimal128Array::from_iter_values(self.sums.iter().map(of));
            Ok(Arc::new(sums.with_precision_and_scale(MONEY_PRECISION, MONEY_SCALE)?))
        };
        Ok(vec![
            Arc::new(UInt32Array::from_iter_values(self.sums.iter().map(|sum| sum.partition))),
            number(|sum| sum.from),
            number(|sum| sum.to),
            text(|key| &key.1),
            Arc::new(Date32Array::from_iter_values(self.keys.iter().map(|key| key.0))),
            text(|key| &key.2.provider),
            text(|key| &key.2.billing_account),
            text(|key| &key.2.service),
            text(|key| &key.2.currency),
            amount(|sum| sum.billed)?,
            amount(|sum| sum.effective)?,
            number(|sum| sum.charges),
        ])
    }
}

/// The columns of `cost_daily` besides epoch and source; also how open days are kept.
fn row_schema() -> Arc<Schema> {
    let field = |name: &str, kind| Field::new(name, kind, false);
    Arc::new(Schema::new(vec![
        field(PARTITION, DataType::UInt32),
        field(OFFSET_FROM, DataType::UInt64),
        field(OFFSET_TO, DataType::UInt64),
        field(ENTITY_ID, DataType::Utf8),
        field(DAY, DataType::Date32),
        field(PROVIDER, DataType::Utf8),
        field(BILLING_ACCOUNT, DataType::Utf8),
        field(SERVICE, DataType::Utf8),
        field(CURRENCY, DataType::Utf8),
        field(BILLED_COST, money()),
        field(EFFECTIVE_COST, money()),
        field(CHARGES, DataType::UInt64),
    ]))
}

/// The window batch, as it is built.
#[derive(Default)]
struct Vectors {
    entities: Vec<String>,
    days: Vec<i32>,
    origins: Vec<Sum>,
    features: Vec<f32>,
}

impl Vectors {
    fn push(
        &mut self,
        services: &[String],
        day: i32,
        entity: &str,
        lines: &Lines,
        history: &mut BTreeMap<i32, i128>,
    ) -> Result<()> {
        let mut whole: Option<Sum> = None;
        let mut by_currency: BTreeMap<&str, i128> = BTreeMap::new();
        for (line, sum) in lines {
            let failed = || too_large(entity, line);
            match &mut whole {
                Some(whole) => whole.add(sum).ok_or_else(failed)?,
                None => whole = Some(*sum),
            }
            let spent = by_currency.entry(&line.currency).or_default();
            *spent = spent.checked_add(sum.effective.saturating_abs()).ok_or_else(failed)?;
        }
        let Some(whole) = whole else { return Ok(()) };
        // Currencies never add up. An account is billed in one; where there are several, the
        // features describe the one most is spent in (the first by name of equals).
        let currency = by_currency.iter().rev().max_by_key(|(_, spent)| **spent);
        let mut amounts = vec![0i128; services.len() + 1];
        for (line, sum) in
            lines.iter().filter(|(line, _)| Some(line.currency.as_str()) == currency.map(|c| *c.0))
        {
            let at = services.iter().position(|s| *s == line.service).unwrap_or(services.len());
            amounts[at] =
                amounts[at].checked_add(sum.effective).ok_or_else(|| too_large(entity, line))?;
        }
        self.describe(day, &amounts, whole.charges, history);
        self.entities.push(entity.to_owned());
        self.days.push(day);
        self.origins.push(whole);
        Ok(())
    }

    /// The features of a day from its amounts by service, and the day into the history.
    fn describe(
        &mut self,
        day: i32,
        amounts: &[i128],
        charges: u64,
        history: &mut BTreeMap<i32, i128>,
    ) {
        // Refunds make amounts negative: asinh is a logarithm that takes both signs.
        self.features.extend(amounts.iter().map(|amount| units(*amount).asinh() as f32));
        let total: i128 = amounts.iter().fold(0, |a, b| a.saturating_add(*b));
        *history = history.split_off(&(day - HISTORY_DAYS));
        let log = units(total).asinh();
        let yesterday = history.get(&(day - 1)).map_or(log, |spent| units(*spent).asinh());
        let known = history.len();
        let mean = if known == 0 {
            log
        } else {
            history.values().map(|spent| units(*spent).asinh()).sum::<f64>() / known as f64
        };
        // 1970-01-01 was a Thursday; Monday is 0.
        let weekday = f64::from((day + 3).rem_euclid(7)) * std::f64::consts::TAU / 7.0;
        let trailing = [
            log,
            log - yesterday,
            log - mean,
            known as f64 / f64::from(HISTORY_DAYS),
            entropy(amounts),
            weekday.sin(),
            weekday.cos(),
            (charges as f64).ln_1p(),
        ];
        self.features.extend(trailing.iter().map(|value| *value as f32));
        history.insert(day, total);
    }

    fn finish(self, width: usize) -> Result<Option<RecordBatch>> {
        if self.entities.is_empty() {
            return Ok(None);
        }
        let instants = |after: i64| -> ArrayRef {
            let days = self.days.iter().map(|day| (i64::from(*day) + after) * DAY_US);
            Arc::new(TimestampMicrosecondArray::from_iter_values(days).with_timezone("UTC"))
        };
        let number = |of: fn(&Sum) -> u64| -> ArrayRef {
            Arc::new(UInt64Array::from_iter_values(self.origins.iter().map(of)))
        };
        let small = |of: fn(&Sum) -> u32| -> ArrayRef {
            Arc::new(UInt32Array::from_iter_values(self.origins.iter().map(of)))
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(&self.entities)),
            instants(0),
            instants(1),
            small(|origin| origin.partition),
            number(|origin| origin.from),
            number(|origin| origin.to),
            small(|origin| u32::try_from(origin.charges).unwrap_or(u32::MAX)),
            Arc::new(vector_array(width, self.features)),
        ];
        let mut fields = window_key_fields();
        fields.push(Field::new(FEATURES, vector(width), false));
        Ok(Some(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?))
    }
}

/// An amount in whole units of its currency.
fn units(amount: i128) -> f64 {
    amount as f64 / 1e12
}

/// How evenly spending is spread over the services: Shannon entropy of their shares, nats.
fn entropy(amounts: &[i128]) -> f64 {
    let total: f64 = amounts.iter().map(|amount| units((*amount).max(0))).sum();
    let parts = amounts.iter().filter(|amount| **amount > 0).map(|amount| units(*amount) / total);
    parts.map(|share| -share * share.ln()).sum()
}

impl Snapshot for Daily {
    fn operator(&self) -> &'static str {
        "daily"
    }

    /// Open days as rows of `cost_daily`; closed ones as rows without charges, whose
    /// `effective_cost` is the total that later days are compared with.
    fn snapshot(&self, shard: Shard, extent: Extent) -> Result<Option<RecordBatch>> {
        let state = &self.shards[usize::from(shard.0)];
        let entities = state.entities();
        let wanted = |entity: &str| extent == Extent::Whole || entities[entity];
        let mut kept: BTreeMap<(i32, &str), Lines> = BTreeMap::new();
        for (entity, history) in state.closed.iter().filter(|(entity, _)| wanted(entity)) {
            for (day, total) in &history.value {
                let none = Line {
                    provider: String::new(),
                    billing_account: String::new(),
                    service: String::new(),
                    currency: String::new(),
                };
                let sum =
                    Sum { billed: 0, effective: *total, charges: 0, partition: 0, from: 0, to: 0 };
                kept.insert((*day, entity), BTreeMap::from([(none, sum)]));
            }
        }
        for (day, entities) in &state.open {
            for (entity, lines) in entities.iter().filter(|(entity, _)| wanted(entity)) {
                kept.insert((*day, entity), lines.value.clone());
            }
        }
        let mut rows = Rows::default();
        for ((day, entity), lines) in &kept {
            rows.push(*day, entity, lines);
        }
        rows.finish()
    }

    fn changes(&self) -> Option<Changes> {
        let mut changes = Changes::default();
        for state in &self.shards {
            let entities = state.entities();
            changes.keys += entities.len();
            changes.changed += entities.values().filter(|changed| **changed).count();
        }
        Some(changes)
    }

    fn saved(&mut self) {
        for state in &mut self.shards {
            state.closed.values_mut().for_each(|kept| kept.changed = false);
            let open = state.open.values_mut().flat_map(HashMap::values_mut);
            open.for_each(|kept| kept.changed = false);
        }
    }

    fn restore(&mut self, shard: Shard, state: &RecordBatch) -> Result<()> {
        if state.schema().fields() != row_schema().fields() {
            return Err(Error::Snapshot {
                operator: self.operator(),
                reason: "its columns are not those of this build".to_owned(),
            });
        }
        let text =
            |at: usize, row: usize| state.column(at).as_string::<i32>().value(row).to_owned();
        let number =
            |at: usize, row: usize| state.column(at).as_primitive::<UInt64Type>().value(row);
        let amount = |at: usize, row| state.column(at).as_primitive::<Decimal128Type>().value(row);
        let days = state.column(4).as_primitive::<Date32Type>();
        let target = &mut self.shards[usize::from(shard.0)];
        for row in 0..state.num_rows() {
            let (entity, day) = (text(3, row), days.value(row));
            let sum = Sum {
                billed: amount(9, row),
                effective: amount(10, row),
                charges: number(11, row),
                partition: state.column(0).as_primitive::<UInt32Type>().value(row),
                from: number(1, row),
                to: number(2, row),
            };
            if sum.charges == 0 {
                target.closed.entry(entity).or_default().value.insert(day, sum.effective);
                continue;
            }
            let line = Line {
                provider: text(5, row),
                billing_account: text(6, row),
                service: text(7, row),
                currency: text(8, row),
            };
            self.pending += sum.charges;
            let lines = target.open.entry(day).or_default().entry(entity).or_default();
            lines.value.insert(line, sum);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::BooleanArray;
    use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
    use proptest::prelude::*;

    use super::*;
    use crate::schema::cost;
    use crate::schema::vectors;
    use crate::snapshot::{chunks, restore};

    fn state(kernel: &Daily, extent: Extent) -> Vec<RecordBatch> {
        chunks(kernel, extent).collect::<Result<_>>().unwrap()
    }

    /// A charge: entity, day and hour, service, currency, amount in 10⁻¹².
    type Charge = (u8, i64, u8, u8, i128);

    fn charges(rows: &[Charge]) -> RecordBatch {
        let text = |of: &dyn Fn(&Charge) -> String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(rows.iter().map(of)))
        };
        let same = |value: &str| text(&|_| value.to_owned());
        let time = || -> ArrayRef {
            let hours = rows.iter().map(|row| row.1 * 3_600_000_000);
            Arc::new(TimestampMicrosecondArray::from_iter_values(hours).with_timezone("UTC"))
        };
        let amount = |scale: i128| -> ArrayRef {
            let amounts = rows.iter().map(|row| row.4 * scale);
            let amounts = Decimal128Array::from_iter_values(amounts);
            Arc::new(amounts.with_precision_and_scale(MONEY_PRECISION, MONEY_SCALE).unwrap())
        };
        let columns: Vec<ArrayRef> = vec![
            text(&|row| format!("account{}", row.0)),
            time(),
            Arc::new(UInt64Array::from_iter_values(0..rows.len() as u64)),
            same("AWS"),
            same("payer"),
            text(&|row| format!("service{}", row.2)),
            same(""),
            same(""),
            same(""),
            same("Usage"),
            same(""),
            time(),
            amount(1),
            amount(2),
            text(&|row| if row.3 == 0 { "USD" } else { "EUR" }.to_owned()),
            same(""),
        ];
        RecordBatch::try_new(cost::schema(), columns).unwrap()
    }

    fn daily() -> Daily {
        Daily::new(vec!["service0".to_owned(), "service1".to_owned()]).unwrap()
    }

    const UNIT: i128 = 1_000_000_000_000;

    #[test]
    fn a_day_is_described_by_its_services_and_the_days_before() {
        let mut daily = daily();
        let rows = [
            (1, 0, 0, 0, 3 * UNIT),
            (1, 5, 7, 0, UNIT),
            (1, 24, 0, 0, 2 * UNIT),
            (1, 30, 0, 1, UNIT),
            (1, 47, 1, 0, -UNIT),
        ];
        daily.push(Partition(2), &charges(&rows), None).unwrap();
        assert_eq!(daily.pending_rows(), 5);
        let (none, _) = daily.advance(Watermark(DAY_US - 1)).unwrap();
        assert!(none.is_empty());
        let (first, _) = daily.advance(Watermark(DAY_US)).unwrap();
        assert_eq!((first[0].num_rows(), daily.pending_rows()), (2, 3));
        let (rows, windows) = daily.advance(Watermark::MAX).unwrap();
        let billed = amounts(&rows[0], BILLED_COST).unwrap();
        assert_eq!(billed.values()[..], [UNIT, 2 * UNIT, -UNIT]);
        assert_eq!(texts(&rows[0], CURRENCY).unwrap().value(0), "EUR");
        let (features, width) = vectors(&windows[0], FEATURES).unwrap();
        let names = daily.feature_names();
        assert_eq!(width, names.len());
        let feature =
            |name: &str| f64::from(features[names.iter().position(|found| found == name).unwrap()]);
        let close = |name: &str, want: f64| {
            assert!((feature(name) - want).abs() < 1e-6, "{name}: {}, {want}", feature(name));
        };
        // Effective cost is twice the billed; euros are not added to dollars.
        close("service:service0", 4f64.asinh());
        close("service:service1", (-2f64).asinh());
        close("other", 0.0);
        close("total", 2f64.asinh());
        close("day_over_day", 2f64.asinh() - 8f64.asinh());
        close("against_week", 2f64.asinh() - 8f64.asinh());
        close("days_known", 1.0 / 7.0);
        close("share_entropy", 0.0);
        close("weekday_sin", (std::f64::consts::TAU * 4.0 / 7.0).sin());
        close("charges", 4f64.ln());
        assert_eq!(times(&windows[0], crate::schema::result::WINDOW_END).unwrap(), [2 * DAY_US]);
    }

    #[test]
    fn a_service_named_twice_is_refused() {
        assert!(Daily::new(vec!["a".to_owned(), "a".to_owned()]).is_err());
    }

    fn all(batches: &[RecordBatch]) -> RecordBatch {
        concat_batches(&batches[0].schema(), batches).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn sums_are_exact_and_know_neither_order_nor_cuts_nor_restarts(
            rows in prop::collection::vec(
                (0u8..5, 0i64..24 * 9, 0u8..4, 0u8..2, -(1i128 << 60)..1i128 << 60), 1..200),
            order in any::<u64>(),
            closed_after in 0i64..9,
        ) {
            let batch = charges(&rows);
            let mut whole = daily();
            whole.push(Partition(0), &batch, None).unwrap();
            let (want_rows, want_windows) = whole.advance(Watermark::MAX).unwrap();
            let sum: i128 = amounts(&want_rows[0], BILLED_COST).unwrap().values().iter().sum();
            prop_assert_eq!(sum, rows.iter().map(|row| row.4).sum::<i128>());

            // Early days first, as the watermark promises; else shuffled, in parts, restarted.
            let bound = closed_after * DAY_US;
            let early = |ts: &i64| Some(*ts < bound);
            let early: BooleanArray = times(&batch, TS).unwrap().iter().map(early).collect();
            let late: BooleanArray = early.iter().map(|early| early.map(|early| !early)).collect();
            let (mut found_rows, mut found_windows) = (Vec::new(), Vec::new());
            let (mut kernel, mut snapshots) = (daily(), Vec::new());
            for (part, watermark) in [(early, Watermark(bound)), (late, Watermark::MAX)] {
                let part = filter_record_batch(&batch, &part).unwrap();
                let mut places: Vec<u32> = (0..part.num_rows() as u32).collect();
                places.sort_by_key(|row| crate::key::hash(&(u64::from(*row) ^ order).to_le_bytes()));
                for some in places.chunks(17) {
                    let taken = take_record_batch(&part, &UInt32Array::from(some.to_vec())).unwrap();
                    kernel.push(Partition(0), &taken, None).unwrap();
                    let extent =
                        if snapshots.is_empty() { Extent::Whole } else { Extent::Changed };
                    snapshots.push(state(&kernel, extent));
                    let mut next = daily();
                    restore(&mut next, &snapshots, |_| true).unwrap();
                    prop_assert_eq!(state(&next, Extent::Whole), state(&kernel, Extent::Whole));
                    prop_assert_eq!(next.pending_rows(), kernel.pending_rows());
                    kernel = next;
                }
                let (rows, windows) = kernel.advance(watermark).unwrap();
                found_rows.extend(rows);
                found_windows.extend(windows);
            }
            prop_assert_eq!(all(&found_rows), all(&want_rows));
            prop_assert_eq!(all(&found_windows), all(&want_windows));
        }
    }
}
