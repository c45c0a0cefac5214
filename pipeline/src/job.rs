//! A validated job: what the coordinator and the workers are given.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use cloudops_datasets::{Format, Messages, StreamKind};
use cloudops_models::zombie::PRETRAINED;
use cloudops_operators::allocation::{Allocation, Allocations};
use cloudops_operators::anomaly::AnomalyConfig;
use cloudops_operators::attribute::AttributeConfig;
use cloudops_operators::bill::{Bill, Dimension};
use cloudops_operators::budget::{Budget, Budgets};
use cloudops_operators::config_drift::ConfigDriftConfig;
use cloudops_operators::feature::sensor::{Features, Statistic};
use cloudops_operators::forecast::ForecastConfig;
use cloudops_operators::key::hex;
use cloudops_operators::resource::{Judging, ResourcesConfig, UtilisationConfig};
use cloudops_operators::rollup::{By, Rollups};
use cloudops_operators::threshold::ThresholdConfig;
use cloudops_operators::window::WindowSpec;
use sha2::{Digest, Sha256};

use crate::config::{
    BillConfig, Compression, Config, DriftSettings, FluvioConfig, ModelConfig, OutputConfig,
    SinkConfig, SourceConfig, StreamConfig, TopicConfig,
};
use crate::delivery::DeliveryJob;
use crate::forecaster;
use crate::maintenance::Settings;
use crate::source::fluvio::address::Address;

/// Everything a run needs to know; made by [`Config::validate`] alone.
#[derive(Debug)]
pub struct Job {
    /// The catalog's directory or URL.
    pub catalog: String,
    /// Dataflow worker threads.
    pub workers: usize,
    /// Records an epoch takes of each stream at most.
    pub epoch_records: u64,
    /// Memory that they take at most, about.
    pub epoch_bytes: u64,
    /// What the process may hold in memory.
    pub memory_limit: Option<u64>,
    /// Where state is put away until it is asked for.
    pub scratch: PathBuf,
    /// For how long an epoch in flight may stand still before it is named.
    pub stall_after: Duration,
    /// How long a live epoch gathers records.
    pub epoch_interval: Duration,
    /// How often state is written down with a commit.
    pub checkpoint_interval: Duration,
    /// Plans that may be uncommitted at a time.
    pub epochs_in_flight: usize,
    /// Compression of result files.
    pub compression: Compression,
    /// Whether local files are synced before a commit names them.
    pub fsync: bool,
    /// What keeps the tables in shape.
    pub maintenance: Settings,
    /// The streams, by index.
    pub streams: Vec<Arc<StreamJob>>,
    /// What is drift of configuration, where a stream says anything of that.
    pub config_drift: Option<ConfigDriftJob>,
    /// What is known of resources, where that is asked for.
    pub resources: Option<ResourcesJob>,
    /// Where alerts are sent.
    pub sinks: Vec<SinkJob>,
    /// A hash of everything that decides result rows: two jobs with the same one agree on them.
    pub hash: String,
}

impl Job {
    /// Streams, by index, that something rests on together: its results wait for the least of their
    /// watermarks. Of config drift, and of resources.
    #[must_use]
    pub fn together(&self) -> Vec<Vec<usize>> {
        let those = |rests: fn(&StreamJob) -> bool| {
            let streams = self.streams.iter().enumerate();
            streams.filter(|(_, stream)| rests(stream)).map(|(index, _)| index).collect()
        };
        let drift = self.config_drift.as_ref().map(|_| those(configures));
        drift.into_iter().chain(self.resources.as_ref().map(|_| those(says_of_resources))).collect()
    }
}

/// Config drift, which rests on several streams.
#[derive(Debug, Clone)]
pub struct ConfigDriftJob {
    /// The stream, by index, whose path keeps its state: the first of configuration.
    pub home: usize,
    /// What counts as drift.
    pub config: ConfigDriftConfig,
}

/// Resources, which rest on several streams.
#[derive(Debug, Clone)]
pub struct ResourcesJob {
    /// The stream, by index, whose path keeps their state: the first that says anything of resources.
    pub home: usize,
    /// Whether any stream measures how much of them is used, so that they can be judged.
    pub judges: bool,
    /// How they are known and judged.
    pub config: ResourcesConfig,
    /// The forest that judges them, an ONNX file.
    pub model: Arc<[u8]>,
}

/// Where alerts are sent.
#[derive(Debug, Clone)]
pub enum SinkJob {
    /// A topic.
    Topic(TopicJob),
    /// A receiver that is sent messages.
    Delivery(Box<DeliveryJob>),
}

/// A topic that alerts are sent to.
#[derive(Debug, Clone)]
pub struct TopicJob {
    /// The partition that they are written to.
    pub address: Address,
    /// How it is reached.
    pub fluvio: FluvioConfig,
}

/// One stream of a job.
#[derive(Debug)]
pub struct StreamJob {
    /// The `source` column of its rows.
    pub name: String,
    /// Sensor, audit, cost or configuration.
    pub kind: StreamKind,
    /// Partition paths.
    pub paths: Vec<String>,
    /// How records are read.
    pub format: Format,
    /// The columns of a topic's CSV messages.
    pub columns: Option<Vec<String>>,
    /// How topics are reached.
    pub fluvio: FluvioConfig,
    /// Allowed disorder, µs.
    pub lateness_us: i64,
    /// How often to look for new files; `None` reads once.
    pub watch: Option<Duration>,
    /// For how long, µs by the clock on the wall, a partition is waited for of which nothing comes; `None`
    /// for good.
    pub idle_after_us: Option<i64>,
    /// Declared channels; empty unless sensor.
    pub channels: Vec<String>,
    /// How rows are cut into windows (days, for cost).
    pub window: WindowSpec,
    /// Sensor statistics.
    pub statistics: Vec<Statistic>,
    /// By what a bill's totals are told apart.
    pub bill: BillConfig,
    /// How a bill's days are judged.
    pub anomaly: Option<AnomalyConfig>,
    /// When and what of a bill is forecast.
    pub forecast: Option<ForecastConfig>,
    /// What forecasts are held against.
    pub budgets: Vec<Budget>,
    /// Whose costs are whose.
    pub allocations: Vec<Allocation>,
    /// Cost services with a place of their own.
    pub services: Vec<String>,
    /// What scores; `None` leaves the stream unscored.
    pub model: Option<ModelConfig>,
    /// Scores to verdicts.
    pub threshold: ThresholdConfig,
    /// Drift detection.
    pub drift: Option<DriftSettings>,
    /// Attributions.
    pub attribution: AttributeConfig,
    /// Which channels say how much of an entity is used.
    pub utilisation: Option<UtilisationConfig>,
    /// What else is written.
    pub output: OutputConfig,
}

impl StreamJob {
    /// The name its model is registered under.
    #[must_use]
    pub fn model_name(&self) -> &str {
        self.model.as_ref().and_then(|model| model.name.as_deref()).unwrap_or(&self.name)
    }

    /// The tables of its windows and its scores; none of configuration, which has neither.
    #[must_use]
    pub fn tables(&self) -> Option<(&'static str, &'static str)> {
        match self.kind {
            StreamKind::Sensor => Some(("sensor_windows", "sensor_scores")),
            StreamKind::Audit => Some(("audit_windows", "audit_scores")),
            StreamKind::Cost => Some(("cost_windows", "cost_scores")),
            StreamKind::Configuration => None,
        }
    }

    /// Whether a cost stream's days are described: for a model, or to be written.
    #[must_use]
    pub fn wants_days(&self) -> bool {
        self.model.is_some() || self.output.windows
    }

    /// Steps from one window of an entity to the next, where windows count rows and overlap.
    #[must_use]
    pub fn hop(&self) -> Option<usize> {
        match self.window {
            WindowSpec::Count { length, hop } if hop < length => Some(hop as usize),
            _ => None,
        }
    }

    /// `sensor`, `audit`, `cost` or `configuration`.
    #[must_use]
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            StreamKind::Sensor => "sensor",
            StreamKind::Audit => "audit",
            StreamKind::Cost => "cost",
            StreamKind::Configuration => "configuration",
        }
    }

    /// Steps of a window when all have as many; `None` for windows by time.
    #[must_use]
    pub fn steps(&self) -> Option<usize> {
        match self.window {
            WindowSpec::Count { length, .. } => Some(length as usize),
            _ => None,
        }
    }
}

impl Config {
    /// Checks the configuration and makes the job; `watch` is honoured only where `live`.
    ///
    /// # Errors
    /// Naming the stream, the field and the fix.
    pub fn validate(&self, live: bool) -> Result<Job> {
        ensure!(!self.streams.is_empty(), "no stream is configured: add a [[stream]] table");
        ensure!(self.run.workers > 0, "run.workers is 0: at least one is needed");
        ensure!(self.run.workers <= 256, "run.workers is {}: 256 at most", self.run.workers);
        ensure!(self.run.epoch_records > 0, "run.epoch_records is 0: at least one is needed");
        ensure!(self.run.epochs_in_flight > 0, "run.epochs_in_flight is 0: at least one is needed");
        ensure!(self.run.epoch_bytes > 0, "run.epoch_bytes is 0: at least one is needed");
        ensure!(
            self.run.stall_after >= Duration::from_millis(100),
            "run.stall_after is {:?}: less than 100ms would name what only waits its turn",
            self.run.stall_after
        );
        let measured = self.streams.iter().any(|stream| stream.utilisation.is_some());
        let details = self.resources.is_some() && measured;
        let mut names = BTreeSet::new();
        let mut streams = Vec::with_capacity(self.streams.len());
        for stream in &self.streams {
            ensure!(names.insert(&stream.name), "two streams are named {:?}", stream.name);
            let stream = validate_stream(stream, live, details)
                .with_context(|| format!("stream {:?}", stream.name))?;
            streams.push(Arc::new(stream));
        }
        let home = streams.iter().position(|stream| stream.kind == StreamKind::Configuration);
        ensure!(
            home.is_some() || self.config_drift.is_none(),
            "config_drift: no stream declares anything; add one of format terraform, kubernetes or \
             resources"
        );
        let config = self.config_drift.clone().unwrap_or_default();
        config.validate()?;
        let config_drift = home.map(|home| ConfigDriftJob { home, config });
        let resources = self.resources.as_ref().map(|config| validate_resources(config, &streams));
        let resources = resources.transpose().context("resources")?;
        let unasked = streams.iter().find(|stream| stream.utilisation.is_some());
        if let Some(stream) = unasked.filter(|_| resources.is_none()) {
            bail!(
                "stream {:?}: utilisation is part of what is known of resources: add [resources]",
                stream.name
            );
        }
        let sinks = validate_sinks(&self.sinks)?;
        Ok(Job {
            catalog: self.catalog.url.clone(),
            workers: self.run.workers,
            epoch_records: self.run.epoch_records,
            epoch_bytes: self.run.epoch_bytes,
            memory_limit: self.run.memory_limit,
            scratch: self.run.scratch.clone().unwrap_or_else(std::env::temp_dir),
            stall_after: self.run.stall_after,
            epoch_interval: self.run.epoch_interval,
            checkpoint_interval: self.run.checkpoint_interval,
            epochs_in_flight: self.run.epochs_in_flight,
            compression: self.run.compression,
            fsync: self.run.fsync,
            maintenance: self.maintenance.validate(self.run.compression)?,
            hash: hash(&streams, config_drift.as_ref(), resources.as_ref()),
            streams,
            config_drift,
            resources,
            sinks,
        })
    }
}

/// Whether a stream says anything of configuration.
fn configures(stream: &StreamJob) -> bool {
    matches!(stream.kind, StreamKind::Audit | StreamKind::Configuration)
}

/// Whether a stream says anything of resources.
fn says_of_resources(stream: &StreamJob) -> bool {
    stream.kind != StreamKind::Sensor || stream.utilisation.is_some()
}

fn validate_resources(
    config: &ResourcesConfig,
    streams: &[Arc<StreamJob>],
) -> Result<ResourcesJob> {
    config.validate()?;
    let home = streams.iter().position(|stream| says_of_resources(stream)).context(
        "no stream says anything of resources: add bills, audit events or declarations, or \
         [stream.utilisation] to a sensor stream",
    )?;
    for stream in streams.iter().filter(|stream| stream.kind == StreamKind::Cost) {
        ensure!(
            stream.bill.by.contains(&Dimension::Resource),
            "the bill {:?} does not tell resources apart: add \"resource\" to its bill.by",
            stream.name
        );
    }
    let model = match &config.judge.model {
        Some(path) => {
            let read = std::fs::read(path);
            read.with_context(|| format!("judge.model: reading {}", path.display()))?.into()
        }
        None => Arc::from(PRETRAINED),
    };
    let judges = streams.iter().any(|stream| stream.utilisation.is_some());
    Ok(ResourcesJob { home, judges, config: config.clone(), model })
}

/// `details` says that bills are read with FOCUS's other columns, which say what sizes cost.
fn validate_stream(stream: &StreamConfig, live: bool, details: bool) -> Result<StreamJob> {
    let name = &stream.name;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    ensure!(
        !name.is_empty() && name.chars().all(plain),
        "name: only letters, digits, - and _ (it names folders)"
    );
    ensure!(!stream.source.path.is_empty(), "source.path is empty: name at least one");
    let kind = stream.source.format.kind();
    let channels = stream.source.format.channels().unwrap_or_default().to_vec();
    let window = match (kind, &stream.window) {
        (StreamKind::Cost | StreamKind::Configuration, None) => {
            WindowSpec::Tumbling { duration_us: DAY_US }
        }
        (StreamKind::Cost, Some(_)) => bail!("window: a cost stream's windows are days; remove it"),
        (StreamKind::Configuration, Some(_)) => {
            bail!("window: configuration has none; remove it")
        }
        (_, Some(window)) => *window,
        (_, None) => {
            bail!("window is missing, e.g. window = {{ kind = \"count\", length = 30, hop = 5 }}")
        }
    };
    window.validate().context("window")?;
    validate_idle(&stream.source)?;
    validate_topics(&stream.source)?;
    let statistics = stream.features.statistics.clone().unwrap_or_else(|| {
        use Statistic::{Max, Mean, Min, Rms, Slope, Std};
        vec![Mean, Std, Min, Max, Slope, Rms]
    });
    if kind == StreamKind::Sensor {
        Features::new(statistics.clone(), channels.len()).context("features")?;
    }
    ensure!(
        kind == StreamKind::Cost || stream.features.services.is_none(),
        "features.services is for cost streams"
    );
    ensure!(kind == StreamKind::Cost || stream.bill.is_none(), "bill is for cost streams");
    if let Some(bill) = &stream.bill {
        validate_bill(bill).context("bill")?;
        if bill.deliveries.is_some() {
            ensure!(
                !stream.source.format.states_lines(),
                "bill.deliveries: rows that state a line replace each other without it; remove one"
            );
            let topics = stream.source.path.iter().any(|path| path.starts_with("fluvio://"));
            ensure!(!topics, "bill.deliveries is for files, and source.path names a topic");
        }
    }
    if let Some(anomaly) = &stream.anomaly {
        ensure!(kind == StreamKind::Cost, "anomaly is for cost streams; others have threshold");
        anomaly.validate().context("anomaly")?;
    }
    if let Some(forecast) = &stream.forecast {
        ensure!(kind == StreamKind::Cost, "forecast is for cost streams");
        forecaster::validate(forecast).context("forecast")?;
    }
    if !stream.budgets.is_empty() {
        let ahead = stream.forecast.as_ref().map(|forecast| forecast.horizon_days);
        let ahead =
            ahead.context("budget needs forecasts to be held against: add [stream.forecast]")?;
        ensure!(
            ahead >= 31,
            "forecast.horizon_days is {ahead}: budgets need 31, for a month's end to be in sight"
        );
        Budgets::new(&stream.budgets)?;
    }
    if !stream.allocations.is_empty() {
        ensure!(kind == StreamKind::Cost, "allocation is for cost streams");
        let bill = stream.bill.clone().unwrap_or_default();
        Allocations::new(&stream.allocations, &bill.by)?;
    }
    if kind == StreamKind::Configuration {
        ensure!(stream.model.is_none(), "model: configuration is compared, not scored; remove it");
        ensure!(stream.drift.is_none(), "drift: watches models' input; configuration has none");
        ensure!(!stream.output.windows, "output.windows: configuration has none");
    }
    if let Some(utilisation) = &stream.utilisation {
        ensure!(kind == StreamKind::Sensor, "utilisation is for sensor streams");
        utilisation.validate(&channels)?;
    }
    if let Some(model) = &stream.model {
        ensure!(
            model.architecture.is_some() || model.onnx.is_some(),
            "model: name an architecture to train or an onnx file to bring"
        );
        if let Some(share) = model.training.holdout {
            ensure!((0.0..1.0).contains(&share), "model.training.holdout is {share}: in [0, 1)");
        }
    }
    stream.threshold.validate()?;
    if let Some(drift) = &stream.drift {
        drift.detector.validate()?;
        ensure!(
            !drift.retrain || stream.model.as_ref().is_some_and(|m| m.architecture.is_some()),
            "drift.retrain needs model.architecture: there is nothing to retrain"
        );
    }
    Ok(StreamJob {
        name: name.clone(),
        kind,
        paths: stream.source.path.clone(),
        format: match details || stream.bill.as_ref().is_some_and(BillConfig::wants_details) {
            true => stream.source.format.clone().with_lines(),
            false => stream.source.format.clone(),
        },
        columns: stream.source.columns.clone(),
        fluvio: stream.source.fluvio.clone(),
        lateness_us: i64::try_from(stream.source.lateness.as_micros()).unwrap_or(i64::MAX),
        watch: stream.source.watch.filter(|_| live),
        idle_after_us: stream
            .source
            .idle_after
            .filter(|_| live)
            .map(|idle_after| i64::try_from(idle_after.as_micros()).unwrap_or(i64::MAX)),
        channels,
        window,
        statistics,
        bill: stream.bill.clone().unwrap_or_default(),
        anomaly: stream.anomaly.clone(),
        forecast: stream.forecast.clone(),
        budgets: stream.budgets.clone(),
        allocations: stream.allocations.clone(),
        services: stream.features.services.clone().unwrap_or_default(),
        model: stream.model.clone(),
        threshold: stream.threshold.clone(),
        drift: stream.drift.clone(),
        attribution: stream.attribution.clone(),
        utilisation: stream.utilisation.clone(),
        output: stream.output.clone(),
    })
}

fn validate_bill(bill: &BillConfig) -> Result<()> {
    ensure!(
        !bill.lines || bill.deliveries.is_none(),
        "lines keeps rows as they were stated, and deliveries replaces them: choose one"
    );
    Bill::new(&bill.by)?;
    Rollups::new(bill.rollups())?;
    for rollup in bill.rollups() {
        if let By::Dimension(dimension) = &rollup {
            ensure!(
                bill.by.contains(dimension),
                "rollups names {rollup}, which totals are not told apart by: add it to `by`"
            );
        }
    }
    Ok(())
}

/// Checks what is said of topics, and that nothing is said of them where there are none.
fn validate_idle(source: &SourceConfig) -> Result<()> {
    let Some(idle_after) = source.idle_after else { return Ok(()) };
    ensure!(!idle_after.is_zero(), "source.idle_after is 0: nothing would ever be waited for");
    let topics = source.path.iter().any(|path| path.starts_with("fluvio://"));
    ensure!(
        topics || source.watch.is_some(),
        "source.idle_after is for input that grows: set source.watch, or remove it"
    );
    Ok(())
}

fn validate_topics(source: &SourceConfig) -> Result<()> {
    let (mut any, mut all) = (false, true);
    for path in &source.path {
        let address = Address::parse(path).context("source.path")?;
        all &= address.is_some();
        if let Some(address) = address {
            any = true;
            Messages::new(&address.to_string(), &source.format, source.columns.as_deref())
                .context("source")?;
        }
    }
    ensure!(
        !all || source.watch.is_none(),
        "source.watch is for files: `run` follows topics anyway"
    );
    ensure!(any || source.columns.is_none(), "source.columns is for a topic's CSV messages");
    let FluvioConfig { profile, tls } = &source.fluvio;
    ensure!(
        any || (profile.is_none() && tls.is_none()),
        "source.profile and source.tls are for topics, and source.path names none"
    );
    Ok(())
}

fn validate_sinks(sinks: &[SinkConfig]) -> Result<Vec<SinkJob>> {
    let mut names = BTreeSet::new();
    let validate = |sink: &SinkConfig| match sink {
        SinkConfig::Topic(topic) => validate_topic(topic).map(SinkJob::Topic),
        SinkConfig::Delivery(delivery) => {
            let name = delivery.name.clone();
            let job = delivery.validate().with_context(|| format!("sink {name:?}"))?;
            ensure!(names.insert(name.clone()), "two sinks are named {name:?}");
            Ok(SinkJob::Delivery(Box::new(job)))
        }
    };
    sinks.iter().map(validate).collect()
}

fn validate_topic(sink: &TopicConfig) -> Result<TopicJob> {
    let address = Address::parse(&sink.address).context("sink.fluvio")?;
    let address = address.with_context(|| {
        format!("sink.fluvio: {:?} is no topic: write fluvio://host:9003/topic", sink.address)
    })?;
    let address = address.with_partition(address.partition.unwrap_or(0));
    Ok(TopicJob { address, fluvio: sink.fluvio.clone() })
}

const DAY_US: i64 = 86_400_000_000;

/// What decides result rows: everything of a stream but where its model file and watch interval are,
/// and how its topics are reached. When partitions were idle is in the plans.
fn hash(
    streams: &[Arc<StreamJob>],
    config_drift: Option<&ConfigDriftJob>,
    resources: Option<&ResourcesJob>,
) -> String {
    let mut digest = Sha256::new();
    for stream in streams {
        let StreamJob { name, paths, format, lateness_us, window, statistics, services, .. } =
            &**stream;
        let StreamJob { threshold, drift, attribution, output, .. } = &**stream;
        digest.update(format!(
            "{name:?}{paths:?}{format:?}{lateness_us}{window:?}{statistics:?}{services:?}{threshold:?}{drift:?}{attribution:?}{output:?}"
        ));
        if stream.kind == StreamKind::Cost {
            digest.update(format!("{:?}{:?}", stream.bill, stream.anomaly));
            digest.update(format!("{:?}{:?}", stream.forecast, stream.budgets));
            if !stream.allocations.is_empty() {
                digest.update(format!("{:?}", stream.allocations));
            }
        }
        if let Some(columns) = &stream.columns {
            digest.update(format!("{columns:?}"));
        }
        if let Some(utilisation) = &stream.utilisation {
            digest.update(format!("{utilisation:?}"));
        }
    }
    if let Some(ResourcesJob { config, model, judges, .. }) = resources {
        // The model by what it is, and not by where it lies.
        let judge = Judging { model: None, ..config.judge.clone() };
        digest.update(format!("{:?}", ResourcesConfig { judge, ..config.clone() }));
        if *judges {
            digest.update(model);
        }
    }
    if let Some(config_drift) = config_drift {
        digest.update(format!("{:?}", config_drift.config));
    }
    hex(&digest.finalize()[..8])
}
