//! Least and greatest values of a file's columns, for the commit that names it.

use std::collections::BTreeMap;

use anyhow::Result;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{concat, max, max_boolean, max_string, min, min_boolean, min_string};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type,
    Int64Type, TimestampMicrosecondType,
};
use cloudops_sql::catalog::record::ColumnStats;
use cloudops_sql::table;
use serde_json::Value;

/// The statistics a commit keeps of a table's file, by column.
///
/// # Errors
/// When a column's type has none, which is a bug of the table.
pub fn statistics(table: &str, batches: &[RecordBatch]) -> Result<BTreeMap<String, ColumnStats>> {
    let mut columns = BTreeMap::new();
    for &name in table::statistics_columns(table) {
        let parts: Vec<&dyn Array> = batches
            .iter()
            .filter_map(|batch| batch.column_by_name(name))
            .map(|array| &**array)
            .collect();
        if !parts.is_empty() {
            columns.insert(name.to_owned(), of_array(&concat(&parts)?)?);
        }
    }
    Ok(columns)
}

fn of_array(array: &ArrayRef) -> Result<ColumnStats> {
    let (min, max) = match array.data_type() {
        DataType::Utf8 => {
            let text = array.as_string::<i32>();
            (min_string(text).map(Value::from), max_string(text).map(Value::from))
        }
        DataType::Boolean => {
            let flags = array.as_boolean();
            (min_boolean(flags).map(Value::from), max_boolean(flags).map(Value::from))
        }
        DataType::Decimal128(..) => {
            let money = array.as_primitive::<Decimal128Type>();
            let text = |unscaled: i128| Value::from(unscaled.to_string());
            (min(money).map(text), max(money).map(text))
        }
        DataType::Timestamp(..) => bounds::<TimestampMicrosecondType>(array),
        DataType::Date32 => bounds::<Date32Type>(array),
        DataType::Int32 => bounds::<Int32Type>(array),
        DataType::Int64 => bounds::<Int64Type>(array),
        DataType::Float32 => bounds::<Float32Type>(array),
        DataType::Float64 => bounds::<Float64Type>(array),
        other => anyhow::bail!("no statistics are kept of {other} columns"),
    };
    let nulls = array.null_count() as u64;
    Ok(ColumnStats { min: min.unwrap_or(Value::Null), max: max.unwrap_or(Value::Null), nulls })
}

fn bounds<T: ArrowPrimitiveType>(array: &ArrayRef) -> (Option<Value>, Option<Value>)
where
    T::Native: arrow::datatypes::ArrowNativeType + Into<Value>,
{
    let array = array.as_primitive::<T>();
    (min(array).map(Into::into), max(array).map(Into::into))
}
