//! A learned model to an ONNX file, and what the file says of itself.
//!
//! Every file reads `window` (`[batch, steps, channels]`) or `features`
//! (`[batch, channels]`), raw, and gives, row for row:
//!
//! | output | shape | |
//! |---|---|---|
//! | `score` | `[batch]` | standardised on calibration data |
//! | `reconstruction_error` | `[batch]` | mean error of an element, standardised units |
//! | `kl` | `[batch]` | nats; VAEs only |
//! | `mu` | `[batch, latents]` | autoencoders and PCA |
//! | `logvar` | `[batch, latents]` | VAEs only |
//! | `error_by_channel` | `[batch, channels]` | sums to the reconstruction error |
//! | `error_by_step` | `[batch, steps]` | sums to the reconstruction error |
//! | `reconstruction` | as the input | in the input's units; autoencoders and PCA |
//! | `forecast` | `[batch, horizon, channels]` | in the input's units; where specified |
//!
//! Where entities have a scaling of their own, a second input `entity` (`[batch, 1]`) numbers the row's
//! entity from 1 on, as `ModelInfo::entities` lists them; 0 is whoever is not listed.
//!
//! Forests ([`forest`]) have outputs of their own.
//!
//! A row's outputs are the same bits in whatever batch it stands. Sums are
//! therefore products with a constant vector: the runtime's reductions over a
//! short last axis depend on how the row is aligned in memory.

/// The input that numbers a row's entity.
pub const ENTITY: &str = "entity";

mod export;
pub mod forest;
pub(crate) mod graph;
pub mod metadata;
mod proto;

pub(crate) use export::export;
