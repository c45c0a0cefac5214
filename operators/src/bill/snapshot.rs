//! State to Arrow batches and back: an account's month at a time, its totals before its lines.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, FixedSizeBinaryBuilder, Int64Array, RecordBatch,
    StringArray, UInt32Array,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Int64Type, Schema, SchemaRef, UInt32Type,
};

use super::Bill;
use super::columns::words;
use super::key::{COLUMNS, Key, PLACES, Symbol};
use super::lines::Stated;
use super::month::Sums;
use crate::key::{SEPARATOR, Shard};
use crate::schema::ENTITY_ID;
use crate::schema::cost::{
    BILLED_COST, DAY, DELIVERY, EFFECTIVE_COST, LINE, LINE_BYTES, VERSION, money, money_array,
};
use crate::snapshot::{Changes, Extent, Snapshot};
use crate::{Error, Result};

/// One row of a snapshot.
struct Row<'a> {
    /// Which of `units` it belongs to.
    unit: usize,
    number: u32,
    key: Option<&'a Key>,
    line: Option<([u8; 16], i64)>,
    sums: Sums,
}

fn state_schema() -> SchemaRef {
    let mut fields = vec![
        Field::new(ENTITY_ID, DataType::Utf8, false),
        Field::new("key", DataType::UInt32, false),
        Field::new(DAY, DataType::Date32, true),
    ];
    fields.extend(COLUMNS.map(|name| Field::new(name, DataType::Utf8, true)));
    fields.extend([
        Field::new(LINE, DataType::FixedSizeBinary(LINE_BYTES), true),
        Field::new(VERSION, DataType::Int64, true),
        Field::new(BILLED_COST, money(), false),
        Field::new(EFFECTIVE_COST, money(), false),
        Field::new("charges", DataType::Int64, false),
        Field::new(DELIVERY, DataType::Utf8, true),
    ]);
    Arc::new(Schema::new(fields))
}

fn refused(reason: &str) -> Error {
    Error::Snapshot { operator: "bill", reason: reason.to_owned() }
}

impl Bill {
    /// Takes up which delivery an account's month is of.
    fn take_up_delivery(&mut self, scope: Symbol, label: Option<&str>) {
        let Some(deliveries) = &mut self.deliveries else { return };
        let delivered = deliveries.of(scope);
        delivered.label = label.map_or(0, |label| self.symbols.of(label));
    }

    /// A shard's accounts' months in order, with their keys in the snapshot.
    fn units(&self, shard: Shard, extent: Extent) -> Vec<(String, u32)> {
        let places = self.shards[usize::from(shard.0)].iter();
        let wanted = |place: &&u32| extent == Extent::Whole || self.units[**place as usize].changed;
        let mut units: Vec<(String, u32)> =
            places.filter(wanted).map(|place| (self.name(*place), *place)).collect();
        units.sort();
        units
    }

    /// What an account's month is called in snapshots.
    pub(super) fn name(&self, place: u32) -> String {
        let unit = &self.units[place as usize];
        let name = self.symbols.name(unit.entity).unwrap_or_default();
        let scope = self.symbols.name(unit.scope).unwrap_or_default();
        format!("{name}{SEPARATOR}{}{SEPARATOR}{scope}", unit.number)
    }

    /// The state of accounts' months in memory; `None` where they hold none.
    pub(super) fn state(&self, units: &[(String, u32)]) -> Result<Option<RecordBatch>> {
        let mut rows = Vec::new();
        for (unit, (_, place)) in units.iter().enumerate() {
            let month = &self.units[*place as usize].month;
            for (number, total) in month.totals.iter().enumerate() {
                rows.push(Row {
                    unit,
                    number: number as u32,
                    key: Some(&total.key),
                    line: None,
                    sums: total.sums,
                });
            }
            for (digest, stated) in month.lines.sorted() {
                let mut bytes = [0; 16];
                bytes[..8].copy_from_slice(&digest[0].to_le_bytes());
                bytes[8..].copy_from_slice(&digest[1].to_le_bytes());
                rows.push(Row {
                    unit,
                    number: stated.key,
                    key: None,
                    line: Some((bytes, stated.version)),
                    sums: stated.sums(),
                });
            }
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let amount = |of: fn(&Sums) -> i128| -> Result<ArrayRef> {
            money_array(rows.iter().map(|row| of(&row.sums)))
        };
        let names = rows.iter().map(|row| units[row.unit].0.as_str());
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(names)),
            Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.number))),
            Arc::new(rows.iter().map(|row| row.key.map(|key| key.day)).collect::<Date32Array>()),
        ];
        for place in 0..PLACES {
            let names = rows.iter().map(|row| self.symbols.name(row.key?.places[place]));
            columns.push(Arc::new(names.collect::<StringArray>()));
        }
        let mut digests = FixedSizeBinaryBuilder::with_capacity(rows.len(), LINE_BYTES);
        for row in &rows {
            match &row.line {
                Some((digest, _)) => digests.append_value(digest)?,
                None => digests.append_null(),
            }
        }
        let versions = rows.iter().map(|row| row.line.map(|(_, version)| version));
        let charges = rows.iter().map(|row| row.sums.charges);
        let deliveries = rows.iter().map(|row| {
            let scope = self.units[units[row.unit].1 as usize].scope;
            self.symbols.name(self.deliveries.as_ref()?.label(scope))
        });
        columns.extend([
            Arc::new(digests.finish()) as ArrayRef,
            Arc::new(versions.collect::<Int64Array>()),
            amount(|sums| sums.billed)?,
            amount(|sums| sums.effective)?,
            Arc::new(Int64Array::from_iter_values(charges)),
            Arc::new(deliveries.collect::<StringArray>()),
        ]);
        Ok(Some(RecordBatch::try_new(state_schema(), columns)?))
    }

    /// Takes rows of state up where `place` says, by account's month and delivery.
    pub(super) fn fill(
        &mut self,
        state: &RecordBatch,
        place: impl Fn(&mut Self, &str, Option<&str>) -> Result<u32>,
    ) -> Result<()> {
        if state.schema().fields() != state_schema().fields() {
            return Err(refused("its columns are not those of this build"));
        }
        let units = state.column(0).as_string::<i32>();
        let numbers = state.column(1).as_primitive::<UInt32Type>().values();
        let days = state.column(2).as_primitive::<Date32Type>();
        let names: Vec<&StringArray> =
            (0..PLACES).map(|place| state.column(3 + place).as_string()).collect();
        let digests = state.column(3 + PLACES).as_fixed_size_binary();
        let versions = state.column(4 + PLACES).as_primitive::<Int64Type>();
        let amounts = |at: usize| state.column(at + PLACES).as_primitive::<Decimal128Type>();
        let (billed, effective) = (amounts(5), amounts(6));
        let charges = state.column(7 + PLACES).as_primitive::<Int64Type>();
        let deliveries = state.column(8 + PLACES).as_string::<i32>();
        let mut current = None;
        for row in 0..state.num_rows() {
            let unit = units.value(row);
            let at = match current {
                Some((known, at)) if known == unit => at,
                _ => {
                    let label = deliveries.is_valid(row).then(|| deliveries.value(row));
                    place(self, unit, label)?
                }
            };
            current = Some((unit, at));
            let sums = Sums {
                billed: billed.value(row),
                effective: effective.value(row),
                charges: charges.value(row),
            };
            if digests.is_valid(row) {
                let stated = Stated {
                    version: versions.value(row),
                    billed: sums.billed,
                    effective: sums.effective,
                    key: numbers[row],
                };
                let month = &mut self.units[at as usize].month;
                month.lines.state(words(digests.value(row)), stated, false);
                continue;
            }
            let mut symbols = [0 as Symbol; PLACES];
            for (symbol, names) in symbols.iter_mut().zip(&names) {
                if names.is_valid(row) {
                    *symbol = self.symbols.of(names.value(row));
                }
            }
            let month = &mut self.units[at as usize].month;
            let number = month.key(Key { places: symbols, day: days.value(row) });
            if number != numbers[row] {
                return Err(refused("its keys are not numbered in order"));
            }
            month.totals[number as usize].sums = sums;
        }
        Ok(())
    }
}

impl Snapshot for Bill {
    fn operator(&self) -> &'static str {
        "bill"
    }

    fn snapshot(&self, shard: Shard, extent: Extent) -> Result<Option<RecordBatch>> {
        let units = self.units(shard, extent);
        let mut parts = Vec::new();
        for units in units.chunk_by(|a, b| self.away(a.1).or(self.away(b.1)).is_none()) {
            match self.away(units[0].1) {
                Some(slot) => parts.push(self.fetch(slot)?),
                None => parts.extend(self.state(units)?),
            }
        }
        if parts.is_empty() {
            return Ok(None);
        }
        Ok(Some(concat_batches(&state_schema(), &parts)?))
    }

    fn changes(&self) -> Option<Changes> {
        let changed = self.units.iter().filter(|unit| unit.changed).count();
        Some(Changes { keys: self.units.len(), changed })
    }

    fn saved(&mut self) {
        self.units.iter_mut().for_each(|unit| unit.changed = false);
    }

    fn restore(&mut self, _: Shard, state: &RecordBatch) -> Result<()> {
        self.fill(state, |bill, unit, label| {
            let mut parts = unit.splitn(3, SEPARATOR);
            let name = parts.next();
            let month = parts.next().and_then(|month| month.parse().ok());
            let (Some(name), Some(month)) = (name, month) else {
                return Err(refused("a key is no month"));
            };
            let scope = parts.next().filter(|scope| !scope.is_empty());
            let (entity, scope) =
                (bill.symbols.of(name), scope.map_or(0, |scope| bill.symbols.of(scope)));
            let place = bill.place(entity, month, scope);
            bill.take_up_delivery(scope, label);
            Ok(place)
        })?;
        self.rest_restored()
    }
}
