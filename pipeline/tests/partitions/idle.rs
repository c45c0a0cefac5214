//! Partitions that are declared idle: by a clock of the test's own, so that nothing here depends on how long
//! anything takes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use cloudops_models::registry::Registry;
use cloudops_pipeline::clock::Clock;
use cloudops_pipeline::config::Config;
use cloudops_pipeline::engine::{self, Options, Summary};
use cloudops_pipeline::monitor::Monitor;
use serde_json::Value;

use crate::support::{assert_same, backfill, cloudops, configuration, sql, tables, text};
use crate::{ALL, LATENESS, Place, Row, assert_accounts, read, rows, sum};

const HOUR_US: i64 = 3_600_000_000;

/// A clock that is set by hand.
#[derive(Debug, Default)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now_us(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A live job in this process.
struct Live {
    stop: Arc<AtomicBool>,
    clock: Arc<Hand>,
    thread: JoinHandle<anyhow::Result<Summary>>,
}

impl Live {
    fn start(config: &Path, models: &Path) -> Self {
        let job = Config::read(config).unwrap().validate(true).unwrap();
        let registry = Registry::open(models.to_owned()).unwrap();
        let (stop, clock) = (Arc::new(AtomicBool::new(false)), Arc::new(Hand::default()));
        let options = Options {
            live: true,
            stop: Arc::clone(&stop),
            monitor: Monitor::new(&job, 1, Arc::clone(&clock) as _),
            clock: Arc::clone(&clock) as _,
            progress: false,
            retrain: true,
        };
        let thread = std::thread::spawn(move || engine::run(job, registry, options));
        Self { stop, clock, thread }
    }

    fn set(&self, hours: f64) {
        self.clock.0.store((hours * HOUR_US as f64) as i64, Ordering::Relaxed);
    }

    /// Waits until something is so.
    fn until(&self, is_so: impl Fn() -> bool) {
        while !is_so() {
            assert!(!self.thread.is_finished(), "the job has ended");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap().unwrap();
    }
}

/// A configuration with partitions that are waited for an hour, and checkpoints so often.
fn configure(place: &Place, name: &str, workers: usize, checkpoints: &str) -> PathBuf {
    let config = place.configure(name, &ALL, 50, workers);
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("watch =", "idle_after = \"1h\"\nwatch =");
    let text = text.replace("checkpoint_interval = \"0s\"", checkpoints);
    std::fs::write(&config, text).unwrap();
    config
}

fn count(catalog: &str, rows: &str) -> u64 {
    sql(catalog, &format!("select count(*) as n from {rows}"))[0]["n"].as_u64().unwrap()
}

/// What becomes of rows that come after a watermark has been applied: on time, late, broken lines.
fn judged_after(watermark: i64, rows: &[Row]) -> [u64; 3] {
    let (mut newest, mut counts) = (watermark + LATENESS, [0; 3]);
    for (_, second, value) in rows {
        counts[usize::from(*second < newest - LATENESS)] += 1;
        counts[2] += u64::from(value % 13 == 0);
        newest = newest.max(*second);
    }
    counts
}

/// Every epoch of a catalog computed again is what was committed.
fn assert_replays(config: &Path, catalog: &str) {
    let epochs = sql(catalog, "select max(epoch) as n from epochs")[0]["n"].as_u64().unwrap();
    for epoch in 0..=epochs {
        let epoch = epoch.to_string();
        let told = cloudops(&["replay", "--config", text(config), "--epoch", &epoch, "--json"]);
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["same"], true, "{told:#}");
    }
}

/// A partition says nothing while the others go on; whatever becomes of the job meanwhile, its rows are
/// judged by what was applied without it.
#[test]
fn what_an_idle_partition_brings_is_judged_by_what_was_applied() {
    let place = Place::new();
    let [a, b, c] = rows();
    let halves = [&a, &b].map(|rows| rows.split_at(rows.len() / 2));
    let records = |counts: [u64; 3]| counts.iter().sum::<u64>();
    let newest = |rows: &[Row]| rows.iter().map(|row| row.1).max().unwrap();
    let applied = newest(&a).min(newest(&b)) - LATENESS;
    // Of the first rows that it brings some are older than that.
    let old = (0..20).map(|n| (9, applied - 10 + n, 8000 + n as u32));
    let c: Vec<Row> = old.chain(c).collect();
    let counts = sum([crate::judged(&a), crate::judged(&b), judged_after(applied, &c)]);

    let mut want = None;
    for (name, workers, checkpoints, restarts) in [
        ("straight", 1, "checkpoint_interval = \"1h\"", false),
        ("restarted", 2, "checkpoint_interval = \"0s\"", true),
    ] {
        let config = configure(&place, name, workers, checkpoints);
        for partition in ALL {
            std::fs::create_dir(place.path(partition)).unwrap();
        }
        let catalog = place.catalog(name);
        let models = place.path("models");
        let write = |file: &str, parts: [&[Row]; 2]| {
            place.write("a", file, parts[0]);
            place.write("b", file, parts[1]);
        };

        let mut live = Live::start(&config, &models);
        write("000.csv", halves.map(|(first, _)| first));
        let first = sum(halves.map(|(first, _)| crate::judged(first)));
        live.until(|| read(&catalog) == records(first));
        live.set(0.9);
        write("001.csv", halves.map(|(_, rest)| rest));
        let both = sum([crate::judged(&a), crate::judged(&b)]);
        live.until(|| read(&catalog) == records(both));
        assert_eq!(count(&catalog, "sensor_windows"), 0, "an hour has not passed");
        live.set(1.0);
        live.until(|| count(&catalog, "sensor_windows") > 0);
        assert_accounts(&catalog, both, 0);
        if restarts {
            live.stop();
            live = Live::start(&config, &models);
        }
        place.write("c", "000.csv", &c);
        live.until(|| read(&catalog) == records(counts));
        assert_accounts(&catalog, counts, 0);
        live.stop();
        backfill(&config);
        assert_accounts(&catalog, counts, 0);
        assert_replays(&config, &catalog);
        let found = tables(&catalog);
        assert!(found["late"].len() > 10 && found["sensor_windows"].len() > 100);
        let want = want.get_or_insert_with(|| found.clone());
        assert_same(want, &found, name);
        ALL.iter().for_each(|partition| std::fs::remove_dir_all(place.path(partition)).unwrap());
    }
}

/// What rests on several streams does not wait for declarations that nobody writes.
#[test]
fn drift_of_configuration_is_told_without_a_stream_that_is_idle() {
    let place = Place::new();
    let dir = place.path("");
    configuration::write(&dir);
    let declared = "declared/network/2025-01-04T12:00:00Z.tfstate";
    for later in [declared, "declared/network/2025-01-07.tfstate"] {
        std::fs::rename(place.path(later), place.path("aside")).unwrap();
    }
    let config = place.path("job.toml");
    std::fs::write(&config, CONFIGURATION).unwrap();
    let catalog = place.catalog("estate");
    let of = |source: &str| {
        format!("coalesce(sum(records_in), 0) as n from epochs where source = '{source}'")
    };
    let has = |source: &str| {
        let rows = sql(&catalog, &format!("select {}", of(source)));
        rows[0]["n"].as_u64().unwrap()
    };
    let live = Live::start(&config, &place.path("models"));
    live.until(|| read(&catalog) > 0 && has("trail") == 8 && has("terraform") > 0);
    assert_eq!(count(&catalog, "config_drift_changes"), 0, "a document may still say otherwise");
    live.set(1.0);
    // The trail's watermark is the time of its last event, which may have others beside it.
    let hand_made = "config_drift_history where appeared_at < timestamp '2025-01-07T00:00:00'";
    live.until(|| count(&catalog, hand_made) > 0);
    let first =
        sql(&catalog, "select cast(min(appeared_at) as text) as at from config_drift_history");
    assert!(first[0]["at"].as_str().unwrap().starts_with("2025-01-02T10:00"), "{first:?}");

    // A document of a day that drift has been told of is late, and accounted for.
    let before = has("terraform");
    std::fs::write(place.path(declared), documents(&place)).unwrap();
    live.until(|| has("terraform") > before);
    live.stop();
    backfill(&config);
    let late = count(&catalog, "late where source = 'terraform'");
    assert_eq!(late, has("terraform") - before, "all that it says");
    let missing = sql(&catalog, "select * from accounting where missing <> 0");
    assert!(missing.is_empty(), "{missing:?}");
    assert_replays(&config, &catalog);
}

/// What was declared first, as it would be declared again.
fn documents(place: &Place) -> String {
    std::fs::read_to_string(place.path("declared/network/2025-01-01T00:00:00Z.tfstate")).unwrap()
}

const CONFIGURATION: &str = r#"
[catalog]
url = "results-estate"

[run]
workers = 2
epoch_interval = "20ms"
checkpoint_interval = "1h"
fsync = false

[[stream]]
name = "terraform"
[stream.source]
path = "declared/network"
format = "terraform"
watch = "20ms"
idle_after = "1h"

[[stream]]
name = "trail"
window = { kind = "tumbling", duration_us = 86_400_000_000 }
[stream.source]
path = "changes"
format = "cloudtrail"
watch = "20ms"
"#;

#[test]
fn idle_after_is_for_input_that_grows() {
    let place = Place::new();
    let refused = |from: &str, to: &str, said: &str| {
        let config = configure(&place, "refused", 1, "checkpoint_interval = \"0s\"");
        let text = std::fs::read_to_string(&config).unwrap();
        assert!(text.contains(from));
        std::fs::write(&config, text.replace(from, to)).unwrap();
        let error = Config::read(&config).and_then(|config| config.validate(true)).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains(said), "{error}");
    };
    refused("watch = \"20ms\"\n", "", "source.idle_after is for input that grows");
    refused("idle_after = \"1h\"", "idle_after = \"0s\"", "source.idle_after is 0");
    refused("idle_after = \"1h\"", "idle_after = 3", "idle_after: expected a duration");
}
