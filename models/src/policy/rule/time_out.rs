//! A machine is stopped, and terminated, when nobody needed it for so long.

use cloudops_datasets::simulate::standby::Wanted;

use crate::policy::standby::Idle;

/// The rule. With no end to either time it keeps a machine running always.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimeOut {
    /// Hours after which it is stopped.
    pub stop: f64,
    /// Hours after which it is terminated.
    pub terminate: f64,
    /// It is kept, or started, at an hour at which it was needed on at least this share of the last
    /// fourteen days; above 1 at none.
    pub schedule: f64,
}

impl TimeOut {
    /// What is wanted of the machine.
    #[must_use]
    pub fn decide(&self, seen: &Idle) -> Wanted {
        if seen.hours >= self.terminate {
            Wanted::Terminate
        } else if seen.hours >= self.stop && seen.at_this_hour < self.schedule {
            Wanted::Stop
        } else {
            Wanted::Run
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheduled_hour_keeps_a_machine_from_being_stopped() {
        let rule = TimeOut { stop: 4.0, terminate: 100.0, schedule: 0.5 };
        let decide = |hours, at_this_hour| rule.decide(&Idle { hours, at_this_hour });
        assert_eq!(decide(3.0, 0.0), Wanted::Run);
        assert_eq!((decide(4.0, 0.4), decide(4.0, 0.5)), (Wanted::Stop, Wanted::Run));
        assert_eq!(decide(100.0, 1.0), Wanted::Terminate);
    }
}
