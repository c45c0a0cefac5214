//! Months that are over leave the arrangement until something is said of them.
//!
//! A month is over when something has become known two months after it, and it is put away when
//! [`WAIT`] epochs with changes have passed in which none was of that month: its days and its total, of
//! every roll-up.

use std::collections::{BTreeMap, BTreeSet};

use differential_dataflow::difference::IsZero;
use differential_dataflow::trace::TraceReader;
use timely::progress::frontier::Antichain;

use super::key::Key;
use super::moment::Moment;
use super::{Rollups, Sums, Update, Weighed};
use crate::bill::month_of;
use crate::shelf::{Shelf, Slot};
use crate::snapshot::Extent;
use crate::{Error, Result};

/// Epochs with changes, but none of that month, until one is put away.
const WAIT: u64 = if cfg!(test) { 2 } else { 8 };

/// Which months are in the arrangement, and where the others go.
#[derive(Debug)]
pub(super) struct Rest {
    shelf: Box<dyn Shelf>,
    /// Epochs with changes so far.
    turn: u64,
    /// The latest day on which something became known.
    known_on: i32,
    months: BTreeMap<i32, Month>,
}

#[derive(Debug, Default)]
struct Month {
    /// When something was last said of it: the turn, and the epoch.
    touched: (u64, u64),
    /// Where it is put away; nowhere while it is in the arrangement.
    slots: Vec<Slot>,
    /// Keys that are put away.
    keys: usize,
}

impl Rest {
    /// Keys that are put away.
    pub(super) fn keys(&self) -> usize {
        self.months.values().map(|month| month.keys).sum()
    }
}

fn quiet(epoch: u64) -> Moment {
    Moment { epoch, day: Moment::QUIET }
}

impl Rollups {
    /// Puts months that are over away on a shelf.
    #[must_use]
    pub fn on_shelf(self, shelf: Box<dyn Shelf>) -> Self {
        let rest = Rest { shelf, turn: 0, known_on: i32::MIN, months: BTreeMap::new() };
        Self { rest: Some(rest), ..self }
    }

    /// Fetches the months that an epoch says something of.
    pub(super) fn wake(&mut self, epoch: u64, updates: &[Update]) -> Result<Vec<Weighed>> {
        let Some(rest) = &mut self.rest else { return Ok(Vec::new()) };
        let mut days = (i32::MIN, BTreeSet::new());
        for Update { key, moment, .. } in updates {
            days.0 = days.0.max(moment.day);
            days.1.insert(key.start);
        }
        rest.known_on = rest.known_on.max(days.0);
        let mut slots = Vec::new();
        for month in days.1.into_iter().map(|day| month_of(day).0).collect::<BTreeSet<_>>() {
            let month = rest.months.entry(month).or_default();
            month.touched = (rest.turn, epoch);
            month.keys = 0;
            slots.append(&mut month.slots);
        }
        let mut weighed = Vec::new();
        for slot in slots {
            let totals = self.fetch(slot)?.into_iter();
            weighed.extend(totals.map(|(key, sums)| ((key, ()), quiet(epoch), sums)));
            if let Some(rest) = &mut self.rest {
                rest.shelf.free(slot);
            }
        }
        Ok(weighed)
    }

    /// Puts months away that are over: what takes their totals back.
    pub(super) fn put_away(&mut self, epoch: u64) -> Result<Vec<Weighed>> {
        let Some(rest) = &mut self.rest else { return Ok(Vec::new()) };
        rest.turn += 1;
        if rest.turn % WAIT != 0 || rest.known_on == i32::MIN {
            return Ok(Vec::new());
        }
        let mut arranged = Antichain::new();
        if let Some(trace) = &self.trace {
            trace.borrow_mut().read_upper(&mut arranged);
        }
        let (last, open) = (rest.turn - WAIT, month_of(rest.known_on).0 - 1);
        let over = rest.months.range(..open).filter(|(_, month)| {
            let Month { touched: (turn, epoch), slots, .. } = month;
            // What has come of it is in the arrangement by now.
            let is_arranged = !arranged.less_equal(&Moment { epoch: *epoch, day: i32::MAX });
            slots.is_empty() && *turn < last && is_arranged
        });
        let mut over: BTreeMap<i32, Vec<(Key, Sums)>> =
            over.map(|(month, _)| (*month, Vec::new())).collect();
        if over.is_empty() {
            return Ok(Vec::new());
        }
        self.arranged(|key, total| {
            if let Some(totals) = over.get_mut(&month_of(key.start).0)
                && !total.is_zero()
            {
                totals.push((key.clone(), total));
            }
        });
        let mut weighed = Vec::new();
        for (month, totals) in over {
            if totals.is_empty() {
                self.rest.iter_mut().for_each(|rest| drop(rest.months.remove(&month)));
            }
            self.shelve(month, &totals)?;
            let taken = totals.into_iter();
            weighed.extend(taken.map(|(key, sums)| ((key, ()), quiet(epoch), sums.negated())));
        }
        Ok(weighed)
    }

    /// Takes totals of a snapshot up: months before the newest two are put away, the others go to the
    /// arrangement.
    pub(super) fn take_up(&mut self, totals: Vec<(Key, Sums)>) -> Result<()> {
        let Some(rest) = &mut self.rest else {
            self.restored.extend(totals);
            return Ok(());
        };
        let mut months: BTreeMap<i32, Vec<(Key, Sums)>> = BTreeMap::new();
        for (key, sums) in totals {
            months.entry(month_of(key.start).0).or_default().push((key, sums));
        }
        for month in months.keys() {
            rest.months.entry(*month).or_default();
        }
        let newest = rest.months.keys().next_back().map_or(i32::MAX, |newest| newest - 1);
        for (month, totals) in months {
            if month < newest {
                self.shelve(month, &totals)?;
            } else {
                self.restored.extend(totals);
            }
        }
        Ok(())
    }

    fn shelve(&mut self, month: i32, totals: &[(Key, Sums)]) -> Result<()> {
        if totals.is_empty() {
            return Ok(());
        }
        let state = self.batch(totals)?;
        if let Some(rest) = &mut self.rest {
            let month = rest.months.entry(month).or_default();
            month.slots.push(rest.shelf.put(&state)?);
            month.keys += totals.len();
        }
        Ok(())
    }

    /// Where months are that a snapshot asks for and that are put away.
    pub(super) fn away(&self, extent: Extent) -> Vec<Slot> {
        let changed: BTreeSet<i32> = self.changed.iter().map(|key| month_of(key.start).0).collect();
        let months = self.rest.iter().flat_map(|rest| &rest.months);
        let wanted = months.filter(|(month, _)| extent == Extent::Whole || changed.contains(month));
        wanted.flat_map(|(_, month)| month.slots.iter().copied()).collect()
    }

    /// What was put away.
    pub(super) fn fetch(&self, slot: Slot) -> Result<Vec<(Key, Sums)>> {
        let rest = self.rest.as_ref().ok_or_else(|| Error::Shelf("there is none".to_owned()))?;
        self.read(&rest.shelf.get(slot)?)
    }
}
