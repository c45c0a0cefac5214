//! What the coordinator is doing.

use serde::Serialize;

/// What the coordinator is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Taking over the log, restoring state, starting readers and workers.
    Start,
    /// Cutting records, or waiting for the input to have some.
    Input,
    /// Appending a plan to the log.
    Plan,
    /// Waiting for the workers: as many epochs are in flight as may be.
    HeldByEpochs,
    /// Waiting for the workers: memory is at its limit.
    HeldByMemory,
    /// Waiting for the workers: a drift verdict decides what comes next.
    HeldByVerdict,
    /// Waiting for the workers: there is nothing to plan.
    Workers,
    /// Putting an epoch's files, and its state where it is a checkpoint, into the store.
    Put,
    /// Appending a commit to the log.
    Append,
    /// Deleting state that a newer one replaces.
    Collect,
    /// Retraining a model after drift.
    Retrain,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 11] = [
        Self::Start,
        Self::Input,
        Self::Plan,
        Self::HeldByEpochs,
        Self::HeldByMemory,
        Self::HeldByVerdict,
        Self::Workers,
        Self::Put,
        Self::Append,
        Self::Collect,
        Self::Retrain,
    ];

    /// Its name in metrics, logs and the status.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Input => "input",
            Self::Plan => "plan",
            Self::HeldByEpochs => "held_by_epochs",
            Self::HeldByMemory => "held_by_memory",
            Self::HeldByVerdict => "held_by_verdict",
            Self::Workers => "workers",
            Self::Put => "put",
            Self::Append => "append",
            Self::Collect => "collect",
            Self::Retrain => "retrain",
        }
    }

    /// Whether it is a step of a commit.
    #[must_use]
    pub fn is_commit(self) -> bool {
        matches!(self, Self::Put | Self::Append | Self::Collect)
    }

    /// Why the input is held back, where it is.
    #[must_use]
    pub fn held_by(self) -> Option<&'static str> {
        match self {
            Self::HeldByEpochs => Some("epochs"),
            Self::HeldByMemory => Some("memory"),
            Self::HeldByVerdict => Some("verdict"),
            _ => None,
        }
    }

    /// Whether it waits for the workers, and hears at once what they report.
    #[must_use]
    pub fn waits_for_workers(self) -> bool {
        self == Self::Workers || self.held_by().is_some()
    }

    /// Whether it talks to the store, which should answer soon. Input may be waited for without end,
    /// workers have places of their own, and training takes its time.
    #[must_use]
    pub fn is_store(self) -> bool {
        self.is_commit() || self == Self::Plan
    }
}
