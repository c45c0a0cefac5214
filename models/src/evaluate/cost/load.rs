//! The series to be forecast, from a directory laid out as the public sets are.

use std::path::Path;

use cloudops_datasets::regular::{Cadence, Regular, bitbrains, elec2, mybinder, nab, radian};

use super::rolling::Schedule;
use crate::{Error, Result};

/// A public data set with series of days or months.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CostSet {
    /// The daily bill of mybinder.org at a cloud provider.
    Mybinder,
    /// The monthly bill of Radian LLC at another.
    Radian,
    /// Elec2: electricity price and demand, a proxy.
    Elec2,
    /// Numenta Anomaly Benchmark: series that last months, proxies.
    Nab,
    /// Bitbrains: utilisation of a fleet of virtual machines, a proxy.
    Bitbrains,
}

impl CostSet {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Mybinder, Self::Radian, Self::Elec2, Self::Nab, Self::Bitbrains];

    /// The name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mybinder => "mybinder",
            Self::Radian => "radian",
            Self::Elec2 => "elec2",
            Self::Nab => "nab",
            Self::Bitbrains => "bitbrains",
        }
    }

    /// The set's directory.
    #[must_use]
    pub fn directory(self) -> &'static str {
        match self {
            Self::Mybinder => "mybinder_gcp_cost",
            Self::Radian => "radian_aws_monthly",
            Self::Elec2 => "elec2_drift",
            Self::Nab => "nab",
            Self::Bitbrains => "bitbrains_rnd",
        }
    }

    /// The file or folder without which a directory is not this set.
    fn landmark(self) -> &'static str {
        match self {
            Self::Mybinder => "daily_cost.csv",
            Self::Radian => "breakdown.csv",
            Self::Elec2 => "",
            Self::Nab => "data",
            Self::Bitbrains => "daily.parquet",
        }
    }
}

impl std::fmt::Display for CostSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for CostSet {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|set| set.name() == name || set.directory() == name);
        found.ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::Configuration(format!("unknown data set `{name}`: choose of {known}"))
        })
    }
}

/// Months in which a series must have cost something to be worth a forecast.
const MONTHS_WITH_COST: usize = 12;

/// Origins a month ahead that a series must be long enough for: fewer are anecdotes.
const ORIGINS_MIN: usize = 3;

/// The series of a set that are long enough to be forecast from [`ORIGINS_MIN`] origins; none where
/// the directory does not hold the set.
pub(super) fn load(dir: &Path, set: CostSet) -> Result<Vec<Regular>> {
    let dir = dir.join(set.directory());
    if !dir.join(set.landmark()).exists() {
        return Ok(vec![]);
    }
    let loaded = match set {
        CostSet::Mybinder => mybinder::load(&dir),
        CostSet::Radian => radian::load(&dir),
        CostSet::Elec2 => elec2::load(&dir),
        CostSet::Nab => nab::load(&dir),
        CostSet::Bitbrains => bitbrains::load(&dir),
    };
    let mut series = loaded.map_err(|error| Error::Data(error.to_string()))?;
    let is_whole = |name: &str| series.iter().find(|s| s.name == name).map(|s| s.values.clone());
    // A breakdown into one part is the whole again: it would count twice in the means.
    let total = is_whole("total");
    series.retain(|s| s.name == "total" || total.as_ref().is_none_or(|t| !same(t, &s.values)));
    series.retain(|series| {
        let known = series.values.iter().filter(|v| v.is_finite() && **v != 0.0).count();
        let enough = match series.cadence {
            Cadence::Daily => 3 * known >= series.values.len(),
            Cadence::Monthly => known >= MONTHS_WITH_COST,
        };
        let origins = Schedule::of(series.cadence, series.values.len(), 1).origins.len();
        enough && origins >= ORIGINS_MIN
    });
    Ok(series)
}

fn same(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b || a.is_nan() && b.is_nan())
}
