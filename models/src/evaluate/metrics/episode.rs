//! What an operator of the plant sees at the calibrated threshold: episodes.
//!
//! An **event** is a maximal run of labelled points, an **episode** a maximal
//! run of flagged points. They meet when they share at least one point.
//! Event-wise precision is the share of episodes that meet an event, recall
//! the share of events that meet an episode. An episode that meets no event is
//! false. One long episode over two events finds both and is one episode; ten
//! short ones within one event find one event and are ten right episodes.

use std::ops::Range;

/// Maximal runs of `true`, in order.
#[must_use]
pub fn runs(flags: &[bool]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = None;
    for (at, &flag) in flags.iter().enumerate() {
        match (flag, start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                found.push(from..at);
                start = None;
            }
            _ => {}
        }
    }
    if let Some(from) = start {
        found.push(from..flags.len());
    }
    found
}

/// Counts of events and episodes of one series; those of several add up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Episodes {
    /// Runs of labelled points.
    pub events: usize,
    /// Events that meet an episode.
    pub events_found: usize,
    /// Runs of flagged points.
    pub episodes: usize,
    /// Episodes that meet no event.
    pub false_episodes: usize,
}

impl Episodes {
    /// Counts the events of `labels` and the episodes of `flagged`, two series of one length.
    #[must_use]
    pub fn count(labels: &[bool], flagged: &[bool]) -> Self {
        let events = runs(labels);
        let episodes = runs(flagged);
        let any = |range: &Range<usize>, within: &[bool]| within[range.clone()].contains(&true);
        Self {
            events: events.len(),
            events_found: events.iter().filter(|e| any(e, flagged)).count(),
            episodes: episodes.len(),
            false_episodes: episodes.iter().filter(|e| !any(e, labels)).count(),
        }
    }

    /// Harmonic mean of event-wise precision and recall.
    ///
    /// `None` without events; 0 where no event is found.
    #[must_use]
    pub fn f1(&self) -> Option<f64> {
        if self.events == 0 {
            return None;
        }
        if self.events_found == 0 {
            return Some(0.0);
        }
        let precision = (self.episodes - self.false_episodes) as f64 / self.episodes as f64;
        let recall = self.events_found as f64 / self.events as f64;
        Some(2.0 * precision * recall / (precision + recall))
    }
}

/// The share of unlabelled points that are flagged; `None` if every point is labelled.
#[must_use]
pub fn false_positive_rate(labels: &[bool], flagged: &[bool]) -> Option<f64> {
    let healthy = labels.iter().filter(|&&label| !label).count();
    let false_points = labels.iter().zip(flagged).filter(|&(&label, &flag)| flag && !label).count();
    (healthy > 0).then(|| false_points as f64 / healthy as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(drawn: &str) -> Vec<bool> {
        drawn.chars().map(|c| c == '#').collect()
    }

    fn check(labels: &str, flagged: &str, want: Episodes, f1: Option<f64>) {
        let got = Episodes::count(&flags(labels), &flags(flagged));
        assert_eq!(got, want, "{labels} {flagged}");
        assert_eq!(got.f1(), f1, "{labels} {flagged}");
    }

    #[test]
    fn episodes_meet_events_by_a_shared_point() {
        let count = |events, events_found, episodes, false_episodes| Episodes {
            events,
            events_found,
            episodes,
            false_episodes,
        };
        check("..##..##", "...#....", count(2, 1, 1, 0), Some(2.0 / 3.0));
        check("..##..##", ".######.", count(2, 2, 1, 0), Some(1.0));
        check("..####..", "#.#.##.#", count(1, 1, 4, 2), Some(2.0 / 3.0));
        // Touching without a shared point is no hit.
        check("..##....", "....#...", count(1, 0, 1, 1), Some(0.0));
        check("..##....", "........", count(1, 0, 0, 0), Some(0.0));
        check("........", "..#.....", count(0, 0, 1, 1), None);
    }

    #[test]
    fn the_false_positive_rate_is_over_healthy_points_only() {
        assert_eq!(false_positive_rate(&flags("##.."), &flags("#.#.")), Some(0.5));
        assert_eq!(false_positive_rate(&flags("####"), &flags("#...")), None);
    }
}
