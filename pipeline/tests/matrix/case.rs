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
use object_store::ObjectStore;
use object_store::path::Path;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

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
    /// Checkpoints that continue the one before.
    pub(crate) continued: usize,
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
        let name = format!("case-{}", self.cases.fetch_add(1, Ordering::Relaxed));
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

    /// What is left, once what a stale list hid has been found.
    pub(crate) fn kept(&self, world: &Arc<World>) -> Result<Kept, String> {
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
    for (table, files) in &state.tables {
        let files = files.iter().map(|file| (file.path.clone(), file.rows)).collect();
        published(table, &store::delta_log(world, table).await, files)?;
    }
    for name in store::objects(world).await {
        if !name.starts_with("log/") && !needed.contains(&name) {
            return Err(format!("{name} was left behind"));
        }
    }
    for values in live.values_mut() {
        values.sort_unstable();
    }
    let records = catalog.history().records().try_collect::<Vec<_>>().await;
    let (mut files, mut continued) = (Vec::new(), 0);
    for (_, record) in records.map_err(|error| error.to_string())? {
        if let Record::Commit(commit) = record {
            continued += usize::from(commit.checkpoint.is_some_and(|at| !at.continued.is_empty()));
            files.extend(commit.files.into_iter().map(|file| (file.path, file.sha256)));
        }
    }
    files.sort();
    let rows = live.into_iter().map(|(table, rows)| (table.to_owned(), rows)).collect();
    Ok(Kept { rows, files, continued })
}

/// Whether the files that a table's Delta log holds are these, with so many rows each.
pub(crate) fn published(
    table: &str,
    log: &[Value],
    want: BTreeMap<String, u64>,
) -> Result<(), String> {
    let mut found = BTreeMap::new();
    for action in log {
        let path = |kind: &str| Some(format!("data/{table}/{}", action[kind]["path"].as_str()?));
        if let Some(path) = path("add") {
            let told: Value =
                serde_json::from_str(action["add"]["stats"].as_str().unwrap_or("null")).unwrap();
            found.insert(path, told["numRecords"].as_u64().unwrap_or(0));
        } else if let Some(path) = path("remove")
            && found.remove(&path).is_none()
        {
            return Err(format!("Delta removes {path}, which is not there"));
        }
    }
    if found == want { Ok(()) } else { Err(format!("Delta holds {found:?} instead of {want:?}")) }
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
