//! The life of a process that is not the first: it takes orders, gives them to its workers, stages what
//! they make, and writes letters.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cloudops_models::registry::Registry;
use cloudops_operators::epoch::Epoch;
use cloudops_operators::supervise::Whereabouts;
use cloudops_operators::watermark::Watermark;
use cloudops_sql::catalog::Store;
use cloudops_sql::catalog::store::{Maker, StoreOptions, open_store_with};
use crossbeam_channel::RecvTimeoutError;
use tokio::runtime::Runtime;

use super::Cluster;
use super::message::{Begin, Letter, Mail, Order};
use crate::crew::{self, Crew};
use crate::job::Job;
use crate::sink::staged::{Staged, stage};
use crate::worker::{Command, Completed, Report, StreamInput};

/// Serves the first process until the job ends.
///
/// # Errors
/// When an operator or the store fails, or another process dies.
pub fn serve(job: Job, registry: Registry, cluster: &Cluster, stop: &AtomicBool) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("starting the I/O runtime")?;
    let options = StoreOptions { create: true, fsync: job.fsync };
    let (objects, prefix) = open_store_with(&job.catalog, options)?;
    let crew = Crew::start(&job, Some(cluster))?;
    let mut agent = Agent {
        job: Arc::new(job),
        registry,
        cluster,
        crew,
        store: Store::new(objects, prefix),
        runtime,
        staged: HashMap::new(),
    };
    let result = agent.work(stop);
    if let Err(error) = &result {
        let cause = format!("{error:#}");
        agent.tell(&Letter::Failed { operator: format!("process {}", cluster.index), cause })?;
        // The letter leaves before the workers do.
        std::thread::sleep(Duration::from_millis(200));
    }
    result
}

struct Agent<'a> {
    job: Arc<Job>,
    registry: Registry,
    cluster: &'a Cluster,
    crew: Crew,
    store: Store,
    runtime: Runtime,
    /// Epochs whose files are to be staged, by whether.
    staged: HashMap<Epoch, (bool, usize)>,
}

impl Agent<'_> {
    fn work(&mut self, stop: &AtomicBool) -> Result<()> {
        let mut told = false;
        let mut ended = false;
        loop {
            if ended && self.staged.is_empty() {
                return Ok(());
            }
            if stop.load(Ordering::Relaxed) && !told {
                self.tell(&Letter::Stop)?;
                told = true;
            }
            match self.crew.reports.recv_timeout(Duration::from_millis(100)) {
                Ok(Report::Mail(mail)) => match mail.read()? {
                    Order::End => ended = true,
                    order => self.take(order)?,
                },
                Ok(Report::Complete(epoch, worker, completed)) => {
                    self.complete(epoch, worker, completed)?;
                }
                Ok(Report::Failed(operator, cause)) => {
                    let cause = anyhow::Error::from_boxed(cause);
                    return Err(cause.context(format!("operator {operator}")));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("the workers have stopped: another process is gone")
                }
            }
        }
    }

    fn take(&mut self, order: Order) -> Result<()> {
        match order {
            Order::Begin(begin) => self.begin(*begin),
            Order::Epoch { epoch, watermarks_us, checkpoint, stage } => {
                self.staged.insert(epoch, (stage, self.job.workers));
                for worker in 0..self.job.workers {
                    let inputs = watermarks_us.iter().map(|watermark| StreamInput {
                        watermark: watermark.map(Watermark),
                        ..StreamInput::default()
                    });
                    let command = Command::Epoch(epoch, inputs.collect(), checkpoint);
                    self.crew.command(worker, command);
                }
                Ok(())
            }
            Order::Promote { stream, effective_from_us, model } => {
                for worker in 0..self.job.workers {
                    let model = model.clone();
                    self.crew
                        .command(worker, Command::Promote { stream, effective_from_us, model });
                }
                Ok(())
            }
            Order::Label { stream, label } => {
                for worker in 0..self.job.workers {
                    self.crew.command(worker, Command::Label { stream, label: label.clone() });
                }
                Ok(())
            }
            Order::End => Ok(()),
        }
    }

    fn begin(&self, begin: Begin) -> Result<()> {
        let workers = self.job.workers * self.cluster.processes();
        let places = (0..workers).map(|_| Whereabouts::default()).collect();
        let blueprint =
            crew::blueprint(&self.job, &self.registry, begin.timelines, begin.labels, places);
        let state = begin.checkpoint.as_ref();
        self.crew.build(&blueprint, state, &self.store, self.runtime.handle())?;
        Ok(())
    }

    fn complete(&mut self, epoch: Epoch, worker: usize, completed: Completed) -> Result<()> {
        let (to_stage, left) = self.staged.get_mut(&epoch).context("an epoch nobody ordered")?;
        let to_stage = *to_stage;
        *left -= 1;
        if *left == 0 {
            self.staged.remove(&epoch);
        }
        let workers = (self.job.workers * self.cluster.processes()) as u32;
        let maker = Maker { worker: worker as u32, workers };
        let staged = if to_stage {
            self.runtime.block_on(stage(&self.store, epoch, maker, completed, |_| {}))?
        } else {
            Staged::passed(completed)
        };
        self.tell(&Letter::Complete { epoch, worker, staged })
    }

    fn tell(&self, letter: &Letter) -> Result<()> {
        self.crew.send(Mail::write(letter)?);
        Ok(())
    }
}
