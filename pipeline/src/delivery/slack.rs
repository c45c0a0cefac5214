//! Messages to a Slack channel, by an incoming webhook. Its address is a secret: whoever has it may post.
//!
//! The template's own text is Slack's `mrkdwn`; of what a row brings, `&`, `<` and `>` are escaped, as Slack
//! asks for.

use std::time::Duration;

use anyhow::Result;
use cloudops_sql::catalog::delivery::Acknowledged;
use serde_json::{Value, json};

use super::http::{self, Post};
use super::template::Template;
use super::{Failure, Grouping, Message, Receiver};
use crate::executor::config::Environment;
use crate::executor::secret::{Secret, SecretConfig};

/// A channel.
#[derive(Debug)]
pub(super) struct Slack {
    post: Post,
    template: Template,
}

impl Slack {
    pub(super) fn new(
        address: &SecretConfig,
        template: Template,
        timeout: Duration,
        environment: &Environment<'_>,
    ) -> Result<Self> {
        let secret = address.read_given("slack", environment)?;
        let url = secret.text("slack")?.trim().to_owned();
        http::check("slack", &url)?;
        // A receiver may repeat what it was asked for, which is the address without the host.
        let path = url::Url::parse(&url).map(|url| url.path().to_owned()).unwrap_or_default();
        let path = Some(path).filter(|path| path.len() > 1).map(Secret::new);
        let secrets = [Secret::new(url.clone())].into_iter().chain(path).collect();
        Ok(Self { post: Post::new(&url, timeout, secrets), template })
    }

    fn body(&self, message: &Message<'_>) -> Value {
        let texts = message.lines.iter().map(|line| self.template.say(&line.row, escape));
        json!({ "text": texts.collect::<Vec<_>>().join("\n") })
    }
}

/// What Slack would read as its own.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl Receiver for Slack {
    fn grouping(&self) -> Grouping {
        Grouping::ByColumns
    }

    fn send(&self, message: &Message<'_>, now_us: i64) -> Result<(), Failure> {
        self.post.json(&self.body(message), now_us)
    }

    fn acknowledges(&self) -> bool {
        false
    }

    fn acknowledge(&self, _: &str, _: &Acknowledged) -> Result<(), Failure> {
        Ok(())
    }
}
