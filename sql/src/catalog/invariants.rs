//! What no sequence of records may break: plain predicates of the state before
//! a record and the record.
//!
//! They are asked twice: before a record is appended, where a breach is a bug
//! of this program and nothing has happened yet; and when a record is folded,
//! where a breach means that another program wrote it. Either way the answer is
//! to stop: a log that contradicts itself has no fold.

use std::collections::{BTreeSet, HashMap, HashSet};

use cloudops_operators::epoch::{Epoch, Offset};

use super::record::{
    Commit, Compact, DataFile, Expire, Feedback, Gc, Plan, Promote, Record, SourceCommit,
    SourcePlan, StateRef, Takeover,
};
use super::state::State;
use super::store::{data_path_parts, is_merged_file, state_path_parts};

/// Checks a record against the state that it would follow; the error is the broken rule.
///
/// # Errors
/// A sentence that names the rule, the record and what was found instead.
pub fn check(state: &State, record: &Record) -> Result<(), String> {
    match record {
        Record::Takeover(takeover) => check_takeover(state, takeover),
        Record::Plan(plan) => check_plan(state, plan),
        Record::Commit(commit) => check_commit(state, commit),
        Record::Promote(promote) => check_promote(promote),
        Record::Feedback(feedback) => check_feedback(feedback),
        Record::Act(act) => state.actions.check(act),
        Record::Delivered(delivered) => {
            state.delivery.check_delivered(state.committed, state.next_seq, delivered)
        }
        Record::Attend(attend) => state.delivery.check_attend(attend),
        Record::Compact(compact) => check_compact(state, compact),
        Record::Expire(expire) => check_expire(state, expire),
        Record::Gc(gc) => check_gc(state, gc),
    }
}

/// Generations count the takeovers. Two writers who both begin find two numbers, and the greater
/// one is the one in force; an equal one would let both believe it.
fn check_takeover(state: &State, takeover: &Takeover) -> Result<(), String> {
    require(takeover.generation == state.generation + 1, || {
        format!("takeover {} follows generation {}", takeover.generation, state.generation)
    })?;
    require(takeover.workers > 0, || "takeover without workers".to_owned())
}

/// Whoever appends the number after a takeover has read it. A plan or commit of an older
/// generation behind it therefore comes from a writer that did not stop when it was fenced.
fn check_generation(state: &State, what: &str, generation: u64) -> Result<(), String> {
    require(state.generation > 0, || format!("{what} before any takeover"))?;
    require(generation == state.generation, || {
        format!("{what} of generation {generation} in generation {}", state.generation)
    })
}

/// Epochs are planned in ascending order, so that "committed up to" is one number; and every
/// partition goes on where its last plan ended, so that no record is read twice or never.
fn check_plan(state: &State, plan: &Plan) -> Result<(), String> {
    let what = format!("plan of epoch {}", plan.epoch);
    check_generation(state, &what, plan.generation)?;
    require(plan.epoch >= state.next_epoch(), || {
        format!("{what} where epoch {} is next", state.next_epoch())
    })?;
    check_once(&what, plan.sources.iter().map(|source| (&source.source, source.partition)))?;
    plan.sources.iter().try_for_each(|source| check_source_plan(state, &what, source))
}

/// An ended partition has closed every window: a record read after it would be late by definition,
/// whatever its time, so there is nothing left to plan. Watermarks never fall.
fn check_source_plan(state: &State, what: &str, plan: &SourcePlan) -> Result<(), String> {
    let what = format!("{what}, {} partition {}", plan.source, plan.partition.0);
    let last = state.source(&plan.source, plan.partition);
    let (from, to) = (plan.offset_from, plan.offset_to);
    // A log that forgets its oldest records begins where it begins; a file begins at its beginning.
    let begun = if plan.spans.is_empty() { from } else { Offset(0) };
    let next = last.map_or(begun, |last| last.planned_to);
    require(from == next, || format!("{what}: from offset {} where {} is next", from.0, next.0))?;
    require(from <= to, || format!("{what}: offsets {} to {} run backwards", from.0, to.0))?;
    if !plan.spans.is_empty() {
        let records = plan.spans.iter().try_fold(0u64, |sum, span| {
            sum.checked_add(span.record_to.checked_sub(span.record_from)?)
        });
        require(records == Some(to.0 - from.0), || {
            format!("{what}: the file spans do not hold the {} records planned", to.0 - from.0)
        })?;
    }
    // Idle is what brings nothing and may yet.
    require(!plan.idle || (from == to && !plan.ended), || {
        format!("{what}: idle, and offsets {} to {}, ended: {}", from.0, to.0, plan.ended)
    })?;
    let Some(last) = last else { return Ok(()) };
    require(plan.watermark_us >= last.planned_watermark_us, || {
        let least = last.planned_watermark_us;
        format!("{what}: watermark falls from {least} to {}", plan.watermark_us)
    })?;
    require(!last.ended || (from == to && plan.ended), || format!("{what}: it has ended"))
}

/// A commit closes the least open plan and no other: state after epoch n contains everything up
/// to n. It accounts for exactly the partitions planned, up to exactly the offsets planned.
fn check_commit(state: &State, commit: &Commit) -> Result<(), String> {
    let what = format!("commit of epoch {}", commit.epoch);
    check_generation(state, &what, commit.generation)?;
    let plan = match state.open_plans.front() {
        Some(plan) if plan.epoch == commit.epoch => plan,
        Some(plan) => return Err(format!("{what} where epoch {} is next", plan.epoch)),
        None => return Err(format!("{what} without a plan")),
    };
    let sources = &commit.sources;
    check_once(&what, sources.iter().map(|source| (&source.source, source.partition)))?;
    require(sources.len() == plan.sources.len(), || {
        format!(
            "{what}: {} partitions planned, {} accounted for",
            plan.sources.len(),
            sources.len()
        )
    })?;
    sources.iter().try_for_each(|source| check_source_commit(state, plan, &what, source))?;
    check_once(&what, commit.files.iter().map(|file| &file.path))?;
    if let Some(checkpoint) = &commit.checkpoint {
        check_once(&what, checkpoint.states.iter().map(|state| &state.path))?;
        check_once(&what, checkpoint.streams.iter().map(|stream| &stream.source))?;
        checkpoint.states.iter().try_for_each(|state| check_state(commit.epoch, &what, state))?;
        check_once(&what, checkpoint.continued.iter())?;
        require(checkpoint.continued.is_empty() || state.checkpoint.is_some(), || {
            format!("{what} continues a checkpoint where there is none")
        })?;
    }
    commit.files.iter().try_for_each(|file| check_file(commit.epoch, &what, file))
}

/// No record is lost and none is counted twice. `records_in` may exceed the planned range by
/// rejects that belong to no record, such as a file that could not be opened.
fn check_source_commit(
    state: &State,
    plan: &Plan,
    what: &str,
    commit: &SourceCommit,
) -> Result<(), String> {
    let what = format!("{what}, {} partition {}", commit.source, commit.partition.0);
    let planned = plan
        .sources
        .iter()
        .find(|plan| plan.source == commit.source && plan.partition == commit.partition)
        .ok_or_else(|| format!("{what}: not in the plan"))?;
    require(commit.offset == planned.offset_to, || {
        let (found, wanted) = (commit.offset.0, planned.offset_to.0);
        format!("{what}: committed up to offset {found}, planned up to {wanted}")
    })?;
    let parts = [commit.late, commit.rejected]
        .iter()
        .try_fold(commit.on_time, |sum, part| sum.checked_add(*part));
    require(parts == Some(commit.records_in), || {
        let SourceCommit { on_time, late, rejected, records_in, .. } = commit;
        format!("{what}: {on_time} on time + {late} late + {rejected} rejected ≠ {records_in} in")
    })?;
    let range = planned.offset_to.0 - planned.offset_from.0;
    require(commit.records_in >= range, || {
        format!("{what}: {range} records planned, {} accounted for", commit.records_in)
    })?;
    let before = state
        .source(&commit.source, commit.partition)
        .map_or(i64::MIN, |last| last.committed_watermark_us);
    require(commit.watermark_us >= before, || {
        format!("{what}: watermark falls from {before} to {}", commit.watermark_us)
    })
}

/// A file's name says its table and its epoch, so that a file can be traced without the log, and
/// so that no two epochs can name one file: its path need be unique only within its commit.
fn check_file(epoch: Epoch, what: &str, file: &DataFile) -> Result<(), String> {
    let of = data_path_parts(&file.path);
    require(of == Some((&file.table, epoch)), || {
        format!(
            "{what} names {}, which is no file of that epoch in table {}",
            file.path, file.table
        )
    })?;
    require(file.rows > 0, || format!("{what} names {}, a file without rows", file.path))
}

/// The same of a file of state: it can be traced without the log, and no two epochs name one.
fn check_state(epoch: Epoch, what: &str, state: &StateRef) -> Result<(), String> {
    let of = state_path_parts(&state.path);
    require(of == Some((&state.stream, &state.operator, epoch)), || {
        let StateRef { stream, operator, path, .. } = state;
        format!("{what} names {path}, which is no state of that epoch of {operator} in {stream}")
    })
}

/// A stream that has no name could never be asked for.
fn check_promote(promote: &Promote) -> Result<(), String> {
    require(!promote.stream.is_empty() && !promote.model.name.is_empty(), || {
        format!("promotion of {} without a stream or a name", promote.model)
    })
}

/// What is said of nothing could never be asked for, and what is no number never be compared with.
fn check_feedback(feedback: &Feedback) -> Result<(), String> {
    let Feedback { stream, anomaly_id, amount, errors, .. } = feedback;
    require(!stream.is_empty() && !anomaly_id.is_empty(), || {
        format!("feedback on anomaly {anomaly_id:?} of stream {stream:?}")
    })?;
    require(amount.is_finite() && errors.is_finite(), || {
        format!("feedback on anomaly {anomaly_id:?}: {amount} is off by {errors}")
    })
}

/// Files are only replaced while they are true, and by as many rows: two that compact the same files
/// cannot both succeed, and no row is lost or doubled.
fn check_compact(state: &State, compact: &Compact) -> Result<(), String> {
    let what = format!("compaction of {}", compact.table);
    let rows = check_removes(state, &what, &compact.table, &compact.removes)?;
    check_once(&what, compact.adds.iter().map(|file| &file.path))?;
    let added: u64 = compact.adds.iter().map(|file| file.rows).sum();
    require(rows == added, || format!("{what}: {rows} rows become {added}"))?;
    compact.adds.iter().try_for_each(|file| {
        let fits = file.table == compact.table && is_merged_file(&file.table, &file.path);
        require(fits && file.rows > 0, || {
            format!("{what} names {}, which is no merged file of it with rows", file.path)
        })
    })
}

/// Retention, too, takes away only what is true.
fn check_expire(state: &State, expire: &Expire) -> Result<(), String> {
    let what = format!("expiry of {}", expire.table);
    check_removes(state, &what, &expire.table, &expire.removes).map(drop)
}

/// The rows in files that are to be taken out of a table.
fn check_removes(
    state: &State,
    what: &str,
    table: &str,
    removes: &[String],
) -> Result<u64, String> {
    require(!removes.is_empty(), || format!("{what} of no file"))?;
    check_once(what, removes.iter())?;
    let live: HashMap<&str, u64> =
        state.files(table).iter().map(|file| (file.path.as_str(), file.rows)).collect();
    removes.iter().try_fold(0, |rows, path| match live.get(path.as_str()) {
        Some(of) => Ok(rows + of),
        None => Err(format!("{what} names {path}, which is not there to replace")),
    })
}

/// What is deleted can never be needed again.
fn check_gc(state: &State, gc: &Gc) -> Result<(), String> {
    let dead: HashSet<&str> = state.dead(gc.paths.iter().map(String::as_str)).into_iter().collect();
    // One that is unknown is as much needed as one that is named.
    match gc.paths.iter().find(|path| !dead.contains(path.as_str())) {
        Some(path) => Err(format!("gc names {path}, which is needed")),
        None => Ok(()),
    }
}

fn check_once<T: Ord + std::fmt::Debug>(
    what: &str,
    mut keys: impl Iterator<Item = T>,
) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    match keys.find_map(|key| seen.replace(key)) {
        Some(twice) => Err(format!("{what} names {twice:?} twice")),
        None => Ok(()),
    }
}

fn require(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}
