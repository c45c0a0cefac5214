//! `cloudops compact`, `gc` and `publish`: maintenance by hand, also beside a running job.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use cloudops_sql::catalog::Catalog;
use console::style;
use indicatif::ProgressBar;
use tokio::runtime::Runtime;

use super::{print, print_json};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::maintenance::Maintainer;

/// Merge small result files into large sorted ones.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudops compact --config pipeline.toml\n\n\
    A running job merges its own files; this needs no stop of it. Rows do not change. The files merged\n\
    stay for `maintenance.keep`, and `cloudops gc` deletes them.")]
pub(super) struct Compact {
    #[command(flatten)]
    common: Common,
}

/// Let old rows go, and delete files that nothing refers to.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudops gc --config pipeline.toml --dry-run\n  \
    cloudops gc --config pipeline.toml\n\n\
    Rows past `maintenance.retention` are taken out of their tables. Deleted is what was merged or taken\n\
    out longer than `maintenance.keep` ago, and what a run that was killed has left behind.")]
pub(super) struct Gc {
    #[command(flatten)]
    common: Common,
    /// Only say what would be deleted; change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Publish the tables as Delta Lake.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloudops publish --config pipeline.toml\n\n\
    `run` and `backfill` do so by themselves unless `maintenance.delta` is false. The tables lie below\n\
    data/<table> of the catalog: point any reader of Delta Lake there.")]
pub(super) struct Publish {
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Common {
    /// The job's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Overrides `catalog.url`.
    #[arg(long, value_name = "URL")]
    catalog: Option<String>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Common {
    fn open(&self) -> Result<(Maintainer, Runtime)> {
        let config = Config::read(&self.config)?;
        let settings = config.maintenance.validate(config.run.compression)?;
        let address = self.catalog.as_deref().unwrap_or(&config.catalog.url);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("starting the I/O runtime")?;
        let catalog = runtime.block_on(Catalog::open(address))?;
        Ok((Maintainer::new(catalog, settings, Arc::new(SystemClock)), runtime))
    }
}

impl Compact {
    pub(super) fn execute(self) -> Result<()> {
        let (mut maintainer, runtime) = self.common.open()?;
        let bar = ProgressBar::new_spinner();
        let done = runtime.block_on(maintainer.compact(|table, files| {
            bar.set_message(format!("{table}: {files} files"));
            bar.inc(1);
        }))?;
        bar.finish_and_clear();
        if self.common.json {
            return print_json(&done);
        }
        print(&format!("merged {} files into {}", done.merged, done.merges))
    }
}

impl Gc {
    pub(super) fn execute(self) -> Result<()> {
        let (mut maintainer, runtime) = self.common.open()?;
        let mut done = Default::default();
        if !self.dry_run {
            done = runtime.block_on(maintainer.retain())?;
        }
        let (collected, found) = runtime.block_on(maintainer.collect(self.dry_run))?;
        done.deleted = collected.deleted;
        if self.common.json {
            return print_json(&serde_json::json!({ "done": done, "dead": found }));
        }
        if self.dry_run {
            let mut text: String = found.iter().map(|path| format!("{path}\n")).collect();
            text += &format!("{} to delete", style(found.len()).bold());
            return print(&text);
        }
        print(&format!("took {} files out of their tables, deleted {}", done.expired, done.deleted))
    }
}

impl Publish {
    pub(super) fn execute(self) -> Result<()> {
        let (mut maintainer, runtime) = self.common.open()?;
        let done = runtime.block_on(maintainer.publish())?;
        if self.common.json {
            return print_json(&done);
        }
        print(&format!("wrote {} Delta Lake versions", done.published))
    }
}
