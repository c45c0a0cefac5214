//! What is kept of one period under one model version: sums and samples that merge exactly.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::table;
use crate::Result;
use crate::score::ModelId;

/// What kind of quantity a variable is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// A feature: what the model reads.
    Input,
    /// A channel's part of the reconstruction error, or the score.
    Error,
    /// A dimension of the latent mean; tested together with the others.
    Latent,
}

impl Group {
    /// As in the `kind` column of the drift table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Error => "error",
            Self::Latent => "latent",
        }
    }
}

/// A quantity observed of every window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// What kind it is.
    pub group: Group,
    /// Its name: the feature's, the channel's, `score`.
    pub name: String,
}

/// A window's place in a sample: hash first, the rest to break the ties that never come.
pub(super) type Place = (u64, i64, String);

/// Where a window's rows stood, and its bounds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Window {
    pub(super) start: i64,
    pub(super) partition: u32,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) rows: u32,
    /// Raw values; empty where windows have no fixed length.
    pub(super) values: Vec<f32>,
    pub(super) features: Vec<f32>,
}

/// The `k` entries whose places are least: the same from any order and any split.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bottom<T> {
    pub(super) entries: BTreeMap<Place, T>,
}

impl<T> Default for Bottom<T> {
    fn default() -> Self {
        Self { entries: BTreeMap::new() }
    }
}

impl<T> Bottom<T> {
    /// Whether an entry with this hash would stay; cheap, so that most are never made.
    pub(super) fn admits(&self, hash: u64, k: usize) -> bool {
        k > 0
            && (self.entries.len() < k
                || self.entries.last_key_value().is_some_and(|(last, _)| hash <= last.0))
    }

    pub(super) fn insert(&mut self, place: Place, entry: T, k: usize) {
        self.entries.insert(place, entry);
        while self.entries.len() > k {
            self.entries.pop_last();
        }
    }

    fn merge(&mut self, other: Self, k: usize) {
        for (place, entry) in other.entries {
            if !self.admits(place.0, k) {
                break;
            }
            self.insert(place, entry, k);
        }
    }
}

/// One period under one model version, as far as one worker has seen it.
#[derive(Debug, Clone, PartialEq)]
pub struct PeriodPartial {
    /// The period: `floor(window_end / period)`.
    pub period: i64,
    /// The version that scored.
    pub model: Arc<ModelId>,
    /// What is observed; the same for all periods of a version.
    pub variables: Arc<[Variable]>,
    /// Windows seen.
    pub windows: u64,
    /// Sum of the reconstruction errors (of the scores, where the model gives none), in units of
    /// 2⁻³², each rounded.
    pub error_sum: i128,
    /// The earliest window's end, µs.
    pub first_end: i64,
    /// The latest window's end, µs.
    pub last_end: i64,
    /// The least partition seen: offsets of different ones do not compare.
    pub partition: u32,
    /// The least offset in that partition.
    pub offset_from: u64,
    /// The greatest offset in that partition.
    pub offset_to: u64,
    pub(super) sample: Bottom<Vec<f32>>,
    pub(super) healthy: Bottom<Window>,
}

/// The unit of [`PeriodPartial::error_sum`].
const ERROR_UNIT: f64 = 4_294_967_296.0;

/// An error as an integer: exact to add in any order.
pub(super) fn fixed_point(error: f32) -> i128 {
    // Clamped so that 2⁶⁰ windows still add up within 38 digits.
    (f64::from(error) * ERROR_UNIT).round().clamp(-1e18, 1e18) as i128
}

impl PeriodPartial {
    pub(super) fn new(period: i64, model: Arc<ModelId>, variables: Arc<[Variable]>) -> Self {
        Self {
            period,
            model,
            variables,
            windows: 0,
            error_sum: 0,
            first_end: i64::MAX,
            last_end: i64::MIN,
            partition: u32::MAX,
            offset_from: u64::MAX,
            offset_to: 0,
            sample: Bottom::default(),
            healthy: Bottom::default(),
        }
    }

    /// Periods as rows, to be sent to the judge's worker; `None` for none.
    ///
    /// # Errors
    /// Only where Arrow refuses to build the batch, which is a bug.
    pub fn encode(periods: &[Self]) -> Result<Option<RecordBatch>> {
        table::encode(periods.iter().map(|period| (table::Place::Open, period)), None)
    }

    /// Periods from the rows that [`PeriodPartial::encode`] gave.
    ///
    /// # Errors
    /// [`crate::Error::Snapshot`] when another build wrote them.
    pub fn decode(rows: &RecordBatch) -> Result<Vec<Self>> {
        let periods = table::decode(rows, "drift_partial")?.periods;
        Ok(periods.into_iter().map(|(_, period)| period).collect())
    }

    /// The mean reconstruction error.
    #[must_use]
    pub fn mean_error(&self) -> f64 {
        self.error_sum as f64 / ERROR_UNIT / self.windows.max(1) as f64
    }

    /// Widens the range of offsets.
    pub(super) fn cover(&mut self, partition: u32, from: u64, to: u64) {
        if partition < self.partition {
            (self.partition, self.offset_from, self.offset_to) = (partition, from, to);
        } else if partition == self.partition {
            self.offset_from = self.offset_from.min(from);
            self.offset_to = self.offset_to.max(to);
        }
    }

    /// Adds what another worker saw of the same period and version.
    pub(super) fn merge(&mut self, other: Self, sample: usize, healthy: usize) {
        self.windows += other.windows;
        self.error_sum += other.error_sum;
        self.first_end = self.first_end.min(other.first_end);
        self.last_end = self.last_end.max(other.last_end);
        self.cover(other.partition, other.offset_from, other.offset_to);
        self.sample.merge(other.sample, sample);
        self.healthy.merge(other.healthy, healthy);
    }
}
