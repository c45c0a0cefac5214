//! Halves of changes to rows.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray, UInt32Array, UInt64Array,
};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use super::key::{By, Key};
use super::moment::Moment;
use super::{Halves, Note, Rollups, Sums};
use crate::batch::Batch;
use crate::bill::{
    BILLED_AFTER, BILLED_BEFORE, CHARGES_AFTER, CHARGES_BEFORE, EFFECTIVE_AFTER, EFFECTIVE_BEFORE,
    RECORDS,
};
use crate::epoch::Partition;
use crate::flow::Batches;
use crate::schema::cost::{CURRENCY, EFFECTIVE_COST, KNOWN_ON, money_array};
use crate::schema::result::{OFFSET_FROM, OFFSET_TO, PARTITION};
use crate::supervise::Supervisor;
use crate::{Error, Result};

/// By what costs are added up: the roll-up's name; `Utf8`.
pub const BY: &str = "by";
/// `day` or `month`; `Utf8`.
pub const PERIOD: &str = "period";
/// The period's first day; `Date32`.
pub const START: &str = "start";
/// Whose costs: a service, an account, a tag's value; `Utf8`, null where charges name none.
pub const NAME: &str = "name";

/// A key's total before and after a moment.
struct Change<'a> {
    key: &'a Key,
    known_on: i32,
    before: Sums,
    after: Sums,
    note: Note,
}

/// Puts the halves of an epoch together once it is complete.
pub(super) fn rows<'scope>(
    this: &Rc<RefCell<Rollups>>,
    halves: Stream<'scope, u64, Vec<Halves>>,
    supervisor: &Supervisor,
) -> Batches<'scope> {
    let (rollups, worker) = (Rc::clone(this), supervisor.clone());
    halves.unary_frontier::<CapacityContainerBuilder<Batch>, _, _, _>(
        Pipeline,
        "rollup rows",
        |_, _| {
            let mut stash: BTreeMap<u64, (Capability<u64>, Vec<Halves>)> = BTreeMap::new();
            move |(input, frontier), output| {
                input.for_each(|cap, halves| {
                    let Some(cap) = cap.retain_least(0) else { return };
                    // A message may hold several epochs that were complete at once.
                    for half in halves.drain(..) {
                        let epoch = half.1.epoch.max(*cap.time());
                        let (_, kept) =
                            stash.entry(epoch).or_insert_with(|| (cap.delayed(&epoch), Vec::new()));
                        kept.push(half);
                    }
                });
                let mut rollups = rollups.borrow_mut();
                while let Some(entry) = stash.first_entry() {
                    let epoch = *entry.key();
                    if frontier.less_equal(&epoch) {
                        break;
                    }
                    let (cap, halves) = entry.remove();
                    let later =
                        rollups.notes.split_off(&Moment { epoch: epoch + 1, day: i32::MIN });
                    let notes = std::mem::replace(&mut rollups.notes, later);
                    let rows = worker.run("rollup rows", || Ok(batch(&rollups, halves, &notes)?));
                    if let Some(rows) = rows {
                        let mut rows = Batch::new(Partition(0), rows);
                        output.session(&cap).give_container(&mut rows);
                    }
                }
                rollups.compact();
            }
        },
    )
}

fn batch(
    rollups: &Rollups,
    halves: Vec<Halves>,
    notes: &BTreeMap<Moment, BTreeMap<Key, Note>>,
) -> Result<Option<RecordBatch>> {
    let mut totals: BTreeMap<(Key, Moment), (Sums, Sums)> = BTreeMap::new();
    for ((key, sums), moment, sign) in halves {
        if moment.day == Moment::QUIET {
            continue;
        }
        let (before, after) = totals.entry((key, moment)).or_default();
        *(if sign < 0 { before } else { after }) = sums;
    }
    let mut changes = Vec::with_capacity(totals.len());
    for ((key, moment), (before, after)) in &totals {
        let note = notes.get(moment).and_then(|notes| notes.get(key));
        let note = *note.ok_or_else(|| Error::Column {
            column: OFFSET_FROM.to_owned(),
            expected: "the records of a change".to_owned(),
            found: "none: this is a bug".to_owned(),
        })?;
        changes.push(Change { key, known_on: moment.day, before: *before, after: *after, note });
    }
    if changes.is_empty() {
        return Ok(None);
    }
    let text = |of: &dyn Fn(&Change<'_>) -> Option<String>| -> ArrayRef {
        Arc::new(changes.iter().map(of).collect::<StringArray>())
    };
    let number = |of: fn(&Change<'_>) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(changes.iter().map(of)))
    };
    let offset = |of: fn(&Change<'_>) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(changes.iter().map(of)))
    };
    let day = |of: fn(&Change<'_>) -> i32| -> ArrayRef {
        Arc::new(Date32Array::from_iter_values(changes.iter().map(of)))
    };
    let money = |of: fn(&Change<'_>) -> i128| -> Result<ArrayRef> {
        let fits = |sum: &i128| sum.unsigned_abs() < 10_u128.pow(38);
        if !changes.iter().map(of).all(|sum| fits(&sum)) {
            return Err(Error::Column {
                column: EFFECTIVE_COST.to_owned(),
                expected: "totals within Decimal128(38, 12)".to_owned(),
                found: "more in a roll-up".to_owned(),
            });
        }
        money_array(changes.iter().map(of))
    };
    let partitions = UInt32Array::from_iter_values(changes.iter().map(|c| c.note.partition));
    let by = |change: &Change<'_>| rollups.by.get(usize::from(change.key.by)).map(By::to_string);
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        (PARTITION, Arc::new(partitions), false),
        (OFFSET_FROM, offset(|change| change.note.from), false),
        (OFFSET_TO, offset(|change| change.note.to), false),
        (BY, text(&by), false),
        (PERIOD, text(&|change| Some(change.key.period.name().to_owned())), false),
        (START, day(|change| change.key.start), false),
        (NAME, text(&|change| change.key.name.as_deref().map(str::to_owned)), true),
        (CURRENCY, text(&|change| Some(change.key.currency.to_string())), false),
        (KNOWN_ON, day(|change| change.known_on), false),
        (RECORDS, number(|change| change.after.records - change.before.records), false),
        (BILLED_BEFORE, money(|change| change.before.billed)?, false),
        (BILLED_AFTER, money(|change| change.after.billed)?, false),
        (EFFECTIVE_BEFORE, money(|change| change.before.effective)?, false),
        (EFFECTIVE_AFTER, money(|change| change.after.effective)?, false),
        (CHARGES_BEFORE, number(|change| change.before.charges), false),
        (CHARGES_AFTER, number(|change| change.after.charges), false),
    ];
    Ok(Some(RecordBatch::try_from_iter_with_nullable(columns)?))
}
