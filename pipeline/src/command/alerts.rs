//! `cloudops alerts`: what is open, who is at it, what stays silent, and what was not delivered.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};
use cloudops_sql::alerts::text_columns;
use cloudops_sql::catalog::Catalog;
use cloudops_sql::catalog::delivery::{Attend, Attention, CLOSED, Matchers};
use cloudops_sql::catalog::record::Record;
use cloudops_sql::session::Session;
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use super::{address, print, print_json};
use crate::answer::rows;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, parse_duration};
use crate::delivery::DeliveryJob;
use crate::delivery::again::{Again, redeliver};
use crate::job::{Job, SinkJob};
use crate::monitor::Monitor;
use crate::sink::alerts::{AlertSink, Work};

/// Alerts: list, acknowledge, silence, deliver.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloudops alerts list --catalog results\n  \
    cloudops alerts ack 1f3a9c --by ann --note 'pump is being replaced' --catalog results\n  \
    cloudops alerts silence --match source=pumps --match 'entity_id=pump-*' --for 4h --by ann \
    --reason 'repair' --catalog results\n  \
    cloudops alerts unsilence 17 --by ann --catalog results\n  \
    cloudops alerts deliver --config pipeline.toml\n  \
    cloudops alerts redeliver --sink ops --config pipeline.toml\n\n\
    What is said here is a record of the catalog's log, also beside a job that runs: it takes it up with \
    its next round of deliveries. `alert_status`, `dead_letters` and `silences` are tables.")]
pub(super) struct Alerts {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Alerts that are open, with who is at them and where they were delivered.
    List {
        #[command(flatten)]
        place: Place,
        /// Closed ones too.
        #[arg(long)]
        all: bool,
    },
    /// Take an alert on: PagerDuty is told, other receivers hear nothing more of it but its closing.
    Ack {
        /// The alert's id, or a beginning of it that no other has.
        #[arg(value_name = "ALERT")]
        alert: String,
        /// Who takes it on.
        #[arg(long)]
        by: String,
        /// What they have to say.
        #[arg(long)]
        note: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Have alerts not delivered that match and open within a time.
    Silence {
        /// A column of text of the table alerts and a glob for it, `*` any text and `?` one character.
        /// Every column named must match; of several globs for a column, one.
        #[arg(long = "match", value_name = "COLUMN=GLOB", required = true)]
        matching: Vec<String>,
        /// The first event time, RFC 3339. Default: since ever.
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// The first event time after it. Default: until `unsilence`.
        #[arg(long, value_name = "TIME", conflicts_with = "length")]
        until: Option<String>,
        /// The same as so long from now: `30m`, `4h`, `2d`.
        #[arg(long = "for", value_name = "DURATION")]
        length: Option<String>,
        /// Why.
        #[arg(long)]
        reason: String,
        /// Who wants it.
        #[arg(long)]
        by: String,
        #[command(flatten)]
        place: Place,
    },
    /// Take a silence back. What it held stays held; it is in alert_status.
    Unsilence {
        /// Its number, as in the table silences.
        silence: u64,
        /// Who takes it back.
        #[arg(long)]
        by: String,
        #[command(flatten)]
        place: Place,
    },
    /// Deliver what a job's sinks have not had yet; a job that runs does so by itself.
    Deliver(Sinks),
    /// Send dead letters once more.
    Redeliver {
        /// Only those of this alert: its id, or a beginning of it.
        #[arg(value_name = "ALERT")]
        alert: Option<String>,
        #[command(flatten)]
        sinks: Sinks,
    },
}

#[derive(Debug, Args)]
struct Place {
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

#[derive(Debug, Args)]
struct Sinks {
    /// The job's configuration: names the catalog and the sinks.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Only this sink. Default: all but topics.
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
    /// Print as JSON.
    #[arg(long)]
    json: bool,
}

impl Alerts {
    pub(super) fn execute(&self) -> Result<()> {
        match &self.verb {
            Verb::List { place, all } => place.list(*all),
            Verb::Ack { alert, by, note, place } => place.acknowledge(alert, by, note.clone()),
            Verb::Silence { matching, from, until, length, reason, by, place } => {
                let now_us = SystemClock.now_us();
                let instant = |text: &Option<String>| text.as_deref().map(instant).transpose();
                let until_us = match length {
                    Some(length) => Some(later(now_us, length)?),
                    None => instant(until).context("--until")?,
                };
                let step = Attention::Silenced {
                    matching: matchers(matching)?,
                    from_us: instant(from).context("--from")?,
                    until_us,
                    reason: reason.clone(),
                };
                let number = place.attend(step, by)?;
                if place.json {
                    return print_json(&json!({ "silence": number }));
                }
                print(&format!(
                    "silence {number}: `cloudops alerts unsilence {number}` takes it back"
                ))
            }
            Verb::Unsilence { silence, by, place } => {
                place.attend(Attention::Unsilenced { silence: *silence }, by)?;
                if place.json {
                    return print_json(&json!({ "silence": silence, "ended": true }));
                }
                print(&format!("silence {silence} holds no more"))
            }
            Verb::Deliver(sinks) => sinks.deliver(),
            Verb::Redeliver { alert, sinks } => sinks.redeliver(alert.as_deref()),
        }
    }
}

impl Place {
    fn address(&self) -> Result<String> {
        address(self.catalog.as_deref(), self.config.as_deref())
    }

    /// Writes down what somebody does; gives the record's number.
    fn attend(&self, step: Attention, by: &str) -> Result<u64> {
        let runtime = Runtime::new().context("starting the I/O runtime")?;
        let mut catalog = runtime.block_on(Catalog::open(&self.address()?))?;
        let attend = Attend { step, by: by.to_owned(), at_us: SystemClock.now_us() };
        if let Err(rule) = catalog.state().delivery.check_attend(&attend) {
            bail!("{rule}");
        }
        Ok(runtime.block_on(catalog.append(Record::Attend(attend)))?)
    }

    fn acknowledge(&self, alert: &str, by: &str, note: Option<String>) -> Result<()> {
        let runtime = Runtime::new().context("starting the I/O runtime")?;
        let mut session = runtime.block_on(Session::open(&self.address()?))?;
        let row = runtime.block_on(find(&mut session, alert))?;
        let labels: BTreeMap<String, String> = text_columns()
            .filter_map(|column| Some((column.to_owned(), row.get(column)?.as_str()?.to_owned())))
            .collect();
        let alert_id = labels.get("alert_id").context("alerts has no alert_id")?.clone();
        let entity = labels.get("entity_id").cloned().unwrap_or_default();
        let step = Attention::Acknowledged { alert_id: alert_id.clone(), labels, note };
        self.attend(step, by)?;
        if self.json {
            return print_json(&json!({ "alert_id": alert_id, "acknowledged_by": by }));
        }
        print(&format!("{by} is at alert {alert_id} of {entity}"))
    }

    fn list(&self, all: bool) -> Result<()> {
        let runtime = Runtime::new().context("starting the I/O runtime")?;
        let mut session = runtime.block_on(Session::open(&self.address()?))?;
        let mut alerts = runtime.block_on(rows(&mut session, LIST))?;
        if !all {
            alerts.retain(|alert| alert.get("closed_at").is_none_or(Value::is_null));
        }
        let statuses = "select alert_id, sink, status, silence from alert_status \
            where event = 'opened' and sink is not null order by sink";
        let mut sinks: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for mut status in runtime.block_on(rows(&mut session, statuses))? {
            let alert = status.remove("alert_id");
            let alert = alert.as_ref().and_then(Value::as_str).unwrap_or_default();
            sinks.entry(alert.to_owned()).or_default().push(Value::Object(status));
        }
        let acknowledged = &session.catalog().state().delivery.acknowledged;
        for alert in &mut alerts {
            let id = text(alert, "alert_id").to_owned();
            let by = acknowledged.get(&id).map(|of| Value::from(of.by.clone()));
            alert.insert("acknowledged_by".to_owned(), by.unwrap_or(Value::Null));
            alert.insert("sinks".to_owned(), sinks.remove(&id).unwrap_or_default().into());
        }
        if self.json {
            return print_json(&alerts);
        }
        if alerts.is_empty() {
            return print(if all { "there are no alerts" } else { "no alert is open" });
        }
        let mut shown = String::new();
        for alert in &alerts {
            shown += &line(alert);
        }
        print(&shown)
    }
}

/// Every alert, with when it closed where it has.
const LIST: &str = "select o.alert_id, o.source, o.kind, o.entity_id, o.opened_at, c.closed_at \
    from (select alert_id, source, kind, entity_id, min(at) as opened_at from alerts \
          where event = 'opened' group by alert_id, source, kind, entity_id) o \
    left join (select alert_id, max(at) as closed_at from alerts where event = 'closed' \
               group by alert_id) c on c.alert_id = o.alert_id \
    order by o.opened_at, o.alert_id";

/// An alert in a list.
fn line(alert: &Map<String, Value>) -> String {
    let mut line = format!(
        "{}  {}  {} {} of {}",
        text(alert, "alert_id"),
        text(alert, "opened_at"),
        text(alert, "kind"),
        text(alert, "entity_id"),
        text(alert, "source"),
    );
    if !text(alert, "closed_at").is_empty() {
        line += &format!(", closed {}", text(alert, "closed_at"));
    }
    if !text(alert, "acknowledged_by").is_empty() {
        line += &format!(", {} is at it", text(alert, "acknowledged_by"));
    }
    for sink in alert.get("sinks").and_then(Value::as_array).into_iter().flatten() {
        let part = |name: &str| sink.get(name).and_then(Value::as_str).unwrap_or_default();
        line += &format!(", {} {}", part("sink"), part("status"));
    }
    line + "\n"
}

fn text<'a>(row: &'a Map<String, Value>, name: &str) -> &'a str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The opening row of the alert that an id, or a beginning of it, names, and that is not closed.
async fn find(session: &mut Session, id: &str) -> Result<Map<String, Value>> {
    ensure!(
        !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'),
        "an alert is named by letters and digits, see alert_id in alerts"
    );
    let sql = format!("select * from alerts where alert_id like '{id}%' order by at");
    let found = rows(session, &sql).await?;
    let first = found.first().with_context(|| {
        format!(
            "no alert has an id that begins with {id}: `cloudops alerts list` has those that are open"
        )
    })?;
    let alert = text(first, "alert_id").to_owned();
    ensure!(
        found.iter().all(|row| text(row, "alert_id") == alert),
        "several alerts have an id that begins with {id}"
    );
    let closed = found.iter().find(|row| text(row, "event") == CLOSED);
    if let Some(closed) = closed {
        bail!("alert {alert} has closed at {}", text(closed, "at"));
    }
    Ok(first.clone())
}

/// Globs by column, from `column=glob`.
fn matchers(written: &[String]) -> Result<Matchers> {
    let mut matchers = Matchers::default();
    for written in written {
        let (column, glob) = written.split_once('=').with_context(|| {
            format!("--match {written:?}: write a column and a glob, column=glob")
        })?;
        ensure!(
            text_columns().any(|known| known == column),
            "--match {written:?}: {column} is no column of text of alerts; those are {}",
            text_columns().collect::<Vec<_>>().join(", ")
        );
        matchers.0.entry(column.to_owned()).or_default().push(glob.to_owned());
    }
    Ok(matchers)
}

/// An instant, µs since 1970.
fn instant(text: &str) -> Result<i64> {
    let parsed = chrono::DateTime::parse_from_rfc3339(text);
    let parsed =
        parsed.with_context(|| format!("{text:?} is no time: write 2026-01-05T10:15:00Z"))?;
    Ok(parsed.timestamp_micros())
}

fn later(now_us: i64, length: &str) -> Result<i64> {
    let length = parse_duration(length).map_err(|why| anyhow::anyhow!("--for: {why}"))?;
    let us = i64::try_from(length.as_micros()).ok().and_then(|us| now_us.checked_add(us));
    us.with_context(|| format!("--for: {length:?} is too long"))
}

impl Sinks {
    fn job(&self) -> Result<Job> {
        Config::read(&self.config)?.validate(false)
    }

    /// The sinks meant.
    fn meant<'a>(&self, job: &'a Job) -> Result<Vec<(&'a SinkJob, &'a DeliveryJob)>> {
        let named = |sink: &'a SinkJob| match sink {
            SinkJob::Delivery(delivery) => Some((sink, &**delivery)),
            SinkJob::Topic(_) => None,
        };
        let mut meant: Vec<_> = job.sinks.iter().filter_map(named).collect();
        if let Some(name) = &self.sink {
            meant.retain(|(_, delivery)| delivery.config.name == *name);
            ensure!(!meant.is_empty(), "{}: no sink is named {name:?}", self.config.display());
        }
        ensure!(
            !meant.is_empty(),
            "{}: it has no [[sink]] that is sent messages",
            self.config.display()
        );
        Ok(meant)
    }

    fn deliver(&self) -> Result<()> {
        let job = self.job()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let runtime = Runtime::new().context("starting the I/O runtime")?;
        let meant = self.meant(&job)?;
        // All at once: none waits for another.
        let mut sinks = Vec::new();
        for (sink, _) in &meant {
            let catalog = runtime.block_on(Catalog::open(&job.catalog))?;
            let monitor = Monitor::new(&job, 1, Arc::clone(&clock));
            sinks.push(AlertSink::start(sink, catalog, Arc::clone(&clock), monitor)?);
        }
        for sink in sinks {
            sink.finish()?;
        }
        let catalog = runtime.block_on(Catalog::open(&job.catalog))?;
        let known = &catalog.state().delivery.sinks;
        let mut news = Vec::new();
        for (_, delivery) in meant {
            let name = &delivery.config.name;
            let dead = known.get(name).map_or(0, |sink| sink.dead.len());
            news.push(json!({ "sink": name, "dead_letters": dead }));
        }
        if self.json {
            return print_json(&news);
        }
        let told = news.iter().map(|of| match of["dead_letters"].as_u64() {
            Some(0) => format!("{}: all is delivered\n", of["sink"].as_str().unwrap_or_default()),
            _ => format!(
                "{}: all is delivered but {} dead letters, see the table dead_letters\n",
                of["sink"].as_str().unwrap_or_default(),
                of["dead_letters"]
            ),
        });
        print(&told.collect::<String>())
    }

    fn redeliver(&self, alert: Option<&str>) -> Result<()> {
        let job = self.job()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let runtime = Runtime::new().context("starting the I/O runtime")?;
        let mut news: Vec<Again> = Vec::new();
        for (_, delivery) in self.meant(&job)? {
            let catalog = runtime.block_on(Catalog::open(&job.catalog))?;
            let monitor = Monitor::new(&job, 1, Arc::clone(&clock));
            let mut work = Work::new(catalog, Arc::clone(&clock), monitor)?;
            let meant = |id: &str| alert.is_none_or(|alert| id.starts_with(alert));
            news.extend(redeliver(delivery, &mut work, meant)?);
        }
        if self.json {
            print_json(&news)?;
        } else if news.is_empty() {
            print("there is no dead letter")?;
        } else {
            let told = news.iter().map(|Again { sink, alert_id, event, key, refused }| {
                let became = match refused {
                    None => "sent".to_owned(),
                    Some(reason) => format!("refused: {reason}"),
                };
                format!("{sink}: {key} {alert_id} {event}: {became}\n")
            });
            print(&told.collect::<String>())?;
        }
        let refused = news.iter().filter(|of| of.refused.is_some()).count();
        ensure!(refused == 0, "{refused} of {} dead letters stay", news.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_are_columns_with_globs() {
        let written = |of: &[&str]| of.iter().map(|&of| of.to_owned()).collect::<Vec<_>>();
        let found = matchers(&written(&["source=a*", "source=b", "entity_id=x=y"])).unwrap();
        assert_eq!(found.0["source"], ["a*", "b"]);
        assert_eq!(found.0["entity_id"], ["x=y"]);
        for (wrong, why) in [("source", "column=glob"), ("score=7", "no column of text")] {
            let error = matchers(&written(&[wrong])).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn times_are_written_as_they_are_everywhere() {
        assert_eq!(instant("1970-01-01T00:00:01Z").unwrap(), 1_000_000);
        assert!(instant("yesterday").is_err());
        assert_eq!(later(5, "2h").unwrap(), 7_200_000_005);
        assert!(later(5, "2 hours").is_err());
        assert!(later(i64::MAX, "1h").is_err());
    }
}
