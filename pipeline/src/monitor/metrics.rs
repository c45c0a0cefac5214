//! Every metric, declared once: name, unit, labels, meaning.
//!
//! Names are those that Prometheus shows: `cloudops_`, the name, the unit, and `_total` where it
//! only grows. Instants are seconds since 1970, as is the custom.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};

/// So many labels, each with its value.
pub(super) type Labels<const N: usize> = [(&'static str, String); N];
/// Counts by label.
pub(super) type Counts<const N: usize> = Family<Labels<N>, Counter>;
/// Seconds that add up, by label.
pub(super) type Spent<const N: usize> = Family<Labels<N>, Counter<f64, AtomicU64>>;
/// Levels by label.
pub(super) type Levels<const N: usize> = Family<Labels<N>, Gauge>;
/// Levels that are no whole numbers.
pub(super) type Measures<const N: usize> = Family<Labels<N>, Gauge<f64, AtomicU64>>;
/// Distributions of seconds by label.
pub(super) type Latencies<const N: usize> = Family<Labels<N>, Histogram>;

/// Bounds of seconds: 1 ms to 131 s, doubling.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 18))
}

/// Every metric.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    pub(super) generation: Gauge,
    pub(super) epoch_planned: Gauge,
    pub(super) epoch_committed: Gauge,
    pub(super) epochs_committed: Counter,
    pub(super) epochs_replayed: Counter,
    pub(super) epochs_in_flight: Gauge,
    pub(super) epochs_in_flight_max: Gauge,
    pub(super) epoch_records_max: Gauge,
    pub(super) completion_latency: Latencies<1>,
    pub(super) epoch_processing: Histogram,
    pub(super) commit_phase: Latencies<1>,
    pub(super) coordinator: Spent<1>,
    pub(super) backpressure: Spent<1>,
    pub(super) queued: Levels<1>,
    pub(super) watermark: Measures<1>,
    pub(super) watermark_lag: Measures<1>,
    pub(super) records: Counts<2>,
    pub(super) duplicates: Counts<1>,
    pub(super) pending: Levels<1>,
    pub(super) windows: Counts<1>,
    pub(super) operator_cpu: Spent<2>,
    pub(super) rows: Counts<1>,
    pub(super) files: Counts<1>,
    pub(super) bytes: Counts<1>,
    pub(super) state: Levels<2>,
    pub(super) checkpoint_epoch: Gauge,
    pub(super) checkpoint_at: Gauge<f64, AtomicU64>,
    pub(super) model: Levels<3>,
    pub(super) promotions: Counts<1>,
    pub(super) delivered: Counts<1>,
    pub(super) not_delivered: Counts<1>,
    pub(super) dead: Counts<1>,
    pub(super) resident: Gauge,
    pub(super) memory_limit: Gauge,
    pub(super) stalled: Gauge,
    pub(super) stalls: Counts<1>,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("cloudops");
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The build that runs", build);
        let r = &mut registry;
        let count = None;
        let (s, b) = (Some(Unit::Seconds), Some(Unit::Bytes));
        Self {
            generation: add(r, "generation", "The writer's generation in the log", &count),
            epoch_planned: add(r, "epoch_planned", "The last epoch planned", &count),
            epoch_committed: add(r, "epoch_committed", "The last epoch committed", &count),
            epochs_committed: add(
                r,
                "epochs_committed",
                "Epochs that this process committed",
                &count,
            ),
            epochs_replayed: add(
                r,
                "epochs_replayed",
                "Epochs committed before that this process passed through again",
                &count,
            ),
            epochs_in_flight: add(
                r,
                "epochs_in_flight",
                "Epochs planned and not committed",
                &count,
            ),
            epochs_in_flight_max: add(
                r,
                "epochs_in_flight_max",
                "Epochs that may be in flight at a time",
                &count,
            ),
            epoch_records_max: add(
                r,
                "epoch_records_max",
                "Records that the next epoch may take of each stream; falls near the memory limit",
                &count,
            ),
            completion_latency: histograms(
                r,
                "completion_latency",
                "From reading the first record of an epoch to the commit of its results",
            ),
            epoch_processing: {
                let histogram = seconds();
                let help = "From giving an epoch to the workers to its completion on all of them";
                registered(r, "epoch_processing", help, &s, histogram)
            },
            commit_phase: histograms(r, "commit_phase", "Phases of a commit, each one's time"),
            coordinator: add(r, "coordinator", "What the coordinator has spent its time on", &s),
            backpressure: add(
                r,
                "backpressure",
                "Time for which no epoch was planned, so that the input was held back, and why",
                &s,
            ),
            queued: add(
                r,
                "source_queue_batches",
                "Batches that readers have read ahead of the plan",
                &count,
            ),
            watermark: add(
                r,
                "watermark_timestamp",
                "Event time up to which the committed results of a stream are final",
                &s,
            ),
            watermark_lag: add(
                r,
                "watermark_lag",
                "How far that event time is behind the clock",
                &s,
            ),
            records: add(
                r,
                "records",
                "Records committed, by verdict: on_time, late, rejected",
                &count,
            ),
            duplicates: add(r, "duplicates", "Rows on time that repeated an earlier one", &count),
            pending: add(r, "pending_rows", "Rows that wait for the watermark", &count),
            windows: add(r, "windows_closed", "Windows closed, replayed ones included", &count),
            operator_cpu: add(r, "operator_cpu", "CPU time of operators", &s),
            rows: add(r, "committed_rows", "Rows committed", &count),
            files: add(r, "committed_files", "Files committed", &count),
            bytes: add(r, "committed", "Bytes of the files committed", &b),
            state: add(r, "state", "State in the last checkpoint", &b),
            checkpoint_epoch: add(
                r,
                "checkpoint_epoch",
                "The epoch of the last checkpoint: where a restart begins",
                &count,
            ),
            checkpoint_at: add(r, "checkpoint_timestamp", "When it was committed", &s),
            model: add(r, "model_in_force", "1 for the model in force at the watermark", &count),
            promotions: add(r, "promotions", "Models put in force while running", &count),
            delivered: add(
                r,
                "alerts_delivered",
                "Rows of alerts that a sink's receiver took",
                &count,
            ),
            not_delivered: add(
                r,
                "alert_delivery_failures",
                "Attempts to deliver alerts that a sink's receiver did not take",
                &count,
            ),
            dead: add(
                r,
                "alert_dead_letters",
                "Rows of alerts that were refused, or tried often enough",
                &count,
            ),
            resident: add(r, "resident_memory", "Memory that the process holds", &b),
            memory_limit: add(r, "memory_limit", "run.memory_limit; 0 where there is none", &b),
            stalled: add(r, "stalled", "1 while an epoch stands still", &count),
            stalls: add(r, "stalls", "Stalls, by the part that stood still", &count),
            registry,
        }
    }

    /// The OpenMetrics text.
    pub(super) fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Declares a metric that begins at nothing.
fn add<M: Metric + Clone + Default>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    unit: &Option<Unit>,
) -> M {
    registered(registry, name, help, unit, M::default())
}

fn histograms(registry: &mut Registry, name: &str, help: &str) -> Latencies<1> {
    let family = Family::new_with_constructor(seconds as fn() -> Histogram);
    registered(registry, name, help, &Some(Unit::Seconds), family)
}

fn registered<M: Metric + Clone>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    unit: &Option<Unit>,
    metric: M,
) -> M {
    match unit {
        Some(unit) => registry.register_with_unit(name, help, unit.clone(), metric.clone()),
        None => registry.register(name, help, metric.clone()),
    }
    metric
}

/// One label's value.
pub(super) fn by(name: &'static str, value: &str) -> Labels<1> {
    [(name, value.to_owned())]
}

/// Two labels' values.
pub(super) fn by_two(a: (&'static str, &str), b: (&'static str, &str)) -> Labels<2> {
    [(a.0, a.1.to_owned()), (b.0, b.1.to_owned())]
}
