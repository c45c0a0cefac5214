//! Changes of totals made by hand, for tests of the operators that take them.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int64Array, StringArray, UInt32Array,
    UInt64Array,
};

use arrow::array::RecordBatch;

use crate::bill::{
    BILLED_AFTER, BILLED_BEFORE, CHARGES_AFTER, CHARGES_BEFORE, EFFECTIVE_AFTER, EFFECTIVE_BEFORE,
    IS_LATE, REASON, RECORDS, change_schema,
};
use crate::schema::ENTITY_ID;
use crate::schema::cost::{
    CURRENCY, DAY, DAY_US, KNOWN_ON, MONEY_PRECISION, MONEY_SCALE, REGION, SERVICE, TAGS,
};
use crate::schema::result::{OFFSET_FROM, OFFSET_TO, PARTITION};
use crate::watermark::Watermark;

pub(crate) const UNIT: i128 = 1_000_000_000_000;
/// Whole days of allowed lateness.
pub(crate) const LATENESS: i32 = 2;

/// A change: known on a day, of a day, account, service, amount.
pub(crate) type Row = (i32, i32, u8, u8, i128);

pub(crate) fn changes(rows: &[Row]) -> RecordBatch {
    let text = |of: &dyn Fn(&Row) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<StringArray>())
    };
    let amount = |scale: i128| -> ArrayRef {
        let amounts = Decimal128Array::from_iter_values(rows.iter().map(|row| row.4 * scale));
        Arc::new(amounts.with_precision_and_scale(MONEY_PRECISION, MONEY_SCALE).unwrap())
    };
    let is_late = |row: &Row| row.1 < row.0 - LATENESS;
    let count = |n: i64| -> ArrayRef { Arc::new(Int64Array::from_value(n, rows.len())) };
    let offset = |row: &Row| (row.0 * 1000 + row.1) as u64;
    let schema = change_schema();
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        PARTITION => Arc::new(UInt32Array::from_value(0, rows.len())),
        OFFSET_FROM | OFFSET_TO => {
            Arc::new(UInt64Array::from_iter_values(rows.iter().map(offset))) as ArrayRef
        }
        ENTITY_ID => text(&|row| Some(format!("account{}", row.2))),
        SERVICE => text(&|row| Some(format!("service{}", row.3))),
        CURRENCY => text(&|_| Some("USD".to_owned())),
        REGION => text(&|row| (row.3 % 2 == 0).then(|| "north".to_owned())),
        TAGS => text(&|row| Some(format!("{{\"team\":\"t{}\"}}", row.3 / 2))),
        DAY => Arc::new(Date32Array::from_iter_values(rows.iter().map(|row| row.1))),
        KNOWN_ON => Arc::new(Date32Array::from_iter_values(rows.iter().map(|row| row.0))),
        IS_LATE => Arc::new(rows.iter().map(|row| Some(is_late(row))).collect::<BooleanArray>()),
        BILLED_BEFORE | EFFECTIVE_BEFORE => amount(0),
        BILLED_AFTER => amount(3),
        EFFECTIVE_AFTER => amount(1),
        CHARGES_BEFORE => count(0),
        CHARGES_AFTER | RECORDS => count(1),
        REASON => text(&|row| Some(if is_late(row) { "correction" } else { "charge" }.to_owned())),
        _ if field.is_nullable() => text(&|_| None),
        _ => text(&|_| Some("same".to_owned())),
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
}

/// The clock of a partition that has come to the beginning of a day.
pub(crate) fn watermark(known_on: i32) -> Watermark {
    Watermark(i64::from(known_on - LATENESS) * DAY_US)
}
