//! Maintenance beside a running job, on a thread of its own.
//!
//! What fails here is logged and tried again: results do not depend on it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use tokio::runtime::Handle;

use super::Maintainer;

/// How often a running job lets old rows go and deletes dead files.
const COLLECT: Duration = Duration::from_secs(3_600);

/// The thread; stopping it publishes once more.
#[derive(Debug)]
pub(crate) struct Service {
    stop: Option<Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Service {
    /// Starts the thread. Merges and deletes only where `live`: a backfill ends soon.
    ///
    /// # Errors
    /// When the operating system has no thread to give.
    pub(crate) fn start(maintainer: Maintainer, live: bool, runtime: Handle) -> Result<Self> {
        let (stop, stopped) = bounded(0);
        let thread = std::thread::Builder::new()
            .name("maintenance".to_owned())
            .spawn(move || {
                let mut work = Work { maintainer, runtime, live, collected: Instant::now() };
                let interval = work.maintainer.settings.interval;
                while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                    work.round();
                }
                work.publish();
            })
            .context("starting the maintenance thread")?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Service {
    /// Waits for the work at hand and a last publication.
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the maintenance thread has panicked");
        }
    }
}

struct Work {
    maintainer: Maintainer,
    runtime: Handle,
    live: bool,
    collected: Instant,
}

impl Work {
    fn round(&mut self) {
        self.publish();
        if !self.live {
            return;
        }
        if self.maintainer.settings.compact {
            let told = |table: &str, files| tracing::info!(table, files, "merged");
            told_of("merging files", self.runtime.block_on(self.maintainer.compact(told)));
        }
        if self.collected.elapsed() >= COLLECT {
            self.collected = Instant::now();
            told_of("letting old rows go", self.runtime.block_on(self.maintainer.retain()));
            told_of("deleting dead files", self.runtime.block_on(self.maintainer.collect(false)));
        }
    }

    fn publish(&mut self) {
        if self.maintainer.settings.delta {
            told_of("publishing to Delta Lake", self.runtime.block_on(self.maintainer.publish()));
        }
    }
}

fn told_of<T>(what: &str, result: Result<T>) {
    if let Err(error) = result {
        tracing::warn!("{what}: {error:#}; tried again later");
    }
}
