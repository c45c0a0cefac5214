//! A month's charges as an allocation tells them apart, and what it made of them on every day that they
//! became known.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::{Cell, MEASURES, Totals, exceeds};
use crate::Result;

/// Billed and effective cost, in units of 10⁻¹².
pub(super) type Sums = [i128; MEASURES];

/// Sums by what was added up and the day on which it became known.
#[derive(Debug, Clone, Default)]
pub(super) struct Amounts(HashMap<Cell, BTreeMap<i32, Sums>>);

/// Changes of divided amounts, by the day that brought them.
pub(super) type Course = HashMap<(i32, Cell), Sums>;

impl Amounts {
    /// Adds to a sum; what comes to nothing is kept, as a snapshot must say so.
    ///
    /// # Errors
    /// [`crate::Error::Column`] when it exceeds `Decimal128(38, 12)`.
    pub(super) fn add(&mut self, cell: Cell, known_on: i32, sums: Sums) -> Result<()> {
        let sum = self.0.entry(cell).or_default().entry(known_on).or_default();
        *sum = plus(*sum, sums)?;
        Ok(())
    }

    /// Adds all of another's.
    ///
    /// # Errors
    /// As [`Amounts::add`].
    pub(super) fn merge(&mut self, other: &Self) -> Result<()> {
        other.rows().try_for_each(|(cell, known_on, sums)| self.add(cell, known_on, sums))
    }

    /// The first day on which anything became known.
    pub(super) fn first(&self) -> Option<i32> {
        self.0.values().filter_map(|days| Some(*days.first_key_value()?.0)).min()
    }

    /// All sums, in no order but that of days.
    pub(super) fn rows(&self) -> impl Iterator<Item = (Cell, i32, Sums)> + '_ {
        self.0.iter().flat_map(|(cell, days)| days.iter().map(|(day, sums)| (*cell, *day, *sums)))
    }

    pub(super) fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// What `divide` makes of everything known in the end; and, added to `course` with a sign, how each
    /// day from `from` on changed what it made of what was known before.
    ///
    /// # Errors
    /// Those of `divide`, and as [`Amounts::add`].
    pub(super) fn follow(
        &self,
        from: i32,
        sign: i128,
        divide: impl Fn(&Totals) -> Result<Totals>,
        course: &mut Course,
    ) -> Result<Totals> {
        let mut known = Totals::with_capacity(self.0.len());
        let mut days: BTreeMap<i32, Vec<(Cell, Sums)>> = BTreeMap::new();
        for (cell, by_day) in &self.0 {
            let mut before = by_day.range(..from).map(|(_, sums)| *sums);
            known.insert(*cell, before.try_fold(Sums::default(), plus)?);
            for (day, sums) in by_day.range(from..) {
                days.entry(*day).or_default().push((*cell, *sums));
            }
        }
        let mut divided = divide(&known)?;
        for (day, added) in days {
            for (cell, sums) in added {
                let sum = known.entry(cell).or_default();
                *sum = plus(*sum, sums)?;
            }
            let before = std::mem::replace(&mut divided, divide(&known)?);
            for (totals, sign) in [(&divided, sign), (&before, -sign)] {
                for (cell, sums) in totals {
                    let change = course.entry((day, *cell)).or_default();
                    *change = plus(*change, sums.map(|sum| sign * sum))?;
                }
            }
        }
        Ok(divided)
    }
}

/// Adds sums.
///
/// # Errors
/// [`crate::Error::Column`] when one exceeds `Decimal128(38, 12)`.
pub(super) fn plus(mut sums: Sums, other: Sums) -> Result<Sums> {
    for (sum, other) in sums.iter_mut().zip(other) {
        let total = sum.checked_add(other);
        *sum = total.filter(|sum| sum.unsigned_abs() < 10_u128.pow(38)).ok_or_else(exceeds)?;
    }
    Ok(sums)
}
