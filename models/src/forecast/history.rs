//! What is known of a series at the origin.

pub use cloudops_datasets::regular::Cadence;

use crate::{Error, Result};

/// The values of a series up to an origin, and no others.
///
/// ```
/// use cloudops_models::forecast::{Cadence, History};
///
/// // Four days from Thursday 1970-01-01 on, the third unknown.
/// let history = History::new(Cadence::Daily, 0, &[3.0, 4.0, f64::NAN, 4.0]);
/// assert_eq!(history.filled().unwrap(), [3.0, 4.0, 4.0, 4.0]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct History<'a> {
    cadence: Cadence,
    first: i32,
    values: &'a [f64],
}

impl<'a> History<'a> {
    /// A history of one value a day or month, absent ones `NaN`. `first` is the first value's day,
    /// in days since 1970-01-01, or its month, in months since 1970-01.
    #[must_use]
    pub fn new(cadence: Cadence, first: i32, values: &'a [f64]) -> Self {
        // Leading days without a value say nothing; an account begins with its first cost.
        let skipped = values.iter().take_while(|value| !value.is_finite()).count();
        Self { cadence, first: first + skipped as i32, values: &values[skipped..] }
    }

    /// The part that was known when only so many values were.
    #[must_use]
    pub fn until(&self, length: usize) -> Self {
        Self { values: &self.values[..length.min(self.values.len())], ..*self }
    }

    /// What a value covers.
    #[must_use]
    pub fn cadence(&self) -> Cadence {
        self.cadence
    }

    /// The first value's day or month, counted as in [`History::new`].
    #[must_use]
    pub fn first(&self) -> i32 {
        self.first
    }

    /// The values; absent ones are `NaN`.
    #[must_use]
    pub fn values(&self) -> &'a [f64] {
        self.values
    }

    /// Values after which the pattern of a week repeats; a month has no such pattern.
    #[must_use]
    pub fn period(&self) -> usize {
        match self.cadence {
            Cadence::Daily => 7,
            Cadence::Monthly => 1,
        }
    }

    /// The values with gaps filled from within the history: by the mean of the nearest days known
    /// before and after that have the same place in the week, where there are such, else by the
    /// nearest day before.
    ///
    /// # Errors
    /// [`Error::Data`] when no value is known.
    pub fn filled(&self) -> Result<Vec<f64>> {
        let (values, period) = (self.values, self.period());
        if !values.iter().any(|value| value.is_finite()) {
            return Err(Error::Data("a history without a value cannot be continued".to_owned()));
        }
        let finite = |at: &usize| values[*at].is_finite();
        let fill = |at: usize| {
            let before = (0..at).rev().filter(|b| (at - b).is_multiple_of(period)).find(finite);
            let after = (at + period..values.len()).step_by(period).find(finite);
            match (before, after) {
                (Some(before), Some(after)) => f64::midpoint(values[before], values[after]),
                (Some(before), None) => values[before],
                // The first value is known, so there is always one before.
                _ => values[..at].iter().rev().copied().find(|v| v.is_finite()).unwrap_or(0.0),
            }
        };
        let filled = (0..values.len()).map(|at| if finite(&at) { values[at] } else { fill(at) });
        Ok(filled.collect())
    }

    /// How many days the value at a place covers: 1, or the length of its month. Places past the
    /// end are those of the forecast.
    #[must_use]
    pub fn days(&self, at: usize) -> f64 {
        match self.cadence {
            Cadence::Daily => 1.0,
            Cadence::Monthly => f64::from(days_of_month(self.first + at as i32)),
        }
    }

    /// [`History::filled`], each value divided by the days that it covers: bills of months differ
    /// by their lengths alone.
    ///
    /// # Errors
    /// As [`History::filled`].
    pub fn rates(&self) -> Result<Vec<f64>> {
        let filled = self.filled()?;
        Ok(filled.iter().enumerate().map(|(at, value)| value / self.days(at)).collect())
    }

    /// The rates to come as values: each times the days that it covers.
    #[must_use]
    pub fn values_of(&self, rates: Vec<f64>) -> Vec<f64> {
        let from = self.values.len();
        rates.iter().enumerate().map(|(at, rate)| rate * self.days(from + at)).collect()
    }

    /// Whether a value may be negative, as credits and temperatures may: one of the past ones is.
    #[must_use]
    pub fn may_be_negative(&self) -> bool {
        self.values.iter().any(|value| *value < 0.0)
    }
}

/// The length of a month in days, counted from 1970-01 as 0.
fn days_of_month(month: i32) -> i32 {
    let (year, month) = (1970 + month.div_euclid(12), month.rem_euclid(12));
    match month {
        1 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_filled_by_the_same_day_of_the_week() {
        let mut values: Vec<f64> = (0..21).map(|day| f64::from(day % 7)).collect();
        values[9] = f64::NAN;
        values[20] = f64::NAN;
        let filled = History::new(Cadence::Daily, 0, &values).filled().unwrap();
        assert_eq!((filled[9], filled[20]), (2.0, 6.0));
        assert!(History::new(Cadence::Daily, 0, &[f64::NAN]).filled().is_err());
    }

    #[test]
    fn a_history_begins_with_its_first_value() {
        let history = History::new(Cadence::Daily, 10, &[f64::NAN, 1.0]);
        assert_eq!((history.first(), history.values().len()), (11, 1));
    }

    #[test]
    fn months_have_their_lengths() {
        let lengths: Vec<i32> = (0..12).map(days_of_month).collect();
        assert_eq!(lengths, [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]);
        assert_eq!([13, 25, 361, 1_561].map(days_of_month), [28, 29, 29, 28]);
        let months = History::new(Cadence::Monthly, 0, &[31.0, 28.0]);
        assert_eq!(months.rates().unwrap(), [1.0, 1.0]);
        assert_eq!(months.values_of(vec![1.0, 1.0]), [31.0, 30.0]);
    }
}
