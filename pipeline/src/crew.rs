//! The workers of this process, and what they are built from.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use cloudops_models::registry::{Registry, scorer_factory};
use cloudops_models::scorer::ScorerOptions;
use cloudops_operators::anomaly::Label;
use cloudops_operators::score::{ModelId, Timeline};
use cloudops_operators::supervise::Whereabouts;
use cloudops_sql::catalog::Store;
use cloudops_sql::catalog::record::Checkpoint;
use crossbeam_channel::{Receiver, Sender, unbounded};
use timely::communication::allocator::ProcessBuilder;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::{AllocatorBuilder, Hooks};
use timely::execute::execute_from;
use timely::{CommunicationConfig, WorkerConfig};
use tokio::runtime::Handle;

use crate::checkpoint;
use crate::cluster::Cluster;
use crate::cluster::connect::connect;
use crate::cluster::control::Post;
use crate::cluster::message::{Mail, Same};
use crate::engine::BUILD;
use crate::job::Job;
use crate::worker::{self, Blueprint, Command, Report};

/// How long a process waits for the others to be there.
const PATIENCE: Duration = Duration::from_secs(60);

/// The workers of this process.
#[derive(Debug)]
pub(crate) struct Crew {
    commands: Vec<Sender<Command>>,
    /// What they say, and what other processes say through them.
    pub(crate) reports: Receiver<Report>,
    threads: Vec<std::thread::Thread>,
    outbox: Option<Sender<Mail>>,
}

impl Crew {
    /// Starts workers, and connects to the other processes where there are some.
    ///
    /// # Errors
    /// When the operating system has no thread to give, or not all processes come.
    pub(crate) fn start(job: &Job, cluster: Option<&Cluster>) -> Result<Self> {
        let workers = job.workers;
        let (commands, receivers): (Vec<_>, Vec<_>) = (0..workers).map(|_| unbounded()).unzip();
        let (report, reports) = unbounded();
        let (hello, hellos) = unbounded();
        let (outbox, mails) = match cluster {
            Some(_) => {
                let (sender, receiver) = unbounded();
                (Some(sender), Some(receiver))
            }
            None => (None, None),
        };
        let first = cluster.map_or(0, |cluster| cluster.index * workers);
        let several = cluster.is_some();
        let mails = std::sync::Mutex::new(mails);
        let run = move |worker: &mut timely::worker::Worker| {
            let place = worker.index() - first;
            // Both fail only when the coordinator is gone, and with it the reason to work.
            drop(hello.send((place, std::thread::current())));
            let post = several.then(|| {
                let outbox =
                    if place == 0 { mails.lock().ok().and_then(|mut m| m.take()) } else { None };
                Post::connect(worker, workers, outbox, &report)
            });
            worker::run(worker, &receivers[place], &report, post);
        };
        let (allocators, guard) = allocators(job, cluster)?;
        let settings = WorkerConfig::default().idle_spin(Duration::ZERO);
        std::thread::Builder::new()
            .name("workers".to_owned())
            .spawn(move || match execute_from(allocators, guard, settings, run) {
                // Joining keeps the workers alive until their channels close.
                Ok(guards) => drop(guards.join()),
                Err(error) => tracing::error!(error, "the workers could not start"),
            })
            .context("starting the workers")?;
        let mut threads = vec![None; workers];
        for _ in 0..workers {
            let (place, thread) = hellos.recv().context("a worker did not start")?;
            threads[place] = Some(thread);
        }
        let threads = threads.into_iter().flatten().collect();
        Ok(Self { commands, reports, threads, outbox })
    }

    /// Number of workers in this process.
    pub(crate) fn workers(&self) -> usize {
        self.commands.len()
    }

    /// Has every worker build its share of the graph and take up its shards of a checkpoint; gives the
    /// CPU time that reading one has taken.
    ///
    /// # Errors
    /// Names the file of state that is missing, or is not the one that was written, or that this build
    /// does not know.
    pub(crate) fn build(
        &self,
        blueprint: &Blueprint,
        checkpoint: Option<&Checkpoint>,
        store: &Store,
        runtime: &Handle,
    ) -> Result<Duration> {
        let streams: Vec<&str> =
            blueprint.job.streams.iter().map(|stream| stream.name.as_str()).collect();
        let (mut supplies, reader) = match checkpoint {
            Some(checkpoint) => {
                let (supplies, reader) =
                    checkpoint::supply(runtime, store, checkpoint, &streams, self.workers())?;
                (supplies, Some(reader))
            }
            None => (Vec::new(), None),
        };
        let (built, answers) = unbounded();
        for worker in (0..self.workers()).rev() {
            let blueprint = Box::new(blueprint.clone());
            self.command(worker, Command::Build(blueprint, supplies.pop(), built.clone()));
        }
        drop(built);
        for _ in 0..self.workers() {
            answers.recv().context("a worker has stopped")??;
        }
        let read = reader.map(|reader| reader.join().ok().context("restoring state panicked"));
        Ok(read.transpose()?.unwrap_or_default())
    }

    /// Tells a worker; one that has failed says why in its report.
    pub(crate) fn command(&self, worker: usize, command: Command) {
        if self.commands[worker].send(command).is_ok() {
            self.threads[worker].unpark();
        }
    }

    /// Sends a message to the other processes, or from one of them to the first.
    pub(crate) fn send(&self, mail: Mail) {
        if let Some(outbox) = &self.outbox
            && outbox.send(mail).is_ok()
        {
            self.threads[0].unpark();
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.outbox = None;
        self.commands.clear();
        self.threads.iter().for_each(std::thread::Thread::unpark);
    }
}

/// What workers exchange rows through: memory, and connections where there are other processes.
fn allocators(
    job: &Job,
    cluster: Option<&Cluster>,
) -> Result<(Vec<AllocatorBuilder>, Box<dyn Any + Send>)> {
    let workers = job.workers;
    let Some(cluster) = cluster else {
        let built = CommunicationConfig::Process(workers).try_build();
        return built.map_err(anyhow::Error::msg);
    };
    let connections = connect(cluster, &same(job), PATIENCE)?;
    let hooks = Hooks::default();
    let within = ProcessBuilder::new_typed_vector(workers, hooks.refill.clone(), None);
    let networking =
        initialize_networking_from_sockets(within, connections, cluster.index, workers, hooks);
    let (builders, guard) = networking.context("connecting to other processes")?;
    Ok((builders.into_iter().map(AllocatorBuilder::Tcp).collect(), Box::new(guard)))
}

/// What processes of one job must share.
fn same(job: &Job) -> Same {
    Same { build: BUILD.to_owned(), config_hash: job.hash.clone(), workers: job.workers }
}

/// What workers are built from.
pub(crate) fn blueprint(
    job: &Arc<Job>,
    registry: &Registry,
    timelines: Vec<Vec<(i64, ModelId)>>,
    labels: Vec<Vec<Label>>,
    whereabouts: Vec<Whereabouts>,
) -> Blueprint {
    let timelines = timelines.into_iter().map(|entries| {
        let mut timeline = Timeline::default();
        for (from, model) in entries {
            timeline.promote(from, model);
        }
        timeline
    });
    let scorers = job.streams.iter().map(|stream| {
        scorer_factory(registry, ScorerOptions { hop: stream.hop(), ..ScorerOptions::default() })
    });
    Blueprint {
        scorers: scorers.collect(),
        timelines: timelines.collect(),
        labels,
        whereabouts,
        job: Arc::clone(job),
    }
}
