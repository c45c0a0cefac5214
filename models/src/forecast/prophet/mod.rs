//! Prophet: a bending line, Fourier series and holidays, fitted at once.
//!
//! Taylor & Letham 2018 (*Forecasting at scale*), as the Python package `prophet` fits it by
//! default: linear trend with 25 possible bends in the first four fifths, Laplace prior on their
//! sizes, Fourier series of week and year with normal priors, a column a holiday, all additive;
//! maximum a posteriori. Bends to come are simulated at the rate and size of the past ones.
//!
//! Deviations: a monthly seasonality (period 30.5 days, order 5, which the package leaves to its
//! users) comes in by itself after [`MONTHLY_DAYS`] days; series of months have no seasonality, as
//! ten orders of a year would run through every point of them. The maximum is found exactly, by
//! active sets, where the package's optimiser stops near it.

use super::history::Cadence;
use super::quantiles::quantile;
use super::{Forecast, Forecaster, History, Quantiles};
use crate::Result;

mod design;
mod lasso;
mod uncertainty;

use design::{Design, Part};
use lasso::Problem;

/// Places at which the trend may bend, and the share of the history in which they lie.
const CHANGEPOINTS: usize = 25;
const CHANGEPOINT_SHARE: f64 = 0.8;
/// Prior scales: of bends (Laplace), of slope and offset, of seasonal and holiday effects, and of
/// the noise (normal), all of values scaled to at most 1.
const BEND_SCALE: f64 = 0.05;
const TREND_SCALE: f64 = 5.0;
const EFFECT_SCALE: f64 = 10.0;
const NOISE_SCALE: f64 = 0.5;
/// The least noise, of values scaled to at most 1: a perfect fit has a likelihood too.
const NOISE_MIN: f64 = 1e-6;
/// Rounds of effects given noise and noise given effects; each is a handful of solutions.
const ROUNDS_MAX: usize = 60;
/// From how many days on the week, the month and the year are looked for.
const WEEKLY_DAYS: i32 = 14;
/// See the module's deviations.
pub const MONTHLY_DAYS: i32 = 365;
const YEARLY_DAYS: i32 = 730;

/// Which seasonalities are fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seasonality {
    /// Where the history is long enough for it.
    Auto,
    /// In any case.
    On,
    /// Never.
    Off,
}

/// Settings of the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Prophet {
    /// Monthly seasonality. Default [`Seasonality::Auto`].
    pub monthly: Seasonality,
    /// Holidays, each a list of its days since 1970-01-01, past and to come. Default none.
    pub holidays: Vec<Vec<i32>>,
    /// Paths drawn for the quantiles. Default 400.
    pub samples: usize,
}

impl Default for Prophet {
    fn default() -> Self {
        Self { monthly: Seasonality::Auto, holidays: vec![], samples: 400 }
    }
}

/// What a fitted model says of a day: a row, in the series' unit. The parts sum to `yhat`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Component {
    /// Days since 1970-01-01.
    pub day: i32,
    /// The bending line.
    pub trend: f64,
    /// Effect of the day of the week.
    pub weekly: f64,
    /// Effect of the day of the month.
    pub monthly: f64,
    /// Effect of the day of the year.
    pub yearly: f64,
    /// Effects of the holidays that fall on the day.
    pub holidays: f64,
    /// All of them.
    pub yhat: f64,
}

/// A fitted model.
#[derive(Debug, Clone)]
pub struct Fitted {
    design: Design,
    /// Slope, offset, bends, effects; of scaled values and times.
    weights: Vec<f64>,
    noise: f64,
    scale: f64,
}

impl Prophet {
    /// Fits the model to the known values of a history.
    ///
    /// # Errors
    /// [`crate::Error::Data`] when the history holds no value.
    pub fn fit(&self, history: &History<'_>) -> Result<Fitted> {
        let rates = history.rates()?;
        let known = |at: &usize| history.values()[*at].is_finite();
        let places: Vec<usize> = (0..rates.len()).filter(known).collect();
        let days: Vec<i32> = places.iter().map(|at| day_of(history, *at)).collect();
        let values: Vec<f64> = places.iter().map(|at| rates[*at]).collect();
        let scale = values.iter().fold(0.0, |max: f64, value| max.max(value.abs()));
        let scale = if scale > 0.0 { scale } else { 1.0 };
        let design = Design::of(self, history.cadence(), &days);
        let target: Vec<f64> = values.iter().map(|value| value / scale).collect();
        let (weights, noise) = maximise(&design, &days, &target);
        Ok(Fitted { design, weights, noise, scale })
    }
}

/// The day a value stands for: itself, or the first of its month.
fn day_of(history: &History<'_>, at: usize) -> i32 {
    match history.cadence() {
        Cadence::Daily => history.first() + at as i32,
        Cadence::Monthly => {
            let month = history.first() + at as i32;
            // Days from civil: months counted from March, so that a leap day ends a year.
            let (year, month) = (1970 + month.div_euclid(12), month.rem_euclid(12));
            let (year, month) = if month < 2 { (year - 1, month + 10) } else { (year, month - 2) };
            let leap = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
            365 * year + leap + (153 * month + 2) / 5 - 719_468
        }
    }
}

/// Weights and noise at the maximum of the posterior.
///
/// Given the noise σ the rest is a quadratic with a sum of absolute values; given the rest, the
/// noise solves σ⁴/s² + n σ² = residual squares for its prior scale s. The two are alternated.
fn maximise(design: &Design, days: &[i32], target: &[f64]) -> (Vec<f64>, f64) {
    let columns = design.columns(days);
    let problem = Problem::new(&columns, target);
    let precisions = design.precisions();
    let penalised = design.bends();
    let count = target.len() as f64;
    let mut weights = vec![0.0; columns.len()];
    let mut noise = 0.1;
    for _ in 0..ROUNDS_MAX {
        let variance: f64 = noise * noise;
        problem.solve(
            &mut weights,
            &precisions,
            variance,
            (penalised.clone(), variance / BEND_SCALE),
        );
        let squares = problem.squares(&columns, &weights);
        let prior = NOISE_SCALE * NOISE_SCALE;
        // 2 squares / (n + √(n² + 4 squares / s²)) is the root without cancellation.
        let root = (count * count + 4.0 * squares / prior).sqrt();
        let found = (2.0 * squares / (count + root)).sqrt().max(NOISE_MIN);
        let is_settled = (found - noise).abs() <= 1e-9 * noise;
        noise = found;
        if is_settled {
            break;
        }
    }
    (weights, noise)
}

impl Fitted {
    /// What the model says of any days, past or to come; rates a day.
    #[must_use]
    pub fn components(&self, days: &[i32]) -> Vec<Component> {
        let columns = self.design.columns(days);
        let sum = |part: Part, at: usize| {
            let of_part = self.design.range(part);
            of_part.map(|column| columns[column][at] * self.weights[column]).sum::<f64>()
                * self.scale
        };
        let row = |(at, &day): (usize, &i32)| {
            let mut row = Component {
                day,
                trend: sum(Part::Trend, at),
                weekly: sum(Part::Weekly, at),
                monthly: sum(Part::Monthly, at),
                yearly: sum(Part::Yearly, at),
                holidays: sum(Part::Holidays, at),
                yhat: 0.0,
            };
            row.yhat = row.trend + row.weekly + row.monthly + row.yearly + row.holidays;
            row
        };
        days.iter().enumerate().map(row).collect()
    }

    /// The sizes of the bends, of scaled values and times.
    #[must_use]
    pub fn bends(&self) -> &[f64] {
        &self.weights[self.design.bends()]
    }
}

impl Forecaster for Prophet {
    fn name(&self) -> &'static str {
        "prophet"
    }

    fn forecast(&mut self, history: &History<'_>, horizon: usize, seed: u64) -> Result<Forecast> {
        let fitted = self.fit(history)?;
        let from = history.values().len();
        let days: Vec<i32> = (from..from + horizon).map(|at| day_of(history, at)).collect();
        let rates: Vec<f64> = fitted.components(&days).iter().map(|row| row.yhat).collect();
        let weights = history.values_of(vec![1.0; horizon]);
        let paths = fitted.deviations(&days, self.samples, seed);
        let around = |middle: f64, mut off: Vec<f64>| {
            off.sort_by(f64::total_cmp);
            let low = quantile(&off, 0.1).min(0.0);
            Quantiles { p10: middle + low, p50: middle, p90: middle + quantile(&off, 0.9).max(0.0) }
        };
        let mut totals = vec![0.0; paths.len()];
        let mut middle = 0.0;
        let mut forecast = Forecast::default();
        for (at, (rate, weight)) in rates.iter().zip(&weights).enumerate() {
            let off: Vec<f64> = paths.iter().map(|path| path[at] * weight).collect();
            totals.iter_mut().zip(&off).for_each(|(total, off)| *total += off);
            middle += rate * weight;
            forecast.days.push(around(rate * weight, off));
            forecast.totals.push(around(middle, totals.clone()));
        }
        Ok(if history.may_be_negative() { forecast } else { forecast.not_negative() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(values: &[f64], horizon: usize) -> Vec<f64> {
        let history = History::new(Cadence::Daily, 18_000, values);
        let found = Prophet::default().forecast(&history, horizon, 1).unwrap();
        found.days.iter().map(|day| day.p50).collect()
    }

    #[test]
    fn a_constant_stays() {
        assert!(point(&[5.0; 60], 30).iter().all(|day| (day - 5.0).abs() < 1e-3));
        assert!(point(&[0.0; 60], 30).iter().all(|day| day.abs() < 1e-9));
        assert!(point(&[5.0; 1], 3).iter().all(|day| (day - 5.0).abs() < 0.1));
    }

    #[test]
    fn a_weekly_pattern_is_continued() {
        let values: Vec<f64> = (0..98).map(|day| 10.0 + f64::from(day % 7)).collect();
        for (at, day) in point(&values, 14).iter().enumerate() {
            assert!((day - (10.0 + (at % 7) as f64)).abs() < 0.01, "{at}: {day}");
        }
    }

    #[test]
    fn a_line_goes_on() {
        let values: Vec<f64> = (0..200).map(f64::from).collect();
        let found = point(&values, 30);
        assert!((found[29] - 229.0).abs() < 0.5, "{}", found[29]);
    }

    #[test]
    fn days_of_months_are_those_of_the_calendar() {
        let history = History::new(Cadence::Monthly, 0, &[1.0]);
        let days = [0, 1, 2, 12, 26, 600].map(|at| day_of(&history, at));
        assert_eq!(days, [0, 31, 59, 365, 790, 18_262]);
    }

    #[test]
    fn equal_seeds_give_equal_quantiles() {
        let values: Vec<f64> = (0..120).map(|day| 50.0 + f64::from(day * 13 % 11)).collect();
        let history = History::new(Cadence::Daily, 18_000, &values);
        let run = |seed| Prophet::default().forecast(&history, 30, seed).unwrap();
        assert_eq!(run(3), run(3));
        assert_ne!(run(3), run(4));
    }
}
