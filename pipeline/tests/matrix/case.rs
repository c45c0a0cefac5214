//! One case: a job and its maintenance, started again until they are done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cloudops_models::registry::Registry;
use cloudops_pipeline::clock::FixedClock;
use cloudops_pipeline::config::Config;
use cloudops_pipeline::engine::{self, Options};
use cloudops_pipeline::maintenance::Maintainer;
use cloudops_pipeline::monitor::Monitor;
use cloudops_sql::catalog::Catalog;
use cloudops_sql::catalog::store::mount;
use object_store::ObjectStore;
use object_store::path::Path;

use crate::configuration;
use crate::kept::{Kept, kept};
use crate::store::{Fault, Simulated, World};

/// Which operations fail, and on how many workers.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) workers: usize,
    pub(crate) faults: Vec<(u64, Fault)>,
}

/// A number from the environment.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// The job of all cases, and where its input lies.
pub(crate) struct Job {
    dir: tempfile::TempDir,
}

/// Cases of all jobs of this process: their stores have names in common.
static CASES: AtomicU64 = AtomicU64::new(0);

/// A program that dies more often than this is stuck.
const STARTS: usize = 40;

impl Job {
    pub(crate) fn write() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        std::fs::create_dir(dir.path().join("sensor")).unwrap();
        for (name, from) in [("sensor/a.csv", 0), ("sensor/b.csv", 24)] {
            let mut text = "engine,ts,x,y\n".to_owned();
            for step in from..from + 24 {
                // What an idle engine holds is not written again.
                let engines = if from == 0 { 4 } else { 3 };
                for engine in &["one", "two", "three", "four"][..engines] {
                    // Every seventh row is late, every eleventh no row at all.
                    let minute = if step % 7 == 6 { step - 5 } else { step };
                    let y = if step % 11 == 10 { "broken".to_owned() } else { step.to_string() };
                    let ts = format!("2026-01-01T00:{minute:02}:00Z");
                    text += &format!("{engine},{ts},{},{y}\n", step * engine.len());
                }
            }
            write(name, &text);
        }
        // A line a day, and every third day an older one is stated anew, and another told twice.
        let mut bill = "account,service,day,seen,cost,line,version\n".to_owned();
        for seen in 1..=12 {
            let mut state = |day: i32, version: i32| {
                let account = ["bolt", "acme", "acme"][day as usize % 3];
                let cost = f64::from(day * 10 + version) / 8.0;
                bill += &format!(
                    "{account},disk,2026-01-{day:02},2026-01-{seen:02},{cost},{day},{version}\n"
                );
            };
            state(seen, 1);
            if seen % 3 == 0 {
                state(seen - 2, 2);
                state(seen - 1, 1);
            }
        }
        write("bill.csv", &bill);
        configuration::write(dir.path());
        write("job.toml", &format!("{JOB}{}", configuration::streams(".")));
        Self { dir }
    }

    /// Runs a case to its end; gives what is left and how many operations it took.
    pub(crate) fn run(&self, case: &Case) -> Result<(Kept, u64), String> {
        let world = World::new(&case.faults);
        self.carry_out(case.workers, &mut || Simulated::over(&world))?;
        let operations = world.operations();
        world.calm();
        Ok((self.kept(&world)?, operations))
    }

    /// Has the job and its maintenance done, each step started again until it is; every start asks for
    /// the store.
    pub(crate) fn carry_out(
        &self,
        workers: usize,
        store: &mut dyn FnMut() -> Arc<dyn ObjectStore>,
    ) -> Result<(), String> {
        let name = format!("case-{}", CASES.fetch_add(1, Ordering::Relaxed));
        let mut again =
            |what: &str, step: &mut dyn FnMut(Arc<dyn ObjectStore>) -> anyhow::Result<()>| {
                for _ in 0..STARTS {
                    match step(store()) {
                        Ok(()) => return Ok(()),
                        Err(error) => allowed(&error).map_err(|why| format!("{what}: {why}"))?,
                    }
                }
                Err(format!("{what} does not get on"))
            };
        again("the job", &mut |store| {
            mount(&name, store);
            self.engine(&name, workers)
        })?;
        again("compaction", &mut |store| {
            self.maintain(store, 1, async |mut it| it.compact(|_, _| {}).await.map(drop))
        })?;
        again("publication", &mut |store| {
            self.maintain(store, 1, async |mut it| it.publish().await.map(drop))
        })?;
        again("deletion", &mut |store| self.delete(store))
    }

    fn delete(&self, store: Arc<dyn ObjectStore>) -> anyhow::Result<()> {
        self.maintain(store, 2, async |mut it| it.collect(false).await.map(drop))
    }

    fn maintain(
        &self,
        store: Arc<dyn ObjectStore>,
        now_us: i64,
        work: impl AsyncFnOnce(Maintainer) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let settings = self.config("maintained", 1).validate(false)?.maintenance;
        runtime.block_on(async {
            let catalog = Catalog::open_at(store, Path::default()).await?;
            work(Maintainer::new(catalog, settings, Arc::new(FixedClock(now_us)))).await
        })
    }

    /// What is left, once what a stale list hid has been found, and all is published.
    pub(crate) fn kept(&self, world: &Arc<World>) -> Result<Kept, String> {
        let publish = async |mut it: Maintainer| it.publish().await.map(drop);
        self.maintain(Simulated::over(world), 1, publish)
            .map_err(|error| format!("publication: {error:#}"))?;
        self.delete(Simulated::over(world)).map_err(|error| format!("deletion: {error:#}"))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(kept(world))
    }

    fn config(&self, name: &str, workers: usize) -> Config {
        let mut config = Config::read(&self.dir.path().join("job.toml")).unwrap();
        config.catalog.url = format!("memory://{name}");
        config.run.workers = workers;
        config
    }

    fn engine(&self, name: &str, workers: usize) -> anyhow::Result<()> {
        let job = self.config(name, workers).validate(false)?;
        let registry = Registry::open(self.dir.path().join("models"))?;
        let clock = Arc::new(FixedClock(0));
        let options = Options {
            live: false,
            stop: Arc::new(AtomicBool::new(false)),
            monitor: Monitor::new(&job, 1, Arc::clone(&clock) as _),
            clock,
            progress: false,
            retrain: true,
        };
        engine::run(job, registry, options).map(drop)
    }
}

/// A program may only stop because the store did not answer, or because it was replaced.
pub(crate) fn allowed(error: &anyhow::Error) -> Result<(), String> {
    use cloudops_sql::Error;
    let ours = error.chain().find_map(|cause| cause.downcast_ref::<Error>());
    match ours {
        Some(Error::Retry { .. } | Error::Fenced { .. }) => Ok(()),
        None if format!("{error:#}").contains("Simulated") => Ok(()),
        None if format!("{error:#}").contains("could not be deleted: try again") => Ok(()),
        // A list that left out what was just written; the next program sees it.
        None if error.chain().any(|cause| cause.is::<deltalake_core::DeltaTableError>()) => Ok(()),
        _ => Err(format!("{error:#}")),
    }
}

const JOB: &str = r#"
[catalog]
url = "memory://job"

[run]
epoch_records = 30
epochs_in_flight = 1
checkpoint_interval = "0s"
compression = "none"

[maintenance]
files = 3
keep = "0s"
interval = "1h"

[resources]
judge = { every_days = 1 }

[[stream]]
name = "engines"
window = { kind = "count", length = 5, hop = 2 }
utilisation = { cpu = "x", net_in = "y" }
[stream.source]
path = "sensor"
format = "sensor-wide"
mapping = { entity = "engine", time = "ts", channels = ["x", "y"] }
[stream.output]
windows = true

[[stream]]
name = "bills"
[stream.source]
path = "bill.csv"
format = "charges"
[stream.source.mapping]
account = "account"
provider = { value = "cloud" }
service = "service"
resource = "line"
currency = { value = "USD" }
start = "day"
known = "seen"
effective_cost = "cost"
line = ["line"]
version = "version"
[stream.bill]
by = ["resource"]
rollups = ["account"]
[stream.anomaly]
history_days = 14
min_history_days = 7
sensitivity = 0.2
[stream.output]
windows = true

[[stream]]
name = "trail"
window = { kind = "tumbling", duration_us = 86_400_000_000 }
[stream.source]
path = "changes"
format = "cloudtrail"
"#;
