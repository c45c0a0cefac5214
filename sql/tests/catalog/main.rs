//! The catalog's promises, on every store that can keep them, and on one that fails.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails may stop there")]

mod checkpoint;
mod corrupt;
mod faulty;
mod fence;
mod fold;
mod model;
mod records;
mod simulation;
mod stores;
