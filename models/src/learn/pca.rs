//! Reconstruction from the leading principal components of whole windows.
//!
//! The components are found by orthogonal iteration with a Rayleigh–Ritz step
//! (Halko, Martinsson, Tropp 2011, §4.5, iterated to rest): a full
//! decomposition of the covariance of a 30 × 38 window takes minutes, and only
//! the few leading directions matter.

use nalgebra::{DMatrix, DVector, SymmetricEigen};

use super::random::Random;
use super::scaling::{INPUT_LIMIT, Scaling};
use super::{ERROR_LIMIT, Outputs};
use crate::samples::Samples;
use crate::specification::Specification;

/// The share of the variance that components are taken for, where their count is not given.
pub const VARIANCE_SHARE: f64 = 0.9;

/// Components at most, where their count is not given.
pub const COMPONENTS_MAX: usize = 64;

/// Iterations at most; it rests long before on data with any structure.
const ITERATIONS_MAX: usize = 40;

/// It rests once an iteration captures no more than this share of variance more.
const REST: f64 = 1e-7;

/// Leading principal directions of standardised windows.
#[derive(Debug, Clone, PartialEq)]
pub struct Components {
    /// How many.
    pub count: usize,
    /// `[steps · channels]`: the mean window, near zero but for clamped values.
    pub mean: Vec<f32>,
    /// `[steps · channels, count]`, columns orthonormal, by falling variance.
    pub directions: Vec<f32>,
}

/// Fits the components: `specification.latents` of them, or as many as explain
/// [`VARIANCE_SHARE`] of the variance (at most [`COMPONENTS_MAX`]).
#[must_use]
pub fn fit(specification: &Specification, scaling: &Scaling, train: &Samples) -> Components {
    let width = train.width();
    let values = scaling.standardise(train, INPUT_LIMIT);
    let mut rows = DMatrix::from_row_iterator(
        train.len(),
        width,
        values.iter().map(|value| f64::from(*value)),
    );
    let mean = rows.row_mean();
    for mut row in rows.row_iter_mut() {
        row -= &mean;
    }
    // `tr_mul` would be a loop of dot products; this is a blocked product.
    let covariance = rows.transpose() * &rows / train.len() as f64;
    let total = covariance.trace();
    let wanted = match specification.latents {
        0 => COMPONENTS_MAX.min(width),
        given => given,
    };
    let (variances, directions) = leading(&covariance, wanted);
    let count = match specification.latents {
        0 => explaining(&variances, total * VARIANCE_SHARE),
        given => given,
    };
    Components {
        count,
        mean: mean.iter().map(|value| *value as f32).collect(),
        directions: (0..width)
            .flat_map(|row| (0..count).map(move |column| (row, column)))
            .map(|at| directions[at] as f32)
            .collect(),
    }
}

/// Its outputs on these samples.
#[must_use]
pub fn forward(
    specification: &Specification,
    scaling: &Scaling,
    components: &Components,
    samples: &Samples,
) -> Outputs {
    let mut outputs = Outputs::default();
    for at in 0..samples.len() {
        let window = samples.window(at);
        let scaling = scaling.of(samples, at);
        let mut input = scaling.standardise(window, INPUT_LIMIT);
        input.iter_mut().zip(&components.mean).for_each(|(value, mean)| *value -= mean);
        let directions = || components.directions.chunks_exact(components.count);
        let mut mu = vec![0.0; components.count];
        for (value, weights) in input.iter().zip(directions()) {
            mu.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += value * weight);
        }
        let rebuilt: Vec<f32> = directions()
            .zip(&components.mean)
            .map(|(weights, mean)| {
                mu.iter().zip(weights).map(|(value, weight)| value * weight).sum::<f32>() + mean
            })
            .collect();
        outputs.push_errors(specification, &scaling.standardise(window, ERROR_LIMIT), &rebuilt);
        outputs.mu.extend(mu);
        outputs.reconstruction.extend(scaling.restore(&rebuilt));
    }
    outputs
}

/// The greatest eigenvalues of a symmetric matrix, falling, and their vectors as columns.
fn leading(matrix: &DMatrix<f64>, count: usize) -> (DVector<f64>, DMatrix<f64>) {
    let width = matrix.nrows();
    // A few directions more than asked for: the last ones asked for converge sooner.
    let block = (count + 8).min(width);
    // Any start will do that is no matrix's invariant subspace.
    let mut random = Random::new(1);
    let mut basis = DMatrix::from_fn(width, block, |_, _| f64::from(random.symmetric(1.0)));
    let mut image = matrix * &basis;
    let mut before = 0.0;
    for _ in 0..ITERATIONS_MAX {
        basis = image.qr().q();
        image = matrix * &basis;
        let captured = basis.dot(&image);
        if captured - before <= REST * captured {
            break;
        }
        before = captured;
    }
    let small = SymmetricEigen::new(basis.transpose() * image);
    let mut order: Vec<usize> = (0..small.eigenvalues.len()).collect();
    order.sort_by(|a, b| small.eigenvalues[*b].total_cmp(&small.eigenvalues[*a]));
    order.truncate(count);
    let rotated = &basis * &small.eigenvectors;
    let values = DVector::from_iterator(order.len(), order.iter().map(|&at| small.eigenvalues[at]));
    let vectors = DMatrix::from_fn(width, order.len(), |row, column| {
        let vector = rotated.column(order[column]);
        // An eigenvector's sign is arbitrary: make its greatest element positive.
        vector[row] * vector[vector.icamax()].signum()
    });
    (values, vectors)
}

fn explaining(variances: &DVector<f64>, enough: f64) -> usize {
    let mut sum = 0.0;
    let most = variances.len().max(1);
    variances
        .iter()
        .position(|variance| {
            sum += variance.max(0.0);
            sum >= enough
        })
        .map_or(most, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::specification::Architecture;

    #[test]
    fn leading_directions_are_those_of_the_full_decomposition() {
        let mut random = Random::new(2);
        let common: Vec<f64> = (0..200).map(|_| random.symmetric(1.0).into()).collect();
        let rows = DMatrix::from_fn(200, 60, |row, column| {
            f64::from(random.symmetric(1.0)) / (column + 1) as f64
                + common[row] * (column % 7) as f64
        });
        let matrix = rows.tr_mul(&rows);
        let (values, vectors) = leading(&matrix, 5);
        let mut full: Vec<f64> =
            SymmetricEigen::new(matrix.clone()).eigenvalues.iter().copied().collect();
        full.sort_by(|a, b| b.total_cmp(a));
        for at in 0..5 {
            assert!((values[at] - full[at]).abs() < 1e-6 * full[0]);
            let column = vectors.column(at);
            assert!((&matrix * column - column * values[at]).norm() < 1e-3 * full[0]);
        }
    }

    #[test]
    fn as_many_components_as_explain_the_share() {
        // Two sources drive six channels.
        let mut random = Random::new(3);
        let values = (0..400)
            .flat_map(|_| {
                let (a, b) = (random.symmetric(1.0), random.symmetric(1.0));
                [a, a, a, b, b, a + b]
            })
            .collect();
        let samples = Samples::new(1, 6, values);
        let channels = (0..6).map(|c| c.to_string()).collect();
        let spec = Specification::new(Architecture::Pca, "p", 1, channels);
        let scaling = Scaling::fit(&samples);
        let components = fit(&spec, &scaling, &samples);
        assert_eq!(components.count, 2);
        let outputs = forward(&spec, &scaling, &components, &samples);
        assert!(outputs.reconstruction_error.iter().all(|error| *error < 1e-10));
    }
}
