//! The log read again from its beginning: what the fold does not keep.
//!
//! The state's memory must not grow with the number of epochs, so old plans and
//! the accounting of every epoch stay in the store and are read when asked for:
//! to replay, and for the tables `epochs` and `models`.

use std::collections::VecDeque;
use std::future::ready;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};

use super::fold;
use super::log::{READ_AHEAD, read};
use super::record::{Commit, Plan, Record};
use super::store::Store;
use crate::{Error, Result};

/// The log up to a number. Cheap to clone.
#[derive(Debug, Clone)]
pub struct History {
    store: Store,
    end: u64,
}

/// An epoch that was planned and committed.
#[derive(Debug, Clone, PartialEq)]
pub struct Committed {
    /// What it was to read.
    pub plan: Plan,
    /// What came of it.
    pub commit: Commit,
}

impl History {
    /// The records before number `end`.
    #[must_use]
    pub(crate) fn new(store: Store, end: u64) -> Self {
        Self { store, end }
    }

    /// Every record with its number, ascending.
    ///
    /// # Errors
    /// The items': [`Error::Corrupt`] when one is missing or unreadable, [`Error::Retry`] when the
    /// store fails.
    #[must_use]
    pub fn records(&self) -> BoxStream<'static, Result<(u64, Record)>> {
        self.records_from(1)
    }

    /// The same from a number on: a fold at a time where there is one, else record by record.
    ///
    /// # Errors
    /// As [`records`](Self::records).
    #[must_use]
    pub fn records_from(&self, first: u64) -> BoxStream<'static, Result<(u64, Record)>> {
        let (store, end) = (self.store.clone(), self.end);
        let mut runs = Vec::new();
        let mut from = first;
        while from < end {
            let to = fold::end_of(from);
            runs.push((from, to.min(end - 1), to < end));
            from = to + 1;
        }
        futures_util::stream::iter(runs)
            .then(move |(from, to, whole)| run(store.clone(), from, to, whole))
            .try_flatten()
            .boxed()
    }

    /// Every plan behind a number, ascending by epoch, committed or not.
    ///
    /// # Errors
    /// As [`records`](Self::records).
    #[must_use]
    pub fn plans_after(&self, number: u64) -> BoxStream<'static, Result<Plan>> {
        self.records_from(number + 1)
            .try_filter_map(|(_, record)| {
                ready(Ok(match record {
                    Record::Plan(plan) => Some(plan),
                    _ => None,
                }))
            })
            .boxed()
    }

    /// Every committed epoch with its plan, ascending.
    ///
    /// # Errors
    /// As [`records`](Self::records).
    #[must_use]
    pub fn epochs(&self) -> BoxStream<'static, Result<Committed>> {
        let mut open = VecDeque::new();
        self.records()
            .try_filter_map(move |(seq, record)| {
                ready(match record {
                    Record::Plan(plan) => {
                        open.push_back(plan);
                        Ok(None)
                    }
                    Record::Commit(commit) => match open.pop_front() {
                        Some(plan) => Ok(Some(Committed { plan, commit })),
                        None => Err(Error::Bug(format!(
                            "commit of epoch {} at number {seq} of the log has no plan",
                            commit.epoch
                        ))),
                    },
                    Record::Takeover(_)
                    | Record::Promote(_)
                    | Record::Feedback(_)
                    | Record::Act(_)
                    | Record::Delivered(_)
                    | Record::Attend(_)
                    | Record::Compact(_)
                    | Record::Expire(_)
                    | Record::Gc(_) => Ok(None),
                })
            })
            .boxed()
    }
}

type Records = BoxStream<'static, Result<(u64, Record)>>;

/// The records `from..=to`, which lie in one fold; `whole` says whether it may have been written.
async fn run(store: Store, from: u64, to: u64, whole: bool) -> Result<Records> {
    let folded = if whole { fold::records(&store, to).await? } else { None };
    if let Some(records) = folded {
        let records = records.into_iter().map(|(seq, record, _)| (seq, record));
        let records: Vec<_> = records.filter(|(seq, _)| *seq >= from).map(Ok).collect();
        return Ok(futures_util::stream::iter(records).boxed());
    }
    let read = move |seq| {
        let store = store.clone();
        async move { read(&store, seq).await.map(|record| (seq, record)) }
    };
    Ok(futures_util::stream::iter(from..=to).map(read).buffered(READ_AHEAD).boxed())
}
