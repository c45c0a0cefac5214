//! What a principal has done before, and how surprising what it does now is.
//!
//! Of each kind of value (regions, agent families, operations, transitions from one operation to the
//! next, hours of the day) the memory holds the values last seen, each with how often it was. The
//! surprise of a value is its self-information under that history, −ln p in nats, with Krichevsky and
//! Trofimov's half a count for every known value and for the unknown one.

use std::collections::BTreeMap;

/// Values of each kind remembered a principal.
pub(super) const REMEMBERED: usize = 512;

/// What of an event is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Region,
    Agent,
    Operation,
    Transition,
    Hour,
}

impl Kind {
    /// All, in the order in which snapshots number them.
    pub(super) const ALL: [Self; 5] =
        [Self::Region, Self::Agent, Self::Operation, Self::Transition, Self::Hour];
}

/// When a value was last seen, and how often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sight {
    /// The end of the last window that showed it, µs.
    pub(super) last: i64,
    /// Events that did.
    pub(super) count: u64,
}

/// Values of one kind.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    values: BTreeMap<u64, Sight>,
    /// The sum of their counts.
    total: u64,
}

/// What a window's values of one kind say, against what was seen before it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct News {
    /// Distinct values never seen.
    pub(super) new: usize,
    /// The mean surprise of an event; 0 where nothing is remembered.
    pub(super) mean: f64,
    /// The greatest.
    pub(super) most: f64,
}

impl Seen {
    pub(super) fn knows(&self, value: u64) -> bool {
        self.values.contains_key(&value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, Sight)> {
        self.values.iter().map(|(value, sight)| (*value, *sight))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// Puts in what a snapshot holds.
    pub(super) fn put(&mut self, value: u64, sight: Sight) {
        self.total += sight.count;
        self.values.insert(value, sight);
    }

    /// How surprising a window's values are, in their order.
    pub(super) fn judge(&self, values: &[u64]) -> News {
        let mut news = News::default();
        let mut fresh: Vec<u64> = Vec::new();
        let all = self.total as f64 + 0.5 * (self.values.len() + 1) as f64;
        for value in values {
            let count = self.values.get(value).map_or(0, |sight| sight.count);
            if count == 0 {
                fresh.push(*value);
            }
            let surprise = -((count as f64 + 0.5) / all).ln();
            news.mean += surprise;
            news.most = news.most.max(surprise);
        }
        news.mean /= values.len().max(1) as f64;
        fresh.sort_unstable();
        fresh.dedup();
        news.new = fresh.len();
        news
    }

    /// Remembers a window's values; of too many forgets those least recently seen.
    pub(super) fn remember(&mut self, values: &[u64], end: i64) {
        for value in values {
            let sight = self.values.entry(*value).or_default();
            *sight = Sight { last: end, count: sight.count + 1 };
        }
        self.total += values.len() as u64;
        while self.values.len() > REMEMBERED {
            let oldest = self.values.iter().map(|(value, sight)| (sight.last, *value)).min();
            let Some((_, value)) = oldest else { break };
            self.total -= self.values.remove(&value).map_or(0, |sight| sight.count);
        }
    }
}

/// What is remembered of a principal.
#[derive(Debug, Clone, Default)]
pub(super) struct Principal {
    seen: [Seen; Kind::ALL.len()],
    /// Whether that has changed since the last checkpoint.
    pub(super) changed: bool,
}

impl Principal {
    pub(super) fn seen(&self, kind: Kind) -> &Seen {
        &self.seen[kind as usize]
    }

    pub(super) fn seen_mut(&mut self, kind: Kind) -> &mut Seen {
        &mut self.seen[kind as usize]
    }

    /// Judges a window's values of one kind by what was seen before, and remembers them.
    pub(super) fn meet(&mut self, kind: Kind, values: &[u64], end: i64) -> News {
        self.changed = true;
        let news = self.seen(kind).judge(values);
        self.seen_mut(kind).remember(values, end);
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_forgets_the_oldest_first() {
        let mut seen = Seen::default();
        for value in 0..2 * REMEMBERED as u64 {
            seen.remember(&[value, value], value as i64);
        }
        assert_eq!(seen.len(), REMEMBERED);
        assert_eq!(seen.total, 2 * REMEMBERED as u64);
        let first = seen.iter().next();
        let oldest = Sight { last: REMEMBERED as i64, count: 2 };
        assert_eq!(first, Some((REMEMBERED as u64, oldest)));
    }

    #[test]
    fn surprise_is_what_a_history_tells() {
        let mut seen = Seen::default();
        assert_eq!(seen.judge(&[1, 2]), News { new: 2, mean: 0.0, most: 0.0 });
        seen.remember(&[1, 1, 1, 2], 10);
        // Four events of two values: 3.5, 1.5 and, of what is unknown, 0.5 of 5.5.
        let news = seen.judge(&[1, 2, 9, 9]);
        let nats = |share: f64| -(share / 5.5).ln();
        assert_eq!(news.new, 1);
        assert!((news.most - nats(0.5)).abs() < 1e-12);
        let mean = (nats(3.5) + nats(1.5) + 2.0 * nats(0.5)) / 4.0;
        assert!((news.mean - mean).abs() < 1e-12);
    }
}
