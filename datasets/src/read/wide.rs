//! Sensor rows: one record an entity and instant.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Array, RecordBatch, StringBuilder, TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::SchemaRef;
use cloudops_operators::schema::sensor;

use super::decode::Decode;
use super::format::{AI4I_COLUMNS, Format, SKAB_COLUMNS, WideMapping, folder_stem, stem};
use super::record::{Cells, Fault, Want};
use super::time::{TimeFormat, in_range, shown};
use super::{Channels, decimal};
use crate::{Error, Result};

/// Columns of a C-MAPSS file: unit, cycle, 3 settings, 21 sensors.
pub(crate) const CMAPSS_COLUMNS: usize = 26;

/// Where a row's entity comes from.
#[derive(Debug)]
enum EntityFrom {
    /// The file's name.
    Name(String),
    /// A cell.
    Cell(usize),
    /// The file's name, a dash, and a cell.
    NameAndCell(String, usize),
    /// The message's key, or why it names nothing.
    Key(Result<String, &'static str>),
}

/// Where a row's time comes from.
#[derive(Debug)]
enum TimeFrom {
    /// A cell, in a format.
    Cell(usize, TimeFormat),
    /// `base + cell × step`, µs.
    CountCell { cell: usize, base: i64, step: i64 },
    /// `base + ordinal × step`, µs.
    Ordinal { base: i64, step: i64 },
}

/// Decodes wide sensor records.
pub(crate) struct Wide {
    entity: EntityFrom,
    time: TimeFrom,
    /// What the file calls the cells asked for.
    names: Vec<String>,
    /// The cell of the first channel; the others follow.
    first_channel: usize,
    rows: SensorRows,
    values: Vec<f32>,
    /// The entity of the current row, where it is put together.
    entity_text: String,
}

impl Wide {
    /// The channels are called as the file calls them.
    fn new(entity: EntityFrom, time: TimeFrom, names: Vec<String>, first: usize) -> Self {
        let rows = SensorRows::new(&names[first..]);
        let values = Vec::new();
        let entity_text = String::new();
        Self { entity, time, names, first_channel: first, rows, values, entity_text }
    }

    fn with_channels(self, channels: &[String]) -> Self {
        Self { rows: SensorRows::new(channels), ..self }
    }

    /// C-MAPSS: unit, cycle, then the channels.
    pub(crate) fn cmapss(name: &str, base: &str, step_seconds: u64) -> Result<Self> {
        let format = Format::CMapss { base: String::new(), step_seconds };
        let mut names = vec!["unit".to_owned(), "cycle".to_owned()];
        names.extend_from_slice(format.channels().unwrap_or_default());
        let (base, step) = clock(base, step_seconds)?;
        let time = TimeFrom::CountCell { cell: 1, base, step };
        Ok(Self::new(EntityFrom::NameAndCell(stem(name), 0), time, names, 2))
    }

    /// A table of channels only: time is the row.
    pub(crate) fn matrix(name: &str, format: &Format, base: &str, step: u64) -> Result<Self> {
        let names = format.channels().unwrap_or_default().to_vec();
        let (base, step) = clock(base, step)?;
        Ok(Self::new(EntityFrom::Name(stem(name)), TimeFrom::Ordinal { base, step }, names, 0))
    }

    /// SKAB: `datetime`, then eight sensors.
    pub(crate) fn skab(name: &str) -> Self {
        let names = ["datetime"].into_iter().chain(SKAB_COLUMNS.iter().map(|(_, column)| *column));
        let names = names.map(str::to_owned).collect();
        let time = TimeFrom::Cell(0, TimeFormat::Auto);
        Self::new(EntityFrom::Name(folder_stem(name)), time, names, 1)
            .with_channels(Format::Skab {}.channels().unwrap_or_default())
    }

    /// NAB: `timestamp,value`.
    pub(crate) fn nab(name: &str) -> Self {
        let names = vec!["timestamp".to_owned(), "value".to_owned()];
        let time = TimeFrom::Cell(0, TimeFormat::Auto);
        Self::new(EntityFrom::Name(folder_stem(name)), time, names, 1)
    }

    /// AI4I: a column that names the entity, `UDI`, then five measurements.
    pub(crate) fn ai4i(name: &str, entity: &str, base: &str) -> Result<Self> {
        if !matches!(entity, "Product ID" | "Type") {
            return Err(Error::Configuration(format!(
                "{name}: entity {entity:?} must be \"Product ID\" or \"Type\""
            )));
        }
        let names = [entity, "UDI"].into_iter().chain(AI4I_COLUMNS.iter().map(|(_, c)| *c));
        let names = names.map(str::to_owned).collect();
        let (base_us, step) = clock(base, 60)?;
        let time = TimeFrom::CountCell { cell: 1, base: base_us, step };
        let format = Format::Ai4i { entity: String::new(), base: String::new() };
        Ok(Self::new(EntityFrom::Cell(0), time, names, 2)
            .with_channels(format.channels().unwrap_or_default()))
    }

    /// As the mapping says.
    pub(crate) fn mapped(name: &str, mapping: &WideMapping) -> Self {
        let mut names = vec![mapping.time.clone()];
        let entity = match &mapping.entity {
            None => EntityFrom::Name(stem(name)),
            Some(column) => {
                names.push(column.clone());
                EntityFrom::Cell(1)
            }
        };
        let first = names.len();
        names.extend(columns(&mapping.channels));
        Self::new(entity, TimeFrom::Cell(0, mapping.time_format.clone()), names, first)
            .with_channels(mapping.channels.names())
    }

    /// As the mapping says, for messages: where no column names the entity, the key does.
    pub(crate) fn keyed(name: &str, mapping: &WideMapping) -> Self {
        let mut wide = Self::mapped(name, mapping);
        if mapping.entity.is_none() {
            wide.entity = EntityFrom::Key(Err(""));
        }
        wide
    }

    /// The next rows are of a message with this key.
    pub(crate) fn set_key(&mut self, key: Option<&[u8]>) {
        if let EntityFrom::Key(entity) = &mut self.entity {
            *entity = match key.map(str::from_utf8) {
                Some(Ok("")) | None => {
                    Err("the message has no key, and the mapping names no entity column")
                }
                Some(Ok(key)) => Ok(key.to_owned()),
                Some(Err(_)) => Err("the message's key is not UTF-8, and should name the entity"),
            };
        }
    }

    /// The columns a header must have.
    pub(crate) fn wants(&self) -> Vec<Want> {
        self.names.iter().map(Want::required).collect()
    }

    /// How many channels there are.
    pub(crate) fn channels(&self) -> usize {
        self.names.len() - self.first_channel
    }

    fn cell<'a>(&self, cells: &Cells<'a>, index: usize) -> Result<&'a str, Fault> {
        cells.get(index).ok_or_else(|| Fault::field(&self.names[index], "missing"))
    }

    fn time(&self, ordinal: u64, cells: &Cells<'_>) -> Result<i64, Fault> {
        let counted = |count: Option<i64>, base: i64, step: i64| {
            count
                .and_then(|count| count.checked_mul(step))
                .and_then(|elapsed| elapsed.checked_add(base))
                .and_then(in_range)
        };
        match &self.time {
            TimeFrom::Cell(cell, format) => format
                .parse(self.cell(cells, *cell)?)
                .map_err(|reason| Fault::field(&self.names[*cell], reason)),
            TimeFrom::CountCell { cell, base, step } => {
                let text = self.cell(cells, *cell)?;
                let count = decimal::parse(text).and_then(decimal::Decimal::whole);
                counted(count, *base, *step).ok_or_else(|| {
                    let reason = format!("no count of steps before 2200: {}", shown(text));
                    Fault::field(&self.names[*cell], reason)
                })
            }
            TimeFrom::Ordinal { base, step } => counted(i64::try_from(ordinal).ok(), *base, *step)
                .ok_or_else(|| Fault::of("the row's time is past 2200")),
        }
    }
}

/// What the file calls each channel.
fn columns(channels: &Channels) -> impl Iterator<Item = String> {
    channels.list().iter().map(|channel| channel.column().to_owned())
}

fn clock(base: &str, step_seconds: u64) -> Result<(i64, i64)> {
    let base = TimeFormat::Auto
        .parse(base)
        .map_err(|reason| Error::Configuration(format!("base: {reason}")))?;
    let step = i64::try_from(step_seconds).ok().and_then(|step| step.checked_mul(1_000_000));
    match step {
        Some(step) if step > 0 => Ok((base, step)),
        _ => Err(Error::Configuration("step_seconds must be at least 1".to_owned())),
    }
}

impl Decode for Wide {
    fn decode(&mut self, ordinal: u64, offset: u64, cells: &Cells<'_>) -> Result<(), Fault> {
        let time = self.time(ordinal, cells)?;
        let mut values = std::mem::take(&mut self.values);
        values.clear();
        let read = (self.first_channel..self.names.len()).try_for_each(|index| {
            let value = channel_value(self.cell(cells, index)?);
            values.push(value.map_err(|reason| Fault::field(&self.names[index], reason))?);
            Ok(())
        });
        self.values = values;
        read?;
        let entity = match &self.entity {
            EntityFrom::Name(name) => name.as_str(),
            EntityFrom::Key(Ok(key)) => key.as_str(),
            EntityFrom::Key(Err(reason)) => return Err(Fault::of(*reason)),
            EntityFrom::Cell(cell) => self.cell(cells, *cell)?,
            EntityFrom::NameAndCell(name, cell) => {
                let unit = self.cell(cells, *cell)?;
                self.entity_text.clear();
                self.entity_text.push_str(name);
                self.entity_text.push('-');
                self.entity_text.push_str(unit);
                &self.entity_text
            }
        };
        self.rows.push(entity, time, offset, &self.values);
        Ok(())
    }

    fn finish(&mut self) -> Result<RecordBatch> {
        self.rows.finish()
    }
}

/// A channel's value, or why it is none.
pub(crate) fn channel_value(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => Err(format!("not a finite 32-bit number: {}", shown(text))),
        Err(_) => Err(format!("not a number: {}", shown(text))),
    }
}

/// Sensor rows on their way to a batch.
#[derive(Debug)]
pub(crate) struct SensorRows {
    schema: SchemaRef,
    entity: StringBuilder,
    time: Vec<i64>,
    offset: Vec<u64>,
    channels: Vec<Vec<f32>>,
}

impl SensorRows {
    pub(crate) fn new(channels: &[String]) -> Self {
        Self {
            schema: sensor::schema(channels),
            entity: StringBuilder::new(),
            time: Vec::new(),
            offset: Vec::new(),
            channels: vec![Vec::new(); channels.len()],
        }
    }

    /// Appends a row; `values` has one of each channel.
    pub(crate) fn push(&mut self, entity: &str, time: i64, offset: u64, values: &[f32]) {
        self.entity.append_value(entity);
        self.time.push(time);
        self.offset.push(offset);
        for (channel, value) in self.channels.iter_mut().zip(values) {
            channel.push(*value);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.time.len()
    }

    pub(crate) fn finish(&mut self) -> Result<RecordBatch> {
        let schema = Arc::clone(&self.schema);
        let rows = self.len();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.entity.finish()),
            Arc::new(times(std::mem::take(&mut self.time))),
            Arc::new(UInt64Array::from(std::mem::take(&mut self.offset))),
        ];
        for channel in &mut self.channels {
            let values = std::mem::replace(channel, Vec::with_capacity(rows));
            columns.push(Arc::new(Float32Array::from(values)));
        }
        Ok(RecordBatch::try_new(schema, columns)?)
    }
}

/// A time column.
pub(crate) fn times(values: Vec<i64>) -> TimestampMicrosecondArray {
    TimestampMicrosecondArray::from(values).with_timezone("UTC")
}
