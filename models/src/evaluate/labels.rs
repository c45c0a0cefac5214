//! The label files of the public sets, as their authors wrote them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use super::series::Cause;
use crate::{Error, Result};

/// A text file's content.
pub(super) fn text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|source| Error::File { path: path.to_owned(), source })
}

fn unreadable(path: &Path, line: usize, reason: &str) -> Error {
    Error::Data(format!("{}: line {line}: {reason}", path.display()))
}

/// SMD's `test_label`: `0` or `1` a row.
pub(super) fn smd_points(path: &Path) -> Result<Vec<bool>> {
    text(path)?
        .lines()
        .enumerate()
        .map(|(at, line)| match line.trim() {
            "0" => Ok(false),
            "1" => Ok(true),
            _ => Err(unreadable(path, at + 1, "a label must be 0 or 1")),
        })
        .collect()
}

/// SMD's `interpretation_label`: `start-end:channels`, rows counted from 0 and the last included,
/// channels counted from 1.
pub(super) fn smd_causes(path: &Path, channels: usize) -> Result<Vec<Cause>> {
    let mut causes = Vec::new();
    for (at, line) in text(path)?.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let cause = smd_cause(line, channels).ok_or_else(|| {
            unreadable(
                path,
                at + 1,
                &format!("expected start-end:channels, channels of 1..={channels}"),
            )
        })?;
        causes.push(cause);
    }
    Ok(causes)
}

fn smd_cause(line: &str, channels: usize) -> Option<Cause> {
    let (rows, names) = line.trim().split_once(':')?;
    let (first, last) = rows.split_once('-')?;
    let rows = first.trim().parse().ok()?..last.trim().parse::<usize>().ok()? + 1;
    let channel = |name: &str| {
        name.trim().parse::<usize>().ok()?.checked_sub(1).filter(|&channel| channel < channels)
    };
    let channels = names.split(',').map(channel).collect::<Option<Vec<usize>>>()?;
    (rows.start < rows.end).then_some(Cause { rows, channels })
}

/// SKAB's `anomaly` column: `0.0` or `1.0` a row.
pub(super) fn skab_points(path: &Path) -> Result<Vec<bool>> {
    let text = text(path)?;
    let mut lines = text.lines().enumerate();
    let column = lines
        .next()
        .and_then(|(_, head)| head.split(';').position(|name| name.trim() == "anomaly"))
        .ok_or_else(|| unreadable(path, 1, "no column `anomaly`"))?;
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(at, line)| {
            match line.split(';').nth(column).map(|cell| cell.trim().parse::<f64>()) {
                Some(Ok(label)) => Ok(label != 0.0),
                _ => Err(unreadable(path, at + 1, "the anomaly label is no number")),
            }
        })
        .collect()
}

/// NAB's `combined_windows.json`: per series (`<group>/<file>.csv`), first and last event time of
/// each window, µs.
pub(super) fn nab_windows(path: &Path) -> Result<BTreeMap<String, Vec<Range<i64>>>> {
    let text = text(path)?;
    let raw: BTreeMap<String, Vec<(String, String)>> = serde_json::from_str(&text)
        .map_err(|error| Error::Data(format!("{}: {error}", path.display())))?;
    let window = |(first, last): &(String, String)| Some(micros(first)?..micros(last)? + 1);
    raw.into_iter()
        .map(|(series, windows)| {
            let windows = windows.iter().map(window).collect::<Option<Vec<_>>>();
            let refusal =
                || Error::Data(format!("{}: {series}: a window's time is none", path.display()));
            Ok((series.clone(), windows.ok_or_else(refusal)?))
        })
        .collect()
}

/// `YYYY-MM-DD HH:MM:SS[.ffffff]` in µs since 1970.
fn micros(text: &str) -> Option<i64> {
    let (date, time) = text.trim().split_once([' ', 'T'])?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let numbers = |text: &str, between: char| {
        let parts = text.split(between).map(|part| part.parse::<i64>().ok());
        <[i64; 3]>::try_from(parts.collect::<Option<Vec<i64>>>()?).ok()
    };
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    if !(1..=12).contains(&month) {
        return None;
    }
    // Days of the proleptic Gregorian calendar, years counted from March so that the leap day is
    // a year's last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + day
        - 719_469;
    let fraction: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_microsecond() {
        assert_eq!(micros("1970-01-01 00:00:00"), Some(0));
        assert_eq!(micros("2000-02-29 12:00:00.5"), Some(951_825_600_500_000));
        assert_eq!(micros("2014-04-11 09:00:00.000000"), Some(1_397_206_800_000_000));
        assert_eq!(micros("2014-13-11 09:00:00"), None);
        assert_eq!(micros("yesterday"), None);
    }

    #[test]
    fn causes_count_rows_from_nought_and_channels_from_one() {
        let cause = smd_cause("246-252:1,2,38", 38).unwrap();
        assert_eq!(cause, Cause { rows: 246..253, channels: vec![0, 1, 37] });
        for bad in ["246:1", "5-4:1", "1-2:0", "1-2:39", "1-2:", "x-2:1"] {
            assert_eq!(smd_cause(bad, 38), None, "{bad}");
        }
    }

    #[test]
    fn bad_labels_are_refused_by_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.txt");
        std::fs::write(&path, "0\n1\ntwo\n").unwrap();
        assert!(smd_points(&path).unwrap_err().to_string().contains("line 3"));
        std::fs::write(&path, "datetime;a;anomaly\nx;1;1.0\ny;2;0.0\n").unwrap();
        assert_eq!(skab_points(&path).unwrap(), [true, false]);
        std::fs::write(&path, "datetime;a\n").unwrap();
        assert!(skab_points(&path).unwrap_err().to_string().contains("anomaly"));
        std::fs::write(&path, r#"{"a/b.csv": [["2014-04-01 00:00:00.000000", "never"]]}"#).unwrap();
        assert!(nab_windows(&path).unwrap_err().to_string().contains("a/b.csv"));
    }
}
