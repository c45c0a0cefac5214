//! Elec2, the electricity market of New South Wales: half-hours, here summed by day.
//!
//! The columns of the public file are scaled to `[0, 1]` and bear no names; the order is that of
//! Harries 1999 (*Splice-2 comparative evaluation: electricity pricing*): period of the day, price,
//! demand, and three of the neighbour state.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Cadence, Csv, Regular, by_day};
use crate::{Error, Result};

/// The file's first day, 1996-05-07. It says no dates itself: a file that begins later than the
/// public one is dated too early, and its week stays right only where it was cut at a week.
const FIRST_DAY: i32 = 9_623;

/// The period of the day, and the series that run the whole length.
const PERIOD: &str = "feat_1";
const SERIES: [(&str, &str); 2] = [("nsw-price", "feat_2"), ("nsw-demand", "feat_3")];

/// Loads daily sums of price and demand from the files of a directory, each file by itself.
///
/// # Errors
/// [`Error::Read`], [`Error::Columns`] and [`Error::Corrupt`], naming the file.
pub fn load(dir: &Path) -> Result<Vec<Regular>> {
    let files = files(dir)?;
    let mut all = Vec::new();
    for file in &files {
        let csv = Csv::read(file)?;
        let period = csv.column(PERIOD)?;
        let mut days = Vec::with_capacity(csv.rows.len());
        let mut before: Option<(i32, f64)> = None;
        for row in &csv.rows {
            let now = csv.number(&row[period])?.unwrap_or(0.0);
            let day = before.map_or(FIRST_DAY, |(day, period)| day + i32::from(now < period));
            days.push(day);
            before = Some((day, now));
        }
        for (name, column) in SERIES {
            let column = csv.column(column)?;
            let values = csv.rows.iter().map(|row| csv.number(&row[column]));
            let values = values.collect::<Result<Vec<_>>>()?;
            let rows = days.iter().zip(values).filter_map(|(day, value)| Some((*day, value?)));
            let known: BTreeMap<i32, f64> = by_day(rows);
            let name = match files.len() {
                1 => name.to_owned(),
                _ => format!("{name}:{}", stem(file)),
            };
            all.extend(Regular::of(&name, Cadence::Daily, &known));
        }
    }
    Ok(all)
}

fn stem(file: &Path) -> String {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.split('.').next().unwrap_or_default().to_owned()
}

fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| Error::Read { file: dir.display().to_string(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.to_string_lossy();
        if name.ends_with(".csv") || name.ends_with(".csv.gz") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_where_the_period_falls_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut rows = String::from("feat_1,feat_2,feat_3,target\n");
        for row in 2..9 {
            rows += &format!("{},{row},1,1\n", f64::from(row % 3) / 2.0);
        }
        std::fs::write(dir.path().join("elec.csv"), rows).unwrap();
        let all = load(dir.path()).unwrap();
        assert_eq!((&*all[0].name, all[0].first), ("nsw-price", FIRST_DAY + 1));
        assert_eq!(all[0].values, [12.0, 21.0]);
        assert_eq!(all[1].values, [3.0, 3.0]);
    }
}
