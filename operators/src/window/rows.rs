//! One entity's rows: kept until no window needs them, in event-time order once final.
//!
//! Rows come in any order and are appended. Those older than the watermark are
//! final: nothing can come before them any more, so they are put in order of
//! (event time, partition, offset), cleared of duplicates, and from then on
//! never move relative to each other. Rows off the front are forgotten lazily:
//! the rest is moved down only when it is the smaller part.

use std::collections::BTreeSet;

use super::lane::Lane;

/// A row's place in order, and its identity within its entity and instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) ts: i64,
    pub(super) partition: u32,
    pub(super) offset: u64,
    pub(super) id: u64,
}

/// An entity's rows, oldest first: `head..settled` final, `settled..` still open to new rows.
#[derive(Debug)]
pub(super) struct Rows<L> {
    keys: Vec<Key>,
    /// `width` a row, row after row.
    lanes: Vec<L>,
    width: usize,
    head: usize,
    settled: usize,
    /// Rows `settled..sorted` are in order; those behind came too late for that.
    sorted: usize,
}

/// What settling needs for a moment; kept so as not to be allocated each time.
#[derive(Debug, Default)]
pub(super) struct Scratch<L> {
    keys: Vec<(Key, u32)>,
    lanes: Vec<L>,
}

/// Capacity below which memory is not given back.
const KEEP_ROWS: usize = 256;

impl<L: Lane> Rows<L> {
    pub(super) fn new(width: usize) -> Self {
        Self { keys: Vec::new(), lanes: Vec::new(), width, head: 0, settled: 0, sorted: 0 }
    }

    /// Appends a row; it settles once the watermark has passed it.
    #[inline]
    pub(super) fn push(&mut self, key: Key, lanes: &[L]) {
        let len = self.keys.len();
        if self.sorted == len && (len == self.settled || self.keys[len - 1] < key) {
            self.sorted += 1;
        }
        self.keys.push(key);
        self.lanes.extend_from_slice(lanes);
    }

    /// The final rows that are still kept.
    pub(super) fn settled(&self) -> &[Key] {
        &self.keys[self.head..self.settled]
    }

    /// Lanes of a range of [`Rows::settled`].
    pub(super) fn lanes(&self, range: std::ops::Range<usize>) -> &[L] {
        &self.lanes[(self.head + range.start) * self.width..(self.head + range.end) * self.width]
    }

    /// Rows kept, final or not.
    pub(super) fn len(&self) -> usize {
        self.keys.len() - self.head
    }

    /// The oldest event time among rows that are not final.
    pub(super) fn open_since(&self) -> Option<i64> {
        let open = &self.keys[self.settled..];
        match open.get(..self.sorted - self.settled) {
            Some([first, ..]) if self.sorted == self.keys.len() => Some(first.ts),
            _ => open.iter().map(|key| key.ts).min(),
        }
    }

    /// Makes rows older than `limit` final (all of them when `None`); gives the duplicates among
    /// them to `duplicate`, in order, and forgets those.
    pub(super) fn settle(
        &mut self,
        limit: Option<i64>,
        scratch: &mut Scratch<L>,
        duplicate: impl FnMut(Key),
    ) {
        self.sort_open(scratch);
        let open = &self.keys[self.settled..];
        let new = limit.map_or(open.len(), |limit| open.partition_point(|key| key.ts < limit));
        let (from, to) = (self.settled, self.settled + new);
        self.settled = to;
        // Equal times settle together, so a duplicate's original is always among the new rows.
        let twice = self.keys[from..to].windows(2).any(|pair| pair[0].ts == pair[1].ts);
        if twice {
            self.remove_duplicates(from, to, duplicate);
        }
    }

    /// Forgets the oldest `count` final rows.
    pub(super) fn forget(&mut self, count: usize) {
        self.head += count;
        debug_assert!(self.head <= self.settled, "only final rows are forgotten");
        let kept = self.keys.len() - self.head;
        if self.head > kept {
            self.keys.copy_within(self.head.., 0);
            self.keys.truncate(kept);
            self.lanes.copy_within(self.head * self.width.., 0);
            self.lanes.truncate(kept * self.width);
            self.settled -= self.head;
            self.sorted -= self.head;
            self.head = 0;
            if self.keys.capacity() > KEEP_ROWS.max(8 * kept) {
                self.keys.shrink_to(2 * kept);
                self.lanes.shrink_to(2 * kept * self.width);
            }
        }
    }

    /// All rows kept in order, with their lanes, and how many of them are final.
    pub(super) fn ordered(&self) -> (Vec<(Key, &[L])>, usize) {
        let rows = self.keys.iter().zip(self.lanes.chunks_exact(self.width));
        let mut rows: Vec<_> = rows.skip(self.head).map(|(key, lanes)| (*key, lanes)).collect();
        let settled = self.settled - self.head;
        rows[settled..].sort_by_key(|(key, _)| *key);
        (rows, settled)
    }

    /// Declares the first `count` rows final: they were when the snapshot was taken.
    pub(super) fn restore_settled(&mut self, count: usize) {
        self.settled = count;
        self.sorted = self.sorted.max(count);
    }

    /// Puts the open rows in order, from the first one that a latecomer belongs before.
    fn sort_open(&mut self, scratch: &mut Scratch<L>) {
        let len = self.keys.len();
        let Some(first) = self.keys[self.sorted..].iter().min().copied() else {
            return;
        };
        let from =
            self.settled + self.keys[self.settled..self.sorted].partition_point(|key| *key < first);
        self.sorted = len;
        scratch.keys.clear();
        scratch.keys.extend(self.keys[from..].iter().copied().zip(0..));
        // Almost always two runs or a few displaced rows, which the stable sort merges.
        scratch.keys.sort_by_key(|(key, _)| *key);
        let lanes = &mut self.lanes[from * self.width..];
        scratch.lanes.clear();
        scratch.lanes.extend_from_slice(lanes);
        let places = self.keys[from..].iter_mut().zip(lanes.chunks_exact_mut(self.width));
        for ((key, lanes), (sorted, at)) in places.zip(&scratch.keys) {
            *key = *sorted;
            let at = *at as usize * self.width;
            lanes.copy_from_slice(&scratch.lanes[at..at + self.width]);
        }
    }

    /// Keeps the first of rows equal in time and id among `from..to`.
    fn remove_duplicates(&mut self, from: usize, to: usize, mut duplicate: impl FnMut(Key)) {
        let mut seen = BTreeSet::new();
        let mut kept = from;
        let mut now = None;
        for at in from..to {
            let key = self.keys[at];
            if now != Some(key.ts) {
                now = Some(key.ts);
                seen.clear();
            }
            if seen.insert(key.id) {
                self.keys[kept] = key;
                self.lanes.copy_within(at * self.width..(at + 1) * self.width, kept * self.width);
                kept += 1;
            } else {
                duplicate(key);
            }
        }
        self.keys.drain(kept..to);
        self.lanes.drain(kept * self.width..to * self.width);
        self.settled = kept;
        self.sorted -= to - kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(ts: i64, partition: u32, offset: u64) -> Key {
        Key { ts, partition, offset, id: 0 }
    }

    #[test]
    fn order_does_not_depend_on_arrival() {
        let arrivals = [(5, 0, 9), (3, 1, 0), (4, 0, 2), (3, 0, 7), (9, 0, 1), (8, 0, 0)];
        let mut rows = Rows::new(2);
        for (ts, partition, offset) in arrivals {
            rows.push(key(ts, partition, offset), &[ts as f32, offset as f32]);
        }
        let mut duplicates = Vec::new();
        rows.settle(Some(6), &mut Scratch::default(), |key| duplicates.push(key));
        assert_eq!(rows.settled(), [key(3, 0, 7), key(4, 0, 2), key(5, 0, 9)]);
        assert_eq!(rows.lanes(0..3), [3.0, 7.0, 4.0, 2.0, 5.0, 9.0]);
        assert_eq!(duplicates, [key(3, 1, 0)]);
        assert_eq!(rows.open_since(), Some(8));
        rows.forget(2);
        rows.push(key(7, 0, 3), &[7.0, 3.0]);
        assert_eq!(rows.open_since(), Some(7));
        rows.settle(None, &mut Scratch::default(), |_| unreachable!("no more duplicates"));
        assert_eq!(rows.lanes(0..4), [5.0, 9.0, 7.0, 3.0, 8.0, 0.0, 9.0, 1.0]);
    }

    #[test]
    fn rows_of_one_instant_are_told_apart_by_id() {
        let mut rows = Rows::new(1);
        for (offset, id) in [(0, 7), (1, 8), (2, 7), (3, 9)] {
            rows.push(Key { ts: 1, partition: 0, offset, id }, &[offset]);
        }
        let mut duplicates = Vec::new();
        rows.settle(Some(2), &mut Scratch::default(), |key| duplicates.push(key.offset));
        assert_eq!(duplicates, [2]);
        assert_eq!(rows.lanes(0..3), [0_u64, 1, 3]);
    }
}
