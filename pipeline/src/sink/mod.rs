//! Results to files: rows are projected onto their table, gathered by epoch,
//! and encoded as Parquet; the coordinator stages the bytes and commits them.
//! From there alerts go on ([`alerts`]).

pub mod alerts;
pub mod encode;
pub mod project;
pub mod rows;
pub mod stage;
pub mod staged;
pub mod statistics;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use cloudops_operators::epoch::Epoch;

pub use encode::Encoded;

/// What a worker has made for each epoch, until the worker reports it.
#[derive(Debug, Clone, Default)]
pub struct Staging(Rc<RefCell<BTreeMap<u64, Vec<Encoded>>>>);

impl Staging {
    /// Adds a file to an epoch.
    pub fn add(&self, epoch: Epoch, file: Encoded) {
        self.0.borrow_mut().entry(epoch.0).or_default().push(file);
    }

    /// Takes an epoch's files, ordered by table and source.
    #[must_use]
    pub fn take(&self, epoch: Epoch) -> Vec<Encoded> {
        let mut files = self.0.borrow_mut().remove(&epoch.0).unwrap_or_default();
        files.sort_by(|a, b| (a.table, &a.source).cmp(&(b.table, &b.source)));
        files
    }
}
