//! What days came to, and when that became known.

use std::collections::BTreeMap;
use std::ops::Range;

/// Amounts by day, in units of 10⁻¹² of the currency.
///
/// A day's amount is what was known of it when it closed, and what came later, each with the day on
/// which it did. So the history can be read as it was known at any later day, whatever has come since
/// and in whatever epochs.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct History {
    on_time: BTreeMap<i32, i128>,
    /// By day, then by the day on which it became known.
    late: BTreeMap<(i32, i32), i128>,
}

/// What became known of a day after it had closed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Late {
    pub(crate) day: i32,
    pub(crate) known_on: i32,
    pub(crate) amount: i128,
}

impl History {
    /// Adds what was known when the day closed; `None` where it exceeds 128 bits.
    pub(crate) fn add(&mut self, day: i32, amount: i128) -> Option<()> {
        let known = self.on_time.entry(day).or_default();
        *known = known.checked_add(amount)?;
        Some(())
    }

    /// Adds what became known later; `None` where it exceeds 128 bits.
    pub(crate) fn add_late(&mut self, late: Late) -> Option<()> {
        let known = self.late.entry((late.day, late.known_on)).or_default();
        *known = known.checked_add(late.amount)?;
        Some(())
    }

    /// Adds another's amounts; those beyond 128 bits stay at the greatest.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (day, amount) in &other.on_time {
            let known = self.on_time.entry(*day).or_default();
            *known = known.saturating_add(*amount);
        }
        for (at, amount) in &other.late {
            let known = self.late.entry(*at).or_default();
            *known = known.saturating_add(*amount);
        }
    }

    /// What was known of a day when it closed; `None` where nothing was.
    pub(crate) fn at_close(&self, day: i32) -> Option<i128> {
        self.on_time.get(&day).copied()
    }

    /// What is known of a day by the end of the day `known_by`; `None` where nothing is.
    pub(crate) fn known_by(&self, day: i32, known_by: i32) -> Option<i128> {
        let late = self.late.range((day, i32::MIN)..=(day, known_by));
        late.fold(self.at_close(day), |sum, (_, amount)| {
            Some(sum.unwrap_or_default().saturating_add(*amount))
        })
    }

    /// What is known of a day now; `None` where nothing is.
    pub(crate) fn now(&self, day: i32) -> Option<i128> {
        self.known_by(day, i32::MAX)
    }

    /// Days of which anything was known when they closed, from one on and before another.
    pub(crate) fn days(&self, from: i32, before: i32) -> impl Iterator<Item = i32> {
        self.on_time.range(from..before.max(from)).map(|(day, _)| *day)
    }

    /// The days on which anything became known of the days in a range after they had closed.
    pub(crate) fn late(&self, days: Range<i32>) -> impl Iterator<Item = i32> {
        let late = self.late.range((days.start, i32::MIN)..(days.end, i32::MIN));
        late.map(|((_, known_on), _)| *known_on)
    }

    /// Whether anything was known by a day of the days in a range, or is now of one day more.
    pub(crate) fn is_known_within(&self, days: Range<i32>, known_by: i32, and: i32) -> bool {
        let mut late = self.late.range((days.start, i32::MIN)..(days.end, i32::MIN));
        self.on_time.range(days).next().is_some()
            || self.on_time.contains_key(&and)
            || self.late.range((and, i32::MIN)..=(and, i32::MAX)).next().is_some()
            || late.any(|((_, known_on), _)| *known_on <= known_by)
    }

    /// Forgets what is older.
    pub(crate) fn forget_before(&mut self, day: i32) {
        if self.on_time.first_key_value().is_some_and(|(first, _)| *first < day) {
            self.on_time = self.on_time.split_off(&day);
        }
        if self.late.first_key_value().is_some_and(|((first, _), _)| *first < day) {
            self.late = self.late.split_off(&(day, i32::MIN));
        }
    }

    /// Whether it says nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.on_time.is_empty() && self.late.is_empty()
    }

    /// All of it: what was known when days closed, by day, then what came later, in order.
    pub(crate) fn rows(&self) -> Vec<(i32, Option<i32>, i128)> {
        let on_time = self.on_time.iter().map(|(day, amount)| (*day, None, *amount));
        let late =
            self.late.iter().map(|((day, known_on), amount)| (*day, Some(*known_on), *amount));
        on_time.chain(late).collect()
    }

    /// Takes up one of [`History::rows`].
    pub(crate) fn restore(&mut self, (day, known_on, amount): (i32, Option<i32>, i128)) {
        match known_on {
            None => drop(self.on_time.insert(day, amount)),
            Some(known_on) => drop(self.late.insert((day, known_on), amount)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_what_was_known_of_it_by_then() {
        let mut history = History::default();
        history.add(3, 10).unwrap();
        history.add(3, 5).unwrap();
        history.add_late(Late { day: 3, known_on: 9, amount: -4 }).unwrap();
        history.add_late(Late { day: 2, known_on: 8, amount: 7 }).unwrap();
        assert_eq!((history.at_close(3), history.at_close(2)), (Some(15), None));
        assert_eq!((history.known_by(3, 8), history.known_by(3, 9)), (Some(15), Some(11)));
        assert_eq!((history.known_by(2, 7), history.now(2)), (None, Some(7)));
        let mut restored = History::default();
        history.rows().into_iter().for_each(|row| restored.restore(row));
        assert_eq!(restored.rows(), history.rows());
        history.forget_before(3);
        assert_eq!((history.now(2), history.now(3)), (None, Some(11)));
        assert!(history.add(3, i128::MAX).is_none());
    }
}
