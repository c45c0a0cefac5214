//! Has the input distribution moved?
//!
//! Event time is cut into periods. Each worker keeps, for every period and
//! model version, an exact integer sum of reconstruction errors and a *bottom-k
//! sample*: the `k` windows whose pinned hash of (entity, window end) is
//! smallest. Both are the same whatever the order, and merge exactly whatever
//! the split, so a period's statistics do not depend on cuts, workers or
//! shards; nor do they need bins that would have to be agreed on first.
//! ([`DriftPartial`], [`PeriodPartial`].)
//!
//! In one place, [`DriftJudge`] merges what the workers saw of a period and
//! compares it with the reference, the first periods that a model version was
//! in force:
//!
//! - per input feature, channel error and score: the population stability
//!   index over deciles, and the Wasserstein-1 distance in reference standard
//!   deviations;
//! - over the latents together: the squared maximum mean discrepancy (Gretton
//!   et al., 2012) by random Fourier features (Rahimi & Recht, 2007);
//! - over the sequence of the periods' mean reconstruction errors:
//!   Page–Hinkley (Page, 1954) and ADWIN (Bifet & Gavaldà, 2007).
//!
//! All are effect sizes. A limit is the larger of the least effect that
//! matters (configured) and the bound that stationary data would exceed no
//! more often than [`DriftConfig::expected_false_alarms_per_1000_periods`] over
//! all statistics: a prediction bound from leaving each reference period out in
//! turn. Periods, not windows, are the unit, because windows within a
//! period depend on each other.
//!
//! A second sample, of unflagged windows alone, is what a model is retrained on.

mod adwin;
mod calibrate;
mod config;
mod judge;
mod page_hinkley;
mod partial;
mod period;
mod statistic;
mod table;
mod version;

pub use self::adwin::Adwin;
pub use self::config::DriftConfig;
pub use self::judge::{DriftJudge, DriftVerdict, Judged};
pub use self::page_hinkley::PageHinkley;
pub use self::partial::DriftPartial;
pub use self::period::{Group, PeriodPartial, Variable};
pub use self::statistic::{Fourier, population_stability_index, wasserstein};
