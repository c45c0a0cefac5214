//! What webhooks and commands are sent, and what their answers mean.
//!
//! They get one JSON object, `{"ask": "perform", "step": {…}}`. What does more than act says so in its
//! configuration (`looks = true`), and is then also asked `{"ask": "look", "resource": {…}}` and
//! `{"ask": "settled", "step": {…}, "outcome": {…}}`.

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::observed::Observed;
use super::resource::Resource;
use super::step::{Outcome, Settled, Step};

/// Bytes of an answer that are read at most.
pub(super) const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Characters of an answer that are kept where it is no JSON.
const NOTE_CHARACTERS: usize = 1024;

/// One question.
#[derive(Debug, Serialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub(super) enum Ask<'a> {
    /// How is it? The answer is an [`Observed`], or `null`.
    Look {
        /// What.
        resource: &'a Resource,
    },
    /// Do it. The answer is an [`Outcome`], or anything, or nothing.
    Perform {
        /// What.
        step: &'a Step,
    },
    /// Has it come to be so?
    Settled {
        /// What was asked.
        step: &'a Step,
        /// What the answer was.
        outcome: &'a Outcome,
    },
}

impl Ask<'_> {
    /// The question in an error.
    pub(super) fn what(&self) -> String {
        match self {
            Self::Look { resource } => format!("look at {resource}"),
            Self::Perform { step } => step.what(),
            Self::Settled { step, .. } => format!("verify {}", step.what()),
        }
    }

    /// The name of the question.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Look { .. } => "look",
            Self::Perform { .. } => "perform",
            Self::Settled { .. } => "settled",
        }
    }

    /// The token of the step that it is about.
    pub(super) fn token(&self) -> Option<&str> {
        match self {
            Self::Look { .. } => None,
            Self::Perform { step } | Self::Settled { step, .. } => Some(step.token.as_str()),
        }
    }

    /// The JSON text.
    ///
    /// # Errors
    /// Never: every part of it has a JSON form.
    pub(super) fn body(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| Error::Unsupported(error.to_string()))
    }
}

/// The answer to `perform`. That it came is the news, so whatever it says is an outcome: text that is no
/// JSON is kept as a note.
pub(super) fn outcome(answer: &[u8]) -> Outcome {
    if let Ok(outcome) = serde_json::from_slice(answer) {
        return outcome;
    }
    let text = String::from_utf8_lossy(answer);
    let note: String = text.trim().chars().take(NOTE_CHARACTERS).collect();
    Outcome { note: Some(note).filter(|note| !note.is_empty()), ..Outcome::default() }
}

/// The answer to `look`.
///
/// # Errors
/// When it is none.
pub(super) fn observed(ask: &Ask<'_>, answer: &[u8]) -> Result<Option<Observed>> {
    read(ask, answer)
}

/// The answer to `settled`: `{"settled": "done"}`, `"pending"`, or `"differs"` with what was `found`.
///
/// # Errors
/// When it is none.
pub(super) fn settled(ask: &Ask<'_>, answer: &[u8]) -> Result<Settled> {
    #[derive(Deserialize)]
    #[serde(tag = "settled", rename_all = "snake_case")]
    enum Answer {
        Done,
        Pending,
        Differs {
            #[serde(default)]
            found: Option<Box<Observed>>,
        },
    }
    read(ask, answer).map(|answer| match answer {
        Answer::Done => Settled::Done,
        Answer::Pending => Settled::Pending,
        Answer::Differs { found } => Settled::Differs { found },
    })
}

fn read<'a, T: Deserialize<'a>>(ask: &Ask<'_>, answer: &'a [u8]) -> Result<T> {
    let read = serde_json::from_slice(answer);
    read.map_err(|error| Error::refused(ask.what(), "answer", format!("not understood: {error}")))
}

/// The end of a text that somebody else wrote.
pub(super) fn tail(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let text = text.trim();
    let skipped = text.chars().count().saturating_sub(NOTE_CHARACTERS);
    text.chars().skip(skipped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_answer_to_perform_is_an_outcome() {
        assert_eq!(outcome(b""), Outcome::default());
        assert_eq!(outcome(b"{}"), Outcome::default());
        assert_eq!(outcome(b"{\"already\": true, \"more\": 1}"), Outcome::already());
        assert_eq!(outcome(b" ticket 12\n").note.as_deref(), Some("ticket 12"));
        assert_eq!(outcome(&[b'a'; 5000]).note.unwrap().len(), NOTE_CHARACTERS);
    }

    #[test]
    fn the_end_of_a_text_is_kept() {
        let long = format!("{}end\n", "ü".repeat(2000));
        let tail = tail(long.as_bytes());
        assert_eq!(tail.chars().count(), NOTE_CHARACTERS);
        assert!(tail.ends_with("üend"));
    }
}
