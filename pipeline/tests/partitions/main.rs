//! Partitions that are behind, late, idle, silent from birth, or delivered twice: every record is accounted
//! for, to the row, and results do not depend on when a partition spoke.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a step that fails, fails the test")]

mod idle;
#[path = "../support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use support::{Tables, assert_same, backfill, command, sql, tables, text};

/// A row: machine, second of the day, value.
type Row = (u8, i64, u32);

/// Seconds that a row may be older than the newest before it.
const LATENESS: i64 = 10;

/// A job over partitions, each a directory of its own.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Adds a file to a partition, all at once; broken lines stand between the rows of those that
    /// divide by 13.
    fn write(&self, partition: &str, file: &str, rows: &[Row]) {
        let mut lines = "machine,ts,value\n".to_owned();
        for (machine, second, value) in rows {
            let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
            let ts = format!("2026-01-01T{hour:02}:{minute:02}:{second:02}Z");
            if value % 13 == 0 {
                lines += &format!("machine-{machine},{ts},broken\n");
            }
            lines += &format!("machine-{machine},{ts},{value}\n");
        }
        let beside = self.path("beside.csv");
        std::fs::write(&beside, lines).unwrap();
        std::fs::create_dir_all(self.path(partition)).unwrap();
        std::fs::rename(beside, self.path(partition).join(file)).unwrap();
    }

    fn configure(&self, name: &str, partitions: &[&str], epoch: u64, workers: usize) -> PathBuf {
        let path = self.path(&format!("{name}.toml"));
        let job = JOB
            .replace("${NAME}", name)
            .replace("${PATHS}", &format!("{partitions:?}"))
            .replace("${LATENESS}", &format!("{LATENESS}s"))
            .replace("${EPOCH}", &epoch.to_string())
            .replace("${WORKERS}", &workers.to_string());
        std::fs::write(&path, job).unwrap();
        path
    }

    fn catalog(&self, name: &str) -> String {
        text(&self.path(&format!("results-{name}"))).to_owned()
    }

    fn backfill(&self, name: &str, partitions: &[&str], epoch: u64, workers: usize) -> Tables {
        backfill(&self.configure(name, partitions, epoch, workers));
        tables(&self.catalog(name))
    }
}

const JOB: &str = r#"
[catalog]
url = "results-${NAME}"

[run]
workers = ${WORKERS}
epoch_records = ${EPOCH}
epoch_interval = "20ms"
checkpoint_interval = "0s"
fsync = false

[[stream]]
name = "machines"
window = { kind = "count", length = 4, hop = 2 }
[stream.source]
path = ${PATHS}
watch = "20ms"
format = "sensor-wide"
lateness = "${LATENESS}"
mapping = { entity = "machine", time = "ts", channels = ["value"] }
[stream.output]
windows = true
"#;

const ALL: [&str; 3] = ["a", "b", "c"];

/// The rows of three partitions. Machines mostly report to one of them; `b` is an hour behind the
/// others; every eleventh row is a minute late.
fn rows() -> [Vec<Row>; 3] {
    let mut partitions = [const { Vec::new() }; 3];
    for step in 0..60_i64 {
        for machine in 0..6_u8 {
            let value = 6 * step as u32 + u32::from(machine);
            let home = usize::from(machine) + usize::from(step % 5 == 4);
            let begin = if home % 3 == 1 { 3600 } else { 7200 };
            let late = if value % 11 == 10 { 60 } else { 0 };
            partitions[home % 3].push((machine, begin + step - late, value));
        }
    }
    partitions
}

/// What becomes of a partition's rows, by the definition: on time, late, broken lines.
fn judged(rows: &[Row]) -> [u64; 3] {
    let (mut newest, mut counts) = (i64::MIN, [0; 3]);
    for (_, second, value) in rows {
        counts[usize::from(*second < newest.saturating_sub(LATENESS))] += 1;
        counts[2] += u64::from(value % 13 == 0);
        newest = newest.max(*second);
    }
    counts
}

/// Asks for the account of every record, and holds it against the tables and what was written.
fn assert_accounts(catalog: &str, [on_time, late, broken]: [u64; 3], duplicates: u64) {
    let accounts = sql(catalog, "select * from accounting");
    let [account] = &accounts[..] else { panic!("one source: {accounts:?}") };
    let count = |name: &str| account[name].as_u64().unwrap();
    assert_eq!(count("missing"), 0, "{account}");
    assert_eq!(count("records_in"), on_time + late + broken, "{account}");
    assert_eq!(
        ["on_time", "late", "rejected", "duplicates"].map(count),
        [on_time, late, broken, duplicates],
        "{account}"
    );
    let rows = |table: &str| {
        sql(catalog, &format!("select count(*) as n from {table}"))[0]["n"].as_u64().unwrap()
    };
    assert_eq!((rows("late"), rows("rejects")), (late, broken + duplicates), "{account}");
    let early = sql(catalog, "select * from late where ts >= watermark");
    assert!(early.is_empty(), "no row is late that is not behind its watermark: {early:?}");
}

/// Three numbers, added up.
fn sum(of: impl IntoIterator<Item = [u64; 3]>) -> [u64; 3] {
    of.into_iter().fold([0; 3], |[a, b, c], [x, y, z]| [a + x, b + y, c + z])
}

#[test]
fn a_partition_that_is_behind_is_not_late_and_late_rows_are_counted() {
    let place = Place::new();
    let partitions = rows();
    for (name, rows) in ALL.iter().zip(&partitions) {
        place.write(name, "000.csv", rows);
    }
    let counts = sum(partitions.iter().map(|rows| judged(rows)));
    assert!(counts.iter().all(|count| *count > 20), "{counts:?}: something of everything");
    let want = place.backfill("all", &ALL, 1 << 30, 1);
    assert!(want["sensor_windows"].len() > 100, "a comparison of nothing proves nothing");
    for (name, epoch, workers) in
        [("all", 1 << 30, 1), ("ones", 1, 1), ("sevens", 7, 3), ("hundreds", 100, 3)]
    {
        let found = place.backfill(name, &ALL, epoch, workers);
        assert_same(&want, &found, name);
        assert_accounts(&place.catalog(name), counts, 0);
    }
}

/// A partition says nothing, or stops to: the others wait for it, and nothing is lost or late for it.
fn a_quiet_partition_is_waited_for(said: usize) {
    let place = Place::new();
    let [a, b, c] = rows();
    place.write("a", "000.csv", &a);
    place.write("b", "000.csv", &b);
    std::fs::create_dir(place.path("c")).unwrap();
    if said > 0 {
        place.write("c", "000.csv", &c[..said]);
    }
    let config = place.configure("live", &ALL, 50, 2);
    let catalog = place.catalog("live");
    let records = |counts: [u64; 3]| counts.iter().sum::<u64>();
    let mut run = command(&["run", "--config", text(&config)])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut until = |count: u64| {
        while read(&catalog) < count {
            assert!(run.try_wait().unwrap().is_none(), "the job ended");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let of_c = judged(&c[..said]);
    let first = sum([judged(&a), judged(&b), of_c]);
    until(records(first));
    assert_accounts(&catalog, first, 0);
    let windows = sql(&catalog, "select * from sensor_windows");
    // What a silent partition will bring nobody knows; once it has spoken, `b` is the one behind.
    assert_eq!(windows.is_empty(), said == 0, "{windows:?}");
    let behind = |window: &Value| window["window_end"].as_str().unwrap() < "2026-01-01T02";
    assert!(windows.iter().all(behind), "a window closed before its time: {windows:?}");

    place.write("c", "001.csv", &c[said..]);
    // Broken lines stand with their rows, so the rest is what is left of the whole.
    until(records(sum([judged(&a), judged(&b), judged(&c)])));
    assert!(Command::new("kill").arg(run.id().to_string()).status().unwrap().success());
    assert!(run.wait().unwrap().success());
    backfill(&config);
    assert_accounts(&catalog, sum([judged(&a), judged(&b), judged(&c)]), 0);
    let want = place.backfill("whole", &ALL, 1 << 30, 3);
    assert_same(&want, &tables(&catalog), "whenever it spoke");
}

/// Records that a live job has committed so far.
fn read(catalog: &str) -> u64 {
    let query = "select coalesce(sum(records_in), 0) as n from epochs";
    let arguments = ["sql", "--catalog", catalog, "--format", "json", query];
    let answer = command(&arguments).stderr(Stdio::null()).output().unwrap();
    // Before the first record of the log there is no catalog to ask.
    let rows: Vec<Value> = serde_json::from_slice(&answer.stdout).unwrap_or_default();
    rows.first().and_then(|row| row["n"].as_u64()).unwrap_or(0)
}

#[test]
fn a_partition_that_is_silent_from_birth_is_waited_for() {
    a_quiet_partition_is_waited_for(0);
}

#[test]
fn a_partition_that_falls_idle_is_waited_for() {
    a_quiet_partition_is_waited_for(50);
}

#[test]
fn a_partition_that_is_replayed_changes_nothing() {
    let place = Place::new();
    let partitions = rows();
    for (name, rows) in ALL.iter().zip(&partitions) {
        place.write(name, "000.csv", rows);
    }
    let once = place.backfill("once", &ALL, 1 << 30, 2);
    // The same records again, as another partition.
    place.write("d", "000.csv", &partitions[0]);
    let [on_time, late, broken] = judged(&partitions[0]);
    let counts = sum(partitions.iter().map(|rows| judged(rows)));
    for (name, epoch, workers) in [("twice", 1 << 30, 1), ("in-parts", 17, 3)] {
        let twice = place.backfill(name, &["a", "b", "c", "d"], epoch, workers);
        assert_eq!(twice["sensor_windows"], once["sensor_windows"], "{name}");
        let all = sum([counts, [on_time, late, broken]]);
        assert_accounts(&place.catalog(name), all, on_time);
    }
    // And behind themselves, where all of them are late.
    place.write("a", "001.csv", &partitions[0]);
    let again = place.backfill("again", &ALL, 40, 2);
    assert_eq!(again["sensor_windows"], once["sensor_windows"]);
    let whole: Vec<Row> = [&partitions[0][..], &partitions[0]].concat();
    let replayed = judged(&whole);
    assert!(replayed[0] < 2 * on_time, "what is too old is late");
    let all = sum([replayed, judged(&partitions[1]), judged(&partitions[2])]);
    assert_accounts(&place.catalog("again"), all, replayed[0] - on_time);
}
