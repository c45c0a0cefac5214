//! Where operators put state that they may never need again, outside of memory.
//!
//! What is put away is still known: whoever is asked for it fetches it back. So what is away cannot
//! show in results, and neither when it went. A shelf is a process's own and ends with it: what must
//! outlive the process is in [snapshots](crate::snapshot), which hold what is put away as well.

use std::fmt::Debug;

use arrow::array::RecordBatch;

use crate::Result;

/// Where on its shelf something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Where it begins.
    pub at: u64,
    /// How much room it takes.
    pub len: u64,
}

/// Keeps batches outside of memory.
pub trait Shelf: Debug {
    /// Puts a batch away.
    ///
    /// # Errors
    /// [`crate::Error::Shelf`] when it cannot be written.
    fn put(&mut self, state: &RecordBatch) -> Result<Slot>;

    /// What was put there.
    ///
    /// # Errors
    /// [`crate::Error::Shelf`] when it cannot be read.
    fn get(&self, slot: Slot) -> Result<RecordBatch>;

    /// Says that it will not be asked for again.
    fn free(&mut self, slot: Slot);
}

/// Batches in memory, counted.
#[cfg(test)]
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory(std::rc::Rc<std::cell::RefCell<Vec<Option<RecordBatch>>>>);

#[cfg(test)]
impl Memory {
    /// How many batches have been put here, and how many of them are here now.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let slots = self.0.borrow();
        (slots.len(), slots.iter().flatten().count())
    }
}

#[cfg(test)]
impl Shelf for Memory {
    fn put(&mut self, state: &RecordBatch) -> Result<Slot> {
        let mut slots = self.0.borrow_mut();
        slots.push(Some(state.clone()));
        Ok(Slot { at: slots.len() as u64 - 1, len: 1 })
    }

    fn get(&self, slot: Slot) -> Result<RecordBatch> {
        let slots = self.0.borrow();
        let batch = slots.get(slot.at as usize).cloned().flatten();
        batch.ok_or_else(|| crate::Error::Shelf(format!("nothing is at {}", slot.at)))
    }

    fn free(&mut self, slot: Slot) {
        self.0.borrow_mut()[slot.at as usize] = None;
    }
}
