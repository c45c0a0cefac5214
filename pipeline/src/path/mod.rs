//! What each step of the data path does with its stream's settings, on one worker.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{Array, ArrayRef, AsArray, Float32Array, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch, is_not_null};
use arrow::datatypes::{Field, Float32Type, Schema};
use cloudops_datasets::StreamKind;
use cloudops_operators::allocation::Allocations;
use cloudops_operators::anomaly::{Anomalies, Label};
use cloudops_operators::attribute::Attribute;
use cloudops_operators::batch::Batch;
use cloudops_operators::bill::{Bill, Statements};
use cloudops_operators::budget::Budgets;
use cloudops_operators::config_drift::{ConfigDrift, Documents};
use cloudops_operators::daily::Daily;
use cloudops_operators::data_drift::{DriftJudge, DriftPartial};
use cloudops_operators::epoch::{Epoch, Partition};
use cloudops_operators::flow::{self, Batches, Clock};
use cloudops_operators::forecast::Forecasts;
use cloudops_operators::key::Shard;
use cloudops_operators::peers::{self, Peers};
use cloudops_operators::resource::{Hours, PriceList, Resources};
use cloudops_operators::rollup::Rollups;
use cloudops_operators::schema::configuration::SCOPE;
use cloudops_operators::schema::cost::BILLING_ACCOUNT;
use cloudops_operators::schema::result::{
    ALERT_EVENT, MODEL, MODEL_VERSION, THRESHOLD_ADAPTIVE, THRESHOLD_STATIC, WINDOW_END,
};
use cloudops_operators::schema::{ENTITY_ID, column, mismatch, texts};
use cloudops_operators::score::{ModelId, ModelInfo, Score};
use cloudops_operators::snapshot::{Extent, Snapshot};
use cloudops_operators::supervise::Supervisor;
use cloudops_operators::threshold::{Policy, Threshold};
use cloudops_operators::window::EitherWindow;
use cloudops_sql::table;
use timely::dataflow::Scope;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::{Concat, Concatenate};

use crate::checkpoint::{self, EncodedState, Piece, Restorers};
use crate::config::DriftSettings;
use crate::drift::Drift;
use crate::job::{Job, StreamJob};
use crate::kernel::{self, FeatureKernel};
use crate::shelf::FileShelf;
use crate::sink::project::{Renames, project, sorted};
use crate::sink::stage::Sinks;
use crate::sink::{Staging, rows};
use crate::worker::{Blueprint, StreamProgress};
use crate::zombie::Hunter;

mod configuration;
mod cost;
mod resource;

/// Shared between a worker's operators.
pub(crate) type Shared<T> = Rc<RefCell<T>>;

fn shared<T>(value: T) -> Shared<T> {
    Rc::new(RefCell::new(value))
}

/// Counts of each epoch until the worker reports it.
pub(crate) type Tally = Shared<BTreeMap<u64, StreamProgress>>;

/// One stream's operators on one worker.
#[derive(Debug)]
pub struct Path {
    /// Which of so many workers this is.
    place: (usize, usize),
    /// The stream.
    pub stream: Arc<StreamJob>,
    score: Shared<Score>,
    tally: Tally,
    supervisor: Supervisor,
    sinks: Sinks,
    kernels: Kernels,
}

/// The stateful operators, made before the graph so that a wrong setting is an error and no panic.
#[derive(Debug)]
struct Kernels {
    window: Option<Shared<EitherWindow>>,
    peers: Option<Shared<Peers>>,
    documents: Option<Shared<Documents>>,
    /// What rests on several streams, on the path of one of them.
    config_drift: Option<Shared<ConfigDrift>>,
    hours: Option<Shared<Hours>>,
    resources: Option<Shared<Resources>>,
    prices: Option<Shared<PriceList>>,
    zombies: Option<Shared<Hunter>>,
    bill: Option<Shared<Bill>>,
    statements: Option<Statements>,
    rollups: Option<Shared<Rollups>>,
    allocations: Option<Shared<Allocations>>,
    anomalies: Option<Shared<Anomalies>>,
    forecasts: Option<Shared<Forecasts>>,
    budgets: Option<Budgets>,
    daily: Option<Shared<Daily>>,
    feature: Shared<FeatureKernel>,
    threshold: Shared<Threshold>,
    drift: Option<Drift>,
}

impl Kernels {
    /// Of a job's stream, by index.
    fn new(job: &Job, index: usize) -> Result<Self> {
        let (stream, scratch) = (&*job.streams[index], &*job.scratch);
        let config_drift = job.config_drift.as_ref().filter(|drift| drift.home == index);
        let resources = job.resources.as_ref().filter(|resources| resources.home == index);
        let hours = stream.utilisation.as_ref().filter(|_| job.resources.is_some());
        let window = kernel::window(stream)?;
        let is_cost = stream.kind == StreamKind::Cost;
        let days = is_cost && stream.wants_days();
        let rollups = is_cost && !stream.bill.rollups().is_empty();
        let statements = is_cost && stream.bill.lines;
        let documents = stream.kind == StreamKind::Configuration;
        Ok(Self {
            statements: statements.then(|| Statements::new(&stream.bill.by)).transpose()?,
            bill: is_cost.then(|| bill(stream, scratch)).transpose()?.map(shared),
            rollups: rollups.then(|| self::rollups(stream, scratch)).transpose()?.map(shared),
            allocations: kernel::allocations(stream)?.map(shared),
            anomalies: kernel::anomalies(stream)?.map(shared),
            forecasts: kernel::forecasts(stream)?.map(shared),
            budgets: kernel::budgets(stream)?,
            daily: days.then(|| kernel::daily(stream)).transpose()?.map(shared),
            window: window.map(shared),
            documents: documents.then(|| shared(Documents::new(&stream.name))),
            config_drift: config_drift
                .map(|drift| ConfigDrift::new(drift.config.clone()))
                .transpose()?
                .map(shared),
            hours: hours
                .map(|config| Hours::new(&stream.name, config, &stream.channels))
                .transpose()?
                .map(shared),
            resources: resources
                .map(|resources| Resources::new(resources.config.clone()))
                .transpose()?
                .map(shared),
            prices: resources
                .filter(|resources| resources.judges)
                .map(|_| shared(PriceList::default())),
            zombies: resources
                .filter(|resources| resources.judges)
                .map(|resources| Hunter::new(&resources.model, resources.config.judge.policy))
                .transpose()?
                .map(shared),
            peers: (stream.kind == StreamKind::Audit).then(|| shared(Peers::new())),
            feature: shared(FeatureKernel::new(stream)?),
            threshold: shared(Threshold::new(&stream.name, stream.threshold.clone())?),
            drift: stream.drift.as_ref().map(|settings| drift(stream, settings)).transpose()?,
        })
    }

    /// All that remembers anything from one epoch to the next.
    fn stateful(&self) -> Vec<Shared<dyn Snapshot>> {
        let mut all: Vec<Shared<dyn Snapshot>> = Vec::new();
        if let Some(window) = &self.window {
            all.push(Rc::clone(window) as _);
        }
        if let Some(bill) = &self.bill {
            all.push(Rc::clone(bill) as _);
        }
        if let Some(rollups) = &self.rollups {
            all.push(Rc::clone(rollups) as _);
        }
        if let Some(allocations) = &self.allocations {
            all.push(Rc::clone(allocations) as _);
        }
        if let Some(anomalies) = &self.anomalies {
            all.push(Rc::clone(anomalies) as _);
        }
        if let Some(forecasts) = &self.forecasts {
            all.push(Rc::clone(forecasts) as _);
        }
        if let Some(daily) = &self.daily {
            all.push(Rc::clone(daily) as _);
        }
        if let Some(peers) = &self.peers {
            all.push(Rc::clone(peers) as _);
        }
        if let Some(documents) = &self.documents {
            all.push(Rc::clone(documents) as _);
        }
        if let Some(config_drift) = &self.config_drift {
            all.push(Rc::clone(config_drift) as _);
        }
        if let Some(hours) = &self.hours {
            all.push(Rc::clone(hours) as _);
        }
        if let Some(prices) = &self.prices {
            all.push(Rc::clone(prices) as _);
        }
        if let Some(resources) = &self.resources {
            all.push(Rc::clone(resources) as _);
        }
        all.push(Rc::clone(&self.feature) as _);
        all.push(Rc::clone(&self.threshold) as _);
        if let Some(Drift { partial, judge }) = &self.drift {
            all.push(Rc::clone(partial) as _);
            all.push(Rc::clone(judge) as _);
        }
        all
    }
}

fn bill(stream: &StreamJob, scratch: &std::path::Path) -> Result<Bill> {
    Ok(kernel::bill(stream)?.on_shelf(Box::new(FileShelf::new(scratch)?)))
}

fn rollups(stream: &StreamJob, scratch: &std::path::Path) -> Result<Rollups> {
    Ok(kernel::rollups(stream)?.on_shelf(Box::new(FileShelf::new(scratch)?)))
}

impl Path {
    /// The path of a blueprint's stream, by index, on one of so many workers.
    ///
    /// # Errors
    /// When the settings do not fit.
    pub fn new(
        blueprint: &Blueprint,
        index: usize,
        place: (usize, usize),
        staging: &Staging,
        supervisor: &Supervisor,
    ) -> Result<Self> {
        let supervisor = supervisor.for_stream(&blueprint.job.streams[index].name);
        let timeline = blueprint.timelines[index].clone();
        let scorers = Arc::clone(&blueprint.scorers[index]);
        let job = &blueprint.job;
        let stream = Arc::clone(&job.streams[index]);
        let kernels = Kernels::new(job, index)?;
        let path = Self {
            place,
            score: Rc::new(RefCell::new(Score::new(scorers, timeline))),
            tally: Tally::default(),
            sinks: Sinks::new(&stream, job.compression, staging, &supervisor),
            supervisor,
            stream,
            kernels,
        };
        blueprint.labels[index].iter().for_each(|label| path.label(label));
        Ok(path)
    }

    /// Puts a model in force from an event time on.
    pub fn promote(&self, effective_from_us: i64, model: ModelId) {
        self.score.borrow_mut().promote(effective_from_us, model);
    }

    /// Takes note of what was said of a cost anomaly.
    pub fn label(&self, label: &Label) {
        if let Some(anomalies) = &self.kernels.anomalies {
            anomalies.borrow_mut().label(label);
        }
    }

    /// What was counted in a complete epoch.
    pub fn completed(&self, epoch: Epoch) -> StreamProgress {
        let progress = self.tally.borrow_mut().remove(&epoch.0).unwrap_or_default();
        StreamProgress { busy: self.supervisor.take_busy(), ..progress }
    }

    /// Takes up what this worker owns of a piece of the state to begin with.
    ///
    /// # Errors
    /// When the state is not of this build.
    pub fn restore(&self, piece: &Piece, restorers: &mut Restorers) -> Result<()> {
        let (worker, workers) = self.place;
        self.supervisor.count("restore", || {
            let owned = |shard: Shard| shard.worker(workers) == worker;
            restorers.take_up(&self.stream.name, &self.kernels.stateful(), piece, owned)
        })
    }

    /// The state of the stream's operators on this worker, or what of it has changed since this was
    /// last asked; between two epochs.
    ///
    /// # Errors
    /// When Arrow refuses to write it, which is a bug.
    pub fn states(&self, extent: Extent) -> Result<Vec<EncodedState>> {
        self.supervisor.count("checkpoint", || {
            checkpoint::encode(&self.stream.name, &self.kernels.stateful(), extent)
        })
    }

    /// Each row to the worker that owns its entity; of bills delivered as a whole, its billing account;
    /// of documents, their scope.
    pub fn route<'s>(&self, rows: Batches<'s>) -> Batches<'s> {
        let by = match self.stream.kind {
            StreamKind::Cost if self.stream.bill.deliveries.is_some() => BILLING_ACCOUNT,
            StreamKind::Configuration => SCOPE,
            _ => ENTITY_ID,
        };
        flow::route_by(rows, by, &self.supervisor)
    }

    /// Rows to windows; beside them, rows refused as duplicates.
    pub fn window<'s>(
        &self,
        rows: Batches<'s>,
        clock: Clock<'s>,
    ) -> (Batches<'s>, Option<Batches<'s>>) {
        let kernel = self.kernels.window.clone();
        let tally = Rc::clone(&self.tally);
        let logic = move |epoch: Epoch, batches: Vec<_>, watermark| {
            let kernel = kernel.as_ref().context("a cost stream has no windows")?;
            let mut kernel = kernel.borrow_mut();
            let mut tally = tally.borrow_mut();
            let progress = tally.entry(epoch.0).or_default();
            progress.taken +=
                take_in(&batches, |p, rows, selected| kernel.push(p, rows, selected))?;
            let windows = kernel.advance(watermark)?;
            let duplicates = kernel.take_duplicates();
            progress.duplicates = duplicates.len() as u64;
            progress.pending = kernel.pending_rows();
            progress.windows = windows.iter().map(|batch| batch.num_rows() as u64).sum();
            let refused = if duplicates.is_empty() {
                Vec::new()
            } else {
                vec![rows::duplicates(&duplicates)?]
            };
            anyhow::Ok((windows, refused))
        };
        let (windows, refused) =
            flow::clocked(rows, Pipeline, clock, "window", &self.supervisor, logic);
        (windows, Some(refused))
    }

    /// Windows of audit events with what other principals had done before, of other streams as they are.
    pub fn peers<'s>(&self, windows: Batches<'s>) -> Batches<'s> {
        let Some(kernel) = self.kernels.peers.clone() else { return windows };
        let asked = flow::each(windows.clone(), "operations", &self.supervisor, |batch| {
            peers::operations(&batch).map(|asked| vec![asked])
        });
        let asked = flow::route_by(asked, peers::OPERATION, &self.supervisor);
        let answers = flow::gather(asked, Pipeline, "peers", &self.supervisor, move |_, asked| {
            kernel.borrow_mut().answer(&asked)
        });
        let answers = flow::route(answers, &self.supervisor);
        let both = windows.concat(answers);
        flow::gather(both, Pipeline, "with peers", &self.supervisor, |_, batches| {
            peers::with_peers(&batches)
        })
    }

    /// Windows to feature vectors.
    pub fn feature<'s>(&self, windows: Batches<'s>) -> Batches<'s> {
        let kernel = Rc::clone(&self.kernels.feature);
        flow::each(windows, "feature", &self.supervisor, move |batch| {
            kernel.borrow_mut().append(batch).map(|batch| vec![batch])
        })
    }

    /// Windows to scores, by the model in force at each window's end.
    pub fn score<'s>(&self, windows: Batches<'s>) -> Batches<'s> {
        let score = Rc::clone(&self.score);
        flow::each(windows, "score", &self.supervisor, move |batch| {
            score.borrow_mut().score(&batch)
        })
    }

    /// Scores to verdicts and alerts.
    pub fn threshold<'s>(&self, scores: Batches<'s>) -> Batches<'s> {
        let kernel = Rc::clone(&self.kernels.threshold);
        self.with_model(scores, "threshold", move |batch, info| {
            Ok(vec![kernel.borrow_mut().apply(&batch, info)?])
        })
    }

    /// Verdicts to attributions: long rows, for alerts alone.
    pub fn attribute<'s>(&self, verdicts: Batches<'s>) -> Batches<'s> {
        let kernel = Attribute::new(self.stream.attribution.clone());
        self.with_model(verdicts, "attribute", move |batch, info| {
            Ok(kernel.explain(&batch, info)?.into_iter().collect())
        })
    }

    /// Verdicts with every channel's share, for the scores table.
    pub fn contribute<'s>(&self, verdicts: Batches<'s>) -> Batches<'s> {
        let kernel = Attribute::new(self.stream.attribution.clone());
        self.with_model(verdicts, "contribute", move |batch, info| {
            Ok(vec![contributions(&kernel, &batch, info)?])
        })
    }

    /// Verdicts that open or close an alert.
    pub fn alert<'s>(&self, verdicts: Batches<'s>) -> Batches<'s> {
        let kernel = Attribute::new(self.stream.attribution.clone());
        let (kind, policy) = (self.stream.kind_name(), self.stream.threshold.policy);
        self.with_model(verdicts, "alert", move |batch, info| {
            let kept = filter_record_batch(&batch, &is_not_null(column(&batch, ALERT_EVENT)?)?)?;
            if kept.num_rows() == 0 {
                return Ok(Vec::new());
            }
            let kept = contributions(&kernel, &kept, info)?;
            let limit = limit_in_force(&kept, policy)?;
            let kinds: ArrayRef = Arc::new(arrow::array::StringArray::from_iter_values(
                std::iter::repeat_n(kind, kept.num_rows()),
            ));
            let at = Arc::clone(column(&kept, WINDOW_END)?);
            let event = Arc::clone(column(&kept, ALERT_EVENT)?);
            let own = vec![("threshold", limit), ("kind", kinds), ("at", at), ("event", event)];
            Ok(vec![with_columns(&kept, own)?])
        })
    }

    /// Verdicts to drift rows, by period, over all entities.
    pub fn drift<'s>(&self, verdicts: Batches<'s>, clock: Clock<'s>) -> Option<Batches<'s>> {
        let drift = self.kernels.drift.as_ref()?;
        Some(drift.connect(verdicts, clock, &self.score, &self.tally, &self.supervisor))
    }

    /// Rows of a table that come in several ways, as one: an epoch's are in the table's order then, so that
    /// which way was faster does not show. `None` of none.
    pub fn together<'s>(
        &self,
        mut rows: Vec<Batches<'s>>,
        scope: Scope<'s, u64>,
        table: &'static str,
    ) -> Option<Batches<'s>> {
        if rows.len() < 2 {
            return rows.pop();
        }
        let source = self.stream.name.clone();
        let rows = scope.concatenate(rows);
        let name = format!("order {table}");
        Some(flow::gather(rows, Pipeline, &name, &self.supervisor, move |epoch, batches| {
            let table = table::find(table).with_context(|| format!("there is no table {table}"))?;
            let schema = table.schema();
            let batches = batches.iter().map(|rows| project(rows, &schema, epoch, &source, &[]));
            let rows = concat_batches(&schema, &batches.collect::<Result<Vec<_>>>()?)?;
            anyhow::Ok(vec![sorted(&rows, table.sort)?])
        }))
    }

    /// Rows of a table to files.
    pub fn write<'s>(&self, rows: Batches<'s>, table: &'static str) -> Batches<'s> {
        let renames: Renames = match table {
            "sensor_windows" | "audit_windows" | "cost_windows" if self.stream.output.values => {
                &[("values", "window")]
            }
            _ => &[],
        };
        self.sinks.table(rows, table, renames)
    }

    /// Applies a function to every batch, with what is known of the model that scored it.
    fn with_model<'s>(
        &self,
        batches: Batches<'s>,
        name: &str,
        mut logic: impl FnMut(RecordBatch, &ModelInfo) -> Result<Vec<RecordBatch>> + 'static,
    ) -> Batches<'s> {
        let score = Rc::clone(&self.score);
        flow::each(batches, name, &self.supervisor, move |batch| {
            let mut score = score.borrow_mut();
            let model = ModelId {
                name: texts(&batch, MODEL)?.value(0).to_owned(),
                version: texts(&batch, MODEL_VERSION)?.value(0).to_owned(),
            };
            logic(batch, score.info(&model)?)
        })
    }
}

/// Hands a kernel an epoch's rows; gives their number.
fn take_in(
    batches: &[Batch],
    mut push: impl FnMut(Partition, &RecordBatch, Option<&[u32]>) -> cloudops_operators::Result<()>,
) -> cloudops_operators::Result<u64> {
    let mut rows = 0;
    for batch in batches {
        if let Some(records) = &batch.records {
            push(batch.partition, records, batch.selection.as_deref())?;
            rows += batch.len() as u64;
        }
    }
    Ok(rows)
}

fn drift(stream: &StreamJob, settings: &DriftSettings) -> Result<Drift> {
    let config = settings.detector.clone();
    Ok(Drift {
        judge: shared(DriftJudge::new(config.clone())?),
        partial: shared(DriftPartial::new(config, kernel::feature_names(stream)?)?),
    })
}

/// A batch with `contributions` and `top_channel` appended.
fn contributions(kernel: &Attribute, batch: &RecordBatch, info: &ModelInfo) -> Result<RecordBatch> {
    let shares = kernel.contributions(batch, info)?;
    with_columns(
        batch,
        vec![
            ("contributions", Arc::new(shares.shares)),
            ("top_channel", Arc::new(shares.top_channel)),
        ],
    )
}

/// The limit that each row's score was held against.
fn limit_in_force(batch: &RecordBatch, policy: Policy) -> Result<ArrayRef> {
    let floats = |name| {
        let array = column(batch, name)?;
        array.as_primitive_opt::<Float32Type>().ok_or_else(|| mismatch(name, "Float32", array))
    };
    let (fixed, adaptive) = (floats(THRESHOLD_STATIC)?, floats(THRESHOLD_ADAPTIVE)?);
    let limits = (0..batch.num_rows()).map(|row| {
        let fixed = fixed.value(row);
        let adaptive = adaptive.is_valid(row).then(|| adaptive.value(row));
        match (policy, adaptive) {
            (Policy::Static, _) | (_, None) => fixed,
            (Policy::Adaptive, Some(adaptive)) => adaptive,
            (Policy::Either, Some(adaptive)) => fixed.min(adaptive),
            (Policy::Both, Some(adaptive)) => fixed.max(adaptive),
        }
    });
    Ok(Arc::new(Float32Array::from_iter_values(limits)))
}

/// A batch with columns that may hold nulls behind its own.
///
/// # Errors
/// When their lengths differ, which is a bug.
pub(crate) fn with_columns(
    batch: &RecordBatch,
    added: Vec<(&str, ArrayRef)>,
) -> Result<RecordBatch> {
    let mut fields: Vec<_> = batch.schema().fields().iter().cloned().collect();
    let mut columns = batch.columns().to_vec();
    for (name, array) in added {
        fields.push(Arc::new(Field::new(name, array.data_type().clone(), true)));
        columns.push(array);
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}
