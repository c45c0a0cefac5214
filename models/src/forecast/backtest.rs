//! What models would have said at earlier origins of a history, and how far off that was.
//!
//! Everything that is decided at an origin (weights, the champion, the width of quantiles) is
//! decided by forecasts made at earlier origins, compared with the values known at it. So one
//! [`Panel`] of forecasts serves many origins without any of them seeing what came later.

use std::collections::BTreeMap;

use super::quantiles::mean;
use super::{Cadence, Forecast, Forecaster, History, combine};
use crate::Result;

/// Days between the origins looked back at; a month, of monthly series.
pub const STEP_DAYS: usize = 14;
/// Origins looked back at, at most: seven months of days.
pub const ORIGINS_MAX: usize = 16;
/// The shortest history that is looked back at, days.
pub const HISTORY_DAYS: usize = 28;
/// The shortest history that is looked back at, months.
pub const HISTORY_MONTHS: usize = 3;
/// The totals by which models are compared, days.
const TOTALS_DAYS: [usize; 4] = [7, 14, 30, 60];
/// The totals by which models are compared, months.
const TOTALS_MONTHS: [usize; 3] = [1, 2, 3];

/// Values between the origins looked back at.
#[must_use]
pub fn step(cadence: Cadence) -> usize {
    match cadence {
        Cadence::Daily => STEP_DAYS,
        Cadence::Monthly => 1,
    }
}

/// The lengths of history at which an origin looks back, the earliest first.
#[must_use]
pub fn earlier(cadence: Cadence, origin: usize) -> Vec<usize> {
    let least = match cadence {
        Cadence::Daily => HISTORY_DAYS,
        Cadence::Monthly => HISTORY_MONTHS,
    };
    let back = (1..=ORIGINS_MAX).map_while(|at| origin.checked_sub(at * step(cadence)));
    let mut origins: Vec<usize> = back.take_while(|origin| *origin >= least).collect();
    origins.reverse();
    origins
}

/// A forecast and the length of the history that it was made from.
pub type Past<'a> = (usize, &'a Forecast);

/// How far off the totals of past forecasts were, relative to the series' own size; `None` where
/// nothing of what they said has come yet. `values` are those known now.
#[must_use]
pub fn error(cadence: Cadence, past: &[Past<'_>], values: &[f64]) -> Option<f64> {
    let totals: &[usize] = match cadence {
        Cadence::Daily => &TOTALS_DAYS,
        Cadence::Monthly => &TOTALS_MONTHS,
    };
    let recent = &values[values.len().saturating_sub(90)..];
    let sizes: Vec<f64> = recent.iter().filter(|v| v.is_finite()).map(|v| v.abs()).collect();
    let size = mean(&sizes).max(f64::MIN_POSITIVE);
    let mut errors = Vec::new();
    for (origin, forecast) in past {
        for &days in totals.iter().filter(|days| origin + **days <= values.len()) {
            let days = &values[*origin..origin + days];
            let known = days.iter().zip(&forecast.days).filter(|(actual, _)| actual.is_finite());
            let (mut off, mut count) = (0.0, 0.0);
            for (actual, said) in known {
                off += said.p50 - actual;
                count += 1.0;
            }
            if count > 0.0 {
                errors.push(f64::abs(off) / count / size);
            }
        }
    }
    (!errors.is_empty()).then(|| mean(&errors))
}

/// What every member said at every origin, and what their combination says.
#[derive(Debug, Clone)]
pub struct Panel<'a> {
    history: History<'a>,
    names: Vec<&'static str>,
    /// By the length of history: one a member.
    said: BTreeMap<usize, Vec<Forecast>>,
    /// By the length of history.
    combined: BTreeMap<usize, Forecast>,
}

impl<'a> Panel<'a> {
    /// Asks every member at every origin, each given as a length of the history.
    ///
    /// # Errors
    /// The members' own.
    pub fn new(
        history: History<'a>,
        members: &mut [Box<dyn Forecaster>],
        origins: &[usize],
        horizon: usize,
        seed: u64,
    ) -> Result<Self> {
        let mut panel = Self {
            history,
            names: members.iter().map(|member| member.name()).collect(),
            said: BTreeMap::new(),
            combined: BTreeMap::new(),
        };
        for &origin in origins {
            let known = history.until(origin);
            let said = members.iter_mut().map(|member| member.forecast(&known, horizon, seed));
            panel.said.insert(origin, said.collect::<Result<_>>()?);
        }
        for &origin in panel.said.keys() {
            let forecasts: Vec<&Forecast> = panel.said[&origin].iter().collect();
            let shares = combine::shares(history.cadence(), &panel.names, &panel.errors(origin));
            panel.combined.insert(origin, combine::weighted(&forecasts, &shares));
        }
        Ok(panel)
    }

    /// The members' names, in the order of their forecasts.
    #[must_use]
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// What a member said at an origin, uncalibrated; `None` where the panel was not asked.
    #[must_use]
    pub fn said(&self, member: usize, origin: usize) -> Option<&Forecast> {
        self.said.get(&origin)?.get(member)
    }

    /// What the members' combination says at an origin, uncalibrated.
    #[must_use]
    pub fn combined(&self, origin: usize) -> Option<&Forecast> {
        self.combined.get(&origin)
    }

    /// A member's forecasts at earlier origins than this one.
    #[must_use]
    pub fn past(&self, member: usize, origin: usize) -> Vec<Past<'_>> {
        let earlier = earlier(self.history.cadence(), origin).into_iter();
        earlier.filter_map(|at| Some((at, self.said(member, at)?))).collect()
    }

    /// The combination's forecasts at earlier origins than this one.
    #[must_use]
    pub fn past_combined(&self, origin: usize) -> Vec<Past<'_>> {
        let earlier = earlier(self.history.cadence(), origin).into_iter();
        earlier.filter_map(|at| Some((at, self.combined(at)?))).collect()
    }

    /// The values known at an origin.
    #[must_use]
    pub fn known(&self, origin: usize) -> &'a [f64] {
        self.history.until(origin).values()
    }

    /// How far off each member was at earlier origins, by what is known at this one.
    #[must_use]
    pub fn errors(&self, origin: usize) -> Vec<Option<f64>> {
        let (cadence, known) = (self.history.cadence(), self.known(origin));
        let of = |member| error(cadence, &self.past(member, origin), known);
        (0..self.names.len()).map(of).collect()
    }

    /// How far off the combination was at earlier origins.
    #[must_use]
    pub fn combined_error(&self, origin: usize) -> Option<f64> {
        error(self.history.cadence(), &self.past_combined(origin), self.known(origin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::seasonal_naive::SeasonalNaive;
    use crate::forecast::theta::Theta;

    fn members() -> Vec<Box<dyn Forecaster>> {
        vec![Box::new(SeasonalNaive), Box::new(Theta)]
    }

    #[test]
    fn origins_look_back_in_equal_steps() {
        assert_eq!(earlier(Cadence::Daily, 70), [28, 42, 56]);
        assert_eq!(earlier(Cadence::Monthly, 5), [3, 4]);
        assert_eq!(earlier(Cadence::Daily, 1_000).len(), ORIGINS_MAX);
    }

    #[test]
    fn errors_are_relative_to_the_series() {
        let values = vec![10.0; 60];
        let said = Forecast::normal(&[12.0; 30], &[0.0; 30], &[0.0; 30]);
        let found = error(Cadence::Daily, &[(28, &said)], &values).unwrap();
        assert!((found - 0.2).abs() < 1e-12);
        assert_eq!(error(Cadence::Daily, &[(58, &said)], &values), None);
    }

    #[test]
    fn nothing_at_an_origin_depends_on_later_values() {
        let mut values: Vec<f64> = (0..120).map(|day| 20.0 + f64::from(day * day % 17)).collect();
        let panel = |values: &[f64]| {
            let history = History::new(Cadence::Daily, 0, values);
            let panel = Panel::new(history, &mut members(), &[28, 42, 56, 70, 84], 30, 1).unwrap();
            (panel.errors(84), panel.combined(84).cloned(), panel.combined_error(84))
        };
        let before = panel(&values);
        values[84..].iter_mut().for_each(|value| *value *= 100.0);
        assert_eq!(panel(&values), before);
    }
}
