//! Rows that no operator makes: rejected records, late rows, duplicates.

use std::sync::Arc;

use anyhow::Result;
use arrow::array::{
    ArrayRef, BinaryArray, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array,
    UInt64Array,
};
use arrow::datatypes::{Field, Schema};
use arrow::json::writer::{JsonArray, WriterBuilder};
use cloudops_datasets::Reject;
use cloudops_operators::epoch::Partition;
use cloudops_operators::schema::{ENTITY_ID, OFFSET, TS, column, offsets};
use cloudops_operators::watermark::Watermark;
use cloudops_operators::window::Duplicate;

fn batch(columns: Vec<(&str, ArrayRef, bool)>) -> Result<RecordBatch> {
    let fields: Vec<_> = columns
        .iter()
        .map(|(name, array, nullable)| Field::new(*name, array.data_type().clone(), *nullable))
        .collect();
    let arrays = columns.into_iter().map(|(_, array, _)| array).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

/// Rejected records of a partition, each with its file, as rows of `rejects`.
///
/// # Errors
/// When Arrow refuses to build the batch, which is a bug.
pub fn rejects(partition: Partition, rejects: &[(Arc<str>, Reject)]) -> Result<RecordBatch> {
    let offset: ArrayRef =
        Arc::new(UInt64Array::from_iter_values(rejects.iter().map(|(_, r)| r.offset)));
    let text = |get: fn(&Reject) -> Option<&str>| -> ArrayRef {
        Arc::new(rejects.iter().map(|(_, r)| get(r)).collect::<StringArray>())
    };
    batch(vec![
        ("partition", Arc::new(UInt32Array::from_value(partition.0, rejects.len())), false),
        ("offset_from", Arc::clone(&offset), false),
        ("offset_to", offset, false),
        (
            "file",
            Arc::new(StringArray::from_iter_values(rejects.iter().map(|(file, _)| file))),
            false,
        ),
        ("line", Arc::new(rejects.iter().map(|(_, r)| r.line).collect::<UInt64Array>()), true),
        ("field", text(|reject| reject.field.as_deref()), true),
        ("reason", text(|reject| Some(&reject.reason)), false),
        (
            "raw",
            Arc::new(BinaryArray::from_iter_values(rejects.iter().map(|(_, r)| &r.raw))),
            false,
        ),
        (
            "raw_length",
            Arc::new(UInt64Array::from_iter_values(rejects.iter().map(|(_, r)| r.raw_length))),
            false,
        ),
    ])
}

/// Late rows of a partition, each with the watermark it missed, as rows of `late`.
///
/// # Errors
/// When a row is not of an input schema, which is a bug.
pub fn late(partition: Partition, rows: &[(RecordBatch, Watermark)]) -> Result<Vec<RecordBatch>> {
    rows.iter()
        .map(|(row, watermark)| {
            let offset: ArrayRef = Arc::new(offsets(row)?.clone());
            batch(vec![
                ("partition", Arc::new(UInt32Array::from_value(partition.0, 1)), false),
                ("offset_from", Arc::clone(&offset), false),
                ("offset_to", offset, false),
                (ENTITY_ID, Arc::clone(column(row, ENTITY_ID)?), false),
                (TS, Arc::clone(column(row, TS)?), false),
                (
                    "watermark",
                    Arc::new(
                        TimestampMicrosecondArray::from_value(watermark.0, 1).with_timezone("UTC"),
                    ),
                    false,
                ),
                ("raw", Arc::new(StringArray::from(vec![json(row)?])), false),
            ])
        })
        .collect()
}

/// A row as a JSON object, its offset left out.
fn json(row: &RecordBatch) -> Result<String> {
    let kept: Vec<usize> =
        (0..row.num_columns()).filter(|&i| row.schema().field(i).name() != OFFSET).collect();
    let mut writer = WriterBuilder::new().build::<_, JsonArray>(Vec::new());
    writer.write(&row.project(&kept)?)?;
    writer.finish()?;
    let text = String::from_utf8(writer.into_inner())?;
    let object = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    Ok(object.unwrap_or(&text).to_owned())
}

/// Rows refused as duplicates, as rows of `rejects`. Their file is in the epoch's plan; what is
/// left of the record is its identity.
///
/// # Errors
/// When Arrow refuses to build the batch, which is a bug.
pub fn duplicates(duplicates: &[Duplicate]) -> Result<RecordBatch> {
    let rows = duplicates.len();
    let offset: ArrayRef =
        Arc::new(UInt64Array::from_iter_values(duplicates.iter().map(|d| d.offset.0)));
    let raw: Vec<String> = duplicates
        .iter()
        .map(|d| serde_json::json!({ "entity_id": d.entity_id, "ts": d.ts }).to_string())
        .collect();
    batch(vec![
        (
            "partition",
            Arc::new(UInt32Array::from_iter_values(duplicates.iter().map(|d| d.partition.0))),
            false,
        ),
        ("offset_from", Arc::clone(&offset), false),
        ("offset_to", offset, false),
        ("file", Arc::new(StringArray::from(vec![""; rows])), false),
        ("line", Arc::new(UInt64Array::from(vec![None; rows])), true),
        ("field", Arc::new(StringArray::from(vec![Some(TS); rows])), true),
        (
            "reason",
            Arc::new(StringArray::from(vec![
                "duplicate: the entity has this record already";
                rows
            ])),
            false,
        ),
        (
            "raw_length",
            Arc::new(UInt64Array::from_iter_values(raw.iter().map(|raw| raw.len() as u64))),
            false,
        ),
        ("raw", Arc::new(BinaryArray::from_iter_values(raw)), false),
    ])
}
