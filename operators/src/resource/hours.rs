//! Telemetry to hours: how much of a machine was used, by the clock's hours.
//!
//! A sensor stream says which of its channels measure what ([`UtilisationConfig`]). Its rows come by entity;
//! those that the watermark has passed are taken up in the order of event time, partition and offset, and
//! an hour leaves once the watermark has passed its end. Sums are `f64` in that order, so neither cuts nor
//! workers show. Of rows of one instant the first counts, as for windows.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, Float32Builder, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Float32Type, Schema, SchemaRef, UInt32Type, UInt64Type};
use serde::{Deserialize, Serialize};

use super::fact::Cause;
use super::id;
use crate::epoch::Partition;
use crate::key::Shard;
use crate::keyed::Keyed;
use crate::schema::result::{OFFSET_FROM, OFFSET_TO, PARTITION};
use crate::schema::{ENTITY_ID, TS, column, mismatch, numbers, offsets, texts, times, timestamp};
use crate::snapshot::{Changes, Extent, Snapshot};
use crate::utilisation::{CHANNELS, Channel};
use crate::watermark::Watermark;
use crate::{Error, Result};

/// Microseconds of an hour.
pub(super) const HOUR_US: i64 = 3_600_000_000;
/// Names of [`Channel::ALL`] in settings, and of an hour's columns.
const NAMES: [&str; CHANNELS] =
    ["cpu", "cpu_peak", "memory", "disk", "net_in", "net_out", "connections"];
/// The column of the stream that rows come from; `Utf8`.
const SOURCE: &str = "source";

/// How a channel of the stream becomes a measure of use.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "Written")]
pub struct Measure {
    /// The stream's channel.
    pub channel: String,
    /// What the channel is multiplied with, so that it is in the unit of its measure. Default: 1.
    pub scale: f64,
    /// Another channel that holds the capacity: the measure is the first in per cent of it. Default: none.
    pub of: Option<String>,
    /// Of traffic: whether the channel says how much a second, and not how much since the last row.
    /// Default: false.
    pub per_second: bool,
}

/// A channel's name, or a table.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Name(String),
    Table(Table),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    channel: String,
    #[serde(default = "one")]
    scale: f64,
    of: Option<String>,
    #[serde(default)]
    per_second: bool,
}

fn one() -> f64 {
    1.0
}

impl From<Written> for Measure {
    fn from(written: Written) -> Self {
        match written {
            Written::Name(channel) => Self { channel, scale: 1.0, of: None, per_second: false },
            Written::Table(Table { channel, scale, of, per_second }) => {
                Self { channel, scale, of, per_second }
            }
        }
    }
}

/// `[stream.utilisation]`: which channels of a sensor stream say how much of its entities is used.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UtilisationConfig {
    /// CPU in use, per cent of the capacity.
    pub cpu: Measure,
    /// Greatest CPU since the last row, per cent. Default: the greatest of `cpu` in an hour.
    pub cpu_peak: Option<Measure>,
    /// Memory in use, per cent of the capacity. Default: not measured.
    pub memory: Option<Measure>,
    /// Read from and written to disk, MB of 2²⁰ bytes. Default: not measured.
    pub disk: Option<Measure>,
    /// Received, MB. Default: not measured.
    pub net_in: Option<Measure>,
    /// Sent, MB. Default: not measured.
    pub net_out: Option<Measure>,
    /// Open connections of clients. Default: not measured.
    pub connections: Option<Measure>,
}

impl UtilisationConfig {
    fn measures(&self) -> [Option<&Measure>; CHANNELS] {
        [
            Some(&self.cpu),
            self.cpu_peak.as_ref(),
            self.memory.as_ref(),
            self.disk.as_ref(),
            self.net_in.as_ref(),
            self.net_out.as_ref(),
            self.connections.as_ref(),
        ]
    }

    /// Checks the settings against the stream's channels.
    ///
    /// # Errors
    /// [`Error::Configuration`] naming what does not fit.
    pub fn validate(&self, channels: &[String]) -> Result<()> {
        for (name, measure) in NAMES.iter().zip(self.measures()) {
            let Some(measure) = measure else { continue };
            let refused =
                |reason: String| Err(Error::Configuration(format!("utilisation.{name}: {reason}")));
            for channel in [Some(&measure.channel), measure.of.as_ref()].into_iter().flatten() {
                if !channels.contains(channel) {
                    return refused(format!(
                        "the stream has no channel {channel:?}; it has {}",
                        channels.join(", ")
                    ));
                }
            }
            if !measure.scale.is_finite() || measure.scale <= 0.0 {
                return refused(format!("scale is {}: above 0", measure.scale));
            }
            if measure.per_second && !is_amount(name) {
                return refused("per_second is for disk, net_in and net_out".to_owned());
            }
        }
        Ok(())
    }
}

/// Whether rows of a measure add up to an hour's.
fn is_amount(name: &str) -> bool {
    matches!(name, "disk" | "net_in" | "net_out")
}

/// A row of telemetry: its place in order, and its measures' bits, which JSON's numbers would not keep.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Row {
    at: i64,
    partition: u32,
    offset: u64,
    bits: Vec<u64>,
}

/// An hour that is not over: what its rows came to so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    /// Hours since 1970-01-01.
    hour: i64,
    /// The instant of the last row.
    last: i64,
    rows: u64,
    /// Sums of the measures, by bits.
    sums: Vec<u64>,
    /// The greatest CPU, by bits.
    peak: u64,
    cause: Cause,
}

/// One entity: rows that are not final, and its open hour.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    pending: Vec<Row>,
    open: Option<Open>,
    /// From which instant on it has something final; as it stands in [`Hours::due`].
    #[serde(skip)]
    due: Option<i64>,
}

/// The operator: every entity's open hour.
#[derive(Debug)]
pub struct Hours {
    source: String,
    measures: Vec<(usize, Measure)>,
    entities: Keyed<State>,
    /// Entities that may have something final, by the instant from which they do.
    due: BTreeSet<(i64, String)>,
}

impl Hours {
    /// An operator that has seen no row of a stream.
    ///
    /// # Errors
    /// As [`UtilisationConfig::validate`].
    pub fn new(source: &str, config: &UtilisationConfig, channels: &[String]) -> Result<Self> {
        config.validate(channels)?;
        let measures = config.measures().into_iter().enumerate();
        let measures = measures.filter_map(|(place, measure)| Some((place, measure?.clone())));
        Ok(Self {
            source: source.to_owned(),
            measures: measures.collect(),
            entities: Keyed::default(),
            due: BTreeSet::new(),
        })
    }

    /// Takes in rows of a partition ([`crate::schema::sensor`]), or those selected.
    ///
    /// # Errors
    /// [`Error::Column`] when they lack a channel.
    pub fn push(
        &mut self,
        partition: Partition,
        rows: &RecordBatch,
        selection: Option<&[u32]>,
    ) -> Result<()> {
        let (entities, at, offsets) = (texts(rows, ENTITY_ID)?, times(rows, TS)?, offsets(rows)?);
        let mut channels = Vec::with_capacity(self.measures.len());
        for (_, measure) in &self.measures {
            let of = measure.of.as_ref().map(|of| floats(rows, of)).transpose()?;
            channels.push((floats(rows, &measure.channel)?, of, measure.scale));
        }
        let mut take = |row: usize| {
            let entity = entities.value(row);
            let bits = channels.iter().map(|(values, of, scale)| {
                let value = f64::from(values.value(row)) * scale;
                let value = match of {
                    // Of a capacity of nothing no share is known.
                    Some(of) if of.value(row) <= 0.0 => f64::NAN,
                    Some(of) => 100.0 * value / f64::from(of.value(row)),
                    None => value,
                };
                value.to_bits()
            });
            let bits = bits.collect();
            let (at, offset) = (at[row], offsets.value(row));
            let state = self.entities.entry(entity);
            if state.due.is_none_or(|due| at < due) {
                state.due = Some(at);
                self.due.insert((at, entity.to_owned()));
            }
            state.pending.push(Row { at, partition: partition.0, offset, bits });
        };
        match selection {
            Some(rows) => rows.iter().for_each(|row| take(*row as usize)),
            None => (0..rows.num_rows()).for_each(take),
        }
        Ok(())
    }

    /// Takes up rows that the watermark has passed; the hours that are over, ordered by hour and entity.
    ///
    /// # Errors
    /// When Arrow refuses to build the batch, which is a bug.
    pub fn advance(&mut self, watermark: Watermark) -> Result<Option<RecordBatch>> {
        let is_past = |at: i64| watermark == Watermark::MAX || at < watermark.0;
        let mut over = Vec::new();
        while let Some((at, entity)) = self.due.pop_first() {
            if !is_past(at) {
                self.due.insert((at, entity));
                break;
            }
            let state = self.entities.entry(&entity);
            if state.due != Some(at) {
                // An earlier row came after this one had been noted.
                continue;
            }
            state.pending.sort_unstable();
            let settled = state.pending.partition_point(|row| is_past(row.at));
            for row in state.pending.drain(..settled) {
                let closed = match &state.open {
                    Some(open) if row.at.div_euclid(HOUR_US) != open.hour => state.open.take(),
                    _ => None,
                };
                over.extend(closed.map(|open| (entity.clone(), open)));
                let open = state.open.get_or_insert_with(|| Open::new(&row, &self.source));
                open.take_up(&row, self.measures.iter().map(|(place, _)| *place));
            }
            // At its end an hour is over: a row of that very instant is the next one's.
            over.extend(
                state
                    .open
                    .take_if(|open| is_past(open.last_instant()))
                    .map(|open| (entity.clone(), open)),
            );
            state.due = state.next();
            self.due.extend(state.due.map(|at| (at, entity)));
        }
        over.sort_by(|a, b| (a.1.hour, &a.0).cmp(&(b.1.hour, &b.0)));
        if over.is_empty() { Ok(None) } else { self.rows(&over).map(Some) }
    }

    fn rows(&self, over: &[(String, Open)]) -> Result<RecordBatch> {
        let starts = over.iter().map(|(_, open)| open.hour * HOUR_US);
        let ids = over.iter().map(|(entity, _)| id::canonical(entity));
        let offset = |of: fn(&Cause) -> u64| -> ArrayRef {
            Arc::new(UInt64Array::from_iter_values(over.iter().map(|(_, open)| of(&open.cause))))
        };
        let partitions = over.iter().map(|(_, open)| open.cause.partition);
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(ids)),
            Arc::new(TimestampMicrosecondArray::from_iter_values(starts).with_timezone("UTC")),
            Arc::new(UInt32Array::from_iter_values(partitions)),
            offset(|cause| cause.from),
            offset(|cause| cause.to),
            Arc::new(StringArray::from_iter_values(
                over.iter().map(|(_, open)| &open.cause.source),
            )),
        ];
        for place in 0..CHANNELS {
            let mut column = Float32Builder::with_capacity(over.len());
            let measured = self.measures.iter().position(|(of, _)| *of == place);
            for (_, open) in over {
                let value = match measured {
                    Some(at) => open.value(at, place, &self.measures[at].1),
                    None if place == Channel::CpuPeak as usize => f64::from_bits(open.peak),
                    None => f64::NAN,
                };
                column.append_option((!value.is_nan()).then_some(value as f32));
            }
            columns.push(Arc::new(column.finish()));
        }
        Ok(RecordBatch::try_new(schema(), columns)?)
    }
}

impl State {
    /// The instant which the watermark has to pass for anything to happen.
    fn next(&self) -> Option<i64> {
        let pending = self.pending.iter().map(|row| row.at).min();
        pending.into_iter().chain(self.open.as_ref().map(Open::last_instant)).min()
    }
}

impl Open {
    /// The last µs of the hour.
    fn last_instant(&self) -> i64 {
        (self.hour + 1) * HOUR_US - 1
    }

    fn new(row: &Row, source: &str) -> Self {
        let Row { at, partition, offset, bits } = row;
        let cause =
            Cause { source: source.to_owned(), partition: *partition, from: *offset, to: *offset };
        Self {
            hour: at.div_euclid(HOUR_US),
            last: i64::MIN,
            rows: 0,
            sums: vec![0.0_f64.to_bits(); bits.len()],
            peak: f64::NAN.to_bits(),
            cause,
        }
    }

    fn take_up(&mut self, row: &Row, places: impl Iterator<Item = usize>) {
        if row.at == self.last {
            return;
        }
        self.last = row.at;
        self.rows += 1;
        for ((sum, bits), place) in self.sums.iter_mut().zip(&row.bits).zip(places) {
            let value = f64::from_bits(*bits);
            let before = f64::from_bits(*sum);
            let is_peak = place == Channel::CpuPeak as usize;
            // A peak is the greatest; of its first row there is nothing to compare with.
            let now = match (is_peak, self.rows) {
                (true, 1) => value,
                (true, _) => before.max(value),
                (false, _) => before + value,
            };
            *sum = now.to_bits();
            if place == Channel::Cpu as usize {
                self.peak = f64::from_bits(self.peak).max(value).to_bits();
            }
        }
        // Of several partitions the last row's is named, as windows do.
        if row.partition == self.cause.partition {
            self.cause.from = self.cause.from.min(row.offset);
            self.cause.to = self.cause.to.max(row.offset);
        } else {
            self.cause.partition = row.partition;
            (self.cause.from, self.cause.to) = (row.offset, row.offset);
        }
    }

    /// The hour's value of a measure.
    fn value(&self, at: usize, place: usize, measure: &Measure) -> f64 {
        let sum = f64::from_bits(self.sums[at]);
        match is_amount(NAMES[place]) {
            true if measure.per_second => sum / self.rows as f64 * 3_600.0,
            true => sum,
            false if place == Channel::CpuPeak as usize => sum,
            false => sum / self.rows as f64,
        }
    }
}

fn floats<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a Float32Array> {
    let array = column(rows, name)?;
    array.as_primitive_opt::<Float32Type>().ok_or_else(|| mismatch(name, "Float32", array))
}

/// The columns of hours: the resource, when the hour begins, its records, then [`Channel::ALL`], null
/// where nothing is known.
#[must_use]
pub(super) fn schema() -> SchemaRef {
    let mut fields = vec![
        Field::new(ENTITY_ID, DataType::Utf8, false),
        Field::new(TS, timestamp(), false),
        Field::new(PARTITION, DataType::UInt32, false),
        Field::new(OFFSET_FROM, DataType::UInt64, false),
        Field::new(OFFSET_TO, DataType::UInt64, false),
        Field::new(SOURCE, DataType::Utf8, false),
    ];
    fields.extend(NAMES.map(|name| Field::new(name, DataType::Float32, true)));
    Arc::new(Schema::new(fields))
}

/// Whether rows are hours.
pub(super) fn is_hours(rows: &RecordBatch) -> bool {
    rows.column_by_name(NAMES[1]).is_some()
}

/// An hour of a resource.
pub(super) struct Hour<'a> {
    pub(super) resource: &'a str,
    /// When it begins, µs.
    pub(super) at: i64,
    pub(super) cause: Cause,
    pub(super) values: [f32; CHANNELS],
}

/// Rows as hours.
///
/// # Errors
/// [`Error::Column`] when they are none.
pub(super) fn hours(rows: &RecordBatch) -> Result<Vec<Hour<'_>>> {
    let (resources, at) = (texts(rows, ENTITY_ID)?, times(rows, TS)?);
    let partitions = numbers::<UInt32Type>(rows, PARTITION)?;
    let from = numbers::<UInt64Type>(rows, OFFSET_FROM)?;
    let to = numbers::<UInt64Type>(rows, OFFSET_TO)?;
    let sources = texts(rows, SOURCE)?;
    let mut channels = Vec::with_capacity(CHANNELS);
    for name in NAMES {
        channels.push(floats(rows, name)?);
    }
    let hour = |row: usize| {
        let mut values = [f32::NAN; CHANNELS];
        for (value, channel) in values.iter_mut().zip(&channels) {
            if channel.is_valid(row) {
                *value = channel.value(row);
            }
        }
        let cause = Cause {
            source: sources.value(row).to_owned(),
            partition: partitions.value(row),
            from: from.value(row),
            to: to.value(row),
        };
        Hour { resource: resources.value(row), at: at[row], cause, values }
    };
    Ok((0..rows.num_rows()).map(hour).collect())
}

impl Snapshot for Hours {
    fn operator(&self) -> &'static str {
        "hours"
    }

    fn snapshot(&self, shard: Shard, extent: Extent) -> Result<Option<RecordBatch>> {
        self.entities.snapshot(shard, extent)
    }

    fn restore(&mut self, shard: Shard, state: &RecordBatch) -> Result<()> {
        self.entities.restore(self.operator(), shard, state)?;
        let waiting = self
            .entities
            .of(shard)
            .filter_map(|(entity, state)| Some((state.next()?, entity.to_owned())));
        let waiting: Vec<(i64, String)> = waiting.collect();
        for (at, entity) in waiting {
            if let Some(state) = self.entities.known_mut(&entity) {
                state.due = Some(at);
            }
            self.due.insert((at, entity));
        }
        Ok(())
    }

    fn changes(&self) -> Option<Changes> {
        self.entities.changes()
    }

    fn saved(&mut self) {
        self.entities.saved();
    }
}
