//! An operator's state to an Arrow batch and back, by shard.

use arrow::array::RecordBatch;

use crate::Result;
use crate::key::Shard;

/// State that can be written out and taken up again, shard by shard.
///
/// Restoring every shard of a snapshot into a fresh operator gives one that
/// answers all further input exactly as the first would have. Which worker
/// holds which shard may differ between the two.
pub trait Snapshot {
    /// The operator's stable id: part of the on-disk format.
    fn operator(&self) -> &'static str;

    /// The state of one shard; `None` when the shard holds none.
    ///
    /// Rows are ordered by key, so that equal states give equal bytes.
    ///
    /// # Errors
    /// Only where Arrow refuses to build the batch, which is a bug.
    fn snapshot(&self, shard: Shard) -> Result<Option<RecordBatch>>;

    /// Takes up what [`Snapshot::snapshot`] gave; called before any input.
    ///
    /// # Errors
    /// [`crate::Error::Snapshot`] when the batch was not written by this version of the operator.
    fn restore(&mut self, shard: Shard, state: &RecordBatch) -> Result<()>;
}
