//! What the lines of an account's month say: very many, so in few bytes and without copying.

use hashbrown::HashMap;
use hashbrown::hash_table::HashTable;

use super::month::Sums;

/// A line's digest.
pub(super) type Digest = [u64; 2];

/// What a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stated {
    pub(super) version: i64,
    pub(super) billed: i128,
    pub(super) effective: i128,
    /// Which of the month's keys it counts for.
    pub(super) key: u32,
}

impl Stated {
    pub(super) fn sums(&self) -> Sums {
        Sums { billed: self.billed, effective: self.effective, charges: 1 }
    }
}

/// A line as it is kept.
#[derive(Debug, Clone, Copy)]
struct Line {
    digest: Digest,
    version: i64,
    billed: i64,
    effective: i64,
    key: u32,
}

/// Stands for amounts that 64 bits do not hold: they are kept aside.
const WIDE: i64 = i64::MIN;

/// Where a line is, and 32 bits of its digest: growing the index touches no line.
#[derive(Debug, Clone, Copy)]
struct Slot {
    tag: u32,
    position: u32,
}

impl Slot {
    fn hash(tag: u32) -> u64 {
        u64::from(tag).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

/// The lines.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines {
    index: HashTable<Slot>,
    /// Chunks that never move: of 64 lines, 128 and so on to [`CHUNK`], then of as many each.
    chunks: Vec<Vec<Line>>,
    len: u32,
    /// Amounts that [`WIDE`] stands for.
    wide: HashMap<Digest, (i128, i128)>,
}

/// Lines in the first chunk, and in all but the first few.
const FIRST: u32 = 64;
const CHUNK: u32 = 4096;
/// Lines in the chunks that grow.
const GROWING: u32 = CHUNK - FIRST;

/// A line's chunk, and its place in there.
fn place(position: u32) -> (usize, usize) {
    if position < GROWING {
        let chunk = (position / FIRST + 1).ilog2();
        return (chunk as usize, (position - FIRST * ((1 << chunk) - 1)) as usize);
    }
    let rest = position - GROWING;
    let growing = (CHUNK / FIRST).ilog2();
    ((growing + rest / CHUNK) as usize, (rest % CHUNK) as usize)
}

impl Lines {
    /// What a line says so far.
    pub(super) fn get(&self, digest: Digest) -> Option<Stated> {
        let slot = self.slot(digest)?;
        let (chunk, at) = place(slot.position);
        Some(self.widen(&self.chunks[chunk][at]))
    }

    /// Looks where a line is, or would be.
    pub(super) fn meet(&self, digest: Digest) -> u32 {
        let tag = digest[0] as u32;
        let found = self.index.find(Slot::hash(tag), |slot| slot.tag == tag);
        found.map_or(0, |slot| slot.position)
    }

    fn slot(&self, digest: Digest) -> Option<&Slot> {
        let tag = digest[0] as u32;
        self.index.find(Slot::hash(tag), |slot| {
            let (chunk, at) = place(slot.position);
            slot.tag == tag && self.chunks[chunk][at].digest == digest
        })
    }

    fn widen(&self, line: &Line) -> Stated {
        let (billed, effective) = match line.billed {
            WIDE => self.wide.get(&line.digest).copied().unwrap_or_default(),
            _ => (line.billed.into(), line.effective.into()),
        };
        Stated { version: line.version, billed, effective, key: line.key }
    }

    /// Has a line say something for the first time, or anew where it is `known`.
    pub(super) fn state(&mut self, digest: Digest, stated: Stated, known: bool) {
        let narrow = |amount: i128| i64::try_from(amount).ok().filter(|amount| *amount != WIDE);
        let (billed, effective) = match (narrow(stated.billed), narrow(stated.effective)) {
            (Some(billed), Some(effective)) => (billed, effective),
            _ => {
                self.wide.insert(digest, (stated.billed, stated.effective));
                (WIDE, WIDE)
            }
        };
        if billed != WIDE && !self.wide.is_empty() {
            self.wide.remove(&digest);
        }
        let line = Line { digest, version: stated.version, billed, effective, key: stated.key };
        if let Some(slot) = known.then(|| self.slot(digest)).flatten() {
            let (chunk, at) = place(slot.position);
            self.chunks[chunk][at] = line;
            return;
        }
        let (chunk, _) = place(self.len);
        if chunk == self.chunks.len() {
            self.chunks.push(Vec::with_capacity((FIRST << chunk.min(6)) as usize));
        }
        self.chunks[chunk].push(line);
        let slot = Slot { tag: digest[0] as u32, position: self.len };
        self.index.insert_unique(Slot::hash(slot.tag), slot, |slot| Slot::hash(slot.tag));
        self.len += 1;
    }

    /// All of them, in the order of their digests.
    pub(super) fn sorted(&self) -> Vec<(Digest, Stated)> {
        let lines = self.chunks.iter().flatten();
        let mut lines: Vec<_> = lines.map(|line| (line.digest, self.widen(line))).collect();
        lines.sort_unstable_by_key(|(digest, _)| *digest);
        lines
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_a_place_of_its_own() {
        let mut expected = (0, 0);
        for position in 0..40_000 {
            assert_eq!(place(position), expected, "{position}");
            let size = (FIRST << expected.0.min(6)) as usize;
            expected = match expected {
                (chunk, at) if at + 1 == size => (chunk + 1, 0),
                (chunk, at) => (chunk, at + 1),
            };
        }
    }

    #[test]
    fn lines_are_found_again() {
        let mut lines = Lines::default();
        // All of one tag: the worst that digests can do.
        let digest = |n: u64| [n << 32, n];
        let said = |n: u64| Stated {
            version: 1,
            billed: n.into(),
            effective: 10_i128.pow(30) + i128::from(n),
            key: n as u32,
        };
        for n in 0..3_000 {
            assert_eq!(lines.get(digest(n)), None);
            lines.state(digest(n), said(n), false);
        }
        lines.state(digest(7), said(8), true);
        assert_eq!((lines.len(), lines.get(digest(7))), (3_000, Some(said(8))));
        assert_eq!(lines.get(digest(2_999)), Some(said(2_999)));
        assert!(lines.sorted().is_sorted_by_key(|(digest, _)| *digest));
    }
}
