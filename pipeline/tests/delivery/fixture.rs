//! Catalogs with alerts, and sinks over them.

#![allow(dead_code, reason = "each test uses what it needs")]

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use cloudops_operators::epoch::{Epoch, Offset, Partition};
use cloudops_pipeline::clock::FixedClock;
use cloudops_pipeline::config::Config;
use cloudops_pipeline::job::Job;
use cloudops_pipeline::monitor::Monitor;
use cloudops_pipeline::sink::alerts::AlertSink;
use cloudops_sql::catalog::Catalog;
use cloudops_sql::catalog::record::{Commit, DataFile, Plan, Record, SourceCommit, SourcePlan};
use cloudops_sql::catalog::store::{Maker, data_path};
use cloudops_sql::table;
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

/// What every sink's secrets are, in a file of this name beside the catalog.
pub(crate) const SECRET: &str = "a secret of some length";

/// The clock of what is written down.
pub(crate) const NOW_S: i64 = 1_800_000_000;

/// A row of `alerts`, at a second of 1970.
pub(crate) fn row(epoch: u64, alert: &str, event: &str, kind: &str, second: u64) -> Value {
    let at = format!("1970-01-01T00:{:02}:{:02}Z", second / 60, second % 60);
    json!({
        "epoch": epoch, "source": "pumps", "partition": 0, "offset_from": 0, "offset_to": 9,
        "alert_id": alert, "event": event, "kind": kind, "entity_id": format!("pump-{alert}"),
        "at": at, "window_start": at, "window_end": at, "model": "m", "model_version": "1",
        "score": 4.5, "threshold": 1.25, "top_channel": "T30",
    })
}

/// Opens a catalog to write.
pub(crate) async fn begin(folder: &Path) -> Catalog {
    let mut catalog = Catalog::open_or_create(folder.to_str().unwrap()).await.unwrap();
    catalog.take_over("test", "config", 1).await.unwrap();
    catalog
}

/// Commits an epoch with these alerts, of two workers.
pub(crate) async fn commit(catalog: &mut Catalog, epoch: u64, rows: &[Value]) {
    let generation = catalog.generation().unwrap();
    let source = SourcePlan {
        source: "pumps".into(),
        partition: Partition(0),
        offset_from: Offset(epoch),
        offset_to: Offset(epoch + 1),
        spans: Vec::new(),
        watermark_us: epoch as i64,
        ended: false,
        idle: false,
    };
    let plan = Plan { epoch: Epoch(epoch), generation, sources: vec![source], planned_at_us: 0 };
    catalog.append(Record::Plan(plan)).await.unwrap();
    let mut files = Vec::new();
    for worker in 0..2 {
        let of_worker = rows.iter().skip(worker as usize).step_by(2);
        let text: String = of_worker.map(|row| format!("{row}\n")).collect();
        if !text.is_empty() {
            files.push(file(catalog, epoch, worker, text).await);
        }
    }
    let source = SourceCommit {
        source: "pumps".into(),
        partition: Partition(0),
        offset: Offset(epoch + 1),
        watermark_us: epoch as i64,
        records_in: 1,
        on_time: 1,
        late: 0,
        rejected: 0,
        duplicates: 0,
        pending: 0,
    };
    let commit = Commit {
        epoch: Epoch(epoch),
        generation,
        files,
        sources: vec![source],
        checkpoint: None,
        committed_at_us: 0,
    };
    catalog.append(Record::Commit(commit)).await.unwrap();
}

async fn file(catalog: &Catalog, epoch: u64, worker: u32, text: String) -> DataFile {
    let schema = table::schema("alerts").unwrap();
    let reader = arrow::json::ReaderBuilder::new(Arc::clone(&schema)).with_strict_mode(true);
    let mut reader = reader.build(Cursor::new(text)).unwrap();
    let batch = reader.next().unwrap().unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, None).unwrap();
    writer.write(&batch).unwrap();
    let path = data_path("alerts", "pumps", Epoch(epoch), Maker { worker, workers: 2 }, 0);
    let stored = catalog.put_file(&path, writer.into_inner().unwrap().into()).await.unwrap();
    DataFile {
        table: "alerts".into(),
        path: stored.path,
        bytes: stored.bytes,
        sha256: stored.sha256,
        rows: batch.num_rows() as u64,
        columns: Default::default(),
    }
}

/// A job over the catalog `results` in a folder, with these sinks; `SECRET` stands for a file of it.
pub(crate) fn job(folder: &Path, sinks: &str) -> Job {
    std::fs::write(folder.join("secret"), SECRET).unwrap();
    let text = format!(
        "[catalog]\nurl = \"results\"\n[[stream]]\nname = \"pumps\"\n\
         window = {{ kind = \"count\", length = 8, hop = 4 }}\n\
         source = {{ path = \"input\", format = \"sensor-wide\", mapping = {{ time = \"t\", \
         channels = [\"a\"] }} }}\n{}",
        sinks.replace("SECRET", "{ file = \"secret\" }")
    );
    let config = folder.join("job.toml");
    std::fs::write(&config, text).unwrap();
    Config::read(&config).unwrap().validate(false).unwrap()
}

/// Starts a sink of a job over a catalog.
pub(crate) fn start(job: &Job, sink: usize, catalog: Catalog) -> anyhow::Result<AlertSink> {
    let clock = Arc::new(FixedClock(NOW_S * 1_000_000));
    let monitor = Monitor::new(job, 1, Arc::clone(&clock) as _);
    AlertSink::start(&job.sinks[sink], catalog, clock, monitor)
}

/// Delivers what a job's first sink has not had.
pub(crate) async fn deliver(job: &Job) {
    let catalog = Catalog::open(&job.catalog).await.unwrap();
    start_and_finish(job, catalog).unwrap();
}

/// A thread of its own, as sinks have runtimes of their own.
pub(crate) fn start_and_finish(job: &Job, catalog: Catalog) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        scope.spawn(|| start(job, 0, catalog).and_then(AlertSink::finish)).join().unwrap()
    })
}

/// A query's rows.
pub(crate) async fn sql(folder: &Path, query: &str) -> Vec<Value> {
    let address = folder.join("results");
    let mut session =
        cloudops_sql::session::Session::open(address.to_str().unwrap()).await.unwrap();
    let batches = session.query(query).await.unwrap().collect().await.unwrap();
    let mut writer = arrow::json::ArrayWriter::new(Vec::new());
    writer.write_batches(&batches.iter().collect::<Vec<_>>()).unwrap();
    writer.finish().unwrap();
    let bytes = writer.into_inner();
    if bytes.is_empty() { Vec::new() } else { serde_json::from_slice(&bytes).unwrap() }
}
