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
        // An empty batch has no stream behind it.
        let records = (!stream.is_empty()).then_some(stream).and_then(|stream| {
            StreamReader::try_new(stream, None)
                .expect("a peer of this build wrote the stream")
                .next()
                .map(|batch| batch.expect("a peer of this build wrote the batch"))
        });
        Self { partition: Partition(partition), records, selection: None }
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

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, StringArray, UInt64Array};

    use super::*;

    fn records() -> RecordBatch {
        let names: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c", "d"]));
        let offsets: ArrayRef = Arc::new(UInt64Array::from(vec![4, 5, 6, 7]));
        RecordBatch::try_from_iter([("entity_id", names), ("offset", offsets)]).unwrap()
    }

    /// Sends a batch through the bytes that another process would read.
    fn check(sent: &Batch) {
        let mut bytes = Vec::new();
        sent.into_bytes(&mut bytes);
        assert_eq!(bytes.len(), sent.length_in_bytes(), "timely allots what the length says");
        let received = Batch::from_bytes(timely::bytes::arc::BytesMut::from(bytes).freeze());
        assert_eq!(received.partition, sent.partition);
        assert_eq!(received.selection, None);
        assert_eq!(received.len(), sent.len());
        let rows = |batch: &Batch| batch.materialize().unwrap();
        match rows(sent) {
            Some(sent) => assert_eq!(rows(&received), Some(sent)),
            None => assert_eq!(rows(&received).map_or(0, |rows| rows.num_rows()), 0),
        }
    }

    #[test]
    fn a_batch_survives_the_way_to_another_process() {
        let all = Batch::new(Partition(3), records());
        check(&all);
        check(&Batch { selection: Some(Arc::from([1, 3])), ..all.clone() });
        check(&Batch { selection: Some(Arc::from([])), ..all.clone() });
        check(&Batch { records: Some(records().slice(1, 2)), ..all });
        check(&Batch::default());
    }

    #[test]
    fn a_selection_decides_what_counts() {
        let batch =
            Batch { selection: Some(Arc::from([0, 2])), ..Batch::new(Partition(0), records()) };
        assert_eq!((batch.len(), batch.record_count(), batch.is_empty()), (2, 2, false));
        let rows = batch.materialize().unwrap().unwrap();
        let offsets = crate::schema::offsets(&rows).unwrap();
        assert_eq!(offsets.values()[..], [4, 6]);
        assert!(Batch::default().is_empty());
    }
}
