//! `cloudops evaluate`: the models on real data, with baselines beside them.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand};
use cloudops_models::evaluate::row::Row;
use cloudops_models::evaluate::sensor::{Options, Progress, SensorSet, evaluate_sensor};
use cloudops_models::specification::Architecture;
use indicatif::{ProgressBar, ProgressStyle};

use super::print;

/// Measure the models on real data.
#[derive(Debug, Args)]
pub(super) struct Evaluate {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Sensor models on SMD, SKAB, NAB and C-MAPSS: one table, no point-adjust.
    Sensor(Sensor),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudops evaluate sensor --data datasets\n  \
    cloudops evaluate sensor --data datasets --sets smd --models pca,max-abs-z --json\n  \
    cloudops evaluate sensor --data datasets --output models/evaluation")]
struct Sensor {
    /// A directory with folders `smd`, `skab`, `nab`, `cmapss`.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Only these sets.
    #[arg(long, value_delimiter = ',')]
    sets: Vec<SensorSet>,
    /// Only these models.
    #[arg(long, value_delimiter = ',', value_parser = architecture)]
    models: Vec<Architecture>,
    /// Seeds every training.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The first two entities of each set, and short training: to see that it works.
    #[arg(long)]
    quick: bool,
    /// Models trained and scored at once; no effect on the figures.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Also write the report here, as Markdown, JSON and SVG.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Print the rows as a JSON array instead of the report.
    #[arg(long)]
    json: bool,
}

fn architecture(name: &str) -> Result<Architecture, String> {
    Architecture::ALL.into_iter().find(|a| a.name() == name).ok_or_else(|| {
        let known = Architecture::ALL.map(Architecture::name).join(", ");
        format!("unknown model: choose of {known}")
    })
}

impl Evaluate {
    pub(super) fn execute(self, onnxruntime: Option<&Path>) -> Result<()> {
        let What::Sensor(sensor) = self.what;
        cloudops_models::runtime::init(onnxruntime)?;
        let mut options = Options {
            sets: sensor.sets,
            quick: sensor.quick,
            seed: sensor.seed,
            threads: sensor.threads,
            ..Options::default()
        };
        if !sensor.models.is_empty() {
            options.models = sensor.models;
        }
        let mut bar = Bar::new();
        let evaluation = evaluate_sensor(&sensor.data, &options, &mut bar)?;
        bar.0.finish_and_clear();
        if let Some(dir) = &sensor.output {
            for path in evaluation.write(dir)? {
                tracing::info!(path = %path.display(), "wrote");
            }
        }
        if sensor.json { print(&evaluation.to_json()) } else { print(&evaluation.to_markdown()) }
    }
}

/// A bar over pairs of entity and model.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let style =
            ProgressStyle::with_template("{bar:32} {pos}/{len} {msg} [{elapsed}, {eta} left]")
                .expect("the template above is well formed");
        Self(ProgressBar::new(0).with_style(style))
    }
}

impl Progress for Bar {
    fn begin(&mut self, jobs: usize) {
        self.0.set_length(jobs as u64);
    }

    fn done(&mut self, row: &Row) {
        self.0.set_message(format!("{} {} {}", row.set, row.entity, row.model));
        self.0.inc(1);
    }
}
