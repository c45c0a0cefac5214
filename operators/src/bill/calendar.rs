//! Days to calendar months.

/// The calendar month that days fall in, counted from year 0; a run of days of one month is looked up
/// once.
#[derive(Debug, Default)]
pub(super) struct Calendar {
    days: std::ops::Range<i32>,
    month: i32,
}

impl Calendar {
    pub(super) fn month(&mut self, day: i32) -> i32 {
        if !self.days.contains(&day) {
            (self.month, self.days) = month_of(day);
        }
        self.month
    }
}

/// The first day of a day's calendar month; both since 1970-01-01.
#[must_use]
pub fn first_of_month(day: i32) -> i32 {
    month_of(day).1.start
}

/// A day's calendar month, `12 × year + month - 1`, and the days of it. After Howard Hinnant's
/// `civil_from_days` (public domain).
pub(crate) fn month_of(day: i32) -> (i32, std::ops::Range<i32>) {
    let shifted = i64::from(day) + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let first = day - (day_of_year - (153 * from_march + 2) / 5) as i32;
    let year = (year_of_era + era * 400) as i32 + i32::from(from_march >= 10);
    let month = if from_march < 10 { from_march + 2 } else { from_march - 10 } as i32;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 => 28 + i32::from(leap),
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    };
    (12 * year + month, first..first + days)
}
