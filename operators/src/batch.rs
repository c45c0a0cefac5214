//! The container that timely moves between operators: an Arrow batch of one
//! partition, seen through a selection.
//!
//! Routing to workers by selection shares the batch and writes only row
//! numbers, which costs a quarter of taking the rows apart.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use timely::Accountable;
use timely::dataflow::channels::ContainerBytes;

use crate::Result;
use crate::epoch::Partition;

/// Rows of one partition, or of an operator's output.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The partition the rows were read from; 0 downstream of `window`.
    pub partition: Partition,
    /// The rows; `None` only in the default value that timely swaps in.
    pub records: Option<RecordBatch>,
    /// The rows meant, ascending; all of them when `None`.
    pub selection: Option<Arc<[u32]>>,
}

impl Batch {
    /// All rows of `records`.
    #[must_use]
    pub fn new(partition: Partition, records: RecordBatch) -> Self {
        Self { partition, records: Some(records), selection: None }
    }

    /// The number of rows meant.
    #[must_use]
    pub fn len(&self) -> usize {
        match (&self.selection, &self.records) {
            (Some(selection), _) => selection.len(),
            (None, Some(records)) => records.num_rows(),
            (None, None) => 0,
        }
    }

    /// Whether no row is meant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows meant, as a batch of their own.
    ///
    /// # Errors
    /// When Arrow refuses to take the rows, which is a bug.
    pub fn materialize(&self) -> Result<Option<RecordBatch>> {
        Ok(match (&self.records, &self.selection) {
            (None, _) => None,
            (Some(records), None) => Some(records.clone()),
            (Some(records), Some(selection)) => {
                Some(take_record_batch(records, &UInt32Array::from(selection.to_vec()))?)
            }
        })
    }
}

impl Accountable for Batch {
    fn record_count(&self) -> i64 {
        self.len() as i64
    }
}

/// How a batch crosses between processes: partition, then an Arrow IPC stream of the rows meant.
impl ContainerBytes for Batch {
    fn from_bytes(bytes: timely::bytes::arc::Bytes) -> Self {
        let (partition, stream) = bytes.split_at(4);
        let partition = u32::from_le_bytes(partition.try_into().expect("split at 4 bytes"));
        let mut reader =
            StreamReader::try_new(stream, None).expect("a peer of this build wrote the stream");
        Self {
            partition: Partition(partition),
            records: reader.next().map(|batch| batch.expect("a peer of this build wrote the batch")),
            selection: None,
        }
    }

    fn length_in_bytes(&self) -> usize {
        let mut count = Count(0);
        self.into_bytes(&mut count);
        count.0
    }

    fn into_bytes<W: Write>(&self, writer: &mut W) {
        let failed = "writing to a peer's buffer does not fail";
        writer.write_all(&self.partition.0.to_le_bytes()).expect(failed);
        if let Some(records) = self.materialize().expect("the selection lies within the batch") {
            let mut stream = StreamWriter::try_new(&mut *writer, &records.schema()).expect(failed);
            stream.write(&records).expect(failed);
            stream.finish().expect(failed);
        }
    }
}

/// A writer that only counts.
struct Count(usize);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
