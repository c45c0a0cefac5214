//! The columns that the model is linear in.

use std::f64::consts::TAU;
use std::ops::Range;

use super::{
    CHANGEPOINT_SHARE, CHANGEPOINTS, EFFECT_SCALE, MONTHLY_DAYS, Prophet, Seasonality, TREND_SCALE,
    WEEKLY_DAYS, YEARLY_DAYS,
};
use crate::forecast::Cadence;

/// Period in days and order of the Fourier series of week, month and year.
const WEEKLY: (f64, usize) = (7.0, 3);
const MONTHLY: (f64, usize) = (30.5, 5);
const YEARLY: (f64, usize) = (365.25, 10);

/// What a column belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Slope, offset and bends.
    Trend,
    /// Day of the week.
    Weekly,
    /// Day of the month.
    Monthly,
    /// Day of the year.
    Yearly,
    /// One column a holiday.
    Holidays,
}

/// Which columns there are, and how days become times.
#[derive(Debug, Clone)]
pub(super) struct Design {
    first: i32,
    /// Days from the first to the last value.
    span: f64,
    /// Times of possible bends, in `(0, 1)`, ascending.
    changepoints: Vec<f64>,
    /// Fourier series, in the order of their columns.
    seasons: Vec<(Part, f64, usize)>,
    holidays: Vec<Vec<i32>>,
}

impl Design {
    /// For values known at these days, ascending.
    pub(super) fn of(settings: &Prophet, cadence: Cadence, days: &[i32]) -> Self {
        let first = days.first().copied().unwrap_or(0);
        let length = days.last().map_or(0, |last| last - first);
        let span = f64::from(length.max(1));
        let time = |day: i32| f64::from(day - first) / span;
        let mut seasons = Vec::new();
        if cadence == Cadence::Daily {
            let monthly = match settings.monthly {
                Seasonality::Auto => length >= MONTHLY_DAYS,
                Seasonality::On => true,
                Seasonality::Off => false,
            };
            let candidates = [
                (length >= YEARLY_DAYS, Part::Yearly, YEARLY),
                (length >= WEEKLY_DAYS, Part::Weekly, WEEKLY),
                (monthly, Part::Monthly, MONTHLY),
            ];
            let wanted = candidates.into_iter().filter(|(wanted, _, _)| *wanted);
            seasons = wanted.map(|(_, part, (period, order))| (part, period, order)).collect();
        }
        let holidays = settings.holidays.clone();
        Self { first, span, changepoints: changepoints(days, time), seasons, holidays }
    }

    /// Time 0 is the first value's, 1 the last one's.
    pub(super) fn time(&self, day: i32) -> f64 {
        f64::from(day - self.first) / self.span
    }

    /// Every column at these days: slope, offset, bends, Fourier terms, holidays.
    pub(super) fn columns(&self, days: &[i32]) -> Vec<Vec<f64>> {
        let times: Vec<f64> = days.iter().map(|day| self.time(*day)).collect();
        let mut columns = vec![times.clone(), vec![1.0; days.len()]];
        for bend in &self.changepoints {
            columns.push(times.iter().map(|time| (time - bend).max(0.0)).collect());
        }
        for (_, period, order) in &self.seasons {
            for order in 1..=*order {
                let angle = |day: &i32| TAU * f64::from(*day) * order as f64 / period;
                columns.push(days.iter().map(|day| angle(day).sin()).collect());
                columns.push(days.iter().map(|day| angle(day).cos()).collect());
            }
        }
        for holiday in &self.holidays {
            let is_one = |day: &i32| f64::from(u8::from(holiday.contains(day)));
            columns.push(days.iter().map(is_one).collect());
        }
        columns
    }

    /// One over the variance of every column's normal prior; 0 for bends, whose prior is another.
    pub(super) fn precisions(&self) -> Vec<f64> {
        let mut precisions = vec![TREND_SCALE.powi(-2); 2];
        precisions.resize(2 + self.changepoints.len(), 0.0);
        precisions.resize(self.range(Part::Holidays).end, EFFECT_SCALE.powi(-2));
        precisions
    }

    /// The bends' columns.
    pub(super) fn bends(&self) -> Range<usize> {
        2..2 + self.changepoints.len()
    }

    /// A part's columns.
    pub(super) fn range(&self, part: Part) -> Range<usize> {
        let mut from = self.bends().end;
        if part == Part::Trend {
            return 0..from;
        }
        for (season, _, order) in &self.seasons {
            if *season == part {
                return from..from + 2 * order;
            }
            from += 2 * order;
        }
        match part {
            Part::Holidays => from..from + self.holidays.len(),
            _ => from..from,
        }
    }

    /// How many possible bends there are.
    pub(super) fn changepoints(&self) -> usize {
        self.changepoints.len()
    }
}

/// Evenly among the first values, the very first left out.
fn changepoints(days: &[i32], time: impl Fn(i32) -> f64) -> Vec<f64> {
    let among = (days.len() as f64 * CHANGEPOINT_SHARE).floor() as usize;
    let count = CHANGEPOINTS.min(among.saturating_sub(1));
    let place = |at: usize| ((among - 1) as f64 * at as f64 / count as f64).round_ties_even();
    (1..=count).map(|at| time(days[place(at) as usize])).collect()
}
