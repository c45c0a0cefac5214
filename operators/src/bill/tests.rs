use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Date32Array, Decimal128Array, DictionaryArray, FixedSizeBinaryBuilder,
    Int64Array, StringArray, TimestampMicrosecondArray, UInt32Array, UInt64Array,
};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Date32Type, Int32Type, Int64Type};
use proptest::prelude::*;

use super::calendar::month_of;
use super::columns::amounts;
use super::*;
use crate::schema::cost::{
    self, BILLED_COST, BILLING_ACCOUNT, CHARGE_CLASS, CLOSED_BEFORE, CURRENCY, DAY, DAY_US,
    KNOWN_ON, LINE, LINE_BYTES, MONEY_PRECISION, MONEY_SCALE, REGION, SERVICE, VERSION,
};
use crate::schema::{ENTITY_ID, OFFSET, TS, numbers, texts};
use crate::shelf::Memory;
use crate::snapshot::{Extent, Snapshot, chunks, restore};
use crate::watermark::Watermark;

/// A row of a bill: account, day, service, line, version, amount, corrects.
#[derive(Debug, Clone)]
struct Row {
    account: u8,
    day: i32,
    service: u8,
    line: Option<u8>,
    version: i64,
    amount: i128,
    corrects: bool,
}

fn batch(rows: &[Row], first: u64) -> RecordBatch {
    let text = |of: &dyn Fn(&Row) -> Option<String>| -> ArrayRef {
        let texts: Vec<_> = rows.iter().map(of).collect();
        Arc::new(texts.iter().map(Option::as_deref).collect::<DictionaryArray<Int32Type>>())
    };
    let same = |value: &str| text(&|_| Some(value.to_owned()));
    let time = |of: &dyn Fn(&Row) -> i64| -> ArrayRef {
        let times = rows.iter().map(of);
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
    };
    let amount = |scale: i128| -> ArrayRef {
        let amounts = Decimal128Array::from_iter_values(rows.iter().map(|row| row.amount * scale));
        Arc::new(amounts.with_precision_and_scale(MONEY_PRECISION, MONEY_SCALE).unwrap())
    };
    let mut lines = FixedSizeBinaryBuilder::new(LINE_BYTES);
    for row in rows {
        match row.line {
            Some(line) => lines.append_value(crate::key::digest([&[line][..]])).unwrap(),
            None => lines.append_null(),
        }
    }
    let columns: BTreeMap<&str, ArrayRef> = [
        (ENTITY_ID, text(&|row| Some(format!("account{}", row.account)))),
        (TS, time(&|row| i64::from(row.day) * DAY_US)),
        (OFFSET, Arc::new(UInt64Array::from_iter_values(first..first + rows.len() as u64))),
        (SERVICE, text(&|row| Some(format!("service{}", row.service)))),
        (REGION, text(&|row| (row.service % 2 == 0).then(|| "north".to_owned()))),
        (CHARGE_CLASS, text(&|row| row.corrects.then(|| "Correction".to_owned()))),
        (DAY, Arc::new(Date32Array::from_iter_values(rows.iter().map(|row| row.day)))),
        (BILLED_COST, amount(1)),
        (EFFECTIVE_COST, amount(2)),
        (CURRENCY, same("USD")),
        (BILLING_ACCOUNT, same("payer")),
        (LINE, Arc::new(lines.finish())),
        (VERSION, Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.version)))),
    ]
    .into();
    let schema = cost::schema();
    let columns = schema.fields().iter().map(|field| match columns.get(field.name().as_str()) {
        Some(column) => Arc::clone(column),
        None if field.is_nullable() => text(&|_| None),
        None => same("same"),
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
}

fn bill() -> Bill {
    Bill::new(&[Dimension::Region]).unwrap()
}

/// A total's name, and its sums.
type Truth = BTreeMap<(String, i32, String), (i128, i128, i64)>;

/// Folds changes, checking that each begins where the one before it of its key ended.
fn fold(truth: &mut Truth, changes: &RecordBatch) {
    let text = |name| texts(changes, name).unwrap();
    let money = |name| amounts(changes, name).unwrap();
    let number = |name| numbers::<Int64Type>(changes, name).unwrap();
    let days = numbers::<Date32Type>(changes, DAY).unwrap();
    for row in 0..changes.num_rows() {
        let key = (
            text(ENTITY_ID).value(row).to_owned(),
            days.value(row),
            text(SERVICE).value(row).to_owned(),
        );
        let known = truth.entry(key).or_default();
        let before = (
            money(BILLED_BEFORE).value(row),
            money(EFFECTIVE_BEFORE).value(row),
            number(CHARGES_BEFORE).value(row),
        );
        assert_eq!(*known, before);
        *known = (
            money(BILLED_AFTER).value(row),
            money(EFFECTIVE_AFTER).value(row),
            number(CHARGES_AFTER).value(row),
        );
    }
    truth.retain(|_, sums| *sums != (0, 0, 0));
}

fn row(line: u8, version: i64, amount: i128) -> Row {
    Row { account: 1, day: 40, service: 2, line: Some(line), version, amount, corrects: false }
}

/// The changes of rows that came in one epoch: before, after, reason.
fn changes(bill: &mut Bill, clock: &mut Clock, rows: &[Row]) -> Vec<(i128, i128, String)> {
    let rows = clock.judge(&batch(rows, 0)).unwrap();
    bill.push(Partition(0), &rows, None).unwrap();
    let Some(changes) = bill.take_changes().unwrap() else { return Vec::new() };
    let (before, after) =
        (amounts(&changes, BILLED_BEFORE).unwrap(), amounts(&changes, BILLED_AFTER).unwrap());
    let reasons = texts(&changes, REASON).unwrap();
    let row = |row| (before.value(row), after.value(row), reasons.value(row).to_owned());
    (0..changes.num_rows()).map(row).collect()
}

#[test]
fn a_line_stated_anew_takes_back_what_it_said() {
    let (mut bill, mut clock) = (bill(), Clock::new(0));
    let mut step = |rows: &[Row]| changes(&mut bill, &mut clock, rows);
    let change = |before, after, reason: &str| (before, after, reason.to_owned());
    assert_eq!(step(&[row(1, 1, 10), row(2, 1, 5)]), [change(0, 15, "charge")]);
    assert_eq!(step(&[row(1, 2, 7)]), [change(15, 12, "restatement")]);
    assert_eq!(step(&[row(1, 1, 10), row(2, 1, 5)]), [], "older, and known already");
    let moved = Row { service: 3, ..row(1, 3, 7) };
    assert_eq!(
        step(&[moved]),
        [change(12, 5, "restatement"), change(0, 7, "restatement")],
        "it counts for another service now"
    );
    let correction = Row { line: None, corrects: true, ..row(0, 0, -2) };
    assert_eq!(step(&[correction]), [change(5, 3, "correction")]);
    assert_eq!(bill.take_duplicates(), 1);
    assert_eq!(bill.size(), (2, 2));
}

#[test]
fn a_row_knows_its_day_and_which_have_closed() {
    let rows: Vec<Row> = [40, 41, 40, 42, 41, 40].map(|day| Row { day, ..row(1, 1, 1) }).to_vec();
    let mut clock = Clock::new(0);
    let judged = clock.judge(&batch(&rows, 0)).unwrap();
    let known = numbers::<Date32Type>(&judged, KNOWN_ON).unwrap();
    assert_eq!(known.values()[..], [40, 41, 41, 42, 42, 42]);
    let closed = numbers::<Date32Type>(&judged, CLOSED_BEFORE).unwrap();
    assert_eq!(closed.values()[..], [40, 41, 41, 42, 42, 42]);
    assert_eq!(clock.watermark(), Watermark(42 * DAY_US));
    for lateness in [0, DAY_US / 2] {
        let mut whole = Clock::new(lateness);
        let all = whole.judge(&batch(&rows, 0)).unwrap();
        for cut in 0..=rows.len() {
            let mut first = Clock::new(lateness);
            let head = first.judge(&batch(&rows[..cut], 0)).unwrap();
            let mut second = Clock::new(lateness).resume(first.watermark());
            let tail = second.judge(&batch(&rows[cut..], cut as u64)).unwrap();
            assert_eq!(head, all.slice(0, cut));
            assert_eq!(tail, all.slice(cut, rows.len() - cut));
            assert_eq!(second.watermark(), whole.watermark());
        }
    }
}

#[test]
fn months_are_the_calendar_s() {
    let month = |day: i32| {
        let (month, days) = month_of(day);
        (month.div_euclid(12), month.rem_euclid(12) + 1, day - days.start + 1, days.len())
    };
    // From Python's datetime.date.
    assert_eq!(month(0), (1970, 1, 1, 31));
    assert_eq!(month(-1), (1969, 12, 31, 31));
    assert_eq!(month(19_781), (2024, 2, 28, 29));
    assert_eq!(month(19_782), (2024, 2, 29, 29));
    assert_eq!(month(19_783), (2024, 3, 1, 31));
    assert_eq!(month(11_016), (2000, 2, 29, 29));
    assert_eq!(month(47_540), (2100, 2, 28, 28));
    assert_eq!(month(47_541), (2100, 3, 1, 31));
    for day in -800_000..800_000 {
        let ((this, days), (next, _)) = (month_of(day), month_of(day + 1));
        assert!(days.contains(&day));
        assert_eq!(next - this, i32::from(!days.contains(&(day + 1))), "{day}");
    }
}

#[test]
fn dimensions_named_twice_are_refused() {
    assert!(Bill::new(&[Dimension::Region, Dimension::Region]).is_err());
    let tag = |name: &str| Dimension::Tag(name.to_owned());
    assert!(Bill::new(&[tag("a"), tag("a")]).is_err());
    assert!(Bill::new(&[tag("a"), tag("b"), Dimension::Resource]).is_ok());
    assert!(Dimension::try_from("regoin".to_owned()).is_err());
}

#[test]
fn amounts_beyond_64_bits_are_exact() {
    let large = 10_i128.pow(25);
    let (mut bill, mut clock) = (bill(), Clock::new(0));
    let mut step = |rows: &[Row]| changes(&mut bill, &mut clock, rows);
    assert_eq!(step(&[row(1, 1, large)])[0].1, large);
    assert_eq!(step(&[row(1, 2, large + 1)])[0].1, large + 1);
    assert_eq!(step(&[row(1, 3, 3)])[0].1, 3);
    assert_eq!(step(&[row(1, 4, 2 * large)])[0].1, 2 * large);
    let mut bill = Bill::new(&[]).unwrap();
    let far = Row { line: None, ..row(1, 1, 10_i128.pow(38) / 2 - 1) };
    let rows = clock.judge(&batch(&[far.clone(), far.clone(), far], 0)).unwrap();
    assert!(bill.push(Partition(0), &rows, None).is_err(), "38 digits are what money has");
}

fn any_row() -> impl Strategy<Value = Row> {
    let line = prop::option::weighted(0.8, 0u8..12);
    (0u8..3, 20i32..75, 0u8..3, line, 0i64..4, -50i128..50, any::<bool>()).prop_map(
        |(account, day, service, line, version, amount, corrects)| Row {
            account,
            day,
            service,
            line,
            version,
            amount,
            corrects,
        },
    )
}

fn state(bill: &Bill, extent: Extent) -> Vec<RecordBatch> {
    chunks(bill, extent).collect::<Result<_>>().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Shuffled, doubled, cut into epochs and restarted, a bill ends in the same totals: those of the
    /// lines' last words, and of all rows that are no line.
    #[test]
    fn totals_know_neither_order_nor_repetition_nor_cuts_nor_restarts(
        rows in prop::collection::vec(any_row(), 1..120),
        doubled in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        seed in any::<u64>(),
        cut in 1usize..40,
    ) {
        // What it must come to, worked out another way.
        type Name = (u8, i32, u8);
        let mut last: BTreeMap<Name, (i64, i128, Name)> = BTreeMap::new();
        let mut want = Truth::new();
        let mut add = |(account, day, service): Name, amount: i128| {
            let name = (format!("account{account}"), day, format!("service{service}"));
            let sums = want.entry(name).or_default();
            *sums = (sums.0 + amount, sums.1 + 2 * amount, sums.2 + 1);
        };
        for row in &rows {
            let at = (row.account, row.day, row.service);
            match row.line {
                None => add(at, row.amount),
                Some(line) => {
                    let said = (row.version, row.amount, at);
                    let known = last.entry((row.account, month_of(row.day).0, line)).or_insert(said);
                    *known = (*known).max(said);
                }
            }
        }
        last.values().for_each(|(_, amount, at)| add(*at, *amount));
        want.retain(|_, sums| *sums != (0, 0, 0));

        let mut given = rows.clone();
        given.extend(doubled.iter().map(|at| at.get(&rows).clone()).filter(|r| r.line.is_some()));
        let all = batch(&given, 0);
        let mut order: Vec<u32> = (0..given.len() as u32).collect();
        order.sort_by_key(|row| crate::key::hash(&(u64::from(*row) ^ seed).to_le_bytes()));
        let mut truth = Truth::new();
        let (mut kernel, mut clock, mut snapshots) = (bill(), Clock::new(0), Vec::new());
        let mut shelved = bill().on_shelf(Box::new(Memory::default()));
        for part in order.chunks(cut) {
            let part = take_record_batch(&all, &UInt32Array::from(part.to_vec())).unwrap();
            let rows = clock.judge(&part).unwrap();
            kernel.push(Partition(0), &rows, None).unwrap();
            shelved.push(Partition(0), &rows, None).unwrap();
            let changes = kernel.take_changes().unwrap();
            prop_assert_eq!(&changes, &shelved.take_changes().unwrap());
            if let Some(changes) = changes {
                fold(&mut truth, &changes);
            }
            let extent = if snapshots.is_empty() { Extent::Whole } else { Extent::Changed };
            snapshots.push(state(&kernel, extent));
            prop_assert_eq!(snapshots.last(), Some(&state(&shelved, extent)));
            shelved.saved();
            let mut next = bill().on_shelf(Box::new(Memory::default()));
            restore(&mut next, &snapshots, |_| true).unwrap();
            prop_assert_eq!(state(&next, Extent::Whole), state(&kernel, Extent::Whole));
            prop_assert_eq!(next.changes().unwrap().changed, 0);
            kernel = next;
        }
        prop_assert_eq!(truth, want);
    }
}

/// A delivery of a period, the first or the second: its label, and account, day in it, service, amount.
type Delivery = (bool, u8, Vec<(u8, i32, u8, i128)>);

/// A delivery's rows, as whoever reads its files hands them on.
fn delivered((second, label, rows): &Delivery, clock: &mut Clock) -> RecordBatch {
    let period = if *second { 31 } else { 0 };
    let rows: Vec<Row> = rows
        .iter()
        .map(|&(account, day, service, amount)| {
            let day = period + day;
            Row { account, day, service, line: None, version: 0, amount, corrects: false }
        })
        .collect();
    let judged = clock.judge(&batch(&rows, 0)).unwrap();
    let mut fields = judged.schema().fields().to_vec();
    let mut columns = judged.columns().to_vec();
    let label = format!("2026-01-{label:02}");
    let labels: DictionaryArray<Int32Type> = rows.iter().map(|_| Some(label.as_str())).collect();
    for (name, column) in [
        (
            crate::schema::focus::BILLING_PERIOD_START,
            Arc::new(TimestampMicrosecondArray::from_value(i64::from(period) * DAY_US, rows.len()))
                as ArrayRef,
        ),
        (cost::DELIVERY, Arc::new(labels)),
    ] {
        fields.push(Arc::new(arrow::datatypes::Field::new(name, column.data_type().clone(), true)));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), columns).unwrap()
}

#[test]
fn a_later_delivery_is_compared_with_what_it_replaces() {
    let (mut bill, mut clock) = (bill().delivered(), Clock::new(0));
    let mut step = |label: u8, rows: &[(u8, i32, u8, i128)]| {
        let rows = delivered(&(false, label, rows.to_vec()), &mut clock);
        bill.push(Partition(0), &rows, None).unwrap();
        let changes = bill.take_changes().unwrap();
        changes.map_or(Vec::new(), |changes| {
            let entities = texts(&changes, ENTITY_ID).unwrap();
            let after = amounts(&changes, BILLED_AFTER).unwrap();
            let before = amounts(&changes, BILLED_BEFORE).unwrap();
            let row = |row| (entities.value(row).to_owned(), before.value(row), after.value(row));
            (0..changes.num_rows()).map(row).collect::<Vec<_>>()
        })
    };
    let said = |account: &str, before, after| (account.to_owned(), before, after);
    let first = [(1, 5, 0, 10), (1, 5, 0, 1), (2, 6, 0, 7)];
    assert_eq!(step(1, &first), [said("account1", 0, 11), said("account2", 0, 7)]);
    assert_eq!(step(2, &first), [], "delivered again, it is the same");
    assert_eq!(step(1, &[(1, 5, 0, 99)]), [], "an older one has no say");
    // An account that it does not mention has no charges any more.
    assert_eq!(step(3, &[(1, 5, 0, 12)]), [said("account1", 11, 12), said("account2", 7, 0)]);
    assert_eq!(step(3, &[(2, 6, 0, 1)]), [said("account2", 0, 1)], "the same one's second file");
}

fn any_delivery() -> impl Strategy<Value = Delivery> {
    let row = (0u8..3, 1i32..25, 0u8..2, -50i128..50);
    (any::<bool>(), 0u8..6, prop::collection::vec(row, 1..12))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// In whatever order and epochs deliveries come, each period ends in its latest one.
    #[test]
    fn the_latest_delivery_of_each_period_holds(
        deliveries in prop::collection::vec(any_delivery(), 1..14),
        cut in 1usize..6,
    ) {
        let mut want = Truth::new();
        for second in [false, true] {
            let of = deliveries.iter().filter(|delivery| delivery.0 == second);
            let latest = of.clone().map(|delivery| delivery.1).max();
            for &(account, day, service, amount) in
                of.filter(|delivery| Some(delivery.1) == latest).flat_map(|delivery| &delivery.2)
            {
                let day = if second { 31 + day } else { day };
                let name = (format!("account{account}"), day, format!("service{service}"));
                let sums = want.entry(name).or_default();
                *sums = (sums.0 + amount, sums.1 + 2 * amount, sums.2 + 1);
            }
        }
        let mut truth = Truth::new();
        let (mut kernel, mut clock) = (bill().delivered(), Clock::new(0));
        let mut snapshots = Vec::new();
        let mut shelved = bill().delivered().on_shelf(Box::new(Memory::default()));
        for epoch in deliveries.chunks(cut) {
            for delivery in epoch {
                let rows = delivered(delivery, &mut clock);
                kernel.push(Partition(0), &rows, None).unwrap();
                shelved.push(Partition(0), &rows, None).unwrap();
            }
            let changes = kernel.take_changes().unwrap();
            prop_assert_eq!(&changes, &shelved.take_changes().unwrap());
            if let Some(changes) = changes {
                fold(&mut truth, &changes);
            }
            let extent = if snapshots.is_empty() { Extent::Whole } else { Extent::Changed };
            snapshots.push(state(&kernel, extent));
            prop_assert_eq!(snapshots.last(), Some(&state(&shelved, extent)));
            shelved.saved();
            let mut next = bill().delivered().on_shelf(Box::new(Memory::default()));
            restore(&mut next, &snapshots, |_| true).unwrap();
            prop_assert_eq!(state(&next, Extent::Whole), state(&kernel, Extent::Whole));
            kernel = next;
        }
        prop_assert_eq!(truth, want);
    }
}

#[test]
fn a_month_that_has_closed_leaves_memory_until_it_is_asked_for() {
    let shelf = Memory::default();
    let (mut bill, mut clock) = (bill().on_shelf(Box::new(shelf.clone())), Clock::new(0));
    let mut step = |row: Row| {
        let change = changes(&mut bill, &mut clock, &[row]);
        (change, bill.size())
    };
    let said = |before, after, reason: &str| vec![(before, after, reason.to_owned())];
    assert_eq!(step(row(1, 1, 10)), (said(0, 10, "charge"), (1, 1)));
    let march = |line| Row { day: 60, ..row(line, 1, 5) };
    // February has ended, and nothing more is said of it.
    let last = (2..12).map(|line| step(march(line))).last();
    assert_eq!(last, Some((said(45, 50, "charge"), (1, 10))));
    assert_eq!(shelf.counts(), (1, 1));
    // A line of it is stated anew: all of the month is at hand again, for some epochs.
    assert_eq!(step(row(1, 2, 7)), (said(10, 7, "restatement"), (2, 11)));
    assert_eq!(shelf.counts(), (1, 0));
    let last = (12..22).map(|line| step(march(line))).last();
    assert_eq!(last, Some((said(95, 100, "charge"), (1, 20))));
    assert_eq!(shelf.counts(), (2, 1));
}

#[test]
fn names_are_ordered_as_text() {
    let mut bill = bill();
    let rows = [3, 1, 2].map(|service| Row { service, line: None, ..row(0, 0, 1) });
    let rows = Clock::new(0).judge(&batch(&rows, 0)).unwrap();
    bill.push(Partition(0), &rows, None).unwrap();
    let changes = bill.take_changes().unwrap().unwrap();
    let services: Vec<&str> = texts(&changes, SERVICE).unwrap().iter().flatten().collect();
    assert_eq!(services, ["service1", "service2", "service3"]);
    let regions = changes.column_by_name(REGION).unwrap().as_string::<i32>();
    let regions: Vec<Option<&str>> = regions.iter().collect();
    assert_eq!(regions, [None, Some("north"), None]);
    assert_eq!(
        changes
            .column_by_name(ENTITY_ID)
            .unwrap()
            .as_any()
            .downcast_ref::<StringArray>()
            .unwrap()
            .value(0),
        "account1"
    );
}
