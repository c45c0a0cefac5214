//! `evaluate cost`: on bills made here, and on the public sets where the environment says where they are.

use std::path::{Path, PathBuf};

use cloudops_models::evaluate::Silent;
use cloudops_models::evaluate::cost::{
    ChampionRow, CostEvaluation, CostModel, CostOptions, CostRow, CostSet, evaluate_cost,
};
use cloudops_models::forecast::backtest::{Panel, earlier};
use cloudops_models::forecast::champion::{Champion, ENSEMBLE, calibrated, choose};
use cloudops_models::forecast::ets::Ets;
use cloudops_models::forecast::prophet::Prophet;
use cloudops_models::forecast::robust::Robust;
use cloudops_models::forecast::seasonal_naive::SeasonalNaive;
use cloudops_models::forecast::theta::Theta;
use cloudops_models::forecast::{Cadence, Forecaster, History};
use proptest::prelude::*;

/// The names that others read: a change breaks them.
const FIELDS: [&str; 10] = [
    "set",
    "series",
    "model",
    "horizon_days",
    "origins",
    "wape_total",
    "wape_daily",
    "mase",
    "coverage_80",
    "bias",
];

/// Models that take least time.
const QUICK: [CostModel; 3] = [CostModel::SeasonalNaive, CostModel::Ets, CostModel::Robust];

/// A bill of so many days from 2020-01-01 on, with a missing day, whose weekends are cheaper.
fn bill(dir: &Path, days: usize) {
    let mut text = String::from("date,total_usd,category:compute,project:a\n");
    for day in (0..days).filter(|day| *day != 50) {
        let cost = 100.0 + 0.1 * day as f64 - if day % 7 > 4 { 30.0 } else { 0.0 };
        let (year, month, date) = civil(18_262 + day as i32);
        let part = 0.6 * cost;
        text += &format!("{year:04}-{month:02}-{date:02},{cost:.3},{part:.3},{cost:.3}\n");
    }
    std::fs::create_dir_all(dir).expect("a temporary directory can be written to");
    std::fs::write(dir.join("daily_cost.csv"), text).expect("so can a file in it");
}

/// Year, month and day of a day since 1970-01-01, by counting.
fn civil(mut days: i32) -> (i32, i32, i32) {
    let mut year = 1970;
    let leap = |year: i32| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    while days >= 365 + i32::from(leap(year)) {
        days -= 365 + i32::from(leap(year));
        year += 1;
    }
    let february = 28 + i32::from(leap(year));
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    (year, month as i32 + 1, days + 1)
}

#[test]
fn a_bill_with_a_pattern_is_forecast_well_and_told_in_the_agreed_fields() {
    let dir = tempfile::tempdir().unwrap();
    bill(&dir.path().join("mybinder_gcp_cost"), 260);
    let options = CostOptions { models: QUICK.to_vec(), ..CostOptions::default() };
    let found = evaluate_cost(dir.path(), &options, &mut Silent).unwrap();
    // The project is the total again: it is not counted twice.
    let series: std::collections::BTreeSet<&str> = found.rows.iter().map(|r| &*r.series).collect();
    assert_eq!(series.into_iter().collect::<Vec<_>>(), ["category:compute", "total"]);
    assert_eq!(found.rows.len(), 2 * QUICK.len() * 3);
    for row in &found.rows {
        assert!(row.origins >= 6 && row.wape_total < 0.08, "{row:?}");
        assert!(row.coverage_80 > 0.5, "{row:?}");
    }
    let ets = found.rows.iter().find(|row| row.model == "ets" && row.horizon_days == 30).unwrap();
    assert!(ets.wape_total < 0.02 && ets.mase.unwrap() < 1.0, "{ets:?}");

    let json: Vec<serde_json::Map<String, serde_json::Value>> =
        serde_json::from_str(&found.to_json()).unwrap();
    for row in &json {
        let mut names: Vec<&str> = row.keys().map(String::as_str).collect();
        let mut fields = FIELDS;
        names.sort_unstable();
        fields.sort_unstable();
        assert_eq!(names, fields);
    }
    let rows: Vec<CostRow> = serde_json::from_str(&found.to_json()).unwrap();
    assert_eq!(rows, found.rows);
    let alone = CostOptions { threads: 1, ..options };
    assert_eq!(evaluate_cost(dir.path(), &alone, &mut Silent).unwrap(), found);
}

#[test]
fn directories_without_what_is_asked_for_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let options = CostOptions { models: QUICK.to_vec(), ..CostOptions::default() };
    let refusal = |options: &CostOptions| {
        evaluate_cost(dir.path(), options, &mut Silent).unwrap_err().to_string()
    };
    assert!(refusal(&options).contains("holds none of mybinder_gcp_cost"));
    bill(&dir.path().join("mybinder_gcp_cost"), 80);
    let text = refusal(&CostOptions { sets: vec![CostSet::Mybinder], ..options.clone() });
    assert!(text.contains("no mybinder series long enough"), "{text}");
    bill(&dir.path().join("mybinder_gcp_cost"), 120);
    assert!(evaluate_cost(dir.path(), &options, &mut Silent).is_ok());
    let sets = vec![CostSet::Mybinder, CostSet::Radian];
    assert!(refusal(&CostOptions { sets, ..options }).contains("no radian series"));
}

fn members() -> Vec<Box<dyn Forecaster>> {
    let prophet = Prophet { samples: 20, ..Prophet::default() };
    vec![
        Box::new(SeasonalNaive),
        Box::new(Ets),
        Box::new(Theta),
        Box::new(Robust),
        Box::new(prophet),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever comes after an origin, what is said, chosen and calibrated at it stays the same.
    #[test]
    fn nothing_after_the_origin_is_seen(
        values in prop::collection::vec(0.0..1000.0_f64, 70..110),
        later in 0.0..1e6_f64,
    ) {
        let origin = 56;
        let mut origins = earlier(Cadence::Daily, origin);
        origins.push(origin);
        let said = |values: &[f64]| {
            let history = History::new(Cadence::Daily, 18_000, values);
            let panel = Panel::new(history, &mut members(), &origins, 30, 1).unwrap();
            let candidates = panel.names().to_vec().into_iter().chain([ENSEMBLE]);
            let all: Vec<_> =
                candidates.map(|candidate| calibrated(&panel, candidate, origin)).collect();
            (choose(&panel, origin), all)
        };
        let before = said(&values);
        let mut other = values.clone();
        other[origin..].iter_mut().for_each(|value| *value = later);
        prop_assert_eq!(said(&other), before.clone());
        // And the champion, asked with nothing but the history, says what the panel does.
        let known = History::new(Cadence::Daily, 18_000, &values[..origin]);
        let (_, choice) = Champion::new(members()).decide(&known, 30, 1).unwrap();
        prop_assert_eq!(choice, before.0);
    }

    /// Quantiles are in order and nothing that cannot be is said, whatever the history.
    #[test]
    fn quantiles_are_in_order(
        values in prop::collection::vec(
            prop_oneof![Just(0.0), Just(f64::NAN), 0.0..1e3_f64, 1e5..1e6_f64], 1..90,
        ),
    ) {
        prop_assume!(values.iter().any(|value| value.is_finite()));
        let history = History::new(Cadence::Daily, 18_000, &values);
        for member in &mut members() {
            let said = member.forecast(&history, 45, 1).unwrap();
            prop_assert_eq!((said.days.len(), said.totals.len()), (45, 45));
            for q in said.days.iter().chain(&said.totals) {
                prop_assert!(q.p10 >= 0.0 && q.p10 <= q.p50 && q.p50 <= q.p90, "{} {q:?}", member.name());
                prop_assert!(q.p90.is_finite(), "{} {q:?}", member.name());
            }
        }
    }
}

/// The real sets, where the environment says they are; else the test is skipped.
fn real() -> Option<PathBuf> {
    let dir = std::env::var_os("CLOUDOPS_DATASETS");
    if dir.is_none() {
        eprintln!("skipped: CLOUDOPS_DATASETS is not set");
    }
    dir.map(Into::into)
}

#[test]
fn real_sets_are_read_and_judged() {
    let Some(dir) = real() else { return };
    let sets = vec![CostSet::Mybinder, CostSet::Radian, CostSet::Elec2, CostSet::Nab];
    let options = CostOptions { quick: true, sets: sets.clone(), ..CostOptions::default() };
    let found = evaluate_cost(&dir, &options, &mut Silent).unwrap();
    for set in sets {
        for model in CostModel::ALL {
            for horizon in [30, 60, 90] {
                let key = (set.name(), model.name(), horizon);
                let is_it = |row: &&CostRow| (&*row.set, &*row.model, row.horizon_days) == key;
                let row = found.rows.iter().find(is_it).unwrap();
                assert!(row.wape_total < 1.0 && row.wape_daily < 1.0, "{row:?}");
                assert!((0.0..=1.0).contains(&row.coverage_80) && row.origins >= 6, "{row:?}");
            }
        }
    }
    assert!(!found.champions.is_empty());
    let text = found.to_markdown();
    assert!(text.contains("cloudops evaluate cost --data DIR --sets mybinder"), "{text}");
}

#[test]
fn the_committed_report_is_what_its_rows_say() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("evaluation");
    let read = |file: &str| std::fs::read_to_string(dir.join(file)).unwrap();
    let report = read("cost.md");
    let notes = report.split("## How\n\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let champions: Vec<ChampionRow> = serde_json::from_str(&read("cost-champions.json")).unwrap();
    let committed = CostEvaluation {
        rows: serde_json::from_str(&read("cost.json")).unwrap(),
        champions,
        notes: notes.lines().map(|note| note.trim_start_matches("- ").to_owned()).collect(),
        command: "cloudops evaluate cost --data DIR".to_owned(),
    };
    assert_eq!(committed.to_markdown(), report);
    assert_eq!(committed.to_json(), read("cost.json"));
    assert_eq!(committed.champions_to_json(), read("cost-champions.json"));
    let (file, chart) = committed.chart();
    assert_eq!(chart.to_svg(), read(&file));
}

#[test]
#[ignore = "rewrites models/evaluation from the real sets"]
fn the_committed_report() {
    let dir = real().expect("CLOUDOPS_DATASETS names the real sets");
    let found = evaluate_cost(&dir, &CostOptions::default(), &mut Silent).unwrap();
    let output = std::env::var_os("COST_OUTPUT").map(PathBuf::from);
    let output = output.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("evaluation"));
    found.write(&output).unwrap();
}
