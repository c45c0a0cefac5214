//! The last week again, and again; of months, the last month. The baseline of every comparison.

use super::quantiles::mean;
use super::{Forecast, Forecaster, History};
use crate::Result;

/// Repeats the last 7 days, or the last month.
///
/// The spread is that of the differences to the week before, growing with the root of the weeks
/// ahead (Hyndman & Athanasopoulos, *Forecasting: Principles and Practice*, 5.5).
#[derive(Debug, Clone, Copy, Default)]
pub struct SeasonalNaive;

impl Forecaster for SeasonalNaive {
    fn name(&self) -> &'static str {
        "seasonal-naive"
    }

    fn forecast(&mut self, history: &History<'_>, horizon: usize, _seed: u64) -> Result<Forecast> {
        let filled = history.filled()?;
        // A history shorter than a week repeats as a whole.
        let period = history.period().min(filled.len());
        let last = &filled[filled.len() - period..];
        let point: Vec<f64> = (0..horizon).map(|at| last[at % period]).collect();
        let squares: Vec<f64> =
            filled.windows(period + 1).map(|w| (w[period] - w[0]).powi(2)).collect();
        let sigma = mean(&squares).sqrt();
        let weights = vec![1.0; horizon];
        let response = |steps: usize| f64::from(u8::from(steps.is_multiple_of(period)));
        let forecast = Forecast::linear(&point, sigma, &weights, response);
        Ok(if history.may_be_negative() { forecast } else { forecast.not_negative() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::Cadence;

    #[test]
    fn a_week_is_repeated_exactly() {
        let values: Vec<f64> = (0..28).map(|day| f64::from(day % 7)).collect();
        let history = History::new(Cadence::Daily, 0, &values);
        let found = SeasonalNaive.forecast(&history, 9, 1).unwrap();
        let point: Vec<f64> = found.days.iter().map(|day| day.p50).collect();
        assert_eq!(point, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.0, 1.0]);
        assert_eq!(found.days[8].p90, 1.0);
        assert_eq!(found.total(7).p50, 21.0);
    }

    #[test]
    fn short_histories_are_repeated_as_they_are() {
        let history = History::new(Cadence::Daily, 0, &[4.0]);
        let found = SeasonalNaive.forecast(&history, 2, 1).unwrap();
        assert_eq!(found.total(2).p50, 8.0);
    }
}
