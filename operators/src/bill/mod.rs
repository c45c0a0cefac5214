//! Bills: rows to changes of exact totals.
//!
//! A total is of an account's charges of one provider, billing account, service, currency and day,
//! and of what other [`Dimension`]s are asked for. Every row changes totals at once, whenever it
//! comes: a charge adds to one; a correction (`ChargeClass = Correction`) adds its difference; a row
//! that states a line anew takes back what the line said before, in whatever total that was, and adds
//! what it says now. What comes out are the changes, each with the total before and after, the day on
//! which it became known ([`Clock`]), and the records that made it. The changes of a key add up to
//! its total, in any order; so cutting the input into other epochs parts a change in two and changes
//! no sum.
//!
//! **Lines.** A row with a [`line`](crate::schema::cost::LINE) states that line; of two such rows the
//! one with the greater version holds, of two with one version the one with the greater amounts, and
//! one that says what is known already has no effect. So the order in which they come does not
//! matter, nor how often. A line belongs to its account and to the calendar month of its day; another
//! month's line of the same name is another line. Rows without a line add up, each one.

use arrow::array::{
    Array, AsArray, Decimal128Array, FixedSizeBinaryArray, PrimitiveArray, RecordBatch,
};
use arrow::datatypes::{ArrowPrimitiveType, Date32Type, Decimal128Type, Int64Type};
use hashbrown::HashMap;

use crate::epoch::Partition;
use crate::key::{SHARDS, Shard};
use crate::schema::cost::{
    BILLED_COST, CHARGE_CLASS, CLOSED_BEFORE, DAY, EFFECTIVE_COST, KNOWN_ON, LINE, LINE_BYTES,
    VERSION, money,
};
use crate::schema::{ENTITY_ID, column, labels, mismatch, offsets};
use crate::window::selected;
use crate::{Error, Result};

mod clock;
mod key;
mod lines;
mod month;
mod rows;
mod snapshot;
#[cfg(test)]
mod tests;

pub use clock::Clock;
pub use key::Dimension;
use key::{Coded, Grain, Key, Symbol, Symbols};
use lines::{Digest, Stated};
use month::{Month, NONE, Sums};
pub use rows::*;

/// What brought a change about, the gravest of several last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    /// Charges that nothing was known of.
    Charge,
    /// A row of class `Correction`.
    Correction,
    /// A line that was stated anew.
    Restatement,
}

impl Reason {
    fn name(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Correction => "correction",
            Self::Restatement => "restatement",
        }
    }
}

/// A total's change by rows that became known on one day.
#[derive(Debug, Clone)]
struct Change {
    /// Which account's month, and which of its keys.
    place: u32,
    key: u32,
    known_on: i32,
    is_late: bool,
    reason: Reason,
    before: Sums,
    after: Sums,
    /// The least partition with a record: offsets of different partitions do not compare.
    partition: u32,
    from: u64,
    to: u64,
    records: i64,
}

/// What a row does, but for the amounts.
#[derive(Debug, Clone, Copy)]
struct Cause {
    known_on: i32,
    closed_before: i32,
    reason: Reason,
    partition: u32,
    offset: u64,
}

/// The operator: keeps totals and lines, and gives changes.
#[derive(Debug, Clone)]
pub struct Bill {
    grain: Grain,
    symbols: Symbols,
    /// Accounts' months, and where each is.
    months: Vec<(Symbol, i32, Month)>,
    places: HashMap<(Symbol, i32), u32>,
    /// By shard: its accounts' months.
    shards: Vec<Vec<u32>>,
    changes: Vec<Change>,
    duplicates: u64,
}

impl Bill {
    /// An operator that knows of no charge; totals are told apart by these dimensions besides those
    /// that always do.
    ///
    /// # Errors
    /// [`Error::Configuration`] when a dimension is named twice.
    pub fn new(dimensions: &[Dimension]) -> Result<Self> {
        Ok(Self {
            grain: Grain::new(dimensions)?,
            symbols: Symbols::default(),
            months: Vec::new(),
            places: HashMap::new(),
            shards: vec![Vec::new(); SHARDS],
            changes: Vec::new(),
            duplicates: 0,
        })
    }

    /// Takes up the selected rows (all when `None`) of a partition's judged batch
    /// ([`crate::schema::cost::judged_schema`]).
    ///
    /// # Errors
    /// [`Error::Column`] when a column is missing, or a total exceeds `Decimal128(38, 12)`.
    pub fn push(
        &mut self,
        partition: Partition,
        rows: &RecordBatch,
        selection: Option<&[u32]>,
    ) -> Result<()> {
        let places = self.grain.code(rows, &mut self.symbols)?;
        let entities = Coded::of(labels(rows, ENTITY_ID)?, |name| self.symbols.of(name));
        let classes = Coded::of(labels(rows, CHARGE_CLASS)?, |class| {
            Symbol::from(class.eq_ignore_ascii_case("Correction"))
        });
        let offsets = offsets(rows)?.values();
        let days = numbers::<Date32Type>(rows, DAY)?.values();
        let known_on = numbers::<Date32Type>(rows, KNOWN_ON)?.values();
        let closed_before = numbers::<Date32Type>(rows, CLOSED_BEFORE)?.values();
        let billed = amounts(rows, BILLED_COST)?.values();
        let effective = amounts(rows, EFFECTIVE_COST)?.values();
        let (lines, versions) = (digests(rows)?, numbers::<Int64Type>(rows, VERSION)?.values());
        let mut calendar = Calendar::default();
        for row in selected(rows, selection) {
            let day = days[row];
            let place = self.place(entities.get(row), calendar.month(day));
            let mut key = Key { places: [0; key::PLACES], day };
            for (place, column) in &places {
                key.places[*place] = column.get(row);
            }
            let corrects = classes.get(row) != 0;
            let mut cause = Cause {
                known_on: known_on[row],
                closed_before: closed_before[row],
                reason: if corrects { Reason::Correction } else { Reason::Charge },
                partition: partition.0,
                offset: offsets[row],
            };
            let month = &mut self.months[place as usize].2;
            let (version, billed, effective) = (versions[row], billed[row], effective[row]);
            let digest = lines.is_valid(row).then(|| words(lines.value(row)));
            let before = digest.and_then(|digest| month.lines.get(digest));
            if let Some(before) = before {
                let known = &month.totals[before.key as usize].key;
                let order = (version, effective, billed)
                    .cmp(&(before.version, before.effective, before.billed))
                    .then_with(|| self.symbols.names(&key).cmp(&self.symbols.names(known)));
                if order.is_le() {
                    self.duplicates += u64::from(order.is_eq());
                    continue;
                }
                cause.reason = Reason::Restatement;
                self.change(place, before.key, before.sums().negated(), cause, false)?;
            }
            let month = &mut self.months[place as usize].2;
            let stated = Stated { version, billed, effective, key: month.key(key) };
            if let Some(digest) = digest {
                month.lines.state(digest, stated, before.is_some());
            }
            self.change(place, stated.key, stated.sums(), cause, true)?;
        }
        Ok(())
    }

    /// Rows without effect since this was last asked: they said what was known already.
    pub fn take_duplicates(&mut self) -> u64 {
        std::mem::take(&mut self.duplicates)
    }

    /// Keys that hold a total, and lines known.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let sizes = self.months.iter().map(|(_, _, month)| (month.totals.len(), month.lines.len()));
        sizes.fold((0, 0), |(keys, lines), (k, l)| (keys + k, lines + l))
    }

    /// Where an account's month is; a new one is empty.
    fn place(&mut self, entity: Symbol, number: i32) -> u32 {
        if let Some(place) = self.places.get(&(entity, number)) {
            return *place;
        }
        let place = self.months.len() as u32;
        let shard = Shard::of(self.symbols.name(entity).unwrap_or_default());
        self.months.push((entity, number, Month::default()));
        self.places.insert((entity, number), place);
        self.shards[usize::from(shard.0)].push(place);
        place
    }

    /// Adds to a total; `counts` says whether the record counts here: one that moves a line from a key
    /// to another is a record of the new one.
    fn change(
        &mut self,
        place: u32,
        key: u32,
        sums: Sums,
        cause: Cause,
        counts: bool,
    ) -> Result<()> {
        let month = &mut self.months[place as usize].2;
        month.changed = true;
        let total = &mut month.totals[key as usize];
        let before = total.sums;
        total.sums = before.plus(&sums).ok_or_else(|| Error::Column {
            column: EFFECTIVE_COST.to_owned(),
            expected: "totals within Decimal128(38, 12)".to_owned(),
            found: "more on one day".to_owned(),
        })?;
        let is_late = total.key.day < cause.closed_before;
        let known = self.changes.get_mut(total.change as usize);
        if let Some(change) = known
            && (change.known_on, change.is_late) == (cause.known_on, is_late)
        {
            change.after = total.sums;
            change.records += i64::from(counts);
            change.reason = change.reason.max(cause.reason);
            if cause.partition < change.partition {
                (change.partition, change.from, change.to) =
                    (cause.partition, cause.offset, cause.offset);
            } else if cause.partition == change.partition {
                change.from = change.from.min(cause.offset);
                change.to = change.to.max(cause.offset);
            }
            return Ok(());
        }
        total.change = self.changes.len() as u32;
        self.changes.push(Change {
            place,
            key,
            known_on: cause.known_on,
            is_late,
            reason: cause.reason,
            before,
            after: total.sums,
            partition: cause.partition,
            from: cause.offset,
            to: cause.offset,
            records: i64::from(counts),
        });
        Ok(())
    }

    /// The changes since this was last asked, ordered by account, day, key and when they became known;
    /// none when there are none. Columns: [`change_schema`].
    ///
    /// # Errors
    /// Only where Arrow refuses to build the batch, which is a bug.
    pub fn take_changes(&mut self) -> Result<Option<RecordBatch>> {
        let mut changes = std::mem::take(&mut self.changes);
        if changes.is_empty() {
            return Ok(None);
        }
        for change in &changes {
            self.months[change.place as usize].2.totals[change.key as usize].change = NONE;
        }
        let ranks = self.symbols.ranks();
        // The changes of a key keep their order: each begins where the one before it ended.
        changes.sort_by_cached_key(|change| {
            let (entity, _, month) = &self.months[change.place as usize];
            let Key { places, day } = month.totals[change.key as usize].key;
            (ranks[*entity as usize], day, places.map(|place| ranks[place as usize]))
        });
        self.rows(&changes).map(Some)
    }
}

/// The calendar month that days fall in, counted from year 0; a run of days of one month is looked up
/// once.
#[derive(Debug, Default)]
struct Calendar {
    days: std::ops::Range<i32>,
    month: i32,
}

impl Calendar {
    fn month(&mut self, day: i32) -> i32 {
        if !self.days.contains(&day) {
            (self.month, self.days) = month_of(day);
        }
        self.month
    }
}

/// The first day of a day's calendar month; both since 1970-01-01.
#[must_use]
pub fn first_of_month(day: i32) -> i32 {
    month_of(day).1.start
}

/// A day's calendar month, `12 × year + month - 1`, and the days of it. After Howard Hinnant's
/// `civil_from_days` (public domain).
fn month_of(day: i32) -> (i32, std::ops::Range<i32>) {
    let shifted = i64::from(day) + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let first = day - (day_of_year - (153 * from_march + 2) / 5) as i32;
    let year = (year_of_era + era * 400) as i32 + i32::from(from_march >= 10);
    let month = if from_march < 10 { from_march + 2 } else { from_march - 10 } as i32;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 => 28 + i32::from(leap),
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    };
    (12 * year + month, first..first + days)
}

fn words(bytes: &[u8]) -> Digest {
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    [word(&bytes[..8]), word(&bytes[8..])]
}

fn numbers<'a, T: ArrowPrimitiveType>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a PrimitiveArray<T>> {
    let array = column(batch, name)?;
    array.as_primitive_opt().ok_or_else(|| mismatch(name, &T::DATA_TYPE.to_string(), array))
}

fn amounts<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a Decimal128Array> {
    let array = column(batch, name)?;
    if *array.data_type() != money() {
        return Err(mismatch(name, "Decimal128(38, 12)", array));
    }
    Ok(array.as_primitive::<Decimal128Type>())
}

fn digests(batch: &RecordBatch) -> Result<&FixedSizeBinaryArray> {
    let array = column(batch, LINE)?;
    let digests = array.as_fixed_size_binary_opt();
    digests
        .filter(|digests| digests.value_length() == LINE_BYTES)
        .ok_or_else(|| mismatch(LINE, "FixedSizeBinary(16)", array))
}
