//! Least squares with normal priors on some weights and a Laplace prior on others, solved exactly.

use std::ops::Range;

use nalgebra::{DMatrix, DVector};

/// Steps of the active set; each moves downhill, so there are finitely many anyway.
const STEPS_MAX: usize = 400;

/// The sums that every solution needs.
pub(super) struct Problem<'a> {
    gram: DMatrix<f64>,
    with_target: DVector<f64>,
    target: &'a [f64],
}

impl<'a> Problem<'a> {
    pub(super) fn new(columns: &[Vec<f64>], target: &'a [f64]) -> Self {
        let rows = target.len();
        let matrix = DMatrix::from_fn(rows, columns.len(), |row, column| columns[column][row]);
        let gram = matrix.tr_mul(&matrix);
        let with_target = matrix.tr_mul(&DVector::from_column_slice(target));
        Self { gram, with_target, target }
    }

    /// Sum of squared residuals.
    pub(super) fn squares(&self, columns: &[Vec<f64>], weights: &[f64]) -> f64 {
        let mut residuals = self.target.to_vec();
        for (column, weight) in columns.iter().zip(weights).filter(|(_, weight)| **weight != 0.0) {
            residuals.iter_mut().zip(column).for_each(|(rest, value)| *rest -= weight * value);
        }
        residuals.iter().map(|rest| rest * rest).sum()
    }

    /// Minimises ½‖y − Xw‖² + ½ variance Σ precision w² + penalty Σ |w| over the penalised range,
    /// from `weights` on, and leaves the minimum there.
    ///
    /// Feature-sign search (Lee, Battle, Raina & Ng 2007, *Efficient sparse coding algorithms*): with
    /// signs guessed the problem is a linear system; signs are corrected where its solution crosses 0.
    pub(super) fn solve(
        &self,
        weights: &mut [f64],
        precisions: &[f64],
        variance: f64,
        (penalised, penalty): (Range<usize>, f64),
    ) {
        let count = weights.len();
        let mut system = self.gram.clone();
        for (at, precision) in precisions.iter().enumerate() {
            // A trace of a ridge keeps bends without data between them apart.
            system[(at, at)] += variance * precision + 1e-12 * (1.0 + self.gram[(at, at)]);
        }
        let mut signs: Vec<f64> = weights.iter().map(|weight| sign(*weight)).collect();
        let is_penalised = |at: usize| penalised.contains(&at);
        let slope = |weights: &[f64], at: usize| {
            let row: f64 = (0..count).map(|k| system[(at, k)] * weights[k]).sum();
            row - self.with_target[at]
        };
        let height = |weights: &[f64]| {
            let w = DVector::from_column_slice(weights);
            let quadratic = 0.5 * w.dot(&(&system * &w)) - w.dot(&self.with_target);
            quadratic + penalty * penalised.clone().map(|at| weights[at].abs()).sum::<f64>()
        };
        let mut is_free: Vec<bool> =
            (0..count).map(|at| !is_penalised(at) || weights[at] != 0.0).collect();
        for _ in 0..STEPS_MAX {
            let free: Vec<usize> = (0..count).filter(|at| is_free[*at]).collect();
            let part = DMatrix::from_fn(free.len(), free.len(), |r, c| system[(free[r], free[c])]);
            let right = DVector::from_fn(free.len(), |r, _| {
                let at = free[r];
                let pull = if is_penalised(at) { penalty * signs[at] } else { 0.0 };
                self.with_target[at] - pull
            });
            let Some(solved) = part.cholesky().map(|cholesky| cholesky.solve(&right)) else {
                return;
            };
            let mut aim = weights.to_vec();
            free.iter().zip(solved.iter()).for_each(|(at, value)| aim[*at] = *value);
            // Where a weight would cross 0 on the way its sign was guessed wrong; the lowest of
            // these places and the aim is gone to.
            let crosses = |at: &usize| is_penalised(*at) && signs[*at] * aim[*at] < 0.0;
            let crossings: Vec<usize> = free.iter().copied().filter(crosses).collect();
            let mut lowest = (f64::INFINITY, aim.clone());
            for &crossing in &crossings {
                let share = weights[crossing] / (weights[crossing] - aim[crossing]);
                let mut at: Vec<f64> =
                    weights.iter().zip(&aim).map(|(w, a)| w + share * (a - w)).collect();
                at[crossing] = 0.0;
                let height = height(&at);
                if height < lowest.0 {
                    lowest = (height, at);
                }
            }
            let is_consistent = crossings.is_empty();
            if is_consistent || height(&aim) < lowest.0 {
                lowest.1 = aim;
            }
            weights.copy_from_slice(&lowest.1);
            for at in penalised.clone() {
                signs[at] = sign(weights[at]);
                is_free[at] = weights[at] != 0.0;
            }
            if !is_consistent {
                continue;
            }
            // At the lowest point for these signs: is there a weight that wants to leave 0?
            let leaving = penalised
                .clone()
                .filter(|at| !is_free[*at])
                .map(|at| (at, slope(weights, at)))
                .max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
            match leaving {
                Some((at, slope)) if slope.abs() > penalty * (1.0 + 1e-9) + 1e-14 => {
                    is_free[at] = true;
                    signs[at] = -sign(slope);
                }
                _ => return,
            }
        }
    }
}

fn sign(value: f64) -> f64 {
    if value > 0.0 {
        1.0
    } else if value < 0.0 {
        -1.0
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_correlation_weights_are_shrunk_by_the_penalty() {
        // Orthonormal columns: the solution is y's coordinate, drawn towards 0 by the penalty.
        let columns = vec![vec![1.0, 0.0, 0.0], vec![0.0, 1.0, 0.0], vec![0.0, 0.0, 1.0]];
        let target = [3.0, -0.5, -2.0];
        let problem = Problem::new(&columns, &target);
        let mut weights = vec![0.0; 3];
        problem.solve(&mut weights, &[0.0; 3], 1.0, (1..3, 1.0));
        let expected = [3.0, 0.0, -1.0];
        assert!(weights.iter().zip(expected).all(|(w, e)| (w - e).abs() < 1e-9), "{weights:?}");
    }

    #[test]
    fn no_direction_leads_down_from_the_minimum() {
        let column = |seed: usize| -> Vec<f64> {
            (0..40).map(|row| (((row * seed + 7 * seed) % 23) as f64 - 11.0) / 11.0).collect()
        };
        let columns: Vec<Vec<f64>> = (2..10).map(column).collect();
        let target: Vec<f64> = (0..40)
            .map(|row| columns[1][row] - 0.5 * columns[4][row] + 0.1 * f64::from(row as u8 % 3))
            .collect();
        let problem = Problem::new(&columns, &target);
        let mut weights = vec![0.0; 8];
        problem.solve(&mut weights, &[0.1; 8], 0.5, (2..8, 0.7));
        let height = |weights: &[f64]| {
            let penalty: f64 = weights[2..].iter().map(|w| 0.7 * w.abs()).sum();
            let prior: f64 = weights.iter().map(|w| 0.025 * w * w).sum();
            0.5 * problem.squares(&columns, weights) + prior + penalty
        };
        let here = height(&weights);
        for at in 0..8 {
            for step in [-1e-4, 1e-4] {
                let mut other = weights.clone();
                other[at] += step;
                assert!(height(&other) >= here - 1e-12, "{at} {step}");
            }
        }
        assert!(weights.contains(&0.0), "{weights:?}");
    }
}
