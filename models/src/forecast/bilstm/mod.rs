//! A bidirectional LSTM that reads the last sixteen weeks and says all days ahead at once.
//!
//! The encoder reads the weeks of the history from both ends (Hochreiter & Schmidhuber 1997; Schuster
//! & Paliwal 1997); nothing after the origin exists for it. Day by day it gives three quantiles,
//! directly and not by feeding forecasts back (Wen et al. 2017, *A multi-horizon quantile recurrent
//! forecaster*), and the same of the mean of the first weeks, which gives the totals. It is learned
//! once, by the pinball loss, from simulated bills (`synthetic`), as a prior that needs no history of
//! the account at hand (Dooley et al. 2023, *ForecastPFN*): no real series is learned from, so there
//! is nothing that it could have seen of a series it forecasts.
//!
//! A week is a step: the days of a week lie side by side, the last week ending with the origin, so
//! that a day ahead always has the same place in the week as its column in the steps.

use ort::session::Session;
use ort::value::TensorRef;

use super::{Forecast, Forecaster, History, Quantiles};
use crate::{Error, Result, scorer};

#[cfg(feature = "train")]
mod export;
#[cfg(feature = "train")]
mod fit;
#[cfg(feature = "train")]
mod network;
#[cfg(feature = "train")]
mod synthetic;

#[cfg(feature = "train")]
pub use fit::{LearnedBiLstm, Training, train};

/// Weeks read.
pub const WEEKS: usize = 16;
/// Days of a week, side by side in a step.
pub const WEEK: usize = 7;
/// Days read.
pub const DAYS_READ: usize = WEEKS * WEEK;
/// Days said.
pub const DAYS_AHEAD: usize = 90;
/// Means said: of the first week, the first two weeks, and so on.
pub const MEANS_AHEAD: usize = 13;
/// Values of each quantile: the days', then the means'.
pub const WIDTH: usize = DAYS_AHEAD + MEANS_AHEAD;
/// Days after which a value weighs a third of the newest in the scale.
#[cfg(feature = "train")]
const SCALE_DAYS: f32 = 28.0;
/// Scaled values are clamped to this (±).
#[cfg(feature = "train")]
const INPUT_LIMIT: f32 = 8.0;
/// Added to the scale, so that a history of zeros has one.
#[cfg(feature = "train")]
const SCALE_MIN: f32 = 1e-9;

/// Names of the graph's inputs, `[batch, DAYS_READ]` each: values, 0 where unknown, and whether known.
const VALUES: &str = "values";
const KNOWN: &str = "known";
/// Names of its outputs, `[batch, WIDTH]` each, in the values' unit.
const OUTPUTS: [&str; 3] = ["p10", "p50", "p90"];

/// How much each day weighs in the scale, the oldest first.
#[cfg(feature = "train")]
fn scale_weights() -> Vec<f32> {
    (0..DAYS_READ).map(|at| (-((DAYS_READ - 1 - at) as f32) / SCALE_DAYS).exp()).collect()
}

/// The learned numbers, row-major; `x · weight` everywhere.
#[cfg(feature = "train")]
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Weights {
    /// Units in each direction.
    hidden: usize,
    /// Units between encoder and quantiles.
    wide: usize,
    /// Reading forwards, and backwards.
    directions: [Direction; 2],
    /// `[2 · hidden, wide]`
    from_encoded: Vec<f32>,
    /// `[DAYS_READ, wide]`
    from_days: Vec<f32>,
    /// `[wide]`
    bias: Vec<f32>,
    /// To the p50, and what the others lie below and above it.
    heads: [Head; 3],
    /// `[DAYS_READ, WIDTH]`: straight from the days to the p50.
    straight: Vec<f32>,
}

/// One direction of the LSTM: input, forget, candidate and output gate.
#[cfg(feature = "train")]
#[derive(Debug, Clone, PartialEq)]
struct Direction {
    /// `[2 · WEEK, hidden]` each.
    weight: [Vec<f32>; 4],
    /// `[hidden, hidden]` each.
    recurrence: [Vec<f32>; 4],
    /// `[hidden]` each.
    bias: [Vec<f32>; 4],
}

/// `[wide, WIDTH]` and `[WIDTH]`.
#[cfg(feature = "train")]
#[derive(Debug, Clone, PartialEq)]
struct Head {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

/// The model that ships: learned with the defaults by `cloudops models pretrain`, to the bit.
pub const PRETRAINED: &[u8] = include_bytes!("../../../pretrained/cost-bilstm.onnx");

/// The model in ONNX Runtime.
#[derive(Debug)]
pub struct BiLstm {
    session: Session,
}

impl BiLstm {
    /// The model of a file that `train` exported.
    ///
    /// # Errors
    /// [`Error::Runtime`] when the runtime cannot be loaded or refuses the file.
    pub fn open(onnx: &[u8]) -> Result<Self> {
        Ok(Self { session: scorer::plain_session(onnx)? })
    }

    /// p10, p50 and p90 of the [`WIDTH`] values ahead, for one window of [`DAYS_READ`] days.
    ///
    /// # Errors
    /// [`Error::Runtime`] when the runtime fails.
    pub fn run(&mut self, window: &Window) -> Result<[Vec<f32>; 3]> {
        let failed = |error: ort::Error| Error::Runtime(error.to_string());
        let tensor = |values| TensorRef::from_array_view(([1, DAYS_READ], values)).map_err(failed);
        let inputs = ort::inputs![
            VALUES => tensor(&window.values[..])?,
            KNOWN => tensor(&window.known[..])?,
        ];
        let outputs = self.session.run(inputs).map_err(failed)?;
        let mut all = [vec![], vec![], vec![]];
        for (name, into) in OUTPUTS.iter().zip(&mut all) {
            let output = outputs
                .get(name)
                .ok_or_else(|| Error::Runtime(format!("the model has no output `{name}`")))?;
            let (_, values) = output.try_extract_tensor::<f32>().map_err(failed)?;
            if values.len() != WIDTH {
                return Err(Error::Runtime(format!("`{name}` has {} values", values.len())));
            }
            into.extend_from_slice(values);
        }
        Ok(all)
    }
}

/// What the model reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// The last [`DAYS_READ`] days, 0 where unknown.
    values: Vec<f32>,
    /// 1 where known.
    known: Vec<f32>,
}

impl Window {
    /// The last days of these, all known; those before the first are not.
    #[must_use]
    pub fn of(days: &[f64]) -> Self {
        let last = &days[days.len().saturating_sub(DAYS_READ)..];
        let missing = DAYS_READ - last.len();
        let mut values = vec![0.0; missing];
        let mut known = vec![0.0; missing];
        values.extend(last.iter().map(|value| *value as f32));
        known.resize(DAYS_READ, 1.0);
        Self { values, known }
    }
}

impl Forecaster for BiLstm {
    fn name(&self) -> &'static str {
        "bilstm"
    }

    /// Horizons beyond [`DAYS_AHEAD`] days repeat the last week said. Months are spread evenly over
    /// their days and added up again.
    fn forecast(&mut self, history: &History<'_>, horizon: usize, _seed: u64) -> Result<Forecast> {
        let rates = history.rates()?;
        let lengths: Vec<usize> =
            (0..rates.len() + horizon).map(|at| history.days(at) as usize).collect();
        let (past, ahead) = lengths.split_at(rates.len());
        let spread = rates.iter().zip(past).flat_map(|(rate, days)| vec![*rate; *days]);
        let all = self.run(&Window::of(&spread.collect::<Vec<f64>>()))?;
        let quantiles = |of: &dyn Fn(&[f32]) -> f64| {
            let [p10, p50, p90] = [0, 1, 2].map(|quantile| of(&all[quantile]));
            Quantiles { p10, p50, p90 }
        };
        let mut forecast = Forecast::default();
        let mut day = 0;
        for length in ahead {
            let next = day + length;
            forecast.days.push(quantiles(&|said| (day..next).map(|at| day_at(said, at)).sum()));
            day = next;
            forecast.totals.push(quantiles(&|said| mean_at(&said[DAYS_AHEAD..], day) * day as f64));
        }
        Ok(if history.may_be_negative() { forecast } else { forecast.not_negative() })
    }
}

/// A day ahead; beyond those said the last week again.
fn day_at(said: &[f32], at: usize) -> f64 {
    let at = if at < DAYS_AHEAD { at } else { DAYS_AHEAD - WEEK + at % WEEK };
    f64::from(said[at])
}

/// The mean of the first so many days, between the whole weeks that are said.
fn mean_at(means: &[f32], days: usize) -> f64 {
    let place = (days as f64 / WEEK as f64 - 1.0).clamp(0.0, (MEANS_AHEAD - 1) as f64);
    let below = place.floor() as usize;
    let above = (below + 1).min(MEANS_AHEAD - 1);
    let share = place - below as f64;
    f64::from(means[below]) * (1.0 - share) + f64::from(means[above]) * share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_ends_with_the_origin() {
        let days: Vec<f64> = (0..200).map(f64::from).collect();
        let window = Window::of(&days);
        assert_eq!((window.values[0], window.values[DAYS_READ - 1]), (88.0, 199.0));
        let short = Window::of(&days[..3]);
        assert_eq!(short.known.iter().sum::<f32>(), 3.0);
        assert_eq!(short.values[DAYS_READ - 1], 2.0);
    }

    #[test]
    fn means_between_weeks_are_interpolated() {
        let means: Vec<f32> = (1..=MEANS_AHEAD).map(|week| week as f32).collect();
        assert_eq!(
            (mean_at(&means, 3), mean_at(&means, 14), mean_at(&means, 200)),
            (1.0, 2.0, 13.0)
        );
        assert!((mean_at(&means, 30) - 30.0 / 7.0).abs() < 1e-9);
    }
}
