//! One case: a job and its maintenance, started again until they are done, and what is left.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::row::{RowConverter, SortField};
use cloudops_models::registry::Registry;
use cloudops_pipeline::clock::FixedClock;
use cloudops_pipeline::config::Config;
use cloudops_pipeline::engine::{self, Options};
use cloudops_pipeline::maintenance::Maintainer;
use cloudops_pipeline::monitor::Monitor;
use cloudops_sql::catalog::Catalog;
use cloudops_sql::catalog::record::Record;
use cloudops_sql::catalog::store::mount;
use futures_util::TryStreamExt;
use object_store::path::Path;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::store::{self, Fault, Simulated, World};

/// Which operations fail, and on how many workers.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) workers: usize,
    pub(crate) faults: Vec<(u64, Fault)>,
}

/// What is left of a case.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Rows of every table, as bytes, sorted; without `epoch`, which depends on restarts.
    pub(crate) rows: Vec<(String, Vec<Vec<u8>>)>,
    /// Files as commits named them, with their hashes.
    files: Vec<(String, String)>,
}

impl Kept {
    /// Where another case differs.
    pub(crate) fn differs(&self, other: &Self) -> Result<(), String> {
        for ((table, rows), (_, found)) in self.rows.iter().zip(&other.rows) {
            if rows != found {
                return Err(format!("{table}: {} rows became {}", rows.len(), found.len()));
            }
        }
        if self.rows.len() != other.rows.len() {
            return Err("not the same tables".to_owned());
        }
        match self.files.iter().zip(&other.files).find(|(mine, theirs)| mine != theirs) {
            Some((mine, theirs)) => Err(format!("{mine:?} became {theirs:?}")),
            None if self.files.len() == other.files.len() => Ok(()),
            None => Err(format!("{} files became {}", self.files.len(), other.files.len())),
        }
    }
}

/// A number from the environment.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// The job of all cases, and where its input lies.
pub(crate) struct Job {
    dir: tempfile::TempDir,
    cases: AtomicU64,
}

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
        write(
            "bill.csv",
            &(1..=12).fold("account,day,service,cost\n".to_owned(), |text, day| {
                text + &format!("acme,2026-01-{day:02}T00:00:00Z,disk,{day}\n")
            }),
        );
        write("job.toml", JOB);
        Self { dir, cases: AtomicU64::new(0) }
    }

    /// Runs a case to its end; gives what is left and how many operations it took.
    pub(crate) fn run(&self, case: &Case) -> Result<(Kept, u64), String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let world = World::new(&case.faults);
        let name = format!("case-{}", self.cases.fetch_add(1, Ordering::Relaxed));
        let again = |what: &str, step: &mut dyn FnMut(Arc<Simulated>) -> anyhow::Result<()>| {
            for _ in 0..STARTS {
                match step(Simulated::over(&world)) {
                    Ok(()) => return Ok(()),
                    Err(error) => allowed(&error).map_err(|why| format!("{what}: {why}"))?,
                }
            }
            Err(format!("{what} does not get on"))
        };
        again("the job", &mut |store| {
            mount(&name, store);
            self.engine(&name, case.workers)
        })?;
        let settings = self.config(&name, case.workers).validate(false).unwrap().maintenance;
        let maintain = |store: Arc<Simulated>, now_us| {
            let settings = settings.clone();
            async move {
                let catalog = Catalog::open_at(store, Path::default()).await?;
                let clock = Arc::new(FixedClock(now_us));
                anyhow::Ok(Maintainer::new(catalog, settings, clock))
            }
        };
        again("compaction", &mut |store| {
            runtime.block_on(async { maintain(store, 1).await?.compact(|_, _| {}).await.map(drop) })
        })?;
        again("publication", &mut |store| {
            runtime.block_on(async { maintain(store, 1).await?.publish().await.map(drop) })
        })?;
        let mut delete = |store| {
            runtime.block_on(async { maintain(store, 2).await?.collect(false).await.map(drop) })
        };
        again("deletion", &mut delete)?;
        let operations = world.operations();
        // What a stale list hid is found the next time.
        world.calm();
        again("deletion", &mut delete)?;
        runtime.block_on(kept(&world)).map(|kept| (kept, operations))
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
fn allowed(error: &anyhow::Error) -> Result<(), String> {
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

/// What a case has left: read without faults, and checked to hold together.
async fn kept(world: &Arc<World>) -> Result<Kept, String> {
    let catalog = Catalog::open_at(Simulated::over(world), Path::default());
    let catalog = catalog.await.map_err(|error| error.to_string())?;
    let state = catalog.state();
    if !state.open_plans.is_empty() {
        return Err("a plan was never committed".to_owned());
    }
    let mut live: BTreeMap<&str, Vec<Vec<u8>>> = BTreeMap::new();
    let mut needed = Vec::new();
    for (table, files) in &state.tables {
        for file in files {
            let bytes = store::bytes(world, &file.path).await;
            if cloudops_sql::catalog::store::sha256(&bytes) != file.sha256 {
                return Err(format!("{} is not what was committed", file.path));
            }
            needed.push(file.path.clone());
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
            for batch in reader {
                live.entry(table).or_default().extend(rows(&batch.unwrap()));
            }
        }
    }
    let checkpoint = state.checkpoint.iter().flat_map(|at| &at.checkpoint.states);
    needed.extend(checkpoint.map(|state| state.path.clone()));
    for name in store::objects(world).await {
        if !name.starts_with("log/") && !needed.contains(&name) {
            return Err(format!("{name} was left behind"));
        }
    }
    for values in live.values_mut() {
        values.sort_unstable();
    }
    let mut files: Vec<(String, String)> = catalog
        .history()
        .records()
        .try_fold(Vec::new(), async |mut files, (_, record)| {
            if let Record::Commit(commit) = record {
                files.extend(commit.files.into_iter().map(|file| (file.path, file.sha256)));
            }
            Ok(files)
        })
        .await
        .map_err(|error| error.to_string())?;
    files.sort();
    let rows = live.into_iter().map(|(table, rows)| (table.to_owned(), rows)).collect();
    Ok(Kept { rows, files })
}

/// A batch's rows as bytes that compare like the rows, without the epoch.
fn rows(batch: &RecordBatch) -> Vec<Vec<u8>> {
    let epoch = batch.schema().index_of("epoch").unwrap();
    let mut batch = batch.clone();
    batch.remove_column(epoch);
    let fields = batch.schema();
    let fields = fields.fields().iter().map(|field| SortField::new(field.data_type().clone()));
    let converter = RowConverter::new(fields.collect()).unwrap();
    let rows = converter.convert_columns(batch.columns()).unwrap();
    rows.iter().map(|row| row.as_ref().to_vec()).collect()
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

[[stream]]
name = "engines"
window = { kind = "count", length = 5, hop = 2 }
[stream.source]
path = "sensor"
format = "sensor-wide"
mapping = { entity = "engine", time = "ts", channels = ["x", "y"] }
[stream.output]
windows = true

[[stream]]
name = "disks"
window = { kind = "tumbling", duration_us = 172_800_000_000 }
[stream.source]
path = "bill.csv"
format = "sensor-wide"
mapping = { entity = "account", time = "day", channels = ["cost"] }
[stream.output]
windows = true
"#;
