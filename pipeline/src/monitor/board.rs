//! What the monitor remembers between two questions.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use cloudops_operators::epoch::Epoch;
use cloudops_operators::score::{ModelId, Timeline};
use cloudops_operators::supervise::At;
use cloudops_sql::catalog::State;
use cloudops_sql::catalog::record::{Checkpoint, Commit, Plan};

use super::phase::Phase;
use super::stall::{Seen, Stall};
use super::status::{
    CheckpointStatus, Coordinator, Epochs, InFlight, Memory, ModelStatus, PartitionStatus, Status,
    Stream, Verdicts, Worker,
};
use crate::job::Job;
use crate::memory;

/// What the monitor remembers.
#[derive(Debug)]
pub(super) struct Board {
    catalog: String,
    started: Instant,
    generation: u64,
    planned: Option<Epoch>,
    committed: Option<Epoch>,
    in_flight_max: usize,
    memory_limit: Option<u64>,
    pub(super) records_max: u64,
    pub(super) in_flight: VecDeque<Open>,
    pub(super) streams: Vec<StreamBoard>,
    completed: Vec<Option<Epoch>>,
    phase: Doing,
    checkpoint: Option<CheckpointStatus>,
    pub(super) stall: Option<Stall>,
    pub(super) stalls: u64,
    pub(super) last_error: Option<String>,
}

/// An epoch in flight.
#[derive(Debug)]
pub(super) struct Open {
    epoch: Epoch,
    given: Instant,
    records: u64,
    missing: Vec<usize>,
    /// By stream, when the first of its records was read.
    pub(super) read: Vec<(usize, Instant)>,
}

/// What the coordinator does.
#[derive(Debug)]
struct Doing {
    phase: Phase,
    epoch: Option<Epoch>,
    object: String,
    since: Instant,
    /// Up to when its time has been counted.
    counted: Instant,
    moves: u64,
}

/// What is remembered of a stream.
#[derive(Debug)]
pub(super) struct StreamBoard {
    pub(super) name: String,
    pub(super) queued: u64,
    pub(super) pending: u64,
    pub(super) timeline: Timeline,
    verdicts: Verdicts,
    /// By partition.
    partitions: BTreeMap<u32, PartitionBoard>,
}

#[derive(Debug, Default)]
struct PartitionBoard {
    planned_to: u64,
    committed_to: u64,
    file: Option<String>,
    /// The watermark that the last commit applied.
    watermark_us: Option<i64>,
}

impl StreamBoard {
    /// The event time up to which committed results are final; `None` before the first commit.
    fn watermark_us(&self) -> Option<i64> {
        self.partitions.values().filter_map(|partition| partition.watermark_us).max()
    }

    /// The same where it is an instant: not before the first record, not at the end of input.
    pub(super) fn instant(&self) -> Option<i64> {
        self.watermark_us().filter(|us| ![i64::MIN, i64::MAX].contains(us))
    }

    /// The model in force at the watermark.
    pub(super) fn in_force(&self) -> Option<&ModelId> {
        self.timeline.at(self.watermark_us().unwrap_or(i64::MIN))
    }
}

impl Board {
    pub(super) fn new(job: &Job) -> Self {
        let now = Instant::now();
        let stream = |name: &String| StreamBoard {
            name: name.clone(),
            queued: 0,
            pending: 0,
            timeline: Timeline::default(),
            verdicts: Verdicts::default(),
            partitions: BTreeMap::new(),
        };
        Self {
            catalog: job.catalog.clone(),
            started: now,
            generation: 0,
            planned: None,
            committed: None,
            in_flight_max: job.epochs_in_flight,
            memory_limit: job.memory_limit,
            records_max: job.epoch_records,
            in_flight: VecDeque::new(),
            streams: job.streams.iter().map(|job| stream(&job.name)).collect(),
            completed: vec![None; job.workers],
            phase: Doing {
                phase: Phase::Start,
                epoch: None,
                object: String::new(),
                since: now,
                counted: now,
                moves: 0,
            },
            checkpoint: None,
            stall: None,
            stalls: 0,
            last_error: None,
        }
    }

    pub(super) fn stream_mut(&mut self, name: &str) -> Option<&mut StreamBoard> {
        self.streams.iter_mut().find(|stream| stream.name == name)
    }

    pub(super) fn started(&mut self, state: &State) {
        (self.generation, self.planned, self.committed) =
            (state.generation, state.planned, state.committed);
        for stream in &mut self.streams {
            for (partition, source) in state.sources.get(&stream.name).into_iter().flatten() {
                let partition = stream.partitions.entry(partition.0).or_default();
                partition.planned_to = source.planned_to.0;
                partition.committed_to = source.committed_to.0;
                partition.file = source.last_span.as_ref().map(|span| span.file.clone());
                partition.watermark_us = Some(source.committed_watermark_us);
            }
        }
        self.checkpoint = state.checkpoint.as_ref().map(|at| CheckpointStatus {
            epoch: at.epoch,
            at: None,
            files: at.checkpoint.states.len(),
            bytes: at.checkpoint.states.iter().map(|state| state.bytes).sum(),
        });
    }

    /// Begins a phase, or goes on with it; gives the last one and how long it has taken since this
    /// was asked before.
    pub(super) fn enter(&mut self, phase: Phase, epoch: Option<Epoch>) -> (Phase, Duration) {
        let now = Instant::now();
        let last = (self.phase.phase, now - self.phase.counted);
        self.phase.counted = now;
        if (phase, epoch) != (self.phase.phase, self.phase.epoch) {
            let (object, moves) = (String::new(), self.phase.moves + 1);
            self.phase = Doing { phase, epoch, object, since: now, counted: now, moves };
        }
        last
    }

    pub(super) fn works_on(&mut self, object: &str) {
        object.clone_into(&mut self.phase.object);
        self.phase.moves += 1;
    }

    pub(super) fn given(&mut self, plan: &Plan, read: Vec<(usize, Instant)>, workers: usize) {
        self.planned = self.planned.max(Some(plan.epoch));
        for source in &plan.sources {
            let Some(stream) = self.stream_mut(&source.source) else { continue };
            let partition = stream.partitions.entry(source.partition.0).or_default();
            partition.planned_to = partition.planned_to.max(source.offset_to.0);
            if let Some(span) = source.spans.last() {
                partition.file = Some(span.file.clone());
            }
        }
        self.in_flight.push_back(Open {
            epoch: plan.epoch,
            given: Instant::now(),
            records: plan.sources.iter().map(|part| part.offset_to.0 - part.offset_from.0).sum(),
            missing: (0..workers).collect(),
            read,
        });
    }

    /// Notes a worker's completion; gives the time since the epoch was given where it was the last.
    pub(super) fn reported(&mut self, epoch: Epoch, worker: usize) -> Option<Duration> {
        if let Some(completed) = self.completed.get_mut(worker) {
            *completed = Some(epoch);
        }
        let open = self.in_flight.iter_mut().find(|open| open.epoch == epoch)?;
        open.missing.retain(|&other| other != worker);
        open.missing.is_empty().then(|| open.given.elapsed())
    }

    pub(super) fn closed(&mut self, epoch: Epoch) -> Option<Open> {
        let at = self.in_flight.iter().position(|open| open.epoch == epoch)?;
        self.in_flight.remove(at)
    }

    pub(super) fn committed(&mut self, commit: &Commit, checkpoint: Option<&Checkpoint>) {
        self.committed = self.committed.max(Some(commit.epoch));
        for stream in &mut self.streams {
            let mut entries =
                commit.sources.iter().filter(|source| source.source == stream.name).peekable();
            // What is known of the whole stream stands with its first entry.
            stream.pending = entries.peek().map_or(stream.pending, |first| first.pending);
            for source in entries {
                stream.verdicts.on_time += source.on_time;
                stream.verdicts.late += source.late;
                stream.verdicts.rejected += source.rejected;
                stream.verdicts.duplicates += source.duplicates;
                let partition = stream.partitions.entry(source.partition.0).or_default();
                partition.committed_to = source.offset.0;
                partition.watermark_us = Some(source.watermark_us);
            }
        }
        if let Some(checkpoint) = checkpoint {
            self.checkpoint = Some(CheckpointStatus {
                epoch: commit.epoch,
                at: rfc3339(commit.committed_at_us),
                files: checkpoint.states.len(),
                bytes: checkpoint.states.iter().map(|state| state.bytes).sum(),
            });
        }
    }

    /// What the judge of stalls is shown.
    pub(super) fn seen(&self, workers: Vec<At>) -> Seen {
        Seen {
            oldest: self.in_flight.front().map(|open| (open.epoch, open.missing.clone())),
            phase: self.phase.phase,
            phase_epoch: self.phase.epoch,
            detail: self.phase.object.clone(),
            phase_moves: self.phase.moves,
            workers,
        }
    }

    pub(super) fn status(&self, now_us: i64, workers: Vec<At>) -> Status {
        let Doing { phase, epoch, object, since, .. } = &self.phase;
        let worker = |(worker, (at, completed)): (usize, (At, &Option<Epoch>))| {
            let At { stream, operator, inside, .. } = at;
            Worker { worker, completed: *completed, stream, operator, inside }
        };
        Status {
            build: concat!("cloudops ", env!("CARGO_PKG_VERSION")),
            catalog: self.catalog.clone(),
            uptime_seconds: self.started.elapsed().as_secs_f64(),
            generation: self.generation,
            epochs: Epochs {
                planned: self.planned,
                committed: self.committed,
                in_flight: self.in_flight.iter().map(Open::status).collect(),
                in_flight_max: self.in_flight_max,
                records_max: self.records_max,
            },
            coordinator: Coordinator {
                phase: *phase,
                epoch: *epoch,
                object: object.clone(),
                seconds: since.elapsed().as_secs_f64(),
            },
            streams: self.streams.iter().map(|stream| stream.status(now_us)).collect(),
            workers: workers.into_iter().zip(&self.completed).enumerate().map(worker).collect(),
            checkpoint: self.checkpoint.clone(),
            memory: Memory { resident_bytes: memory::resident(), limit_bytes: self.memory_limit },
            stall: self.stall.clone(),
            stalls: self.stalls,
            last_error: self.last_error.clone(),
        }
    }
}

impl Open {
    fn status(&self) -> InFlight {
        InFlight {
            epoch: self.epoch,
            seconds: self.given.elapsed().as_secs_f64(),
            records: self.records,
            missing_workers: self.missing.clone(),
        }
    }
}

impl StreamBoard {
    fn status(&self, now_us: i64) -> Stream {
        let instant = self.instant();
        let partition = |(&partition, board): (&u32, &PartitionBoard)| PartitionStatus {
            partition,
            planned_to: board.planned_to,
            committed_to: board.committed_to,
            file: board.file.clone(),
        };
        let model = |(from, model): &(i64, ModelId)| ModelStatus {
            model: model.to_string(),
            from: Some(*from).filter(|&from| from != i64::MIN).and_then(rfc3339),
        };
        Stream {
            name: self.name.clone(),
            watermark: instant.and_then(rfc3339),
            watermark_lag_seconds: instant.map(|us| now_us.saturating_sub(us) as f64 / 1e6),
            ended: self.watermark_us() == Some(i64::MAX),
            records: self.verdicts,
            pending_rows: self.pending,
            queued_batches: self.queued,
            partitions: self.partitions.iter().map(partition).collect(),
            models: self.timeline.entries().iter().map(model).collect(),
        }
    }
}

fn rfc3339(us: i64) -> Option<String> {
    Some(chrono::DateTime::from_timestamp_micros(us)?.to_rfc3339())
}
