//! Specification, training, ONNX export, registry, scorers and evaluation.
//!
//! A model is declared by a [`Specification`], learned from [`Samples`], and
//! leaves as one ONNX file that holds its normalisation, its calibration and
//! every output needed downstream. In reading order:
//!
//! - [`specification`]: what to learn, over which channels, how
//! - [`samples`]: windows as training sees them
//! - [`learn`]: the models themselves, one a file
//! - [`calibrate`]: errors to a score, and the score's quantiles
//! - [`onnx`]: a learned model to a file, and what the file says of itself
//! - [`train`](mod@train): all of these in order
//! - [`runtime`], [`scorer`]: ONNX Runtime, and window batches to scores in it
//! - [`forecast`]: cost to come, with quantiles
//! - [`zombie`]: idle resources, and the forest that ships
//! - [`policy`]: how many instances, and whether a machine may be stopped
//! - [`registry`], [`card`]: immutable versions, and what is told of each
//! - [`evaluate`]: how good detectors are, on labelled data

pub mod calibrate;
pub mod card;
mod error;
pub mod evaluate;
pub mod forecast;
pub mod learn;
pub mod onnx;
pub mod policy;
pub mod registry;
pub mod runtime;
pub mod samples;
pub mod scorer;
pub mod specification;
pub mod train;
pub mod zombie;

pub use error::{Error, Result};
pub use samples::Samples;
pub use specification::Specification;
pub use train::{Trained, train};
