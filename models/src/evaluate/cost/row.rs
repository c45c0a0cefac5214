//! The rows of a cost evaluation: one model on one series at one horizon.

use serde::{Deserialize, Serialize};

/// What one model's forecasts of one series were worth over all origins of a horizon.
///
/// All figures are fractions, not percent: 0.08 is eight per cent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CostRow {
    /// The data set, e.g. `mybinder`.
    pub set: String,
    /// The series within it, e.g. `total`.
    pub series: String,
    /// The model's name.
    pub model: String,
    /// 30, 60 or 90; of monthly series 1, 2 or 3 months.
    pub horizon_days: usize,
    /// How many origins were forecast from.
    pub origins: usize,
    /// Σ over origins of |forecast − actual| of the horizon's *total*, over Σ of the actual totals:
    /// how far off the bill of an account's month is.
    pub wape_total: f64,
    /// Σ over days of |forecast − actual|, over Σ |actual|.
    pub wape_daily: f64,
    /// Mean absolute error of a day over that of repeating the week before within the history
    /// (Hyndman & Koehler 2006), mean over origins; absent where no history varies.
    pub mase: Option<f64>,
    /// The share of days that came to lie within `[p10, p90]`; 0.8 is what is promised.
    pub coverage_80: f64,
    /// Σ (forecast − actual) of the totals over Σ actual: positive where too much is forecast.
    pub bias: f64,
}

/// The series of a row that averages over a set's series; in reports only.
pub const MEAN: &str = "mean";

/// For every set, model and horizon the mean of the figures over its series, in the rows' order.
#[must_use]
pub fn means(rows: &[CostRow]) -> Vec<CostRow> {
    let mut means: Vec<CostRow> = Vec::new();
    for of_set in rows.chunk_by(|a, b| a.set == b.set) {
        let mut keys: Vec<(&str, usize)> = Vec::new();
        for row in of_set {
            if !keys.contains(&(&*row.model, row.horizon_days)) {
                keys.push((&row.model, row.horizon_days));
            }
        }
        keys.sort_by_key(|(_, horizon)| *horizon);
        for (model, horizon) in keys {
            let of_key = of_set.iter().filter(|r| r.model == model && r.horizon_days == horizon);
            means.push(mean(&of_key.collect::<Vec<_>>()));
        }
    }
    means
}

/// The mean of some rows of one set, model and horizon.
fn mean(rows: &[&CostRow]) -> CostRow {
    let average = |of: fn(&CostRow) -> f64| {
        rounded(rows.iter().map(|row| of(row)).sum::<f64>() / rows.len().max(1) as f64)
    };
    let scaled: Vec<f64> = rows.iter().filter_map(|row| row.mase).collect();
    let first = rows.first();
    CostRow {
        set: first.map(|row| row.set.clone()).unwrap_or_default(),
        series: MEAN.to_owned(),
        model: first.map(|row| row.model.clone()).unwrap_or_default(),
        horizon_days: first.map_or(0, |row| row.horizon_days),
        origins: rows.iter().map(|row| row.origins).sum(),
        wape_total: average(|row| row.wape_total),
        wape_daily: average(|row| row.wape_daily),
        mase: (!scaled.is_empty())
            .then(|| rounded(scaled.iter().sum::<f64>() / scaled.len() as f64)),
        coverage_80: average(|row| row.coverage_80),
        bias: average(|row| row.bias),
    }
}

/// To six decimals: more than any figure means, and written and read back without loss.
#[must_use]
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}
