//! The input: whether it can be reached, and is still what plans of the log say.

use std::collections::BTreeMap;

use anyhow::Result;
use cloudops_sql::catalog::Catalog;
use futures_util::TryStreamExt;
use tokio::runtime::Runtime;

use super::Findings;
use crate::job::{Job, StreamJob};
use crate::size;
use crate::source::files::{Found, Listing};

/// Lengths of planned files, by stream, partition and name.
type Planned = BTreeMap<(String, u32), BTreeMap<String, u64>>;

pub(super) fn look(job: &Job, log: Option<&Catalog>, runtime: &Runtime, findings: &mut Findings) {
    let planned = match log.map(|log| runtime.block_on(planned(log))).transpose() {
        Ok(planned) => planned.unwrap_or_default(),
        Err(error) => {
            findings.failed("plans", format!("{error:#}"), "do what the message says");
            return;
        }
    };
    for stream in &job.streams {
        for (partition, path) in stream.paths.iter().enumerate() {
            let name = match stream.paths.len() {
                1 => format!("source {}", stream.name),
                _ => format!("source {}/{partition}", stream.name),
            };
            let known = planned.get(&(stream.name.clone(), partition as u32));
            match list(stream, path, runtime) {
                Ok(files) => compare(&name, path, stream, &files, known, findings),
                Err(error) => {
                    let fix = "correct source.path, or grant this user to read there";
                    findings.failed(name, format!("{error:#}"), fix);
                }
            }
        }
    }
}

fn list(stream: &StreamJob, path: &str, runtime: &Runtime) -> Result<Vec<Found>> {
    Listing::parse(path, runtime.handle())?.list(&stream.format)
}

fn compare(
    name: &str,
    path: &str,
    stream: &StreamJob,
    files: &[Found],
    planned: Option<&BTreeMap<String, u64>>,
    findings: &mut Findings,
) {
    let none = BTreeMap::new();
    let planned = planned.unwrap_or(&none);
    let sizes: BTreeMap<&str, u64> = files.iter().map(|file| (&*file.name, file.size)).collect();
    let restore = "restore it, or start a new catalog: a restart may have to read it again";
    let mut changed = 0;
    for (file, &bytes) in planned {
        let what = match sizes.get(file.as_str()) {
            Some(&now) if now == bytes => continue,
            Some(&now) => format!("{file} had {bytes} bytes when it was read and has {now} now"),
            None => format!("{file} was read and is gone"),
        };
        changed += 1;
        if changed <= 5 {
            findings.failed(name, what, restore);
        }
    }
    if changed > 5 {
        findings.failed(
            name,
            format!("{changed} of {} files read have changed", planned.len()),
            restore,
        );
    }
    if let Some((last, _)) = planned.last_key_value() {
        let passed = |file: &&Found| *file.name < **last && !planned.contains_key(&*file.name);
        // A file without records is in no plan, wherever its name stands.
        if let Some(file) = files.iter().filter(|file| file.size > 0).find(passed) {
            findings.mind(
                name,
                format!(
                    "{} stands before {last}, which was read, and was not read itself",
                    file.name
                ),
                "if it came later, it is passed over: give it a later name",
            );
        }
    }
    if let Some(file) = files.iter().find(|file| !file.readable()) {
        findings.failed(
            name,
            format!("{} cannot be opened", file.name),
            "grant this user to read it",
        );
    } else if files.is_empty() && stream.watch.is_none() {
        findings.failed(
            name,
            format!("{path} holds no file that its format reads"),
            "correct source.path or source.format; to wait for files, set source.watch",
        );
    } else if changed == 0 {
        let bytes = files.iter().map(|file| file.size).sum();
        let found =
            format!("{} files, {}, {} of them read", files.len(), size::show(bytes), planned.len());
        findings.ok(name, found);
    }
}

/// Every file that a plan of the log names.
async fn planned(log: &Catalog) -> Result<Planned> {
    let mut planned = Planned::new();
    let mut plans = log.history().plans_after(0);
    while let Some(plan) = plans.try_next().await? {
        for part in plan.sources {
            let files = planned.entry((part.source, part.partition.0)).or_default();
            files.extend(part.spans.into_iter().map(|span| (span.file, span.size)));
        }
    }
    Ok(planned)
}
