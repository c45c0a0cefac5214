//! The tables: what each is called, what each column means, how its rows lie.
//!
//! A table is declared once, here. The sink projects its rows onto
//! [`schema()`], the commit keeps least and greatest values of
//! [`statistics_columns`], and the descriptions are themselves rows: of the
//! tables `tables` and `columns`.
//!
//! *Result* tables are Parquet files that commits name. *Log* tables are read
//! from the log's own records and have no files.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use cloudops_operators::schema::{self, cost, result};

pub(crate) mod actions;
mod alerts;
mod attributions;
mod config_drift_changes;
mod cost_allocation_changes;
mod cost_anomaly_changes;
mod cost_budgets;
mod cost_changes;
mod cost_forecasts;
mod cost_lines;
mod cost_rollup_changes;
pub(crate) mod deliveries;
mod drift;
pub(crate) mod files;
mod late;
pub(crate) mod log;
mod rejects;
mod resource_days;
mod right_sizings;
mod scores;
mod windows;
mod zombies;

/// A table: its columns in order, and how its rows lie in a file.
#[derive(Debug)]
pub struct Table {
    /// Its name in SQL and the folder of its files.
    pub name: &'static str,
    /// One sentence: what a row is.
    pub description: &'static str,
    /// Where its rows come from.
    pub kind: Kind,
    /// The columns that are this table's own; see [`Table::columns`] for all.
    pub own: &'static [Column],
    /// The columns by which the rows of one file are sorted, ascending.
    pub sort: &'static [&'static str],
    /// The columns whose least and greatest value a commit keeps for each
    /// file, so that a query leaves out whole files without opening them.
    pub statistics: &'static [&'static str],
}

/// Where a table's rows come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Parquet files named by commits; begins with the [`COMMON`] columns.
    Result,
    /// The log's records.
    Log,
}

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub type_: Type,
    /// Whether a row may lack it.
    pub nullable: bool,
    /// What it means, with its unit.
    pub doc: &'static str,
}

/// The types a column may have: few, and those that Delta Lake has too, which knows no unsigned ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// `Utf8`.
    Text,
    /// `Binary`.
    Bytes,
    /// `Boolean`.
    Flag,
    /// `Int32`.
    I32,
    /// `Int64`.
    I64,
    /// `Float32`.
    F32,
    /// `Float64`.
    F64,
    /// Exact money, [`cost::money`].
    Money,
    /// An instant, [`schema::timestamp`].
    Instant,
    /// `Date32`.
    Day,
    /// `List<Float32>`, no null inside: [`floats`].
    Floats,
    /// `List<Utf8>`, no null inside: [`texts`].
    Texts,
}

impl Type {
    /// The Arrow type.
    #[must_use]
    pub fn arrow(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Bytes => DataType::Binary,
            Self::Flag => DataType::Boolean,
            Self::I32 => DataType::Int32,
            Self::I64 => DataType::Int64,
            Self::F32 => DataType::Float32,
            Self::F64 => DataType::Float64,
            Self::Money => cost::money(),
            Self::Instant => schema::timestamp(),
            Self::Day => DataType::Date32,
            Self::Floats => floats(),
            Self::Texts => texts(),
        }
    }
}

/// The type of a list column: `List<Float32>` whose field is `item`, not nullable.
///
/// Lengths differ between configured streams, so this is no fixed-size list;
/// the values of a fixed-size one are those of a list with even offsets.
#[must_use]
pub fn floats() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Float32, false)))
}

/// The type of a list of texts: `List<Utf8>` whose field is `item`, not nullable.
#[must_use]
pub fn texts() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Utf8, false)))
}

/// A column that every row has.
const fn required(name: &'static str, type_: Type, doc: &'static str) -> Column {
    Column { name, type_, nullable: false, doc }
}

/// A column that a row may lack.
const fn optional(name: &'static str, type_: Type, doc: &'static str) -> Column {
    Column { name, type_, nullable: true, doc }
}

/// The epoch that committed the row.
pub const EPOCH: &str = "epoch";
/// The configured stream the row came from.
pub const SOURCE: &str = "source";

/// The columns every result table begins with: where the row came from.
pub const COMMON: &[Column] = &[
    required(
        EPOCH,
        Type::I64,
        "epoch that committed the row; the one column that depends on how the input was cut",
    ),
    required(SOURCE, Type::Text, "name of the configured stream"),
    required(result::PARTITION, Type::I32, "partition of the stream"),
    required(result::OFFSET_FROM, Type::I64, "first record of the partition that the row rests on"),
    required(
        result::OFFSET_TO,
        Type::I64,
        "last record of the partition that the row rests on, inclusive",
    ),
];

/// What every table scored or windowed by entity says next.
const ENTITY: Column =
    required(schema::ENTITY_ID, Type::Text, "machine, engine, VM, principal or account");
const WINDOW_START: Column =
    required(result::WINDOW_START, Type::Instant, "event time of the window's first row, UTC");
const WINDOW_END: Column = required(
    result::WINDOW_END,
    Type::Instant,
    "window by count: event time of its last row; by time: its exclusive bound, UTC",
);
const ROWS: Column = required(result::ROWS, Type::I32, "input rows in the window");
const MODEL: Column =
    required(result::MODEL, Type::Text, "name of the model in force at the window's end");
const MODEL_VERSION: Column = required(result::MODEL_VERSION, Type::Text, "its immutable version");
const TECHNIQUES: Column = optional(
    result::TECHNIQUES,
    Type::Texts,
    "ids of the ATT&CK techniques that calls of the window may be steps of; of audit events only",
);
const TOP_CHANNEL: Column =
    optional("top_channel", Type::Text, "channel or feature with the greatest share in the error");

impl Table {
    /// All columns, in order.
    pub fn columns(&self) -> impl Iterator<Item = &'static Column> + use<> {
        let common = match self.kind {
            Kind::Result => COMMON,
            Kind::Log => &[],
        };
        common.iter().chain(self.own)
    }

    /// The Arrow schema.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        let field =
            |column: &Column| Field::new(column.name, column.type_.arrow(), column.nullable);
        Arc::new(Schema::new(self.columns().map(field).collect::<Vec<_>>()))
    }
}

/// Every table: results in the order of the dataflow, then what the log tells.
pub fn all() -> impl Iterator<Item = &'static Table> {
    ALL.iter().copied()
}

const ALL: &[&Table] = &[
    &windows::SENSOR,
    &windows::AUDIT,
    &windows::COST,
    &scores::SENSOR,
    &scores::AUDIT,
    &scores::COST,
    &cost_changes::TABLE,
    &cost_lines::TABLE,
    &cost_rollup_changes::TABLE,
    &cost_allocation_changes::TABLE,
    &cost_anomaly_changes::TABLE,
    &cost_anomaly_changes::CAUSES,
    &cost_forecasts::TABLE,
    &cost_forecasts::CHOICES,
    &cost_budgets::TABLE,
    &config_drift_changes::TABLE,
    &resource_days::TABLE,
    &right_sizings::TABLE,
    &zombies::SCORES,
    &zombies::ATTRIBUTIONS,
    &alerts::TABLE,
    &attributions::TABLE,
    &drift::TABLE,
    &late::TABLE,
    &rejects::TABLE,
    &log::MODELS,
    &log::FEEDBACK,
    &actions::ACTIONS,
    &actions::ACTION_STATUS,
    &deliveries::ALERT_STATUS,
    &deliveries::DEAD_LETTERS,
    &deliveries::SILENCES,
    &log::EPOCHS,
    &log::TABLES,
    &log::COLUMNS,
];

/// The table of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Table> {
    all().find(|table| table.name == name)
}

/// The Arrow schema of the table of a name; `None` where there is no such table.
///
/// ```
/// let schema = cloudops_sql::table::schema("alerts").unwrap();
/// assert!(schema.field_with_name("alert_id").is_ok());
/// ```
#[must_use]
pub fn schema(name: &str) -> Option<SchemaRef> {
    find(name).map(Table::schema)
}

/// The columns whose least and greatest value a commit keeps for each file of
/// the table; empty where there is no such table.
#[must_use]
pub fn statistics_columns(name: &str) -> &'static [&'static str] {
    find(name).map_or(&[], |table| table.statistics)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_every_sort_and_statistics_column_exists() {
        let mut tables = BTreeSet::new();
        for table in all() {
            assert!(tables.insert(table.name), "{} is declared twice", table.name);
            let columns: BTreeSet<_> = table.columns().map(|column| column.name).collect();
            assert_eq!(columns.len(), table.columns().count(), "{}", table.name);
            for name in table.sort.iter().chain(table.statistics) {
                assert!(columns.contains(name), "{}.{name}", table.name);
            }
        }
    }

    #[test]
    fn every_description_is_one_phrase_without_final_period() {
        for table in all() {
            assert!(!table.description.is_empty() && !table.description.ends_with('.'));
            for column in table.columns() {
                assert!(!column.doc.is_empty(), "{}.{}", table.name, column.name);
                assert!(!column.doc.ends_with('.'), "{}.{}", table.name, column.name);
            }
        }
    }

    #[test]
    fn result_tables_begin_with_where_the_row_came_from() {
        let scores = schema("sensor_scores").unwrap();
        let first: Vec<_> = scores.fields().iter().take(5).map(|f| f.name().as_str()).collect();
        assert_eq!(first, ["epoch", "source", "partition", "offset_from", "offset_to"]);
        assert!(schema("models").unwrap().field_with_name("epoch").is_err());
        assert_eq!(schema("none"), None);
    }
}
