//! A service of identical instances that meets a demand recorded elsewhere, one decision a step.
//!
//! Demand is in units of one instance's capacity. In a step, in this order: instances whose start-up is
//! over begin to serve; the decision is applied; the demand of the step is met by what runs; all
//! instances, those still starting too, are paid for. Nothing is drawn here, so equal decisions on an
//! equal trace give equal outcomes.

use std::collections::VecDeque;

use crate::{Error, Result};

/// How a service may be scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScalingConfig {
    /// Fewest instances, running and starting; 0 lets a service be shut down.
    pub minimum: usize,
    /// Most instances, running and starting.
    pub maximum: usize,
    /// Steps from a decision until a new instance serves; 0 serves at once.
    pub start_steps: usize,
}

/// What came of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// What was asked for, in instances' capacity.
    pub demand: f64,
    /// What was served of it.
    pub served: f64,
    /// Instances that served.
    pub running: usize,
    /// Instances paid for, in instance-steps: those that served and those that were starting.
    pub paid: usize,
}

impl Outcome {
    /// Whether some demand was not served.
    #[must_use]
    pub fn is_violation(&self) -> bool {
        self.served < self.demand
    }
}

/// A service on its way through a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Service<'a> {
    config: ScalingConfig,
    demand: &'a [f64],
    at: usize,
    running: usize,
    /// Steps that each starting instance still takes, the oldest first.
    starting: VecDeque<usize>,
}

impl<'a> Service<'a> {
    /// A service with so many instances running, clamped to the bounds.
    ///
    /// # Errors
    /// [`Error::Configuration`] when the minimum exceeds the maximum, or demand is negative or unknown.
    pub fn new(config: ScalingConfig, demand: &'a [f64], running: usize) -> Result<Self> {
        let ScalingConfig { minimum, maximum, .. } = config;
        if minimum > maximum {
            let reason = format!("minimum {minimum} is more than maximum {maximum}");
            return Err(Error::Configuration(reason));
        }
        if let Some(at) = demand.iter().position(|value| !value.is_finite() || *value < 0.0) {
            return Err(Error::Configuration(format!("demand {} at step {at}", demand[at])));
        }
        let running = running.clamp(minimum, maximum);
        Ok(Self { config, demand, at: 0, running, starting: VecDeque::new() })
    }

    /// Instances that serve now, and those still starting.
    #[must_use]
    pub fn instances(&self) -> (usize, usize) {
        (self.running, self.starting.len())
    }

    /// Adds or removes instances, within the bounds, and lets one step pass; `None` at the trace's end.
    ///
    /// The youngest starting instances are the first to be removed.
    pub fn step(&mut self, change: isize) -> Option<Outcome> {
        let demand = *self.demand.get(self.at)?;
        self.at += 1;
        self.starting.iter_mut().for_each(|left| *left -= 1);
        self.arrive();
        let wanted = (self.running + self.starting.len()).saturating_add_signed(change);
        let wanted = wanted.clamp(self.config.minimum, self.config.maximum);
        while self.running + self.starting.len() > wanted {
            if self.starting.pop_back().is_none() {
                self.running -= 1;
            }
        }
        while self.running + self.starting.len() < wanted {
            self.starting.push_back(self.config.start_steps);
        }
        self.arrive();
        let served = demand.min(self.running as f64);
        let paid = self.running + self.starting.len();
        Some(Outcome { demand, served, running: self.running, paid })
    }

    /// Lets those serve whose start-up is over.
    fn arrive(&mut self) {
        while self.starting.front() == Some(&0) {
            self.starting.pop_front();
            self.running += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_instance_serves_once_it_has_started_and_is_paid_for_before() {
        let config = ScalingConfig { minimum: 1, maximum: 3, start_steps: 2 };
        let demand = [2.0; 4];
        let mut service = Service::new(config, &demand, 0).unwrap();
        let all: Vec<Outcome> =
            [1, 0, 0, -5].iter().filter_map(|change| service.step(*change)).collect();
        let running: Vec<usize> = all.iter().map(|outcome| outcome.running).collect();
        let paid: Vec<usize> = all.iter().map(|outcome| outcome.paid).collect();
        assert_eq!((running, paid), (vec![1, 1, 2, 1], vec![2, 2, 2, 1]));
        let violations: Vec<bool> = all.iter().map(Outcome::is_violation).collect();
        assert_eq!(violations, [true, true, false, true]);
        assert_eq!(service.step(0), None);
    }

    #[test]
    fn bounds_that_cross_and_unknown_demand_are_refused() {
        let config = ScalingConfig { minimum: 2, maximum: 1, start_steps: 0 };
        assert!(Service::new(config, &[], 1).is_err());
        let config = ScalingConfig { minimum: 0, ..config };
        assert!(Service::new(config, &[f64::NAN], 1).is_err());
    }

    proptest! {
        #[test]
        fn what_is_served_is_demanded_and_what_is_paid_is_within_bounds(
            steps in prop::collection::vec((0.0..20.0_f64, -3..4_isize), 0..80),
            (minimum, more, start_steps) in (0..3_usize, 0..9_usize, 0..4_usize),
        ) {
            let config = ScalingConfig { minimum, maximum: minimum + more, start_steps };
            let demand: Vec<f64> = steps.iter().map(|step| step.0).collect();
            let mut service = Service::new(config, &demand, 1).unwrap();
            for (asked, change) in &steps {
                let outcome = service.step(*change).unwrap();
                prop_assert_eq!(outcome.demand, *asked);
                prop_assert!(outcome.served <= outcome.demand);
                prop_assert!(outcome.served <= outcome.running as f64);
                prop_assert!((minimum..=minimum + more).contains(&outcome.paid));
                prop_assert_eq!(service.instances().0, outcome.running);
                let (running, starting) = service.instances();
                prop_assert_eq!(outcome.paid, running + starting);
            }
        }
    }
}
