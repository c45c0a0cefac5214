//! One partition's reader: a thread of its own, here one that reads files in name order.
//!
//! The thread runs a few batches ahead of the plan and then waits: the bounded
//! channel is the back-pressure towards the source.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cloudops_datasets::{Format, ReadBatch, open};
use cloudops_sql::catalog::record::FilePlace;
use cpu_time::ThreadTime;
use crossbeam_channel::{Receiver, Sender, bounded};

use super::blob::Blob;
use super::files::{Found, Listing};

/// Batches that a partition's reader runs ahead of the plan.
const AHEAD: usize = 4;

/// What to read, and how.
#[derive(Debug, Clone)]
pub struct PartitionSpec {
    /// Where the files are.
    pub listing: Listing,
    /// What they hold.
    pub format: Format,
    /// How often to look for new files once the last is read; `None` ends the partition there.
    pub watch: Option<Duration>,
    /// Bytes read so far, of all partitions.
    pub bytes_read: Arc<AtomicU64>,
    /// CPU time of the stream's readers so far, ns.
    pub cpu_nanos: Arc<AtomicU64>,
    /// Where to begin; `None` at the beginning.
    pub start: Option<Start>,
    /// Whether a file that has been begun is read to its end even when told to stop.
    pub whole_files: bool,
}

/// A place within a partition.
#[derive(Debug, Clone)]
pub struct Start {
    /// The file that the last record before it lies in.
    pub place: FilePlace,
    /// The next offset.
    pub next: u64,
}

/// A decoded batch and where it came from.
#[derive(Debug)]
pub struct Chunk {
    /// The file's name, or the address of a partition that has no files.
    pub name: Arc<str>,
    /// The file; `None` where records lie in none, and have offsets of their own.
    pub file: Option<InFile>,
    /// Records, rows and rejects.
    pub batch: ReadBatch,
    /// What the batch takes in memory.
    pub bytes: u64,
    /// When it was read: where the latency of its results begins.
    pub read: Instant,
}

impl Chunk {
    /// A batch that has just been read.
    #[must_use]
    pub fn new(name: &Arc<str>, file: Option<InFile>, batch: ReadBatch) -> Self {
        let rejects: usize = batch.rejects.iter().map(|reject| reject.raw.len()).sum();
        let bytes = (batch.rows.get_array_memory_size() + rejects) as u64;
        Self { name: Arc::clone(name), file, batch, bytes, read: Instant::now() }
    }
}

/// A file's place in its partition.
#[derive(Debug, Clone, Copy)]
pub struct InFile {
    /// The file's size in bytes, as listed.
    pub size: u64,
    /// Ordinal in the partition of the file's first record.
    pub first: u64,
}

/// What the reader says next.
#[derive(Debug)]
pub enum Event {
    /// More records.
    Chunk(Chunk),
    /// All records of a file have been told.
    FileEnd,
    /// No more will ever come.
    Ended,
    /// Reading failed; nothing follows.
    Failed(anyhow::Error),
}

/// Starts the reader of a partition's files; it stops when `stop` is set or the receiver is dropped.
///
/// # Errors
/// When the operating system has no thread to give.
pub fn spawn(name: String, spec: PartitionSpec, stop: Arc<AtomicBool>) -> Result<Receiver<Event>> {
    spawn_reader(name, move |sender| read(&spec, sender, &stop))
}

/// Runs a partition's reader on a thread; it gives `true` at the partition's end, and `false` when it
/// was told to stop.
pub(super) fn spawn_reader(
    name: String,
    read: impl FnOnce(&Sender<Event>) -> Result<bool> + Send + 'static,
) -> Result<Receiver<Event>> {
    let (sender, receiver) = bounded(AHEAD);
    std::thread::Builder::new()
        .name(format!("read {name}"))
        .spawn(move || {
            let last = match read(&sender) {
                Ok(true) => Event::Ended,
                // Stopped, or nobody listens any more: there is nothing to say.
                Ok(false) => return,
                Err(error) => Event::Failed(error.context(format!("reading {name}"))),
            };
            // A receiver that is gone needs no news.
            drop(sender.send(last));
        })
        .context("starting a reader thread")?;
    Ok(receiver)
}

/// Reads until the end (`true`) or until told to stop (`false`).
fn read(spec: &PartitionSpec, sender: &Sender<Event>, stop: &AtomicBool) -> Result<bool> {
    let mut next = 0;
    let mut start = spec.start.as_ref();
    let mut last: Option<Arc<str>> = None;
    let mut passed_over = Vec::new();
    loop {
        let files = spec.listing.list(&spec.format)?;
        for file in files {
            if last.as_ref().is_some_and(|last| file.name <= *last) {
                continue;
            }
            if start.is_some_and(|start| *file.name < *start.place.file) {
                continue;
            }
            let mut skip = 0;
            if let Some(Start { place, next: at }) = start.take() {
                ensure!(*file.name == *place.file, gone(place));
                ensure!(
                    file.size == place.size,
                    "the input has changed: {} had {} bytes and has {} now; restore it, or start a new \
                     catalog",
                    place.file,
                    place.size,
                    file.size
                );
                (next, skip) = (place.first.0, at - place.first.0);
            }
            if spec.watch.is_some() && !settled(spec, &file)? {
                break;
            }
            match read_file(spec, &file, next, skip, sender, stop)? {
                Some(after) => next = after,
                None => return Ok(false),
            }
            last = Some(Arc::clone(&file.name));
        }
        if let Some(Start { place, .. }) = start {
            bail!(gone(place));
        }
        let Some(interval) = spec.watch else { return Ok(true) };
        warn_of_latecomers(spec, last.as_ref(), &mut passed_over)?;
        let mut waited = Duration::ZERO;
        while waited < interval {
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let nap = (interval - waited).min(Duration::from_millis(50));
            std::thread::sleep(nap);
            waited += nap;
        }
    }
}

/// What to say of a file that was read before and is not there.
fn gone(place: &FilePlace) -> String {
    format!("the input has changed: {} is gone; restore it, or start a new catalog", place.file)
}

/// Whether a file of a growing directory has stopped growing between two looks.
fn settled(spec: &PartitionSpec, file: &Found) -> Result<bool> {
    std::thread::sleep(Duration::from_millis(20));
    let again = spec.listing.list(&spec.format)?;
    Ok(again.iter().any(|other| other.name == file.name && other.size == file.size))
}

/// Names files that appeared with a name before one already read: their place in the order is gone.
fn warn_of_latecomers(
    spec: &PartitionSpec,
    last: Option<&Arc<str>>,
    known: &mut Vec<Arc<str>>,
) -> Result<()> {
    let Some(last) = last else { return Ok(()) };
    let before: Vec<_> = spec
        .listing
        .list(&spec.format)?
        .into_iter()
        .map(|file| file.name)
        .take_while(|name| name <= last)
        .collect();
    if !known.is_empty() {
        for name in before.iter().filter(|name| !known.contains(name) && *name != last) {
            tracing::error!(file = %name, after = %last, "file appeared before one already read; it is passed over: give it a later name");
        }
    }
    *known = before;
    Ok(())
}

/// Reads one file but for its first records; gives the ordinal after its last record.
fn read_file(
    spec: &PartitionSpec,
    file: &Found,
    first: u64,
    skip: u64,
    sender: &Sender<Event>,
    stop: &AtomicBool,
) -> Result<Option<u64>> {
    let blob = Blob::open(&file.location, &spec.bytes_read)
        .with_context(|| format!("opening {}", file.name))?;
    let mut reader = open(blob, &file.name, &spec.format, first, skip)?;
    let mut next = first + skip;
    loop {
        let begin = ThreadTime::now();
        let batch = reader.next_batch()?;
        spec.cpu_nanos.fetch_add(begin.elapsed().as_nanos() as u64, Ordering::Relaxed);
        let Some(batch) = batch else {
            return Ok(sender.send(Event::FileEnd).is_ok().then_some(next));
        };
        next = batch.first_offset + batch.records;
        let place = InFile { size: file.size, first };
        let chunk = Chunk::new(&file.name, Some(place), batch);
        let stopped = stop.load(Ordering::Relaxed) && !spec.whole_files;
        if stopped || sender.send(Event::Chunk(chunk)).is_err() {
            return Ok(None);
        }
    }
}
