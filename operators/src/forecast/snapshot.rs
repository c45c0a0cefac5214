//! Days to Arrow batches and back, an account's currency at a time.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Int32Array, RecordBatch, StringArray, UInt32Array,
    UInt64Array,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Int32Type, Schema, SchemaRef, UInt32Type,
    UInt64Type,
};

use super::Forecasts;
use crate::account::days::Origin;
use crate::key::{SEPARATOR, Shard};
use crate::schema::ENTITY_ID;
use crate::schema::cost::{DAY, EFFECTIVE_COST, KNOWN_ON, money, money_array};
use crate::schema::result::{OFFSET_FROM, OFFSET_TO, PARTITION};
use crate::snapshot::{Changes, Extent, Snapshot};
use crate::{Error, Result};

/// One row of a snapshot: an amount, known on time with where its records stood, or later.
struct Row<'a> {
    key: &'a str,
    done_to: i32,
    day: i32,
    known_on: Option<i32>,
    origin: Option<Origin>,
    amount: i128,
}

fn state_schema() -> SchemaRef {
    let field = |name, kind, nullable| Field::new(name, kind, nullable);
    Arc::new(Schema::new(vec![
        field(ENTITY_ID, DataType::Utf8, false),
        field("done_to", DataType::Int32, false),
        field(DAY, DataType::Date32, false),
        field(KNOWN_ON, DataType::Date32, true),
        field(PARTITION, DataType::UInt32, true),
        field(OFFSET_FROM, DataType::UInt64, true),
        field(OFFSET_TO, DataType::UInt64, true),
        field(EFFECTIVE_COST, money(), false),
    ]))
}

fn batch(rows: &[Row<'_>]) -> Result<RecordBatch> {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.key))),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.done_to))),
        Arc::new(Date32Array::from_iter_values(rows.iter().map(|row| row.day))),
        Arc::new(rows.iter().map(|row| row.known_on).collect::<Date32Array>()),
        Arc::new(rows.iter().map(|row| Some(row.origin?.partition)).collect::<UInt32Array>()),
        Arc::new(rows.iter().map(|row| Some(row.origin?.from)).collect::<UInt64Array>()),
        Arc::new(rows.iter().map(|row| Some(row.origin?.to)).collect::<UInt64Array>()),
        money_array(rows.iter().map(|row| Some(row.amount)))?,
    ];
    Ok(RecordBatch::try_new(state_schema(), columns)?)
}

impl Snapshot for Forecasts {
    fn operator(&self) -> &'static str {
        "forecast"
    }

    fn snapshot(&self, shard: Shard, extent: Extent) -> Result<Option<RecordBatch>> {
        let places = self.shards[usize::from(shard.0)].iter();
        let name = |symbol| self.symbols.name(symbol).unwrap_or_default();
        let mut units: Vec<(String, &super::Unit)> = places
            .map(|place| &self.units[*place as usize])
            .filter(|unit| extent == Extent::Whole || unit.changed)
            .map(|unit| {
                let key = format!("{}{SEPARATOR}{}", name(unit.entity), name(unit.currency));
                (key, unit)
            })
            .collect();
        units.sort_by(|a, b| a.0.cmp(&b.0));
        let mut rows = Vec::new();
        for (key, unit) in &units {
            for (day, known_on, amount) in unit.days.history.rows() {
                let facts = unit.days.facts.get(&day).filter(|_| known_on.is_none());
                let origin = facts.and_then(|facts| facts.on_time);
                rows.push(Row { key, done_to: unit.done_to, day, known_on, origin, amount });
            }
        }
        if rows.is_empty() { Ok(None) } else { batch(&rows).map(Some) }
    }

    fn changes(&self) -> Option<Changes> {
        let changed = self.units.iter().filter(|unit| unit.changed).count();
        Some(Changes { keys: self.units.len(), changed })
    }

    fn saved(&mut self) {
        self.units.iter_mut().for_each(|unit| unit.changed = false);
    }

    fn restore(&mut self, _: Shard, state: &RecordBatch) -> Result<()> {
        let refused =
            |reason: &str| Error::Snapshot { operator: "forecast", reason: reason.to_owned() };
        if state.schema().fields() != state_schema().fields() {
            return Err(refused("its columns are not those of this build"));
        }
        let keys = state.column(0).as_string::<i32>();
        let done_to = state.column(1).as_primitive::<Int32Type>();
        let days = state.column(2).as_primitive::<Date32Type>();
        let known_on = state.column(3).as_primitive::<Date32Type>();
        let partitions = state.column(4).as_primitive::<UInt32Type>();
        let offsets = |at: usize| state.column(at).as_primitive::<UInt64Type>();
        let (from, to) = (offsets(5), offsets(6));
        let amounts = state.column(7).as_primitive::<Decimal128Type>();
        for row in 0..state.num_rows() {
            let parts = keys.value(row).rsplit_once(SEPARATOR);
            let (entity, currency) = parts.ok_or_else(|| refused("a key is no account"))?;
            let (entity, currency) = (self.symbols.of(entity), self.symbols.of(currency));
            let place = self.place(entity, currency);
            let unit = &mut self.units[place as usize];
            unit.done_to = done_to.value(row);
            let day = days.value(row);
            let known_on = known_on.is_valid(row).then(|| known_on.value(row));
            unit.days.history.restore((day, known_on, amounts.value(row)));
            if partitions.is_valid(row) {
                let partition = partitions.value(row);
                let origin = Origin { partition, from: from.value(row), to: to.value(row) };
                unit.days.facts.entry(day).or_default().add(origin, None);
            }
        }
        Ok(())
    }
}
