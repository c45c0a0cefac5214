//! FOCUS's other columns, column by column.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Float64Array, make_array, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int32Type};
use cloudops_operators::schema::focus::Holds;
use cloudops_operators::schema::label;

use super::super::time::TimeFormat;
use super::super::wide_parquet::column_times;
use super::columnar::amounts;
use super::decode::is_nothing;
use crate::Result;

/// A detail's column, null where the file has none; none where a row must be looked at by itself.
pub(super) fn detail(
    column: Option<&ArrayRef>,
    holds: Holds,
    rows: usize,
    format: &TimeFormat,
) -> Result<Option<ArrayRef>> {
    let Some(array) = column.filter(|array| array.null_count() < rows) else {
        return Ok(Some(new_null_array(&holds.arrow(), rows)));
    };
    match holds {
        Holds::Text => plain_texts(array),
        Holds::Amount => amounts_or_none(array),
        Holds::Instant => instants(array, format),
    }
}

/// A detail's texts; none where a row must be looked at by itself.
fn plain_texts(array: &ArrayRef) -> Result<Option<ArrayRef>> {
    if !matches!(array.data_type(), DataType::Utf8 | DataType::Dictionary(..)) {
        return Ok(None);
    }
    let array = cast(array, &label())?;
    let texts = array.as_dictionary::<Int32Type>().values().as_string_opt::<i32>();
    let plain =
        |text: &str| !text.is_empty() && text.trim_ascii().len() == text.len() && !is_nothing(text);
    Ok(texts.is_some_and(|texts| texts.iter().flatten().all(plain)).then_some(array))
}

/// A detail's instants; none where a row must be looked at by itself.
fn instants(array: &ArrayRef, format: &TimeFormat) -> Result<Option<ArrayRef>> {
    if !array.data_type().is_temporal() {
        return Ok(None);
    }
    let times = column_times(array, format)?;
    Ok(times.map(|times| Arc::new(times.with_timezone("UTC")) as ArrayRef))
}

/// A detail's amounts, null where they are missing; none where a row must be looked at by itself.
fn amounts_or_none(array: &ArrayRef) -> Result<Option<ArrayRef>> {
    let Some(nulls) = array.nulls().filter(|nulls| nulls.null_count() > 0) else {
        return amounts(array);
    };
    // What stands in the place of a null is any number: nought is a plain one.
    let filled = match array.data_type() {
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>();
            let values = values.iter().map(|value| value.unwrap_or_default());
            Arc::new(Float64Array::from_iter_values(values)) as ArrayRef
        }
        DataType::Decimal128(precision, scale) => {
            let values = array.as_primitive::<Decimal128Type>();
            let values = values.iter().map(|value| value.unwrap_or_default());
            let filled = Decimal128Array::from_iter_values(values);
            Arc::new(filled.with_precision_and_scale(*precision, *scale)?)
        }
        _ => return Ok(None),
    };
    let Some(filled) = amounts(&filled)? else { return Ok(None) };
    let data = filled.to_data().into_builder().nulls(Some(nulls.clone()));
    Ok(Some(make_array(data.build()?)))
}
