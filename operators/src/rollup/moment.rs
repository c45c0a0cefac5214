//! The time at which a total changes: an epoch, and within it the day of which it became known.

use differential_dataflow::lattice::Lattice;
use serde::{Deserialize, Serialize};
use timely::order::{PartialOrder, TotalOrder};
use timely::progress::timestamp::{PathSummary, Refines, Timestamp};

/// Epochs in order, and the days that changes became known on in order within an epoch.
///
/// Totals are kept in this time, so that an epoch in which several days came says what each of them
/// changed.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub(super) struct Moment {
    /// The outer timestamp.
    pub(super) epoch: u64,
    /// Days since 1970-01-01; [`Moment::QUIET`] for what is no change.
    pub(super) day: i32,
}

impl Moment {
    /// Before any day: what is restored was known before.
    pub(super) const QUIET: i32 = i32::MIN;
}

/// No operator moves a time: there are no cycles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stay;

impl PartialOrder for Stay {
    fn less_equal(&self, _: &Self) -> bool {
        true
    }
}

impl PathSummary<Moment> for Stay {
    fn results_in(&self, source: &Moment) -> Option<Moment> {
        Some(*source)
    }

    fn followed_by(&self, _: &Self) -> Option<Self> {
        Some(Self)
    }
}

impl PartialOrder for Moment {
    fn less_equal(&self, other: &Self) -> bool {
        self <= other
    }
}

impl TotalOrder for Moment {}

impl Timestamp for Moment {
    type Summary = Stay;

    fn minimum() -> Self {
        Self { epoch: 0, day: Self::QUIET }
    }
}

impl Refines<u64> for Moment {
    fn to_inner(epoch: u64) -> Self {
        Self { epoch, day: Self::QUIET }
    }

    fn to_outer(self) -> u64 {
        self.epoch
    }

    fn summarize(_: Stay) -> u64 {
        0
    }
}

impl Lattice for Moment {
    fn join(&self, other: &Self) -> Self {
        *self.max(other)
    }

    fn meet(&self, other: &Self) -> Self {
        *self.min(other)
    }
}
