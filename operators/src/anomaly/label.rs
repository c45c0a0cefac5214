//! What people said of anomalies, and what days after that are held against.

use serde::{Deserialize, Serialize};

use super::Rules;
use super::unit::{Record, Scope, Unit};
use crate::account::{amount, units};

/// What somebody said of an anomaly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feedback {
    /// It was one: the day is no precedent, and is left out where later days are compared with it.
    Yes,
    /// It was none: a day as far off to that side, in usual errors, is not strange any more.
    No,
    /// It was meant: a day that comes to as much, or to anything in between, is not strange any more.
    Planned,
}

impl Feedback {
    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Planned => "planned",
        }
    }
}

/// Feedback on a day that was judged.
///
/// It bears on days from [`from`](Self::from) on that are compared with the day, which is for
/// `history_days`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// The account.
    pub entity: String,
    /// FOCUS `BillingCurrency`.
    pub currency: String,
    /// The one service that was strange; all of the day where none is named.
    pub service: Option<String>,
    /// The day, since 1970-01-01.
    pub day: i32,
    /// What was said.
    pub feedback: Feedback,
    /// What the day came to, in the currency.
    pub amount: f64,
    /// How far off that was, in usual errors; negative where it was less than expected.
    pub errors: f64,
    /// The first day that is judged with it: none that had closed when it was said.
    pub from: i32,
}

/// A label of one unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Known {
    pub(super) scope: Scope,
    pub(super) day: i32,
    pub(super) feedback: Feedback,
    pub(super) amount: f64,
    pub(super) errors: f64,
    pub(super) from: i32,
}

impl Unit {
    /// The labels that bear on a day.
    pub(super) fn bearing(
        &self,
        day: i32,
        scope: Scope,
        rules: &Rules,
    ) -> impl Iterator<Item = &Known> {
        let bears = move |known: &&Known| {
            let age = day.saturating_sub(known.day);
            known.scope == scope && known.from <= day && (1..=rules.history).contains(&age)
        };
        self.labels.iter().filter(bears)
    }

    /// Widens what is not strange on a day by what was said of days before.
    pub(super) fn widen(
        &self,
        (day, scope): (i32, Scope),
        rules: &Rules,
        mut record: Record,
    ) -> Record {
        let limit = record.upper - record.expected;
        for known in self.bearing(day, scope, rules) {
            let (reaches, margin) = match known.feedback {
                Feedback::Yes => continue,
                Feedback::Planned => (amount(known.amount), limit),
                Feedback::No => {
                    let off = MARGIN * known.errors * units(record.scale);
                    (amount(units(record.expected) + off), 0)
                }
            };
            record.lower = record.lower.min(reaches - margin);
            record.upper = record.upper.max(reaches + margin);
        }
        record
    }
}

/// How much farther off than a day that was none, a day is none either.
const MARGIN: f64 = 1.05;
