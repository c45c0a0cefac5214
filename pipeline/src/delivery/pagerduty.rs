//! Incidents in PagerDuty, by its Events API, version 2.
//!
//! The alert's id is the `dedup_key` of all its events: what opens it triggers, what closes it resolves, and
//! whoever acknowledges it here acknowledges it there. An event that comes twice changes nothing. See
//! <https://developer.pagerduty.com/docs/send-alert-event>.

use std::time::Duration;

use anyhow::{Result, ensure};
use cloudops_sql::catalog::delivery::{Acknowledged, is_over};
use serde_json::{Value, json};

use super::http::Post;
use super::template::{Template, plain};
use super::{Failure, Grouping, Line, Message, Receiver};
use crate::config::PagerDutyConfig;
use crate::executor::config::Environment;
use crate::executor::secret::Secret;

/// Characters of a summary that PagerDuty takes.
const SUMMARY_CHARACTERS: usize = 1024;

/// What PagerDuty knows of severity.
const SEVERITIES: [&str; 4] = ["critical", "error", "warning", "info"];

/// A service of PagerDuty.
#[derive(Debug)]
pub(super) struct PagerDuty {
    post: Post,
    routing_key: Secret,
    severity: String,
    template: Template,
}

/// # Errors
/// When PagerDuty knows no such severity.
pub(super) fn check_severity(severity: &str) -> Result<()> {
    ensure!(
        SEVERITIES.contains(&severity),
        "severity is {severity:?}: PagerDuty knows {}",
        SEVERITIES.join(", ")
    );
    Ok(())
}

impl PagerDuty {
    pub(super) fn new(
        config: &PagerDutyConfig,
        template: Template,
        timeout: Duration,
        environment: &Environment<'_>,
    ) -> Result<Self> {
        let routing_key = config.routing_key.read_given("pagerduty", environment)?;
        routing_key.text("pagerduty")?;
        let post = Post::new(&config.endpoint, timeout, vec![routing_key.clone()]);
        Ok(Self { post, routing_key, severity: config.severity.clone(), template })
    }

    fn event(&self, action: &str, alert_id: &str) -> Value {
        let routing_key = self.routing_key.text("pagerduty").unwrap_or_default();
        json!({ "routing_key": routing_key, "event_action": action, "dedup_key": alert_id })
    }

    fn row(&self, line: &Line) -> Value {
        if is_over(line.text("event")) {
            return self.event("resolve", line.text("alert_id"));
        }
        let mut event = self.event("trigger", line.text("alert_id"));
        let summary = self.template.say(&line.row, plain);
        event["client"] = "CloudOps".into();
        event["payload"] = json!({
            "summary": summary.chars().take(SUMMARY_CHARACTERS).collect::<String>(),
            "source": line.text("entity_id"),
            "severity": self.severity,
            "timestamp": line.text("at"),
            "component": line.text("source"),
            "class": line.text("kind"),
            "custom_details": line.row,
        });
        event
    }
}

impl Receiver for PagerDuty {
    fn grouping(&self) -> Grouping {
        Grouping::Single
    }

    fn send(&self, message: &Message<'_>, now_us: i64) -> Result<(), Failure> {
        let mut rows = message.lines.iter();
        rows.try_for_each(|line| self.post.json(&self.row(line), now_us))
    }

    fn acknowledges(&self) -> bool {
        true
    }

    fn acknowledge(&self, alert_id: &str, of: &Acknowledged) -> Result<(), Failure> {
        self.post.json(&self.event("acknowledge", alert_id), of.at_us)
    }
}
