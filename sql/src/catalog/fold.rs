//! The log in few objects: every so many records, the state after them and the records themselves.
//!
//! ```text
//! checkpoint/records-<20-digit seq>.ndjson.zst   the records up to seq since the last such object
//! checkpoint/state-<20-digit seq>.json.zst       the state after seq
//! ```
//!
//! Both follow from the log alone, so whoever writes them writes the same bytes, and a lost one costs
//! time only. Opening reads the newest state and the records behind it; reading the log from its
//! beginning takes one object where it took [`EVERY`]. The records stay where they are: they are the
//! truth, and these are copies.
//!
//! JSON and not Parquet, because a state is a tree: as a table it would be mostly nulls.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;

use super::record::{self, Record};
use super::state::State;
use super::store::Store;
use crate::{Error, Result};

/// Records between two folds.
pub const EVERY: u64 = 1024;

const FOLDER: &str = "checkpoint";

/// Folds found while the log is read but not yet written are kept up to this many: more are left to
/// be read record by record.
const PENDING_MAX: usize = 64;

/// The object that holds the state after record `seq`.
pub(super) fn state_path(seq: u64) -> String {
    format!("{FOLDER}/state-{seq:020}.json.zst")
}

/// The object that holds the records up to `seq`.
pub(super) fn records_path(seq: u64) -> String {
    format!("{FOLDER}/records-{seq:020}.ndjson.zst")
}

/// The number in the path of a folded state; `None` where it is no such path.
#[must_use]
pub fn fold_number(path: &str) -> Option<u64> {
    let digits = path.strip_prefix(FOLDER)?.strip_prefix("/state-")?.strip_suffix(".json.zst")?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

/// The last record of the fold that a record falls into.
pub(super) fn end_of(seq: u64) -> u64 {
    seq.div_ceil(EVERY) * EVERY
}

/// What a catalog has read of the log and not yet folded into an object.
#[derive(Debug, Default)]
pub(super) struct Folder {
    /// The bytes of the records since the last boundary; `None` where some of them were not seen.
    open: Option<Vec<u8>>,
    /// Whole runs of records, by their last one.
    records: Vec<(u64, Vec<u8>)>,
    /// The state at the last boundary.
    state: Option<Arc<State>>,
}

impl Folder {
    /// Takes note of a record and the state after it.
    pub(super) fn note(&mut self, seq: u64, bytes: &[u8], state: &Arc<State>) {
        if seq % EVERY == 1 {
            self.open = Some(Vec::new());
        }
        if let Some(open) = &mut self.open {
            open.extend_from_slice(bytes);
        }
        if seq.is_multiple_of(EVERY) {
            if let Some(open) = self.open.take() {
                self.records.push((seq, open));
            }
            if self.records.len() > PENDING_MAX {
                self.records.remove(0);
            }
            self.state = Some(Arc::clone(state));
        }
    }

    /// Whether there is a fold to write.
    pub(super) fn is_due(&self) -> bool {
        self.state.is_some()
    }

    /// Writes what is due. Gives the number of the state written.
    pub(super) async fn write(&mut self, store: &Store) -> Result<Option<u64>> {
        while let Some((seq, records)) = self.records.first() {
            store.put_file(&records_path(*seq), compress(records)?).await?;
            self.records.remove(0);
        }
        let Some(state) = &self.state else { return Ok(None) };
        let seq = state.next_seq - 1;
        let json = serde_json::to_vec(&**state)
            .map_err(|error| Error::Bug(format!("the state does not fit into JSON: {error}")))?;
        store.put_file(&state_path(seq), compress(&json)?).await?;
        self.state = None;
        Ok(Some(seq))
    }
}

/// The newest folded state, if there is one.
///
/// # Errors
/// [`Error::Corrupt`] where it cannot be read: its neighbours are not guessed at.
pub(super) async fn newest(store: &Store) -> Result<Option<State>> {
    // A newer one may be written, and this one deleted, between the look and the reading.
    for _ in 0..8 {
        let Some(seq) = greatest(store).await? else { return Ok(None) };
        let path = state_path(seq);
        let Some(bytes) = store.get(&path).await? else { continue };
        let corrupt = |reason: String| Error::Corrupt { path: path.clone(), reason };
        let json = zstd::stream::decode_all(&bytes[..]).map_err(|e| corrupt(e.to_string()))?;
        let state: State =
            serde_json::from_slice(&json).map_err(|error| corrupt(error.to_string()))?;
        if state.next_seq != seq + 1 {
            return Err(corrupt(format!("it holds the state before record {}", state.next_seq)));
        }
        return Ok(Some(state));
    }
    Ok(None)
}

async fn greatest(store: &Store) -> Result<Option<u64>> {
    let folder = store.location(FOLDER)?;
    let failed = |error| Error::store(format!("listing {folder}"), error);
    let mut listed = store.objects().list(Some(&folder));
    let mut greatest = None;
    while let Some(found) = listed.try_next().await.map_err(failed)? {
        let name = found.location.filename().map(|name| format!("{FOLDER}/{name}"));
        greatest = greatest.max(name.as_deref().and_then(fold_number));
    }
    Ok(greatest)
}

/// The records of one fold with their numbers and nonces; `None` where it was not written.
///
/// # Errors
/// [`Error::Corrupt`] where it cannot be read.
pub(super) async fn records(store: &Store, end: u64) -> Result<Option<Vec<(u64, Record, String)>>> {
    let path = records_path(end);
    let Some(bytes) = store.get(&path).await? else { return Ok(None) };
    let corrupt = |reason: String| Error::Corrupt { path: path.clone(), reason };
    let text = zstd::stream::decode_all(&bytes[..]).map_err(|error| corrupt(error.to_string()))?;
    let mut records = Vec::with_capacity(EVERY as usize);
    let mut seq = end - EVERY;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        seq += 1;
        let (record, nonce) = record::decode(&path, seq, line)?;
        records.push((seq, record, nonce));
    }
    if seq != end {
        return Err(corrupt(format!("it ends with record {seq}")));
    }
    Ok(Some(records))
}

/// With a checksum, so that a torn or rotten copy is noticed.
fn compress(bytes: &[u8]) -> Result<Bytes> {
    let failed = |source| Error::Io { path: "zstd".to_owned(), source };
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).map_err(failed)?;
    encoder.include_checksum(true).map_err(failed)?;
    std::io::Write::write_all(&mut encoder, bytes).map_err(failed)?;
    Ok(Bytes::from(encoder.finish().map_err(failed)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_falls_into_the_fold_that_ends_at_a_multiple() {
        assert_eq!([1, EVERY, EVERY + 1].map(end_of), [EVERY, EVERY, 2 * EVERY]);
        assert_eq!(fold_number(&state_path(2048)), Some(2048));
        assert_eq!(fold_number("checkpoint/state-7.json.zst"), None);
        assert_eq!(fold_number(&records_path(2048)), None);
    }
}
