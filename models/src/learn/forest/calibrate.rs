//! From a share of trees to a probability: Platt 1999, with the Newton iteration of Lin, Lin & Weng 2007,
//! *A note on Platt's probabilistic outputs for support vector machines*,
//! [doi:10.1007/s10994-007-5018-6](https://doi.org/10.1007/s10994-007-5018-6).
//!
//! Deviation: the sigmoid is of the share's log-odds, so that the identity is among its members: a
//! share that is already a probability stays what it is. Shares are kept [`SHARE_MIN`] away from 0 and 1.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Shares are taken for no less than this, and for no more than 1 less this.
pub const SHARE_MIN: f64 = 1.0 / 512.0;
/// Newton steps at most; a fit takes fewer than ten.
const STEPS_MAX: usize = 100;
/// The gradient at which the fit is found.
const GRADIENT_MIN: f64 = 1e-9;
/// Added to the Hessian's diagonal, so that it can be inverted where classes are apart.
const RIDGE: f64 = 1e-9;

/// `probability = 1 / (1 + exp(−(slope · ln(share / (1 − share)) + offset)))`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Platt {
    /// Above 1 where shares are too cautious. Never negative: a calibration turns no order around.
    pub slope: f32,
    /// Log-odds of a share of one half.
    pub offset: f32,
}

impl Platt {
    /// Leaves shares as they are.
    pub const IDENTITY: Self = Self { slope: 1.0, offset: 0.0 };

    /// The likeliest sigmoid for shares and their labels, with Platt's targets: of `p` positive and `n`
    /// negative rows, `(p + 1) / (p + 2)` and `1 / (n + 2)` in place of 1 and 0.
    ///
    /// # Errors
    /// [`Error::Data`] when a class is missing.
    pub fn fit(shares: &[f64], labels: &[bool]) -> Result<Self> {
        let positive = labels.iter().filter(|label| **label).count() as f64;
        let negative = labels.len() as f64 - positive;
        if positive == 0.0 || negative == 0.0 || shares.len() != labels.len() {
            return Err(Error::Data("calibration: it takes rows of both classes".to_owned()));
        }
        let targets = [1.0 / (negative + 2.0), (positive + 1.0) / (positive + 2.0)];
        let rows: Vec<(f64, f64)> = shares
            .iter()
            .zip(labels)
            .map(|(share, label)| (log_odds(*share), targets[usize::from(*label)]))
            .collect();
        let mut at = (0.0, ((positive + 1.0) / (negative + 1.0)).ln());
        let mut loss = cost(&rows, at);
        for _ in 0..STEPS_MAX {
            let (gradient, step) = newton(&rows, at);
            if gradient.0.abs().max(gradient.1.abs()) < GRADIENT_MIN {
                break;
            }
            // Halved until the loss falls: the iteration converges from anywhere.
            let mut size = 1.0;
            let next = loop {
                let next = (at.0 - size * step.0, at.1 - size * step.1);
                let next_loss = cost(&rows, next);
                if next_loss < loss || size < 1e-10 {
                    break (next, next_loss);
                }
                size /= 2.0;
            };
            if next.1 >= loss {
                break;
            }
            (at, loss) = next;
        }
        Ok(Self { slope: at.0.max(0.0) as f32, offset: at.1 as f32 })
    }

    /// A share's probability.
    #[must_use]
    pub fn probability(&self, share: f64) -> f64 {
        sigmoid(f64::from(self.slope) * log_odds(share) + f64::from(self.offset))
    }
}

fn log_odds(share: f64) -> f64 {
    let share = share.clamp(SHARE_MIN, 1.0 - SHARE_MIN);
    (share / (1.0 - share)).ln()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Negative log-likelihood, written so that nothing overflows.
fn cost(rows: &[(f64, f64)], (slope, offset): (f64, f64)) -> f64 {
    let of = |(x, target): &(f64, f64)| {
        let z = slope * x + offset;
        z.max(0.0) - target * z + (-z.abs()).exp().ln_1p()
    };
    rows.iter().map(of).sum()
}

/// Gradient and Newton step.
fn newton(rows: &[(f64, f64)], (slope, offset): (f64, f64)) -> ((f64, f64), (f64, f64)) {
    let (mut gradient, mut hessian) = ((0.0, 0.0), (RIDGE, 0.0, RIDGE));
    for (x, target) in rows {
        let p = sigmoid(slope * x + offset);
        let (off, curve) = (p - target, p * (1.0 - p));
        gradient = (gradient.0 + off * x, gradient.1 + off);
        hessian = (hessian.0 + curve * x * x, hessian.1 + curve * x, hessian.2 + curve);
    }
    let determinant = hessian.0 * hessian.2 - hessian.1 * hessian.1;
    let step = (
        (hessian.2 * gradient.0 - hessian.1 * gradient.1) / determinant,
        (hessian.0 * gradient.1 - hessian.1 * gradient.0) / determinant,
    );
    (gradient, step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::random::Random;

    #[test]
    fn a_sigmoid_that_made_the_labels_is_found_again() {
        let truth = Platt { slope: 2.0, offset: -0.5 };
        let mut random = Random::new(1);
        let shares: Vec<f64> = (0..20_000).map(|_| random.uniform()).collect();
        let labels: Vec<bool> =
            shares.iter().map(|share| random.uniform() < truth.probability(*share)).collect();
        let found = Platt::fit(&shares, &labels).unwrap();
        assert!((found.slope - 2.0).abs() < 0.1 && (found.offset + 0.5).abs() < 0.1, "{found:?}");
    }

    #[test]
    fn classes_that_are_apart_still_have_a_fit() {
        let found = Platt::fit(&[0.0, 0.1, 0.9, 1.0], &[false, false, true, true]).unwrap();
        let (low, high) = (found.probability(0.0), found.probability(1.0));
        assert!(low < 0.5 && high > 0.5 && low > 0.0 && high < 1.0, "{found:?}");
        assert!(Platt::fit(&[0.5; 3], &[true; 3]).is_err());
    }

    #[test]
    fn order_is_never_turned_around() {
        let found = Platt::fit(&[0.1, 0.2, 0.8, 0.9], &[true, true, false, false]).unwrap();
        assert_eq!(found.slope, 0.0);
        assert!((Platt::IDENTITY.probability(0.3) - 0.3).abs() < 1e-12);
    }
}
