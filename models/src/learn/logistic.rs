//! Logistic regression with a ridge: the plain model that a forest must beat.
//!
//! Features are standardised on the rows learned from; one that is not known takes the mean, and a
//! column of its own says so where any was unknown. Fitted by Newton's method (iteratively reweighted
//! least squares), which converges in a few steps for a convex loss.

use nalgebra::{DMatrix, DVector};

use super::forest::Table;
use crate::{Error, Result};

/// Weight of the squared coefficients, in rows: Hastie et al. recommend to choose it by validation; one
/// value serves a baseline.
const RIDGE: f64 = 1.0;
const STEPS_MAX: usize = 50;
/// The step at which the fit is found.
const STEP_MIN: f64 = 1e-8;
/// Standardised values are clamped to this (±).
const LIMIT: f64 = 5.0;

/// A fitted regression.
#[derive(Debug, Clone, PartialEq)]
pub struct Logistic {
    /// Mean, inverse standard deviation, and whether any value was unknown, by feature.
    scaling: Vec<(f64, f64, bool)>,
    /// Of the intercept, then of the columns.
    coefficients: DVector<f64>,
}

impl Logistic {
    /// Fits the regression.
    ///
    /// # Errors
    /// [`Error::Data`] when labels are not as many as rows, or a class is missing.
    pub fn fit(table: &Table, labels: &[bool]) -> Result<Self> {
        let rows = table.len();
        if labels.len() != rows || !labels.contains(&true) || !labels.contains(&false) {
            return Err(Error::Data(
                "regression: it takes labelled rows of both classes".to_owned(),
            ));
        }
        let scaling = (0..table.features.len()).map(|feature| scaling(table, feature)).collect();
        let mut model = Self { scaling, coefficients: DVector::zeros(0) };
        let columns: Vec<Vec<f64>> = (0..rows).map(|row| model.columns(table.row(row))).collect();
        let width = columns[0].len();
        let design = DMatrix::from_fn(rows, width, |row, column| columns[row][column]);
        let truth = DVector::from_fn(rows, |row, _| f64::from(labels[row]));
        model.coefficients = DVector::zeros(width);
        for _ in 0..STEPS_MAX {
            let p = (&design * &model.coefficients).map(sigmoid);
            let mut gradient = design.tr_mul(&(&truth - &p));
            let weighted = DMatrix::from_fn(rows, width, |row, column| {
                design[(row, column)] * p[row] * (1.0 - p[row])
            });
            let mut hessian = design.tr_mul(&weighted);
            // The intercept is not held back, but kept invertible.
            for column in 0..width {
                let ridge = if column == 0 { 1e-9 } else { RIDGE };
                gradient[column] -= ridge * model.coefficients[column];
                hessian[(column, column)] += ridge;
            }
            let Some(factor) = hessian.cholesky() else { break };
            let step = factor.solve(&gradient);
            model.coefficients += &step;
            if step.amax() < STEP_MIN {
                break;
            }
        }
        Ok(model)
    }

    /// A row's probability.
    #[must_use]
    pub fn probability(&self, row: &[f32]) -> f64 {
        let columns = self.columns(row);
        sigmoid(columns.iter().zip(self.coefficients.iter()).map(|(x, w)| x * w).sum())
    }

    fn columns(&self, row: &[f32]) -> Vec<f64> {
        let mut columns = vec![1.0];
        for (value, (mean, inverse, has_unknown)) in row.iter().zip(&self.scaling) {
            let value = (f64::from(*value) - mean) * inverse;
            columns.push(if value.is_nan() { 0.0 } else { value.clamp(-LIMIT, LIMIT) });
            if *has_unknown {
                columns.push(f64::from(value.is_nan()));
            }
        }
        columns
    }
}

fn scaling(table: &Table, feature: usize) -> (f64, f64, bool) {
    let values = (0..table.len()).map(|row| f64::from(table.row(row)[feature]));
    let known: Vec<f64> = values.filter(|value| !value.is_nan()).collect();
    let count = known.len() as f64;
    let has_unknown = known.len() < table.len();
    if known.is_empty() {
        return (0.0, 0.0, has_unknown);
    }
    let mean = known.iter().sum::<f64>() / count;
    let variance = known.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count;
    (mean, if variance > 0.0 { 1.0 / variance.sqrt() } else { 0.0 }, has_unknown)
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::random::Random;

    #[test]
    fn probabilities_are_those_that_made_the_labels() {
        let mut random = Random::new(1);
        let (mut values, mut labels, mut truth) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..20_000 {
            let (x, y) = (2.0 * random.uniform() - 1.0, 2.0 * random.uniform() - 1.0);
            let p = sigmoid(3.0 * x - 1.0 * y - 0.5);
            values.extend([x as f32, y as f32]);
            labels.push(random.uniform() < p);
            truth.push(p);
        }
        let table = Table::new(vec!["x".to_owned(), "y".to_owned()], values).unwrap();
        let model = Logistic::fit(&table, &labels).unwrap();
        let off = |row: usize| (model.probability(table.row(row)) - truth[row]).abs();
        assert!((0..20_000).map(off).fold(0.0, f64::max) < 0.05);
    }

    #[test]
    fn what_is_unknown_says_something_too() {
        let values: Vec<f32> =
            (0..40).map(|row| if row % 2 == 0 { f32::NAN } else { 1.0 }).collect();
        let labels: Vec<bool> = (0..40).map(|row| row % 2 == 0).collect();
        let table = Table::new(vec!["x".to_owned()], values).unwrap();
        let model = Logistic::fit(&table, &labels).unwrap();
        assert!(model.probability(&[f32::NAN]) > 0.8 && model.probability(&[1.0]) < 0.2);
        assert!(Logistic::fit(&table, &[true; 40]).is_err());
    }
}
