//! `models`, `feedback`, `epochs`, `tables`, `columns`: what the log, and we, say about ourselves.
//!
//! Their rows are built when asked for. `epochs` reads the whole log again,
//! because the fold does not keep what only the past knows; all others are at
//! hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{FieldRef, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use futures_util::TryStreamExt;
use tokio::sync::OnceCell;

use super::deliveries::{self, Status};
use super::{Kind, SOURCE, Table, Type, optional, required};
use crate::Result;
use crate::catalog::State;
use crate::catalog::history::{Committed, History};
use crate::catalog::record::{DataFile, Feedback, Promote, SourceCommit};
use crate::view::{self, View};

pub(super) const MODELS: Table = Table {
    name: "models",
    description: "a model version was put in force from an event time on",
    kind: Kind::Log,
    own: &[
        required("stream", Type::Text, "stream whose windows it scores"),
        required("name", Type::Text, "the model"),
        required("version", Type::Text, "its immutable version"),
        optional(
            "effective_from",
            Type::Instant,
            "event time from which it scores, UTC; null: from the beginning",
        ),
        required("promoted_seq", Type::I64, "number of the log record that says so"),
        required("reason", Type::Text, "why: by hand, by drift, a rollback"),
        optional("promoted_at", Type::Instant, "wall clock when it was promoted, UTC"),
    ],
    sort: &["promoted_seq"],
    statistics: &[],
};

pub(super) const FEEDBACK: Table = Table {
    name: "feedback",
    description: "somebody said what a cost anomaly was; of two rows of an anomaly the later holds",
    kind: Kind::Log,
    own: &[
        required("source", Type::Text, "name of the configured stream"),
        required("anomaly_id", Type::Text, "the anomaly, as in cost_anomalies"),
        required("entity_id", Type::Text, "its account"),
        required("day", Type::Day, "its day, UTC"),
        required("currency", Type::Text, "FOCUS BillingCurrency, ISO 4217"),
        optional("service", Type::Text, "the one service that was strange; null: all of the day"),
        required("said", Type::Text, "'yes' (it was one), 'no' (it was none) or 'planned'"),
        required("amount", Type::F64, "what the day came to when that was said"),
        required("errors", Type::F64, "how far off that was, in usual errors"),
        optional(
            "effective_from",
            Type::Day,
            "first day that is judged with it, UTC; null where the stream had ended",
        ),
        optional("by", Type::Text, "who said it"),
        optional("note", Type::Text, "why"),
        optional("said_at", Type::Instant, "wall clock when it was said, UTC"),
        required("seq", Type::I64, "number of the log record that says so"),
    ],
    sort: &["seq"],
    statistics: &[],
};

pub(super) const EPOCHS: Table = Table {
    name: "epochs",
    description: "what became of the records of one source in one committed epoch",
    kind: Kind::Log,
    own: &[
        required("epoch", Type::I64, "the epoch"),
        required("source", Type::Text, "name of the configured stream"),
        required("records_in", Type::I64, "records read, and rejects that belong to no record"),
        required("on_time", Type::I64, "records accepted in time, duplicates included"),
        required("late", Type::I64, "records older than the watermark at their arrival"),
        required("rejected", Type::I64, "pieces of input that could not be read"),
        required(
            "duplicates",
            Type::I64,
            "records accepted but seen before, and so without effect",
        ),
        required(
            "pending",
            Type::I64,
            "records held back in state after the epoch; a level, not a count of the epoch",
        ),
        optional(
            "watermark",
            Type::Instant,
            "least watermark over the partitions read that have not ended, UTC; null: all have, or none has one yet",
        ),
        required("ended", Type::Flag, "every partition read in the epoch has ended"),
        required("files", Type::I64, "files of the commit that may hold rows of the source"),
        required("rows", Type::I64, "rows in those files"),
        optional("started_at", Type::Instant, "wall clock when the epoch was planned, UTC"),
        optional("committed_at", Type::Instant, "wall clock when it was committed, UTC"),
    ],
    sort: &["epoch", "source"],
    statistics: &[],
};

pub(super) const TABLES: Table = Table {
    name: "tables",
    description: "a table or view",
    kind: Kind::Log,
    own: &[
        required("name", Type::Text, "its name"),
        required(
            "kind",
            Type::Text,
            "'result' (Parquet files), 'log' (the log's records) or 'view'",
        ),
        required("description", Type::Text, "what a row is"),
        required("files", Type::I64, "files it has now"),
        required("rows", Type::I64, "rows in them; 0 for views"),
        required("bytes", Type::I64, "bytes in them"),
    ],
    sort: &[],
    statistics: &[],
};

pub(super) const COLUMNS: Table = Table {
    name: "columns",
    description: "a column of a table or view",
    kind: Kind::Log,
    own: &[
        required("table_name", Type::Text, "the table or view"),
        required("ordinal", Type::I32, "its place, from 1"),
        required("name", Type::Text, "its name"),
        required("type", Type::Text, "its Arrow type"),
        required("nullable", Type::Flag, "whether a row may lack it"),
        optional("description", Type::Text, "what it means, with its unit"),
    ],
    sort: &[],
    statistics: &[],
};

/// What the log says, read when a query asks.
#[derive(Debug)]
pub(crate) struct Log {
    schema: SchemaRef,
    rows: Rows,
    read: OnceCell<RecordBatch>,
}

/// Where a log table's rows come from.
#[derive(Debug)]
pub(crate) enum Rows {
    /// Rows at hand.
    Ready(RecordBatch),
    /// `epochs`, from the log up to a number.
    Epochs(History),
    /// `alert_status`, from the log and the files of `alerts`.
    AlertStatus(Status),
    /// `dead_letters`, from the log up to a number.
    DeadLetters(History),
}

impl Log {
    /// A log table with these rows.
    pub(crate) fn new(table: &Table, rows: Rows) -> Self {
        Self { schema: table.schema(), rows, read: OnceCell::new() }
    }

    async fn batch(&self) -> Result<&RecordBatch> {
        match &self.rows {
            Rows::Ready(batch) => Ok(batch),
            Rows::Epochs(history) => self.read.get_or_try_init(|| epochs(history)).await,
            Rows::AlertStatus(status) => self.read.get_or_try_init(|| status.rows()).await,
            Rows::DeadLetters(history) => {
                self.read.get_or_try_init(|| deliveries::dead_letters(history)).await
            }
        }
    }
}

#[async_trait]
impl TableProvider for Log {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        let batch =
            self.batch().await.map_err(|error| DataFusionError::External(Box::new(error)))?;
        let schema = Arc::clone(&self.schema);
        Ok(MemorySourceConfig::try_new_exec(&[vec![batch.clone()]], schema, projection.cloned())?)
    }
}

/// The rows of `models`.
pub(crate) fn models(state: &State) -> RecordBatch {
    let promotions = &state.promotions;
    let text = |value: fn(&Promote) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(promotions.iter().map(|(_, p)| value(p))))
    };
    batch(
        &MODELS,
        vec![
            text(|promote| &promote.stream),
            text(|promote| &promote.model.name),
            text(|promote| &promote.model.version),
            instants(promotions.iter().map(|(_, promote)| promote.effective_from_us)),
            numbers(promotions.iter().map(|(seq, _)| *seq)),
            text(|promote| &promote.reason),
            instants(promotions.iter().map(|(_, promote)| promote.promoted_at_us)),
        ],
    )
}

/// The rows of `feedback`.
pub(crate) fn feedback(state: &State) -> RecordBatch {
    let all = || state.feedback.iter().map(|said| &said.feedback);
    let text = |value: fn(&Feedback) -> Option<&str>| -> ArrayRef {
        Arc::new(all().map(value).collect::<StringArray>())
    };
    let from = state.feedback.iter().map(|said| (said.from != i32::MAX).then_some(said.from));
    batch(
        &FEEDBACK,
        vec![
            text(|said| Some(&said.stream)),
            text(|said| Some(&said.anomaly_id)),
            text(|said| Some(&said.entity_id)),
            Arc::new(Date32Array::from_iter_values(all().map(|said| said.day))),
            text(|said| Some(&said.currency)),
            text(|said| said.service.as_deref()),
            text(|said| Some(said.said.name())),
            Arc::new(Float64Array::from_iter_values(all().map(|said| said.amount))),
            Arc::new(Float64Array::from_iter_values(all().map(|said| said.errors))),
            Arc::new(from.collect::<Date32Array>()),
            text(|said| said.by.as_deref()),
            text(|said| said.note.as_deref()),
            instants(all().map(|said| said.said_at_us)),
            numbers(state.feedback.iter().map(|said| said.number)),
        ],
    )
}

/// The rows of `tables`.
pub(crate) fn tables(state: &State) -> RecordBatch {
    let kind = |table: &Table| match table.kind {
        Kind::Result => "result",
        Kind::Log => "log",
    };
    let tables = || super::all();
    let views = || view::all().iter();
    let names = tables().map(|table| table.name).chain(views().map(|view| view.name));
    let kinds = tables().map(kind).chain(views().map(|_| "view"));
    let descriptions =
        tables().map(|table| table.description).chain(views().map(|view| view.description));
    let total = |value: fn(&DataFile) -> u64| {
        let of_table = |table: &Table| state.files(table.name).iter().map(|file| value(file)).sum();
        numbers(tables().map(of_table).chain(views().map(|_| 0)))
    };
    batch(
        &TABLES,
        vec![
            Arc::new(StringArray::from_iter_values(names)),
            Arc::new(StringArray::from_iter_values(kinds)),
            Arc::new(StringArray::from_iter_values(descriptions)),
            total(|_| 1),
            total(|file| file.rows),
            total(|file| file.bytes),
        ],
    )
}

/// The rows of `columns`, with the schemas that the views turned out to have.
pub(crate) fn columns(views: &[(&'static View, SchemaRef)]) -> RecordBatch {
    let table_docs = super::all().flat_map(Table::columns).map(|column| column.doc);
    let view_docs = views.iter().flat_map(|(view, _)| view.columns).map(|(_, doc)| *doc);
    let docs: Vec<_> = table_docs.chain(view_docs).collect();
    let schemas = super::all().map(|table| (table.name, table.schema()));
    let view_schemas = views.iter().map(|(view, schema)| (view.name, Arc::clone(schema)));
    let mut tables = Vec::new();
    let mut ordinals = Vec::new();
    let mut fields = Vec::new();
    for (name, schema) in schemas.chain(view_schemas) {
        for (ordinal, field) in (1..).zip(schema.fields()) {
            tables.push(name);
            ordinals.push(ordinal);
            fields.push(Arc::clone(field));
        }
    }
    let text = |value: fn(&FieldRef) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(fields.iter().map(value)))
    };
    let nullable = fields.iter().map(|field| Some(field.is_nullable()));
    batch(
        &COLUMNS,
        vec![
            Arc::new(StringArray::from_iter_values(tables)),
            Arc::new(Int32Array::from(ordinals)),
            text(|field| field.name().clone()),
            text(|field| field.data_type().to_string()),
            Arc::new(nullable.collect::<BooleanArray>()),
            Arc::new(StringArray::from(docs)),
        ],
    )
}

/// What became of one source's records in one epoch, all partitions together.
struct Epoch<'a> {
    committed: &'a Committed,
    source: &'a str,
    partitions: Vec<&'a SourceCommit>,
}

impl Epoch<'_> {
    fn total(&self, value: fn(&SourceCommit) -> u64) -> u64 {
        self.partitions.iter().map(|partition| value(partition)).sum()
    }

    /// The least watermark: that of a partition that has not ended, unless all have.
    fn watermark_us(&self) -> i64 {
        self.partitions.iter().map(|partition| partition.watermark_us).min().unwrap_or(i64::MAX)
    }

    fn files(&self) -> impl Iterator<Item = &DataFile> {
        self.committed.commit.files.iter().filter(|file| may_hold(file, self.source))
    }
}

/// Whether a file's bounds allow rows of the source; one without bounds may hold any.
fn may_hold(file: &DataFile, source: &str) -> bool {
    file.columns.get(SOURCE).is_none_or(|stats| {
        stats.min.as_str().is_none_or(|min| min <= source)
            && stats.max.as_str().is_none_or(|max| max >= source)
    })
}

/// The rows of `epochs`.
async fn epochs(history: &History) -> Result<RecordBatch> {
    let committed: Vec<_> = history.epochs().try_collect().await?;
    let mut rows = Vec::new();
    for committed in &committed {
        let mut sources: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for partition in &committed.commit.sources {
            sources.entry(partition.source.as_str()).or_default().push(partition);
        }
        let epochs = sources.into_iter();
        rows.extend(epochs.map(|(source, partitions)| Epoch { committed, source, partitions }));
    }
    let rows = &rows;
    let total = |value: fn(&SourceCommit) -> u64| numbers(rows.iter().map(|row| row.total(value)));
    let ended = rows.iter().map(|row| Some(row.watermark_us() == i64::MAX));
    Ok(batch(
        &EPOCHS,
        vec![
            numbers(rows.iter().map(|row| row.committed.commit.epoch.0)),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.source))),
            total(|partition| partition.records_in),
            total(|partition| partition.on_time),
            total(|partition| partition.late),
            total(|partition| partition.rejected),
            total(|partition| partition.duplicates),
            total(|partition| partition.pending),
            instants(rows.iter().map(Epoch::watermark_us)),
            Arc::new(ended.collect::<BooleanArray>()),
            numbers(rows.iter().map(|row| row.files().count() as u64)),
            numbers(rows.iter().map(|row| row.files().map(|file| file.rows).sum())),
            instants(rows.iter().map(|row| row.committed.plan.planned_at_us)),
            instants(rows.iter().map(|row| row.committed.commit.committed_at_us)),
        ],
    ))
}

pub(super) fn batch(table: &Table, columns: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_new(table.schema(), columns).expect("the columns are built as declared above")
}

pub(super) fn numbers(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values.map(|value| value as i64)))
}

/// Instants; null for the least and the greatest, which stand for "always" and "at the end".
pub(super) fn instants(values: impl Iterator<Item = i64>) -> ArrayRef {
    let values = values.map(|value| (value != i64::MIN && value != i64::MAX).then_some(value));
    Arc::new(values.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}
