//! Which windows of one entity may close, and which rows no window needs any more.
//!
//! Between two calls an entity's progress is one number, its *mark*: rows still
//! to be skipped before the next window by count, the start of the next window
//! by time. It depends on the entity's final rows and the watermark alone.

use std::ops::Range;

use super::lane::Lane;
use super::rows::{Key, Rows};
use super::spec::WindowSpec;
use crate::watermark::Watermark;

/// The mark by time of an entity that no window has closed for.
const UNSTARTED: i64 = i64::MIN;

/// The mark of an entity not seen before.
pub(super) fn first_mark(spec: &WindowSpec) -> i64 {
    match spec {
        WindowSpec::Count { .. } | WindowSpec::Session { .. } => 0,
        WindowSpec::Tumbling { .. } | WindowSpec::Sliding { .. } => UNSTARTED,
    }
}

/// Gives every window that the watermark closes to `emit`, as a range of `rows.settled()` and the
/// window's end, in order of their ends; forgets rows that no later window needs.
///
/// Returns the watermark at which the next window of the rows at hand closes.
pub(super) fn close<L: Lane>(
    spec: &WindowSpec,
    mark: &mut i64,
    rows: &mut Rows<L>,
    watermark: Watermark,
    mut emit: impl FnMut(&Rows<L>, Range<usize>, i64),
) -> Option<i64> {
    let keys = rows.settled();
    let emit = |range: Range<usize>, end| emit(rows, range, end);
    let (done, next) = match *spec {
        WindowSpec::Count { length, hop } => {
            let done = by_count(length as usize, hop.into(), mark, keys, emit);
            // After the end of input an unfinished window can never be filled.
            (if watermark == Watermark::MAX { keys.len() } else { done }, None)
        }
        WindowSpec::Tumbling { duration_us } => {
            by_time(duration_us, duration_us, mark, keys, watermark, emit)
        }
        WindowSpec::Sliding { duration_us, hop_us } => {
            by_time(duration_us, hop_us, mark, keys, watermark, emit)
        }
        WindowSpec::Session { gap_us, max_duration_us } => {
            by_session(gap_us, max_duration_us, keys, watermark, emit)
        }
    };
    rows.forget(done);
    next
}

/// Returns how many rows are done with.
fn by_count(
    length: usize,
    hop: i64,
    skip: &mut i64,
    keys: &[Key],
    mut emit: impl FnMut(Range<usize>, i64),
) -> usize {
    let mut at = 0;
    loop {
        let skipped = (*skip).min((keys.len() - at) as i64);
        *skip -= skipped;
        at += skipped as usize;
        if *skip > 0 || keys.len() - at < length {
            return at;
        }
        emit(at..at + length, keys[at + length - 1].ts);
        *skip = hop;
    }
}

/// Returns how many rows are done with, and when the next window closes.
fn by_time(
    duration: i64,
    hop: i64,
    mark: &mut i64,
    keys: &[Key],
    watermark: Watermark,
    mut emit: impl FnMut(Range<usize>, i64),
) -> (usize, Option<i64>) {
    // 128 bits: bounds of windows around absurd timestamps lie beyond 64.
    let (duration, hop) = (i128::from(duration), i128::from(hop));
    let limit = end_of(watermark);
    let mut at = 0;
    while at < keys.len() {
        let ts = i128::from(keys[at].ts);
        // The first multiple of the hop whose window reaches past the oldest row.
        let first = ((ts - duration).div_euclid(hop) + 1) * hop;
        let start = if *mark == UNSTARTED { first } else { first.max(i128::from(*mark)) };
        let end = start + duration;
        if end > limit {
            return (at, Some(clamp(end)));
        }
        at += keys[at..].partition_point(|key| i128::from(key.ts) < start);
        let count = keys[at..].partition_point(|key| i128::from(key.ts) < end);
        if count > 0 {
            emit(at..at + count, clamp(end));
        }
        let next = start + hop;
        *mark = clamp(next);
        at += keys[at..].partition_point(|key| i128::from(key.ts) < next);
    }
    (at, None)
}

/// Returns how many rows are done with, and when the next session closes.
fn by_session(
    gap: i64,
    max_duration: i64,
    keys: &[Key],
    watermark: Watermark,
    mut emit: impl FnMut(Range<usize>, i64),
) -> (usize, Option<i64>) {
    let (gap, max_duration) = (i128::from(gap), i128::from(max_duration));
    let mut at = 0;
    while let Some(first) = keys.get(at) {
        let longest = i128::from(first.ts) + max_duration;
        let mut end = (i128::from(first.ts) + gap).min(longest);
        let mut to = at + 1;
        while let Some(key) = keys.get(to).filter(|key| i128::from(key.ts) < end) {
            end = (i128::from(key.ts) + gap).min(longest);
            to += 1;
        }
        if end > end_of(watermark) {
            return (at, Some(clamp(end)));
        }
        emit(at..to, clamp(end));
        at = to;
    }
    (at, None)
}

/// The last end that a watermark closes: any at all once the input has ended.
fn end_of(watermark: Watermark) -> i128 {
    if watermark == Watermark::MAX { i128::MAX } else { watermark.0.into() }
}

fn clamp(time: i128) -> i64 {
    i64::try_from(time).unwrap_or(if time < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::super::rows::Scratch;
    use super::*;

    /// A watermark and the windows that it closes, as (event times, end).
    type Step<'a> = (i64, &'a [(&'a [i64], i64)]);

    fn check(spec: WindowSpec, times: &[i64], steps: &[Step<'_>]) {
        let (mut rows, mut mark) = (Rows::new(1), first_mark(&spec));
        for (offset, &ts) in times.iter().enumerate() {
            rows.push(Key { ts, partition: 0, offset: offset as u64, id: 0 }, &[ts as u64]);
        }
        for &(watermark, windows) in steps {
            let limit = (watermark != i64::MAX).then_some(watermark);
            rows.settle(limit, &mut Scratch::default(), |_| {});
            let mut found = Vec::new();
            close(&spec, &mut mark, &mut rows, Watermark(watermark), |rows, range, end| {
                let times: Vec<i64> = rows.settled()[range].iter().map(|key| key.ts).collect();
                found.push((times, end));
            });
            let wanted: Vec<_> = windows.iter().map(|(t, end)| (t.to_vec(), *end)).collect();
            assert_eq!(found, wanted, "{spec:?} at {watermark}");
        }
    }

    #[test]
    fn count_windows_close_with_their_last_row() {
        check(
            WindowSpec::Count { length: 3, hop: 2 },
            &[1, 2, 3, 4, 5, 6],
            &[(3, &[]), (4, &[(&[1, 2, 3], 3)]), (i64::MAX, &[(&[3, 4, 5], 5)])],
        );
        check(
            WindowSpec::Count { length: 2, hop: 3 },
            &[1, 2, 3, 4, 5, 6, 7, 8],
            &[(4, &[(&[1, 2], 2)]), (5, &[]), (i64::MAX, &[(&[4, 5], 5), (&[7, 8], 8)])],
        );
    }

    #[test]
    fn time_windows_are_aligned_and_never_empty() {
        check(
            WindowSpec::Tumbling { duration_us: 10 },
            &[-3, 0, 9, 10, 45],
            &[
                (0, &[(&[-3], 0)]),
                (10, &[(&[0, 9], 10)]),
                (49, &[(&[10], 20)]),
                (50, &[(&[45], 50)]),
            ],
        );
        check(
            WindowSpec::Sliding { duration_us: 10, hop_us: 5 },
            &[1, 7, 31],
            &[
                (5, &[(&[1], 5)]),
                (14, &[(&[1, 7], 10)]),
                (15, &[(&[7], 15)]),
                (i64::MAX, &[(&[31], 35), (&[31], 40)]),
            ],
        );
        // A hop beyond the duration leaves rows between windows out.
        check(
            WindowSpec::Sliding { duration_us: 5, hop_us: 10 },
            &[1, 7, 12, 18],
            &[(16, &[(&[1], 5), (&[12], 15)]), (i64::MAX, &[])],
        );
        check(
            WindowSpec::Tumbling { duration_us: 10 },
            &[i64::MIN, i64::MAX],
            &[(0, &[(&[i64::MIN], i64::MIN + 8)]), (i64::MAX, &[(&[i64::MAX], i64::MAX)])],
        );
    }

    #[test]
    fn sessions_end_by_silence_or_length() {
        check(
            WindowSpec::Session { gap_us: 5, max_duration_us: 12 },
            &[0, 4, 9, 20, 24, 28, 31, 33],
            &[
                (8, &[]),
                (9, &[(&[0, 4], 9)]),
                (14, &[(&[9], 14)]),
                (31, &[]),
                (32, &[(&[20, 24, 28, 31], 32)]),
                (37, &[]),
                (38, &[(&[33], 38)]),
            ],
        );
    }
}
