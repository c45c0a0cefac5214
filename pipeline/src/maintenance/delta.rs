//! The result tables as Delta Lake, for engines that do not read our log.
//!
//! A table's files already lie below `data/<table>/`, so publishing writes no data: it folds the records
//! of our log since the last time into versions of `data/<table>/_delta_log`. Each version names the
//! record it goes up to, as the transaction of the application [`APP`], so that publishing is restarted
//! by reading it back, and two that publish at once cannot both write the same records.
//!
//! One version holds the files of many commits. A compaction is a version of its own, which moves rows
//! and changes none, so that whoever reads the table as a stream sees every row once.

use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use cloudops_sql::catalog::record::{Compact, DataFile, Expire, Record};
use cloudops_sql::catalog::{Catalog, Store};
use cloudops_sql::table::{self, Kind, Table, Type};
use deltalake_core::DeltaTable;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties, TableReference};
use deltalake_core::kernel::{
    Action, Add, ArrayType, DataType, PrimitiveType, Remove, StructField, Transaction,
};
use deltalake_core::logstore::{LogStoreRef, StorageConfig, default_logstore};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use futures_util::TryStreamExt;
use object_store::prefix::PrefixStore;
use serde_json::{Map, Value, json};
use url::Url;

use crate::clock::Clock;

/// The application whose transactions say how far our log is published.
pub(crate) const APP: &str = "cloudops";

/// Writes the Delta tables of one catalog.
#[derive(Debug, Default)]
pub(super) struct Publisher {
    tables: BTreeMap<String, Published>,
}

/// A Delta table, and the number of the last record of our log that it holds.
#[derive(Debug)]
struct Published {
    delta: DeltaTable,
    through: u64,
}

/// What a table's next version changes.
#[derive(Debug, Default)]
struct Change {
    adds: Vec<DataFile>,
    removes: Vec<String>,
    /// Whether rows come or go; a compaction only moves them.
    data: bool,
    /// The last record of our log in it: where a restart after it goes on.
    through: u64,
}

impl Publisher {
    /// Publishes everything that is committed; gives the number of versions written.
    ///
    /// # Errors
    /// When the store fails, or a Delta table is not one of ours.
    pub(super) async fn publish(&mut self, catalog: &Catalog, clock: &dyn Clock) -> Result<u64> {
        let through = catalog.state().next_seq - 1;
        let known = catalog.state().tables.keys().cloned().collect::<Vec<_>>();
        for name in known {
            if let Entry::Vacant(vacant) = self.tables.entry(name) {
                let published = open(catalog, vacant.key(), through).await?;
                vacant.insert(published);
            }
        }
        let Some(from) = self.tables.values().map(|published| published.through).min() else {
            return Ok(0);
        };
        let mut changes: BTreeMap<String, Vec<Change>> = BTreeMap::new();
        let mut records = catalog.history().records_from(from + 1);
        while let Some((seq, record)) = records.try_next().await? {
            for (table, mut change) in changes_of(record) {
                change.through = seq;
                if self.tables.get(&table).is_some_and(|published| published.through < seq) {
                    add(changes.entry(table).or_default(), change);
                }
            }
        }
        let mut versions = 0;
        for (name, published) in &mut self.tables {
            for change in changes.remove(name).unwrap_or_default() {
                match published.write(change, clock).await {
                    Ok(()) => versions += 1,
                    Err(error) => {
                        // Whether it was written, or by whom, is read back the next time.
                        self.tables.clear();
                        return Err(error);
                    }
                }
            }
            published.through = through;
        }
        Ok(versions)
    }
}

/// What a record changes, by table.
fn changes_of(record: Record) -> Vec<(String, Change)> {
    match record {
        Record::Commit(commit) => {
            let mut tables: BTreeMap<String, Change> = BTreeMap::new();
            for file in commit.files {
                let change = tables.entry(file.table.clone()).or_default();
                change.data = true;
                change.adds.push(file);
            }
            tables.into_iter().collect()
        }
        Record::Compact(Compact { table, removes, adds, .. }) => {
            vec![(table, Change { adds, removes, ..Change::default() })]
        }
        Record::Expire(Expire { table, removes, .. }) => {
            vec![(table, Change { removes, data: true, ..Change::default() })]
        }
        Record::Takeover(_)
        | Record::Plan(_)
        | Record::Promote(_)
        | Record::Feedback(_)
        | Record::Act(_)
        | Record::Delivered(_)
        | Record::Attend(_)
        | Record::Gc(_) => Vec::new(),
    }
}

/// Adds a change to those that wait: to the last of them where both only bring rows.
fn add(changes: &mut Vec<Change>, change: Change) {
    match changes.last_mut() {
        Some(last) if last.removes.is_empty() && change.removes.is_empty() && last.data => {
            last.adds.extend(change.adds);
            last.through = change.through;
        }
        _ => changes.push(change),
    }
}

impl Published {
    async fn write(&mut self, change: Change, clock: &dyn Clock) -> Result<()> {
        let now_ms = clock.now_us() / 1_000;
        let name = table_of(&change)?;
        let declared = table::find(&name).with_context(|| format!("there is no table {name}"))?;
        let Change { adds, removes, data, through } = change;
        let mut actions = Vec::with_capacity(adds.len() + removes.len());
        for file in adds {
            actions.push(Action::Add(Add {
                path: within(&name, &file.path)?,
                partition_values: HashMap::new(),
                size: i64::try_from(file.bytes)?,
                modification_time: now_ms,
                data_change: data,
                stats: Some(stats(declared, &file).to_string()),
                ..Add::default()
            }));
        }
        for path in removes {
            actions.push(Action::Remove(Remove {
                path: within(&name, &path)?,
                data_change: data,
                deletion_timestamp: Some(now_ms),
                ..Remove::default()
            }));
        }
        let txn = Transaction::new_with_last_update(APP, i64::try_from(through)?, Some(now_ms));
        let operation =
            DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
        let state: &dyn TableReference = self.delta.snapshot()?;
        CommitBuilder::from(CommitProperties::default().with_application_transaction(txn))
            .with_actions(actions)
            .build(Some(state), self.delta.log_store(), operation)
            .await
            .with_context(|| format!("publishing {name}"))?;
        self.delta.update_state().await.with_context(|| format!("reading {name} back"))?;
        Ok(())
    }
}

fn table_of(change: &Change) -> Result<String> {
    let path = change.adds.first().map(|file| &file.path).or_else(|| change.removes.first());
    let path = path.context("a change without files")?;
    let table = path.strip_prefix("data/").and_then(|path| path.split('/').next());
    Ok(table.with_context(|| format!("{path} lies in no table"))?.to_owned())
}

/// A file's path within its table's folder.
fn within(table: &str, path: &str) -> Result<String> {
    let within = path.strip_prefix("data/").and_then(|path| path.strip_prefix(table));
    let within = within.and_then(|path| path.strip_prefix('/'));
    Ok(within.with_context(|| format!("{path} does not lie in {table}"))?.to_owned())
}

/// Opens a table's Delta log, or begins it.
async fn open(catalog: &Catalog, name: &str, through: u64) -> Result<Published> {
    let Some(declared) = table::find(name).filter(|table| table.kind == Kind::Result) else {
        bail!(
            "the catalog has a table {name} that this build does not know: use the build that wrote it"
        );
    };
    let log_store = log_store(catalog.store(), name)?;
    let delta = if log_store.is_delta_table_location().await? {
        let mut delta = DeltaTable::new(log_store);
        delta.load().await.with_context(|| format!("the Delta log of {name}"))?;
        delta
    } else {
        CreateBuilder::new()
            .with_log_store(log_store)
            .with_table_name(name)
            .with_comment(declared.description)
            .with_columns(declared.columns().map(|column| {
                StructField::new(column.name, delta_type(column.type_), column.nullable)
            }))
            .with_save_mode(SaveMode::Ignore)
            .await
            .with_context(|| format!("beginning the Delta log of {name}"))?
    };
    let state = delta.snapshot()?;
    let published = state.transaction_version(&*delta.log_store(), APP).await?;
    let mut published = u64::try_from(published.unwrap_or(0)).unwrap_or(0);
    // A table that has not changed for long is as far as any, without reading what lies between.
    let listed: HashSet<String> = delta
        .snapshot()?
        .log_data()
        .iter()
        .map(|file| format!("data/{name}/{}", file.path()))
        .collect();
    let live = catalog.state().files(name);
    if live.len() == listed.len() && live.iter().all(|file| listed.contains(&file.path)) {
        published = through;
    }
    Ok(Published { delta, through: published })
}

/// The Delta log of a table in our store. Its address is only a name: no other program sees it.
fn log_store(store: &Store, table: &str) -> Result<LogStoreRef> {
    let root = store.location(&format!("data/{table}"))?;
    let url = Url::parse(&format!("cloudops:///{root}/")).context("an address for a table")?;
    let prefixed = Arc::new(PrefixStore::new(Arc::clone(store.objects()), root));
    Ok(default_logstore(prefixed, Arc::clone(store.objects()), &url, &StorageConfig::default()))
}

fn delta_type(type_: Type) -> DataType {
    let primitive = DataType::Primitive;
    match type_ {
        Type::Text => primitive(PrimitiveType::String),
        Type::Bytes => primitive(PrimitiveType::Binary),
        Type::Flag => primitive(PrimitiveType::Boolean),
        Type::I32 => primitive(PrimitiveType::Integer),
        Type::I64 => primitive(PrimitiveType::Long),
        Type::F32 => primitive(PrimitiveType::Float),
        Type::F64 => primitive(PrimitiveType::Double),
        Type::Money => DataType::decimal(38, 12).unwrap_or(primitive(PrimitiveType::String)),
        Type::Instant => primitive(PrimitiveType::Timestamp),
        Type::Day => primitive(PrimitiveType::Date),
        Type::Floats => {
            DataType::Array(Box::new(ArrayType::new(primitive(PrimitiveType::Float), false)))
        }
        Type::Texts => {
            DataType::Array(Box::new(ArrayType::new(primitive(PrimitiveType::String), false)))
        }
    }
}

/// What Delta keeps of a file: its rows, and bounds in the form of the protocol. Bounds of money and of
/// floats are left out, which JSON numbers do not hold exactly.
fn stats(table: &Table, file: &DataFile) -> Value {
    let (mut least, mut greatest, mut nulls) = (Map::new(), Map::new(), Map::new());
    for column in table.columns() {
        let Some(stats) = file.columns.get(column.name) else { continue };
        nulls.insert(column.name.to_owned(), json!(stats.nulls));
        let bounds = bound(column.type_, &stats.min).zip(bound(column.type_, &stats.max));
        if let Some((min, max)) = bounds {
            least.insert(column.name.to_owned(), min);
            greatest.insert(column.name.to_owned(), max);
        }
    }
    json!({
        "numRecords": file.rows, "minValues": least, "maxValues": greatest, "nullCount": nulls
    })
}

fn bound(type_: Type, value: &Value) -> Option<Value> {
    match type_ {
        Type::Text => value.as_str().map(Value::from),
        Type::I32 | Type::I64 => value.as_i64().map(Value::from),
        Type::Instant => {
            let instant = chrono::DateTime::from_timestamp_micros(value.as_i64()?)?;
            Some(Value::from(instant.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()))
        }
        Type::Day => {
            let days = i32::try_from(value.as_i64()?).ok()?;
            let day = chrono::NaiveDate::from_epoch_days(days)?;
            Some(Value::from(day.format("%Y-%m-%d").to_string()))
        }
        Type::Bytes | Type::Flag | Type::F32 | Type::F64 | Type::Money => None,
        Type::Floats | Type::Texts => None,
    }
}
