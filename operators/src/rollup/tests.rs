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
use crate::shelf::Memory;
use crate::snapshot::{Extent, Snapshot, chunks, restore};

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

/// What epochs led to.
#[derive(Debug, Default)]
struct Ran {
    rows: Vec<Row>,
    /// Snapshots of what changed, upon those that it began with.
    snapshots: Vec<Vec<RecordBatch>>,
    /// The state in the end.
    whole: Vec<RecordBatch>,
    /// Batches that were put away.
    put_away: usize,
}

/// Runs epochs, `from` the first of them, on so many workers that begin with snapshots.
fn run(epochs: &[Vec<Change>], from: u64, workers: usize, state: &[Vec<RecordBatch>]) -> Ran {
    let found = Arc::new(Mutex::new(Ran { snapshots: state.to_vec(), ..Ran::default() }));
    let (kept, epochs, state) = (Arc::clone(&found), epochs.to_vec(), state.to_vec());
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let shelf = Memory::default();
        let mut rollups = Rollups::new(by()).unwrap().on_shelf(Box::new(shelf.clone()));
        let (index, peers) = (worker.index(), worker.peers());
        restore(&mut rollups, &state, |shard| shard.worker(peers) == index).unwrap();
        let rollups = Rc::new(RefCell::new(rollups));
        let supervisor = Supervisor::default();
        let kept = Arc::clone(&kept);
        let (mut input, probe) = worker.dataflow::<u64, _, _>(|scope| {
            let (input, batches) =
                scope.new_input_with_builder::<CapacityContainerBuilder<Batch>>();
            let rows = Rollups::connect(&rollups, batches, &supervisor);
            let taken = Arc::clone(&kept);
            let rows = crate::flow::each(rows, "take", &supervisor, move |batch| {
                taken.lock().unwrap().rows.extend(read(&batch));
                Ok::<_, Error>(Vec::new())
            });
            (input, rows.probe().0)
        });
        let (mut offset, mut taken) = (0, state.len());
        let mut snapshot = || {
            let extent = if taken == 0 { Extent::Whole } else { Extent::Changed };
            let mut rollups = rollups.borrow_mut();
            let state: Vec<_> = chunks(&*rollups, extent).collect::<Result<_>>().unwrap();
            rollups.saved();
            let mut kept = kept.lock().unwrap();
            if kept.snapshots.len() <= taken {
                kept.snapshots.resize(taken + 1, Vec::new());
            }
            kept.snapshots[taken].extend(state);
            taken += 1;
        };
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
                snapshot();
            }
        }
        worker.step_while(|| probe.less_than(&(from + epochs.len() as u64)));
        assert!(supervisor.take_fault().is_none());
        snapshot();
        let whole: Vec<_> =
            chunks(&*rollups.borrow(), Extent::Whole).collect::<Result<_>>().unwrap();
        let mut kept = kept.lock().unwrap();
        kept.whole.extend(whole);
        kept.put_away += shelf.counts().0;
    });
    for guard in guards.unwrap().join() {
        guard.unwrap();
    }
    let mut found = found.lock().unwrap();
    found.rows.sort();
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
    (0u8..3, 0i32..120, 0u8..3, region, 0i32..150, -9i64..9, -9i64..9)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// What comes out is each key's total before and after each day of each epoch, on any number of
    /// workers, and the same when the second half is run from the state after the first.
    #[test]
    fn rollups_say_what_each_day_changed(
        epochs in prop::collection::vec(prop::collection::vec(any_change(), 0..12), 1..20),
        workers in 1usize..4,
        after in 1usize..4,
    ) {
        let want = expected(&epochs);
        let whole = run(&epochs, 0, workers, &[]);
        prop_assert_eq!(&whole.rows, &want);
        let (head, tail) = epochs.split_at(epochs.len() / 2);
        let first = run(head, 0, workers, &[]);
        let second = run(tail, head.len() as u64, after, &first.snapshots);
        let mut rows = first.rows;
        rows.extend(second.rows);
        rows.sort();
        prop_assert_eq!(rows, want);
        let total = |state: &[RecordBatch]| state.iter().map(RecordBatch::num_rows).sum::<usize>();
        prop_assert_eq!(total(&second.whole), total(&whole.whole));
    }
}

#[test]
fn a_month_that_is_over_leaves_the_arrangement_until_it_is_asked_for() {
    let change = |day, known_on, before, after| (1, day, 2, None, known_on, before, after);
    let mut epochs = vec![vec![change(3, 3, 0, 10)]];
    epochs.extend((0..12).map(|n| vec![change(80 + n, 80 + n, 0, 1)]));
    epochs.push(vec![change(3, 95, 10, 7)]);
    let ran = run(&epochs, 0, 1, &[]);
    assert_eq!(ran.rows, expected(&epochs));
    assert_eq!(ran.put_away, 1, "January, once");
    let restated = |row: &&Row| row.4 == 95 && row.0 == "service" && row.1 == "day";
    let restated = ran.rows.iter().find(restated).unwrap();
    assert_eq!((restated.5, restated.6), (10, 7));
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
