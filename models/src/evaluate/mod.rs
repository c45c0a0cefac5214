//! How good are the detectors? Figures, and the run that gives them.
//!
//! One table with every baseline, on real labelled data, through the same ONNX
//! file, scorer and threshold operator that the product runs.
//!
//! - [`metrics`]: what each figure means
//! - [`series`]: labelled series, split by time
//! - [`sensor`]: every detector on every entity of a directory
//! - [`degradation`]: the same for run-to-failure data
//! - [`audit`]: attack techniques in ordinary traffic
//! - [`cost`]: every forecaster on every cost series of a directory
//! - [`zombie`]: which resources are idle for good, on real machines and a simulated fleet
//! - [`policy`]: cost against violations of scaling and stopping, rules beside what is learned
//! - [`row`], [`reading`], [`report`], [`plot`]: rows to sentences, tables and charts

pub mod audit;
pub mod cost;
pub mod degradation;
mod detector;
mod files;
pub mod incident;
mod judge;
mod load;
pub mod metrics;
mod notes;
mod parallel;
pub mod plot;
pub mod policy;
pub mod reading;
pub mod report;
pub mod row;
pub mod sensor;
pub mod series;
pub mod zombie;

pub use audit::{AuditEvaluation, AuditOptions, evaluate_audit};
pub use cost::{CostEvaluation, CostOptions, CostSet, evaluate_cost};
pub use incident::{IncidentEvaluation, IncidentOptions, evaluate_incidents};
pub use policy::{PolicyEvaluation, PolicyOptions, evaluate_policy};
pub use report::Evaluation;
pub use row::{Figures, MEAN, Row};
pub use sensor::{Options, Progress, SensorSet, Silent, evaluate_sensor};
pub use zombie::{ZombieEvaluation, ZombieOptions, evaluate_zombie};
