//! The Numenta Anomaly Benchmark: every series, summed by day.

use std::path::Path;

use super::{Cadence, Regular, by_day};
use crate::Result;
use crate::labels;

const DAY_US: i64 = 86_400_000_000;

/// Loads every series as daily sums; days of which the series holds only a part are absent.
///
/// # Errors
/// As [`labels::nab::load`].
pub fn load(dir: &Path) -> Result<Vec<Regular>> {
    let all = labels::nab::load(dir)?.into_iter().filter_map(|series| {
        let days = series.times.iter().map(|at| at.div_euclid(DAY_US) as i32);
        let rows = days.zip(series.values.data.iter().map(|value| f64::from(*value)));
        Regular::of(&series.name, Cadence::Daily, &by_day(rows))
    });
    Ok(all.collect())
}
