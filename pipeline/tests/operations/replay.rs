//! An epoch computed again is what was committed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Place, backfill, cloudops, command, sql, text};
use crate::watch::Watched;
use crate::{files, watching};

#[test]
fn every_epoch_is_replayed_byte_for_byte() {
    let place = Place::simulated(24);
    // Begun by two workers with a checkpoint an epoch, stopped, and ended by three with none.
    let troubles = place.path("input/sensor/zz-troubles.csv");
    std::fs::rename(&troubles, place.path("aside")).unwrap();
    let config = place.configure_checkpointing("again", 100);
    watching(&config);
    cloudops(&["train", "--config", text(&config)]);
    let run = Watched::start(&["run", "--config", text(&config)]);
    run.wait_for_input("engines-0000.csv");
    run.stop();
    std::fs::rename(place.path("aside"), &troubles).unwrap();
    place.configure("again", 100, 3);
    backfill(&config);

    let log = place.path("results-again/log");
    let epochs = commits(&log) as u64;
    let before = files(place.dir.path());
    let mut began_after = 0;
    let mut workers = BTreeMap::<u64, u64>::new();
    for epoch in (0..epochs).step_by(2).chain([epochs - 1]) {
        let outcome = replay(&config, epoch, &[]).unwrap();
        assert_eq!(outcome["same"], true, "{outcome:#}");
        began_after += u64::from(!outcome["began_after"].is_null());
        *workers.entry(outcome["workers"].as_u64().unwrap()).or_default() += 1;
    }
    assert_eq!(files(place.dir.path()), before, "nothing is written");
    assert!(began_after > 0 && began_after < epochs, "from a checkpoint, and from the beginning");
    assert_eq!(workers.keys().collect::<Vec<_>>(), [&2, &3], "{workers:?}");

    let scored = sql(
        &place.catalog("again"),
        "select max(epoch) as epoch from sensor_scores where entity_id = 'engine-0001'",
    );
    let epoch = scored[0]["epoch"].as_u64().unwrap();
    let outcome = replay(&config, epoch, &["--entity", "engine-0001"]).unwrap();
    let tables = outcome["entity"]["tables"].as_array().unwrap();
    let scores = tables.iter().find(|table| table["table"] == "sensor_scores").unwrap();
    assert_eq!(scores["same"], true);
    assert!(scores["rows"][0]["offset_from"].as_u64().is_some(), "{scores:#}");
    let rows = cloudops(&[
        "replay",
        "--config",
        text(&config),
        "--epoch",
        &epoch.to_string(),
        "--entity",
        "engine-0001",
    ]);
    assert!(rows.contains("sensor_scores") && rows.contains("as committed"), "{rows}");

    // Another digit in the input, and the same length: the first row that differs is shown.
    let input = files(&place.path("input/sensor")).into_keys().next().unwrap();
    let original = std::fs::read_to_string(&input).unwrap();
    let mut lines: Vec<String> = original.lines().map(str::to_owned).collect();
    for line in &mut lines[1..] {
        let at = line.rfind(|c: char| c.is_ascii_digit()).unwrap();
        let digit = if line.as_bytes()[at] == b'9' { "1" } else { "9" };
        line.replace_range(at..=at, digit);
    }
    std::fs::write(&input, lines.join("\n") + "\n").unwrap();
    let first = sql(&place.catalog("again"), "select min(epoch) as epoch from sensor_windows");
    let outcome = replay(&config, first[0]["epoch"].as_u64().unwrap(), &[]).unwrap_err();
    let difference = outcome["files"].as_array().unwrap().iter().find_map(|file| {
        file.get("first_difference")
            .filter(|_| file["path"].as_str().unwrap().contains("sensor_windows"))
    });
    let difference = difference.unwrap();
    assert_ne!(
        difference["committed"]["values"], difference["replayed"]["values"],
        "{difference:#}"
    );
    std::fs::write(&input, original).unwrap();

    let unknown =
        command(&["replay", "--config", text(&config), "--epoch", "9999"]).output().unwrap();
    let error = String::from_utf8(unknown.stderr).unwrap();
    assert!(error.contains("epoch 9999 is not committed"), "{error}");
}

/// What a replay says; an error where it finds a difference.
pub(crate) fn replay(config: &Path, epoch: u64, more: &[&str]) -> Result<Value, Value> {
    let epoch = epoch.to_string();
    let mut arguments = vec!["replay", "--json", "--config", text(config), "--epoch", &epoch];
    arguments.extend(more);
    let output = command(&arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    let outcome = serde_json::from_slice(&output.stdout);
    let outcome = outcome.unwrap_or_else(|_| panic!("epoch {epoch}: {error}"));
    if output.status.success() { Ok(outcome) } else { Err(outcome) }
}

fn commits(log: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(log) else { return 0 };
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_commit = |path: &PathBuf| {
        std::fs::read_to_string(path).is_ok_and(|text| text.contains("\"kind\":\"commit\""))
    };
    paths.filter(is_commit).count()
}
