//! Changes as rows.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Int64Array, RecordBatch, StringArray, UInt32Array,
    UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::key::{ALWAYS, COLUMNS};
use super::{Bill, Change, Sums};
use crate::Result;
use crate::schema::ENTITY_ID;
use crate::schema::cost::{DAY, KNOWN_ON, money, money_array};
use crate::schema::result::{OFFSET_FROM, OFFSET_TO, PARTITION};

/// Whether the total's day had closed before the change came; `Boolean`.
pub const IS_LATE: &str = "is_late";
/// Why a total changed: `charge`, `correction` or `restatement`; `Utf8`.
pub const REASON: &str = "reason";
/// Records that made the change; `Int64`.
pub const RECORDS: &str = "records";
/// Sum of `BilledCost` before the change; money.
pub const BILLED_BEFORE: &str = "billed_before";
/// Sum of `BilledCost` after the change; money.
pub const BILLED_AFTER: &str = "billed_after";
/// Sum of `EffectiveCost` before the change; money.
pub const EFFECTIVE_BEFORE: &str = "effective_before";
/// Sum of `EffectiveCost` after the change; money.
pub const EFFECTIVE_AFTER: &str = "effective_after";
/// Charges in the total before the change; `Int64`.
pub const CHARGES_BEFORE: &str = "charges_before";
/// Charges in the total after the change; `Int64`.
pub const CHARGES_AFTER: &str = "charges_after";

/// The columns of changes: where the records stood, the key, then the change.
#[must_use]
pub fn change_schema() -> SchemaRef {
    let field = |name: &str, kind| Field::new(name, kind, false);
    let mut fields = vec![
        field(PARTITION, DataType::UInt32),
        field(OFFSET_FROM, DataType::UInt64),
        field(OFFSET_TO, DataType::UInt64),
        field(ENTITY_ID, DataType::Utf8),
        field(DAY, DataType::Date32),
    ];
    let keys = COLUMNS.iter().enumerate();
    fields.extend(keys.map(|(place, name)| Field::new(*name, DataType::Utf8, place >= ALWAYS)));
    fields.extend([
        field(KNOWN_ON, DataType::Date32),
        field(IS_LATE, DataType::Boolean),
        field(REASON, DataType::Utf8),
        field(RECORDS, DataType::Int64),
        field(BILLED_BEFORE, money()),
        field(BILLED_AFTER, money()),
        field(EFFECTIVE_BEFORE, money()),
        field(EFFECTIVE_AFTER, money()),
        field(CHARGES_BEFORE, DataType::Int64),
        field(CHARGES_AFTER, DataType::Int64),
    ]);
    Arc::new(Schema::new(fields))
}

impl Bill {
    pub(super) fn rows(&self, changes: &[Change]) -> Result<RecordBatch> {
        let number = |of: fn(&Change) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(changes.iter().map(of)))
        };
        let offset = |of: fn(&Change) -> u64| -> ArrayRef {
            Arc::new(UInt64Array::from_iter_values(changes.iter().map(of)))
        };
        let day = |of: &dyn Fn(&Change) -> i32| -> ArrayRef {
            Arc::new(Date32Array::from_iter_values(changes.iter().map(of)))
        };
        let amount =
            |of: fn(&Change) -> i128| -> Result<ArrayRef> { money_array(changes.iter().map(of)) };
        let at = |change: &Change| &self.units[change.place as usize];
        let key = |change: &Change| at(change).month.totals[change.key as usize].key;
        let entities =
            changes.iter().map(|change| self.symbols.name(at(change).entity).unwrap_or(""));
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from_iter_values(changes.iter().map(|c| c.partition))),
            offset(|change| change.from),
            offset(|change| change.to),
            Arc::new(StringArray::from_iter_values(entities)),
            day(&|change| key(change).day),
        ];
        for place in 0..COLUMNS.len() {
            let names = changes.iter().map(|change| {
                let name = self.symbols.name(key(change).places[place]);
                if place < ALWAYS { Some(name.unwrap_or("")) } else { name }
            });
            columns.push(Arc::new(names.collect::<StringArray>()));
        }
        let late = changes.iter().map(|change| Some(change.is_late));
        let reasons = changes.iter().map(|change| change.reason.name());
        columns.extend([
            day(&|change| change.known_on),
            Arc::new(late.collect::<BooleanArray>()),
            Arc::new(StringArray::from_iter_values(reasons)),
            number(|change| change.records),
            amount(|Change { before: Sums { billed, .. }, .. }| *billed)?,
            amount(|Change { after: Sums { billed, .. }, .. }| *billed)?,
            amount(|Change { before: Sums { effective, .. }, .. }| *effective)?,
            amount(|Change { after: Sums { effective, .. }, .. }| *effective)?,
            number(|change| change.before.charges),
            number(|change| change.after.charges),
        ]);
        Ok(RecordBatch::try_new(change_schema(), columns)?)
    }
}
