//! Rules that people use, each with settings to be calibrated.
//!
//! - [`Fixed`]: always so many instances
//! - [`Threshold`]: a step up above a utilisation, a step down below another, and a pause
//! - [`Autoscaler`]: the formula of Kubernetes' HorizontalPodAutoscaler
//! - [`Predictive`]: headroom over what yesterday lets expect
//! - [`TimeOut`]: a machine is stopped, and terminated, when nobody needed it for so long

mod autoscaler;
mod fixed;
mod predictive;
mod threshold;
mod time_out;

pub use autoscaler::Autoscaler;
pub use fixed::Fixed;
pub use predictive::Predictive;
pub use threshold::Threshold;
pub use time_out::TimeOut;

/// What a rule knows when it decides: all of it is of the step before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// Demand, in units of one instance's capacity.
    pub demand: f64,
    /// Demand at the step at which an instance started now will serve, had it grown since as it did a day
    /// ago; the last demand where there was no such day.
    pub expected: f64,
    /// Instances that served.
    pub running: usize,
    /// Instances that were starting.
    pub starting: usize,
}

impl Observation {
    /// Instances that serve, or will.
    #[must_use]
    pub fn committed(&self) -> usize {
        self.running + self.starting
    }

    /// Demand over the capacity committed; infinite where there is none.
    #[must_use]
    pub fn utilisation(&self) -> f64 {
        match (self.committed(), self.demand > 0.0) {
            (0, true) => f64::INFINITY,
            (0, false) => 0.0,
            (committed, _) => self.demand / committed as f64,
        }
    }
}

/// Decides how many instances to add, or with a negative number to remove.
pub trait Controller {
    /// The decision for the next step. Called once a step, in order: a controller may remember.
    fn decide(&mut self, seen: &Observation) -> isize;
}
