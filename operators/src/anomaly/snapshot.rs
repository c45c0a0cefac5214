//! Days to Arrow batches and back: an account's currency at a time, its days' facts before its events, and
//! these before its amounts.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Int32Array, RecordBatch, StringArray,
    UInt32Array, UInt64Array,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Int32Type, Schema, SchemaRef, UInt32Type,
    UInt64Type,
};

use super::Anomalies;
use super::alerts::Event;
use super::unit::Scope;
use crate::account::change::place_of;
use crate::account::days::{Origin, Restated};
use crate::bill::Reason;
use crate::bill::key::{COLUMNS, PLACES, Symbol};
use crate::key::{SEPARATOR, Shard};
use crate::schema::ENTITY_ID;
use crate::schema::cost::{DAY, EFFECTIVE_COST, KNOWN_ON, SERVICE, money, money_array};
use crate::schema::result::{OFFSET_FROM, OFFSET_TO, PARTITION};
use crate::snapshot::{Changes, Extent, Snapshot};
use crate::{Error, Result};

/// One row of a snapshot: where records of a service's day stood, an amount of a cell, or an event, whose
/// last day is the row's.
struct Row<'a> {
    key: &'a str,
    judged_to: i32,
    day: i32,
    known_on: Option<i32>,
    reason: Option<Reason>,
    origin: Option<Origin>,
    cell: [Symbol; PLACES],
    amount: Option<i128>,
    event: Option<&'a Event>,
}

/// An event of a whole account, in the column `event`.
const WHOLE: &str = "account";
/// An event of the service that the row names.
const SERVICE_ALONE: &str = "service";

fn state_schema() -> SchemaRef {
    let mut fields = vec![
        Field::new(ENTITY_ID, DataType::Utf8, false),
        Field::new("judged_to", DataType::Int32, false),
        Field::new(DAY, DataType::Date32, false),
        Field::new(KNOWN_ON, DataType::Date32, true),
        Field::new("reason", DataType::Utf8, true),
        Field::new(PARTITION, DataType::UInt32, true),
        Field::new(OFFSET_FROM, DataType::UInt64, true),
        Field::new(OFFSET_TO, DataType::UInt64, true),
        Field::new(EFFECTIVE_COST, money(), true),
        Field::new("event", DataType::Utf8, true),
        Field::new("above", DataType::Boolean, true),
        Field::new("first", DataType::Date32, true),
        Field::new("opened", DataType::Date32, true),
        Field::new("closed", DataType::Date32, true),
    ];
    fields.extend(COLUMNS.map(|name| Field::new(name, DataType::Utf8, true)));
    Arc::new(Schema::new(fields))
}

impl Anomalies {
    fn batch(&self, rows: &[Row<'_>]) -> Result<RecordBatch> {
        let origin = |row: &Row<'_>| row.origin;
        let events = || rows.iter().map(|row| row.event);
        let kinds =
            events().map(|event| Some(event?.scope.service().map_or(WHOLE, |_| SERVICE_ALONE)));
        let date = |of: fn(&Event) -> Option<i32>| -> ArrayRef {
            Arc::new(events().map(|event| of(event?)).collect::<Date32Array>())
        };
        let reasons = rows.iter().map(|row| row.reason.map(Reason::name));
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.key))),
            Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.judged_to))),
            Arc::new(Date32Array::from_iter_values(rows.iter().map(|row| row.day))),
            Arc::new(rows.iter().map(|row| row.known_on).collect::<Date32Array>()),
            Arc::new(reasons.collect::<StringArray>()),
            Arc::new(rows.iter().map(|r| Some(origin(r)?.partition)).collect::<UInt32Array>()),
            Arc::new(rows.iter().map(|r| Some(origin(r)?.from)).collect::<UInt64Array>()),
            Arc::new(rows.iter().map(|r| Some(origin(r)?.to)).collect::<UInt64Array>()),
            money_array(rows.iter().map(|row| row.amount))?,
            Arc::new(kinds.collect::<StringArray>()),
            Arc::new(events().map(|event| Some(event?.above)).collect::<BooleanArray>()),
            date(|event| Some(event.first)),
            date(|event| event.opened),
            date(|event| event.closed),
        ];
        for place in 0..PLACES {
            let names = rows.iter().map(|row| self.symbols.name(row.cell[place]));
            columns.push(Arc::new(names.collect::<StringArray>()));
        }
        Ok(RecordBatch::try_new(state_schema(), columns)?)
    }
}

/// Where the columns of events begin.
const EVENTS: usize = 9;

/// The event of a row.
fn event(state: &RecordBatch, row: usize, scope: Scope, last: i32) -> Event {
    let date = |at: usize| {
        let dates = state.column(EVENTS + at).as_primitive::<Date32Type>();
        dates.is_valid(row).then(|| dates.value(row))
    };
    let above = state.column(EVENTS + 1).as_boolean().value(row);
    let (first, opened, closed) = (date(2).unwrap_or(last), date(3), date(4));
    Event { scope, above, first, last, opened, closed, looked_to: i32::MIN }
}

impl Snapshot for Anomalies {
    fn operator(&self) -> &'static str {
        "anomaly"
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
            let row = |day, known_on, cell| Row {
                key,
                judged_to: unit.judged_to,
                day,
                known_on,
                reason: None,
                origin: None,
                cell,
                amount: None,
                event: None,
            };
            let mut services: Vec<_> = unit.services.iter().collect();
            services.sort_by_key(|(service, _)| self.symbols.name(*service));
            for (service, days) in services {
                let mut cell = [0; PLACES];
                cell[place_of(SERVICE)] = *service;
                for (day, facts) in &days.facts {
                    if facts.on_time.is_some() {
                        rows.push(Row { origin: facts.on_time, ..row(*day, None, cell) });
                    }
                    if let Some(Restated { known_on, reason, origin }) = facts.restated {
                        let row = row(*day, Some(known_on), cell);
                        rows.push(Row { reason: Some(reason), origin: Some(origin), ..row });
                    }
                }
            }
            let mut events: Vec<_> = unit.events.iter().collect();
            events.sort_by_key(|event| {
                let service = event.scope.service();
                (service.is_some(), service.and_then(|name| self.symbols.name(name)), event.first)
            });
            for event in events {
                let mut cell = [0; PLACES];
                cell[place_of(SERVICE)] = event.scope.service().unwrap_or_default();
                rows.push(Row { event: Some(event), ..row(event.last, None, cell) });
            }
            let mut cells: Vec<_> = unit.cells.iter().collect();
            cells.sort_by_key(|(cell, _)| cell.map(|symbol| self.symbols.name(symbol)));
            for (cell, history) in cells {
                for (day, known_on, amount) in history.rows() {
                    rows.push(Row { amount: Some(amount), ..row(day, known_on, *cell) });
                }
            }
        }
        if rows.is_empty() { Ok(None) } else { self.batch(&rows).map(Some) }
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
            |reason: &str| Error::Snapshot { operator: "anomaly", reason: reason.to_owned() };
        if state.schema().fields() != state_schema().fields() {
            return Err(refused("its columns are not those of this build"));
        }
        let keys = state.column(0).as_string::<i32>();
        let judged_to = state.column(1).as_primitive::<Int32Type>();
        let days = state.column(2).as_primitive::<Date32Type>();
        let known_on = state.column(3).as_primitive::<Date32Type>();
        let reasons = state.column(4).as_string::<i32>();
        let partitions = state.column(5).as_primitive::<UInt32Type>();
        let offsets = |at: usize| state.column(at).as_primitive::<UInt64Type>();
        let (from, to) = (offsets(6), offsets(7));
        let amounts = state.column(8).as_primitive::<Decimal128Type>();
        let names: Vec<&StringArray> =
            (0..PLACES).map(|place| state.column(EVENTS + 5 + place).as_string()).collect();
        let kinds = state.column(EVENTS).as_string::<i32>();
        for row in 0..state.num_rows() {
            let parts = keys.value(row).rsplit_once(SEPARATOR);
            let (entity, currency) = parts.ok_or_else(|| refused("a key is no account"))?;
            let (entity, currency) = (self.symbols.of(entity), self.symbols.of(currency));
            let mut cell = [0 as Symbol; PLACES];
            for (symbol, names) in cell.iter_mut().zip(&names) {
                if names.is_valid(row) {
                    *symbol = self.symbols.of(names.value(row));
                }
            }
            let place = self.place(entity, currency);
            let unit = &mut self.units[place as usize];
            unit.judged_to = judged_to.value(row);
            let day = days.value(row);
            let known_on = known_on.is_valid(row).then(|| known_on.value(row));
            if amounts.is_valid(row) {
                unit.restore(cell, (day, known_on, amounts.value(row)))
                    .ok_or_else(|| refused("a sum exceeds 128 bits"))?;
                continue;
            }
            if kinds.is_valid(row) {
                let service = cell[place_of(SERVICE)];
                let scope = match kinds.value(row) {
                    WHOLE => Scope::Total,
                    SERVICE_ALONE => Scope::Service(service),
                    other => return Err(refused(&format!("an event is of {other:?}"))),
                };
                unit.restore_event(event(state, row, scope, day));
                continue;
            }
            let origin = Origin {
                partition: partitions.value(row),
                from: from.value(row),
                to: to.value(row),
            };
            let late = known_on.map(|known_on| (known_on, Reason::named(reasons.value(row))));
            unit.note(cell[place_of(SERVICE)], day, origin, late);
        }
        Ok(())
    }
}
