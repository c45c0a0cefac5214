//! Roll-ups: changes of totals to totals by one name alone, by day and by month, in differential
//! dataflow.
//!
//! A roll-up is a collection whose records are keys — by what, which period, whose name, which
//! currency — and whose *differences* are the money itself: exact sums, added in no particular order
//! and taken back like anything else that was added. Counting such a collection gives every key's total
//! before and after each moment, that is each epoch and each day on which something became
//! known. Nothing is ever computed again: a corrected cent touches its own keys.
//!
//! Keys are exchanged by their shard, and arranged where they belong. The arrangement is the state: a
//! snapshot reads it, and a restart feeds it in again, at a moment before all others.
//!
//! Months that are over leave the arrangement for a [shelf](crate::shelf), where there is one: their
//! totals are taken back at a moment that says nothing, and put in again so when something is said of
//! the month ([`rest`](self)).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use differential_dataflow::difference::{IsZero, Semigroup};
use differential_dataflow::operators::CountTotal;
use differential_dataflow::operators::arrange::TraceAgent;
use differential_dataflow::operators::arrange::arrangement::arrange_core;
use differential_dataflow::trace::TraceReader;
use differential_dataflow::trace::implementations::{KeyBatcher, KeySpine};
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::{Capability, Enter, Leave};
use timely::dataflow::{Scope, Stream};
use timely::progress::frontier::Antichain;

use crate::flow::Batches;
use crate::key::Shard;
use crate::supervise::Supervisor;
use crate::{Error, Result};

mod key;
mod moment;
mod rest;
mod rows;
mod snapshot;
#[cfg(test)]
mod tests;

pub use key::By;
pub(crate) use key::Names;
use key::{Key, updates};
use moment::Moment;
use rest::Rest;
pub use rows::{BY, NAME, PERIOD, START};

/// Exact sums: what totals differ by.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
struct Sums {
    /// In units of 10⁻¹² of the currency.
    billed: i128,
    /// In units of 10⁻¹² of the currency.
    effective: i128,
    charges: i64,
    /// Records that made it: a change whose amounts cancel is still one.
    records: i64,
}

impl Sums {
    /// The same with the other sign.
    fn negated(self) -> Self {
        let Self { billed, effective, charges, records } = self;
        Self { billed: -billed, effective: -effective, charges: -charges, records: -records }
    }
}

impl IsZero for Sums {
    fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl Semigroup for Sums {
    fn plus_equals(&mut self, other: &Self) {
        // What exceeds 128 bits exceeds 38 digits, which is refused where totals become rows.
        self.billed = self.billed.saturating_add(other.billed);
        self.effective = self.effective.saturating_add(other.effective);
        self.charges += other.charges;
        self.records += other.records;
    }
}

/// Where the records of a change stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// The least partition with a record: offsets of different partitions do not compare.
    partition: u32,
    from: u64,
    to: u64,
}

impl Note {
    fn add(&mut self, other: Self) {
        if other.partition < self.partition {
            *self = other;
        } else if other.partition == self.partition {
            self.from = self.from.min(other.from);
            self.to = self.to.max(other.to);
        }
    }
}

/// A change of one rolled-up total, on its way to the worker that keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Update {
    key: Key,
    moment: Moment,
    sums: Sums,
    note: Note,
}

type Trace = TraceAgent<KeySpine<Key, Moment, Sums>>;

/// A total's halves at a moment: what was taken back, and what was put in its place.
type Halves = ((Key, Sums), Moment, isize);

/// What the arrangement takes in.
type Weighed = ((Key, ()), Moment, Sums);

/// The roll-ups of one stream on one worker.
#[derive(Default)]
pub struct Rollups {
    by: Vec<By>,
    /// Taken up from a snapshot, until the graph runs.
    restored: Vec<(Key, Sums)>,
    trace: Option<RefCell<Trace>>,
    notes: BTreeMap<Moment, BTreeMap<Key, Note>>,
    /// Keys of which something was said since the last checkpoint.
    changed: BTreeSet<Key>,
    /// Where there is a shelf: what goes there.
    rest: Option<Rest>,
}

impl std::fmt::Debug for Rollups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rollups").field("by", &self.by).finish_non_exhaustive()
    }
}

impl Rollups {
    /// Roll-ups by each of these, without any cost.
    ///
    /// # Errors
    /// [`Error::Configuration`] when one is named twice.
    pub fn new(by: Vec<By>) -> Result<Self> {
        for (at, one) in by.iter().enumerate() {
            if by[..at].contains(one) {
                return Err(Error::Configuration(format!("rollups: {one} is named twice")));
            }
        }
        Ok(Self { by, ..Self::default() })
    }

    /// Rolls changes of totals ([`crate::bill`]) up; rows of `cost_rollup_changes`.
    pub fn connect<'scope>(
        this: &Rc<RefCell<Self>>,
        changes: Batches<'scope>,
        supervisor: &Supervisor,
    ) -> Batches<'scope> {
        let outer = changes.scope();
        let halves = outer.scoped::<Moment, _, _>("rollup", |inner| {
            count(this, inner, changes, supervisor).leave(outer)
        });
        rows::rows(this, halves, supervisor)
    }

    /// An epoch's updates as the arrangement takes them in, behind what they need of what was put away.
    fn weigh(&mut self, epoch: u64, updates: Vec<Update>) -> Result<Vec<Weighed>> {
        let mut weighed = self.wake(epoch, &updates)?;
        weighed.extend(self.put_away(epoch)?);
        for Update { key, moment, sums, note } in updates {
            let notes = self.notes.entry(moment).or_default();
            match notes.get_mut(&key) {
                Some(known) => known.add(note),
                None => drop(notes.insert(key.clone(), note)),
            }
            if !self.changed.contains(&key) {
                self.changed.insert(key.clone());
            }
            weighed.push(((key, ()), moment, sums));
        }
        Ok(weighed)
    }

    /// Lets the arrangement forget the moments before the last.
    fn compact(&self) {
        if let Some(trace) = &self.trace {
            let (mut trace, mut upper) = (trace.borrow_mut(), Antichain::new());
            trace.read_upper(&mut upper);
            trace.set_logical_compaction(upper.borrow());
            trace.set_physical_compaction(upper.borrow());
        }
    }
}

/// Every key's total before and after each moment.
fn count<'inner>(
    this: &Rc<RefCell<Rollups>>,
    inner: Scope<'inner, Moment>,
    changes: Batches<'_>,
    supervisor: &Supervisor,
) -> Stream<'inner, Moment, Vec<Halves>> {
    let (rollups, worker) = (Rc::clone(this), supervisor.clone());
    let updates = changes.enter(inner).unary::<CapacityContainerBuilder<Vec<Update>>, _, _, _>(
        Pipeline,
        "rollup",
        |_, _| {
            move |input, output| {
                input.for_each(|cap, batch| {
                    let batch = std::mem::take(batch);
                    let epoch = cap.least().map_or(0, |moment| moment.epoch);
                    let found = worker.run("rollup", || {
                        let Some(records) = batch.materialize()? else { return Ok(Vec::new()) };
                        Ok(updates(&records, &rollups.borrow().by, epoch)?)
                    });
                    output.session(&cap).give_iterator(found.into_iter());
                });
            }
        },
    );
    let (rollups, worker) = (Rc::clone(this), supervisor.clone());
    let owner = Exchange::new(|update: &Update| {
        u64::from(Shard::of(update.key.name.as_deref().unwrap_or_default()).0)
    });
    let weighed = updates.unary_frontier::<CapacityContainerBuilder<Vec<Weighed>>, _, _, _>(
        owner,
        "rollup at its owner",
        |cap, _| {
            // What was known before comes first, and once.
            let mut first = Some(cap);
            let mut stash: BTreeMap<u64, (Capability<Moment>, Vec<Update>)> = BTreeMap::new();
            move |(input, frontier), output| {
                let mut rollups = rollups.borrow_mut();
                if let Some(cap) = first.take() {
                    let restored = std::mem::take(&mut rollups.restored).into_iter();
                    let moment = *cap.time();
                    output
                        .session(&cap)
                        .give_iterator(restored.map(|(key, sums)| ((key, ()), moment, sums)));
                }
                input.for_each(|cap, updates| {
                    let Some(cap) = cap.retain_least(0) else { return };
                    for update in updates.drain(..) {
                        let begin = Moment { epoch: update.moment.epoch, day: Moment::QUIET };
                        let kept = stash.entry(begin.epoch);
                        kept.or_insert_with(|| (cap.delayed(&begin), Vec::new())).1.push(update);
                    }
                });
                // Epoch by epoch: a month that comes back does so before what is said of it.
                while let Some(entry) = stash.first_entry() {
                    let epoch = *entry.key();
                    if frontier.less_equal(&Moment { epoch, day: i32::MAX }) {
                        break;
                    }
                    let (cap, updates) = entry.remove();
                    let weighed = worker.run("rollup", || Ok(rollups.weigh(epoch, updates)?));
                    output.session(&cap).give_iterator(weighed.into_iter());
                }
            }
        },
    );
    let arranged = arrange_core::<_, _, KeyBatcher<Key, Moment, Sums>, KeySpine<_, _, _>>(
        weighed,
        Pipeline,
        "rollup totals",
        KeyBatcher::new,
    );
    this.borrow_mut().trace = Some(RefCell::new(arranged.trace.clone()));
    arranged.count_total().inner
}
