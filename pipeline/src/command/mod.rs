//! The command line: one file a subcommand.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::config::Config;

mod act;
mod alerts;
mod backfill;
mod datasets;
mod demo;
mod doctor;
mod evaluate;
mod explain;
mod feedback;
mod maintain;
mod models;
mod replay;
mod sql;
mod tables;
mod train;

/// Cost, audit and sensor streams to anomalies, drift and explanations, as Parquet tables.
#[derive(Debug, Parser)]
#[command(name = "cloudops", version, about, max_term_width = 100)]
struct Arguments {
    /// What to log: a level, or tracing's directives (`info,cloudops_pipeline=debug`).
    #[arg(long, global = true, env = "CLOUDOPS_LOG", default_value = "warn")]
    log: String,
    /// Log as JSON lines.
    #[arg(long, global = true)]
    log_json: bool,
    /// The ONNX Runtime shared library, where it is not found by itself.
    #[arg(long, global = true, env = "CLOUDOPS_ONNXRUNTIME", value_name = "FILE")]
    onnxruntime: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a job until told to stop (SIGTERM, Ctrl-C), committing as records come.
    Run(backfill::Run),
    /// Run a job over the records that are there, and end.
    Backfill(backfill::Backfill),
    /// Ask the results: a query, a file of them, or an interactive shell.
    Sql(sql::Sql),
    /// List the tables and what their columns mean.
    Tables(tables::Tables),
    /// Merge small result files into large sorted ones.
    Compact(maintain::Compact),
    /// Let old rows go, and delete files that nothing refers to.
    Gc(maintain::Gc),
    /// Publish the tables as Delta Lake.
    Publish(maintain::Publish),
    /// Train the models of a job's streams, register them, and put them in force.
    Train(train::Train),
    /// Measure the models on real data, with baselines beside them.
    Evaluate(evaluate::Evaluate),
    /// The model registry: list, show, promote, roll back, verify.
    Models(models::Models),
    /// Why an alert was raised: score, model, parts, scores about it, records in their files.
    Explain(explain::Explain),
    /// Say what a cost anomaly was: later days are judged with it.
    Feedback(feedback::Feedback),
    /// Alerts: list, acknowledge, silence, deliver.
    Alerts(alerts::Alerts),
    /// Act on what the tables say, by policies with guard-rails.
    Act(act::Act),
    /// Compute an epoch again from the input, and compare it byte for byte with what was committed.
    Replay(replay::Replay),
    /// Check a job: configuration, catalog, models, library, input, sinks, room. Writes nothing.
    Doctor(doctor::Doctor),
    /// Known datasets and simulators: list, fetch, simulate, describe.
    Datasets(datasets::Datasets),
    /// The main job from end to end: simulate, train, run, compare, query.
    Demo(demo::Demo),
}

/// Parses the arguments and runs the command; errors go to stderr.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = log_to_stderr(&arguments) {
        return fail(&error);
    }
    match dispatch(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn dispatch(arguments: Arguments) -> Result<()> {
    let runtime = arguments.onnxruntime.as_deref();
    match arguments.command {
        Command::Run(run) => run.execute(runtime),
        Command::Backfill(backfill) => backfill.execute(runtime),
        Command::Sql(sql) => sql.execute(),
        Command::Tables(tables) => tables.execute(),
        Command::Compact(compact) => compact.execute(),
        Command::Gc(gc) => gc.execute(),
        Command::Publish(publish) => publish.execute(),
        Command::Train(train) => train.execute(runtime),
        Command::Evaluate(evaluate) => evaluate.execute(runtime),
        Command::Models(models) => models.execute(runtime),
        Command::Explain(explain) => explain.execute(),
        Command::Feedback(feedback) => feedback.execute(),
        Command::Alerts(alerts) => alerts.execute(),
        Command::Act(act) => act.execute(),
        Command::Replay(replay) => replay.execute(runtime),
        Command::Doctor(doctor) => doctor.execute(runtime),
        Command::Datasets(datasets) => datasets.execute(),
        Command::Demo(demo) => demo.execute(runtime),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    // Nothing is left to do where even stderr is closed.
    drop(writeln!(std::io::stderr(), "error: {error:#}"));
    ExitCode::FAILURE
}

/// `cloudops … | head` closes our output early; that is no failure.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

fn log_to_stderr(arguments: &Arguments) -> Result<()> {
    let filter = EnvFilter::try_new(&arguments.log)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started =
        if arguments.log_json { builder.json().try_init() } else { builder.compact().try_init() };
    started.map_err(|error| anyhow::anyhow!("starting the log: {error}"))
}

/// Prints lines to stdout.
/// Where a command's catalog is: as it says, or as its configuration does.
fn address(catalog: Option<&str>, config: Option<&Path>) -> Result<String> {
    match (catalog, config) {
        (Some(catalog), _) => Ok(catalog.to_owned()),
        (None, Some(config)) => Ok(Config::read(config)?.catalog.url),
        (None, None) => bail!("name a catalog: --catalog or --config"),
    }
}

fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

/// Prints a value as JSON to stdout.
fn print_json(value: &impl serde::Serialize) -> Result<()> {
    print(&serde_json::to_string_pretty(value)?)
}
