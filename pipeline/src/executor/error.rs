//! What can go wrong, by the caller's next move.

use std::time::Duration;

/// A result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an executor could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Ask again, the same step with the same token, no sooner than `after`. What was asked may have
    /// taken effect or not: `perform` looks before it acts, so that asking again is safe.
    #[error("{what}: {message} (again in {} s)", after.as_secs())]
    Retry {
        /// What was asked, of which resource.
        what: String,
        /// How long to wait.
        after: Duration,
        /// What is known of the cause.
        message: String,
    },
    /// Asking again would be refused again: somebody has to change something, or the step is given up.
    /// Nothing has been changed.
    #[error("{what}: refused: {message} [{code}]")]
    Refused {
        /// What was asked, of which resource.
        what: String,
        /// The provider's code, or one of the constants in [`code`].
        code: String,
        /// Why, as the provider said it.
        message: String,
    },
    /// The executor does not know how to do this to such a resource.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// The configuration or the credentials have to be put right.
    #[error("{field}: {message}")]
    Configuration {
        /// The field to put right.
        field: String,
        /// What is wrong with it.
        message: String,
    },
}

/// Codes of refusals that are this module's own, and no provider's.
pub mod code {
    /// The executor was built to look and not to act.
    pub const READ_ONLY: &str = "read_only";
    /// The resource is the one that this process runs on.
    pub const OWN_INSTANCE: &str = "own_instance";
    /// The resource carries a tag that forbids it.
    pub const PROTECTED_TAG: &str = "protected_tag";
    /// The provider's own protection is on, or something else manages the resource.
    pub const PROTECTED: &str = "protected";
    /// The resource is not there, and nothing says that it ever was.
    pub const NOT_FOUND: &str = "not_found";
    /// The resource is not in a state in which this can be done.
    pub const WRONG_STATE: &str = "wrong_state";
    /// The backup that has to be there before is not, or is another resource's.
    pub const NO_BACKUP: &str = "no_backup";
    /// What would be made is there already, made by somebody else.
    pub const TAKEN: &str = "taken";
}

impl Error {
    /// A refusal of this module's own.
    pub(super) fn refused(what: impl Into<String>, code: &str, message: impl Into<String>) -> Self {
        Self::Refused { what: what.into(), code: code.to_owned(), message: message.into() }
    }

    /// A wait.
    pub(super) fn retry(
        what: impl Into<String>,
        after: Duration,
        message: impl Into<String>,
    ) -> Self {
        Self::Retry { what: what.into(), after, message: message.into() }
    }

    /// A field that has to be put right.
    pub(super) fn configuration(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Configuration { field: field.into(), message: message.into() }
    }
}
