//! From a job to an engine at work: the log taken over, state restored, readers and workers started.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use cloudops_models::registry::{Registry, scorer_factory};
use cloudops_models::scorer::ScorerOptions;
use cloudops_sql::catalog::Catalog;
use cloudops_sql::catalog::state::CheckpointAt;
use cloudops_sql::catalog::store::{StoreOptions, open_store_with};
use cpu_time::ThreadTime;
use crossbeam_channel::{Receiver, Sender, unbounded};
use tokio::runtime::Runtime;

use super::gather::Gather;
use super::inputs::Inputs;
use super::{Engine, Options, Summary, commit, models};
use crate::checkpoint::{self, States};
use crate::job::Job;
use crate::profile::Meter;
use crate::progress::Progress;
use crate::sink::alerts::AlertSink;
use crate::worker::{self, Blueprint, Command, Report};

impl<'a> Engine<'a> {
    /// An engine that has taken over the log and waits to be put to work.
    pub(super) fn start(
        job: &Arc<Job>,
        registry: Registry,
        options: Options,
        runtime: &'a Runtime,
        stop_readers: &Arc<AtomicBool>,
    ) -> Result<Self> {
        let mut meter = Meter::start(job.streams.iter().map(|stream| stream.name.clone()));
        let mut catalog = runtime.block_on(open_catalog(job))?;
        let generation = runtime.block_on(catalog.take_over(
            concat!("cloudops ", env!("CARGO_PKG_VERSION")),
            &job.hash,
            job.workers as u32,
        ))?;
        models::ensure_promoted(job, &registry, &mut catalog, runtime, &*options.clock)?;
        let checkpoint = catalog.state().checkpoint.clone();
        let names: Vec<&str> = job.streams.iter().map(|stream| stream.name.as_str()).collect();
        let restored = match checkpoint.as_deref() {
            Some(CheckpointAt { epoch, checkpoint, .. }) => {
                tracing::info!(epoch = epoch.0, files = checkpoint.states.len(), "restoring state");
                let begin = ThreadTime::now();
                let load = checkpoint::load(catalog.store(), checkpoint, &names);
                let restored = runtime.block_on(load)?;
                meter.restored(begin);
                restored
            }
            None => names.iter().map(|_| States::new()).collect(),
        };
        let bytes_read = Arc::new(AtomicU64::new(0));
        let mut streams = Vec::with_capacity(job.streams.len());
        let mut accounts = Vec::with_capacity(job.streams.len());
        let mut inputs = Inputs {
            catalog: &catalog,
            runtime,
            live: options.live,
            stop: stop_readers,
            bytes_read: Arc::clone(&bytes_read),
            bytes: Some(0),
        };
        for (s, stream) in job.streams.iter().enumerate() {
            let state = checkpoint.as_ref().and_then(|at| {
                at.checkpoint.streams.iter().find(|state| state.source == stream.name)
            });
            let cursors = inputs.open(stream, state, meter.reader(s))?;
            let stream = Arc::clone(stream);
            streams.push(match state {
                Some(state) => Gather::resume(stream, cursors, state)?,
                None => Gather::new(stream, cursors),
            });
            accounts.push(commit::Account::at(state.map_or(0, |state| state.admitted)));
        }
        let bytes = inputs.bytes;
        let timelines =
            job.streams.iter().map(|stream| catalog.state().timeline(&stream.name)).collect();
        let scorers = job.streams.iter().map(|stream| {
            scorer_factory(
                &registry,
                ScorerOptions { hop: stream.hop(), ..ScorerOptions::default() },
            )
        });
        let scorers = scorers.collect();
        let blueprint =
            Blueprint { job: Arc::clone(job), scorers, timelines, restored: Arc::new(restored) };
        let (commands, reports, threads) = start_workers(job.workers, blueprint)?;
        let sinks = job.sinks.iter().map(|sink| {
            // A reader of its own: alerts are sent from what is committed, at the topic's pace.
            let catalog = runtime.block_on(open_catalog(job))?;
            AlertSink::start(sink, catalog, Arc::clone(&options.clock))
        });
        let sinks = sinks.collect::<Result<_>>()?;
        let state = catalog.state();
        let committed_before = state.committed;
        let next_epoch = state.next_epoch();
        Ok(Self {
            progress: Progress::new(options.progress, bytes, bytes_read),
            accounts,
            job: Arc::clone(job),
            registry,
            options,
            runtime,
            catalog,
            streams,
            commands,
            reports,
            threads,
            sinks,
            in_flight: VecDeque::new(),
            generation,
            next_epoch,
            committed_before,
            gather_since: None,
            checkpointed: (Instant::now(), 0),
            meter,
            summary: Summary::default(),
        })
    }
}

async fn open_catalog(job: &Job) -> Result<Catalog> {
    let options = StoreOptions { create: true, fsync: job.fsync };
    let (objects, prefix) = open_store_with(&job.catalog, options)?;
    let catalog = Catalog::open_at(objects, prefix).await?;
    if let Some(takeover) = &catalog.state().writer
        && takeover.config_hash != job.hash
        && catalog.state().planned.is_some()
    {
        bail!(
            "the configuration has changed since the results in {} were made (then {}, now {}): \
             rows made before and after would not agree; name a new catalog.url, or restore the settings",
            job.catalog,
            takeover.config_hash,
            job.hash
        );
    }
    Ok(catalog)
}

type Workers = (Vec<Sender<Command>>, Receiver<Report>, Vec<std::thread::Thread>);

/// Starts the timely workers; gives their command channels, by index.
fn start_workers(workers: usize, blueprint: Blueprint) -> Result<Workers> {
    let (commands, receivers): (Vec<_>, Vec<_>) = (0..workers).map(|_| unbounded()).unzip();
    let (report, reports) = unbounded();
    let (hello, hellos) = unbounded();
    let run = move |worker: &mut timely::worker::Worker| {
        let index = worker.index();
        // Both fail only when the coordinator is gone, and with it the reason to work.
        drop(hello.send((index, std::thread::current())));
        worker::run(worker, &blueprint, &receivers[index], &report);
    };
    let config = timely::Config {
        communication: timely::CommunicationConfig::Process(workers),
        worker: timely::WorkerConfig::default().idle_spin(Duration::ZERO),
    };
    std::thread::Builder::new()
        .name("workers".to_owned())
        .spawn(move || match timely::execute(config, run) {
            // Joining keeps the workers alive until their channels close.
            Ok(guards) => drop(guards.join()),
            Err(error) => tracing::error!(error, "the workers could not start"),
        })
        .context("starting the workers")?;
    let mut threads = vec![None; workers];
    for _ in 0..workers {
        let (index, thread) = hellos.recv().context("a worker did not start")?;
        threads[index] = Some(thread);
    }
    Ok((commands, reports, threads.into_iter().flatten().collect()))
}
