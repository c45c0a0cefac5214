//! A job over topics is the same job as over files; and what it says where it cannot go on.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use fluvio_protocol::record::Record;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::broker::{Fault, Faults};
use crate::cluster::TestCluster;
use crate::support::{Place, Tables, assert_same, backfill, cloudops, command, sql, tables, text};

/// Files of a directory, in name order.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Each line of the CSV files of a directory as a message, with the header before it.
fn lines(directory: &Path) -> Vec<Record> {
    let mut messages = Vec::new();
    for file in files(directory) {
        let bytes = std::fs::read(file).unwrap();
        let mut lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let header = lines.next().unwrap_or_default();
        messages.extend(lines.map(|line| Record::new([header, b"\n", line, b"\n"].concat())));
    }
    messages
}

/// Each event of the audit files as a message.
fn events(directory: &Path) -> Vec<Record> {
    let mut messages = Vec::new();
    for file in files(directory) {
        let mut text = String::new();
        let file = std::fs::File::open(file).unwrap();
        flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
        let all: BTreeMap<String, Vec<Box<RawValue>>> = serde_json::from_str(&text).unwrap();
        messages.extend(all["Records"].iter().map(|event| Record::new(event.get().to_owned())));
    }
    messages
}

fn publish(cluster: &TestCluster, name: &str, messages: Vec<Record>) -> String {
    let topic = cluster.topic(name, 1);
    let mut messages = messages.into_iter().peekable();
    while messages.peek().is_some() {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(next) = messages.peek()
            && (batch.is_empty() || bytes + next.value.len() < 1 << 20)
        {
            bytes += next.value.len();
            batch.extend(messages.next());
        }
        cluster.produce(&topic, 0, batch);
    }
    topic
}

/// The streams of a place in topics, as replacements in its configuration.
fn in_topics(place: &Place, cluster: &TestCluster) -> Vec<(String, String)> {
    let path = |stream: &str, messages| {
        let topic = publish(cluster, stream, messages);
        (format!("path = \"input/{stream}\""), format!("path = {:?}", cluster.address(&topic)))
    };
    // A stream may have topics and files side by side.
    let audit = publish(cluster, "audit", events(&place.path("input/audit")));
    let audit = format!("path = [{:?}, \"input/changes\"]", cluster.address(&audit));
    vec![
        path("sensor", lines(&place.path("input/sensor"))),
        ("path = [\"input/audit\", \"input/changes\"]".to_owned(), audit),
        path("cost", lines(&place.path("input/cost"))),
        ("mapping = { entity".to_owned(), "mapping = { encoding = \"csv\", entity".to_owned()),
        ("format = \"focus\"".to_owned(), "format = \"focus\"\nencoding = \"csv\"".to_owned()),
    ]
}

fn rewrite(config: PathBuf, replacements: &[(String, String)]) -> PathBuf {
    let mut text = std::fs::read_to_string(&config).unwrap();
    for (from, to) in replacements {
        assert!(text.contains(from), "{from} is not in the configuration");
        text = text.replace(from, to);
    }
    std::fs::write(&config, text).unwrap();
    config
}

/// Rows without what only files have: a name, and lines that are counted through.
fn without_files(mut tables: Tables) -> Tables {
    let rejects = tables.get_mut("rejects").unwrap();
    for row in rejects.iter_mut() {
        let mut value: Value = serde_json::from_str(row).unwrap();
        for column in ["file", "line"] {
            value.as_object_mut().unwrap().remove(column);
        }
        *row = value.to_string();
    }
    rejects.sort();
    tables
}

/// How many records of a log hold a text.
fn count(log: &Path, what: &str) -> usize {
    let Ok(entries) = std::fs::read_dir(log) else { return 0 };
    let holds = |path: &Path| std::fs::read_to_string(path).is_ok_and(|text| text.contains(what));
    entries.filter(|entry| holds(&entry.as_ref().unwrap().path())).count()
}

#[test]
fn a_job_over_topics_gives_the_rows_of_the_same_job_over_files() {
    let cluster = TestCluster::any();
    let place = Place::simulated(21);
    place.run(&place.configure("files", 1 << 30, 2));
    let want = without_files(place.tables("files"));
    for table in ["sensor_scores", "audit_scores", "cost_daily", "alerts", "late", "rejects"] {
        assert!(!want[table].is_empty(), "{table} has no rows: the comparison would prove nothing");
    }
    let topics = in_topics(&place, &cluster);

    let whole = rewrite(place.configure("topics", 100, 2), &topics);
    place.run(&whole);
    assert_same(&want, &without_files(place.tables("topics")), "a backfill over topics");

    if let Some(broker) = &cluster.broker {
        let kinds = vec![Fault::Disconnect, Fault::Move, Fault::BreakOff, Fault::Restart];
        broker.state().faults = Faults { every: 3, kinds, ..Faults::default() };
    }
    let broken = rewrite(place.configure_checkpointing("broken", 40), &topics);
    cloudops(&["train", "--config", text(&broken)]);
    let log = place.path("results-broken/log");
    for (commits, workers) in [(2, "2"), (6, "1"), (12, "3")] {
        let arguments = ["backfill", "--config", text(&broken), "--workers", workers];
        let mut run = command(&arguments).spawn().unwrap();
        while count(&log, "\"kind\":\"commit\"") < commits && run.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        run.kill().unwrap();
        run.wait().unwrap();
    }
    backfill(&broken);
    assert_same(&want, &without_files(place.tables("broken")), "killed, rescaled, broken off");
    assert_eq!(backfill(&broken)["epochs"], 0, "nothing is left to do");
}

/// A small job over one topic.
pub(crate) struct Small {
    dir: tempfile::TempDir,
    pub(crate) cluster: TestCluster,
    pub(crate) topic: String,
}

impl Small {
    pub(crate) fn new(cluster: TestCluster, partitions: u32) -> Self {
        let topic = cluster.topic("small", partitions);
        Self { dir: tempfile::tempdir().unwrap(), cluster, topic }
    }

    /// A configuration with a catalog of its own.
    pub(crate) fn configure(&self, name: &str, epoch_records: u64, more: &str) -> PathBuf {
        let path = self.dir.path().join(format!("{name}.toml"));
        let job = format!(
            "[catalog]\nurl = \"{name}\"\n\
             [run]\nworkers = 2\nepoch_records = {epoch_records}\nepoch_interval = \"1ms\"\n\
             checkpoint_interval = \"0s\"\nfsync = false\n\
             [[stream]]\nname = \"pumps\"\nwindow = {{ kind = \"count\", length = 8, hop = 4 }}\n\
             threshold = {{ policy = \"static\", static_quantile = 0.8 }}\n\
             [stream.source]\npath = {:?}\nformat = \"sensor-wide\"\n\
             mapping = {{ time = \"t\", time_format = \"ms\", channels = [\"a\", \"b\"] }}\n\
             [stream.model]\narchitecture = \"max-abs-z\"\n\
             [stream.output]\nwindows = true\nvalues = true\n{more}",
            self.cluster.address(&self.topic)
        );
        std::fs::write(&path, job).unwrap();
        path
    }

    pub(crate) fn tables(&self, name: &str) -> Tables {
        tables(text(&self.dir.path().join(name)))
    }

    pub(crate) fn sql(&self, name: &str, query: &str) -> Vec<Value> {
        sql(text(&self.dir.path().join(name)), query)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.dir.path().join(name).join("log")
    }

    /// Messages of one row each, of three pumps in turn, steps `from..to`.
    pub(crate) fn produce(&self, partition: u32, from: u64, to: u64) {
        let message = |step: u64| Record::new_key_value(format!("pump-{}", step % 3), row(step));
        let messages = (from..to).map(message).collect();
        self.cluster.produce(&self.topic, partition, messages);
    }
}

/// A row that now and then stands out.
fn row(step: u64) -> String {
    let (wave, spike) = ((step * 37 % 101) as f64 / 50.0, (step / 40) % 4 == 3);
    format!(
        "{{\"t\":{},\"a\":{wave},\"b\":{}}}",
        1_700_000_000_000 + step * 1_000,
        if spike { 40.0 + wave } else { 1.0 - wave }
    )
}

fn refused(arguments: &[&str], what: &str) {
    let output = command(arguments).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains(what), "{what}: {error}");
}

#[test]
fn following_a_topic_and_reading_it_at_once_give_the_same_rows() {
    let small = Small::new(TestCluster::any(), 2);
    let half = |from, to| {
        small.produce(0, from, to);
        small.produce(1, from, to);
    };
    half(0, 300);
    let live = small.configure("live", 50, "");
    cloudops(&["train", "--config", text(&live)]);
    let log = small.log("live");
    let mut run = command(&["run", "--config", text(&live)]).stdout(Stdio::null()).spawn().unwrap();
    let committed = |run: &mut std::process::Child, records: u64| {
        loop {
            let entries = std::fs::read_dir(&log).unwrap();
            let texts = entries.filter_map(|e| std::fs::read_to_string(e.unwrap().path()).ok());
            let commits = texts.filter_map(|text| serde_json::from_str::<Value>(&text).ok());
            let sources = commits.filter(|record| record["kind"] == "commit").flat_map(|record| {
                record["body"]["sources"].as_array().cloned().unwrap_or_default()
            });
            if sources.map(|s| s["records_in"].as_u64().unwrap()).sum::<u64>() >= records {
                return;
            }
            assert!(run.try_wait().unwrap().is_none(), "it has stopped by itself");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    committed(&mut run, 600);
    half(300, 500);
    committed(&mut run, 1_000);
    let stopped = Command::new("kill").arg(run.id().to_string()).status().unwrap();
    assert!(stopped.success() && run.wait().unwrap().success(), "it drains and ends well");
    half(500, 600);
    backfill(&live);

    let whole = small.configure("whole", 1 << 20, "");
    // The model was trained on what was there then.
    std::fs::write(
        &whole,
        std::fs::read_to_string(&whole)
            .unwrap()
            .replace("[run]", "registry = \"live/models\"\n[run]"),
    )
    .unwrap();
    let model = &small.sql("live", "select model_version from sensor_scores limit 1")[0];
    let model = format!("pumps@{}", model["model_version"].as_str().unwrap());
    cloudops(&["models", "promote", &model, "--stream", "pumps", "--config", text(&whole)]);
    backfill(&whole);
    let want = small.tables("whole");
    assert!(!want["alerts"].is_empty() && !want["sensor_windows"].is_empty());
    assert_same(&want, &small.tables("live"), "followed, then read to its end");

    // What a backfill has ended stays ended, and says so.
    half(600, 601);
    assert_eq!(backfill(&whole)["epochs"], 0);
    refused(&["run", "--config", text(&whole)], "a backfill has ended it at record 600");
}

#[test]
fn rows_that_share_an_offset_do_not_depend_on_cuts() {
    let small = Small::new(TestCluster::any(), 1);
    let mut messages = Vec::new();
    let mut step = 0;
    for message in 0..120_u64 {
        let mut text = String::new();
        for _ in 0..message % 5 + 1 {
            writeln!(text, "{}", row(step)).unwrap();
            // The same instant once more: which of the two counts must not depend on anything.
            if step % 7 == 0 {
                writeln!(text, "{}", row(step).replace("\"a\":", "\"a\":9")).unwrap();
            }
            step += 1;
        }
        messages.push(Record::new_key_value(format!("pump-{}", message % 2), text));
    }
    small.cluster.produce(&small.topic, 0, messages);
    let all = small.configure("all", 1 << 20, "");
    cloudops(&["train", "--config", text(&all)]);
    let summary = backfill(&all);
    assert_eq!(summary["records"], step + step.div_ceil(7), "{summary}");
    assert_eq!(summary["duplicates"], step.div_ceil(7), "{summary}");
    let want = small.tables("all");
    assert!(!want["sensor_windows"].is_empty() && !want["rejects"].is_empty());
    for (name, records) in [("one", 1), ("seven", 7)] {
        let config = small.configure(name, records, "");
        cloudops(&["train", "--config", text(&config)]);
        backfill(&config);
        assert_same(&want, &small.tables(name), name);
        assert!(small.sql(name, "select * from accounting where missing <> 0").is_empty());
        // An epoch is as large as it should be in rows; its last message, of six at most, may go beyond.
        let most = &small.sql(name, "select max(records_in) as most from epochs")[0]["most"];
        assert!(most.as_u64().unwrap() < records + 6, "epochs of {records}: {most}");
    }
}

#[test]
fn what_cannot_be_decoded_is_kept_in_rejects() {
    let small = Small::new(TestCluster::any(), 1);
    let keyed = |value: &[u8]| Record::new_key_value("pump", value.to_vec());
    small.produce(0, 0, 24);
    let bad = vec![
        keyed(b"no json"),
        keyed(b""),
        keyed(b"\xff\xfe"),
        Record::new(row(24)),
        keyed(br#"{"t": 1, "a": 1}"#),
    ];
    small.cluster.produce(&small.topic, 0, bad);
    small.produce(0, 25, 30);
    let config = small.configure("bad", 10, "");
    cloudops(&["train", "--config", text(&config)]);
    let summary = backfill(&config);
    assert_eq!((&summary["records"], &summary["rejected"]), (&34.into(), &5.into()), "{summary}");
    let rows = small.sql(
        "bad",
        "select offset_from, reason, encode(raw, 'hex') as raw, file from rejects order by offset_from",
    );
    let offsets: Vec<u64> = rows.iter().map(|row| row["offset_from"].as_u64().unwrap()).collect();
    assert_eq!(offsets, [24, 25, 26, 27, 28]);
    for (row, reason) in rows.iter().zip(["not a JSON", "no record", "UTF-8", "no key", "missing"])
    {
        assert!(row["reason"].as_str().unwrap().contains(reason), "{row}");
        assert!(row["file"].as_str().unwrap().ends_with(&format!("{}/0", small.topic)), "{row}");
    }
    assert_eq!(rows[2]["raw"], "fffe");
}

#[test]
fn a_job_begins_where_the_topic_does_and_stops_where_records_are_gone() {
    let (cluster, broker) = TestCluster::in_process();
    let small = Small::new(cluster, 1);
    for at in 0..10 {
        small.produce(0, at * 30, (at + 1) * 30);
    }
    broker.evict(&small.topic, 0, 60);
    let config = small.configure("later", 50, "");
    cloudops(&["train", "--config", text(&config)]);
    assert_eq!(backfill(&config)["records"], 240);
    let firsts = small.sql("later", "select min(offset_from) as first from sensor_windows");
    assert_eq!(firsts[0]["first"], 60);

    // A run that is stopped goes on where it was, unless that is gone.
    let live = small.configure("gone", 50, "");
    cloudops(&["train", "--config", text(&live)]);
    let mut run = command(&["run", "--config", text(&live)]).stdout(Stdio::null()).spawn().unwrap();
    while count(&small.log("gone"), "\"kind\":\"commit\"") < 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    for at in 10..30 {
        small.produce(0, at * 30, (at + 1) * 30);
    }
    broker.evict(&small.topic, 0, 600);
    for command in ["run", "backfill"] {
        refused(&[command, "--config", text(&live)], "were evicted before they were read");
    }
    let topic = broker.state().topics.remove(&small.topic);
    drop(topic);
    refused(&["backfill", "--config", text(&live)], "the cluster has no topic");
}

#[test]
fn a_topic_that_has_got_more_partitions_is_refused() {
    let (cluster, broker) = TestCluster::in_process();
    let small = Small::new(cluster, 1);
    small.produce(0, 0, 100);
    let config = small.configure("grown", 50, "");
    cloudops(&["train", "--config", text(&config)]);
    backfill(&config);
    broker.state().topics.get_mut(&small.topic).unwrap().push(Default::default());
    refused(&["backfill", "--config", text(&config)], "has 2 partitions now and had 1");
}

#[test]
fn settings_that_do_not_fit_are_refused_by_name() {
    let place = tempfile::tempdir().unwrap();
    let check = |source: &str, more: &str, what: &str| {
        let path = place.path().join("job.toml");
        let job = format!(
            "[catalog]\nurl = \"results\"\n[[stream]]\nname = \"pumps\"\n\
             window = {{ kind = \"count\", length = 8, hop = 4 }}\n[stream.source]\n{source}\n{more}"
        );
        std::fs::write(&path, job).unwrap();
        refused(&["backfill", "--config", text(&path)], what);
    };
    let wide = "format = \"sensor-wide\"\nmapping = { time = \"t\", channels = [\"a\"] }";
    let topic = "path = \"fluvio://localhost/topic\"";
    check("path = \"fluvio://localhost\"\nformat = \"nab\"", "", "write fluvio://host:9003/topic");
    check(&format!("{topic}\nformat = \"nab\""), "", "one of files");
    check(&format!("{topic}\ncolumns = [\"a\"]\n{wide}"), "", "columns");
    check(&format!("{topic}\nwatch = \"1s\"\n{wide}"), "", "source.watch is for files");
    check(&format!("path = \"x\"\ncolumns = [\"a\"]\n{wide}"), "", "source.columns is for");
    check(&format!("path = \"x\"\nprofile = \"a\"\n{wide}"), "", "source.path names none");
    check(&format!("{topic}\ntls = {{ caa = \"a\" }}\n{wide}"), "", "caa");
    check(&format!("{topic}\n{wide}"), "[[sink]]\nfluvio = \"x\"", "\"x\" is no topic");
    check(&format!("{topic}\n{wide}"), "[[sink]]\ntopic = \"x\"", "fluvio is missing");
}
