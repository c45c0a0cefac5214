//! What `/status` says: the whole run at one moment, as JSON.

use cloudops_operators::epoch::Epoch;
use serde::Serialize;

use super::phase::Phase;
use super::stall::Stall;

/// The whole run at one moment. Instants are RFC 3339; what is not known is null.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// The build that runs.
    pub build: &'static str,
    /// The catalog's address.
    pub catalog: String,
    /// Since when it has been running, s.
    pub uptime_seconds: f64,
    /// The writer's generation; 0 before it has taken over.
    pub generation: u64,
    /// Epochs.
    pub epochs: Epochs,
    /// What the coordinator is doing.
    pub coordinator: Coordinator,
    /// The streams, in configured order.
    pub streams: Vec<Stream>,
    /// The workers, by index.
    pub workers: Vec<Worker>,
    /// The last checkpoint; null before the first.
    pub checkpoint: Option<CheckpointStatus>,
    /// Memory.
    pub memory: Memory,
    /// What stands still; null while nothing does.
    pub stall: Option<Stall>,
    /// Stalls since the start.
    pub stalls: u64,
    /// The error that ends the run; null while there is none.
    pub last_error: Option<String>,
}

/// How far epochs are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Epochs {
    /// The last one planned.
    pub planned: Option<Epoch>,
    /// The last one committed.
    pub committed: Option<Epoch>,
    /// Those in between, oldest first.
    pub in_flight: Vec<InFlight>,
    /// How many may be in flight at a time.
    pub in_flight_max: usize,
    /// Records that the next one may take of each stream.
    pub records_max: u64,
}

/// An epoch in flight.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InFlight {
    /// The epoch.
    pub epoch: Epoch,
    /// Since it was given to the workers, s.
    pub seconds: f64,
    /// Records planned.
    pub records: u64,
    /// Workers that have not completed it.
    pub missing_workers: Vec<usize>,
}

/// What the coordinator is doing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Coordinator {
    /// Its phase.
    pub phase: Phase,
    /// The epoch that the phase is about.
    pub epoch: Option<Epoch>,
    /// The object that it works on; empty where there is none.
    pub object: String,
    /// For how long, s.
    pub seconds: f64,
}

/// A stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stream {
    /// Its name.
    pub name: String,
    /// Event time up to which committed results are final; null before the first and at the end.
    pub watermark: Option<String>,
    /// How far that is behind the clock, s.
    pub watermark_lag_seconds: Option<f64>,
    /// Whether everything that will ever come is committed.
    pub ended: bool,
    /// Records that this process committed: on time, late and rejected.
    pub records: Verdicts,
    /// Rows that wait for the watermark.
    pub pending_rows: u64,
    /// Batches read ahead of the plan.
    pub queued_batches: u64,
    /// Its partitions.
    pub partitions: Vec<PartitionStatus>,
    /// Models in force, with the event time from which each holds; the last holds now.
    pub models: Vec<ModelStatus>,
}

/// Records by verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Verdicts {
    /// Accepted in time, duplicates included.
    pub on_time: u64,
    /// Older than the watermark at their arrival.
    pub late: u64,
    /// Could not be read.
    pub rejected: u64,
    /// On time, and repeating an earlier one.
    pub duplicates: u64,
}

/// How far a partition is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionStatus {
    /// Its number.
    pub partition: u32,
    /// The next offset to plan.
    pub planned_to: u64,
    /// The next offset to commit.
    pub committed_to: u64,
    /// The file that the last planned record lies in.
    pub file: Option<String>,
}

/// A model in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelStatus {
    /// `name@version`.
    pub model: String,
    /// First window end that it scores; null: from the beginning.
    pub from: Option<String>,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Worker {
    /// Its index.
    pub worker: usize,
    /// The last epoch that it completed.
    pub completed: Option<Epoch>,
    /// The stream of its last step.
    pub stream: String,
    /// The operator of its last step.
    pub operator: String,
    /// Whether it is in that step now.
    pub inside: bool,
}

/// The last checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckpointStatus {
    /// The epoch whose state it is.
    pub epoch: Epoch,
    /// When it was committed; null where an earlier run did.
    pub at: Option<String>,
    /// Its files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// What the process holds; null where the system does not say.
    pub resident_bytes: Option<u64>,
    /// `run.memory_limit`.
    pub limit_bytes: Option<u64>,
}
