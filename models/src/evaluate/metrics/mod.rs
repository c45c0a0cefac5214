//! The figures by which detectors are compared, and what each one means.
//!
//! No point-adjust anywhere: a detector that flags one point of a long event
//! is credited with one point of it (AUPRC, VUS-PR) or with one event found
//! (event-wise F1), never with the points it did not flag.
//!
//! - [`vus_pr`]: volume under the precision–recall surface, over all thresholds
//!   and all tolerances up to [`VUS_WINDOW`] points
//! - [`average_precision`], [`auroc`]: over all thresholds, point by point
//! - [`Episodes`]: what happens at the one threshold that was calibrated
//! - [`hit_rate`]: were the channels at fault named first?

mod attribution;
mod episode;
mod ranking;
mod vus;

pub use attribution::{hit_rate, rank_descending};
pub use episode::{Episodes, false_positive_rate, runs};
pub use ranking::{auroc, average_precision};
pub use vus::{VUS_THRESHOLDS, VUS_WINDOW, vus_pr};
