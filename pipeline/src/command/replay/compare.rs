//! What was committed beside what the replay made.

use anyhow::Result;
use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::util::pretty::pretty_format_batches;
use bytes::Bytes;
use cloudops_operators::epoch::Epoch;
use cloudops_sql::catalog::record::DataFile;
use cloudops_sql::catalog::rewind::Past;
use cloudops_sql::catalog::store::sha256;
use cloudops_sql::catalog::{State, Store};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Serialize;
use serde_json::Value;
use tokio::runtime::Runtime;

/// The epoch as committed, and as made again.
pub(super) struct Sides<'a> {
    pub(super) runtime: &'a Runtime,
    pub(super) real: &'a Store,
    /// What is true now.
    pub(super) state: &'a State,
    pub(super) scratch: &'a Store,
    pub(super) past: &'a Past,
    pub(super) again: &'a Past,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    epoch: Epoch,
    /// Workers of the run that committed it.
    workers: u32,
    /// The build that committed it.
    build: String,
    /// The epoch of the checkpoint that the replay began at; null: at the beginning.
    began_after: Option<Epoch>,
    /// Whether everything agrees.
    pub(super) same: bool,
    files: Vec<Compared>,
    /// What else differs.
    differences: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entity: Option<EntityRows>,
}

/// A file, as committed and as made again.
#[derive(Debug, Serialize)]
struct Compared {
    path: String,
    rows: u64,
    /// As the commit names it; null where only the replay made such a file.
    committed_sha256: Option<String>,
    /// Null where the replay made no such file.
    replayed_sha256: Option<String>,
    same: bool,
    /// The first row that differs; null where none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_difference: Option<Difference>,
}

/// Two rows that should be one.
#[derive(Debug, Serialize)]
struct Difference {
    /// The row's number in the file, from 0.
    row: usize,
    committed: Option<Value>,
    replayed: Option<Value>,
}

#[derive(Debug, Serialize)]
struct EntityRows {
    entity_id: String,
    tables: Vec<TableRows>,
}

#[derive(Debug, Serialize)]
struct TableRows {
    table: String,
    /// Whether they are what was committed.
    same: bool,
    rows: Vec<Value>,
    #[serde(skip)]
    batches: Vec<RecordBatch>,
}

impl Sides<'_> {
    /// Compares them, and shows an entity's rows where one is asked for.
    pub(super) fn compare(
        &self,
        began_after: Option<Epoch>,
        entity: Option<&str>,
    ) -> Result<Outcome> {
        let (committed, replayed) = (&self.past.commit.files, &self.again.commit.files);
        let mut files = Vec::new();
        let mut differences = Vec::new();
        for file in committed {
            let other = replayed.iter().find(|other| other.path == file.path);
            let same = other.is_some_and(|other| other.sha256 == file.sha256);
            let stored = self.read(self.real, file)?;
            // A file that is in force no more may be gone; its hash is what is left of it.
            let in_force = self.state.files(&file.table).iter().any(|now| now.path == file.path);
            if in_force && stored.as_ref().is_none_or(|bytes| sha256(bytes) != file.sha256) {
                let what = if stored.is_some() { "is not what was committed" } else { "is gone" };
                differences.push(format!("{} {what}: restore it from a copy", file.path));
            }
            let first_difference = match other {
                Some(other) if !same => first_difference(stored, self.read(self.scratch, other)?)?,
                _ => None,
            };
            files.push(Compared {
                path: file.path.clone(),
                rows: file.rows,
                committed_sha256: Some(file.sha256.clone()),
                replayed_sha256: other.map(|other| other.sha256.clone()),
                same,
                first_difference,
            });
        }
        for file in replayed {
            if committed.iter().all(|other| other.path != file.path) {
                files.push(Compared {
                    path: file.path.clone(),
                    rows: file.rows,
                    committed_sha256: None,
                    replayed_sha256: Some(file.sha256.clone()),
                    same: false,
                    first_difference: None,
                });
            }
        }
        let (then, now) = (&self.past.commit.sources, &self.again.commit.sources);
        if then != now {
            differences.push(format!("the accounts differ: committed {then:?}, replayed {now:?}"));
        }
        Ok(Outcome {
            epoch: self.past.plan.epoch,
            workers: self.past.writer.workers,
            build: self.past.writer.build.clone(),
            began_after,
            same: differences.is_empty() && files.iter().all(|file| file.same),
            files,
            differences,
            entity: entity.map(|entity| self.entity_rows(entity)).transpose()?,
        })
    }

    /// An entity's rows of the epoch, by table.
    fn entity_rows(&self, entity: &str) -> Result<EntityRows> {
        let mut tables = Vec::new();
        for table in cloudops_sql::table::all() {
            let replayed =
                self.rows_of(entity, table.name, self.scratch, &self.again.commit.files)?;
            let committed =
                json(&self.rows_of(entity, table.name, self.real, &self.past.commit.files)?)?;
            let rows = json(&replayed)?;
            if !rows.is_empty() || !committed.is_empty() {
                let same = rows == committed;
                let batches = replayed.iter().map(brief).collect::<Result<_>>()?;
                tables.push(TableRows { table: table.name.to_owned(), same, rows, batches });
            }
        }
        Ok(EntityRows { entity_id: entity.to_owned(), tables })
    }

    /// An entity's rows of a table, on one side.
    fn rows_of(
        &self,
        entity: &str,
        table: &str,
        store: &Store,
        files: &[DataFile],
    ) -> Result<Vec<RecordBatch>> {
        let mut found = Vec::new();
        for file in files.iter().filter(|file| file.table == table) {
            for batch in self.read(store, file)?.map_or(Ok(Vec::new()), batches)? {
                found.extend(of_entity(&batch, entity)?);
            }
        }
        Ok(found)
    }

    fn read(&self, store: &Store, file: &DataFile) -> Result<Option<Bytes>> {
        Ok(self.runtime.block_on(store.get(&file.path))?)
    }
}

impl Outcome {
    pub(super) fn text(&self) -> Result<String> {
        let begin = match self.began_after {
            Some(epoch) => format!("the state after epoch {epoch}"),
            None => "the beginning".to_owned(),
        };
        let mut text = format!(
            "epoch {}, by {} with {} workers, replayed from {begin}\n",
            self.epoch, self.build, self.workers
        );
        for file in &self.files {
            let mark = if file.same { "same  " } else { "DIFFERS" };
            text += &format!("{mark} {} ({} rows)\n", file.path, file.rows);
            if file.same {
                continue;
            }
            text += &match (&file.committed_sha256, &file.replayed_sha256, &file.first_difference) {
                (None, ..) => "  only the replay makes this file\n".to_owned(),
                (_, None, _) => "  the replay makes no such file\n".to_owned(),
                (_, _, None) => "  its rows are the same, its bytes are not: another build, or \
                                 another run.compression\n"
                    .to_owned(),
                (_, _, Some(Difference { row, committed, replayed })) => {
                    let shown = |value: &Option<Value>| {
                        value.as_ref().map_or_else(|| "no row".to_owned(), ToString::to_string)
                    };
                    format!(
                        "  row {row}, committed: {}\n  row {row}, replayed:  {}\n",
                        shown(committed),
                        shown(replayed)
                    )
                }
            };
        }
        for difference in &self.differences {
            text += &format!("DIFFERS {difference}\n");
        }
        for table in self.entity.iter().flat_map(|entity| &entity.tables) {
            let same = if table.same { "as committed" } else { "NOT as committed" };
            text += &format!("\n{}: {} rows, {same}\n", table.table, table.rows.len());
            text += &format!("{}\n", pretty_format_batches(&table.batches)?);
        }
        Ok(text)
    }
}

/// The first row in which two files differ.
fn first_difference(
    committed: Option<Bytes>,
    replayed: Option<Bytes>,
) -> Result<Option<Difference>> {
    let rows = |bytes: Option<Bytes>| -> Result<Vec<Value>> {
        bytes.map_or(Ok(Vec::new()), |bytes| json(&batches(bytes)?))
    };
    // A committed file that is damaged may be no Parquet at all; that it is, is said elsewhere.
    let (Ok(committed), replayed) = (rows(committed), rows(replayed)?) else { return Ok(None) };
    let longest = committed.len().max(replayed.len());
    Ok((0..longest).find(|&row| committed.get(row) != replayed.get(row)).map(|row| Difference {
        row,
        committed: committed.get(row).cloned(),
        replayed: replayed.get(row).cloned(),
    }))
}

/// The rows of an entity; none where the table has no entities.
fn of_entity(batch: &RecordBatch, entity: &str) -> Result<Option<RecordBatch>> {
    let Some(ids) = batch.column_by_name("entity_id").and_then(|ids| ids.as_string_opt::<i32>())
    else {
        return Ok(None);
    };
    let wanted: BooleanArray = ids.iter().map(|id| Some(id == Some(entity))).collect();
    let rows = filter_record_batch(batch, &wanted)?;
    Ok((rows.num_rows() > 0).then_some(rows))
}

/// Lists are long, and what all rows of an epoch share says nothing: both are left out.
fn brief(batch: &RecordBatch) -> Result<RecordBatch> {
    let schema = batch.schema();
    let kept: Vec<usize> = (0..batch.num_columns())
        .filter(|&i| {
            let field = schema.field(i);
            !field.data_type().is_nested() && !["epoch", "entity_id"].contains(&&**field.name())
        })
        .collect();
    Ok(batch.project(&kept)?)
}

fn batches(bytes: Bytes) -> Result<Vec<RecordBatch>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()?;
    Ok(reader.collect::<Result<_, _>>()?)
}

fn json(batches: &[RecordBatch]) -> Result<Vec<Value>> {
    let mut writer = arrow::json::ArrayWriter::new(Vec::new());
    writer.write_batches(&batches.iter().collect::<Vec<_>>())?;
    writer.finish()?;
    let bytes = writer.into_inner();
    Ok(if bytes.is_empty() { Vec::new() } else { serde_json::from_slice(&bytes)? })
}
