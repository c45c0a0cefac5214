//! A service scaled to a demand, as a learner sees it.
//!
//! An action is a *headroom*: as many instances as serve the last demand, or the highest of late, times a
//! factor, rounded up; or nothing at all. So a policy says how careful to be in a situation, whatever the
//! service's size, and the autoscaler's formula is the policy that is as careful always.
//!
//! All that is known at a step is what came before it. Demand is in instances: what one of them serves is 1.

use cloudops_datasets::simulate::scaling::{ScalingConfig, Service};

use super::rule::Observation;
use super::{Problem, Step, between, bucket};
use crate::Result;

/// Factors of the last demand, one an action; the action before them does nothing.
pub const HEADROOMS: [f64; 4] = [1.1, 1.35, 1.7, 2.2];
/// Factors of the highest demand of late, one an action, behind those.
pub const PEAK_HEADROOMS: [f64; 4] = [0.8, 1.0, 1.25, 1.6];

/// Demand over the capacity committed.
const LOADS: [f64; 5] = [0.2, 0.4, 0.6, 0.8, 1.0];
/// The last demand over the highest of late.
const PEAKS: [f64; 2] = [0.4, 0.8];
/// Growth of the last step, of the demand then.
const TRENDS: [f64; 2] = [-0.05, 0.1];
/// Growth a day ago from then to when an instance started now would serve.
const SEASONS: [f64; 2] = [-0.1, 0.2];
/// Mean size of the last steps' changes, of their mean.
const UNRESTS: [f64; 2] = [0.1, 0.3];
/// Demand, instances.
const SIZES: [f64; 2] = [2.0, 5.0];
/// Steps over which unrest is looked at.
const RECENT: usize = 8;
/// Steps over which the highest demand is looked for.
const PEAK_STEPS: usize = 24;
/// The least demand that others are compared with, instances.
const LEAST: f64 = 0.1;

const COUNTS: [usize; 6] = [
    LOADS.len() + 1,
    PEAKS.len() + 1,
    TRENDS.len() + 1,
    SEASONS.len() + 2,
    UNRESTS.len() + 1,
    SIZES.len() + 1,
];

/// What is known of a demand before each of its steps, worked out once.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    config: ScalingConfig,
    demand: Vec<f64>,
    /// One for each step, of what came before it, and one for the end.
    signals: Vec<Signals>,
}

/// What the demand before a step says.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Signals {
    last: f64,
    trend: f64,
    longer: f64,
    unrest: f64,
    /// Highest of the last steps.
    peak: f64,
    /// `None` where no day has passed yet, or a step is no part of a day.
    season: Option<f64>,
}

impl Known {
    /// A demand in instances, with the steps of a day where it has days.
    #[must_use]
    pub fn new(config: ScalingConfig, demand: Vec<f64>, day: Option<usize>) -> Self {
        let lead = config.start_steps + 1;
        let signals = (0..=demand.len()).map(|at| signals(&demand[..at], lead, day)).collect();
        Self { config, demand, signals }
    }

    /// The demand, in instances.
    #[must_use]
    pub fn demand(&self) -> &[f64] {
        &self.demand
    }

    /// How the service may be scaled.
    #[must_use]
    pub fn config(&self) -> ScalingConfig {
        self.config
    }
}

/// `past` is all that came before; `lead` steps behind its last one an instance started now would serve.
fn signals(past: &[f64], lead: usize, day: Option<usize>) -> Signals {
    let Some((last, before)) = past.split_last() else { return Signals::default() };
    let scale = last.max(LEAST);
    let growth = |steps: usize| {
        let then = past.len().checked_sub(steps + 1).map_or(*last, |at| past[at]);
        (last - then) / scale
    };
    let recent = &past[past.len().saturating_sub(RECENT)..];
    let mean = recent.iter().sum::<f64>() / recent.len() as f64;
    let moved = recent.windows(2).map(|pair| (pair[1] - pair[0]).abs()).sum::<f64>();
    let season = day.and_then(|day| {
        // The last step a day ago, and what followed it.
        let then = before.len().checked_sub(day)?;
        Some((past.get(then + lead)? - past[then]) / past[then].max(LEAST))
    });
    Signals {
        last: *last,
        trend: growth(1),
        longer: growth(3),
        unrest: moved / (recent.len().max(2) - 1) as f64 / mean.max(LEAST),
        peak: past.iter().rev().take(PEAK_STEPS).fold(0.0, |most: f64, value| most.max(*value)),
        season,
    }
}

/// A service on its way through a stretch of demand.
#[derive(Debug, Clone)]
pub struct Scaling<'a> {
    known: &'a Known,
    service: Service<'a>,
    at: usize,
}

impl<'a> Scaling<'a> {
    /// A service from one step to another, at first with half as many instances again as the step before
    /// needed.
    ///
    /// # Errors
    /// [`crate::Error::Dataset`] when bounds cross, or demand is negative or unknown.
    pub fn new(known: &'a Known, from: usize, to: usize) -> Result<Self> {
        let to = to.min(known.demand.len());
        let from = from.min(to);
        let instances = (1.5 * known.signals[from].last).ceil();
        let demand = &known.demand[from..to];
        let service = Service::new(known.config, demand, instances as usize)?;
        Ok(Self { known, service, at: from })
    }

    fn signals(&self) -> Signals {
        self.known.signals[self.at]
    }

    fn committed(&self) -> usize {
        let (running, starting) = self.service.instances();
        running + starting
    }

    /// What a rule is told.
    #[must_use]
    pub fn observation(&self) -> Observation {
        let (running, starting) = self.service.instances();
        let Signals { last, season, .. } = self.signals();
        let expected = season.map_or(last, |growth| (last * (1.0 + growth)).max(0.0));
        Observation { demand: last, expected, running, starting }
    }

    /// Adds or removes instances and lets one step pass; `None` at the end.
    pub fn change(&mut self, change: isize) -> Option<Step> {
        let before = self.committed();
        let outcome = self.service.step(change)?;
        self.at += 1;
        let unserved = match outcome.demand > 0.0 {
            true => (outcome.demand - outcome.served) / outcome.demand,
            false => 0.0,
        };
        Some(Step {
            cost: outcome.paid as f64,
            is_asked: outcome.demand > 0.0,
            is_violation: outcome.is_violation(),
            unserved,
            is_change: outcome.paid != before,
        })
    }

    /// The change that an action is.
    fn change_of(&self, action: usize) -> isize {
        match action.checked_sub(1) {
            None => 0,
            Some(at) => {
                let Signals { last, peak, .. } = self.signals();
                let wanted = match at.checked_sub(HEADROOMS.len()) {
                    None => last * HEADROOMS[at],
                    Some(at) => peak * PEAK_HEADROOMS[at],
                };
                wanted.ceil() as isize - self.committed() as isize
            }
        }
    }
}

impl Problem for Scaling<'_> {
    const ACTIONS: &'static [&'static str] = &[
        "hold",
        "last × 1.1",
        "last × 1.35",
        "last × 1.7",
        "last × 2.2",
        "peak × 0.8",
        "peak × 1",
        "peak × 1.25",
        "peak × 1.6",
    ];
    const CELLS: usize = COUNTS[0] * COUNTS[1] * COUNTS[2] * COUNTS[3] * COUNTS[4] * COUNTS[5];
    const FEATURES: usize = 13;
    const DISCOUNT: f64 = 0.9;

    fn cell(&self) -> usize {
        let signals = self.signals();
        let load = signals.last / (self.committed().max(1)) as f64;
        let season = signals.season.map_or(0, |growth| 1 + bucket(growth, &SEASONS));
        let places = [
            bucket(load, &LOADS),
            bucket(signals.last / signals.peak.max(LEAST), &PEAKS),
            bucket(signals.trend, &TRENDS),
            season,
            bucket(signals.unrest, &UNRESTS),
            bucket(signals.last, &SIZES),
        ];
        places.iter().zip(COUNTS).fold(0, |cell, (place, count)| cell * count + place)
    }

    fn features(&self, into: &mut Vec<f32>) {
        let signals = self.signals();
        let last = signals.last.max(LEAST);
        let (running, starting) = self.service.instances();
        let committed = (running + starting).max(1) as f64;
        let season = signals.season;
        let all = [
            (committed / last).min(4.0) - 1.0,
            starting as f64 / committed,
            signals.trend.clamp(-2.0, 2.0),
            signals.longer.clamp(-2.0, 2.0),
            signals.unrest.min(2.0),
            (signals.peak / last).ln().clamp(0.0, 3.0),
            (committed / signals.peak.max(LEAST)).min(3.0) - 1.0,
            (1.0 + signals.peak).ln() - 1.0,
            season.unwrap_or(0.0).clamp(-2.0, 2.0),
            f64::from(u8::from(season.is_some())),
            (1.0 + last).ln() - 1.0,
            last.ceil() - last,
            (1.1 * last).ceil() - 1.1 * last,
        ];
        into.extend(all.map(|value| value as f32));
    }

    fn act(&mut self, action: usize) -> Option<Step> {
        self.change(self.change_of(action))
    }

    fn words(cell: usize) -> Vec<(&'static str, String)> {
        let mut places = [0; COUNTS.len()];
        let mut rest = cell;
        for (place, count) in places.iter_mut().zip(COUNTS).rev() {
            *place = rest % count;
            rest /= count;
        }
        let season = match places[3] {
            0 => "unknown".to_owned(),
            place => between(place - 1, &SEASONS, ""),
        };
        vec![
            ("utilisation", between(places[0], &LOADS, "")),
            ("demand of its peak", between(places[1], &PEAKS, "")),
            ("growth of the last step", between(places[2], &TRENDS, "")),
            ("growth a day ago", season),
            ("unrest", between(places[4], &UNRESTS, "")),
            ("demand", between(places[5], &SIZES, "")),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: ScalingConfig = ScalingConfig { minimum: 1, maximum: 20, start_steps: 1 };

    #[test]
    fn nothing_ahead_is_known() {
        let demand: Vec<f64> = (0..60).map(|at| 2.0 + f64::from(at % 7)).collect();
        let mut other = demand.clone();
        other[40..].fill(9.0);
        let (one, two) =
            (Known::new(CONFIG, demand, Some(12)), Known::new(CONFIG, other, Some(12)));
        assert_eq!(one.signals[..=40], two.signals[..=40]);
        assert_ne!(one.signals[41], two.signals[41]);
    }

    #[test]
    fn the_season_is_what_followed_a_day_ago() {
        let demand: Vec<f64> = (0..9).map(|at| f64::from(1 + at % 4)).collect();
        // Last is step 7 (4.0), a day ago step 3 (4.0); two ahead of that is step 5 (2.0).
        let known = Known::new(CONFIG, demand, Some(4));
        assert_eq!(known.signals[8].season, Some((2.0 - 4.0) / 4.0));
        assert_eq!(known.signals[4].season, None);
        let scaling = Scaling::new(&known, 8, 9).unwrap();
        assert_eq!(scaling.observation().expected, 2.0);
    }

    #[test]
    fn an_action_is_a_headroom_over_the_last_demand() {
        let known = Known::new(CONFIG, vec![4.0; 5], None);
        let mut scaling = Scaling::new(&known, 1, 5).unwrap();
        assert_eq!(scaling.committed(), 6);
        assert_eq!(scaling.act(0).unwrap().cost, 6.0);
        assert_eq!(scaling.act(6).unwrap().cost, 4.0);
        let step = scaling.act(4).unwrap();
        assert!((step.cost, step.is_change, step.is_violation) == (9.0, true, false));
        assert!(scaling.act(0).is_some() && scaling.act(0).is_none());
    }

    #[test]
    fn every_cell_has_words_of_its_own() {
        let all: std::collections::BTreeSet<String> =
            (0..Scaling::CELLS).map(|cell| format!("{:?}", Scaling::words(cell))).collect();
        assert_eq!(all.len(), Scaling::CELLS);
        let known = Known::new(CONFIG, vec![4.0, 4.0, 6.0, 6.0], None);
        let scaling = Scaling::new(&known, 3, 4).unwrap();
        let words = Scaling::words(scaling.cell());
        // Six of nine instances.
        assert_eq!((&*words[0].1, &*words[1].1), ("0.6 to 0.8", "≥ 0.8"));
        assert_eq!((&*words[2].1, &*words[3].1), ("≥ 0.1", "unknown"));
        let mut features = vec![];
        scaling.features(&mut features);
        assert_eq!(features.len(), Scaling::FEATURES);
    }
}
