//! The bill of mybinder.org: `daily_cost.csv`, US dollars.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Cadence, Csv, Regular, day};
use crate::Result;

/// The column of the whole bill, and the beginnings of those of its parts.
const TOTAL: &str = "total_usd";
const PARTS: [&str; 2] = ["category:", "project:"];

/// Loads the total and every part. The bill's first day is left out, being a partial one, and a
/// part's leading days without a cost.
///
/// # Errors
/// [`crate::Error::Read`], [`crate::Error::Columns`] and [`crate::Error::Corrupt`], naming the file.
pub fn load(dir: &Path) -> Result<Vec<Regular>> {
    let csv = Csv::read(&dir.join("daily_cost.csv"))?;
    let (date, total) = (csv.column("date")?, csv.column(TOTAL)?);
    let is_part = |name: &String| PARTS.iter().any(|part| name.starts_with(part));
    let parts = (0..csv.columns.len()).filter(|at| is_part(&csv.columns[*at]));
    let days = csv.rows.iter().map(|row| Ok(day(csv.date(&row[date])?)));
    let days = days.collect::<Result<Vec<i32>>>()?;
    let begun = days.iter().min().copied();
    let mut all = Vec::new();
    for column in std::iter::once(total).chain(parts) {
        let mut known = BTreeMap::new();
        for (row, &day) in csv.rows.iter().zip(&days).filter(|(_, day)| Some(**day) != begun) {
            if let Some(cost) = csv.number(&row[column])? {
                known.insert(day, cost);
            }
        }
        let first = known.iter().find(|(_, cost)| **cost != 0.0).map(|(day, _)| *day);
        let known = first.map(|first| known.split_off(&first)).unwrap_or_default();
        let name = if column == total { "total" } else { &csv.columns[column] };
        all.extend(Regular::of(name, Cadence::Daily, &known));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partial_first_day_is_left_out_and_a_missing_day_is_absent() {
        let dir = tempfile::tempdir().unwrap();
        let rows = "date,total_usd,category:a,project:p,launches\n2018-01-01,1,1,,5\n\
                    2018-01-02,4,0,,5\n2018-01-03,5,1,,6\n2018-01-05,6,2,,7\n";
        std::fs::write(dir.path().join("daily_cost.csv"), rows).unwrap();
        let all = load(dir.path()).unwrap();
        let names: Vec<&str> = all.iter().map(|series| &*series.name).collect();
        assert_eq!(names, ["total", "category:a"]);
        assert_eq!((all[0].first, all[0].values.len()), (17_533, 4));
        assert!(all[0].values[2].is_nan());
        assert_eq!(all[1].first, 17_534);
    }
}
