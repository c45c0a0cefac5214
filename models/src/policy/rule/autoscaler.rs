//! The formula of Kubernetes' HorizontalPodAutoscaler.
//!
//! From its [documentation](https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/):
//! wanted = ⌈current · utilisation / target⌉, nothing where the ratio is within 10 % of 1, and on the way down
//! the greatest number wanted within a window. Instances that are starting are treated as pods that are not ready:
//! left out, but on the way up counted as using nothing.
//!
//! Left out, as they do not bind here: the limits of a policy of behaviour (by default twice as many, or four
//! more, every 15 s; a step here is a minute at least), and pods without a metric. Demand is known in full,
//! where a pod's CPU stops at what it has: that helps the formula.

use std::collections::VecDeque;

use super::{Controller, Observation};

/// How far from 1 the ratio may be before anything is done: Kubernetes' default.
const TOLERANCE: f64 = 0.1;

/// The formula, with what it wanted lately.
#[derive(Debug, Clone, PartialEq)]
pub struct Autoscaler {
    /// Utilisation to be held.
    pub target: f64,
    /// Steps over which the greatest number wanted is kept.
    pub window: usize,
    wanted: VecDeque<usize>,
}

impl Autoscaler {
    /// The formula with no past.
    #[must_use]
    pub fn new(target: f64, window: usize) -> Self {
        Self { target, window, wanted: VecDeque::new() }
    }
}

impl Controller for Autoscaler {
    fn decide(&mut self, seen: &Observation) -> isize {
        let current = seen.committed();
        // ready · (demand / ready) / target, which also holds where nothing runs.
        let exact = seen.demand / self.target;
        let is_near = |among: usize| (exact - among as f64).abs() <= TOLERANCE * among as f64;
        let is_held = match seen.starting > 0 && exact > seen.running as f64 {
            // Too few are ready: those that start are counted, and if they are enough, nothing is done.
            true => exact <= current as f64 || is_near(current),
            false => is_near(seen.running),
        };
        let now = if is_held { current } else { exact.ceil() as usize };
        self.wanted.push_back(now);
        while self.wanted.len() > self.window.max(1) {
            self.wanted.pop_front();
        }
        let most = self.wanted.iter().copied().fold(now, usize::max);
        // Within the window nothing is removed that was wanted, and nothing added that no longer is.
        let next = if now > current { now } else { most.min(current) };
        next as isize - current as isize
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(demand: f64, running: usize, starting: usize) -> Observation {
        Observation { demand, expected: demand, running, starting }
    }

    #[test]
    fn it_holds_the_target_with_tolerance_and_is_slow_to_go_down() {
        let mut formula = Autoscaler::new(0.5, 2);
        let mut decide = |demand, running| formula.decide(&seen(demand, running, 0));
        assert_eq!(decide(2.0, 2), 2);
        assert_eq!(decide(2.1, 4), 0, "within the tolerance");
        assert_eq!(decide(0.5, 4), 0, "four were wanted within the window");
        assert_eq!(decide(0.5, 4), -3);
    }

    #[test]
    fn the_documentations_examples() {
        // 200m where 100m are desired doubles the replicas, 50m halves them.
        for (utilisation, change) in [(2.0, 4), (0.5, -2), (1.09, 0), (0.91, 0), (1.2, 1)] {
            let mut formula = Autoscaler::new(0.1, 1);
            let demand = 4.0 * 0.1 * utilisation;
            assert_eq!(formula.decide(&seen(demand, 4, 0)), change, "{utilisation}");
        }
    }

    /// As Kubernetes' controller goes about it: the ratio of those that are ready, then with those that are not
    /// as using nothing; recommendations with their times.
    fn reference(
        target: f64,
        window: usize,
        past: &mut Vec<(usize, usize)>,
        seen: &Observation,
    ) -> usize {
        let (ready, all) = (seen.running as f64, seen.committed());
        let ratio = seen.demand / ready / target;
        let is_near = |ratio: f64| (1.0 - ratio).abs() <= 0.1;
        let desired = if seen.starting == 0 || ratio <= 1.0 {
            if is_near(ratio) { all } else { (ratio * ready).ceil() as usize }
        } else {
            let with_all = seen.demand / all as f64 / target;
            let wanted = (with_all * all as f64).ceil() as usize;
            if is_near(with_all) || with_all < 1.0 || wanted < all { all } else { wanted }
        };
        let now = past.len();
        past.push((now, desired));
        let recent = past.iter().filter(|(at, _)| *at + window > now).map(|(_, wanted)| *wanted);
        let most = recent.max().unwrap_or(desired);
        if all > most { most } else { desired.max(all) }
    }

    proptest! {
        #[test]
        fn it_does_what_kubernetes_controller_does(
            steps in prop::collection::vec((0.0..30.0_f64, 0..5_usize), 1..60),
            target in 0.2..0.95_f64,
            window in 1..8_usize,
        ) {
            let mut formula = Autoscaler::new(target, window);
            let (mut all, mut past) = (3_usize, vec![]);
            for (demand, starting) in steps {
                let starting = starting.min(all - 1);
                let seen = seen(demand, all - starting, starting);
                let next = all.saturating_add_signed(formula.decide(&seen));
                prop_assert_eq!(next, reference(target, window, &mut past, &seen));
                all = next.clamp(1, 40);
            }
        }

        #[test]
        fn those_that_start_keep_it_from_asking_again(
            demand in 0.1..30.0_f64, target in 0.2..0.95_f64, running in 1..10_usize,
        ) {
            let mut formula = Autoscaler::new(target, 1);
            let change = formula.decide(&seen(demand, running, 0));
            prop_assume!(change > 0);
            let again = formula.decide(&seen(demand, running, change as usize));
            prop_assert_eq!(again, 0);
        }
    }
}
