//! Rows of one table to the bytes of one Parquet file.

use std::collections::BTreeMap;

use anyhow::Result;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use bytes::Bytes;
use cloudops_sql::catalog::record::ColumnStats;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression as Codec, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;

use super::statistics::statistics;
use crate::config::Compression;

/// A file's bytes before they are staged.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// The table.
    pub table: &'static str,
    /// The stream whose rows these are: the file's partition in the table.
    pub source: String,
    /// Rows in the file.
    pub rows: u64,
    /// The Parquet file.
    pub bytes: Bytes,
    /// Least and greatest values of the columns that a commit keeps them of.
    pub statistics: BTreeMap<String, ColumnStats>,
}

/// The writer's settings for a table; the same rows give the same bytes.
///
/// Text repeats within a file and goes through a dictionary; floats and offsets do not, and skip
/// the attempt. Statistics of list values help no query.
///
/// # Errors
/// When the compression level is refused, which is a bug.
pub fn properties(schema: &SchemaRef, compression: Compression) -> Result<WriterProperties> {
    let codec = match compression {
        Compression::None => Codec::UNCOMPRESSED,
        Compression::Snappy => Codec::SNAPPY,
        Compression::Lz4 => Codec::LZ4_RAW,
        Compression::Zstd => Codec::ZSTD(ZstdLevel::try_new(1)?),
    };
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("cloudops ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(codec)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(false);
    for field in schema.fields() {
        match field.data_type() {
            DataType::Utf8 | DataType::UInt32 | DataType::Boolean | DataType::Date32 => {}
            DataType::List(_) => {
                let leaf = ["list", "item"].map(str::to_owned);
                let path: ColumnPath = [vec![field.name().clone()], leaf.to_vec()].concat().into();
                properties = properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path.clone(), Encoding::PLAIN)
                    .set_column_statistics_enabled(path, EnabledStatistics::None);
            }
            _ if field.name() == "epoch" => {}
            _ => {
                let path = ColumnPath::from(field.name().as_str());
                properties = properties.set_column_dictionary_enabled(path, false);
            }
        }
    }
    Ok(properties.build())
}

/// Encodes batches of one table as one file.
///
/// # Errors
/// When the writer refuses, which is a bug.
pub fn encode(
    table: &'static str,
    source: &str,
    schema: &SchemaRef,
    properties: &WriterProperties,
    batches: &[RecordBatch],
) -> Result<Encoded> {
    let mut writer =
        ArrowWriter::try_new(Vec::new(), SchemaRef::clone(schema), Some(properties.clone()))?;
    let mut rows = 0;
    for batch in batches {
        writer.write(batch)?;
        rows += batch.num_rows() as u64;
    }
    let statistics = statistics(table, batches)?;
    Ok(Encoded {
        table,
        source: source.to_owned(),
        rows,
        bytes: Bytes::from(writer.into_inner()?),
        statistics,
    })
}
