//! A partition's records, as batches in their encoding.

use bytes::{Bytes, BytesMut};
use fluvio_protocol::Encoder;
use fluvio_protocol::link::ErrorCode;
use fluvio_protocol::record::{Batch, RawRecords};

/// A partition's records.
#[derive(Default)]
pub(crate) struct Log {
    batches: Vec<Stored>,
    pub(crate) start: i64,
    pub(crate) end: i64,
}

struct Stored {
    base: i64,
    end: i64,
    bytes: Bytes,
}

impl Log {
    /// Appends a batch at the end; gives the offset of its first record.
    pub(crate) fn append(&mut self, mut batch: Batch<RawRecords>) -> i64 {
        let base = self.end;
        batch.set_base_offset(base);
        self.end += batch.records_len() as i64;
        let mut bytes = Vec::new();
        batch.encode(&mut bytes, 0).unwrap();
        self.batches.push(Stored { base, end: self.end, bytes: Bytes::from(bytes) });
        base
    }

    /// Forgets whole batches before an offset.
    pub(crate) fn evict(&mut self, before: i64) {
        self.batches.retain(|batch| batch.end > before);
        self.start = self.batches.first().map_or(self.end, |batch| batch.base);
    }

    /// So many bytes from the batch on that an offset lies in, and whether the last batch is cut.
    pub(crate) fn slice(&self, from: i64, bytes_max: usize) -> Result<(Bytes, bool), ErrorCode> {
        if from < self.start {
            let next_available = self.start;
            return Err(ErrorCode::OffsetEvicted { offset: from, next_available });
        }
        if from > self.end {
            let what = format!("start offset: {from} is greater than leo: {}", self.end);
            return Err(ErrorCode::Other(what));
        }
        let first = self.batches.partition_point(|batch| batch.end <= from);
        let mut slice = BytesMut::new();
        for batch in &self.batches[first..] {
            let room = bytes_max - slice.len();
            if batch.bytes.len() > room {
                slice.extend_from_slice(&batch.bytes[..room]);
                return Ok((slice.freeze(), true));
            }
            slice.extend_from_slice(&batch.bytes);
        }
        Ok((slice.freeze(), false))
    }
}
