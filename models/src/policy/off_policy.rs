//! What a policy would have cost, from a log of another's decisions.
//!
//! Three estimates of the mean priced cost of a policy's steps within an episode:
//!
//! - *weighted importance sampling*, decision by decision (Precup, Sutton & Singh 2000)
//! - *fitted Q-evaluation* with a table (Le, Voloshin & Yue 2019)
//! - *doubly robust*: the second, corrected by the first's weights (Jiang & Li 2016,
//!   [arXiv:1511.03722](https://arxiv.org/abs/1511.03722))
//!
//! The tables of the third are fitted on episodes other than those they correct.

use super::{Problem, Step};
use crate::learn::random::Random;

/// One decision of a log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Logged {
    /// Where it was made.
    pub cell: usize,
    /// What was done.
    pub action: usize,
    /// How probable that was.
    pub probability: f64,
    /// What came of it.
    pub step: Step,
}

/// Decisions in a row.
#[derive(Debug, Clone)]
pub struct Episode<P> {
    /// The situation before the first of them: for the truth, which a real log does not have.
    pub start: P,
    /// The decisions.
    pub decisions: Vec<Logged>,
}

/// A policy that does one thing most of the time, and anything in the other steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Behaviour {
    /// What it does most of the time.
    pub action: usize,
    /// Share of the steps in which the action is drawn from all.
    pub explored: f64,
}

/// Logs a behaviour on problems, in episodes of so many steps; a rest that fills none is left out.
#[must_use]
pub fn log<P: Problem>(
    problems: &[P],
    behaviour: Behaviour,
    steps: usize,
    seed: u64,
) -> Vec<Episode<P>> {
    let actions = P::ACTIONS.len();
    let mut random = Random::new(seed);
    let mut episodes = Vec::new();
    for problem in problems {
        let mut problem = problem.clone();
        loop {
            let start = problem.clone();
            let mut decisions = Vec::with_capacity(steps);
            while decisions.len() < steps {
                let cell = problem.cell();
                let action = match random.uniform() < behaviour.explored {
                    true => (random.uniform() * actions as f64) as usize,
                    false => behaviour.action,
                };
                let drawn = behaviour.explored / actions as f64;
                let most = 1.0 - behaviour.explored;
                let probability = drawn + if action == behaviour.action { most } else { 0.0 };
                let Some(step) = problem.act(action) else { break };
                decisions.push(Logged { cell, action, probability, step });
            }
            if decisions.len() < steps {
                break;
            }
            episodes.push(Episode { start, decisions });
        }
    }
    episodes
}

/// A value, and how sure of it one may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Mean priced cost of a step.
    pub value: f64,
    /// Its standard error; absent where the estimator gives none.
    pub error: Option<f64>,
}

/// All estimates of one policy from one log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OffPolicy {
    /// Episodes of the log.
    pub episodes: usize,
    /// What the behaviour itself cost.
    pub behaviour: f64,
    /// Episodes that the weights at their ends are worth (Kish).
    pub effective: f64,
    /// By weighted importance sampling.
    pub importance: Estimate,
    /// By fitted Q-evaluation.
    pub fitted: Estimate,
    /// Doubly robust.
    pub doubly_robust: Estimate,
    /// What the policy does cost from the same situations.
    pub truth: f64,
}

/// Estimates what a policy, from cell to action, would have cost at a price; `None` of an empty log.
#[must_use]
pub fn evaluate<P: Problem>(
    log: &[Episode<P>],
    policy: impl Fn(usize) -> usize,
    price: f64,
) -> Option<OffPolicy> {
    let steps = log.first()?.decisions.len();
    let weights: Vec<Vec<f64>> = log.iter().map(|episode| weights(episode, &policy)).collect();
    let (importance, effective) = importance(log, &weights, steps, price);

    let halves = [0, 1].map(|half| {
        // Fitted on the others; on all, where there is one episode.
        let others: Vec<&Episode<P>> =
            log.iter().enumerate().filter(|(at, _)| at % 2 != half).map(|(_, one)| one).collect();
        Fitted::new(if others.is_empty() { log.iter().collect() } else { others }, &policy, price)
    });
    let all = Fitted::new(log.iter().collect(), &policy, price);
    let starts: Vec<f64> =
        log.iter().map(|episode| all.value(0, episode.decisions[0].cell, &policy)).collect();
    let fitted = Estimate { value: mean(&starts) / steps as f64, error: None };
    let robust: Vec<f64> = log
        .iter()
        .zip(&weights)
        .enumerate()
        .map(|(at, (episode, weights))| {
            halves[at % 2].corrected(episode, weights, &policy, price) / steps as f64
        })
        .collect();
    let doubly_robust = Estimate { value: mean(&robust), error: Some(standard_error(&robust)) };

    let behaviour: Vec<f64> = log
        .iter()
        .map(|episode| {
            episode.decisions.iter().map(|one| one.step.priced(price)).sum::<f64>() / steps as f64
        })
        .collect();
    let truth: Vec<f64> = log
        .iter()
        .map(|episode| {
            let mut problem = episode.start.clone();
            let played = (0..steps).map_while(|_| problem.act(policy(problem.cell())));
            played.map(|step| step.priced(price)).sum::<f64>() / steps as f64
        })
        .collect();
    Some(OffPolicy {
        episodes: log.len(),
        behaviour: mean(&behaviour),
        effective,
        importance,
        fitted,
        doubly_robust,
        truth: mean(&truth),
    })
}

/// How much more probable the policy makes what was done, up to each decision.
fn weights<P>(episode: &Episode<P>, policy: &impl Fn(usize) -> usize) -> Vec<f64> {
    let mut weight = 1.0;
    let ratio = |one: &Logged| match policy(one.cell) == one.action {
        true => 1.0 / one.probability,
        false => 0.0,
    };
    episode
        .decisions
        .iter()
        .map(|one| {
            weight *= ratio(one);
            weight
        })
        .collect()
}

fn importance<P>(
    log: &[Episode<P>],
    weights: &[Vec<f64>],
    steps: usize,
    price: f64,
) -> (Estimate, f64) {
    let mut value = 0.0;
    // Each episode's share in the error of the sum over steps.
    let mut off = vec![0.0; log.len()];
    for step in 0..steps {
        let total: f64 = weights.iter().map(|weights| weights[step]).sum();
        if total == 0.0 {
            // Nothing in the log did what the policy does: it says nothing.
            return (Estimate { value: f64::NAN, error: None }, 0.0);
        }
        let cost = |episode: &Episode<P>| episode.decisions[step].step.priced(price);
        let of_step = log.iter().zip(weights).map(|(one, weights)| weights[step] * cost(one));
        let of_step = of_step.sum::<f64>() / total;
        value += of_step;
        for ((off, episode), weights) in off.iter_mut().zip(log).zip(weights) {
            *off += weights[step] / total * (cost(episode) - of_step);
        }
    }
    let error = off.iter().map(|off| off * off).sum::<f64>().sqrt() / steps as f64;
    let last = |power: i32| weights.iter().map(|w| w[steps - 1].powi(power)).sum::<f64>();
    let effective = last(1).powi(2) / last(2);
    (Estimate { value: value / steps as f64, error: Some(error) }, effective)
}

/// Costs to the end of an episode, by step, cell and action, under the policy.
struct Fitted {
    actions: usize,
    /// `[steps][cells · actions]`: sum and count.
    tables: Vec<Vec<(f64, f64)>>,
}

impl Fitted {
    fn new<P: Problem>(
        log: Vec<&Episode<P>>,
        policy: &impl Fn(usize) -> usize,
        price: f64,
    ) -> Self {
        let actions = P::ACTIONS.len();
        let steps = log[0].decisions.len();
        let empty = vec![(0.0, 0.0); P::CELLS * actions];
        let mut all = Self { actions, tables: vec![empty; steps] };
        for step in (0..steps).rev() {
            for episode in &log {
                let one = episode.decisions[step];
                let next = episode.decisions.get(step + 1);
                let ahead = next.map_or(0.0, |next| all.value(step + 1, next.cell, policy));
                let entry = &mut all.tables[step][one.cell * actions + one.action];
                *entry = (entry.0 + one.step.priced(price) + ahead, entry.1 + 1.0);
            }
        }
        all
    }

    /// Of a cell and an action; where they were never seen together, of the action in all cells; where it was
    /// never seen at all, of what was done.
    fn of(&self, step: usize, cell: usize, action: usize) -> f64 {
        let table = &self.tables[step];
        let of_action = || table.iter().skip(action).step_by(self.actions);
        mean_of(std::iter::once(&table[cell * self.actions + action]))
            .or_else(|| mean_of(of_action()))
            .or_else(|| mean_of(table.iter()))
            .unwrap_or(0.0)
    }

    fn value(&self, step: usize, cell: usize, policy: &impl Fn(usize) -> usize) -> f64 {
        self.of(step, cell, policy(cell))
    }

    fn corrected<P>(
        &self,
        episode: &Episode<P>,
        weights: &[f64],
        policy: &impl Fn(usize) -> usize,
        price: f64,
    ) -> f64 {
        let decisions = &episode.decisions;
        let mut value = self.value(0, decisions[0].cell, policy);
        for (at, (one, weight)) in decisions.iter().zip(weights).enumerate() {
            if *weight == 0.0 {
                break;
            }
            let next = decisions.get(at + 1);
            let ahead = next.map_or(0.0, |next| self.value(at + 1, next.cell, policy));
            let off = one.step.priced(price) + ahead - self.of(at, one.cell, one.action);
            value += weight * off;
        }
        value
    }
}

/// Of sums and counts; `None` of nothing.
fn mean_of<'a>(entries: impl Iterator<Item = &'a (f64, f64)>) -> Option<f64> {
    let (sum, count) = entries.fold((0.0, 0.0), |all, one| (all.0 + one.0, all.1 + one.1));
    (count > 0.0).then_some(sum / count)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn standard_error(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (values.len().max(2) - 1) as f64 / values.len() as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A coin's side is the cell; action 1 costs 2 on heads and 0 on tails, action 0 always 1; the next
    /// side follows from a seed.
    #[derive(Clone)]
    struct Coin {
        random: Random,
        is_heads: bool,
        left: usize,
    }

    impl Problem for Coin {
        const ACTIONS: &'static [&'static str] = &["pay", "bet"];
        const CELLS: usize = 2;
        const FEATURES: usize = 1;
        const DISCOUNT: f64 = 0.9;

        fn cell(&self) -> usize {
            usize::from(self.is_heads)
        }

        fn features(&self, into: &mut Vec<f32>) {
            into.push(1.0);
        }

        fn act(&mut self, action: usize) -> Option<Step> {
            self.left = self.left.checked_sub(1)?;
            let cost = if action == 0 { 1.0 } else { 2.0 * f64::from(u8::from(self.is_heads)) };
            self.is_heads = self.random.uniform() < 0.5;
            Some(Step { cost, ..Step::default() })
        }

        fn words(cell: usize) -> Vec<(&'static str, String)> {
            vec![("side", cell.to_string())]
        }
    }

    fn coin(steps: usize) -> Coin {
        Coin { random: Random::new(5), is_heads: false, left: steps }
    }

    /// Bets on tails, pays on heads: half a unit a step.
    fn clever(cell: usize) -> usize {
        1 - cell
    }

    #[test]
    fn all_three_find_what_a_policy_never_played_costs() {
        let behaviour = Behaviour { action: 0, explored: 0.5 };
        let log = log(&[coin(8_000)], behaviour, 4, 1);
        assert_eq!(log.len(), 2_000);
        let found = evaluate(&log, clever, 0.0).unwrap();
        assert!((found.truth - 0.5).abs() < 0.02, "{found:?}");
        assert!((found.behaviour - 1.0).abs() < 0.03, "{found:?}");
        for estimate in [found.importance, found.fitted, found.doubly_robust] {
            assert!((estimate.value - found.truth).abs() < 0.06, "{found:?}");
        }
        let (weighted, robust) = (found.importance.error, found.doubly_robust.error);
        assert!(robust.unwrap() < weighted.unwrap(), "{found:?}");
        assert!(found.effective > 50.0 && found.effective < 1_000.0, "{found:?}");
    }

    #[test]
    fn two_episodes_by_hand() {
        let one = |cell, action, probability, cost| Logged {
            cell,
            action,
            probability,
            step: Step { cost, ..Step::default() },
        };
        // Betting on tails (cell 0) is what the policy does; 0.25 and 0.5 are how probable it was.
        let episode =
            |decisions: [Logged; 2]| Episode { start: coin(2), decisions: decisions.to_vec() };
        let log = [
            episode([one(0, 1, 0.25, 4.0), one(0, 1, 0.5, 1.0)]),
            episode([one(0, 1, 0.5, 1.0), one(0, 0, 0.5, 9.0)]),
        ];
        let found = evaluate(&log, clever, 0.0).unwrap();
        // Weights 4 and 2 in the first step, 8 and 0 in the second: (4 · 4 + 2 · 1) / 6 + 1, over two steps.
        assert_eq!(found.importance.value, (3.0 + 1.0) / 2.0);
        assert_eq!((found.effective, found.behaviour), (1.0, (2.5 + 5.0) / 2.0));
        // Fitted: the second step's bet costs 1, so the first costs the mean of 4 + 1 and 1 + 1.
        assert_eq!(found.fitted.value, 3.5 / 2.0);
        // Doubly robust, each with the other's table. The second has no bet in its second step: what it did
        // there, 9, stands for it, so its first is 1 + 9 = 10. The first's: 5, then 1.
        let first = 10.0 + 4.0 * (4.0 + 9.0 - 10.0) + 8.0 * (1.0 - 9.0);
        let second = 5.0 + 2.0 * (1.0 + 1.0 - 5.0);
        assert_eq!(found.doubly_robust.value, (first + second) / 4.0);
    }

    #[test]
    fn a_log_of_the_policy_itself_is_its_own_estimate() {
        let log = log(&[coin(400)], Behaviour { action: 0, explored: 0.0 }, 4, 1);
        let found = evaluate(&log, |_| 0, 0.0).unwrap();
        assert_eq!((found.importance.value, found.effective), (1.0, 100.0));
        assert_eq!((found.fitted.value, found.doubly_robust.value, found.truth), (1.0, 1.0, 1.0));
        let never = evaluate(&log, |_| 1, 0.0).unwrap();
        assert!(never.importance.value.is_nan() && never.effective == 0.0);
        assert!(evaluate::<Coin>(&[], |_| 0, 0.0).is_none());
    }
}
