//! The operators a stream's kind and settings ask for, made once for the dataflow and for training.

use anyhow::{Context, Result};
use arrow::array::RecordBatch;
use cloudops_datasets::StreamKind;
use cloudops_operators::allocation::Allocations;
use cloudops_operators::anomaly::Anomalies;
use cloudops_operators::bill::Bill;
use cloudops_operators::budget::Budgets;
use cloudops_operators::daily::Daily;
use cloudops_operators::feature::audit::AuditFeatures;
use cloudops_operators::feature::sensor::Features;
use cloudops_operators::forecast::Forecasts;
use cloudops_operators::key::Shard;
use cloudops_operators::rollup::Rollups;
use cloudops_operators::snapshot::{Changes, Extent, Snapshot};
use cloudops_operators::window::EitherWindow;

use crate::forecaster::Champions;
use crate::job::StreamJob;

/// The window operator of a stream; `None` for cost, see [`daily`], and for configuration.
///
/// # Errors
/// When the settings do not fit.
pub fn window(stream: &StreamJob) -> Result<Option<EitherWindow>> {
    Ok(match stream.kind {
        StreamKind::Sensor => Some(EitherWindow::sensor(stream.window, &stream.channels)?),
        StreamKind::Audit => Some(EitherWindow::audit(stream.window)?),
        StreamKind::Cost | StreamKind::Configuration => None,
    })
}

/// The operator that gives windows their feature vector.
#[derive(Debug)]
pub enum FeatureKernel {
    /// Statistics of channels.
    Sensor(Features),
    /// Counts and novelty, with each principal's history.
    Audit(Box<AuditFeatures>),
    /// Daily vectors come with their features; configuration has none.
    Given,
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
            StreamKind::Cost | StreamKind::Configuration => Self::Given,
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
            Self::Given => Ok(windows),
        }
    }
}

/// Only audit features remember.
impl Snapshot for FeatureKernel {
    fn operator(&self) -> &'static str {
        match self {
            Self::Audit(features) => features.operator(),
            Self::Sensor(_) | Self::Given => "features",
        }
    }

    fn snapshot(
        &self,
        shard: Shard,
        extent: Extent,
    ) -> cloudops_operators::Result<Option<RecordBatch>> {
        match self {
            Self::Audit(features) => features.snapshot(shard, extent),
            Self::Sensor(_) | Self::Given => Ok(None),
        }
    }

    fn changes(&self) -> Option<Changes> {
        match self {
            Self::Audit(features) => features.changes(),
            Self::Sensor(_) | Self::Given => Some(Changes::default()),
        }
    }

    fn saved(&mut self) {
        if let Self::Audit(features) = self {
            features.saved();
        }
    }

    fn restore(&mut self, shard: Shard, state: &RecordBatch) -> cloudops_operators::Result<()> {
        match self {
            Self::Audit(features) => features.restore(shard, state),
            Self::Sensor(_) | Self::Given => Ok(()),
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
        FeatureKernel::Given => daily(stream)?.feature_names(),
    })
}

/// The operator that keeps a cost stream's totals.
///
/// # Errors
/// When the settings do not fit.
pub fn bill(stream: &StreamJob) -> Result<Bill> {
    let bill = Bill::new(&stream.bill.by).context("bill")?;
    Ok(if stream.bill.deliveries.is_some() { bill.delivered() } else { bill })
}

/// The roll-ups of a cost stream.
///
/// # Errors
/// When the settings do not fit.
pub fn rollups(stream: &StreamJob) -> Result<Rollups> {
    Rollups::new(stream.bill.rollups()).context("bill")
}

/// The operator that judges a cost stream's days.
///
/// # Errors
/// When the settings do not fit.
pub fn anomalies(stream: &StreamJob) -> Result<Option<Anomalies>> {
    let judged = stream.anomaly.as_ref();
    let made = judged.map(|config| Anomalies::new(&stream.name, config, stream.lateness_us));
    made.transpose().context("anomaly")
}

/// The operator that forecasts a cost stream's accounts.
///
/// # Errors
/// When the settings do not fit, or the ONNX Runtime is missing.
pub fn forecasts(stream: &StreamJob) -> Result<Option<Forecasts>> {
    let Some(config) = &stream.forecast else { return Ok(None) };
    let champions = Champions::new(config).context("forecast")?;
    Ok(Some(Forecasts::new(config, stream.lateness_us, Box::new(champions)).context("forecast")?))
}

/// The budgets of a cost stream.
///
/// # Errors
/// When the settings do not fit.
pub fn budgets(stream: &StreamJob) -> Result<Option<Budgets>> {
    let any = !stream.budgets.is_empty();
    Ok(any.then(|| Budgets::new(&stream.budgets)).transpose()?)
}

/// The allocations of a cost stream.
///
/// # Errors
/// When the settings do not fit.
pub fn allocations(stream: &StreamJob) -> Result<Option<Allocations>> {
    let any = !stream.allocations.is_empty();
    Ok(any.then(|| Allocations::new(&stream.allocations, &stream.bill.by)).transpose()?)
}

/// The daily operator of a cost stream.
///
/// # Errors
/// When the settings do not fit.
pub fn daily(stream: &StreamJob) -> Result<Daily> {
    Daily::new(stream.services.clone()).context("features.services")
}
