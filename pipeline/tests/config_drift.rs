//! Config drift over a scripted week: who made it, who healed it, in which epoch.

#![allow(clippy::unwrap_used, reason = "a step that fails, fails the test")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use support::{backfill, configuration, sql, text};

fn run(place: &Path, name: &str, records: u64, workers: usize) -> (Value, String) {
    let job = format!(
        "[catalog]\nurl = \"{name}\"\n[run]\nworkers = {workers}\nepoch_records = {records}\nfsync = false\n\
         {}\
         [[stream]]\nname = \"trail\"\nwindow = {{ kind = \"tumbling\", duration_us = 3_600_000_000 }}\n\
         [stream.source]\npath = \"changes\"\nformat = \"cloudtrail\"\n",
        configuration::streams(".")
    );
    let config = place.join(format!("{name}.toml"));
    std::fs::write(&config, job).unwrap();
    (backfill(&config), text(&place.join(name)).to_owned())
}

#[test]
fn drift_appears_and_heals_with_who_did_it() {
    let dir = tempfile::tempdir().unwrap();
    configuration::write(dir.path());
    let (summary, catalog) = run(dir.path(), "whole", 1 << 30, 2);
    assert_eq!(summary["rejected"], 1, "a resource without a type: {summary}");
    let history = sql(
        &catalog,
        "select resource, path, kind, observed, cast(appeared_at as text) as appeared, appeared_by,
                cast(healed_at as text) as healed, healed_by
         from config_drift_history",
    );
    let said = |row: &Value, name: &str| row[name].as_str().unwrap_or("-").to_owned();
    let history: Vec<String> = history
        .iter()
        .map(|row| {
            let who = |name| said(row, name).rsplit('/').next().unwrap().to_owned();
            let when = |name| said(row, name).chars().take(16).collect::<String>();
            format!(
                "{} {} {}: {} {} to {} {}",
                said(row, "resource"),
                said(row, "kind"),
                said(row, "path"),
                when("appeared"),
                who("appeared_by"),
                when("healed"),
                who("healed_by"),
            )
        })
        .collect();
    assert_eq!(
        history,
        [
            "sg-1 changed ingress: 2025-01-02T10:00 mallory to 2025-01-03T09:00 bob",
            "i-1 changed instance_type: 2025-01-02T12:00 ann to 2025-01-04T08:00 ann",
            "logs changed versioning_configuration: 2025-01-03T11:00 ann to - -",
            "i-1 missing : 2025-01-04T08:00 ann to 2025-01-04T12:00 -",
            "i-9 unmanaged : 2025-01-05T00:00 - to 2025-01-06T00:00 -",
            "sg-1 added tags.owner: 2025-01-07T09:00 bot to 2025-01-08T00:00 -",
        ]
    );
    let open = sql(
        &catalog,
        "select resource, declared, observed, remediation, event_id, source, partition, \"offset\" from config_drift",
    );
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!(open[0]["remediation"], "terraform apply -target='aws_s3_bucket_versioning.logs'");
    assert_eq!(open[0]["observed"], r#"[{"status":"Suspended"}]"#);
    assert_eq!(
        (&open[0]["event_id"], &open[0]["source"]),
        (&Value::from("change-4"), &Value::from("trail"))
    );
    assert_eq!(open[0]["offset"], 4);
    let rejects = sql(&catalog, "select source, reason, length(raw) as raw from rejects");
    assert_eq!(rejects[0]["source"], "inventory", "{rejects:?}");
    assert_eq!(rejects[0]["raw"], 0, "a document's text is not kept: {rejects:?}");
    // What is secret is nowhere: not in tables, nor in state.
    let holds = |dir: &Path| {
        let output = std::process::Command::new("grep")
            .args(["-r", "-l", "-a", "hunter2"])
            .arg(dir)
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    assert_eq!(holds(Path::new(&catalog)), "");
}

/// The instant up to which all streams have come in each epoch, µs.
fn least_watermarks(catalog: &str) -> BTreeMap<i64, i64> {
    let rows = sql(
        catalog,
        "select epoch, source, ended, cast(watermark as bigint) as watermark from epochs order by epoch",
    );
    let mut known: BTreeMap<String, i64> = ["terraform", "inventory", "trail"]
        .into_iter()
        .map(|source| (source.to_owned(), i64::MIN))
        .collect();
    let mut least = BTreeMap::new();
    for row in rows {
        let watermark = match (row["ended"].as_bool().unwrap(), row["watermark"].as_i64()) {
            (true, _) => i64::MAX,
            (false, watermark) => watermark.unwrap_or(i64::MIN),
        };
        known.insert(row["source"].as_str().unwrap().to_owned(), watermark);
        least.insert(row["epoch"].as_i64().unwrap(), known.values().copied().min().unwrap());
    }
    least
}

#[test]
fn drift_is_told_in_the_first_epoch_that_can_know_it() {
    let dir = tempfile::tempdir().unwrap();
    configuration::write(dir.path());
    let rows = |catalog: &str| {
        let columns = "epoch, source, partition, offset_from, entity_id, event, path, cast(at as bigint) as at, drift_id";
        sql(
            catalog,
            &format!(
                "select {columns} from config_drift_changes order by at, entity_id, path, event desc"
            ),
        )
    };
    let without_epoch = |rows: &[Value]| -> Vec<Value> {
        let mut rows = rows.to_vec();
        rows.iter_mut().for_each(|row| row["epoch"] = Value::Null);
        rows
    };
    let (_, whole) = run(dir.path(), "whole", 1 << 30, 1);
    let want = without_epoch(&rows(&whole));
    assert_eq!(want.len(), 11);
    for (name, records, workers) in [("one", 1, 2), ("two", 2, 3), ("five", 5, 1)] {
        let (_, catalog) = run(dir.path(), name, records, workers);
        let found = rows(&catalog);
        assert_eq!(without_epoch(&found), want, "{name}");
        let least = least_watermarks(&catalog);
        for row in found {
            let at = row["at"].as_i64().unwrap();
            let (first, _) = least.iter().find(|(_, watermark)| **watermark > at).unwrap();
            assert_eq!(row["epoch"].as_i64(), Some(*first), "{name}: {row}");
        }
    }
}
