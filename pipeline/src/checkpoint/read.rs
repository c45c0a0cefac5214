//! The state of operators from files.
//!
//! One thread reads, checks and decodes the files of a checkpoint, the newest first, and every worker
//! gets every chunk: it takes up the shards that it owns. Only a few files and chunks are in memory at
//! once, however large the state.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use bytes::Bytes;
use cloudops_operators::epoch::Epoch;
use cloudops_operators::key::Shard;
use cloudops_operators::snapshot::{Restorer, Snapshot};
use cloudops_sql::catalog::Store;
use cloudops_sql::catalog::record::{Checkpoint, StateRef};
use cloudops_sql::catalog::store::{sha256, state_path_parts};
use cpu_time::ThreadTime;
use crossbeam_channel::{Receiver, Sender, bounded};
use futures_util::{StreamExt, stream};
use tokio::runtime::Handle;

use crate::path::Shared;

/// Files that are read ahead of the one being taken up.
const AHEAD: usize = 2;

/// Chunks that wait for a worker.
const WAITING: usize = 2;

/// A chunk of an operator's state.
#[derive(Debug)]
pub struct Piece {
    /// The stream's index.
    pub(crate) stream: usize,
    operator: String,
    chunk: RecordBatch,
    /// Whether no older chunk can hold the same keys.
    last: bool,
}

/// State on its way to a worker; ends with the last chunk, or with what went wrong.
pub(crate) type Supply = Receiver<Result<Arc<Piece>, String>>;

/// Begins to read a checkpoint for so many workers. The thread gives the CPU time that it took.
///
/// # Errors
/// Names the stream that is not configured any more.
pub(crate) fn supply(
    runtime: &Handle,
    store: &Store,
    checkpoint: &Checkpoint,
    streams: &[&str],
    workers: usize,
) -> Result<(Vec<Supply>, JoinHandle<Duration>)> {
    let mut oldest: HashMap<(&str, &str), Epoch> = HashMap::new();
    let mut files = Vec::new();
    for file in &checkpoint.states {
        let StateRef { stream, operator, path, .. } = file;
        let Some(at) = streams.iter().position(|name| name == stream) else {
            bail!("the checkpoint holds {path}, state of a stream that is not configured");
        };
        let (_, _, epoch) = state_path_parts(path).context("a path of state")?;
        // Files stand in the order of their epochs.
        let last = *oldest.entry((stream, operator)).or_insert(epoch) == epoch;
        files.push(File { stream: at, last, file: file.clone() });
    }
    files.reverse();
    let (senders, supplies): (Vec<_>, Vec<_>) = (0..workers).map(|_| bounded(WAITING)).unzip();
    let (runtime, store) = (runtime.clone(), store.clone());
    let thread = std::thread::Builder::new().name("restore".to_owned()).spawn(move || {
        let begin = ThreadTime::now();
        if let Err(error) = feed(&runtime, &store, files, &senders) {
            // A worker that is gone has said why.
            for sender in &senders {
                drop(sender.send(Err(format!("{error:#}"))));
            }
        }
        begin.elapsed()
    });
    Ok((supplies, thread.context("starting to restore state")?))
}

/// A file to be read.
struct File {
    stream: usize,
    last: bool,
    file: StateRef,
}

fn feed(
    runtime: &Handle,
    store: &Store,
    files: Vec<File>,
    workers: &[Sender<Result<Arc<Piece>, String>>],
) -> Result<()> {
    let read = async |file: File| {
        let bytes = store.get(&file.file.path).await;
        (file, bytes)
    };
    let mut read = std::pin::pin!(stream::iter(files).map(read).buffered(AHEAD));
    while let Some((File { stream, last, file }, bytes)) = runtime.block_on(read.next()) {
        let StateRef { operator, path, .. } = &file;
        let bytes: Bytes =
            bytes?.with_context(|| format!("{path} is gone: no restart without it"))?;
        ensure!(sha256(&bytes) == file.sha256, "{path} is corrupt: its SHA-256 is another");
        for chunk in StreamReader::try_new(&bytes[..], None)? {
            let chunk = chunk.with_context(|| path.clone())?;
            let piece = Arc::new(Piece { stream, operator: operator.clone(), chunk, last });
            for worker in workers {
                drop(worker.send(Ok(Arc::clone(&piece))));
            }
        }
    }
    Ok(())
}

/// What takes up each operator's state on one worker.
#[derive(Debug, Default)]
pub struct Restorers(BTreeMap<(usize, String), Restorer>);

impl Restorers {
    /// Gives an operator of a stream the shards it owns of a chunk.
    ///
    /// # Errors
    /// Names the operator whose state is not of this build, or that this build does not have.
    pub(crate) fn take_up(
        &mut self,
        stream: &str,
        operators: &[Shared<dyn Snapshot>],
        piece: &Piece,
        owned: impl Fn(Shard) -> bool,
    ) -> Result<()> {
        let Piece { stream: index, operator, chunk, last } = piece;
        let Some(to) = operators.iter().find(|of| of.borrow().operator() == operator) else {
            bail!(
                "the checkpoint holds the state of {operator:?} in stream {stream:?}, an operator \
                 that this build does not have; go on with the build that wrote it"
            );
        };
        let restorer = self.0.entry((*index, operator.clone())).or_default();
        restorer
            .take_up(&mut *to.borrow_mut(), chunk, *last, owned)
            .with_context(|| format!("restoring stream {stream:?}"))
    }
}
