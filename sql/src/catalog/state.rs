//! The fold of the log: what is true now.
//!
//! Memory grows with what is live (files, open plans, partitions, promotions),
//! never with the number of epochs; what only the past knows is read again from
//! the log by [`History`](super::history::History).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use cloudops_operators::epoch::{Epoch, Offset, Partition};
use cloudops_operators::score::Timeline;

use super::invariants;
use super::record::{Checkpoint, Commit, DataFile, FileSpan, Plan, Promote, Record, Takeover};

/// What is true after a prefix of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// The last takeover's generation; 0 before the first.
    pub generation: u64,
    /// The last takeover; `None` before the first.
    pub writer: Option<Takeover>,
    /// The number of the next record; the first is 1.
    pub next_seq: u64,
    /// The last epoch planned.
    pub planned: Option<Epoch>,
    /// The last epoch committed.
    pub committed: Option<Epoch>,
    /// Plans not yet committed, ascending by epoch. A new generation adopts them.
    pub open_plans: VecDeque<Arc<Plan>>,
    /// The files of each table, in the order of their commits. A table without files is absent.
    pub tables: BTreeMap<String, Vec<Arc<DataFile>>>,
    /// How far each source partition is planned and committed.
    pub sources: BTreeMap<String, BTreeMap<Partition, SourceState>>,
    /// The last state written down with a commit.
    pub checkpoint: Option<Arc<CheckpointAt>>,
    /// The numbers in the log of the open plans.
    open_numbers: VecDeque<u64>,
    /// What the last `Gc` named: deleted, unless its writer was stopped before.
    pub collected: Vec<String>,
    /// Every promotion with its number in the log, ascending.
    pub promotions: Vec<(u64, Promote)>,
}

/// A checkpoint and its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointAt {
    /// The epoch whose commit holds it.
    pub epoch: Epoch,
    /// The number in the log of that epoch's plan: every plan to replay comes after it.
    pub plan_number: u64,
    /// The state.
    pub checkpoint: Checkpoint,
}

/// How far a source partition is planned and committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceState {
    /// The next offset to plan.
    pub planned_to: Offset,
    /// The watermark of the last plan, µs since 1970.
    pub planned_watermark_us: i64,
    /// The last file planned and how far in it: where a directory is read on.
    pub last_span: Option<FileSpan>,
    /// Whether it has ended: nothing more is planned.
    pub ended: bool,
    /// The next offset to commit.
    pub committed_to: Offset,
    /// The watermark of the last commit, µs since 1970.
    pub committed_watermark_us: i64,
}

impl SourceState {
    const BEGIN: Self = Self {
        planned_to: Offset(0),
        planned_watermark_us: i64::MIN,
        last_span: None,
        ended: false,
        committed_to: Offset(0),
        committed_watermark_us: i64::MIN,
    };
}

impl Default for State {
    /// The state of an empty log.
    fn default() -> Self {
        Self {
            generation: 0,
            writer: None,
            next_seq: 1,
            planned: None,
            committed: None,
            open_plans: VecDeque::new(),
            tables: BTreeMap::new(),
            sources: BTreeMap::new(),
            checkpoint: None,
            open_numbers: VecDeque::new(),
            collected: Vec::new(),
            promotions: Vec::new(),
        }
    }
}

impl State {
    /// The least epoch that may be planned next.
    #[must_use]
    pub fn next_epoch(&self) -> Epoch {
        self.planned.map_or(Epoch(0), Epoch::next)
    }

    /// A table's files, in the order of their commits.
    #[must_use]
    pub fn files(&self, table: &str) -> &[Arc<DataFile>] {
        self.tables.get(table).map_or(&[], Vec::as_slice)
    }

    /// How far a source partition has come; `None` before its first plan.
    #[must_use]
    pub fn source(&self, source: &str, partition: Partition) -> Option<&SourceState> {
        self.sources.get(source)?.get(&partition)
    }

    /// Which model is in force for a stream, and from when.
    #[must_use]
    pub fn timeline(&self, stream: &str) -> Timeline {
        let mut timeline = Timeline::default();
        for (_, promote) in self.promotions.iter().filter(|(_, p)| p.stream == stream) {
            timeline.promote(promote.effective_from_us, promote.model.clone());
        }
        timeline
    }

    /// Folds the next record in, or leaves the state as it was.
    ///
    /// # Errors
    /// The broken rule, see [`invariants::check`].
    pub fn apply(&mut self, record: Record) -> Result<(), String> {
        invariants::check(self, &record)?;
        match record {
            Record::Takeover(takeover) => {
                self.generation = takeover.generation;
                self.writer = Some(takeover);
            }
            Record::Plan(plan) => self.plan(plan),
            Record::Commit(commit) => self.commit(commit),
            Record::Promote(promote) => self.promotions.push((self.next_seq, promote)),
            Record::Gc(gc) => self.collected = gc.paths,
        }
        self.next_seq += 1;
        Ok(())
    }

    fn plan(&mut self, plan: Plan) {
        for planned in &plan.sources {
            let source = self.source_mut(&planned.source, planned.partition);
            source.planned_to = planned.offset_to;
            source.planned_watermark_us = planned.watermark_us;
            source.ended = planned.ended;
            if let Some(span) = planned.spans.last() {
                source.last_span = Some(span.clone());
            }
        }
        self.planned = Some(plan.epoch);
        self.open_plans.push_back(Arc::new(plan));
        self.open_numbers.push_back(self.next_seq);
    }

    fn commit(&mut self, commit: Commit) {
        self.open_plans.pop_front();
        let plan_number = self.open_numbers.pop_front().unwrap_or(0);
        self.committed = Some(commit.epoch);
        for committed in &commit.sources {
            let source = self.source_mut(&committed.source, committed.partition);
            source.committed_to = committed.offset;
            source.committed_watermark_us = committed.watermark_us;
        }
        for file in commit.files {
            self.tables.entry(file.table.clone()).or_default().push(Arc::new(file));
        }
        if let Some(checkpoint) = commit.checkpoint {
            let epoch = commit.epoch;
            self.checkpoint = Some(Arc::new(CheckpointAt { epoch, plan_number, checkpoint }));
        }
    }

    fn source_mut(&mut self, source: &str, partition: Partition) -> &mut SourceState {
        let partitions = self.sources.entry(source.to_owned()).or_default();
        partitions.entry(partition).or_insert(SourceState::BEGIN)
    }
}
