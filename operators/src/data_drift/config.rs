//! What is watched, how often, and how sure it must be.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How drift is detected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DriftConfig {
    /// Length of a period, seconds of event time. Take a whole cycle of the data, or its daily
    /// swing is drift. Default 86400, a day.
    pub period_s: u64,
    /// How long after the watermark passes a period its windows may still be given, seconds of
    /// event time; 0 for the windows of this crate, which are given once it passes their end.
    /// Default 0.
    pub delay_s: u64,
    /// Windows sampled a period, at least 64. Default 1024.
    pub sample: usize,
    /// Periods with fewer windows are not judged. At least 16. Default 64.
    pub windows_min: u64,
    /// Periods, from a model version's first on, that later ones are compared with. At least 5.
    /// Default 14.
    pub reference_periods: usize,
    /// Periods in a row that a statistic must exceed its limit in to fire (the sequence detectors
    /// weigh several periods themselves). At least 1. Default 2.
    pub patience: u32,
    /// Alarms per 1,000 periods that stationary data may raise, over all statistics. Default 1.
    pub expected_false_alarms_per_1000_periods: f64,
    /// The least population stability index that matters. Default 0.1.
    pub psi_min: f64,
    /// The least Wasserstein-1 distance that matters, reference standard deviations. Default 0.1.
    pub wasserstein_min: f64,
    /// The least squared maximum mean discrepancy of the latents that matters. Default 0.01.
    pub mmd_min: f64,
    /// Unflagged windows kept a period for retraining. Default 256.
    pub retrain_windows: usize,
    /// Recent periods that retraining may draw on, the one that fired included. Default 14.
    pub retrain_periods: usize,
    /// Periods after a retraining was asked for before it is asked for again under the same model
    /// version. Default 14.
    pub retry_after: u32,
    /// Seed of the random Fourier features and of the simulated calibration. Default 1.
    pub seed: u64,
}

impl Default for DriftConfig {
    fn default() -> Self {
        Self {
            period_s: 86_400,
            delay_s: 0,
            sample: 1024,
            windows_min: 64,
            reference_periods: 14,
            patience: 2,
            expected_false_alarms_per_1000_periods: 1.0,
            psi_min: 0.1,
            wasserstein_min: 0.1,
            mmd_min: 0.01,
            retrain_windows: 256,
            retrain_periods: 14,
            retry_after: 14,
            seed: 1,
        }
    }
}

impl DriftConfig {
    /// Whether the numbers make sense together.
    ///
    /// # Errors
    /// [`Error::Configuration`] that names the field and its range.
    pub fn validate(&self) -> Result<()> {
        let alarms = self.expected_false_alarms_per_1000_periods;
        let least = [self.psi_min, self.wasserstein_min, self.mmd_min];
        let rules = [
            (self.period_s >= 1 && self.period_s <= 1 << 32, "period_s must lie in 1..=2^32"),
            (self.delay_s <= 1 << 32, "delay_s must be at most 2^32"),
            (self.sample >= 64, "sample must be at least 64 windows"),
            (self.windows_min >= 16, "windows_min must be at least 16"),
            (self.reference_periods >= 5, "reference_periods must be at least 5"),
            (self.patience >= 1, "patience must be at least 1 period"),
            (
                alarms > 0.0 && alarms <= 100.0,
                "expected_false_alarms_per_1000_periods must lie in (0, 100]",
            ),
            (
                least.iter().all(|x| x.is_finite() && *x >= 0.0),
                "psi_min, wasserstein_min and mmd_min must be at least 0",
            ),
            (self.retrain_periods >= 1, "retrain_periods must be at least 1"),
        ];
        match rules.iter().find(|(good, _)| !good) {
            Some((_, what)) => Err(Error::Configuration(format!("drift.{what}"))),
            None => Ok(()),
        }
    }

    /// Length of a period, µs.
    #[must_use]
    pub fn period_us(&self) -> i64 {
        self.period_s as i64 * 1_000_000
    }

    /// See [`DriftConfig::delay_s`], µs.
    #[must_use]
    pub fn delay_us(&self) -> i64 {
        self.delay_s as i64 * 1_000_000
    }

    /// The probability that stationary data raise an alarm in a period.
    #[must_use]
    pub fn false_alarm_rate(&self) -> f64 {
        self.expected_false_alarms_per_1000_periods / 1000.0
    }
}
