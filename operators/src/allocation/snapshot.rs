//! Months to Arrow batches and back.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Field, Schema, SchemaRef};

use super::{Allocations, Cell, DIRECT, Key, RULE, Sums, TARGET, Unit};
use crate::key::{SEPARATOR, Shard};
use crate::schema::ENTITY_ID;
use crate::schema::cost::{BILLED_COST, EFFECTIVE_COST, KNOWN_ON, money, money_array};
use crate::snapshot::{Changes, Extent, Snapshot};
use crate::{Error, Result};

fn state_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new(ENTITY_ID, DataType::Utf8, false),
        Field::new(RULE, DataType::Utf8, false),
        Field::new(TARGET, DataType::Utf8, true),
        Field::new(KNOWN_ON, DataType::Date32, false),
        Field::new(BILLED_COST, money(), false),
        Field::new(EFFECTIVE_COST, money(), false),
    ]))
}

fn refused(reason: &str) -> Error {
    Error::Snapshot { operator: "allocation", reason: reason.to_owned() }
}

impl Allocations {
    /// What a month is called: the names of its parts, one after the other.
    fn name(&self, key: &Key) -> String {
        let name = |symbol| self.symbols.name(symbol).unwrap_or_default();
        let Key { payer, currency, month, .. } = *key;
        let parts = [name(payer), name(currency), &month.to_string(), self.plan(key)];
        parts.join(SEPARATOR.encode_utf8(&mut [0; 4]))
    }

    /// The month of a name.
    fn named(&mut self, name: &str) -> Option<Key> {
        let mut parts = name.split(SEPARATOR);
        let (payer, currency) = (parts.next()?, parts.next()?);
        let (month, plan) = (parts.next()?.parse().ok()?, parts.next()?);
        let plan = self.plans.iter().position(|known| known.name == plan)? as u16;
        let (payer, currency) = (self.symbols.of(payer), self.symbols.of(currency));
        Some(Key { payer, currency, month, plan })
    }

    fn batch(&self, months: &[(String, &Unit)]) -> Result<RecordBatch> {
        let mut rows: Vec<(&str, &str, Option<&str>, i32, Sums)> = Vec::new();
        for (name, unit) in months {
            rows.extend(unit.amounts.rows().map(|(cell, known_on, sums)| {
                let target = self.symbols.name(cell.target);
                (name.as_str(), self.rule(&unit.key, cell), target, known_on, sums)
            }));
        }
        rows.sort_unstable();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1))),
            Arc::new(rows.iter().map(|row| row.2).collect::<StringArray>()),
            Arc::new(Date32Array::from_iter_values(rows.iter().map(|row| row.3))),
            money_array(rows.iter().map(|row| Some(row.4[0])))?,
            money_array(rows.iter().map(|row| Some(row.4[1])))?,
        ];
        Ok(RecordBatch::try_new(state_schema(), columns)?)
    }
}

impl Snapshot for Allocations {
    fn operator(&self) -> &'static str {
        "allocation"
    }

    fn snapshot(&self, shard: Shard, extent: Extent) -> Result<Option<RecordBatch>> {
        let places = self.shards[usize::from(shard.0)].iter();
        let months: Vec<(String, &Unit)> = places
            .map(|place| &self.units[*place as usize])
            .filter(|unit| extent == Extent::Whole || unit.changed)
            .map(|unit| (self.name(&unit.key), unit))
            .collect();
        if months.is_empty() { Ok(None) } else { self.batch(&months).map(Some) }
    }

    fn changes(&self) -> Option<Changes> {
        let changed = self.units.iter().filter(|unit| unit.changed).count();
        Some(Changes { keys: self.units.len(), changed })
    }

    fn saved(&mut self) {
        self.units.iter_mut().for_each(|unit| unit.changed = false);
    }

    fn restore(&mut self, _: Shard, state: &RecordBatch) -> Result<()> {
        if state.schema().fields() != state_schema().fields() {
            return Err(refused("its columns are not those of this build"));
        }
        let (names, rules, targets) = (
            state.column(0).as_string::<i32>(),
            state.column(1).as_string::<i32>(),
            state.column(2).as_string::<i32>(),
        );
        let known_on = state.column(3).as_primitive::<Date32Type>();
        let billed = state.column(4).as_primitive::<Decimal128Type>();
        let effective = state.column(5).as_primitive::<Decimal128Type>();
        for row in 0..state.num_rows() {
            let key = self.named(names.value(row));
            let key = key.ok_or_else(|| refused("a key is no month of an allocation"))?;
            let rule = match rules.value(row) {
                DIRECT => 0,
                rule => {
                    let mut known = self.plans[usize::from(key.plan)].rules.iter();
                    let at = known.position(|known| known.name == rule);
                    at.ok_or_else(|| refused("a rule is not of its allocation"))? as u16 + 1
                }
            };
            let target =
                if targets.is_valid(row) { self.symbols.of(targets.value(row)) } else { 0 };
            let place = self.place(key);
            let sums = [billed.value(row), effective.value(row)];
            let amounts = &mut self.units[place as usize].amounts;
            amounts.add(Cell { rule, target }, known_on.value(row), sums)?;
        }
        Ok(())
    }
}
