//! Specification, training, ONNX export, registry, scorers and evaluation.
//!
//! A model is declared by a [`Specification`], learned from [`Samples`], and
//! leaves as one ONNX file that holds its normalisation, its calibration and
//! every output needed downstream. In reading order:
//!
//! - [`specification`]: what to learn, over which channels, how
//! - [`samples`]: windows as training sees them
//! - [`train`]: samples to a model file

mod error;
pub mod samples;
pub mod specification;
pub mod train;

pub use error::{Error, Result};
pub use samples::Samples;
pub use specification::Specification;
pub use train::Trained;
