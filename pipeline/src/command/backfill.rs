//! `cloudops run` and `cloudops backfill`: one engine, with and without an end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use clap::Args;
use cloudops_models::registry::Registry;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::{print, print_json};
use crate::clock::{Clock, SystemClock};
use crate::cluster::{Cluster, agent};
use crate::config::Config;
use crate::engine::{self, Options, Summary};
use crate::monitor::{Monitor, server};
use crate::size;

/// Run a job until told to stop.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudops run --config pipeline.toml\n  \
    cloudops run --config pipeline.toml --listen 127.0.0.1:9095\n  \
    cloudops run --config pipeline.toml --processes 2 --process-index 0 --hosts hosts.txt\n\n\
    SIGTERM or Ctrl-C drains what is planned, commits it and exits with 0; a second one exits at once.")]
pub(super) struct Run {
    #[command(flatten)]
    common: Common,
}

/// Run a job over the records that are there.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudops backfill --config pipeline.toml\n  \
    cloudops backfill --config pipeline.toml --workers 1 --json\n  \
    cloudops backfill --config pipeline.toml --profile\n\n\
    An interrupted backfill goes on where it was: run the same command again.")]
pub(super) struct Backfill {
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Common {
    /// The job's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Overrides `run.workers`.
    #[arg(long)]
    workers: Option<usize>,
    /// Overrides `run.epoch_records`.
    #[arg(long)]
    epoch_records: Option<u64>,
    /// Overrides `catalog.url`.
    #[arg(long, value_name = "URL")]
    catalog: Option<String>,
    /// Number of processes that run the job together.
    #[arg(long, default_value_t = 1)]
    processes: usize,
    /// Which of them this is, from 0. The first reads the input and commits.
    #[arg(long, default_value_t = 0, env = "CLOUDOPS_PROCESS_INDEX")]
    process_index: usize,
    /// Where they listen: a file with a line `host:port` for each. Default: this machine, from port 2101.
    #[arg(long, value_name = "FILE")]
    hosts: Option<PathBuf>,
    /// Answer /metrics, /status and /healthz here while running; `run` also where `run.listen` says.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Overrides `run.memory_limit`, e.g. 2GiB.
    #[arg(long, value_name = "BYTES", value_parser = size::parse)]
    memory_limit: Option<u64>,
    /// Show where the CPU time went, by stream and step.
    #[arg(long)]
    profile: bool,
    /// Print the summary as JSON, the profile with it.
    #[arg(long)]
    json: bool,
}

impl Run {
    pub(super) fn execute(self, onnxruntime: Option<&Path>) -> Result<()> {
        self.common.execute(true, onnxruntime)
    }
}

impl Backfill {
    pub(super) fn execute(self, onnxruntime: Option<&Path>) -> Result<()> {
        self.common.execute(false, onnxruntime)
    }
}

impl Common {
    fn execute(self, live: bool, onnxruntime: Option<&Path>) -> Result<()> {
        let mut config = Config::read(&self.config)?;
        if let Some(workers) = self.workers {
            config.run.workers = workers;
        }
        if let Some(records) = self.epoch_records {
            config.run.epoch_records = records;
        }
        if let Some(catalog) = self.catalog {
            config.catalog.url = catalog;
        }
        config.run.memory_limit = self.memory_limit.or(config.run.memory_limit);
        config.run.listen = self.listen.or(config.run.listen.filter(|_| live));
        let cluster = Cluster::new(self.processes, self.process_index, self.hosts.as_deref())?;
        let Some(summary) = run_on(&config, live, onnxruntime, true, cluster.as_ref())? else {
            return Ok(());
        };
        if self.json {
            return print_json(&summary);
        }
        print(&describe(&summary, &config))?;
        if self.profile { print(&summary.profile.table()) } else { Ok(()) }
    }
}

/// Runs a configured job, watched where `run.listen` says; signals stop it cleanly.
pub(super) fn run(
    config: &Config,
    live: bool,
    onnxruntime: Option<&Path>,
    progress: bool,
) -> Result<Summary> {
    let summary = run_on(config, live, onnxruntime, progress, None)?;
    summary.context("a process alone has a summary")
}

/// The same on several processes; `None` on those that only serve the first.
fn run_on(
    config: &Config,
    live: bool,
    onnxruntime: Option<&Path>,
    progress: bool,
    cluster: Option<&Cluster>,
) -> Result<Option<Summary>> {
    let job = config.validate(live)?;
    // Only the first of several processes knows how the job stands.
    let first = cluster.is_none_or(|cluster| cluster.index == 0);
    let listen = config.run.listen.as_deref().filter(|_| first);
    let bound = listen.map(server::bind).transpose()?;
    let registry = Registry::open(&config.registry()?)?;
    if job.streams.iter().any(|stream| stream.model.is_some()) {
        cloudops_models::runtime::init(onnxruntime)?;
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The first signal sets the flag; a second one finds it set and ends the process.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .context("listening for signals")?;
    }
    if let Some(cluster) = cluster.filter(|cluster| cluster.index > 0) {
        return agent::serve(job, registry, cluster, &stop).map(|()| None);
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let processes = cluster.map_or(1, Cluster::processes);
    let monitor = Monitor::new(&job, processes, Arc::clone(&clock));
    let _server = bound.map(|bound| bound.serve(monitor.clone())).transpose()?;
    let options = Options { live, stop, clock, progress, monitor, retrain: true };
    engine::run_on(job, registry, options, cluster).map(Some)
}

/// The summary for a person.
pub(super) fn describe(summary: &Summary, config: &Config) -> String {
    let Summary { epochs, replayed, records, on_time, late, rejected, duplicates, .. } = summary;
    let mut text =
        format!("read {records} records: {on_time} on time, {late} late, {rejected} rejected");
    if *duplicates > 0 {
        text += &format!("; {duplicates} of those on time were duplicates");
    }
    text += &format!(
        "\nclosed {} windows; committed {} rows in {} files over {epochs} epochs",
        summary.windows, summary.rows, summary.files
    );
    if *replayed > 0 {
        text += &format!(" ({replayed} epochs had been committed before)");
    }
    if summary.promotions > 0 {
        text += &format!("\npromoted {} retrained models after drift", summary.promotions);
    }
    text += &format!(
        "\nresults: {}\nask them: cloudops sql --catalog {}",
        config.catalog.url, config.catalog.url
    );
    text
}
