//! Small files of a table merged into large sorted ones.
//!
//! Neighbours in the order of commits are merged, so that a file spans epochs that lie together. A
//! merge at least doubles the largest of its files: a row is rewritten at most as often as its first
//! file can be doubled before it reaches [`Settings::rows`], some twelve times from 200 rows to a
//! million, and far less often where epochs are even.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use cloudops_sql::catalog::record::{Compact, DataFile};
use cloudops_sql::catalog::state::State;
use cloudops_sql::catalog::store::{epochs_of, merged_path, partition_of, sha256};
use cloudops_sql::catalog::{Store, store};
use cloudops_sql::table;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::Settings;
use crate::clock::Clock;
use crate::sink::encode;
use crate::sink::project::sorted;

/// Files to merge.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Merge {
    /// The table.
    pub(super) table: String,
    /// Neighbours, in the order of their commits.
    pub(super) files: Vec<Arc<DataFile>>,
}

/// The next files that are worth merging, in the first table that has some.
pub(super) fn next(state: &State, settings: &Settings) -> Option<Merge> {
    state.tables.iter().find_map(|(table, files)| {
        let mut partitions: Vec<&str> =
            files.iter().filter_map(|f| partition_of(&f.path)).collect();
        partitions.sort_unstable();
        partitions.dedup();
        partitions.into_iter().find_map(|partition| {
            let of: Vec<_> =
                files.iter().filter(|f| partition_of(&f.path) == Some(partition)).collect();
            let files = run(&of, settings)?.iter().copied().cloned().collect();
            Some(Merge { table: table.clone(), files })
        })
    })
}

/// The first run of neighbours that is long enough, fits into one file, and has none that outweighs
/// all the others.
fn run<'a, 'b>(
    files: &'b [&'a Arc<DataFile>],
    settings: &Settings,
) -> Option<&'b [&'a Arc<DataFile>]> {
    (0..files.len()).find_map(|from| {
        let (mut rows, mut largest, mut best) = (0, 0, None);
        for (at, file) in files.iter().enumerate().skip(from) {
            rows += file.rows;
            largest = largest.max(file.rows);
            if rows > settings.rows {
                break;
            }
            if at + 1 - from >= settings.files && 2 * largest <= rows {
                best = Some(at);
            }
        }
        best.map(|to| &files[from..=to])
    })
}

/// Merges files, stages the result, and says what is to be appended.
///
/// # Errors
/// When a file is missing or is not the one that was committed, or the store fails.
pub(super) async fn make(
    store: &Store,
    merge: &Merge,
    settings: &Settings,
    clock: &dyn Clock,
) -> Result<Compact> {
    let Merge { table: name, files } = merge;
    let table = table::find(name).with_context(|| {
        format!("the catalog has a table {name} that this build does not know: use the build that wrote it")
    })?;
    let schema = table.schema();
    let mut batches = Vec::new();
    for file in files {
        batches.extend(read(store, file, &schema).await?);
    }
    let rows = sorted(&concat_batches(&schema, &batches)?, table.sort)?;
    drop(batches);
    let properties = encode::properties(&schema, settings.compression)?;
    let inputs: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let partition = partition_of(inputs[0]).context("a file without a partition")?;
    let encoded = encode::encode(table.name, partition, &schema, &properties, &[rows])?;
    let spans = inputs.iter().filter_map(|path| epochs_of(path));
    let (first, last) = spans
        .reduce(|(first, last), (from, to)| (first.min(from), last.max(to)))
        .context("a file without an epoch")?;
    let path = merged_path(name, partition, (first, last), &inputs);
    let store::Stored { path, bytes, sha256 } = store.put_file(&path, encoded.bytes).await?;
    let (rows, columns) = (encoded.rows, encoded.statistics);
    Ok(Compact {
        table: name.clone(),
        removes: inputs.into_iter().map(str::to_owned).collect(),
        adds: vec![DataFile { table: name.clone(), path, bytes, sha256, rows, columns }],
        compacted_at_us: clock.now_us(),
    })
}

/// The rows of a file, as the table has them today: columns that it did not have yet are null.
async fn read(store: &Store, file: &DataFile, schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
    let path = &file.path;
    let bytes = store.get(path).await?.with_context(|| format!("{path} is gone"))?;
    ensure!(sha256(&bytes) == file.sha256, "{path} is corrupt: its SHA-256 is another");
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(bytes)?.with_batch_size(65_536).build()?;
    let mut batches = Vec::new();
    for batch in reader {
        let batch = batch.with_context(|| path.clone())?;
        let columns =
            schema.fields().iter().map(|field| match batch.column_by_name(field.name()) {
                Some(column) => Arc::clone(column),
                None => new_null_array(field.data_type(), batch.num_rows()),
            });
        let columns: Vec<ArrayRef> = columns.collect();
        batches
            .push(RecordBatch::try_new(Arc::clone(schema), columns).with_context(|| path.clone())?);
    }
    Ok(batches)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Compression;
    use crate::maintenance::MaintenanceConfig;

    fn settings(files: usize, rows: u64) -> Settings {
        let config = MaintenanceConfig { files, rows, ..MaintenanceConfig::default() };
        config.validate(Compression::None).unwrap()
    }

    fn files(rows: &[u64]) -> Vec<Arc<DataFile>> {
        let file = |(i, &rows): (usize, &u64)| {
            Arc::new(DataFile {
                table: "late".to_owned(),
                path: format!("data/late/p/e{i}-w0of1-0.parquet"),
                bytes: 0,
                sha256: String::new(),
                rows,
                columns: Default::default(),
            })
        };
        rows.iter().enumerate().map(file).collect()
    }

    fn chosen(rows: &[u64]) -> Option<(usize, usize)> {
        let settings = settings(4, 100);
        let files = files(rows);
        let files: Vec<_> = files.iter().collect();
        let run = run(&files, &settings)?;
        let from = files.iter().position(|file| Arc::ptr_eq(file, run[0]))?;
        Some((from, run.len()))
    }

    #[test]
    fn neighbours_that_are_alike_are_merged() {
        assert_eq!(chosen(&[1, 1, 1]), None);
        assert_eq!(chosen(&[1, 1, 1, 1]), Some((0, 4)));
        assert_eq!(chosen(&[90, 1, 1, 1, 1, 1]), Some((1, 5)));
        // One that outweighs its neighbours waits until they have grown.
        assert_eq!(chosen(&[10, 1, 1, 1]), None);
        assert_eq!(chosen(&[10, 4, 4, 2]), Some((0, 4)));
        assert_eq!(chosen(&[40, 40, 40, 40]), None);
        assert_eq!(chosen(&[25, 25, 25, 25, 25]), Some((0, 4)));
    }

    #[test]
    fn a_row_is_rewritten_a_few_times_only() {
        let settings = settings(16, 1_000_000);
        let (mut live, mut written) = (Vec::new(), 0);
        for epoch in 0..5_000u64 {
            live.push(files(&[200 + epoch % 7]).remove(0));
            loop {
                let all: Vec<_> = live.iter().collect();
                let Some(run) = run(&all, &settings) else { break };
                let rows: u64 = run.iter().map(|file| file.rows).sum();
                let at = live.iter().position(|file| Arc::ptr_eq(file, run[0])).unwrap();
                let length = run.len();
                written += rows;
                live.splice(at..at + length, files(&[rows]));
            }
        }
        let rows: u64 = live.iter().map(|file| file.rows).sum();
        assert!(live.len() < 64, "{} files", live.len());
        assert!(written < 8 * rows, "{written} rows written for {rows}");
    }
}
