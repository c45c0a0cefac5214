//! Months that have closed leave memory until a row asks for them.
//!
//! An account's month is put away when its last day has closed and [`WAIT`] epochs have passed in
//! which nothing was said of it. A row of that month — a correction, a line stated anew, a later
//! delivery — fetches all of it back first.

use std::mem;

use super::month::Month;
use super::{Bill, month_of};
use crate::shelf::{Shelf, Slot};
use crate::{Error, Result};

/// Epochs without a row until a closed month is put away.
const WAIT: u64 = if cfg!(test) { 2 } else { 8 };

/// Which months are in memory, and where the others go.
#[derive(Debug)]
pub(super) struct Rest {
    shelf: Box<dyn Shelf>,
    /// Epochs that have been taken up.
    epoch: u64,
    /// The greatest day that days before had closed by.
    closed_before: i32,
    /// Places of the months in memory.
    awake: Vec<u32>,
}

/// When a month was last asked for, and where it is if that is not in memory.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Resting {
    touched: u64,
    slot: Option<Slot>,
}

impl Bill {
    /// Puts months that have closed away on a shelf.
    #[must_use]
    pub fn on_shelf(self, shelf: Box<dyn Shelf>) -> Self {
        let rest = Rest { shelf, epoch: 0, closed_before: i32::MIN, awake: Vec::new() };
        Self { rest: Some(rest), ..self }
    }

    /// Has an account's month in memory before anything is done to it.
    pub(super) fn touch(&mut self, place: u32) -> Result<()> {
        let Some(rest) = &mut self.rest else { return Ok(()) };
        let resting = &mut self.units[place as usize].resting;
        resting.touched = rest.epoch;
        let Some(slot) = resting.slot else { return Ok(()) };
        let state = rest.shelf.get(slot)?;
        self.fill(&state, |_, _, _| Ok(place))?;
        if let Some(rest) = &mut self.rest {
            rest.shelf.free(slot);
            rest.awake.push(place);
            self.units[place as usize].resting.slot = None;
        }
        Ok(())
    }

    /// A month that is new is in memory.
    pub(super) fn is_awake(&mut self, place: u32) {
        if let Some(rest) = &mut self.rest {
            rest.awake.push(place);
            self.units[place as usize].resting.touched = rest.epoch;
        }
    }

    /// Takes note that days before this one have closed.
    pub(super) fn closed(&mut self, before: i32) {
        if let Some(rest) = &mut self.rest {
            rest.closed_before = rest.closed_before.max(before);
        }
    }

    /// Ends an epoch: months that have closed and are not asked for go.
    pub(super) fn rest(&mut self) -> Result<()> {
        let Some(rest) = &mut self.rest else { return Ok(()) };
        rest.epoch += 1;
        if rest.epoch % WAIT != 0 || rest.closed_before == i32::MIN {
            return Ok(());
        }
        let (last, open) = (rest.epoch - WAIT, month_of(rest.closed_before).0);
        self.put_away(|number, touched| number < open && touched < last)
    }

    /// After state was taken up: months before the newest two go, so that no restart holds them all.
    pub(super) fn rest_restored(&mut self) -> Result<()> {
        let newest = self.units.iter().map(|unit| unit.number).max().unwrap_or(i32::MIN);
        self.put_away(|number, _| number < newest.saturating_sub(1))
    }

    fn put_away(&mut self, goes: impl Fn(i32, u64) -> bool) -> Result<()> {
        let Some(rest) = &mut self.rest else { return Ok(()) };
        let awake = mem::take(&mut rest.awake);
        let mut stays = Vec::with_capacity(awake.len());
        for place in awake {
            let unit = &self.units[place as usize];
            let state = match goes(unit.number, unit.resting.touched) {
                true => self.state(&[(self.name(place), place)])?,
                false => None,
            };
            // One that holds nothing yet may hold something later.
            let (Some(state), Some(rest)) = (state, &mut self.rest) else {
                stays.push(place);
                continue;
            };
            let unit = &mut self.units[place as usize];
            unit.resting.slot = Some(rest.shelf.put(&state)?);
            unit.month = Month::default();
        }
        if let Some(rest) = &mut self.rest {
            rest.awake = stays;
        }
        Ok(())
    }

    /// Where an account's month is put away; `None` where it is in memory.
    pub(super) fn away(&self, place: u32) -> Option<Slot> {
        self.units[place as usize].resting.slot
    }

    /// What was put away.
    pub(super) fn fetch(&self, slot: Slot) -> Result<arrow::array::RecordBatch> {
        let rest = self.rest.as_ref();
        rest.ok_or_else(|| Error::Shelf("there is none".to_owned()))?.shelf.get(slot)
    }
}
