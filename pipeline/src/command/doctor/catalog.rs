//! The log, and the files that it names.

use std::collections::BTreeMap;

use cloudops_sql::catalog::store::sha256;
use cloudops_sql::catalog::{Catalog, State, Store};
use futures_util::TryStreamExt;

use super::Findings;
use crate::job::Job;
use crate::size;

/// A file that the log names.
struct Named<'a> {
    path: &'a str,
    bytes: u64,
    sha256: &'a str,
}

pub(super) async fn look(catalog: &Catalog, job: &Job, deep: bool, findings: &mut Findings) {
    let state = catalog.state();
    let epochs = state.committed.map_or(0, |last| last.0 + 1);
    findings.ok("log", format!("{} records, {epochs} epochs committed", state.next_seq - 1));
    writer(state, job, findings);
    let files = state.tables.values().flatten();
    let files: Vec<Named<'_>> = files
        .map(|file| Named { path: &file.path, bytes: file.bytes, sha256: &file.sha256 })
        .collect();
    let states = state.checkpoint.iter().flat_map(|at| &at.checkpoint.states);
    let states: Vec<Named<'_>> = states
        .map(|file| Named { path: &file.path, bytes: file.bytes, sha256: &file.sha256 })
        .collect();
    let gone =
        "restore it from a copy; what an epoch held can be seen with `cloudops replay --epoch`";
    named(catalog, ("result files", "data"), &files, deep, gone, findings).await;
    let gone = "restore it from a copy: there is no restart without it";
    named(catalog, ("state files", "state"), &states, deep, gone, findings).await;
}

/// Who wrote last, and whether this configuration may go on.
fn writer(state: &State, job: &Job, findings: &mut Findings) {
    let Some(writer) = &state.writer else {
        findings.ok("writer", "none yet");
        return;
    };
    let found = format!(
        "generation {}, {} with {} workers, {} epochs planned and not committed",
        state.generation,
        writer.build,
        writer.workers,
        state.open_plans.len()
    );
    if writer.config_hash != job.hash && state.planned.is_some() {
        findings.failed(
            "writer",
            format!("{found}; its configuration was another (then {}, now {})", writer.config_hash, job.hash),
            "restore the settings, or name a new catalog.url: rows made before and after would not agree",
        );
    } else if state.open_plans.is_empty() {
        findings.ok("writer", found);
    } else {
        findings.mind(
            "writer",
            found,
            "either it is at work, and a run started now would take its place, or it was interrupted, \
             and the next run goes on where it was",
        );
    }
}

/// Whether files are there with the right length, and with the right bytes where asked.
async fn named(
    catalog: &Catalog,
    (name, folder): (&str, &str),
    files: &[Named<'_>],
    deep: bool,
    fix: &str,
    findings: &mut Findings,
) {
    let store = catalog.store();
    let listed = match listed(store, folder).await {
        Ok(listed) => listed,
        Err(error) => {
            findings.failed(
                name,
                format!("{error:#}"),
                "grant this user to list and read the catalog",
            );
            return;
        }
    };
    let mut failed = 0;
    let mut fail = |findings: &mut Findings, path: &str, what: String| {
        failed += 1;
        // One broken disk breaks many files: the first few tell enough.
        if failed <= 5 {
            findings.failed(name, format!("{path} {what}"), fix);
        }
    };
    for file in files {
        match listed.get(file.path) {
            None => fail(findings, file.path, "is gone".to_owned()),
            Some(&bytes) if bytes != file.bytes => {
                fail(findings, file.path, format!("has {bytes} bytes instead of {}", file.bytes));
            }
            Some(_) if deep => match store.get(file.path).await {
                Ok(Some(bytes)) if sha256(&bytes) == file.sha256 => {}
                Ok(Some(_)) => {
                    fail(findings, file.path, "is corrupt: its SHA-256 is another".to_owned())
                }
                Ok(None) => fail(findings, file.path, "is gone".to_owned()),
                Err(error) => fail(findings, file.path, error.to_string()),
            },
            Some(_) => {}
        }
    }
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let how = if deep { "of the right hash" } else { "of the right length" };
    if failed > 5 {
        findings.failed(name, format!("{failed} of {} files are not as named", files.len()), fix);
    } else if failed == 0 {
        let others = match catalog.state().dead(listed.keys().map(String::as_str)).len() {
            0 => String::new(),
            dead => {
                format!("; {dead} merged, expired or left by interrupted runs, for `cloudops gc`")
            }
        };
        findings.ok(name, format!("{} files, {}, {how}{others}", files.len(), size::show(bytes)));
    }
}

/// Lengths of the files in a folder, by path within the catalog.
async fn listed(store: &Store, folder: &str) -> anyhow::Result<BTreeMap<String, u64>> {
    let prefix = store.location(folder)?;
    let root = store.prefix().parts().count();
    let mut found = BTreeMap::new();
    let mut objects = store.objects().list(Some(&prefix));
    while let Some(object) = objects.try_next().await? {
        let parts: Vec<_> = object.location.parts().skip(root).collect();
        let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
        found.insert(parts.join("/"), object.size);
    }
    Ok(found)
}
