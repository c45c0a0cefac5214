//! A message as a POST, and what an answer means.
//!
//! | answer | meaning |
//! |---|---|
//! | 2xx | taken |
//! | 408, 425, 429, 5xx, none | to be tried again, no sooner than `Retry-After` says |
//! | any other | refused |
//!
//! A redirect is refused: what was meant for one address is not sent to another.

use std::io::Read;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::Failure;
use crate::executor::secret::Secret;

/// The longest wait that is taken from a receiver.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 4096;

/// Characters of what a receiver said that are kept.
pub(super) const REASON_CHARACTERS: usize = 300;

/// Whoever is posted to.
pub(super) struct Post {
    agent: ureq::Agent,
    url: String,
    /// What must not be seen in a reason.
    secrets: Vec<Secret>,
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address itself may be the secret.
        f.debug_struct("Post").finish_non_exhaustive()
    }
}

/// Checks an address; `field` names it in the error, which does not show it.
///
/// # Errors
/// When it is none of HTTP.
pub(super) fn check(field: &str, address: &str) -> Result<()> {
    let url = url::Url::parse(address).ok();
    let good = url.is_some_and(|url| matches!(url.scheme(), "https" | "http") && url.has_host());
    ensure!(good, "{field}: it must be an address that begins with https:// or http://");
    Ok(())
}

impl Post {
    /// Posts to an address that was checked.
    pub(super) fn new(url: &str, timeout: Duration, secrets: Vec<Secret>) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(timeout))
            .user_agent(concat!("cloudops/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self { agent, url: url.to_owned(), secrets }
    }

    /// Sends a body; `now_us` is held against a `Retry-After` that is a date.
    ///
    /// # Errors
    /// See the table above.
    pub(super) fn send(
        &self,
        headers: &[(&str, &str)],
        body: &[u8],
        now_us: i64,
    ) -> Result<(), Failure> {
        let mut request = self.agent.post(&self.url).header("Content-Type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = match request.send(body) {
            Ok(response) => response,
            Err(error) => {
                return Err(Failure::Again { reason: self.hide(&error.to_string()), after: None });
            }
        };
        let status = response.status().as_u16();
        if (200..300).contains(&status) {
            return Ok(());
        }
        let after = response.headers().get("Retry-After").and_then(|value| value.to_str().ok());
        let after = after.and_then(|text| retry_after(text, now_us));
        let mut answer = Vec::new();
        let read = response.body_mut().as_reader().take(ANSWER_BYTES_MAX).read_to_end(&mut answer);
        if read.is_err() {
            answer.clear();
        }
        let answer = self.hide(String::from_utf8_lossy(&answer).trim());
        let answer: String = answer.chars().take(REASON_CHARACTERS).collect();
        let reason = match answer.is_empty() {
            true => format!("status {status}"),
            false => format!("status {status}: {answer}"),
        };
        match status {
            408 | 425 | 429 | 500.. => Err(Failure::Again { reason, after }),
            _ => Err(Failure::Refused { reason }),
        }
    }

    /// Sends JSON.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub(super) fn json(&self, body: &Value, now_us: i64) -> Result<(), Failure> {
        self.send(&[], body.to_string().as_bytes(), now_us)
    }

    fn hide(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| secret.hide(&text))
    }
}

/// Seconds, or a date.
fn retry_after(text: &str, now_us: i64) -> Option<Duration> {
    let text = text.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = chrono::DateTime::parse_from_rfc2822(text).ok()?;
            let wait = at.timestamp_micros().saturating_sub(now_us);
            Duration::from_micros(u64::try_from(wait).unwrap_or(0))
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_seconds_or_a_date() {
        let check = |text: &str, wait: Option<u64>| {
            // 2015-10-21T07:28:00Z
            let found = retry_after(text, 1_445_412_480_000_000);
            assert_eq!(found, wait.map(Duration::from_secs), "{text}");
        };
        check("7", Some(7));
        check(" 0 ", Some(0));
        check("86400", Some(3600));
        check("Wed, 21 Oct 2015 07:28:30 GMT", Some(30));
        check("Wed, 21 Oct 2015 07:27:30 GMT", Some(0));
        check("soon", None);
        check("-3", None);
    }

    #[test]
    fn addresses_are_of_http_and_not_shown_when_they_are_wrong() {
        for good in ["https://a.b/c?d", "http://127.0.0.1:9"] {
            check("webhook", good).unwrap();
        }
        for wrong in ["", "a.b", "ftp://secret.b", "https://"] {
            let error = check("webhook", wrong).unwrap_err().to_string();
            assert!(error.starts_with("webhook: ") && !error.contains("secret"), "{error}");
        }
    }
}
