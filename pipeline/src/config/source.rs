//! Where records come from.

use std::path::PathBuf;
use std::time::Duration;

use cloudops_datasets::Format;
use serde::Deserialize;

use super::parse_duration;

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
    /// Wait no more for a partition of which nothing has come for this long: windows close without it, and so
    /// does what rests on several streams. What it brings after all is judged by what has been closed
    /// meanwhile, so what is older goes to `late`. Longer than any pause that is usual, and than an outage that
    /// is to lose nothing. Only `run` does so, and only with `watch` or of topics. Default: wait for good.
    pub idle_after: Option<Duration>,
    /// The columns, in order, of a topic's CSV messages. Default: each has its own header line.
    pub columns: Option<Vec<String>>,
    /// How topics are reached: the keys `profile` and `tls`.
    pub fluvio: FluvioConfig,
    /// The format, `format = "…"`, with its own keys. Of messages: `sensor-wide`, `sensor-long`,
    /// `focus`, `charges` and the audit formats; their encoding is `json`, `ndjson`, `csv` or `arrow`, by default `json`.
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

/// The keys that say how a cluster is reached.
pub(super) fn take_fluvio(table: &mut toml::Table) -> Result<FluvioConfig, String> {
    let taken = ["profile", "tls"].into_iter().filter_map(|key| table.remove_entry(key));
    let taken: toml::Table = taken.collect();
    taken.try_into().map_err(|error: toml::de::Error| error.message().to_owned())
}

impl TryFrom<toml::Table> for SourceConfig {
    type Error = String;

    fn try_from(mut table: toml::Table) -> Result<Self, String> {
        let path = match table.remove("path") {
            Some(toml::Value::String(path)) => vec![path],
            Some(toml::Value::Array(paths)) => paths
                .into_iter()
                .map(|path| match path {
                    toml::Value::String(path) => Ok(path),
                    other => Err(format!("path: expected text, found {other}")),
                })
                .collect::<Result<_, _>>()?,
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
        let idle_after = duration("idle_after")?;
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
        Ok(Self { path, lateness, watch, idle_after, columns, fluvio, format })
    }
}
