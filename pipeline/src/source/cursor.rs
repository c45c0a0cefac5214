//! Cuts a partition into epochs and judges its records on the way.
//!
//! A cut falls anywhere between two records. The verdict on each record, late
//! or on time, depends on the records before it alone, so where cuts fall
//! never shows in a result.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use arrow::array::RecordBatch;
use cloudops_datasets::{ReadBatch, Reject, StreamKind};
use cloudops_operators::batch::Batch;
use cloudops_operators::bill::Clock;
use cloudops_operators::epoch::{Offset, Partition};
use cloudops_operators::schema::{TS, offsets, times};
use cloudops_operators::watermark::{Judge, Watermark};
use cloudops_sql::catalog::record::{FilePlace, FileSpan, PartitionState};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use serde::{Deserialize, Serialize};

use super::partition::{Chunk, Event, InFile};

/// A run of a partition's records, judged: what one epoch takes of it.
#[derive(Debug, Default)]
pub struct Cut {
    /// First ordinal.
    pub from: u64,
    /// Ordinal after the last.
    pub to: u64,
    /// Rows and rejects; as many as records, but where a record may hold several.
    pub entries: u64,
    /// The files these records lie in.
    pub spans: Vec<FileSpan>,
    /// Rows on time.
    pub rows: Vec<Batch>,
    /// Rows that came after their watermark, each with that watermark.
    pub late: Vec<(RecordBatch, Watermark)>,
    /// Records that could not be read, with the file or partition each lies in.
    pub rejects: Vec<(Arc<str>, Reject)>,
    /// Rows on time.
    pub on_time: u64,
    /// What the records take in memory, about.
    pub bytes: u64,
    /// When the first of them was read.
    pub since: Option<Instant>,
}

impl Cut {
    /// Records in the cut.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.to - self.from
    }
}

/// How much to cut.
#[derive(Debug, Clone, Copy)]
pub enum Amount {
    /// Exactly so many records, or all there are.
    Records(u64),
    /// Records of so many rows and rejects, fewer where the cut holds so many bytes before that; the
    /// last one, which is not parted, may go beyond.
    Entries(u64, u64),
}

/// How long to wait for records that have not been read yet.
#[derive(Debug, Clone, Copy)]
pub enum Patience {
    /// Until they come or the partition ends.
    Endless,
    /// Until an instant.
    Until(Instant),
}

/// How a partition's records are judged on the way.
#[derive(Debug, Clone)]
pub enum Judging {
    /// Late ones are taken out.
    Rows(Judge),
    /// None is: a bill's row that comes late changes what was said before. Where periods are delivered
    /// anew as a whole, rows are told which delivery they are of, and no delivery is parted.
    Bills(Clock, Option<Deliveries>),
}

/// What of a partition's files is one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deliveries {
    /// Each file, by its name.
    File,
    /// The files of a folder, by the folder's name.
    Folder,
}

impl Deliveries {
    /// The delivery that a file is of.
    fn label(self, file: &str) -> &str {
        let mut parts = file.rsplit('/');
        let name = parts.next().unwrap_or_default();
        match self {
            Self::File => name,
            Self::Folder => parts.next().unwrap_or_default(),
        }
    }
}

impl Judging {
    /// How a kind of stream is judged, from a partition's beginning on.
    #[must_use]
    pub fn new(kind: StreamKind, lateness_us: i64, deliveries: Option<Deliveries>) -> Self {
        match kind {
            StreamKind::Cost => Self::Bills(Clock::new(lateness_us), deliveries),
            StreamKind::Sensor | StreamKind::Audit | StreamKind::Configuration => {
                Self::Rows(Judge::new(lateness_us))
            }
        }
    }

    /// The same, from where a partition's watermark stood.
    fn resume(self, watermark: Watermark) -> Self {
        match self {
            Self::Rows(judge) => Self::Rows(judge.resume(watermark)),
            Self::Bills(clock, by) => Self::Bills(clock.resume(watermark), by),
        }
    }

    fn watermark(&self) -> Watermark {
        match self {
            Self::Rows(judge) => judge.watermark(),
            Self::Bills(clock, _) => clock.watermark(),
        }
    }

    fn deliveries(&self) -> Option<Deliveries> {
        match self {
            Self::Rows(_) => None,
            Self::Bills(_, deliveries) => *deliveries,
        }
    }
}

/// A partition's place: next record, watermark, and what has been read ahead.
#[derive(Debug)]
pub struct Cursor {
    partition: Partition,
    events: Receiver<Event>,
    current: Option<(Chunk, u64)>,
    judging: Judging,
    next: u64,
    /// The file that the last record cut lies in.
    place: Option<FilePlace>,
    /// Whether more of the file that was last told of follows.
    in_file: bool,
    ended: bool,
    /// Whether the last plan says that the watermark does not wait for it.
    idle: bool,
}

impl Cursor {
    /// A cursor at the partition's beginning, its first offset.
    #[must_use]
    pub fn new(
        partition: Partition,
        events: Receiver<Event>,
        judging: Judging,
        first: u64,
    ) -> Self {
        let (next, place) = (first, None);
        let (in_file, ended, idle) = (false, false, false);
        Self { partition, events, current: None, judging, next, place, in_file, ended, idle }
    }

    /// A cursor where a checkpoint left it; `events` begin at its next record.
    #[must_use]
    pub fn resume(
        partition: Partition,
        events: Receiver<Event>,
        judging: Judging,
        state: &PartitionState,
    ) -> Self {
        let judging = judging.resume(Watermark(state.watermark_us));
        let place = state.file.clone();
        let idle = state.idle;
        Self { place, idle, ..Self::new(partition, events, judging, state.next.0) }
    }

    /// Where the cursor stands; `ended` says whether its end has been planned.
    #[must_use]
    pub fn state(&self, ended: bool) -> PartitionState {
        PartitionState {
            next: Offset(self.next),
            watermark_us: self.judging.watermark().0,
            ended,
            idle: self.idle(),
            file: self.place.clone(),
        }
    }

    /// The next record's ordinal.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Whether every record has been cut and no more will come.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// The event-time bound after everything cut so far; +∞ at the end.
    #[must_use]
    pub fn watermark(&self) -> Watermark {
        if self.ended { Watermark::MAX } else { self.judging.watermark() }
    }

    /// Whether the watermark does not wait for the partition: it was planned as idle, and nothing has been
    /// cut of it since.
    #[must_use]
    pub fn idle(&self) -> bool {
        self.idle && !self.ended
    }

    /// Whether all that has come has been cut, to the end of its file, and more may come.
    #[must_use]
    pub fn dry(&self) -> bool {
        let is_left = |(chunk, taken): &(Chunk, u64)| *taken < chunk.batch.records;
        let left = self.current.as_ref().is_some_and(is_left);
        !left && self.events.is_empty() && !self.in_file && !self.ended
    }

    /// Makes the partition idle, as a plan says, or leaves it so: its next record is judged by the
    /// watermark that has been applied.
    pub fn rest(&mut self, applied: Watermark) {
        self.idle = true;
        let bound = self.judging.watermark().max(applied);
        self.judging = self.judging.clone().resume(bound);
    }

    /// How many batches have been read ahead.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.events.len()
    }

    /// Cuts more records onto `cut`; at least what is left of one batch, where there is any.
    ///
    /// # Errors
    /// When the reader failed.
    pub fn cut(&mut self, amount: Amount, patience: Patience, cut: &mut Cut) -> Result<()> {
        if cut.to == 0 && cut.from == 0 {
            (cut.from, cut.to) = (self.next, self.next);
        }
        let (goal, most, bytes) = match amount {
            Amount::Records(records) => (self.next + records, u64::MAX, u64::MAX),
            Amount::Entries(entries, bytes) => (u64::MAX, cut.entries + entries, bytes),
        };
        let full = |cut: &Cut| cut.entries >= most || cut.bytes >= bytes;
        loop {
            let is_within = self.next < goal && !full(cut) && self.fill(patience, false)?;
            // No delivery is parted; a plan that is repeated has been made so.
            let goes_on = !is_within && most != u64::MAX && self.within_delivery(patience, cut)?;
            if !is_within && !goes_on {
                break;
            }
            let Some((chunk, taken)) = &mut self.current else { break };
            let first = chunk.batch.first_offset;
            let from = first + *taken;
            let to = goal.min(first + chunk.batch.records);
            let room = if goes_on { u64::MAX } else { most - cut.entries };
            let to = end_within(&chunk.batch, from, to, room)?;
            take(self.partition, chunk, from, to, &mut self.judging, cut)?;
            cut.bytes += chunk.bytes * (to - from) / chunk.batch.records.max(1);
            cut.since.get_or_insert(chunk.read);
            if let Some(file) = chunk.file
                && self.place.as_ref().is_none_or(|place| *place.file != *chunk.name)
            {
                self.place = Some(FilePlace {
                    file: chunk.name.to_string(),
                    size: file.size,
                    first: Offset(file.first),
                });
            }
            *taken = to - first;
            self.idle = false;
            self.next = to;
            cut.to = to;
        }
        // Learn of the end now if it is known, so that the last records and the end share an epoch.
        if !self.ended && (self.next >= goal || full(cut)) {
            self.fill(Patience::Until(Instant::now()), false)?;
        }
        Ok(())
    }

    /// Makes `current` hold more of the delivery that a cut ends in; `false` where it is whole, or there
    /// are none.
    fn within_delivery(&mut self, patience: Patience, cut: &Cut) -> Result<bool> {
        let Some(by) = self.judging.deliveries() else { return Ok(false) };
        let Some(last) = cut.spans.last().filter(|_| cut.to > cut.from) else { return Ok(false) };
        let label = by.label(&last.file).to_owned();
        // What is left of the file comes without anything else having to happen.
        if self.in_file && self.fill(Patience::Endless, true)? {
            return Ok(true);
        }
        let more = by == Deliveries::Folder && self.fill(patience, false)?;
        Ok(more && self.current.as_ref().is_some_and(|(chunk, _)| by.label(&chunk.name) == label))
    }

    /// Makes `current` hold uncut records; `false` when there are none, yet or ever, or in this file
    /// where that is asked for.
    fn fill(&mut self, patience: Patience, of_file: bool) -> Result<bool> {
        loop {
            if let Some((chunk, taken)) = &self.current
                && *taken < chunk.batch.records
            {
                return Ok(true);
            }
            self.current = None;
            if self.ended {
                return Ok(false);
            }
            let event = match patience {
                Patience::Endless => self.events.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Patience::Until(instant) => self.events.recv_deadline(instant),
            };
            match event {
                Ok(Event::Chunk(chunk)) => {
                    self.in_file = chunk.file.is_some();
                    self.current = Some((chunk, 0));
                }
                Ok(Event::FileEnd) => {
                    self.in_file = false;
                    if of_file {
                        return Ok(false);
                    }
                }
                Ok(Event::Ended) => self.ended = true,
                Ok(Event::Failed(error)) => return Err(error),
                Err(RecvTimeoutError::Timeout) => return Ok(false),
                Err(RecvTimeoutError::Disconnected) => bail!("a partition's reader has stopped"),
            }
        }
    }
}

/// The last end, up to `to`, of records from `from` on that are at most so many rows and rejects; but
/// of one record at least.
fn end_within(batch: &ReadBatch, from: u64, to: u64, entries: u64) -> Result<u64> {
    let ordinals = offsets(&batch.rows)?.values();
    let before = |end: u64| {
        let rejects = batch.rejects.partition_point(|reject| reject.offset < end);
        (ordinals.partition_point(|&offset| offset < end) + rejects) as u64
    };
    let most = before(from).saturating_add(entries);
    let (mut fits, mut too_far) = (from + 1, to + 1);
    while too_far - fits > 1 {
        let middle = fits + (too_far - fits) / 2;
        if before(middle) <= most { fits = middle } else { too_far = middle }
    }
    Ok(fits)
}

/// Moves records `from..to` of a chunk onto a cut, judging them.
fn take(
    partition: Partition,
    chunk: &mut Chunk,
    from: u64,
    to: u64,
    judging: &mut Judging,
    cut: &mut Cut,
) -> Result<()> {
    if let Some(file) = chunk.file {
        extend_spans(&mut cut.spans, &chunk.name, file, from, to);
    }
    let rejects = &mut chunk.batch.rejects;
    let split = rejects.partition_point(|reject| reject.offset < to);
    cut.rejects.extend(rejects.drain(..split).map(|reject| (Arc::clone(&chunk.name), reject)));

    let ordinals = offsets(&chunk.batch.rows)?.values();
    let first = ordinals.partition_point(|&offset| offset < from);
    let last = ordinals.partition_point(|&offset| offset < to);
    let (entries, records) = ((split + last - first) as u64, to - from);
    ensure!(
        entries == records || (entries > records && chunk.file.is_none()),
        "bug: records {from}..{to} of {} became {entries} rows and rejects",
        chunk.name
    );
    cut.entries += entries;
    if first == last {
        return Ok(());
    }
    let rows = chunk.batch.rows.slice(first, last - first);
    let judge = match judging {
        Judging::Rows(judge) => judge,
        Judging::Bills(clock, deliveries) => {
            cut.on_time += rows.num_rows() as u64;
            let mut judged = clock.judge(&rows)?;
            if let Some(by) = deliveries {
                judged = cloudops_operators::bill::of_delivery(&judged, by.label(&chunk.name))?;
            }
            let records = Some(judged);
            cut.rows.push(Batch { partition, records, selection: None });
            return Ok(());
        }
    };
    let event_times = times(&rows, TS)?;
    let before = judge.clone();
    let mut late = Vec::new();
    judge.judge(event_times, &mut late);
    let on_time = rows.num_rows() - late.len();
    if on_time > 0 {
        let selection = (!late.is_empty()).then(|| complement(rows.num_rows(), &late));
        cut.rows.push(Batch { partition, records: Some(rows.clone()), selection });
        cut.on_time += on_time as u64;
    }
    if !late.is_empty() {
        name_late(before, &rows, event_times, &late, cut);
    }
    Ok(())
}

/// Records each late row with the watermark that it missed.
fn name_late(mut judge: Judge, rows: &RecordBatch, ts: &[i64], late: &[u32], cut: &mut Cut) {
    let mut judged = 0;
    for &row in late {
        judge.judge(&ts[judged..row as usize], &mut Vec::new());
        judged = row as usize;
        cut.late.push((rows.slice(judged, 1), judge.watermark()));
    }
}

fn extend_spans(spans: &mut Vec<FileSpan>, name: &str, file: InFile, from: u64, to: u64) {
    let (record_from, record_to) = (from - file.first, to - file.first);
    match spans.last_mut() {
        Some(span) if *span.file == *name => span.record_to = record_to,
        _ => spans.push(FileSpan {
            file: name.to_owned(),
            size: file.size,
            etag: None,
            modified_us: None,
            record_from,
            record_to,
        }),
    }
}

/// The rows of `0..rows` that are not in the ascending list `out`.
fn complement(rows: usize, out: &[u32]) -> Arc<[u32]> {
    let mut skip = out.iter().copied().peekable();
    (0..rows as u32).filter(|row| skip.next_if_eq(row).is_none()).collect()
}
