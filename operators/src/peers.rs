//! How many other principals had used an operation before: what is rare among peers.
//!
//! A window's operations go to the workers that own them, each with its principal and the window's end;
//! back comes, for each, how many *other* principals had a window with it that ended earlier. "Earlier"
//! is event time, and a watermark passes the ends of all entities' windows at once, so that an answer
//! depends on the stream alone, and on no cut. Of an operation the [`ENOUGH`] principals that used it
//! first are remembered: what so many do is not rare, and more need not be told apart.
//!
//! Three steps in the graph: [`operations`], [`Peers::answer`] where an operation lives, and [`with_peers`]
//! where the window does; [`Peers::append`] is all three where there is one worker.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Int64Array, ListArray, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt32Array, UInt32Builder, UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, UInt32Type, UInt64Type};
use hashbrown::HashMap;

use crate::event::{LANES, OPERATION_LANE, events};
use crate::key::{SHARDS, Shard, hash};
use crate::schema::result::{PEERS, WINDOW_END};
use crate::schema::{ENTITY_ID, column, mismatch, texts, times, timestamp};
use crate::snapshot::{Changes, Extent, Snapshot};
use crate::{Error, Result};

/// Principals remembered an operation.
pub const ENOUGH: u32 = 63;

/// The column by which operations are routed: their hash, hexadecimal.
pub const OPERATION: &str = "operation";

/// Who used an operation first.
#[derive(Debug, Clone, Default)]
struct Users {
    /// The end of a principal's first window with it (µs), and the principal's hash; ascending, at
    /// most one more than [`ENOUGH`], as the one that asks does not count.
    first: Vec<(i64, u64)>,
    changed: bool,
}

impl Users {
    /// How many others had it before.
    fn before(&self, end: i64, principal: u64) -> u32 {
        let earlier = self.first.iter().take_while(|(first, _)| *first < end);
        earlier.filter(|(_, other)| *other != principal).count().min(ENOUGH as usize) as u32
    }

    fn meet(&mut self, end: i64, principal: u64) {
        if let Some(at) = self.first.iter().position(|(_, known)| *known == principal) {
            if self.first[at].0 <= end {
                return;
            }
            self.first.remove(at);
        }
        let at = self.first.partition_point(|known| *known < (end, principal));
        if at <= ENOUGH as usize {
            self.first.insert(at, (end, principal));
            self.first.truncate(ENOUGH as usize + 1);
            self.changed = true;
        }
    }
}

/// The operator: who used which operation first.
#[derive(Debug, Clone)]
pub struct Peers {
    shards: Vec<HashMap<String, Users>>,
}

impl Default for Peers {
    fn default() -> Self {
        Self { shards: vec![HashMap::new(); SHARDS] }
    }
}

/// The distinct operations of audit windows: `operation`, `entity_id`, `window_end`, by window.
///
/// # Errors
/// [`Error::Column`] when the batch holds no audit windows.
pub fn operations(windows: &RecordBatch) -> Result<RecordBatch> {
    let entities = texts(windows, ENTITY_ID)?;
    let ends = times(windows, WINDOW_END)?;
    let (values, bounds) = events(windows)?;
    let (mut names, mut of, mut at) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..windows.num_rows() {
        let events = values[bounds[row]..bounds[row + 1]].chunks_exact(LANES);
        let mut operations: Vec<u64> = events.map(|event| event[OPERATION_LANE]).collect();
        operations.sort_unstable();
        operations.dedup();
        for operation in operations {
            names.push(format!("{operation:016x}"));
            of.push(entities.value(row));
            at.push(ends[row]);
        }
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(names)),
        Arc::new(StringArray::from(of)),
        Arc::new(TimestampMicrosecondArray::from(at).with_timezone("UTC")),
    ];
    Ok(RecordBatch::try_new(asked(), columns)?)
}

fn asked() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new(OPERATION, DataType::Utf8, false),
        Field::new(ENTITY_ID, DataType::Utf8, false),
        Field::new(WINDOW_END, timestamp(), false),
    ]))
}

impl Peers {
    /// An operator that knows no operation.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// All of an epoch's [`operations`] of this worker: the same rows with `peers` behind them.
    ///
    /// Windows of later epochs must end later.
    ///
    /// # Errors
    /// [`Error::Column`] when a batch is not of [`operations`].
    pub fn answer(&mut self, asked: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
        for batch in asked {
            for (operation, principal, end) in rows(batch)? {
                let users = &mut self.shards[usize::from(Shard::of(operation).0)];
                users.entry_ref(operation).or_default().meet(end, principal);
            }
        }
        asked.iter().map(|batch| self.answered(batch)).collect()
    }

    fn answered(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let peers = rows(batch)?.map(|(operation, principal, end)| {
            let users = self.shards[usize::from(Shard::of(operation).0)].get(operation);
            users.map_or(0, |users| users.before(end, principal))
        });
        let peers: ArrayRef = Arc::new(UInt32Array::from_iter_values(peers));
        let mut fields: Vec<_> = batch.schema().fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(PEERS, DataType::UInt32, false)));
        let columns = batch.columns().iter().cloned().chain([peers]).collect();
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
    }

    /// Windows of an epoch with `peers`, where one worker has everything.
    ///
    /// # Errors
    /// [`Error::Column`] when a batch holds no audit windows.
    pub fn append(&mut self, windows: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
        let asked = windows.iter().map(operations).collect::<Result<Vec<_>>>()?;
        let mut all = self.answer(&asked)?;
        all.extend_from_slice(windows);
        with_peers(&all)
    }
}

/// A batch's operation, hash of the principal, and window's end, row by row.
fn rows(batch: &RecordBatch) -> Result<impl Iterator<Item = (&str, u64, i64)>> {
    let (operations, entities) = (texts(batch, OPERATION)?, texts(batch, ENTITY_ID)?);
    let ends = times(batch, WINDOW_END)?;
    Ok((0..batch.num_rows())
        .map(move |row| (operations.value(row), hash(entities.value(row).as_bytes()), ends[row])))
}

/// An epoch's windows and what [`Peers::answer`] gave for them, in any order of batches, to the windows
/// with `peers`: for each event, how many other principals had used its operation before.
///
/// # Errors
/// [`Error::Column`] when an operation of a window was not answered.
pub fn with_peers(batches: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
    let is_answer = |batch: &&RecordBatch| batch.schema().column_with_name(PEERS).is_some();
    let mut known: HashMap<(&str, i64, u64), u32> = HashMap::new();
    for batch in batches.iter().filter(is_answer) {
        let (operations, entities) = (texts(batch, OPERATION)?, texts(batch, ENTITY_ID)?);
        let ends = times(batch, WINDOW_END)?;
        let array = column(batch, PEERS)?;
        let peers = array
            .as_primitive_opt::<UInt32Type>()
            .ok_or_else(|| mismatch(PEERS, "UInt32", array))?;
        for (row, end) in ends.iter().enumerate() {
            let operation = u64::from_str_radix(operations.value(row), 16);
            let operation = operation
                .map_err(|_| mismatch(OPERATION, "a hash, hexadecimal", batch.column(0)))?;
            known.insert((entities.value(row), *end, operation), peers.value(row));
        }
    }
    let windows = batches.iter().filter(|batch| !is_answer(batch));
    windows.map(|batch| with_known(batch, &known)).collect()
}

fn with_known(
    windows: &RecordBatch,
    known: &HashMap<(&str, i64, u64), u32>,
) -> Result<RecordBatch> {
    let entities = texts(windows, ENTITY_ID)?;
    let ends = times(windows, WINDOW_END)?;
    let (values, bounds) = events(windows)?;
    let (mut peers, mut lengths) = (UInt32Builder::new(), Vec::new());
    for row in 0..windows.num_rows() {
        let events = values[bounds[row]..bounds[row + 1]].chunks_exact(LANES);
        lengths.push(events.len());
        for event in events {
            let key = (entities.value(row), ends[row], event[OPERATION_LANE]);
            let found = known.get(&key).copied();
            peers.append_value(found.ok_or_else(|| Error::Column {
                column: PEERS.to_owned(),
                expected: format!("an answer for every operation of {}", key.0),
                found: "none".to_owned(),
            })?);
        }
    }
    let item = Arc::new(Field::new("item", DataType::UInt32, false));
    let offsets = OffsetBuffer::from_lengths(lengths);
    let list = ListArray::try_new(item, offsets, Arc::new(peers.finish()), None)?;
    let mut fields: Vec<_> = windows.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(PEERS, arrow::array::Array::data_type(&list).clone(), false)));
    let columns = windows.columns().iter().cloned().chain([Arc::new(list) as ArrayRef]).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// The key is the operation, in the column that snapshots know keys by.
fn state_schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new(ENTITY_ID, DataType::Utf8, false),
        Field::new("principal", DataType::UInt64, false),
        Field::new("first", DataType::Int64, false),
    ]))
}

impl Snapshot for Peers {
    fn operator(&self) -> &'static str {
        "peers"
    }

    fn snapshot(&self, shard: Shard, extent: Extent) -> Result<Option<RecordBatch>> {
        let whole = extent == Extent::Whole;
        let users = self.shards[usize::from(shard.0)].iter();
        let mut users: Vec<_> = users.filter(|(_, users)| whole || users.changed).collect();
        if users.is_empty() {
            return Ok(None);
        }
        users.sort_unstable_by_key(|(operation, _)| *operation);
        let rows: Vec<(&str, u64, i64)> = users
            .into_iter()
            .flat_map(|(operation, users)| {
                users.first.iter().map(|(end, principal)| (&**operation, *principal, *end))
            })
            .collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
            Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.1))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2))),
        ];
        Ok(Some(RecordBatch::try_new(state_schema(), columns)?))
    }

    fn restore(&mut self, shard: Shard, state: &RecordBatch) -> Result<()> {
        if state.schema().fields() != state_schema().fields() {
            return Err(Error::Snapshot {
                operator: "peers",
                reason: "its columns are not those of this build".to_owned(),
            });
        }
        let operations = state.column(0).as_string::<i32>();
        let principals = state.column(1).as_primitive::<UInt64Type>();
        let ends = state.column(2).as_primitive::<Int64Type>();
        let shard = &mut self.shards[usize::from(shard.0)];
        for row in 0..state.num_rows() {
            let users = shard.entry_ref(operations.value(row)).or_default();
            users.first.push((ends.value(row), principals.value(row)));
        }
        Ok(())
    }

    fn changes(&self) -> Option<Changes> {
        let users = self.shards.iter().flat_map(HashMap::values);
        let changed = users.filter(|users| users.changed).count();
        Some(Changes { keys: self.shards.iter().map(HashMap::len).sum(), changed })
    }

    fn saved(&mut self) {
        let users = self.shards.iter_mut().flat_map(HashMap::values_mut);
        users.for_each(|users| users.changed = false);
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;

    use super::*;
    use crate::event::tests::{EVENTS, windows};
    use crate::snapshot::{chunks, restore};

    #[test]
    fn only_others_count_and_only_those_before() {
        let mut users = Users::default();
        for (end, principal) in [(20, 2), (10, 1), (30, 3), (5, 1), (40, 2)] {
            users.meet(end, principal);
        }
        assert_eq!(users.first, [(5, 1), (20, 2), (30, 3)]);
        let before = |end, principal| users.before(end, principal);
        assert_eq!((before(5, 9), before(6, 9), before(6, 1)), (0, 1, 0));
        assert_eq!((before(31, 9), before(31, 2), before(20, 1)), (3, 2, 0));
    }

    #[test]
    fn memory_is_bounded_and_order_does_not_matter() {
        let all: Vec<(i64, u64)> = (0..200).map(|n| (n, n as u64 * 7919 % 1_009)).collect();
        let (mut ahead, mut back) = (Users::default(), Users::default());
        all.iter().for_each(|(end, principal)| ahead.meet(*end, *principal));
        all.iter().rev().for_each(|(end, principal)| back.meet(*end, *principal));
        assert_eq!(ahead.first, back.first);
        assert_eq!(ahead.first.len(), ENOUGH as usize + 1);
        assert_eq!(ahead.before(i64::MAX, all[0].1), ENOUGH);
    }

    fn peers(windows: &[RecordBatch]) -> Vec<Vec<u32>> {
        let lists = windows.iter().flat_map(|batch| {
            let lists = batch.column_by_name(PEERS).unwrap().as_list::<i32>().clone();
            (0..lists.len())
                .map(move |row| lists.value(row).as_primitive::<UInt32Type>().values().to_vec())
        });
        lists.collect()
    }

    #[test]
    fn windows_cut_in_any_way_get_the_same_answers() {
        let bare = windows(&EVENTS);
        let whole = Peers::new().append(&bare).unwrap();
        let bare = arrow::compute::concat_batches(&bare[0].schema(), &bare).unwrap();
        let ends = times(&bare, WINDOW_END).unwrap().to_vec();
        let want = peers(&whole);
        // bob's second window names an operation of his own, ann's third one that bob had before.
        assert!(want.iter().flatten().any(|peers| *peers == 1), "{want:?}");
        for cut in [600_000_000, 1_200_000_000] {
            let rows = |later: bool| -> Vec<RecordBatch> {
                let of = (0..bare.num_rows()).filter(|row| (ends[*row] > cut) == later);
                of.map(|row| bare.slice(row, 1)).collect()
            };
            let mut first = Peers::new();
            let before = first.append(&rows(false)).unwrap();
            let state: Vec<_> = chunks(&first, Extent::Whole).collect::<Result<_>>().unwrap();
            let mut second = Peers::new();
            restore(&mut second, &[state], |_| true).unwrap();
            let after = second.append(&rows(true)).unwrap();
            let place = |batch: &RecordBatch| {
                let name = texts(batch, ENTITY_ID).unwrap().value(0).to_owned();
                (name, times(batch, WINDOW_END).unwrap()[0])
            };
            let mut found: Vec<_> = before.iter().chain(&after).collect();
            let order: Vec<_> =
                (0..bare.num_rows()).map(|row| place(&bare.slice(row, 1))).collect();
            found.sort_by_key(|batch| order.iter().position(|at| *at == place(batch)));
            let found: Vec<RecordBatch> = found.into_iter().cloned().collect();
            assert_eq!(peers(&found), want, "cut at {cut}");
        }
    }
}
