//! An operator's batch to a table's columns.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, ListArray, RecordBatch, StringArray, UInt32Array,
    new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{SortColumn, cast, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use cloudops_operators::epoch::Epoch;

/// Names that a batch uses where the table has another.
pub type Renames = &'static [(&'static str, &'static str)];

/// Projects a batch onto a table: `epoch` is added, and `source` where the batch has none, columns are taken by name (or by
/// the name that `renames` gives, table's name first), nullable ones that are missing become null.
///
/// # Errors
/// When a column that every row must have is missing, or has a type that does not convert.
pub fn project(
    batch: &RecordBatch,
    schema: &SchemaRef,
    epoch: Epoch,
    source: &str,
    renames: Renames,
) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let name = renames
            .iter()
            .find(|(table, _)| table == field.name())
            .map_or(field.name().as_str(), |(_, batch)| *batch);
        let column: ArrayRef = match (name, batch.column_by_name(name)) {
            ("epoch", _) => Arc::new(Int64Array::from_value(epoch.0 as i64, rows)),
            // What rests on several streams names that of each row.
            ("source", Some(column)) => Arc::clone(column),
            ("source", None) => {
                Arc::new(StringArray::from_iter_values(std::iter::repeat_n(source, rows)))
            }
            (_, Some(column)) => convert(column, field.data_type())
                .with_context(|| format!("column {name} of the batch"))?,
            (_, None) if field.is_nullable() => new_null_array(field.data_type(), rows),
            (_, None) => bail!("the batch has no column {name}"),
        };
        columns.push(column);
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

/// Rows in a table's order, given the columns that it is sorted by; equal ones stay as they were.
///
/// # Errors
/// When a column has a type that has no order, which is a bug.
pub fn sorted(rows: &RecordBatch, by: &[&str]) -> Result<RecordBatch> {
    let place: ArrayRef = Arc::new(UInt32Array::from_iter_values(0..rows.num_rows() as u32));
    let columns = by.iter().filter_map(|name| rows.column_by_name(name)).cloned().chain([place]);
    let columns: Vec<_> = columns.map(|values| SortColumn { values, options: None }).collect();
    Ok(take_record_batch(rows, &lexsort_to_indices(&columns, None)?)?)
}

/// Converts a column to the table's type; a fixed-size list to a list shares its values.
fn convert(column: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if column.data_type() == to {
        return Ok(Arc::clone(column));
    }
    if let (DataType::FixedSizeList(_, width), DataType::List(field)) = (column.data_type(), to) {
        let list = column.as_fixed_size_list();
        let width = *width as usize;
        let values = list.values().slice(list.offset() * width, list.len() * width);
        let offsets = OffsetBuffer::from_repeated_length(width, list.len());
        return Ok(Arc::new(ListArray::try_new(
            Arc::clone(field),
            offsets,
            values,
            list.nulls().cloned(),
        )?));
    }
    Ok(cast(column, to)?)
}
