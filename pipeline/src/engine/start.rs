//! From a job to an engine at work: the log taken over, state restored, readers and workers started.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Instant;

use anyhow::{Result, bail};
use cloudops_models::registry::Registry;
use cloudops_operators::anomaly::Label;
use cloudops_operators::score::ModelId;
use cloudops_sql::catalog::Catalog;
use cloudops_sql::catalog::state::CheckpointAt;
use cloudops_sql::catalog::store::{StoreOptions, open_store_with};
use tokio::runtime::Runtime;

use super::gather::Gather;
use super::inputs::Inputs;
use super::{BUILD, Engine, Options, Summary, commit, models};
use crate::cluster::Cluster;
use crate::cluster::message::{Begin, Mail, Order};
use crate::crew::{self, Crew};
use crate::executor::config::process_environment;
use crate::job::{Job, SinkJob};
use crate::maintenance::{Maintainer, Service};
use crate::memory::{Governor, Room};
use crate::profile::Meter;
use crate::progress::Progress;
use crate::sink::alerts::AlertSink;

impl<'a> Engine<'a> {
    /// An engine that has taken over the log and waits to be put to work.
    pub(super) fn start(
        job: &Arc<Job>,
        registry: Registry,
        options: Options,
        runtime: &'a Runtime,
        stop_readers: &Arc<AtomicBool>,
        cluster: Option<&Cluster>,
    ) -> Result<Self> {
        // A sink whose secret is missing is found before anybody is fenced.
        for sink in &job.sinks {
            if let SinkJob::Delivery(delivery) = sink {
                delivery.receiver(&process_environment)?;
            }
        }
        let mut meter = Meter::start(job.streams.iter().map(|stream| stream.name.clone()));
        let mut catalog = runtime.block_on(open_catalog(job))?;
        // Whoever wrote before is fenced only once all processes are there.
        let crew = Crew::start(job, cluster)?;
        let processes = cluster.map_or(1, Cluster::processes);
        let generation = runtime.block_on(catalog.take_over(
            BUILD,
            &job.hash,
            (job.workers * processes) as u32,
        ))?;
        models::ensure_promoted(job, &registry, &mut catalog, runtime, &*options.clock)?;
        let checkpoint = catalog.state().checkpoint.clone();
        let names: Vec<&str> = job.streams.iter().map(|stream| stream.name.as_str()).collect();
        let timelines: Vec<Vec<(i64, ModelId)>> =
            names.iter().map(|name| catalog.state().timeline(name).entries().to_vec()).collect();
        let labels: Vec<Vec<Label>> =
            names.iter().map(|name| catalog.state().labels(name, 0)).collect();
        let told = catalog.state().feedback.len();
        let state = checkpoint.as_deref().map(|at| &at.checkpoint);
        if processes > 1 {
            let (timelines, labels) = (timelines.clone(), labels.clone());
            let begin = Begin { checkpoint: state.cloned(), timelines, labels };
            crew.send(Mail::write(&Order::Begin(Box::new(begin)))?);
        }
        if let Some(CheckpointAt { epoch, checkpoint, .. }) = checkpoint.as_deref() {
            tracing::info!(epoch = epoch.0, files = checkpoint.states.len(), "restoring state");
        }
        let monitor = options.monitor.clone();
        monitor.started(catalog.state());
        for stream in &job.streams {
            monitor.models(&stream.name, catalog.state().timeline(&stream.name));
        }
        let blueprint = crew::blueprint(job, &registry, timelines, labels, monitor.whereabouts());
        meter.restored(crew.build(&blueprint, state, catalog.store(), runtime.handle())?);
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
        // Readers of their own: what is done beside the job goes by what is committed.
        let beside = runtime.block_on(open_catalog(job))?;
        let clock = Arc::clone(&options.clock);
        let maintainer = Maintainer::new(beside, job.maintenance.clone(), clock);
        let maintenance = Service::start(maintainer, options.live, runtime.handle().clone())?;
        let sinks = job.sinks.iter().map(|sink| {
            let catalog = runtime.block_on(open_catalog(job))?;
            AlertSink::start(sink, catalog, Arc::clone(&options.clock), monitor.clone())
        });
        let sinks = sinks.collect::<Result<_>>()?;
        let state = catalog.state();
        let committed_before = state.committed;
        let next_epoch = state.next_epoch();
        Ok(Self {
            progress: Progress::new(options.progress, bytes, bytes_read),
            governor: Governor::new(
                job.memory_limit,
                Room { records: job.epoch_records, bytes: job.epoch_bytes },
            ),
            monitor,
            accounts,
            job: Arc::clone(job),
            registry,
            options,
            runtime,
            catalog,
            streams,
            crew,
            processes,
            sinks,
            in_flight: VecDeque::new(),
            generation,
            next_epoch,
            committed_before,
            told,
            gather_since: None,
            checkpointed: (Instant::now(), 0),
            meter,
            summary: Summary::default(),
            maintenance: Some(maintenance),
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
