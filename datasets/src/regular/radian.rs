//! The bill of Radian LLC: `breakdown.csv`, US dollars by month.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Cadence, Csv, Regular, month};
use crate::Result;

/// Projects, and services of a project.
const LEVELS: [&str; 2] = ["0", "1"];

/// Loads the total, every project (`Riju`) and every service of a project (`Riju>EC2`).
///
/// A month that the file has says of everything what it cost: what it does not name has cost
/// nothing. A month that the file lacks is absent.
///
/// # Errors
/// [`crate::Error::Read`], [`crate::Error::Columns`] and [`crate::Error::Corrupt`], naming the file.
pub fn load(dir: &Path) -> Result<Vec<Regular>> {
    let csv = Csv::read(&dir.join("breakdown.csv"))?;
    let [at, level, path, usd] = ["month", "level", "path", "usd"].map(|name| csv.column(name));
    let (at, level, path, usd) = (at?, level?, path?, usd?);
    let mut months = BTreeSet::new();
    let mut costs: BTreeMap<String, BTreeMap<i32, f64>> = BTreeMap::new();
    let mut total: BTreeMap<i32, f64> = BTreeMap::new();
    for row in csv.rows.iter().filter(|row| LEVELS.contains(&&*row[level])) {
        let month = month(csv.date(&format!("{}-01", row[at]))?);
        let cost = csv.number(&row[usd])?.unwrap_or(0.0);
        months.insert(month);
        *costs.entry(row[path].clone()).or_default().entry(month).or_default() += cost;
        if row[level] == LEVELS[0] {
            *total.entry(month).or_default() += cost;
        }
    }
    let mut all = Vec::from_iter(Regular::of("total", Cadence::Monthly, &total));
    for (path, mut known) in costs {
        let begun = known.keys().next().copied();
        for &month in months.iter().filter(|month| Some(**month) > begun) {
            known.entry(month).or_insert(0.0);
        }
        all.extend(Regular::of(&path, Cadence::Monthly, &known));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_without_a_service_costs_nothing_and_a_missing_month_is_absent() {
        let dir = tempfile::tempdir().unwrap();
        let rows = "month,level,path,usd\n2022-01,0,\"A\",3\n2022-01,1,\"A>S\",3\n\
                    2022-01,2,\"A>S>x\",3\n2022-02,0,A,1\n2022-04,0,\"A\",2\n2022-04,0,\"B\",2\n";
        std::fs::write(dir.path().join("breakdown.csv"), rows).unwrap();
        let all = load(dir.path()).unwrap();
        let names: Vec<&str> = all.iter().map(|series| &*series.name).collect();
        assert_eq!(names, ["total", "A", "A>S", "B"]);
        assert_eq!((all[0].first, all[0].values[3]), (624, 4.0));
        assert!(all[0].values[2].is_nan());
        assert_eq!(all[2].values[1], 0.0);
    }
}
