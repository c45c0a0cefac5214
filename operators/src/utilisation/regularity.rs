//! Does a resource's work come again at the same hour?

use super::{Channel, DAY, Rows, known, mean, quantile, sorted};

/// Points of CPU above the median from which a row is a burst, where the resource is calm.
pub(super) const BURST_MIN: f64 = 5.0;
/// Median absolute deviations above the median, scaled to a normal distribution's standard deviation.
const BURST_DEVIATIONS: f64 = 3.0 * 1.4826;
/// A variance below this is that of a constant, per cent squared.
const CONSTANT: f64 = 1e-9;
const HOUR: i64 = 3_600;
const WEEK_HOURS: usize = 168;

/// Autocorrelation at a lag of so many rows, over pairs of which both are known.
///
/// 0 for a constant; `NaN` where fewer pairs are known than the lag is long, so that one accident cannot
/// be a period.
pub(super) fn autocorrelation(values: &[f64], lag: usize) -> f64 {
    let middle = mean(known(values));
    let variance = mean(known(values).map(|value| (value - middle) * (value - middle)));
    let pairs = values.iter().zip(values.iter().skip(lag));
    let products = pairs.map(|(a, b)| (a - middle) * (b - middle)).filter(|p| !p.is_nan());
    if products.clone().count() < lag {
        return f64::NAN;
    }
    if variance < CONSTANT { 0.0 } else { mean(products) / variance }
}

/// Share of the variance that the hour of the day explains (η²); 0 for a constant.
pub(super) fn hour_share(rows: &Rows<'_>, values: &[f64]) -> f64 {
    let middle = mean(known(values));
    let (mut sums, mut counts, mut total) = ([0.0; 24], [0.0; 24], 0.0);
    for (row, value) in values.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
        let hour = rows.time(row).rem_euclid(DAY) / HOUR;
        sums[hour as usize] += value - middle;
        counts[hour as usize] += 1.0;
        total += (value - middle) * (value - middle);
    }
    if middle.is_nan() {
        return f64::NAN;
    }
    let between: f64 =
        sums.iter().zip(counts).filter(|(_, n)| *n > 0.0).map(|(sum, n)| sum * sum / n).sum();
    if total < CONSTANT { 0.0 } else { between / total }
}

/// Rows in which a resource works, though for the most part it does not.
///
/// A burst is a row whose mean CPU lies above the median by [`BURST_MIN`] points and by three (robust)
/// standard deviations: a cron job on an idle host, and nothing of a host that is always busy.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bursts {
    /// Of each row.
    flags: Vec<bool>,
    /// The highest row above the median, points of CPU.
    pub(super) height: f64,
    weeks: f64,
}

impl Bursts {
    pub(super) fn of(rows: &Rows<'_>) -> Option<Self> {
        let cpu = rows.channel(Channel::Cpu);
        let in_order = sorted(cpu);
        let median = quantile(&in_order, 0.5);
        let deviations: Vec<f64> = in_order.iter().map(|value| (value - median).abs()).collect();
        let limit = (BURST_DEVIATIONS * quantile(&sorted(&deviations), 0.5)).max(BURST_MIN);
        let flags = cpu.iter().map(|value| value - median > limit).collect();
        let weeks = in_order.len() as f64 / (7 * rows.per_day()) as f64;
        let height = in_order.last()? - median;
        Some(Self { flags, height, weeks })
    }

    /// Rows of bursts a week, in days.
    pub(super) fn days_a_week(&self, rows: &Rows<'_>) -> f64 {
        let count = self.flags.iter().filter(|flag| **flag).count();
        count as f64 / rows.per_day() as f64 / self.weeks
    }

    /// Days from the last burst to the end of the rows; their length where there is none.
    pub(super) fn days_since(&self, rows: &Rows<'_>) -> f64 {
        let since = self.flags.iter().rev().position(|flag| *flag).unwrap_or(self.flags.len());
        since as f64 / rows.per_day() as f64
    }

    /// The greatest share of days on which the same hour has a burst.
    pub(super) fn daily(&self, rows: &Rows<'_>) -> f64 {
        self.recurrence(rows, 24)
    }

    /// The greatest share of weeks in which the same hour of the week has a burst; 0 where fewer than
    /// two weeks are known.
    pub(super) fn weekly(&self, rows: &Rows<'_>) -> f64 {
        if self.weeks < 1.9 { 0.0 } else { self.recurrence(rows, WEEK_HOURS) }
    }

    fn recurrence(&self, rows: &Rows<'_>, period: usize) -> f64 {
        // Of each hour of the period: in how many periods it is known, and in how many it has a burst.
        let mut hours = vec![(0.0, 0.0); period];
        let cpu = rows.channel(Channel::Cpu);
        let per_hour = rows.per_day() / 24;
        let mut row = 0;
        while row < cpu.len() {
            let hour = rows.time(row).div_euclid(HOUR);
            let left =
                per_hour - (rows.time(row).rem_euclid(HOUR) / (HOUR / per_hour as i64)) as usize;
            let next = (row + left).min(cpu.len());
            let of_hour = &mut hours[hour.rem_euclid(period as i64) as usize];
            if known(&cpu[row..next]).next().is_some() {
                of_hour.0 += 1.0;
                of_hour.1 += if self.flags[row..next].contains(&true) { 1.0 } else { 0.0 };
            }
            row = next;
        }
        // An hour that is known once recurs never.
        hours.iter().filter(|hour| hour.0 >= 2.0).map(|hour| hour.1 / hour.0).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(cpu: &[f64]) -> Rows<'_> {
        Rows::new(0, 3_600, [cpu, &[], &[], &[], &[], &[], &[]]).unwrap()
    }

    #[test]
    fn a_nightly_job_comes_again_every_day_and_a_weekly_one_every_week() {
        let check = |daily: f64, weekly: f64, of: &dyn Fn(usize) -> bool| {
            let cpu: Vec<f64> = (0..24 * 28).map(|h| if of(h) { 40.0 } else { 1.0 }).collect();
            let rows = rows(&cpu);
            let bursts = Bursts::of(&rows).unwrap();
            assert_eq!((bursts.daily(&rows), bursts.weekly(&rows)), (daily, weekly));
        };
        check(1.0, 1.0, &|hour| hour % 24 == 2);
        check(1.0 / 7.0, 1.0, &|hour| hour % 168 == 50);
        check(1.0 / 28.0, 0.25, &|hour| hour == 300);
        check(0.0, 0.0, &|_| false);
    }

    #[test]
    fn days_since_a_burst_are_counted_from_the_end() {
        let mut cpu = vec![1.0; 24 * 10];
        assert_eq!(Bursts::of(&rows(&cpu)).unwrap().days_since(&rows(&cpu)), 10.0);
        cpu[24 * 7 - 1] = 50.0;
        let bursts = Bursts::of(&rows(&cpu)).unwrap();
        assert_eq!((bursts.days_since(&rows(&cpu)), bursts.height), (3.0, 49.0));
    }

    #[test]
    fn a_day_correlates_with_the_next_where_days_are_alike() {
        let daily: Vec<f64> = (0..24 * 14).map(|h| f64::from(h % 24)).collect();
        assert!(autocorrelation(&daily, 24) > 0.99 && hour_share(&rows(&daily), &daily) > 0.99);
        assert!(autocorrelation(&daily, 12) < 0.0);
        assert_eq!(autocorrelation(&[3.0; 100], 24), 0.0);
        assert!(autocorrelation(&daily[..30], 24).is_nan());
    }
}
