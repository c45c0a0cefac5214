//! Open days and the totals of closed ones, to Arrow batches and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Date32Array, Int64Array, RecordBatch, StringArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Int64Type, Schema, UInt32Type, UInt64Type,
};
use hashbrown::HashMap;

use super::{Daily, Line, Lines, Sum, text_at};
use crate::key::Shard;
use crate::schema::ENTITY_ID;
use crate::schema::cost::{
    BILLED_COST, BILLING_ACCOUNT, CURRENCY, DAY, EFFECTIVE_COST, PROVIDER, SERVICE, money,
    money_array,
};
use crate::schema::result::{OFFSET_FROM, OFFSET_TO, PARTITION};
use crate::snapshot::{Changes, Extent, Snapshot};
use crate::{Error, Result};

/// Rows of a snapshot, as they are collected.
#[derive(Default)]
struct Rows {
    keys: Vec<(i32, String, Line)>,
    sums: Vec<Sum>,
}

impl Rows {
    fn push(&mut self, day: i32, entity: &str, lines: &Lines) {
        for (line, sum) in lines {
            self.keys.push((day, entity.to_owned(), line.clone()));
            self.sums.push(*sum);
        }
    }

    fn finish(self) -> Result<Option<RecordBatch>> {
        if self.keys.is_empty() {
            return Ok(None);
        }
        Ok(Some(RecordBatch::try_new(row_schema(), self.columns()?)?))
    }

    fn columns(&self) -> Result<Vec<ArrayRef>> {
        let text = |of: fn(&(i32, String, Line)) -> &String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(self.keys.iter().map(of)))
        };
        let number = |of: fn(&Sum) -> u64| -> ArrayRef {
            Arc::new(UInt64Array::from_iter_values(self.sums.iter().map(of)))
        };
        let amount =
            |of: fn(&Sum) -> i128| -> Result<ArrayRef> { money_array(self.sums.iter().map(of)) };
        Ok(vec![
            Arc::new(UInt32Array::from_iter_values(self.sums.iter().map(|sum| sum.partition))),
            number(|sum| sum.from),
            number(|sum| sum.to),
            text(|key| &key.1),
            Arc::new(Date32Array::from_iter_values(self.keys.iter().map(|key| key.0))),
            text(|key| &key.2.provider),
            text(|key| &key.2.billing_account),
            text(|key| &key.2.service),
            text(|key| &key.2.currency),
            amount(|sum| sum.billed)?,
            amount(|sum| sum.effective)?,
            Arc::new(Int64Array::from_iter_values(self.sums.iter().map(|sum| sum.charges))),
        ])
    }
}

/// How open days are kept.
fn row_schema() -> Arc<Schema> {
    let field = |name: &str, kind| Field::new(name, kind, false);
    Arc::new(Schema::new(vec![
        field(PARTITION, DataType::UInt32),
        field(OFFSET_FROM, DataType::UInt64),
        field(OFFSET_TO, DataType::UInt64),
        field(ENTITY_ID, DataType::Utf8),
        field(DAY, DataType::Date32),
        field(PROVIDER, DataType::Utf8),
        field(BILLING_ACCOUNT, DataType::Utf8),
        field(SERVICE, DataType::Utf8),
        field(CURRENCY, DataType::Utf8),
        field(BILLED_COST, money()),
        field(EFFECTIVE_COST, money()),
        field("charges", DataType::Int64),
    ]))
}

impl Snapshot for Daily {
    fn operator(&self) -> &'static str {
        "daily"
    }

    /// Open days as rows of a line each; closed ones as rows of no record, whose
    /// `effective_cost` is the total that later days are compared with.
    fn snapshot(&self, shard: Shard, extent: Extent) -> Result<Option<RecordBatch>> {
        let state = &self.shards[usize::from(shard.0)];
        let entities = state.entities();
        let wanted = |entity: &str| extent == Extent::Whole || entities[entity];
        let mut kept: BTreeMap<(i32, &str), Lines> = BTreeMap::new();
        for (entity, history) in state.closed.iter().filter(|(entity, _)| wanted(entity)) {
            for (day, total) in &history.value {
                let sum =
                    Sum { billed: 0, effective: *total, charges: 0, partition: 0, from: 1, to: 0 };
                kept.insert((*day, entity), BTreeMap::from([(Line::default(), sum)]));
            }
        }
        for (day, entities) in &state.open {
            for (entity, lines) in entities.iter().filter(|(entity, _)| wanted(entity)) {
                kept.insert((*day, entity), lines.value.clone());
            }
        }
        let mut rows = Rows::default();
        for ((day, entity), lines) in &kept {
            rows.push(*day, entity, lines);
        }
        rows.finish()
    }

    fn changes(&self) -> Option<Changes> {
        let mut changes = Changes::default();
        for state in &self.shards {
            let entities = state.entities();
            changes.keys += entities.len();
            changes.changed += entities.values().filter(|changed| **changed).count();
        }
        Some(changes)
    }

    fn saved(&mut self) {
        for state in &mut self.shards {
            state.closed.values_mut().for_each(|kept| kept.changed = false);
            let open = state.open.values_mut().flat_map(HashMap::values_mut);
            open.for_each(|kept| kept.changed = false);
        }
    }

    fn restore(&mut self, shard: Shard, state: &RecordBatch) -> Result<()> {
        if state.schema().fields() != row_schema().fields() {
            return Err(Error::Snapshot {
                operator: self.operator(),
                reason: "its columns are not those of this build".to_owned(),
            });
        }
        let text =
            |at: usize, row: usize| text_at(state, at).map(|texts| texts.value(row).to_owned());
        let number =
            |at: usize, row: usize| state.column(at).as_primitive::<UInt64Type>().value(row);
        let amount = |at: usize, row| state.column(at).as_primitive::<Decimal128Type>().value(row);
        let days = state.column(4).as_primitive::<Date32Type>();
        let target = &mut self.shards[usize::from(shard.0)];
        for row in 0..state.num_rows() {
            let (entity, day) = (text(3, row)?, days.value(row));
            let sum = Sum {
                billed: amount(9, row),
                effective: amount(10, row),
                charges: state.column(11).as_primitive::<Int64Type>().value(row),
                partition: state.column(0).as_primitive::<UInt32Type>().value(row),
                from: number(1, row),
                to: number(2, row),
            };
            if sum.from > sum.to {
                target.closed.entry(entity).or_default().value.insert(day, sum.effective);
                continue;
            }
            let line = Line {
                provider: text(5, row)?,
                billing_account: text(6, row)?,
                service: text(7, row)?,
                currency: text(8, row)?,
            };
            let lines = target.open.entry(day).or_default().entry(entity).or_default();
            lines.value.insert(line, sum);
        }
        Ok(())
    }
}
