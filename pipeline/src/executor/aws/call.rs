//! One request to AWS: repeated while AWS says that there are too many, and its errors by the caller's next
//! move.
//!
//! The SDK's own retries are off: they repeat what may have taken effect, and pause by chance. Here only
//! what was certainly turned away is sent again; everything else goes back to the caller, whose next
//! attempt begins with a look.

use std::future::Future;
use std::time::Duration;

use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

use crate::executor::backoff::Backoff;
use crate::executor::error::{Error, Result};

/// Turned away before anything was done: there were too many requests.
const THROTTLED: [&str; 8] = [
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "SlowDown",
];

/// Not now: something is on its way that has to end first, there is no room, or a quota of requests of this
/// kind is used up. With the seconds after which it may be otherwise.
const LATER: [(&str, u64); 13] = [
    ("IncorrectInstanceState", 15),
    ("IncorrectState", 15),
    ("InvalidDBInstanceState", 30),
    ("InvalidDBSnapshotState", 30),
    ("InvalidSnapshotState", 30),
    ("SnapshotCreationPerVolumeRateExceeded", 30),
    ("ConcurrentSnapshotLimitExceeded", 300),
    ("InsufficientInstanceCapacity", 300),
    ("InsufficientDBInstanceCapacity", 300),
    ("IncorrectModificationState", 300),
    ("VolumeModificationRateExceeded", 3600),
    ("RequestExpired", 5),
    ("RequestTimeout", 5),
];

/// The credentials are not good.
const CREDENTIALS: [&str; 7] = [
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "MissingAuthenticationToken",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// How requests are sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller {
    pub(super) backoff: Backoff,
}

impl Caller {
    /// Sends a request, again while AWS turns it away for there being too many. `what` is what is asked of
    /// which resource; it also spreads the pauses.
    pub(super) async fn call<T, E, F>(&self, what: &str, mut send: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let mut attempts = 0;
        loop {
            // A future of the SDK's is large, and lives on the heap for the moment it lives.
            let error = match Box::pin(send()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            attempts += 1;
            if !is_throttled(&error) {
                return Err(classify(what, &error));
            }
            let Some(pause) = self.backoff.pause(attempts, what) else {
                let message = format!("too many requests, {attempts} times: {}", said(&error));
                return Err(Error::retry(what, self.backoff.after(), message));
            };
            tracing::debug!(what, attempts, pause_ms = pause.as_millis(), "throttled by aws");
            tokio::time::sleep(pause).await;
        }
    }
}

/// A refusal that means: there is no such thing.
pub(super) fn is_absence(error: &Error) -> bool {
    // A deregistered image is "unavailable".
    matches!(error, Error::Refused { code, .. }
        if code.ends_with("NotFound")
            || code.ends_with("NotFoundFault")
            || code == "InvalidAMIID.Unavailable")
}

/// An answer, `None` where there is no such thing.
pub(super) fn present<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if is_absence(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_throttled<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let SdkError::ServiceError(context) = error else { return false };
    context.err().code().is_some_and(|code| THROTTLED.contains(&code))
}

fn classify<E>(what: &str, error: &SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let soon = Duration::from_secs(15);
    let SdkError::ServiceError(context) = error else {
        let text = DisplayErrorContext(error).to_string();
        if has_no_credentials(error) {
            let message = format!("{what}: {text}");
            return Error::configuration("profile", message);
        }
        return match error {
            SdkError::ConstructionFailure(_) => Error::refused(what, "request", text),
            // No answer, or one that makes no sense: it may have been done or not.
            _ => Error::retry(what, soon, text),
        };
    };
    let status = context.raw().status().as_u16();
    let code = context.err().code().unwrap_or_default();
    if let Some((_, seconds)) = LATER.iter().find(|(known, _)| *known == code) {
        return Error::retry(what, Duration::from_secs(*seconds), said(error));
    }
    if CREDENTIALS.contains(&code) {
        return Error::configuration("profile", format!("{what}: {}", said(error)));
    }
    if status >= 500 {
        return Error::retry(what, soon, said(error));
    }
    let code = if code.is_empty() { format!("status {status}") } else { code.to_owned() };
    Error::refused(what, &code, said(error))
}

fn said<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> String {
    let SdkError::ServiceError(context) = error else { return String::new() };
    let error = context.err();
    let (code, message) = (error.code().unwrap_or_default(), error.message().unwrap_or_default());
    format!("{code}: {message}")
}

fn has_no_credentials(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut error = Some(error);
    while let Some(inner) = error {
        if inner.is::<aws_credential_types::provider::error::CredentialsError>() {
            return true;
        }
        error = inner.source();
    }
    false
}
