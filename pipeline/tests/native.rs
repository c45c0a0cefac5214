//! Providers' own exports: the totals of real samples are those that DuckDB finds in the raw files by a
//! mapping told once more.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and says so when it is skipped"
)]

mod support;

use std::path::Path;
use std::process::Command;

use support::{backfill, real_data, sql, text};

/// Sample, its format, and what the reference calls it.
const SAMPLES: [(&str, &str, &str); 4] = [
    ("aws_cur_sample.csv", "aws-cur", "aws"),
    ("azure_EA_ActualCost_Small.csv", "azure-cost", "azure"),
    ("azure_EA_AmortizedCost_Small.csv", "azure-amortised-cost", "azure-amortised"),
    ("azure_ea_sample.csv", "azure-cost", "azure"),
];

#[test]
fn duckdb_finds_the_same_totals_in_the_raw_files() {
    let Some(data) = real_data() else { return };
    let Some(python) = std::env::var_os("CLOUDOPS_PYTHON") else {
        println!("skipped: CLOUDOPS_PYTHON does not name a Python that has duckdb");
        return;
    };
    let place = tempfile::tempdir().unwrap();
    for (sample, format, kind) in SAMPLES {
        let file = data.join("native_billing_exports").join(sample);
        let catalog = place.path().join(sample);
        let job = format!(
            "[catalog]\nurl = \"{}\"\n[run]\nfsync = false\n[[stream]]\nname = \"bill\"\n\
             [stream.source]\npath = \"{}\"\nformat = \"{format}\"\n[stream.bill]\nlines = true\n",
            text(&catalog),
            text(&file),
        );
        let config = place.path().join(format!("{sample}.toml"));
        std::fs::write(&config, job).unwrap();
        backfill(&config);
        let rejects = sql(text(&catalog), "SELECT * FROM rejects");
        assert!(rejects.is_empty(), "{sample}: {} rejects, first {}", rejects.len(), rejects[0]);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/native.py");
        let output = Command::new(&python)
            .arg(script)
            .args([env!("CARGO_BIN_EXE_cloudops"), text(&catalog), kind, text(&file)])
            .output()
            .unwrap();
        let (out, error) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        print!("{sample} {out}");
        assert!(output.status.success(), "{sample}: {out}\n{error}");
    }
}
