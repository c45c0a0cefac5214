//! Who looks whether an epoch stands still, on a thread that nothing else runs on.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use cloudops_operators::supervise::Whereabouts;
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use super::Monitor;
use super::metrics::by;
use super::stall::{Judge, Stall};

/// How often it looks at most, and how often within the time that makes a stall.
const EVERY: Duration = Duration::from_millis(250);
const LOOKS: u32 = 8;

/// Looks until it is dropped.
#[derive(Debug)]
pub(crate) struct Watchdog {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Looks at a run; what has not moved for `limit` stands still.
    ///
    /// # Errors
    /// When the operating system has no thread to give.
    pub(crate) fn start(monitor: Monitor, limit: Duration) -> Result<Self> {
        let (stop, stopped) = bounded(0);
        let run = move || {
            let begin = Instant::now();
            let mut judge = Judge::new(limit, monitor.0.whereabouts.len());
            let every = (limit / LOOKS).min(EVERY);
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                monitor.look(&mut judge, begin.elapsed());
            }
        };
        let thread = std::thread::Builder::new().name("watchdog".to_owned()).spawn(run);
        let thread = thread.context("starting the watchdog")?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to say, not even by panicking.
            drop(thread.join());
        }
    }
}

impl Monitor {
    /// Looks once; says in the log when a stall begins and when it is over.
    pub(super) fn look(&self, judge: &mut Judge, now: Duration) {
        let places = self.0.whereabouts.iter().map(Whereabouts::read).collect();
        let mut board = self.board();
        let stall = judge.look(now, &board.seen(places));
        let last = std::mem::replace(&mut board.stall, stall.clone());
        let begins = stall.as_ref().is_some_and(|stall| !same(last.as_ref(), stall));
        board.stalls += u64::from(begins);
        drop(board);
        self.0.metrics.stalled.set(i64::from(stall.is_some()));
        match (&last, &stall) {
            (_, Some(stall)) if begins => {
                self.0.metrics.stalls.get_or_create(&by("part", stall.held_by.part())).inc();
                tracing::warn!(
                    epoch = stall.epoch.0,
                    part = stall.held_by.part(),
                    missing_workers = ?stall.missing_workers,
                    "{stall}"
                );
            }
            (Some(last), None) => tracing::info!(epoch = last.epoch.0, "the stall is over"),
            _ => {}
        }
    }
}

/// Whether a stall is the one there was before.
fn same(last: Option<&Stall>, stall: &Stall) -> bool {
    last.is_some_and(|last| last.epoch == stall.epoch && last.held_by == stall.held_by)
}
