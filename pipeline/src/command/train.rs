//! `cloudops train`: fit the models of a job's streams, register them, put them in force.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use cloudops_models::Trained;
use cloudops_models::card::{CurvePoint, DataCard, ModelCard};
use cloudops_models::registry::Registry;
use cloudops_models::train::Progress;
use cloudops_operators::score::ModelId;
use cloudops_sql::catalog::Catalog;
use cloudops_sql::catalog::record::{Promote, Record};
use indicatif::{ProgressBar, ProgressStyle};

use super::{print, print_json};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::job::Job;
use crate::learning::{self, TrainingData};

/// Train the models of a job's streams.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudops train --config pipeline.toml\n  \
    cloudops train --config pipeline.toml --stream turbofan --no-promote\n\n\
    A model is put in force from the beginning of its stream if none is in force yet; later ones\n\
    are promoted with `cloudops models promote`, from an event time on.")]
pub(super) struct Train {
    /// The job's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Only this stream.
    #[arg(long)]
    stream: Option<String>,
    /// Register, but leave what is in force.
    #[arg(long)]
    no_promote: bool,
    /// Print what was trained as JSON.
    #[arg(long)]
    json: bool,
}

/// What was trained.
#[derive(Debug, serde::Serialize)]
pub(super) struct Outcome {
    pub(super) stream: String,
    pub(super) model: ModelId,
    pub(super) architecture: &'static str,
    pub(super) windows: usize,
    pub(super) best_epoch: usize,
    pub(super) promoted: bool,
}

impl Train {
    pub(super) fn execute(self, onnxruntime: Option<&Path>) -> Result<()> {
        let config = Config::read(&self.config)?;
        cloudops_models::runtime::init(onnxruntime)?;
        let outcomes = train(&config, &self.config, self.stream.as_deref(), !self.no_promote)?;
        if self.json {
            return print_json(&outcomes);
        }
        let mut text = String::new();
        for outcome in &outcomes {
            text += &format!(
                "{}: {} {} from {} windows{}\n",
                outcome.stream,
                outcome.architecture,
                outcome.model,
                outcome.windows,
                if outcome.promoted { ", in force" } else { ", registered" }
            );
        }
        print(&text)
    }
}

/// Trains every stream that names an architecture (or the one named).
pub(super) fn train(
    config: &Config,
    path: &Path,
    only: Option<&str>,
    promote: bool,
) -> Result<Vec<Outcome>> {
    let job = config.validate(false)?;
    let registry = Registry::open(&config.registry()?)?;
    let runtime = tokio::runtime::Runtime::new().context("starting the I/O runtime")?;
    let mut outcomes = Vec::new();
    for stream in &job.streams {
        let Some(model) = stream.model.as_ref().filter(|model| model.architecture.is_some()) else {
            continue;
        };
        if only.is_some_and(|only| only != stream.name) {
            continue;
        }
        let (windows, data) = learning::windows(stream, &model.training, runtime.handle())?;
        let mut bar = Bar::new(&stream.name);
        let trained = learning::fit(stream, model, &windows, &mut bar)?;
        bar.bar.finish_and_clear();
        let id = register(&registry, &trained, &data, path)?;
        let promoted = promote && promote_first(&job, &runtime, &stream.name, &id)?;
        outcomes.push(Outcome {
            stream: stream.name.clone(),
            model: id,
            architecture: trained.specification.architecture.name(),
            windows: trained.report.windows_train,
            best_epoch: trained.report.best_epoch,
            promoted,
        });
    }
    ensure!(
        !outcomes.is_empty(),
        "nothing to train: no stream{} names model.architecture",
        only.map(|only| format!(" {only:?}")).unwrap_or_default()
    );
    Ok(outcomes)
}

/// Registers a trained model and writes its card.
fn register(
    registry: &Registry,
    trained: &Trained,
    data: &TrainingData,
    config: &Path,
) -> Result<ModelId> {
    let report = &trained.report;
    let extra = serde_json::json!({
        "specification": trained.specification,
        "report": report,
        "data": data,
    });
    let id = registry.register(
        &trained.specification.name,
        &trained.onnx,
        trained.info.clone(),
        extra,
    )?;
    let entry = registry.show(&id.to_string())?;
    let mut card = ModelCard::new(entry.info, trained.specification.architecture.name());
    card.specification = serde_json::to_value(&trained.specification)?;
    card.data = Some(DataCard {
        source: data.stream.clone(),
        train_windows: report.windows_train as u64,
        holdout_windows: report.windows_holdout as u64,
        calibration_windows: report.windows_calibration as u64,
        offsets: None,
        time_range: data.event_times_us,
        fingerprint: None,
    });
    card.curve = report
        .history
        .iter()
        .map(|pass| CurvePoint {
            epoch: pass.epoch as u32,
            train: f64::from(pass.train),
            holdout: f64::from(pass.holdout),
        })
        .collect();
    card.invariance = Some(entry.invariance);
    card.reproduce =
        vec![format!("cloudops train --config {} --stream {}", config.display(), data.stream)];
    registry.write_card(&card)?;
    Ok(id)
}

/// Puts a model in force from the beginning, if none is.
fn promote_first(
    job: &Job,
    runtime: &tokio::runtime::Runtime,
    stream: &str,
    id: &ModelId,
) -> Result<bool> {
    let mut catalog = runtime.block_on(Catalog::open_or_create(&job.catalog))?;
    if !catalog.state().timeline(stream).entries().is_empty() {
        return Ok(false);
    }
    let record = Record::Promote(Promote {
        stream: stream.to_owned(),
        model: id.clone(),
        effective_from_us: i64::MIN,
        reason: "trained, the first".to_owned(),
        promoted_at_us: SystemClock.now_us(),
    });
    runtime.block_on(catalog.append(record))?;
    Ok(true)
}

/// A bar over training passes.
struct Bar {
    bar: ProgressBar,
    stream: String,
}

impl Bar {
    fn new(stream: &str) -> Self {
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::new(1)
        } else {
            ProgressBar::hidden()
        };
        let style =
            ProgressStyle::with_template("{prefix} {bar:32} pass {pos}/{len}, {msg} [{elapsed}]")
                .expect("the template above is well formed");
        bar.set_style(style);
        bar.set_prefix(stream.to_owned());
        Self { bar, stream: stream.to_owned() }
    }
}

impl Progress for Bar {
    fn epoch(&mut self, epoch: usize, of: usize, train_loss: f32, holdout_loss: f32) {
        self.bar.set_length(of as u64);
        self.bar.set_position(epoch as u64);
        self.bar.set_message(format!("loss {train_loss:.4}, held out {holdout_loss:.4}"));
        tracing::info!(stream = %self.stream, epoch, of, train_loss, holdout_loss, "trained a pass");
    }
}
