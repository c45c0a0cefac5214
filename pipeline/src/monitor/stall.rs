//! Whether an epoch stands still, and what holds it.
//!
//! A judge with a memory and no clock of its own: it is shown, again and again, the time and where
//! everybody is. What has moved since it last looked starts anew; what has not moved for as long as
//! the limit, and has an epoch to complete, stands still. An epoch that takes long while its workers
//! go from step to step is slow, and no stall.

use std::fmt;
use std::time::Duration;

use cloudops_operators::epoch::Epoch;
use cloudops_operators::supervise::At;
use serde::Serialize;

use super::phase::Phase;

/// Where everybody is at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    /// The oldest epoch in flight, and the workers that have not completed it.
    pub(crate) oldest: Option<(Epoch, Vec<usize>)>,
    /// The coordinator's phase.
    pub(crate) phase: Phase,
    /// The epoch that the phase is about.
    pub(crate) phase_epoch: Option<Epoch>,
    /// What it works on, such as a file.
    pub(crate) detail: String,
    /// Grows with every change of phase or detail.
    pub(crate) phase_moves: u64,
    /// The workers, by index.
    pub(crate) workers: Vec<At>,
}

/// An epoch that stands still.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stall {
    /// The epoch.
    pub epoch: Epoch,
    /// What holds it.
    pub held_by: Holder,
    /// The workers that have not completed it.
    pub missing_workers: Vec<usize>,
    /// How long nothing has moved there.
    pub seconds: f64,
}

/// What holds an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "part", rename_all = "snake_case")]
pub enum Holder {
    /// A worker that is in an operator's step.
    Operator {
        /// The worker's index.
        worker: usize,
        /// The stream.
        stream: String,
        /// The operator.
        operator: String,
    },
    /// Workers that are in no step: nothing reaches them, or nobody tells them that all has.
    Progress {
        /// The first of them.
        worker: usize,
        /// The stream of its last step; empty before the first.
        stream: String,
        /// The operator of its last step; empty before the first.
        operator: String,
    },
    /// The coordinator, which waits for the store.
    Store {
        /// What it is doing.
        phase: Phase,
        /// The object, where it is about one.
        object: String,
    },
}

impl Holder {
    /// `operator`, `progress` or `store`.
    #[must_use]
    pub fn part(&self) -> &'static str {
        match self {
            Self::Operator { .. } => "operator",
            Self::Progress { .. } => "progress",
            Self::Store { .. } => "store",
        }
    }
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {} stands still for {:.1} s: ", self.epoch, self.seconds)?;
        match &self.held_by {
            Holder::Operator { worker, stream, operator } => {
                write!(f, "worker {worker} is in operator {operator} of stream {stream:?}")?;
            }
            Holder::Progress { worker, operator, .. } if operator.is_empty() => {
                write!(f, "worker {worker} has not begun")?;
            }
            Holder::Progress { worker, stream, operator } => {
                write!(f, "worker {worker} waits after operator {operator} of stream {stream:?}")?;
            }
            Holder::Store { phase, object } if object.is_empty() => {
                write!(f, "the store does not answer ({})", phase.name())?;
            }
            Holder::Store { phase, object } => {
                write!(f, "the store does not answer ({} {object})", phase.name())?;
            }
        }
        if !self.missing_workers.is_empty() {
            write!(f, "; not completed by workers {:?}", self.missing_workers)?;
        }
        Ok(())
    }
}

/// Remembers since when each part has not moved.
#[derive(Debug)]
pub(crate) struct Judge {
    limit: Duration,
    coordinator: Still,
    workers: Vec<Still>,
    /// For how many looks on end the coordinator has been waiting for the workers. While it does
    /// something else, they may be done without its having heard.
    listening: u32,
}

/// A count of moves, and since when it has been that.
#[derive(Debug, Clone, Copy, Default)]
struct Still {
    moves: u64,
    since: Duration,
}

impl Still {
    /// How long it has not moved.
    fn look(&mut self, now: Duration, moves: u64, idle: bool) -> Duration {
        if idle || moves != self.moves {
            *self = Self { moves, since: now };
        }
        now.saturating_sub(self.since)
    }
}

impl Judge {
    /// A judge of so many workers, who speaks once nothing has moved for `limit`.
    pub(crate) fn new(limit: Duration, workers: usize) -> Self {
        let coordinator = Still::default();
        Self { limit, coordinator, workers: vec![coordinator; workers], listening: 0 }
    }

    /// Looks at everybody at the time `now`.
    pub(crate) fn look(&mut self, now: Duration, seen: &Seen) -> Option<Stall> {
        let still = self.coordinator.look(now, seen.phase_moves, !seen.phase.is_store());
        self.listening = if seen.phase.waits_for_workers() { self.listening + 1 } else { 0 };
        let (epoch, missing): (_, &[usize]) = match &seen.oldest {
            Some((epoch, missing)) => (Some(*epoch), missing),
            None => (None, &[]),
        };
        let mut longest: Option<(Duration, usize)> = None;
        let mut least = Duration::MAX;
        for (worker, (memory, at)) in self.workers.iter_mut().zip(&seen.workers).enumerate() {
            // A later epoch's step counts as well: a worker can only be in one.
            let idle = epoch.is_none() || (!at.inside && !missing.contains(&worker));
            let still = memory.look(now, at.moves, idle);
            if at.inside && longest.is_none_or(|(most, _)| still > most) {
                longest = Some((still, worker));
            }
            if !idle {
                least = least.min(still);
            }
        }
        let stall = |epoch, held_by, still: Duration| {
            let missing_workers = missing.to_vec();
            Some(Stall { epoch, held_by, missing_workers, seconds: still.as_secs_f64() })
        };
        if still >= self.limit {
            let held_by = Holder::Store { phase: seen.phase, object: seen.detail.clone() };
            return stall(seen.phase_epoch.or(epoch)?, held_by, still);
        }
        let epoch = epoch?;
        if let Some((still, worker)) = longest.filter(|(still, _)| *still >= self.limit) {
            let At { stream, operator, .. } = seen.workers[worker].clone();
            return stall(epoch, Holder::Operator { worker, stream, operator }, still);
        }
        let first = *missing.first()?;
        let moves = longest.is_some() || least < self.limit || least == Duration::MAX;
        if moves || self.listening < 2 {
            return None;
        }
        let At { stream, operator, .. } = seen.workers[first].clone();
        stall(epoch, Holder::Progress { worker: first, stream, operator }, least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(moves: u64, operator: &str, inside: bool) -> At {
        At { moves, stream: "engines".to_owned(), operator: operator.to_owned(), inside }
    }

    fn seen(oldest: Option<(u64, &[usize])>, workers: Vec<At>) -> Seen {
        Seen {
            oldest: oldest.map(|(epoch, missing)| (Epoch(epoch), missing.to_vec())),
            phase: Phase::HeldByEpochs,
            phase_epoch: None,
            detail: String::new(),
            phase_moves: 9,
            workers,
        }
    }

    fn judge() -> Judge {
        Judge::new(Duration::from_secs(4), 2)
    }

    /// What the judge says of one moment that lasts, by the second.
    fn lasting(seen: &Seen, seconds: u64) -> Vec<Option<String>> {
        let mut judge = judge();
        (0..=seconds)
            .map(|second| judge.look(Duration::from_secs(second), seen))
            .map(|stall| stall.map(|stall| stall.to_string()))
            .collect()
    }

    #[test]
    fn an_operator_that_does_not_return_is_named_with_epoch_and_missing_workers() {
        let workers = vec![at(8, "write alerts", false), at(5, "score", true)];
        let said = lasting(&seen(Some((12, &[0, 1])), workers), 5);
        assert_eq!(said[..4], [None, None, None, None]);
        let what =
            "worker 1 is in operator score of stream \"engines\"; not completed by workers [0, 1]";
        assert_eq!(said[4].as_deref(), Some(&*format!("epoch 12 stands still for 4.0 s: {what}")));
    }

    #[test]
    fn workers_that_wait_for_nothing_are_named() {
        let workers = vec![at(8, "write alerts", false), at(8, "window", false)];
        let said = lasting(&seen(Some((3, &[1])), workers), 4);
        let what = "worker 1 waits after operator window of stream \"engines\"";
        assert!(said[4].as_ref().is_some_and(|said| said.contains(what)), "{said:?}");
        let said = lasting(&seen(Some((3, &[0, 1])), vec![At::default(), At::default()]), 4);
        assert!(said[4].as_ref().is_some_and(|said| said.contains("has not begun")), "{said:?}");
    }

    #[test]
    fn a_store_that_does_not_answer_is_named_with_phase_and_object() {
        let idle = vec![at(8, "write alerts", false); 2];
        let mut moment = seen(None, idle);
        moment.phase = Phase::Put;
        moment.phase_epoch = Some(Epoch(7));
        moment.detail = "data/alerts/engines/e7-w0of1-0.parquet".to_owned();
        let said = lasting(&moment, 4);
        let what = "epoch 7 stands still for 4.0 s: the store does not answer \
                    (put data/alerts/engines/e7-w0of1-0.parquet)";
        assert_eq!(said[4].as_deref(), Some(what));
    }

    #[test]
    fn waiting_for_input_is_no_stall() {
        let mut moment = seen(None, vec![at(8, "write alerts", false); 2]);
        moment.phase = Phase::Input;
        assert!(lasting(&moment, 60).iter().all(Option::is_none));
        // Even where workers may have completed an epoch meanwhile: nobody has heard them.
        moment.oldest = Some((Epoch(3), vec![0, 1]));
        assert!(lasting(&moment, 60).iter().all(Option::is_none));
        // Nor is retraining, while the epochs that wait for it are complete.
        moment.phase = Phase::Retrain;
        moment.oldest = Some((Epoch(4), Vec::new()));
        assert!(lasting(&moment, 60).iter().all(Option::is_none));
    }

    #[test]
    fn who_moves_is_slow_and_no_stall() {
        let mut judge = judge();
        for second in 0..60 {
            let workers = vec![at(second / 3, "score", true), at(2, "route", false)];
            let moment = seen(Some((1, &[0, 1])), workers);
            assert_eq!(judge.look(Duration::from_secs(second), &moment), None, "{second}");
        }
    }

    #[test]
    fn a_stall_is_over_once_something_moves() {
        let mut judge = judge();
        let stuck = seen(Some((1, &[0])), vec![at(3, "score", true), at(2, "route", false)]);
        let moved = seen(Some((1, &[0])), vec![at(4, "score", false), at(2, "route", false)]);
        let mut look = |second, moment: &Seen| judge.look(Duration::from_secs(second), moment);
        assert!(look(0, &stuck).is_none() && look(5, &stuck).is_some());
        assert_eq!(look(6, &moved), None);
    }
}
