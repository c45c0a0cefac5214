//! Models weighted by their past errors.
//!
//! Combinations beat their members more often than not (Bates & Granger 1969, *The combination of
//! forecasts*); weights in inverse proportion to squared errors are theirs, with the correlations
//! left out, as there are never enough origins to estimate them.

use super::quantiles::median;
use super::{Forecast, Quantiles};

/// Each member's share, by its past error; they sum to 1. Equal ones where nothing is known.
#[must_use]
pub fn shares(errors: &[Option<f64>]) -> Vec<f64> {
    let power: f64 = std::env::var("POW").ok().and_then(|p| p.parse().ok()).unwrap_or(2.0);
    let known: Vec<f64> = errors.iter().flatten().copied().collect();
    if known.is_empty() {
        return vec![1.0 / errors.len().max(1) as f64; errors.len()];
    }
    // A floor, so that one lucky member does not take all.
    let floor = 0.1 * median(known) + 1e-9;
    let raw: Vec<f64> =
        errors.iter().map(|error| error.map_or(0.0, |e| (e + floor).powf(-power))).collect();
    let sum: f64 = raw.iter().sum();
    raw.iter().map(|share| share / sum).collect()
}

/// Quantiles averaged with these shares (Vincent 1912): as wide as the members are, not wider by
/// their disagreement, which calibration adds.
#[must_use]
pub fn weighted(forecasts: &[&Forecast], shares: &[f64]) -> Forecast {
    let average = |of: fn(&Forecast) -> &[Quantiles]| -> Vec<Quantiles> {
        let length = forecasts.iter().map(|forecast| of(forecast).len()).min().unwrap_or(0);
        let at = |day: usize| {
            let mut sum = Quantiles::default();
            for (forecast, share) in forecasts.iter().zip(shares) {
                let said = of(forecast)[day];
                sum.p10 += share * said.p10;
                sum.p50 += share * said.p50;
                sum.p90 += share * said.p90;
            }
            sum
        };
        (0..length).map(at).collect()
    };
    Forecast { days: average(|f| &f.days), totals: average(|f| &f.totals) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_the_error_has_nearly_four_times_the_share() {
        let shares = shares(&[Some(0.1), Some(0.2), None]);
        assert!(shares[0] > 3.0 * shares[1] && shares[2] == 0.0, "{shares:?}");
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!(super::shares(&[None, None]), [0.5, 0.5]);
    }

    #[test]
    fn quantiles_are_averaged() {
        let one = Forecast::normal(&[1.0], &[1.0], &[1.0]);
        let two = Forecast::normal(&[3.0], &[3.0], &[3.0]);
        let both = weighted(&[&one, &two], &[0.5, 0.5]);
        assert_eq!(both, Forecast::normal(&[2.0], &[2.0], &[2.0]));
    }
}
