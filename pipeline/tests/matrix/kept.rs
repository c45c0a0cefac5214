//! What a case has left, and whether it holds together.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::row::{RowConverter, SortField};
use cloudops_sql::catalog::Catalog;
use cloudops_sql::catalog::record::Record;
use futures_util::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::delta;
use crate::store::{Simulated, World};

/// What is left of a case.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Rows of every table, as bytes, sorted; without `epoch`, which depends on restarts.
    pub(crate) rows: Vec<(String, Vec<Vec<u8>>)>,
    /// Files as commits named them, with their hashes.
    files: Vec<(String, String)>,
    /// Checkpoints that continue the one before.
    pub(crate) continued: usize,
}

impl Kept {
    /// Where another case differs.
    pub(crate) fn differs(&self, other: &Self) -> Result<(), String> {
        for ((table, rows), (_, found)) in self.rows.iter().zip(&other.rows) {
            if rows != found {
                return Err(format!("{table}: {} rows became {}", rows.len(), found.len()));
            }
        }
        if self.rows.len() != other.rows.len() {
            return Err("not the same tables".to_owned());
        }
        match self.files.iter().zip(&other.files).find(|(mine, theirs)| mine != theirs) {
            Some((mine, theirs)) => Err(format!("{mine:?} became {theirs:?}")),
            None if self.files.len() == other.files.len() => Ok(()),
            None => Err(format!("{} files became {}", self.files.len(), other.files.len())),
        }
    }
}

/// What a case has left: read without faults, and checked to hold together.
pub(crate) async fn kept(world: &Arc<World>) -> Result<Kept, String> {
    let catalog = Catalog::open_at(Simulated::over(world), Path::default());
    let catalog = catalog.await.map_err(|error| error.to_string())?;
    let state = catalog.state();
    if !state.open_plans.is_empty() {
        return Err("a plan was never committed".to_owned());
    }
    let mut live: BTreeMap<&str, Vec<Vec<u8>>> = BTreeMap::new();
    let mut needed = Vec::new();
    for (table, files) in &state.tables {
        for file in files {
            let bytes = bytes(world, &file.path).await;
            if cloudops_sql::catalog::store::sha256(&bytes) != file.sha256 {
                return Err(format!("{} is not what was committed", file.path));
            }
            needed.push(file.path.clone());
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
            for batch in reader {
                live.entry(table).or_default().extend(rows(&batch.unwrap()));
            }
        }
    }
    let checkpoint = state.checkpoint.iter().flat_map(|at| &at.checkpoint.states);
    needed.extend(checkpoint.map(|state| state.path.clone()));
    for (table, files) in &state.tables {
        delta::compare(table, &delta::actions(world, table).await?, &delta::files(files))?;
    }
    for name in objects(world).await {
        if !name.starts_with("log/") && !needed.contains(&name) {
            return Err(format!("{name} was left behind"));
        }
    }
    for values in live.values_mut() {
        values.sort_unstable();
    }
    let records = catalog.history().records().try_collect::<Vec<_>>().await;
    let (mut files, mut continued) = (Vec::new(), 0);
    for (_, record) in records.map_err(|error| error.to_string())? {
        if let Record::Commit(commit) = record {
            continued += usize::from(commit.checkpoint.is_some_and(|at| !at.continued.is_empty()));
            files.extend(commit.files.into_iter().map(|file| (file.path, file.sha256)));
        }
    }
    files.sort();
    let rows = live.into_iter().map(|(table, rows)| (table.to_owned(), rows)).collect();
    Ok(Kept { rows, files, continued })
}

/// A batch's rows as bytes that compare like the rows, without the epoch.
fn rows(batch: &RecordBatch) -> Vec<Vec<u8>> {
    let epoch = batch.schema().index_of("epoch").unwrap();
    let mut batch = batch.clone();
    batch.remove_column(epoch);
    let fields = batch.schema();
    let fields = fields.fields().iter().map(|field| SortField::new(field.data_type().clone()));
    let converter = RowConverter::new(fields.collect()).unwrap();
    let rows = converter.convert_columns(batch.columns()).unwrap();
    rows.iter().map(|row| row.as_ref().to_vec()).collect()
}

/// Every object but the Delta logs, whose commit names are random and whose stamps are the clock's.
pub(crate) async fn objects(world: &World) -> Vec<String> {
    let listed: Vec<_> = world.objects.list(None).try_collect().await.unwrap();
    let mut names: Vec<String> =
        listed.into_iter().map(|object| object.location.to_string()).collect();
    names.retain(|name| !name.contains("_delta_log"));
    names.sort();
    names
}

/// An object's bytes.
pub(crate) async fn bytes(world: &World, path: &str) -> bytes::Bytes {
    world.objects.get(&Path::from(path)).await.unwrap().bytes().await.unwrap()
}
