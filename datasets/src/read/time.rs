//! Event time from text: µs since 1970, UTC.

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use serde::{Deserialize, Serialize};

use super::decimal;

/// First µs of the year 2200: times at or past it, or before 1970, are taken for errors.
pub(crate) const END_OF_TIME: i64 = 7_258_118_400_000_000;

/// How event time is written.
///
/// In configuration: `auto` (ISO 8601, or Parquet's own timestamp type), `rfc3339`, a unit of an
/// epoch count (`s`, `ms`, `us`, `ns`), or a strftime pattern, which has a `%`. Text without
/// an offset is UTC.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum TimeFormat {
    /// ISO 8601 with `T` or a space, with or without fraction and offset; or a date.
    #[default]
    Auto,
    /// As `Auto`, but the offset must be there.
    Rfc3339,
    /// A count since 1970; the power of ten that makes it µs: 6, 3, 0 or −3.
    Epoch(i32),
    /// A strftime pattern.
    Pattern(String),
}

impl TryFrom<String> for TimeFormat {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "auto" => Ok(Self::Auto),
            "rfc3339" => Ok(Self::Rfc3339),
            "s" => Ok(Self::Epoch(6)),
            "ms" => Ok(Self::Epoch(3)),
            "us" => Ok(Self::Epoch(0)),
            "ns" => Ok(Self::Epoch(-3)),
            _ if text.contains('%') => Ok(Self::Pattern(text)),
            _ => Err(format!(
                "time format {text:?}: use auto, rfc3339, s, ms, us, ns or a strftime pattern"
            )),
        }
    }
}

impl From<TimeFormat> for String {
    fn from(format: TimeFormat) -> Self {
        match format {
            TimeFormat::Auto => "auto".to_owned(),
            TimeFormat::Rfc3339 => "rfc3339".to_owned(),
            TimeFormat::Epoch(6) => "s".to_owned(),
            TimeFormat::Epoch(3) => "ms".to_owned(),
            TimeFormat::Epoch(0) => "us".to_owned(),
            TimeFormat::Epoch(_) => "ns".to_owned(),
            TimeFormat::Pattern(pattern) => pattern,
        }
    }
}

impl TimeFormat {
    /// The time that `text` says, or a sentence that says why it is none.
    pub(crate) fn parse(&self, text: &str) -> Result<i64, String> {
        let time = match self {
            Self::Auto => iso(text, false),
            Self::Rfc3339 => iso(text, true),
            Self::Epoch(power) => decimal::parse(text)
                .and_then(|count| count.at_scale(*power))
                .and_then(|us| i64::try_from(us).ok()),
            Self::Pattern(pattern) => patterned(text, pattern),
        };
        let time = time.ok_or_else(|| format!("not a time: {}", shown(text)))?;
        in_range(time).ok_or_else(|| format!("time outside 1970 to 2200: {}", shown(text)))
    }
}

/// The time itself when it lies in 1970 to 2200.
pub(crate) fn in_range(time: i64) -> Option<i64> {
    (0..END_OF_TIME).contains(&time).then_some(time)
}

/// The start of a value, for a message.
pub(crate) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(40).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}

fn patterned(text: &str, pattern: &str) -> Option<i64> {
    let at_midnight = |day: NaiveDate| day.and_hms_opt(0, 0, 0);
    DateTime::parse_from_str(text, pattern).map(|time| time.timestamp_micros()).ok().or_else(|| {
        NaiveDateTime::parse_from_str(text, pattern)
            .ok()
            .or_else(|| NaiveDate::parse_from_str(text, pattern).ok().and_then(at_midnight))
            .map(|time| time.and_utc().timestamp_micros())
    })
}

/// `YYYY-MM-DD[(T| )HH:MM[:SS[.f…]][Z|±HH[:]MM]]`; fractions beyond µs are cut off.
fn iso(text: &str, offset_needed: bool) -> Option<i64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = bytes.get(from..to)?;
        digits.iter().try_fold(0, |sum: i64, byte| {
            byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0'))
        })
    };
    let is = |at: usize, wanted: u8| bytes.get(at) == Some(&wanted);
    let days = days_from_civil(number(0, 4)?, number(5, 7)?, number(8, 10)?)?;
    if !is(4, b'-') || !is(7, b'-') {
        return None;
    }
    if bytes.len() == 10 {
        return (!offset_needed).then_some(days * 86_400_000_000);
    }
    if !matches!(bytes[10], b'T' | b't' | b' ') || !is(13, b':') {
        return None;
    }
    let (hour, minute) = (number(11, 13)?, number(14, 16)?);
    let mut second = 0;
    let mut micros = 0;
    let mut at = 16;
    if is(16, b':') {
        second = number(17, 19)?;
        at = 19;
        if is(19, b'.') || is(19, b',') {
            at = 20;
            let mut unit = 100_000;
            while let Some(digit) = bytes.get(at).filter(|byte| byte.is_ascii_digit()) {
                micros += i64::from(digit - b'0') * unit;
                unit /= 10;
                at += 1;
            }
            if at == 20 {
                return None;
            }
        }
    }
    // A leap second is the last µs of its minute.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    if second == 60 {
        (second, micros) = (59, 999_999);
    }
    if is(at, b' ') && at + 1 < bytes.len() {
        at += 1;
    }
    let offset = match &bytes[at..] {
        [] if offset_needed => return None,
        [] | b"Z" | b"z" | b"UTC" => 0,
        [sign @ (b'+' | b'-'), rest @ ..] => {
            let hours = number(at + 1, at + 3)?;
            let minutes = match rest.len() {
                2 => 0,
                4 => number(at + 3, at + 5)?,
                5 if is(at + 3, b':') => number(at + 4, at + 6)?,
                _ => return None,
            };
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let minutes = days * 1440 + hour * 60 + minute - offset;
    Some((minutes * 60 + second) * 1_000_000 + micros)
}

/// Days since 1970-01-01 of a proleptic Gregorian date (Howard Hinnant, `chrono`-compatible date
/// algorithms).
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if !(1..=last).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_agrees_with_chrono() {
        for text in [
            "1970-01-01T00:00:00Z",
            "2024-02-29T23:59:59.123456789Z",
            "2000-12-31T12:00:00+05:30",
            "2199-12-31T23:59:59.9-11:00",
            "2020-03-01t15:44:06.000001z",
        ] {
            let expected = DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros();
            assert_eq!(iso(text, true), Some(expected), "{text}");
        }
        for day in 0..84_000 {
            let date = NaiveDate::from_num_days_from_ce_opt(719_163 + day).unwrap();
            let expected = i64::from(day) * 86_400_000_000;
            assert_eq!(iso(&date.to_string(), false), Some(expected), "{date}");
        }
    }

    #[test]
    fn times_in_many_coats() {
        let check = |format: &str, text: &str, expected: Option<i64>| {
            let format = TimeFormat::try_from(format.to_owned()).unwrap();
            assert_eq!(format.parse(text).ok(), expected, "{format:?} {text}");
        };
        check("auto", "2020-03-01 15:44:06", Some(1_583_077_446_000_000));
        check("auto", "2020-03-01 15:44:06 UTC", Some(1_583_077_446_000_000));
        check("auto", "2020-03-01 15:44", Some(1_583_077_440_000_000));
        check("rfc3339", "2020-03-01 15:44:06", None);
        check("s", "1583077446.5", Some(1_583_077_446_500_000));
        check("ms", "1583077446500", Some(1_583_077_446_500_000));
        check("us", "1583077446500000", Some(1_583_077_446_500_000));
        check("ns", "1583077446500000000", Some(1_583_077_446_500_000));
        check("%d/%m/%Y %H:%M:%S", "01/03/2020 15:44:06", Some(1_583_077_446_000_000));
        check("%d.%m.%Y", "01.03.2020", Some(1_583_020_800_000_000));
        check("s", "-1", None);
        check("s", "99999999999", None);
        check("s", "NaN", None);
        for bad in [
            "",
            "2020",
            "2020-13-01",
            "2021-02-29",
            "2020-03-01T25:00:00Z",
            "1969-12-31",
            "2020-03-01 15:44:06.",
            "2020-03-01 15:44:06+1",
            "2020-03-01X15:44:06",
            "0000-00-00",
            "9999-12-31",
            "2020-03-01T",
            "2020-03-01T15:44:06é",
            "２020-03-01",
        ] {
            check("auto", bad, None);
        }
    }
}
