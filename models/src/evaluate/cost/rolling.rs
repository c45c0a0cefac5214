//! Rolling origins: from each, a forecast of the days after it, and what it was worth.

use std::collections::BTreeSet;

use super::row::{CostRow, rounded};
use crate::forecast::backtest::earlier;
use crate::forecast::{Cadence, Forecast, Quantiles};

/// Days known before the first origin; a shorter series begins earlier.
const FIRST_DAYS: usize = 84;
const FIRST_DAYS_SHORT: usize = 56;
/// Months known before the first origin.
const FIRST_MONTHS: usize = 8;
/// Days from one origin to the next.
const STEP_DAYS: usize = 7;
/// With so many origins a month ahead a series is long enough to begin later.
const ORIGINS_WANTED: usize = 6;

/// The horizons of a cadence, in its own steps.
pub(super) const HORIZONS: [usize; 3] = [1, 2, 3];

/// Days of a horizon of so many months.
pub(super) const MONTH_DAYS: usize = 30;

/// Where a series is forecast from, for one horizon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Schedule {
    /// Values to be forecast.
    pub(super) horizon: usize,
    /// Lengths of the history at each origin, ascending; all values of the horizon lie behind it.
    pub(super) origins: Vec<usize>,
}

impl Schedule {
    /// Origins of a series of so many values, `months` ahead.
    pub(super) fn of(cadence: Cadence, length: usize, months: usize) -> Self {
        let (horizon, first, step) = match cadence {
            Cadence::Monthly => (months, FIRST_MONTHS, 1),
            Cadence::Daily => {
                let roomy = FIRST_DAYS + MONTH_DAYS + (ORIGINS_WANTED - 1) * STEP_DAYS;
                let first = if length >= roomy { FIRST_DAYS } else { FIRST_DAYS_SHORT };
                (months * MONTH_DAYS, first, STEP_DAYS)
            }
        };
        let origins = (first..=length.saturating_sub(horizon)).step_by(step).collect();
        Self { horizon, origins }
    }
}

/// All origins of some schedules, and those that each of them looks back at.
pub(super) fn asked(cadence: Cadence, schedules: &[Schedule]) -> Vec<usize> {
    let mut asked = BTreeSet::new();
    for &origin in schedules.iter().flat_map(|schedule| &schedule.origins) {
        asked.extend(earlier(cadence, origin));
        asked.insert(origin);
    }
    asked.into_iter().collect()
}

/// What forecasts from several origins were worth.
#[derive(Debug, Default)]
pub(super) struct Figures {
    origins: usize,
    total_off: f64,
    total_signed: f64,
    total_actual: f64,
    daily_off: f64,
    daily_actual: f64,
    scaled: Vec<f64>,
    days: usize,
    covered: usize,
}

impl Figures {
    /// Adds one origin. Days that are not known afterwards are left out of both sides; an origin
    /// after which none is known does not count.
    pub(super) fn add(
        &mut self,
        values: &[f64],
        origin: usize,
        (horizon, period): (usize, usize),
        forecast: &Forecast,
    ) {
        let days: Vec<(f64, Quantiles)> = values[origin..origin + horizon]
            .iter()
            .copied()
            .zip(forecast.days.iter().copied())
            .filter(|(actual, _)| actual.is_finite())
            .collect();
        if days.is_empty() {
            return;
        }
        self.origins += 1;
        let actual: f64 = days.iter().map(|(actual, _)| actual).sum();
        // Where every day is known the forecast of the total is itself what is judged.
        let said = match days.len() == horizon {
            true => forecast.total(horizon).p50,
            false => days.iter().map(|(_, day)| day.p50).sum(),
        };
        self.total_off += (said - actual).abs();
        self.total_signed += said - actual;
        self.total_actual += actual.abs();
        let off: f64 = days.iter().map(|(actual, day)| (day.p50 - actual).abs()).sum();
        self.daily_off += off;
        self.daily_actual += days.iter().map(|(actual, _)| actual.abs()).sum::<f64>();
        self.days += days.len();
        let inside = |(actual, day): &&(f64, Quantiles)| {
            // A forecast that is right to the last bits covers, though it has no width.
            let slack = 1e-9 * actual.abs();
            (day.p10 - slack..=day.p90 + slack).contains(actual)
        };
        self.covered += days.iter().filter(inside).count();
        let steps: Vec<f64> = values[..origin]
            .windows(period + 1)
            .map(|w| (w[period] - w[0]).abs())
            .filter(|step| step.is_finite())
            .collect();
        let scale = steps.iter().sum::<f64>() / steps.len().max(1) as f64;
        if scale > 0.0 {
            self.scaled.push(off / days.len() as f64 / scale);
        }
    }

    /// The row; `None` where no origin counted, or nothing but zeros came.
    pub(super) fn row(
        &self,
        (set, series, model): (&str, &str, &str),
        horizon_days: usize,
    ) -> Option<CostRow> {
        if self.origins == 0 || self.total_actual <= 0.0 {
            return None;
        }
        let mase = self.scaled.iter().sum::<f64>() / self.scaled.len() as f64;
        Some(CostRow {
            set: set.to_owned(),
            series: series.to_owned(),
            model: model.to_owned(),
            horizon_days,
            origins: self.origins,
            wape_total: rounded(self.total_off / self.total_actual),
            wape_daily: rounded(self.daily_off / self.daily_actual),
            mase: (!self.scaled.is_empty()).then(|| rounded(mase)),
            coverage_80: rounded(self.covered as f64 / self.days as f64),
            bias: rounded(self.total_signed / self.total_actual),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_leave_the_whole_horizon_behind_them() {
        let wide = Schedule::of(Cadence::Daily, 441, 1);
        assert_eq!((wide.origins[0], wide.origins.len()), (84, 47));
        assert!(wide.origins.iter().all(|origin| origin + 30 <= 441));
        assert_eq!(Schedule::of(Cadence::Daily, 215, 3).origins.len(), 6);
        assert_eq!(Schedule::of(Cadence::Daily, 80, 1).origins, [0; 0]);
        assert_eq!(Schedule::of(Cadence::Monthly, 12, 3).origins, [8, 9]);
    }

    #[test]
    fn figures_are_what_their_definitions_say() {
        let mut values = vec![10.0; 10];
        values[2] = 12.0;
        values.extend([10.0, 20.0, f64::NAN]);
        let mut figures = Figures::default();
        let said = Forecast::normal(&[11.0, 11.0, 11.0], &[1.0; 3], &[1.0; 3]);
        figures.add(&values, 10, (3, 1), &said);
        let row = figures.row(("s", "a", "m"), 30).unwrap();
        assert_eq!(row.wape_total, rounded(8.0 / 30.0));
        assert_eq!(row.wape_daily, rounded(10.0 / 30.0));
        assert_eq!((row.coverage_80, row.bias), (0.5, rounded(-8.0 / 30.0)));
        // One-step differences: 2 + 2 over 9.
        assert_eq!(row.mase, Some(rounded(5.0 / (4.0 / 9.0))));
        assert_eq!(Figures::default().row(("s", "a", "m"), 30), None);
    }
}
