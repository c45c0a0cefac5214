//! `cloudops explain`: why an alert was raised, from its rows back to the records in their files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use cloudops_models::registry::Registry;
use cloudops_operators::anomaly::{ALERT_MODEL, RETRACTED};
use cloudops_operators::epoch::Partition;
use cloudops_operators::score::ModelId;
use cloudops_operators::threshold::{CLOSED, OPENED};
use cloudops_sql::session::Session;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::runtime::Runtime;

use super::{address, print, print_json};
use crate::answer::rows;
use crate::config::Config;

mod input;
mod text;

use input::FileRange;

/// Why an alert was raised.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudops explain 1f3a9c --config pipeline.toml\n  \
    cloudops explain 1f3a9c --catalog results --json\n\n\
    ALERT is an `alert_id` of the table `alerts`, or a beginning of it that no other alert has: \
    `cloudops sql --catalog results \"select * from open_alerts\"`. With --config, the window's \
    records are read again from the input where the catalog does not hold their values.")]
pub(super) struct Explain {
    /// The alert's id, or its unique beginning.
    alert: String,
    /// The job's configuration: names the catalog, the registry and the input.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The catalog's directory or URL.
    #[arg(long, value_name = "URL", required_unless_present = "config")]
    catalog: Option<String>,
    /// Print as JSON.
    #[arg(long)]
    json: bool,
}

/// Scores shown before and after the alert's.
const BEFORE: i64 = 6;
const AFTER: i64 = 3;

/// Everything that is known of an alert.
#[derive(Debug, Serialize)]
struct Explanation {
    /// Its row in `alerts` when it opened.
    opened: Map<String, Value>,
    /// Its row when it closed; null while it is open.
    closed: Option<Map<String, Value>>,
    /// Its row when corrections of the bill had left nothing of it; null elsewhere.
    retracted: Option<Map<String, Value>>,
    /// What the model's card says; null where there is no registry at hand.
    card: Option<Value>,
    /// Where the records that the score rests on lie.
    files: Vec<FileRange>,
    /// By method, the parts of the score, largest first.
    attributions: Vec<Attribution>,
    /// The entity's scores about that time, in order; `here` marks the alert's.
    scores: Vec<Value>,
    /// The window's row in the windows table, with features and values where they were kept.
    window: Option<Value>,
    /// The window's records, read again from the input; null without a configuration.
    records: Option<Vec<Value>>,
    /// The days of a cost anomaly's alert, as in `cost_anomalies`, in order; empty of other alerts.
    anomalies: Vec<Value>,
    /// Whose charges made the day that opened it: by dimension, rows of `cost_causes`; empty likewise.
    causes: Vec<Causes>,
}

/// What the names of one dimension have to do with a day.
#[derive(Debug, Serialize)]
struct Causes {
    dimension: String,
    /// The rows of `cost_causes`, by rank; their deviations sum to the day's.
    parts: Vec<Value>,
}

/// One way of dividing the score.
#[derive(Debug, Serialize)]
struct Attribution {
    method: String,
    /// The sum of all parts: the score.
    total: f64,
    parts: Vec<Part>,
}

/// A part of the score.
#[derive(Debug, Serialize)]
struct Part {
    feature: String,
    /// Step from the window's end; null: all steps.
    t_offset: Option<i64>,
    value: f64,
    /// `value` as a share of the score.
    share: f64,
}

impl Explain {
    pub(super) fn execute(self) -> Result<()> {
        let config = self.config.as_deref().map(Config::read).transpose()?;
        let configured = config.as_ref().map(|config| config.catalog.url.as_str());
        let address = address(self.catalog.as_deref().or(configured), None)?;
        let runtime = Runtime::new().context("starting the query runtime")?;
        let mut session = runtime.block_on(Session::open(&address))?;
        let explanation = self.explain(&runtime, &mut session, config.as_ref(), &address)?;
        if self.json { print_json(&explanation) } else { print(&text::text(&explanation)) }
    }

    fn explain(
        &self,
        runtime: &Runtime,
        session: &mut Session,
        config: Option<&Config>,
        address: &str,
    ) -> Result<Explanation> {
        let Rows { opened, closed, retracted } = runtime.block_on(self.find(session))?;
        let (id, source) = (word(&opened, "alert_id")?, word(&opened, "source")?);
        let (kind, entity) = (word(&opened, "kind")?, word(&opened, "entity_id")?);
        let partition = Partition(number(&opened, "partition")? as u32);
        let offsets = (number(&opened, "offset_from")?, number(&opened, "offset_to")?);
        let files =
            runtime.block_on(input::files(session.catalog(), source, partition, offsets))?;
        let attributions = runtime.block_on(attributions(session, id, source))?;
        let is_anomaly = word(&opened, "model")? == ALERT_MODEL;
        let (anomalies, causes) = if is_anomaly {
            runtime.block_on(anomalies(session, &opened))?
        } else {
            Default::default()
        };
        let here = format!("source = {} and entity_id = {}", quoted(source), quoted(entity));
        let end = format!(
            "(select window_end from alerts where alert_id = {} and source = {} and event = 'opened')",
            quoted(id),
            quoted(source)
        );
        // Windows may end together only across entities: their order by end is their number.
        let about = format!(
            "with s as (
                   select window_end, score, threshold_static, threshold_adaptive, is_anomaly,
                          alert_id, offset_from, offset_to,
                          row_number() over (order by window_end) as n
                   from {kind}_scores where {here}),
                 at as (select n as middle from s where window_end = {end})
                 select window_end, score, threshold_static, threshold_adaptive, is_anomaly, alert_id,
                        offset_from, offset_to, n = middle as here
                 from s cross join at where n between middle - {BEFORE} and middle + {AFTER}
                 order by n"
        );
        let windows = format!("select * from {kind}_windows where {here} and window_end = {end}");
        // What a model says of the same day is another matter.
        let (scores, window) = if is_anomaly {
            Default::default()
        } else {
            let window = runtime.block_on(rows(session, &windows))?.into_iter().next();
            (runtime.block_on(rows(session, &about))?, window)
        };
        let records = match config {
            Some(config) => {
                let job = config.validate(false)?;
                let stream = job.streams.iter().find(|stream| stream.name == source);
                let stream = stream.with_context(|| {
                    format!("the configuration has no stream {source:?}, whose alert this is")
                })?;
                let window = input::Window {
                    entity,
                    offsets,
                    start: word(&opened, "window_start")?,
                    end: word(&opened, "window_end")?,
                };
                Some(input::records(stream, partition, &files, &window, runtime.handle())?)
            }
            None => None,
        };
        Ok(Explanation {
            card: card(config, address, &opened)?,
            opened,
            closed,
            retracted,
            files,
            attributions,
            scores: scores.into_iter().map(Value::Object).collect(),
            window: window.map(Value::Object),
            records,
            anomalies,
            causes,
        })
    }

    /// The alert's rows.
    async fn find(&self, session: &mut Session) -> Result<Rows> {
        let plain = self.alert.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        ensure!(
            plain && !self.alert.is_empty(),
            "{:?} is no alert id: they are letters and digits; `cloudops sql` lists them in `alerts`",
            self.alert
        );
        let found = format!(
            "select * from alerts where alert_id like '{}%' order by alert_id, at, event",
            self.alert
        );
        let mut found = rows(session, &found).await?;
        let exact =
            |row: &Map<String, Value>| row.get("alert_id") == Some(&self.alert.as_str().into());
        if found.iter().any(exact) {
            found.retain(exact);
        }
        let Some(first) = found.first().and_then(|row| row.get("alert_id").cloned()) else {
            bail!(
                "there is no alert {:?}: `cloudops sql --catalog … \"select * from alerts\"` lists them",
                self.alert
            );
        };
        let ids: Vec<&Value> = found.iter().filter_map(|row| row.get("alert_id")).collect();
        ensure!(
            ids.iter().all(|id| **id == first),
            "several alerts begin with {:?}: {ids:?}; write more of the id",
            self.alert
        );
        let mut of = |event: &str| {
            let at = found.iter().position(|row| row.get("event").is_some_and(|is| is == event))?;
            Some(found.swap_remove(at))
        };
        let (opened, closed, retracted) = (of(OPENED), of(CLOSED), of(RETRACTED));
        let opened =
            opened.with_context(|| format!("alert {first} was closed but never opened"))?;
        Ok(Rows { opened, closed, retracted })
    }
}

/// The rows of one alert.
struct Rows {
    opened: Map<String, Value>,
    closed: Option<Map<String, Value>>,
    retracted: Option<Map<String, Value>>,
}

/// The days of a cost anomaly's alert, and the causes of the one that opened it.
async fn anomalies(
    session: &mut Session,
    opened: &Map<String, Value>,
) -> Result<(Vec<Value>, Vec<Causes>)> {
    let (id, source) = (quoted(word(opened, "alert_id")?), quoted(word(opened, "source")?));
    let event = format!("source = {source} and event_id = {id}");
    let days = format!("select * from cost_anomalies where {event} order by day");
    let day = quoted(word(opened, "window_start")?);
    let parts = format!(
        "select * from cost_causes where source = {source} and anomaly_id = (
           select anomaly_id from cost_anomalies
           where {event} and day = cast(cast({day} as timestamp) as date))
         order by dimension, rank, name is null, name"
    );
    let mut causes: Vec<Causes> = Vec::new();
    for row in rows(session, &parts).await? {
        let dimension = word(&row, "dimension")?;
        if causes.last().is_none_or(|last| last.dimension != dimension) {
            causes.push(Causes { dimension: dimension.to_owned(), parts: Vec::new() });
        }
        let Some(last) = causes.last_mut() else { continue };
        last.parts.push(Value::Object(row));
    }
    let days = rows(session, &days).await?.into_iter().map(Value::Object).collect();
    Ok((days, causes))
}

/// How the score was divided.
async fn attributions(session: &mut Session, id: &str, source: &str) -> Result<Vec<Attribution>> {
    // An alert's further windows may be explained too; those of the window that opened it sum to its
    // score.
    let parts = rows(
        session,
        &format!(
            "select method, feature, t_offset, cast(value as double) as value from attributions
             where alert_id = {id} and source = {source} and window_end = (
               select window_end from alerts
               where alert_id = {id} and source = {source} and event = 'opened')
             order by method, abs(value) desc, feature, t_offset",
            id = quoted(id),
            source = quoted(source)
        ),
    )
    .await?;
    let mut attributions: Vec<Attribution> = Vec::new();
    for row in parts {
        let (method, value) = (word(&row, "method")?, float(&row, "value"));
        if attributions.last().is_none_or(|last| last.method != method) {
            let (method, parts) = (method.to_owned(), Vec::new());
            attributions.push(Attribution { method, total: 0.0, parts });
        }
        let Some(last) = attributions.last_mut() else { continue };
        last.total += value;
        last.parts.push(Part {
            feature: word(&row, "feature")?.to_owned(),
            t_offset: row.get("t_offset").and_then(Value::as_i64),
            value,
            share: 0.0,
        });
    }
    for attribution in &mut attributions {
        for part in &mut attribution.parts {
            part.share =
                if attribution.total == 0.0 { 0.0 } else { part.value / attribution.total };
        }
    }
    Ok(attributions)
}

/// What the model's card says, where a registry is at hand.
fn card(
    config: Option<&Config>,
    address: &str,
    alert: &Map<String, Value>,
) -> Result<Option<Value>> {
    let directory = match config {
        Some(config) => config.registry()?,
        None => Path::new(address.strip_prefix("file://").unwrap_or(address)).join("models"),
    };
    if !directory.is_dir() {
        return Ok(None);
    }
    let id = ModelId {
        name: word(alert, "model")?.to_owned(),
        version: word(alert, "model_version")?.to_owned(),
    };
    let path = Registry::open(directory)?.directory(&id).join("card.json");
    if !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let card = serde_json::from_slice(&text).with_context(|| format!("in {}", path.display()))?;
    Ok(Some(card))
}

/// Text as SQL writes it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn word<'a>(row: &'a Map<String, Value>, name: &str) -> Result<&'a str> {
    row.get(name).and_then(Value::as_str).with_context(|| format!("the row has no {name}"))
}

fn number(row: &Map<String, Value>, name: &str) -> Result<u64> {
    row.get(name).and_then(Value::as_u64).with_context(|| format!("the row has no {name}"))
}

fn float(row: &Map<String, Value>, name: &str) -> f64 {
    row.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN)
}
