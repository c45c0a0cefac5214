//! VUS-PR: the volume under the precision–recall surface.
//!
//! Paparrizos, Boniol, Palpanas, Tsay, Elmore, Franklin: "Volume Under the
//! Surface: A New Accuracy Evaluation Measure for Time-Series Anomaly
//! Detection", PVLDB 15(11), 2022, in the form that the authors' packages `vus`
//! and `TSB-AD` compute (`RangeAUC_volume_opt`, which are equal line for line),
//! so that figures can be compared with the TSB-AD leaderboard:
//!
//! - For a tolerance `w`, every event's labels fade out over `w/2` points on
//!   either side as `√(1 − distance/w)`; fades of neighbours add up to at most 1.
//! - At a threshold, `TP = Σ label · flagged`; precision is `TP / flagged`;
//!   recall is `TP / ((P + N)/2)` with `P` the labelled points and `N` the
//!   labelled points plus the faded labels that were flagged, at most 1, times
//!   the share of (merged, widened) events with at least one flagged point.
//! - 250 thresholds at evenly spaced ranks of the scores; the area is
//!   `Σ (recall_k − recall_{k−1}) · precision_k`; the volume is its mean over
//!   `w = 0..=L`.
//!
//! The packages visit every point for every threshold and tolerance. Here each
//! point is put once into the bucket of the first threshold that flags it, so
//! that a tolerance costs only the points it touches: `O(n log n + L · (widened
//! points + thresholds))`.

use std::ops::Range;

use super::episode::runs;

/// The greatest tolerance used throughout the evaluation, in points: TSB-AD's default.
pub const VUS_WINDOW: usize = 100;

/// Number of thresholds, the packages' default.
pub const VUS_THRESHOLDS: usize = 250;

/// VUS-PR of `scores` (finite; higher is more anomalous) against point labels,
/// with tolerances `0..=window` and `thresholds ≥ 2` thresholds.
///
/// `None` where no point is labelled.
#[must_use]
pub fn vus_pr(scores: &[f32], labels: &[bool], window: usize, thresholds: usize) -> Option<f64> {
    let events = runs(labels);
    if events.is_empty() || thresholds < 2 {
        return None;
    }
    let buckets = Buckets::new(scores, thresholds);
    let volume: f64 = (0..=window).map(|w| area(&events, labels, &buckets, w)).sum();
    Some(volume / (window + 1) as f64)
}

/// Which thresholds flag which points.
struct Buckets {
    /// Per point, the first threshold (in descending order) that flags it.
    first: Vec<usize>,
    /// Per threshold, how many points it flags.
    flagged: Vec<usize>,
}

impl Buckets {
    fn new(scores: &[f32], thresholds: usize) -> Self {
        let mut sorted = scores.to_vec();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let last = scores.len() - 1;
        let step = last as f64 / (thresholds - 1) as f64;
        let levels: Vec<f32> = (0..thresholds)
            .map(|k| if k + 1 == thresholds { last } else { (k as f64 * step) as usize })
            .map(|rank| sorted[rank])
            .collect();
        let first: Vec<usize> =
            scores.iter().map(|&score| levels.partition_point(|&level| level > score)).collect();
        let flagged =
            levels.iter().map(|&level| sorted.partition_point(|&score| score >= level)).collect();
        Self { first, flagged }
    }
}

/// The area under one precision–recall curve, at tolerance `window`.
fn area(events: &[Range<usize>], labels: &[bool], buckets: &Buckets, window: usize) -> f64 {
    let count = buckets.flagged.len();
    let labelled: usize = events.iter().map(Range::len).sum();
    let widened = widen(events, labels.len(), window / 2);
    // Per threshold, what it adds over the one before: labelled points, faded labels, events.
    let mut hits = vec![0_usize; count];
    let mut faded_hits = vec![0.0; count];
    let mut found = vec![0_usize; count];
    for (range, inside) in &widened {
        let fade = fade(range, &events[inside.clone()], window);
        let mut earliest = count - 1;
        for (at, faded) in range.clone().zip(fade) {
            let bucket = buckets.first[at];
            earliest = earliest.min(bucket);
            if labels[at] {
                hits[bucket] += 1;
            } else {
                faded_hits[bucket] += faded;
            }
        }
        found[earliest] += 1;
    }
    let (mut hit, mut faded, mut events_found) = (0_usize, 0.0, 0_usize);
    let (mut recall_before, mut area) = (0.0, 0.0);
    for k in 0..count {
        hit += hits[k];
        faded += faded_hits[k];
        events_found += found[k];
        let true_positives = hit as f64 + faded;
        let positives = labelled as f64 + faded / 2.0;
        let recall =
            (true_positives / positives).min(1.0) * events_found as f64 / widened.len() as f64;
        area += (recall - recall_before) * (true_positives / buckets.flagged[k] as f64);
        recall_before = recall;
    }
    area
}

/// Events widened by `margin` points on either side, those that then meet merged into one;
/// each with the range of events it holds.
fn widen(
    events: &[Range<usize>],
    points: usize,
    margin: usize,
) -> Vec<(Range<usize>, Range<usize>)> {
    let mut widened: Vec<(Range<usize>, Range<usize>)> = Vec::new();
    for (index, event) in events.iter().enumerate() {
        let range = event.start.saturating_sub(margin)..(event.end + margin).min(points);
        match widened.last_mut() {
            // Neighbours that only touch stay apart, as in the packages.
            Some((last, inside)) if range.start < last.end => {
                last.end = range.end;
                inside.end = index + 1;
            }
            _ => widened.push((range, index..index + 1)),
        }
    }
    widened
}

/// The faded label of each point of `range` outside its `events` (inside, the value is meaningless).
fn fade(range: &Range<usize>, events: &[Range<usize>], window: usize) -> Vec<f64> {
    let margin = window / 2;
    let mut faded = vec![0.0_f64; range.len()];
    let mut add = |at: usize, distance: usize| {
        faded[at - range.start] += (1.0 - distance as f64 / window as f64).sqrt();
    };
    for event in events {
        for distance in 1..=margin {
            if event.end - 1 + distance < range.end {
                add(event.end - 1 + distance, distance);
            }
            if event.start >= range.start + distance {
                add(event.start - distance, distance);
            }
        }
    }
    faded.iter().map(|value| value.min(1.0)).collect()
}
