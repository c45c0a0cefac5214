//! Models weighted by their past errors.
//!
//! Combinations beat their members more often than not (Bates & Granger 1969, *The combination of
//! forecasts*); weights in inverse proportion to squared errors are theirs, with the correlations
//! left out, as there are never enough origins to estimate them.

use super::quantiles::median;
use super::{Cadence, Forecast, Quantiles};

/// The models of daily series that are combined where they are among the members: those made for
/// bills. The plain ones stand beside them as baselines and as candidates for the champion: past
/// errors over a dozen origins tell too little to give them shares as small as they deserve.
pub const COMBINED_DAYS: [&str; 2] = ["robust", "bilstm"];
/// The same of monthly series: a month's bill is often that of the month before, to the cent.
pub const COMBINED_MONTHS: [&str; 3] = ["seasonal-naive", "robust", "bilstm"];

/// Each member's share, by its past error; they sum to 1. Where nothing is known, equal ones of
/// those that are combined, or of all where none of them is there.
#[must_use]
pub fn shares(cadence: Cadence, names: &[&str], errors: &[Option<f64>]) -> Vec<f64> {
    let combined = match cadence {
        Cadence::Daily => &COMBINED_DAYS[..],
        Cadence::Monthly => &COMBINED_MONTHS[..],
    };
    let is_any = names.iter().any(|name| combined.contains(name));
    let is_in: Vec<bool> = names.iter().map(|name| !is_any || combined.contains(name)).collect();
    let known = errors.iter().zip(&is_in).filter(|(_, is_in)| **is_in);
    let known: Vec<f64> = known.filter_map(|(error, _)| *error).collect();
    // A floor, so that one lucky member does not take all.
    let floor = 0.1 * median(known.iter().copied()) + 1e-9;
    let raw = errors.iter().zip(&is_in).map(|(error, is_in)| match (is_in, error) {
        (false, _) => 0.0,
        (true, Some(error)) => (error + floor).powi(-2),
        (true, None) => f64::from(u8::from(known.is_empty())),
    });
    let raw: Vec<f64> = raw.collect();
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
        let shares = shares(Cadence::Daily, &["a", "b", "c"], &[Some(0.1), Some(0.2), None]);
        assert!(shares[0] > 3.0 * shares[1] && shares[2] == 0.0, "{shares:?}");
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!(super::shares(Cadence::Daily, &["a", "b"], &[None, None]), [0.5, 0.5]);
    }

    #[test]
    fn plain_models_are_left_out_where_others_are() {
        let names = ["ets", "robust", "bilstm"];
        assert_eq!(shares(Cadence::Daily, &names, &[None; 3]), [0.0, 0.5, 0.5]);
        assert_eq!(shares(Cadence::Monthly, &["ets", "seasonal-naive"], &[None; 2]), [0.0, 1.0]);
        assert_eq!(
            shares(Cadence::Daily, &names, &[Some(0.01), Some(0.1), Some(0.1)]),
            [0.0, 0.5, 0.5]
        );
    }

    #[test]
    fn quantiles_are_averaged() {
        let one = Forecast::normal(&[1.0], &[1.0], &[1.0]);
        let two = Forecast::normal(&[3.0], &[3.0], &[3.0]);
        let both = weighted(&[&one, &two], &[0.5, 0.5]);
        assert_eq!(both, Forecast::normal(&[2.0], &[2.0], &[2.0]));
    }
}
