//! Records to batches, one record one row.

use arrow::array::RecordBatch;

use super::record::{Cells, Fault, Raw, Records};
use super::{BATCH_BYTES, BATCH_RECORDS, RAW_MAX, ReadBatch, Reader, Reject};
use crate::Result;

/// Gives cells a meaning and collects columns.
pub(crate) trait Decode: Send {
    /// Appends one record as a row, or nothing at all and says why.
    ///
    /// `ordinal` is the record's place in the file, `offset` in its partition.
    fn decode(&mut self, ordinal: u64, offset: u64, cells: &Cells<'_>) -> Result<(), Fault>;

    /// The rows appended since the last call.
    fn finish(&mut self) -> Result<RecordBatch>;
}

/// A reader of records of which each is a row.
pub(crate) struct TextReader<D> {
    records: Box<dyn Records>,
    decode: D,
    first_offset: u64,
    /// Ordinal of the next record.
    next: u64,
}

impl<D: Decode + 'static> TextReader<D> {
    /// Skips records, without decoding them.
    pub(crate) fn open(
        mut records: Box<dyn Records>,
        decode: D,
        first_offset: u64,
        skip: u64,
    ) -> Result<Box<dyn Reader>> {
        let mut next = 0;
        while next < skip && records.advance()? {
            next += 1;
        }
        Ok(Box::new(Self { records, decode, first_offset, next }))
    }
}

impl<D: Decode> Reader for TextReader<D> {
    fn next_batch(&mut self) -> Result<Option<ReadBatch>> {
        let first = self.next;
        let mut rejects = Vec::new();
        let mut bytes = 0;
        while self.next - first < BATCH_RECORDS as u64 && bytes < BATCH_BYTES {
            if !self.records.advance()? {
                break;
            }
            let offset = self.first_offset + self.next;
            let decoded = self.records.cells().and_then(|cells| {
                bytes += cells.text.len();
                self.decode.decode(self.next, offset, &cells)
            });
            if let Err(fault) = decoded {
                let reject = reject(offset, fault, self.records.raw());
                bytes += reject.raw.len();
                rejects.push(reject);
            }
            self.next += 1;
        }
        if self.next == first {
            return Ok(None);
        }
        Ok(Some(ReadBatch {
            first_offset: self.first_offset + first,
            records: self.next - first,
            rows: self.decode.finish()?,
            rejects,
        }))
    }
}

/// A reject of a record.
pub(crate) fn reject(offset: u64, fault: Fault, mut raw: Raw) -> Reject {
    raw.bytes.truncate(RAW_MAX);
    Reject {
        offset,
        line: raw.line,
        field: fault.field.map(std::borrow::Cow::into_owned),
        reason: fault.reason,
        raw: raw.bytes,
        raw_length: raw.length,
    }
}
