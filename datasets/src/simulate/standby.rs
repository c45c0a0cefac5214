//! A single machine that may be stopped or terminated while nobody needs it, and comes back when somebody
//! does.
//!
//! In a step, in this order: the decision is applied; whoever needs the machine while it is off has it
//! started; the step is paid for. Nothing is drawn here, so equal decisions give equal outcomes.

use crate::{Error, Result};

/// What a machine costs while it is off, and how long it takes to come back. A running one costs 1 a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StandbyConfig {
    /// Price of a step stopped: its disks.
    pub stopped_cost: f64,
    /// Price of a step terminated: a snapshot.
    pub terminated_cost: f64,
    /// Steps until a stopped machine serves.
    pub start_steps: usize,
    /// Steps until a terminated one does, from its snapshot.
    pub restore_steps: usize,
}

impl Default for StandbyConfig {
    /// Hours: a disk for a fifth of the machine's price, a snapshot for a fiftieth, a day to restore.
    fn default() -> Self {
        Self { stopped_cost: 0.2, terminated_cost: 0.02, start_steps: 1, restore_steps: 24 }
    }
}

/// What may be wanted of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// It runs, or is started.
    Run,
    /// It is stopped, and keeps its disks; a terminated one stays so.
    Stop,
    /// It is deleted, but for a snapshot.
    Terminate,
}

/// What a machine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// It serves.
    Running,
    /// It will serve after so many steps, and is paid for like one that runs.
    Starting(usize),
    /// It keeps its disks.
    Stopped,
    /// It is gone, but for a snapshot.
    Terminated,
}

/// What came of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Uptime {
    /// Price of the step.
    pub cost: f64,
    /// Whether the machine was needed and did not serve.
    pub is_violation: bool,
}

/// A machine on its way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Machine {
    config: StandbyConfig,
    power: Power,
}

impl Machine {
    /// A machine that runs.
    ///
    /// # Errors
    /// [`Error::Configuration`] when a price is negative or unknown, or one that is off costs more than one
    /// that runs.
    pub fn new(config: StandbyConfig) -> Result<Self> {
        for price in [config.stopped_cost, config.terminated_cost] {
            if !(0.0..=1.0).contains(&price) {
                let reason = format!("a machine that is off costs {price}, not between 0 and 1");
                return Err(Error::Configuration(reason));
            }
        }
        Ok(Self { config, power: Power::Running })
    }

    /// What it does now.
    #[must_use]
    pub fn power(&self) -> Power {
        self.power
    }

    /// Lets one step pass in which it is needed, or not.
    pub fn step(&mut self, wanted: Wanted, is_needed: bool) -> Uptime {
        let StandbyConfig { stopped_cost, terminated_cost, start_steps, restore_steps } =
            self.config;
        let started = |power: Power| match power {
            Power::Stopped if start_steps == 0 => Power::Running,
            Power::Stopped => Power::Starting(start_steps),
            Power::Terminated if restore_steps == 0 => Power::Running,
            Power::Terminated => Power::Starting(restore_steps),
            on => on,
        };
        self.power = match (wanted, self.power) {
            (Wanted::Run, power) => started(power),
            (Wanted::Stop, Power::Terminated) | (Wanted::Terminate, _) => Power::Terminated,
            (Wanted::Stop, _) => Power::Stopped,
        };
        if is_needed {
            self.power = started(self.power);
        }
        let cost = match self.power {
            Power::Running | Power::Starting(_) => 1.0,
            Power::Stopped => stopped_cost,
            Power::Terminated => terminated_cost,
        };
        let is_violation = is_needed && self.power != Power::Running;
        if let Power::Starting(left) = self.power {
            self.power = if left > 1 { Power::Starting(left - 1) } else { Power::Running };
        }
        Uptime { cost, is_violation }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn who_needs_a_stopped_machine_waits_for_its_start() {
        let mut machine = Machine::new(StandbyConfig::default()).unwrap();
        let steps = [(Wanted::Stop, false), (Wanted::Stop, true), (Wanted::Run, true)];
        let all = steps.map(|(wanted, is_needed)| machine.step(wanted, is_needed));
        assert_eq!(all.map(|step| step.cost), [0.2, 1.0, 1.0]);
        assert_eq!(all.map(|step| step.is_violation), [false, true, false]);
    }

    #[test]
    fn a_terminated_machine_takes_a_day_and_cannot_be_stopped() {
        let mut machine = Machine::new(StandbyConfig::default()).unwrap();
        machine.step(Wanted::Terminate, false);
        assert_eq!(machine.step(Wanted::Stop, false).cost, 0.02);
        let late = (0..30).filter(|_| machine.step(Wanted::Run, true).is_violation).count();
        assert_eq!((late, machine.power()), (24, Power::Running));
    }

    #[test]
    fn a_price_above_that_of_a_running_machine_is_refused() {
        let config = StandbyConfig { stopped_cost: 1.5, ..StandbyConfig::default() };
        assert!(Machine::new(config).is_err());
    }

    fn config() -> impl Strategy<Value = StandbyConfig> {
        (0.0..1.0_f64, 0.0..1.0_f64, 0..4_usize, 0..30_usize).prop_map(
            |(stopped_cost, terminated_cost, start_steps, restore_steps)| StandbyConfig {
                stopped_cost,
                terminated_cost,
                start_steps,
                restore_steps,
            },
        )
    }

    proptest! {
        #[test]
        fn a_machine_that_is_kept_running_serves_always(
            config in config(),
            needed in prop::collection::vec(any::<bool>(), 1..60),
        ) {
            let mut machine = Machine::new(config).unwrap();
            for is_needed in needed {
                let uptime = machine.step(Wanted::Run, is_needed);
                prop_assert_eq!(uptime, Uptime { cost: 1.0, is_violation: false });
            }
        }

        #[test]
        fn who_waits_long_enough_is_served_and_pays_for_it(
            config in config(),
            steps in prop::collection::vec((0..3_usize, any::<bool>()), 0..60),
        ) {
            let mut machine = Machine::new(config).unwrap();
            for (wanted, is_needed) in steps {
                let wanted = [Wanted::Run, Wanted::Stop, Wanted::Terminate][wanted];
                let uptime = machine.step(wanted, is_needed);
                // Nobody violates what nobody asked for, and who is asked is on.
                prop_assert!(is_needed || !uptime.is_violation);
                prop_assert!(!is_needed || uptime.cost == 1.0);
                prop_assert!((0.0..=1.0).contains(&uptime.cost));
            }
            let late = (0..40).filter(|_| machine.step(Wanted::Run, true).is_violation).count();
            prop_assert!(late <= config.start_steps.max(config.restore_steps));
        }
    }
}
