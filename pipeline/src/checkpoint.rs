//! The state of operators to files and back.
//!
//! One Arrow IPC stream a stream, operator and worker: the operator's own columns behind the shard
//! that each row belongs to. Who holds which shard is decided anew when the state is taken up.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use cloudops_operators::key::Shard;
use cloudops_operators::snapshot::{self, Snapshot};
use cloudops_sql::catalog::Store;
use cloudops_sql::catalog::record::{Checkpoint, StateRef};
use cloudops_sql::catalog::store::sha256;

use crate::path::Shared;

/// One operator's state on one worker, before it is staged.
#[derive(Debug)]
pub struct EncodedState {
    /// The stream.
    pub stream: String,
    /// The operator's stable id.
    pub operator: &'static str,
    /// Number of rows.
    pub rows: u64,
    /// The Arrow IPC stream.
    pub bytes: Bytes,
}

/// State to take up: by operator, the batches of all workers that held a part of it.
pub type States = BTreeMap<String, Vec<RecordBatch>>;

/// Writes down what operators of a stream hold; those that hold nothing are left out.
pub(crate) fn encode(
    stream: &str,
    operators: &[Shared<dyn Snapshot>],
) -> Result<Vec<EncodedState>> {
    let mut states = Vec::new();
    for operator in operators {
        let operator = operator.borrow();
        let Some(state) = snapshot::snapshot(&*operator)? else { continue };
        let mut writer = StreamWriter::try_new(Vec::new(), &state.schema())?;
        writer.write(&state)?;
        states.push(EncodedState {
            stream: stream.to_owned(),
            operator: operator.operator(),
            rows: state.num_rows() as u64,
            bytes: Bytes::from(writer.into_inner()?),
        });
    }
    Ok(states)
}

/// Gives operators of a stream the shards they own of a state.
///
/// # Errors
/// Names the operator whose state is not of this build, or that this build does not have.
pub(crate) fn restore(
    stream: &str,
    operators: &[Shared<dyn Snapshot>],
    states: &States,
    owned: impl Fn(Shard) -> bool,
) -> Result<()> {
    let known: Vec<&str> = operators.iter().map(|operator| operator.borrow().operator()).collect();
    if let Some(unknown) = states.keys().find(|name| !known.contains(&name.as_str())) {
        bail!(
            "the checkpoint holds the state of {unknown:?} in stream {stream:?}, an operator that \
             this build does not have; go on with the build that wrote it"
        );
    }
    for operator in operators {
        let mut operator = operator.borrow_mut();
        for state in states.get(operator.operator()).into_iter().flatten() {
            snapshot::restore(&mut *operator, state, &owned)
                .with_context(|| format!("restoring stream {stream:?}"))?;
        }
    }
    Ok(())
}

/// Reads the operators' state of a checkpoint, by stream in the order of `streams`.
///
/// # Errors
/// Names the file that is missing, or is not the one that was written.
pub(crate) async fn load(
    store: &Store,
    checkpoint: &Checkpoint,
    streams: &[&str],
) -> Result<Vec<States>> {
    let mut states: Vec<States> = streams.iter().map(|_| States::new()).collect();
    for file in &checkpoint.states {
        let StateRef { stream, operator, path, .. } = file;
        let Some(at) = streams.iter().position(|name| name == stream) else {
            bail!("the checkpoint holds {path}, state of a stream that is not configured");
        };
        let bytes = store.get(path).await?;
        let bytes = bytes.with_context(|| format!("{path} is gone: no restart without it"))?;
        ensure!(sha256(&bytes) == file.sha256, "{path} is corrupt: its SHA-256 is another");
        let of_operator = states[at].entry(operator.clone()).or_default();
        for batch in StreamReader::try_new(&bytes[..], None)? {
            of_operator.push(batch.with_context(|| path.clone())?);
        }
    }
    Ok(states)
}
