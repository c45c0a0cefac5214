//! A resource's days, in UTC.

use super::{Channel, DAY, Rows, greatest, known, mean};

/// The share of a day's rows that must be known for the day to count.
const KNOWN_MIN: f64 = 0.5;

/// One day of a resource; `NaN` where a channel is not measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Day {
    /// Days since 1970-01-01.
    pub day: i64,
    /// Mean CPU, per cent.
    pub cpu_mean: f64,
    /// Greatest CPU, per cent.
    pub cpu_peak: f64,
    /// Disk traffic, MB.
    pub disk_mb: f64,
    /// Received, MB.
    pub net_in_mb: f64,
    /// Sent, MB.
    pub net_out_mb: f64,
}

impl Day {
    /// Received and sent, MB; one of them where only one is measured.
    #[must_use]
    pub fn net_mb(&self) -> f64 {
        match (self.net_in_mb.is_nan(), self.net_out_mb.is_nan()) {
            (true, _) => self.net_out_mb,
            (_, true) => self.net_in_mb,
            _ => self.net_in_mb + self.net_out_mb,
        }
    }
}

/// The days of which at least half of the CPU rows are known, in order.
///
/// A day with fewer says nothing: two hours of a busy machine can be idle.
#[must_use]
pub fn days(rows: &Rows<'_>) -> Vec<Day> {
    let (first, last) = (rows.start().div_euclid(DAY), (rows.end() - 1).div_euclid(DAY));
    let cut = (first..=last).map(|day| (day, rows.between(day * DAY, (day + 1) * DAY)));
    cut.filter_map(|(day, rows)| of(day, &rows)).collect()
}

fn of(day: i64, rows: &Rows<'_>) -> Option<Day> {
    let cpu = rows.channel(Channel::Cpu);
    if (known(cpu).count() as f64) < KNOWN_MIN * rows.per_day() as f64 {
        return None;
    }
    let sum = |channel: Channel| {
        let values = known(rows.channel(channel));
        if values.clone().next().is_none() { f64::NAN } else { values.sum() }
    };
    Some(Day {
        day,
        cpu_mean: mean(known(cpu)),
        cpu_peak: greatest(known(rows.cpu_peak())),
        disk_mb: sum(Channel::Disk),
        net_in_mb: sum(Channel::NetIn),
        net_out_mb: sum(Channel::NetOut),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_needs_half_of_its_rows() {
        let mut cpu = vec![2.0; 60];
        cpu[30..45].fill(f64::NAN);
        let net = vec![0.5; 60];
        // From 22:00 on: two hours, a whole day, a day with nine hours known, ten hours.
        let rows = [&cpu[..], &[], &[], &[], &net[..], &[], &[]];
        let rows = Rows::new(22 * 3_600, 3_600, rows).unwrap();
        let days = days(&rows);
        assert_eq!(days.len(), 1);
        assert_eq!((days[0].day, days[0].net_mb(), days[0].cpu_peak), (1, 12.0, 2.0));
        assert!(days[0].disk_mb.is_nan());
    }
}
