//! The data path: one line an operator, source to sink. Nothing else connects operators.
//!
//! ```text
//!  rows ─ route ─ window ─ feature ─┬─ score ─ threshold ─┬─ attribute ──▶ attributions
//!     (cost: bill ─┬─ daily)        │                     ├─ alert ──┬───▶ alerts
//!                  └─ anomaly ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ┘
//!  clock ─ ─ ┘                      └──▶ *_windows        ├─ drift ──────▶ drift
//!  late, rejects ──▶ late, rejects                        └─ contribute ─▶ *_scores
//! ```
//!
//! Each stream of a job has a path of its own, and behind them stands what rests on several:
//!
//! ```text
//!  documents ──┬─ config_drift ──▶ config_drift_changes
//!  observe   ──┘
//! ```
//!
//! Everything from `window` to
//! `contribute` is keyed by entity and stays on the worker that owns its shard;
//! only drift's sufficient statistics meet on one worker, and between window and feature audit events
//! ask the owners of their operations what `peers` had done before. What each step does
//! with the stream's settings is in [`crate::path`].

use cloudops_datasets::StreamKind;
use cloudops_operators::anomaly::Label;
use cloudops_operators::batch::Batch;
use cloudops_operators::epoch::{Epoch, Partition};
use cloudops_operators::flow::{self, Batches, Clock};
use cloudops_operators::score::ModelId;
use cloudops_operators::snapshot::Extent;
use cloudops_operators::supervise::Supervisor;
use cloudops_operators::watermark::Watermark;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::{Concatenate, Input, Probe};
use timely::dataflow::{InputHandle, ProbeHandle, Scope};
use timely::worker::Worker;

use crate::checkpoint::{EncodedState, Restorers, Supply};
use crate::path::Path;
use crate::sink::Staging;
use crate::worker::{Blueprint, Completed, StreamInput};

/// What a stream says of resources, and how far it has come.
type Said<'s> = Option<(Batches<'s>, Clock<'s>)>;

/// Connects one stream's operators.
fn connect<'s>(
    scope: Scope<'s, u64>,
    path: Path,
    observes: bool,
    probe: &ProbeHandle<u64>,
) -> (Inputs, Said<'s>) {
    let (rows_in, rows) = scope.new_input_with_builder::<CapacityContainerBuilder<Batch>>();
    let (late_in, late) = scope.new_input_with_builder::<CapacityContainerBuilder<Batch>>();
    let (rejects_in, rejects) = scope.new_input_with_builder::<CapacityContainerBuilder<Batch>>();
    let (clock_in, clock) = scope.new_input::<Vec<Watermark>>();
    let (mut ends, mut alerts) = (Vec::new(), Vec::new());
    let mut said = None;

    if observes && path.stream.kind == StreamKind::Audit {
        said = Some((path.observe(rows.clone()), clock.clone()));
    }
    let rows = path.route(rows);
    let (windows, refused) = match path.stream.kind {
        StreamKind::Sensor | StreamKind::Audit => {
            let (windows, refused) = path.window(rows, clock.clone());
            (Some(path.peers(windows)), refused)
        }
        StreamKind::Cost => {
            if let Some(lines) = path.lines(&rows) {
                ends.push(path.write(lines, "cost_lines"));
            }
            let changes = path.bill(rows);
            ends.push(path.write(changes.clone(), "cost_changes"));
            if let Some(rollups) = path.rollup(changes.clone()) {
                ends.push(path.write(rollups, "cost_rollup_changes"));
            }
            if let Some(allocated) = path.allocate(changes.clone()) {
                ends.push(path.write(allocated, "cost_allocation_changes"));
            }
            if let Some((anomalies, causes, raised)) = path.anomaly(changes.clone(), clock.clone())
            {
                ends.push(path.write(anomalies, "cost_anomaly_changes"));
                ends.push(path.write(causes, "cost_cause_changes"));
                alerts.push(raised);
            }
            if let Some((ahead, choices)) = path.forecast(changes.clone(), clock.clone()) {
                if let Some(budgets) = path.budget(ahead.clone()) {
                    ends.push(path.write(budgets, "cost_budgets"));
                }
                ends.push(path.write(ahead, "cost_forecasts"));
                ends.push(path.write(choices, "cost_forecast_choices"));
            }
            (path.stream.wants_days().then(|| path.daily(changes, clock.clone())), None)
        }
        StreamKind::Configuration => {
            said = Some((path.documents(rows, clock.clone()), clock.clone()));
            (None, None)
        }
    };
    if let (Some(windows), Some((described, scored))) = (windows, path.stream.tables()) {
        let windows = path.feature(windows);
        if path.stream.output.windows {
            ends.push(path.write(windows.clone(), described));
        }
        if path.stream.model.is_some() {
            let scores = path.score(windows);
            let verdicts = path.threshold(scores);
            ends.push(path.write(path.attribute(verdicts.clone()), "attributions"));
            alerts.push(path.alert(verdicts.clone()));
            ends.push(path.write(path.contribute(verdicts.clone()), scored));
            if let Some(drift) = path.drift(verdicts, clock) {
                ends.push(path.write(drift, "drift"));
            }
        }
    }
    ends.extend(path.together(alerts, scope, "alerts").map(|all| path.write(all, "alerts")));
    ends.push(path.write(late, "late"));
    ends.push(path.write(scope.concatenate(refused.into_iter().chain([rejects])), "rejects"));

    scope.concatenate(ends).probe_with(probe);
    (Inputs { rows: rows_in, late: late_in, rejects: rejects_in, clock: clock_in, path }, said)
}

/// Connects what rests on several streams, at the path that keeps it.
fn across<'s>(
    scope: Scope<'s, u64>,
    home: &Path,
    said: Vec<(Batches<'s>, Clock<'s>)>,
    probe: &ProbeHandle<u64>,
) {
    let (facts, clocks): (Vec<_>, Vec<_>) = said.into_iter().unzip();
    let (facts, clock) = (scope.concatenate(facts), flow::least(clocks, scope));
    if let Some(drift) = home.config_drift(facts, clock) {
        home.write(drift, "config_drift_changes").probe_with(probe);
    }
}

/// Builds one worker's share of the graph, in the state that is supplied.
///
/// # Errors
/// When settings do not fit, or the state is not of this build.
pub fn build(
    worker: &mut Worker,
    blueprint: &Blueprint,
    state: Option<&Supply>,
) -> anyhow::Result<Graph> {
    let supervisor = Supervisor::watched(blueprint.whereabouts[worker.index()].clone());
    let staging = Staging::default();
    let mut paths = Vec::new();
    for stream in 0..blueprint.job.streams.len() {
        let place = (worker.index(), worker.peers());
        paths.push(Path::new(blueprint, stream, place, &staging, &supervisor)?);
    }
    let mut restorers = Restorers::default();
    for piece in state.into_iter().flatten() {
        let piece = piece.map_err(anyhow::Error::msg)?;
        paths[piece.stream].restore(&piece, &mut restorers)?;
    }
    let probe = ProbeHandle::new();
    let inputs = worker.dataflow::<u64, _, _>(|scope| {
        let home = blueprint.job.config_drift.as_ref().map(|drift| drift.home);
        let connected = paths.into_iter().map(|path| connect(scope, path, home.is_some(), &probe));
        let (inputs, said): (Vec<Inputs>, Vec<_>) = connected.unzip();
        if let Some(home) = home {
            across(scope, &inputs[home].path, said.into_iter().flatten().collect(), &probe);
        }
        inputs
    });
    Ok(Graph { supervisor, probe, staging, inputs })
}

/// One worker's share of the graph: its inputs, and what comes out of it.
#[derive(Debug)]
pub struct Graph {
    /// Keeps the first error on this worker.
    pub supervisor: Supervisor,
    /// Passes an epoch once every sink of every worker has it.
    pub probe: ProbeHandle<u64>,
    staging: Staging,
    inputs: Vec<Inputs>,
}

type Rows = InputHandle<u64, CapacityContainerBuilder<Batch>>;

/// One stream's inputs.
struct Inputs {
    rows: Rows,
    late: Rows,
    rejects: Rows,
    clock: InputHandle<u64, CapacityContainerBuilder<Vec<Watermark>>>,
    path: Path,
}

impl Graph {
    /// Gives an epoch's share of input; epochs come in order.
    pub fn give(&mut self, epoch: Epoch, streams: Vec<StreamInput>) {
        for (inputs, stream) in self.inputs.iter_mut().zip(streams) {
            inputs.advance_to(epoch.0);
            for mut batch in stream.rows {
                inputs.rows.send_batch(&mut batch);
            }
            for records in stream.late {
                inputs.late.send_batch(&mut Batch::new(Partition(0), records));
            }
            for records in stream.rejects {
                inputs.rejects.send_batch(&mut Batch::new(Partition(0), records));
            }
            if let Some(watermark) = stream.watermark {
                inputs.clock.send(watermark);
            }
            inputs.advance_to(epoch.0 + 1);
        }
    }

    /// Puts a model in force from an event time on.
    pub fn promote(&mut self, stream: usize, effective_from_us: i64, model: &ModelId) {
        self.inputs[stream].path.promote(effective_from_us, model.clone());
    }

    /// Has a stream's anomalies know what was said of one.
    pub fn label(&self, stream: usize, label: &Label) {
        self.inputs[stream].path.label(label);
    }

    /// What this worker made of a complete epoch.
    pub fn completed(&mut self, epoch: Epoch) -> Completed {
        Completed {
            files: self.staging.take(epoch),
            states: Vec::new(),
            streams: self.inputs.iter().map(|inputs| inputs.path.completed(epoch)).collect(),
        }
    }
}

impl Graph {
    /// The state of this worker's operators, or what of it has changed; between two epochs.
    ///
    /// # Errors
    /// When Arrow refuses to write it, which is a bug.
    pub fn states(&self, extent: Extent) -> anyhow::Result<Vec<EncodedState>> {
        let mut states = Vec::new();
        for inputs in &self.inputs {
            states.extend(inputs.path.states(extent)?);
        }
        Ok(states)
    }
}

impl Inputs {
    fn advance_to(&mut self, epoch: u64) {
        self.rows.advance_to(epoch);
        self.late.advance_to(epoch);
        self.rejects.advance_to(epoch);
        self.clock.advance_to(epoch);
    }
}

impl std::fmt::Debug for Inputs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inputs").field("stream", &self.path.stream.name).finish_non_exhaustive()
    }
}
