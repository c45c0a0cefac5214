//! Exponential smoothing in state space, the kind chosen by AICc.
//!
//! Hyndman, Koehler, Snyder & Grose 2002 (*A state space framework for automatic forecasting using
//! exponential smoothing methods*): of the models with additive errors, level alone or with damped
//! trend, without or with an additive weekly pattern, the one of lowest AICc. Deviations: states
//! begin at what the first weeks show and are not optimised; kinds with multiplicative errors or
//! with an undamped trend are left out, as bills have zeros and no growth lasts.

use super::minimise::{minimise, within};
use super::quantiles::mean;
use super::{Forecast, Forecaster, History};
use crate::Result;

/// Values looked back on at most: two years of days.
const VALUES_MAX: usize = 730;
/// Weeks that show the pattern to begin with.
const FIRST_WEEKS: usize = 4;
/// Evaluations of the likelihood for each kind.
const EVALUATIONS: usize = 240;

/// Exponential smoothing of the kind that suits a history best.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ets;

impl Forecaster for Ets {
    fn name(&self) -> &'static str {
        "ets"
    }

    fn forecast(&mut self, history: &History<'_>, horizon: usize, _seed: u64) -> Result<Forecast> {
        let rates = history.rates()?;
        let rates = &rates[rates.len().saturating_sub(VALUES_MAX)..];
        let fit = best(rates, history.period());
        let weights = history.values_of(vec![1.0; horizon]);
        let point: Vec<f64> =
            (1..=horizon).map(|ahead| fit.ahead(ahead) * weights[ahead - 1]).collect();
        let forecast = Forecast::linear(&point, fit.sigma(), &weights, |steps| fit.response(steps));
        Ok(if history.may_be_negative() { forecast } else { forecast.not_negative() })
    }
}

/// Smoothing parameters: of level, trend and pattern, and the damping.
#[derive(Debug, Clone, Copy)]
struct Speeds {
    alpha: f64,
    beta: f64,
    gamma: f64,
    phi: f64,
}

/// A kind: what it has besides a level.
#[derive(Debug, Clone, Copy)]
struct Kind {
    trend: bool,
    season: bool,
}

impl Kind {
    /// Unbounded numbers to parameters in the region where forecasts do not explode.
    fn speeds(self, x: &[f64]) -> Speeds {
        let alpha = within(1e-3, 0.999, x[0]);
        let (beta, phi) = match self.trend {
            true => (alpha * within(1e-3, 0.999, x[1]), within(0.8, 0.98, x[2])),
            false => (0.0, 1.0),
        };
        let gamma = match self.season {
            true => (1.0 - alpha) * within(1e-4, 0.999, x[x.len() - 1]),
            false => 0.0,
        };
        Speeds { alpha, beta, gamma, phi }
    }

    fn start(self) -> Vec<f64> {
        let mut start = vec![-1.4];
        start.extend(if self.trend { &[-2.0, 1.0][..] } else { &[] });
        start.extend(self.season.then_some(-3.0));
        start
    }

    /// Numbers that are estimated, first states and the variance included.
    fn parameters(self, period: usize) -> usize {
        3 + if self.trend { 3 } else { 0 } + if self.season { period } else { 0 }
    }
}

/// States after the last value.
#[derive(Debug, Clone)]
struct Fit {
    speeds: Speeds,
    level: f64,
    trend: f64,
    /// Of the days ahead, the next first; empty without a pattern.
    season: Vec<f64>,
    squares: f64,
    count: usize,
}

impl Fit {
    /// Runs the recursion over all values from what the first weeks show.
    fn run(values: &[f64], kind: Kind, period: usize, speeds: Speeds) -> Self {
        let weeks = (values.len() / period).clamp(1, FIRST_WEEKS);
        let first = &values[..(weeks * period).min(values.len())];
        let level = mean(&first[..period.min(first.len())]);
        let whole = mean(first);
        let season = kind.season.then(|| {
            let of_day = |day: usize| {
                let days: Vec<f64> = first.iter().skip(day).step_by(period).copied().collect();
                mean(&days) - whole
            };
            (0..period).map(of_day).collect::<Vec<f64>>()
        });
        let mut fit = Self {
            speeds,
            level,
            trend: 0.0,
            season: season.unwrap_or_default(),
            squares: 0.0,
            count: values.len(),
        };
        let Speeds { alpha, beta, gamma, phi } = speeds;
        for (at, value) in values.iter().enumerate() {
            let day = at % period;
            let pattern = fit.season.get(day).copied().unwrap_or(0.0);
            let error = value - (fit.level + phi * fit.trend + pattern);
            fit.squares += error * error;
            fit.level += phi * fit.trend + alpha * error;
            fit.trend = phi * fit.trend + beta * error;
            if let Some(pattern) = fit.season.get_mut(day) {
                *pattern += gamma * error;
            }
        }
        if !fit.season.is_empty() {
            fit.season.rotate_left(values.len() % period);
        }
        fit
    }

    fn ahead(&self, steps: usize) -> f64 {
        let pattern = match self.season.len() {
            0 => 0.0,
            period => self.season[(steps - 1) % period],
        };
        self.level + self.damped(steps) * self.trend + pattern
    }

    /// `φ + φ² + … + φ^steps`
    fn damped(&self, steps: usize) -> f64 {
        let phi = self.speeds.phi;
        (1.0 - phi.powi(steps as i32)) * phi / (1.0 - phi).max(f64::EPSILON)
    }

    /// What an error does to the forecast so many steps on.
    fn response(&self, steps: usize) -> f64 {
        let Speeds { alpha, beta, gamma, phi } = self.speeds;
        let period = self.season.len();
        let again = period > 0 && steps.is_multiple_of(period);
        let trend = if beta > 0.0 { beta * self.damped(steps) / phi } else { 0.0 };
        alpha + trend + if again { gamma } else { 0.0 }
    }

    fn sigma(&self) -> f64 {
        (self.squares / self.count.max(1) as f64).sqrt()
    }
}

/// The kind of lowest AICc, fitted.
fn best(values: &[f64], period: usize) -> Fit {
    let count = values.len() as f64;
    let scale = values.iter().map(|v| v * v).sum::<f64>().max(f64::MIN_POSITIVE);
    let mut best: Option<(f64, Fit)> = None;
    for (trend, season) in [(false, false), (true, false), (false, true), (true, true)] {
        let kind = Kind { trend, season };
        let parameters = kind.parameters(period) as f64;
        let needed = if season { 3.0 * period as f64 } else { 0.0 };
        let is_plain = !trend && !season;
        if !is_plain && (season && period < 2 || count < needed || count <= parameters + 2.0) {
            continue;
        }
        let squares = |x: &[f64]| Fit::run(values, kind, period, kind.speeds(x)).squares;
        let found = minimise(&kind.start(), 0.7, EVALUATIONS, squares);
        let fit = Fit::run(values, kind, period, kind.speeds(&found));
        // A perfect fit has a logarithm too: relative to the values themselves.
        let likelihood = count * (fit.squares / scale).max(1e-20).ln();
        let correction =
            2.0 * parameters * (parameters + 1.0) / (count - parameters - 1.0).max(1.0);
        let aicc = likelihood + 2.0 * parameters + correction;
        if best.as_ref().is_none_or(|(lowest, _)| aicc < *lowest) {
            best = Some((aicc, fit));
        }
    }
    match best {
        Some((_, fit)) => fit,
        None => {
            let kind = Kind { trend: false, season: false };
            Fit::run(values, kind, period, kind.speeds(&kind.start()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::Cadence;

    fn point(values: &[f64], horizon: usize) -> Vec<f64> {
        let history = History::new(Cadence::Daily, 0, values);
        let found = Ets.forecast(&history, horizon, 1).unwrap();
        found.days.iter().map(|day| day.p50).collect()
    }

    #[test]
    fn a_constant_stays() {
        assert!(point(&[5.0; 40], 30).iter().all(|day| (day - 5.0).abs() < 1e-9));
    }

    #[test]
    fn a_weekly_pattern_is_continued_exactly() {
        let values: Vec<f64> = (0..59).map(|day| 10.0 + f64::from(day % 7)).collect();
        for (at, day) in point(&values, 14).iter().enumerate() {
            assert!((day - (10.0 + ((59 + at) % 7) as f64)).abs() < 1e-6, "{at}: {day}");
        }
    }

    #[test]
    fn a_trend_is_followed_and_damped() {
        let values: Vec<f64> = (0..100).map(f64::from).collect();
        let found = point(&values, 30);
        assert!((found[0] - 100.0).abs() < 1.0, "{}", found[0]);
        assert!(found[29] > 110.0 && found[29] < 130.0, "{}", found[29]);
    }

    #[test]
    fn a_level_shift_is_taken_up() {
        let values: Vec<f64> = (0..90).map(|day| if day < 60 { 10.0 } else { 20.0 }).collect();
        assert!(point(&values, 30).iter().all(|day| (day - 20.0).abs() < 0.5));
    }
}
