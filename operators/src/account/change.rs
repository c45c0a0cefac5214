//! Changes of totals, as operators over them take them.

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{Date32Type, Decimal128Type, UInt32Type, UInt64Type};

use super::days::Origin;
use crate::bill::key::{COLUMNS, PLACES, Symbol, Symbols};
use crate::bill::{EFFECTIVE_AFTER, EFFECTIVE_BEFORE, IS_LATE, REASON, Reason, change_schema};
use crate::schema::cost::{CURRENCY, DAY, KNOWN_ON, SERVICE};
use crate::schema::result::{OFFSET_FROM, OFFSET_TO, PARTITION};
use crate::schema::{ENTITY_ID, column, texts};
use crate::{Error, Result};

#[cfg(test)]
pub(crate) mod tests;

/// What a total of an account's day is of: symbols by place, as in the bill's keys.
pub(crate) type Cell = [Symbol; PLACES];

/// A change of a total.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    pub(crate) entity: Symbol,
    pub(crate) currency: Symbol,
    pub(crate) cell: Cell,
    pub(crate) service: Symbol,
    pub(crate) day: i32,
    /// The day on which it became known, where the day it is of had closed.
    pub(crate) late_on: Option<i32>,
    pub(crate) reason: Reason,
    pub(crate) amount: i128,
    pub(crate) origin: Origin,
}

/// A batch's columns.
pub(crate) struct Changes<'a> {
    entities: Vec<Symbol>,
    places: Vec<Vec<Symbol>>,
    currency: usize,
    service: usize,
    late: &'a arrow::array::BooleanArray,
    days: &'a [i32],
    known_on: &'a [i32],
    reasons: &'a StringArray,
    before: &'a [i128],
    after: &'a [i128],
    partitions: &'a [u32],
    from: &'a [u64],
    to: &'a [u64],
}

/// The place of one of the bill's columns.
pub(crate) fn place_of(column: &str) -> usize {
    COLUMNS.iter().position(|name| *name == column).unwrap_or_default()
}

/// A column of names as symbols; rows that repeat the one before are not looked up.
fn coded(names: &StringArray, symbols: &mut Symbols) -> Vec<Symbol> {
    let mut last: Option<(&str, Symbol)> = None;
    (0..names.len())
        .map(|row| {
            if names.is_null(row) {
                return 0;
            }
            let name = names.value(row);
            match last {
                Some((known, symbol)) if known == name => symbol,
                _ => {
                    let symbol = symbols.of(name);
                    last = Some((name, symbol));
                    symbol
                }
            }
        })
        .collect()
}

impl<'a> Changes<'a> {
    pub(crate) fn of(changes: &'a RecordBatch, symbols: &mut Symbols) -> Result<Self> {
        if changes.schema().fields() != change_schema().fields() {
            return Err(Error::Column {
                column: DAY.to_owned(),
                expected: "changes of totals".to_owned(),
                found: "another batch".to_owned(),
            });
        }
        let mut places = Vec::with_capacity(PLACES);
        for name in COLUMNS {
            places.push(coded(texts(changes, name)?, symbols));
        }
        let days = |name| Ok::<_, Error>(column(changes, name)?.as_primitive::<Date32Type>());
        let sums = |name| Ok::<_, Error>(column(changes, name)?.as_primitive::<Decimal128Type>());
        let offsets = |name| Ok::<_, Error>(column(changes, name)?.as_primitive::<UInt64Type>());
        Ok(Self {
            entities: coded(texts(changes, ENTITY_ID)?, symbols),
            places,
            currency: place_of(CURRENCY),
            service: place_of(SERVICE),
            late: column(changes, IS_LATE)?.as_boolean(),
            days: days(DAY)?.values(),
            known_on: days(KNOWN_ON)?.values(),
            reasons: texts(changes, REASON)?,
            before: sums(EFFECTIVE_BEFORE)?.values(),
            after: sums(EFFECTIVE_AFTER)?.values(),
            partitions: column(changes, PARTITION)?.as_primitive::<UInt32Type>().values(),
            from: offsets(OFFSET_FROM)?.values(),
            to: offsets(OFFSET_TO)?.values(),
        })
    }

    pub(crate) fn change(&self, row: usize) -> Change {
        let mut cell = [0; PLACES];
        for (place, column) in cell.iter_mut().zip(&self.places) {
            *place = column[row];
        }
        Change {
            entity: self.entities[row],
            currency: cell[self.currency],
            cell,
            service: cell[self.service],
            day: self.days[row],
            late_on: self.late.value(row).then(|| self.known_on[row]),
            reason: Reason::named(self.reasons.value(row)),
            amount: self.after[row] - self.before[row],
            origin: Origin {
                partition: self.partitions[row],
                from: self.from[row],
                to: self.to[row],
            },
        }
    }
}
