//! The model to trust for a series, chosen by what it would have said before.

use super::backtest::{Panel, earlier};
use super::conformal::calibrate;
use super::{Forecast, Forecaster, History};
use crate::{Error, Result};

/// The combination's name among the candidates.
pub const ENSEMBLE: &str = "ensemble";
/// The chosen one's name in tables.
pub const CHAMPION: &str = "champion";

/// By how much a single model must be better than the combination to be preferred: of a dozen
/// origins the best of several models is the best by chance more often than not.
pub const MARGIN: f64 = 0.20;
/// Origins that a single model must have been judged at to be preferred.
pub const ORIGINS_MIN: usize = 8;

/// What was chosen at an origin, and by which errors.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The length of the history.
    pub origin: usize,
    /// The candidate chosen.
    pub champion: &'static str,
    /// Every candidate's relative error over earlier origins; `None` where nothing was to be judged.
    pub errors: Vec<(&'static str, Option<f64>)>,
}

/// Chooses at an origin; nothing later is looked at.
#[must_use]
pub fn choose(panel: &Panel<'_>, origin: usize) -> Choice {
    let combined = panel.combined_error(origin);
    let judged = panel.past_combined(origin).len();
    let mut errors: Vec<(&'static str, Option<f64>)> =
        panel.names().iter().copied().zip(panel.errors(origin)).collect();
    let best = errors
        .iter()
        .filter_map(|(name, error)| Some((*name, (*error)?)))
        .min_by(|a, b| a.1.total_cmp(&b.1));
    let champion = match (best, combined) {
        (Some((name, error)), Some(combined))
            if judged >= ORIGINS_MIN && error < (1.0 - MARGIN) * combined =>
        {
            name
        }
        _ => ENSEMBLE,
    };
    errors.push((ENSEMBLE, combined));
    Choice { origin, champion, errors }
}

/// A candidate's calibrated forecast at an origin; `None` where the panel was not asked, or knows no
/// such candidate.
#[must_use]
pub fn calibrated(panel: &Panel<'_>, candidate: &str, origin: usize) -> Option<Forecast> {
    let known = panel.known(origin);
    if candidate == ENSEMBLE {
        return Some(calibrate(panel.combined(origin)?, &panel.past_combined(origin), known));
    }
    let member = panel.names().iter().position(|name| *name == candidate)?;
    Some(calibrate(panel.said(member, origin)?, &panel.past(member, origin), known))
}

/// The candidate that did best at earlier origins of the same history, calibrated by them.
#[allow(missing_debug_implementations, reason = "the members are trait objects")]
pub struct Champion {
    members: Vec<Box<dyn Forecaster>>,
}

impl Champion {
    /// The best of these and of their combination.
    #[must_use]
    pub fn new(members: Vec<Box<dyn Forecaster>>) -> Self {
        Self { members }
    }

    /// The forecast, and why it is this one.
    ///
    /// # Errors
    /// The members' own; [`Error::Configuration`] when there are none.
    pub fn decide(
        &mut self,
        history: &History<'_>,
        horizon: usize,
        seed: u64,
    ) -> Result<(Forecast, Choice)> {
        let origin = history.values().len();
        let mut origins = earlier(history.cadence(), origin);
        origins.push(origin);
        let panel = Panel::new(*history, &mut self.members, &origins, horizon, seed)?;
        let choice = choose(&panel, origin);
        let forecast = calibrated(&panel, choice.champion, origin).ok_or_else(|| {
            Error::Configuration("a champion needs candidates to be chosen from".to_owned())
        })?;
        Ok((forecast, choice))
    }
}

impl Forecaster for Champion {
    fn name(&self) -> &'static str {
        CHAMPION
    }

    fn forecast(&mut self, history: &History<'_>, horizon: usize, seed: u64) -> Result<Forecast> {
        self.decide(history, horizon, seed).map(|(forecast, _)| forecast)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::Cadence;
    use crate::forecast::robust::Robust;
    use crate::forecast::seasonal_naive::SeasonalNaive;

    #[test]
    fn the_better_model_is_chosen_and_its_errors_are_told() {
        // A sawtooth of three days: nothing but the level can be known of it at a week's period.
        let values: Vec<f64> = (0..160).map(|day| 50.0 + f64::from(day * 31 % 13)).collect();
        let history = History::new(Cadence::Daily, 0, &values);
        let mut champion = Champion::new(vec![Box::new(SeasonalNaive), Box::new(Robust)]);
        let (forecast, choice) = champion.decide(&history, 30, 1).unwrap();
        assert_eq!(choice.origin, 160);
        assert_ne!(choice.champion, "seasonal-naive", "{choice:?}");
        let names: Vec<&str> = choice.errors.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["seasonal-naive", "robust", ENSEMBLE]);
        let month = forecast.total(30);
        assert!(month.p10 <= 1680.0 && 1680.0 <= month.p90, "{month:?}");
    }
}
