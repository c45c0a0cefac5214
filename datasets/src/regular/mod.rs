//! Public sets as regular series: one value a day, or one a month, to be forecast.
//!
//! Every loader takes a directory laid out as published and loads what it finds there: no length,
//! date or project is known by name. A day that the set lacks, or of which it holds only a part,
//! is absent (`NaN`) and never made up here.
//!
//! - [`mybinder`]: a cloud bill by day, in total, by category and by project
//! - [`radian`]: a cloud bill by month, in total, by project and by service
//! - [`elec2`], [`nab`], [`bitbrains`]: other daily series, as long ones are rare among public bills

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use chrono::{Datelike, NaiveDate};
use flate2::read::MultiGzDecoder;

use crate::{Error, Result};

pub mod bitbrains;
pub mod elec2;
pub mod mybinder;
pub mod nab;
pub mod radian;

/// What one value of a series covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cadence {
    /// A day.
    Daily,
    /// A calendar month.
    Monthly,
}

/// One value a day or month, without a hole in the calendar.
#[derive(Debug, Clone, PartialEq)]
pub struct Regular {
    /// Its name within its set, e.g. `category:compute-engine`.
    pub name: String,
    /// What one value covers.
    pub cadence: Cadence,
    /// The first value's day, in days since 1970-01-01; of a month, in months since 1970-01.
    pub first: i32,
    /// In the set's own unit; `NaN` where it holds nothing. Begins and ends with a value.
    pub values: Vec<f64>,
}

impl Regular {
    /// A series of what is known at some days or months; `None` where nothing is.
    fn of(name: &str, cadence: Cadence, known: &BTreeMap<i32, f64>) -> Option<Self> {
        let (first, last) = (*known.keys().next()?, *known.keys().next_back()?);
        let values = (first..=last).map(|at| known.get(&at).copied().unwrap_or(f64::NAN));
        Some(Self { name: name.to_owned(), cadence, first, values: values.collect() })
    }
}

/// Days since 1970-01-01.
fn day(date: NaiveDate) -> i32 {
    date.to_epoch_days()
}

/// Months since 1970-01.
fn month(date: NaiveDate) -> i32 {
    (date.year() - 1970) * 12 + date.month0() as i32
}

/// The days that the rows of a finer series cover for the most part, with the sum over each.
///
/// A day with fewer than nine tenths of the usual rows is left out: its sum is that of a part.
fn by_day(rows: impl Iterator<Item = (i32, f64)>) -> BTreeMap<i32, f64> {
    let mut sums: BTreeMap<i32, (usize, f64)> = BTreeMap::new();
    for (day, value) in rows {
        let (count, sum) = sums.entry(day).or_default();
        *count += 1;
        *sum += value;
    }
    let mut counts: Vec<usize> = sums.values().map(|(count, _)| *count).collect();
    counts.sort_unstable();
    let usual = counts.get(counts.len() / 2).copied().unwrap_or(0);
    let whole = sums.into_iter().filter(|(_, (count, _))| 10 * count >= 9 * usual);
    whole.map(|(day, (_, sum))| (day, sum)).collect()
}

/// A file's text; gzip where its name says so.
fn text(path: &Path) -> Result<String> {
    let failed = |source| Error::Read { file: path.display().to_string(), source };
    let mut file = File::open(path).map_err(failed)?;
    let mut text = String::new();
    if path.extension().is_some_and(|extension| extension == "gz") {
        MultiGzDecoder::new(file).read_to_string(&mut text).map_err(failed)?;
    } else {
        file.read_to_string(&mut text).map_err(failed)?;
    }
    Ok(text)
}

/// A file of comma-separated values with a header: the columns' names, and every row's fields.
struct Csv {
    file: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Csv {
    fn read(path: &Path) -> Result<Self> {
        let file = path.display().to_string();
        let text = text(path)?;
        let mut lines = text.lines().filter(|line| !line.is_empty()).map(fields);
        let columns = lines.next().unwrap_or_default();
        let rows: Vec<Vec<String>> = lines.collect();
        if let Some(at) = rows.iter().position(|row| row.len() != columns.len()) {
            let reason = format!("row {} has not as many fields as the header", at + 1);
            return Err(Error::Corrupt { file, reason });
        }
        Ok(Self { file, columns, rows })
    }

    /// Where a column stands.
    fn column(&self, name: &str) -> Result<usize> {
        self.columns.iter().position(|column| column == name).ok_or_else(|| Error::Columns {
            file: self.file.clone(),
            missing: name.to_owned(),
            found: self.columns.join(", "),
        })
    }

    /// A field as a number; `None` where it is empty.
    fn number(&self, field: &str) -> Result<Option<f64>> {
        if field.is_empty() {
            return Ok(None);
        }
        field.parse().map(Some).map_err(|_| self.corrupt(format!("`{field}` is no number")))
    }

    /// A field as a day.
    fn date(&self, field: &str) -> Result<NaiveDate> {
        field.parse().map_err(|_| self.corrupt(format!("`{field}` is no date")))
    }

    fn corrupt(&self, reason: String) -> Error {
        Error::Corrupt { file: self.file.clone(), reason }
    }
}

/// The fields of a line; quotes hold commas together.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    for character in line.trim_end_matches('\r').chars() {
        match (character, fields.last_mut()) {
            ('"', _) => quoted = !quoted,
            (',', _) if !quoted => fields.push(String::new()),
            (_, Some(field)) => field.push(character),
            (_, None) => {}
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_with_too_few_rows_is_left_out() {
        let rows = (0..40).map(|hour| (hour / 10, 2.0)).chain([(4, 2.0)]);
        let days: Vec<(i32, f64)> = by_day(rows).into_iter().collect();
        assert_eq!(days, [(0, 20.0), (1, 20.0), (2, 20.0), (3, 20.0)]);
    }

    #[test]
    fn what_is_unknown_is_absent() {
        let known = BTreeMap::from([(3, 1.0), (5, 2.0)]);
        let series = Regular::of("a", Cadence::Daily, &known).unwrap();
        assert_eq!((series.first, series.values.len()), (3, 3));
        assert!(series.values[1].is_nan());
        assert_eq!(Regular::of("a", Cadence::Daily, &BTreeMap::new()), None);
    }

    #[test]
    fn quotes_hold_commas_together() {
        assert_eq!(fields("1,\"a,b>c\",\r"), ["1", "a,b>c", ""]);
    }
}
