//! Rules that are commonly applied: what a model must beat.
//!
//! Thresholds are those of AWS Trusted Advisor's check *Low Utilization Amazon EC2 Instances*: daily CPU
//! utilisation of 10 % or less and network I/O of 5 MB or less on at least 4 of the previous 14 days. The
//! stricter rule for *idle* asks that no day peaks at 5 % CPU or moves 5 MB.

use super::Rows;
use super::daily::{Day, days};

/// Days that rules look back.
pub const RULE_DAYS: i64 = 14;
/// Days of low utilisation, of [`RULE_DAYS`], that make a resource one of low utilisation.
pub const LOW_DAYS_MIN: usize = 4;
/// A day's mean CPU, per cent, up to which its utilisation is low.
pub const LOW_CPU: f64 = 10.0;
/// A day's greatest CPU, per cent, below which it is idle.
pub const IDLE_PEAK_CPU: f64 = 5.0;
/// A day's network traffic, MB.
pub const NET_MB: f64 = 5.0;

/// Whether a day's utilisation is low; traffic that is not measured counts as none.
#[must_use]
pub fn is_low(day: &Day) -> bool {
    let net = day.net_mb();
    day.cpu_mean <= LOW_CPU && (net.is_nan() || net <= NET_MB)
}

/// Whether a day is idle; traffic that is not measured counts as none.
#[must_use]
pub fn is_idle(day: &Day) -> bool {
    let net = day.net_mb();
    day.cpu_peak < IDLE_PEAK_CPU && (net.is_nan() || net < NET_MB)
}

/// What the rules say of a resource's last [`RULE_DAYS`] days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Low utilisation on at least [`LOW_DAYS_MIN`] days.
    pub low_utilisation: bool,
    /// Idle on every day that is known.
    pub idle: bool,
}

/// The rules' verdict on the last [`RULE_DAYS`] days; `None` where none of them is known.
#[must_use]
pub fn verdict(rows: &Rows<'_>) -> Option<Verdict> {
    let days = days(&rows.last_days(RULE_DAYS));
    let low = days.iter().filter(|day| is_low(day)).count();
    (!days.is_empty())
        .then(|| Verdict { low_utilisation: low >= LOW_DAYS_MIN, idle: days.iter().all(is_idle) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict_of(of: impl Fn(i64) -> (f64, f64)) -> Option<Verdict> {
        let (cpu, net): (Vec<f64>, Vec<f64>) = (0..24 * 20).map(|hour| of(hour / 24)).unzip();
        let rows = Rows::new(0, 3_600, [&cpu, &[], &[], &[], &net, &[], &[]]).unwrap();
        verdict(&rows)
    }

    #[test]
    fn four_low_days_of_fourteen_are_low_utilisation_and_one_busy_day_is_not_idle() {
        let check = |low_utilisation, idle, of: &dyn Fn(i64) -> (f64, f64)| {
            assert_eq!(verdict_of(of), Some(Verdict { low_utilisation, idle }));
        };
        check(true, true, &|_| (1.0, 0.1));
        check(true, false, &|day| (if day == 10 { 6.0 } else { 1.0 }, 0.1));
        check(true, false, &|day| (if day >= 16 { 9.0 } else { 50.0 }, 0.1));
        check(false, false, &|day| (if day >= 17 { 9.0 } else { 50.0 }, 0.1));
        check(false, false, &|_| (1.0, 0.3));
        // What lies before the fourteen days does not count.
        check(true, true, &|day| (if day < 6 { 90.0 } else { 1.0 }, 0.1));
        assert_eq!(verdict_of(|_| (f64::NAN, 0.1)), None);
    }
}
