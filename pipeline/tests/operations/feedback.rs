//! What people say of cost anomalies.

use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

use crate::replay::replay;
use crate::support::{backfill, cloudops, command, sql, text};
use crate::watch::Watched;

const JOB: &str = r#"
[catalog]
url = "WHERE/RESULTS"
[run]
workers = 2
fsync = false
[[stream]]
name = "bills"
[stream.source]
path = "WHERE/input"
format = "charges"
watch = "50ms"
[stream.source.mapping]
account = { value = "shop" }
provider = { value = "cloud" }
service = "service"
currency = { value = "EUR" }
start = "day"
effective_cost = "cost"
[stream.anomaly]
history_days = 42
min_history_days = 14
"#;

/// Writes bills of days, a file each: 150 a day, and on three of them more.
fn write(place: &Path, days: std::ops::RangeInclusive<u32>) {
    std::fs::create_dir_all(place.join("input")).unwrap();
    for day in days {
        let date = if day <= 31 {
            format!("2026-01-{day:02}")
        } else {
            format!("2026-02-{:02}", day - 31)
        };
        let mut csv = "day,service,cost\n".to_owned();
        for service in 0..3 {
            let more = match (day, service) {
                (35 | 45, 1) => 6_000,
                (50, 1) => 14_000,
                _ => 0,
            };
            let cents = 5_000 + day * 37 % 7 * 20 + service * 11 + more;
            writeln!(csv, "{date},service-{service},{}.{:02}", cents / 100, cents % 100).unwrap();
        }
        let file = place.join(format!("input/day-{day:03}.csv"));
        std::fs::write(file.with_extension("tmp"), csv).unwrap();
        std::fs::rename(file.with_extension("tmp"), file).unwrap();
    }
}

fn configure(place: &Path, name: &str) -> (std::path::PathBuf, String) {
    let config = place.join(format!("{name}.toml"));
    let job = JOB.replace("WHERE", text(place)).replace("RESULTS", name);
    std::fs::write(&config, job).unwrap();
    (config, text(&place.join(name)).to_owned())
}

/// Days of anomalies, and what was said of them.
fn anomalies(catalog: &str) -> Vec<(String, Option<String>)> {
    let found = sql(catalog, "select day, feedback from cost_anomalies order by day");
    let text = |value: &Value| value.as_str().map(str::to_owned);
    found.iter().map(|row| (text(&row["day"]).unwrap(), text(&row["feedback"]))).collect()
}

#[test]
fn what_is_said_of_an_anomaly_bears_on_later_days_and_on_their_replay() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path();
    let (config, catalog) = configure(place, "told");
    write(place, 1..=40);
    let run = Watched::start(&["run", "--config", text(&config)]);
    run.wait_for_input("day-040.csv");
    let found = sql(&catalog, "select anomaly_id from cost_anomalies");
    let [found] = &found[..] else { panic!("{found:?}") };
    let id = found["anomaly_id"].as_str().unwrap();

    // The job that runs is not stopped by it, and takes it up.
    let said = ["feedback", &id[..12], "no", "--by", "ops", "--note", "a yearly fee", "--json"];
    let said = cloudops(&[&said[..], &["--catalog", &catalog]].concat());
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["day"], "2026-02-04");
    assert_eq!(said["effective_from"], "2026-02-09", "days before have closed");
    write(place, 41..=53);
    run.wait_for_input("day-053.csv");
    run.stop();
    let told = |day: &str, said: Option<&str>| (day.to_owned(), said.map(str::to_owned));
    assert_eq!(anomalies(&catalog), [told("2026-02-04", Some("no")), told("2026-02-19", None)]);
    let rows = sql(&catalog, "select said, errors, effective_from, \"by\", note from feedback");
    let [row] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!(
        (&row["said"], &row["by"], &row["note"]),
        (&"no".into(), &"ops".into(), &"a yearly fee".into())
    );
    assert!(row["errors"].as_f64().unwrap() > 4.0, "{row}");

    // Every epoch is what its log says, feedback and all; a job that starts again knows of it.
    let epochs = sql(&catalog, "select distinct epoch from epochs order by epoch");
    for epoch in epochs.iter().map(|row| row["epoch"].as_u64().unwrap()) {
        replay(&config, epoch, &[]).unwrap();
    }
    cloudops(&["feedback", id, "planned", "--catalog", &catalog]);
    write(place, 54..=55);
    backfill(&config);
    assert_eq!(
        anomalies(&catalog),
        [told("2026-02-04", Some("planned")), told("2026-02-19", None)]
    );

    let (config, untold) = configure(place, "untold");
    backfill(&config);
    let days: Vec<String> = anomalies(&untold).into_iter().map(|(day, _)| day).collect();
    assert_eq!(days, ["2026-02-04", "2026-02-14", "2026-02-19"]);

    for (id, want) in [("feed", "no cost anomaly has an id"), ("a' or 1", "hexadecimal digits")] {
        let refused = command(&["feedback", id, "yes", "--catalog", &catalog]).output().unwrap();
        assert!(!refused.status.success());
        let error = String::from_utf8(refused.stderr).unwrap();
        assert!(error.contains(want), "{error}");
    }
}
