//! `cloudops models`: the registry, and what is in force.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand, ValueEnum};
use cloudops_models::forecast::bilstm;
use cloudops_models::registry::Registry;
use cloudops_models::zombie::{self, Pretraining};
use cloudops_operators::score::ModelId;
use cloudops_sql::catalog::Catalog;
use cloudops_sql::catalog::record::{Promote, Record};

use super::{print, print_json};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::learning::parse_instant;

/// The model registry, and what is in force.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudops models list --config pipeline.toml\n  \
    cloudops models show turbofan --config pipeline.toml\n  \
    cloudops models promote --stream turbofan turbofan@3fa2 --from 2026-02-01T00:00:00Z --config pipeline.toml\n  \
    cloudops models rollback --stream turbofan --from 2026-03-01T00:00:00Z --config pipeline.toml\n  \
    cloudops models pretrain zombie --check")]
pub(super) struct Models {
    /// The job's configuration: names the registry and the catalog.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Print as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Every registered version, and which are in force.
    List,
    /// A version's card.
    Show {
        /// `name`, `name@version`, or a unique beginning of the version.
        model: String,
    },
    /// Put a version in force from an event time on.
    Promote {
        /// `name@version`.
        model: String,
        /// The stream it scores.
        #[arg(long)]
        stream: String,
        /// First window end that it scores, RFC 3339; the beginning where nothing has run yet.
        #[arg(long)]
        from: Option<String>,
        /// Why; goes into the log.
        #[arg(long, default_value = "by hand")]
        reason: String,
    },
    /// Put the version before the current one in force again, from an event time on.
    Rollback {
        /// The stream.
        #[arg(long)]
        stream: String,
        /// First window end that it scores, RFC 3339.
        #[arg(long)]
        from: String,
    },
    /// Learn a model that ships with the binary anew, from simulated data: some minutes.
    Pretrain {
        /// Which.
        #[arg(value_enum, default_value_t = Ships::Bilstm)]
        model: Ships,
        /// The ONNX file to write; the zombie hunter's card goes beside it.
        #[arg(long, value_name = "FILE", required_unless_present = "check")]
        to: Option<PathBuf>,
        /// Compare with what ships, to the bit.
        #[arg(long)]
        check: bool,
    },
    /// Check a version: its hash, that it loads, its shapes, and that scores do not depend on the batch.
    Verify {
        /// `name`, `name@version`; all when left out.
        model: Option<String>,
    },
}

/// A model that ships.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Ships {
    /// The cost forecaster.
    Bilstm,
    /// The forest that tells idle resources.
    Zombie,
}

impl Models {
    pub(super) fn execute(self, onnxruntime: Option<&Path>) -> Result<()> {
        // The one action that is of no job.
        if let Action::Pretrain { model, to, check } = &self.action {
            return pretrain(*model, to.as_deref(), *check);
        }
        let path = self.config.as_ref().context("name the job's configuration: --config FILE")?;
        let config = Config::read(path)?;
        let registry = Registry::open(&config.registry()?)?;
        match &self.action {
            Action::List => self.list(&config, &registry),
            Action::Show { model } => {
                let folder = registry.directory(&registry.resolve(model)?);
                let card = folder.join(if self.json { "card.json" } else { "card.md" });
                let text = std::fs::read_to_string(&card)
                    .with_context(|| format!("reading {}", card.display()))?;
                print(&text)
            }
            Action::Promote { model, stream, from, reason } => {
                let id = registry.resolve(model)?;
                promote(&config, stream, id, from.as_deref(), reason)
            }
            Action::Pretrain { model, to, check } => pretrain(*model, to.as_deref(), *check),
            Action::Rollback { stream, from } => rollback(&config, stream, from),
            Action::Verify { model } => {
                cloudops_models::runtime::init(onnxruntime)?;
                self.verify(&registry, model.as_deref())
            }
        }
    }

    fn list(&self, config: &Config, registry: &Registry) -> Result<()> {
        let in_force = in_force(config)?;
        let entries = registry.list()?;
        if self.json {
            let rows: Vec<_> = entries
                .iter()
                .map(|entry| {
                    let streams: Vec<_> = in_force
                        .iter()
                        .filter(|(_, id)| *id == entry.info.id)
                        .map(|(stream, _)| stream.as_str())
                        .collect();
                    serde_json::json!({ "model": entry, "in_force_for": streams })
                })
                .collect();
            return print_json(&rows);
        }
        if entries.is_empty() {
            return print("no model is registered: `cloudops train` makes one");
        }
        let mut text = String::new();
        for entry in &entries {
            let streams: Vec<_> = in_force
                .iter()
                .filter(|(_, id)| *id == entry.info.id)
                .map(|(stream, _)| stream.as_str())
                .collect();
            let mark = if streams.is_empty() {
                String::new()
            } else {
                format!("  in force for {}", streams.join(", "))
            };
            text += &format!("{:<40} {}{mark}\n", entry.info.id.to_string(), entry.sha256);
        }
        print(&text)
    }

    fn verify(&self, registry: &Registry, model: Option<&str>) -> Result<()> {
        let ids = match model {
            Some(model) => vec![registry.resolve(model)?],
            None => registry.list()?.into_iter().map(|entry| entry.info.id).collect(),
        };
        let mut failed = 0;
        let mut reports = Vec::new();
        let mut text = String::new();
        for id in ids {
            let checks = registry.verify(&id)?;
            failed += usize::from(checks.iter().any(|check| !check.passed));
            text += &format!("{id}\n");
            for check in &checks {
                let mark = if check.passed { "ok    " } else { "FAILED" };
                text += &format!("  {mark} {}: {}\n", check.name, check.detail);
            }
            reports.push(serde_json::json!({ "model": id, "checks": checks }));
        }
        if self.json {
            print_json(&reports)?
        } else {
            print(&text)?
        }
        ensure!(failed == 0, "{failed} models did not pass");
        Ok(())
    }
}

/// Every stream's current model, as the catalog says; none where there is no catalog yet.
fn in_force(config: &Config) -> Result<Vec<(String, ModelId)>> {
    let runtime = tokio::runtime::Runtime::new().context("starting the I/O runtime")?;
    let Ok(catalog) = runtime.block_on(Catalog::open(&config.catalog.url)) else {
        return Ok(Vec::new());
    };
    let streams = config.streams.iter().filter_map(|stream| {
        let timeline = catalog.state().timeline(&stream.name);
        Some((stream.name.clone(), timeline.at(i64::MAX)?.clone()))
    });
    Ok(streams.collect())
}

/// Appends a promotion. It takes the catalog over first, so that a job that runs now stops at its
/// next append and comes back knowing of it: no window is scored by what it had planned before.
fn promote(
    config: &Config,
    stream: &str,
    model: ModelId,
    from: Option<&str>,
    reason: &str,
) -> Result<()> {
    let job = config.validate(false)?;
    ensure!(
        job.streams.iter().any(|known| known.name == stream),
        "there is no stream {stream:?} in the configuration"
    );
    let runtime = tokio::runtime::Runtime::new().context("starting the I/O runtime")?;
    let mut catalog = runtime.block_on(Catalog::open_or_create(&config.catalog.url))?;
    let committed = catalog
        .state()
        .sources
        .get(stream)
        .and_then(|partitions| partitions.values().map(|p| p.committed_watermark_us).min());
    let effective_from_us = match (from, committed) {
        (Some(from), _) => parse_instant(from)?,
        (None, None | Some(i64::MIN)) => i64::MIN,
        (None, Some(_)) => bail!(
            "windows of {stream:?} are committed already: say from which event time on the model \
             holds, --from RFC3339"
        ),
    };
    if let Some(committed) = committed {
        ensure!(
            effective_from_us > committed,
            "windows of {stream:?} are committed up to {}: --from must be later, \
             since committed rows never change",
            instant(committed)
        );
    }
    let build = concat!("cloudops ", env!("CARGO_PKG_VERSION"));
    runtime.block_on(catalog.take_over(build, &job.hash, job.workers as u32))?;
    let record = Record::Promote(Promote {
        stream: stream.to_owned(),
        model: model.clone(),
        effective_from_us,
        reason: reason.to_owned(),
        promoted_at_us: SystemClock.now_us(),
    });
    runtime.block_on(catalog.append(record))?;
    print(&format!("{stream}: {model} is in force from {} on", instant(effective_from_us)))
}

/// Learns a model with the settings it ships with, writes it, and compares it with what ships.
fn pretrain(model: Ships, to: Option<&Path>, check: bool) -> Result<()> {
    let (learned, ships) = match model {
        Ships::Bilstm => (learned_bilstm()?, bilstm::PRETRAINED),
        Ships::Zombie => (zombie::pretrain(&Pretraining::default())?, zombie::PRETRAINED),
    };
    if let Some(to) = to {
        std::fs::write(to, &learned).with_context(|| to.display().to_string())?;
        tracing::info!(file = %to.display(), bytes = learned.len(), "wrote");
        if model == Ships::Zombie {
            let card = to.with_extension("md");
            let text = zombie::card::card(&learned)?;
            std::fs::write(&card, text).with_context(|| card.display().to_string())?;
        }
    }
    if !check {
        return Ok(());
    }
    ensure!(
        learned == ships,
        "what was learned is not what ships: the settings or the simulation have changed"
    );
    print("the same as what ships, to the bit")
}

#[cfg(feature = "train")]
fn learned_bilstm() -> Result<Vec<u8>> {
    let learned = bilstm::train(&bilstm::Training::default())?;
    let (first, last) = learned.losses;
    tracing::info!(first, last, "learned; losses are in scales");
    Ok(learned.onnx)
}

#[cfg(not(feature = "train"))]
fn learned_bilstm() -> Result<Vec<u8>> {
    bail!("this build learns no networks: build it with the feature `train`")
}

fn rollback(config: &Config, stream: &str, from: &str) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("starting the I/O runtime")?;
    let catalog = runtime.block_on(Catalog::open(&config.catalog.url))?;
    let timeline = catalog.state().timeline(stream);
    let current =
        timeline.at(i64::MAX).with_context(|| format!("{stream:?} has no model in force"))?;
    let before = timeline
        .entries()
        .iter()
        .rev()
        .map(|(_, id)| id)
        .find(|id| *id != current)
        .with_context(|| format!("{stream:?} has had no model but {current}"))?;
    let reason = format!("rollback from {current}");
    promote(config, stream, before.clone(), Some(from), &reason)
}

/// An event time for a person.
fn instant(us: i64) -> String {
    match chrono::DateTime::from_timestamp_micros(us) {
        Some(instant) if us != i64::MIN => instant.to_rfc3339(),
        _ if us == i64::MIN => "the beginning".to_owned(),
        _ => "the end".to_owned(),
    }
}
