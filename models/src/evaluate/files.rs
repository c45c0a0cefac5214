//! What the reports of all evaluations are made and written by.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::{Error, Result};

/// Why writing into a report's text may be expected to succeed.
pub(super) const INFALLIBLE: &str = "writing to a string does not fail";

/// Rows as a JSON array, one a line.
pub(super) fn array<T: Serialize>(rows: &[T]) -> String {
    let rows = rows.iter().map(serde_json::to_string);
    let rows: Vec<String> =
        rows.map(|row| row.expect("a row has string keys and finite values")).collect();
    format!("[\n{}\n]\n", rows.join(",\n"))
}

/// Writes files, each a name and its content, into a directory, made if need be.
pub(super) fn write(
    dir: &Path,
    files: impl IntoIterator<Item = (impl AsRef<Path>, impl AsRef<[u8]>)>,
) -> Result<Vec<PathBuf>> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::File { path, source }
    };
    std::fs::create_dir_all(dir).map_err(failed(dir))?;
    let mut written = Vec::new();
    for (file, content) in files {
        let path = dir.join(file);
        std::fs::write(&path, content).map_err(failed(&path))?;
        written.push(path);
    }
    Ok(written)
}

/// The options that a report's command line needs to give the same figures again.
pub(super) fn options(seed: u64, quick: bool) -> String {
    let quick = if quick { " --quick" } else { "" };
    match seed {
        1 => quick.to_owned(),
        seed => format!(" --seed {seed}{quick}"),
    }
}

/// Four decimals: what samples of these sizes can carry.
pub(super) fn rounded(figure: f64) -> f64 {
    (figure * 1e4).round() / 1e4
}
