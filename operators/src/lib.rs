//! CloudOps' ground floor: the Arrow schemas of the three streams, time and
//! keys, and every dataflow operator as a pure function of what it is given.
//!
//! Nothing here reads a file, a clock or a true random number; all of that happens
//! two floors up. (Only [`supervise`] looks at the CPU clock, for the profile of a
//! run.) In reading order:
//!
//! - [`epoch`], [`key`], [`watermark`]: logical time, identity, event-time bound
//! - [`schema`]: the columns of each stream and of what operators hand on
//! - [`batch`]: the container that timely moves between operators
//! - [`seeded`]: numbers that look random and follow from a seed
//! - [`snapshot`]: an operator's state to an Arrow batch and back, by shard
//! - [`window`]: rows to windows
//! - [`bill`]: rows of bills to changes of exact totals; [`rollup`]: these by one
//!   name alone; [`daily`]: these to a vector a day; [`anomaly`]: days that came to
//!   more or less than was to be expected, and what of them did; [`forecast`]: days to come;
//!   [`budget`]: when they use a budget up; [`allocation`]: whose costs are whose
//! - [`event`]: audit events as numbers: class, technique, operation; [`peers`]: how many other
//!   principals had used an operation before
//! - [`feature`]: windows to feature vectors
//! - [`utilisation`]: is a resource used? features, rules, and what speaks against terminating it
//! - [`resource`]: one id of a resource across streams, who touched it, what it depends on
//! - [`score`]: the [`score::Scorer`] trait and the model in force at a time
//! - [`threshold`]: scores to verdicts and alerts
//! - [`data_drift`]: has the input distribution moved?
//! - [`attribute`]: which channel, when; rows that sum to the score
//! - [`flow`]: how each of these is put into the timely graph
//! - [`supervise`]: what they run under there: the first error, and CPU time for the profile

mod account;
pub mod allocation;
pub mod anomaly;
pub mod attribute;
pub mod batch;
pub mod bill;
pub mod budget;
pub mod config_drift;
pub mod daily;
pub mod data_drift;
pub mod epoch;
mod error;
pub mod event;
pub mod feature;
pub mod flow;
pub mod forecast;
pub mod key;
mod keyed;
pub mod peers;
pub mod resource;
pub mod rollup;
pub mod schema;
pub mod score;
pub mod seeded;
pub mod shelf;
pub mod snapshot;
pub mod supervise;
pub mod threshold;
pub mod utilisation;
pub mod watermark;
pub mod window;

pub use error::{Error, Result};
