//! Recorded demand, split into a part to fit, a part to choose settings on, and a part to test.

use std::path::Path;

use cloudops_datasets::demand::{self, Demand, alibaba, planetlab};
use cloudops_datasets::labels::nab;
use cloudops_datasets::simulate::scaling::ScalingConfig;
use cloudops_datasets::simulate::standby::StandbyConfig;
use cloudops_datasets::utilisation::{Recorded, bitbrains};

use crate::learn::random::Random;
use crate::policy::scaling::{Known, Scaling};
use crate::policy::standby::{Needs, Standby};
use crate::{Error, Result};

/// Most instances of a service.
pub const MAXIMUM: usize = 24;
/// Instances that serve the demand that 95 of 100 steps of the part to fit do not exceed.
const USUAL: f64 = 8.0;
/// Seconds until an instance serves: at least a step.
const START: i64 = 300;
/// 2013-09-01, 00:00 UTC: Bitbrains from here on is what policies are tested on.
const TEST: i64 = 1_377_993_600;
/// Days before it that settings are chosen on.
const CHOOSE_DAYS: i64 = 18;
const DAY: i64 = 86_400;
/// Machines that are added up to one service.
const MACHINES: usize = 25;
/// How often machines are dealt into services: the first time to choose on and to test too, the others to fit
/// alone.
const DEALS: usize = 5;
/// Shares of a series that are fitted, and fitted or chosen on.
const FIT_SHARE: f64 = 0.5;
const CHOOSE_SHARE: f64 = 0.7;
/// Series of the Numenta benchmark that count what arrives.
const ARRIVALS: [&str; 3] = ["elb_request_count", "nyc_taxi", "Twitter_volume"];

/// Problems to fit, to choose settings on, and to test.
#[derive(Debug, Clone)]
pub struct Parts<P> {
    /// What is learned from.
    pub fit: Vec<P>,
    /// What settings are chosen on.
    pub choose: Vec<P>,
    /// What nothing is fitted or chosen on.
    pub test: Vec<P>,
    /// How often a table plays the first of them.
    pub passes: usize,
    /// Steps that are drawn together, to tell how sure a comparison is.
    pub block: usize,
}

/// A stretch of one demand: its number, its first step, and the step behind its last.
type Stretch = (usize, usize, usize);

/// Services that are scaled to a demand.
#[derive(Debug, Clone, PartialEq)]
pub struct ScalingSet {
    /// The name in tables.
    pub name: String,
    how: String,
    known: Vec<Known>,
    /// To fit, to choose on, to test.
    stretches: [Vec<Stretch>; 3],
}

/// Steps that a table plays, all passes together.
const STEPS_PLAYED: usize = 3_000_000;
/// Steps of a block: longer than peaks last.
pub const BLOCK: usize = 48;

impl ScalingSet {
    /// The problems.
    ///
    /// # Errors
    /// [`Error::Dataset`] when demand is negative or unknown.
    pub fn parts(&self) -> Result<Parts<Scaling<'_>>> {
        let problems = |stretches: &[Stretch]| {
            let problem = |(at, from, to): &Stretch| Scaling::new(&self.known[*at], *from, *to);
            stretches.iter().map(problem).collect::<Result<Vec<_>>>()
        };
        let [fit, choose, test] = &self.stretches;
        let passes = STEPS_PLAYED.div_ceil(steps(fit).max(1));
        let (fit, choose, test) = (problems(fit)?, problems(choose)?, problems(test)?);
        Ok(Parts { fit, choose, test, passes, block: BLOCK })
    }

    /// Instance-steps that serve all demand of the test part, were they there at once.
    #[must_use]
    pub fn needed(&self) -> f64 {
        let of = |(at, from, to): &Stretch| {
            let demand = &self.known[*at].demand()[*from..*to];
            demand.iter().map(|demand| demand.ceil().clamp(1.0, MAXIMUM as f64)).sum::<f64>()
        };
        self.stretches[2].iter().map(of).sum()
    }

    /// How it was made and split, a sentence each.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let [fit, choose, test] = self.stretches.each_ref().map(|stretches| steps(stretches));
        vec![format!(
            "`{}`: {} Steps to fit, to choose settings on and to test: {fit}, {choose}, {test}.",
            self.name, self.how
        )]
    }

    /// Demand in whatever unit, scaled by its part to fit.
    fn new(name: &str, how: String, demand: Vec<Demand>, stretches: [Vec<Stretch>; 3]) -> Self {
        let mut units = vec![0.0; demand.len()];
        for (at, unit) in units.iter_mut().enumerate() {
            let fitted = |(of, from, to): &Stretch| (*of == at).then_some(*from..*to);
            let mut values: Vec<f64> = stretches[0]
                .iter()
                .filter_map(fitted)
                .flat_map(|range| demand[at].values[range].to_vec())
                .collect();
            values.sort_by(f64::total_cmp);
            *unit = values.get(values.len() * 95 / 100).map_or(0.0, |usual| usual / USUAL);
        }
        // A service that nothing was asked of in its part to fit has the unit of the others.
        let fitted: Vec<f64> = units.iter().copied().filter(|unit| *unit > 0.0).collect();
        let common = fitted.iter().sum::<f64>() / fitted.len().max(1) as f64;
        let known = demand.into_iter().zip(units).map(|(demand, unit)| {
            let unit = if unit > 0.0 { unit } else { common };
            let start_steps = (START / demand.step).max(1) as usize;
            let config = ScalingConfig { minimum: 1, maximum: MAXIMUM, start_steps };
            let day = demand.steps_a_day();
            Known::new(config, demand.values.iter().map(|value| value / unit).collect(), day)
        });
        Self { name: name.to_owned(), how, known: known.collect(), stretches }
    }
}

fn steps(stretches: &[Stretch]) -> usize {
    stretches.iter().map(|(_, from, to)| to - from).sum()
}

fn failed(error: cloudops_datasets::Error) -> Error {
    Error::Data(error.to_string())
}

/// The sets of demand.
///
/// # Errors
/// [`Error::Data`] when a set cannot be read.
pub fn scaling(data: &Path, quick: bool) -> Result<Vec<ScalingSet>> {
    let machines = bitbrains::load(&data.join("bitbrains_rnd")).map_err(failed)?;
    let mut all = vec![of_bitbrains(&machines)];
    if quick {
        return Ok(all);
    }
    let machines = planetlab::load(&data.join("planetlab_cpu")).map_err(failed)?;
    all.push(of_planetlab(&machines));
    let series = nab::load(&data.join("nab")).map_err(failed)?;
    all.push(of_arrivals(series));
    let series = alibaba::load(&data.join("alibaba_gentd26_gpu")).map_err(failed)?;
    let how = "requests a second to a service of generative models by the minute, two kinds over 22 hours; \
               split by time."
        .to_owned();
    all.push(by_time("scaling-alibaba", how, series));
    Ok(all)
}

/// Machines dealt into services, always in the same way: a seed is one of learning. `cuts` says where the part
/// to choose on and the part to test begin. The parts to fit of all deals lie before those of any other part.
fn dealt(
    machines: usize,
    service: impl Fn(&[usize]) -> Demand,
    cuts: impl Fn(&Demand) -> (usize, usize),
) -> (Vec<Demand>, [Vec<Stretch>; 3]) {
    let mut random = Random::new(1);
    let mut all = Vec::new();
    let mut stretches: [Vec<Stretch>; 3] = Default::default();
    for deal in 0..DEALS {
        for members in random.permutation(machines).chunks_exact(MACHINES) {
            let demand = service(members);
            let (at, (choose, test)) = (all.len(), cuts(&demand));
            stretches[0].push((at, 1.min(choose), choose));
            if deal == 0 {
                stretches[1].push((at, choose, test));
                stretches[2].push((at, test, demand.values.len()));
            }
            all.push(demand);
        }
    }
    (all, stretches)
}

fn of_bitbrains(machines: &[Recorded]) -> ScalingSet {
    let service = |members: &[usize]| {
        let members: Vec<&Recorded> = members.iter().map(|at| &machines[*at]).collect();
        demand::fleet("", &members)
    };
    let cuts = |demand: &Demand| {
        let step = |time: i64| {
            let steps = (time - demand.start).div_euclid(demand.step);
            usize::try_from(steps).unwrap_or(0).min(demand.values.len())
        };
        (step(TEST - CHOOSE_DAYS * DAY), step(TEST))
    };
    let (all, stretches) = dealt(machines.len(), service, cuts);
    let how = format!(
        "CPU of {MACHINES} virtual machines added up to a service, {} of them, by the hour; tested on \
         September 2013, settings chosen on the {CHOOSE_DAYS} days before, fitted on what is before those, \
         where the machines are also dealt into services in {} other ways.",
        stretches[2].len(),
        DEALS - 1
    );
    ScalingSet::new("scaling-bitbrains", how, all, stretches)
}

fn of_planetlab(machines: &[Demand]) -> ScalingSet {
    let service = |members: &[usize]| {
        let members = || members.iter().map(|at| &machines[*at].values);
        let length = members().map(Vec::len).min().unwrap_or(0);
        let values = (0..length).map(|step| members().map(|values| values[step]).sum()).collect();
        Demand { name: String::new(), start: 0, step: planetlab::STEP, values }
    };
    let (all, stretches) = dealt(machines.len(), service, |demand| by_shares(demand.values.len()));
    let how = format!(
        "CPU of {MACHINES} virtual machines added up to a service, {} of them, every five minutes of one \
         day: fitted on its first half, with the machines also dealt in {} other ways, settings chosen on \
         the next fifth, tested on the rest; nothing is known of a day before.",
        stretches[2].len(),
        DEALS - 1
    );
    ScalingSet::new("scaling-planetlab", how, all, stretches)
}

fn of_arrivals(series: Vec<nab::Series>) -> ScalingSet {
    let is_counted = |name: &str| ARRIVALS.iter().any(|counted| name.contains(counted));
    let demand = series.into_iter().filter(|series| is_counted(&series.name)).map(|series| {
        let step = match series.times[..] {
            [first, second, ..] => (second - first) / 1_000_000,
            _ => 1,
        };
        let start = series.times.first().map_or(0, |time| time / 1_000_000);
        let values = series.values.data.iter().map(|value| f64::from(value.max(0.0))).collect();
        Demand { name: series.name, start, step: step.max(1), values }
    });
    let demand: Vec<Demand> = demand.collect();
    let how = format!(
        "{} series of the Numenta benchmark that count arrivals: a load balancer's requests, taxi rides of a \
         city, messages that name a company; five or thirty minutes a step, split by time.",
        demand.len()
    );
    by_time("scaling-nab", how, demand)
}

/// Every series is fitted on its beginning, chosen on its middle and tested on its end.
fn by_time(name: &str, how: String, demand: Vec<Demand>) -> ScalingSet {
    let mut stretches: [Vec<Stretch>; 3] = Default::default();
    for (at, series) in demand.iter().enumerate() {
        let (choose, test) = by_shares(series.values.len());
        stretches[0].push((at, 1.min(choose), choose));
        stretches[1].push((at, choose, test));
        stretches[2].push((at, test, series.values.len()));
    }
    ScalingSet::new(name, how, demand, stretches)
}

/// Where the part to choose on and the part to test begin, of so many steps.
fn by_shares(length: usize) -> (usize, usize) {
    let place = |share: f64| (share * length as f64) as usize;
    (place(FIT_SHARE), place(CHOOSE_SHARE))
}

/// Machines that may be stopped or terminated.
#[derive(Debug, Clone, PartialEq)]
pub struct StandbySet {
    /// The name in tables.
    pub name: String,
    needs: Vec<Needs>,
    stretches: [Vec<Stretch>; 3],
}

/// An hour in which the CPU peaks below this, per cent, and that moves less than [`MEGABYTES`], needs no
/// machine.
const PEAK: f64 = 5.0;
/// The rule's 5 MB a day, of an hour.
const MEGABYTES: f64 = 5.0 / 24.0;
/// Times that a table plays the part to fit.
const STANDBY_PASSES: usize = 8;

/// Bitbrains' machines, and the hours in which they were needed.
///
/// # Errors
/// [`Error::Data`] when the set cannot be read.
pub fn standby(data: &Path, quick: bool) -> Result<StandbySet> {
    let mut machines = bitbrains::load(&data.join("bitbrains_rnd")).map_err(failed)?;
    if quick {
        machines.truncate(40);
    }
    let mut stretches: [Vec<Stretch>; 3] = Default::default();
    let mut all = Vec::new();
    for (at, machine) in machines.iter().enumerate() {
        let [_, peak, _, _, received, sent, _] = &machine.channels;
        let is_needed = |((peak, received), sent): ((&f64, &f64), &f64)| {
            // What is not known is no use: comparisons with it are false.
            *peak >= PEAK || received + sent >= MEGABYTES
        };
        let needed: Vec<bool> = peak.iter().zip(received).zip(sent).map(is_needed).collect();
        let step = |time: i64| {
            usize::try_from((time - machine.start) / machine.step).unwrap_or(0).min(needed.len())
        };
        let (choose, test) = (step(TEST - CHOOSE_DAYS * DAY), step(TEST));
        for (part, (from, to)) in
            [(0, choose), (choose, test), (test, needed.len())].iter().enumerate()
        {
            if from < to {
                stretches[part].push((at, *from, *to));
            }
        }
        all.push(Needs::new(StandbyConfig::default(), needed));
    }
    Ok(StandbySet { name: "standby-bitbrains".to_owned(), needs: all, stretches })
}

impl StandbySet {
    /// The problems.
    ///
    /// # Errors
    /// [`Error::Dataset`] when a price is out of range.
    pub fn parts(&self) -> Result<Parts<Standby<'_>>> {
        let problems = |stretches: &[Stretch]| {
            let problem = |(at, from, to): &Stretch| Standby::new(&self.needs[*at], *from, *to);
            stretches.iter().map(problem).collect::<Result<Vec<_>>>()
        };
        let [fit, choose, test] = &self.stretches;
        let (fit, choose, test) = (problems(fit)?, problems(choose)?, problems(test)?);
        // One machine's hours are too much alike to be drawn apart.
        Ok(Parts { fit, choose, test, passes: STANDBY_PASSES, block: usize::MAX })
    }

    /// Hours of the test part: what machines cost that always run.
    #[must_use]
    pub fn hours(&self) -> f64 {
        steps(&self.stretches[2]) as f64
    }

    /// How it was made and split, a sentence each.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let needed = |(at, from, to): &Stretch| {
            self.needs[*at].needed()[*from..*to].iter().filter(|needed| **needed).count()
        };
        let share = self.stretches[2].iter().map(needed).sum::<usize>() as f64 / self.hours();
        let StandbyConfig { stopped_cost, terminated_cost, start_steps, restore_steps } =
            StandbyConfig::default();
        vec![format!(
            "`{}`: {} virtual machines by the hour, split by time as above. A machine is needed in an hour \
             whose CPU peaks at {PEAK} % or more, or that moves 5 MB ÷ 24 or more: {share:.3} of the hours \
             tested. Stopped it costs {stopped_cost} of its price and takes {start_steps} hour to come back, \
             terminated {terminated_cost} and {restore_steps}; whoever needs it while it is off has it \
             started.",
            self.name,
            self.needs.len()
        )]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Problem, Step};

    fn series(values: impl Fn(usize) -> f64) -> Demand {
        let values = (0..200).map(values).collect();
        Demand { name: String::new(), start: 0, step: 3_600, values }
    }

    /// What a policy sees and pays, playing the same actions on every problem.
    fn played(problems: &[Scaling<'_>]) -> Vec<(usize, Option<Step>)> {
        let mut all = vec![];
        for problem in problems {
            let mut problem = problem.clone();
            for at in 0.. {
                let (cell, step) = (problem.cell(), problem.act(at % 9));
                all.push((cell, step));
                if step.is_none() {
                    break;
                }
            }
        }
        all
    }

    #[test]
    fn no_value_of_the_test_part_moves_what_is_fitted_or_chosen_on() {
        let wave = |at: usize| 10.0 + (at % 24) as f64;
        let disturbed = |at: usize| if at < 140 { wave(at) } else { 500.0 - wave(at) };
        let before = |at: usize| if at < 139 { wave(at) } else { 500.0 };
        let set =
            |values: &dyn Fn(usize) -> f64| by_time("set", String::new(), vec![series(values)]);
        let (one, two, three) = (set(&wave), set(&disturbed), set(&before));
        let parts = [one.parts().unwrap(), two.parts().unwrap(), three.parts().unwrap()];
        assert_eq!(played(&parts[0].fit), played(&parts[1].fit));
        assert_eq!(played(&parts[0].choose), played(&parts[1].choose));
        assert_ne!(played(&parts[0].test), played(&parts[1].test));
        // What lies before does: the test can see a difference.
        assert_ne!(played(&parts[0].choose), played(&parts[2].choose));
    }

    #[test]
    fn machines_are_dealt_into_services_once_to_test_and_all_of_them_fit_before() {
        let service = |members: &[usize]| series(|_| members.iter().sum::<usize>() as f64);
        let (all, [fit, choose, test]) = dealt(60, service, |_| (100, 140));
        // Two services of 25 of 60 machines a deal.
        assert_eq!((all.len(), fit.len(), choose.len(), test.len()), (2 * DEALS, 2 * DEALS, 2, 2));
        assert!(fit.iter().all(|(_, from, to)| (*from, *to) == (1, 100)));
        assert_eq!((choose[1], test[1]), ((1, 100, 140), (1, 140, 200)));
        assert_ne!(all[0], all[2], "another deal");
    }
}
