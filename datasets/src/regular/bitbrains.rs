//! Bitbrains Rnd, virtual machines of a hosting company: `daily.parquet`, summed over the machines.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Float64Type};

use super::{Cadence, Regular, by_day, day};
use crate::parquet_file::{batches, column};
use crate::{Error, Result};

/// The columns that are series of the fleet.
const SERIES: [&str; 2] = ["cpu_mean", "net_mb"];

/// Loads the fleet's sums by day. A day on which many machines are missing is absent.
///
/// # Errors
/// [`Error::Read`], [`Error::Columns`] and [`Error::Corrupt`], naming the file.
pub fn load(dir: &Path) -> Result<Vec<Regular>> {
    let path = dir.join("daily.parquet");
    let corrupt = |reason: String| Error::Corrupt { file: path.display().to_string(), reason };
    let mut rows: BTreeMap<&str, Vec<(i32, f64)>> = BTreeMap::new();
    for batch in batches(&path)? {
        let dates = column(&batch, "date", &DataType::Utf8, &path)?;
        for name in SERIES {
            let values = column(&batch, name, &DataType::Float64, &path)?;
            let values = values.as_primitive::<Float64Type>();
            for (date, value) in dates.as_string::<i32>().iter().zip(values) {
                let (Some(date), Some(value)) = (date, value) else { continue };
                let date = date.parse().map_err(|_| corrupt(format!("`{date}` is no date")))?;
                rows.entry(name).or_default().push((day(date), value));
            }
        }
    }
    let series = rows.into_iter().filter_map(|(name, rows)| {
        Regular::of(&name.replace('_', "-"), Cadence::Daily, &by_day(rows.into_iter()))
    });
    Ok(series.collect())
}
