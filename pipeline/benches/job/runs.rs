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
        let written = checkpoints(&output.path().join("results/log"))?;
        let written = written.iter().filter(|&&bytes| bytes > 0).count();
        Ok(Self::told(&told)?.seconds_of(&["checkpoint"]) / written as f64)
    }

    fn checkpointing(&self, epoch: u64) -> Result<PathBuf> {
        let run = format!("[run]\nepoch_records = {epoch}\ncheckpoint_interval = \"0s\"");
        let config = self.work.join("checkpointing.toml");
        std::fs::write(&config, JOB.replace("[run]", &run))?;
        Ok(config)
    }

    /// The same, but killed once three epochs are checkpoints, and run to its end with one worker
    /// more. Gives the bytes of state that the second run began with.
    pub(crate) fn run_killed(&self, input: &Path, epoch: u64) -> Result<(u64, Run)> {
        let config = self.checkpointing(epoch)?;
        let output = tempfile::tempdir_in(&self.work)?;
        let log = output.path().join("results/log");
        let mut first = Command::new(env!("CARGO_BIN_EXE_cloudops"))
            .args(["backfill", "--workers", "2", "--config"])
            .arg(&config)
            .envs([("INPUT", input), ("MODEL", &self.model), ("OUTPUT", output.path())])
            .stdout(Stdio::null())
            .spawn()?;
        while checkpoints(&log)?.len() < 3 {
            ensure!(first.try_wait()?.is_none(), "the run ended before it could be killed");
            std::thread::sleep(Duration::from_millis(1));
        }
        first.kill()?;
        first.wait()?;
        let bytes = checkpoints(&log)?.last().copied().unwrap_or(0);
        let told = cloudops(
            &[],
            &["backfill", "--json", "--workers", "3", "--config"],
            &config,
            input,
            &self.model,
            output.path(),
        )?;
        Ok((bytes, Self::told(&told)?))
    }
}

/// The bytes of state of each commit that holds any, in the order of the log.
fn checkpoints(log: &Path) -> Result<Vec<u64>> {
    let Ok(entries) = std::fs::read_dir(log) else { return Ok(Vec::new()) };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        // A record that is being written is no record yet.
        let Ok(bytes) = std::fs::read(path) else { continue };
        let Ok(record) = serde_json::from_slice::<Value>(&bytes) else { continue };
        if let Some(states) = record["body"]["checkpoint"]["states"].as_array() {
            found.push(states.iter().filter_map(|state| state["bytes"].as_u64()).sum());
        }
    }
    Ok(found)
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
