//! What processes say to each other.

use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch};
use cloudops_operators::anomaly::Label;
use cloudops_operators::batch::Batch;
use cloudops_operators::epoch::{Epoch, Partition};
use cloudops_operators::score::ModelId;
use cloudops_operators::snapshot::Extent;
use cloudops_sql::catalog::record::Checkpoint;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::sink::staged::Staged;

/// What the first process tells all others, in order.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Build the graph in this state.
    Begin(Box<Begin>),
    /// An epoch has been planned.
    Epoch {
        /// The epoch.
        epoch: Epoch,
        /// Per stream, the watermark that it applies, µs since 1970.
        watermarks_us: Vec<Option<i64>>,
        /// Where its commit holds the state after it: all of it, or what has changed.
        checkpoint: Option<Extent>,
        /// Whether its files are staged; an epoch committed before is only passed through.
        stage: bool,
    },
    /// A model is in force from an event time on.
    Promote {
        /// The stream's index.
        stream: usize,
        /// Event time, µs.
        effective_from_us: i64,
        /// The version.
        model: ModelId,
    },
    /// Something was said of a cost anomaly.
    Label {
        /// The stream's index.
        stream: usize,
        /// What was said.
        label: Label,
    },
    /// Nothing more will come.
    End,
}

/// The state to begin with.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Begin {
    /// The state that operators take up; `None` at the beginning.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// Per stream, the models in force and from when.
    pub(crate) timelines: Vec<Vec<(i64, ModelId)>>,
    /// Per stream, what has been said of cost anomalies.
    pub(crate) labels: Vec<Vec<Label>>,
}

/// What another process tells the first.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Letter {
    /// An epoch is complete on one of its workers, and its files are staged.
    Complete {
        /// The epoch.
        epoch: Epoch,
        /// The worker, counted over all processes.
        worker: usize,
        /// What it made.
        staged: Staged,
    },
    /// An operator failed, or something else did: the epoch cannot complete.
    Failed {
        /// Where.
        operator: String,
        /// Why.
        cause: String,
    },
    /// It was told to stop: drain and end.
    Stop,
}

/// What processes of one job must share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Same {
    /// The build.
    pub(crate) build: String,
    /// The hash of everything that decides rows.
    pub(crate) config_hash: String,
    /// Workers of each process.
    pub(crate) workers: usize,
}

/// A message on its way: text in the container that rows travel in, too.
#[derive(Debug, Clone)]
pub(crate) struct Mail(pub(crate) Vec<u8>);

impl Mail {
    /// Writes a message down.
    ///
    /// # Errors
    /// When it does not fit into JSON, which is a bug.
    pub(crate) fn write(message: &impl Serialize) -> Result<Self> {
        Ok(Self(serde_json::to_vec(message).context("a message to another process")?))
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When another build wrote it.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.0).context("a message from another process")
    }

    pub(super) fn into_batch(self) -> Batch {
        let column: ArrayRef = Arc::new(BinaryArray::from_vec(vec![&self.0]));
        let records =
            RecordBatch::try_from_iter([("message", column)]).expect("one column makes a batch");
        Batch::new(Partition(0), records)
    }

    pub(super) fn of_batch(batch: &Batch) -> Vec<Self> {
        let column = batch.records.as_ref().and_then(|records| records.columns().first());
        let Some(column) = column.and_then(|column| column.as_binary_opt::<i32>()) else {
            return Vec::new();
        };
        (0..column.len()).map(|row| Self(column.value(row).to_vec())).collect()
    }
}
