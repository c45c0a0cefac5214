//! Runs of the binary, and what each says of itself.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cloudops_models::scorer::{OrtScorer, ScorerOptions, Tile};
use cloudops_operators::score::{ModelId, ModelInfo, Scorer};
use cpu_time::ThreadTime;
use serde_json::Value;

use crate::input::CHANNELS;

const JOB: &str = include_str!("sensor.toml");
const BILL: &str = include_str!("cost.toml");

/// The job with its model, before it has input.
pub(crate) struct Job {
    work: PathBuf,
    /// The ONNX file.
    pub(crate) model: PathBuf,
}

/// What a run said.
pub(crate) struct Run {
    pub(crate) records: u64,
    pub(crate) windows: u64,
    pub(crate) epochs: u64,
    pub(crate) wall: f64,
    pub(crate) cpu: f64,
    /// Bytes.
    pub(crate) peak: f64,
    /// CPU seconds by step.
    pub(crate) steps: Vec<(String, f64)>,
}

impl Run {
    /// CPU seconds of some steps together.
    pub(crate) fn seconds_of(&self, steps: &[&str]) -> f64 {
        let named = |step: &str| steps.contains(&step);
        self.steps.iter().filter(|(step, _)| named(step)).map(|(_, seconds)| seconds).sum()
    }
}

/// The least of several measurements: the one that was disturbed least.
pub(crate) fn best(measurements: &[f64]) -> f64 {
    measurements.iter().copied().fold(f64::INFINITY, f64::min)
}

impl Job {
    pub(crate) fn new(work: &Path) -> Self {
        Self { work: work.to_owned(), model: PathBuf::new() }
    }

    /// Trains the VAE that the job scores with; gives its ONNX file.
    pub(crate) fn train(&self, input: &Path) -> Result<PathBuf> {
        eprintln!("training …");
        let model = "architecture = \"vae-cnn\"\nepochs = 4\nmax_windows = 8_000";
        let config = self.work.join("train.toml");
        std::fs::write(&config, JOB.replace("onnx = \"${MODEL}\"", model))?;
        let output = self.work.join("trained");
        cloudops(&[], &["train", "--config"], &config, input, Path::new(""), &output)?;
        let models = output.join("results/models/machines");
        for entry in std::fs::read_dir(&models).with_context(|| models.display().to_string())? {
            let onnx = entry?.path().join("model.onnx");
            if onnx.exists() {
                return Ok(onnx);
            }
        }
        anyhow::bail!("{} holds no model.onnx", models.display())
    }

    /// Runs the job once and removes its results.
    pub(crate) fn run(&self, input: &Path, workers: usize) -> Result<Run> {
        self.run_as(&[], input, workers, JOB)
    }

    /// The same with windows that do not overlap.
    pub(crate) fn run_apart(&self, input: &Path, workers: usize) -> Result<Run> {
        self.run_as(&[], input, workers, &JOB.replace("hop = 5", "hop = 30"))
    }

    /// The same on one core alone.
    pub(crate) fn run_on_one_core(&self, input: &Path) -> Result<Run> {
        self.run_as(&["taskset", "-c", "0"], input, 1, JOB)
    }

    /// Runs the job over a bill once and removes its results.
    pub(crate) fn run_bill(&self, input: &Path) -> Result<Run> {
        self.run_as(&[], input, 2, BILL)
    }

    fn run_as(&self, before: &[&str], input: &Path, workers: usize, job: &str) -> Result<Run> {
        let config = self.work.join("job.toml");
        std::fs::write(&config, job)?;
        let output = tempfile::tempdir_in(&self.work)?;
        let workers = workers.to_string();
        let told = cloudops(
            before,
            &["backfill", "--json", "--workers", &workers, "--config"],
            &config,
            input,
            &self.model,
            output.path(),
        )?;
        Self::told(&told)
    }

    /// The same in epochs of so many rows, with a checkpoint every so often.
    pub(crate) fn run_in_epochs(&self, input: &Path, epoch: u64, every: &str) -> Result<Run> {
        self.run_as(&[], input, 2, &in_epochs(epoch, every))
    }

    /// What a run's summary says.
    fn told(told: &[u8]) -> Result<Run> {
        let told: Value = serde_json::from_slice(told)?;
        let profile = &told["profile"];
        let number = |value: &Value| value.as_f64().context("the summary lacks a number");
        let mut steps = Vec::new();
        for step in profile["steps"].as_array().context("the summary lacks its steps")? {
            let name = step["step"].as_str().context("a step has no name")?;
            steps.push((name.to_owned(), number(&step["cpu_seconds"])?));
        }
        Ok(Run {
            records: told["records"].as_u64().context("the summary lacks its records")?,
            windows: told["windows"].as_u64().context("the summary lacks its windows")?,
            epochs: told["epochs"].as_u64().context("the summary lacks its epochs")?,
            wall: number(&profile["wall_seconds"])?,
            cpu: number(&profile["cpu_seconds"])?,
            peak: profile["peak_memory_bytes"].as_f64().unwrap_or(f64::NAN),
            steps,
        })
    }

    /// Runs the job with a checkpoint at every epoch of so many rows. Gives the CPU seconds that a
    /// checkpoint took to write.
    pub(crate) fn run_checkpointing(&self, input: &Path, epoch: u64) -> Result<f64> {
        let config = self.checkpointing(epoch)?;
        let output = tempfile::tempdir_in(&self.work)?;
        let told = cloudops(
            &[],
            &["backfill", "--json", "--workers", "2", "--config"],
            &config,
            input,
            &self.model,
            output.path(),
        )?;
        let written = Checkpoints::read(&output.path().join("results/log")).written;
        let written = written.iter().filter(|taken| taken.bytes > 0).count();
        Ok(Self::told(&told)?.seconds_of(&["checkpoint"]) / written as f64)
    }

    fn checkpointing(&self, epoch: u64) -> Result<PathBuf> {
        let config = self.work.join("checkpointing.toml");
        std::fs::write(&config, in_epochs(epoch, "0s"))?;
        Ok(config)
    }

    /// The same, but killed once so many epochs are checkpoints, and run to its end with one worker
    /// more. Gives the checkpoints that the second run began with.
    pub(crate) fn run_killed(
        &self,
        input: &Path,
        epoch: u64,
        after: usize,
    ) -> Result<(Checkpoints, Run)> {
        let config = self.checkpointing(epoch)?;
        let output = tempfile::tempdir_in(&self.work)?;
        let log = output.path().join("results/log");
        let mut first = Command::new(env!("CARGO_BIN_EXE_cloudops"))
            .args(["backfill", "--workers", "2", "--config"])
            .arg(&config)
            .envs([("INPUT", input), ("MODEL", &self.model), ("OUTPUT", output.path())])
            .stdout(Stdio::null())
            .spawn()?;
        let (mut read, mut commits) = (0, 0);
        while commits < after {
            for record in records(&log, read) {
                read += 1;
                commits += usize::from(!record["body"]["checkpoint"].is_null());
            }
            ensure!(first.try_wait()?.is_none(), "the run ended before it could be killed");
            std::thread::sleep(Duration::from_millis(1));
        }
        first.kill()?;
        first.wait()?;
        let state = Checkpoints::read(&log);
        let told = cloudops(
            &[],
            &["backfill", "--json", "--workers", "3", "--config"],
            &config,
            input,
            &self.model,
            output.path(),
        )?;
        Ok((state, Self::told(&told)?))
    }
}

/// The job in epochs of so many rows, with a checkpoint every so often.
fn in_epochs(epoch: u64, every: &str) -> String {
    let run = format!("[run]\nepoch_records = {epoch}\ncheckpoint_interval = \"{every}\"");
    JOB.replace("[run]", &run)
}

/// The records of a log after the first so many, in its order; one that is being written is no record
/// yet.
fn records(log: &Path, after: usize) -> impl Iterator<Item = Value> {
    let log = log.to_owned();
    (after + 1..).map_while(move |number| {
        let path = log.join(format!("{number:020}.json"));
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    })
}

/// A checkpoint, as its commit names it.
pub(crate) struct Taken {
    /// Bytes written.
    pub(crate) bytes: u64,
    /// Whether it continues the one before.
    pub(crate) continued: bool,
}

/// The checkpoints of a log, and the state that a restart begins with.
pub(crate) struct Checkpoints {
    /// In the order of the log.
    pub(crate) written: Vec<Taken>,
    /// Files that the last one needs.
    pub(crate) files: usize,
    bytes: u64,
}

impl Checkpoints {
    fn read(log: &Path) -> Self {
        let mut found = Self { written: Vec::new(), files: 0, bytes: 0 };
        for record in records(log, 0) {
            let checkpoint = &record["body"]["checkpoint"];
            let Some(states) = checkpoint["states"].as_array() else { continue };
            let bytes = states.iter().filter_map(|state| state["bytes"].as_u64()).sum();
            let continued = checkpoint["continued"].is_array();
            if !continued {
                (found.files, found.bytes) = (0, 0);
            }
            found.files += states.len();
            found.bytes += bytes;
            found.written.push(Taken { bytes, continued });
        }
        found
    }

    /// Bytes that a restart reads.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// CPU seconds that ONNX Runtime alone takes for a window, called plainly in batches of 2,048.
pub(crate) fn plain_model(model: &Path) -> Result<f64> {
    cloudops_models::runtime::init(None)?;
    let (steps, channels) = (30, CHANNELS);
    let info = ModelInfo {
        id: ModelId { name: "plain".into(), version: String::new() },
        channels: (0..channels).map(|channel| format!("ch_{channel:02}")).collect(),
        steps,
        latents: 0,
        weights: None,
        score_quantiles: vec![],
        channel_mean: vec![],
        channel_std: vec![],
        entities: vec![],
    };
    let options = ScorerOptions {
        tile: Tile::Fixed(2_048),
        rewrite: false,
        step_errors: false,
        latents: false,
        ..ScorerOptions::default()
    };
    let mut scorer = OrtScorer::new(&std::fs::read(model)?, info, &options)?;
    let sample = scorer.sample(8_192)?;
    let mut seconds = Vec::new();
    for _ in 0..5 {
        let begin = ThreadTime::now();
        scorer.score(&sample)?;
        seconds.push(begin.elapsed().as_secs_f64() / 8_192.0);
    }
    Ok(best(&seconds))
}

fn cloudops(
    before: &[&str],
    arguments: &[&str],
    config: &Path,
    input: &Path,
    model: &Path,
    output: &Path,
) -> Result<Vec<u8>> {
    let words: Vec<&str> = before.iter().copied().chain([env!("CARGO_BIN_EXE_cloudops")]).collect();
    let done = Command::new(words[0])
        .args(&words[1..])
        .args(arguments)
        .arg(config)
        .envs([("INPUT", input), ("MODEL", model), ("OUTPUT", output)])
        .output()?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "cloudops {} failed: {said}", arguments[0]);
    Ok(done.stdout)
}
