//! Showback: whose costs are whose, with rules that divide what several share.
//!
//! An allocation names targets, such as the values of a tag. A charge is taken by the first rule that
//! fits it; where none does it is its target's *direct* cost, and where it has no target it is
//! unallocated: a direct cost of nobody. What a rule has taken in a calendar month of a billing account,
//! in one currency, is divided among that month's targets ([`Split`]), by largest remainders, ties to
//! the name that comes first: so shares sum to it to the last unit, credits included. Where there is
//! nobody to share it, it stays with the rule, undistributed. Billed and effective cost are divided each
//! by itself: by weights of the same cost. So the amounts of all targets sum to the bill's.
//!
//! **Known when.** A share depends on all other charges of the month, so a charge that becomes known
//! changes many. What changes on a day is the division of all that is known by the end of it, less the
//! division of all that was known before: by definition no matter of the order in which rows came, as
//! partitions may disagree on it. Where an epoch brings what was known on an earlier day, the days since
//! are divided anew, and what they had changed is put right in rows of their own.
//!
//! **Cuts.** So what the changes of an amount add up to, by the day on which they became known, is a
//! function of the input alone. The changes of an amount follow each other: each begins where the one
//! before it ended.
//!
//! **Memory.** A month is kept as long as the job runs, as a restatement may come at any time: an amount
//! for each target or rule and day on which some of it became known, whatever the number of charges.

use arrow::array::RecordBatch;
use arrow::datatypes::{Date32Type, Decimal128Type, UInt32Type, UInt64Type};
use hashbrown::HashMap;

use crate::account::days::Origin;
use crate::bill::key::{Symbol, Symbols};
use crate::bill::{
    BILLED_AFTER, BILLED_BEFORE, Dimension, EFFECTIVE_AFTER, EFFECTIVE_BEFORE, first_of_month,
};
use crate::key::{SHARDS, Shard};
use crate::rollup::{By, Names};
use crate::schema::cost::{BILLING_ACCOUNT, CURRENCY, DAY, EFFECTIVE_COST, KNOWN_ON};
use crate::schema::result::{OFFSET_FROM, OFFSET_TO, PARTITION};
use crate::schema::{numbers, texts};
use crate::{Error, Result};

mod config;
mod divide;
mod month;
mod rows;
mod snapshot;
#[cfg(test)]
mod tests;

use config::Plan;
pub use config::{Allocation, Rule, Split};
use divide::divide;
use month::{Amounts, Course, Sums, plus};
use rows::Change;
pub use rows::{ALLOCATION, RULE, TARGET, allocation_schema};

/// What a target's own costs are called among rules.
pub const DIRECT: &str = "direct";

/// Billed and effective cost.
const MEASURES: usize = 2;

/// What one amount is: a target's direct cost, or its share of what a rule has taken. Without a target,
/// what nobody has: unallocated, undistributed, or not divided yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Cell {
    /// Counted from 1; 0 for direct costs.
    rule: u16,
    /// 0 for nobody.
    target: Symbol,
}

/// Amounts of a month.
type Totals = HashMap<Cell, Sums>;

/// One allocation's month of a billing account, in one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    payer: Symbol,
    currency: Symbol,
    /// The first day.
    month: i32,
    /// Which allocation.
    plan: u16,
}

#[derive(Debug, Clone)]
struct Unit {
    key: Key,
    amounts: Amounts,
    /// Whether anything has changed since the last checkpoint.
    changed: bool,
}

/// What an epoch brings of a month.
#[derive(Debug, Clone)]
struct Brought {
    amounts: Amounts,
    origin: Origin,
}

/// The operator: keeps what charges come to by target, and gives changes of what targets have.
#[derive(Debug, Clone)]
pub struct Allocations {
    plans: Vec<Plan>,
    /// What is asked of charges.
    names: Vec<By>,
    symbols: Symbols,
    units: Vec<Unit>,
    places: HashMap<Key, u32>,
    /// By shard: the months of its billing accounts.
    shards: Vec<Vec<u32>>,
    brought: HashMap<u32, Brought>,
}

impl Allocations {
    /// An operator that knows of no charge, over totals that are told apart by these dimensions besides
    /// those that always do.
    ///
    /// # Errors
    /// [`Error::Configuration`] when names are missing or given twice, a dimension is not told apart,
    /// or a rule says not or in two ways what it takes.
    pub fn new(allocations: &[Allocation], told_apart: &[Dimension]) -> Result<Self> {
        let (mut names, mut symbols) = (Vec::new(), Symbols::default());
        let mut plans: Vec<Plan> = Vec::with_capacity(allocations.len());
        for allocation in allocations {
            if plans.iter().any(|other| other.name == allocation.name) {
                let what = format!("allocation {:?}: it is named twice", allocation.name);
                return Err(Error::Configuration(what));
            }
            plans.push(Plan::new(allocation, told_apart, &mut names, &mut symbols)?);
        }
        Ok(Self {
            plans,
            names,
            symbols,
            units: Vec::new(),
            places: HashMap::new(),
            shards: vec![Vec::new(); SHARDS],
            brought: HashMap::new(),
        })
    }

    /// Takes up changes of totals ([`crate::bill::change_schema`]) of the billing accounts that are
    /// owned here.
    ///
    /// # Errors
    /// [`Error::Column`] when they are not of that schema, or a sum exceeds `Decimal128(38, 12)`.
    pub fn push(&mut self, changes: &RecordBatch) -> Result<()> {
        let columns = [BILLED_BEFORE, BILLED_AFTER, EFFECTIVE_BEFORE, EFFECTIVE_AFTER];
        let columns = columns.map(|name| numbers::<Decimal128Type>(changes, name));
        let [billed_before, billed_after, effective_before, effective_after] = columns;
        let before = [billed_before?, effective_before?];
        let after = [billed_after?, effective_after?];
        let (payers, currencies) = (texts(changes, BILLING_ACCOUNT)?, texts(changes, CURRENCY)?);
        let days = numbers::<Date32Type>(changes, DAY)?;
        let known_on = numbers::<Date32Type>(changes, KNOWN_ON)?;
        let partitions = numbers::<UInt32Type>(changes, PARTITION)?;
        let from = numbers::<UInt64Type>(changes, OFFSET_FROM)?;
        let to = numbers::<UInt64Type>(changes, OFFSET_TO)?;
        let asked = self.names.clone();
        let asked = asked.iter().map(|by| Names::of(changes, by)).collect::<Result<Vec<_>>>()?;
        for row in 0..changes.num_rows() {
            let names: Vec<_> = asked.iter().map(|names| names.get(row)).collect();
            let taken_back = [0, 1].map(|at: usize| -before[at].value(row));
            let sums = plus([0, 1].map(|at: usize| after[at].value(row)), taken_back)?;
            let payer = self.symbols.of(payers.value(row));
            let currency = self.symbols.of(currencies.value(row));
            let month = first_of_month(days.value(row));
            let origin = Origin {
                partition: partitions.value(row),
                from: from.value(row),
                to: to.value(row),
            };
            for plan in 0..self.plans.len() {
                let (rule, target) = self.plans[plan].of(&names);
                let target = target.map_or(0, |target| self.symbols.of(target));
                let place = self.place(Key { payer, currency, month, plan: plan as u16 });
                let brought = self.brought.entry(place);
                let brought = brought
                    .and_modify(|brought| brought.origin = brought.origin.with(origin))
                    .or_insert_with(|| Brought { amounts: Amounts::default(), origin });
                brought.amounts.add(Cell { rule, target }, known_on.value(row), sums)?;
            }
        }
        Ok(())
    }

    /// What targets have more or less by what was taken up since this was last asked
    /// ([`allocation_schema`]), ordered by billing account, month, currency, allocation, day known,
    /// rule, target; or none.
    ///
    /// # Errors
    /// [`Error::Column`] when a sum exceeds `Decimal128(38, 12)`.
    pub fn take_changes(&mut self) -> Result<Option<RecordBatch>> {
        let ranks = self.symbols.ranks().to_vec();
        let mut changes = Vec::new();
        for (place, brought) in std::mem::take(&mut self.brought) {
            self.restate(place, &brought, &ranks, &mut changes)?;
        }
        changes.sort_unstable_by_key(|change| {
            let Key { payer, currency, month, plan } = self.units[change.place as usize].key;
            let rank = |symbol: Symbol| ranks[symbol as usize];
            let Cell { rule, target } = change.cell;
            (rank(payer), month, rank(currency), plan, change.known_on, rule, rank(target))
        });
        self.follow_on(&mut changes)?;
        if changes.is_empty() { Ok(None) } else { self.rows(&changes).map(Some) }
    }

    /// Adds to a month what an epoch brings, and tells what it changes: by how much, and from which
    /// amount on, all changes before it in the epoch left out of account.
    fn restate(
        &mut self,
        place: u32,
        brought: &Brought,
        ranks: &[u32],
        changes: &mut Vec<Change>,
    ) -> Result<()> {
        let unit = &mut self.units[place as usize];
        let rules = &self.plans[usize::from(unit.key.plan)].rules;
        let divide = |known: &Totals| divide(rules, known, ranks);
        let Some(from) = brought.amounts.first() else { return Ok(()) };
        let mut course = Course::new();
        let before = unit.amounts.follow(from, -1, divide, &mut course)?;
        unit.amounts.merge(&brought.amounts)?;
        unit.amounts.follow(from, 1, divide, &mut course)?;
        unit.changed = true;
        course.retain(|_, sums| *sums != Sums::default());
        changes.extend(course.into_iter().map(|((known_on, cell), by)| {
            let before = before.get(&cell).copied().unwrap_or_default();
            Change { place, cell, known_on, origin: brought.origin, before, by }
        }));
        Ok(())
    }

    /// Lets every change begin where the one before it ended.
    fn follow_on(&self, changes: &mut [Change]) -> Result<()> {
        let mut ends: HashMap<(u32, Cell), Sums> = HashMap::new();
        for change in changes {
            let end = ends.entry((change.place, change.cell)).or_insert(change.before);
            change.before = *end;
            *end = plus(*end, change.by)?;
        }
        Ok(())
    }

    /// Months of billing accounts, and amounts that are kept of them.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.units.len(), self.units.iter().map(|unit| unit.amounts.len()).sum())
    }

    /// Where a month is; a new one is empty.
    fn place(&mut self, key: Key) -> u32 {
        if let Some(place) = self.places.get(&key) {
            return *place;
        }
        let place = self.units.len() as u32;
        let shard = Shard::of(self.symbols.name(key.payer).unwrap_or_default());
        self.units.push(Unit { key, amounts: Amounts::default(), changed: false });
        self.places.insert(key, place);
        self.shards[usize::from(shard.0)].push(place);
        place
    }
}

/// The error for sums that no column can hold.
fn exceeds() -> Error {
    Error::Column {
        column: EFFECTIVE_COST.to_owned(),
        expected: "sums within Decimal128(38, 12)".to_owned(),
        found: "more in a month's allocation".to_owned(),
    }
}
