//! What can go wrong with a data set, grouped by what the caller does next.
//!
//! A bad *record* is never an error: it becomes a [`crate::Reject`].

use std::path::PathBuf;

use arrow::error::ArrowError;

/// The crate's result type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with a data set.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes could not be read: try again.
    #[error("{file}: cannot read: {source}")]
    Read {
        /// The file.
        file: String,
        /// What the store said.
        source: std::io::Error,
    },
    /// A file could not be written: free some space or fix permissions, then try again.
    #[error("{}: cannot write: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file lacks a column that its format needs: fix the mapping, or the file.
    #[error(
        "{file}: no column {missing}; the file has: {found}; name the right column in the mapping"
    )]
    Columns {
        /// The file.
        file: String,
        /// The columns that are missing.
        missing: String,
        /// The columns that are there.
        found: String,
    },
    /// The configuration asks for something that cannot be: fix it and start again.
    #[error("{0}")]
    Configuration(String),
    /// The file as a whole cannot be decoded: replace it.
    #[error("{file}: {reason}")]
    Corrupt {
        /// The file.
        file: String,
        /// What does not fit.
        reason: String,
    },
    /// A download failed: try again, or copy the files with `--from`.
    #[error("{url}: {reason}; try again, or give a directory that holds the files")]
    Fetch {
        /// The address.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// A file is not the one that was published: delete it and fetch again.
    #[error(
        "{file}: SHA-256 is {found}, expected {expected}; the file is damaged or another version"
    )]
    Checksum {
        /// The file.
        file: String,
        /// The published digest.
        expected: String,
        /// The digest of what came.
        found: String,
    },
    /// Arrow refused an operation, which is a bug here.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}
