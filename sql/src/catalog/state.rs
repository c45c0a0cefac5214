//! The fold of the log: what is true now.
//!
//! Memory grows with what is live (files, open plans, partitions, promotions),
//! never with the number of epochs; what only the past knows is read again from
//! the log by [`History`](super::history::History).

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use cloudops_operators::anomaly::Label;
use cloudops_operators::epoch::{Epoch, Offset, Partition};
use cloudops_operators::schema::cost::day_of;
use cloudops_operators::score::Timeline;
use serde::{Deserialize, Serialize};

use super::action::Actions;
use super::delivery::Delivery;
use super::fold::{EVERY, fold_number};
use super::invariants;
use super::record::{
    Checkpoint, Commit, Compact, DataFile, Feedback, FileSpan, Plan, Promote, Record, Takeover,
};
use super::store::{
    data_path_parts, epochs_of, merged_path, merged_path_epochs, partition_of, state_path_parts,
};

/// What is true after a prefix of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    /// Files that compaction or retention took out of their tables, in order, not yet deleted:
    /// somebody may still be reading them.
    pub replaced: Vec<Replaced>,
    /// What the last `Gc` named: deleted, unless its writer was stopped before.
    pub collected: Vec<String>,
    /// Every promotion with its number in the log, ascending.
    pub promotions: Vec<(u64, Promote)>,
    /// Everything that was said of cost anomalies, in order.
    #[serde(default)]
    pub feedback: Vec<Said>,
    /// Actions on resources.
    #[serde(default)]
    pub actions: Actions,
    /// How far sinks of alerts have come, and what people said of alerts.
    #[serde(default)]
    pub delivery: Delivery,
}

/// What was said of a cost anomaly, and from when on it bears.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// The record's number in the log.
    pub number: u64,
    /// The first day, since 1970-01-01, that no plan before the record had closed; `i32::MAX` where
    /// the stream had ended.
    pub from: i32,
    /// What was said.
    pub feedback: Feedback,
}

impl Said {
    /// As the operator takes it.
    #[must_use]
    pub fn label(&self) -> Label {
        let Feedback { entity_id, currency, service, day, said, amount, errors, .. } =
            self.feedback.clone();
        let (entity, feedback, from) = (entity_id, said, self.from);
        Label { entity, currency, service, day, feedback, amount, errors, from }
    }
}

/// A file that was live and is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replaced {
    /// The object, relative to the catalog's prefix.
    pub path: String,
    /// Wall clock when it was replaced, µs since 1970.
    pub at_us: i64,
}

/// A checkpoint and its place in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointAt {
    /// The epoch whose commit holds it.
    pub epoch: Epoch,
    /// The number in the log of that epoch's plan: every plan to replay comes after it.
    pub plan_number: u64,
    /// The state, with all that it continues: the files in the order of their epochs.
    pub checkpoint: Checkpoint,
}

/// How far a source partition is planned and committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
            replaced: Vec::new(),
            collected: Vec::new(),
            promotions: Vec::new(),
            feedback: Vec::new(),
            actions: Actions::default(),
            delivery: Delivery::default(),
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

    /// What was said of a stream's anomalies, but for the first so many records of it, as operators take
    /// it.
    #[must_use]
    pub fn labels(&self, stream: &str, known: usize) -> Vec<Label> {
        let new = self.feedback.iter().skip(known);
        new.filter(|said| said.feedback.stream == stream).map(Said::label).collect()
    }

    /// Which of these objects no record to come can ever need: what `Gc` may name.
    ///
    /// A file of an epoch or a state can only be named by that epoch's commit, so one that is not
    /// named is dead as soon as its epoch is committed: left behind by a run that was stopped. A file
    /// that compaction or retention replaced is dead. A merged file that is not named may be named yet,
    /// by the compaction at work on it, as long as what it was merged from is live.
    #[must_use]
    pub fn dead<'a>(&self, paths: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        let files = self.tables.values().flatten().map(|file| file.path.as_str());
        let states = self.checkpoint.iter().flat_map(|at| &at.checkpoint.states);
        let needed: HashSet<&str> = files.chain(states.map(|state| state.path.as_str())).collect();
        let replaced: HashSet<&str> = self.replaced.iter().map(|file| file.path.as_str()).collect();
        let settled = |path: &str| {
            let data = data_path_parts(path).map(|(_, epoch)| epoch);
            let epoch = data.or_else(|| state_path_parts(path).map(|(_, _, epoch)| epoch));
            epoch.is_some_and(|epoch| Some(epoch) <= self.committed)
        };
        let old =
            |path: &str| fold_number(path).is_some_and(|number| number + 2 * EVERY < self.next_seq);
        let dead = |path: &&str| {
            !needed.contains(path)
                && (replaced.contains(path) || settled(path) || old(path) || self.abandoned(path))
        };
        paths.into_iter().filter(dead).collect()
    }

    /// Whether a path is that of a merged file whose inputs are no longer all live.
    fn abandoned(&self, path: &str) -> bool {
        let Some((first, last)) = merged_path_epochs(path) else { return false };
        let parts = path.strip_prefix("data/").and_then(|path| path.split_once('/'));
        let (Some((table, _)), Some(partition)) = (parts, partition_of(path)) else { return false };
        let files: Vec<&str> = self
            .files(table)
            .iter()
            .map(|file| file.path.as_str())
            .filter(|file| partition_of(file) == Some(partition))
            .collect();
        let spans: Vec<(Epoch, Epoch)> = files.iter().filter_map(|file| epochs_of(file)).collect();
        let begins = (0..files.len()).filter(|&i| spans[i].0 == first);
        !begins.into_iter().any(|i| {
            (i..files.len())
                .filter(|&j| spans[j].1 == last)
                .any(|j| merged_path(table, partition, (first, last), &files[i..=j]) == path)
        })
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
            Record::Feedback(feedback) => {
                let (number, from) = (self.next_seq, self.closed_to(&feedback.stream));
                self.feedback.push(Said { number, from, feedback });
            }
            Record::Act(act) => self.actions.apply(self.next_seq, act),
            Record::Delivered(delivered) => self.delivery.deliver(delivered),
            Record::Attend(attend) => self.delivery.attend(self.next_seq, attend),
            Record::Compact(compact) => self.compact(compact),
            Record::Expire(expire) => {
                self.remove(&expire.table, &expire.removes, Vec::new(), expire.expired_at_us);
            }
            Record::Gc(gc) => {
                let gone: HashSet<&str> = gc.paths.iter().map(String::as_str).collect();
                self.replaced.retain(|file| !gone.contains(file.path.as_str()));
                self.collected = gc.paths;
            }
        }
        self.next_seq += 1;
        Ok(())
    }

    /// The first day of a stream that no plan has closed; `i32::MAX` where nothing more comes.
    fn closed_to(&self, stream: &str) -> i32 {
        let partitions = self.sources.get(stream).into_iter().flat_map(BTreeMap::values);
        let open = partitions.clone().filter(|partition| !partition.ended);
        let planned = open.map(|partition| partition.planned_watermark_us).max();
        match planned {
            Some(watermark_us) => day_of(watermark_us),
            None if partitions.count() == 0 => i32::MIN,
            None => i32::MAX,
        }
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
            let before = self.checkpoint.as_deref().map(|at| &at.checkpoint);
            let checkpoint = checkpoint.complete(before);
            self.checkpoint = Some(Arc::new(CheckpointAt { epoch, plan_number, checkpoint }));
        }
    }

    fn compact(&mut self, compact: Compact) {
        let Compact { table, removes, adds, compacted_at_us } = compact;
        self.remove(&table, &removes, adds, compacted_at_us);
    }

    /// Takes files out of a table; others take the place of the first.
    fn remove(&mut self, table: &str, removes: &[String], adds: Vec<DataFile>, at_us: i64) {
        let gone: HashSet<&str> = removes.iter().map(String::as_str).collect();
        if let Some(files) = self.tables.get_mut(table) {
            let at = files.iter().position(|file| gone.contains(file.path.as_str())).unwrap_or(0);
            files.retain(|file| !gone.contains(file.path.as_str()));
            files.splice(at..at, adds.into_iter().map(Arc::new));
            if files.is_empty() {
                self.tables.remove(table);
            }
        }
        self.replaced.extend(removes.iter().map(|path| Replaced { path: path.clone(), at_us }));
    }

    fn source_mut(&mut self, source: &str, partition: Partition) -> &mut SourceState {
        let partitions = self.sources.entry(source.to_owned()).or_default();
        partitions.entry(partition).or_insert(SourceState::BEGIN)
    }
}
