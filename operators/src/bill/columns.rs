//! A batch of a bill, column by column.

use arrow::array::{
    Array, AsArray, Decimal128Array, FixedSizeBinaryArray, RecordBatch, TimestampMicrosecondArray,
};
use arrow::datatypes::{Date32Type, Decimal128Type, Int64Type};

use super::key::{Coded, Grain, Key, PLACES, Symbol, Symbols};
use super::lines::Digest;
use super::{Cause, Charge, Reason, first_of_month};
use crate::Result;
use crate::epoch::Partition;
use crate::schema::cost::{
    BILLED_COST, BILLING_ACCOUNT, CHARGE_CLASS, CLOSED_BEFORE, DAY, DELIVERY, EFFECTIVE_COST,
    KNOWN_ON, LINE, LINE_BYTES, VERSION, day_of, money,
};
use crate::schema::focus::BILLING_PERIOD_START;
use crate::schema::{ENTITY_ID, column, labels, mismatch, numbers, offsets, timestamp};

/// A batch's columns.
pub(super) struct Columns<'a> {
    pub(super) entities: Coded<'a>,
    places: Vec<(usize, Coded<'a>)>,
    classes: Coded<'a>,
    offsets: &'a [u64],
    pub(super) days: &'a [i32],
    known_on: &'a [i32],
    closed_before: &'a [i32],
    billed: &'a [i128],
    effective: &'a [i128],
    lines: &'a FixedSizeBinaryArray,
    versions: &'a [i64],
    /// Who is charged, in which period, and by which delivery; where periods are delivered as a whole.
    delivered: Option<Delivered<'a>>,
}

struct Delivered<'a> {
    payers: Coded<'a>,
    periods: &'a TimestampMicrosecondArray,
    labels: Coded<'a>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(rows: &'a RecordBatch, grain: &Grain, symbols: &mut Symbols) -> Result<Self> {
        Ok(Self {
            places: grain.code(rows, symbols)?,
            entities: Coded::of(labels(rows, ENTITY_ID)?, |name| symbols.of(name)),
            classes: Coded::of(labels(rows, CHARGE_CLASS)?, |class| {
                Symbol::from(class.eq_ignore_ascii_case("Correction"))
            }),
            offsets: offsets(rows)?.values(),
            days: numbers::<Date32Type>(rows, DAY)?.values(),
            known_on: numbers::<Date32Type>(rows, KNOWN_ON)?.values(),
            closed_before: numbers::<Date32Type>(rows, CLOSED_BEFORE)?.values(),
            billed: amounts(rows, BILLED_COST)?.values(),
            effective: amounts(rows, EFFECTIVE_COST)?.values(),
            lines: digests(rows)?,
            versions: numbers::<Int64Type>(rows, VERSION)?.values(),
            delivered: None,
        })
    }

    /// Reads of a batch whose periods are delivered as a whole which delivery each row is of.
    pub(super) fn delivered(
        mut self,
        rows: &'a RecordBatch,
        symbols: &mut Symbols,
    ) -> Result<Self> {
        self.delivered = Some(Delivered {
            payers: Coded::of(labels(rows, BILLING_ACCOUNT)?, |name| symbols.of(name)),
            periods: instants(rows, BILLING_PERIOD_START)?,
            labels: Coded::of(labels(rows, DELIVERY)?, |name| symbols.of(name)),
        });
        Ok(self)
    }

    /// The greatest day that days before had closed by.
    pub(super) fn closed_before(&self) -> i32 {
        self.closed_before.iter().copied().max().unwrap_or(i32::MIN)
    }

    /// A row's delivery: who is charged, the period's first day, and the delivery's label.
    pub(super) fn delivery(&self, row: usize) -> Option<(Symbol, i32, Symbol)> {
        let delivered = self.delivered.as_ref()?;
        let period = match delivered.periods.is_valid(row) {
            true => day_of(delivered.periods.value(row)),
            false => first_of_month(self.days[row]),
        };
        Some((delivered.payers.get(row), period, delivered.labels.get(row)))
    }

    pub(super) fn charge(&self, row: usize, place: u32, partition: Partition) -> Charge {
        let mut key = Key { places: [0; PLACES], day: self.days[row] };
        for (place, column) in &self.places {
            key.places[*place] = column.get(row);
        }
        let corrects = self.classes.get(row) != 0;
        Charge {
            place,
            key,
            digest: self.lines.is_valid(row).then(|| words(self.lines.value(row))),
            version: self.versions[row],
            billed: self.billed[row],
            effective: self.effective[row],
            cause: Cause {
                known_on: self.known_on[row],
                closed_before: self.closed_before[row],
                reason: if corrects { Reason::Correction } else { Reason::Charge },
                partition: partition.0,
                offset: self.offsets[row],
            },
            delivery: (0, 0),
        }
    }
}

fn instants<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a TimestampMicrosecondArray> {
    let array = column(batch, name)?;
    array.as_primitive_opt().ok_or_else(|| mismatch(name, &timestamp().to_string(), array))
}

pub(super) fn words(bytes: &[u8]) -> Digest {
    let word = |from: usize| bytes.get(from..from + 8).and_then(|word| word.try_into().ok());
    [0, 8].map(|from| word(from).map_or(0, u64::from_le_bytes))
}

pub(super) fn amounts<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a Decimal128Array> {
    let array = column(batch, name)?;
    if *array.data_type() != money() {
        return Err(mismatch(name, "Decimal128(38, 12)", array));
    }
    Ok(array.as_primitive::<Decimal128Type>())
}

pub(super) fn digests(batch: &RecordBatch) -> Result<&FixedSizeBinaryArray> {
    let array = column(batch, LINE)?;
    let digests = array.as_fixed_size_binary_opt();
    digests
        .filter(|digests| digests.value_length() == LINE_BYTES)
        .ok_or_else(|| mismatch(LINE, "FixedSizeBinary(16)", array))
}
