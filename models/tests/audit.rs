//! Audit detectors on recorded attacks in simulated traffic, and what never reaches them.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a step that fails, fails the test; a skipped one says so"
)]

use std::path::PathBuf;

use bytes::Bytes;
use cloudops_datasets::labels::audit::techniques;
use cloudops_datasets::simulate::{AuditConfig, Traffic};
use cloudops_datasets::{AuditSource, Format, open};
use cloudops_models::evaluate::audit::{AuditOptions, BUDGETS, evaluate_audit};
use cloudops_operators::epoch::Partition;
use cloudops_operators::feature::audit::AuditFeatures;
use cloudops_operators::peers::Peers;
use cloudops_operators::schema::result::FEATURES;
use cloudops_operators::schema::vectors;
use cloudops_operators::watermark::Watermark;
use cloudops_operators::window::{EitherWindow, WindowSpec};
use serde_json::Value;

fn datasets() -> Option<PathBuf> {
    let Some(dir) = std::env::var_os("CLOUDOPS_DATASETS") else {
        println!("skipped: CLOUDOPS_DATASETS is not set");
        return None;
    };
    Some(PathBuf::from(dir))
}

#[test]
fn a_small_fleet_shows_what_was_recorded() {
    let Some(dir) = datasets() else { return };
    if std::env::var_os("ORT_DYLIB_PATH").is_none() {
        println!("skipped: ORT_DYLIB_PATH names no onnx runtime");
        return;
    }
    let options = AuditOptions { quick: true, ..AuditOptions::default() };
    let found = evaluate_audit(&dir, &options).unwrap();
    assert_eq!(found.attacks, 16 * 24, "every technique with every victim");
    for budget in BUDGETS {
        let ours = found.at("autoencoder-personal", budget).unwrap();
        assert!(ours.false_alerts_per_thousand.unwrap() <= budget, "{ours:?}");
        for baseline in ["isolation-forest", "first-seen"] {
            let other = found.at(baseline, budget).unwrap();
            assert!(other.recall < ours.recall, "at {budget}: {other:?}, ours {ours:?}");
        }
    }
    let logs: Vec<_> = found.rows.iter().filter(|row| row.set == "panther").collect();
    assert_eq!(logs.len(), 5);
    assert!(logs.iter().all(|row| row.read_completed.unwrap() > 0.85), "{logs:?}");
    assert_eq!(found, evaluate_audit(&dir, &options).unwrap(), "the figures repeat");
}

/// The vectors of events, by the operators of the dataflow.
fn features(events: &[Value]) -> Vec<f32> {
    let lines: Vec<String> = events.iter().map(ToString::to_string).collect();
    let format = Format::CloudTrail(AuditSource::default());
    let mut reader = open(Bytes::from(lines.join("\n")), "e.json", &format, 0, 0).unwrap();
    let spec = WindowSpec::Tumbling { duration_us: 3_600_000_000 };
    let mut window = EitherWindow::audit(spec).unwrap();
    while let Some(batch) = reader.next_batch().unwrap() {
        assert_eq!(batch.rejects, []);
        window.push(Partition(0), &batch.rows, None).unwrap();
    }
    let windows = window.advance(Watermark::MAX).unwrap();
    let windows = Peers::new().append(&windows).unwrap();
    let mut operator = AuditFeatures::new();
    let described = windows.iter().map(|batch| operator.append(batch).unwrap());
    described.flat_map(|batch| vectors(&batch, FEATURES).unwrap().0.to_vec()).collect()
}

/// Text that tells who it was, where from and with what: replaced wherever it stands.
fn renamed(event: &Value, replace: &dyn Fn(&str) -> String) -> Value {
    match event {
        Value::String(text) => Value::String(replace(text)),
        Value::Array(items) => items.iter().map(|item| renamed(item, replace)).collect(),
        Value::Object(members) => {
            members.iter().map(|(key, value)| (key.clone(), renamed(value, replace))).collect()
        }
        other => other.clone(),
    }
}

/// Names, accounts, addresses and the text of agents leak the label in public sets: every one of them is
/// changed, and no bit of a model's input is.
#[test]
fn what_would_leak_the_label_never_reaches_a_model() {
    let Some(dir) = datasets() else { return };
    let mut events: Vec<Value> = techniques(&dir.join("cloudtrail_stratus"))
        .unwrap()
        .into_iter()
        .flat_map(|technique| technique.events.into_iter().map(|(_, event)| event))
        .collect();
    let config = AuditConfig { days: 4, theft_events: 0, ..AuditConfig::default() };
    let traffic = Traffic::new(&config, 3).unwrap();
    let ordinary =
        traffic.day(0).into_iter().map(|(_, event)| serde_json::from_str(&event).unwrap());
    events.extend(ordinary);
    // Of equal ends windows stand in the order of names: so that this stays the same, new names keep it.
    let before = features(&events);
    let digits = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect()
    };
    let changed: Vec<Value> = events
        .iter()
        .map(|event| {
            let mut event = event.clone();
            let agent = event["userAgent"].as_str().unwrap_or_default().to_owned();
            // The family is told by a word of a fixed list; all else of an agent goes.
            event["userAgent"] = digits(&agent).replace("stratus-red-team", "someone-else").into();
            event["sourceIPAddress"] = "203.0.113.1".into();
            event["recipientAccountId"] = "000000000000".into();
            let identity = event["userIdentity"].clone();
            event["userIdentity"] = renamed(&identity, &|text| {
                text.replace("stratus", "another").replace("christophe", "charlotte")
            });
            event["userIdentity"]["accountId"] = "000000000000".into();
            for what in ["requestParameters", "responseElements", "tlsDetails", "resources"] {
                event[what] = Value::Null;
            }
            event
        })
        .collect();
    assert_eq!(before, features(&changed));
}
