//! Readers of Delta Lake that we did not write see, in every version, what `cloudops sql` showed when it
//! was published.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a step that fails, fails the test")]

mod support;

use std::path::Path;
use std::process::Command;

use support::{Place, backfill, cloudops, command, count, text};

#[test]
fn polars_and_duckdb_read_every_version() {
    let Some(python) = std::env::var_os("CLOUDOPS_PYTHON") else {
        println!("skipped: CLOUDOPS_PYTHON does not name a Python that has deltalake and polars");
        return;
    };
    let place = Place::simulated(32);
    let config = place.configure_checkpointing("delta", 15);
    cloudops(&["train", "--config", text(&config)]);
    let log = place.path("results-delta/log");
    let seen = place.path("seen");
    std::fs::create_dir(&seen).unwrap();
    let mut step = 0;
    let mut look = |place: &Place| {
        cloudops(&["publish", "--config", text(&config)]);
        for table in std::fs::read_dir(place.path("results-delta/data")).unwrap() {
            let table = table.unwrap().file_name().into_string().unwrap();
            let file = seen.join(format!("{table}-{step}.parquet"));
            let query = format!("select * from {table}");
            let catalog = place.catalog("delta");
            let arguments = ["sql", "--catalog", &catalog, "--format", "parquet"];
            cloudops(&[&arguments[..], &["--output", text(&file), &query]].concat());
        }
        step += 1;
    };
    // Between a run that was killed and the next, what is committed is published.
    for commits in [3, 7, 12] {
        let mut run = command(&["backfill", "--config", text(&config)]).spawn().unwrap();
        while count(&log, "\"kind\":\"commit\"") < commits && run.try_wait().unwrap().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        run.kill().unwrap();
        run.wait().unwrap();
        look(&place);
    }
    backfill(&config);
    look(&place);
    let merged = cloudops(&["compact", "--config", text(&config)]);
    assert!(!merged.contains("merged 0"), "{merged}");
    look(&place);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/delta.py");
    let output = Command::new(python)
        .args([script.as_path(), &place.path("results-delta/data"), &seen])
        .output()
        .unwrap();
    let (out, error) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{error}");
    println!("{out}");
}
