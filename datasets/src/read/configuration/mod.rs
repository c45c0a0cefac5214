//! Declarations and inventories, to [`configuration::schema`]: a file is a document, or several.
//!
//! A document's records are its head and its resources, in order. It is read whole, as what it says is one
//! thing; what cannot be parsed is one reject. Its time stands in it, or in the path: the date in the name
//! of the file or of a folder above it (`2026-01-05`, `2026-01-05T10:15:00Z`, `20260105T101500Z`),
//! since the time at which a file was written changes with every copy.
//!
//! Passwords, keys and tokens are masked before anything else sees them, so they are never compared,
//! and no reject holds the text of a document.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray, StringBuilder, UInt64Array};
use cloudops_operators::config_drift::attributes::mask;
use cloudops_operators::schema::configuration::{self, DECLARED, OBSERVED};
use parquet::file::reader::ChunkReader;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::decode::reject;
use super::format::Format;
use super::record::{Fault, Raw};
use super::source::Source;
use super::time::TimeFormat;
use super::wide::times;
use super::{BATCH_RECORDS, ReadBatch, Reader, Reject};
use crate::{Error, Result};

mod kubernetes;
mod path;
mod plain;
mod terraform;

/// Bytes of a document at most, decompressed.
const DOCUMENT_MAX: u64 = 256 << 20;

/// The keys beside `format = "terraform"`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DocumentSource {
    /// What a document declares all of; a later document of the same scope replaces it. Default: of files
    /// in a dated folder, the folder that it stands in; else the file's name without its date.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

/// The keys beside `format = "kubernetes"`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ManifestSource {
    /// As [`DocumentSource::scope`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The cluster, as its audit events' `account` has it. Default: `kubernetes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
}

/// The keys beside `format = "resources"`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListSource {
    /// As [`DocumentSource::scope`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Whether documents say what is `declared` (default), or what was `observed`.
    pub side: Side,
}

/// What a plain document tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// What should be.
    #[default]
    Declared,
    /// What was seen.
    Observed,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Declared => DECLARED,
            Self::Observed => OBSERVED,
        }
    }
}

/// A resource of a document.
#[derive(Debug, PartialEq)]
struct Item {
    id: String,
    provider: String,
    resource_type: String,
    name: Option<String>,
    attributes: Value,
}

/// A document as its format reads it.
#[derive(Debug, Default)]
struct Document {
    /// µs; none where it does not say.
    at: Option<i64>,
    /// None where it does not say.
    scope: Option<String>,
    /// Its resources; of those that cannot be compared why.
    items: Vec<Result<Item, Fault>>,
}

/// The provider that a Terraform type begins with.
fn provider_of(resource_type: &str) -> &str {
    match resource_type.split('_').next().unwrap_or_default() {
        "azurerm" | "azuread" => "azure",
        "google" => "gcp",
        other => other,
    }
}

/// Opens a file of documents.
pub(super) fn open<B: ChunkReader + 'static>(
    blob: B,
    name: &str,
    format: &Format,
    first_offset: u64,
    skip: u64,
) -> Result<Box<dyn Reader>> {
    let mut source = Source::new(blob, name)?;
    let mut bytes = Vec::new();
    loop {
        let block = source.fill()?;
        if block.is_empty() {
            break;
        }
        bytes.extend_from_slice(block);
        let read = block.len();
        source.consume(read);
        if bytes.len() as u64 > DOCUMENT_MAX {
            return Err(Error::Corrupt {
                file: name.to_owned(),
                reason: format!("longer than a document may be ({} MiB)", DOCUMENT_MAX >> 20),
            });
        }
    }
    let cut = source.take_cut();
    let length = bytes.len() as u64;
    let records = match cut {
        Some(reason) => vec![Err(Fault::of(reason))],
        None if bytes.iter().all(u8::is_ascii_whitespace) => Vec::new(),
        None => records(&bytes, name, format).unwrap_or_else(|fault| vec![Err(fault)]),
    };
    Ok(Box::new(Documents { records, next: skip as usize, first_offset, length }))
}

/// One record: a row of the schema.
struct Row {
    at: i64,
    scope: String,
    side: Side,
    /// None: the head.
    item: Option<Item>,
}

fn records(bytes: &[u8], name: &str, format: &Format) -> Result<Vec<Result<Row, Fault>>, Fault> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Fault::of(format!("not UTF-8 at byte {}", error.valid_up_to())))?;
    let (document, scope, side) = match format {
        Format::Terraform(source) => (terraform::document(text)?, &source.scope, Side::Declared),
        Format::Kubernetes(source) => {
            let cluster = source.cluster.as_deref().unwrap_or("kubernetes");
            (kubernetes::document(text, cluster)?, &source.scope, Side::Declared)
        }
        Format::Resources(source) => (plain::document(text)?, &source.scope, source.side),
        _ => return Err(Fault::of("the format holds no declarations")),
    };
    let (dated, found) = path::split(name);
    let at = document.at.or(dated).ok_or_else(|| {
        Fault::fixed(
            "time",
            "missing: put the document's date into its name or a folder's, as 2026-01-05T10:15:00Z",
        )
    })?;
    let scope = scope.clone().or(document.scope).unwrap_or(found);
    let mut records = vec![Ok(Row { at, scope: scope.clone(), side, item: None })];
    records.extend(document.items.into_iter().map(|item| {
        let mut item = item?;
        mask(&mut item.attributes);
        Ok(Row { at, scope: scope.clone(), side, item: Some(item) })
    }));
    Ok(records)
}

/// A reader of documents.
struct Documents {
    records: Vec<Result<Row, Fault>>,
    next: usize,
    first_offset: u64,
    /// Of the file, bytes.
    length: u64,
}

impl Reader for Documents {
    fn next_batch(&mut self) -> Result<Option<ReadBatch>> {
        if self.next >= self.records.len() {
            return Ok(None);
        }
        let to = (self.next + BATCH_RECORDS).min(self.records.len());
        let first = self.first_offset + self.next as u64;
        let (mut rows, mut rejects): (Vec<(u64, &Row)>, Vec<Reject>) = (Vec::new(), Vec::new());
        for (at, record) in self.records[self.next..to].iter().enumerate() {
            let offset = first + at as u64;
            match record {
                Ok(row) => rows.push((offset, row)),
                Err(fault) => {
                    let raw = Raw { line: None, bytes: Vec::new(), length: self.length };
                    rejects.push(reject(offset, fault.clone(), raw));
                }
            }
        }
        let batch = ReadBatch {
            first_offset: first,
            records: (to - self.next) as u64,
            rows: batch(&rows)?,
            rejects,
        };
        self.next = to;
        Ok(Some(batch))
    }
}

fn batch(rows: &[(u64, &Row)]) -> Result<RecordBatch> {
    let text = |of: fn(&Item) -> &str| {
        let items = rows.iter().map(|(_, row)| row.item.as_ref().map_or("", of));
        Arc::new(StringArray::from_iter_values(items))
    };
    let mut names = StringBuilder::new();
    let mut bodies = StringBuilder::new();
    for (_, row) in rows {
        names.append_option(row.item.as_ref().and_then(|item| item.name.as_deref()));
        bodies.append_option(row.item.as_ref().map(|item| item.attributes.to_string()));
    }
    let scopes = rows.iter().map(|(_, row)| &row.scope);
    let sides = rows.iter().map(|(_, row)| row.side.name());
    Ok(RecordBatch::try_new(
        configuration::schema(),
        vec![
            text(|item| &item.id),
            Arc::new(times(rows.iter().map(|(_, row)| row.at).collect())),
            Arc::new(UInt64Array::from_iter_values(rows.iter().map(|(offset, _)| *offset))),
            Arc::new(StringArray::from_iter_values(scopes)),
            Arc::new(StringArray::from_iter_values(sides)),
            text(|item| &item.provider),
            text(|item| &item.resource_type),
            Arc::new(names.finish()),
            Arc::new(bodies.finish()),
        ],
    )?)
}

/// JSON, or YAML of one document or several.
fn values(text: &str) -> Result<Vec<Value>, Fault> {
    if text.trim_start().starts_with(['{', '[']) {
        return serde_json::from_str(text)
            .map(|value| vec![value])
            .map_err(|error| Fault::of(format!("not JSON: {error}")));
    }
    serde_saphyr::from_multiple(text).map_err(|error| {
        // The message may quote lines of the document.
        let message = error.to_string();
        Fault::of(format!("not YAML: {}", message.lines().next().unwrap_or_default()))
    })
}

/// An instant within a document.
fn instant(value: &Value, field: &'static str) -> Result<Option<i64>, Fault> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => {
            TimeFormat::Auto.parse(text).map(Some).map_err(|reason| Fault::fixed(field, reason))
        }
        _ => Err(Fault::fixed(field, "no time: write it as 2026-01-05T10:15:00Z")),
    }
}
