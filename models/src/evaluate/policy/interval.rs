//! How sure a comparison is: blocks of the test part, and seeds, drawn anew with replacement (Carlstein 1986:
//! blocks that do not overlap, so that what hangs together stays together).

use super::curve::{Point, cost_at};
use crate::learn::random::Random;
use crate::policy::Tally;

/// Draws.
pub const DRAWS: usize = 1_000;
/// Between these shares of the draws lies the interval.
const TAILS: [f64; 2] = [0.025, 0.975];

/// What a controller's settings for each of the aims gave, block by block.
pub(super) type Tested<'a> = Vec<&'a [Tally]>;

/// The 95 % interval of what is learned costs where it violates a share, of what a rule costs that violates as
/// much; one of `learned` for each seed, and all on the same blocks. An end is absent where a side violates
/// more than that whatever its settings.
pub(super) fn ratio(learned: &[Tested<'_>], rule: &[&[Tally]], level: f64) -> [Option<f64>; 2] {
    let blocks = rule.first().map_or(0, |tallies| tallies.len());
    if blocks == 0 || learned.is_empty() {
        return [None; 2];
    }
    let mut random = Random::new(1);
    let mut place = |of: usize| (random.uniform() * of as f64) as usize;
    let mut ratios = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        let mut times = vec![0.0; blocks];
        (0..blocks).for_each(|_| times[place(blocks)] += 1.0);
        // Each seed's cost once, however often it is drawn.
        let costs: Vec<Option<f64>> =
            learned.iter().map(|tested| drawn(tested, &times, level)).collect();
        let sum: Option<f64> = (0..costs.len()).map(|_| costs[place(costs.len())]).sum();
        ratios.push(match (sum, drawn(rule, &times, level)) {
            (Some(sum), Some(rule)) => sum / costs.len() as f64 / rule,
            (None, _) => f64::INFINITY,
            (Some(_), None) => 0.0,
        });
    }
    ratios.sort_by(f64::total_cmp);
    let end = |share: f64| ratios[((DRAWS - 1) as f64 * share).round() as usize];
    TAILS.map(|share| Some(end(share)).filter(|ratio| ratio.is_finite() && *ratio > 0.0))
}

/// The cost at a share of violations, where each block comes so many times.
fn drawn(tested: &[&[Tally]], times: &[f64], level: f64) -> Option<f64> {
    let points: Vec<Point> = tested
        .iter()
        .map(|blocks| {
            let (mut cost, mut asked, mut violations) = (0.0, 0.0, 0.0);
            for (block, times) in blocks.iter().zip(times) {
                cost += times * block.cost;
                asked += times * block.asked as f64;
                violations += times * block.violations as f64;
            }
            Point { violations: violations / f64::max(asked, 1.0), cost }
        })
        .collect();
    cost_at(&points, level)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of ten steps, of which a share violates.
    fn blocks(cost: impl Fn(usize) -> f64, violations: impl Fn(usize) -> usize) -> Vec<Tally> {
        let block = |at| Tally {
            steps: 10,
            asked: 10,
            cost: cost(at),
            violations: violations(at),
            ..Tally::default()
        };
        (0..200).map(block).collect()
    }

    #[test]
    fn what_is_the_same_everywhere_is_sure_and_what_is_not_is_not() {
        let rule = blocks(|_| 10.0, |_| 0);
        let (steady, restless) =
            (blocks(|_| 8.0, |_| 0), blocks(|at| 16.0 * (at % 2) as f64, |_| 0));
        let of = |learned: &[Tally]| ratio(&[vec![learned]], &[&rule], 0.01);
        assert_eq!(of(&steady), [Some(0.8); 2]);
        let [low, high] = of(&restless).map(Option::unwrap);
        // The mean of 200 zeros and sixteens has a standard error of 8 / √200.
        let half = 1.96 * 8.0 / 200_f64.sqrt() / 10.0;
        assert!((low - (0.8 - half)).abs() < 0.02 && (high - (0.8 + half)).abs() < 0.02);
        // Seeds that differ are drawn too.
        let dear = blocks(|_| 12.0, |_| 0);
        let [low, high] = ratio(&[vec![&steady[..]], vec![&dear[..]]], &[&rule], 0.01);
        assert_eq!((low, high), (Some(0.8), Some(1.2)));
    }

    #[test]
    fn an_end_is_absent_where_a_side_violates_too_much() {
        let (kept, broken) = (blocks(|_| 10.0, |_| 0), blocks(|_| 5.0, |_| 1));
        assert_eq!(ratio(&[vec![&broken[..]]], &[&kept], 0.01), [None; 2]);
        assert_eq!(ratio(&[vec![&kept[..]]], &[&broken], 0.01), [None; 2]);
        assert_eq!(ratio(&[], &[&kept], 0.01), [None; 2]);
    }
}
