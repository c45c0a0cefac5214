//! The state of operators to files.

use std::collections::BTreeMap;

use anyhow::Result;
use arrow::array::RecordBatch;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use cloudops_operators::epoch::Epoch;
use cloudops_operators::snapshot::{self, Changes, Extent, Snapshot};
use cloudops_sql::catalog::record::{Checkpoint, OperatorRef, StateRef, StreamState};
use cloudops_sql::catalog::store::state_path_parts;
use serde::{Deserialize, Serialize};

use crate::path::Shared;

/// A file ends with the chunk that makes it as long as this, bytes: what a restart holds in memory at
/// once is a few of them.
const FILE: usize = 32 << 20;

/// Changes are written as long as they weigh no more than so many times what they are changes to. So
/// writing everything again adds a quarter to what is written, and a restart reads five times
/// the state at most.
const CHANGES: u64 = 4;

/// One operator's state on one worker, before it is staged.
#[derive(Debug)]
pub struct EncodedState {
    /// The stream.
    pub stream: String,
    /// The operator's stable id.
    pub operator: &'static str,
    /// Whether this is all that the operator holds here, or what has changed.
    pub extent: Extent,
    /// Arrow IPC streams, each with its number of rows; none where there is nothing to write.
    pub files: Vec<(u64, Bytes)>,
}

/// The same when its files are stored.
#[derive(Debug, Serialize, Deserialize)]
pub struct StagedState {
    /// The operator.
    pub of: OperatorRef,
    /// Whether this is all that the operator holds there, or what has changed.
    pub extent: Extent,
    /// Its files.
    pub files: Vec<StateRef>,
}

/// Writes down what operators of a stream hold, or what of it has changed since this was last asked.
///
/// An operator writes everything anyway where that is little more: most of its keys have changed.
pub(crate) fn encode(
    stream: &str,
    operators: &[Shared<dyn Snapshot>],
    extent: Extent,
) -> Result<Vec<EncodedState>> {
    let mut states = Vec::new();
    for operator in operators {
        let mut operator = operator.borrow_mut();
        let extent = match operator.changes() {
            Some(Changes { keys, changed }) if 13 * changed < 10 * keys => extent,
            _ => Extent::Whole,
        };
        let files = files(snapshot::chunks(&*operator, extent))?;
        operator.saved();
        let (stream, operator) = (stream.to_owned(), operator.operator());
        states.push(EncodedState { stream, operator, extent, files });
    }
    Ok(states)
}

fn files(
    chunks: impl Iterator<Item = cloudops_operators::Result<RecordBatch>>,
) -> Result<Vec<(u64, Bytes)>> {
    let mut files = Vec::new();
    let mut open: Option<(u64, StreamWriter<Vec<u8>>)> = None;
    for chunk in chunks {
        let chunk = chunk?;
        let (rows, mut writer) = match open.take() {
            Some(open) => open,
            None => (0, StreamWriter::try_new(Vec::new(), &chunk.schema())?),
        };
        writer.write(&chunk)?;
        let rows = rows + chunk.num_rows() as u64;
        if writer.get_ref().len() < FILE {
            open = Some((rows, writer));
        } else {
            files.push((rows, writer.into_inner()?.into()));
        }
    }
    if let Some((rows, writer)) = open {
        files.push((rows, writer.into_inner()?.into()));
    }
    Ok(files)
}

/// What the next checkpoint has to write, after the last.
pub(crate) fn due(last: Option<&Checkpoint>) -> Extent {
    let mut sizes: BTreeMap<(&str, &str), BTreeMap<Epoch, u64>> = BTreeMap::new();
    for state in last.iter().flat_map(|last| &last.states) {
        if let Some((stream, operator, epoch)) = state_path_parts(&state.path) {
            let of_operator = sizes.entry((stream, operator)).or_default();
            *of_operator.entry(epoch).or_default() += state.bytes;
        }
    }
    let (mut whole, mut changes) = (0, 0);
    for by_epoch in sizes.into_values() {
        let mut sizes = by_epoch.into_values();
        whole += sizes.next().unwrap_or(0);
        changes += sizes.sum::<u64>();
    }
    if last.is_none() || changes > CHANGES * whole { Extent::Whole } else { Extent::Changed }
}

/// The checkpoint of all workers' states: it continues the one before where any has written only changes.
pub(crate) fn checkpoint(states: Vec<StagedState>, streams: Vec<StreamState>) -> Checkpoint {
    let changed = states.iter().filter(|state| state.extent == Extent::Changed);
    let mut continued: Vec<OperatorRef> = changed.map(|state| state.of.clone()).collect();
    continued.sort_unstable();
    continued.dedup();
    let states = states.into_iter().flat_map(|state| state.files).collect();
    Checkpoint { states, continued, streams }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(operator: &str, epoch: u64, bytes: u64) -> StateRef {
        StateRef {
            stream: "engines".to_owned(),
            operator: operator.to_owned(),
            path: format!("state/engines/{operator}/e{epoch}-w0of1-0.arrow"),
            bytes,
            sha256: String::new(),
            rows: 1,
        }
    }

    fn last(states: &[(&str, u64, u64)]) -> Checkpoint {
        let states = states.iter().map(|(operator, epoch, bytes)| state(operator, *epoch, *bytes));
        Checkpoint { states: states.collect(), continued: Vec::new(), streams: Vec::new() }
    }

    #[test]
    fn everything_is_written_again_once_changes_weigh_four_times_as_much() {
        assert_eq!(due(None), Extent::Whole);
        assert_eq!(due(Some(&last(&[]))), Extent::Changed);
        let mut states = vec![("window", 3, 100), ("threshold", 3, 10), ("window", 4, 400)];
        assert_eq!(due(Some(&last(&states))), Extent::Changed);
        states.push(("window", 5, 40));
        assert_eq!(due(Some(&last(&states))), Extent::Changed);
        states.push(("threshold", 5, 1));
        assert_eq!(due(Some(&last(&states))), Extent::Whole);
        // An operator that wrote everything anew has no changes.
        assert_eq!(due(Some(&last(&[("window", 9, 400), ("threshold", 3, 10)]))), Extent::Changed);
    }

    #[test]
    fn one_worker_with_changes_continues_what_all_had_before() {
        let of = |operator: &str| OperatorRef {
            stream: "engines".to_owned(),
            operator: operator.to_owned(),
        };
        let staged = |operator, extent, files| StagedState { of: of(operator), extent, files };
        let taken = checkpoint(
            vec![
                staged("window", Extent::Whole, vec![state("window", 7, 1)]),
                staged("threshold", Extent::Whole, vec![state("threshold", 7, 1)]),
                staged("window", Extent::Changed, Vec::new()),
                staged("threshold", Extent::Whole, Vec::new()),
            ],
            Vec::new(),
        );
        assert_eq!(taken.continued, [of("window")]);
        let before = last(&[("window", 3, 1), ("threshold", 3, 1)]);
        let paths: Vec<String> =
            taken.complete(Some(&before)).states.into_iter().map(|state| state.path).collect();
        let path = |operator, epoch| state(operator, epoch, 1).path;
        assert_eq!(paths, [path("window", 3), path("window", 7), path("threshold", 7)]);
    }
}
