//! One operation that was decided on, and what came of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::observed::Observed;
use super::operation::{Operation, Undo};
use super::resource::Resource;

/// The characters that a token may have at most: EC2's limit for client tokens.
const TOKEN_CHARACTERS: usize = 64;

/// What makes a repeated step recognisable: the same for every attempt at one step, another for every
/// other step.
///
/// It is used as a client token, as the value of a tag, in filters, and as part of names, so it has what
/// all of these allow: up to 64 lower-case letters and digits, with single hyphens between them. A SHA-256
/// in hexadecimal fits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Token(String);

impl Token {
    /// Checks a token.
    ///
    /// # Errors
    /// When it has other characters, or too many.
    pub fn new(text: impl Into<String>) -> Result<Self, NotAToken> {
        let text = text.into();
        let word = |word: &str| {
            let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            !word.is_empty() && word.bytes().all(allowed)
        };
        if text.len() <= TOKEN_CHARACTERS && text.split('-').all(word) {
            Ok(Self(text))
        } else {
            Err(NotAToken(text))
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Token {
    type Error = NotAToken;

    fn try_from(text: String) -> Result<Self, NotAToken> {
        Self::new(text)
    }
}

impl From<Token> for String {
    fn from(token: Token) -> Self {
        token.0
    }
}

/// A text that is no [`Token`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no token: up to 64 lower-case letters and digits, single hyphens between them")]
pub struct NotAToken(String);

/// One operation on one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The same for every attempt.
    pub token: Token,
    /// What is acted on.
    pub resource: Resource,
    /// What is done.
    pub operation: Operation,
    /// What [`Executor::look`](super::Executor::look) saw when the step was decided on. It belongs into
    /// the record of the intent: after a crash between the call and its outcome, a look shows what the step
    /// has made of the resource, and only this still says what has to be brought back. It also tells a
    /// resource that has ended from one that never was.
    pub before: Option<Observed>,
}

impl Step {
    /// What undoes the step.
    #[must_use]
    pub fn undo(&self) -> Undo {
        self.operation.undo(self.resource.kind, self.before.as_ref())
    }

    /// The step in an error: `stop instance i-0a`.
    pub(super) fn what(&self) -> String {
        format!("{} {}", self.operation.verb(), self.resource)
    }
}

/// What performing a step came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// Whether there was nothing to do: by an earlier attempt at this step, or because it was so before.
    pub already: bool,
    /// What was made: a copy, or what takes the resource's place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Resource>,
    /// What whoever did it has to say: a ticket, a message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Outcome {
    /// It was done now.
    #[must_use]
    pub fn done() -> Self {
        Self::default()
    }

    /// It was so already.
    #[must_use]
    pub fn already() -> Self {
        Self { already: true, ..Self::default() }
    }

    /// With what was made.
    #[must_use]
    pub fn with(self, created: Resource) -> Self {
        Self { created: Some(created), ..self }
    }

    /// What later steps on the resource have to act on: after a volume was restored or an instance
    /// launched again, the new one.
    #[must_use]
    pub fn successor<'a>(&'a self, step: &'a Step) -> &'a Resource {
        match (&step.operation, &self.created) {
            (Operation::Restore { .. } | Operation::Relaunch { .. }, Some(created)) => created,
            _ => &step.resource,
        }
    }
}

/// Whether the world has come to be what a step wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It has.
    Done,
    /// It is on its way; look again.
    Pending,
    /// It has not, and nothing shows that it will.
    Differs {
        /// What was found instead; `None` where the resource is gone.
        found: Option<Box<Observed>>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_what_every_provider_takes() {
        let longest = "a".repeat(TOKEN_CHARACTERS);
        for good in ["a", "0", "step-1", "1-a-2-b", longest.as_str()] {
            assert_eq!(Token::new(good).unwrap().as_str(), good);
        }
        let longer = "a".repeat(TOKEN_CHARACTERS + 1);
        for bad in ["", "-", "a-", "-a", "a--b", "A", "a_b", "a b", "ü", "a*", longer.as_str()] {
            assert!(Token::new(bad).is_err(), "{bad}");
            assert!(serde_json::from_str::<Token>(&format!("{bad:?}")).is_err(), "{bad}");
        }
    }
}
