//! What a worker made of an epoch, in the store: named by the commit to come.

use anyhow::Result;
use cloudops_operators::epoch::Epoch;
use cloudops_sql::catalog::Store;
use cloudops_sql::catalog::record::{DataFile, OperatorRef, StateRef};
use cloudops_sql::catalog::store::{Maker, Stored, data_path, state_path};
use serde::{Deserialize, Serialize};

use crate::checkpoint::{EncodedState, StagedState};
use crate::worker::{Completed, StreamProgress};

/// One worker's part of a complete epoch, its files stored.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Staged {
    /// Result files.
    pub files: Vec<DataFile>,
    /// The state after the epoch, where it is a checkpoint, by operator.
    pub states: Vec<StagedState>,
    /// Per stream, by index.
    pub streams: Vec<StreamProgress>,
}

impl Staged {
    /// Of an epoch that is only passed through: its files are there since it was committed.
    #[must_use]
    pub fn passed(completed: Completed) -> Self {
        Self { streams: completed.streams, ..Self::default() }
    }
}

/// Stores what a worker made; `told` hears of every object before it is put.
///
/// # Errors
/// When the store fails, or holds other bytes under these names.
pub async fn stage(
    store: &Store,
    epoch: Epoch,
    maker: Maker,
    completed: Completed,
    told: impl Fn(&str),
) -> Result<Staged> {
    let mut staged = Staged { streams: completed.streams, ..Staged::default() };
    for (n, file) in completed.files.into_iter().enumerate() {
        let path = data_path(file.table, &file.source, epoch, maker, n as u32);
        told(&path);
        let stored = store.put_file(&path, file.bytes).await?;
        staged.files.push(DataFile {
            table: file.table.to_owned(),
            path,
            bytes: stored.bytes,
            sha256: stored.sha256,
            rows: file.rows,
            columns: file.statistics,
        });
    }
    for EncodedState { stream, operator, extent, files } in completed.states {
        let of = OperatorRef { stream, operator: operator.to_owned() };
        let mut state = StagedState { of, extent, files: Vec::new() };
        for (n, (rows, bytes)) in files.into_iter().enumerate() {
            let OperatorRef { stream, operator } = state.of.clone();
            let path = state_path(&stream, &operator, epoch, maker, n as u32);
            told(&path);
            let Stored { bytes, sha256, .. } = store.put_file(&path, bytes).await?;
            state.files.push(StateRef { stream, operator, path, bytes, sha256, rows });
        }
        staged.states.push(state);
    }
    Ok(staged)
}
