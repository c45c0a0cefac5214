//! What a file holds, as configuration says it.

use std::collections::HashSet;
use std::path::Path;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::audit::{AuditSource, Provider};
#[cfg(doc)]
use super::charge::Identity;
use super::charge::{ChargeMapping, Export};
use super::configuration::{DocumentSource, ListSource, ManifestSource};
use super::time::TimeFormat;

/// Which kind of stream a format feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StreamKind {
    /// Telemetry: `operators::schema::sensor`.
    Sensor,
    /// API activity: `operators::schema::audit`.
    Audit,
    /// Bills: `operators::schema::cost`.
    Cost,
    /// Declarations and inventories: `operators::schema::configuration`.
    Configuration,
}

/// How records are laid out in bytes.
///
/// Without one the file name says it (`.csv`, `.txt`, `.tsv`, `.parquet`, `.ndjson`, `.jsonl`,
/// `.json`), after a `.gz` or `.zst`, which any text may have. A message without one is `json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// Delimited text with a header line.
    Csv,
    /// Apache Parquet.
    Parquet,
    /// One JSON object a line.
    Ndjson,
    /// One JSON array of objects, `{"Records": […]}`, or one object a line: the file shows which.
    Json,
    /// An Arrow IPC stream; of messages only.
    Arrow,
}

/// The file formats that can be read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "format", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Format {
    /// NASA C-MAPSS text: 26 columns between spaces, no header. Entity `<file stem>-<unit>`,
    /// time `base + cycle × step`.
    #[serde(rename = "cmapss")]
    CMapss {
        /// Time of cycle 0, RFC 3339.
        #[serde(default = "base")]
        base: String,
        /// Seconds a cycle; default one hour.
        #[serde(default = "hour")]
        step_seconds: u64,
    },
    /// Server Machine Dataset: 38 columns between commas, no header. Entity is the file stem,
    /// time `base + row × step`.
    Smd {
        /// Time of row 0, RFC 3339.
        #[serde(default = "base")]
        base: String,
        /// Seconds a row; default one minute.
        #[serde(default = "minute")]
        step_seconds: u64,
    },
    /// Application Server Dataset: header `f1,…,f19`. Entity is the file stem, time
    /// `base + row × step`.
    Asd {
        /// Time of row 0, RFC 3339.
        #[serde(default = "base")]
        base: String,
        /// Seconds a row; default five minutes.
        #[serde(default = "five_minutes")]
        step_seconds: u64,
    },
    /// Skoltech anomaly benchmark: 8 sensors between semicolons. Entity `<folder>/<file stem>`;
    /// the label columns are left out.
    Skab {},
    /// UCI AI4I 2020. Not a time series: time is `base + UDI × 1 minute`.
    Ai4i {
        /// The column that names the entity: `Product ID` (default) or `Type`.
        #[serde(default = "product_id")]
        entity: String,
        /// Time of UDI 0, RFC 3339.
        #[serde(default = "base")]
        base: String,
    },
    /// Numenta Anomaly Benchmark: `timestamp,value`. Entity `<folder>/<file stem>`.
    Nab {},
    /// Any table with one row an entity and instant.
    SensorWide {
        /// Where things stand.
        mapping: WideMapping,
    },
    /// Any table with one row an entity, instant and channel; pivoted.
    SensorLong {
        /// Where things stand.
        mapping: LongMapping,
    },
    /// FinOps Open Cost and Usage Specification 1.0 to 1.3.
    Focus {
        /// Layout; by file name when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        encoding: Option<Encoding>,
        /// Column of the instant at which a row became known; default: `ChargePeriodStart`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        known: Option<String>,
        /// Columns that say which line of the bill a row states, so that a later row replaces it;
        /// default: none, and rows add up.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        line: Vec<String>,
        /// Column of a line's version; see [`Identity`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<String>,
        /// Whether rows come with FOCUS's other columns; see [`Format::with_lines`].
        #[serde(skip)]
        lines: bool,
    },
    /// Amazon's cost and usage report, legacy or 2.0, mapped to FOCUS.
    AwsCur(Export),
    /// Microsoft's cost details as invoiced (`ActualCost`), mapped to FOCUS.
    AzureCost(Export),
    /// Microsoft's cost details amortised (`AmortizedCost`), mapped to FOCUS.
    AzureAmortisedCost(Export),
    /// Google's billing export, standard or detailed, mapped to FOCUS.
    GcpBilling(Export),
    /// Oracle's cost report, mapped to FOCUS.
    OciCost(Export),
    /// Any table of charges.
    Charges {
        /// Where things stand.
        mapping: Box<ChargeMapping>,
    },
    /// AWS CloudTrail: `{"Records": […]}`, a JSON array, or one event a line.
    #[serde(rename = "cloudtrail")]
    CloudTrail(AuditSource),
    /// Azure's activity, resource and directory logs, laid out alike.
    AzureActivity(AuditSource),
    /// Google Cloud's audit logs, as log entries.
    GcpAudit(AuditSource),
    /// A Kubernetes API server's audit log.
    KubernetesAudit(AuditSource),
    /// OCSF events that tell who did what.
    Ocsf(AuditSource),
    /// Terraform's states and plans: what is declared.
    Terraform(DocumentSource),
    /// Kubernetes manifests: what is declared.
    Kubernetes(ManifestSource),
    /// Plain lists of resources, YAML or JSON: what is declared, or what was seen.
    Resources(ListSource),
}

/// Where a wide table keeps entity, time and channels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WideMapping {
    /// Column that names the entity; the file stem names it when absent, of a message its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// Column of event time.
    pub time: String,
    /// How time is written; default `auto`.
    #[serde(default)]
    pub time_format: TimeFormat,
    /// The channels, in the order the stream declares them.
    pub channels: Channels,
    /// Layout; by file name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// Between fields of delimited text; default `,`.
    #[serde(default = "comma")]
    pub delimiter: char,
}

/// Where a long table keeps entity, time, channel and value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LongMapping {
    /// Column that names the entity.
    pub entity: String,
    /// Column of event time.
    pub time: String,
    /// How time is written; default `auto`.
    #[serde(default)]
    pub time_format: TimeFormat,
    /// Column that names the channel.
    pub channel: String,
    /// Column of the value.
    pub value: String,
    /// The channels, in the order the stream declares them. `column` is what the file calls it.
    pub channels: Channels,
    /// Rows that may stand between the first and the last row of one entity and instant;
    /// default 1024. Bounds memory; the last such row decides when a pivoted row is complete.
    #[serde(default = "look_ahead")]
    pub look_ahead: usize,
    /// Fill a missing channel with the entity's previous value in this file; default false:
    /// a pivoted row with a missing channel is rejected.
    #[serde(default)]
    pub carry_forward: bool,
    /// Layout; by file name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// Between fields of delimited text; default `,`.
    #[serde(default = "comma")]
    pub delimiter: char,
}

/// One channel of a sensor stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// The stream's name for it.
    pub name: String,
    /// The file's name for it; `name` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Unit of its values, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

impl Channel {
    /// The file's name for the channel.
    #[must_use]
    pub fn column(&self) -> &str {
        self.column.as_deref().unwrap_or(&self.name)
    }
}

/// A list of channels: not empty, names unique and not those of other columns.
///
/// Written as a list of names, or of `{ name, column, unit }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<ChannelText>", into = "Vec<Channel>")]
pub struct Channels {
    list: Vec<Channel>,
    names: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ChannelText {
    Name(String),
    Full(Channel),
}

impl TryFrom<Vec<ChannelText>> for Channels {
    type Error = String;

    fn try_from(texts: Vec<ChannelText>) -> Result<Self, String> {
        Self::new(
            texts
                .into_iter()
                .map(|text| match text {
                    ChannelText::Name(name) => Channel { name, column: None, unit: None },
                    ChannelText::Full(channel) => channel,
                })
                .collect(),
        )
    }
}

impl From<Channels> for Vec<Channel> {
    fn from(channels: Channels) -> Self {
        channels.list
    }
}

impl Channels {
    /// Checks and takes a list.
    ///
    /// # Errors
    /// A sentence, when the list is empty or a name is taken.
    pub fn new(list: Vec<Channel>) -> Result<Self, String> {
        use cloudops_operators::schema::{ENTITY_ID, OFFSET, TS};
        if list.is_empty() {
            return Err("channels is empty: name at least one".to_owned());
        }
        let mut taken = HashSet::from([ENTITY_ID, TS, OFFSET]);
        if let Some(twice) = list.iter().find(|channel| !taken.insert(&channel.name)) {
            return Err(format!("channel name {} is taken: rename one of them", twice.name));
        }
        let names = list.iter().map(|channel| channel.name.clone()).collect();
        Ok(Self { list, names })
    }

    /// Channels that the file calls by the stream's names.
    ///
    /// # Errors
    /// As [`Channels::new`].
    pub fn named<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Result<Self, String> {
        let plain = |name: S| Channel { name: name.into(), column: None, unit: None };
        Self::new(names.into_iter().map(plain).collect())
    }

    /// The names, in order.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The channels, in order.
    #[must_use]
    pub fn list(&self) -> &[Channel] {
        &self.list
    }
}

fn base() -> String {
    "2000-01-01T00:00:00Z".to_owned()
}
fn hour() -> u64 {
    3600
}
fn minute() -> u64 {
    60
}
fn five_minutes() -> u64 {
    300
}
fn product_id() -> String {
    "Product ID".to_owned()
}
pub(super) fn comma() -> char {
    ','
}
fn look_ahead() -> usize {
    1024
}

static CMAPSS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let settings = (1..=3).map(|i| format!("op_setting_{i}"));
    settings.chain((1..=21).map(|i| format!("sensor_{i:02}"))).collect()
});
static SMD: LazyLock<Vec<String>> =
    LazyLock::new(|| (1..=38).map(|i| format!("dim_{i:02}")).collect());
static ASD: LazyLock<Vec<String>> = LazyLock::new(|| (1..=19).map(|i| format!("f{i}")).collect());
static SKAB: LazyLock<Vec<String>> = LazyLock::new(|| stream_names(&SKAB_COLUMNS));
static AI4I: LazyLock<Vec<String>> = LazyLock::new(|| stream_names(&AI4I_COLUMNS));
static NAB: LazyLock<Vec<String>> = LazyLock::new(|| vec!["value".to_owned()]);

/// SKAB's sensors: (the stream's name, the file's).
pub(crate) const SKAB_COLUMNS: [(&str, &str); 8] = [
    ("accelerometer1_rms", "Accelerometer1RMS"),
    ("accelerometer2_rms", "Accelerometer2RMS"),
    ("current", "Current"),
    ("pressure", "Pressure"),
    ("temperature", "Temperature"),
    ("thermocouple", "Thermocouple"),
    ("voltage", "Voltage"),
    ("volume_flow_rate_rms", "Volume Flow RateRMS"),
];

/// AI4I's measurements: (the stream's name, the file's).
pub(crate) const AI4I_COLUMNS: [(&str, &str); 5] = [
    ("air_temperature", "Air temperature [K]"),
    ("process_temperature", "Process temperature [K]"),
    ("rotational_speed", "Rotational speed [rpm]"),
    ("torque", "Torque [Nm]"),
    ("tool_wear", "Tool wear [min]"),
];

fn stream_names(columns: &[(&str, &str)]) -> Vec<String> {
    columns.iter().map(|(name, _)| (*name).to_owned()).collect()
}

impl Format {
    /// FOCUS laid out as the file's name says, whose rows add up.
    #[must_use]
    pub fn focus() -> Self {
        Self::Focus { encoding: None, known: None, line: Vec::new(), version: None, lines: false }
    }

    /// A bill's format whose rows come with FOCUS's other columns
    /// ([`cloudops_operators::schema::focus::DETAILS`]), so that the rows themselves can be kept;
    /// another format as it is.
    #[must_use]
    pub fn with_lines(mut self) -> Self {
        match &mut self {
            Self::Focus { lines, .. } => *lines = true,
            Self::Charges { mapping } => mapping.lines = true,
            Self::AwsCur(export)
            | Self::AzureCost(export)
            | Self::AzureAmortisedCost(export)
            | Self::GcpBilling(export)
            | Self::OciCost(export) => export.lines = true,
            _ => {}
        }
        self
    }

    /// Whether its rows state lines of a bill, and replace what was said of them.
    #[must_use]
    pub fn states_lines(&self) -> bool {
        match self {
            Self::Focus { line, .. } => !line.is_empty(),
            Self::Charges { mapping } => !mapping.identity.line.is_empty(),
            _ => self.export().is_some_and(|export| !export.line.is_empty()),
        }
    }

    /// Whether its rows come so.
    #[must_use]
    pub fn lines(&self) -> bool {
        match self {
            Self::Focus { lines, .. } => *lines,
            Self::Charges { mapping } => mapping.lines,
            _ => self.export().is_some_and(|export| export.lines),
        }
    }

    /// Who wrote a format's audit events, and the keys beside it.
    pub(super) fn audit(&self) -> Option<(Provider, &AuditSource)> {
        match self {
            Self::CloudTrail(source) => Some((Provider::CloudTrail, source)),
            Self::AzureActivity(source) => Some((Provider::Azure, source)),
            Self::GcpAudit(source) => Some((Provider::Gcp, source)),
            Self::KubernetesAudit(source) => Some((Provider::Kubernetes, source)),
            Self::Ocsf(source) => Some((Provider::Ocsf, source)),
            _ => None,
        }
    }

    /// What a provider's own export is read by.
    fn export(&self) -> Option<&Export> {
        match self {
            Self::AwsCur(export)
            | Self::AzureCost(export)
            | Self::AzureAmortisedCost(export)
            | Self::GcpBilling(export)
            | Self::OciCost(export) => Some(export),
            _ => None,
        }
    }

    /// Which stream the format feeds.
    #[must_use]
    pub fn kind(&self) -> StreamKind {
        match self {
            Self::CMapss { .. }
            | Self::Smd { .. }
            | Self::Asd { .. }
            | Self::Skab {}
            | Self::Ai4i { .. }
            | Self::Nab {}
            | Self::SensorWide { .. }
            | Self::SensorLong { .. } => StreamKind::Sensor,
            Self::Focus { .. }
            | Self::AwsCur(_)
            | Self::AzureCost(_)
            | Self::AzureAmortisedCost(_)
            | Self::GcpBilling(_)
            | Self::OciCost(_)
            | Self::Charges { .. } => StreamKind::Cost,
            Self::CloudTrail(_)
            | Self::AzureActivity(_)
            | Self::GcpAudit(_)
            | Self::KubernetesAudit(_)
            | Self::Ocsf(_) => StreamKind::Audit,
            Self::Terraform(_) | Self::Kubernetes(_) | Self::Resources(_) => {
                StreamKind::Configuration
            }
        }
    }

    /// A sensor format's channels, in order; none for others.
    #[must_use]
    pub fn channels(&self) -> Option<&[String]> {
        match self {
            Self::CMapss { .. } => Some(&CMAPSS),
            Self::Smd { .. } => Some(&SMD),
            Self::Asd { .. } => Some(&ASD),
            Self::Skab {} => Some(&SKAB),
            Self::Ai4i { .. } => Some(&AI4I),
            Self::Nab {} => Some(&NAB),
            Self::SensorWide { mapping } => Some(mapping.channels.names()),
            Self::SensorLong { mapping } => Some(mapping.channels.names()),
            _ => None,
        }
    }

    /// The Arrow schema of the rows that a reader of this format hands on.
    #[must_use]
    pub fn schema(&self) -> arrow::datatypes::SchemaRef {
        use cloudops_operators::schema;
        match (self.kind(), self.channels()) {
            (StreamKind::Audit, _) => schema::audit::schema(),
            (StreamKind::Configuration, _) => schema::configuration::schema(),
            (StreamKind::Cost, _) if self.lines() => schema::focus::schema(),
            (StreamKind::Cost, _) => schema::cost::schema(),
            (StreamKind::Sensor, channels) => schema::sensor::schema(channels.unwrap_or_default()),
        }
    }

    /// Whether a file of this name, in a directory laid out as published, holds records.
    ///
    /// Leaves out label files, licences, read-me files and hidden files.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let path = Path::new(name);
        let file = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        if file.starts_with(['.', '_']) || file.starts_with("readme") || file.starts_with("licen") {
            return false;
        }
        let below = |folder: &str| path.parent().is_some_and(|p| p.ends_with(folder));
        let labels = below("test_label") || below("interpretation_label") || below("labels");
        let plain = file.trim_end_matches(".gz").trim_end_matches(".zst");
        let has = |endings: &[&str]| endings.iter().any(|ending| plain.ends_with(ending));
        let by = |encoding: &Option<Encoding>| match encoding {
            Some(_) => true,
            None => has(&[".csv", ".tsv", ".parquet", ".ndjson", ".jsonl", ".json"]),
        };
        match self {
            Self::CMapss { .. } => {
                (plain.starts_with("train_") || plain.starts_with("test_")) && has(&[".txt"])
            }
            Self::Smd { .. } => !labels && has(&[".txt", ".csv"]),
            Self::Asd { .. } => !labels && has(&[".csv"]) && plain != "anomaly_type.csv",
            Self::Skab {} | Self::Ai4i { .. } | Self::Nab {} => !labels && has(&[".csv"]),
            Self::SensorWide { mapping } => by(&mapping.encoding),
            Self::SensorLong { mapping } => by(&mapping.encoding),
            Self::Focus { encoding, .. } => by(encoding),
            Self::Charges { mapping } => by(&mapping.encoding),
            Self::AwsCur(export)
            | Self::AzureCost(export)
            | Self::AzureAmortisedCost(export)
            | Self::GcpBilling(export)
            | Self::OciCost(export) => by(&export.encoding),
            Self::CloudTrail(_)
            | Self::AzureActivity(_)
            | Self::GcpAudit(_)
            | Self::KubernetesAudit(_)
            | Self::Ocsf(_) => has(&[".json", ".jsonl", ".ndjson", ".log"]),
            Self::Terraform(_) => has(&[".tfstate", ".json"]),
            Self::Kubernetes(_) | Self::Resources(_) => has(&[".yaml", ".yml", ".json"]),
        }
    }
}

/// A file name without folders and endings: `machine-1-1` of `smd/train/machine-1-1.txt.gz`.
pub(crate) fn stem(name: &str) -> String {
    let file = Path::new(name).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let plain = file.strip_suffix(".gz").or_else(|| file.strip_suffix(".zst")).unwrap_or(&file);
    match plain.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem.to_owned(),
        _ => plain.to_owned(),
    }
}

/// The stem behind the folder's name: `valve1/0` of `skab/valve1/0.csv`.
pub(crate) fn folder_stem(name: &str) -> String {
    let folder = Path::new(name).parent().and_then(Path::file_name);
    match folder {
        Some(folder) => format!("{}/{}", folder.to_string_lossy(), stem(name)),
        None => stem(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_give_entities() {
        assert_eq!(stem("smd/train/machine-1-1.txt.gz"), "machine-1-1");
        assert_eq!(stem(".csv"), ".csv");
        assert_eq!(folder_stem("/data/skab/valve1/0.csv"), "valve1/0");
        assert_eq!(folder_stem("0.csv.zst"), "0");
    }

    #[test]
    fn label_files_hold_no_records() {
        let smd = Format::Smd { base: base(), step_seconds: 60 };
        assert!(smd.matches("smd/train/machine-1-1.txt.gz"));
        assert!(!smd.matches("smd/test_label/machine-1-1.txt"));
        let cmapss = Format::CMapss { base: base(), step_seconds: 3600 };
        assert!(cmapss.matches("cmapss/train_FD001.txt"));
        assert!(!cmapss.matches("cmapss/RUL_FD001.txt"));
        assert!(!cmapss.matches("cmapss/readme.txt"));
    }

    #[test]
    fn formats_are_written_as_in_the_configuration() {
        let wide: Format = serde_json::from_str(
            r#"{"format": "sensor-wide", "mapping": {"entity": "machine", "time": "ts",
                "time_format": "ms", "channels": ["a", {"name": "b", "column": "B", "unit": "K"}]}}"#,
        )
        .unwrap();
        assert_eq!(wide.channels().unwrap(), ["a", "b"]);
        let again: Format = serde_json::from_str(&serde_json::to_string(&wide).unwrap()).unwrap();
        assert_eq!(wide, again);
        for name in [
            "cmapss",
            "smd",
            "asd",
            "skab",
            "ai4i",
            "nab",
            "focus",
            "cloudtrail",
            "azure-activity",
            "gcp-audit",
            "kubernetes-audit",
            "ocsf",
            "terraform",
            "kubernetes",
            "resources",
            "aws-cur",
            "azure-cost",
            "azure-amortised-cost",
            "gcp-billing",
            "oci-cost",
        ] {
            let format: Format =
                serde_json::from_str(&format!(r#"{{"format": "{name}"}}"#)).unwrap();
            let typo = format!(r#"{{"format": "{name}", "chanels": 1}}"#);
            assert!(serde_json::from_str::<Format>(&typo).is_err(), "{format:?}");
        }
    }

    #[test]
    fn channel_names_are_unique() {
        for bad in [r#"[]"#, r#"["a", "a"]"#, r#"["ts"]"#] {
            assert!(serde_json::from_str::<Channels>(bad).is_err(), "{bad}");
        }
    }
}
