//! A month's amounts to those of its targets: exactly.

use arrow::datatypes::i256;

use super::config::{Shared, Weights};
use super::{Cell, MEASURES, Totals, exceeds};
use crate::Result;
use crate::bill::key::Symbol;

/// Divides what rules have taken among targets; direct costs stay as they are. `ranks` orders symbols
/// by name.
///
/// Billed and effective cost are divided each by itself, by weights of its own.
///
/// # Errors
/// [`crate::Error::Column`] when direct costs exceed 128 bits together.
pub(super) fn divide(rules: &[Shared], known: &Totals, ranks: &[u32]) -> Result<Totals> {
    let mut divided = Totals::with_capacity(known.len());
    for measure in 0..MEASURES {
        let direct = |(cell, sums): (&Cell, &[i128; MEASURES])| {
            (cell.rule == 0 && cell.target != 0 && sums[measure] != 0)
                .then_some((cell.target, sums[measure]))
        };
        let mut direct: Vec<(Symbol, i128)> = known.iter().filter_map(direct).collect();
        direct.sort_unstable_by_key(|(target, _)| ranks[*target as usize]);
        let even: Vec<_> = direct.iter().map(|(target, _)| (*target, 1)).collect();
        let above = direct.iter().filter(|(_, amount)| *amount > 0);
        let proportional: Vec<_> =
            above.map(|(target, amount)| (*target, amount.unsigned_abs())).collect();
        for (cell, sums) in known {
            let rule = cell.rule.checked_sub(1).map(|rule| &rules[usize::from(rule)]);
            let weights: &[(Symbol, u128)] = match rule.map(|rule| &rule.weights) {
                Some(Weights::Proportional) => &proportional,
                Some(Weights::Even) => &even,
                Some(Weights::Fixed(fixed)) => fixed,
                None => &[],
            };
            if weights.is_empty() {
                add(&mut divided, *cell, measure, sums[measure]);
                continue;
            }
            let shares = shares(sums[measure], weights).ok_or_else(exceeds)?;
            for (share, (target, _)) in shares.into_iter().zip(weights) {
                add(&mut divided, Cell { target: *target, ..*cell }, measure, share);
            }
        }
    }
    Ok(divided)
}

fn add(divided: &mut Totals, cell: Cell, measure: usize, amount: i128) {
    if amount != 0 {
        divided.entry(cell).or_default()[measure] += amount;
    }
}

/// Divides an amount in proportion to weights above 0, at least one, by largest remainders: each share
/// is less than a unit off, and they sum to the amount. Of equal remainders the first has the unit. A
/// negative amount has the shares of the positive one, negated. `None` where weights exceed 128 bits
/// together.
fn shares(amount: i128, weights: &[(Symbol, u128)]) -> Option<Vec<i128>> {
    let size = amount.unsigned_abs();
    let whole = weights.iter().try_fold(0_u128, |whole, (_, w)| whole.checked_add(*w))?;
    let (mut shares, rests): (Vec<u128>, Vec<u128>) =
        weights.iter().map(|(_, weight)| part(size, *weight, whole)).unzip();
    let left = size - shares.iter().sum::<u128>();
    if left > 0 {
        let mut order: Vec<usize> = (0..shares.len()).collect();
        order.sort_by(|a, b| rests[*b].cmp(&rests[*a]));
        order.iter().take(left as usize).for_each(|at| shares[*at] += 1);
    }
    Some(shares.into_iter().map(|share| amount.signum() * share as i128).collect())
}

/// `amount × weight ÷ whole` and the rest of it, where `weight ≤ whole` and `amount < 2¹²⁷`.
fn part(amount: u128, weight: u128, whole: u128) -> (u128, u128) {
    if let Some(product) = amount.checked_mul(weight) {
        return (product / whole, product % whole);
    }
    let wide = |number: u128| i256::from_parts(number, 0);
    let product = wide(amount).wrapping_mul(wide(weight));
    let (share, rest) = (product.wrapping_div(wide(whole)), product.wrapping_rem(wide(whole)));
    (share.to_parts().0, rest.to_parts().0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(amount: i128, weights: &[u128], expected: &[i128]) {
        let weights: Vec<_> = weights.iter().map(|weight| (0, *weight)).collect();
        assert_eq!(shares(amount, &weights).unwrap(), expected, "{amount} by {weights:?}");
    }

    #[test]
    fn shares_go_by_largest_remainders_and_ties_to_the_first() {
        check(100, &[1, 1, 1], &[34, 33, 33]);
        check(-100, &[1, 1, 1], &[-34, -33, -33]);
        check(101, &[1, 1, 1], &[34, 34, 33]);
        check(10, &[1, 2, 4], &[1, 3, 6]);
        check(0, &[1, 2], &[0, 0]);
        check(1, &[1, 1_000], &[0, 1]);
        check(7, &[5], &[7]);
        let most = 10_i128.pow(38) - 1;
        check(most, &[most as u128, most as u128], &[most / 2 + 1, most / 2]);
        check(-most, &[2, 1], &[-(most / 3 * 2), -(most / 3)]);
        assert_eq!(shares(1, &[(0, u128::MAX), (1, 1)]), None);
    }

    proptest! {
        #[test]
        fn shares_sum_to_the_amount_and_none_is_a_unit_off(
            amount in (-(10_i128.pow(38)) + 1..10_i128.pow(38)).prop_flat_map(|most| {
                (0..38_u32).prop_map(move |digits| most / 10_i128.pow(digits))
            }),
            weights in proptest::collection::vec((1_u128..10_u128.pow(37), 0..37_u32), 1..8),
        ) {
            let weights: Vec<_> =
                weights.iter().map(|(w, digits)| (0, (w / 10_u128.pow(*digits)).max(1))).collect();
            let shares = shares(amount, &weights).unwrap();
            prop_assert_eq!(shares.iter().sum::<i128>(), amount);
            let wide = |number: i128| i256::from_i128(number);
            let whole: u128 = weights.iter().map(|(_, weight)| weight).sum();
            for (share, (_, weight)) in shares.iter().zip(&weights) {
                let exact = wide(amount).wrapping_mul(wide(*weight as i128));
                let off = wide(*share).wrapping_mul(wide(whole as i128)).wrapping_sub(exact);
                prop_assert!(off.wrapping_abs() < wide(whole as i128));
            }
        }
    }
}
