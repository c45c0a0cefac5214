//! A catalog as a writer found it before it committed an epoch: to do again what it did then.
//!
//! The log up to that commit is copied to another place, mostly one in memory, with the state that a
//! restart would have taken up. What a writer does there is what it would have done here; nothing
//! here is touched. Later plans are left out, so that the epoch is the one plan left to commit, and so
//! are checkpoints whose files have been collected since: then the copy begins at the beginning.

use std::collections::BTreeMap;

use cloudops_operators::epoch::Epoch;
use futures_util::TryStreamExt;

use super::Catalog;
use super::log::log_path;
use super::record::{self, Checkpoint, Commit, Plan, Record, Takeover};
use super::store::{Store, state_path_parts};
use crate::{Error, Result};

/// An epoch's past.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    /// What it was to read.
    pub plan: Plan,
    /// What came of it.
    pub commit: Commit,
    /// The writer that committed it.
    pub writer: Takeover,
    /// The number in the log of the commit.
    number: u64,
    /// The last checkpoint before it, with all that it continues, and its epoch.
    checkpoint: Option<(Epoch, Checkpoint)>,
}

impl Catalog {
    /// What the log says of an epoch.
    ///
    /// # Errors
    /// [`Error::Configuration`] when it was never committed; else as [`Catalog::refresh`].
    pub async fn past(&self, epoch: Epoch) -> Result<Past> {
        let mut records = self.history().records();
        let mut plans = BTreeMap::new();
        let (mut writer, mut checkpoint) = (None, None);
        while let Some((number, record)) = records.try_next().await? {
            match record {
                Record::Takeover(takeover) => writer = Some(takeover),
                Record::Plan(plan) => drop(plans.insert(plan.epoch, plan)),
                Record::Commit(commit) if commit.epoch == epoch => {
                    let plan = plans.remove(&epoch);
                    let (Some(plan), Some(writer)) = (plan, writer) else {
                        return Err(Error::Bug(format!("epoch {epoch} has no plan or writer")));
                    };
                    return Ok(Past { plan, commit, writer, number, checkpoint });
                }
                Record::Commit(commit) => {
                    drop(plans.remove(&commit.epoch));
                    if let Some(at) = commit.checkpoint {
                        let before = checkpoint.as_ref().map(|(_, before)| before);
                        checkpoint = Some((commit.epoch, at.complete(before)));
                    }
                }
                // Nothing else bears on what an epoch computes.
                _ => {}
            }
        }
        let last = self.state().committed.map_or("none".to_owned(), |last| last.to_string());
        Err(Error::Configuration(format!(
            "epoch {epoch} is not committed; the last that is: {last}"
        )))
    }

    /// Copies the past of an epoch to a place that is empty, to be done again there; gives the epoch
    /// of the checkpoint that it begins at, `None` where it begins at the beginning.
    ///
    /// # Errors
    /// As [`Catalog::refresh`], and [`Store::put_file`]'s.
    pub async fn rewind(&self, past: &Past, to: &Store) -> Result<Option<Epoch>> {
        let begin = match &past.checkpoint {
            Some((epoch, at)) if self.copy_states(at, to).await? => Some(*epoch),
            _ => None,
        };
        // The checkpoints from here on make the one to begin at.
        let first = match &past.checkpoint {
            Some((epoch, at)) if begin.is_some() => Some(oldest(at).unwrap_or(*epoch)),
            _ => None,
        };
        let mut kept = false;
        let mut records = self.history().records();
        let mut next = 1;
        while let Some((number, mut record)) = records.try_next().await? {
            if number >= past.number {
                break;
            }
            match &mut record {
                Record::Plan(plan) if plan.epoch > past.plan.epoch => continue,
                Record::Commit(commit) => match &mut commit.checkpoint {
                    Some(checkpoint) if first.is_some_and(|first| commit.epoch >= first) => {
                        if !std::mem::replace(&mut kept, true) {
                            checkpoint.continued.clear();
                        }
                    }
                    checkpoint => *checkpoint = None,
                },
                Record::Takeover(_)
                | Record::Promote(_)
                | Record::Feedback(_)
                | Record::Plan(_) => {}
                // What became of files later does not bear on what an epoch computes.
                _ => continue,
            }
            let bytes = record::encode(next, "rewound", &record);
            to.put_file(&log_path(next), bytes.into()).await?;
            next += 1;
        }
        Ok(begin)
    }

    /// Copies the files of a checkpoint; `false` where one is gone.
    async fn copy_states(&self, checkpoint: &Checkpoint, to: &Store) -> Result<bool> {
        for state in &checkpoint.states {
            let Some(bytes) = self.store().get(&state.path).await? else { return Ok(false) };
            to.put_file(&state.path, bytes).await?;
        }
        Ok(true)
    }
}

/// The oldest epoch that a checkpoint has state of.
fn oldest(checkpoint: &Checkpoint) -> Option<Epoch> {
    let states = checkpoint.states.iter();
    states.filter_map(|state| state_path_parts(&state.path).map(|(_, _, epoch)| epoch)).min()
}
