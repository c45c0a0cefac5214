//! `cloudops doctor`: what would stop a job, found before it does, each with its fix. It only reads.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use cloudops_sql::catalog::Catalog;
use serde::Serialize;
use tokio::runtime::Runtime;

use super::{print, print_json};
use crate::config::Config;
use crate::job::Job;

mod catalog;
mod models;
mod place;
mod sinks;
mod sources;

/// Check a job: configuration, catalog, models, library, input, sinks, room.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudops doctor --config pipeline.toml\n  \
    cloudops doctor --config pipeline.toml --deep --json\n\n\
    Nothing is written. Fails where a check fails; what it says to mind does not fail it.")]
pub(super) struct Doctor {
    /// The job's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Also read every file of the catalog and compare its SHA-256, and try every model in force.
    #[arg(long)]
    deep: bool,
    /// Print as JSON.
    #[arg(long)]
    json: bool,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// As it should be.
    Ok,
    /// To be minded; a job runs nevertheless.
    Mind,
    /// A job would not run, or its results are not what the log says.
    Failed,
}

/// One thing looked at.
#[derive(Debug, Serialize)]
struct Check {
    /// What was looked at.
    name: String,
    outcome: Outcome,
    /// What was found.
    found: String,
    /// What to do about it; absent where nothing is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

/// Everything found so far.
#[derive(Debug, Default)]
struct Findings(Vec<Check>);

impl Findings {
    fn ok(&mut self, name: impl Into<String>, found: impl Into<String>) {
        self.add(name, Outcome::Ok, found, None);
    }

    fn mind(&mut self, name: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) {
        self.add(name, Outcome::Mind, found, Some(fix.into()));
    }

    fn failed(
        &mut self,
        name: impl Into<String>,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.add(name, Outcome::Failed, found, Some(fix.into()));
    }

    fn add(
        &mut self,
        name: impl Into<String>,
        outcome: Outcome,
        found: impl Into<String>,
        fix: Option<String>,
    ) {
        self.0.push(Check { name: name.into(), outcome, found: found.into(), fix });
    }

    fn text(&self) -> String {
        let width = self.0.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        for Check { name, outcome, found, fix } in &self.0 {
            let mark = match outcome {
                Outcome::Ok => "ok    ",
                Outcome::Mind => "mind  ",
                Outcome::Failed => "FAILED",
            };
            text += &format!("{mark}  {name:<width$}  {found}\n");
            if let Some(fix) = fix {
                text += &format!("        {:<width$}  fix: {fix}\n", "");
            }
        }
        text
    }
}

impl Doctor {
    pub(super) fn execute(self, onnxruntime: Option<&Path>) -> Result<()> {
        let mut findings = Findings::default();
        let runtime = Runtime::new().context("starting the I/O runtime")?;
        let looked = Config::read(&self.config)
            .and_then(|config| Ok((config.validate(true)?, config)))
            .map(|(job, config)| self.look(&job, &config, onnxruntime, &runtime, &mut findings));
        if let Err(error) = looked {
            let fix = "correct the file: every setting is documented in pipeline/src/config/";
            findings.failed("configuration", format!("{error:#}"), fix);
        }
        if self.json {
            print_json(&findings.0)?;
        } else {
            print(&findings.text())?;
        }
        let failed = findings.0.iter().filter(|check| check.outcome == Outcome::Failed).count();
        ensure!(failed == 0, "{failed} of {} checks failed", findings.0.len());
        Ok(())
    }

    fn look(
        &self,
        job: &Job,
        config: &Config,
        onnxruntime: Option<&Path>,
        runtime: &Runtime,
        findings: &mut Findings,
    ) {
        let streams: Vec<&str> = job.streams.iter().map(|stream| stream.name.as_str()).collect();
        let found =
            format!("{} streams ({}), {} workers", streams.len(), streams.join(", "), job.workers);
        findings.ok("configuration", found);
        place::look(job, config, findings);
        let log = self.open(job, runtime, findings);
        if let Some(log) = &log {
            runtime.block_on(catalog::look(log, job, self.deep, findings));
        }
        models::look(job, config, onnxruntime, log.as_ref(), self.deep, findings);
        sources::look(job, log.as_ref(), runtime, findings);
        sinks::look(job, log.as_ref(), findings);
    }

    /// The catalog, read whole; `None` where there is none yet or it cannot be read.
    fn open(&self, job: &Job, runtime: &Runtime, findings: &mut Findings) -> Option<Catalog> {
        if place::local(&job.catalog).is_some_and(|directory| !directory.exists()) {
            let found = format!("there is none at {} yet", job.catalog);
            findings.mind("catalog", found, "the first `cloudops train` or run makes it");
            return None;
        }
        match runtime.block_on(Catalog::open(&job.catalog)) {
            Ok(catalog) => Some(catalog),
            Err(error) => {
                let fix = "do what the message says; a log is never guessed at";
                findings.failed("catalog", error.to_string(), fix);
                None
            }
        }
    }
}
