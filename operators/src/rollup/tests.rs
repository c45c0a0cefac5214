use std::sync::{Arc, Mutex};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Int64Array, RecordBatch,
    StringArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::{Date32Type, Decimal128Type, Int64Type};
use proptest::prelude::*;
use timely::dataflow::operators::{Input, Probe};

use super::*;
use crate::batch::Batch;
use crate::bill::{
    BILLED_AFTER, BILLED_BEFORE, CHARGES_AFTER, CHARGES_BEFORE, Dimension, EFFECTIVE_AFTER,
    EFFECTIVE_BEFORE, change_schema, first_of_month,
};
use crate::epoch::Partition;
use crate::schema::cost::{
    CURRENCY, DAY, KNOWN_ON, MONEY_PRECISION, MONEY_SCALE, REGION, SERVICE, TAGS,
};
use crate::schema::result::{OFFSET_FROM, OFFSET_TO};
use crate::schema::{ENTITY_ID, column, texts};
use crate::snapshot::{Extent, chunks, restore};

/// A change: account, day, service, region, known on, amount before and after.
type Change = (u8, i32, u8, Option<u8>, i32, i64, i64);

fn changes(rows: &[Change], first: u64) -> RecordBatch {
    let text = |of: &dyn Fn(&Change) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<StringArray>())
    };
    let amount = |of: fn(&Change) -> i64| -> ArrayRef {
        let amounts = Decimal128Array::from_iter_values(rows.iter().map(|row| of(row).into()));
        Arc::new(amounts.with_precision_and_scale(MONEY_PRECISION, MONEY_SCALE).unwrap())
    };
    let day = |of: fn(&Change) -> i32| -> ArrayRef {
        Arc::new(Date32Array::from_iter_values(rows.iter().map(of)))
    };
    let schema = change_schema();
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        "partition" => Arc::new(UInt32Array::from_value(0, rows.len())),
        OFFSET_FROM | OFFSET_TO => {
            Arc::new(UInt64Array::from_iter_values(first..first + rows.len() as u64)) as ArrayRef
        }
        ENTITY_ID => text(&|row| Some(format!("account{}", row.0))),
        SERVICE => text(&|row| Some(format!("service{}", row.2))),
        REGION => text(&|row| row.3.map(|region| format!("region{region}"))),
        TAGS => text(&|row| row.3.map(|tag| format!("{{\"team\": \"t{tag}\", \"n\": {tag}}}"))),
        CURRENCY => text(&|_| Some("USD".to_owned())),
        DAY => day(|row| row.1),
        KNOWN_ON => day(|row| row.4),
        "is_late" => Arc::new(BooleanArray::from(vec![false; rows.len()])),
        BILLED_BEFORE | EFFECTIVE_BEFORE => amount(|row| row.5),
        BILLED_AFTER | EFFECTIVE_AFTER => amount(|row| row.6),
        CHARGES_BEFORE => Arc::new(Int64Array::from_value(0, rows.len())),
        CHARGES_AFTER | "records" => Arc::new(Int64Array::from_value(1, rows.len())),
        _ if field.is_nullable() => text(&|_| None),
        _ => text(&|_| Some("same".to_owned())),
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
}

fn by() -> Vec<By> {
    ["account", "service", "region", "tag:team"]
        .map(|by| By::try_from(by.to_owned()).unwrap())
        .into()
}

/// A roll-up's name, period, start, whose, the day it became known on: what it came to.
type Row = (String, String, i32, Option<String>, i32, i128, i128);

/// Runs epochs, `from` the first of them, on so many workers that begin with a state; gives the rows
/// of every epoch, and the state in the end.
fn run(
    epochs: &[Vec<Change>],
    from: u64,
    workers: usize,
    state: Vec<RecordBatch>,
) -> (Vec<Row>, Vec<RecordBatch>) {
    let found = Arc::new(Mutex::new((Vec::new(), Vec::new())));
    let (kept, epochs) = (Arc::clone(&found), epochs.to_vec());
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let mut rollups = Rollups::new(by()).unwrap();
        let (index, peers) = (worker.index(), worker.peers());
        restore(&mut rollups, std::slice::from_ref(&state), |shard| shard.worker(peers) == index)
            .unwrap();
        let rollups = Rc::new(RefCell::new(rollups));
        let supervisor = Supervisor::default();
        let kept = Arc::clone(&kept);
        let (mut input, probe) = worker.dataflow::<u64, _, _>(|scope| {
            let (input, batches) =
                scope.new_input_with_builder::<CapacityContainerBuilder<Batch>>();
            let rows = Rollups::connect(&rollups, batches, &supervisor);
            let taken = Arc::clone(&kept);
            let rows = crate::flow::each(rows, "take", &supervisor, move |batch| {
                taken.lock().unwrap().0.extend(read(&batch));
                Ok::<_, Error>(Vec::new())
            });
            (input, rows.probe().0)
        });
        let mut offset = 0;
        for (at, rows) in epochs.iter().enumerate() {
            let epoch = from + at as u64;
            input.advance_to(epoch);
            // Each worker gives its share.
            let mine: Vec<Change> = rows.iter().skip(index).step_by(peers).copied().collect();
            if !mine.is_empty() {
                let batch = Batch::new(Partition(0), changes(&mine, offset));
                input.send_batch(&mut { batch });
            }
            offset += rows.len() as u64;
            input.advance_to(epoch + 1);
            // Some epochs are given before those before them are complete.
            if at % 2 == 1 {
                worker.step_while(|| probe.less_than(&(epoch + 1)));
            }
        }
        worker.step_while(|| probe.less_than(&(from + epochs.len() as u64)));
        assert!(supervisor.take_fault().is_none());
        let state: Vec<RecordBatch> =
            chunks(&*rollups.borrow(), Extent::Whole).collect::<Result<_>>().unwrap();
        kept.lock().unwrap().1.extend(state);
    });
    for guard in guards.unwrap().join() {
        guard.unwrap();
    }
    let mut found = found.lock().unwrap();
    found.0.sort();
    std::mem::take(&mut *found)
}

fn read(batch: &RecordBatch) -> Vec<Row> {
    let text = |name| texts(batch, name).unwrap();
    let money = |name| column(batch, name).unwrap().as_primitive::<Decimal128Type>();
    let day = |name| column(batch, name).unwrap().as_primitive::<Date32Type>();
    let records = column(batch, crate::bill::RECORDS).unwrap().as_primitive::<Int64Type>();
    let row = |row| {
        assert!(records.value(row) > 0);
        let name = text(NAME).is_valid(row).then(|| text(NAME).value(row).to_owned());
        (
            text(BY).value(row).to_owned(),
            text(PERIOD).value(row).to_owned(),
            day(START).value(row),
            name,
            day(KNOWN_ON).value(row),
            money(BILLED_BEFORE).value(row),
            money(BILLED_AFTER).value(row),
        )
    };
    (0..batch.num_rows()).map(row).collect()
}

/// The same worked out one change after the other.
fn expected(epochs: &[Vec<Change>]) -> Vec<Row> {
    let mut totals: BTreeMap<(String, String, i32, Option<String>), i128> = BTreeMap::new();
    let mut rows = Vec::new();
    for epoch in epochs {
        let mut days: Vec<i32> = epoch.iter().map(|change| change.4).collect();
        days.sort_unstable();
        days.dedup();
        for known in days {
            let mut touched = BTreeMap::new();
            for change in epoch.iter().filter(|change| change.4 == known) {
                let names = [
                    ("account", Some(format!("account{}", change.0))),
                    ("service", Some(format!("service{}", change.2))),
                    ("region", change.3.map(|region| format!("region{region}"))),
                    ("tag:team", change.3.map(|tag| format!("t{tag}"))),
                ];
                for (by, name) in names {
                    for (period, start) in [("day", change.1), ("month", first_of_month(change.1))]
                    {
                        let key = (by.to_owned(), period.to_owned(), start, name.clone());
                        let total = totals.entry(key.clone()).or_default();
                        touched.entry(key).or_insert(*total);
                        *total += i128::from(change.6 - change.5);
                    }
                }
            }
            for (key, before) in touched {
                let after = totals[&key];
                let (by, period, start, name) = key;
                rows.push((by, period, start, name, known, before, after));
            }
        }
    }
    rows.sort();
    rows
}

fn any_change() -> impl Strategy<Value = Change> {
    let region = prop::option::of(0u8..2);
    (0u8..3, 25i32..40, 0u8..3, region, 40i32..43, -9i64..9, -9i64..9)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// What comes out is each key's total before and after each day of each epoch, on any number of
    /// workers, and the same when the second half is run from the state after the first.
    #[test]
    fn rollups_say_what_each_day_changed(
        epochs in prop::collection::vec(prop::collection::vec(any_change(), 0..12), 1..6),
        workers in 1usize..4,
        after in 1usize..4,
    ) {
        let want = expected(&epochs);
        let (whole, last) = run(&epochs, 0, workers, Vec::new());
        prop_assert_eq!(&whole, &want);
        let (head, tail) = epochs.split_at(epochs.len() / 2);
        let (mut rows, state) = run(head, 0, workers, Vec::new());
        let (more, state) = run(tail, head.len() as u64, after, state);
        rows.extend(more);
        rows.sort();
        prop_assert_eq!(rows, want);
        let total = |state: &[RecordBatch]| state.iter().map(RecordBatch::num_rows).sum::<usize>();
        prop_assert_eq!(total(&state), total(&last));
    }
}

#[test]
fn rollups_are_named_as_they_are_written() {
    for name in ["account", "provider", "billing_account", "service", "region", "tag:team"] {
        assert_eq!(By::try_from(name.to_owned()).unwrap().to_string(), name);
    }
    let error = By::try_from("servce".to_owned()).unwrap_err();
    assert!(error.contains("account, provider"), "{error}");
    assert!(Rollups::new(vec![By::Service, By::Service]).is_err());
    assert!(Rollups::new(vec![By::Dimension(Dimension::Region)]).is_ok());
}
