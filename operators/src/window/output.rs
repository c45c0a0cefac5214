//! Closed windows to window batches ([`crate::schema::result`]).

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeListArray, ListArray, PrimitiveArray, RecordBatch, StringBuilder,
    TimestampMicrosecondArray, UInt32Array, UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Field, FieldRef, Schema, SchemaRef};

use super::lane::Lane;
use super::rows::Rows;
use crate::schema::result::{WINDOW, window_key_fields};
use crate::{Error, Result};

/// Windows in a batch: enough for a model's tile, few enough to stay in cache.
const WINDOWS: usize = 512;

/// Lanes in a batch: bounds memory where windows are long.
const LANES: usize = 1 << 20;

/// Window batches under construction.
#[derive(Debug)]
pub(super) struct Output<L> {
    width: usize,
    /// Rows in every window, where that is fixed.
    length: Option<usize>,
    schema: SchemaRef,
    item: FieldRef,
    building: Building<L>,
}

/// The columns of a batch so far.
#[derive(Debug)]
struct Building<L> {
    entities: StringBuilder,
    starts: Vec<i64>,
    ends: Vec<i64>,
    partitions: Vec<u32>,
    from: Vec<u64>,
    to: Vec<u64>,
    rows: Vec<u32>,
    /// Where each window's values end; the first is 0.
    bounds: Vec<i32>,
    values: Vec<L>,
}

impl<L: Lane> Output<L> {
    pub(super) fn new(width: usize, length: Option<usize>) -> Self {
        let item = Arc::new(Field::new("item", L::Arrow::DATA_TYPE, false));
        let column = match length {
            Some(length) => DataType::FixedSizeList(Arc::clone(&item), (width * length) as i32),
            None => DataType::List(Arc::clone(&item)),
        };
        let mut fields = window_key_fields();
        fields.push(Field::new(WINDOW, column, false));
        let schema = Arc::new(Schema::new(fields));
        Self { width, length, schema, item, building: Building::new() }
    }

    /// Appends a window: a range of an entity's final rows.
    pub(super) fn push(
        &mut self,
        entity: &str,
        rows: &Rows<L>,
        range: Range<usize>,
        end: i64,
    ) -> Result<()> {
        let keys = &rows.settled()[range.clone()];
        let lanes = rows.lanes(range);
        let (first, last) = (keys[0], keys[keys.len() - 1]);
        let (mut from, mut to) = (last.offset, last.offset);
        for key in keys.iter().filter(|key| key.partition == last.partition) {
            from = from.min(key.offset);
            to = to.max(key.offset);
        }
        let out = &mut self.building;
        if out.values.is_empty() && self.length.is_some() {
            // The size is known but for how many windows come; half of the most is a fair start.
            out.values.reserve(lanes.len() * WINDOWS / 2);
        }
        out.values.extend_from_slice(lanes);
        let bound = i32::try_from(out.values.len()).map_err(|_| {
            Error::Configuration(format!(
                "a window of {entity} holds {} rows, too many for a batch: shorten the window",
                keys.len()
            ))
        })?;
        out.bounds.push(bound);
        out.entities.append_value(entity);
        out.starts.push(first.ts);
        out.ends.push(end);
        out.partitions.push(last.partition);
        out.from.push(from);
        out.to.push(to);
        out.rows.push(keys.len() as u32);
        Ok(())
    }

    /// Whether the batch should be finished before more is appended.
    pub(super) fn is_full(&self) -> bool {
        self.building.rows.len() >= WINDOWS || self.building.values.len() >= LANES
    }

    /// The batch so far; `None` when it is empty.
    pub(super) fn finish(&mut self) -> Result<Option<RecordBatch>> {
        if self.building.rows.is_empty() {
            return Ok(None);
        }
        let mut done = std::mem::replace(&mut self.building, Building::new());
        let times = |values| TimestampMicrosecondArray::new(values, None).with_timezone("UTC");
        let values: ArrayRef = Arc::new(PrimitiveArray::<L::Arrow>::new(done.values.into(), None));
        let item = Arc::clone(&self.item);
        let windows: ArrayRef = match self.length {
            Some(length) => Arc::new(FixedSizeListArray::try_new(
                item,
                (self.width * length) as i32,
                values,
                None,
            )?),
            None => {
                let bounds = OffsetBuffer::new(done.bounds.into());
                Arc::new(ListArray::try_new(item, bounds, values, None)?)
            }
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(done.entities.finish()),
            Arc::new(times(done.starts.into())),
            Arc::new(times(done.ends.into())),
            Arc::new(UInt32Array::from(done.partitions)),
            Arc::new(UInt64Array::from(done.from)),
            Arc::new(UInt64Array::from(done.to)),
            Arc::new(UInt32Array::from(done.rows)),
            windows,
        ];
        Ok(Some(RecordBatch::try_new(Arc::clone(&self.schema), columns)?))
    }
}

impl<L> Building<L> {
    fn new() -> Self {
        Self {
            entities: StringBuilder::new(),
            starts: Vec::new(),
            ends: Vec::new(),
            partitions: Vec::new(),
            from: Vec::new(),
            to: Vec::new(),
            rows: Vec::new(),
            bounds: vec![0],
            values: Vec::new(),
        }
    }
}
