//! What can go wrong, grouped by what the caller does next.

use datafusion::error::DataFusionError;

/// The crate's result type.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong in the catalog or in a query, grouped by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store did not answer, or not clearly: make the same call again, with a pause.
    ///
    /// After a failed [`Catalog::append`](crate::catalog::Catalog::append) the record may or may
    /// not have landed; appending the same record again finds out.
    #[error("{action} failed, try again: {source}")]
    Retry {
        /// What was being done, and to which object.
        action: String,
        /// The store's own error.
        source: Box<object_store::Error>,
    },
    /// Something outside must be changed first: an address, a permission, a file, the build.
    #[error("{0}")]
    Configuration(String),
    /// An object cannot be what was written there: stop, and restore it from a copy.
    #[error("{path} is corrupt: {reason}; restore it from a copy, nothing is guessed")]
    Corrupt {
        /// The object's path in the store.
        path: String,
        /// What does not fit.
        reason: String,
    },
    /// Another writer has taken over: stop at once, this one's results no longer count.
    #[error(
        "fenced: generation {own} was replaced by generation {current} ({build}); stop this one"
    )]
    Fenced {
        /// This writer's generation.
        own: u64,
        /// The generation in force.
        current: u64,
        /// The build that took over.
        build: String,
    },
    /// What another program appended meanwhile leaves no place for a record: look again, and decide
    /// anew.
    #[error("the {kind} came too late: {reason}")]
    Superseded {
        /// The record's kind.
        kind: &'static str,
        /// What it would break now.
        reason: String,
    },
    /// The same plan gave other bytes than before: halt and raise the alarm, determinism is broken.
    #[error(
        "{path} exists with other bytes ({found}) than this run made ({made}): the same plan must \
         give the same bytes; halt, and compare the builds and the configuration"
    )]
    Diverged {
        /// The object's path in the store.
        path: String,
        /// Length and hash of what is stored.
        found: String,
        /// Length and hash of what was to be stored.
        made: String,
    },
    /// A rule of the catalog would be broken: a bug in the program that wrote or writes the record.
    #[error("bug: {0}")]
    Bug(String),
    /// The statement cannot be planned or run: correct it; the message says where.
    #[error("{0}")]
    Query(#[source] Box<DataFusionError>),
    /// The statement would change what only the dataflow may: do the other thing instead.
    #[error("{statement} is refused: {instead}")]
    Refused {
        /// The statement.
        statement: String,
        /// Why, and what to do instead.
        instead: String,
    },
    /// A local file or the terminal refused: free or grant what the message names.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// The system's own error.
        source: std::io::Error,
    },
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        Self::Query(Box::new(error))
    }
}

impl Error {
    /// Groups a store's error by what the caller does next.
    pub(crate) fn store(action: impl Into<String>, source: object_store::Error) -> Self {
        use object_store::Error as E;
        let action = action.into();
        match source {
            E::InvalidPath { .. }
            | E::NotSupported { .. }
            | E::NotImplemented { .. }
            | E::PermissionDenied { .. }
            | E::Unauthenticated { .. }
            | E::UnknownConfigurationKey { .. } => {
                Self::Configuration(format!("{action} failed: {source}"))
            }
            _ => Self::Retry { action, source: Box::new(source) },
        }
    }
}
