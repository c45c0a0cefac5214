//! What will be spent: daily and monthly series continued, with quantiles.
//!
//! A [`Forecaster`] sees a [`History`] and nothing else: no clock, no file, no later value. It says
//! of every day to come, and of the total from tomorrow to that day, what is as likely to be
//! undercut as exceeded (p50), and between what four fifths of outcomes should lie (p10, p90). In
//! reading order:
//!
//! - [`history`], [`quantiles`]: what goes in, what comes out
//! - [`seasonal_naive`], [`ets`], [`theta`], [`robust`], [`prophet`], [`bilstm`]: the models, one a file
//! - [`backtest`]: what models would have said at earlier origins of the same history
//! - [`conformal`]: quantiles widened or narrowed until past outcomes fit them
//! - [`combine`]: models weighted by their past errors
//! - [`champion`]: the one to trust for a series, and why

pub mod backtest;
pub mod bilstm;
pub mod champion;
pub mod combine;
pub mod conformal;
pub mod ets;
pub mod history;
mod minimise;
pub mod prophet;
pub mod quantiles;
pub mod robust;
pub mod seasonal_naive;
pub mod theta;

pub use history::{Cadence, History};
pub use quantiles::{Forecast, Quantiles};

use crate::Result;

/// Continues a series.
///
/// The caller gives what is known at the origin, which is the end of the history. The implementer
/// promises to be a pure function of history, horizon and seed, and to give as many days as asked
/// for. One forecaster serves one worker: it may hold a session of the runtime.
pub trait Forecaster: Send {
    /// The model's name in tables.
    fn name(&self) -> &'static str;

    /// The `horizon` days (or months) after the history.
    ///
    /// Models draw random numbers, if any, from `seed`.
    ///
    /// # Errors
    /// [`crate::Error::Data`] when the history holds no value; the runtime's own where a model is
    /// scored by it.
    fn forecast(&mut self, history: &History<'_>, horizon: usize, seed: u64) -> Result<Forecast>;
}
