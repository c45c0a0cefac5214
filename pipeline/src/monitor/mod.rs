//! How a run is watched: metrics, status, health.
//!
//! The engine tells a [`Monitor`] what happens, in a few calls that copy a little and return; the
//! server and the watchdog read it from threads of their own. Nothing comes back from it: no result
//! can depend on being watched. In reading order:
//!
//! - [`phase`]: what the coordinator is doing
//! - `metrics`: every metric, declared once
//! - [`status`]: what `/status` says
//! - [`stall`]: whether an epoch stands still, and what holds it
//! - `watchdog`: who looks
//! - [`server`]: `/metrics`, `/status`, `/healthz`

mod board;
mod metrics;
pub mod phase;
pub mod server;
pub mod stall;
pub mod status;
#[cfg(test)]
mod tests;
mod watchdog;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use cloudops_operators::epoch::Epoch;
use cloudops_operators::score::{ModelId, Timeline};
use cloudops_operators::supervise::Whereabouts;
use cloudops_sql::catalog::State;
use cloudops_sql::catalog::record::{Checkpoint, Commit, Plan};

use crate::clock::Clock;
use crate::job::Job;
use crate::memory::{self, Governor};
use crate::worker::StreamProgress;
use board::{Board, Open};
use metrics::{Metrics, by, by_two};
use phase::Phase;
use status::Status;
pub(crate) use watchdog::Watchdog;

/// What is known of a run, by all who watch it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Monitor(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    metrics: Metrics,
    /// A lock, since what it holds must agree; it is held for a copy and never while anything waits.
    board: Mutex<Board>,
    whereabouts: Vec<Whereabouts>,
    clock: Arc<dyn Clock>,
}

impl Monitor {
    /// A monitor of a job that has not begun, on so many processes.
    ///
    /// Workers of other processes say where they are to nobody here: that they have completed an epoch
    /// is all that is seen of them.
    #[must_use]
    pub fn new(job: &Job, processes: usize, clock: Arc<dyn Clock>) -> Self {
        let metrics = Metrics::new();
        metrics.epochs_in_flight_max.set(job.epochs_in_flight as i64);
        metrics.memory_limit.set(job.memory_limit.map_or(0, level));
        let whereabouts = (0..job.workers * processes).map(|_| Whereabouts::default()).collect();
        let board = Mutex::new(Board::new(job));
        Self(Arc::new(Inner { metrics, board, whereabouts, clock }))
    }

    /// Where each worker says where it is.
    #[must_use]
    pub fn whereabouts(&self) -> Vec<Whereabouts> {
        self.0.whereabouts.clone()
    }

    /// The writer has taken over and found this.
    pub(crate) fn started(&self, state: &State) {
        self.0.metrics.generation.set(level(state.generation));
        if let Some(at) = &state.checkpoint {
            self.show_state(at.epoch, &at.checkpoint);
        }
        self.board().started(state);
    }

    /// The coordinator begins a phase, about an epoch where it is about one.
    pub(crate) fn enter(&self, phase: Phase, epoch: Option<Epoch>) {
        let (last, spent) = self.board().enter(phase, epoch);
        let seconds = spent.as_secs_f64();
        let metrics = &self.0.metrics;
        metrics.coordinator.get_or_create(&by("phase", last.name())).inc_by(seconds);
        if let Some(reason) = last.held_by() {
            metrics.backpressure.get_or_create(&by("reason", reason)).inc_by(seconds);
        }
        if last.is_commit() {
            metrics.commit_phase.get_or_create(&by("phase", last.name())).observe(seconds);
        }
    }

    /// A sink's receiver has taken so many alerts.
    pub(crate) fn delivered(&self, sink: &str, rows: u64) {
        self.0.metrics.delivered.get_or_create(&by("sink", sink)).inc_by(rows);
    }

    /// A sink's receiver has not taken a message.
    pub(crate) fn not_delivered(&self, sink: &str) {
        self.0.metrics.not_delivered.get_or_create(&by("sink", sink)).inc();
    }

    /// An alert will not be sent to a sink any more.
    pub(crate) fn dead(&self, sink: &str) {
        self.0.metrics.dead.get_or_create(&by("sink", sink)).inc();
    }

    /// The phase goes on to this object.
    pub(crate) fn works_on(&self, object: &str) {
        self.board().works_on(object);
    }

    /// So many batches of a stream have been read ahead.
    pub(crate) fn queued(&self, stream: &str, batches: usize) {
        self.0.metrics.queued.get_or_create(&by("source", stream)).set(batches as i64);
        if let Some(board) = self.board().stream_mut(stream) {
            board.queued = batches as u64;
        }
    }

    /// What the process holds, and what the next epoch may take.
    pub(crate) fn memory(&self, governor: &Governor) {
        let records = governor.room().records;
        self.0.metrics.epoch_records_max.set(level(records));
        self.board().records_max = records;
    }

    /// An epoch was given to the workers; `read` says by stream when its first record was read.
    pub(crate) fn given(&self, plan: &Plan, read: Vec<(usize, Instant)>) {
        self.0.metrics.epoch_planned.set(level(plan.epoch.0));
        let mut board = self.board();
        board.given(plan, read, self.0.whereabouts.len());
        self.0.metrics.epochs_in_flight.set(board.in_flight.len() as i64);
    }

    /// A worker has completed an epoch.
    pub(crate) fn reported(&self, epoch: Epoch, worker: usize, streams: &[StreamProgress]) {
        let mut board = self.board();
        if let Some(spent) = board.reported(epoch, worker) {
            self.0.metrics.epoch_processing.observe(spent.as_secs_f64());
        }
        for (stream, progress) in board.streams.iter().zip(streams) {
            let name = &stream.name;
            self.0.metrics.windows.get_or_create(&by("source", name)).inc_by(progress.windows);
            for (operator, spent) in &progress.busy {
                let labels = by_two(("source", name), ("operator", operator));
                self.0.metrics.operator_cpu.get_or_create(&labels).inc_by(spent.as_secs_f64());
            }
        }
    }

    /// An epoch that an earlier run committed has been passed through.
    pub(crate) fn replayed(&self, epoch: Epoch) {
        self.0.metrics.epochs_replayed.inc();
        self.closed(epoch);
    }

    /// An epoch's commit has landed; where it is a checkpoint, with the state after it.
    pub(crate) fn committed(&self, commit: &Commit, checkpoint: Option<&Checkpoint>) {
        let metrics = &self.0.metrics;
        if let Some(Open { read, .. }) = self.closed(commit.epoch) {
            let board = self.board();
            for (stream, since) in read {
                let labels = by("source", &board.streams[stream].name);
                let latency = since.elapsed().as_secs_f64();
                metrics.completion_latency.get_or_create(&labels).observe(latency);
            }
        }
        metrics.epochs_committed.inc();
        metrics.epoch_committed.set(level(commit.epoch.0));
        for source in &commit.sources {
            for (verdict, count) in
                [("on_time", source.on_time), ("late", source.late), ("rejected", source.rejected)]
            {
                let labels = by_two(("source", &source.source), ("verdict", verdict));
                metrics.records.get_or_create(&labels).inc_by(count);
            }
            let labels = by("source", &source.source);
            metrics.duplicates.get_or_create(&labels).inc_by(source.duplicates);
        }
        for file in &commit.files {
            let labels = by("table", &file.table);
            metrics.files.get_or_create(&labels).inc();
            metrics.rows.get_or_create(&labels).inc_by(file.rows);
            metrics.bytes.get_or_create(&labels).inc_by(file.bytes);
        }
        if let Some(checkpoint) = checkpoint {
            metrics.checkpoint_at.set(seconds(commit.committed_at_us));
            self.show_state(commit.epoch, checkpoint);
        }
        let mut board = self.board();
        board.committed(commit, checkpoint);
        for stream in &board.streams {
            let labels = by("source", &stream.name);
            metrics.pending.get_or_create(&labels).set(level(stream.pending));
        }
        self.show_models(&board);
    }

    /// The models of a stream, in force from the event times of its timeline on.
    pub(crate) fn models(&self, stream: &str, timeline: Timeline) {
        let mut board = self.board();
        if let Some(stream) = board.stream_mut(stream) {
            stream.timeline = timeline;
        }
        self.show_models(&board);
    }

    /// A model was put in force while running.
    pub(crate) fn promoted(&self, stream: &str, effective_from_us: i64, model: &ModelId) {
        self.0.metrics.promotions.get_or_create(&by("source", stream)).inc();
        let mut board = self.board();
        if let Some(stream) = board.stream_mut(stream) {
            stream.timeline.promote(effective_from_us, model.clone());
        }
        self.show_models(&board);
    }

    /// The run ends with an error.
    pub(crate) fn failed(&self, error: &anyhow::Error) {
        self.board().last_error = Some(format!("{error:#}"));
    }

    /// The metrics, as OpenMetrics text.
    ///
    /// # Errors
    /// When a metric cannot be written, which is a bug.
    pub fn metrics(&self) -> Result<String> {
        let metrics = &self.0.metrics;
        metrics.resident.set(memory::resident().map_or(0, level));
        let now = self.0.clock.now_us();
        for stream in &self.board().streams {
            let labels = by("source", &stream.name);
            match stream.instant() {
                Some(us) => {
                    metrics.watermark.get_or_create(&labels).set(seconds(us));
                    metrics.watermark_lag.get_or_create(&labels).set(seconds(now) - seconds(us));
                }
                // Neither before the first nor at the end of input is there anything to be behind.
                None => {
                    metrics.watermark.remove(&labels);
                    metrics.watermark_lag.remove(&labels);
                }
            }
        }
        Ok(metrics.encode()?)
    }

    /// The whole run now.
    #[must_use]
    pub fn status(&self) -> Status {
        let places = self.0.whereabouts.iter().map(Whereabouts::read).collect();
        self.board().status(self.0.clock.now_us(), places)
    }

    /// Nothing while the run makes progress or waits for input; else what is wrong.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let board = self.board();
        board.last_error.clone().or_else(|| board.stall.as_ref().map(ToString::to_string))
    }

    /// Takes an epoch off the board.
    fn closed(&self, epoch: Epoch) -> Option<Open> {
        let mut board = self.board();
        let open = board.closed(epoch);
        self.0.metrics.epochs_in_flight.set(board.in_flight.len() as i64);
        open
    }

    fn show_state(&self, epoch: Epoch, checkpoint: &Checkpoint) {
        self.0.metrics.checkpoint_epoch.set(level(epoch.0));
        let metrics = &self.0.metrics.state;
        metrics.clear();
        for state in &checkpoint.states {
            let labels = by_two(("source", &state.stream), ("operator", &state.operator));
            metrics.get_or_create(&labels).inc_by(level(state.bytes));
        }
    }

    fn show_models(&self, board: &Board) {
        let metrics = &self.0.metrics.model;
        metrics.clear();
        for stream in &board.streams {
            if let Some(ModelId { name, version }) = stream.in_force() {
                let labels = [("source", &stream.name), ("model", name), ("version", version)];
                let labels = labels.map(|(label, value)| (label, value.clone()));
                metrics.get_or_create(&labels).set(1);
            }
        }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        // A thread that panicked has changed a field or not: what is here is still worth showing.
        self.0.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A count as a gauge shows it.
fn level(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// An instant as Prometheus shows it.
fn seconds(us: i64) -> f64 {
    Duration::from_micros(us.unsigned_abs()).as_secs_f64().copysign(us as f64)
}
