//! A step as a signed POST to somebody else's service.
//!
//! The header `Idempotency-Key` carries the step's token. What an answer means:
//!
//! | answer | meaning |
//! |---|---|
//! | 2xx | done; the body is the [`Outcome`], if it is JSON |
//! | 409 with our key in its `Idempotency-Key` | done by an earlier attempt |
//! | 404 to a `look` | the resource is not there |
//! | 408, 425, 429, 5xx, none | ask again with the same key: it may be done or not |
//! | any other | refused |
//!
//! A redirect is refused: what was signed for one address is not sent to another.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use super::Executor;
use super::ask::{self, ANSWER_BYTES_MAX, Ask};
use super::config::{Environment, WebhookConfig};
use super::error::{Error, Result};
use super::guard::Guard;
use super::observed::Observed;
use super::resource::Resource;
use super::secret::Secret;
use super::signature;
use super::step::{Outcome, Settled, Step};
use crate::clock::Clock;

/// The header that carries the token.
const KEY: &str = "Idempotency-Key";

/// The longest wait that is taken from a receiver's `Retry-After`.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// An executor that asks a service.
#[derive(Debug)]
pub struct Webhook {
    name: String,
    url: String,
    secret: Secret,
    looks: bool,
    retry_after: Duration,
    guard: Guard,
    agent: ureq::Agent,
    clock: Arc<dyn Clock>,
}

/// An answer, whatever its status.
struct Answer {
    status: u16,
    key: Option<String>,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

impl Webhook {
    /// Checks a configuration, and reads the secret. Nothing is sent.
    ///
    /// # Errors
    /// [`Error::Configuration`], with the field's name.
    pub fn new(
        config: WebhookConfig,
        environment: &Environment<'_>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let url = url::Url::parse(&config.url);
        let url = url.map_err(|error| Error::configuration("url", error.to_string()))?;
        if !matches!(url.scheme(), "https" | "http") || !url.has_host() {
            return Err(Error::configuration("url", "it must begin with https:// or http://"));
        }
        if config.timeout.is_zero() {
            return Err(Error::configuration("timeout", "it must be longer than nothing"));
        }
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(config.timeout))
            .user_agent(concat!("cloudops/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self {
            name: config.name,
            url: url.into(),
            secret: config.secret.read("secret", environment)?,
            looks: config.looks,
            retry_after: config.retry_after,
            guard: config.guard.validate(environment)?,
            agent,
            clock,
        })
    }

    /// Sends a question; errors that another attempt may heal are [`Error::Retry`].
    fn ask(&self, question: &Ask<'_>) -> Result<Answer> {
        let body = question.body()?;
        let now_s = self.clock.now_us() / 1_000_000;
        let mut request = self
            .agent
            .post(&self.url)
            .header("Content-Type", "application/json")
            .header(signature::HEADER, signature::sign(&self.secret, now_s, &body));
        if let Some(token) = question.token() {
            request = request.header(KEY, token);
        }
        let unknown = |message: String| Error::retry(question.what(), self.retry_after, message);
        let mut response = match request.send(&body[..]) {
            Ok(response) => response,
            // These fail before anything is sent, and will go on failing.
            Err(
                error @ (ureq::Error::BadUri(_) | ureq::Error::Tls(_) | ureq::Error::Rustls(_)),
            ) => {
                return Err(Error::configuration("url", error.to_string()));
            }
            Err(error) => return Err(unknown(error.to_string())),
        };
        let header = |name: &str| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some(value.trim().to_owned())
        };
        let (status, key) = (response.status().as_u16(), header(KEY));
        let retry_after = header("Retry-After").and_then(|text| text.parse().ok());
        let retry_after = retry_after.map(|s| Duration::from_secs(s).min(RETRY_AFTER_MAX));
        let mut body = Vec::new();
        let read = response.body_mut().as_reader().take(ANSWER_BYTES_MAX).read_to_end(&mut body);
        // A body that breaks off takes nothing back of what the status says.
        if read.is_err() && !(200..300).contains(&status) {
            body.clear();
        }
        let answer = Answer { status, key, retry_after, body };
        match status {
            408 | 425 | 429 | 500.. => {
                let after = answer.retry_after.unwrap_or(self.retry_after);
                let message = format!("status {status}: {}", ask::tail(&answer.body));
                Err(Error::retry(question.what(), after, message))
            }
            _ => Ok(answer),
        }
    }

    fn refused(question: &Ask<'_>, answer: &Answer) -> Error {
        let code = format!("status {}", answer.status);
        Error::refused(question.what(), &code, ask::tail(&answer.body))
    }
}

impl Executor for Webhook {
    fn name(&self) -> &str {
        &self.name
    }

    fn look(&self, resource: &Resource) -> Result<Option<Observed>> {
        if !self.looks {
            return Err(Error::Unsupported(format!("{} is not asked how things are", self.name)));
        }
        let question = Ask::Look { resource };
        let answer = self.ask(&question)?;
        match answer.status {
            200..300 => ask::observed(&question, &answer.body),
            404 => Ok(None),
            _ => Err(Self::refused(&question, &answer)),
        }
    }

    fn perform(&self, step: &Step) -> Result<Outcome> {
        self.guard.check(step, step.before.as_ref())?;
        let question = Ask::Perform { step };
        let answer = self.ask(&question)?;
        match answer.status {
            200..300 => Ok(ask::outcome(&answer.body)),
            409 if answer.key.as_deref() == Some(step.token.as_str()) => {
                Ok(Outcome { already: true, ..ask::outcome(&answer.body) })
            }
            _ => Err(Self::refused(&question, &answer)),
        }
    }

    fn settled(&self, step: &Step, outcome: &Outcome) -> Result<Settled> {
        if !self.looks {
            return Ok(Settled::Done);
        }
        let question = Ask::Settled { step, outcome };
        let answer = self.ask(&question)?;
        match answer.status {
            200..300 => ask::settled(&question, &answer.body),
            _ => Err(Self::refused(&question, &answer)),
        }
    }
}
