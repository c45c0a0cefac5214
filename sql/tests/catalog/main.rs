//! The catalog's promises, on every store that can keep them, and on one that fails.

mod corrupt;
mod faulty;
mod fence;
mod fold;
mod records;
mod simulation;
mod stores;
