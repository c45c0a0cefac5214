//! Bills without an identity of their rows, whose periods are delivered anew as a whole.

#![allow(clippy::unwrap_used, reason = "a step that fails, fails the test")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use support::{assert_same, backfill, sql, tables, text};

const JOB: &str = r#"
[catalog]
url = "WHERE/RESULTS"
[run]
workers = WORKERS
epoch_records = RECORDS
fsync = false
[[stream]]
name = "bills"
[stream.source]
path = ["WHERE/INPUT/east", "WHERE/INPUT/west"]
format = "charges"
lateness = "3d"
[stream.source.mapping]
account = "account"
billing_account = "payer"
provider = { value = "cloud" }
service = "service"
currency = { value = "EUR" }
start = "day"
known = "loaded"
effective_cost = "cost"
[stream.bill]
by = []
deliveries = "file"
[stream.anomaly]
history_days = 14
min_history_days = 7
sensitivity = 1.0
[[stream.allocation]]
name = "services"
by = "service"
[[stream.allocation.rule]]
name = "shared"
match = { account = ["account-0", "account-3"] }
split = "proportional"
[stream.output]
windows = true
"#;

/// A delivery: payer, month, the day on which it was loaded, and account, day, service and cents.
type Delivery = (&'static str, u32, u32, Vec<(u32, u32, u32, i64)>);

/// Every fifth day two payers' bills of January and February are delivered anew, with one more or less
/// restated, an account that ceases, and one delivery that is the one before again.
fn deliveries() -> Vec<Delivery> {
    let mut all = Vec::new();
    for loaded in (5..=55).step_by(5) {
        for (payer, accounts) in [("acme", 0..3), ("bolt", 3..5)] {
            for month in 1..=2 {
                let (first, last) = if month == 1 { (1, 31) } else { (32, 59) };
                if loaded < first || loaded > last + 20 {
                    continue;
                }
                let state = if loaded == 30 { 25 } else { loaded };
                let mut rows = Vec::new();
                for day in first..=last.min(state) {
                    for account in accounts.clone() {
                        for service in 0..2 {
                            let noise = (day * 7 + account * 3 + service) % 5;
                            let restated = u32::from((day + state / 5 + account) % 11 == 0) * 300;
                            let gone = account == 1 && month == 1 && state >= 40;
                            if !gone {
                                let cents = 1_000 * (service + 1) + 10 * noise + restated;
                                rows.push((account, day, service, i64::from(cents)));
                                rows.push((account, day, service, i64::from(noise)));
                            }
                        }
                    }
                }
                all.push((payer, month, loaded, rows));
            }
        }
    }
    all
}

fn date(day: u32) -> String {
    if day <= 31 { format!("2026-01-{day:02}") } else { format!("2026-02-{:02}", day - 31) }
}

/// Writes the deliveries a file each; those of one payer in one partition, or all over both.
fn write(place: &Path, name: &str, mixed: bool) {
    for folder in ["east", "west"] {
        std::fs::create_dir_all(place.join(name).join(folder)).unwrap();
    }
    for (at, (payer, month, loaded, rows)) in deliveries().into_iter().enumerate() {
        let is_west = if mixed { at % 3 == 0 } else { payer == "bolt" };
        let mut csv = "payer,account,day,loaded,service,cost\n".to_owned();
        for (account, day, service, cents) in rows {
            let (day, loaded) = (date(day), date(loaded));
            csv += &format!(
                "{payer},account-{account},{day},{loaded}T12:00:00Z,service-{service},{}.{:02}\n",
                cents / 100,
                cents % 100
            );
        }
        let folder = if is_west { "west" } else { "east" };
        let file = format!("{}-{payer}-{month}.csv", date(loaded));
        std::fs::write(place.join(name).join(folder).join(file), csv).unwrap();
    }
}

fn run(place: &Path, input: &str, records: u64, workers: usize) -> (Value, String) {
    let name = format!("{input}-{records}-{workers}");
    let job = JOB
        .replace("WHERE", text(place))
        .replace("INPUT", input)
        .replace("RESULTS", &name)
        .replace("RECORDS", &records.to_string())
        .replace("WORKERS", &workers.to_string());
    let config = place.join(format!("{name}.toml"));
    std::fs::write(&config, job).unwrap();
    let summary = backfill(&config);
    (summary, text(&place.join(&name)).to_owned())
}

/// What the latest delivery of each payer's month says, in cents by account, day and service.
fn truth() -> BTreeMap<(u32, u32, u32), i64> {
    let mut latest: BTreeMap<(&str, u32), Delivery> = BTreeMap::new();
    for delivery in deliveries() {
        latest.insert((delivery.0, delivery.1), delivery);
    }
    let mut truth = BTreeMap::new();
    for (account, day, service, cents) in latest.into_values().flat_map(|delivery| delivery.3) {
        *truth.entry((account, day, service)).or_default() += cents;
    }
    truth
}

#[test]
fn the_latest_delivery_of_a_period_holds_however_the_input_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path();
    write(place, "parted", false);
    let (summary, catalog) = run(place, "parted", 1 << 30, 2);
    assert_eq!(summary["rejected"], 0, "{summary}");
    let rows = sql(
        &catalog,
        "select entity_id, day, service, cast(round(billed_cost * 100) as bigint) as cents, charges
         from cost_daily order by entity_id, day, service",
    );
    let want = truth();
    assert_eq!(rows.len(), want.len());
    for (row, ((account, day, service), cents)) in rows.iter().zip(&want) {
        assert_eq!(row["entity_id"], format!("account-{account}"), "{row}");
        assert_eq!(row["day"], date(*day), "{row}");
        assert_eq!(row["service"], format!("service-{service}"), "{row}");
        assert_eq!(row["cents"], *cents, "{row}");
        assert_eq!(row["charges"], 2, "{row}");
    }
    let whole = tables(&catalog);
    assert!(!whole["cost_anomalies"].is_empty());
    assert!(!whole["cost_allocations"].is_empty());
    for (records, workers) in [(1 << 30, 1), (100, 3), (1, 2)] {
        let (summary, catalog) = run(place, "parted", records, workers);
        if records == 1 {
            let files = deliveries().len() as u64;
            assert_eq!(summary["epochs"], files, "a delivery is never parted: {summary}");
        }
        assert_same(&whole, &tables(&catalog), &format!("{records} records, {workers} workers"));
    }

    // In another order of arrival what was believed in between differs, and the end does not.
    write(place, "mixed", true);
    let now =
        "select entity_id, day, service, billed_cost, charges from cost_daily order by 1, 2, 3";
    let parted = sql(&catalog, now);
    for (records, workers) in [(1 << 30, 1), (1, 3)] {
        let (_, catalog) = run(place, "mixed", records, workers);
        assert_eq!(sql(&catalog, now), parted, "{records} records, {workers} workers");
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |from: &str, to: &str, what: &str| {
        let job = JOB
            .replace(from, to)
            .replace("WHERE", text(dir.path()))
            .replace("WORKERS", "1")
            .replace("RECORDS", "10");
        let config = dir.path().join("job.toml");
        std::fs::write(&config, job).unwrap();
        let output = support::command(&["backfill", "--config", text(&config)]).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(what), "{what}: {error}");
    };
    refused("known = ", "line = [\"account\"]\nknown = ", "rows that state a line replace");
    refused("by = []", "by = []\nlines = true", "choose one");
    refused("\"file\"", "\"month\"", "unknown variant `month`");
}
