//! What people said of anomalies, and what days after that are held against.

use serde::{Deserialize, Serialize};

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

/// A label as the days of its account and service are held against it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Known {
    pub(super) day: i32,
    pub(super) feedback: Feedback,
    amount: f64,
    errors: f64,
    from: i32,
}

/// How much farther off than a day that was none, a day is none either.
const MARGIN: f64 = 1.05;

impl Known {
    pub(super) fn of(label: &Label) -> Self {
        let Label { day, feedback, amount, errors, from, .. } = *label;
        Self { day, feedback, amount, errors, from }
    }

    /// Whether it bears on a day that so many days before are compared with.
    pub(super) fn bears_on(&self, day: i32, history: i32) -> bool {
        self.from <= day && (1..=history).contains(&day.saturating_sub(self.day))
    }

    /// What is not strange on a day of which so much is expected, usually so far off, and not strange
    /// within a limit of it: to what amount, and how much beyond that.
    pub(super) fn reaches(&self, expected: i128, scale: i128, limit: i128) -> Option<(i128, i128)> {
        match self.feedback {
            Feedback::Yes => None,
            Feedback::Planned => Some((amount(self.amount), limit)),
            Feedback::No => {
                let off = MARGIN * self.errors * units(scale);
                Some((amount(units(expected) + off), 0))
            }
        }
    }
}
