//! Streaming readers of real formats into the schemas of `operators`.
//!
//! Three layers: *bytes* (`source`: decompression, lines), *records* (`delimited`, `json`,
//! `columnar`: where one record ends and what its cells are) and *meaning* (`wide`, `long`,
//! `charge`, `audit`: cells to columns; `configuration` reads documents whole). Memory is bounded by a batch whatever the file
//! holds, and bad input becomes a counted [`Reject`], never an error: only a file that as a whole
//! is not what was declared is refused.

use arrow::array::RecordBatch;
use parquet::file::reader::ChunkReader;

use crate::{Error, Result};

mod audit;
mod charge;
mod columnar;
mod configuration;
mod decimal;
mod decode;
mod delimited;
mod format;
mod json;
mod long;
mod messages;
mod record;
mod source;
mod time;
mod wide;
mod wide_parquet;
mod zip;

pub use audit::{Actor, AuditSource};
pub use charge::{ChargeMapping, Export, From, Identity};
pub use configuration::{DocumentSource, ListSource, ManifestSource, Side};
pub use format::{Channel, Channels, Encoding, Format, LongMapping, StreamKind, WideMapping};
pub(crate) use format::{SKAB_COLUMNS, folder_stem, stem};
pub use messages::Messages;
use source::Source;
pub use time::TimeFormat;
pub(crate) use zip::first_file;

use decode::TextReader;
use delimited::{Columns, Delimited, Separator};
use record::{Naming, Records, Want};

/// Records in a batch of text.
pub const BATCH_RECORDS: usize = 8192;
/// Rows in a batch of Parquet.
pub const BATCH_ROWS: usize = 16384;
/// How much of a rejected record is kept, bytes.
pub const RAW_MAX: usize = 64 * 1024;
/// A batch ends early once it holds this many bytes of text.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// A stream of batches from one file.
pub trait Reader: Send {
    /// The next batch; none at the end. A batch may have no rows, but then has rejects.
    ///
    /// # Errors
    /// [`Error::Read`] when the store fails: the reader is then spent, open the file again and
    /// skip the records already taken.
    fn next_batch(&mut self) -> Result<Option<ReadBatch>>;
}

/// Records in order: `records = rows.num_rows() + rejects.len()`, always.
///
/// Of messages, a record is a whole one, each with at least one row or reject: there may be more of
/// those than records, and those of one message share its offset.
#[derive(Debug, Clone)]
pub struct ReadBatch {
    /// Offset of the first record.
    pub first_offset: u64,
    /// Records that were read, rejected ones included; the next batch begins behind them.
    pub records: u64,
    /// The good ones, in [`Format::schema`].
    pub rows: RecordBatch,
    /// The bad ones.
    pub rejects: Vec<Reject>,
}

/// A record that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// The record's ordinal in its partition.
    pub offset: u64,
    /// The line in the file it begins at, from 1; text only.
    pub line: Option<u64>,
    /// The field that does not fit, by the file's own name where it has one.
    pub field: Option<String>,
    /// Why.
    pub reason: String,
    /// The first 64 KiB of the record as it stands in the file (Parquet: as JSON).
    pub raw: Vec<u8>,
    /// The record's whole length, bytes.
    pub raw_length: u64,
}

/// Opens a file.
///
/// `name` is the file's path or object key: its ending says how it is laid out and compressed,
/// its stem and folder name the entity where no column does. The record at ordinal `n` of the file
/// gets offset `first_offset + n`; the first `skip_records` are passed over, and what follows is
/// exactly what would have followed them. An empty file has no records.
///
/// # Errors
/// [`Error::Columns`] when the header or the Parquet schema lacks a column, [`Error::Corrupt`] when
/// the file is not of its format at all, [`Error::Configuration`] when the layout does not suit the
/// format, [`Error::Read`] when the store fails.
pub fn open<B: ChunkReader + 'static>(
    blob: B,
    name: &str,
    format: &Format,
    first_offset: u64,
    skip_records: u64,
) -> Result<Box<dyn Reader>> {
    let file = File { blob, name, first_offset, skip: skip_records };
    match format {
        Format::CMapss { base, step_seconds } => {
            let decode = wide::Wide::cmapss(name, base, *step_seconds)?;
            file.plain(Separator::Spaces, &Columns::Count(wide::CMAPSS_COLUMNS), decode)
        }
        Format::Smd { base, step_seconds } => {
            let decode = wide::Wide::matrix(name, format, base, *step_seconds)?;
            let columns = Columns::Count(decode.channels());
            file.plain(Separator::Byte(b','), &columns, decode)
        }
        Format::Asd { base, step_seconds } => {
            let decode = wide::Wide::matrix(name, format, base, *step_seconds)?;
            file.headed(b',', &decode.wants(), Naming::Exact, decode)
        }
        Format::Skab {} => {
            let decode = wide::Wide::skab(name);
            file.headed(b';', &decode.wants(), Naming::Exact, decode)
        }
        Format::Ai4i { entity, base } => {
            let decode = wide::Wide::ai4i(name, entity, base)?;
            file.headed(b',', &decode.wants(), Naming::Exact, decode)
        }
        Format::Nab {} => {
            let decode = wide::Wide::nab(name);
            file.headed(b',', &decode.wants(), Naming::Exact, decode)
        }
        Format::SensorWide { mapping } => {
            if encoding(name, mapping.encoding)? == Encoding::Parquet {
                return wide_parquet::open(file.blob, name, mapping, first_offset, skip_records);
            }
            let decode = wide::Wide::mapped(name, mapping);
            let layout = Layout::of(name, mapping.encoding, mapping.delimiter, Naming::Exact)?;
            let wants = decode.wants();
            let records = file.records(&layout, &wants)?;
            TextReader::open(records, decode, first_offset, skip_records)
        }
        Format::SensorLong { mapping } => {
            let layout = Layout::of(name, mapping.encoding, mapping.delimiter, Naming::Exact)?;
            let records = file.records(&layout, &long::wants(mapping))?;
            Ok(long::open(records, mapping, first_offset, skip_records))
        }
        Format::Focus { encoding, .. } => file.charges(format, *encoding, ','),
        Format::AwsCur(export)
        | Format::AzureCost(export)
        | Format::AzureAmortisedCost(export)
        | Format::GcpBilling(export)
        | Format::OciCost(export) => file.native(format, export),
        Format::Charges { mapping } => file.charges(format, mapping.encoding, mapping.delimiter),
        Format::CloudTrail(_)
        | Format::AzureActivity(_)
        | Format::GcpAudit(_)
        | Format::KubernetesAudit(_)
        | Format::Ocsf(_) => file.audit(format),
        Format::Terraform(_) | Format::Kubernetes(_) | Format::Resources(_) => {
            configuration::open(file.blob, name, format, first_offset, skip_records)
        }
    }
}

/// What [`open`] was given.
struct File<'a, B> {
    blob: B,
    name: &'a str,
    first_offset: u64,
    skip: u64,
}

impl<B: ChunkReader + 'static> File<'_, B> {
    fn plain(
        self,
        separator: Separator,
        columns: &Columns<'_>,
        decode: wide::Wide,
    ) -> Result<Box<dyn Reader>> {
        let records = Delimited::new(Source::new(self.blob, self.name)?, separator, columns)?;
        TextReader::open(Box::new(records), decode, self.first_offset, self.skip)
    }

    fn headed(
        self,
        separator: u8,
        wants: &[Want],
        naming: Naming,
        decode: wide::Wide,
    ) -> Result<Box<dyn Reader>> {
        self.plain(Separator::Byte(separator), &Columns::Header { wants, naming }, decode)
    }

    fn charges(
        self,
        format: &Format,
        encoding: Option<Encoding>,
        delimiter: char,
    ) -> Result<Box<dyn Reader>> {
        let plan = charge::plan(format)?;
        let layout = Layout::of(self.name, encoding, delimiter, plan.naming)?;
        let (first_offset, skip) = (self.first_offset, self.skip);
        if layout.encoding == Encoding::Parquet {
            return charge::open_parquet(self.blob, self.name, plan, first_offset, skip);
        }
        let records = self.records(&layout, &plan.wants)?;
        TextReader::open(records, charge::Charges::new(plan.into()), first_offset, skip)
    }

    fn audit(self, format: &Format) -> Result<Box<dyn Reader>> {
        let decode = audit::Events::of(format).ok_or_else(|| {
            Error::Configuration(format!("{}: the format holds no audit events", self.name))
        })?;
        let source = Source::new(self.blob, self.name)?;
        let records = json::Json::new(source, &[], Naming::Exact, true);
        TextReader::open(Box::new(records), decode, self.first_offset, self.skip)
    }

    fn native(self, format: &Format, export: &Export) -> Result<Box<dyn Reader>> {
        let provider = charge::provider(format)?;
        let decode = charge::Native::new(provider, export);
        let layout = Layout::of(self.name, export.encoding, ',', Naming::Bare)?;
        let (first_offset, skip) = (self.first_offset, self.skip);
        let naming = layout.naming;
        let (records, tags): (Box<dyn Records>, _) = match (layout.encoding, provider.tags()) {
            (Encoding::Csv, Some(prefix)) => {
                let columns = Columns::Header { wants: decode.wants(), naming };
                let source = Source::new(self.blob, self.name)?;
                let separator = Separator::Byte(layout.delimiter);
                let mut records = Delimited::new(source, separator, &columns)?;
                let tags = records.also(prefix, naming);
                (Box::new(records), tags)
            }
            (Encoding::Parquet, prefix) => {
                let (blob, name) = (self.blob, self.name);
                let (records, tags) =
                    columnar::Columnar::also(blob, name, decode.wants(), naming, prefix)?;
                (Box::new(records), tags)
            }
            _ => (self.records(&layout, decode.wants())?, Vec::new()),
        };
        TextReader::open(records, decode.with_tags(tags), first_offset, skip)
    }

    fn records(self, layout: &Layout, wants: &[Want]) -> Result<Box<dyn Records>> {
        let naming = layout.naming;
        Ok(match layout.encoding {
            Encoding::Csv => Box::new(Delimited::new(
                Source::new(self.blob, self.name)?,
                Separator::Byte(layout.delimiter),
                &Columns::Header { wants, naming },
            )?),
            Encoding::Parquet => {
                Box::new(columnar::Columnar::new(self.blob, self.name, wants, naming)?)
            }
            Encoding::Ndjson | Encoding::Json => Box::new(json::Json::new(
                Source::new(self.blob, self.name)?,
                wants,
                naming,
                layout.encoding == Encoding::Json,
            )),
            Encoding::Arrow => {
                return Err(Error::Configuration(format!(
                    "{}: encoding arrow is for messages; write the file as Parquet",
                    self.name
                )));
            }
        })
    }
}

/// How a mapped file is laid out.
struct Layout {
    encoding: Encoding,
    delimiter: u8,
    naming: Naming,
}

impl Layout {
    fn of(name: &str, explicit: Option<Encoding>, delimiter: char, naming: Naming) -> Result<Self> {
        let delimiter = match u8::try_from(delimiter) {
            Ok(byte) if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => byte,
            _ => {
                return Err(Error::Configuration(format!(
                    "{name}: delimiter {delimiter:?} must be one ASCII character, and no quote"
                )));
            }
        };
        let tabs = delimiter == b',' && plain_name(name).ends_with(".tsv");
        Ok(Self {
            encoding: encoding(name, explicit)?,
            delimiter: if tabs { b'\t' } else { delimiter },
            naming,
        })
    }
}

fn plain_name(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    lower.trim_end_matches(".gz").trim_end_matches(".zst").to_owned()
}

/// The layout as configured, or as the file's name says.
fn encoding(name: &str, explicit: Option<Encoding>) -> Result<Encoding> {
    if let Some(encoding) = explicit {
        return Ok(encoding);
    }
    let plain = plain_name(name);
    match plain.rsplit_once('.').map(|(_, ending)| ending) {
        Some("csv" | "tsv" | "txt") => Ok(Encoding::Csv),
        Some("parquet") => Ok(Encoding::Parquet),
        Some("ndjson" | "jsonl") => Ok(Encoding::Ndjson),
        Some("json") => Ok(Encoding::Json),
        _ => Err(Error::Configuration(format!(
            "{name}: the name does not say how the file is laid out; set encoding to csv, \
             parquet, ndjson or json"
        ))),
    }
}
