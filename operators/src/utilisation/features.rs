//! The vector that a forest reads.

use super::daily::{Day, days};
use super::regularity::{Bursts, autocorrelation, hour_share};
use super::rule::{RULE_DAYS, is_idle, is_low};
use super::{Channel, DAY, Rows, greatest, known, mean, quantile, sorted};

/// Names of the features, in order. CPU and memory in per cent, traffic in MB a day, shares from 0 to 1.
pub const FEATURES: [&str; 39] = [
    // CPU
    "cpu_mean",
    "cpu_p50",
    "cpu_p95",
    "cpu_p99",
    "cpu_peak",
    "cpu_std",
    "cpu_share_under_2",
    "cpu_share_under_5",
    "cpu_share_under_10",
    "cpu_peak_to_mean",
    "cpu_peak_last_14_days",
    "cpu_trend_week",
    "cpu_last_week_ratio",
    // Memory, disk
    "memory_mean",
    "memory_std",
    "disk_mb_day",
    "disk_peak_to_mean",
    // Network
    "net_mb_day",
    "net_mb_day_max",
    "net_mb_day_p50",
    "net_in_share",
    "net_peak_to_mean",
    "net_last_week_ratio",
    // Connections
    "connections_mean",
    "connections_peak",
    "connections_share_seen",
    // Idle days
    "low_days_14",
    "idle_days_14",
    "low_days_share",
    "idle_days_share",
    "days_since_active",
    // Regularity
    "cpu_autocorrelation_day",
    "cpu_autocorrelation_week",
    "net_autocorrelation_day",
    "cpu_hour_share",
    "cpu_weekend_ratio",
    "burst_days_week",
    "burst_recurrence",
    "days_since_burst",
];

/// Below this a mean is that of nothing: ratios to it are not formed.
const NOTHING: f64 = 1e-6;
/// Days of a week of which ratios are formed.
const WEEK_DAYS: i64 = 7;
/// A row has connections where the mean number reaches this.
pub(super) const CONNECTION_MIN: f64 = 0.5;

/// The features of a resource's rows, by [`FEATURES`]; `NaN` where what they need is not known.
///
/// The rows should be those of the lookback ([`super::LOOKBACK_DAYS`]); fewer give what they can.
#[must_use]
pub fn features(rows: &Rows<'_>) -> [f64; FEATURES.len()] {
    let days = days(rows);
    let mut all = Vec::with_capacity(FEATURES.len());
    all.extend(of_cpu(rows, &days));
    all.extend(of_memory_and_disk(rows, &days));
    all.extend(of_network(rows, &days));
    all.extend(of_connections(rows));
    all.extend(of_idle_days(rows, &days));
    all.extend(of_regularity(rows, &days));
    let mut vector = [f64::NAN; FEATURES.len()];
    vector.copy_from_slice(&all);
    vector
}

fn of_cpu(rows: &Rows<'_>, days: &[Day]) -> [f64; 13] {
    let cpu = rows.channel(Channel::Cpu);
    let in_order = sorted(cpu);
    let middle = mean(known(cpu));
    let deviation = mean(known(cpu).map(|value| (value - middle) * (value - middle))).sqrt();
    let peak = greatest(known(rows.cpu_peak()));
    let under = |limit: f64| mean(known(cpu).map(|value| f64::from(value < limit)));
    [
        middle,
        quantile(&in_order, 0.5),
        quantile(&in_order, 0.95),
        quantile(&in_order, 0.99),
        peak,
        deviation,
        under(2.0),
        under(5.0),
        under(10.0),
        ratio(peak, middle),
        greatest(known(rows.last_days(RULE_DAYS).cpu_peak())),
        slope(days, |day| day.cpu_mean) * WEEK_DAYS as f64,
        last_week_ratio(rows, days, |day| day.cpu_mean),
    ]
}

fn of_memory_and_disk(rows: &Rows<'_>, days: &[Day]) -> [f64; 4] {
    let memory = rows.channel(Channel::Memory);
    let middle = mean(known(memory));
    let deviation = mean(known(memory).map(|value| (value - middle) * (value - middle))).sqrt();
    let disk: Vec<f64> = days.iter().map(|day| day.disk_mb).collect();
    let disk_mean = mean(known(&disk));
    [middle, deviation, disk_mean, ratio(greatest(known(&disk)), disk_mean)]
}

fn of_network(rows: &Rows<'_>, days: &[Day]) -> [f64; 6] {
    let net: Vec<f64> = days.iter().map(Day::net_mb).collect();
    let net_in: Vec<f64> = days.iter().map(|day| day.net_in_mb).collect();
    let total = mean(known(&net));
    let of_rows = traffic(rows);
    [
        total,
        greatest(known(&net)),
        quantile(&sorted(&net), 0.5),
        ratio(mean(known(&net_in)), total),
        ratio(greatest(known(&of_rows)), mean(known(&of_rows))),
        last_week_ratio(rows, days, Day::net_mb),
    ]
}

fn of_connections(rows: &Rows<'_>) -> [f64; 3] {
    let connections = known(rows.channel(Channel::Connections));
    [
        mean(connections.clone()),
        greatest(connections.clone()),
        mean(connections.map(|count| f64::from(count >= CONNECTION_MIN))),
    ]
}

fn of_idle_days(rows: &Rows<'_>, days: &[Day]) -> [f64; 5] {
    let from = (rows.end() - RULE_DAYS * DAY).div_euclid(DAY);
    let share = |all: &mut dyn Iterator<Item = bool>| mean(all.map(f64::from));
    let last = days.iter().filter(|day| day.day >= from);
    let end = rows.end().div_euclid(DAY);
    let first = days.first().map_or(f64::NAN, |day| (end - day.day) as f64);
    let active = days.iter().rev().find(|day| !is_idle(day));
    [
        share(&mut last.clone().map(is_low)),
        share(&mut last.map(is_idle)),
        share(&mut days.iter().map(is_low)),
        share(&mut days.iter().map(is_idle)),
        active.map_or(first, |day| (end - day.day) as f64),
    ]
}

fn of_regularity(rows: &Rows<'_>, days: &[Day]) -> [f64; 8] {
    let cpu = rows.channel(Channel::Cpu);
    let day = rows.per_day();
    let bursts = Bursts::of(rows);
    let of_bursts = |of: &dyn Fn(&Bursts) -> f64| bursts.as_ref().map_or(f64::NAN, of);
    // 1970-01-01 was a Thursday: Saturday and Sunday are 2 and 3 days after it.
    let weekend = |day: &&Day| matches!(day.day.rem_euclid(7), 2 | 3);
    let of = |is_weekend: bool| {
        let of = days.iter().filter(|day| weekend(day) == is_weekend);
        mean(of.map(|day| day.cpu_mean))
    };
    [
        autocorrelation(cpu, day),
        autocorrelation(cpu, 7 * day),
        autocorrelation(&traffic(rows), day),
        hour_share(rows, cpu),
        ratio(of(true), of(false)),
        of_bursts(&|bursts| bursts.days_a_week(rows)),
        of_bursts(&|bursts| bursts.daily(rows).max(bursts.weekly(rows))),
        of_bursts(&|bursts| bursts.days_since(rows)),
    ]
}

/// Received and sent of each row; one of them where only one is measured.
fn traffic(rows: &Rows<'_>) -> Vec<f64> {
    match (rows.channel(Channel::NetIn), rows.channel(Channel::NetOut)) {
        ([], only) | (only, []) => only.to_vec(),
        (received, sent) => received.iter().zip(sent).map(|(a, b)| a + b).collect(),
    }
}

/// `NaN` where there is nothing to compare with.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole.abs() < NOTHING { f64::NAN } else { part / whole }
}

/// Mean of the last week's days over that of all.
fn last_week_ratio(rows: &Rows<'_>, days: &[Day], of: impl Fn(&Day) -> f64) -> f64 {
    let from = (rows.end() - WEEK_DAYS * DAY).div_euclid(DAY);
    let values =
        |from: i64| -> Vec<f64> { days.iter().filter(|day| day.day >= from).map(&of).collect() };
    ratio(mean(known(&values(from))), mean(known(&values(i64::MIN))))
}

/// Slope of the least-squares line over days, a day; 0 of fewer than two.
fn slope(days: &[Day], of: impl Fn(&Day) -> f64) -> f64 {
    let middle = mean(days.iter().map(|day| day.day as f64));
    let value = mean(days.iter().map(&of));
    let (mut above, mut below) = (0.0, 0.0);
    for day in days {
        let along = day.day as f64 - middle;
        above += along * (of(day) - value);
        below += along * along;
    }
    if days.is_empty() {
        return f64::NAN;
    }
    if below < NOTHING { 0.0 } else { above / below }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature(vector: &[f64; FEATURES.len()], name: &str) -> f64 {
        vector[FEATURES.iter().position(|feature| *feature == name).unwrap()]
    }

    #[test]
    fn a_cron_host_is_idle_but_for_what_comes_again() {
        let hours = 0..24 * 28;
        let cpu: Vec<f64> = hours.clone().map(|h| if h % 24 == 3 { 25.0 } else { 1.0 }).collect();
        let net: Vec<f64> = hours.map(|_| 0.1).collect();
        let rows = Rows::new(0, 3_600, [&cpu, &[], &[], &[], &net, &net, &[]]).unwrap();
        let vector = features(&rows);
        let check = |name: &str, value: f64| {
            let found = feature(&vector, name);
            assert!((found - value).abs() < 1e-9, "{name}: {found}");
        };
        check("cpu_mean", 2.0);
        check("cpu_peak", 25.0);
        check("cpu_peak_to_mean", 12.5);
        check("cpu_share_under_5", 23.0 / 24.0);
        check("net_mb_day", 4.8);
        check("net_in_share", 0.5);
        check("low_days_14", 1.0);
        check("idle_days_14", 0.0);
        check("days_since_active", 1.0);
        check("burst_recurrence", 1.0);
        check("cpu_trend_week", 0.0);
        check("cpu_weekend_ratio", 1.0);
        assert!(feature(&vector, "cpu_autocorrelation_day") > 0.9);
        for missing in ["memory_mean", "disk_mb_day", "connections_mean"] {
            assert!(feature(&vector, missing).is_nan(), "{missing}");
        }
    }

    #[test]
    fn five_minutes_and_their_hours_mean_the_same() {
        let hours: Vec<f64> = (0..24 * 28).map(|h| f64::from(h % 24 + h % 7)).collect();
        let fine: Vec<f64> = hours.iter().flat_map(|value| [*value; 12]).collect();
        let of = |cpu: &[f64], step| {
            features(&Rows::new(0, step, [cpu, &[], &[], &[], &[], &[], &[]]).unwrap())
        };
        let (coarse, fine) = (of(&hours, 3_600), of(&fine, 300));
        for name in ["cpu_mean", "cpu_p50", "cpu_autocorrelation_day", "cpu_hour_share"] {
            let (a, b) = (feature(&coarse, name), feature(&fine, name));
            assert!((a - b).abs() < 0.05 * a.abs().max(1.0), "{name}: {a} {b}");
        }
        assert_eq!(feature(&coarse, "burst_recurrence"), feature(&fine, "burst_recurrence"));
    }

    #[test]
    fn nothing_known_gives_nothing() {
        assert!(features(&Rows::new(0, 3_600, [&[]; 7]).unwrap()).iter().all(|v| v.is_nan()));
        let unknown = [f64::NAN; 24 * 28];
        let rows = Rows::new(0, 3_600, [&unknown, &[], &[], &[], &[], &[], &[]]).unwrap();
        assert!(features(&rows).iter().all(|value| value.is_nan()));
    }
}
