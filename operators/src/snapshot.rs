//! An operator's state to an Arrow batch and back, by shard.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt8Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, UInt8Type};

use crate::key::Shard;
use crate::{Error, Result};

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

    /// The state of every shard that holds any, ascending: what asking for one after the other gives,
    /// for operators that can tell in one pass.
    ///
    /// # Errors
    /// As [`Snapshot::snapshot`].
    fn snapshots(&self) -> Result<Vec<(Shard, RecordBatch)>> {
        let each = (0..=u8::MAX).map(|shard| {
            let shard = Shard(shard);
            Ok(self.snapshot(shard)?.map(|state| (shard, state)))
        });
        each.filter_map(Result::transpose).collect()
    }

    /// Takes up what [`Snapshot::snapshot`] gave; called before any input.
    ///
    /// # Errors
    /// [`crate::Error::Snapshot`] when the batch was not written by this version of the operator.
    fn restore(&mut self, shard: Shard, state: &RecordBatch) -> Result<()>;
}

/// The name of the column that [`snapshot`] puts before an operator's own.
const SHARD: &str = "shard";

/// The state of all shards an operator holds, as one batch: `shard` (`UInt8`), then its own columns.
/// `None` when it holds none.
///
/// # Errors
/// As [`Snapshot::snapshot`].
pub fn snapshot(operator: &dyn Snapshot) -> Result<Option<RecordBatch>> {
    let mut parts = Vec::new();
    for (Shard(shard), state) in operator.snapshots()? {
        let mut fields = vec![Arc::new(Field::new(SHARD, DataType::UInt8, false))];
        fields.extend(state.schema().fields().iter().cloned());
        let schema = Schema::new_with_metadata(fields, state.schema().metadata().clone());
        let column: ArrayRef = Arc::new(UInt8Array::from_value(shard, state.num_rows()));
        let columns = [column].into_iter().chain(state.columns().iter().cloned()).collect();
        parts.push(RecordBatch::try_new(Arc::new(schema), columns)?);
    }
    let Some(first) = parts.first() else { return Ok(None) };
    Ok(Some(concat_batches(&first.schema(), &parts)?))
}

/// Takes up those shards of a state that are owned here.
///
/// # Errors
/// [`Error::Snapshot`] when the batch was not written by [`snapshot`] of this operator.
pub fn restore(
    operator: &mut dyn Snapshot,
    state: &RecordBatch,
    owned: impl Fn(Shard) -> bool,
) -> Result<()> {
    let shards = state.columns().first().filter(|_| state.schema().field(0).name() == SHARD);
    let shards = shards.and_then(|column| column.as_primitive_opt::<UInt8Type>());
    let shards = shards.ok_or_else(|| Error::Snapshot {
        operator: operator.operator(),
        reason: format!("its first column is not `{SHARD}`"),
    })?;
    let own = state.project(&(1..state.num_columns()).collect::<Vec<_>>())?;
    let mut from = 0;
    for run in shards.values().chunk_by(|a, b| a == b) {
        if owned(Shard(run[0])) {
            operator.restore(Shard(run[0]), &own.slice(from, run.len()))?;
        }
        from += run.len();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::UInt64Array;
    use arrow::datatypes::UInt64Type;

    use super::*;

    /// A count a key.
    #[derive(Debug, Default, Clone, PartialEq)]
    struct Counts(BTreeMap<u8, Vec<u64>>);

    impl Snapshot for Counts {
        fn operator(&self) -> &'static str {
            "counts"
        }

        fn snapshot(&self, shard: Shard) -> Result<Option<RecordBatch>> {
            let Some(counts) = self.0.get(&shard.0) else { return Ok(None) };
            let column: ArrayRef = Arc::new(UInt64Array::from(counts.clone()));
            Ok(Some(RecordBatch::try_from_iter([("count", column)])?))
        }

        fn restore(&mut self, shard: Shard, state: &RecordBatch) -> Result<()> {
            let counts = state.column(0).as_primitive::<UInt64Type>().values().to_vec();
            self.0.insert(shard.0, counts);
            Ok(())
        }
    }

    #[test]
    fn shards_are_taken_up_where_they_are_owned() {
        let all = Counts(BTreeMap::from([(0, vec![1, 2]), (7, vec![3]), (255, vec![4, 5, 6])]));
        let state = snapshot(&all).expect("builds").expect("holds shards");
        assert_eq!(state.num_rows(), 6);
        let mut parts = [Counts::default(), Counts::default()];
        for (worker, part) in parts.iter_mut().enumerate() {
            restore(part, &state, |shard| shard.worker(2) == worker).expect("fits");
        }
        assert_eq!(parts[0].0, BTreeMap::from([(0, vec![1, 2])]));
        assert_eq!(parts[1].0, BTreeMap::from([(7, vec![3]), (255, vec![4, 5, 6])]));
        let mut whole = Counts::default();
        restore(&mut whole, &state, |_| true).expect("fits");
        assert_eq!(whole, all);
        assert!(snapshot(&Counts::default()).expect("builds").is_none());
    }

    #[test]
    fn foreign_state_is_refused_by_name() {
        let column: ArrayRef = Arc::new(UInt64Array::from(vec![1]));
        let state = RecordBatch::try_from_iter([("count", column)]).expect("one column");
        let error = restore(&mut Counts::default(), &state, |_| true).expect_err("no shards");
        assert!(error.to_string().contains("counts"), "{error}");
    }
}
