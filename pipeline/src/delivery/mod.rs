//! Alerts to those who act on them: signed webhooks, Slack, PagerDuty, Alertmanager, mail.
//!
//! A sink has one `Receiver` and settles rows of `alerts` in the order of their places. Each is sent, or held
//! by a silence or an acknowledgement, or becomes a *dead letter*, refused or tried often enough, and what
//! comes after it has its turn. What has been settled is written down in the catalog's log
//! ([`cloudops_sql::catalog::delivery`]) behind the sending, one record a round: a program that is killed in
//! between sends a round again, with the same keys. A row's key is its place, `<epoch>-<sequence>`.
//!
//! Nothing about a delivery depends on time but its pauses: a round takes what is committed, a silence holds
//! for event time, and a group is what a round finds together.
//!
//! In reading order: [`template`] is what is said of an alert; `webhook`, `slack`, `pagerduty`,
//! `alertmanager` and `email` to whom, by `http` but for the last; `round` which rows of a round go
//! how, and `outlet` the rounds of a sink; `again` sends dead letters once more.

pub(crate) mod again;
mod alertmanager;
mod email;
mod http;
mod outlet;
mod pagerduty;
mod round;
mod slack;
pub mod template;
mod webhook;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cloudops_sql::alerts::text_columns;
use cloudops_sql::catalog::delivery::{Acknowledged, Place};
use serde_json::{Map, Value};

use crate::config::{DeliveryConfig, ReceiverConfig};
use crate::executor::backoff::Backoff;
use crate::executor::config::Environment;
pub(crate) use outlet::Delivery;
use template::Template;

/// A delivery's settings, checked; secrets are not read yet.
#[derive(Debug, Clone)]
pub struct DeliveryJob {
    /// As written.
    pub config: DeliveryConfig,
    /// What is said of an alert.
    pub template: Template,
    /// What a mail's subject says.
    pub subject: Template,
}

/// A row that is sent.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// Where it stands; as text its key.
    pub(crate) place: Place,
    /// Its columns that are not null.
    pub(crate) row: Map<String, Value>,
}

impl Line {
    /// A column of text; empty where there is none.
    pub(crate) fn text(&self, column: &str) -> &str {
        self.row.get(column).and_then(Value::as_str).unwrap_or_default()
    }
}

/// What is sent at once: rows in the order of their places, at least one.
#[derive(Debug, Clone)]
pub(crate) struct Message<'a> {
    /// What it carries, so that a receiver knows it when it comes again.
    pub(crate) key: String,
    /// Its rows.
    pub(crate) lines: Vec<&'a Line>,
}

/// How rows may be put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grouping {
    /// Each is a message.
    Single,
    /// As is configured.
    ByColumns,
    /// All that come at once.
    Together,
}

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The receiver was not reached, or is busy: it may have taken the message or not.
    Again {
        /// What is known of the cause.
        reason: String,
        /// How long it asks to be left alone.
        after: Option<Duration>,
    },
    /// It would be refused again.
    Refused {
        /// What the receiver said.
        reason: String,
    },
}

/// Whoever is sent alerts. What comes twice carries the same key twice, and telling that is the receiver's
/// part.
pub(crate) trait Receiver: Send + std::fmt::Debug {
    /// How rows may be put together.
    fn grouping(&self) -> Grouping;

    /// Sends a message, once; `now_us` is the wall clock.
    ///
    /// # Errors
    /// By what to do next.
    fn send(&self, message: &Message<'_>, now_us: i64) -> Result<(), Failure>;

    /// Whether it is told of acknowledgements. Whoever is not is spared all of an acknowledged alert but its
    /// closing.
    fn acknowledges(&self) -> bool;

    /// Tells that somebody has taken an alert on; asked only of those that say so above.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    fn acknowledge(&self, alert_id: &str, of: &Acknowledged) -> Result<(), Failure>;
}

impl DeliveryConfig {
    /// Checks the settings; nothing is read or sent.
    ///
    /// # Errors
    /// Naming the field and the fix.
    pub fn validate(&self) -> Result<DeliveryJob> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        ensure!(
            !self.name.is_empty() && self.name.chars().all(plain),
            "name: give the sink one of letters, digits, - and _: what was delivered is kept under it"
        );
        let columns: BTreeSet<&str> = text_columns().collect();
        let known = |field: &str, column: &str| {
            ensure!(
                columns.contains(column),
                "{field}: {column:?} is no column of text of alerts; those are {}",
                columns.iter().copied().collect::<Vec<_>>().join(", ")
            );
            Ok(())
        };
        self.matching.0.keys().try_for_each(|column| known("match", column))?;
        for column in self.group_by.iter().flatten() {
            known("group_by", column)?;
        }
        match self.to {
            ReceiverConfig::PagerDuty(_) => ensure!(
                self.group_by.is_none(),
                "group_by: PagerDuty has an incident for each alert; remove it"
            ),
            ReceiverConfig::Alertmanager(_) => ensure!(
                self.group_by.is_none(),
                "group_by: Alertmanager groups by its own configuration; remove it"
            ),
            _ => {}
        }
        ensure!(!self.timeout.is_zero(), "timeout: it must be longer than nothing");
        ensure!(self.attempts > 0, "attempts is 0: at least one is needed");
        ensure!(!self.pause.is_zero(), "pause: it must be longer than nothing");
        ensure!(self.pause_max >= self.pause, "pause_max is shorter than pause");
        let template = self.template.as_deref().unwrap_or(template::TEXT);
        let subject = match &self.to {
            ReceiverConfig::Email(email) => email.subject.as_deref(),
            _ => None,
        };
        match &self.to {
            ReceiverConfig::Webhook(to) => http::check("webhook", &to.url)?,
            ReceiverConfig::PagerDuty(to) => {
                http::check("endpoint", &to.endpoint)?;
                pagerduty::check_severity(&to.severity)?;
            }
            ReceiverConfig::Alertmanager(to) => http::check("alertmanager", &to.url)?,
            ReceiverConfig::Email(to) => email::check(to)?,
            ReceiverConfig::Slack(_) => {}
        }
        Ok(DeliveryJob {
            config: self.clone(),
            template: Template::parse(template).context("template")?,
            subject: Template::parse(subject.unwrap_or(template::SUBJECT))
                .context("email.subject")?,
        })
    }
}

impl DeliveryJob {
    /// Reads the secrets and makes the receiver; nothing is sent.
    ///
    /// # Errors
    /// Naming the sink, the field and what is not there.
    pub(crate) fn receiver(&self, environment: &Environment<'_>) -> Result<Box<dyn Receiver>> {
        let DeliveryConfig { name, to, timeout, .. } = &self.config;
        let template = self.template.clone();
        let made: Result<Box<dyn Receiver>> = match to {
            ReceiverConfig::Webhook(to) => {
                webhook::Webhook::new(name, to, template, *timeout, environment).map(boxed)
            }
            ReceiverConfig::Slack(address) => {
                slack::Slack::new(address, template, *timeout, environment).map(boxed)
            }
            ReceiverConfig::PagerDuty(to) => {
                pagerduty::PagerDuty::new(to, template, *timeout, environment).map(boxed)
            }
            ReceiverConfig::Alertmanager(to) => {
                alertmanager::Alertmanager::new(to, template, *timeout, environment).map(boxed)
            }
            ReceiverConfig::Email(to) => {
                let templates = (self.subject.clone(), template);
                email::Email::new(name, to, templates, *timeout, environment).map(boxed)
            }
        };
        made.with_context(|| format!("sink {name:?}"))
    }

    /// How a message is tried again.
    pub(crate) fn backoff(&self) -> Backoff {
        let DeliveryConfig { attempts, pause, pause_max, .. } = self.config;
        Backoff { attempts, first: pause, longest: pause_max }
    }
}

fn boxed(receiver: impl Receiver + 'static) -> Box<dyn Receiver> {
    Box::new(receiver)
}
