//! What is commonly done: an account's total against a moving average, or against a week ago.

use std::collections::{BTreeMap, BTreeSet};

use cloudops_datasets::simulate::incident::Incidents;

use super::Alert;

/// Days of the moving average, and how many of their deviations off is strange.
const AVERAGE_DAYS: usize = 28;
const DEVIATIONS: f64 = 3.0;
/// The share by which a day that differs from that a week before is strange.
const WEEK_SHARE: f64 = 0.3;

/// The baselines' names and alerts.
pub(super) fn alerts(bills: &Incidents) -> Vec<(String, Vec<Alert>)> {
    let totals = totals(bills);
    let all = |is_strange: &dyn Fn(&[f64], f64) -> Option<f64>| -> Vec<Alert> {
        totals.iter().flat_map(|(account, days)| runs(*account, days, is_strange)).collect()
    };
    vec![
        ("mean-3-sigma-28d".to_owned(), all(&against_average)),
        ("same-weekday-30pct".to_owned(), all(&against_last_week)),
    ]
}

/// What each account's days came to when they were charged.
fn totals(bills: &Incidents) -> BTreeMap<u32, Vec<f64>> {
    let mut totals: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for row in bills.rows.iter().filter(|row| !row.corrects) {
        let days = totals.entry(row.account).or_default();
        let day = row.day as usize;
        if days.len() <= day {
            days.resize(day + 1, 0.0);
        }
        days[day] += row.millionths as f64 / 1e6;
    }
    totals
}

/// By how much a day is off, where that is strange.
fn against_average(before: &[f64], day: f64) -> Option<f64> {
    let days = &before[before.len().checked_sub(AVERAGE_DAYS)?..];
    let mean = days.iter().sum::<f64>() / AVERAGE_DAYS as f64;
    let variance = days.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    let deviation = (variance / (AVERAGE_DAYS - 1) as f64).sqrt();
    Some(day - mean).filter(|off| off.abs() > DEVIATIONS * deviation)
}

fn against_last_week(before: &[f64], day: f64) -> Option<f64> {
    let then = before[before.len().checked_sub(7)?];
    Some(day - then).filter(|off| off.abs() > WEEK_SHARE * then.abs())
}

/// Strange days in a row, all above or all below, are one alert.
fn runs(account: u32, days: &[f64], is_strange: &dyn Fn(&[f64], f64) -> Option<f64>) -> Vec<Alert> {
    let mut alerts: Vec<Alert> = Vec::new();
    let mut last: Option<(usize, f64)> = None;
    for (day, value) in days.iter().enumerate() {
        let Some(off) = is_strange(&days[..day], *value) else { continue };
        let goes_on = last.is_some_and(|(before, sign)| before + 1 == day && sign * off > 0.0);
        if !goes_on {
            alerts.push(Alert {
                account,
                days: BTreeSet::new(),
                service: None,
                region: None,
                retracted: BTreeMap::new(),
            });
        }
        if let Some(alert) = alerts.last_mut() {
            alert.days.insert(day as i32);
        }
        last = Some((day, off.signum()));
    }
    alerts
}
