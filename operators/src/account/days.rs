//! The days of an account, or of one service there: what they came to, and what that rests on.

use std::collections::BTreeMap;

use super::history::{History, Late};
use crate::bill::Reason;

/// Where records stood: the least partition's, as offsets of different ones do not compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) partition: u32,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Origin {
    pub(crate) fn with(self, other: Self) -> Self {
        match self.partition.cmp(&other.partition) {
            std::cmp::Ordering::Less => self,
            std::cmp::Ordering::Greater => other,
            std::cmp::Ordering::Equal => {
                Self { from: self.from.min(other.from), to: self.to.max(other.to), ..self }
            }
        }
    }
}

/// What became known of a day after it had closed: until when, the gravest reason, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Restated {
    pub(crate) known_on: i32,
    pub(crate) reason: Reason,
    pub(crate) origin: Origin,
}

/// What a day's amount rests on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Records known when the day closed.
    pub(crate) on_time: Option<Origin>,
    pub(crate) restated: Option<Restated>,
}

impl Facts {
    /// Takes up records, known later where `late` says so.
    pub(crate) fn add(&mut self, origin: Origin, late: Option<(i32, Reason)>) {
        let Some((known_on, reason)) = late else {
            self.on_time = Some(self.on_time.map_or(origin, |known| known.with(origin)));
            return;
        };
        let new = Restated { known_on, reason, origin };
        self.restated = Some(self.restated.map_or(new, |known| Restated {
            known_on: known.known_on.max(known_on),
            reason: known.reason.max(reason),
            origin: known.origin.with(origin),
        }));
    }

    /// All records.
    pub(crate) fn origin(&self) -> Option<Origin> {
        match (self.on_time, self.restated.map(|restated| restated.origin)) {
            (Some(on_time), Some(later)) => Some(on_time.with(later)),
            (on_time, later) => on_time.or(later),
        }
    }
}

/// Days.
#[derive(Debug, Clone, Default)]
pub(crate) struct Days {
    pub(crate) history: History,
    pub(crate) facts: BTreeMap<i32, Facts>,
}

impl Days {
    /// Adds an amount of a day, known on a day after it had closed or before; `None` where the sum
    /// exceeds 128 bits.
    pub(crate) fn add(&mut self, (day, known_on, amount): (i32, Option<i32>, i128)) -> Option<()> {
        match known_on {
            None => self.history.add(day, amount),
            Some(known_on) => self.history.add_late(Late { day, known_on, amount }),
        }
    }

    pub(crate) fn forget_before(&mut self, day: i32) {
        self.history.forget_before(day);
        self.facts = self.facts.split_off(&day);
    }
}
