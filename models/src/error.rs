//! What can go wrong with a model, grouped by what the caller does next.

use std::path::PathBuf;

/// The crate's result type.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong with a model.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The specification or an option asks for something that cannot be: fix it and start again.
    #[error("configuration: {0}")]
    Configuration(String),
    /// The data do not fit the specification, or there are too few of them: give other data.
    #[error("data: {0}")]
    Data(String),
    /// A model file is damaged, or not a model of ours or by our rules: register another.
    #[error("model {model}: {reason}")]
    Model {
        /// Name, version or path.
        model: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Training went wrong, e.g. the loss became infinite: lower the learning rate or look at the data.
    #[error("training {model}: {reason}")]
    Training {
        /// Name of the specification.
        model: String,
        /// What went wrong.
        reason: String,
    },
    /// The ONNX Runtime shared library cannot be loaded, or refused a call.
    #[error("onnx runtime: {0}")]
    Runtime(String),
    /// A file cannot be read or written: look at the path and its permissions.
    #[error("{}: {source}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// The system's own error.
        source: std::io::Error,
    },
    /// A data set that an evaluation asks for is missing or cannot be read.
    #[error(transparent)]
    Dataset(#[from] cloudops_datasets::Error),
    /// An operator refused a batch.
    #[error(transparent)]
    Operator(#[from] cloudops_operators::Error),
    /// Arrow refused an operation, which is a bug here.
    #[error(transparent)]
    Arrow(#[from] arrow::error::ArrowError),
}
