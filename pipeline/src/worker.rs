//! A worker's life: build the graph, take epochs in, step, report them complete.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use cloudops_operators::anomaly::Label;
use cloudops_operators::batch::Batch;
use cloudops_operators::data_drift::DriftVerdict;
use cloudops_operators::epoch::Epoch;
use cloudops_operators::score::{ModelId, ScorerFactory, Timeline};
use cloudops_operators::snapshot::Extent;
use cloudops_operators::supervise::{Busy, Cause, Whereabouts};
use cloudops_operators::watermark::Watermark;
use crossbeam_channel::{Receiver, Sender, TryRecvError};
use serde::{Deserialize, Serialize};
use timely::worker::Worker;

use crate::checkpoint::{EncodedState, Supply};
use crate::cluster::control::Post;
use crate::cluster::message::Mail;
use crate::dataflow;
use crate::job::Job;
use crate::sink::Encoded;

/// What the coordinator tells a worker, in order.
#[derive(Debug)]
pub enum Command {
    /// Build the graph, in the state that is supplied, and say when it is done; the first command, once.
    Build(Box<Blueprint>, Option<Supply>, Sender<anyhow::Result<()>>),
    /// Take in an epoch; where it is a checkpoint, of so much, take in no other before its state is
    /// written down.
    Epoch(Epoch, Vec<StreamInput>, Option<Extent>),
    /// A model is in force from an event time on; no window ending there has been closed.
    Promote {
        /// The stream's index.
        stream: usize,
        /// Event time, µs.
        effective_from_us: i64,
        /// The version.
        model: ModelId,
    },
    /// Something was said of a cost anomaly; no day that it bears on has been closed.
    Label {
        /// The stream's index.
        stream: usize,
        /// What was said.
        label: Label,
    },
}

/// A worker's share of an epoch's input of one stream.
#[derive(Debug, Default)]
pub struct StreamInput {
    /// Rows on time, of any entity; the graph routes them.
    pub rows: Vec<Batch>,
    /// Rows of the `late` table.
    pub late: Vec<RecordBatch>,
    /// Rows of the `rejects` table.
    pub rejects: Vec<RecordBatch>,
    /// The watermark that the epoch's plan applies; the same on every worker.
    pub watermark: Option<Watermark>,
}

/// What a worker tells the coordinator.
#[derive(Debug)]
pub(crate) enum Report {
    /// The epoch is complete on all workers; this is what this one made.
    Complete(Epoch, usize, Completed),
    /// An operator failed: the epoch cannot complete.
    Failed(String, Cause),
    /// Another process has something to say.
    Mail(Mail),
}

/// One worker's part of a complete epoch.
#[derive(Debug, Default)]
pub struct Completed {
    /// Files to stage.
    pub files: Vec<Encoded>,
    /// The state after the epoch, where it is a checkpoint.
    pub states: Vec<EncodedState>,
    /// Per stream, by index.
    pub streams: Vec<StreamProgress>,
}

/// How far a stream is on one worker after an epoch.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct StreamProgress {
    /// Rows on time that were found to be duplicates, in this epoch.
    pub duplicates: u64,
    /// Rows taken in by a window operator in this epoch.
    pub taken: u64,
    /// Rows whose place in event-time order is final, in this epoch.
    pub finalised: u64,
    /// Rows that still wait for the watermark.
    pub pending: u64,
    /// Windows closed in this epoch.
    pub windows: u64,
    /// CPU time of the stream's operators since the last report.
    pub busy: Busy,
    /// Drift verdicts reached, on the worker that judges: the first of all, so that they never cross
    /// between processes.
    #[serde(skip)]
    pub verdicts: Vec<DriftVerdict>,
}

/// What every worker is built from.
#[derive(Clone)]
pub struct Blueprint {
    /// The job.
    pub job: Arc<Job>,
    /// Per stream, what makes its scorers.
    pub scorers: Vec<ScorerFactory>,
    /// Per stream, the models in force at the start.
    pub timelines: Vec<Timeline>,
    /// Per stream, what has been said of cost anomalies.
    pub labels: Vec<Vec<Label>>,
    /// Per worker, where it says where it is.
    pub whereabouts: Vec<Whereabouts>,
}

impl std::fmt::Debug for Blueprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blueprint").field("job", &self.job).finish_non_exhaustive()
    }
}

/// How long a worker sleeps when there is nothing to do and nobody wakes it.
const NAP: Duration = Duration::from_millis(200);

/// Runs a worker until its commands end and every epoch is complete.
pub(crate) fn run(
    worker: &mut Worker,
    commands: &Receiver<Command>,
    reports: &Sender<Report>,
    mut post: Option<Post>,
) {
    work(worker, commands, reports, post.as_mut());
    // What is still to be said to other processes is said before this one leaves them.
    while post.as_mut().is_some_and(Post::pump) {
        worker.step_or_park(Some(NAP));
    }
}

fn work(
    worker: &mut Worker,
    commands: &Receiver<Command>,
    reports: &Sender<Report>,
    mut post: Option<&mut Post>,
) {
    let mut graph = None;
    let mut open: VecDeque<Epoch> = VecDeque::new();
    let mut more = true;
    // While an epoch's state is awaited, operators must not see another epoch's rows.
    let mut checkpoint = None;
    while more || !open.is_empty() {
        if let Some(post) = &mut post {
            post.pump();
        }
        while checkpoint.is_none() {
            match (commands.try_recv(), &mut graph) {
                (Ok(Command::Build(blueprint, state, built)), _) => {
                    let result = dataflow::build(worker, &blueprint, state.as_ref());
                    // The coordinator stops the job; if it is gone, there is nobody to tell.
                    match result {
                        Ok(done) => {
                            graph = Some(done);
                            drop(built.send(Ok(())));
                        }
                        Err(error) => return drop(built.send(Err(error))),
                    }
                }
                (Ok(Command::Epoch(epoch, inputs, extent)), Some(graph)) => {
                    graph.give(epoch, inputs);
                    open.push_back(epoch);
                    checkpoint = extent.map(|extent| (epoch, extent));
                }
                (Ok(Command::Promote { stream, effective_from_us, model }), Some(graph)) => {
                    graph.promote(stream, effective_from_us, &model);
                }
                (Ok(Command::Label { stream, label }), Some(graph)) => graph.label(stream, &label),
                (Ok(_), None) => {
                    let cause = "a command came before there was a graph".into();
                    drop(reports.send(Report::Failed("build".to_owned(), cause)));
                    return;
                }
                (Err(TryRecvError::Empty), _) => break,
                (Err(TryRecvError::Disconnected), _) => {
                    more = false;
                    break;
                }
            }
        }
        worker.step_or_park(Some(if open.is_empty() && !more { Duration::ZERO } else { NAP }));
        let Some(graph) = &mut graph else { continue };
        if let Some((operator, cause)) = graph.supervisor.take_fault() {
            // The coordinator stops the job; if it is gone already, there is nobody to tell.
            drop(reports.send(Report::Failed(operator, cause)));
            return;
        }
        while let Some(&epoch) = open.front() {
            if graph.probe.less_equal(&epoch.0) {
                break;
            }
            open.pop_front();
            let mut completed = graph.completed(epoch);
            if let Some((_, extent)) = checkpoint.take_if(|(of, _)| *of == epoch) {
                match graph.states(extent) {
                    Ok(states) => completed.states = states,
                    Err(error) => {
                        drop(reports.send(Report::Failed("checkpoint".to_owned(), error.into())));
                        return;
                    }
                }
            }
            if reports.send(Report::Complete(epoch, worker.index(), completed)).is_err() {
                return;
            }
        }
    }
}
