//! Every setting, documented: one TOML file describes a job.
//!
//! [`Config`] is the file as written; unknown keys are refused. [`Config::validate`]
//! turns it into a [`crate::job::Job`], which alone can be run.

mod sink;
mod source;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cloudops_models::specification::Architecture;
use cloudops_operators::allocation::Allocation;
use cloudops_operators::anomaly::AnomalyConfig;
use cloudops_operators::attribute::AttributeConfig;
use cloudops_operators::bill::Dimension;
use cloudops_operators::budget::Budget;
use cloudops_operators::config_drift::ConfigDriftConfig;
use cloudops_operators::data_drift::DriftConfig;
use cloudops_operators::feature::sensor::Statistic;
use cloudops_operators::forecast::ForecastConfig;
use cloudops_operators::resource::{ResourcesConfig, UtilisationConfig};
use cloudops_operators::rollup::By;
use cloudops_operators::threshold::ThresholdConfig;
use cloudops_operators::window::WindowSpec;
use serde::Deserialize;

pub use self::sink::{
    AlertmanagerConfig, DeliveryConfig, EmailConfig, PagerDutyConfig, ReceiverConfig, Security,
    SinkConfig, TopicConfig, WebhookConfig,
};
pub use self::source::{FluvioConfig, SourceConfig, TlsConfig};
use crate::maintenance::MaintenanceConfig;
use crate::size;
use crate::source::cursor::Deliveries;

/// The configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where results, their log and the models live.
    pub catalog: CatalogConfig,
    /// How the job runs.
    #[serde(default)]
    pub run: RunConfig,
    /// What keeps the tables in shape.
    #[serde(default)]
    pub maintenance: MaintenanceConfig,
    /// The streams, one table each.
    #[serde(default, rename = "stream")]
    pub streams: Vec<StreamConfig>,
    /// Configuration: what counts as drift, where a stream declares anything. Default: see its keys.
    pub config_drift: Option<ConfigDriftConfig>,
    /// One row a resource, of all streams; none without this table.
    pub resources: Option<ResourcesConfig>,
    /// Where alerts are sent once their epoch is committed. Default: nowhere.
    #[serde(default, rename = "sink")]
    pub sinks: Vec<SinkConfig>,
}

/// `[catalog]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogConfig {
    /// A directory, or a URL such as `s3://bucket/prefix`. Relative paths are relative to the
    /// configuration file.
    pub url: String,
    /// Directory of the model registry. Default: `models` under a local catalog.
    pub registry: Option<PathBuf>,
}

/// `[run]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// Dataflow worker threads. Results do not depend on it. Default: the number of cores.
    pub workers: usize,
    /// Records an epoch takes of each stream at most; rows, where a message holds several. Results do not depend on it; smaller epochs
    /// commit sooner, hold fewer windows in memory and write more files. Default: 131,072.
    pub epoch_records: u64,
    /// How long a live epoch gathers records before it is cut. Default: 1 s.
    #[serde(deserialize_with = "duration")]
    pub epoch_interval: Duration,
    /// How often state is written down with a commit, so that a restart need not begin at the
    /// beginning. Results do not depend on it. Default: 30 s.
    #[serde(deserialize_with = "duration")]
    pub checkpoint_interval: Duration,
    /// Plans that may be uncommitted at a time: the back-pressure. Default: 3.
    pub epochs_in_flight: usize,
    /// Compression of result files: `none`, `snappy`, `lz4`, `zstd`. Default: `zstd`.
    pub compression: Compression,
    /// Whether local result files are synced to disk before a commit names them. Default: true.
    pub fsync: bool,
    /// Memory an epoch's records take of each stream at most, about: `"256MiB"`. Where records are
    /// large, this cuts before `epoch_records` does. Default: 256 MiB.
    #[serde(deserialize_with = "size::bytes")]
    pub epoch_bytes: u64,
    /// What the process may hold in memory, e.g. `"2GiB"`: near it, epochs shrink and go one by one,
    /// and the input is held back at its source. Results do not depend on it. Default: no limit.
    #[serde(deserialize_with = "size::some_bytes")]
    pub memory_limit: Option<u64>,
    /// A directory on a disk, for state that is put away until it is asked for: bills' months that
    /// have closed. Files there have no names and end with the process. Default: the system's
    /// directory for temporary files; where that is in memory, name another.
    pub scratch: Option<PathBuf>,
    /// For how long an epoch in flight may stand still, nothing moving that it needs, before that is
    /// named in the log, in `/status` and `/healthz`. Default: 4 s.
    #[serde(deserialize_with = "duration")]
    pub stall_after: Duration,
    /// Where `run` answers `/metrics`, `/status` and `/healthz`, e.g. `"127.0.0.1:9095"`; anyone who
    /// reaches it may read. `backfill` does so only with `--listen`. Default: nowhere.
    pub listen: Option<String>,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            epoch_records: 131_072,
            epoch_interval: Duration::from_secs(1),
            checkpoint_interval: Duration::from_secs(30),
            epochs_in_flight: 3,
            compression: Compression::Zstd,
            fsync: true,
            epoch_bytes: 256 << 20,
            memory_limit: None,
            scratch: None,
            stall_after: Duration::from_secs(4),
            listen: None,
        }
    }
}

/// Compression of result files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// None: largest and cheapest.
    None,
    /// Snappy.
    Snappy,
    /// LZ4, raw.
    Lz4,
    /// Zstandard at level 1: smallest.
    Zstd,
}

/// `[[stream]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamConfig {
    /// The stream's name: the `source` column of every result row.
    pub name: String,
    /// Where records come from and how they are read.
    pub source: SourceConfig,
    /// How rows are cut into windows. Not for cost, whose windows are days.
    pub window: Option<WindowSpec>,
    /// The feature vector. Default for sensors: mean, std, min, max, slope, rms.
    #[serde(default)]
    pub features: FeatureConfig,
    /// Cost: by what totals are told apart.
    pub bill: Option<BillConfig>,
    /// Cost: how days are judged against those before; none are without this table.
    pub anomaly: Option<AnomalyConfig>,
    /// Cost: what accounts will be charged; nothing is forecast without this table.
    pub forecast: Option<ForecastConfig>,
    /// Cost: what accounts may spend in a month, held against forecasts.
    #[serde(default, rename = "budget")]
    pub budgets: Vec<Budget>,
    /// Cost: whose costs are whose, with rules for those that several share.
    #[serde(default, rename = "allocation")]
    pub allocations: Vec<Allocation>,
    /// The model that scores. Without one, a stream is read and windowed but not scored.
    pub model: Option<ModelConfig>,
    /// Scores to verdicts.
    #[serde(default)]
    pub threshold: ThresholdConfig,
    /// Watching the input distribution; none watched without this table.
    pub drift: Option<DriftSettings>,
    /// Which attributions are written for alerts.
    #[serde(default)]
    pub attribution: AttributeConfig,
    /// Sensors: which channels say how much of an entity is used; with `[resources]` each is a resource.
    pub utilisation: Option<UtilisationConfig>,
    /// What is written besides scores and alerts.
    #[serde(default)]
    pub output: OutputConfig,
}

/// `[stream.features]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FeatureConfig {
    /// Sensor statistics, each over every channel.
    pub statistics: Option<Vec<Statistic>>,
    /// Cost: the services with a place of their own in the daily vector; the rest is `other`.
    pub services: Option<Vec<String>>,
}

/// `[stream.bill]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BillConfig {
    /// What costs are told apart by besides account, provider, billing account, service, currency and
    /// day: `service_category`, `region`, `resource`, `charge_category`, `invoice`, and `tag:NAME` for
    /// a tag's value. Every combination that occurs on a day is a key kept in memory. Default:
    /// `["region", "charge_category"]`.
    pub by: Vec<Dimension>,
    /// What costs are rolled up by, each alone, by day and by month: `account`, `provider`,
    /// `billing_account`, `service`, and whatever `by` names. Default:
    /// `["account", "provider", "service", "region"]`, or what of it there is.
    pub rollups: Option<Vec<By>>,
    /// Write every row of the bill to the table `cost_lines`, with FOCUS's other columns; the views
    /// `focus`, `commitment_utilisation` and `commitment_coverage` ask it. Default: false.
    pub lines: bool,
    /// Where bills without an identity of their rows are delivered anew as a whole: what is one
    /// delivery of a billing account's period, `"file"` or `"folder"`. Of two deliveries of a period
    /// the one whose name is greater replaces the other, so names begin with a date, or another thing
    /// that grows. An epoch takes a delivery whole. Default: none, and rows add up.
    pub deliveries: Option<Deliveries>,
}

impl BillConfig {
    /// Whether rows are read with FOCUS's other columns: to keep them, or for their billing period.
    #[must_use]
    pub fn wants_details(&self) -> bool {
        self.lines || self.deliveries.is_some()
    }

    /// The roll-ups asked for, or those that are usual.
    #[must_use]
    pub fn rollups(&self) -> Vec<By> {
        let usual = || {
            let mut usual = vec![By::Account, By::Provider, By::Service];
            usual.extend(
                self.by.contains(&Dimension::Region).then_some(By::Dimension(Dimension::Region)),
            );
            usual
        };
        self.rollups.clone().unwrap_or_else(usual)
    }
}

impl Default for BillConfig {
    fn default() -> Self {
        let by = vec![Dimension::Region, Dimension::ChargeCategory];
        Self { by, rollups: None, lines: false, deliveries: None }
    }
}

/// `[stream.model]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The name it is registered and promoted under. Default: the stream's name.
    pub name: Option<String>,
    /// What `cloudops train` fits: `vae-cnn`, `vae-transformer`, `vae-dense`, `autoencoder`, `pca`,
    /// `max-abs-z`.
    pub architecture: Option<Architecture>,
    /// A model brought along: an ONNX file, registered and promoted when the job first starts.
    pub onnx: Option<PathBuf>,
    /// Whether each entity with 20 training windows is standardised by itself, and the others by the
    /// fleet; of models that read features. Default: false.
    pub personal: Option<bool>,
    /// Latent dimensions.
    pub latents: Option<usize>,
    /// Passes over the training windows at most.
    pub epochs: Option<usize>,
    /// Training windows at most; more are thinned evenly.
    pub max_windows: Option<usize>,
    /// Seed of everything random in training. Default: 1.
    #[serde(default = "one")]
    pub seed: u64,
    /// What it is trained on.
    #[serde(default)]
    pub training: TrainingConfig,
}

fn one() -> u64 {
    1
}

/// `[stream.model.training]`: which records a model learns from. Default: all of the source.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingConfig {
    /// Read these instead of the source, in the same format.
    pub path: Option<String>,
    /// Only records before this event time, RFC 3339.
    pub until: Option<String>,
    /// Only windows that end after this event time, RFC 3339: what stands before it is remembered, and not
    /// learned from. Of audit events a week or two, as at first everything is new to everybody.
    pub from: Option<String>,
    /// Only the first rows of each entity: its healthy beginning.
    pub first_rows: Option<u64>,
    /// Share of each entity's windows, its last ones, kept for early stopping and calibration.
    /// Default: 0.2.
    pub holdout: Option<f64>,
}

/// `[stream.drift]`: the detector's own settings, and what follows.
#[derive(Debug, Clone, Deserialize)]
pub struct DriftSettings {
    /// Retrain on recent healthy windows when drift fires, and promote if better. Default: false.
    #[serde(default)]
    pub retrain: bool,
    /// The detector.
    #[serde(flatten)]
    pub detector: DriftConfig,
}

/// `[stream.output]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputConfig {
    /// Write every window's features to the `*_windows` table. Default: false.
    pub windows: bool,
    /// Write the raw values beside the features. Default: false.
    pub values: bool,
}

impl Config {
    /// Reads a configuration file. `${NAME}` stands for an environment variable; relative paths
    /// are taken from the file's directory.
    ///
    /// # Errors
    /// When it cannot be read, a variable is not set, or a key is unknown or of the wrong type:
    /// with line and column.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("reading the configuration {}", path.display()))?;
        let text = with_variables(&text, |name| std::env::var(name).ok())
            .with_context(|| format!("in {}", path.display()))?;
        let mut config: Self =
            toml::from_str(&text).with_context(|| format!("in {}", path.display()))?;
        let base = path.parent().unwrap_or(Path::new(""));
        let resolve = |path: &mut String| {
            if !path.contains("://") && Path::new(path).is_relative() {
                *path = base.join(&*path).to_string_lossy().into_owned();
            }
        };
        resolve(&mut config.catalog.url);
        let resolve_tls = |fluvio: &mut FluvioConfig| {
            if let Some(TlsConfig { ca, cert, key, .. }) = &mut fluvio.tls {
                for path in [Some(ca), cert.as_mut(), key.as_mut()].into_iter().flatten() {
                    *path = base.join(&*path);
                }
            }
        };
        for sink in &mut config.sinks {
            match sink {
                SinkConfig::Topic(topic) => resolve_tls(&mut topic.fluvio),
                SinkConfig::Delivery(delivery) => {
                    delivery.files().into_iter().for_each(|path| *path = base.join(&*path));
                }
            }
        }
        for stream in &mut config.streams {
            stream.source.path.iter_mut().for_each(resolve);
            resolve_tls(&mut stream.source.fluvio);
            if let Some(model) = &mut stream.model {
                model.training.path.iter_mut().for_each(resolve);
                model.onnx = model.onnx.take().map(|onnx| base.join(onnx));
            }
        }
        config.catalog.registry = config.catalog.registry.map(|path| base.join(path));
        if let Some(resources) = &mut config.resources {
            let model = resources.judge.model.take();
            resources.judge.model = model.map(|path| base.join(path));
        }
        config.run.scratch = config.run.scratch.map(|path| base.join(path));
        Ok(config)
    }

    /// The registry's directory.
    ///
    /// # Errors
    /// When the catalog is no local directory and no registry is named.
    pub fn registry(&self) -> Result<PathBuf> {
        if let Some(path) = &self.catalog.registry {
            return Ok(path.clone());
        }
        let url = self.catalog.url.strip_prefix("file://").unwrap_or(&self.catalog.url);
        if url.contains("://") {
            bail!("catalog.registry: name a local directory for models, as the catalog is {url}");
        }
        Ok(Path::new(url).join("models"))
    }
}

/// Puts the values of variables in the place of `${NAME}`, outside of comments.
fn with_variables(text: &str, value: impl Fn(&str) -> Option<String>) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    for (number, line) in text.lines().enumerate() {
        let mut rest = line;
        while let Some(at) = rest.find("${").filter(|_| !line.trim_start().starts_with('#')) {
            let Some(end) = rest[at..].find('}') else {
                bail!("line {}: ${{ without its closing brace", number + 1);
            };
            let name = &rest[at + 2..at + end];
            let value = value(name).with_context(|| {
                format!("line {}: the environment variable {name} is not set", number + 1)
            })?;
            out += &rest[..at];
            out += &value;
            rest = &rest[at + end + 1..];
        }
        out += rest;
        out.push('\n');
    }
    Ok(out)
}

/// Parses `250ms`, `5s`, `2m`, `1h`, `7d`.
///
/// # Errors
/// When it is none of these.
pub fn parse_duration(text: &str) -> std::result::Result<Duration, String> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(at);
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("{text:?} is no duration: write a number and ms, s, m, h or d"))?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(format!("{text:?} is no duration: the unit is ms, s, m, h or d")),
    };
    number
        .checked_mul(millis)
        .map(Duration::from_millis)
        .ok_or_else(|| format!("{text:?} is too long"))
}

pub(crate) fn duration<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).map_err(serde::de::Error::custom)
}
