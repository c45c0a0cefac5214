//! Input that comes much faster than it is processed stays within the memory limit.

use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

use crate::support::{Place, backfill, command, sql, text};

/// Rows of an engine, and engines. Every window of 30 rows begins a row after the last, so that a row
/// read becomes thirty written: reading is far ahead of everything else.
const ROWS: u64 = 6_000;
const ENGINES: u64 = 20;
const CHANNELS: usize = 12;

/// What the limited run may hold.
const LIMIT: u64 = 320 << 20;

const JOB: &str = r#"
[catalog]
url = "results-${NAME}"
[run]
workers = 2
fsync = false
compression = "none"
${LIMIT}
[[stream]]
name = "engines"
window = { kind = "count", length = 30, hop = 1 }
[stream.source]
path = "heavy"
format = "sensor-wide"
mapping = { entity = "engine", time = "ts", channels = [${CHANNELS}] }
[stream.output]
windows = true
values = true
"#;

fn write_input(directory: &Path) {
    std::fs::create_dir_all(directory).unwrap();
    let mut file = String::from("engine,ts");
    for channel in 0..CHANNELS {
        write!(file, ",c{channel}").unwrap();
    }
    file.push('\n');
    for row in 0..ROWS {
        for engine in 0..ENGINES {
            let (hour, minute, second) = (row / 3600, row / 60 % 60, row % 60);
            write!(file, "e{engine},2026-01-01T{hour:02}:{minute:02}:{second:02}Z").unwrap();
            for channel in 0..CHANNELS as u64 {
                write!(file, ",{}", (row * 7 + engine * 13 + channel * 3) % 101).unwrap();
            }
            file.push('\n');
        }
    }
    std::fs::write(directory.join("0.csv"), file).unwrap();
}

/// Runs the job; gives its summary.
fn run(place: &Place, name: &str, limit: &str) -> Value {
    let channels: Vec<String> = (0..CHANNELS).map(|channel| format!("\"c{channel}\"")).collect();
    let config = place.path(&format!("{name}.toml"));
    let job = JOB
        .replace("${NAME}", name)
        .replace("${LIMIT}", limit)
        .replace("${CHANNELS}", &channels.join(", "));
    std::fs::write(&config, job).unwrap();
    backfill(&config)
}

#[test]
fn an_overload_is_held_back_at_the_source() {
    let place = Place::simulated(30);
    write_input(&place.path("heavy"));
    let free = run(&place, "free", "");
    let held = run(&place, "held", &format!("memory_limit = \"{}MiB\"", LIMIT >> 20));
    let peak = |summary: &Value| summary["profile"]["peak_memory_bytes"].as_u64().unwrap();
    let mib = |bytes: u64| bytes >> 20;
    println!(
        "{} MiB in {} epochs without a limit, {} MiB in {} epochs with one of {} MiB",
        mib(peak(&free)),
        free["epochs"],
        mib(peak(&held)),
        held["epochs"],
        mib(LIMIT)
    );
    assert!(peak(&free) > 2 * LIMIT, "the input is no overload: {free:#}");
    assert!(peak(&held) <= LIMIT, "{held:#}");
    for count in ["records", "windows", "rows"] {
        assert_eq!(free[count], held[count]);
    }
    let sums = |name: &str| {
        sql(
            &place.catalog(name),
            "select count(*) as n, count(distinct offset_to) as ends,
                    sum(cast(\"values\"[1] as double)) as first, sum(cast(\"values\"[360] as double)) as last
             from sensor_windows",
        )
    };
    assert_eq!(sums("free"), sums("held"));
}

#[test]
fn large_records_make_small_epochs() {
    let place = Place::simulated(31);
    write_input(&place.path("heavy"));
    let all = run(&place, "all", "");
    let cut = run(&place, "cut", "epoch_bytes = \"1MiB\"");
    let epochs = |summary: &Value| summary["epochs"].as_u64().unwrap();
    assert!(epochs(&all) == 1 && epochs(&cut) >= 4, "{} and {}", epochs(&all), epochs(&cut));
    for count in ["records", "windows", "rows"] {
        assert_eq!(all[count], cut[count]);
    }
    let config = place.path("zero.toml");
    let text_now = std::fs::read_to_string(place.path("all.toml")).unwrap();
    std::fs::write(&config, text_now.replace("fsync = false", "epoch_bytes = \"1MB\"")).unwrap();
    let output = command(&["backfill", "--config", text(&config)]).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("1MB"), "{error}");
}
