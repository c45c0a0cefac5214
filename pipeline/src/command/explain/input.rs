//! From offsets back to files, and to the records in them.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::{Context, Result};
use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Date32Type;
use cloudops_datasets::{StreamKind, open};
use cloudops_operators::epoch::Partition;
use cloudops_operators::schema::cost::{DAY, DAY_US};
use cloudops_operators::schema::{ENTITY_ID, TS, column, labels, offsets, times};
use cloudops_operators::window::WindowSpec;
use cloudops_sql::catalog::Catalog;
use futures_util::TryStreamExt;
use serde::Serialize;
use serde_json::Value;
use tokio::runtime::Handle;

use crate::job::StreamJob;
use crate::learning::parse_instant;
use crate::source::blob::Blob;
use crate::source::files::Listing;

/// Records of one input file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct FileRange {
    /// The file.
    pub(super) file: String,
    /// Its length in bytes when planned.
    pub(super) size: u64,
    /// First record, counted within the file from 0.
    pub(super) record_from: u64,
    /// Last record, inclusive.
    pub(super) record_to: u64,
    /// Offset of that first record in its partition.
    pub(super) offset_from: u64,
}

/// Whose rows a window holds.
#[derive(Debug)]
pub(super) struct Window<'a> {
    pub(super) entity: &'a str,
    /// First and last, inclusive.
    pub(super) offsets: (u64, u64),
    /// RFC 3339.
    pub(super) start: &'a str,
    pub(super) end: &'a str,
}

/// The files in which a range of offsets lies, as the plans that read them say.
pub(super) async fn files(
    catalog: &Catalog,
    source: &str,
    partition: Partition,
    (first, last): (u64, u64),
) -> Result<Vec<FileRange>> {
    let mut ranges: Vec<FileRange> = Vec::new();
    let mut plans = catalog.history().plans_after(0);
    while let Some(plan) = plans.try_next().await? {
        let parts = plan.sources.iter().filter(|part| {
            part.source == source
                && part.partition == partition
                && part.offset_from.0 <= last
                && part.offset_to.0 > first
        });
        for part in parts {
            let mut offset = part.offset_from.0;
            for span in &part.spans {
                let end = offset + (span.record_to - span.record_from);
                let (from, to) = (offset.max(first), end.min(last + 1));
                if from < to {
                    let at = span.record_from + (from - offset);
                    let record_to = at + (to - from) - 1;
                    match ranges.last_mut().filter(|range| range.file == span.file) {
                        Some(range) => range.record_to = record_to,
                        None => ranges.push(FileRange {
                            file: span.file.clone(),
                            size: span.size,
                            record_from: at,
                            record_to,
                            offset_from: from,
                        }),
                    }
                }
                offset = end;
            }
        }
    }
    Ok(ranges)
}

/// The window's records, read again from the input, by event time and offset.
///
/// # Errors
/// When a file is gone or has changed.
pub(super) fn records(
    stream: &StreamJob,
    partition: Partition,
    ranges: &[FileRange],
    window: &Window<'_>,
    runtime: &Handle,
) -> Result<Vec<Value>> {
    let path = stream.paths.get(partition.0 as usize).with_context(|| {
        format!("the configuration has no partition {} of {:?}", partition.0, stream.name)
    })?;
    let listed = Listing::parse(path, runtime)?.list(&stream.format)?;
    // By count, the end is the last row's own time; by time, it is the bound that no row reaches.
    let last = i64::from(!matches!(stream.window, WindowSpec::Count { .. }));
    let bounds = (parse_instant(window.start)?, parse_instant(window.end)? - last);
    let mut found = Vec::new();
    for range in ranges {
        let file = listed.iter().find(|file| *file.name == *range.file);
        let file = file.filter(|file| file.size == range.size).with_context(|| {
            format!("the input has changed: {} is not what it was; leave --config out", range.file)
        })?;
        let blob = Blob::open(&file.location, &Arc::new(AtomicU64::new(0)))
            .with_context(|| format!("opening {}", file.name))?;
        let first = range.offset_from - range.record_from;
        let mut reader = open(blob, &file.name, &stream.format, first, range.record_from)?;
        while let Some(batch) = reader.next_batch()? {
            if batch.first_offset > window.offsets.1 {
                break;
            }
            take(&batch.rows, stream.kind, window, bounds, &mut found)?;
        }
    }
    found.sort_by_key(|(ts, offset, _)| (*ts, *offset));
    Ok(found.into_iter().map(|(_, _, row)| row).collect())
}

/// The rows of a batch that are the window's: of a bill, by the day that they charge for.
fn take(
    rows: &RecordBatch,
    kind: StreamKind,
    window: &Window<'_>,
    (start, end): (i64, i64),
    found: &mut Vec<(i64, u64, Value)>,
) -> Result<()> {
    let (entities, at) = (labels(rows, ENTITY_ID)?, offsets(rows)?);
    let told: Vec<i64> = match kind {
        StreamKind::Cost => {
            let days = column(rows, DAY)?.as_primitive::<Date32Type>().values();
            days.iter().map(|day| i64::from(*day) * DAY_US).collect()
        }
        StreamKind::Sensor | StreamKind::Audit | StreamKind::Configuration => {
            times(rows, TS)?.to_vec()
        }
    };
    let within = |row: usize| {
        entities.get(row) == Some(window.entity)
            && (start..=end).contains(&told[row])
            && (window.offsets.0..=window.offsets.1).contains(&at.value(row))
    };
    let wanted: Vec<bool> = (0..rows.num_rows()).map(within).collect();
    if !wanted.contains(&true) {
        return Ok(());
    }
    let kept = filter_record_batch(rows, &BooleanArray::from(wanted))?;
    let (ts, at) = (times(&kept, TS)?, offsets(&kept)?);
    let mut writer = arrow::json::ArrayWriter::new(Vec::new());
    writer.write(&kept)?;
    writer.finish()?;
    let values: Vec<Value> = serde_json::from_slice(&writer.into_inner())?;
    found
        .extend(values.into_iter().enumerate().map(|(row, value)| (ts[row], at.value(row), value)));
    Ok(())
}
