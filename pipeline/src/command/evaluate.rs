//! `cloudops evaluate`: the models on real data, with baselines beside them.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand};
use cloudops_models::evaluate::audit::{AuditOptions, evaluate_audit};
use cloudops_models::evaluate::cost::{
    CostModel, CostOptions, CostProgress, CostSet, evaluate_cost,
};
use cloudops_models::evaluate::incident::{IncidentOptions, evaluate_incidents};
use cloudops_models::evaluate::policy::{PolicyOptions, evaluate_policy};
use cloudops_models::evaluate::row::Row;
use cloudops_models::evaluate::sensor::{Options, Progress, SensorSet, evaluate_sensor};
use cloudops_models::evaluate::zombie::{ZombieOptions, evaluate_zombie};
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
    /// Forecasts of cost 30, 60 and 90 days ahead, from rolling origins.
    Cost(Cost),
    /// Strange days of simulated bills whose incidents are known, and their causes.
    Incidents(OfIncidents),
    /// Attack techniques in ordinary API traffic, at a fixed budget of alerts.
    Audit(Audit),
    /// Idle resources: real machines next month, and a simulated fleet whose truth is known.
    Zombie(Zombie),
    /// Scaling and stopping: cost against violations, of rules and of what is learned.
    Policy(Policy),
}

/// Where a report goes.
#[derive(Debug, Args)]
struct Show {
    /// Also write the report here, as Markdown and JSON, and as SVG where it has charts.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Print the rows as a JSON array instead of the report.
    #[arg(long)]
    json: bool,
}

/// What follows from a seed.
#[derive(Debug, Args)]
struct Seeded {
    /// Seeds everything that is drawn: what is simulated, samples, training.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Less of everything: to see that it works.
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    show: Show,
}

impl Show {
    fn report(
        &self,
        markdown: &str,
        json: &str,
        write: impl Fn(&Path) -> cloudops_models::Result<Vec<PathBuf>>,
    ) -> Result<()> {
        if let Some(dir) = &self.output {
            for path in write(dir)? {
                tracing::info!(path = %path.display(), "wrote");
            }
        }
        print(if self.json { json } else { markdown })
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudops evaluate zombie --data datasets\n  \
    cloudops evaluate zombie --data datasets --json\n  \
    cloudops evaluate zombie --data datasets --output models/evaluation")]
struct Zombie {
    /// A directory with the folder `bitbrains_rnd`.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    #[command(flatten)]
    seeded: Seeded,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudops evaluate policy --data datasets\n  \
    cloudops evaluate policy --data datasets --json\n  \
    cloudops evaluate policy --data datasets --output models/evaluation")]
struct Policy {
    /// A directory with folders `bitbrains_rnd`, `planetlab_cpu`, `nab`, `alibaba_gentd26_gpu`.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Seeds learned at once; no effect on the figures.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    #[command(flatten)]
    seeded: Seeded,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudops evaluate incidents\n  \
    cloudops evaluate incidents --json\n  \
    cloudops evaluate incidents --output models/evaluation")]
struct OfIncidents {
    #[command(flatten)]
    seeded: Seeded,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudops evaluate audit --data datasets\n  \
    cloudops evaluate audit --data datasets --json\n  \
    cloudops evaluate audit --data datasets --output models/evaluation")]
struct Audit {
    /// A directory with folders `cloudtrail_stratus`, `cloudtrail_otrf`, `audit_rule_cases_panther`.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    #[command(flatten)]
    seeded: Seeded,
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
    #[command(flatten)]
    show: Show,
}

#[derive(Debug, Args)]
#[command(after_help = "Errors are fractions: a wape_total of 0.08 is eight per cent of an \
    account's month.\n\nExamples:\n  cloudops evaluate cost --data datasets\n  \
    cloudops evaluate cost --data datasets --sets mybinder --models seasonal-naive,champion --json\n  \
    cloudops evaluate cost --data datasets --output models/evaluation")]
struct Cost {
    /// A directory with folders `mybinder_gcp_cost`, `radian_aws_monthly`, `elec2_drift`, `nab`,
    /// `bitbrains_rnd`; those that it lacks are passed by.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Only these sets: mybinder, radian, elec2, nab, bitbrains.
    #[arg(long, value_delimiter = ',')]
    sets: Vec<CostSet>,
    /// Only these models: seasonal-naive, ets, theta, robust, prophet, bilstm, ensemble, champion.
    #[arg(long, value_delimiter = ',')]
    models: Vec<CostModel>,
    /// Seeds everything that is drawn.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The first two series of each set, six origins a horizon: to see that it works.
    #[arg(long)]
    quick: bool,
    /// Series evaluated at once; no effect on the figures.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    #[command(flatten)]
    show: Show,
}

fn architecture(name: &str) -> Result<Architecture, String> {
    Architecture::ALL.into_iter().find(|a| a.name() == name).ok_or_else(|| {
        let known = Architecture::ALL.map(Architecture::name).join(", ");
        format!("unknown model: choose of {known}")
    })
}

impl Evaluate {
    pub(super) fn execute(self, onnxruntime: Option<&Path>) -> Result<()> {
        cloudops_models::runtime::init(onnxruntime)?;
        match self.what {
            What::Sensor(sensor) => sensor.execute(),
            What::Cost(cost) => cost.execute(),
            What::Incidents(incidents) => incidents.execute(),
            What::Audit(audit) => audit.execute(),
            What::Zombie(zombie) => zombie.execute(),
            What::Policy(policy) => policy.execute(),
        }
    }
}

impl Sensor {
    fn execute(self) -> Result<()> {
        let mut options = Options {
            sets: self.sets,
            quick: self.quick,
            seed: self.seed,
            threads: self.threads,
            ..Options::default()
        };
        if !self.models.is_empty() {
            options.models = self.models;
        }
        let mut bar = Bar::new();
        let evaluation = evaluate_sensor(&self.data, &options, &mut bar)?;
        bar.0.finish_and_clear();
        let (markdown, json) = (evaluation.to_markdown(), evaluation.to_json());
        self.show.report(&markdown, &json, |dir| evaluation.write(dir))
    }
}

impl Cost {
    fn execute(self) -> Result<()> {
        let mut options = CostOptions {
            sets: self.sets,
            quick: self.quick,
            seed: self.seed,
            threads: self.threads,
            ..CostOptions::default()
        };
        if !self.models.is_empty() {
            options.models = self.models;
        }
        let mut bar = Bar::new();
        let evaluation = evaluate_cost(&self.data, &options, &mut bar)?;
        bar.0.finish_and_clear();
        let (markdown, json) = (evaluation.to_markdown(), evaluation.to_json());
        self.show.report(&markdown, &json, |dir| evaluation.write(dir))
    }
}

impl OfIncidents {
    fn execute(self) -> Result<()> {
        let Seeded { seed, quick, show } = &self.seeded;
        let options = IncidentOptions { seed: *seed, quick: *quick };
        let evaluation = evaluate_incidents(&options)?;
        let (markdown, json) = (evaluation.to_markdown(), evaluation.to_json());
        show.report(&markdown, &json, |dir| evaluation.write(dir))
    }
}

impl Audit {
    fn execute(self) -> Result<()> {
        let Seeded { seed, quick, show } = &self.seeded;
        let options = AuditOptions { seed: *seed, quick: *quick };
        let evaluation = evaluate_audit(&self.data, &options)?;
        let (markdown, json) = (evaluation.to_markdown(), evaluation.to_json());
        show.report(&markdown, &json, |dir| evaluation.write(dir))
    }
}

impl Zombie {
    fn execute(self) -> Result<()> {
        let Seeded { seed, quick, show } = &self.seeded;
        let options = ZombieOptions { seed: *seed, quick: *quick };
        let evaluation = evaluate_zombie(&self.data, &options)?;
        let (markdown, json) = (evaluation.to_markdown(), evaluation.to_json());
        show.report(&markdown, &json, |dir| evaluation.write(dir))
    }
}

impl Policy {
    fn execute(self) -> Result<()> {
        let Seeded { seed, quick, show } = &self.seeded;
        let options = PolicyOptions { seed: *seed, quick: *quick, threads: self.threads };
        let bar = Bar::new().0;
        let evaluation = evaluate_policy(&self.data, &options, &mut |done, of, set| {
            bar.set_length(of as u64);
            bar.set_position(done as u64);
            bar.set_message(set.to_owned());
        })?;
        bar.finish_and_clear();
        let (markdown, json) = (evaluation.to_markdown(), evaluation.to_json());
        show.report(&markdown, &json, |dir| evaluation.write(dir))
    }
}

/// A bar over pairs of entity and model, or over series.
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

impl CostProgress for Bar {
    fn begin(&mut self, series: usize) {
        self.0.set_length(series as u64);
    }

    fn done(&mut self, set: CostSet, series: &str) {
        self.0.set_message(format!("{set} {series}"));
        self.0.inc(1);
    }
}
