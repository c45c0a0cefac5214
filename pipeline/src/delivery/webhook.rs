//! A signed POST of alerts to somebody's service.
//!
//! `Idempotency-Key` carries the message's key, [`signature`]'s header the signature, as requests to executors
//! do. The body:
//!
//! ```json
//! {"sink": "ops", "key": "12-3", "text": "…",
//!  "alerts": [{"key": "12-3", "text": "…", "row": {"alert_id": "…", "event": "opened", …}}]}
//! ```
//!
//! A row's columns are those of the table `alerts`; what is null is left out.

use std::time::Duration;

use anyhow::Result;
use cloudops_sql::catalog::delivery::Acknowledged;
use serde_json::{Value, json};

use super::http::Post;
use super::template::{Template, plain};
use super::{Failure, Grouping, Line, Message, Receiver};
use crate::config::WebhookConfig;
use crate::executor::config::Environment;
use crate::executor::secret::Secret;
use crate::executor::signature;

/// The header that carries the key.
const KEY: &str = "Idempotency-Key";

/// A service.
#[derive(Debug)]
pub(super) struct Webhook {
    sink: String,
    post: Post,
    secret: Secret,
    template: Template,
}

impl Webhook {
    pub(super) fn new(
        sink: &str,
        config: &WebhookConfig,
        template: Template,
        timeout: Duration,
        environment: &Environment<'_>,
    ) -> Result<Self> {
        let secret = config.secret.read("secret", environment)?;
        let post = Post::new(&config.url, timeout, vec![secret.clone()]);
        Ok(Self { sink: sink.to_owned(), post, secret, template })
    }

    fn body(&self, message: &Message<'_>) -> Value {
        let say = |line: &Line| self.template.say(&line.row, plain);
        let texts: Vec<String> = message.lines.iter().map(|line| say(line)).collect();
        let alerts = message.lines.iter().zip(&texts).map(
            |(line, text)| json!({ "key": line.place.to_string(), "text": text, "row": line.row }),
        );
        json!({
            "sink": self.sink,
            "key": message.key,
            "text": texts.join("\n"),
            "alerts": alerts.collect::<Vec<_>>(),
        })
    }
}

impl Receiver for Webhook {
    fn grouping(&self) -> Grouping {
        Grouping::ByColumns
    }

    fn send(&self, message: &Message<'_>, now_us: i64) -> Result<(), Failure> {
        let body = self.body(message).to_string();
        let signed = signature::sign(&self.secret, now_us / 1_000_000, body.as_bytes());
        let headers = [(KEY, message.key.as_str()), (signature::HEADER, signed.as_str())];
        self.post.send(&headers, body.as_bytes(), now_us)
    }

    fn acknowledges(&self) -> bool {
        false
    }

    fn acknowledge(&self, _: &str, _: &Acknowledged) -> Result<(), Failure> {
        Ok(())
    }
}
