//! The coordinator: plan, process, commit.
//!
//! It alone touches the log. Every turn it plans an epoch if fewer than *k* are
//! uncommitted, gives it to the workers, and commits the oldest one that all of
//! them have completed. Now and then a commit holds the state after its epoch.
//! A restart takes up the last such state and replays the log's own plans after
//! it from the input; results of epochs already committed are dropped, and an
//! unfinished plan is adopted as it stands.

mod commit;
mod gather;
mod inputs;
mod models;
mod plan;
mod retrain;
mod settle;
mod start;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use cloudops_models::registry::Registry;
use cloudops_operators::epoch::Epoch;
use cloudops_operators::score::ModelId;
use cloudops_operators::snapshot::Extent;
use cloudops_sql::catalog::Catalog;
use cloudops_sql::catalog::record::{Plan, StreamState};
use futures_util::TryStreamExt;
use tokio::runtime::Runtime;

use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::cluster::message::{Mail, Order};
use crate::crew::Crew;
use crate::job::Job;
use crate::maintenance::Service;
use crate::memory::Governor;
use crate::monitor::phase::Phase;
use crate::monitor::{Monitor, Watchdog};
use crate::profile::{Meter, Profile};
use crate::progress::Progress;
use crate::sink::alerts::AlertSink;
use crate::sink::staged::Staged;
use crate::worker::{Command, Completed, StreamProgress};
use gather::Gather;

/// This build, as the log names it.
pub(crate) const BUILD: &str = concat!("cloudops ", env!("CARGO_PKG_VERSION"));

/// How a job is run.
#[derive(Debug)]
pub struct Options {
    /// Keep going until told to stop, cutting epochs by time; else stop at the input's end.
    pub live: bool,
    /// Set to drain and stop.
    pub stop: Arc<AtomicBool>,
    /// The clock of the log's stamps.
    pub clock: Arc<dyn Clock>,
    /// Whether to show a progress bar where stderr is a terminal.
    pub progress: bool,
    /// Who is told what happens.
    pub monitor: Monitor,
    /// Whether drift may retrain and promote; not where the past is only looked at again.
    pub retrain: bool,
}

/// What a run has done.
#[derive(Debug, Default, Clone, PartialEq, serde::Serialize)]
pub struct Summary {
    /// Epochs committed by this run.
    pub epochs: u64,
    /// Epochs that an earlier run had committed and this one passed through again.
    pub replayed: u64,
    /// Records read.
    pub records: u64,
    /// Rows on time.
    pub on_time: u64,
    /// Rows late.
    pub late: u64,
    /// Records rejected, duplicates not among them.
    pub rejected: u64,
    /// Rows on time that repeated an earlier one.
    pub duplicates: u64,
    /// Windows closed.
    pub windows: u64,
    /// Rows written, over all tables.
    pub rows: u64,
    /// Files written.
    pub files: u64,
    /// Model versions promoted by drift.
    pub promotions: u64,
    /// What it cost; results do not depend on it.
    pub profile: Profile,
}

/// Runs a job to its end, or until told to stop.
///
/// # Errors
/// When the input or the catalog fails, another writer takes over, or an operator fails. What was
/// committed before stays true.
pub fn run(job: Job, registry: Registry, options: Options) -> Result<Summary> {
    run_on(job, registry, options, None)
}

/// The same as the first of several processes.
///
/// # Errors
/// As [`run`]; also when another process fails or is gone.
pub fn run_on(
    job: Job,
    registry: Registry,
    options: Options,
    cluster: Option<&Cluster>,
) -> Result<Summary> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("starting the I/O runtime")?;
    let job = Arc::new(job);
    let stop_readers = Arc::new(AtomicBool::new(false));
    let monitor = options.monitor.clone();
    let _watchdog = Watchdog::start(monitor.clone(), job.stall_after)?;
    let result = Engine::start(&job, registry, options, &runtime, &stop_readers, cluster)
        .and_then(|mut engine| engine.work())
        .inspect_err(|error| monitor.failed(error));
    stop_readers.store(true, Ordering::Relaxed);
    result
}

/// An epoch that has been given to the workers and is not committed.
struct InFlight {
    plan: Plan,
    shares: Vec<SourceShare>,
    completed: Vec<Option<Done>>,
    /// Streams that wait for this epoch's drift verdict, with the period's end.
    barriers: Vec<(usize, i64)>,
    /// Where its commit will hold the state after it: how much of it.
    extent: Option<Extent>,
    /// And where the streams then stand.
    checkpoint: Option<Vec<StreamState>>,
}

/// What a worker made of an epoch.
enum Done {
    /// A worker of this process; its files wait to be staged.
    Here(Completed),
    /// A worker of another process, which has staged them.
    Elsewhere(Staged),
}

impl Done {
    fn streams(&self) -> &[StreamProgress] {
        match self {
            Self::Here(completed) => &completed.streams,
            Self::Elsewhere(staged) => &staged.streams,
        }
    }
}

/// What the coordinator counted of a partition while cutting the epoch.
struct SourceShare {
    stream: usize,
    records: u64,
    on_time: u64,
    late: u64,
    rejected: u64,
}

struct Engine<'a> {
    job: Arc<Job>,
    registry: Registry,
    options: Options,
    runtime: &'a Runtime,
    catalog: Catalog,
    streams: Vec<Gather>,
    crew: Crew,
    processes: usize,
    /// Where alerts go on to.
    sinks: Vec<AlertSink>,
    in_flight: VecDeque<InFlight>,
    /// Per stream, rows that workers' windows held after the last complete epoch.
    accounts: Vec<commit::Account>,
    generation: u64,
    next_epoch: Epoch,
    /// The last epoch an earlier run committed.
    committed_before: Option<Epoch>,
    /// Records of feedback that the workers know of.
    told: usize,
    gather_since: Option<Instant>,
    /// When a checkpoint was last planned, and how many epochs since.
    checkpointed: (Instant, u64),
    progress: Progress,
    monitor: Monitor,
    governor: Governor,
    meter: Meter,
    summary: Summary,
    /// Works beside the engine until this is dropped.
    maintenance: Option<Service>,
}

impl Engine<'_> {
    fn work(&mut self) -> Result<Summary> {
        self.replay()?;
        loop {
            while self.may_plan() && self.plan_next()? {}
            if self.in_flight.is_empty() {
                if self.streams.iter().all(Gather::finished) {
                    break;
                }
                if self.options.stop.load(Ordering::Relaxed) {
                    self.last_epoch()?;
                    break;
                }
                continue;
            }
            self.settle(Duration::from_millis(20))?;
        }
        for sink in self.sinks.drain(..) {
            sink.finish()?;
        }
        // A last publication, before anyone is told that the run is over.
        drop(self.maintenance.take());
        self.summary.profile = self.meter.profile();
        self.tell(&Order::End)?;
        self.progress.finish(&self.summary);
        Ok(self.summary.clone())
    }

    /// Passes through the log's plans since the last checkpoint again: rebuilds state, and adopts what
    /// was not committed.
    fn replay(&mut self) -> Result<()> {
        let mut plans = self.catalog.plans_to_replay();
        while let Some(plan) = self.runtime.block_on(plans.try_next())? {
            while !self.may_plan() {
                self.settle(Duration::from_millis(20))?;
            }
            self.monitor.enter(Phase::Input, None);
            let mut shares = Vec::new();
            for (i, gather) in self.streams.iter_mut().enumerate() {
                let name = &gather.stream.name;
                let parts: Vec<_> =
                    plan.sources.iter().filter(|part| part.source == *name).cloned().collect();
                shares.push((i, gather.replay(&parts)?));
            }
            self.give(plan, shares, None)?;
        }
        Ok(())
    }

    /// Whether another epoch may be in flight; tells the monitor why it may not.
    fn may_plan(&mut self) -> bool {
        self.governor.look();
        self.monitor.memory(&self.governor);
        let in_flight = self.in_flight.len();
        let held = if in_flight >= self.job.epochs_in_flight {
            Phase::HeldByEpochs
        } else if !self.governor.may_plan(in_flight) {
            Phase::HeldByMemory
        } else if self.waiting() {
            Phase::HeldByVerdict
        } else {
            return true;
        };
        self.monitor.enter(held, None);
        false
    }

    /// Whether an epoch in flight may put another model in force.
    fn waiting(&self) -> bool {
        self.in_flight.iter().any(|epoch| !epoch.barriers.is_empty())
    }

    /// Number of workers, over all processes.
    fn workers(&self) -> usize {
        self.crew.workers() * self.processes
    }

    /// Tells the other processes, where there are some.
    fn tell(&self, order: &Order) -> Result<()> {
        if self.processes > 1 {
            self.crew.send(Mail::write(order)?);
        }
        Ok(())
    }

    /// Tells every worker what has been said of cost anomalies since it was last told.
    fn tell_feedback(&mut self) -> Result<()> {
        let state = self.catalog.state();
        let labels: Vec<_> = self
            .job
            .streams
            .iter()
            .map(|stream| state.labels(&stream.name, self.told))
            .enumerate()
            .flat_map(|(stream, labels)| labels.into_iter().map(move |label| (stream, label)))
            .collect();
        self.told = state.feedback.len();
        for (stream, label) in labels {
            self.tell(&Order::Label { stream, label: label.clone() })?;
            for worker in 0..self.crew.workers() {
                self.crew.command(worker, Command::Label { stream, label: label.clone() });
            }
        }
        Ok(())
    }

    /// Tells every worker of a model in force from an event time on.
    fn announce(&self, stream: usize, effective_from_us: i64, model: &ModelId) -> Result<()> {
        self.monitor.promoted(&self.job.streams[stream].name, effective_from_us, model);
        self.tell(&Order::Promote { stream, effective_from_us, model: model.clone() })?;
        for worker in 0..self.crew.workers() {
            let model = model.clone();
            self.crew.command(worker, Command::Promote { stream, effective_from_us, model });
        }
        Ok(())
    }
}

impl std::fmt::Debug for Engine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("job", &self.job).finish_non_exhaustive()
    }
}
