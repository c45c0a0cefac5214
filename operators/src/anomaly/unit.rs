//! An account's days in one currency, and the verdict on a day.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::Rules;
use super::expectation::{Expectation, WEEK, expect};
use super::input::{Cell, Change};
use crate::bill::Reason;
use crate::bill::key::Symbol;
use crate::bill::month_of;
use crate::history::{History, Late};

/// Where records stood: the least partition's, as offsets of different ones do not compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) partition: u32,
    pub(super) from: u64,
    pub(super) to: u64,
}

impl Origin {
    pub(super) fn with(self, other: Self) -> Self {
        match self.partition.cmp(&other.partition) {
            std::cmp::Ordering::Less => self,
            std::cmp::Ordering::Greater => other,
            std::cmp::Ordering::Equal => {
                Self { from: self.from.min(other.from), to: self.to.max(other.to), ..self }
            }
        }
    }
}

/// What a day's amount rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) origin: Origin,
    /// The last day on which anything became known after it had closed, and the gravest reason.
    pub(super) late: Option<(i32, Reason)>,
}

/// The verdict on a day; amounts in units of 10⁻¹².
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Record {
    pub(super) expected: i128,
    /// Usual error, in units of 10⁻¹² too.
    pub(super) scale: i128,
    pub(super) lower: i128,
    pub(super) upper: i128,
    /// What the day came to when it closed.
    pub(super) at_close: i128,
    /// What it comes to now.
    pub(super) now: i128,
}

impl Record {
    fn strange(&self, amount: i128) -> bool {
        amount < self.lower || amount > self.upper
    }

    pub(super) fn was_strange(&self) -> bool {
        self.strange(self.at_close)
    }

    pub(super) fn is_strange(&self) -> bool {
        self.strange(self.now)
    }

    /// Whether there is anything to be said of the day.
    pub(super) fn is_off(&self) -> bool {
        self.was_strange() || self.is_strange()
    }

    pub(super) fn deviation(&self) -> i128 {
        self.now - self.expected
    }

    /// By how much it was off at most, when it closed or now.
    pub(super) fn impact(&self) -> i128 {
        self.deviation().abs().max((self.at_close - self.expected).abs())
    }
}

/// One account's charges in one currency.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    pub(super) entity: Symbol,
    pub(super) currency: Symbol,
    total: History,
    pub(super) facts: BTreeMap<i32, Facts>,
    pub(super) cells: Vec<(Cell, History)>,
    index: HashMap<Cell, u32>,
    /// Days before this one have been judged.
    pub(super) judged_to: i32,
    /// Whether anything has changed since the last checkpoint.
    pub(super) changed: bool,
}

/// In whole millionths: what is expected is not known better.
pub(super) fn amount(value: f64) -> i128 {
    (value * 1e6).round() as i128 * 1_000_000
}

pub(super) fn units(amount: i128) -> f64 {
    amount as f64 / 1e12
}

/// Days in a row that are one event, at most: after a week they are the new level.
const EVENT_DAYS: i32 = 2 * WEEK as i32;

impl Unit {
    pub(super) fn new(entity: Symbol, currency: Symbol) -> Self {
        Self {
            entity,
            currency,
            total: History::default(),
            facts: BTreeMap::new(),
            cells: Vec::new(),
            index: HashMap::new(),
            judged_to: i32::MIN,
            changed: false,
        }
    }

    /// Amounts that are kept.
    pub(super) fn len(&self) -> usize {
        self.cells.iter().map(|(_, history)| history.rows().len()).sum()
    }

    /// Takes up a change; `None` where a sum exceeds 128 bits.
    pub(super) fn take(&mut self, change: &Change) -> Option<()> {
        self.changed = true;
        let day = change.day;
        let facts = self.facts.entry(day).or_insert(Facts { origin: change.origin, late: None });
        facts.origin = facts.origin.with(change.origin);
        if let Some(known_on) = change.late_on {
            let (last, reason) = facts.late.unwrap_or((known_on, change.reason));
            facts.late = Some((last.max(known_on), reason.max(change.reason)));
        }
        let cell = self.cell(change.cell);
        for history in [&mut self.cells[cell as usize].1, &mut self.total] {
            match change.late_on {
                None => history.add(day, change.amount)?,
                Some(known_on) => {
                    history.add_late(Late { day, known_on, amount: change.amount })?;
                }
            }
        }
        Some(())
    }

    fn cell(&mut self, cell: Cell) -> u32 {
        let next = self.cells.len() as u32;
        let at = *self.index.entry(cell).or_insert(next);
        if at == next {
            self.cells.push((cell, History::default()));
        }
        at
    }

    /// Takes up a row of a checkpoint.
    pub(super) fn restore(&mut self, cell: Cell, row: (i32, Option<i32>, i128)) -> Option<()> {
        let (day, known_on, amount) = row;
        match known_on {
            None => self.total.add(day, amount)?,
            Some(known_on) => self.total.add_late(Late { day, known_on, amount })?,
        }
        let at = self.cell(cell);
        self.cells[at as usize].1.restore(row);
        Some(())
    }

    /// Days that have closed and were not judged yet.
    pub(super) fn closing(&self, end: i32) -> impl Iterator<Item = i32> {
        self.total.days(self.judged_to, end)
    }

    /// Days before `end` are judged; what no verdict can need any more is forgotten.
    pub(super) fn close(&mut self, end: i32, rules: &Rules) {
        let closes = self.closing(end).next().is_some();
        self.changed |= closes;
        self.judged_to = self.judged_to.max(end);
        let oldest = self.judged_to.saturating_sub(rules.restated + rules.history + EVENT_DAYS + 1);
        if self.facts.first_key_value().is_none_or(|(day, _)| *day >= oldest) {
            return;
        }
        self.facts = self.facts.split_off(&oldest);
        self.total.forget_before(oldest);
        let before = self.cells.len();
        self.cells.iter_mut().for_each(|(_, history)| history.forget_before(oldest));
        self.cells.retain(|(_, history)| !history.is_empty());
        if self.cells.len() < before {
            self.index.clear();
            let numbered = self.cells.iter().enumerate();
            self.index.extend(numbered.map(|(at, (cell, _))| (*cell, at as u32)));
        }
        self.changed = true;
    }

    /// The days before a day that it is compared with, as known when it closed.
    pub(super) fn window(&self, day: i32, rules: &Rules) -> Window {
        Window { first: day - rules.history, day, known_by: day.saturating_add(rules.lateness) }
    }

    /// The verdict on a day; `None` where nothing was known of it when it closed, or too little of the
    /// days before.
    pub(super) fn judge(&self, day: i32, rules: &Rules) -> Option<Record> {
        let at_close = self.total.at_close(day)?;
        let window = self.window(day, rules);
        let days = window.values(&self.total);
        if days.iter().filter(|day| day.is_finite()).count() < rules.min_history {
            return None;
        }
        let Expectation { value, scale } = expect(&days, &window.same_day());
        let limit = rules.sensitivity * scale;
        Some(Record {
            expected: amount(value),
            scale: amount(scale).max(1),
            lower: amount(value - limit),
            upper: amount(value + limit),
            at_close,
            now: self.total.now(day)?,
        })
    }

    /// The first day of the run of strange days, all above or all below, that a day is in.
    pub(super) fn event(&self, day: i32, rules: &Rules) -> i32 {
        let side = |day: i32| {
            let record = self.judge(day, rules).filter(Record::was_strange)?;
            Some((record.at_close - record.expected).signum())
        };
        let Some(this) = side(day) else { return day };
        let before = (day - EVENT_DAYS..day).rev();
        before.take_while(|day| side(*day) == Some(this)).last().unwrap_or(day)
    }

    /// Whether the account had any charge on a day, as known by another.
    pub(super) fn had_charges(&self, day: i32, known_by: i32) -> bool {
        self.total.known_by(day, known_by).is_some()
    }
}

/// The days that a day is compared with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) first: i32,
    pub(super) day: i32,
    pub(super) known_by: i32,
}

impl Window {
    fn values(&self, history: &History) -> Vec<f64> {
        let value = |day| history.known_by(day, self.known_by).map_or(f64::NAN, units);
        (self.first..self.day).map(value).collect()
    }

    /// Places of the days that have the day's number in their month.
    pub(super) fn same_day(&self) -> Vec<usize> {
        let mut month = month_of(self.day).1;
        let number = self.day - month.start;
        let mut places = Vec::new();
        loop {
            month = month_of(month.start - 1).1;
            if month.end <= self.first {
                return places;
            }
            let day = month.start + number;
            if day >= self.first && day < month.end {
                places.push((day - self.first) as usize);
            }
        }
    }
}
