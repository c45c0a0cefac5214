//! The operators a stream's kind and settings ask for, made once for the dataflow and for training.

use anyhow::{Context, Result};
use arrow::array::RecordBatch;
use cloudops_datasets::StreamKind;
use cloudops_operators::daily::Daily;
use cloudops_operators::epoch::Partition;
use cloudops_operators::feature::audit::{AuditFeatures, Events};
use cloudops_operators::feature::sensor::Features;
use cloudops_operators::watermark::Watermark;
use cloudops_operators::window::{Channels, Duplicate, Window};

use crate::job::StreamJob;

/// The window operator of a sensor or audit stream.
#[derive(Debug)]
pub enum WindowKernel {
    /// Rows of channels.
    Sensor(Window<f32>),
    /// Events.
    Audit(Window<u64>),
}

impl WindowKernel {
    /// The operator of a stream; `None` for cost, see [`daily`].
    ///
    /// # Errors
    /// When the settings do not fit.
    pub fn new(stream: &StreamJob) -> Result<Option<Self>> {
        Ok(match stream.kind {
            StreamKind::Sensor => {
                let channels = Channels::new(&stream.channels)?;
                Some(Self::Sensor(Window::new(stream.window, channels)?))
            }
            StreamKind::Audit => Some(Self::Audit(Window::new(stream.window, Events)?)),
            StreamKind::Cost => None,
        })
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
    ) -> cloudops_operators::Result<()> {
        match self {
            Self::Sensor(window) => window.push(partition, rows, selection),
            Self::Audit(window) => window.push(partition, rows, selection),
        }
    }

    /// See [`Window::advance`].
    ///
    /// # Errors
    /// As there.
    pub fn advance(&mut self, watermark: Watermark) -> cloudops_operators::Result<Vec<RecordBatch>> {
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

/// The operator that gives windows their feature vector.
#[derive(Debug)]
pub enum FeatureKernel {
    /// Statistics of channels.
    Sensor(Features),
    /// Counts and novelty, with each principal's history.
    Audit(Box<AuditFeatures>),
    /// Daily vectors come with their features.
    Cost,
}

impl FeatureKernel {
    /// The operator of a stream.
    ///
    /// # Errors
    /// When the settings do not fit.
    pub fn new(stream: &StreamJob) -> Result<Self> {
        Ok(match stream.kind {
            StreamKind::Sensor => {
                Self::Sensor(Features::new(stream.statistics.clone(), stream.channels.len())?)
            }
            StreamKind::Audit => Self::Audit(Box::default()),
            StreamKind::Cost => Self::Cost,
        })
    }

    /// Appends `features` to a window batch.
    ///
    /// # Errors
    /// When the batch lacks a column.
    pub fn append(&mut self, windows: RecordBatch) -> cloudops_operators::Result<RecordBatch> {
        match self {
            Self::Sensor(features) => features.append(&windows),
            Self::Audit(features) => features.append(&windows),
            Self::Cost => Ok(windows),
        }
    }
}

/// The names of a stream's features, in order.
///
/// # Errors
/// When the settings do not fit.
pub fn feature_names(stream: &StreamJob) -> Result<Vec<String>> {
    Ok(match FeatureKernel::new(stream)? {
        FeatureKernel::Sensor(features) => features.names(&stream.channels),
        FeatureKernel::Audit(features) => features.names(),
        FeatureKernel::Cost => daily(stream)?.feature_names(),
    })
}

/// The daily operator of a cost stream.
///
/// # Errors
/// When the settings do not fit.
pub fn daily(stream: &StreamJob) -> Result<Daily> {
    Daily::new(stream.services.clone()).context("features.services")
}
