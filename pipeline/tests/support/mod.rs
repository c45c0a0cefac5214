//! A job in a directory of its own, driven by the real binary.

#![allow(
    dead_code,
    clippy::print_stdout,
    reason = "each test file uses what it needs, and says so when it is skipped"
)]

pub(crate) mod configuration;
pub(crate) mod estate;
pub(crate) mod moto;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// A directory with simulated streams and the configurations that read them.
pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
}

/// Rows of every result table as text, without `epoch`, sorted.
pub(crate) type Tables = BTreeMap<String, Vec<String>>;

impl Place {
    /// Small simulated streams, with a file of troubles at the sensors' end.
    pub(crate) fn simulated(seed: u64) -> Self {
        let sensor = "engines = 4\nhealthy = 1\nsteps = 240\nchannels = 3";
        Self::simulated_as(seed, sensor, "accounts = 2", "principals = 3\nevents_per_day = 12")
    }

    /// The same with so many entities that an epoch brings news of few of them.
    pub(crate) fn crowded(seed: u64) -> Self {
        let sensor = "engines = 60\nhealthy = 20\nsteps = 40\nchannels = 3";
        Self::simulated_as(seed, sensor, "accounts = 12", "principals = 30\nevents_per_day = 2")
    }

    /// The same with enough of everything for minutes.
    pub(crate) fn large(seed: u64) -> Self {
        let sensor = "engines = 60\nhealthy = 20\nsteps = 600\nchannels = 3";
        Self::simulated_as(seed, sensor, "accounts = 12", "principals = 30\nevents_per_day = 40")
    }

    fn simulated_as(seed: u64, sensor: &str, cost: &str, audit: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let place = Self { dir };
        let settings = format!(
            "seed = 0\n[sensor]\n{sensor}\n\
             [cost]\ndays = 20\n{cost}\nservices = 3\nregions = 1\n\
             [audit]\ndays = 6\n{audit}\ntheft_events = 10\n",
        );
        std::fs::write(place.path("simulation.toml"), settings).unwrap();
        let seed = seed.to_string();
        let simulation = place.path("simulation.toml");
        cloudops(&[
            "datasets",
            "simulate",
            "--to",
            text(&place.path("input")),
            "--seed",
            &seed,
            "--config",
            text(&simulation),
        ]);
        place.add_troubles();
        place.add_lines();
        configuration::write(&place.path("input"));
        place
    }

    /// Lines of a bill over the turn of a month, known a day later: every fifth is stated anew, every
    /// seventh is told twice, and some come with an older version than what is known.
    fn add_lines(&self) {
        let date = |day: u32| match day {
            0..12 => format!("2026-01-{:02}", day + 20),
            _ => format!("2026-02-{:02}", day - 11),
        };
        let mut rows = Vec::new();
        for n in 0..120 {
            let (day, account, service) = (n / 6, n % 3, n % 2);
            let mut state = |seen: u32, version: u32| {
                let cost = f64::from(n * 37 % 101) + f64::from(version) / 8.0;
                rows.push((
                    seen,
                    format!(
                        "acct-{account},service-{service},{},{}T06:00:00Z,{cost},{n},{version}",
                        date(day),
                        date(seen)
                    ),
                ));
            };
            state(day + 1, 2);
            if n % 5 == 0 {
                state(day + 4, 3);
            }
            if n % 7 == 0 {
                state(day + 2, 2);
            }
            if n % 11 == 0 {
                state(day + 5, 1);
            }
        }
        // An account that costs the same each day, but for a line that is all but taken back days later.
        let mut state = |day: u32, seen: u32, cost: f64, line: u32, version: u32| {
            let (day, on) = (date(day), date(seen));
            rows.push((
                seen,
                format!("acct-3,service-0,{day},{on}T06:00:00Z,{cost},{line},{version}"),
            ));
        };
        (0..20).for_each(|day| state(day, day + 1, 50.0, 1000 + day, 1));
        state(12, 13, 300.0, 2000, 1);
        state(12, 18, 0.125, 2000, 2);
        rows.sort_by_key(|(seen, _)| *seen);
        std::fs::create_dir(self.path("input/lines")).unwrap();
        for (name, rows) in ["a.csv", "b.csv"].into_iter().zip(rows.chunks(rows.len().div_ceil(2)))
        {
            let rows: Vec<&str> = rows.iter().map(|(_, row)| row.as_str()).collect();
            let text = format!("account,service,day,seen,cost,line,version\n{}\n", rows.join("\n"));
            std::fs::write(self.path("input/lines").join(name), text).unwrap();
        }
    }

    /// Rows that are late, doubled, broken, or no rows at all.
    fn add_troubles(&self) {
        let header = "engine,ts,sensor_01,sensor_02,sensor_03\n";
        let rows = [
            "engine-late,1990-01-01T00:00:00Z,1,2,3",
            "engine-new,2026-01-01T00:00:00Z,1,2,3",
            "engine-new,2026-01-01T00:00:00Z,1,2,3",
            "engine-new,2026-01-01T00:01:00Z,NaN,2,3",
            "engine-new,2026-01-01T00:02:00Z,1,inf,3",
            "engine-new,2026-01-01T00:03:00Z,1,two,3",
            "engine-new,2026-01-01T00:04:00Z,1,2",
            "engine-new,9999-01-01T00:00:00Z,1,2,3",
            "engine-new,yesterday,1,2,3",
            ",2026-01-01T00:05:00Z,1,2,3",
        ];
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend(rows.join("\n").bytes());
        bytes.extend(b"\nengine-\xff\xfe,2026-01-01T00:06:00Z,1,2,3\n");
        bytes.extend(std::iter::repeat_n(b'x', 10 << 20));
        bytes.push(b'\n');
        std::fs::write(self.path("input/sensor/zz-troubles.csv"), bytes).unwrap();
        std::fs::write(self.path("input/sensor/zzz-empty.csv"), b"").unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a configuration of the three streams with a catalog of its own.
    pub(crate) fn configure(&self, name: &str, epoch_records: u64, workers: usize) -> PathBuf {
        self.configure_as(name, epoch_records, workers, "30s")
    }

    /// The same, with a checkpoint at every epoch that may have one.
    pub(crate) fn configure_checkpointing(&self, name: &str, epoch_records: u64) -> PathBuf {
        self.configure_as(name, epoch_records, 2, "0s")
    }

    fn configure_as(&self, name: &str, epoch_records: u64, workers: usize, every: &str) -> PathBuf {
        let path = self.path(&format!("{name}.toml"));
        let text = JOB
            .replace("${CONFIGURATION}", &configuration::streams("input"))
            .replace("${EVERY}", every)
            .replace("${NAME}", name)
            .replace("${EPOCH}", &epoch_records.to_string())
            .replace("${WORKERS}", &workers.to_string());
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Trains and runs a configuration; gives the run's summary.
    pub(crate) fn run(&self, config: &Path) -> Value {
        cloudops(&["train", "--config", text(config)]);
        backfill(config)
    }

    /// The same with the catalog at an address, and a checkpoint at every epoch that may have one;
    /// gives that address too.
    pub(crate) fn configure_at(
        &self,
        name: &str,
        url: &str,
        epoch_records: u64,
        workers: usize,
    ) -> (PathBuf, String) {
        let path = self.configure_as(name, epoch_records, workers, "0s");
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.replace(&format!("url = \"results-{name}\""), &format!("url = {url:?}"));
        std::fs::write(&path, text).unwrap();
        (path, url.to_owned())
    }

    pub(crate) fn catalog(&self, name: &str) -> String {
        text(&self.path(&format!("results-{name}"))).to_owned()
    }

    /// Every result table of a catalog.
    pub(crate) fn tables(&self, name: &str) -> Tables {
        tables(&self.catalog(name))
    }
}

const JOB: &str = r#"
[catalog]
url = "results-${NAME}"
registry = "models-${NAME}"

[run]
workers = ${WORKERS}
epoch_records = ${EPOCH}
checkpoint_interval = "${EVERY}"
fsync = false
compression = "snappy"

[maintenance]
files = 4
keep = "0s"

[resources]
judge = { every_days = 1 }

[[stream]]
name = "engines"
window = { kind = "count", length = 10, hop = 3 }
utilisation = { cpu = "sensor_01", net_in = { channel = "sensor_02", per_second = true } }
threshold = { policy = "either", static_quantile = 0.9, warm_up = 8, memory = 16, factor = 3.0 }
drift = { retrain = true, period_s = 1200, sample = 64, windows_min = 16, reference_periods = 5, patience = 1, retrain_windows = 64, retry_after = 2, expected_false_alarms_per_1000_periods = 100.0, psi_min = 0.0, wasserstein_min = 0.0, mmd_min = 0.0 }
[stream.source]
path = "input/sensor"
format = "sensor-wide"
mapping = { entity = "engine", time = "ts", channels = ["sensor_01", "sensor_02", "sensor_03"] }
[stream.model]
architecture = "vae-cnn"
latents = 2
epochs = 2
training = { first_rows = 60 }
[stream.output]
windows = true
values = true

[[stream]]
name = "principals"
window = { kind = "session", gap_us = 1_800_000_000, max_duration_us = 14_400_000_000 }
threshold = { policy = "static", static_quantile = 0.9 }
[stream.source]
path = ["input/audit", "input/changes"]
format = "cloudtrail"
[stream.model]
architecture = "pca"
[stream.output]
windows = true

[[stream]]
name = "bills"
threshold = { policy = "static", static_quantile = 0.9 }
features = { services = ["Amazon Elastic Compute Cloud"] }
[stream.source]
path = "input/cost"
format = "focus"
lateness = "7d"
[stream.bill]
by = ["region", "charge_category", "resource"]
[stream.anomaly]
history_days = 14
min_history_days = 7
sensitivity = 2.0
[stream.forecast]
min_history_days = 7
horizon_days = 31
[[stream.budget]]
name = "small"
currency = "USD"
amount = 100.0
[[stream.allocation]]
name = "accounts"
by = "account"
[[stream.allocation.rule]]
name = "storage"
match = { service = ["Amazon Simple Storage Service"] }
split = "proportional"
[[stream.allocation.rule]]
name = "databases"
match = { service = ["Amazon Relational Database Service"], charge_category = ["Usage"] }
split = { 100000000000 = 2, nobody = 0.5 }
[stream.model]
architecture = "max-abs-z"
[stream.output]
windows = true

[[stream]]
name = "lines"
[stream.source]
path = "input/lines"
format = "charges"
lateness = "36h"
[stream.source.mapping]
account = "account"
billing_account = { value = "payer" }
provider = { value = "cloud" }
service = "service"
currency = { value = "EUR" }
start = "day"
known = "seen"
effective_cost = "cost"
line = ["line"]
version = "version"
[stream.bill]
by = ["resource"]
lines = true
[stream.anomaly]
history_days = 14
min_history_days = 7
sensitivity = 0.5
restated_days = 10
min_impact = 20.0
[[stream.allocation]]
name = "accounts"
by = "account"
[[stream.allocation.rule]]
name = "platform"
match = { service = ["service-1"], account = ["acct-0", "acct-1"] }
split = "proportional"
[[stream.allocation]]
name = "services"
by = "service"
[[stream.allocation.rule]]
name = "everyone's"
match = { account = ["acct-2"] }
split = "even"
[stream.output]
windows = true
${CONFIGURATION}
"#;

/// Runs the binary; gives its output, and fails the test with its errors.
pub(crate) fn cloudops(arguments: &[&str]) -> String {
    let output = command(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "cloudops {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The binary, ready to be run.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloudops"));
    command.args(arguments).stdin(Stdio::null());
    command.envs(moto::ENVIRONMENT.get().into_iter().flatten().map(|(name, value)| (name, value)));
    command
}

pub(crate) fn backfill(config: &Path) -> Value {
    serde_json::from_str(&cloudops(&["backfill", "--json", "--config", text(config)])).unwrap()
}

/// A query's rows.
pub(crate) fn sql(catalog: &str, query: &str) -> Vec<Value> {
    let answer = cloudops(&["sql", "--catalog", catalog, "--format", "json", query]);
    serde_json::from_str(&answer).unwrap()
}

pub(crate) fn tables(catalog: &str) -> Tables {
    let docs: Vec<Value> = serde_json::from_str(&cloudops(&["tables", "--json"])).unwrap();
    let results = docs.iter().filter(|doc| doc["kind"] == "result");
    let names = results.map(|doc| doc["name"].as_str().unwrap().to_owned());
    // A change that a cut falls into is two; what the changes say of each day is the same.
    let names = names.filter(|name| !(name.starts_with("cost_") && name.ends_with("_changes")));
    names
        .chain(
            [
                "cost_daily",
                "cost_revisions",
                "cost_rollups",
                "cost_allocations",
                "cost_anomalies",
                "cost_causes",
                "cost_verdicts",
                "config_drift_history",
            ]
            .map(str::to_owned),
        )
        .map(|name| {
            let mut rows: Vec<String> = sql(catalog, &format!("select * from {name}"))
                .into_iter()
                .map(|mut row| {
                    row.as_object_mut().unwrap().remove("epoch");
                    row.to_string()
                })
                .collect();
            rows.sort();
            (name, rows)
        })
        .collect()
}

/// Fails with the first row that two runs do not share.
pub(crate) fn assert_same(a: &Tables, b: &Tables, what: &str) {
    for (table, rows) in a {
        let other = &b[table];
        assert_eq!(rows.len(), other.len(), "{what}: rows of {table}");
        for (row, other) in rows.iter().zip(other) {
            assert_eq!(row, other, "{what}: {table}");
        }
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The directory of real data; `None` where none is named, and the test passes by.
pub(crate) fn real_data() -> Option<PathBuf> {
    let Some(dir) = std::env::var_os("CLOUDOPS_DATASETS") else {
        println!("skipped: CLOUDOPS_DATASETS is not set");
        return None;
    };
    Some(PathBuf::from(dir))
}

/// How many records of the log hold a text.
pub(crate) fn count(log: &Path, what: &str) -> usize {
    let Ok(entries) = std::fs::read_dir(log) else { return 0 };
    let holds = |path: &Path| {
        path.extension().is_some_and(|extension| extension == "json")
            && std::fs::read_to_string(path).is_ok_and(|text| text.contains(what))
    };
    entries.filter(|entry| holds(&entry.as_ref().unwrap().path())).count()
}

/// Processes of one job, on ports of this machine that were free a moment ago.
pub(crate) struct Cluster {
    hosts: PathBuf,
    processes: usize,
}

impl Cluster {
    pub(crate) fn on_this_machine(place: &Place, processes: usize) -> Self {
        let held: Vec<_> =
            (0..processes).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let lines = held.iter().map(|held| format!("{}\n", held.local_addr().unwrap()));
        let hosts = place.path(&format!("hosts-{processes}"));
        std::fs::write(&hosts, lines.collect::<String>()).unwrap();
        Self { hosts, processes }
    }

    pub(crate) fn command(&self, verb: &str, config: &Path, index: usize) -> Command {
        let (processes, index) = (self.processes.to_string(), index.to_string());
        let mut arguments = vec![verb, "--json", "--config", text(config)];
        arguments.extend(["--processes", &processes, "--process-index", &index]);
        arguments.extend(["--hosts", text(&self.hosts)]);
        command(&arguments)
    }

    /// Starts all processes.
    pub(crate) fn start(&self, verb: &str, config: &Path) -> Vec<std::process::Child> {
        let start = |index| {
            let mut command = self.command(verb, config, index);
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        };
        (0..self.processes).map(start).collect()
    }

    /// Runs all processes to their end; gives the first one's summary.
    pub(crate) fn finish(&self, verb: &str, config: &Path) -> Value {
        let others: Vec<_> = (1..self.processes)
            .map(|index| self.command(verb, config, index).spawn().unwrap())
            .collect();
        let first = self.command(verb, config, 0).output().unwrap();
        let error = String::from_utf8_lossy(&first.stderr);
        assert!(first.status.success(), "{error}");
        for mut other in others {
            assert!(other.wait().unwrap().success(), "{error}");
        }
        serde_json::from_slice(&first.stdout).unwrap()
    }
}
