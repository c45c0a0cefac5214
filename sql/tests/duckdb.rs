//! DuckDB reads the same Parquet and finds the same counts and sums.
//!
//! Needs a Python that has duckdb, named by `CLOUDOPS_PYTHON`; without
//! it the test says that it is skipped.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a step that fails, fails the test; a skipped one says so"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use cloudops_sql::output::{self, Format};
use cloudops_sql::session::Session;

mod fixture;

fn duckdb(python: &Path, catalog: &Path, arguments: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/duckdb.py");
    Command::new(python).arg(script).arg(catalog).args(arguments).output().unwrap()
}

#[tokio::test]
async fn duckdb_agrees() {
    let Some(python) = std::env::var_os("CLOUDOPS_PYTHON") else {
        println!("skipped: CLOUDOPS_PYTHON names no Python with duckdb");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    fixture::write(folder.path()).await;
    let python = Path::new(&python);
    let asked = duckdb(python, folder.path(), &["--queries"]);
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    let queries: BTreeMap<String, String> = serde_json::from_slice(&asked.stdout).unwrap();
    let mut session = Session::open(folder.path().to_str().unwrap()).await.unwrap();
    let mut answers = Vec::new();
    for (table, query) in queries {
        let rows = session.query(&query).await.unwrap().execute_stream().await.unwrap();
        let mut answer = Vec::new();
        output::write(rows, Format::NdJson, None, &mut answer).await.unwrap();
        // Kept as text: money has more digits than a JSON library's number.
        answers.push(format!("{table:?}: {}", String::from_utf8(answer).unwrap().trim_end()));
    }
    let file = folder.path().join("answers.json");
    std::fs::write(&file, format!("{{{}}}", answers.join(",\n"))).unwrap();
    let compared = duckdb(python, folder.path(), &["--answers", file.to_str().unwrap()]);
    assert!(compared.status.success(), "{}", String::from_utf8_lossy(&compared.stderr));
    print!("{}", String::from_utf8_lossy(&compared.stdout));

    // The check can fail: a changed answer is a difference.
    let wrong = answers.join(",\n").replace("\"rows\":12", "\"rows\":13");
    std::fs::write(&file, format!("{{{wrong}}}")).unwrap();
    let compared = duckdb(python, folder.path(), &["--answers", file.to_str().unwrap()]);
    assert!(!compared.status.success());
}
