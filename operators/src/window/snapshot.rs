//! The window operator's state as a batch: one row an entity.
//!
//! Columns: `entity_id`; `mark`; `settled`, how many of the rows are final; and as lists over the rows kept,
//! in order, `ts`, `partition`, `offset`, `id`, `lanes`. What the batch holds
//! is only readable together with the specification, which its metadata names.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, ListArray, PrimitiveArray, RecordBatch, StringArray,
    UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{ArrowPrimitiveType, Field, Int64Type, Schema, UInt32Type, UInt64Type};

use super::rows::Key;
use super::{Entity, Lane, NEVER, Window};
use crate::key::{SHARDS, Shard};
use crate::schema::{ENTITY_ID, column, mismatch, texts};
use crate::snapshot::{Changes, Extent, Shards, Snapshot};
use crate::{Error, Result};

const OPERATOR: &str = "window";
const FORMAT: &str = "format";

impl<L: Lane> Window<L> {
    /// What a snapshot must have been taken with to be taken up here.
    fn format(&self) -> String {
        format!("2 {:?} {:?} x {}", self.spec, L::Arrow::DATA_TYPE, self.extract.width())
    }
}

impl<L: Lane> Window<L> {
    fn entities_of(&self, extent: Extent) -> impl Iterator<Item = &Entity<L>> {
        let whole = extent == Extent::Whole;
        self.entities.iter().filter(move |entity| whole || entity.changed)
    }

    /// The state of some entities, by name.
    fn state_of(&self, mut entities: Vec<&Entity<L>>) -> Result<RecordBatch> {
        entities.sort_unstable_by_key(|entity| &entity.name);
        let (mut keys, mut lanes) = (Vec::new(), Vec::new());
        let (mut counts, mut settled) = (Vec::new(), Vec::new());
        for entity in &entities {
            let (rows, final_rows) = entity.rows.ordered();
            counts.push(rows.len());
            settled.push(final_rows as u64);
            for (key, row) in rows {
                keys.push(key);
                lanes.extend_from_slice(row);
            }
        }
        let width = self.extract.width();
        let names = entities.iter().map(|entity| &*entity.name);
        let marks = entities.iter().map(|entity| entity.mark);
        let columns: Vec<(&str, ArrayRef)> = vec![
            (ENTITY_ID, Arc::new(StringArray::from_iter_values(names))),
            ("mark", Arc::new(Int64Array::from_iter_values(marks))),
            ("settled", Arc::new(UInt64Array::from(settled))),
            ("ts", list::<Int64Type>(&counts, 1, keys.iter().map(|key| key.ts).collect())?),
            (
                "partition",
                list::<UInt32Type>(&counts, 1, keys.iter().map(|key| key.partition).collect())?,
            ),
            (
                "offset",
                list::<UInt64Type>(&counts, 1, keys.iter().map(|key| key.offset).collect())?,
            ),
            ("id", list::<UInt64Type>(&counts, 1, keys.iter().map(|key| key.id).collect())?),
            ("lanes", list::<L::Arrow>(&counts, width, lanes)?),
        ];
        let fields: Vec<Field> = columns
            .iter()
            .map(|(name, array)| Field::new(*name, array.data_type().clone(), false))
            .collect();
        let metadata = HashMap::from([(FORMAT.to_owned(), self.format())]);
        let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
        let columns = columns.into_iter().map(|(_, array)| array).collect();
        Ok(RecordBatch::try_new(schema, columns)?)
    }
}

impl<L: Lane> Snapshot for Window<L> {
    fn operator(&self) -> &'static str {
        OPERATOR
    }

    fn snapshot(&self, shard: Shard, extent: Extent) -> Result<Option<RecordBatch>> {
        let of_shard = |entity: &&Entity<L>| Shard::of_hash(entity.hash) == shard;
        let entities: Vec<_> = self.entities_of(extent).filter(of_shard).collect();
        if entities.is_empty() { Ok(None) } else { self.state_of(entities).map(Some) }
    }

    fn snapshots(&self, extent: Extent) -> Shards<'_> {
        let mut shards: Vec<Vec<&Entity<L>>> = vec![Vec::new(); SHARDS];
        for entity in self.entities_of(extent) {
            shards[usize::from(Shard::of_hash(entity.hash).0)].push(entity);
        }
        let held = (0..=u8::MAX).zip(shards).filter(|(_, entities)| !entities.is_empty());
        Box::new(held.map(|(shard, entities)| Ok((Shard(shard), self.state_of(entities)?))))
    }

    fn changes(&self) -> Option<Changes> {
        let changed = self.entities_of(Extent::Changed).count();
        Some(Changes { keys: self.entities.len(), changed })
    }

    fn saved(&mut self) {
        self.entities.iter_mut().for_each(|entity| entity.changed = false);
    }

    fn restore(&mut self, shard: Shard, state: &RecordBatch) -> Result<()> {
        let refuse = |reason: String| Err(Error::Snapshot { operator: OPERATOR, reason });
        let found = state.schema_ref().metadata().get(FORMAT).map_or("none", String::as_str);
        if found != self.format() {
            return refuse(format!("written as {found}, wanted {}", self.format()));
        }
        let names = texts(state, ENTITY_ID)?;
        let marks = primitive::<Int64Type>(state, "mark")?;
        let settled = primitive::<UInt64Type>(state, "settled")?;
        let (ts, bounds) = lists::<Int64Type>(state, "ts")?;
        let (partitions, _) = lists::<UInt32Type>(state, "partition")?;
        let (offsets, _) = lists::<UInt64Type>(state, "offset")?;
        let (ids, _) = lists::<UInt64Type>(state, "id")?;
        let (lanes, _) = lists::<L::Arrow>(state, "lanes")?;
        let width = self.extract.width();
        if [partitions.len(), offsets.len(), ids.len(), lanes.len() / width] != [ts.len(); 4] {
            return refuse("its columns differ in length".to_owned());
        }
        for row in 0..state.num_rows() {
            if Shard::of(names.value(row)) != shard {
                return refuse(format!("{} does not belong to {shard:?}", names.value(row)));
            }
            let slot = self.slot(names.value(row)) as usize;
            let entity = &mut self.entities[slot];
            entity.mark = marks[row];
            let (from, to) = (bounds[row] as usize, bounds[row + 1] as usize);
            for at in from..to {
                let key =
                    Key { ts: ts[at], partition: partitions[at], offset: offsets[at], id: ids[at] };
                entity.rows.push(key, &lanes[at * width..(at + 1) * width]);
            }
            entity.rows.restore_settled(settled[row] as usize);
            // The first advance looks at every restored entity and finds out what is due.
            self.due[slot] = if from == to { NEVER } else { i64::MIN };
        }
        Ok(())
    }
}

fn list<T: ArrowPrimitiveType>(
    counts: &[usize],
    width: usize,
    values: Vec<T::Native>,
) -> Result<ArrayRef> {
    let item = Arc::new(Field::new("item", T::DATA_TYPE, false));
    let bounds = OffsetBuffer::from_lengths(counts.iter().map(|count| count * width));
    let values = PrimitiveArray::<T>::new(values.into(), None);
    Ok(Arc::new(ListArray::try_new(item, bounds, Arc::new(values), None)?))
}

fn primitive<'a, T: ArrowPrimitiveType>(
    state: &'a RecordBatch,
    name: &str,
) -> Result<&'a [T::Native]> {
    let array = column(state, name)?;
    match array.as_primitive_opt::<T>() {
        Some(array) => Ok(array.values()),
        None => Err(mismatch(name, &T::DATA_TYPE.to_string(), array)),
    }
}

/// A list column's values and bounds, the first bound being 0.
fn lists<'a, T: ArrowPrimitiveType>(
    state: &'a RecordBatch,
    name: &str,
) -> Result<(&'a [T::Native], Vec<i32>)> {
    let array = column(state, name)?;
    let list = array.as_list_opt::<i32>();
    let values = list.and_then(|list| list.values().as_primitive_opt::<T>());
    let (Some(list), Some(values)) = (list, values) else {
        return Err(mismatch(name, "a list", array));
    };
    let bounds = list.value_offsets();
    let (first, last) = (bounds[0], bounds[bounds.len() - 1]);
    let values = &values.values()[first as usize..last as usize];
    Ok((values, bounds.iter().map(|bound| bound - first).collect()))
}
