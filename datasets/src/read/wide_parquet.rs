//! Wide sensor Parquet, near the speed of decoding it.
//!
//! A column whose type is the schema's is handed on untouched; others are cast. Validity is one
//! vectorised pass a column, and only a batch in which a pass fails is looked at row by row.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float32Array, PrimitiveArray, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt64Array,
};
use arrow::compute::{cast, filter};
use arrow::datatypes::{
    DataType, Float32Type, Int64Type, SchemaRef, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use cloudops_operators::schema::sensor;
use parquet::file::reader::ChunkReader;

use super::columnar::{Batches, Opened, Placed, row_json};
use super::decode::reject;
use super::format::{WideMapping, stem};
use super::record::{Fault, Naming, Want, select};
use super::time::{END_OF_TIME, TimeFormat};
use super::{BATCH_ROWS, ReadBatch, Reader};
use crate::{Error, Result};

/// Opens a wide sensor file.
pub(crate) fn open<B: ChunkReader + 'static>(
    blob: B,
    name: &str,
    mapping: &WideMapping,
    first_offset: u64,
    skip: u64,
) -> Result<Box<dyn Reader>> {
    let schema = sensor::schema(mapping.channels.names());
    let mut names = vec![mapping.time.clone()];
    names.extend(mapping.channels.list().iter().map(|channel| channel.column().to_owned()));
    names.extend(mapping.entity.clone());
    let whole = Placed::whole(skip);
    let (batches, columns) = match Opened::new(blob, name)? {
        None => (Batches::empty(name), Vec::new()),
        Some(opened) => {
            let wants: Vec<Want> = names.iter().map(Want::required).collect();
            let places = select(name, &wants, &opened.names(), Naming::Exact)?;
            let places: Vec<usize> = places.into_iter().flatten().collect();
            check_types(name, mapping, opened.schema(), &places)?;
            let mut chosen = places.clone();
            chosen.sort_unstable();
            chosen.dedup();
            let columns = places.iter().filter_map(|at| chosen.binary_search(at).ok()).collect();
            (opened.read(chosen, BATCH_ROWS, whole)?, columns)
        }
    };
    Ok(Box::new(WideParquet {
        batches: Placed::new(batches, first_offset, skip),
        columns,
        names,
        schema,
        stem: mapping.entity.is_none().then(|| stem(name)),
        time_format: mapping.time_format.clone(),
    }))
}

/// Refuses types that no cast makes fit.
fn check_types(
    name: &str,
    mapping: &WideMapping,
    schema: &SchemaRef,
    places: &[usize],
) -> Result<()> {
    let refuse = |column: &str, found: &DataType, fix: &str| {
        Err(Error::Configuration(format!("{name}: column {column} is {found}: {fix}")))
    };
    let (time, rest) = places.split_first().expect("the time column was asked for");
    let counts = matches!(mapping.time_format, TimeFormat::Epoch(_));
    let field = schema.field(*time);
    match field.data_type() {
        DataType::Timestamp(..) | DataType::Date32 | DataType::Utf8 => {}
        found if found.is_integer() && counts => {}
        found if found.is_integer() => {
            return refuse(field.name(), found, "set time_format to s, ms, us or ns");
        }
        found => return refuse(field.name(), found, "time must be a timestamp, text or integer"),
    }
    for (place, channel) in rest.iter().zip(mapping.channels.list()) {
        let found = schema.field(*place).data_type();
        let decimal = matches!(found, DataType::Decimal128(..) | DataType::Decimal256(..));
        if !(found.is_numeric() || decimal || *found == DataType::Boolean) {
            return refuse(channel.column(), found, "a channel must be numeric");
        }
    }
    Ok(())
}

struct WideParquet {
    batches: Placed,
    /// Places in a batch: time, channels, entity.
    columns: Vec<usize>,
    names: Vec<String>,
    schema: SchemaRef,
    /// The entity where no column names it.
    stem: Option<String>,
    time_format: TimeFormat,
}

impl Reader for WideParquet {
    fn next_batch(&mut self) -> Result<Option<ReadBatch>> {
        match self.batches.next()? {
            None => Ok(None),
            Some((first_offset, Ok(batch))) => self.read(first_offset, &batch).map(Some),
            Some((first_offset, Err(reject))) => Ok(Some(ReadBatch {
                first_offset,
                records: 1,
                rows: RecordBatch::new_empty(Arc::clone(&self.schema)),
                rejects: vec![reject],
            })),
        }
    }
}

/// A batch's columns in the schema's types, good and bad rows alike.
struct Columns {
    entity: StringArray,
    time: Times,
    channels: Vec<Float32Array>,
}

/// Times, and which of them are good when not all are.
struct Times {
    values: TimestampMicrosecondArray,
    bad: Option<BooleanArray>,
}

impl WideParquet {
    fn read(&self, first_offset: u64, batch: &RecordBatch) -> Result<ReadBatch> {
        let rows = batch.num_rows();
        let column = |index: usize| batch.column(self.columns[index]);
        let channels = self.names.len() - 1 - usize::from(self.stem.is_none());
        let columns = Columns {
            entity: match &self.stem {
                Some(stem) => StringArray::from_iter_values(std::iter::repeat_n(stem, rows)),
                None => typed(column(self.names.len() - 1), &DataType::Utf8)?.as_string().clone(),
            },
            time: times(column(0), &self.time_format)?,
            channels: (1..=channels)
                .map(|index| {
                    let values = typed(column(index), &DataType::Float32)?;
                    Ok(values.as_primitive::<Float32Type>().clone())
                })
                .collect::<Result<_>>()?,
        };
        let offsets = first_offset..first_offset + rows as u64;
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(columns.entity.clone()),
            Arc::new(columns.time.values.clone()),
            Arc::new(UInt64Array::from_iter_values(offsets)),
        ];
        for channel in &columns.channels {
            arrays.push(Arc::new(channel.clone()));
        }
        let mut rejects = Vec::new();
        if !columns.are_good() {
            let mut keep = vec![true; rows];
            for (row, keep) in keep.iter_mut().enumerate() {
                if let Some(fault) = columns.fault(row, &self.names) {
                    *keep = false;
                    let offset = first_offset + row as u64;
                    rejects.push(reject(offset, fault, row_json(batch, row)));
                }
            }
            let keep = BooleanArray::from(keep);
            for array in &mut arrays {
                *array = filter(array, &keep)?;
            }
        }
        Ok(ReadBatch {
            first_offset,
            records: rows as u64,
            rows: RecordBatch::try_new(Arc::clone(&self.schema), arrays)?,
            rejects,
        })
    }
}

impl Columns {
    /// Whether every row is good: one pass a column.
    fn are_good(&self) -> bool {
        self.entity.null_count() == 0
            && self.entity.value_offsets().windows(2).all(|pair| pair[0] < pair[1])
            && self.time.bad.is_none()
            && self.time.values.null_count() == 0
            && self.channels.iter().all(|channel| {
                channel.null_count() == 0
                    // Without a branch in the loop it compiles to vector instructions.
                    && channel.values().iter().fold(true, |good, value| good & value.is_finite())
            })
    }

    /// Why a row is bad.
    fn fault(&self, row: usize, names: &[String]) -> Option<Fault> {
        if self.time.values.is_null(row) {
            return Some(Fault::field(&names[0], "missing, or not a time"));
        }
        if self.time.bad.as_ref().is_some_and(|bad| bad.value(row)) {
            return Some(Fault::field(&names[0], "time outside 1970 to 2200"));
        }
        for (channel, name) in self.channels.iter().zip(&names[1..]) {
            if channel.is_null(row) {
                return Some(Fault::field(name, "missing"));
            }
            if !channel.value(row).is_finite() {
                return Some(Fault::field(name, "not a finite 32-bit number"));
            }
        }
        let missing = self.entity.is_null(row) || self.entity.value(row).is_empty();
        missing.then(|| Fault::field(names.last().cloned().unwrap_or_default(), "missing"))
    }
}

/// The column itself, or a cast of it.
fn typed(column: &ArrayRef, wanted: &DataType) -> Result<ArrayRef> {
    if column.data_type() == wanted {
        return Ok(Arc::clone(column));
    }
    Ok(cast(column, wanted)?)
}

/// A time column in µs; none where a time is missing or no time.
pub(crate) fn column_times(
    column: &ArrayRef,
    format: &TimeFormat,
) -> Result<Option<TimestampMicrosecondArray>> {
    let times = times(column, format)?;
    Ok((times.bad.is_none() && times.values.null_count() == 0).then_some(times.values))
}

/// A time column in µs.
fn times(column: &ArrayRef, format: &TimeFormat) -> Result<Times> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    Ok(match column.data_type() {
        DataType::Timestamp(Microsecond, _) => {
            let values = column.as_primitive::<TimestampMicrosecondType>();
            let bad = outside(values, END_OF_TIME);
            Times { values: values.clone().with_timezone("UTC"), bad }
        }
        DataType::Timestamp(Second, _) => {
            scaled(column.as_primitive::<TimestampSecondType>(), 1_000_000, 1)
        }
        DataType::Timestamp(Millisecond, _) => {
            scaled(column.as_primitive::<TimestampMillisecondType>(), 1000, 1)
        }
        DataType::Timestamp(Nanosecond, _) => {
            scaled(column.as_primitive::<TimestampNanosecondType>(), 1, 1000)
        }
        DataType::Utf8 => {
            let texts = column.as_string::<i32>();
            let parse = |text: Option<&str>| format.parse(text?.trim()).ok();
            let values: TimestampMicrosecondArray = texts.iter().map(parse).collect();
            Times { values: values.with_timezone("UTC"), bad: None }
        }
        DataType::Date32 => {
            let days = typed(column, &DataType::Timestamp(Second, None))?;
            scaled(days.as_primitive::<TimestampSecondType>(), 1_000_000, 1)
        }
        _ => {
            let counts = typed(column, &DataType::Int64)?;
            let counts = counts.as_primitive::<Int64Type>();
            match format {
                TimeFormat::Epoch(power) if *power >= 0 => {
                    scaled(counts, 10_i64.pow(power.unsigned_abs()), 1)
                }
                _ => scaled(counts, 1, 1000),
            }
        }
    })
}

/// Counts of another unit; judged before they are multiplied, so that none wraps into range.
fn scaled<T>(counts: &PrimitiveArray<T>, factor: i64, divisor: i64) -> Times
where
    T: arrow::datatypes::ArrowPrimitiveType<Native = i64>,
{
    let bad = outside(counts, END_OF_TIME / factor * divisor);
    let values: TimestampMicrosecondArray =
        counts.unary(|count| count.wrapping_mul(factor) / divisor);
    Times { values: values.with_timezone("UTC"), bad }
}

/// Which values are outside `0..end`; none when all are inside.
fn outside<T>(values: &PrimitiveArray<T>, end: i64) -> Option<BooleanArray>
where
    T: arrow::datatypes::ArrowPrimitiveType<Native = i64>,
{
    let is_bad = |value: &i64| (*value < 0) | (*value >= end);
    let any = values.values().iter().fold(false, |any, value| any | is_bad(value));
    any.then(|| values.values().iter().map(|value| Some(is_bad(value))).collect())
}
