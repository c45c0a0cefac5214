//! Rows to text or file: for eyes, for spreadsheets, for programs.
//!
//! Every format is written as the rows come: a result larger than memory can
//! be written in all of them. The table's column widths are those of its first
//! [`WIDTH_ROWS`] rows.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::execution::SendableRecordBatchStream;
use futures_util::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::{Error, Result};

/// Rows looked at to choose a table's column widths.
pub const WIDTH_ROWS: usize = 1000;

/// How rows are written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Aligned columns for a person; bytes as UTF-8, what is not UTF-8 as �.
    #[default]
    Table,
    /// RFC 4180 with a header; lists as JSON, bytes as hexadecimal.
    Csv,
    /// One JSON array of objects; nulls written, bytes as hexadecimal.
    Json,
    /// One JSON object a line; nulls written, bytes as hexadecimal.
    NdJson,
}

impl std::str::FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "table" => Ok(Self::Table),
            "csv" => Ok(Self::Csv),
            "json" => Ok(Self::Json),
            "ndjson" => Ok(Self::NdJson),
            other => Err(Error::Configuration(format!(
                "no output format {other:?}; there are table, csv, json and ndjson"
            ))),
        }
    }
}

/// Writes a query's rows as text and tells how many there were.
///
/// `width` is the terminal's, in characters, to which a table is cut; `None`
/// cuts nothing.
///
/// # Errors
/// [`Error::Query`] from the query, [`Error::Io`] from `out`.
pub async fn write(
    mut rows: SendableRecordBatchStream,
    format: Format,
    width: Option<usize>,
    out: &mut (dyn Write + Send),
) -> Result<usize> {
    if rows.schema().fields().is_empty() {
        // A statement that answers nothing, such as SET: run it, write nothing.
        while let Some(batch) = rows.next().await {
            batch?;
        }
        return Ok(0);
    }
    let mut writer = TextWriter::new(format, width, rows.schema(), out)?;
    let mut count = 0;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        count += batch.num_rows();
        writer.write(&batch)?;
    }
    writer.finish()?;
    Ok(count)
}

/// Writes a query's rows to a Parquet file and tells how many there were.
///
/// The file appears under its name only once it is whole.
///
/// # Errors
/// [`Error::Query`] from the query, [`Error::Io`] from the file.
pub async fn write_parquet(mut rows: SendableRecordBatchStream, path: &Path) -> Result<usize> {
    let failed = |source| Error::Io { path: path.display().to_string(), source };
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let file = File::create(&partial).map_err(failed)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .build();
    let mut writer = ArrowWriter::try_new(file, rows.schema(), Some(properties))
        .map_err(|error| failed(std::io::Error::other(error)))?;
    let mut count = 0;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        count += batch.num_rows();
        writer.write(&batch).map_err(|error| failed(std::io::Error::other(error)))?;
    }
    let file = writer.into_inner().map_err(|error| failed(std::io::Error::other(error)))?;
    file.sync_all().map_err(failed)?;
    std::fs::rename(&partial, path).map_err(failed)?;
    Ok(count)
}

/// One of the text formats, with what it must remember between batches.
enum TextWriter<'a> {
    Table(TableWriter<'a>),
    Csv(Box<arrow::csv::Writer<&'a mut (dyn Write + Send)>>),
    Json(arrow::json::ArrayWriter<&'a mut (dyn Write + Send)>),
    NdJson(arrow::json::LineDelimitedWriter<&'a mut (dyn Write + Send)>),
}

impl<'a> TextWriter<'a> {
    fn new(
        format: Format,
        width: Option<usize>,
        schema: SchemaRef,
        out: &'a mut (dyn Write + Send),
    ) -> Result<Self> {
        let json = arrow::json::WriterBuilder::new().with_explicit_nulls(true);
        Ok(match format {
            Format::Table => Self::Table(TableWriter::new(schema, width, out)),
            Format::Json => Self::Json(json.build(out)),
            Format::NdJson => Self::NdJson(json.build(out)),
            Format::Csv => {
                let mut writer = arrow::csv::WriterBuilder::new().with_header(true).build(out);
                // A header even where no batch follows.
                writer.write(&flat(&RecordBatch::new_empty(schema))?).map_err(arrow_failed)?;
                Self::Csv(Box::new(writer))
            }
        })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match self {
            Self::Table(writer) => writer.write(batch),
            Self::Csv(writer) => writer.write(&flat(batch)?).map_err(arrow_failed),
            Self::Json(writer) => writer.write(batch).map_err(arrow_failed),
            Self::NdJson(writer) => writer.write(batch).map_err(arrow_failed),
        }
    }

    fn finish(self) -> Result<()> {
        match self {
            Self::Table(writer) => writer.finish(),
            Self::Csv(writer) => writer.into_inner().flush().map_err(text_failed),
            Self::Json(mut writer) => {
                writer.finish().map_err(arrow_failed)?;
                let out = writer.into_inner();
                out.write_all(b"\n").and_then(|()| out.flush()).map_err(text_failed)
            }
            Self::NdJson(mut writer) => {
                writer.finish().map_err(arrow_failed)?;
                writer.into_inner().flush().map_err(text_failed)
            }
        }
    }
}

fn text_failed(source: std::io::Error) -> Error {
    Error::Io { path: "output".to_owned(), source }
}

/// Arrow's writers wrap what the output said: a closed pipe must stay one.
fn arrow_failed(error: arrow::error::ArrowError) -> Error {
    text_failed(match error {
        arrow::error::ArrowError::IoError(_, source) => source,
        other => std::io::Error::other(other),
    })
}

/// The batch with every nested column as JSON text, for formats without nesting.
fn flat(batch: &RecordBatch) -> Result<RecordBatch> {
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if column.data_type().is_nested() {
            fields.push(Field::new(field.name(), DataType::Utf8, true));
            columns.push(Arc::new(json_texts(column)?));
        } else {
            fields.push(field.as_ref().clone());
            columns.push(Arc::clone(column));
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(arrow_failed)
}

/// Each value of a nested column as JSON.
fn json_texts(column: &ArrayRef) -> Result<StringArray> {
    // One object a line, whose only field is the value: `{"":[1.0,2.0]}`.
    let schema = Schema::new(vec![Field::new("", column.data_type().clone(), true)]);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::clone(column)]);
    let mut writer = arrow::json::WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, arrow::json::writer::LineDelimited>(Vec::new());
    writer.write(&batch.map_err(arrow_failed)?).map_err(arrow_failed)?;
    writer.finish().map_err(arrow_failed)?;
    let text = String::from_utf8(writer.into_inner()).expect("JSON is UTF-8");
    let values = text.lines().map(|line| &line[r#"{"":"#.len()..line.len() - 1]);
    Ok(values.enumerate().map(|(row, value)| column.is_valid(row).then_some(value)).collect())
}

/// Aligned columns, written as they come.
struct TableWriter<'a> {
    schema: SchemaRef,
    terminal: Option<usize>,
    out: &'a mut (dyn Write + Send),
    /// Rows kept until the widths are chosen; none afterwards.
    first: Vec<Vec<String>>,
    widths: Vec<usize>,
}

impl<'a> TableWriter<'a> {
    fn new(schema: SchemaRef, terminal: Option<usize>, out: &'a mut (dyn Write + Send)) -> Self {
        Self { schema, terminal, out, first: Vec::new(), widths: Vec::new() }
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let options = FormatOptions::new().with_display_error(true);
        let readable = batch.columns().iter().map(readable).collect::<Result<Vec<_>>>()?;
        let formatters = readable
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(arrow_failed)?;
        for row in 0..batch.num_rows() {
            let cells = formatters.iter().map(|column| one_line(&column.value(row).to_string()));
            let cells: Vec<_> = cells.collect();
            if self.widths.is_empty() {
                self.first.push(cells);
                if self.first.len() == WIDTH_ROWS {
                    self.begin()?;
                }
            } else {
                self.row(&cells)?;
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        if self.widths.is_empty() {
            self.begin()?;
        }
        self.out.flush().map_err(text_failed)
    }

    /// Chooses the widths, then writes the header and the rows kept so far.
    fn begin(&mut self) -> Result<()> {
        let names: Vec<_> =
            self.schema.fields().iter().map(|field| one_line(field.name())).collect();
        let first = std::mem::take(&mut self.first);
        let mut widths: Vec<_> = names.iter().map(|name| length(name)).collect();
        for row in &first {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(length(cell));
            }
        }
        if let Some(terminal) = self.terminal {
            shrink(&mut widths, terminal);
        }
        self.widths = widths;
        self.row(&names)?;
        let rule: Vec<_> = self.widths.iter().map(|width| "─".repeat(*width)).collect();
        writeln!(self.out, "{}", rule.join("  ")).map_err(text_failed)?;
        first.iter().try_for_each(|cells| self.row(cells))
    }

    fn row(&mut self, cells: &[String]) -> Result<()> {
        let mut line = String::new();
        for (index, cell) in cells.iter().enumerate() {
            let width = self.widths[index];
            let cell = if self.terminal.is_some() { cut(cell, width) } else { cell.clone() };
            let blank = " ".repeat(width.saturating_sub(length(&cell)));
            let right = self.schema.field(index).data_type().is_numeric();
            let (before, after) = if right { (blank.as_str(), "") } else { ("", blank.as_str()) };
            let gap = if index == 0 { "" } else { "  " };
            line.extend([gap, before, &cell, after]);
        }
        writeln!(self.out, "{}", line.trim_end()).map_err(text_failed)
    }
}

/// A column a person can read: bytes as UTF-8 where they are.
fn readable(column: &ArrayRef) -> Result<ArrayRef> {
    let binary = match column.data_type() {
        DataType::Binary => Arc::clone(column),
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            cast(column, &DataType::Binary).map_err(arrow_failed)?
        }
        _ => return Ok(Arc::clone(column)),
    };
    let texts = binary.as_binary::<i32>().iter();
    let texts = texts.map(|bytes| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
    Ok(Arc::new(texts.collect::<StringArray>()))
}

/// The text with line breaks and other control characters written out.
fn one_line(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len()), |mut line, character| {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
        line
    })
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// The text, at most so many characters of it, the last one `…` where it is cut.
fn cut(text: &str, width: usize) -> String {
    if length(text) <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Narrows the widest columns, one character at a time, until the table fits;
/// none to less than 8, which then makes it wider than the terminal.
fn shrink(widths: &mut [usize], terminal: usize) {
    let gaps = 2 * widths.len().saturating_sub(1);
    let mut total = widths.iter().sum::<usize>() + gaps;
    while total > terminal {
        match widths.iter_mut().max() {
            Some(widest) if *widest > 8 => *widest -= 1,
            _ => return,
        }
        total -= 1;
    }
}
