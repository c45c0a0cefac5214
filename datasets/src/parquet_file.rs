//! A small Parquet file of a public set, read whole: its batches, and columns by name.

use std::fs::File;
use std::path::Path;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::{Error, Result};

/// A file's batches, in order.
///
/// # Errors
/// [`Error::Read`] and [`Error::Corrupt`], naming the file.
pub(crate) fn batches(path: &Path) -> Result<Vec<RecordBatch>> {
    let file = || path.display().to_string();
    let corrupt = |reason: String| Error::Corrupt { file: file(), reason };
    let open = File::open(path).map_err(|source| Error::Read { file: file(), source })?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(open)
        .and_then(|builder| builder.build())
        .map_err(|error| corrupt(error.to_string()))?;
    reader.map(|batch| batch.map_err(|error| corrupt(error.to_string()))).collect()
}

/// A column as a type.
///
/// # Errors
/// [`Error::Columns`] when there is none of the name, naming the file.
pub(crate) fn column(
    batch: &RecordBatch,
    name: &str,
    kind: &DataType,
    path: &Path,
) -> Result<ArrayRef> {
    let found = batch.column_by_name(name).ok_or_else(|| {
        let schema = batch.schema();
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let file = path.display().to_string();
        Error::Columns { file, missing: name.to_owned(), found: names.join(", ") }
    })?;
    Ok(cast(found, kind)?)
}
