//! Totals to Arrow batches and back, out of the arrangement.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Field, Int64Type, Schema, SchemaRef};
use differential_dataflow::difference::{IsZero, Semigroup};
use differential_dataflow::trace::TraceReader;
use differential_dataflow::trace::cursor::{Cursor, cursor_list};
use differential_dataflow::trace::implementations::spine_fueled::SpineBatch;
use timely::progress::frontier::Antichain;

use super::key::{Key, Period};
use super::rest::Rest;
use super::{Rollups, Sums, Trace};
use crate::key::Shard;
use crate::schema::ENTITY_ID;
use crate::schema::cost::{BILLED_COST, CURRENCY, EFFECTIVE_COST, money, money_array};
use crate::snapshot::{Changes, Extent, Shards, Snapshot};
use crate::{Error, Result};

fn state_schema() -> SchemaRef {
    let field = |name, kind, nullable| Field::new(name, kind, nullable);
    Arc::new(Schema::new(vec![
        field(ENTITY_ID, DataType::Utf8, false),
        field("by", DataType::Utf8, false),
        field("period", DataType::Utf8, false),
        field("start", DataType::Date32, false),
        field("name", DataType::Utf8, true),
        field(CURRENCY, DataType::Utf8, false),
        field(BILLED_COST, money(), false),
        field(EFFECTIVE_COST, money(), false),
        field("charges", DataType::Int64, false),
        field("records", DataType::Int64, false),
    ]))
}

fn shard(key: &Key) -> Shard {
    Shard::of(key.name.as_deref().unwrap_or_default())
}

/// A part of the arrangement.
type Batch = <Trace as TraceReader>::Batch;

fn refused(reason: &str) -> Error {
    Error::Snapshot { operator: "rollup", reason: reason.to_owned() }
}

impl Rollups {
    /// Keys' totals in order, by shard: all that are not nothing, or all of which something was said.
    fn totals(&self, extent: Extent) -> Result<BTreeMap<u8, Vec<(Key, Sums)>>> {
        let wanted = |key: &Key| extent == Extent::Whole || self.changed.contains(key);
        let mut found = BTreeMap::new();
        match extent {
            Extent::Whole => self.arranged(|key, total| {
                if !total.is_zero() {
                    found.insert(key.clone(), total);
                }
            }),
            Extent::Changed => self.arranged_of(&self.changed, |key, total| {
                found.insert(key.clone(), total);
            }),
        }
        for slot in self.away(extent) {
            let totals = self.fetch(slot)?.into_iter();
            found.extend(totals.filter(|(key, _)| wanted(key)));
        }
        let mut totals: BTreeMap<u8, Vec<(Key, Sums)>> = BTreeMap::new();
        for (key, sums) in found {
            totals.entry(shard(&key).0).or_default().push((key, sums));
        }
        Ok(totals)
    }

    /// Tells of every key in the arrangement, in order, what it holds: nothing where that was taken
    /// back.
    pub(super) fn arranged(&self, mut tell: impl FnMut(&Key, Sums)) {
        let (mut cursor, storage) = cursor_list(self.batches());
        while let Some(key) = cursor.get_key(&storage) {
            let key: &Key = key;
            let mut total = Sums::default();
            cursor.map_times(&storage, |_, sums| total.plus_equals(sums));
            tell(key, total);
            cursor.step_key(&storage);
        }
    }

    /// The same of some keys, those among them that are not in the arrangement holding nothing.
    fn arranged_of(&self, keys: &BTreeSet<Key>, mut tell: impl FnMut(&Key, Sums)) {
        let (mut cursor, storage) = cursor_list(self.batches());
        for key in keys {
            let mut total = Sums::default();
            cursor.seek_key(&storage, key);
            if cursor.get_key(&storage) == Some(key) {
                cursor.map_times(&storage, |_, sums| total.plus_equals(sums));
            }
            tell(key, total);
        }
    }

    fn batches(&self) -> Vec<Batch> {
        let Some(trace) = &self.trace else { return Vec::new() };
        let (mut trace, mut upper) = (trace.borrow_mut(), Antichain::new());
        trace.read_upper(&mut upper);
        trace.batches_through(upper.borrow()).unwrap_or_default()
    }

    /// About how many keys there are, those put away among them: one that is changed often counts for
    /// several until its changes are merged.
    fn keys(&self) -> usize {
        let arranged: usize = self.batches().iter().map(SpineBatch::len).sum();
        arranged + self.rest.as_ref().map_or(0, Rest::keys)
    }

    pub(super) fn batch(&self, totals: &[(Key, Sums)]) -> Result<RecordBatch> {
        let text = |of: &dyn Fn(&Key) -> Option<String>| -> ArrayRef {
            Arc::new(totals.iter().map(|(key, _)| of(key)).collect::<StringArray>())
        };
        let amount = |of: fn(&Sums) -> i128| -> Result<ArrayRef> {
            money_array(totals.iter().map(|(_, sums)| of(sums)))
        };
        let number = |of: fn(&Sums) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(totals.iter().map(|(_, sums)| of(sums))))
        };
        let by = |key: &Key| self.by.get(usize::from(key.by)).map(ToString::to_string);
        let id = |key: &Key| {
            let (by, name) = (by(key)?, key.name.as_deref().unwrap_or_default());
            let (period, some) = (key.period.name(), u8::from(key.name.is_some()));
            Some(format!(
                "{by}\u{1f}{period}\u{1f}{}\u{1f}{some}{name}\u{1f}{}",
                key.start, key.currency
            ))
        };
        let columns: Vec<ArrayRef> = vec![
            text(&id),
            text(&by),
            text(&|key| Some(key.period.name().to_owned())),
            Arc::new(Date32Array::from_iter_values(totals.iter().map(|(key, _)| key.start))),
            text(&|key| key.name.as_deref().map(str::to_owned)),
            text(&|key| Some(key.currency.to_string())),
            amount(|sums| sums.billed)?,
            amount(|sums| sums.effective)?,
            number(|sums| sums.charges),
            number(|sums| sums.records),
        ];
        Ok(RecordBatch::try_new(state_schema(), columns)?)
    }
}

impl Snapshot for Rollups {
    fn operator(&self) -> &'static str {
        "rollup"
    }

    fn snapshot(&self, shard: Shard, extent: Extent) -> Result<Option<RecordBatch>> {
        self.totals(extent)?.get(&shard.0).map(|totals| self.batch(totals)).transpose()
    }

    fn snapshots(&self, extent: Extent) -> Shards<'_> {
        match self.totals(extent) {
            Err(error) => Box::new(std::iter::once(Err(error))),
            Ok(totals) => Box::new(
                totals.into_iter().map(|(shard, totals)| Ok((Shard(shard), self.batch(&totals)?))),
            ),
        }
    }

    fn changes(&self) -> Option<Changes> {
        Some(Changes { keys: self.keys(), changed: self.changed.len() })
    }

    fn saved(&mut self) {
        self.changed = BTreeSet::new();
    }

    fn restore(&mut self, _: Shard, state: &RecordBatch) -> Result<()> {
        let totals = self.read(state)?;
        self.take_up(totals)
    }
}

impl Rollups {
    /// The totals of a batch that [`Rollups::batch`] made.
    pub(super) fn read(&self, state: &RecordBatch) -> Result<Vec<(Key, Sums)>> {
        if state.schema().fields() != state_schema().fields() {
            return Err(refused("its columns are not those of this build"));
        }
        let text = |at: usize| state.column(at).as_string::<i32>();
        let amount = |at: usize| state.column(at).as_primitive::<Decimal128Type>();
        let number = |at: usize| state.column(at).as_primitive::<Int64Type>();
        let starts = state.column(3).as_primitive::<Date32Type>();
        let mut totals = Vec::with_capacity(state.num_rows());
        for row in 0..state.num_rows() {
            let by = self.by.iter().position(|by| by.to_string() == text(1).value(row));
            let by = by.ok_or_else(|| refused("it holds a roll-up that is not configured"))?;
            let period = match text(2).value(row) {
                "day" => Period::Day,
                "month" => Period::Month,
                _ => return Err(refused("it holds a period that is not known")),
            };
            let name = text(4).is_valid(row).then(|| text(4).value(row).into());
            let currency = text(5).value(row).into();
            let key = Key { by: by as u16, period, start: starts.value(row), name, currency };
            let sums = Sums {
                billed: amount(6).value(row),
                effective: amount(7).value(row),
                charges: number(8).value(row),
                records: number(9).value(row),
            };
            if !sums.is_zero() {
                totals.push((key, sums));
            }
        }
        Ok(totals)
    }
}
