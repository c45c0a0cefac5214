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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use arrow::array::{ArrayRef, UInt8Array};
    use arrow::ipc::writer::StreamWriter;
    use cloudops_operators::threshold::{Threshold, ThresholdConfig};
    use cloudops_sql::catalog::store::{Maker, state_path};
    use object_store::memory::InMemory;
    use object_store::path::Path;
    use tokio::runtime::Runtime;

    use super::*;

    struct World {
        runtime: Runtime,
        store: Store,
        checkpoint: Checkpoint,
    }

    impl World {
        /// A checkpoint of these operators and epochs, each with a file of as many rows as its epoch.
        fn of(states: &[(&str, u64)]) -> Self {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
            let (runtime, objects) = (runtime.unwrap(), Arc::new(InMemory::new()));
            let store = Store::new(objects, Path::default());
            let alone = Maker { worker: 0, workers: 1 };
            let refs = states.iter().map(|(operator, epoch)| {
                let path = state_path("engines", operator, Epoch(*epoch), alone, 0);
                let shards: ArrayRef = Arc::new(UInt8Array::from_value(0, *epoch as usize));
                let chunk = RecordBatch::try_from_iter([("shard", shards)]).unwrap();
                let mut writer = StreamWriter::try_new(Vec::new(), &chunk.schema()).unwrap();
                writer.write(&chunk).unwrap();
                let bytes = writer.into_inner().unwrap().into();
                let stored = runtime.block_on(store.put_file(&path, bytes)).unwrap();
                StateRef {
                    stream: "engines".to_owned(),
                    operator: (*operator).to_owned(),
                    path,
                    bytes: stored.bytes,
                    sha256: stored.sha256,
                    rows: *epoch,
                }
            });
            let (states, continued) = (refs.collect(), Vec::new());
            Self {
                checkpoint: Checkpoint { states, continued, streams: Vec::new() },
                runtime,
                store,
            }
        }

        fn read(&self, workers: usize) -> Vec<Vec<Result<Arc<Piece>, String>>> {
            let (handle, streams) = (self.runtime.handle(), ["bills", "engines"]);
            let read = supply(handle, &self.store, &self.checkpoint, &streams, workers);
            let (supplies, reader) = read.unwrap();
            // Each in its turn would wait for ever: what one has taken the others must take too.
            let taken: Vec<_> = supplies
                .into_iter()
                .map(|supply| std::thread::spawn(move || supply.iter().collect()))
                .collect();
            let pieces = taken.into_iter().map(|worker| worker.join().unwrap()).collect();
            reader.join().unwrap();
            pieces
        }
    }

    #[test]
    fn every_worker_gets_every_piece_the_newest_first() {
        let world = World::of(&[("window", 3), ("threshold", 3), ("window", 4), ("window", 7)]);
        for pieces in world.read(3) {
            let pieces = pieces.iter().map(|piece| {
                let Piece { stream, operator, chunk, last } = &**piece.as_ref().unwrap();
                assert_eq!(*stream, 1);
                (operator.as_str(), chunk.num_rows(), *last)
            });
            let want = [
                ("window", 7, false),
                ("window", 4, false),
                ("threshold", 3, true),
                ("window", 3, true),
            ];
            assert!(pieces.eq(want));
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        let mut world = World::of(&[("window", 3), ("window", 4)]);
        world.checkpoint.states[0].sha256 = "another".to_owned();
        for pieces in world.read(2) {
            assert!(pieces[0].is_ok(), "what is newer is given before");
            let error = pieces[1].as_ref().unwrap_err();
            assert!(error.contains("window/e3-w0of1-0.arrow is corrupt"), "{error}");
            assert_eq!(pieces.len(), 2);
        }
        world.checkpoint.states[1].path = "state/engines/window/e9-w0of1-0.arrow".to_owned();
        let error = world.read(1)[0][0].as_ref().map(drop).unwrap_err().clone();
        assert!(error.contains("e9-w0of1-0.arrow is gone"), "{error}");
        world.checkpoint.states[0].stream = "lifts".to_owned();
        let (handle, checkpoint) = (world.runtime.handle(), &world.checkpoint);
        let error = supply(handle, &world.store, checkpoint, &["engines"], 1).unwrap_err();
        assert!(error.to_string().contains("not configured"), "{error}");
    }

    #[test]
    fn state_of_an_unknown_operator_or_form_is_refused_by_name() {
        let world = World::of(&[("debounce", 3), ("threshold", 4)]);
        let threshold = Threshold::new("engines", ThresholdConfig::default()).unwrap();
        let operators: [Shared<dyn Snapshot>; 1] = [Rc::new(RefCell::new(threshold))];
        let mut restorers = Restorers::default();
        let errors = world.read(1).remove(0).into_iter().map(|piece| {
            let taken = restorers.take_up("engines", &operators, &piece.unwrap(), |_| true);
            format!("{:#}", taken.unwrap_err())
        });
        let errors: Vec<String> = errors.collect();
        assert!(errors[0].contains("snapshot of threshold"), "{}", errors[0]);
        assert!(errors[1].contains("\"debounce\" in stream \"engines\""), "{}", errors[1]);
        assert!(errors[1].contains("go on with the build that wrote it"), "{}", errors[1]);
    }
}
