//! What keeps a catalog in shape beside the job: small files merged, old rows let go, dead files
//! deleted, tables published as Delta Lake.
//!
//! Nothing here takes the catalog over. Its records may be appended by anyone; where two meet, their
//! order in the log decides, and the later one looks again. So a job may do it on a thread of its
//! own, and a person by command on another machine meanwhile.

mod collect;
mod compact;
pub mod config;
mod delta;
mod retain;
mod service;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use cloudops_sql::Error;
use cloudops_sql::catalog::Catalog;
use cloudops_sql::catalog::record::Record;
use serde::Serialize;

use crate::clock::Clock;
use crate::config::Compression;
pub use config::MaintenanceConfig;
pub(crate) use service::Service;

/// How a catalog is kept: [`MaintenanceConfig`], checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether a running job merges small files.
    pub compact: bool,
    /// Whether tables are published as Delta Lake.
    pub delta: bool,
    /// How often a running job looks after its catalog.
    pub interval: Duration,
    /// Least number of neighbouring small files that are worth merging.
    pub files: usize,
    /// Rows of a merged file at most.
    pub rows: u64,
    /// Compression of merged files.
    pub compression: Compression,
    /// By table, how long rows stay, by their event time.
    pub retention: BTreeMap<String, Duration>,
    /// How long files that were replaced stay, for those who are reading them.
    pub keep: Duration,
}

/// What a round has done.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Done {
    /// Merges made.
    pub merges: u64,
    /// Small files that went into them.
    pub merged: u64,
    /// Files whose time was over.
    pub expired: u64,
    /// Objects deleted.
    pub deleted: u64,
    /// Delta Lake versions written.
    pub published: u64,
}

/// Keeps one catalog.
#[derive(Debug)]
pub struct Maintainer {
    catalog: Catalog,
    settings: Settings,
    clock: Arc<dyn Clock>,
    delta: delta::Publisher,
}

impl Maintainer {
    /// Keeps the catalog that a handle has opened.
    #[must_use]
    pub fn new(catalog: Catalog, settings: Settings, clock: Arc<dyn Clock>) -> Self {
        Self { catalog, settings, clock, delta: delta::Publisher::default() }
    }

    /// Merges small files until there is nothing left that is worth it. `told` hears of every merge.
    ///
    /// # Errors
    /// When the store fails, or a file is not the one that was committed.
    pub async fn compact(&mut self, mut told: impl FnMut(&str, usize)) -> Result<Done> {
        let mut done = Done::default();
        self.catalog.refresh().await?;
        self.catalog.confirm().await?;
        while let Some(merge) = compact::next(self.catalog.state(), &self.settings) {
            let record =
                compact::make(self.catalog.store(), &merge, &self.settings, &*self.clock).await?;
            let files = record.removes.len();
            if self.append(Record::Compact(record)).await? {
                told(&merge.table, files);
                done.merges += 1;
                done.merged += files as u64;
            }
        }
        Ok(done)
    }

    /// Lets files go whose rows are all older than their table keeps them.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn retain(&mut self) -> Result<Done> {
        let mut done = Done::default();
        self.catalog.refresh().await?;
        for (table, keep) in &self.settings.retention.clone() {
            let now_us = self.clock.now_us();
            let Some(expire) = retain::expire(self.catalog.state(), table, *keep, now_us) else {
                continue;
            };
            let files = expire.removes.len() as u64;
            if self.append(Record::Expire(expire)).await? {
                done.expired += files;
            }
        }
        Ok(done)
    }

    /// Deletes what nothing refers to and nobody can still be reading; only says so where `dry`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn collect(&mut self, dry: bool) -> Result<(Done, Vec<String>)> {
        self.catalog.refresh().await?;
        let before_us = self.clock.now_us().saturating_sub(micros(self.settings.keep));
        let found = collect::found(&self.catalog, before_us).await?;
        let mut done = Done::default();
        if !dry {
            for paths in found.chunks(collect::AT_ONCE) {
                let left = self.catalog.collect(paths).await?;
                ensure!(left == 0, "{left} objects could not be deleted: try again");
                done.deleted += paths.len() as u64;
            }
        }
        Ok((done, found))
    }

    /// Publishes what was committed since the last time as Delta Lake.
    ///
    /// # Errors
    /// When the store fails, or somebody else writes to the Delta tables.
    pub async fn publish(&mut self) -> Result<Done> {
        self.catalog.refresh().await?;
        // Delta's log must never be ahead of ours.
        self.catalog.confirm().await?;
        let published = self.delta.publish(&self.catalog, &*self.clock).await?;
        Ok(Done { published, ..Done::default() })
    }

    /// Appends a record; `false` where another was faster and there is no place for it any more.
    async fn append(&mut self, record: Record) -> Result<bool> {
        match self.catalog.append(record).await {
            Ok(_) => Ok(true),
            Err(Error::Superseded { kind, reason }) => {
                tracing::info!(kind, reason, "superseded");
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
