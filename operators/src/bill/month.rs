//! An account's month: totals by key, and the lines that they are made of.

use hashbrown::hash_table::{Entry, HashTable};

use super::key::Key;
use super::lines::Lines;

/// Exact sums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// In units of 10⁻¹² of the currency.
    pub(super) billed: i128,
    /// In units of 10⁻¹² of the currency.
    pub(super) effective: i128,
    /// Charges in them.
    pub(super) charges: i64,
}

impl Sums {
    /// Adds; `None` where `Decimal128(38, 12)` would overflow.
    pub(super) fn plus(&self, other: &Self) -> Option<Self> {
        let fits = |sum: &i128| sum.unsigned_abs() < 10_u128.pow(38);
        Some(Self {
            billed: self.billed.checked_add(other.billed).filter(fits)?,
            effective: self.effective.checked_add(other.effective).filter(fits)?,
            charges: self.charges + other.charges,
        })
    }

    /// The same with the other sign.
    pub(super) fn negated(&self) -> Self {
        Self { billed: -self.billed, effective: -self.effective, charges: -self.charges }
    }
}

/// No change under way.
pub(super) const NONE: u32 = u32::MAX;

/// A key's total.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Total {
    pub(super) key: Key,
    pub(super) sums: Sums,
    /// Which of the epoch's changes is under way; [`NONE`] between epochs.
    pub(super) change: u32,
}

/// One account's charges in one calendar month.
#[derive(Debug, Clone, Default)]
pub(super) struct Month {
    pub(super) totals: Vec<Total>,
    /// Numbers of keys.
    index: HashTable<u32>,
    pub(super) lines: Lines,
}

/// A key's hash: within one process only.
fn hash(key: &Key) -> u64 {
    let mut state = 0x9E37_79B9_7F4A_7C15 ^ u64::from(key.day as u32);
    for pair in key.places.chunks(2) {
        let word = u64::from(pair[0]) | u64::from(pair.get(1).copied().unwrap_or(0)) << 32;
        let wide = u128::from(state ^ word) * 0xD6E8_FEB8_6659_FD93;
        state = (wide as u64) ^ (wide >> 64) as u64;
    }
    state
}

impl Month {
    /// A key's number, where it has one.
    pub(super) fn find(&self, key: &Key) -> Option<u32> {
        let is = |number: &u32| self.totals[*number as usize].key == *key;
        self.index.find(hash(key), is).copied()
    }

    /// A key's number; a new key has a total of nothing.
    pub(super) fn key(&mut self, key: Key) -> u32 {
        let totals = &mut self.totals;
        let found = self.index.entry(
            hash(&key),
            |number| totals[*number as usize].key == key,
            |number| hash(&totals[*number as usize].key),
        );
        match found {
            Entry::Occupied(number) => *number.get(),
            Entry::Vacant(place) => {
                let number = totals.len() as u32;
                place.insert(number);
                totals.push(Total { key, sums: Sums::default(), change: NONE });
                number
            }
        }
    }
}
