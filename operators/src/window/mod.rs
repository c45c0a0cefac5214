//! Rows to windows: by count, by time, by session.
//!
//! Rows of an entity are ordered by (event time, partition, offset) once the
//! watermark has passed them; nothing can come before them then. A window is
//! given as soon as its rows are final and no more can belong to it. So the
//! windows of a stream, and every value in them, depend on its rows alone:
//! neither on how they were cut into batches and epochs nor on the order in
//! which a worker met them. Only *when* a window is given depends on the cut.
//!
//! A row equal to another in entity, event time and id ([`Extract::ids`]) is a
//! second delivery: the first in order stays, the others are told by
//! [`Window::take_duplicates`].
//!
//! State is one contiguous, row-major stretch of lanes an entity, so that a
//! window is a single copy; memory is flat in rows and linear in entities.

mod close;
mod either;
mod lane;
mod output;
mod rows;
mod snapshot;
mod spec;

use arrow::array::{Array, RecordBatch};
use hashbrown::HashTable;

use self::close::{close, first_mark};
pub use self::either::EitherWindow;
pub use self::lane::{Channels, Extract, Lane, selected};
use self::output::Output;
use self::rows::{Key, Rows, Scratch};
pub use self::spec::WindowSpec;
use crate::epoch::{Offset, Partition};
use crate::key::hash;
use crate::schema::{ENTITY_ID, TS, offsets, texts, times};
use crate::watermark::Watermark;
use crate::{Error, Result};

/// A row refused because it had been delivered before.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duplicate {
    /// Whose row.
    pub entity_id: String,
    /// Its event time, µs.
    pub ts: i64,
    /// The partition of the refused delivery.
    pub partition: Partition,
    /// Its offset there.
    pub offset: Offset,
}

/// The operator: cuts each entity's rows into windows.
#[derive(Debug)]
pub struct Window<L: Lane> {
    spec: WindowSpec,
    extract: Box<dyn Extract<L>>,
    watermark: Watermark,
    /// Slots of `entities` by the pinned hash of the entity's name.
    slots: HashTable<u32>,
    entities: Vec<Entity<L>>,
    /// For each slot: nothing happens to the entity before the watermark exceeds this.
    due: Vec<i64>,
    /// For each slot, its entity's place in name order; shorter than `entities` when outdated.
    ranks: Vec<u32>,
    output: Output<L>,
    duplicates: Vec<Duplicate>,
    /// Kept between batches so as not to be allocated each time.
    scratch: Scratch<L>,
    lanes: Vec<L>,
    ids: Vec<u64>,
}

#[derive(Debug)]
struct Entity<L> {
    name: Box<str>,
    hash: u64,
    rows: Rows<L>,
    /// See [`close`].
    mark: i64,
    /// The slot whose row followed this entity's last one: devices often report in turn.
    follower: u32,
    /// Whether anything of it has changed since the last checkpoint.
    changed: bool,
}

/// Nothing is due before the input ends.
const NEVER: i64 = i64::MAX;

impl<L: Lane> Window<L> {
    /// An operator without rows, for the input batches that `extract` understands.
    ///
    /// # Errors
    /// [`Error::Configuration`] when the windows cannot be cut, or one does not fit a batch.
    pub fn new(spec: WindowSpec, extract: impl Extract<L> + 'static) -> Result<Self> {
        spec.validate()?;
        let (width, length) = (extract.width(), spec.length());
        if width == 0 || width.checked_mul(length.unwrap_or(1)).is_none_or(|n| n > 1 << 24) {
            return Err(Error::Configuration(format!(
                "window: {} rows of {width} values do not fit a batch: shorten the window",
                length.unwrap_or(1)
            )));
        }
        Ok(Self {
            spec,
            extract: Box::new(extract),
            watermark: Watermark::MIN,
            slots: HashTable::new(),
            entities: Vec::new(),
            due: Vec::new(),
            ranks: Vec::new(),
            output: Output::new(width, length),
            duplicates: Vec::new(),
            scratch: Scratch::default(),
            lanes: Vec::new(),
            ids: Vec::new(),
        })
    }

    /// Takes up the selected rows (all when `None`) of a partition's input batch.
    ///
    /// # Errors
    /// [`Error::Column`] when the batch lacks a column, or holds a row older than the watermark
    /// last given to [`Window::advance`]: late rows must not come this far.
    pub fn push(
        &mut self,
        partition: Partition,
        rows: &RecordBatch,
        selection: Option<&[u32]>,
    ) -> Result<()> {
        let (entities, ts, offset) = (texts(rows, ENTITY_ID)?, times(rows, TS)?, offsets(rows)?);
        let (mut lanes, mut ids) = (std::mem::take(&mut self.lanes), std::mem::take(&mut self.ids));
        lanes.clear();
        ids.clear();
        self.extract.lanes(rows, selection, &mut lanes)?;
        self.extract.ids(rows, selection, &mut ids)?;
        let width = self.extract.width();
        if entities.null_count() > 0 || (rows.num_rows() > 0 && self.watermark == Watermark::MAX) {
            return Err(self.out_of_contract(i64::MIN));
        }
        let mut last = 0;
        let picked = selected(rows, selection).zip(lanes.chunks_exact(width)).zip(&ids);
        for ((row, lanes), &id) in picked {
            let ts = ts[row];
            if ts < self.watermark.0 {
                return Err(self.out_of_contract(ts));
            }
            let slot = self.slot_after(last, entities.value(row));
            last = slot;
            let key = Key { ts, partition: partition.0, offset: offset.value(row), id };
            let entity = &mut self.entities[slot as usize];
            entity.rows.push(key, lanes);
            entity.changed = true;
            let due = &mut self.due[slot as usize];
            *due = ts.min(*due);
        }
        (self.lanes, self.ids) = (lanes, ids);
        Ok(())
    }

    /// Makes rows older than the watermark final and gives the windows that this closes, in
    /// batches of about 512: `entity_id`, `window_start`, `window_end`, `partition`,
    /// `offset_from`, `offset_to`, `rows`, `window`.
    ///
    /// Windows come by entity name, and by end within an entity. `window` is a fixed-size list
    /// where all windows have one length, else a list; its values are time-major. At
    /// [`Watermark::MAX`] every row is final and every window closes; windows by count that are
    /// not full are dropped.
    ///
    /// # Errors
    /// Those of `emit`; [`Error::Configuration`] when a window outgrows a batch.
    pub fn advance(
        &mut self,
        watermark: Watermark,
        mut emit: impl FnMut(RecordBatch) -> Result<()>,
    ) -> Result<()> {
        self.watermark = self.watermark.max(watermark);
        for slot in self.due_slots() {
            self.close(slot as usize, &mut emit)?;
        }
        self.output.finish()?.map_or(Ok(()), emit)
    }

    /// The duplicates found since the last call, by entity and order; to be taken after each
    /// [`Window::advance`], since they are no part of the snapshot.
    pub fn take_duplicates(&mut self) -> Vec<Duplicate> {
        std::mem::take(&mut self.duplicates)
    }

    /// Rows kept: those not final yet, and those that a later window needs.
    #[must_use]
    pub fn pending_rows(&self) -> u64 {
        self.entities.iter().map(|entity| entity.rows.len() as u64).sum()
    }

    /// Entities seen so far.
    #[must_use]
    pub fn entities(&self) -> usize {
        self.entities.len()
    }

    /// Closes one entity's windows.
    fn close(
        &mut self,
        slot: usize,
        emit: &mut impl FnMut(RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let Entity { name, rows, mark, changed, .. } = &mut self.entities[slot];
        *changed = true;
        let limit = (self.watermark != Watermark::MAX).then_some(self.watermark.0);
        rows.settle(limit, &mut self.scratch, |key| {
            self.duplicates.push(Duplicate {
                entity_id: name.to_string(),
                ts: key.ts,
                partition: Partition(key.partition),
                offset: Offset(key.offset),
            });
        });
        let (output, mut result) = (&mut self.output, Ok(()));
        let closes = close(&self.spec, mark, rows, self.watermark, |rows, range, end| {
            if result.is_ok() {
                result = output.push(name, rows, range, end).and_then(|()| {
                    if output.is_full() {
                        output.finish()?.map_or(Ok(()), &mut *emit)
                    } else {
                        Ok(())
                    }
                });
            }
        });
        let closes = closes.map_or(NEVER, |end| end.saturating_sub(1));
        self.due[slot] = rows.open_since().unwrap_or(NEVER).min(closes);
        result
    }

    /// The slots at which the watermark makes something happen, by entity name.
    fn due_slots(&mut self) -> Vec<u32> {
        if self.ranks.len() < self.entities.len() {
            let mut order: Vec<u32> = (0..self.entities.len() as u32).collect();
            order.sort_unstable_by_key(|&slot| &self.entities[slot as usize].name);
            self.ranks.resize(order.len(), 0);
            for (rank, slot) in order.into_iter().enumerate() {
                self.ranks[slot as usize] = rank as u32;
            }
        }
        let all = self.watermark == Watermark::MAX;
        let due = self.due.iter().enumerate().filter(|&(_, &due)| all || due < self.watermark.0);
        let mut due: Vec<u32> = due.map(|(slot, _)| slot as u32).collect();
        due.sort_unstable_by_key(|&slot| self.ranks[slot as usize]);
        due
    }

    /// The slot of an entity whose row follows one of `last`; new entities get one.
    #[inline]
    fn slot_after(&mut self, last: u32, name: &str) -> u32 {
        if let Some(before) = self.entities.get(last as usize) {
            let guess = before.follower;
            if self.entities.get(guess as usize).is_some_and(|entity| &*entity.name == name) {
                return guess;
            }
        }
        let slot = self.slot(name);
        self.entities[last as usize].follower = slot;
        slot
    }

    fn slot(&mut self, name: &str) -> u32 {
        let hash = hash(name.as_bytes());
        let found = self.slots.find(hash, |&slot| *self.entities[slot as usize].name == *name);
        if let Some(&slot) = found {
            return slot;
        }
        let slot = u32::try_from(self.entities.len()).expect("4 billion entities outgrow memory");
        self.entities.push(Entity {
            name: name.into(),
            hash,
            rows: Rows::new(self.extract.width()),
            mark: first_mark(&self.spec),
            follower: slot,
            changed: false,
        });
        self.due.push(NEVER);
        self.slots.insert_unique(hash, slot, |&slot| self.entities[slot as usize].hash);
        slot
    }

    fn out_of_contract(&self, ts: i64) -> Error {
        Error::Column {
            column: TS.to_owned(),
            expected: format!("no row older than the watermark {} µs", self.watermark.0),
            found: format!("a row of {ts} µs"),
        }
    }
}
