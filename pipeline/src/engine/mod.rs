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
mod retrain;
mod start;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use cloudops_models::registry::Registry;
use cloudops_operators::epoch::{Epoch, Partition};
use cloudops_operators::score::ModelId;
use cloudops_sql::catalog::Catalog;
use cloudops_sql::catalog::record::{Plan, Record, StreamState};
use cpu_time::ThreadTime;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use futures_util::TryStreamExt;
use tokio::runtime::Runtime;

use crate::clock::Clock;
use crate::job::Job;
use crate::profile::{Meter, Profile};
use crate::progress::Progress;
use crate::sink::alerts::AlertSink;
use crate::source::cursor::Patience;
use crate::worker::{self, Command, Completed, Report};
use gather::{Gather, Share};

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
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("starting the I/O runtime")?;
    let job = Arc::new(job);
    let stop_readers = Arc::new(AtomicBool::new(false));
    let result = Engine::start(&job, registry, options, &runtime, &stop_readers)
        .and_then(|mut engine| engine.work());
    stop_readers.store(true, Ordering::Relaxed);
    result
}

/// An epoch that has been given to the workers and is not committed.
struct InFlight {
    plan: Plan,
    shares: Vec<SourceShare>,
    completed: Vec<Option<Completed>>,
    /// Streams that wait for this epoch's drift verdict, with the period's end.
    barriers: Vec<(usize, i64)>,
    /// Where its commit will hold the state after it: where the streams then stand.
    checkpoint: Option<Vec<StreamState>>,
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
    commands: Vec<Sender<Command>>,
    reports: Receiver<Report>,
    threads: Vec<std::thread::Thread>,
    /// Where alerts go on to.
    sinks: Vec<AlertSink>,
    in_flight: VecDeque<InFlight>,
    /// Per stream, rows that workers' windows held after the last complete epoch.
    accounts: Vec<commit::Account>,
    generation: u64,
    next_epoch: Epoch,
    /// The last epoch an earlier run committed.
    committed_before: Option<Epoch>,
    gather_since: Option<Instant>,
    /// When a checkpoint was last planned, and how many epochs since.
    checkpointed: (Instant, u64),
    progress: Progress,
    meter: Meter,
    summary: Summary,
}

impl Engine<'_> {
    fn work(&mut self) -> Result<Summary> {
        self.replay()?;
        loop {
            while self.in_flight.len() < self.job.epochs_in_flight && self.plan_next()? {}
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
        self.summary.profile = self.meter.profile();
        self.progress.finish(&self.summary);
        Ok(self.summary.clone())
    }

    /// Passes through the log's plans since the last checkpoint again: rebuilds state, and adopts what
    /// was not committed.
    fn replay(&mut self) -> Result<()> {
        let mut plans = self.catalog.plans_to_replay();
        while let Some(plan) = self.runtime.block_on(plans.try_next())? {
            while self.in_flight.len() >= self.job.epochs_in_flight || self.waiting() {
                self.settle(Duration::from_millis(20))?;
            }
            let mut shares = Vec::new();
            for (i, gather) in self.streams.iter_mut().enumerate() {
                let name = &gather.stream.name;
                let parts: Vec<_> =
                    plan.sources.iter().filter(|part| part.source == *name).cloned().collect();
                shares.push((i, gather.replay(&parts)?));
            }
            self.give(plan, shares, false)?;
        }
        Ok(())
    }

    /// Plans an epoch if there is news; `false` where there is none, or a verdict is awaited.
    fn plan_next(&mut self) -> Result<bool> {
        if self.waiting() || self.options.stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let begin = ThreadTime::now();
        let shares = self.cut();
        self.meter.planned(begin);
        let Some(shares) = shares? else { return Ok(false) };
        let due = self.checkpointed.0.elapsed() >= self.job.checkpoint_interval;
        self.plan(shares, due)?;
        Ok(true)
    }

    /// Plans an epoch of these shares and gives it to the workers; as a checkpoint where it is `due` and
    /// may be one.
    fn plan(&mut self, shares: Vec<(usize, Share)>, due: bool) -> Result<()> {
        let plan = Plan {
            epoch: self.next_epoch,
            generation: self.generation,
            sources: shares.iter().flat_map(|(_, share)| share.plans.clone()).collect(),
            planned_at_us: self.options.clock.now_us(),
        };
        self.next_epoch = self.next_epoch.next();
        self.runtime.block_on(self.catalog.append(Record::Plan(plan.clone())))?;
        let (since, epochs) = self.checkpointed;
        // After a drift verdict a model may be promoted, which only the epoch's replay brings about.
        let due = due && shares.iter().all(|(_, share)| !share.barrier);
        self.checkpointed = if due { (Instant::now(), 0) } else { (since, epochs + 1) };
        self.give(plan, shares, due)
    }

    /// Plans what has been gathered, and has its commit hold the state: the next start begins there.
    fn last_epoch(&mut self) -> Result<()> {
        let gathered = self.streams.iter().any(|stream| stream.records() > 0);
        if !gathered && self.checkpointed.1 == 0 {
            return Ok(());
        }
        let shares = self.shares()?;
        self.plan(shares, true)?;
        while !self.in_flight.is_empty() {
            self.settle(Duration::from_millis(20))?;
        }
        Ok(())
    }

    /// Gathers records and cuts the next epoch, by stream, where there is news enough.
    fn cut(&mut self) -> Result<Option<Vec<(usize, Share)>>> {
        let live = self.options.live;
        for gather in &mut self.streams {
            let room = self.job.epoch_records.saturating_sub(gather.records());
            let patience = match live {
                true => Patience::Until(Instant::now() + Duration::from_millis(5)),
                false => Patience::Endless,
            };
            gather.gather(room, patience)?;
        }
        if !self.streams.iter().any(Gather::has_news) {
            return Ok(None);
        }
        if live {
            let since = *self.gather_since.get_or_insert_with(Instant::now);
            let full = self.streams.iter().any(|g| g.records() >= self.job.epoch_records);
            if !full && since.elapsed() < self.job.epoch_interval {
                return Ok(None);
            }
        }
        self.gather_since = None;
        self.shares().map(Some)
    }

    /// Everything that has been gathered, by stream.
    fn shares(&mut self) -> Result<Vec<(usize, Share)>> {
        let streams = self.streams.iter_mut().enumerate();
        streams.map(|(stream, gather)| Ok((stream, gather.share()?))).collect()
    }

    /// Whether an epoch in flight may put another model in force.
    fn waiting(&self) -> bool {
        self.in_flight.iter().any(|epoch| !epoch.barriers.is_empty())
    }

    /// Gives a planned epoch to the workers.
    fn give(&mut self, plan: Plan, shares: Vec<(usize, Share)>, is_checkpoint: bool) -> Result<()> {
        let epoch = plan.epoch;
        let workers = self.commands.len();
        let none = || self.streams.iter().map(|_| worker::StreamInput::default()).collect();
        let mut inputs: Vec<Vec<worker::StreamInput>> = (0..workers).map(|_| none()).collect();
        let mut counts = Vec::new();
        let mut barriers = Vec::new();
        for (stream, share) in shares {
            if share.barrier {
                barriers.push((stream, share.watermark.0));
            }
            for input in &mut inputs {
                input[stream].watermark = Some(share.watermark);
            }
            let mut turn = 0;
            for (i, cut) in share.cuts.into_iter().enumerate() {
                let partition = Partition(i as u32);
                if cut.records() > 0 {
                    counts.push(SourceShare {
                        stream,
                        records: cut.entries,
                        on_time: cut.on_time,
                        late: cut.late.len() as u64,
                        rejected: cut.rejects.len() as u64,
                    });
                }
                // One worker takes all that no operator touches, so that it lands in one file.
                let aside = &mut inputs[(epoch.0 as usize) % workers][stream];
                aside.late.extend(crate::sink::rows::late(partition, &cut.late)?);
                if !cut.rejects.is_empty() {
                    aside.rejects.push(crate::sink::rows::rejects(partition, &cut.rejects)?);
                }
                for batch in cut.rows {
                    inputs[turn % workers][stream].rows.push(batch);
                    turn += 1;
                }
            }
        }
        for ((sender, thread), input) in self.commands.iter().zip(&self.threads).zip(inputs) {
            if sender.send(Command::Epoch(epoch, input, is_checkpoint)).is_err() {
                // The worker has failed and says why in its report.
                break;
            }
            thread.unpark();
        }
        let completed = (0..workers).map(|_| None).collect();
        let checkpoint = is_checkpoint.then(|| self.streams.iter().map(Gather::state).collect());
        let shares = counts;
        self.in_flight.push_back(InFlight { plan, shares, completed, barriers, checkpoint });
        Ok(())
    }

    /// Waits a moment for the workers; commits what is complete, oldest first.
    fn settle(&mut self, patience: Duration) -> Result<()> {
        match self.reports.recv_timeout(patience) {
            Ok(report) => self.note(report)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => bail!("the workers have stopped"),
        }
        while let Ok(report) = self.reports.try_recv() {
            self.note(report)?;
        }
        while self.in_flight.front().is_some_and(|e| e.completed.iter().all(Option::is_some)) {
            if let Some(epoch) = self.in_flight.pop_front() {
                let begin = ThreadTime::now();
                self.commit(epoch)?;
                self.meter.committed(begin);
            }
        }
        Ok(())
    }

    fn note(&mut self, report: Report) -> Result<()> {
        match report {
            Report::Complete(epoch, worker, completed) => {
                for (stream, progress) in completed.streams.iter().enumerate() {
                    self.meter.operators(stream, &progress.busy);
                }
                let at = self.in_flight.iter_mut().find(|e| e.plan.epoch == epoch);
                let at =
                    at.with_context(|| format!("worker {worker} completed unknown epoch {epoch}"))?;
                at.completed[worker] = Some(completed);
                Ok(())
            }
            Report::Failed(operator, cause) => {
                let cause = anyhow::Error::from_boxed(cause);
                Err(cause.context(format!("operator {operator}")))
            }
        }
    }

    /// Tells every worker of a model in force from an event time on.
    fn announce(&self, stream: usize, effective_from_us: i64, model: &ModelId) {
        for sender in &self.commands {
            let model = model.clone();
            if sender.send(Command::Promote { stream, effective_from_us, model }).is_err() {
                // The worker has failed and says why in its report.
                break;
            }
        }
    }
}

impl std::fmt::Debug for Engine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("job", &self.job).finish_non_exhaustive()
    }
}
