//! Readers of real formats, seeded simulators with ground truth, and splits.
//!
//! - [`read`]: files in their original formats to the schemas of `operators`, bounded in memory
//! - [`labels`]: ground truth of public sets, for evaluation
//! - [`split`]: train and held-out parts, by time or entity
//! - [`simulate`]: seeded streams that say what was put into them
//! - [`catalogue`]: public data sets, fetched from their original addresses
//! - [`regular`]: daily and monthly series of public sets, to be forecast
//! - [`demand`]: what was asked of services, step by step
//! - [`utilisation`]: resources' rows by the hour, with what became of them
//! - [`digest`]: have CloudTrail's log files been changed, or taken away?
//! - [`describe()`]: rows, entities, times and channels of a file or directory

pub mod catalogue;
pub mod demand;
mod describe;
pub mod digest;
mod error;
mod file;
pub mod labels;
mod parquet_file;
pub mod read;
pub mod regular;
pub mod simulate;
pub mod split;
pub mod utilisation;

pub use describe::{ChannelSummary, Description, describe, matching};
pub use error::{Error, Result};
pub use read::{
    Actor, AuditSource, Channel, Channels, DocumentSource, Encoding, Format, ListSource,
    LongMapping, ManifestSource, Messages, ReadBatch, Reader, Reject, Side, StreamKind, TimeFormat,
    WideMapping, open,
};
