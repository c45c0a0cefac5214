//! Every setting, documented: one TOML file describes a job.
//!
//! [`Config`] is the file as written; unknown keys are refused. [`Config::validate`]
//! turns it into a [`crate::job::Job`], which alone can be run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cloudops_datasets::Format;
use cloudops_models::specification::Architecture;
use cloudops_operators::attribute::AttributeConfig;
use cloudops_operators::data_drift::DriftConfig;
use cloudops_operators::feature::sensor::Statistic;
use cloudops_operators::threshold::ThresholdConfig;
use cloudops_operators::window::WindowSpec;
use serde::Deserialize;

use crate::maintenance::MaintenanceConfig;
use crate::size;

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
    /// Where alerts are sent, besides the tables. Default: nowhere.
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
    /// What is written besides scores and alerts.
    #[serde(default)]
    pub output: OutputConfig,
}

/// `[stream.source]`: these keys, and the format's own beside them.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct SourceConfig {
    /// One path or several: each is a partition. A file, a directory or a glob read in name
    /// order, or an object URL. `fluvio://host:9003/topic` stands for a partition of the stream for
    /// every one of the topic, `fluvio://host:9003/topic/2` for that one alone. `run` follows a topic;
    /// `backfill` reads what it holds when the job starts.
    pub path: Vec<String>,
    /// How much a record may be older than the newest before it. Default: 0.
    pub lateness: Duration,
    /// Look for new files this often, and never end; only `run` does so. Default: read once.
    pub watch: Option<Duration>,
    /// The columns, in order, of a topic's CSV messages. Default: each has its own header line.
    pub columns: Option<Vec<String>>,
    /// How topics are reached: the keys `profile` and `tls`.
    pub fluvio: FluvioConfig,
    /// The format, `format = "…"`, with its own keys. Of messages: `sensor-wide`, `sensor-long`,
    /// `focus`, `cloudtrail`; their encoding is `json`, `ndjson`, `csv` or `arrow`, by default `json`.
    pub format: Format,
}

/// How a Fluvio cluster is reached. No result depends on it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FluvioConfig {
    /// A profile of Fluvio's own configuration: its TLS settings, and its endpoint where the address
    /// names no host (`fluvio:///topic`). Default: none, and no TLS.
    pub profile: Option<String>,
    /// TLS, in place of the profile's.
    pub tls: Option<TlsConfig>,
}

/// `tls = { … }`: paths are relative to the configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The authority that the cluster's certificates are checked against, PEM.
    pub ca: PathBuf,
    /// Our own certificate, PEM, where the cluster asks for one; with `key`.
    pub cert: Option<PathBuf>,
    /// Our own key, PEM.
    pub key: Option<PathBuf>,
    /// The name in the controller's certificate; a broker's is `<broker>.<domain>`. Default: the
    /// address's host.
    pub domain: Option<String>,
}

/// `[[sink]]`: where alerts are sent once their epoch is committed. At least once: after a crash some
/// may come again, with the same key.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct SinkConfig {
    /// The key `fluvio`: a topic, whose first partition is written to, or `fluvio://host:9003/topic/2`.
    /// Nobody else may write there: the last record says what has been sent.
    pub address: String,
    /// How it is reached: the keys `profile` and `tls`.
    pub fluvio: FluvioConfig,
}

impl TryFrom<toml::Table> for SinkConfig {
    type Error = String;

    fn try_from(mut table: toml::Table) -> std::result::Result<Self, String> {
        let Some(toml::Value::String(address)) = table.remove("fluvio") else {
            return Err("fluvio is missing: a topic's address, fluvio://host:9003/topic".to_owned());
        };
        let fluvio = take_fluvio(&mut table)?;
        match table.keys().next() {
            Some(key) => Err(format!("unknown key {key}: a sink has fluvio, profile and tls")),
            None => Ok(Self { address, fluvio }),
        }
    }
}

/// The keys that say how a cluster is reached.
fn take_fluvio(table: &mut toml::Table) -> std::result::Result<FluvioConfig, String> {
    let taken = ["profile", "tls"].into_iter().filter_map(|key| table.remove_entry(key));
    let taken: toml::Table = taken.collect();
    taken.try_into().map_err(|error: toml::de::Error| error.message().to_owned())
}

impl TryFrom<toml::Table> for SourceConfig {
    type Error = String;

    fn try_from(mut table: toml::Table) -> std::result::Result<Self, String> {
        let path = match table.remove("path") {
            Some(toml::Value::String(path)) => vec![path],
            Some(toml::Value::Array(paths)) => paths
                .into_iter()
                .map(|path| match path {
                    toml::Value::String(path) => Ok(path),
                    other => Err(format!("path: expected text, found {other}")),
                })
                .collect::<std::result::Result<_, _>>()?,
            Some(other) => return Err(format!("path: expected text or a list, found {other}")),
            None => return Err("path is missing: a file, directory, glob or URL".to_owned()),
        };
        let mut duration = |key: &str| match table.remove(key) {
            None => Ok(None),
            Some(toml::Value::String(text)) => {
                parse_duration(&text).map(Some).map_err(|error| format!("{key}: {error}"))
            }
            Some(other) => Err(format!("{key}: expected a duration such as \"5s\", found {other}")),
        };
        let lateness = duration("lateness")?.unwrap_or_default();
        let watch = duration("watch")?;
        let columns = match table.remove("columns") {
            None => None,
            Some(columns) => match columns.try_into::<Vec<String>>() {
                Ok(columns) => Some(columns),
                Err(error) => return Err(format!("columns: {}", error.message())),
            },
        };
        let fluvio = take_fluvio(&mut table)?;
        let format = toml::Value::Table(table).try_into().map_err(|error: toml::de::Error| {
            format!("the source's format: {}", error.message())
        })?;
        Ok(Self { path, lateness, watch, columns, fluvio, format })
    }
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

/// `[stream.model]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The name it is registered and promoted under. Default: the stream's name.
    pub name: Option<String>,
    /// What `cloudops train` fits: `vae-cnn`, `vae-transformer`, `vae-dense`, `pca`, `max-abs-z`.
    pub architecture: Option<Architecture>,
    /// A model brought along: an ONNX file, registered and promoted when the job first starts.
    pub onnx: Option<PathBuf>,
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
        config.sinks.iter_mut().for_each(|sink| resolve_tls(&mut sink.fluvio));
        for stream in &mut config.streams {
            stream.source.path.iter_mut().for_each(resolve);
            resolve_tls(&mut stream.source.fluvio);
            if let Some(model) = &mut stream.model {
                model.training.path.iter_mut().for_each(resolve);
                model.onnx = model.onnx.take().map(|onnx| base.join(onnx));
            }
        }
        config.catalog.registry = config.catalog.registry.map(|path| base.join(path));
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
