//! What is remembered of how much resources were used: hours, by resource and day.
//!
//! A resource is judged by its last weeks ([`History::rows`]), so days older than these are forgotten. A
//! day is a key of its own in snapshots: one that is over does not change any more, and is written
//! down once.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, RecordBatch, StringArray, new_null_array};
use arrow::compute::{concat_batches, filter_record_batch, is_not_null, not};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::fact::Cause;
use super::hours::{HOUR_US, Hour};
use crate::key::{SEPARATOR, SHARDS, Shard};
use crate::schema::{ENTITY_ID, column, mismatch, texts};
use crate::snapshot::{Changes, Extent};
use crate::utilisation::{CHANNELS, DAY, Rows};
use crate::{Error, Result};

const HOURS: usize = 24;

/// One day of a resource.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct UsedDay {
    /// By channel, then hour; `NaN` where nothing is known.
    values: [[f32; HOURS]; CHANNELS],
    /// Which records said so.
    pub(super) cause: Cause,
    changed: bool,
}

impl UsedDay {
    fn new(cause: &Cause) -> Self {
        Self { values: [[f32::NAN; HOURS]; CHANNELS], cause: cause.clone(), changed: true }
    }

    fn take_up(&mut self, hour: &Hour<'_>) {
        let at = hour.at.div_euclid(HOUR_US).rem_euclid(HOURS as i64) as usize;
        for (channel, value) in self.values.iter_mut().zip(hour.values) {
            if !value.is_nan() {
                channel[at] = value;
            }
        }
        self.cause.merge(&hour.cause);
        self.changed = true;
    }

    /// Hours of which the CPU is known.
    pub(super) fn known(&self) -> usize {
        self.values[0].iter().filter(|value| !value.is_nan()).count()
    }
}

/// Hours of every resource, the last days of them.
#[derive(Debug)]
pub(super) struct Usage {
    /// Days that are remembered.
    days: i32,
    shards: Vec<BTreeMap<String, BTreeMap<i32, UsedDay>>>,
}

impl Usage {
    pub(super) fn new(days: i32) -> Self {
        Self { days, shards: (0..SHARDS).map(|_| BTreeMap::new()).collect() }
    }

    /// Takes up an hour; the day that it is of.
    pub(super) fn take_up(&mut self, hour: &Hour<'_>) -> i32 {
        let day = crate::schema::cost::day_of(hour.at);
        let shard = &mut self.shards[usize::from(Shard::of(hour.resource).0)];
        if !shard.contains_key(hour.resource) {
            shard.insert(hour.resource.to_owned(), BTreeMap::new());
        }
        if let Some(days) = shard.get_mut(hour.resource) {
            days.entry(day).or_insert_with(|| UsedDay::new(&hour.cause)).take_up(hour);
        }
        day
    }

    fn of(&self, resource: &str) -> Option<&BTreeMap<i32, UsedDay>> {
        self.shards[usize::from(Shard::of(resource).0)].get(resource)
    }

    /// A resource's day, where anything is known of it.
    pub(super) fn day(&self, resource: &str, day: i32) -> Option<&UsedDay> {
        self.of(resource)?.get(&day)
    }

    /// A resource's days that a judgement at the end of a day looks back to.
    pub(super) fn looked_back(&self, resource: &str, to: i32) -> impl Iterator<Item = &UsedDay> {
        let from = to.saturating_sub(self.days - 1);
        let days = self.of(resource).into_iter().flat_map(move |days| days.range(from..=to));
        days.map(|(_, used)| used)
    }

    /// What is known of a resource up to the end of a day.
    pub(super) fn history(&self, resource: &str, to: i32) -> History {
        let none = BTreeMap::new();
        let days = self.of(resource).unwrap_or(&none);
        let known = days.range(to.saturating_sub(self.days - 1)..=to);
        let first = known.clone().next().map_or(to, |(day, _)| *day);
        let length = (to - first + 1) as usize * HOURS;
        let mut channels = [const { Vec::new() }; CHANNELS];
        for (channel, values) in channels.iter_mut().enumerate() {
            let mut rows = vec![f64::NAN; length];
            let mut any = false;
            for (day, used) in known.clone() {
                let from = (day - first) as usize * HOURS;
                for (row, value) in rows[from..].iter_mut().zip(used.values[channel]) {
                    *row = f64::from(value);
                    any |= !value.is_nan();
                }
            }
            // What no hour has is not measured.
            if any {
                *values = rows;
            }
        }
        History { start: i64::from(first) * DAY, channels }
    }

    /// Forgets days that nothing looks back to once a day is over.
    pub(super) fn forget(&mut self, over: i32) {
        let first = over.saturating_sub(self.days - 1);
        for shard in &mut self.shards {
            for days in shard.values_mut() {
                if days.first_key_value().is_some_and(|(day, _)| *day < first) {
                    *days = days.split_off(&first);
                }
            }
        }
    }

    /// Every resource and day of which anything is known.
    pub(super) fn all_days(&self) -> impl Iterator<Item = (&str, i32)> {
        let all = self.shards.iter().flatten();
        all.flat_map(|(resource, days)| days.keys().map(move |day| (resource.as_str(), *day)))
    }
}

/// Hours of one resource, without a hole.
#[derive(Debug)]
pub(super) struct History {
    /// When the first begins, seconds since 1970-01-01.
    start: i64,
    channels: [Vec<f64>; CHANNELS],
}

impl History {
    /// The hours as [`crate::utilisation`] takes them.
    pub(super) fn rows(&self) -> Result<Rows<'_>> {
        Rows::new(self.start, HOUR_US / 1_000_000, self.channels.each_ref().map(Vec::as_slice))
    }
}

const STATE: &str = "state";
const VALUES: &str = "values";
const CAUSE: &str = "cause";

/// The columns of a snapshot: of a resource `state`, of one of its days the others.
fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new(ENTITY_ID, DataType::Utf8, false),
        Field::new(STATE, DataType::Utf8, true),
        Field::new(VALUES, DataType::Binary, true),
        Field::new(CAUSE, DataType::Utf8, true),
    ]))
}

/// Resources and days as one snapshot.
pub(super) fn beside(
    states: Option<RecordBatch>,
    days: Option<RecordBatch>,
) -> Result<Option<RecordBatch>> {
    let parts: Vec<RecordBatch> = states.into_iter().chain(days).collect();
    let with_all = |part: &RecordBatch| {
        let all = schema();
        let columns = all.fields().iter().map(|field| match part.column_by_name(field.name()) {
            Some(column) => Arc::clone(column),
            None => new_null_array(field.data_type(), part.num_rows()),
        });
        RecordBatch::try_new(schema(), columns.collect())
    };
    let parts = parts.iter().map(with_all).collect::<std::result::Result<Vec<_>, _>>()?;
    if parts.is_empty() { Ok(None) } else { Ok(Some(concat_batches(&schema(), &parts)?)) }
}

/// A snapshot as resources, in the form that [`crate::keyed`] has, and days.
pub(super) fn apart(
    operator: &'static str,
    snapshot: &RecordBatch,
) -> Result<(RecordBatch, RecordBatch)> {
    if snapshot.schema().fields() != schema().fields() {
        let reason = "its columns are not those of this build".to_owned();
        return Err(Error::Snapshot { operator, reason });
    }
    let is_state = is_not_null(snapshot.column(1))?;
    let states = filter_record_batch(snapshot, &is_state)?;
    let days = filter_record_batch(snapshot, &not(&is_state)?)?;
    let columns = vec![Arc::clone(states.column(0)), Arc::clone(states.column(1))];
    Ok((RecordBatch::try_new(crate::keyed::schema(), columns)?, days))
}

impl Usage {
    /// Days of a shard, as part of a snapshot; see [`beside`].
    pub(super) fn snapshot(&self, shard: Shard, extent: Extent) -> Result<Option<RecordBatch>> {
        let (mut keys, mut values, mut causes) = (Vec::new(), Vec::new(), Vec::new());
        for (resource, days) in &self.shards[usize::from(shard.0)] {
            for (day, used) in days {
                if extent == Extent::Whole || used.changed {
                    keys.push(format!("{resource}{SEPARATOR}{day}"));
                    let bytes = used.values.iter().flatten().flat_map(|value| value.to_le_bytes());
                    values.push(bytes.collect::<Vec<u8>>());
                    causes.push(serde_json::to_string(&used.cause).expect("text and numbers"));
                }
            }
        }
        if keys.is_empty() {
            return Ok(None);
        }
        let columns: [(&str, ArrayRef); 3] = [
            (ENTITY_ID, Arc::new(StringArray::from(keys))),
            (VALUES, Arc::new(BinaryArray::from_iter_values(values))),
            (CAUSE, Arc::new(StringArray::from(causes))),
        ];
        Ok(Some(RecordBatch::try_from_iter(columns)?))
    }

    /// Takes up days of a snapshot.
    pub(super) fn restore(
        &mut self,
        operator: &'static str,
        shard: Shard,
        days: &RecordBatch,
    ) -> Result<()> {
        let refused = |reason: &str| Error::Snapshot { operator, reason: reason.to_owned() };
        let (keys, causes) = (texts(days, ENTITY_ID)?, texts(days, CAUSE)?);
        let array = column(days, VALUES)?;
        let values =
            array.as_binary_opt::<i32>().ok_or_else(|| mismatch(VALUES, "Binary", array))?;
        for row in 0..days.num_rows() {
            let (resource, day) = keys
                .value(row)
                .rsplit_once(SEPARATOR)
                .and_then(|(resource, day)| Some((resource, day.parse::<i32>().ok()?)))
                .ok_or_else(|| refused("a key is no resource and day"))?;
            let cause = serde_json::from_str(causes.value(row))
                .map_err(|error| refused(&error.to_string()))?;
            let bytes = values.value(row);
            if bytes.len() != CHANNELS * HOURS * size_of::<f32>() {
                return Err(refused("a day has other channels or hours"));
            }
            let mut used = UsedDay::new(&cause);
            let places = used.values.iter_mut().flatten();
            for (value, bytes) in places.zip(bytes.as_chunks::<4>().0) {
                *value = f32::from_le_bytes(*bytes);
            }
            used.changed = false;
            let days = self.shards[usize::from(shard.0)].entry(resource.to_owned()).or_default();
            days.insert(day, used);
        }
        Ok(())
    }

    /// How many days are remembered, and have changed.
    pub(super) fn changes(&self) -> Changes {
        let days = || self.shards.iter().flatten().flat_map(|(_, days)| days.values());
        Changes { keys: days().count(), changed: days().filter(|day| day.changed).count() }
    }

    /// Changes count from here.
    pub(super) fn saved(&mut self) {
        let days = self.shards.iter_mut().flat_map(|shard| shard.values_mut());
        days.flat_map(|days| days.values_mut()).for_each(|day| day.changed = false);
    }
}
