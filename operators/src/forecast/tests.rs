use std::collections::BTreeSet;

use arrow::array::AsArray;
use arrow::datatypes::{Date32Type, Decimal128Type, Int32Type};
use proptest::prelude::*;

use super::*;
use crate::account::change::tests::{LATENESS, Row, UNIT, changes, watermark};
use crate::schema::cost::DAY;
use crate::schema::{ENTITY_ID, column, texts};
use crate::snapshot::{Extent, Snapshot, chunks, restore};

/// Says every day what the last one came to, and the history's sum as an error.
struct Last;

impl Forecaster for Last {
    fn version(&self) -> &str {
        "last-1"
    }

    fn ahead(&mut self, first_day: i32, values: &[f64]) -> Result<Ahead> {
        let last = values[values.len() - 1];
        let day = |at: i32| DayAhead {
            quantiles: [last - 1.0, last, last + 1.0],
            totals: [0.0, last * f64::from(at + 1), 0.0],
            components: Some([f64::from(first_day), 0.0, 0.0, 0.0, last]),
        };
        let sum = values.iter().sum();
        let candidates = vec![("last".to_owned(), Some(sum)), ("other".to_owned(), None)];
        Ok(Ahead { days: (0..3).map(day).collect(), chosen: "last".to_owned(), candidates })
    }
}

fn kernel() -> Forecasts {
    let config =
        ForecastConfig { history_days: 40, min_history_days: 10, ..ForecastConfig::default() };
    Forecasts::new(&config, i64::from(LATENESS) * DAY_US, Box::new(Last)).unwrap()
}

fn lines(found: Option<(RecordBatch, RecordBatch)>) -> BTreeSet<String> {
    let Some((ahead, choices)) = found else { return BTreeSet::new() };
    let line = |batch: &RecordBatch, row: usize| {
        let cell =
            |at: usize| arrow::util::display::array_value_to_string(batch.column(at), row).unwrap();
        (0..batch.num_columns()).map(cell).collect::<Vec<_>>().join("|")
    };
    let of = |batch: &RecordBatch| (0..batch.num_rows()).map(|row| line(batch, row)).collect();
    let mut all: BTreeSet<String> = of(&ahead);
    all.extend(of(&choices));
    all
}

#[test]
fn a_forecast_is_made_of_what_was_known_each_monday() {
    let mut kernel = kernel();
    let mut rows: Vec<Row> = (0..30).map(|day| (day, day, 1, 0, i128::from(day) * UNIT)).collect();
    // Known on day 29, so that Monday 25 knows nothing of it.
    rows.push((29, 3, 1, 0, 1_000 * UNIT));
    rows.sort_by_key(|row| row.0);
    kernel.push(&changes(&rows)).unwrap();
    let (ahead, choices) = kernel.advance(watermark(28)).unwrap().unwrap();
    assert_eq!(texts(&ahead, ENTITY_ID).unwrap().value(0), "account1");
    let days = column(&ahead, DAY).unwrap().as_primitive::<Date32Type>();
    let known_to = column(&ahead, KNOWN_TO).unwrap().as_primitive::<Date32Type>();
    assert_eq!(known_to.values().chunks(3).map(|days| days[0]).collect::<Vec<_>>(), [10, 17, 24]);
    assert_eq!(&days.values()[..3], [11, 12, 13]);
    let steps = column(&ahead, DAYS_AHEAD).unwrap().as_primitive::<Int32Type>();
    assert_eq!(&steps.values()[..4], [1, 2, 3, 1]);
    let middle = column(&ahead, "p50").unwrap().as_primitive::<Decimal128Type>();
    assert_eq!(middle.value(6), 24 * UNIT);
    let spent = column(&ahead, SPENT).unwrap().as_primitive::<Decimal128Type>();
    assert_eq!(spent.value(0) / UNIT, (0..11).sum::<i128>(), "January so far");
    let errors = column(&choices, ERROR).unwrap().as_primitive::<arrow::datatypes::Float64Type>();
    assert_eq!(errors.value(4), f64::from((0..25).sum::<i32>()), "as it was known then");
    assert!(kernel.advance(watermark(28)).unwrap().is_none(), "each is made once");
    let (_, choices) = kernel.advance(Watermark::MAX).unwrap().unwrap();
    let errors = column(&choices, ERROR).unwrap().as_primitive::<arrow::datatypes::Float64Type>();
    assert_eq!(errors.value(0), 1_000.0 + f64::from((0..30).sum::<i32>()), "restated since");
    assert_eq!(choices.num_rows(), 2, "an account that has ceased is not forecast for ever");
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let refused = |config: ForecastConfig| {
        assert!(Forecasts::new(&config, 0, Box::new(Last)).is_err(), "{config:?}");
    };
    refused(ForecastConfig { every_days: 0, ..ForecastConfig::default() });
    refused(ForecastConfig { horizon_days: 1_000, ..ForecastConfig::default() });
    refused(ForecastConfig { min_history_days: 3, ..ForecastConfig::default() });
    refused(ForecastConfig { candidates: vec![], ..ForecastConfig::default() });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_said_does_not_depend_on_cuts_or_restarts(
        later in proptest::collection::vec((0..60i32, 0..30i32, 0..2u8, -50..50i128), 0..30),
        cuts in proptest::collection::vec(0..200usize, 0..8),
        changed in any::<bool>(),
    ) {
        let mut rows: Vec<Row> = (0..60)
            .flat_map(|day| [(day, day, 0, 0, 5 * UNIT), (day, day, 1, 1, i128::from(day) * UNIT)])
            .filter(|row| row.1 % 9 != 3)
            .collect();
        rows.extend(later.iter().map(|&(day, after, account, amount)| {
            ((day + after).min(59), day, account, 0, amount * UNIT)
        }));
        rows.sort_by_key(|row| row.0);
        let mut whole = kernel();
        whole.push(&changes(&rows)).unwrap();
        let whole = lines(whole.advance(Watermark::MAX).unwrap());
        prop_assert!(!whole.is_empty());

        let mut ends: Vec<usize> = cuts.into_iter().map(|cut| cut.min(rows.len())).collect();
        ends.push(rows.len());
        ends.sort_unstable();
        let (mut parts, mut operator) = (BTreeSet::new(), kernel());
        let mut states: Vec<Vec<RecordBatch>> = Vec::new();
        let mut start = 0;
        for end in ends {
            let epoch = &rows[start..end];
            start = end;
            if let Some(last) = epoch.last() {
                operator.push(&changes(epoch)).unwrap();
                let found = lines(operator.advance(watermark(last.0)).unwrap());
                prop_assert!(found.is_disjoint(&parts), "said twice");
                parts.extend(found);
            }
            let extent = if changed { Extent::Changed } else { Extent::Whole };
            if !changed {
                states.clear();
            }
            states.push(chunks(&operator, extent).collect::<Result<_>>().unwrap());
            operator.saved();
            operator = kernel();
            restore(&mut operator, &states, |_| true).unwrap();
        }
        parts.extend(lines(operator.advance(Watermark::MAX).unwrap()));
        prop_assert_eq!(parts, whole);
    }
}
