//! The log read again from its beginning: what the fold does not keep.
//!
//! The state's memory must not grow with the number of epochs, so old plans and
//! the accounting of every epoch stay in the store and are read when asked for:
//! to replay, and for the tables `epochs` and `models`.

use std::collections::VecDeque;
use std::future::ready;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};

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

    /// The same from a number on.
    fn records_from(&self, first: u64) -> BoxStream<'static, Result<(u64, Record)>> {
        let store = self.store.clone();
        futures_util::stream::iter(first..self.end)
            .map(move |seq| read(store.clone(), seq))
            .buffered(READ_AHEAD)
            .map_ok(|(seq, record, _)| (seq, record))
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
                    Record::Takeover(_) | Record::Promote(_) | Record::Gc(_) => Ok(None),
                })
            })
            .boxed()
    }
}
