//! The window operator of a sensor or an audit stream, under one type.
//!
//! The two differ in what they keep of a row; a job does not care. Being no
//! generic, it is also compiled here, with this crate's optimisation.

use arrow::array::RecordBatch;

use super::{Channels, Duplicate, Window, WindowSpec};
use crate::Result;
use crate::epoch::Partition;
use crate::event::Events;
use crate::key::Shard;
use crate::snapshot::{Changes, Extent, Shards, Snapshot};
use crate::watermark::Watermark;

/// A window operator over rows of channels, or over events.
#[derive(Debug)]
pub enum EitherWindow {
    /// Rows of channels.
    Sensor(Window<f32>),
    /// Events.
    Audit(Window<u64>),
}

impl EitherWindow {
    /// The operator of a sensor stream with these channels.
    ///
    /// # Errors
    /// As [`Channels::new`] and [`Window::new`].
    pub fn sensor(spec: WindowSpec, channels: &[String]) -> Result<Self> {
        Ok(Self::Sensor(Window::new(spec, Channels::new(channels)?)?))
    }

    /// The operator of an audit stream.
    ///
    /// # Errors
    /// As [`Window::new`].
    pub fn audit(spec: WindowSpec) -> Result<Self> {
        Ok(Self::Audit(Window::new(spec, Events)?))
    }

    /// See [`Window::push`].
    ///
    /// # Errors
    /// As there.
    pub fn push(
        &mut self,
        partition: Partition,
        rows: &RecordBatch,
        selection: Option<&[u32]>,
    ) -> Result<()> {
        match self {
            Self::Sensor(window) => window.push(partition, rows, selection),
            Self::Audit(window) => window.push(partition, rows, selection),
        }
    }

    /// See [`Window::advance`].
    ///
    /// # Errors
    /// As there.
    pub fn advance(&mut self, watermark: Watermark) -> Result<Vec<RecordBatch>> {
        let mut windows = Vec::new();
        let emit = |batch| {
            windows.push(batch);
            Ok(())
        };
        match self {
            Self::Sensor(window) => window.advance(watermark, emit)?,
            Self::Audit(window) => window.advance(watermark, emit)?,
        }
        Ok(windows)
    }

    /// See [`Window::take_duplicates`].
    pub fn take_duplicates(&mut self) -> Vec<Duplicate> {
        match self {
            Self::Sensor(window) => window.take_duplicates(),
            Self::Audit(window) => window.take_duplicates(),
        }
    }

    /// See [`Window::pending_rows`].
    #[must_use]
    pub fn pending_rows(&self) -> u64 {
        match self {
            Self::Sensor(window) => window.pending_rows(),
            Self::Audit(window) => window.pending_rows(),
        }
    }
}

impl Snapshot for EitherWindow {
    fn operator(&self) -> &'static str {
        match self {
            Self::Sensor(window) => window.operator(),
            Self::Audit(window) => window.operator(),
        }
    }

    fn snapshot(&self, shard: Shard, extent: Extent) -> Result<Option<RecordBatch>> {
        match self {
            Self::Sensor(window) => window.snapshot(shard, extent),
            Self::Audit(window) => window.snapshot(shard, extent),
        }
    }

    fn snapshots(&self, extent: Extent) -> Shards<'_> {
        match self {
            Self::Sensor(window) => window.snapshots(extent),
            Self::Audit(window) => window.snapshots(extent),
        }
    }

    fn changes(&self) -> Option<Changes> {
        match self {
            Self::Sensor(window) => window.changes(),
            Self::Audit(window) => window.changes(),
        }
    }

    fn saved(&mut self) {
        match self {
            Self::Sensor(window) => window.saved(),
            Self::Audit(window) => window.saved(),
        }
    }

    fn restore(&mut self, shard: Shard, state: &RecordBatch) -> Result<()> {
        match self {
            Self::Sensor(window) => window.restore(shard, state),
            Self::Audit(window) => window.restore(shard, state),
        }
    }
}
