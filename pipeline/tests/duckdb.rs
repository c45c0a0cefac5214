//! A reader we did not write: DuckDB over the committed files agrees with `cloudops sql`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and says so when it is skipped"
)]

mod support;

use std::path::Path;
use std::process::Command;

use support::Place;

#[test]
fn duckdb_agrees_on_every_table() {
    let Some(python) = std::env::var_os("CLOUDOPS_PYTHON") else {
        println!("skipped: CLOUDOPS_PYTHON does not name a Python that has duckdb");
        return;
    };
    let place = Place::simulated(11);
    place.run(&place.configure("duck", 300, 2));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sql/tests/duckdb.py");
    let output = Command::new(python)
        .arg(script)
        .arg(place.catalog("duck"))
        .arg(env!("CARGO_BIN_EXE_cloudops"))
        .output()
        .unwrap();
    let (out, error) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{error}");
}
