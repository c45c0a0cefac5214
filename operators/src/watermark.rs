//! The event-time bound: which records are late, which windows may close.
//!
//! Within a partition, records are judged in offset order:
//! `watermark = max(event time seen so far) − allowed lateness`, and a record
//! older than the watermark *at its own arrival* is late. The verdict depends
//! on the partition's order alone, never on how epochs cut it. Across
//! partitions the least watermark counts, so that a record that was accepted
//! can never find its window closed.

use serde::{Deserialize, Serialize};

/// An event-time bound in µs since 1970-01-01 UTC: no accepted record is older.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Watermark(pub i64);

impl Watermark {
    /// Nothing has been seen: every record is accepted.
    pub const MIN: Self = Self(i64::MIN);
    /// The input has ended: every window closes.
    pub const MAX: Self = Self(i64::MAX);
}

/// Judges one partition's records in offset order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judge {
    lateness_us: i64,
    watermark: Watermark,
}

impl Judge {
    /// A judge that has seen nothing, allowing `lateness_us` of disorder.
    #[must_use]
    pub fn new(lateness_us: i64) -> Self {
        Self { lateness_us, watermark: Watermark::MIN }
    }

    /// A judge that continues at a committed watermark.
    #[must_use]
    pub fn resume(self, watermark: Watermark) -> Self {
        Self { watermark, ..self }
    }

    /// The watermark after everything judged so far.
    #[must_use]
    pub fn watermark(&self) -> Watermark {
        self.watermark
    }

    /// Judges the next records; pushes the indices of late ones onto `late`.
    pub fn judge(&mut self, event_times_us: &[i64], late: &mut Vec<u32>) {
        let mut watermark = self.watermark.0;
        for (row, &ts) in event_times_us.iter().enumerate() {
            if ts < watermark {
                late.push(row as u32);
            } else {
                watermark = watermark.max(ts.saturating_sub(self.lateness_us));
            }
        }
        self.watermark = Watermark(watermark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lateness_us: i64, times: &[i64], late: &[u32], watermark: i64) {
        let mut found = Vec::new();
        let mut judge = Judge::new(lateness_us);
        judge.judge(times, &mut found);
        assert_eq!(found, late);
        assert_eq!(judge.watermark(), Watermark(watermark));
        for cut in 0..=times.len() {
            let (mut a, mut b) = (Vec::new(), Vec::new());
            let mut judge = Judge::new(lateness_us);
            judge.judge(&times[..cut], &mut a);
            judge.judge(&times[cut..], &mut b);
            a.extend(b.iter().map(|row| row + cut as u32));
            assert_eq!(a, late, "cut at {cut}");
        }
    }

    #[test]
    fn a_record_is_late_when_older_than_the_watermark_at_its_arrival() {
        check(10, &[100, 90, 89, 120, 109, 110], &[2, 4], 110);
        check(0, &[1, 1, 0, 2], &[2], 2);
        check(5, &[i64::MIN, 3], &[], -2);
    }
}
