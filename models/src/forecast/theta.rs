//! The Theta method: half of the long trend, and a level that follows.
//!
//! Assimakopoulos & Nikolopoulos 2000 (*The theta model: a decomposition approach to forecasting*),
//! in the form of Hyndman & Billah 2003 (*Unmasking the Theta method*): exponential smoothing with
//! half the slope of the regression line as its drift. Values are freed from the weekly pattern
//! first, where the autocorrelation at a week is significant at 90 %.

use super::minimise::{minimise, within};
use super::quantiles::mean;
use super::{Forecast, Forecaster, History};
use crate::Result;

/// Values looked back on at most: two years of days.
const VALUES_MAX: usize = 730;
/// A normal distribution's 0.95-quantile, for a test of both sides at 90 %.
const SIGNIFICANT: f64 = 1.645;

/// The Theta method with θ = 2.
#[derive(Debug, Clone, Copy, Default)]
pub struct Theta;

impl Forecaster for Theta {
    fn name(&self) -> &'static str {
        "theta"
    }

    fn forecast(&mut self, history: &History<'_>, horizon: usize, _seed: u64) -> Result<Forecast> {
        let rates = history.rates()?;
        let rates = &rates[rates.len().saturating_sub(VALUES_MAX)..];
        let period = history.period();
        let pattern = if is_seasonal(rates, period) { pattern(rates, period) } else { vec![0.0] };
        let day = |at: usize| pattern[at % pattern.len()];
        let plain: Vec<f64> = rates.iter().enumerate().map(|(at, v)| v - day(at)).collect();
        let squares = |x: &[f64]| smooth(&plain, within(1e-3, 0.999, x[0])).1;
        let alpha = within(1e-3, 0.999, minimise(&[-1.0], 0.7, 60, squares)[0]);
        let (level, squares) = smooth(&plain, alpha);
        let drift = slope(&plain) / 2.0;
        // The smoothed level lags behind the line by what the drift gains until it is forgotten.
        let lag = (1.0 - (1.0 - alpha).powi(plain.len() as i32)) / alpha;
        let weights = history.values_of(vec![1.0; horizon]);
        let point: Vec<f64> = (0..horizon)
            .map(|at| {
                let rate = level + drift * (at as f64 + lag) + day(plain.len() + at);
                rate * weights[at]
            })
            .collect();
        let sigma = (squares / plain.len() as f64).sqrt();
        let forecast = Forecast::linear(&point, sigma, &weights, |_| alpha);
        Ok(if history.may_be_negative() { forecast } else { forecast.not_negative() })
    }
}

/// The last level, and the sum of squared one-step errors.
fn smooth(values: &[f64], alpha: f64) -> (f64, f64) {
    let (mut level, mut squares) = (values[0], 0.0);
    for value in values {
        let error = value - level;
        level += alpha * error;
        squares += error * error;
    }
    (level, squares)
}

/// Of the regression line over the values' places.
fn slope(values: &[f64]) -> f64 {
    let centre = (values.len() as f64 - 1.0) / 2.0;
    let (mut with, mut spread) = (0.0, 0.0);
    for (at, value) in values.iter().enumerate() {
        let x = at as f64 - centre;
        with += x * value;
        spread += x * x;
    }
    if spread > 0.0 { with / spread } else { 0.0 }
}

/// Whether the autocorrelation at a period is further from 0 than chance explains (Bartlett).
fn is_seasonal(values: &[f64], period: usize) -> bool {
    if period < 2 || values.len() < 3 * period {
        return false;
    }
    // Of the differences: a trend or a level shift would correlate at every lag.
    let steps: Vec<f64> = values.windows(2).map(|w| w[1] - w[0]).collect();
    let centre = mean(&steps);
    let correlation = |lag: usize| {
        let own: f64 = steps.iter().map(|v| (v - centre).powi(2)).sum();
        let with = steps.windows(lag + 1).map(|w| (w[0] - centre) * (w[lag] - centre));
        if own > 0.0 { with.sum::<f64>() / own } else { 0.0 }
    };
    let before: f64 = (1..period).map(|lag| correlation(lag).powi(2)).sum();
    let limit = SIGNIFICANT * ((1.0 + 2.0 * before) / steps.len() as f64).sqrt();
    correlation(period) > limit
}

/// Mean deviation of each day of the week from the week around it, centred.
fn pattern(values: &[f64], period: usize) -> Vec<f64> {
    let half = period / 2;
    let mut deviations = vec![vec![]; period];
    for at in half..values.len() - half {
        deviations[at % period].push(values[at] - mean(&values[at - half..=at + half]));
    }
    let of_day: Vec<f64> = deviations.iter().map(|days| mean(days)).collect();
    let centre = mean(&of_day);
    of_day.iter().map(|day| day - centre).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::Cadence;

    fn point(values: &[f64], horizon: usize) -> Vec<f64> {
        let history = History::new(Cadence::Daily, 0, values);
        let found = Theta.forecast(&history, horizon, 1).unwrap();
        found.days.iter().map(|day| day.p50).collect()
    }

    #[test]
    fn a_constant_stays() {
        assert!(point(&[5.0; 40], 30).iter().all(|day| (day - 5.0).abs() < 1e-9));
    }

    #[test]
    fn a_weekly_pattern_is_continued() {
        let values: Vec<f64> = (0..70).map(|day| 10.0 + f64::from(day % 7)).collect();
        for (at, day) in point(&values, 14).iter().enumerate() {
            assert!((day - (10.0 + (at % 7) as f64)).abs() < 0.1, "{at}: {day}");
        }
    }

    #[test]
    fn half_of_a_line_s_slope_is_kept() {
        let values: Vec<f64> = (0..200).map(f64::from).collect();
        let found = point(&values, 21);
        assert!((found[20] - found[0] - 10.0).abs() < 1e-6);
    }

    #[test]
    fn noise_has_no_pattern() {
        let values: Vec<f64> = (0..60_i32).map(|day| f64::from(day.pow(2) * 37 % 101)).collect();
        assert!(!is_seasonal(&values, 7));
    }
}
