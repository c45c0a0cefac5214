//! How a pure operator is put into the timely graph.
//!
//! An operator's kernel knows rows, not progress. Five adaptors give it its
//! life in the graph, and `pipeline/src/dataflow.rs` is written only with them:
//!
//! - [`route`] sends each row to the worker that owns its entity's shard;
//! - [`each`] applies a function to every batch as it comes;
//! - [`clocked`] hands over a whole epoch at once, with the watermark that the
//!   epoch's plan applies, once no more rows of that epoch can come;
//! - [`whole`] does so without a watermark, and not where an epoch carries nothing;
//! - [`gather`] hands over a whole epoch without a watermark: also at the graph's ends.
//!
//! What rests on several streams takes the [`least`] of their watermarks; what all workers need to know is
//! told to all ([`tell_all`]).
//!
//! All run under the worker's [`Supervisor`]: it keeps the first error of any operator; from then
//! on all operators of that worker swallow their input, and the worker reports it. Nothing panics,
//! and no epoch after the error can complete.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use timely::communication::Push;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::Message;
use timely::dataflow::channels::pact::{DistributorPact, ParallelizationContract, Pipeline};
use timely::dataflow::channels::pushers::exchange::Distributor;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{Operator, OutputBuilder};
use timely::dataflow::operators::{Capability, Concatenate};
use timely::dataflow::{Scope, Stream};
use timely::progress::Stamp;

use crate::batch::Batch;
use crate::epoch::{Epoch, Partition};
use crate::key::Shard;
use crate::schema::{ENTITY_ID, Labels, labels};
use crate::supervise::{Cause, Supervisor};
use crate::watermark::Watermark;

/// A stream of batches in epoch time.
pub type Batches<'scope> = Stream<'scope, u64, Batch>;

/// A stream that carries each epoch's watermark, once a worker.
pub type Clock<'scope> = Stream<'scope, u64, Vec<Watermark>>;

/// Sends each row to the worker that owns its entity's shard.
///
/// Rows keep the order they had in their batch. The batch itself is shared; only row numbers
/// are written.
pub fn route<'scope>(rows: Batches<'scope>, supervisor: &Supervisor) -> Batches<'scope> {
    route_by(rows, ENTITY_ID, supervisor)
}

/// Sends each row to the worker that owns the shard of the name in a column.
pub fn route_by<'scope>(
    rows: Batches<'scope>,
    column: &'static str,
    supervisor: &Supervisor,
) -> Batches<'scope> {
    let supervisor = supervisor.clone();
    let by = move |peers| ByName { column, supervisor, selections: vec![Vec::new(); peers] };
    rows.unary(DistributorPact(by), "route", |_, _| {
        |input, output| {
            input.for_each(|cap, batch| output.session(&cap).give_container(batch));
        }
    })
}

/// Splits a batch by the owner of the name that each row has in a column.
struct ByName {
    column: &'static str,
    supervisor: Supervisor,
    selections: Vec<Vec<u32>>,
}

impl ByName {
    /// Writes each row's number to its owner's list.
    fn select(&mut self, entities: Labels<'_>, selection: Option<&[u32]>) {
        let workers = self.selections.len();
        let owner = |entity: Option<&str>| Shard::of(entity.unwrap_or_default()).worker(workers);
        let rows = entities.len() as u32;
        match entities {
            Labels::Plain(texts) => {
                self.send(rows, selection, |row| owner(Some(texts.value(row))));
            }
            Labels::Keyed(keys, texts) => {
                let owners: Vec<usize> = texts.iter().map(owner).collect();
                self.send(rows, selection, |row| owners[keys.value(row) as usize]);
            }
        }
    }

    fn send(&mut self, rows: u32, selection: Option<&[u32]>, owner: impl Fn(usize) -> usize) {
        let mut send = |row: u32| self.selections[owner(row as usize)].push(row);
        match selection {
            Some(rows) => rows.iter().copied().for_each(&mut send),
            None => (0..rows).for_each(&mut send),
        }
    }
}

impl Distributor<Batch> for ByName {
    fn partition<T: Clone, P: Push<Message<T, Batch>>>(
        &mut self,
        container: &mut Batch,
        stamp: &Stamp<T>,
        pushers: &mut [P],
    ) {
        let batch = std::mem::take(container);
        let Some(records) = &batch.records else { return };
        let Ok(entities) = labels(records, self.column) else {
            // Not an input batch: the receiver's schema check reports it with the column's name.
            Message::push_at(&mut batch.clone(), stamp.clone(), &mut pushers[0]);
            return;
        };
        let supervisor = self.supervisor.clone();
        supervisor.count("route", || self.select(entities, batch.selection.as_deref()));
        for (selection, pusher) in self.selections.iter_mut().zip(pushers) {
            if !selection.is_empty() {
                let mut part = Batch {
                    partition: batch.partition,
                    records: batch.records.clone(),
                    selection: Some(Arc::from(selection.as_slice())),
                };
                selection.clear();
                Message::push_at(&mut part, stamp.clone(), pusher);
            }
        }
    }

    fn flush<T: Clone, P: Push<Message<T, Batch>>>(&mut self, _: &Stamp<T>, _: &mut [P]) {}
}

/// Applies a function to every batch as it comes, in order.
pub fn each<'scope, E: Into<Cause>>(
    batches: Batches<'scope>,
    name: &str,
    supervisor: &Supervisor,
    mut logic: impl FnMut(RecordBatch) -> Result<Vec<RecordBatch>, E> + 'static,
) -> Batches<'scope> {
    let (supervisor, operator) = (supervisor.clone(), name.to_owned());
    batches.unary::<CapacityContainerBuilder<Batch>, _, _, _>(Pipeline, name, |_, _| {
        move |input, output| {
            input.for_each(|cap, batch| {
                let batch = std::mem::take(batch);
                let results = supervisor.run(&operator, || {
                    let Some(records) = batch.materialize()? else { return Ok(Vec::new()) };
                    logic(records).map_err(Into::into)
                });
                give(&mut output.session(&cap), results);
            });
        }
    })
}

/// What a [`clocked`] operator gives for an epoch: its results, and a second stream beside them
/// (refused rows, sufficient statistics, …).
pub type TwoOutputs = (Vec<RecordBatch>, Vec<RecordBatch>);

/// Hands an operator each epoch's batches, ordered by partition and first offset, with the
/// epoch's watermark, once both are complete; epochs strictly in order.
pub fn clocked<'scope, P, E: Into<Cause>>(
    batches: Batches<'scope>,
    pact: P,
    clock: Clock<'scope>,
    name: &str,
    supervisor: &Supervisor,
    mut logic: impl FnMut(Epoch, Vec<Batch>, Watermark) -> Result<TwoOutputs, E> + 'static,
) -> (Batches<'scope>, Batches<'scope>)
where
    P: ParallelizationContract<u64, Batch>,
{
    let (supervisor, operator) = (supervisor.clone(), name.to_owned());
    let mut builder = OperatorBuilder::new(name.to_owned(), batches.scope());
    let mut rows = builder.new_input(batches, pact);
    let mut ticks = builder.new_input(clock, Pipeline);
    let (results, result_stream) = builder.new_output();
    let (beside, beside_stream) = builder.new_output();
    let mut results = OutputBuilder::<_, CapacityContainerBuilder<Batch>>::from(results);
    let mut beside = OutputBuilder::<_, CapacityContainerBuilder<Batch>>::from(beside);
    builder.build(move |_| {
        let mut stash: BTreeMap<u64, Stash> = BTreeMap::new();
        move |frontiers| {
            rows.for_each(|cap, batch| {
                let cap = cap.retain_least(0).zip(cap.retain_least(1));
                if let Some((at, beside)) = cap {
                    let epoch = *at.time();
                    stash
                        .entry(epoch)
                        .or_insert_with(|| Stash::new(at, beside))
                        .batches
                        .push(std::mem::take(batch));
                }
            });
            ticks.for_each(|cap, watermarks| {
                let cap = cap.retain_least(0).zip(cap.retain_least(1));
                if let Some((at, beside)) = cap {
                    let epoch = *at.time();
                    stash.entry(epoch).or_insert_with(|| Stash::new(at, beside)).watermark =
                        watermarks.drain(..).next_back();
                }
            });
            let (mut results, mut beside) = (results.activate(), beside.activate());
            while let Some(entry) = stash.first_entry() {
                let epoch = *entry.key();
                if frontiers.iter().any(|frontier| frontier.less_equal(&epoch)) {
                    break;
                }
                let Stash { at, at_beside, mut batches, watermark } = entry.remove();
                batches.sort_by_key(first_offset);
                let (main, side) = supervisor.run(&operator, || {
                    let watermark = watermark.ok_or("an epoch came without its watermark")?;
                    logic(Epoch(epoch), batches, watermark).map_err(Into::into)
                });
                give(&mut results.session(&at), main);
                give(&mut beside.session(&at_beside), side);
            }
        }
    });
    (result_stream, beside_stream)
}

/// The least watermark of several streams in each epoch, once each of them has one.
pub fn least<'scope>(clocks: Vec<Clock<'scope>>, scope: Scope<'scope, u64>) -> Clock<'scope> {
    let all = clocks.len();
    scope.concatenate(clocks).unary_frontier::<CapacityContainerBuilder<Vec<Watermark>>, _, _, _>(
        Pipeline,
        "least watermark",
        |_, _| {
            let mut stash: BTreeMap<u64, (Capability<u64>, Vec<Watermark>)> = BTreeMap::new();
            move |(input, frontier), output| {
                input.for_each(|cap, watermarks| {
                    if let Some(cap) = cap.retain_least(0) {
                        let (_, known) = stash.entry(*cap.time()).or_insert((cap, Vec::new()));
                        known.append(watermarks);
                    }
                });
                while let Some(entry) = stash.first_entry() {
                    if frontier.less_equal(entry.key()) {
                        break;
                    }
                    let (cap, known) = entry.remove();
                    // A stream without one says nothing: nothing may be taken for final then.
                    let least = known.iter().min().filter(|_| known.len() == all).copied();
                    output.session(&cap).give(least.unwrap_or(Watermark::MIN));
                }
            }
        },
    )
}

/// Hands an operator each epoch's batches once they are complete; epochs strictly in order, and
/// only those that carry any.
///
/// At the graph's end `logic` gives nothing; a probe on the stream that is returned then passes an
/// epoch once `logic` has seen it.
pub fn gather<'scope, P, E: Into<Cause>>(
    batches: Batches<'scope>,
    pact: P,
    name: &str,
    supervisor: &Supervisor,
    mut logic: impl FnMut(Epoch, Vec<RecordBatch>) -> Result<Vec<RecordBatch>, E> + 'static,
) -> Batches<'scope>
where
    P: ParallelizationContract<u64, Batch>,
{
    complete(batches, pact, name, supervisor, move |epoch, batches| {
        let mut records = Vec::with_capacity(batches.len());
        for batch in &batches {
            records.extend(batch.materialize()?);
        }
        logic(epoch, records).map_err(Into::into)
    })
}

/// Hands an operator each epoch's batches, ordered by partition and first offset, once they are
/// complete; epochs strictly in order, and only those that carry any.
pub fn whole<'scope, E: Into<Cause>>(
    batches: Batches<'scope>,
    name: &str,
    supervisor: &Supervisor,
    mut logic: impl FnMut(Epoch, Vec<Batch>) -> Result<Vec<RecordBatch>, E> + 'static,
) -> Batches<'scope> {
    complete(batches, Pipeline, name, supervisor, move |epoch, mut batches| {
        batches.sort_by_key(first_offset);
        logic(epoch, batches).map_err(Into::into)
    })
}

fn complete<'scope, P>(
    batches: Batches<'scope>,
    pact: P,
    name: &str,
    supervisor: &Supervisor,
    mut logic: impl FnMut(Epoch, Vec<Batch>) -> Result<Vec<RecordBatch>, Cause> + 'static,
) -> Batches<'scope>
where
    P: ParallelizationContract<u64, Batch>,
{
    let (supervisor, operator) = (supervisor.clone(), name.to_owned());
    batches.unary_frontier::<CapacityContainerBuilder<Batch>, _, _, _>(pact, name, |_, _| {
        let mut stash: BTreeMap<u64, (Capability<u64>, Vec<Batch>)> = BTreeMap::new();
        move |(input, frontier), output| {
            input.for_each(|cap, batch| {
                if let Some(cap) = cap.retain_least(0) {
                    let (_, batches) = stash.entry(*cap.time()).or_insert((cap, Vec::new()));
                    batches.push(std::mem::take(batch));
                }
            });
            while let Some(entry) = stash.first_entry() {
                let epoch = *entry.key();
                if frontier.less_equal(&epoch) {
                    break;
                }
                let (cap, batches) = entry.remove();
                let results = supervisor.run(&operator, || logic(Epoch(epoch), batches));
                give(&mut output.session(&cap), results);
            }
        }
    })
}

/// Gives everything to every worker; the rows themselves are shared.
pub fn tell_all(batches: Batches<'_>) -> Batches<'_> {
    batches.unary(DistributorPact(|_| ToAll), "tell all", |_, _| {
        |input, output| {
            input.for_each(|cap, batch| output.session(&cap).give_container(batch));
        }
    })
}

struct ToAll;

impl Distributor<Batch> for ToAll {
    fn partition<T: Clone, P: Push<Message<T, Batch>>>(
        &mut self,
        container: &mut Batch,
        stamp: &Stamp<T>,
        pushers: &mut [P],
    ) {
        for pusher in pushers {
            Message::push_at(&mut container.clone(), stamp.clone(), pusher);
        }
    }

    fn flush<T: Clone, P: Push<Message<T, Batch>>>(&mut self, _: &Stamp<T>, _: &mut [P]) {}
}

/// Sends everything to the first worker: the place of what spans entities.
#[must_use]
pub fn to_one() -> impl ParallelizationContract<u64, Batch> {
    DistributorPact(|_| ToFirst)
}

struct ToFirst;

impl Distributor<Batch> for ToFirst {
    fn partition<T: Clone, P: Push<Message<T, Batch>>>(
        &mut self,
        container: &mut Batch,
        stamp: &Stamp<T>,
        pushers: &mut [P],
    ) {
        Message::push_at(container, stamp.clone(), &mut pushers[0]);
    }

    fn flush<T: Clone, P: Push<Message<T, Batch>>>(&mut self, _: &Stamp<T>, _: &mut [P]) {}
}

/// An epoch's input until it is complete.
struct Stash {
    at: Capability<u64>,
    at_beside: Capability<u64>,
    batches: Vec<Batch>,
    watermark: Option<Watermark>,
}

impl Stash {
    fn new(at: Capability<u64>, at_beside: Capability<u64>) -> Self {
        Self { at, at_beside, batches: Vec::new(), watermark: None }
    }
}

/// Batches in partition and offset order keep a kernel's own sorting cheap.
fn first_offset(batch: &Batch) -> (Partition, u64) {
    let offset = batch
        .records
        .as_ref()
        .and_then(|records| crate::schema::offsets(records).ok()?.values().first().copied());
    (batch.partition, offset.unwrap_or(0))
}

fn give<'a: 'b, 'b, C>(
    session: &mut timely::dataflow::operators::generic::Session<
        'a,
        'b,
        u64,
        CapacityContainerBuilder<Batch>,
        C,
    >,
    results: Vec<RecordBatch>,
) where
    C: timely::dataflow::operators::CapabilityTrait<u64>,
{
    for records in results {
        if records.num_rows() > 0 {
            session.give_container(&mut Batch::new(Partition(0), records));
        }
    }
}
