//! What can go wrong in an operator, grouped by what the caller does next.

use arrow::error::ArrowError;

/// The crate's result type.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong in an operator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration asks for something that cannot be: fix it and start again.
    #[error("configuration: {0}")]
    Configuration(String),
    /// A batch lacks a column, or holds it with another type: the layer before broke its contract.
    #[error("column {column}: expected {expected}, found {found}")]
    Column {
        /// The column's name.
        column: String,
        /// The type the operator needs.
        expected: String,
        /// What the batch holds instead.
        found: String,
    },
    /// A snapshot cannot be restored by this build: start from an older one or replay.
    #[error("snapshot of {operator}: {reason}")]
    Snapshot {
        /// The operator's stable id.
        operator: &'static str,
        /// What does not fit.
        reason: String,
    },
    /// A model failed on a batch; the message is the runtime's own.
    #[error("model {model}: {reason}")]
    Model {
        /// Name and version.
        model: String,
        /// The runtime's message.
        reason: String,
    },
    /// State that was put outside of memory cannot be written there or read again.
    #[error("state outside of memory: {0}")]
    Shelf(String),
    /// Arrow refused an operation, which is a bug here.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}
