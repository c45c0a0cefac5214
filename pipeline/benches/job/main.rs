//! The whole sensor job, from file to committed tables, as ratios in one run.
//!
//! `cargo bench --workspace --bench job`, or `make bench`. The job is `sensor.toml` beside this
//! file: windows of 30 rows every 5, 84 features, a VAE, every channel's contribution. Input and
//! model are made here unless `INPUT` (a directory with `sensor.parquet`) and `MODEL` (an ONNX file)
//! name others; `REPORT` names a file to write the tables to as well. Arguments (`stages`, `features`,
//! `workers`, `memory`, `commits`, `restart`, `bill`) pick parts.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its result")]

mod bill;
mod datafusion;
mod durable;
mod input;
mod runs;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use runs::{Job, best};

const MB: f64 = 1_048_576.0;
const MACHINES: usize = 1_000;
const ROWS: usize = 4_000_000;

fn main() -> Result<()> {
    let work = tempfile::tempdir()?;
    let mut job = Job::new(work.path());
    let input = match std::env::var_os("INPUT") {
        Some(directory) => PathBuf::from(directory),
        None => made(work.path(), MACHINES, ROWS)?,
    };
    job.model = match std::env::var_os("MODEL") {
        Some(model) => PathBuf::from(model),
        None => job.train(&made(work.path(), 50, 50_000)?)?,
    };
    let mut report = String::from(
        "# The sensor job\n\nWritten by `make bench`. CPU seconds are those of the whole process; \
         every table is one run.\n",
    );
    let only: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let wanted = |part: &str| only.is_empty() || only.iter().any(|name| name == part);
    if wanted("stages") {
        stages(&job, &input, &mut report)?;
    }
    if wanted("features") {
        features(&job, &input, &mut report)?;
    }
    if wanted("workers") {
        workers(&job, &input, &mut report)?;
    }
    if wanted("memory") {
        memory(&job, work.path(), &mut report)?;
    }
    if wanted("commits") {
        durable::commits(&job, &input, &mut report)?;
    }
    if wanted("restart") {
        durable::restart(&job, work.path(), &mut report)?;
        durable::changes(&job, work.path(), &mut report)?;
    }
    if wanted("bill") {
        bill::bill(&job, work.path(), &mut report)?;
    }
    println!("{report}");
    if let Some(path) = std::env::var_os("REPORT") {
        std::fs::write(path, report)?;
    }
    Ok(())
}

/// A directory with input of so many rows, made once.
fn made(work: &Path, machines: usize, rows: usize) -> Result<PathBuf> {
    let directory = work.join(format!("input-{machines}-{rows}"));
    if !directory.exists() {
        std::fs::create_dir(&directory)?;
        input::write(&directory.join("sensor.parquet"), machines, rows)?;
    }
    Ok(directory)
}

/// (a) Where the job's CPU time goes.
fn stages(job: &Job, input: &Path, report: &mut String) -> Result<()> {
    eprintln!("stages …");
    let run = job.run(input, 2)?;
    writeln!(
        report,
        "\n## Stages\n\n{} rows, {} windows, 2 workers: {:.2} s of CPU in {:.2} s, \
         {:.0} MB at most, {:.0} rows a CPU second.\n\n\
         | step | CPU s | share | ns a row |\n|---|--:|--:|--:|",
        run.records,
        run.windows,
        run.cpu,
        run.wall,
        run.peak / MB,
        run.records as f64 / run.cpu,
    )?;
    let model = runs::plain_model(&job.model)? * run.windows as f64;
    let mut rows = run.steps.clone();
    rows.push(("the whole job".to_owned(), run.cpu));
    rows.push(("plain ONNX Runtime on the windows, made ready".to_owned(), model));
    for (step, seconds) in &rows {
        let per_row = seconds * 1e9 / run.records as f64;
        writeln!(
            report,
            "| {step} | {seconds:.2} | {:.1} % | {per_row:.0} |",
            seconds * 100.0 / run.cpu
        )?;
    }
    Ok(())
}

/// (b) Reading, windows and features against DataFusion's scan and group-by of the same file.
fn features(job: &Job, input: &Path, report: &mut String) -> Result<()> {
    eprintln!("features against DataFusion …");
    let file = input.join("sensor.parquet");
    let (mut overlapping, mut apart, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    let mut records = 0;
    for _ in 0..3 {
        let run = job.run(input, 2)?;
        records = run.records;
        overlapping.push(run.seconds_of(&["read", "plan", "route", "window", "feature"]));
        let run = job.run_apart(input, 2)?;
        apart.push(run.seconds_of(&["read", "plan", "route", "window", "feature"]));
        theirs.push(datafusion::group_by(&file, 2)?);
    }
    let theirs = best(&theirs);
    writeln!(
        report,
        "\n## Windows and features against DataFusion\n\nBoth read the same Parquet file and give mean, \
         std, min, max, slope and rms of 14 channels. Ours also judges lateness, puts rows in event-time \
         order and gives each window its raw values; DataFusion groups by machine and block of 30 s. \
         Least CPU of three runs in turn.\n\n\
         | | CPU s | rows a CPU second | against DataFusion |\n|---|--:|--:|--:|"
    )?;
    for (name, seconds) in [
        ("DataFusion: scan, group by", theirs),
        ("ours, windows of 30 every 30", best(&apart)),
        ("ours, windows of 30 every 5", best(&overlapping)),
    ] {
        writeln!(
            report,
            "| {name} | {seconds:.2} | {:.0} | {:.2} |",
            records as f64 / seconds,
            seconds / theirs
        )?;
    }
    Ok(())
}

/// (c) One worker against two.
fn workers(job: &Job, input: &Path, report: &mut String) -> Result<()> {
    eprintln!("one worker against two …");
    let mut walls = [const { Vec::new() }; 3];
    let mut cpus = [const { Vec::new() }; 3];
    for _ in 0..3 {
        let runs = [job.run_on_one_core(input)?, job.run(input, 1)?, job.run(input, 2)?];
        for (at, run) in runs.iter().enumerate() {
            walls[at].push(run.wall);
            cpus[at].push(run.cpu);
        }
    }
    writeln!(
        report,
        "\n## One worker against two\n\nThe reader and the coordinator have threads of their own \
         beside the workers, so that a single worker on two cores leaves the second one partly idle. Least of \
         three runs in turn.\n\n\
         | | wall s | CPU s | rows a second | two workers are faster by |\n|---|--:|--:|--:|--:|"
    )?;
    let two = best(&walls[2]);
    for (at, name) in ["one worker, one core", "one worker", "two workers"].iter().enumerate() {
        let (wall, cpu) = (best(&walls[at]), best(&cpus[at]));
        writeln!(
            report,
            "| {name} | {wall:.2} | {cpu:.2} | {:.0} | {:.2} |",
            ROWS as f64 / wall,
            wall / two
        )?;
    }
    Ok(())
}

/// (d) Memory against rows and entities.
fn memory(job: &Job, work: &Path, report: &mut String) -> Result<()> {
    writeln!(
        report,
        "\n## Memory\n\nThe most that the process held, 2 workers.\n\n\
         | machines | rows | MB at most |\n|--:|--:|--:|"
    )?;
    let rows = [500_000, 1_000_000, 2_000_000, 4_000_000].map(|rows| (MACHINES, rows));
    let machines = [2_000, 4_000, 8_000, 16_000].map(|machines| (machines, 1_000_000));
    let mut by_machines = Vec::new();
    for (machines, rows) in rows.into_iter().chain(machines) {
        eprintln!("memory, {machines} machines, {rows} rows …");
        let peak = job.run(&made(work, machines, rows)?, 2)?.peak / MB;
        writeln!(report, "| {machines} | {rows} | {peak:.0} |")?;
        if rows == 1_000_000 {
            by_machines.push((machines as f64, peak));
        }
    }
    let (slope, base) = line(&by_machines);
    writeln!(
        report,
        "\nOver 1,000,000 rows: {base:.0} MB and {:.1} KB a machine (least squares; a machine's last 30 \
         rows of 14 channels are 1.7 KB).",
        slope * 1024.0
    )?;
    Ok(())
}

/// Least-squares slope and intercept.
fn line(points: &[(f64, f64)]) -> (f64, f64) {
    let n = points.len() as f64;
    let (mean_x, mean_y) =
        points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / n, y + point.1 / n));
    let over: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let under: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    (over / under, mean_y - over / under * mean_x)
}
