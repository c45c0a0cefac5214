use std::collections::{BTreeMap, BTreeSet};

use arrow::array::AsArray;
use arrow::datatypes::{Date32Type, Decimal128Type, Float32Type, Int32Type};
use proptest::prelude::*;

use super::*;
use crate::account::change::tests::{LATENESS, Row, UNIT, changes, watermark};
use crate::bill::REASON;
use crate::schema::cost::DAY;
use crate::schema::{column, texts, times};
use crate::snapshot::{Extent, chunks, restore};

fn kernel() -> Anomalies {
    let config = AnomalyConfig {
        history_days: 42,
        min_history_days: 14,
        restated_days: 30,
        ..AnomalyConfig::default()
    };
    Anomalies::new("bills", &config, i64::from(LATENESS) * DAY_US).unwrap()
}

/// An account's steady days: three services at 100, 50 and 20 with a little noise.
fn steady(account: u8, days: std::ops::Range<i32>) -> Vec<Row> {
    let row = |day: i32, service: u8| {
        let noise = i128::from((day * 37 + i32::from(service) * 11) % 7 - 3);
        let base = [100, 50, 20][usize::from(service)];
        (day, day, account, service, base * UNIT + noise * UNIT / 4)
    };
    days.flat_map(|day| (0..3).map(move |service| row(day, service))).collect()
}

/// One anomaly's last row: state, reason, and amounts.
#[derive(Debug, Clone, PartialEq)]
struct Last {
    state: String,
    row: String,
    causes: Vec<String>,
}

type Truth = BTreeMap<String, Last>;

fn line(batch: &RecordBatch, row: usize) -> String {
    let cell = |at: usize| {
        let array = batch.column(at);
        arrow::util::display::array_value_to_string(array, row).unwrap()
    };
    (0..batch.num_columns()).map(cell).collect::<Vec<_>>().join("|")
}

/// The last rows of every anomaly, checking that each dimension's causes sum to its anomaly.
fn fold(truth: &mut Truth, found: Option<(RecordBatch, RecordBatch)>) {
    let Some((anomalies, causes)) = found else { return };
    let ids = texts(&anomalies, ANOMALY_ID).unwrap();
    let states = texts(&anomalies, STATE).unwrap();
    let money = |batch: &RecordBatch, name: &str| {
        column(batch, name).unwrap().as_primitive::<Decimal128Type>().clone()
    };
    let (expected, actual) = (money(&anomalies, EXPECTED), money(&anomalies, ACTUAL));
    let (part_expected, part_actual) = (money(&causes, EXPECTED), money(&causes, ACTUAL));
    for row in 0..anomalies.num_rows() {
        let mut sums: BTreeMap<String, (i128, i128)> = BTreeMap::new();
        let mut lines = Vec::new();
        for part in 0..causes.num_rows() {
            if texts(&causes, ANOMALY_ID).unwrap().value(part) != ids.value(row) {
                continue;
            }
            let dimension = texts(&causes, DIMENSION).unwrap().value(part).to_owned();
            let sum = sums.entry(dimension).or_default();
            sum.0 += part_expected.value(part);
            sum.1 += part_actual.value(part);
            lines.push(line(&causes, part));
        }
        assert!(sums.len() >= 4, "{:?}", sums.keys());
        for (dimension, sum) in sums {
            assert_eq!(sum, (expected.value(row), actual.value(row)), "{dimension}");
        }
        let last =
            Last { state: states.value(row).to_owned(), row: line(&anomalies, row), causes: lines };
        truth.insert(ids.value(row).to_owned(), last);
    }
}

fn first_cause(causes: &RecordBatch, dimension: &str) -> Option<String> {
    let dimensions = texts(causes, DIMENSION).unwrap();
    let ranks = column(causes, RANK).unwrap().as_primitive::<Int32Type>();
    let is_first = |row: &usize| dimensions.value(*row) == dimension && ranks.value(*row) == 1;
    let row = (0..causes.num_rows()).find(is_first)?;
    Some(texts(causes, NAME).unwrap().value(row).to_owned())
}

#[test]
fn a_strange_day_is_divided_among_its_causes_and_retracted_by_its_correction() {
    let mut operator = kernel();
    let mut rows = steady(1, 0..60);
    rows.push((50, 50, 1, 1, 130 * UNIT));
    operator.push(&changes(&rows)).unwrap();
    let (anomalies, causes) = operator.advance(watermark(58)).unwrap().unwrap();
    assert_eq!(anomalies.num_rows(), 1, "{anomalies:?}");
    assert_eq!(texts(&anomalies, STATE).unwrap().value(0), "open");
    for (dimension, name) in [("service", "service1"), ("tag:team", "t0"), ("region", "")] {
        assert_eq!(first_cause(&causes, dimension).unwrap(), name, "{dimension}");
    }
    let deviation = column(&anomalies, DEVIATION).unwrap().as_primitive::<Decimal128Type>();
    assert!((deviation.value(0) / UNIT - 130).abs() < 8, "{}", deviation.value(0));
    assert!(operator.advance(watermark(59)).unwrap().is_none(), "it is said once");

    // Half of it is taken back: still strange, and said anew; then all of it.
    operator.push(&changes(&[(59, 50, 1, 1, -65 * UNIT)])).unwrap();
    let (anomalies, _) = operator.advance(watermark(59)).unwrap().unwrap();
    assert_eq!(texts(&anomalies, STATE).unwrap().value(0), "open");
    operator.push(&changes(&[(59, 50, 1, 1, -65 * UNIT)])).unwrap();
    let (anomalies, causes) = operator.advance(watermark(59)).unwrap().unwrap();
    assert_eq!(texts(&anomalies, STATE).unwrap().value(0), "retracted");
    assert_eq!(texts(&anomalies, REASON).unwrap().value(0), "correction");
    let money = |name: &str| {
        column(&anomalies, name).unwrap().as_primitive::<Decimal128Type>().value(0) / UNIT
    };
    assert!(money(AT_CLOSE) > 295 && money(ACTUAL) < 175, "before and after are kept");
    assert!(causes.num_rows() > 0);
    fold(&mut Truth::new(), Some((anomalies, causes)));
}

#[test]
fn a_day_doubled_later_is_opened_then_and_withdrawn_when_it_is_undone() {
    let mut operator = kernel();
    operator.push(&changes(&steady(1, 0..60))).unwrap();
    assert!(operator.advance(watermark(58)).unwrap().is_none());
    operator.push(&changes(&[(58, 40, 1, 0, 100 * UNIT)])).unwrap();
    let (anomalies, _) = operator.advance(watermark(58)).unwrap().unwrap();
    assert_eq!(texts(&anomalies, STATE).unwrap().value(0), "open");
    operator.push(&changes(&[(58, 40, 1, 0, -100 * UNIT)])).unwrap();
    let (anomalies, _) = operator.advance(watermark(58)).unwrap().unwrap();
    assert_eq!(texts(&anomalies, STATE).unwrap().value(0), "withdrawn");
    // What comes after the last day of restatement changes nothing here.
    operator.push(&changes(&[(80, 40, 1, 0, 100 * UNIT)])).unwrap();
    assert!(operator.advance(watermark(58)).unwrap().is_none());
}

#[test]
fn a_run_of_strange_days_is_one_event_until_it_is_the_level() {
    let mut operator = kernel();
    let mut rows = steady(1, 0..70);
    rows.extend((45..70).map(|day| (day, day, 1, 2, 90 * UNIT)));
    operator.push(&changes(&rows)).unwrap();
    let (anomalies, _) = operator.advance(watermark(70)).unwrap().unwrap();
    assert_eq!(anomalies.num_rows(), 7);
    let events: Vec<_> = texts(&anomalies, EVENT_ID).unwrap().iter().flatten().collect();
    let first = texts(&anomalies, ANOMALY_ID).unwrap().value(0);
    assert!(events.iter().all(|event| *event == first), "{events:?}");
}

/// Days that are off, of an account that costs 170 a day, `spikes` more on some, and of which something
/// was said.
fn off(spikes: &[(i32, i128)], said: Option<(Feedback, i32, f64)>) -> Vec<i32> {
    let mut operator = kernel();
    let mut rows = steady(1, 0..80);
    rows.extend(spikes.iter().map(|(day, amount)| (*day, *day, 1, 1, amount * UNIT)));
    rows.sort_by_key(|row| row.0);
    let (before, after): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(|row| row.0 < 52);
    operator.push(&changes(&before)).unwrap();
    let first = operator.advance(watermark(51)).unwrap();
    if let Some((feedback, day, errors)) = said {
        let (entity, currency) = ("account1".to_owned(), "USD".to_owned());
        let amount = 170.0 + errors * 5.0;
        let label =
            Label { entity, currency, service: None, day, feedback, amount, errors, from: 52 };
        operator.label(&label);
    }
    operator.push(&changes(&after)).unwrap();
    let then = operator.advance(watermark(80)).unwrap();
    let days = [first, then].into_iter().flatten().flat_map(|(anomalies, _)| {
        let days = column(&anomalies, DAY).unwrap().as_primitive::<Date32Type>();
        days.values().to_vec()
    });
    days.collect()
}

#[test]
fn what_is_said_of_a_day_bears_on_days_that_close_after() {
    let spikes = [(50, 60), (60, 55), (65, -60), (70, 120)];
    assert_eq!(off(&spikes, None), [50, 60, 65, 70]);
    // As far off to that side is usual now; more, or to the other side, is not.
    assert_eq!(off(&spikes, Some((Feedback::No, 50, 17.0))), [50, 65, 70]);
    let raised: Vec<(i32, i128)> = (50..80).map(|day| (day, 60)).collect();
    assert_eq!(off(&raised, None), (50..57).collect::<Vec<_>>());
    assert_eq!(off(&raised, Some((Feedback::Planned, 50, 12.0))), [50, 51]);
    // What was one is no precedent: the level takes a day longer to be one.
    assert_eq!(off(&raised, Some((Feedback::Yes, 50, 12.0))), (50..58).collect::<Vec<_>>());
}

#[test]
fn what_is_forgotten_is_what_no_verdict_needs() {
    let mut operator = kernel();
    for day in 0..400 {
        operator.push(&changes(&steady(1, day..day + 1))).unwrap();
        operator.advance(watermark(day)).unwrap();
    }
    let (accounts, amounts) = operator.size();
    assert_eq!(accounts, 1);
    assert!((3 * 72..3 * 100).contains(&amounts), "{amounts}");
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let refused = |config: AnomalyConfig| {
        assert!(Anomalies::new("bills", &config, 0).is_err(), "{config:?}");
    };
    refused(AnomalyConfig { sensitivity: f64::NAN, ..AnomalyConfig::default() });
    refused(AnomalyConfig { min_impact: -1.0, ..AnomalyConfig::default() });
    refused(AnomalyConfig { history_days: 3, ..AnomalyConfig::default() });
    refused(AnomalyConfig { min_history_days: 99, ..AnomalyConfig::default() });
    assert!(kernel().push(&RecordBatch::new_empty(anomaly_schema())).is_err());
}

/// Steady accounts with disturbances, ordered by when they became known.
fn bills() -> impl Strategy<Value = Vec<Row>> {
    let disturbance = (20..60i32, 0..40i32, 0..2u8, 0..3u8, -120..300i128);
    proptest::collection::vec(disturbance, 1..12).prop_map(|disturbances| {
        let mut rows = steady(0, 0..64);
        rows.extend(steady(1, 5..64));
        // A service that is new in the middle.
        rows.extend((50..64).map(|day| (day, day, 0, 5, 2 * UNIT)));
        rows.extend(disturbances.iter().map(|&(day, after, account, service, amount)| {
            ((day + after).min(63), day, account, service, amount * UNIT)
        }));
        rows.sort_by_key(|row| row.0);
        rows
    })
}

/// What became of alerts, in order: event, first and last day told of, account, and service.
fn alerts(operator: &mut Anomalies) -> Vec<(String, i64, i64, String)> {
    let Some(rows) = operator.take_alerts() else { return Vec::new() };
    let day = |name: &str, row: usize| times(&rows, name).unwrap()[row] / DAY_US;
    let text = |name: &str, row: usize| texts(&rows, name).unwrap().value(row).to_owned();
    let told = (0..rows.num_rows()).map(|row| {
        (text("event", row), day("window_start", row), day("at", row), text("top_channel", row))
    });
    told.collect()
}

fn told(event: &str, day: i64, at: i64, service: &str) -> (String, i64, i64, String) {
    (event.to_owned(), day, at, service.to_owned())
}

#[test]
fn an_event_worth_looking_at_is_an_alert_until_a_day_behind_it_is_judged() {
    let mut operator = kernel();
    let mut rows = steady(1, 0..55);
    rows.retain(|row| row.1 != 53);
    rows.extend([(50, 50, 1, 1, 130 * UNIT), (52, 52, 1, 1, 90 * UNIT), (51, 51, 1, 1, 90 * UNIT)]);
    rows.sort_by_key(|row| row.0);
    operator.push(&changes(&rows)).unwrap();
    operator.advance(watermark(53)).unwrap();
    let batch = operator.alerts.clone().unwrap();
    let value = |name: &str| column(&batch, name).unwrap().as_primitive::<Float32Type>().value(0);
    assert!(value("score") > 3.0 * value("threshold") && value("threshold") > 0.0, "{batch:?}");
    assert_eq!(alerts(&mut operator), [told("opened", 50, 51, "service1")]);
    // Its second and third days add nothing, nor does a day without charges, which is not judged.
    operator.advance(watermark(56)).unwrap();
    assert_eq!(alerts(&mut operator), []);
    operator.advance(watermark(57)).unwrap();
    // Its week's pattern is exact: on that day no service is off.
    assert_eq!(alerts(&mut operator), [told("closed", 54, 55, "")]);
    operator.advance(Watermark::MAX).unwrap();
    assert_eq!(alerts(&mut operator), []);
}

#[test]
fn what_is_too_little_raises_no_alert_and_what_grows_does() {
    let config = AnomalyConfig {
        history_days: 42,
        min_history_days: 14,
        min_impact: 100.0,
        ..AnomalyConfig::default()
    };
    let mut operator = Anomalies::new("bills", &config, i64::from(LATENESS) * DAY_US).unwrap();
    let mut rows = steady(1, 0..60);
    rows.extend([(50, 50, 1, 1, 60 * UNIT), (51, 51, 1, 1, 140 * UNIT), (55, 55, 1, 1, 60 * UNIT)]);
    operator.push(&changes(&rows)).unwrap();
    let (anomalies, _) = operator.advance(Watermark::MAX).unwrap().unwrap();
    assert_eq!(anomalies.num_rows(), 3);
    let batch = operator.alerts.clone().unwrap();
    // The alert is the event's, whose first day was too little.
    let event = texts(&anomalies, EVENT_ID).unwrap().value(0);
    assert_eq!(event, texts(&anomalies, ANOMALY_ID).unwrap().value(0));
    assert!(texts(&batch, "alert_id").unwrap().iter().all(|id| id == Some(event)), "{batch:?}");
    let want = [told("opened", 51, 52, "service1"), told("closed", 52, 53, "service1")];
    let found = alerts(&mut operator);
    assert_eq!(found.iter().map(|row| &row.0).collect::<Vec<_>>(), ["opened", "closed"]);
    assert_eq!((&found[0], found[1].1, found[1].2), (&want[0], want[1].1, want[1].2));
}

#[test]
fn an_alert_is_retracted_once_corrections_leave_no_strange_day() {
    let mut operator = kernel();
    let mut rows = steady(1, 0..70);
    rows.extend([(50, 50, 1, 1, 130 * UNIT), (51, 51, 1, 1, 130 * UNIT)]);
    operator.push(&changes(&rows)).unwrap();
    operator.advance(watermark(58)).unwrap();
    let found = alerts(&mut operator);
    assert_eq!(found[0], told("opened", 50, 51, "service1"));
    assert_eq!((found.len(), &*found[1].0, found[1].2), (2, "closed", 53));
    // One of two days is put right, then for a while the other, and then for good.
    let mut on = |known_on: i32, day: i32, amount: i128| {
        operator.push(&changes(&[(known_on, day, 1, 1, amount * UNIT)])).unwrap();
        operator.advance(watermark(known_on)).unwrap();
        let before = alerts(&mut operator);
        operator.advance(watermark(known_on + 1)).unwrap();
        [before, alerts(&mut operator)]
    };
    assert_eq!(on(58, 50, -130), [vec![], vec![]]);
    let retracted = vec![told("retracted", 50, 61, "service1")];
    assert_eq!(on(60, 51, -130), [vec![], retracted], "once the day is over on which it came");
    assert_eq!(on(62, 51, 130), [vec![], vec![]]);
    assert_eq!(on(64, 51, -130), [vec![], vec![]], "it is said once");
}

#[test]
fn an_event_that_goes_on_is_not_retracted_and_one_made_by_a_correction_is_no_alert() {
    let mut operator = kernel();
    let mut rows = steady(1, 0..70);
    rows.extend((50..53).map(|day| (day, day, 1, 1, 130 * UNIT)));
    operator.push(&changes(&rows)).unwrap();
    operator.advance(watermark(53)).unwrap();
    assert_eq!(alerts(&mut operator), [told("opened", 50, 51, "service1")]);
    operator.push(&changes(&[(53, 50, 1, 1, -130 * UNIT), (53, 40, 1, 1, 200 * UNIT)])).unwrap();
    operator.advance(watermark(55)).unwrap();
    assert_eq!(alerts(&mut operator), []);
    operator.push(&changes(&[(57, 51, 1, 1, -130 * UNIT), (57, 52, 1, 1, -130 * UNIT)])).unwrap();
    operator.advance(watermark(70)).unwrap();
    let found = alerts(&mut operator);
    let events: Vec<_> = found.iter().map(|row| (&*row.0, row.1, row.2)).collect();
    assert_eq!(events, [("closed", 53, 54), ("retracted", 50, 58)]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_last_word_on_a_day_does_not_depend_on_cuts_or_restarts(
        rows in bills(),
        cuts in proptest::collection::vec(0..400usize, 1..12),
        changed in any::<bool>(),
    ) {
        let mut whole = Truth::new();
        let mut operator = kernel();
        operator.push(&changes(&rows)).unwrap();
        fold(&mut whole, operator.advance(Watermark::MAX).unwrap());
        let raised = |operator: &mut Anomalies| {
            let rows = operator.take_alerts();
            rows.into_iter().flat_map(|rows| (0..rows.num_rows()).map(move |row| line(&rows, row)))
        };
        let want: BTreeSet<String> = raised(&mut operator).collect();

        let mut ends: Vec<usize> = cuts.into_iter().map(|cut| cut.min(rows.len())).collect();
        ends.push(rows.len());
        ends.sort_unstable();
        let mut parts = Truth::new();
        let mut told: Vec<String> = Vec::new();
        let mut operator = kernel();
        let mut states: Vec<Vec<RecordBatch>> = Vec::new();
        let mut start = 0;
        for end in ends {
            let epoch = &rows[start..end];
            start = end;
            if !epoch.is_empty() {
                operator.push(&changes(epoch)).unwrap();
                let known_on = epoch[epoch.len() - 1].0;
                fold(&mut parts, operator.advance(watermark(known_on)).unwrap());
                told.extend(raised(&mut operator));
            }
            let extent = if changed { Extent::Changed } else { Extent::Whole };
            if !changed { states.clear(); }
            states.push(chunks(&operator, extent).collect::<Result<_>>().unwrap());
            operator = kernel();
            restore(&mut operator, &states, |_| true).unwrap();
        }
        fold(&mut parts, operator.advance(Watermark::MAX).unwrap());
        told.extend(raised(&mut operator));
        told.sort();
        prop_assert_eq!(told, want.into_iter().collect::<Vec<_>>(), "alerts");
        parts.retain(|_, last| last.state != "withdrawn");
        for (id, last) in &whole {
            prop_assert_eq!(parts.get(id), Some(last), "of the whole");
        }
        prop_assert_eq!(parts.len(), whole.len());
    }
}
