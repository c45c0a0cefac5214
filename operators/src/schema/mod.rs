//! The columns of each stream and of everything operators hand on.
//!
//! Readers produce the *input* schemas ([`sensor`], [`audit`], [`cost`]);
//! operators hand on the *window* and *score* batches whose columns are named
//! in [`result`]. Column names are constants, declared once, here.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, Int32Array, PrimitiveArray, RecordBatch,
    StringArray, UInt64Array,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Field, Float32Type, Int32Type, TimeUnit,
    TimestampMicrosecondType, UInt64Type,
};

use crate::{Error, Result};

pub mod audit;
pub mod configuration;
pub mod cost;
pub mod focus;
pub mod result;
pub mod sensor;

/// Whose record it is: machine, engine, VM, principal, account. `Utf8`.
pub const ENTITY_ID: &str = "entity_id";
/// Event time, µs, UTC.
pub const TS: &str = "ts";
/// The record's ordinal within its partition. `UInt64`.
pub const OFFSET: &str = "offset";

/// The type of text that repeats: a dictionary of `Utf8` with `Int32` keys.
#[must_use]
pub fn label() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// A column of text, whether [`label`] or plain.
#[derive(Debug, Clone, Copy)]
pub enum Labels<'a> {
    /// `Utf8`.
    Plain(&'a StringArray),
    /// [`label`]: keys, and the dictionary.
    Keyed(&'a Int32Array, &'a StringArray),
}

impl<'a> Labels<'a> {
    /// A row's text; `None` where it is null.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<&'a str> {
        match self {
            Self::Plain(texts) => texts.is_valid(row).then(|| texts.value(row)),
            Self::Keyed(keys, texts) => {
                let key = keys.is_valid(row).then(|| keys.value(row) as usize)?;
                texts.is_valid(key).then(|| texts.value(key))
            }
        }
    }

    /// Every row's text.
    pub fn iter(self) -> impl Iterator<Item = Option<&'a str>> {
        (0..self.len()).map(move |row| self.get(row))
    }

    /// Rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Plain(texts) => texts.len(),
            Self::Keyed(keys, _) => keys.len(),
        }
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A column of text, by name, however it is encoded.
///
/// # Errors
/// [`Error::Column`] when it is missing or no text.
pub fn labels<'a>(batch: &'a RecordBatch, name: &str) -> Result<Labels<'a>> {
    let array = column(batch, name)?;
    if let Some(texts) = array.as_string_opt::<i32>() {
        return Ok(Labels::Plain(texts));
    }
    let keyed = array.as_dictionary_opt::<Int32Type>();
    let keyed =
        keyed.and_then(|keyed| Some((keyed.keys(), keyed.values().as_string_opt::<i32>()?)));
    let (keys, texts) = keyed.ok_or_else(|| mismatch(name, "text", array))?;
    Ok(Labels::Keyed(keys, texts))
}

/// The type of every time column: µs, UTC.
#[must_use]
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The type of a fixed number of `f32` values a row, without nulls inside.
#[must_use]
pub fn vector(width: usize) -> DataType {
    DataType::FixedSizeList(
        Arc::new(Field::new("item", DataType::Float32, false)),
        i32::try_from(width).expect("a vector's width fits i32"),
    )
}

/// A vector column from its values, row after row.
///
/// # Panics
/// When `values` is not a whole number of rows.
#[must_use]
pub fn vector_array(width: usize, values: Vec<f32>) -> FixedSizeListArray {
    let DataType::FixedSizeList(field, size) = vector(width) else {
        unreachable!("vector() is a fixed-size list")
    };
    FixedSizeListArray::new(field, size, Arc::new(arrow::array::Float32Array::from(values)), None)
}

/// A column of a batch, by name.
///
/// # Errors
/// [`Error::Column`] when it is missing.
pub fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| Error::Column {
        column: name.to_owned(),
        expected: "a column of this name".to_owned(),
        found: "none".to_owned(),
    })
}

/// A vector column's values and its width: row `i` is `values[i * width..][..width]`.
///
/// # Errors
/// [`Error::Column`] when it is missing or no vector.
pub fn vectors<'a>(batch: &'a RecordBatch, name: &str) -> Result<(&'a [f32], usize)> {
    let array = column(batch, name)?;
    let Some(list) = array.as_fixed_size_list_opt() else {
        return Err(mismatch(name, "a fixed-size list of f32", array));
    };
    let width = list.value_length() as usize;
    let Some(values) = list.values().as_primitive_opt::<Float32Type>() else {
        return Err(mismatch(name, "a fixed-size list of f32", array));
    };
    // `values()` of a sliced list spans the whole parent: cut to the slice.
    let from = list.offset() * width;
    Ok((&values.values()[from..from + list.len() * width], width))
}

/// The `offset` column.
///
/// # Errors
/// [`Error::Column`] when it is missing or no `UInt64`.
pub fn offsets(batch: &RecordBatch) -> Result<&UInt64Array> {
    let array = column(batch, OFFSET)?;
    array.as_primitive_opt::<UInt64Type>().ok_or_else(|| mismatch(OFFSET, "UInt64", array))
}

/// A time column's values, µs.
///
/// # Errors
/// [`Error::Column`] when it is missing or no timestamp in µs.
pub fn times<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a [i64]> {
    let array = column(batch, name)?;
    match array.as_primitive_opt::<TimestampMicrosecondType>() {
        Some(times) => Ok(times.values()),
        None => Err(mismatch(name, "timestamp in µs", array)),
    }
}

/// A column of numbers or days, by name.
///
/// # Errors
/// [`Error::Column`] when it is missing or of another type.
pub(crate) fn numbers<'a, T: ArrowPrimitiveType>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a PrimitiveArray<T>> {
    let array = column(batch, name)?;
    array.as_primitive_opt().ok_or_else(|| mismatch(name, &T::DATA_TYPE.to_string(), array))
}

/// A text column.
///
/// # Errors
/// [`Error::Column`] when it is missing or no `Utf8`.
pub fn texts<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a StringArray> {
    let array = column(batch, name)?;
    array.as_string_opt::<i32>().ok_or_else(|| mismatch(name, "Utf8", array))
}

/// The error for a column of the wrong type.
#[must_use]
pub fn mismatch(name: &str, expected: &str, found: &dyn Array) -> Error {
    Error::Column {
        column: name.to_owned(),
        expected: expected.to_owned(),
        found: found.data_type().to_string(),
    }
}
