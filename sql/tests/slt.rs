//! Runs `slt/*.slt`: statements and what they answer, over the fixture's catalog.
//!
//! A file is blocks separated by blank lines; `#` begins a comment.
//!
//! ```text
//! query
//! SELECT 1 AS one
//! ----
//! one
//! 1
//!
//! statement error DROP TABLE is refused
//! DROP TABLE late
//! ```
//!
//! A query's answer is its CSV. With `SLT_FILL=1` the answers found are written
//! into the files: read the difference before you commit it. `$OUT` stands for
//! a folder of the test's own, `$CATALOG` for the catalog's.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a step that fails, fails the test")]

use std::path::Path;

use cloudops_sql::output::{self, Format};
use cloudops_sql::session::Session;

mod fixture;

#[tokio::test]
async fn every_file_answers_as_written() {
    let catalog = tempfile::tempdir().unwrap();
    fixture::write(catalog.path()).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "slt"));
    files.sort();
    assert!(!files.is_empty());
    let fill = std::env::var_os("SLT_FILL").is_some();
    for file in files {
        let written = std::fs::read_to_string(&file).unwrap();
        let found = answer_all(&written, catalog.path()).await;
        if fill {
            std::fs::write(&file, found).unwrap();
        } else {
            for (written, found) in written.split("\n\n").zip(found.split("\n\n")) {
                assert_eq!(written, found, "{}", file.display());
            }
            assert_eq!(written, found, "{}", file.display());
        }
    }
}

/// The file with every answer as found.
async fn answer_all(written: &str, catalog: &Path) -> String {
    let out = tempfile::tempdir().unwrap();
    let mut session = Session::open(catalog.to_str().unwrap()).await.unwrap();
    let mut found = Vec::new();
    for block in written.trim_end().split("\n\n") {
        let comment: String = block
            .lines()
            .take_while(|line| line.starts_with('#'))
            .map(|l| format!("{l}\n"))
            .collect();
        let body = &block[comment.len().min(block.len())..];
        let (kind, rest) = body.split_once('\n').unwrap_or((body, ""));
        let sql = rest.split_once("\n----").map_or(rest, |(sql, _)| sql);
        let places = [("$OUT", out.path()), ("$CATALOG", catalog)];
        let text = places
            .iter()
            .fold(sql.to_owned(), |text, (name, path)| text.replace(name, path.to_str().unwrap()));
        let answer = answer(&mut session, &text).await;
        let answer = places.iter().fold(answer, |answer, (name, path)| match answer {
            Ok(text) => Ok(text.replace(path.to_str().unwrap(), name)),
            Err(text) => Err(text.replace(path.to_str().unwrap(), name)),
        });
        found.push(match (kind.split_once(' ').unwrap_or((kind, "")), answer) {
            (("", _), _) => comment.trim_end().to_owned(),
            (("query", ""), Ok(rows)) => {
                format!("{comment}query\n{sql}\n----\n{}", rows.trim_end())
            }
            (("statement", "ok"), Ok(_)) => block.to_owned(),
            (("statement", expected), Err(error)) => {
                let first = error.lines().next().unwrap_or("").to_owned();
                match expected.strip_prefix("error ") {
                    Some(part) if error.contains(part) => block.to_owned(),
                    _ => format!("{comment}statement error {first}\n{sql}"),
                }
            }
            (_, Ok(rows)) => format!("{comment}query\n{sql}\n----\n{}", rows.trim_end()),
            (_, Err(error)) => format!("{comment}statement error {error}\n{sql}"),
        });
    }
    found.join("\n\n") + "\n"
}

async fn answer(session: &mut Session, sql: &str) -> Result<String, String> {
    let rows = session.query(sql).await.map_err(|error| error.to_string())?;
    let stream = rows.execute_stream().await.map_err(|error| error.to_string())?;
    let mut csv = Vec::new();
    output::write(stream, Format::Csv, None, &mut csv).await.map_err(|error| error.to_string())?;
    Ok(String::from_utf8(csv).unwrap())
}
