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
//!
//! **Deliveries.** Where periods are delivered anew as a whole ([`delivery`](self)), the latest
//! delivery of a billing account's period replaces what those before it said.
//!
//! **Memory.** Months that have closed are put away on a [shelf](crate::shelf), where there is one, and
//! fetched back when a row asks for them ([`rest`](self)).

use arrow::array::RecordBatch;
use hashbrown::HashMap;

use crate::epoch::Partition;
use crate::key::{SHARDS, Shard};
use crate::schema::cost::EFFECTIVE_COST;
use crate::window::selected;
use crate::{Error, Result};

mod calendar;
mod clock;
mod columns;
mod delivery;
pub(crate) mod key;
mod lines;
mod month;
mod rest;
mod rows;
mod snapshot;
mod statement;
#[cfg(test)]
mod tests;

use calendar::Calendar;
pub use calendar::first_of_month;
pub(crate) use calendar::month_of;
pub use clock::Clock;
use columns::Columns;
use delivery::Deliveries;
pub use delivery::of_delivery;
pub use key::Dimension;
use key::{Grain, Key, Symbol, Symbols};
use lines::{Digest, Stated};
use month::{Month, NONE, Sums};
use rest::{Rest, Resting};
pub use rows::*;
pub use statement::{RANK, Statements};

/// What brought a change about, the gravest of several last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// Charges that nothing was known of.
    Charge,
    /// A row of class `Correction`.
    Correction,
    /// A line that was stated anew.
    Restatement,
}

impl Reason {
    /// The reason of a name.
    pub(crate) fn named(name: &str) -> Self {
        let mut all = [Self::Charge, Self::Correction, Self::Restatement].into_iter();
        all.find(|reason| reason.name() == name).unwrap_or(Self::Charge)
    }

    pub(crate) fn name(self) -> &'static str {
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

/// Charges that are taken up together.
const TOGETHER: usize = 32;

/// A row of a bill.
#[derive(Debug, Clone, Copy)]
struct Charge {
    /// Which account's month.
    place: u32,
    key: Key,
    digest: Option<Digest>,
    version: i64,
    billed: i128,
    effective: i128,
    cause: Cause,
    /// Which period's delivery it is of, and that one's label; 0 where periods are not delivered.
    delivery: (Symbol, Symbol),
}

/// An account's charges in one calendar month.
#[derive(Debug)]
struct Unit {
    entity: Symbol,
    /// The month: see [`month_of`].
    number: i32,
    /// The period that it is delivered with; 0 where none is.
    scope: Symbol,
    /// Empty while it is put away.
    month: Month,
    resting: Resting,
    /// Whether anything has changed since the last checkpoint.
    changed: bool,
}

/// The operator: keeps totals and lines, and gives changes.
#[derive(Debug)]
pub struct Bill {
    grain: Grain,
    symbols: Symbols,
    /// Accounts' months, and where each is.
    units: Vec<Unit>,
    places: HashMap<(Symbol, i32, Symbol), u32>,
    /// By shard: its accounts' months; where periods are delivered, those of billing accounts.
    shards: Vec<Vec<u32>>,
    /// Where there is a shelf: what goes there.
    rest: Option<Rest>,
    /// What has been delivered, where periods are delivered as a whole.
    deliveries: Option<Deliveries>,
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
            units: Vec::new(),
            places: HashMap::new(),
            rest: None,
            deliveries: None,
            shards: vec![Vec::new(); SHARDS],
            changes: Vec::new(),
            duplicates: 0,
        })
    }

    /// The same for bills whose periods are delivered anew as a whole: rows have
    /// [`DELIVERY`](crate::schema::cost::DELIVERY) and
    /// [`BILLING_PERIOD_START`](crate::schema::focus::BILLING_PERIOD_START), where null the month of
    /// their day, and come to the worker that owns their billing account.
    #[must_use]
    pub fn delivered(self) -> Self {
        Self { deliveries: Some(Deliveries::default()), ..self }
    }

    /// Takes up the selected rows (all when `None`) of a partition's judged batch
    /// ([`crate::schema::cost::judged`]).
    ///
    /// # Errors
    /// [`Error::Column`] when a column is missing, or a total exceeds `Decimal128(38, 12)`;
    /// [`Error::Shelf`] when a month that was put away cannot be fetched.
    pub fn push(
        &mut self,
        partition: Partition,
        rows: &RecordBatch,
        selection: Option<&[u32]>,
    ) -> Result<()> {
        let mut columns = Columns::of(rows, &self.grain, &mut self.symbols)?;
        if self.deliveries.is_some() {
            columns = columns.delivered(rows, &mut self.symbols)?;
        }
        self.closed(columns.closed_before());
        let mut calendar = Calendar::default();
        let mut selected = selected(rows, selection);
        let mut charges = Vec::with_capacity(TOGETHER);
        loop {
            charges.clear();
            for row in selected.by_ref().take(TOGETHER) {
                let delivery = self.delivery(&columns, row);
                let month = calendar.month(columns.days[row]);
                let place = self.place(columns.entities.get(row), month, delivery.0);
                self.touch(place)?;
                charges.push(Charge { delivery, ..columns.charge(row, place, partition) });
            }
            if charges.is_empty() {
                return Ok(());
            }
            // State is spread over memory. What these rows need of it is looked for at once, so that
            // they do not wait for it one after the other.
            std::hint::black_box(charges.iter().fold(0, |met, charge| met ^ self.meet(charge)));
            for charge in &charges {
                self.take(charge)?;
            }
        }
    }

    /// Looks at what a charge will change.
    fn meet(&self, charge: &Charge) -> u32 {
        let month = &self.units[charge.place as usize].month;
        let line = charge.digest.map_or(0, |digest| month.lines.meet(digest));
        let total =
            month.find(&charge.key).map_or(NONE, |number| month.totals[number as usize].change);
        let change = self.changes.get(total as usize);
        line ^ change.map_or(0, |change| change.partition)
    }

    fn take(&mut self, charge: &Charge) -> Result<()> {
        let Charge { place, key, digest, version, billed, effective, mut cause, delivery } =
            *charge;
        if delivery.0 != 0 && !self.supersede(delivery, cause)? {
            self.duplicates += 1;
            return Ok(());
        }
        let month = &self.units[place as usize].month;
        let before = digest.and_then(|digest| month.lines.get(digest));
        if let Some(before) = before {
            let known = &month.totals[before.key as usize].key;
            let order = (version, effective, billed)
                .cmp(&(before.version, before.effective, before.billed))
                .then_with(|| self.symbols.names(&key).cmp(&self.symbols.names(known)));
            if order.is_le() {
                self.duplicates += u64::from(order.is_eq());
                return Ok(());
            }
            cause.reason = Reason::Restatement;
            self.change(place, before.key, before.sums().negated(), cause, false)?;
        }
        let month = &mut self.units[place as usize].month;
        let stated = Stated { version, billed, effective, key: month.key(key) };
        if let Some(digest) = digest {
            month.lines.state(digest, stated, before.is_some());
        }
        self.change(place, stated.key, stated.sums(), cause, true)
    }

    /// Which period's delivery a row is of, and that one's label.
    fn delivery(&mut self, columns: &Columns<'_>, row: usize) -> (Symbol, Symbol) {
        let found = self.deliveries.as_mut().zip(columns.delivery(row));
        found.map_or((0, 0), |(deliveries, (payer, period, label))| {
            (deliveries.scope(payer, period, &mut self.symbols), label)
        })
    }

    /// Makes a row's delivery the latest of its period, unless a later one is known: whether it counts.
    fn supersede(&mut self, (scope, label): (Symbol, Symbol), cause: Cause) -> Result<bool> {
        let Some(deliveries) = &mut self.deliveries else { return Ok(true) };
        let delivered = deliveries.of(scope);
        let known = delivered.label;
        if known == label {
            return Ok(true);
        }
        if self.symbols.name(label) < self.symbols.name(known) {
            return Ok(false);
        }
        delivered.label = label;
        for place in delivered.places.clone() {
            self.touch(place)?;
            // The label is part of its state.
            self.units[place as usize].changed = true;
            for key in 0..self.units[place as usize].month.totals.len() as u32 {
                let sums = self.units[place as usize].month.totals[key as usize].sums;
                if sums != Sums::default() {
                    let cause = Cause { reason: Reason::Restatement, ..cause };
                    self.change(place, key, sums.negated(), cause, false)?;
                }
            }
        }
        Ok(true)
    }

    /// Rows without effect since this was last asked: they said what was known already.
    pub fn take_duplicates(&mut self) -> u64 {
        std::mem::take(&mut self.duplicates)
    }

    /// Keys that hold a total, and lines, in memory.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let sizes = self.units.iter().map(|unit| (unit.month.totals.len(), unit.month.lines.len()));
        sizes.fold((0, 0), |(keys, lines), (k, l)| (keys + k, lines + l))
    }

    /// Where an account's month is; a new one is empty.
    fn place(&mut self, entity: Symbol, number: i32, scope: Symbol) -> u32 {
        if let Some(place) = self.places.get(&(entity, number, scope)) {
            return *place;
        }
        let place = self.units.len() as u32;
        let shard = Shard::of(match self.symbols.name(scope) {
            Some(scope) => Deliveries::payer(scope),
            None => self.symbols.name(entity).unwrap_or_default(),
        });
        let (month, resting) = (Month::default(), Resting::default());
        self.units.push(Unit { entity, number, scope, month, resting, changed: false });
        self.is_awake(place);
        if let Some(deliveries) = self.deliveries.as_mut().filter(|_| scope != 0) {
            deliveries.of(scope).places.push(place);
        }
        self.places.insert((entity, number, scope), place);
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
        let unit = &mut self.units[place as usize];
        unit.changed = true;
        let total = &mut unit.month.totals[key as usize];
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
    /// [`Error::Shelf`] when a month that has closed cannot be put away.
    pub fn take_changes(&mut self) -> Result<Option<RecordBatch>> {
        let changes = self.changes_of_epoch()?;
        self.rest()?;
        Ok(changes)
    }

    fn changes_of_epoch(&mut self) -> Result<Option<RecordBatch>> {
        let mut changes = std::mem::take(&mut self.changes);
        for change in &changes {
            let unit = &mut self.units[change.place as usize];
            unit.month.totals[change.key as usize].change = NONE;
        }
        if self.deliveries.is_some() {
            // What was delivered anew and comes to the same.
            changes.retain(|c| c.before != c.after || c.reason != Reason::Restatement);
        }
        if changes.is_empty() {
            return Ok(None);
        }
        let ranks = self.symbols.ranks();
        // The changes of a key keep their order: each begins where the one before it ended.
        changes.sort_by_cached_key(|change| {
            let unit = &self.units[change.place as usize];
            let Key { places, day } = unit.month.totals[change.key as usize].key;
            (ranks[unit.entity as usize], day, places.map(|place| ranks[place as usize]))
        });
        self.rows(&changes).map(Some)
    }
}
