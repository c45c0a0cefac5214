//! A stream's records to a trained model: the same windows and features that the dataflow scores.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::{Context, Result, bail, ensure};
use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use cloudops_datasets::{ReadBatch, StreamKind, open};
use cloudops_models::samples::Entities;
use cloudops_models::specification::{Input, Specification};
use cloudops_models::train::{Progress, train};
use cloudops_models::{Samples, Trained};
use cloudops_operators::bill::{Bill, Clock};
use cloudops_operators::daily::Daily;
use cloudops_operators::epoch::Partition;
use cloudops_operators::peers::Peers;
use cloudops_operators::schema::result::{FEATURES, WINDOW, WINDOW_END, WINDOW_START};
use cloudops_operators::schema::{ENTITY_ID, TS, labels, texts, times, vectors};
use cloudops_operators::watermark::Watermark;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::config::{ModelConfig, TrainingConfig};
use crate::job::StreamJob;
use crate::kernel::{self, FeatureKernel};
use crate::source::blob::Blob;
use crate::source::files::Listing;
use crate::source::fluvio;
use crate::source::fluvio::address::Address;
use crate::source::partition::Event;

/// What a model was trained on: goes into its card.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingData {
    /// The stream.
    pub stream: String,
    /// Files and topics read, in order, with the records of each that were learned from.
    pub files: Vec<TrainingFile>,
    /// Entities among them.
    pub entities: u64,
    /// First and last event time, µs.
    pub event_times_us: Option<(i64, i64)>,
}

/// Records of one file that a model learned from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingFile {
    /// The file, or a topic's partition.
    pub file: String,
    /// Records read.
    pub records: u64,
    /// Rows learned from.
    pub rows: u64,
}

impl TrainingFile {
    fn new(file: String) -> Self {
        Self { file, records: 0, rows: 0 }
    }
}

/// A stream's training windows, ordered by entity and time, with their features.
///
/// # Errors
/// When the source cannot be read, or holds no whole window.
pub fn windows(
    stream: &StreamJob,
    training: &TrainingConfig,
    runtime: &Handle,
) -> Result<(Vec<RecordBatch>, TrainingData)> {
    let paths = training.path.as_ref().map_or(stream.paths.clone(), |path| vec![path.clone()]);
    let until = training.until.as_deref().map(parse_instant).transpose()?.unwrap_or(i64::MAX);
    let mut pick = Pick { until, first_rows: training.first_rows, seen: HashMap::new() };
    let mut data = TrainingData { stream: stream.name.clone(), ..Default::default() };
    let mut window = kernel::window(stream)?;
    let is_cost = stream.kind == StreamKind::Cost;
    let mut days = is_cost.then(|| Days::new(stream)).transpose()?;
    let mut learn = |partition: u32, batch: &ReadBatch, file: &mut TrainingFile| {
        let kept = pick.rows(&batch.rows, &mut data)?;
        file.records += batch.records;
        file.rows += kept.num_rows() as u64;
        let partition = Partition(partition);
        match (&mut window, &mut days) {
            (Some(window), _) => window.push(partition, &kept, None)?,
            (None, Some(days)) => days.push(partition, &kept)?,
            (None, None) => bail!("a stream has windows or days"),
        }
        anyhow::Ok(())
    };
    let (mut files, mut partition) = (Vec::new(), 0);
    for path in &paths {
        if let Some(address) = Address::parse(path)? {
            for (address, events) in fluvio::held(stream, &address)? {
                let mut file = TrainingFile::new(address.to_string());
                loop {
                    match events.recv().context("a topic's reader has stopped")? {
                        Event::Chunk(chunk) => learn(partition, &chunk.batch, &mut file)?,
                        Event::FileEnd => {}
                        Event::Ended => break,
                        Event::Failed(error) => return Err(error),
                    }
                }
                files.push(file);
                partition += 1;
            }
            continue;
        }
        let listing = Listing::parse(path, runtime)?;
        let found = listing.list(&stream.format)?;
        ensure!(!found.is_empty(), "{path} holds no file that the format reads");
        let mut next = 0;
        for found in found {
            let blob = Blob::open(&found.location, &Arc::new(AtomicU64::new(0)))
                .with_context(|| format!("opening {}", found.name))?;
            let mut reader = open(blob, &found.name, &stream.format, next, 0)?;
            let mut file = TrainingFile::new(found.name.to_string());
            while let Some(batch) = reader.next_batch()? {
                next = batch.first_offset + batch.records;
                learn(partition, &batch, &mut file)?;
            }
            files.push(file);
        }
        partition += 1;
    }
    data.files = files;
    data.entities = pick.seen.len() as u64;
    let closed = match (&mut window, &mut days) {
        (Some(window), _) => window.advance(Watermark::MAX)?,
        (None, Some(days)) => days.daily.advance(Watermark::MAX)?,
        (None, None) => Vec::new(),
    };
    let closed = match stream.kind {
        StreamKind::Audit => Peers::new().append(&closed)?,
        StreamKind::Sensor | StreamKind::Cost | StreamKind::Configuration => closed,
    };
    let mut feature = FeatureKernel::new(stream)?;
    let from = training.from.as_deref().map(parse_instant).transpose()?;
    let mut windows = Vec::with_capacity(closed.len());
    for batch in closed {
        let described = feature.append(batch)?;
        windows.push(match from {
            None => described,
            Some(from) => {
                let late = times(&described, WINDOW_END)?.iter().map(|end| Some(*end > from));
                filter_record_batch(&described, &late.collect::<BooleanArray>())?
            }
        });
    }
    ensure!(
        windows.iter().any(|batch| batch.num_rows() > 0),
        "stream {:?}: the training records make no whole window: give more records, or shorten the window",
        stream.name
    );
    Ok((windows, data))
}

/// Charges to days, by the operators that do so in the dataflow.
struct Days {
    lateness_us: i64,
    /// By partition.
    clocks: Vec<Clock>,
    bill: Bill,
    daily: Daily,
}

impl Days {
    fn new(stream: &StreamJob) -> Result<Self> {
        Ok(Self {
            lateness_us: stream.lateness_us,
            clocks: Vec::new(),
            bill: kernel::bill(stream)?,
            daily: kernel::daily(stream)?,
        })
    }

    fn push(&mut self, partition: Partition, rows: &RecordBatch) -> Result<()> {
        let at = partition.0 as usize;
        if self.clocks.len() <= at {
            self.clocks.resize(at + 1, Clock::new(self.lateness_us));
        }
        self.bill.push(partition, &self.clocks[at].judge(rows)?, None)?;
        if let Some(changes) = self.bill.take_changes()? {
            self.daily.push(&changes)?;
        }
        Ok(())
    }
}

/// Which records are learned from.
struct Pick {
    until: i64,
    first_rows: Option<u64>,
    seen: HashMap<String, u64>,
}

impl Pick {
    fn rows(&mut self, rows: &RecordBatch, data: &mut TrainingData) -> Result<RecordBatch> {
        let (entities, ts) = (labels(rows, ENTITY_ID)?, times(rows, TS)?);
        let mut kept = Vec::with_capacity(rows.num_rows());
        for (row, &ts) in ts.iter().enumerate() {
            let mut keep = ts < self.until;
            if keep {
                let entity = entities.get(row).unwrap_or_default();
                let count = match self.seen.get_mut(entity) {
                    Some(count) => count,
                    None => self.seen.entry(entity.to_owned()).or_default(),
                };
                *count += 1;
                keep = self.first_rows.is_none_or(|first| *count <= first);
            }
            if keep {
                let (least, most) = data.event_times_us.unwrap_or((ts, ts));
                data.event_times_us = Some((least.min(ts), most.max(ts)));
            }
            kept.push(keep);
        }
        Ok(filter_record_batch(rows, &BooleanArray::from(kept))?)
    }
}

/// What a stream's model reads, by its architecture and the windows' shape.
///
/// # Errors
/// When the stream has no model to train.
pub fn specification(stream: &StreamJob, model: &ModelConfig) -> Result<Specification> {
    let architecture = model.architecture.with_context(|| {
        format!("stream {:?}: model.architecture is missing: nothing to train", stream.name)
    })?;
    let whole = stream.steps().filter(|_| !architecture.is_dense());
    let (steps, channels) = match whole {
        Some(steps) => (steps, stream.channels.clone()),
        None => (1, kernel::feature_names(stream)?),
    };
    let mut specification = Specification::new(architecture, stream.model_name(), steps, channels);
    specification.input = if whole.is_some() { Input::Window } else { Input::Features };
    specification.training.seed = model.seed;
    specification.personal = model.personal.unwrap_or(false);
    if let Some(latents) = model.latents {
        specification.latents = latents;
    }
    if let Some(epochs) = model.epochs {
        specification.training.epochs = epochs;
    }
    if let Some(most) = model.max_windows {
        specification.training.max_windows = most;
    }
    specification.validate()?;
    Ok(specification)
}

/// Trains a stream's model on windows ordered by entity and time: each entity's last windows, and
/// none that overlap the ones learned from, decide when to stop and calibrate the score.
///
/// # Errors
/// When the windows are too few, or training fails.
pub fn fit(
    stream: &StreamJob,
    model: &ModelConfig,
    windows: &[RecordBatch],
    progress: &mut dyn Progress,
) -> Result<Trained> {
    let specification = specification(stream, model)?;
    let share = model.training.holdout.unwrap_or(0.2);
    let (learn, holdout) = split(&specification, windows, share)?;
    ensure!(
        !learn.is_empty() && !holdout.is_empty(),
        "stream {:?}: {} windows to learn from and {} to calibrate on: give more records",
        stream.name,
        learn.len(),
        holdout.len()
    );
    Ok(train(&specification, &learn, &holdout, progress)?)
}

/// Splits windows by time within each entity.
fn split(
    specification: &Specification,
    windows: &[RecordBatch],
    holdout: f64,
) -> Result<(Samples, Samples)> {
    let width = specification.steps * specification.channels.len();
    let mut by_entity: Vec<(String, Vec<Place>)> = Vec::new();
    for (batch, records) in windows.iter().enumerate() {
        let entities = texts(records, ENTITY_ID)?;
        let (starts, ends) = (times(records, WINDOW_START)?, times(records, WINDOW_END)?);
        for row in 0..records.num_rows() {
            let place = Place { batch, row, start: starts[row], end: ends[row] };
            match by_entity.last_mut() {
                Some((entity, places)) if entity == entities.value(row) => places.push(place),
                _ => by_entity.push((entities.value(row).to_owned(), vec![place])),
            }
        }
    }
    let column = match specification.input {
        Input::Window => WINDOW,
        Input::Features => FEATURES,
    };
    let values = windows.iter().map(|b| vectors(b, column)).collect::<Result<Vec<_>, _>>()?;
    let (mut learn, mut keep) = (Part::default(), Part::default());
    for (at, (_, places)) in by_entity.iter().enumerate() {
        let cut = (places.len() as f64 * (1.0 - holdout)).round() as usize;
        let cut = cut.clamp(usize::from(places.len() > 1), places.len());
        let last_end = places[..cut].last().map_or(i64::MIN, |place| place.end);
        for (i, place) in places.iter().enumerate() {
            let (all, found) = &values[place.batch];
            ensure!(*found == width, "windows of {found} values where the model reads {width}");
            let values = &all[place.row * width..][..width];
            if i < cut {
                learn.push(values, at);
            } else if place.start > last_end || i + 1 == places.len() {
                keep.push(values, at);
            }
        }
    }
    // Too few windows to set any aside: calibrate on what was learned from.
    if keep.of.is_empty() {
        keep = learn.clone();
    }
    let names: Vec<String> = by_entity.into_iter().map(|(name, _)| name).collect();
    let samples = |part: Part| {
        let entities = Entities { names: names.clone(), of: part.of };
        Samples::new(specification.steps, specification.channels.len(), part.values).of(entities)
    };
    Ok((samples(learn), samples(keep)))
}

/// Windows set aside for one purpose, and whose they are.
#[derive(Default, Clone)]
struct Part {
    values: Vec<f32>,
    of: Vec<u32>,
}

impl Part {
    fn push(&mut self, values: &[f32], entity: usize) {
        self.values.extend_from_slice(values);
        self.of.push(entity as u32);
    }
}

/// Where a window stands.
struct Place {
    batch: usize,
    row: usize,
    start: i64,
    end: i64,
}

/// An RFC 3339 instant as µs.
///
/// # Errors
/// When it is none.
pub fn parse_instant(text: &str) -> Result<i64> {
    let parsed = chrono::DateTime::parse_from_rfc3339(text)
        .with_context(|| format!("{text:?} is no instant: write it as 2026-01-31T00:00:00Z"))?;
    Ok(parsed.timestamp_micros())
}
