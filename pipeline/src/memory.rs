//! What the process holds in memory, and how much an epoch may take so that it stays within a limit.
//!
//! Cuts do not show in results, so the size of an epoch is free: under a limit it begins small, grows
//! by half where epochs of that size have left memory to spare, and is halved after one that did not.
//! Above the mark no epoch is planned beside another. What is not planned stays with the readers, whose
//! channels are bounded: the input is held back at its source.

use std::time::{Duration, Instant};

/// Records of an epoch of which even a small limit leaves so many.
const RECORDS_MIN: u64 = 512;

/// The part of the whole epoch that the first epoch under a limit takes.
const FIRST: u64 = 16;

/// How often the system is asked.
const EVERY: Duration = Duration::from_millis(10);

/// What an epoch may take of each stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Records.
    pub records: u64,
    /// Bytes in memory.
    pub bytes: u64,
}

/// Decides when an epoch may be planned, and how large it may be.
#[derive(Debug)]
pub struct Governor {
    limit: Option<u64>,
    whole: Room,
    /// Records that an epoch may take now.
    records: u64,
    /// The most memory seen since the size last changed, or was found to be right.
    most: u64,
    /// Commits to come before it is known what epochs of this size take.
    unknown: usize,
    looked: Option<Instant>,
    resident: u64,
    warned: bool,
}

impl Governor {
    /// A governor of epochs that take `whole` where memory is no concern.
    #[must_use]
    pub fn new(limit: Option<u64>, whole: Room) -> Self {
        let least = RECORDS_MIN.min(whole.records);
        let records = limit.map_or(whole.records, |_| (whole.records / FIRST).max(least));
        Self {
            limit,
            whole,
            records,
            most: 0,
            unknown: 1,
            looked: None,
            resident: 0,
            warned: false,
        }
    }

    /// Asks the system what the process holds, if it was not asked just now; gives the last answer.
    pub fn look(&mut self) -> u64 {
        if self.looked.is_none_or(|looked| looked.elapsed() >= EVERY) {
            self.looked = Some(Instant::now());
            if let Some(resident) = resident() {
                self.saw(resident);
            }
        }
        self.resident
    }

    /// Notes what the process holds.
    fn saw(&mut self, resident: u64) {
        self.resident = resident;
        self.most = self.most.max(resident);
    }

    /// Whether another epoch may be planned beside so many. One alone always may, however much
    /// memory the state takes: waiting would never make it less.
    #[must_use]
    pub fn may_plan(&self, in_flight: usize) -> bool {
        in_flight == 0 || self.limit.is_none_or(|limit| self.resident < mark(limit))
    }

    /// What the next epoch may take.
    #[must_use]
    pub fn room(&self) -> Room {
        let bytes = self.whole.bytes as u128 * u128::from(self.records);
        let bytes = bytes / u128::from(self.whole.records.max(1));
        Room { records: self.records, bytes: u64::try_from(bytes).unwrap_or(u64::MAX).max(1) }
    }

    /// After a commit that leaves so many epochs in flight: the size of those to come, by the most
    /// memory seen.
    pub fn committed(&mut self, in_flight: usize) {
        let Some(limit) = self.limit else { return };
        let least = RECORDS_MIN.min(self.whole.records);
        if self.most >= mark(limit) {
            if self.records == least && !self.warned {
                self.warned = true;
                tracing::warn!(
                    resident_bytes = self.most,
                    limit_bytes = limit,
                    "memory is at its limit with the smallest epochs: raise run.memory_limit, or \
                     watch fewer entities"
                );
            }
            self.records = (self.records / 2).max(least);
            self.unknown = in_flight;
        } else if self.unknown > 0 {
            self.unknown -= 1;
            return;
        } else if self.most < plenty(limit) && self.records < self.whole.records {
            self.records = (self.records + self.records.div_ceil(2)).min(self.whole.records);
            // Those in flight are smaller; the first of the new size comes after them.
            self.unknown = in_flight + 1;
        }
        self.most = self.resident;
    }

    /// The limit.
    #[must_use]
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }
}

/// From here on epochs go one by one, and shrink.
fn mark(limit: u64) -> u64 {
    limit / 100 * 80
}

/// Below this an epoch larger by half still fits, even if all memory were an epoch's.
fn plenty(limit: u64) -> u64 {
    limit / 100 * 60
}

/// What the process holds in memory now, where Linux tells.
#[must_use]
pub fn resident() -> Option<u64> {
    status("VmRSS:")
}

/// The most that it has held since it started.
#[must_use]
pub fn peak() -> Option<u64> {
    status("VmHWM:")
}

/// A field of `/proc/self/status`, in bytes.
fn status(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Room = Room { records: 131_072, bytes: 256 << 20 };

    #[test]
    fn without_a_limit_epochs_are_whole() {
        let mut governor = Governor::new(None, WHOLE);
        governor.saw(u64::MAX);
        governor.committed(3);
        assert_eq!((governor.room(), governor.may_plan(7)), (WHOLE, true));
    }

    #[test]
    fn under_a_limit_they_grow_and_shrink_with_memory() {
        let limit = 1_000 << 20;
        let mut governor = Governor::new(Some(limit), WHOLE);
        assert_eq!(governor.room(), Room { records: 8_192, bytes: 16 << 20 });
        let commits = |governor: &mut Governor, memory, commits| {
            for _ in 0..commits {
                governor.saw(memory);
                governor.committed(2);
            }
            governor.room().records
        };
        assert_eq!(commits(&mut governor, limit / 2, 1), 8_192, "not known yet");
        assert_eq!(commits(&mut governor, limit / 2, 1), 12_288);
        assert_eq!(commits(&mut governor, limit / 2, 3), 12_288, "two in flight were smaller");
        assert_eq!(commits(&mut governor, limit / 2, 1), 18_432);
        assert_eq!(commits(&mut governor, limit / 10 * 7, 9), 18_432, "in between nothing changes");
        governor.saw(limit / 10 * 9);
        assert!(!governor.may_plan(1) && governor.may_plan(0));
        governor.saw(limit / 2);
        assert!(governor.may_plan(1), "memory has fallen");
        assert_eq!(commits(&mut governor, limit / 2, 1), 9_216, "but had been at the mark");
        assert_eq!(commits(&mut governor, limit / 2, 99), WHOLE.records);
    }

    #[test]
    fn epochs_never_vanish() {
        let small = Room { records: 10, bytes: 1 };
        for whole in [WHOLE, small] {
            let mut governor = Governor::new(Some(1), whole);
            for _ in 0..50 {
                governor.saw(1 << 30);
                governor.committed(0);
            }
            assert_eq!(governor.room().records, RECORDS_MIN.min(whole.records));
            assert!(governor.room().bytes > 0 && governor.may_plan(0));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_tells() {
        let (now, most) = (resident().unwrap(), peak().unwrap());
        assert!(now > 1 << 20 && most >= now, "{now} {most}");
    }
}
