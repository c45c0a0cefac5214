//! The monitor as Prometheus, Grafana and a person see it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cloudops_operators::epoch::{Epoch, Offset, Partition};
use cloudops_operators::score::{ModelId, Timeline};
use cloudops_sql::catalog::record::{
    Checkpoint, Commit, DataFile, Plan, SourceCommit, SourcePlan, StateRef,
};
use serde_json::Value;

use super::Monitor;
use super::phase::Phase;
use super::stall::Judge;
use crate::clock::FixedClock;
use crate::config::Config;
use crate::memory::{Governor, Room};
use crate::worker::{Completed, StreamProgress};

const JOB: &str = r#"
catalog = { url = "results" }
run = { workers = 2, memory_limit = "2GiB" }
[[stream]]
name = "engines"
window = { kind = "count", length = 10, hop = 3 }
source = { path = "input", format = "sensor-wide", mapping = { entity = "e", time = "t", channels = ["c"] } }
"#;

/// 2026-01-01T00:00:00Z.
const NEW_YEAR_US: i64 = 1_767_225_600_000_000;

fn model() -> ModelId {
    ModelId { name: "engines".to_owned(), version: "1f3a".to_owned() }
}

/// A monitor a minute into 2026, with nothing done.
fn monitor() -> Monitor {
    let config: Config = toml::from_str(JOB).unwrap();
    let job = config.validate(false).unwrap();
    Monitor::new(&job, 1, Arc::new(FixedClock(NEW_YEAR_US + 60_000_000)))
}

fn plan(epoch: u64) -> Plan {
    Plan {
        epoch: Epoch(epoch),
        generation: 1,
        sources: vec![SourcePlan {
            source: "engines".to_owned(),
            partition: Partition(0),
            offset_from: Offset(100 * epoch),
            offset_to: Offset(100 * epoch + 100),
            spans: Vec::new(),
            watermark_us: NEW_YEAR_US,
            ended: false,
            idle: false,
        }],
        planned_at_us: 0,
    }
}

fn commit(epoch: u64) -> Commit {
    let file = |path: &str| DataFile {
        table: "alerts".to_owned(),
        path: path.to_owned(),
        bytes: 1000,
        sha256: String::new(),
        rows: 3,
        columns: BTreeMap::new(),
    };
    let state = StateRef {
        stream: "engines".to_owned(),
        operator: "window".to_owned(),
        path: "state".to_owned(),
        bytes: 700,
        sha256: String::new(),
        rows: 1,
    };
    Commit {
        epoch: Epoch(epoch),
        generation: 1,
        files: vec![file("a"), file("b")],
        sources: vec![SourceCommit {
            source: "engines".to_owned(),
            partition: Partition(0),
            offset: Offset(100 * epoch + 100),
            watermark_us: NEW_YEAR_US,
            records_in: 100,
            on_time: 90,
            late: 7,
            rejected: 3,
            duplicates: 2,
            pending: 40,
        }],
        checkpoint: Some(Checkpoint {
            states: vec![state],
            continued: Vec::new(),
            streams: Vec::new(),
        }),
        committed_at_us: NEW_YEAR_US,
    }
}

/// A monitor to which everything has happened once.
fn told() -> Monitor {
    let monitor = monitor();
    let mut timeline = Timeline::default();
    timeline.promote(i64::MIN, ModelId { version: "0".to_owned(), ..model() });
    monitor.models("engines", timeline);
    monitor.promoted("engines", NEW_YEAR_US, &model());
    monitor.queued("engines", 4);
    monitor.memory(&Governor::new(None, Room { records: 131_072, bytes: 1 }));
    monitor.given(&plan(0), vec![(0, Instant::now())]);
    for worker in 0..2 {
        let busy = [("score".to_owned(), Duration::from_millis(5))].into();
        let progress = StreamProgress { windows: 5, busy, ..StreamProgress::default() };
        let completed = Completed { streams: vec![progress], ..Completed::default() };
        monitor.reported(Epoch(0), worker, &completed.streams);
    }
    for phase in Phase::ALL {
        monitor.enter(phase, Some(Epoch(0)));
    }
    monitor.enter(Phase::Append, Some(Epoch(0)));
    let first = commit(0);
    monitor.committed(&first, first.checkpoint.as_ref());
    monitor.given(&plan(1), Vec::new());
    monitor.replayed(Epoch(1));
    monitor.delivered("ops", 3);
    monitor.not_delivered("ops");
    monitor.dead("ops");
    // A store that does not answer: a stall, and then none.
    let mut judge = Judge::new(Duration::from_secs(4), 2);
    for second in 0..6 {
        monitor.look(&mut judge, Duration::from_secs(second));
    }
    monitor
}

/// Sample names with the names of their labels, as Prometheus reads them.
fn samples(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut samples = BTreeMap::<_, BTreeSet<String>>::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
        let labels = rest.strip_prefix('{').map_or("", |rest| rest.split('}').next().unwrap());
        let labels =
            labels.split(',').filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
        samples.entry(name.to_owned()).or_default().extend(labels);
    }
    samples
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Checks an expression's names and labels; gives the metrics it uses.
fn check(expr: &str, samples: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let mut known: BTreeSet<&str> = ["instance", "le"].into();
    for (at, _) in expr.match_indices("cloudops_") {
        let name: String = expr[at..].chars().take_while(|c| is_name(*c)).collect();
        let Some(labels) = samples.get(&name) else { panic!("there is no metric {name}: {expr}") };
        known.extend(labels.iter().map(String::as_str));
        if let Some(rest) = expr[at + name.len()..].strip_prefix('{') {
            for matcher in rest.split('}').next().unwrap().split(',') {
                let label = matcher.split(['=', '!']).next().unwrap();
                assert!(known.contains(label), "{name} has no label {label:?}: {expr}");
            }
        }
        used.insert(name);
    }
    for (at, by) in expr.match_indices("by (") {
        for label in expr[at + by.len()..].split(')').next().unwrap().split(", ") {
            assert!(known.contains(label), "no metric has a label {label:?}: {expr}");
        }
    }
    used
}

#[test]
fn metrics_say_what_happened() {
    let text = told().metrics().unwrap();
    for line in [
        "cloudops_records_total{source=\"engines\",verdict=\"late\"} 7",
        "cloudops_duplicates_total{source=\"engines\"} 2",
        "cloudops_pending_rows{source=\"engines\"} 40",
        "cloudops_windows_closed_total{source=\"engines\"} 10",
        "cloudops_operator_cpu_seconds_total{source=\"engines\",operator=\"score\"} 0.01",
        "cloudops_completion_latency_seconds_count{source=\"engines\"} 1",
        "cloudops_epoch_processing_seconds_count 1",
        "cloudops_commit_phase_seconds_count{phase=\"put\"} 1",
        "cloudops_watermark_timestamp_seconds{source=\"engines\"} 1767225600.0",
        "cloudops_watermark_lag_seconds{source=\"engines\"} 60.0",
        "cloudops_committed_rows_total{table=\"alerts\"} 6",
        "cloudops_committed_bytes_total{table=\"alerts\"} 2000",
        "cloudops_state_bytes{source=\"engines\",operator=\"window\"} 700",
        "cloudops_model_in_force{source=\"engines\",model=\"engines\",version=\"1f3a\"} 1",
        "cloudops_source_queue_batches{source=\"engines\"} 4",
        "cloudops_epochs_in_flight 0",
        "cloudops_memory_limit_bytes 2147483648",
        "cloudops_alerts_delivered_total{sink=\"ops\"} 3",
        "cloudops_alert_delivery_failures_total{sink=\"ops\"} 1",
        "cloudops_alert_dead_letters_total{sink=\"ops\"} 1",
        "cloudops_stalled 1",
        "cloudops_stalls_total{part=\"store\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    assert!(!text.contains("version=\"0\""), "only the model in force is shown");
    for line in text.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
        let (name, help) = line.split_once(' ').unwrap();
        assert!(help.len() > 10 && help.ends_with('.') && !help.ends_with(".."), "{name}: {help}");
    }
}

#[test]
fn status_and_health_say_it_too() {
    let fresh = monitor();
    assert_eq!(fresh.trouble(), None, "a run that begins is well");
    let monitor = told();
    let status = serde_json::to_value(monitor.status()).unwrap();
    for (at, value) in [
        ("/streams/0/watermark", Value::from("2026-01-01T00:00:00+00:00")),
        ("/streams/0/watermark_lag_seconds", 60.0.into()),
        ("/streams/0/records/late", 7.into()),
        ("/streams/0/partitions/0/committed_to", 100.into()),
        ("/streams/0/models/1/model", "engines@1f3a".into()),
        ("/epochs/committed", 0.into()),
        ("/checkpoint/bytes", 700.into()),
        ("/memory/limit_bytes", 2_147_483_648_u64.into()),
        ("/stall/held_by/part", "store".into()),
        ("/stall/held_by/phase", "append".into()),
        ("/workers/1/completed", 0.into()),
    ] {
        assert_eq!(status.pointer(at), Some(&value), "{at} of {status:#}");
    }
    let trouble = monitor.trouble().unwrap();
    assert!(trouble.starts_with("epoch 0 stands still") && trouble.contains("append"), "{trouble}");
    fresh.failed(&anyhow::anyhow!("disk full").context("committing"));
    assert_eq!(fresh.trouble().as_deref(), Some("committing: disk full"));
}

#[test]
fn the_dashboard_shows_every_metric_and_no_other() {
    let text = told().metrics().unwrap();
    let samples = samples(&text);
    let dashboard = include_str!("../../monitoring/grafana-dashboard.json");
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    let mut used = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(!panel["title"].as_str().unwrap().is_empty());
        for target in panel["targets"].as_array().unwrap() {
            let expr = target["expr"].as_str().unwrap();
            used.extend(check(expr, &samples));
            let legend = target["legendFormat"].as_str().unwrap();
            for label in legend.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap()) {
                let grouped = expr.split("by (").nth(1).is_some_and(|by| {
                    by.split(')').next().unwrap().split(", ").any(|by| by == label)
                });
                assert!(grouped, "the legend {legend:?} needs {label:?} in {expr}");
            }
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        check(variable["query"].as_str().unwrap(), &samples);
    }
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let family = line.split(' ').next().unwrap();
        assert!(used.iter().any(|name| name.starts_with(family)), "{family} is in no panel");
    }
}

#[test]
fn alert_rules_use_metrics_that_exist() {
    let samples = samples(&told().metrics().unwrap());
    let rules = include_str!("../../monitoring/alerts.yaml");
    let mut alerts = BTreeSet::new();
    let rules: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    for rule in &rules {
        let name = rule.lines().next().unwrap();
        assert!(alerts.insert(name), "{name} is declared twice");
        let field = |key: &str| {
            let found = rule.lines().find_map(|line| line.trim().strip_prefix(key));
            found.unwrap_or_else(|| panic!("{name} has no {key}"))
        };
        assert!(!check(field("expr: "), &samples).is_empty(), "{name} uses no metric of ours");
        assert!(["critical", "warning", "info"].contains(&field("severity: ")), "{name}");
        assert!(!field("summary: ").is_empty() && !field("description: ").is_empty());
    }
    assert!(alerts.contains("CloudOpsStalled") && rules.len() >= 10);
}
