//! Windows to feature vectors.

pub mod audit;
pub mod sensor;
mod spectrum;
