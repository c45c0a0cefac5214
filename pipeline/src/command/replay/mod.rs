//! `cloudops replay`: an epoch computed again from the input, and compared with what was committed.
//!
//! The log up to the epoch's commit is copied into memory and a run begins there, as a restart at that
//! moment would have: same plans, same models, same number of workers, and the last checkpoint where
//! its files are still there. What it commits in memory must be what the catalog holds, byte for byte.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};
use clap::Args;
use cloudops_models::registry::Registry;
use cloudops_operators::epoch::Epoch;
use cloudops_sql::catalog::store::open_store;
use cloudops_sql::catalog::{Catalog, Store};
use tokio::runtime::Runtime;

use super::{print, print_json};
use crate::clock::FixedClock;
use crate::config::Config;
use crate::engine::{self, Options};
use crate::monitor::Monitor;
use compare::Sides;

mod compare;

/// Compute an epoch again from the input, and compare it with what was committed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudops replay --config pipeline.toml --epoch 12\n  \
    cloudops replay --config pipeline.toml --epoch 12 --entity engine-7\n\n\
    The input must still be there, and the configuration, build and library be the same. Nothing is \
    written to the catalog. Fails where a byte differs.")]
pub(super) struct Replay {
    /// The job's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The epoch.
    #[arg(long)]
    epoch: u64,
    /// Also show this entity's rows.
    #[arg(long, value_name = "ID")]
    entity: Option<String>,
    /// Print as JSON.
    #[arg(long)]
    json: bool,
}

/// Where the epoch is done again: a store of this process.
const SCRATCH: &str = "memory://replay";

impl Replay {
    pub(super) fn execute(self, onnxruntime: Option<&Path>) -> Result<()> {
        let mut config = Config::read(&self.config)?;
        let runtime = Runtime::new().context("starting the I/O runtime")?;
        let real = runtime.block_on(Catalog::open(&config.catalog.url))?;
        let past = runtime.block_on(real.past(Epoch(self.epoch)))?;
        let registry = config.registry()?;
        config.run.workers = past.writer.workers as usize;
        // Nobody waits for it: take the epoch whole, as its plan says.
        config.run.memory_limit = None;
        // The scratch log names files that lie elsewhere.
        (config.maintenance.delta, config.maintenance.compact) = (false, false);
        // What it raises again was sent when it was true.
        config.sinks.clear();
        let address = std::mem::replace(&mut config.catalog.url, SCRATCH.to_owned());
        let job = config.validate(false)?;
        ensure!(
            past.writer.config_hash == job.hash,
            "the configuration has changed since epoch {} was committed to {address} (then {}, now \
             {}): replay it with the one it was made with",
            self.epoch,
            past.writer.config_hash,
            job.hash
        );
        let scored = job.streams.iter().any(|stream| stream.model.is_some());
        if scored {
            ensure!(registry.is_dir(), "there is no model registry at {}", registry.display());
            cloudops_models::runtime::init(onnxruntime)?;
        }
        // Opening a registry makes its directory; where nothing is scored none is asked.
        let registry = Registry::open(if scored { registry } else { std::env::temp_dir() })?;
        let (objects, prefix) = open_store(SCRATCH)?;
        let scratch = Store::new(objects, prefix);
        let began_after = runtime.block_on(real.rewind(&past, &scratch))?;
        let clock = Arc::new(FixedClock(0));
        let options = Options {
            live: false,
            // Beyond the log's plans there is nothing to do.
            stop: Arc::new(AtomicBool::new(true)),
            monitor: Monitor::new(&job, 1, Arc::clone(&clock) as _),
            clock,
            progress: false,
            retrain: false,
        };
        engine::run(job, registry, options)?;
        let again = runtime
            .block_on(async { Catalog::open(SCRATCH).await?.past(past.plan.epoch).await })?;
        let sides = Sides {
            runtime: &runtime,
            real: real.store(),
            state: real.state(),
            scratch: &scratch,
            past: &past,
            again: &again,
        };
        let outcome = sides.compare(began_after, self.entity.as_deref())?;
        if self.json {
            print_json(&outcome)?;
        } else {
            print(&outcome.text()?)?;
        }
        ensure!(outcome.same, "epoch {} is not what its input gives", self.epoch);
        Ok(())
    }
}
