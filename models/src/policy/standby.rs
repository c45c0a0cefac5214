//! A machine that may be stopped or terminated, as a learner sees it.

use cloudops_datasets::simulate::standby::{Machine, Power, StandbyConfig, Wanted};

use super::{Problem, Step, between, bucket};
use crate::Result;

/// Steps since the machine was last needed.
const IDLES: [f64; 7] = [1.0, 2.0, 4.0, 8.0, 24.0, 72.0, 168.0];
/// Share of the last days on which it was needed at the hour to come.
const SHARES: [f64; 3] = [0.01, 0.2, 0.6];
/// Share of the last days' hours at which it was needed.
const BUSY: [f64; 3] = [0.005, 0.05, 0.3];
/// Days looked back.
const DAYS: usize = 14;
/// Steps of a day: hours.
const DAY: usize = 24;

const COUNTS: [usize; 4] = [3, IDLES.len() + 1, SHARES.len() + 1, BUSY.len() + 1];

/// When a machine was needed, and what is known of that before each hour, worked out once.
#[derive(Debug, Clone, PartialEq)]
pub struct Needs {
    config: StandbyConfig,
    needed: Vec<bool>,
    signals: Vec<Signals>,
}

/// What the hours before one say.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Signals {
    idle: f64,
    at_this_hour: f64,
    lately: f64,
    last_day: f64,
}

impl Needs {
    /// Hours, and whether the machine was needed in each.
    #[must_use]
    pub fn new(config: StandbyConfig, needed: Vec<bool>) -> Self {
        let mut idle = 0.0;
        let mut signals = Vec::with_capacity(needed.len() + 1);
        // One for each hour, of what came before it, and one for the end.
        for at in 0..=needed.len() {
            let days = (1..=DAYS).filter_map(|day| needed.get(at.checked_sub(day * DAY)?));
            let lately = &needed[at.saturating_sub(DAYS * DAY)..at];
            signals.push(Signals {
                idle,
                at_this_hour: share(days),
                lately: share(lately.iter()),
                last_day: share(needed[at.saturating_sub(DAY)..at].iter()),
            });
            idle = if needed.get(at) == Some(&true) { 0.0 } else { idle + 1.0 };
        }
        Self { config, needed, signals }
    }

    /// Whether it was needed, hour by hour.
    #[must_use]
    pub fn needed(&self) -> &[bool] {
        &self.needed
    }
}

/// How many are true of those there are; of none, all: what is not known is not idle.
fn share<'a>(of: impl Iterator<Item = &'a bool>) -> f64 {
    let (sum, count) =
        of.fold((0.0, 0.0), |(sum, count), one| (sum + f64::from(u8::from(*one)), count + 1.0));
    if count > 0.0 { sum / count } else { 1.0 }
}

/// What a rule is told of a machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Idle {
    /// Hours since it was last needed.
    pub hours: f64,
    /// Share of the last fourteen days on which it was needed at the hour to come.
    pub at_this_hour: f64,
}

/// A machine on its way through a stretch of hours.
#[derive(Debug, Clone)]
pub struct Standby<'a> {
    needs: &'a Needs,
    machine: Machine,
    at: usize,
    to: usize,
}

impl<'a> Standby<'a> {
    /// A machine that runs, from one hour to another.
    ///
    /// # Errors
    /// [`crate::Error::Dataset`] when a price is out of range.
    pub fn new(needs: &'a Needs, from: usize, to: usize) -> Result<Self> {
        let machine = Machine::new(needs.config)?;
        let to = to.min(needs.needed.len());
        Ok(Self { needs, machine, at: from.min(to), to })
    }

    /// What a rule is told.
    #[must_use]
    pub fn idle(&self) -> Idle {
        let Signals { idle, at_this_hour, .. } = self.signals();
        Idle { hours: idle, at_this_hour }
    }

    fn signals(&self) -> Signals {
        self.needs.signals[self.at]
    }

    /// Lets an hour pass; `None` at the end.
    pub fn want(&mut self, wanted: Wanted) -> Option<Step> {
        if self.at >= self.to {
            return None;
        }
        let is_needed = self.needs.needed[self.at];
        let before = self.is_on();
        let uptime = self.machine.step(wanted, is_needed);
        self.at += 1;
        Some(Step {
            cost: uptime.cost,
            is_asked: is_needed,
            is_violation: uptime.is_violation,
            unserved: f64::from(u8::from(uptime.is_violation)),
            is_change: before != self.is_on(),
        })
    }

    fn is_on(&self) -> bool {
        matches!(self.machine.power(), Power::Running | Power::Starting(_))
    }

    fn power(&self) -> usize {
        match self.machine.power() {
            Power::Running | Power::Starting(_) => 0,
            Power::Stopped => 1,
            Power::Terminated => 2,
        }
    }
}

const WANTED: [Wanted; 3] = [Wanted::Run, Wanted::Stop, Wanted::Terminate];

impl Problem for Standby<'_> {
    const ACTIONS: &'static [&'static str] = &["run", "stop", "terminate"];
    const CELLS: usize = COUNTS[0] * COUNTS[1] * COUNTS[2] * COUNTS[3];
    const FEATURES: usize = 7;
    /// An hour ahead counts so much that a week does not count nothing.
    const DISCOUNT: f64 = 0.98;

    fn cell(&self) -> usize {
        let signals = self.signals();
        let places = [
            self.power(),
            bucket(signals.idle, &IDLES),
            bucket(signals.at_this_hour, &SHARES),
            bucket(signals.lately, &BUSY),
        ];
        places.iter().zip(COUNTS).fold(0, |cell, (place, count)| cell * count + place)
    }

    fn features(&self, into: &mut Vec<f32>) {
        let signals = self.signals();
        let power = self.power();
        let all = [
            (1.0 + signals.idle).ln() / 3.0,
            signals.at_this_hour,
            signals.lately,
            signals.last_day,
            signals.lately.max(1e-3).ln() / 4.0,
            f64::from(u8::from(power == 1)),
            f64::from(u8::from(power == 2)),
        ];
        into.extend(all.map(|value| value as f32));
    }

    fn act(&mut self, action: usize) -> Option<Step> {
        self.want(WANTED[action])
    }

    fn words(cell: usize) -> Vec<(&'static str, String)> {
        let mut places = [0; COUNTS.len()];
        let mut rest = cell;
        for (place, count) in places.iter_mut().zip(COUNTS).rev() {
            *place = rest % count;
            rest /= count;
        }
        let power = ["running", "stopped", "terminated"][places[0]];
        vec![
            ("power", power.to_owned()),
            ("not needed for", between(places[1], &IDLES, " h")),
            ("needed at this hour", between(places[2], &SHARES, "")),
            ("needed lately", between(places[3], &BUSY, "")),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_an_hour_is_what_came_before_it() {
        let mut needed = vec![false; 72];
        needed[5] = true;
        needed[29] = true;
        let needs = Needs::new(StandbyConfig::default(), needed);
        assert_eq!(needs.signals[5].idle, 5.0);
        assert_eq!(needs.signals[6].idle, 0.0);
        assert_eq!((needs.signals[53].at_this_hour, needs.signals[54].at_this_hour), (1.0, 0.0));
        assert_eq!(needs.signals[0].lately, 1.0, "what is not known is not idle");
    }

    #[test]
    fn a_stopped_machine_is_somewhere_else_in_the_table() {
        let needs = Needs::new(StandbyConfig::default(), vec![false; 30]);
        let mut machine = Standby::new(&needs, 26, 28).unwrap();
        let words = |machine: &Standby<'_>| Standby::words(machine.cell())[0].1.clone();
        assert_eq!(words(&machine), "running");
        let step = machine.act(1).unwrap();
        assert_eq!((step.cost, step.is_change, step.is_asked), (0.2, true, false));
        assert_eq!(words(&machine), "stopped");
        assert!(machine.act(2).is_some() && machine.act(0).is_none());
        assert_eq!(words(&machine), "terminated");
        let mut features = vec![];
        machine.features(&mut features);
        assert_eq!(features.len(), Standby::FEATURES);
    }
}
