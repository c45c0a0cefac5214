//! `cloudops feedback`: what a cost anomaly was, as a record of the log.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use cloudops_operators::anomaly;
use cloudops_sql::catalog::Catalog;
use cloudops_sql::catalog::record::{self, Record};
use cloudops_sql::session::Session;
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use super::{address, print, print_json};
use crate::answer::rows;
use crate::clock::{Clock, SystemClock};

/// What a cost anomaly was: days that close after this are judged with it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudops feedback 1f3a9c no --catalog results\n  \
    cloudops feedback 1f3a9c planned --note 'moved to larger machines' --config pipeline.toml\n\n\
    ANOMALY is an `anomaly_id` of `cost_anomalies`, or a beginning of it that no other has: \
    `cloudops sql --catalog results \"select * from cost_anomalies\"`. A job that is running takes \
    it up with its next epoch. What was said before stays said, the last of it holds beside it in \
    `cost_anomalies`, and all of it is in the table `feedback`.")]
pub(super) struct Feedback {
    /// The anomaly's id, or its unique beginning.
    #[arg(value_name = "ANOMALY")]
    anomaly: String,
    /// What it was.
    said: Said,
    /// Who says so.
    #[arg(long)]
    by: Option<String>,
    /// Why.
    #[arg(long)]
    note: Option<String>,
    /// The job's configuration: names the catalog.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The catalog's directory or URL.
    #[arg(long, value_name = "URL", required_unless_present = "config")]
    catalog: Option<String>,
    /// Print as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Said {
    /// It was one: the day is no precedent for later ones.
    Yes,
    /// It was none: days as far off to that side are not strange any more.
    No,
    /// It was meant: days that come to as much are not strange any more.
    Planned,
}

impl From<Said> for anomaly::Feedback {
    fn from(said: Said) -> Self {
        match said {
            Said::Yes => Self::Yes,
            Said::No => Self::No,
            Said::Planned => Self::Planned,
        }
    }
}

impl Feedback {
    pub(super) fn execute(&self) -> Result<()> {
        let address = address(self.catalog.as_deref(), self.config.as_deref())?;
        let runtime = Runtime::new().context("starting the I/O runtime")?;
        let mut session = runtime.block_on(Session::open(&address))?;
        let found = runtime.block_on(self.find(&mut session))?;
        let record = self.record(&found)?;
        let (day, entity) = (text(&found, "day")?, record.entity_id.clone());
        let mut catalog = runtime.block_on(Catalog::open(&address))?;
        runtime.block_on(catalog.append(Record::Feedback(record.clone())))?;
        let from = catalog.state().feedback.last().map(|said| said.from);
        let from = from.filter(|day| *day != i32::MAX).and_then(date);
        if self.json {
            return print_json(&json!({
                "anomaly_id": record.anomaly_id, "source": record.stream, "entity_id": entity,
                "day": day, "said": record.said.name(), "effective_from": from,
            }));
        }
        let said = record.said.name();
        let bears = match from {
            Some(from) => format!("days from {from} on are judged with it"),
            None => "the stream has ended: it is kept, and bears on no day".to_owned(),
        };
        print(&format!("{said}: {entity} on {day} ({}); {bears}", record.anomaly_id))
    }

    /// The anomaly's row.
    async fn find(&self, session: &mut Session) -> Result<Map<String, Value>> {
        let id = &self.anomaly;
        ensure!(
            !id.is_empty() && id.chars().all(|c| c.is_ascii_hexdigit()),
            "an anomaly is named by hexadecimal digits, see anomaly_id in cost_anomalies"
        );
        let sql = format!(
            "select source, entity_id, cast(day as varchar) as day, \
             date_part('epoch', cast(day as timestamp)) / 86400 as day_number, currency, service, \
             cast(actual as double) as amount, cast(deviation as double) as deviation, score, \
             anomaly_id from cost_anomalies where anomaly_id like '{id}%' limit 2"
        );
        let mut found = rows(session, &sql).await?;
        let (first, second) = (found.pop(), found.pop());
        match (first, second) {
            (Some(found), None) => Ok(found),
            (Some(_), Some(_)) => bail!("several anomalies have an id that begins with {id}"),
            _ => bail!(
                "no cost anomaly has an id that begins with {id}: `cloudops sql \"select anomaly_id, \
                 entity_id, day from cost_anomalies\"` lists them"
            ),
        }
    }

    fn record(&self, found: &Map<String, Value>) -> Result<record::Feedback> {
        let number = |name: &str| {
            let value = found.get(name).and_then(Value::as_f64);
            value.with_context(|| format!("cost_anomalies has no number {name}"))
        };
        Ok(record::Feedback {
            stream: text(found, "source")?,
            anomaly_id: text(found, "anomaly_id")?,
            entity_id: text(found, "entity_id")?,
            currency: text(found, "currency")?,
            service: found.get("service").and_then(Value::as_str).map(str::to_owned),
            day: number("day_number")?.floor() as i32,
            said: self.said.into(),
            amount: number("amount")?,
            errors: number("score")?.copysign(number("deviation")?),
            by: self.by.clone(),
            note: self.note.clone(),
            said_at_us: SystemClock.now_us(),
        })
    }
}

/// A day since 1970-01-01 as it is written.
fn date(day: i32) -> Option<String> {
    let instant = chrono::DateTime::from_timestamp(i64::from(day) * 86_400, 0);
    instant.map(|instant| instant.date_naive().to_string())
}

fn text(found: &Map<String, Value>, name: &str) -> Result<String> {
    let text = found.get(name).and_then(Value::as_str);
    Ok(text.with_context(|| format!("cost_anomalies has no {name}"))?.to_owned())
}
