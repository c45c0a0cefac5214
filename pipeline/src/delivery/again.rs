//! Dead letters, sent once more because somebody says so.

use std::sync::Arc;

use anyhow::Result;
use cloudops_sql::alerts::Alert;
use cloudops_sql::catalog::delivery::{CLOSED, Delivered, Held, Sink, Why, is_over};

use super::outlet::{Attempt, line, rest};
use super::{Delivery, DeliveryJob, Message};
use crate::sink::alerts::Work;

/// What became of a dead letter.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Again {
    /// The sink.
    pub(crate) sink: String,
    /// The alert.
    pub(crate) alert_id: String,
    /// What happened to it.
    pub(crate) event: String,
    /// The row's key.
    pub(crate) key: String,
    /// Why it stays a dead letter; none where it was sent.
    pub(crate) refused: Option<String>,
}

/// Sends a sink's dead letters of alerts that are meant, in order, and writes down which were sent.
///
/// # Errors
/// When a secret is not there, or the store fails.
pub(crate) fn redeliver(
    job: &DeliveryJob,
    work: &mut Work,
    meant: impl Fn(&str) -> bool,
) -> Result<Vec<Again>> {
    let mut delivery = Delivery::new(job)?;
    let sink = &job.config.name;
    let alerts = work.rows(Default::default())?.alerts;
    let state = Arc::clone(work.reader.catalog().state());
    let Some(known) = state.delivery.sinks.get(sink) else { return Ok(Vec::new()) };
    let mut dead: Vec<&Held> = known.dead.iter().filter(|held| meant(&held.alert_id)).collect();
    dead.sort_by_key(|held| held.place);
    let mut news = Vec::new();
    let mut sent = Vec::new();
    for held in dead {
        let refused = match find(&alerts, held)? {
            None => Some("its row is past its retention".to_owned()),
            Some(alert) => match send(&delivery, alert, work)? {
                None if !is_over(&held.event) => close(&delivery, held, known, &alerts, work)?,
                refused => refused,
            },
        };
        if refused.is_none() {
            sent.push(held.place);
        }
        let Held { place, alert_id, event, .. } = held.clone();
        let key = place.to_string();
        news.push(Again { sink: sink.clone(), alert_id, event, key, refused });
    }
    if !sent.is_empty() {
        let count = sent.len() as u64;
        let record = delivery.record(known.next, known.told, work);
        delivery.append(Delivered { sent: count, again: sent, ..record }, work)?;
    }
    Ok(news)
}

/// The row of a dead letter. Where rows of its epoch are past their retention, places of others have moved.
fn find<'a>(alerts: &'a [Alert], held: &Held) -> Result<Option<&'a Alert>> {
    for alert in alerts.iter().filter(|alert| alert.place.epoch == held.place.epoch) {
        let found = line(alert)?;
        if found.text("alert_id") == held.alert_id && found.text("event") == held.event {
            return Ok(Some(alert));
        }
    }
    Ok(None)
}

/// Sends the closing of an alert, the rest of which was sent late: where the closing has been settled, nobody
/// would hear of it any more. Gives why it was not taken.
fn close(
    delivery: &Delivery,
    held: &Held,
    known: &Sink,
    alerts: &[Alert],
    work: &Work,
) -> Result<Option<String>> {
    for alert in alerts.iter().filter(|alert| alert.place < known.next) {
        let found = line(alert)?;
        let closes = found.text("alert_id") == held.alert_id && found.text("event") == CLOSED;
        if closes && !known.dead.iter().any(|dead| dead.place == alert.place) {
            return send(delivery, alert, work);
        }
    }
    Ok(None)
}

/// Tries a row as often as is configured; gives why it was not taken.
fn send(delivery: &Delivery, alert: &Alert, work: &Work) -> Result<Option<String>> {
    let line = line(alert)?;
    let message = Message { key: line.place.to_string(), lines: vec![&line] };
    let mut attempts = 0;
    loop {
        attempts += 1;
        match delivery.once(&message, attempts, work) {
            Ok(Attempt::Sent) => return Ok(None),
            Ok(Attempt::Refused(why) | Attempt::GivenUp(why)) => {
                let Why::Dead { reason, .. } = why else { return Ok(Some("held".to_owned())) };
                return Ok(Some(reason));
            }
            Ok(Attempt::Stopped) => return Ok(Some("stopped".to_owned())),
            Err(pause) => {
                rest(pause, work);
            }
        }
    }
}
