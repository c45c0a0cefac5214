use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int64Array, StringArray, UInt32Array,
    UInt64Array,
};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use proptest::prelude::*;

use super::*;
use crate::bill::{REASON, RECORDS};
use crate::schema::cost::{DAY_US, KNOWN_ON, MONEY_PRECISION, MONEY_SCALE};
use crate::schema::result::{FEATURES, WINDOW_END};
use crate::schema::{times, vectors};
use crate::snapshot::{Extent, chunks, restore};

fn state(kernel: &Daily, extent: Extent) -> Vec<RecordBatch> {
    chunks(kernel, extent).collect::<Result<_>>().unwrap()
}

/// A charge: entity, day and hour, service, currency, amount in 10⁻¹².
type Charge = (u8, i64, u8, u8, i128);

/// Each charge as a change of its own.
fn charges(rows: &[Charge]) -> RecordBatch {
    let text = |of: &dyn Fn(&Charge) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(of)))
    };
    let amount = |scale: i128| -> ArrayRef {
        let amounts = rows.iter().map(|row| row.4 * scale);
        let amounts = Decimal128Array::from_iter_values(amounts);
        Arc::new(amounts.with_precision_and_scale(MONEY_PRECISION, MONEY_SCALE).unwrap())
    };
    let offsets = || -> ArrayRef { Arc::new(UInt64Array::from_iter_values(0..rows.len() as u64)) };
    let count = |n: i64| -> ArrayRef { Arc::new(Int64Array::from_value(n, rows.len())) };
    let days = || -> ArrayRef {
        let days = rows.iter().map(|row| day_of(row.1 * 3_600_000_000));
        Arc::new(Date32Array::from_iter_values(days))
    };
    let schema = change_schema();
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        PARTITION => Arc::new(UInt32Array::from_value(0, rows.len())),
        OFFSET_FROM | OFFSET_TO => offsets(),
        ENTITY_ID => text(&|row| format!("account{}", row.0)),
        SERVICE => text(&|row| format!("service{}", row.2)),
        CURRENCY => text(&|row| if row.3 == 0 { "USD" } else { "EUR" }.to_owned()),
        DAY | KNOWN_ON => days(),
        IS_LATE => Arc::new(BooleanArray::from(vec![false; rows.len()])),
        BILLED_BEFORE | EFFECTIVE_BEFORE => amount(0),
        BILLED_AFTER => amount(1),
        EFFECTIVE_AFTER => amount(2),
        CHARGES_BEFORE => count(0),
        CHARGES_AFTER | RECORDS => count(1),
        REASON => text(&|_| "charge".to_owned()),
        _ => text(&|_| "same".to_owned()),
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
}

fn daily() -> Daily {
    Daily::new(vec!["service0".to_owned(), "service1".to_owned()]).unwrap()
}

const UNIT: i128 = 1_000_000_000_000;

#[test]
fn a_day_is_described_by_its_services_and_the_days_before() {
    let mut daily = daily();
    let rows = [
        (1, 0, 0, 0, 3 * UNIT),
        (1, 5, 7, 0, UNIT),
        (1, 24, 0, 0, 2 * UNIT),
        (1, 30, 0, 1, UNIT),
        (1, 47, 1, 0, -UNIT),
    ];
    daily.push(&charges(&rows)).unwrap();
    assert_eq!(daily.pending_rows(), 5);
    assert!(daily.advance(Watermark(DAY_US - 1)).unwrap().is_empty());
    let first = daily.advance(Watermark(DAY_US)).unwrap();
    assert_eq!((first[0].num_rows(), daily.pending_rows()), (1, 3));
    let windows = daily.advance(Watermark::MAX).unwrap();
    let (features, width) = vectors(&windows[0], FEATURES).unwrap();
    let names = daily.feature_names();
    assert_eq!(width, names.len());
    let feature =
        |name: &str| f64::from(features[names.iter().position(|found| found == name).unwrap()]);
    let close = |name: &str, want: f64| {
        assert!((feature(name) - want).abs() < 1e-6, "{name}: {}, {want}", feature(name));
    };
    // Effective cost is twice the billed; euros are not added to dollars.
    close("service:service0", 4f64.asinh());
    close("service:service1", (-2f64).asinh());
    close("other", 0.0);
    close("total", 2f64.asinh());
    close("day_over_day", 2f64.asinh() - 8f64.asinh());
    close("against_week", 2f64.asinh() - 8f64.asinh());
    close("days_known", 1.0 / 7.0);
    close("share_entropy", 0.0);
    close("weekday_sin", (std::f64::consts::TAU * 4.0 / 7.0).sin());
    close("charges", 4f64.ln());
    assert_eq!(times(&windows[0], WINDOW_END).unwrap(), [2 * DAY_US]);
}

#[test]
fn a_service_named_twice_is_refused() {
    assert!(Daily::new(vec!["a".to_owned(), "a".to_owned()]).is_err());
}

fn all(batches: &[RecordBatch]) -> RecordBatch {
    concat_batches(&batches[0].schema(), batches).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn vectors_know_neither_order_nor_cuts_nor_restarts(
        rows in prop::collection::vec(
            (0u8..5, 0i64..24 * 9, 0u8..4, 0u8..2, -(1i128 << 60)..1i128 << 60), 1..200),
        order in any::<u64>(),
        closed_after in 0i64..9,
    ) {
        let batch = charges(&rows);
        let mut whole = daily();
        whole.push(&batch).unwrap();
        let want = whole.advance(Watermark::MAX).unwrap();

        // Early days first, as the watermark promises; else shuffled, in parts, restarted.
        let bound = closed_after * DAY_US;
        let early: Vec<bool> = rows.iter().map(|row| row.1 * 3_600_000_000 < bound).collect();
        let late: Vec<bool> = early.iter().map(|early| !early).collect();
        let (mut found, mut kernel, mut snapshots) = (Vec::new(), daily(), Vec::new());
        for (part, watermark) in [(early, Watermark(bound)), (late, Watermark::MAX)] {
            let part = filter_record_batch(&batch, &BooleanArray::from(part)).unwrap();
            let mut places: Vec<u32> = (0..part.num_rows() as u32).collect();
            places.sort_by_key(|row| crate::key::hash(&(u64::from(*row) ^ order).to_le_bytes()));
            for some in places.chunks(17) {
                let taken = take_record_batch(&part, &UInt32Array::from(some.to_vec())).unwrap();
                kernel.push(&taken).unwrap();
                let extent = if snapshots.is_empty() { Extent::Whole } else { Extent::Changed };
                snapshots.push(state(&kernel, extent));
                let mut next = daily();
                restore(&mut next, &snapshots, |_| true).unwrap();
                prop_assert_eq!(state(&next, Extent::Whole), state(&kernel, Extent::Whole));
                prop_assert_eq!(next.pending_rows(), kernel.pending_rows());
                kernel = next;
            }
            found.extend(kernel.advance(watermark).unwrap());
        }
        prop_assert_eq!(all(&found), all(&want));
    }
}

#[test]
fn what_comes_after_its_day_closed_is_no_part_of_its_vector() {
    let rows = charges(&[(1, 0, 0, 0, UNIT), (1, 1, 0, 0, UNIT)]);
    let late: ArrayRef = Arc::new(BooleanArray::from(vec![false, true]));
    let at = rows.schema().index_of(IS_LATE).unwrap();
    let mut columns = rows.columns().to_vec();
    columns[at] = late;
    let mut daily = daily();
    daily.push(&RecordBatch::try_new(rows.schema(), columns).unwrap()).unwrap();
    assert_eq!(daily.pending_rows(), 1);
    assert!(daily.push(&rows.project(&[0, 1]).unwrap()).is_err(), "not changes");
}
