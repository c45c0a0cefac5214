//! Readers of real formats, seeded simulators with ground truth, and splits.
//!
//! - [`read`]: files in their original formats to the schemas of `operators`, bounded in memory

mod error;
pub mod read;

pub use error::{Error, Result};
pub use read::{
    Channel, Channels, Encoding, Format, LongMapping, ReadBatch, Reader, Reject, StreamKind,
    TimeFormat, WideMapping, open,
};
