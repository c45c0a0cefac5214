//! Rows of `alerts` in the order in which they leave: by epoch, and within one by their text.
//!
//! Which worker wrote a row, into which file, and what that was merged into must not show in its place, as
//! places say how far sinks have come. A row's text is its JSON; nulls are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::json::LineDelimitedWriter;
use cloudops_operators::schema::{column, mismatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value};

use crate::catalog::delivery::Place;
use crate::catalog::store::epochs_of;
use crate::catalog::{Catalog, State, Store};
use crate::table::{self, Column, Type};
use crate::{Error, Result};

/// The table that is sent.
pub const TABLE: &str = "alerts";

/// How often a file is looked for under another name before it counts as gone.
const LOOKS: u32 = 5;

/// A row of `alerts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Where it stands.
    pub place: Place,
    /// Its JSON.
    pub text: String,
}

impl Alert {
    /// Its columns that are not null.
    ///
    /// # Errors
    /// [`Error::Bug`] when its text is no JSON object.
    pub fn row(&self) -> Result<Map<String, Value>> {
        serde_json::from_str(&self.text)
            .map_err(|error| Error::Bug(format!("alert {}: {error}: {}", self.place, self.text)))
    }
}

/// Rows, and the files that hold them.
#[derive(Debug, Default)]
pub struct Rows {
    /// In the order of their places.
    pub alerts: Vec<Alert>,
    /// The files that hold them, and no others that are live and need be read.
    pub files: BTreeSet<String>,
}

/// Reads a catalog's rows as they come.
#[derive(Debug)]
pub struct Reader {
    catalog: Catalog,
    /// Live files all rows of which have been settled.
    settled: BTreeSet<String>,
}

impl Reader {
    /// A reader of a catalog opened to read.
    #[must_use]
    pub fn new(catalog: Catalog) -> Self {
        Self { catalog, settled: BTreeSet::new() }
    }

    /// The catalog.
    pub fn catalog(&mut self) -> &mut Catalog {
        &mut self.catalog
    }

    /// Goes on to the log's end, and gives the rows from a place on. Files that were said to be settled
    /// are not read again.
    ///
    /// # Errors
    /// As [`Catalog::refresh`]; [`Error::Corrupt`] when a file cannot be read.
    pub async fn from(&mut self, next: Place) -> Result<Rows> {
        let mut missing = None;
        for _ in 0..LOOKS {
            self.catalog.refresh().await?;
            let state = Arc::clone(self.catalog.state());
            match read(&state, self.catalog.store(), next, &self.settled).await? {
                Ok(rows) => return Ok(rows),
                // It has just been replaced by another.
                Err(path) => missing = Some(path),
            }
        }
        let path = missing.unwrap_or_default();
        Err(Error::Corrupt { path, reason: "it is named by the log, and not there".to_owned() })
    }

    /// Says that all rows of these files have been settled, and of no others.
    pub fn settle(&mut self, files: BTreeSet<String>) {
        self.settled = files;
    }
}

/// The rows of a state from a place on, but for those of settled files; the path of a file that is not
/// there any more, where one is not.
///
/// # Errors
/// [`Error::Corrupt`] when a file cannot be read, [`Error::Retry`] when the store fails.
pub async fn read(
    state: &State,
    store: &Store,
    next: Place,
    settled: &BTreeSet<String>,
) -> Result<std::result::Result<Rows, String>> {
    let mut epochs: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let mut files = BTreeSet::new();
    for file in state.files(TABLE) {
        if epochs_of(&file.path).is_some_and(|(_, last)| last.0 < next.epoch) {
            continue;
        }
        files.insert(file.path.clone());
        if settled.contains(&file.path) {
            continue;
        }
        let Some(bytes) = store.get(&file.path).await? else { return Ok(Err(file.path.clone())) };
        let corrupt = |reason: String| Error::Corrupt { path: file.path.clone(), reason };
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
            .and_then(ParquetRecordBatchReaderBuilder::build)
            .map_err(|error| corrupt(error.to_string()))?;
        for batch in reader {
            let batch = batch.map_err(|error| corrupt(error.to_string()))?;
            texts_by_epoch(&batch, &mut epochs).map_err(|error| corrupt(error.to_string()))?;
        }
    }
    let mut alerts = Vec::new();
    for (epoch, mut texts) in epochs {
        texts.sort_unstable();
        for (sequence, text) in (0..).zip(texts) {
            let place = Place { epoch, sequence };
            if place >= next {
                alerts.push(Alert { place, text });
            }
        }
    }
    Ok(Ok(Rows { alerts, files }))
}

/// Adds each row as a JSON object to its epoch.
fn texts_by_epoch(
    batch: &RecordBatch,
    epochs: &mut BTreeMap<u64, Vec<String>>,
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let array = column(batch, table::EPOCH)?;
    let numbers = array.as_primitive_opt::<Int64Type>();
    let numbers = numbers.ok_or_else(|| mismatch(table::EPOCH, "Int64", array))?;
    let mut writer = LineDelimitedWriter::new(Vec::new());
    writer.write(batch)?;
    writer.finish()?;
    let text = String::from_utf8(writer.into_inner())?;
    for (epoch, line) in numbers.values().iter().zip(text.lines()) {
        epochs.entry(u64::try_from(*epoch)?).or_default().push(line.to_owned());
    }
    Ok(())
}

/// The columns of `alerts`.
pub fn columns() -> impl Iterator<Item = &'static Column> {
    table::find(TABLE).into_iter().flat_map(table::Table::columns)
}

/// The columns of `alerts` that are text: by these alerts can be matched and grouped.
pub fn text_columns() -> impl Iterator<Item = &'static str> {
    columns().filter(|column| column.type_ == Type::Text).map(|column| column.name)
}

/// The event time of a row's column `at`, µs since 1970; `None` where it has none.
#[must_use]
pub fn at_us(row: &Map<String, Value>) -> Option<i64> {
    use arrow::compute::kernels::cast_utils::Parser;
    use arrow::datatypes::TimestampMicrosecondType;
    TimestampMicrosecondType::parse(row.get("at")?.as_str()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_read_as_it_is_written() {
        let row = |at: &str| -> Map<String, Value> {
            serde_json::from_str(&format!("{{\"at\":{at}}}")).unwrap()
        };
        assert_eq!(at_us(&row("\"1970-01-01T00:00:01.5Z\"")), Some(1_500_000));
        assert_eq!(at_us(&row("\"2026-01-01T00:00:00Z\"")), Some(1_767_225_600_000_000));
        assert_eq!(at_us(&row("7")), None);
        assert_eq!(at_us(&Map::new()), None);
    }

    #[test]
    fn matching_columns_are_those_of_text() {
        let found: Vec<_> = text_columns().collect();
        assert!(["source", "alert_id", "event", "kind"].iter().all(|name| found.contains(name)));
        assert!(!found.contains(&"at") && !found.contains(&"techniques"));
    }
}
