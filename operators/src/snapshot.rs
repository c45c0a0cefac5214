//! An operator's state to Arrow batches and back, by shard.
//!
//! State is kept by key, in most operators the entity, and a snapshot holds either all keys or those
//! that changed since the last one ([`Extent`]). Operators never take a key out: what a snapshot of
//! changed keys does not mention is as the one before it says.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, UInt8Array};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, UInt8Type};
use serde::{Deserialize, Serialize};

use crate::key::Shard;
use crate::schema::{ENTITY_ID, texts};
use crate::{Error, Result};

/// Which keys a snapshot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// All of them.
    Whole,
    /// Those that changed since [`Snapshot::saved`] was last called.
    Changed,
}

/// How much of an operator's state has changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// Keys that hold state.
    pub keys: usize,
    /// Those of them that changed since [`Snapshot::saved`] was last called.
    pub changed: usize,
}

/// The state of shards, one after the other.
pub type Shards<'a> = Box<dyn Iterator<Item = Result<(Shard, RecordBatch)>> + 'a>;

/// State that can be written out and taken up again, shard by shard.
///
/// Restoring every shard of a snapshot into a fresh operator gives one that
/// answers all further input exactly as the first would have. Which worker
/// holds which shard may differ between the two.
pub trait Snapshot {
    /// The operator's stable id: part of the on-disk format.
    fn operator(&self) -> &'static str;

    /// The state of one shard; `None` when the shard holds none of that extent.
    ///
    /// Rows are ordered by key, so that equal states give equal bytes. An operator that keeps no
    /// account of changes gives all its keys for either extent.
    ///
    /// # Errors
    /// Only where Arrow refuses to build the batch, which is a bug.
    fn snapshot(&self, shard: Shard, extent: Extent) -> Result<Option<RecordBatch>>;

    /// The state of every shard that holds any, ascending: what asking for one after the other gives,
    /// for operators that can tell in one pass. Each is built when it is asked for.
    fn snapshots(&self, extent: Extent) -> Shards<'_> {
        Box::new((0..=u8::MAX).filter_map(move |shard| {
            let state = self.snapshot(Shard(shard), extent).transpose()?;
            Some(state.map(|state| (Shard(shard), state)))
        }))
    }

    /// Takes up what [`Snapshot::snapshot`] gave; called before any input. What is taken up has not
    /// changed. Several calls may bring a shard's keys, each key once.
    ///
    /// # Errors
    /// [`crate::Error::Snapshot`] when the batch was not written by this version of the operator.
    fn restore(&mut self, shard: Shard, state: &RecordBatch) -> Result<()>;

    /// How much has changed; `None` where no account is kept, as of small states: such a state is
    /// always written whole.
    fn changes(&self) -> Option<Changes> {
        None
    }

    /// The state has been written down: changes count from here.
    fn saved(&mut self) {}
}

/// The name of the column that [`chunks`] puts before an operator's own.
const SHARD: &str = "shard";

/// The least size of a chunk but the last, bytes. A chunk is made of whole shards, so it may be as
/// much larger as a shard is.
const CHUNK: usize = 4 << 20;

/// An operator's state in chunks, each built when it is asked for: `shard` (`UInt8`), then the
/// operator's own columns. A key's rows are all in one chunk.
pub fn chunks(
    operator: &dyn Snapshot,
    extent: Extent,
) -> impl Iterator<Item = Result<RecordBatch>> + '_ {
    let mut shards = operator.snapshots(extent);
    std::iter::from_fn(move || {
        let (mut parts, mut size) = (Vec::new(), 0);
        while size < CHUNK {
            match shards.next() {
                Some(Ok((shard, state))) => {
                    size += state.get_array_memory_size();
                    match with_shard(shard, &state) {
                        Ok(part) => parts.push(part),
                        Err(error) => return Some(Err(error)),
                    }
                }
                Some(Err(error)) => return Some(Err(error)),
                None => break,
            }
        }
        let schema = parts.first()?.schema();
        Some(concat_batches(&schema, &parts).map_err(Error::from))
    })
}

fn with_shard(Shard(shard): Shard, state: &RecordBatch) -> Result<RecordBatch> {
    let mut fields = vec![Arc::new(Field::new(SHARD, DataType::UInt8, false))];
    fields.extend(state.schema().fields().iter().cloned());
    let schema = Schema::new_with_metadata(fields, state.schema().metadata().clone());
    let column: ArrayRef = Arc::new(UInt8Array::from_value(shard, state.num_rows()));
    let columns = [column].into_iter().chain(state.columns().iter().cloned()).collect();
    Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
}

/// Takes an operator's state up from chunks, the newest first.
#[derive(Debug, Default)]
pub struct Restorer {
    /// Keys that have been taken up, as long as older chunks may hold them too.
    known: HashSet<Box<str>>,
}

impl Restorer {
    /// Takes up what of a chunk is owned here and no newer chunk has brought. `last` says that no
    /// older chunk follows that may hold the same keys.
    ///
    /// # Errors
    /// [`Error::Snapshot`] when the chunk was not written by [`chunks`] of this operator.
    pub fn take_up(
        &mut self,
        operator: &mut dyn Snapshot,
        chunk: &RecordBatch,
        last: bool,
        owned: impl Fn(Shard) -> bool,
    ) -> Result<()> {
        let shards = chunk.columns().first().filter(|_| chunk.schema().field(0).name() == SHARD);
        let shards = shards.and_then(|column| column.as_primitive_opt::<UInt8Type>());
        let shards = shards.ok_or_else(|| Error::Snapshot {
            operator: operator.operator(),
            reason: format!("its first column is not `{SHARD}`"),
        })?;
        let own = chunk.project(&(1..chunk.num_columns()).collect::<Vec<_>>())?;
        let mut from = 0;
        for run in shards.values().chunk_by(|a, b| a == b) {
            if owned(Shard(run[0])) {
                let state = self.unknown(&own.slice(from, run.len()))?;
                operator.restore(Shard(run[0]), &state)?;
                if !last {
                    let keys = texts(&state, ENTITY_ID)?;
                    self.known.extend(keys.iter().flatten().map(Box::from));
                }
            }
            from += run.len();
        }
        Ok(())
    }

    /// The rows whose key no newer chunk has brought.
    fn unknown(&self, state: &RecordBatch) -> Result<RecordBatch> {
        if self.known.is_empty() {
            return Ok(state.clone());
        }
        let keys = texts(state, ENTITY_ID)?;
        let unknown = keys.iter().map(|key| key.map(|key| !self.known.contains(key)));
        Ok(filter_record_batch(state, &unknown.collect::<BooleanArray>())?)
    }
}

/// Takes up those shards that are owned here of snapshots: a whole one, then what changed since,
/// each in chunks.
///
/// # Errors
/// As [`Restorer::take_up`].
pub fn restore(
    operator: &mut dyn Snapshot,
    snapshots: &[Vec<RecordBatch>],
    owned: impl Fn(Shard) -> bool,
) -> Result<()> {
    let mut restorer = Restorer::default();
    for (at, chunks) in snapshots.iter().enumerate().rev() {
        for chunk in chunks {
            restorer.take_up(operator, chunk, at == 0, &owned)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use arrow::array::{StringArray, UInt64Array};
    use arrow::datatypes::UInt64Type;
    use proptest::prelude::*;

    use super::*;

    /// A count a key, and the keys that have changed.
    #[derive(Debug, Default, Clone)]
    struct Counts(BTreeMap<String, u64>, BTreeSet<String>);

    impl Counts {
        fn add(&mut self, key: &str, count: u64) {
            *self.0.entry(key.to_owned()).or_default() += count;
            self.1.insert(key.to_owned());
        }
    }

    impl Snapshot for Counts {
        fn operator(&self) -> &'static str {
            "counts"
        }

        fn snapshot(&self, shard: Shard, extent: Extent) -> Result<Option<RecordBatch>> {
            let wanted = |key: &str| extent == Extent::Whole || self.1.contains(key);
            let of_shard = self.0.iter().filter(|(key, _)| Shard::of(key) == shard && wanted(key));
            let (keys, counts): (Vec<_>, Vec<_>) = of_shard.map(|(k, n)| (k.as_str(), *n)).unzip();
            if keys.is_empty() {
                return Ok(None);
            }
            let columns: [(&str, ArrayRef); 2] = [
                (ENTITY_ID, Arc::new(StringArray::from(keys))),
                ("count", Arc::new(UInt64Array::from(counts))),
            ];
            Ok(Some(RecordBatch::try_from_iter(columns)?))
        }

        fn restore(&mut self, _: Shard, state: &RecordBatch) -> Result<()> {
            let counts = state.column(1).as_primitive::<UInt64Type>();
            for (key, count) in texts(state, ENTITY_ID)?.iter().flatten().zip(counts.values()) {
                let before = self.0.insert(key.to_owned(), *count);
                assert_eq!(before, None, "{key} is brought once");
            }
            Ok(())
        }

        fn changes(&self) -> Option<Changes> {
            Some(Changes { keys: self.0.len(), changed: self.1.len() })
        }

        fn saved(&mut self) {
            self.1.clear();
        }
    }

    fn all(operator: &Counts, extent: Extent) -> Vec<RecordBatch> {
        chunks(operator, extent).collect::<Result<_>>().expect("builds")
    }

    /// Takes up snapshots, oldest first, on so many workers.
    fn taken_up(snapshots: &[Vec<RecordBatch>], workers: usize) -> Vec<Counts> {
        let worker = |worker: usize| {
            let mut operator = Counts::default();
            let owned = |shard: Shard| shard.worker(workers) == worker;
            restore(&mut operator, snapshots, owned).expect("fits");
            operator
        };
        (0..workers).map(worker).collect()
    }

    proptest! {
        /// Whatever changes between snapshots, all keys of the first and the changed ones of the
        /// others make the same state as all keys of the last.
        #[test]
        fn changes_upon_a_whole_make_a_whole(
            steps in prop::collection::vec(
                prop::collection::vec((0..40_u8, 1..9_u64), 0..30), 1..6),
            workers in 1..4_usize,
        ) {
            let mut counts = Counts::default();
            let mut snapshots = Vec::new();
            for step in steps {
                for (key, count) in step {
                    counts.add(&format!("key {key}"), count);
                }
                let extent = if snapshots.is_empty() { Extent::Whole } else { Extent::Changed };
                snapshots.push(all(&counts, extent));
                counts.saved();
            }
            let parts = taken_up(&snapshots, workers);
            let mut together = BTreeMap::new();
            for (worker, part) in parts.into_iter().enumerate() {
                prop_assert!(part.0.keys().all(|key| Shard::of(key).worker(workers) == worker));
                together.extend(part.0);
            }
            prop_assert_eq!(together, counts.0);
        }
    }

    #[test]
    fn a_state_that_does_not_fit_a_chunk_takes_several() {
        let mut counts = Counts::default();
        (0..60_000).for_each(|key| counts.add(&format!("{key:0100}"), key));
        let chunks = all(&counts, Extent::Whole);
        assert!(chunks.len() > 1, "{} chunks", chunks.len());
        let sizes = chunks.iter().map(RecordBatch::get_array_memory_size);
        assert!(sizes.max() < Some(2 * CHUNK), "a chunk is little more than {CHUNK}");
        assert_eq!(taken_up(&[chunks], 1)[0].0, counts.0);
        assert!(all(&Counts::default(), Extent::Whole).is_empty());
    }

    #[test]
    fn foreign_state_is_refused_by_name() {
        let column: ArrayRef = Arc::new(UInt64Array::from(vec![1]));
        let state = RecordBatch::try_from_iter([("count", column)]).expect("one column");
        let error = restore(&mut Counts::default(), &[vec![state]], |_| true);
        let error = error.expect_err("no shards");
        assert!(error.to_string().contains("counts"), "{error}");
    }
}
