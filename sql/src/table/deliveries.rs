//! `alert_status`, `dead_letters`, `silences`: what became of alerts on their way out.
//!
//! When each row was delivered only the past knows, so the first two read the log again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use futures_util::TryStreamExt;
use serde_json::{Map, Value};

use super::log::{batch, instants, numbers};
use super::{Kind, Table, Type, optional, required};
use crate::alerts::{self, Alert};
use crate::catalog::delivery::{Delivered, Held, Place, Silence, Why, shown};
use crate::catalog::history::History;
use crate::catalog::record::Record;
use crate::catalog::{State, Store};
use crate::{Error, Result};

pub(super) const ALERT_STATUS: Table = Table {
    name: "alert_status",
    description: "what became of a row of alerts at a sink; one row without sink where no sink is meant",
    kind: Kind::Log,
    own: &[
        required("alert_id", Type::Text, "the alert"),
        required("event", Type::Text, "'opened' or 'closed'"),
        required("source", Type::Text, "name of the configured stream"),
        required("entity_id", Type::Text, "machine, engine, VM, principal or account"),
        optional("at", Type::Instant, "event time at which the alert opened or closed, UTC"),
        required("epoch", Type::I64, "epoch that committed the row"),
        required("sequence", Type::I64, "its number among the epoch's alerts, from 0"),
        optional("sink", Type::Text, "where it is delivered"),
        optional(
            "status",
            Type::Text,
            "'waiting', 'delivered', 'silenced', 'acknowledged' (not sent, as somebody is at it) or 'dead'",
        ),
        optional("settled_at", Type::Instant, "wall clock when that was written down, UTC"),
        optional("silence", Type::I64, "the silence that held it, see silences"),
        optional("silenced_by", Type::Text, "who wanted that silence"),
        optional("reason", Type::Text, "of a dead letter: what the receiver said"),
        optional("acknowledged_by", Type::Text, "who has taken the alert on"),
        optional("acknowledged_at", Type::Instant, "wall clock when they said so, UTC"),
        optional("note", Type::Text, "what they had to say"),
    ],
    sort: &["epoch", "sequence", "sink"],
    statistics: &[],
};

pub(super) const DEAD_LETTERS: Table = Table {
    name: "dead_letters",
    description: "a row of alerts that a sink's receiver did not take",
    kind: Kind::Log,
    own: &[
        required("sink", Type::Text, "the sink"),
        required("alert_id", Type::Text, "the alert"),
        required("event", Type::Text, "'opened' or 'closed'"),
        required("epoch", Type::I64, "epoch that committed the row"),
        required("sequence", Type::I64, "its number among the epoch's alerts, from 0"),
        required("reason", Type::Text, "what the receiver said"),
        required("attempts", Type::I32, "how often it was tried"),
        optional("at", Type::Instant, "wall clock when it was given up, UTC"),
        optional("redelivered_at", Type::Instant, "wall clock when it was sent after all, UTC"),
        required("seq", Type::I64, "number of the log record that says so"),
    ],
    sort: &["seq"],
    statistics: &[],
};

pub(super) const SILENCES: Table = Table {
    name: "silences",
    description: "alerts that match and open within a time are not delivered",
    kind: Kind::Log,
    own: &[
        required(
            "silence",
            Type::I64,
            "number of the log record that says so: it names the silence",
        ),
        required("matching", Type::Text, "globs by column of alerts, JSON"),
        optional("effective_from", Type::Instant, "first event time, UTC; null: since ever"),
        optional(
            "effective_until",
            Type::Instant,
            "first event time after it, UTC; null: until taken back",
        ),
        required("reason", Type::Text, "why"),
        required("silenced_by", Type::Text, "who wanted it"),
        optional("silenced_at", Type::Instant, "wall clock when they said so, UTC"),
        optional("ended_by", Type::Text, "who took it back"),
        optional("ended_at", Type::Instant, "wall clock when they did, UTC"),
    ],
    sort: &["silence"],
    statistics: &[],
};

/// The rows of `silences`.
pub(crate) fn silences(state: &State) -> RecordBatch {
    let all = &state.delivery.silences;
    let text = |value: fn(&Silence) -> Option<String>| -> ArrayRef {
        Arc::new(all.iter().map(value).collect::<StringArray>())
    };
    let ended = |of: &Silence| of.ended.as_ref().map_or(i64::MAX, |(_, at_us)| *at_us);
    batch(
        &SILENCES,
        vec![
            numbers(all.iter().map(|of| of.number)),
            text(|of| serde_json::to_string(&of.matching).ok()),
            instants(all.iter().map(|of| of.from_us.unwrap_or(i64::MIN))),
            instants(all.iter().map(|of| of.until_us.unwrap_or(i64::MAX))),
            text(|of| Some(of.reason.clone())),
            text(|of| Some(of.by.clone())),
            instants(all.iter().map(|of| of.at_us)),
            text(|of| of.ended.as_ref().map(|(by, _)| by.clone())),
            instants(all.iter().map(ended)),
        ],
    )
}

/// Every delivery with its number in the log.
async fn deliveries(history: &History) -> Result<Vec<(u64, Delivered)>> {
    let mut found = Vec::new();
    let mut records = history.records();
    while let Some((number, record)) = records.try_next().await? {
        if let Record::Delivered(delivered) = record {
            found.push((number, delivered));
        }
    }
    Ok(found)
}

/// A dead letter: the record's number, the record, the row, what was said, and attempts.
type Letter<'a> = (u64, &'a Delivered, &'a Held, &'a str, u32);

/// The rows of `dead_letters`.
pub(crate) async fn dead_letters(history: &History) -> Result<RecordBatch> {
    let all = deliveries(history).await?;
    let mut again: BTreeMap<(&str, Place), i64> = BTreeMap::new();
    for (_, of) in &all {
        again.extend(of.again.iter().map(|place| ((of.sink.as_str(), *place), of.at_us)));
    }
    let mut rows: Vec<Letter<'_>> = Vec::new();
    for (number, of) in &all {
        for held in &of.held {
            if let Why::Dead { reason, attempts } = &held.why {
                rows.push((*number, of, held, reason, *attempts));
            }
        }
    }
    let text = |value: fn(&Letter<'_>) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(value)))
    };
    let sent = |(_, of, held, ..): &Letter<'_>| {
        again.get(&(of.sink.as_str(), held.place)).copied().unwrap_or(i64::MAX)
    };
    Ok(batch(
        &DEAD_LETTERS,
        vec![
            text(|row| row.1.sink.clone()),
            text(|row| row.2.alert_id.clone()),
            text(|row| row.2.event.clone()),
            numbers(rows.iter().map(|row| row.2.place.epoch)),
            numbers(rows.iter().map(|row| row.2.place.sequence)),
            text(|row| row.3.to_owned()),
            Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.4 as i32))),
            instants(rows.iter().map(|row| row.1.at_us)),
            instants(rows.iter().map(sent)),
            numbers(rows.iter().map(|row| row.0)),
        ],
    ))
}

/// What `alert_status` is made of.
#[derive(Debug)]
pub(crate) struct Status {
    state: Arc<State>,
    store: Store,
    history: History,
}

/// One row of it.
struct StatusRow {
    place: Place,
    row: Arc<Map<String, Value>>,
    sink: Option<String>,
    status: Option<&'static str>,
    settled_us: i64,
    silence: Option<u64>,
    reason: Option<String>,
}

/// What is known of a sink's past.
#[derive(Default)]
struct Past {
    /// Its deliveries, in order.
    steps: Vec<Delivered>,
    held: BTreeMap<Place, (Why, i64)>,
    again: BTreeMap<Place, i64>,
}

impl Status {
    pub(crate) fn new(state: Arc<State>, store: Store, history: History) -> Self {
        Self { state, store, history }
    }

    /// The rows of `alert_status`.
    pub(crate) async fn rows(&self) -> Result<RecordBatch> {
        let Self { state, store, history } = self;
        let read = alerts::read(state, store, Place::default(), &BTreeSet::new()).await?;
        let rows = read.map_err(|path| Error::Retry {
            action: format!("reading {path}, which was merged meanwhile"),
            source: Box::new(object_store::Error::NotFound { path, source: "merged".into() }),
        })?;
        let mut sinks: BTreeMap<String, Past> = BTreeMap::new();
        for (_, mut of) in deliveries(history).await? {
            let past = sinks.entry(of.sink.clone()).or_default();
            let at_us = of.at_us;
            past.held.extend(of.held.drain(..).map(|held| (held.place, (held.why, at_us))));
            past.again.extend(of.again.drain(..).map(|place| (place, at_us)));
            past.steps.push(of);
        }
        let mut found = Vec::new();
        for alert in &rows.alerts {
            let row = Arc::new(alert.row()?);
            let before = found.len();
            for (sink, past) in &sinks {
                found.extend(past.status(sink, alert, &row));
            }
            if found.len() == before {
                found.push(StatusRow::nowhere(alert, &row));
            }
        }
        Ok(self.batch(&found))
    }

    fn batch(&self, rows: &[StatusRow]) -> RecordBatch {
        let delivery = &self.state.delivery;
        let column = |name: &'static str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(rows.iter().map(|of| shown(of.row.get(name)))))
        };
        let acknowledged =
            || rows.iter().map(|of| delivery.acknowledged.get(&shown(of.row.get("alert_id"))));
        let by = acknowledged().map(|of| of.map(|of| of.by.clone()));
        let note = acknowledged().map(|of| of.and_then(|of| of.note.clone()));
        let silenced = rows.iter().map(|of| Some(delivery.silence(of.silence?)?.by.clone()));
        let at = rows.iter().map(|of| alerts::at_us(&of.row).unwrap_or(i64::MAX));
        batch(
            &ALERT_STATUS,
            vec![
                column("alert_id"),
                column("event"),
                column("source"),
                column("entity_id"),
                instants(at),
                numbers(rows.iter().map(|of| of.place.epoch)),
                numbers(rows.iter().map(|of| of.place.sequence)),
                Arc::new(rows.iter().map(|of| of.sink.clone()).collect::<StringArray>()),
                Arc::new(rows.iter().map(|of| of.status).collect::<StringArray>()),
                instants(rows.iter().map(|of| of.settled_us)),
                Arc::new(
                    rows.iter().map(|of| of.silence.map(|n| n as i64)).collect::<Int64Array>(),
                ),
                Arc::new(silenced.collect::<StringArray>()),
                Arc::new(rows.iter().map(|of| of.reason.clone()).collect::<StringArray>()),
                Arc::new(by.collect::<StringArray>()),
                instants(acknowledged().map(|of| of.map_or(i64::MAX, |of| of.at_us))),
                Arc::new(note.collect::<StringArray>()),
            ],
        )
    }
}

impl Past {
    /// What became of a row; `None` where it is not meant for the sink, or was committed before the sink
    /// began.
    fn status(
        &self,
        sink: &str,
        alert: &Alert,
        row: &Arc<Map<String, Value>>,
    ) -> Option<StatusRow> {
        let (first, last) = (self.steps.first()?, self.steps.last()?);
        if alert.place < first.next {
            return None;
        }
        let step = self.steps.iter().find(|step| step.next > alert.place);
        if !step.unwrap_or(last).matching.match_row(row) {
            return None;
        }
        let mut found = StatusRow::nowhere(alert, row);
        found.sink = Some(sink.to_owned());
        let Some(step) = step else {
            found.status = Some("waiting");
            return Some(found);
        };
        (found.status, found.settled_us) = (Some("delivered"), step.at_us);
        if let Some(at_us) = self.again.get(&alert.place) {
            found.settled_us = *at_us;
        } else if let Some((why, at_us)) = self.held.get(&alert.place) {
            found.settled_us = *at_us;
            found.status = Some(match why {
                Why::Dead { reason, .. } => {
                    found.reason = Some(reason.clone());
                    "dead"
                }
                Why::Silenced { silence } => {
                    found.silence = Some(*silence);
                    "silenced"
                }
                Why::Acknowledged {} => "acknowledged",
            });
        }
        Some(found)
    }
}

impl StatusRow {
    /// A row that no sink has been asked about.
    fn nowhere(alert: &Alert, row: &Arc<Map<String, Value>>) -> Self {
        Self {
            place: alert.place,
            row: Arc::clone(row),
            sink: None,
            status: None,
            settled_us: i64::MAX,
            silence: None,
            reason: None,
        }
    }
}
