//! Alerts to Prometheus' Alertmanager, by its API version 2: grouping, routing and repetition are its own.
//!
//! An alert is known there by its labels, which are the same in both its rows. What opens it has an end far
//! away, as otherwise Alertmanager takes it to be over when nothing is heard of it for a while; what closes
//! it has the end that it had. Alertmanager keeps alerts in memory: one that was open when it started anew
//! is not known there until it closes.

use std::time::Duration;

use anyhow::Result;
use cloudops_sql::catalog::delivery::{Acknowledged, is_over};
use serde_json::{Value, json};

use super::http::Post;
use super::template::{Template, plain};
use super::{Failure, Grouping, Line, Message, Receiver};
use crate::config::AlertmanagerConfig;
use crate::executor::config::Environment;
use crate::executor::secret::Secret;

/// The end of what has none yet.
const OPEN_END: &str = "9999-12-31T00:00:00Z";

/// Columns of a row that make labels: they do not change while an alert is open.
const LABELS: [&str; 4] = ["alert_id", "source", "kind", "entity_id"];

/// An Alertmanager.
#[derive(Debug)]
pub(super) struct Alertmanager {
    post: Post,
    token: Option<Secret>,
    template: Template,
}

impl Alertmanager {
    pub(super) fn new(
        config: &AlertmanagerConfig,
        template: Template,
        timeout: Duration,
        environment: &Environment<'_>,
    ) -> Result<Self> {
        let token = config.token.as_ref();
        let token = token.map(|token| token.read_given("token", environment)).transpose()?;
        if let Some(token) = &token {
            token.text("token")?;
        }
        let url = format!("{}/api/v2/alerts", config.url.trim_end_matches('/'));
        Ok(Self {
            post: Post::new(&url, timeout, token.clone().into_iter().collect()),
            token,
            template,
        })
    }

    fn alert(&self, line: &Line) -> Value {
        let mut labels: serde_json::Map<String, Value> =
            LABELS.iter().map(|&name| (name.to_owned(), line.text(name).into())).collect();
        labels.insert("alertname".to_owned(), "CloudOps".into());
        let annotations = json!({ "summary": self.template.say(&line.row, plain) });
        let (at, closed) = (line.text("at"), is_over(line.text("event")));
        let mut alert = json!({ "labels": labels, "annotations": annotations });
        if !closed {
            alert["startsAt"] = at.into();
        }
        alert["endsAt"] = if closed { at } else { OPEN_END }.into();
        alert
    }
}

impl Receiver for Alertmanager {
    fn grouping(&self) -> Grouping {
        Grouping::Together
    }

    fn send(&self, message: &Message<'_>, now_us: i64) -> Result<(), Failure> {
        let alerts: Vec<Value> = message.lines.iter().map(|line| self.alert(line)).collect();
        let token = self.token.as_ref().map(|token| token.text("token").unwrap_or_default());
        let bearer = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<(&str, &str)> =
            bearer.iter().map(|bearer| ("Authorization", bearer.as_str())).collect();
        self.post.send(&headers, Value::from(alerts).to_string().as_bytes(), now_us)
    }

    fn acknowledges(&self) -> bool {
        false
    }

    fn acknowledge(&self, _: &str, _: &Acknowledged) -> Result<(), Failure> {
        Ok(())
    }
}
