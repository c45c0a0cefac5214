//! Tables over real files: what a query leaves out, what a session shows.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a step that fails, fails the test")]

use std::path::Path;

use arrow::util::pretty::pretty_format_batches;
use cloudops_sql::output::{self, Format};
use cloudops_sql::session::Session;
use cloudops_sql::{statement, table, view};

mod fixture;

async fn open(folder: &Path) -> Session {
    Session::open(folder.to_str().unwrap()).await.unwrap()
}

async fn text(session: &mut Session, sql: &str) -> String {
    let batches = session.query(sql).await.unwrap().collect().await.unwrap();
    pretty_format_batches(&batches).unwrap().to_string()
}

async fn rows(session: &mut Session, sql: &str) -> usize {
    session.query(sql).await.unwrap().count().await.unwrap()
}

/// The files that a plan names, by their epoch and source.
fn files(plan: &str) -> Vec<String> {
    let parts = plan.split("data/").skip(1);
    let mut files: Vec<_> = parts.filter_map(|part| part.split(".parquet").next()).collect();
    files.sort_unstable();
    files.dedup();
    files.into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn whole_files_are_left_out_while_planning() {
    let folder = tempfile::tempdir().unwrap();
    fixture::write(folder.path()).await;
    let mut session = open(folder.path()).await;
    let scores = |epochs: &[u64]| -> Vec<String> {
        epochs.iter().map(|e| format!("sensor_scores/engines/e{e}-w0of1-0")).collect()
    };
    for (filter, epochs) in [
        ("true", &[0, 1, 2][..]),
        ("source = 'engines'", &[0, 1, 2]),
        ("source = 'pumps'", &[]),
        ("source IN ('pumps', 'engines')", &[0, 1, 2]),
        ("window_end > TIMESTAMP '1970-01-01T02:00:00Z'", &[2]),
        ("window_end <= TIMESTAMP '1970-01-01T01:00:00Z'", &[0]),
        ("score > 4", &[1]),
        ("score > 2 AND source = 'engines'", &[1, 2]),
        ("is_anomaly", &[1, 2]),
        ("NOT is_anomaly", &[0, 1, 2]),
        ("entity_id = 'engine-9'", &[]),
        ("entity_id LIKE 'engine%'", &[0, 1, 2]),
        ("entity_id IS NULL", &[]),
        ("length(entity_id) = 0", &[0, 1, 2]),
        ("alert_id = 'a3'", &[0, 1, 2]),
    ] {
        let sql = format!("EXPLAIN SELECT score FROM sensor_scores WHERE {filter}");
        let plan = text(&mut session, &sql).await;
        assert_eq!(files(&plan), scores(epochs), "{filter}\n{plan}");
    }
    let days = "EXPLAIN SELECT billed_after FROM cost_changes WHERE day = DATE '2024-01-03'";
    assert_eq!(files(&text(&mut session, days).await), ["cost_changes/bill/e2-w0of1-0"]);
    // Left out means not opened: nothing of it need exist.
    std::fs::remove_file(folder.path().join("data/sensor_scores/engines/e1-w0of1-0.parquet"))
        .unwrap();
    let late = "SELECT * FROM sensor_scores WHERE window_end > TIMESTAMP '1970-01-01T02:00:00Z'";
    assert_eq!(rows(&mut session, late).await, 6);
}

#[tokio::test]
async fn row_groups_are_left_out_while_running() {
    let folder = tempfile::tempdir().unwrap();
    fixture::write(folder.path()).await;
    let mut session = open(folder.path()).await;
    // Three row groups of two rows; engine-3 is in the last alone.
    let sql = "EXPLAIN ANALYZE SELECT score FROM sensor_scores \
               WHERE entity_id = 'engine-3' AND window_end > TIMESTAMP '1970-01-01T02:00:00Z'";
    let plan = text(&mut session, sql).await;
    assert_eq!(files(&plan), ["sensor_scores/engines/e2-w0of1-0"], "{plan}");
    assert!(plan.contains("row_groups_pruned_statistics=3 total → 1 matched"), "{plan}");
    // Once the best row is known, a file whose bound is worse is left out unopened.
    session.query("SET datafusion.execution.target_partitions = 1").await.unwrap();
    let sql = "EXPLAIN ANALYZE SELECT score FROM sensor_scores ORDER BY score DESC LIMIT 1";
    let plan = text(&mut session, sql).await;
    assert!(plan.contains("DynamicFilter"), "{plan}");
}

#[tokio::test]
async fn counts_are_answered_by_the_log() {
    let folder = tempfile::tempdir().unwrap();
    fixture::write(folder.path()).await;
    let mut session = open(folder.path()).await;
    let plan = text(&mut session, "EXPLAIN SELECT COUNT(*) FROM sensor_scores").await;
    assert!(!plan.contains("DataSourceExec: file_groups"), "{plan}");
    let plan = text(&mut session, "EXPLAIN SELECT * FROM sensor_scores LIMIT 2").await;
    assert_eq!(files(&plan).len(), 1, "{plan}");
    // A bound is no value: the greatest is read from the rows.
    let plan = text(&mut session, "EXPLAIN SELECT MAX(window_end) FROM sensor_scores").await;
    assert_eq!(files(&plan).len(), 3, "{plan}");
}

#[tokio::test]
async fn a_session_moves_on_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = fixture::begin(folder.path()).await;
    let mut session = open(folder.path()).await;
    session.query("CREATE VIEW worst AS SELECT MAX(score) FROM sensor_scores").await.unwrap();
    session.query("SET datafusion.execution.batch_size = 77").await.unwrap();
    assert_eq!(rows(&mut session, "SELECT * FROM sensor_scores").await, 0);
    assert_eq!(rows(&mut session, "SELECT * FROM epochs").await, 0);
    let before = session.query("SELECT * FROM sensor_scores").await.unwrap();
    assert!(!session.refresh().await.unwrap());
    fixture::commit(&mut writer, 0).await;
    assert_eq!(rows(&mut session, "SELECT * FROM sensor_scores").await, 0);
    assert!(session.refresh().await.unwrap());
    assert_eq!(rows(&mut session, "SELECT * FROM sensor_scores").await, 3);
    assert_eq!(rows(&mut session, "SELECT * FROM epochs").await, 3);
    assert_eq!(before.count().await.unwrap(), 0);
    assert!(text(&mut session, "SELECT * FROM worst").await.contains("0.5"));
    assert!(text(&mut session, "SHOW datafusion.execution.batch_size").await.contains("77"));
}

#[tokio::test]
async fn views_have_the_columns_they_describe() {
    let folder = tempfile::tempdir().unwrap();
    fixture::write(folder.path()).await;
    let mut session = open(folder.path()).await;
    for view in view::all() {
        let found = session.query(&format!("SELECT * FROM {}", view.name)).await.unwrap();
        let fields = found.schema().fields().iter().map(|field| field.name().clone());
        let described: Vec<_> = view.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(fields.collect::<Vec<_>>(), described, "{}", view.name);
        assert!(table::find(view.name).is_none());
    }
}

#[tokio::test]
async fn statements_run_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    fixture::write(folder.path()).await;
    let mut session = open(folder.path()).await;
    let script = "CREATE VIEW one AS SELECT 1 AS n; -- first\nSELECT n + 1 AS two FROM one;";
    let mut counts = Vec::new();
    for statement in statement::parse(script).unwrap() {
        let rows = session.run(statement).await.unwrap().execute_stream().await.unwrap();
        let mut out = Vec::new();
        counts.push(output::write(rows, Format::Csv, None, &mut out).await.unwrap());
    }
    assert_eq!(counts, [0, 1]);
    let error = session.query("SELECT 1; SELECT 2").await.unwrap_err().to_string();
    assert!(error.contains("2 statements"), "{error}");
    let error = session.query("SELECT nonesuch FROM late").await.unwrap_err().to_string();
    assert!(error.contains("nonesuch"), "{error}");
}

#[tokio::test]
async fn output_formats() {
    let folder = tempfile::tempdir().unwrap();
    fixture::write(folder.path()).await;
    let mut session = open(folder.path()).await;
    let sql = "SELECT raw, line, raw_length FROM rejects ORDER BY epoch";
    let mut check = async |format, width, expected: &str| {
        let rows = session.query(sql).await.unwrap().execute_stream().await.unwrap();
        let mut out = Vec::new();
        assert_eq!(output::write(rows, format, width, &mut out).await.unwrap(), 2);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    };
    let table = "raw        line  raw_length\n\
                 ─────────  ────  ──────────\n\
                 1 7 x �\\n     7           9\n                          0\n";
    check(Format::Table, None, table).await;
    let narrow = "raw       line  raw_len…\n\
                  ────────  ────  ────────\n\
                  1 7 x �…     7         9\n                       0\n";
    check(Format::Table, Some(24), narrow).await;
    check(Format::Csv, None, "raw,line,raw_length\n312037207820ff0a,7,9\n,,0\n").await;
    let json = "[{\"raw\":\"312037207820ff0a\",\"line\":7,\"raw_length\":9},\
                {\"raw\":\"\",\"line\":null,\"raw_length\":0}]\n";
    check(Format::Json, None, json).await;
    let lines = "{\"raw\":\"312037207820ff0a\",\"line\":7,\"raw_length\":9}\n\
                 {\"raw\":\"\",\"line\":null,\"raw_length\":0}\n";
    check(Format::NdJson, None, lines).await;

    let path = folder.path().join("scores.parquet");
    let rows = session.query("SELECT * FROM sensor_scores").await.unwrap();
    let stream = rows.execute_stream().await.unwrap();
    assert_eq!(output::write_parquet(stream, &path).await.unwrap(), 12);
    let file = std::fs::File::open(&path).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(file, 100);
    assert_eq!(reader.unwrap().next().unwrap().unwrap().num_rows(), 12);
}
