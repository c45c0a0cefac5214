//! Our fit of Prophet against Python's `prophet` on the same series (golden/prophet.py).

use cloudops_models::forecast::prophet::{Component, Prophet, Seasonality};
use cloudops_models::forecast::{Cadence, Forecaster, History};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Golden {
    name: String,
    first: i32,
    monthly: bool,
    holidays: Vec<i32>,
    values: Vec<f64>,
    yhat: Vec<f64>,
    yhat_lower: Vec<f64>,
    yhat_upper: Vec<f64>,
    trend: Vec<f64>,
    weekly: Vec<f64>,
    #[serde(rename = "monthly_effect", default)]
    monthly_effect: Vec<f64>,
    #[serde(default)]
    yearly: Vec<f64>,
    #[serde(rename = "holidays_effect", default)]
    holidays_effect: Vec<f64>,
}

/// A component's name, ours of it, and theirs.
type Part<'a> = (&'a str, fn(&Component) -> f64, &'a [f64]);

fn golden() -> Vec<Golden> {
    serde_json::from_str(include_str!("golden/prophet.json")).expect("prophet.py wrote it")
}

fn model(golden: &Golden) -> Prophet {
    Prophet {
        monthly: if golden.monthly { Seasonality::On } else { Seasonality::Off },
        holidays: if golden.holidays.is_empty() { vec![] } else { vec![golden.holidays.clone()] },
        samples: 2_000,
    }
}

/// The largest difference, in the largest value of the series.
fn apart(ours: &[f64], theirs: &[f64], size: f64) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| (a - b).abs() / size).fold(0.0, f64::max)
}

/// Of the values' largest. Python's optimiser stops near the maximum, ours at it.
const APART_MAX: f64 = 5e-4;

#[test]
fn fit_and_components_are_those_of_python_s_prophet() {
    for golden in golden() {
        let size = golden.values.iter().fold(0.0, |max: f64, v| max.max(v.abs()));
        let history = History::new(Cadence::Daily, golden.first, &golden.values);
        let days: Vec<i32> = (0..golden.yhat.len() as i32).map(|at| golden.first + at).collect();
        let rows = model(&golden).fit(&history).unwrap().components(&days);
        let parts: [Part<'_>; 6] = [
            ("yhat", |row| row.yhat, &golden.yhat),
            ("trend", |row| row.trend, &golden.trend),
            ("weekly", |row| row.weekly, &golden.weekly),
            ("monthly", |row| row.monthly, &golden.monthly_effect),
            ("yearly", |row| row.yearly, &golden.yearly),
            ("holidays", |row| row.holidays, &golden.holidays_effect),
        ];
        for (part, of, theirs) in parts {
            let ours: Vec<f64> = rows.iter().map(of).collect();
            if theirs.is_empty() {
                assert!(ours.iter().all(|value| *value == 0.0), "{} {part}", golden.name);
                continue;
            }
            let apart = apart(&ours, theirs, size);
            eprintln!("{} {part}: {apart:.2e} of the largest value", golden.name);
            assert!(apart <= APART_MAX, "{} {part}: {apart:.2e}", golden.name);
        }
    }
}

#[test]
fn intervals_are_about_as_wide() {
    for golden in golden() {
        let history = History::new(Cadence::Daily, golden.first, &golden.values);
        let ahead = golden.yhat.len() - golden.values.len();
        let found = model(&golden).forecast(&history, ahead, 1).unwrap();
        let from = golden.values.len();
        let theirs: f64 =
            (from..from + ahead).map(|at| golden.yhat_upper[at] - golden.yhat_lower[at]).sum();
        let ours: f64 = found.days.iter().map(|day| day.p90 - day.p10).sum();
        eprintln!("{}: {:.3} times as wide", golden.name, ours / theirs);
        assert!((0.9..1.1).contains(&(ours / theirs)), "{}: {ours} {theirs}", golden.name);
    }
}
