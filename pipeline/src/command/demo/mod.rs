//! `cloudops demo`: the main job from end to end, on simulated streams or on real data.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use cloudops_datasets::simulate::{SimulationConfig, Truth};
use cloudops_sql::output::{self, Format};
use cloudops_sql::session::Session;
use cloudops_sql::statement;

use super::{backfill, datasets, print, train};
use crate::config::Config;

mod found;

const SIMULATED: &str = include_str!("simulated.toml");
const REAL: &str = include_str!("real.toml");
const QUESTIONS: &str = include_str!("questions.sql");

/// The main job from end to end.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudops demo\n  cloudops demo --data datasets\n\n\
    Everything it makes lies in the demo's directory, which it empties first.")]
pub(super) struct Demo {
    /// Run real data instead: a directory with `cmapss`, `smd`, `skab`, `focus_1_0` and the
    /// `cloudtrail_*` sets.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the demo's input, configuration and results go.
    #[arg(long, value_name = "DIR", default_value = "cloudops-demo")]
    dir: PathBuf,
}

impl Demo {
    pub(super) fn execute(self, onnxruntime: Option<&Path>) -> Result<()> {
        cloudops_models::runtime::init(onnxruntime)?;
        self.clear()?;
        let (text, truth) = match &self.data {
            Some(data) => (real(data)?, None),
            None => {
                let (text, truth) = self.simulate()?;
                (text, Some(truth))
            }
        };
        let path = self.dir.join("pipeline.toml");
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        let config = Config::read(&path)?;
        print("training")?;
        for outcome in train::train(&config, &path, None, true)? {
            print(&format!(
                "  {}: {} {} from {} windows",
                outcome.stream, outcome.architecture, outcome.model, outcome.windows
            ))?;
        }
        print("running all streams")?;
        let summary = backfill::run(&config, false, onnxruntime, true)?;
        print(&indent(&backfill::describe(&summary, &config)))?;
        let runtime = tokio::runtime::Runtime::new().context("starting the query runtime")?;
        let mut session = runtime.block_on(Session::open(&config.catalog.url))?;
        if let Some(truth) = truth {
            print("\nwhat was injected, beside what was found")?;
            print(&indent(&runtime.block_on(found::compare(&mut session, &truth))?))?;
        }
        runtime.block_on(questions(&mut session))?;
        print(&format!(
            "\nthe Parquet lies in {}/data/<table>/; ask more with\n  cloudops sql --catalog {}",
            config.catalog.url, config.catalog.url
        ))
    }

    /// Removes what an earlier demo made, and nothing else.
    fn clear(&self) -> Result<()> {
        for folder in ["input", "results"] {
            let path = self.dir.join(folder);
            match std::fs::remove_dir_all(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("emptying {}", path.display()));
                }
                _ => {}
            }
        }
        std::fs::create_dir_all(&self.dir).with_context(|| format!("making {}", self.dir.display()))
    }

    fn simulate(&self) -> Result<(String, Truth)> {
        print("simulating engines, bills and audit events")?;
        let simulation = SimulationConfig::default();
        let truth = datasets::write_simulation(&self.dir.join("input"), &simulation)?;
        let channels = simulation.sensor.as_ref().map(|sensor| sensor.channel_names());
        let channels: Vec<String> =
            channels.unwrap_or_default().iter().map(|name| format!("{name:?}")).collect();
        let day = |start: &str, days: i64| -> Result<String> {
            let start = chrono::DateTime::parse_from_rfc3339(start)?;
            Ok((start + chrono::TimeDelta::days(days)).to_rfc3339())
        };
        let audit = simulation.audit.as_ref().context("the demo simulates audit events")?;
        let cost = simulation.cost.as_ref().context("the demo simulates bills")?;
        let text = SIMULATED
            .replace("${CHANNELS}", &channels.join(", "))
            .replace("${AUDIT_UNTIL}", &day(&audit.start, i64::from(audit.days) / 2)?)
            .replace("${COST_UNTIL}", &day(&cost.start, i64::from(cost.days) / 2)?);
        Ok((text, truth))
    }
}

fn real(data: &Path) -> Result<String> {
    let data = data.canonicalize().with_context(|| format!("the data in {}", data.display()))?;
    Ok(REAL.replace("${DATA}", &data.to_string_lossy()))
}

/// Runs the example questions, each under its comment.
async fn questions(session: &mut Session) -> Result<()> {
    for question in QUESTIONS.split("\n\n") {
        print(&format!("\n{}", question.trim()))?;
        for statement in statement::parse(question)? {
            let rows = session.run(statement).await?.execute_stream().await?;
            let width = super::sql::terminal_width();
            output::write(rows, Format::Table, width, &mut std::io::stdout()).await?;
        }
    }
    Ok(())
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
