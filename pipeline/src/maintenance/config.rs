//! `[maintenance]`: what keeps the tables in shape.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cloudops_sql::table::{self, Kind};
use serde::Deserialize;

use super::{Settings, retain};
use crate::config::{Compression, duration, parse_duration};

/// `[maintenance]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaintenanceConfig {
    /// Merge small files while `run` goes on; a backfill leaves its files to `cloudops compact`.
    /// Default: true.
    pub compact: bool,
    /// Publish every table as Delta Lake, below `data/<table>`. Default: true.
    pub delta: bool,
    /// How often a running job publishes and merges. Default: 10 s.
    #[serde(deserialize_with = "duration")]
    pub interval: Duration,
    /// Least number of neighbouring small files that are merged. Default: 16.
    pub files: usize,
    /// Rows of a merged file at most. Default: 1,000,000.
    pub rows: u64,
    /// How long files that were merged or are past their retention stay in the store, for queries and
    /// Delta versions that still name them. Default: 7 d.
    #[serde(deserialize_with = "duration")]
    pub keep: Duration,
    /// By table, how long rows stay: `[maintenance.retention]`, `sensor_windows = "90d"`. By event
    /// time, a whole file at a time. Tables not named here keep everything.
    pub retention: BTreeMap<String, String>,
}

impl Default for MaintenanceConfig {
    fn default() -> Self {
        Self {
            compact: true,
            delta: true,
            interval: Duration::from_secs(10),
            files: 16,
            rows: 1_000_000,
            keep: Duration::from_secs(7 * 86_400),
            retention: BTreeMap::new(),
        }
    }
}

impl MaintenanceConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// Naming the field and the fix.
    pub fn validate(&self, compression: Compression) -> Result<Settings> {
        ensure!(self.files >= 2, "maintenance.files is {}: at least two are merged", self.files);
        ensure!(self.rows > 0, "maintenance.rows is 0: a merged file has rows");
        let mut retention = BTreeMap::new();
        for (name, keep) in &self.retention {
            let field = format!("maintenance.retention.{name}");
            let known = table::find(name).is_some_and(|table| table.kind == Kind::Result);
            ensure!(known, "{field}: there is no result table of that name: see `cloudops tables`");
            ensure!(
                retain::time_column(name).is_some(),
                "{field}: its rows have no event time to go by; remove it"
            );
            let keep = parse_duration(keep).map_err(anyhow::Error::msg).context(field)?;
            retention.insert(name.clone(), keep);
        }
        Ok(Settings {
            compact: self.compact,
            delta: self.delta,
            interval: self.interval,
            files: self.files,
            rows: self.rows,
            compression,
            retention,
            keep: self.keep,
        })
    }
}
