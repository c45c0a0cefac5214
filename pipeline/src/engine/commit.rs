//! The end of an epoch: check the accounts, stage the files, make it true.

use std::collections::HashSet;

use anyhow::{Result, ensure};
use cloudops_operators::data_drift::DriftVerdict;
use cloudops_sql::catalog::record::{Checkpoint, Commit, Plan, Record, SourceCommit, StreamState};
use cloudops_sql::catalog::store::Maker;

use super::{Done, Engine, InFlight};
use crate::checkpoint::{self, StagedState};
use crate::monitor::phase::Phase;
use crate::sink::alerts::AlertSink;
use crate::sink::staged::stage;

/// A stream's rows since the beginning, as the coordinator and the workers count them.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Account {
    /// Rows on time, counted when cut.
    admitted: u64,
    /// Rows that window operators took in.
    taken: u64,
}

/// Totals over workers of one stream in one epoch.
#[derive(Debug, Default, Clone, Copy)]
struct Totals {
    taken: u64,
    duplicates: u64,
    pending: u64,
    windows: u64,
}

impl Account {
    /// An account after so many rows, all of which reached the operators: a checkpoint's.
    pub(super) fn at(rows: u64) -> Self {
        Self { admitted: rows, taken: rows }
    }
}

impl Engine<'_> {
    /// Commits a complete epoch, or passes over one that an earlier run committed.
    pub(super) fn commit(&mut self, epoch: InFlight) -> Result<()> {
        let InFlight { plan, shares, completed, barriers, checkpoint, .. } = epoch;
        let done: Vec<Done> = completed.into_iter().flatten().collect();
        let totals = self.totals(&done);
        let verdicts: Vec<Vec<DriftVerdict>> = (0..self.job.streams.len())
            .map(|stream| {
                done.iter().flat_map(|done| done.streams()[stream].verdicts.clone()).collect()
            })
            .collect();
        for (stream, total) in totals.iter().enumerate() {
            let admitted: u64 =
                shares.iter().filter(|s| s.stream == stream).map(|s| s.on_time).sum();
            let account = &mut self.accounts[stream];
            account.admitted += admitted;
            account.taken += total.taken;
            ensure!(
                account.admitted == account.taken && total.pending <= account.taken,
                "bug: stream {:?}, epoch {}: {} rows were admitted, {} reached the windows",
                self.job.streams[stream].name,
                plan.epoch,
                account.admitted,
                account.taken
            );
        }
        for share in &shares {
            ensure!(
                share.records == share.on_time + share.late + share.rejected,
                "bug: epoch {}: {} records are not {} on time + {} late + {} rejected",
                plan.epoch,
                share.records,
                share.on_time,
                share.late,
                share.rejected
            );
            self.summary.records += share.records;
            self.summary.on_time += share.on_time;
            self.summary.late += share.late;
            self.summary.rejected += share.rejected;
        }
        self.summary.duplicates += totals.iter().map(|t| t.duplicates).sum::<u64>();
        self.summary.windows += totals.iter().map(|t| t.windows).sum::<u64>();
        let again = self.committed_before.is_some_and(|last| plan.epoch <= last);
        if again {
            self.summary.replayed += 1;
            self.monitor.replayed(plan.epoch);
        } else {
            let sources = self.source_commits(&plan, &shares, &totals);
            let mut files = Vec::new();
            let mut states = Vec::new();
            self.monitor.enter(Phase::Put, Some(plan.epoch));
            for (worker, done) in done.into_iter().enumerate() {
                let staged = match done {
                    Done::Here(completed) => {
                        let store = self.catalog.store();
                        let maker = self.maker(worker);
                        let told = |path: &str| self.monitor.works_on(path);
                        self.runtime.block_on(stage(store, plan.epoch, maker, completed, told))?
                    }
                    Done::Elsewhere(staged) => staged,
                };
                files.extend(staged.files);
                states.extend(staged.states);
            }
            self.summary.files += files.len() as u64;
            self.summary.rows += files.iter().map(|file| file.rows).sum::<u64>();
            let checkpoint = checkpoint.map(|streams| self.checkpoint(states, streams));
            let commit = Commit {
                epoch: plan.epoch,
                generation: self.generation,
                files,
                sources,
                checkpoint,
                committed_at_us: self.options.clock.now_us(),
            };
            let last = self.catalog.state().checkpoint.clone();
            self.monitor.enter(Phase::Append, Some(plan.epoch));
            self.runtime.block_on(self.catalog.append(Record::Commit(commit.clone())))?;
            self.monitor.enter(Phase::Collect, Some(plan.epoch));
            let now = self.catalog.state().checkpoint.clone().filter(|at| at.epoch == plan.epoch);
            let replaced = match (&last, &now) {
                (Some(last), Some(now)) => replaced(&last.checkpoint, &now.checkpoint),
                _ => Vec::new(),
            };
            self.runtime.block_on(self.catalog.collect(&replaced))?;
            self.sinks.iter().try_for_each(AlertSink::tell)?;
            self.monitor.enter(Phase::Workers, None);
            self.monitor.committed(&commit, now.as_deref().map(|at| &at.checkpoint));
            self.summary.epochs += 1;
            tracing::debug!(epoch = plan.epoch.0, "committed");
        }
        self.progress.advance(&self.summary);
        for (stream, period_end_us) in barriers {
            let fired = verdicts[stream]
                .iter()
                .any(|verdict| verdict.retrain && verdict.period_end_us <= period_end_us);
            // A later plan in the log means that an earlier run has settled this already.
            let settled = self.committed_before.is_some_and(|last| plan.epoch < last);
            if fired && !settled && self.options.retrain {
                self.monitor.enter(Phase::Retrain, Some(plan.epoch));
                self.retrain(stream, period_end_us, &verdicts[stream])?;
                self.monitor.enter(Phase::Workers, None);
            }
        }
        Ok(())
    }

    fn maker(&self, worker: usize) -> Maker {
        Maker { worker: worker as u32, workers: self.workers() as u32 }
    }

    /// The state after an epoch, with what the coordinator knows of its streams.
    fn checkpoint(&self, states: Vec<StagedState>, mut streams: Vec<StreamState>) -> Checkpoint {
        for (stream, account) in streams.iter_mut().zip(&self.accounts) {
            stream.admitted = account.admitted;
        }
        checkpoint::checkpoint(states, streams)
    }

    fn totals(&self, done: &[Done]) -> Vec<Totals> {
        let mut totals = vec![Totals::default(); self.job.streams.len()];
        for progress in done.iter().map(Done::streams) {
            for (total, progress) in totals.iter_mut().zip(progress) {
                total.taken += progress.taken;
                total.duplicates += progress.duplicates;
                total.pending += progress.pending;
                total.windows += progress.windows;
            }
        }
        totals
    }

    /// An entry for each entry of the plan. What is known of a stream as a whole, duplicates and
    /// rows pending, stands with the stream's first entry.
    fn source_commits(
        &self,
        plan: &Plan,
        shares: &[super::SourceShare],
        totals: &[Totals],
    ) -> Vec<SourceCommit> {
        let mut counts = shares.iter();
        let mut seen = vec![false; totals.len()];
        let mut commits = Vec::with_capacity(plan.sources.len());
        for part in &plan.sources {
            let count = if part.offset_to > part.offset_from { counts.next() } else { None };
            let stream = self.job.streams.iter().position(|s| s.name == part.source);
            let first = stream.is_some_and(|s| !std::mem::replace(&mut seen[s], true));
            let total = stream.filter(|_| first).map(|s| totals[s]).unwrap_or_default();
            commits.push(SourceCommit {
                source: part.source.clone(),
                partition: part.partition,
                offset: part.offset_to,
                watermark_us: part.watermark_us,
                records_in: count.map_or(0, |c| c.records),
                on_time: count.map_or(0, |c| c.on_time),
                late: count.map_or(0, |c| c.late),
                rejected: count.map_or(0, |c| c.rejected),
                duplicates: total.duplicates,
                pending: total.pending,
            });
        }
        commits
    }
}

/// The files of a checkpoint that the next one does not continue.
fn replaced(last: &Checkpoint, now: &Checkpoint) -> Vec<String> {
    let needed: HashSet<&str> = now.states.iter().map(|state| state.path.as_str()).collect();
    let paths = last.states.iter().map(|state| &state.path);
    paths.filter(|path| !needed.contains(path.as_str())).cloned().collect()
}
