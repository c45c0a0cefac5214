//! Seeded simulators of the three streams, which say what they put in.
//!
//! They write native formats (wide CSV, FOCUS CSV, CloudTrail `Records` in gzip), so that the
//! readers are on the path of every demo. The same configuration gives the same bytes.

use std::path::Path;

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};

use crate::file::NewFile;
use crate::{Error, Result};

mod audit;
pub mod cost;
pub mod fleet;
pub mod incident;
mod rng;
pub mod scaling;
pub mod sensor;
pub mod standby;

pub use audit::{AuditConfig, Principal, TheftTruth, Traffic};
pub use cost::{CostConfig, CostTruth, RestatementTruth, SpikeTruth};
pub use sensor::{EngineTruth, SensorConfig};

/// What to simulate; a stream that is absent is not written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimulationConfig {
    /// Everything follows from it.
    pub seed: u64,
    /// Engines, under `sensor/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensor: Option<SensorConfig>,
    /// Bills, under `cost/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<CostConfig>,
    /// Audit events, under `audit/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditConfig>,
}

impl Default for SimulationConfig {
    /// All three streams at their default sizes: seconds to write.
    fn default() -> Self {
        Self {
            seed: 1,
            sensor: Some(SensorConfig::default()),
            cost: Some(CostConfig::default()),
            audit: Some(AuditConfig::default()),
        }
    }
}

/// What was put into the simulated streams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// The configuration's seed.
    pub seed: u64,
    /// One for every engine.
    pub sensor: Vec<EngineTruth>,
    /// What the bills hold.
    pub cost: Option<CostTruth>,
    /// The credential theft.
    pub audit: Option<TheftTruth>,
    /// The files written, relative to the directory.
    pub files: Vec<String>,
    /// Records written, over all streams.
    pub records: u64,
}

/// Writes the simulated streams into a directory, and the truth as `truth.json` beside them.
///
/// `progress` is told the records written and the records to write.
///
/// # Errors
/// [`Error::Configuration`] when a size is out of range, [`Error::Write`] when a file cannot be
/// written.
pub fn write(
    dir: &Path,
    config: &SimulationConfig,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Truth> {
    let total = config.sensor.as_ref().map_or(0, SensorConfig::records)
        + config.cost.as_ref().map_or(0, CostConfig::records)
        + config.audit.as_ref().map_or(0, AuditConfig::records);
    let mut out = Output { dir, files: Vec::new(), records: 0, total, progress };
    let sensor = match &config.sensor {
        Some(sensor) => sensor::write(sensor, config.seed, &mut out)?,
        None => Vec::new(),
    };
    let cost = config.cost.as_ref().map(|cost| cost::write(cost, config.seed, &mut out));
    let cost = cost.transpose()?;
    let audit = config.audit.as_ref().map(|audit| audit::write(audit, config.seed, &mut out));
    let audit = audit.transpose()?;
    let Output { files, records, .. } = out;
    let truth = Truth { seed: config.seed, sensor, cost, audit, files, records };
    let mut file = NewFile::create(&dir.join("truth.json"))?;
    serde_json::to_writer_pretty(&mut file, &truth).map_err(|error| file.failed(error.into()))?;
    file.finish()?;
    Ok(truth)
}

/// Where simulators write, and whom they tell.
struct Output<'a> {
    dir: &'a Path,
    files: Vec<String>,
    records: u64,
    total: u64,
    progress: &'a mut dyn FnMut(u64, u64),
}

impl Output<'_> {
    fn create(&mut self, name: String) -> Result<NewFile> {
        let file = NewFile::create(&self.dir.join(&name))?;
        self.files.push(name);
        Ok(file)
    }

    fn wrote(&mut self, records: u64) {
        self.records += records;
        (self.progress)(self.records, self.total.max(self.records));
    }
}

/// A time in seconds, as RFC 3339.
fn rfc3339(seconds: i64) -> String {
    let time = DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The configured start, in seconds.
fn start_seconds(start: &str) -> Result<i64> {
    DateTime::parse_from_rfc3339(start)
        .map(|time| time.timestamp())
        .map_err(|error| Error::Configuration(format!("start {start:?}: {error}")))
}

/// Refuses a size that makes no stream.
fn at_least(name: &str, value: u64, least: u64) -> Result<()> {
    if value < least {
        return Err(Error::Configuration(format!("{name} is {value}, must be at least {least}")));
    }
    Ok(())
}
