//! Where alerts go on to.

use std::path::PathBuf;
use std::time::Duration;

use cloudops_sql::catalog::delivery::Matchers;
use serde::Deserialize;

use super::source::take_fluvio;
use super::{FluvioConfig, duration};
use crate::executor::secret::SecretConfig;

/// `[[sink]]`: where alerts are sent once their epoch is committed. At least once: after a crash some
/// may come again, with the same key. Which kind it is says the one key of `fluvio`, `webhook`, `slack`,
/// `pagerduty`, `alertmanager` and `email` that it has.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "toml::Table")]
pub enum SinkConfig {
    /// A topic.
    Topic(TopicConfig),
    /// A receiver that is sent messages.
    Delivery(Box<DeliveryConfig>),
}

/// A topic.
#[derive(Debug, Clone)]
pub struct TopicConfig {
    /// The key `fluvio`: a topic, whose first partition is written to, or `fluvio://host:9003/topic/2`.
    /// Nobody else may write there: the last record says what has been sent.
    pub address: String,
    /// How it is reached: the keys `profile` and `tls`.
    pub fluvio: FluvioConfig,
}

/// A receiver of messages, and what it is sent.
#[derive(Debug, Clone)]
pub struct DeliveryConfig {
    /// What the sink is called in the log, under which is kept how far it has come. Two sinks of one
    /// catalog have two names; a sink that is given another name begins anew.
    pub name: String,
    /// Who is sent them: one of `webhook`, `slack`, `pagerduty`, `alertmanager`, `email`.
    pub to: ReceiverConfig,
    /// `match = { source = "pumps*", kind = ["cost", "audit"] }`: which alerts are sent: for each column of
    /// text named, one of its globs must match. Default: all.
    pub matching: Matchers,
    /// Whether alerts that were committed before the sink first began are sent too. Default: false.
    pub backlog: bool,
    /// What is said of an alert: text with `{{column}}` in the place of a column of `alerts`, and
    /// `{{#column}}…{{/column}}` around what is only said where the row has that column. Default: what
    /// happened, to whom, when, and the score where there is one.
    pub template: Option<String>,
    /// Columns of text: alerts that agree in them, and that one round of deliveries finds together, are one
    /// message. A round takes what has been committed since the last, and waits for nothing. Of `webhook`,
    /// `slack` and `email`. Default: each alert is a message of its own.
    pub group_by: Option<Vec<String>>,
    /// How long one attempt may take. Default: 10 s.
    pub timeout: Duration,
    /// How often a message is tried, in all, whose receiver is not reached or is busy, before it is a dead
    /// letter and the next one's turn. With the pauses' defaults that is some half an hour. Default: 12.
    pub attempts: u32,
    /// The pause after the first attempt, which then doubles; a receiver's `Retry-After` holds in its place.
    /// Default: 1 s.
    pub pause: Duration,
    /// The longest pause. Default: 5 min.
    pub pause_max: Duration,
}

/// Who is sent alerts.
#[derive(Debug, Clone)]
pub enum ReceiverConfig {
    /// A service that is sent signed JSON.
    Webhook(WebhookConfig),
    /// `slack = { env = "…" }`: the address of an incoming webhook, which is a secret.
    Slack(SecretConfig),
    /// PagerDuty's Events API, version 2.
    PagerDuty(PagerDutyConfig),
    /// Prometheus' Alertmanager, its API version 2.
    Alertmanager(AlertmanagerConfig),
    /// Mail by SMTP.
    Email(EmailConfig),
}

/// `webhook = "https://…"`
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    /// Where messages go. With `http://` anyone on the way can read them, but not change them.
    pub url: String,
    /// The key `secret`: what they are signed with, `{ env = "…" }` or `{ file = "…" }`.
    pub secret: SecretConfig,
}

/// `pagerduty = { env = "…" }`: the integration's routing key, which is a secret.
#[derive(Debug, Clone)]
pub struct PagerDutyConfig {
    /// The routing key.
    pub routing_key: SecretConfig,
    /// The key `endpoint`. Default: `https://events.pagerduty.com/v2/enqueue`.
    pub endpoint: String,
    /// The key `severity` of its incidents: `critical`, `error`, `warning` or `info`. Default: `error`.
    pub severity: String,
}

/// `alertmanager = "http://host:9093"`
#[derive(Debug, Clone)]
pub struct AlertmanagerConfig {
    /// Its address, without `/api/v2/alerts`.
    pub url: String,
    /// The key `token`: a bearer token, where it asks for one.
    pub token: Option<SecretConfig>,
}

/// `email = { host = "…", from = "…", to = ["…"] }`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmailConfig {
    /// The server that takes our mail.
    pub host: String,
    /// Its port. Default: 587, or 465 where TLS is implicit.
    #[serde(default)]
    pub port: Option<u16>,
    /// `starttls`, `implicit`, or `none`, which sends in the clear and without a password. Default:
    /// `starttls`.
    #[serde(default)]
    pub security: Security,
    /// The authority that the server's certificate is checked against, PEM. Default: the web's.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// Who we are there; with `password`. Default: nobody.
    #[serde(default)]
    pub user: Option<String>,
    /// And what proves it.
    #[serde(default)]
    pub password: Option<SecretConfig>,
    /// The sender, e.g. `CloudOps <alerts@example.com>`.
    pub from: String,
    /// The recipients.
    pub to: Vec<String>,
    /// A template of the subject; of several alerts it is the first one's, with their number. Default: what
    /// happened to whom.
    #[serde(default)]
    pub subject: Option<String>,
}

/// How a connection to a mail server is secured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// TLS from a command on, without which nothing is sent.
    #[default]
    StartTls,
    /// TLS from the first byte on.
    Implicit,
    /// None.
    None,
}

/// The kinds of sinks, each named by its key.
const KINDS: [&str; 6] = ["fluvio", "webhook", "slack", "pagerduty", "alertmanager", "email"];

/// A delivery as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    name: String,
    webhook: Option<String>,
    secret: Option<SecretConfig>,
    slack: Option<SecretConfig>,
    pagerduty: Option<SecretConfig>,
    endpoint: Option<String>,
    severity: Option<String>,
    alertmanager: Option<String>,
    token: Option<SecretConfig>,
    email: Option<EmailConfig>,
    #[serde(default, rename = "match")]
    matching: toml::Table,
    #[serde(default)]
    backlog: bool,
    template: Option<String>,
    group_by: Option<Vec<String>>,
    #[serde(default = "ten_seconds", deserialize_with = "duration")]
    timeout: Duration,
    #[serde(default = "twelve")]
    attempts: u32,
    #[serde(default = "one_second", deserialize_with = "duration")]
    pause: Duration,
    #[serde(default = "five_minutes", deserialize_with = "duration")]
    pause_max: Duration,
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

fn twelve() -> u32 {
    12
}

fn one_second() -> Duration {
    Duration::from_secs(1)
}

fn five_minutes() -> Duration {
    Duration::from_secs(300)
}

impl TryFrom<toml::Table> for SinkConfig {
    type Error = String;

    fn try_from(mut table: toml::Table) -> Result<Self, String> {
        let kinds: Vec<&str> = KINDS.into_iter().filter(|kind| table.contains_key(*kind)).collect();
        match kinds[..] {
            ["fluvio"] => {}
            [_] => return delivery(table).map(|delivery| Self::Delivery(Box::new(delivery))),
            [] => {
                return Err("fluvio is missing: a topic's address, fluvio://host:9003/topic; or \
                            webhook, slack, pagerduty, alertmanager or email"
                    .to_owned());
            }
            _ => return Err(format!("a sink is one of {}: write one for each", kinds.join(", "))),
        }
        let Some(toml::Value::String(address)) = table.remove("fluvio") else {
            return Err("fluvio: expected a topic's address, fluvio://host:9003/topic".to_owned());
        };
        let fluvio = take_fluvio(&mut table)?;
        match table.keys().next() {
            Some(key) => Err(format!("unknown key {key}: a sink has fluvio, profile and tls")),
            None => Ok(Self::Topic(TopicConfig { address, fluvio })),
        }
    }
}

fn delivery(table: toml::Table) -> Result<DeliveryConfig, String> {
    let mut written: Written =
        table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
    let keys = [
        ("secret", written.secret.is_some(), "webhook"),
        ("endpoint", written.endpoint.is_some(), "pagerduty"),
        ("severity", written.severity.is_some(), "pagerduty"),
        ("token", written.token.is_some(), "alertmanager"),
    ];
    let (kind, to) = receiver(&mut written)?;
    if let Some((key, _, of)) = keys.iter().find(|(_, there, of)| *there && *of != kind) {
        return Err(format!("{key} is for sinks with {of}; remove it"));
    }
    Ok(DeliveryConfig {
        name: written.name,
        to,
        matching: matchers(written.matching)?,
        backlog: written.backlog,
        template: written.template,
        group_by: written.group_by,
        timeout: written.timeout,
        attempts: written.attempts,
        pause: written.pause,
        pause_max: written.pause_max,
    })
}

/// Who is sent messages, and the key that says so.
fn receiver(written: &mut Written) -> Result<(&'static str, ReceiverConfig), String> {
    if let Some(url) = written.webhook.take() {
        let missing = || "secret is missing: { env = \"…\" } or { file = \"…\" }".to_owned();
        let secret = written.secret.take().ok_or_else(missing)?;
        return Ok(("webhook", ReceiverConfig::Webhook(WebhookConfig { url, secret })));
    }
    if let Some(address) = written.slack.take() {
        return Ok(("slack", ReceiverConfig::Slack(address)));
    }
    if let Some(routing_key) = written.pagerduty.take() {
        let endpoint = written.endpoint.take();
        let endpoint =
            endpoint.unwrap_or_else(|| "https://events.pagerduty.com/v2/enqueue".to_owned());
        let severity = written.severity.take().unwrap_or_else(|| "error".to_owned());
        let config = PagerDutyConfig { routing_key, endpoint, severity };
        return Ok(("pagerduty", ReceiverConfig::PagerDuty(config)));
    }
    if let Some(url) = written.alertmanager.take() {
        let token = written.token.take();
        let config = AlertmanagerConfig { url, token };
        return Ok(("alertmanager", ReceiverConfig::Alertmanager(config)));
    }
    let email = written.email.take().ok_or("a sink has a kind")?;
    Ok(("email", ReceiverConfig::Email(email)))
}

/// Globs by column: one, or several of which one must match.
fn matchers(table: toml::Table) -> Result<Matchers, String> {
    let globs = |(column, value): (String, toml::Value)| {
        let globs = match value {
            toml::Value::String(glob) => Ok(vec![glob]),
            other => other.try_into::<Vec<String>>(),
        };
        let wrong = |_| format!("match.{column}: expected text, or a list of texts");
        let globs = globs.map_err(wrong)?;
        if globs.is_empty() {
            return Err(format!("match.{column} is empty: nothing would match"));
        }
        Ok((column, globs))
    };
    table.into_iter().map(globs).collect::<Result<_, _>>().map(Matchers)
}

impl DeliveryConfig {
    /// The files that it names.
    pub(super) fn files(&mut self) -> Vec<&mut PathBuf> {
        match &mut self.to {
            ReceiverConfig::Webhook(config) => config.secret.file.as_mut().into_iter().collect(),
            ReceiverConfig::Slack(address) => address.file.as_mut().into_iter().collect(),
            ReceiverConfig::PagerDuty(config) => {
                config.routing_key.file.as_mut().into_iter().collect()
            }
            ReceiverConfig::Alertmanager(config) => {
                config.token.as_mut().and_then(|token| token.file.as_mut()).into_iter().collect()
            }
            ReceiverConfig::Email(EmailConfig { password, ca, .. }) => {
                let password = password.as_mut().and_then(|password| password.file.as_mut());
                password.into_iter().chain(ca.as_mut()).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SinkConfig, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn each_kind_is_read_from_its_smallest_form() {
        let check = |text: &str, is: fn(&ReceiverConfig) -> bool| {
            let SinkConfig::Delivery(delivery) = read(text).unwrap() else { panic!("{text}") };
            assert!(is(&delivery.to), "{text}");
            assert_eq!((delivery.attempts, delivery.backlog), (12, false));
        };
        check("name = \"a\"\nwebhook = \"https://a.b\"\nsecret = { env = \"S\" }", |to| {
            matches!(to, ReceiverConfig::Webhook(_))
        });
        check("name = \"a\"\nslack = { env = \"S\" }", |to| matches!(to, ReceiverConfig::Slack(_)));
        check(
            "name = \"a\"\npagerduty = { file = \"S\" }",
            |to| matches!(to, ReceiverConfig::PagerDuty(config) if config.severity == "error"),
        );
        check("name = \"a\"\nalertmanager = \"http://a.b\"", |to| {
            matches!(to, ReceiverConfig::Alertmanager(_))
        });
        check(
            "name = \"a\"\nemail = { host = \"a.b\", from = \"a@b.c\", to = [\"d@e.f\"] }",
            |to| matches!(to, ReceiverConfig::Email(email) if email.security == Security::StartTls),
        );
        let topic = read("fluvio = \"fluvio://a:9003/b\"").unwrap();
        assert!(matches!(topic, SinkConfig::Topic(_)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |text: &str, wrong: &str| {
            let error = read(text).unwrap_err();
            assert!(error.contains(wrong), "{text}: {error}");
        };
        check("topic = \"x\"", "fluvio is missing");
        check("fluvio = 7", "fluvio: expected");
        check("fluvio = \"x\"\nname = \"x\"", "unknown key name");
        check("slack = { env = \"S\" }\nwebhook = \"x\"", "one of webhook, slack");
        check("webhook = \"x\"", "secret is missing");
        check(
            "slack = { env = \"S\" }\ntoken = { env = \"S\" }",
            "token is for sinks with alertmanager",
        );
        check("slack = { env = \"S\" }\nsevere = true", "unknown field `severe`");
        check("slack = { env = \"S\" }\nmatch = { kind = 7 }", "match.kind: expected text");
        check("slack = { env = \"S\" }\nmatch = { kind = [] }", "match.kind is empty");
    }

    #[test]
    fn globs_are_one_or_several() {
        let text =
            "slack = { env = \"S\" }\nmatch = { kind = [\"cost\", \"audit\"], source = \"p*\" }";
        let SinkConfig::Delivery(delivery) = read(text).unwrap() else { panic!() };
        assert_eq!(delivery.matching.0["kind"], ["cost", "audit"]);
        assert_eq!(delivery.matching.0["source"], ["p*"]);
    }
}
