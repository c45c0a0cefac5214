//! Parquet and Arrow: batches of some columns, and those batches read record by record as text.
//!
//! The text detour costs time and keeps one meaning: a decimal column's digits, a double's
//! shortest form and a CSV cell are all read by the same decoder.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::json::LineDelimitedWriter;
use bytes::Bytes;
use cloudops_operators::schema::label;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use super::decode::reject;
use super::record::{ABSENT, Cells, Fault, Naming, Raw, Records, Want, below, select};
use super::{BATCH_RECORDS, BATCH_ROWS, RAW_MAX, Reject};
use crate::{Error, Result};

/// A blob that remembers when the store, not the file, was at fault.
struct Watched<B> {
    blob: B,
    failure: Arc<Mutex<Option<io::Error>>>,
}

impl<B: Length> Length for Watched<B> {
    fn len(&self) -> u64 {
        self.blob.len()
    }
}

impl<B: ChunkReader> ChunkReader for Watched<B> {
    type T = B::T;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        self.watch(start, 0, self.blob.get_read(start))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        // Damaged metadata may ask for more than there is, which not every blob survives.
        if start.checked_add(length as u64).is_none_or(|end| end > self.blob.len()) {
            return Err(ParquetError::EOF(format!("no {length} bytes at {start}")));
        }
        self.watch(start, length, self.blob.get_bytes(start, length))
    }
}

impl<B: ChunkReader> Watched<B> {
    fn watch<T>(
        &self,
        start: u64,
        length: usize,
        result: parquet::errors::Result<T>,
    ) -> parquet::errors::Result<T> {
        if let Err(error) = &result
            && start + length as u64 <= self.blob.len()
            && let Ok(mut failure) = self.failure.lock()
        {
            *failure = Some(io::Error::other(error.to_string()));
        }
        result
    }
}

/// What reading on in a Parquet file gave.
pub(crate) enum Step {
    Batch(RecordBatch),
    /// The rest of the file cannot be decoded.
    Damaged(String),
    End,
}

type Stream = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

/// Batches of the chosen columns of a Parquet file, or all of an Arrow stream's.
pub(crate) struct Batches {
    file: String,
    /// None for an empty file, and behind the end.
    reader: Option<Stream>,
    failure: Arc<Mutex<Option<io::Error>>>,
}

/// A Parquet file whose schema is known and whose columns are yet to be chosen.
pub(crate) struct Opened<B: ChunkReader> {
    file: String,
    blob: Watched<B>,
    metadata: ArrowReaderMetadata,
    failure: Arc<Mutex<Option<io::Error>>>,
}

/// The writer's own Arrow schema may ask for dictionaries, views and large strings; without it
/// strings are plain.
fn options() -> ArrowReaderOptions {
    ArrowReaderOptions::new().with_skip_arrow_metadata(true)
}

impl<B: ChunkReader + 'static> Opened<B> {
    /// Reads the footer; none for an empty file.
    pub(crate) fn new(blob: B, name: &str) -> Result<Option<Self>> {
        if blob.len() == 0 {
            return Ok(None);
        }
        let failure = Arc::<Mutex<Option<io::Error>>>::default();
        let blob = Watched { blob, failure: Arc::clone(&failure) };
        let loaded = guarded(|| ArrowReaderMetadata::load(&blob, options()));
        match loaded {
            Ok(metadata) => Ok(Some(Self { file: name.to_owned(), blob, metadata, failure })),
            Err(reason) => Err(refused(name, &failure, format!("not a Parquet file: {reason}"))),
        }
    }

    /// Has columns of text that repeats come as labels: where the file keeps them by dictionary, the
    /// dictionary is handed on as it is.
    pub(crate) fn with_labels(mut self, columns: &[usize]) -> Result<Self> {
        let of = |(at, field): (usize, &Arc<Field>)| match field.data_type() {
            DataType::Utf8 if columns.contains(&at) => {
                Arc::new(field.as_ref().clone().with_data_type(label()))
            }
            _ => Arc::clone(field),
        };
        let schema = self.schema();
        let fields: Vec<_> = schema.fields().iter().enumerate().map(of).collect();
        let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
        let options = options().with_schema(schema);
        let parquet = Arc::clone(self.metadata.metadata());
        self.metadata = match guarded(|| ArrowReaderMetadata::try_new(parquet, options)) {
            Ok(metadata) => metadata,
            Err(reason) => return Err(refused(&self.file, &self.failure, reason)),
        };
        Ok(self)
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    /// The file's column names.
    pub(crate) fn names(&self) -> Vec<String> {
        self.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    /// Batches of these columns, which come in the file's order.
    pub(crate) fn read(self, columns: Vec<usize>, rows: usize, skip: u64) -> Result<Batches> {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.blob, self.metadata);
        let mask = ProjectionMask::roots(builder.parquet_schema(), columns);
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let builder = builder.with_projection(mask).with_batch_size(rows).with_offset(skip);
        match guarded(|| builder.build()) {
            Ok(reader) => {
                let reader: Stream = Box::new(reader);
                Ok(Batches { file: self.file, reader: Some(reader), failure: self.failure })
            }
            Err(reason) => Err(refused(&self.file, &self.failure, reason)),
        }
    }
}

impl Batches {
    pub(crate) fn empty(name: &str) -> Self {
        Self { file: name.to_owned(), reader: None, failure: Arc::default() }
    }

    pub(crate) fn next(&mut self) -> Result<Step> {
        let Some(reader) = &mut self.reader else { return Ok(Step::End) };
        let next = guarded(|| reader.next().transpose());
        match next {
            Ok(Some(batch)) => Ok(Step::Batch(batch)),
            Ok(None) => {
                self.reader = None;
                Ok(Step::End)
            }
            Err(reason) => {
                self.reader = None;
                match refused(&self.file, &self.failure, reason) {
                    Error::Corrupt { reason, .. } => Ok(Step::Damaged(reason)),
                    error => Err(error),
                }
            }
        }
    }
}

/// Batches of a file from one of its records on, each with the offset of its first row.
pub(crate) struct Placed {
    batches: Batches,
    /// Offset of the next row.
    next: u64,
    /// Rows before this offset are not handed on.
    skip_to: u64,
}

impl Placed {
    /// How many of the records to be skipped are skipped by whole batches. Damage shows where its
    /// batch begins, so that batches must stand where they stood when nothing was skipped.
    pub(crate) fn whole(skip: u64) -> u64 {
        skip - skip % BATCH_ROWS as u64
    }

    /// `batches` begin behind [`Placed::whole`] of `skip`.
    pub(crate) fn new(batches: Batches, first_offset: u64, skip: u64) -> Self {
        let next = first_offset + Self::whole(skip);
        Self { batches, next, skip_to: first_offset + skip }
    }

    /// The next batch, or a reject that stands for the rest of a damaged file; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Result<RecordBatch, Reject>)>> {
        loop {
            let first = self.next;
            match self.batches.next()? {
                Step::End => return Ok(None),
                Step::Batch(batch) => {
                    let rows = batch.num_rows();
                    self.next += rows as u64;
                    let skip = self.skip_to.saturating_sub(first).min(rows as u64);
                    if skip < rows as u64 {
                        let batch = batch.slice(skip as usize, rows - skip as usize);
                        return Ok(Some((first + skip, Ok(batch))));
                    }
                }
                Step::Damaged(_) if first < self.skip_to => return Ok(None),
                Step::Damaged(reason) => {
                    self.next += 1;
                    let reason = format!("the file cannot be decoded from here on: {reason}");
                    let reject = reject(first, Fault::of(reason), Raw::default());
                    return Ok(Some((first, Err(reject))));
                }
            }
        }
    }
}

/// Calls into a decoder, which on damaged pages may panic where it should fail.
fn guarded<T, E: ToString>(call: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("the decoder gave up on a damaged page".to_owned()),
    }
}

fn refused(name: &str, failure: &Mutex<Option<io::Error>>, reason: String) -> Error {
    let file = name.to_owned();
    match failure.lock().ok().and_then(|mut failure| failure.take()) {
        Some(source) => Error::Read { file, source },
        None => Error::Corrupt { file, reason },
    }
}

/// A row as JSON, for a reject.
pub(crate) fn row_json(batch: &RecordBatch, row: usize) -> Raw {
    let mut writer = LineDelimitedWriter::new(Vec::new());
    let written = writer.write(&batch.slice(row, 1)).and_then(|()| writer.finish());
    let mut bytes = if written.is_ok() { writer.into_inner() } else { Vec::new() };
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    Raw {
        line: None,
        length: bytes.len() as u64,
        bytes: bytes[..bytes.len().min(RAW_MAX)].to_vec(),
    }
}

/// A batch's columns as text, from which rows' cells are cut.
pub(crate) struct RowCells {
    texts: Vec<Option<StringArray>>,
    spans: Vec<(u32, u32)>,
    text: String,
}

/// The cells of a batch's rows; for each asked column its place in the batch.
pub(crate) fn row_cells(batch: &RecordBatch, columns: &[Option<usize>]) -> RowCells {
    let column = |place: &Option<usize>| place.map(|place| as_text(batch.column(place)));
    RowCells {
        texts: columns.iter().map(column).collect(),
        spans: vec![ABSENT; columns.len()],
        text: String::new(),
    }
}

impl RowCells {
    /// One row's cells.
    pub(crate) fn of(&mut self, row: usize) -> Cells<'_> {
        self.text.clear();
        for (span, column) in self.spans.iter_mut().zip(&self.texts) {
            *span = match column {
                Some(column) if column.is_valid(row) => {
                    let from = self.text.len() as u32;
                    self.text.push_str(column.value(row));
                    (from, self.text.len() as u32)
                }
                _ => ABSENT,
            };
        }
        Cells { text: &self.text, spans: &self.spans, select: None }
    }
}

/// Rows of batches as records.
pub(crate) struct Columnar {
    batches: Batches,
    /// For each asked column, its place in a batch.
    columns: Vec<Option<usize>>,
    batch: Option<RecordBatch>,
    /// The batch's cells, made when first asked for.
    cells: Option<RowCells>,
    row: usize,
    fault: Option<Fault>,
}

impl Columnar {
    pub(crate) fn new<B: ChunkReader + 'static>(
        blob: B,
        name: &str,
        wants: &[Want],
        naming: Naming,
    ) -> Result<Self> {
        Self::also(blob, name, wants, naming, None).map(|(records, _)| records)
    }

    /// The same, and behind those asked for the columns whose names begin with a prefix: with them,
    /// their names.
    pub(crate) fn also<B: ChunkReader + 'static>(
        blob: B,
        name: &str,
        wants: &[Want],
        naming: Naming,
        prefix: Option<&str>,
    ) -> Result<(Self, Vec<String>)> {
        let mut more = Vec::new();
        let (batches, columns) = match Opened::new(blob, name)? {
            None => (Batches::empty(name), vec![None; wants.len()]),
            Some(opened) => {
                let found = opened.names();
                let mut places = select(name, wants, &found, naming)?;
                if let Some(prefix) = prefix {
                    let (also, names) = below(&found, prefix, naming);
                    places.extend(also.into_iter().map(Some));
                    more = names;
                }
                let mut chosen: Vec<usize> = places.iter().flatten().copied().collect();
                chosen.sort_unstable();
                chosen.dedup();
                let columns = places
                    .iter()
                    .map(|place| place.and_then(|place| chosen.binary_search(&place).ok()))
                    .collect();
                (opened.read(chosen, BATCH_RECORDS, 0)?, columns)
            }
        };
        Ok((Self::of(batches, columns), more))
    }

    /// The records of an Arrow IPC stream.
    pub(crate) fn stream(bytes: Bytes, name: &str, wants: &[Want], naming: Naming) -> Result<Self> {
        let opened = guarded(|| StreamReader::try_new(io::Cursor::new(bytes), None));
        let reader = opened.map_err(|reason| Error::Corrupt {
            file: name.to_owned(),
            reason: format!("not an Arrow IPC stream: {reason}"),
        })?;
        let schema = reader.schema();
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let columns = select(name, wants, &names, naming)?;
        let reader: Stream = Box::new(reader);
        let failure = Arc::default();
        Ok(Self::of(Batches { file: name.to_owned(), reader: Some(reader), failure }, columns))
    }

    fn of(batches: Batches, columns: Vec<Option<usize>>) -> Self {
        Self { batches, columns, batch: None, cells: None, row: 0, fault: None }
    }
}

impl Records for Columnar {
    fn advance(&mut self) -> Result<bool> {
        self.row += 1;
        while self.batch.as_ref().is_none_or(|batch| self.row >= batch.num_rows()) {
            self.row = 0;
            self.cells = None;
            self.batch = None;
            self.fault = None;
            match self.batches.next()? {
                Step::Batch(batch) => self.batch = Some(batch),
                Step::End => return Ok(false),
                Step::Damaged(reason) => {
                    let reason = format!("the file cannot be decoded from here on: {reason}");
                    self.fault = Some(Fault::of(reason));
                    return Ok(true);
                }
            }
        }
        Ok(true)
    }

    fn cells(&mut self) -> Result<Cells<'_>, Fault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let Some(batch) = &self.batch else { return Err(Fault::of("no record")) };
        let cells = self.cells.get_or_insert_with(|| row_cells(batch, &self.columns));
        Ok(cells.of(self.row))
    }

    fn line(&self) -> Option<u64> {
        None
    }

    fn raw(&self) -> Raw {
        self.batch.as_ref().map(|batch| row_json(batch, self.row)).unwrap_or_default()
    }
}

/// A column's values as text: numbers in shortest form, times in ISO 8601, nested values as JSON.
/// What cannot be written is null.
fn as_text(column: &ArrayRef) -> StringArray {
    let array = match column.data_type() {
        DataType::Utf8 => Ok(Arc::clone(column)),
        // A named zone is only a label; the count is UTC.
        DataType::Timestamp(unit, Some(_)) => {
            let utc = DataType::Timestamp(*unit, Some("+00:00".into()));
            cast(column, &utc).and_then(|column| cast(&column, &DataType::Utf8))
        }
        nested if nested.is_nested() => return json_text(column),
        _ => cast(column, &DataType::Utf8),
    };
    match array {
        Ok(array) => array.as_string::<i32>().clone(),
        // One unprintable value must not cost the others theirs.
        Err(_) if column.len() > 1 => (0..column.len())
            .map(|row| {
                let text = as_text(&column.slice(row, 1));
                text.is_valid(0).then(|| text.value(0).to_owned())
            })
            .collect(),
        Err(_) => StringArray::new_null(column.len()),
    }
}

/// Nested values as JSON.
fn json_text(column: &ArrayRef) -> StringArray {
    let field = Field::new("v", column.data_type().clone(), true);
    let schema = Arc::new(Schema::new(vec![field]));
    let lines = RecordBatch::try_new(schema, vec![Arc::clone(column)]).and_then(|batch| {
        let mut writer = LineDelimitedWriter::new(Vec::new());
        writer.write(&batch)?;
        writer.finish()?;
        Ok(writer.into_inner())
    });
    let lines = lines.unwrap_or_default();
    let lines = String::from_utf8_lossy(&lines);
    let texts = lines
        .lines()
        .map(|line| line.strip_prefix("{\"v\":").and_then(|line| line.strip_suffix('}')));
    let mut texts: Vec<Option<&str>> = texts.collect();
    texts.resize(column.len(), None);
    StringArray::from(texts)
}
