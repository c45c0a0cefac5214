//! Alerts that go on from the catalog once their epoch is committed: at least once, never before they are
//! true.
//!
//! What is to be sent is read from the catalog, in the order of places ([`cloudops_sql::alerts`]); where it
//! goes is an `Outlet`: a topic, whose last record says how far it is, or a receiver that is
//! [delivered](crate::delivery) messages, of which the catalog's log says that. So nothing is kept here,
//! nothing could disagree, and a crash costs at most a few alerts that come twice, with the same keys.
//!
//! Each sink sends on a thread of its own. One that is away holds nothing back: commits and other sinks go
//! on, its alerts wait in the catalog, and the end of the run waits for them for a while before it says that
//! they are left to the next run.

mod topic;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use cloudops_sql::alerts::{Alert, Reader, Rows};
use cloudops_sql::catalog::Catalog;
use cloudops_sql::catalog::delivery::Place;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use tokio::runtime::Runtime;

use crate::clock::Clock;
use crate::delivery::Delivery;
use crate::job::SinkJob;
use crate::monitor::Monitor;
use topic::Topic;

/// How long the end of a run waits for a sink that makes no progress.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where alerts go.
pub(crate) trait Outlet: Send {
    /// Its name in errors.
    fn name(&self) -> String;

    /// Who has to answer, in an error that says that they did not.
    fn whom(&self) -> &'static str;

    /// The first row that has not been settled, as far as is known.
    fn next(&self) -> Place;

    /// How long to wait for news of commits before one looks anyway; forever where there is nothing else to
    /// be found.
    fn look_after(&self) -> Option<Duration>;

    /// Settles rows, which are in order, for as long as it takes; `false` when told to stop.
    ///
    /// # Errors
    /// When that cannot be, whatever is tried.
    fn settle(&mut self, alerts: &[Alert], work: &mut Work) -> Result<bool>;
}

/// What an outlet works with.
pub(crate) struct Work {
    /// Where rows are read from, up to date when rows are given.
    pub(crate) reader: Reader,
    /// What runs the catalog's calls.
    pub(crate) runtime: Runtime,
    /// The clock of what is written down.
    pub(crate) clock: Arc<dyn Clock>,
    /// Who is told what happens.
    pub(crate) monitor: Monitor,
    /// Rows settled so far: the end of a run waits while it grows.
    pub(crate) settled: Arc<AtomicU64>,
    /// Set to stop where it is.
    pub(crate) stop: Arc<AtomicBool>,
}

impl Work {
    /// What an outlet works with, over a catalog opened to read.
    ///
    /// # Errors
    /// When the operating system gives no runtime.
    pub(crate) fn new(catalog: Catalog, clock: Arc<dyn Clock>, monitor: Monitor) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("starting the sink's runtime")?;
        let (settled, stop) = (Arc::default(), Arc::default());
        Ok(Self { reader: Reader::new(catalog), runtime, clock, monitor, settled, stop })
    }

    /// Goes on to the log's end, and gives the rows from a place on.
    ///
    /// # Errors
    /// As [`Reader::from`].
    pub(crate) fn rows(&mut self, next: Place) -> Result<Rows> {
        Ok(self.runtime.block_on(self.reader.from(next))?)
    }

    /// Whether one is told to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// A sink at work; dropping it stops it where it is.
#[derive(Debug)]
pub struct AlertSink {
    name: String,
    whom: &'static str,
    news: Option<Sender<()>>,
    outcome: Receiver<Result<()>>,
    settled: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl AlertSink {
    /// Finds out what has been sent, and begins to send the rest of what `catalog` holds.
    ///
    /// # Errors
    /// When a topic cannot be reached, or holds records that are not this catalog's alerts; when a
    /// receiver's configuration names what is not there.
    pub fn start(
        job: &SinkJob,
        catalog: Catalog,
        clock: Arc<dyn Clock>,
        monitor: Monitor,
    ) -> Result<Self> {
        let mut work = Work::new(catalog, clock, monitor)?;
        let outlet: Box<dyn Outlet> = match job {
            SinkJob::Topic(job) => Box::new(Topic::open(job, &mut work)?),
            SinkJob::Delivery(job) => Box::new(Delivery::begin(job, &mut work)?),
        };
        let (news, told) = unbounded();
        let (report, outcome) = bounded(1);
        let (name, whom) = (outlet.name(), outlet.whom());
        let (settled, stop) = (Arc::clone(&work.settled), Arc::clone(&work.stop));
        let mut sending = Sending { outlet, work };
        std::thread::Builder::new()
            .name("alerts".to_owned())
            .spawn(move || {
                let outcome = sending.run(&told);
                // Where nobody waits for the outcome, the run has failed and says so itself.
                drop(report.send(outcome));
            })
            .context("starting the sink")?;
        let sink = Self { name, whom, news: Some(news), outcome, settled, stop };
        sink.tell()?;
        Ok(sink)
    }

    /// Says that there is another commit.
    ///
    /// # Errors
    /// When the sink has failed for good.
    pub fn tell(&self) -> Result<()> {
        let told = self.news.as_ref().is_some_and(|news| news.send(()).is_ok());
        if told { Ok(()) } else { self.failed() }
    }

    /// Waits until every alert that is committed has been sent.
    ///
    /// # Errors
    /// When that cannot be, or not now; the next run sends what is left.
    pub fn finish(mut self) -> Result<()> {
        self.news = None;
        loop {
            let before = self.settled.load(Ordering::Relaxed);
            match self.outcome.recv_timeout(PATIENCE) {
                Ok(outcome) => return outcome.with_context(|| format!("sink {}", self.name)),
                Err(RecvTimeoutError::Disconnected) => bail!("bug: sink {} is gone", self.name),
                Err(RecvTimeoutError::Timeout) => ensure!(
                    self.settled.load(Ordering::Relaxed) > before,
                    "sink {}: the results are committed, but some alerts could not be sent: the {} has \
                     not answered for {} s; run again when it is back",
                    self.name,
                    self.whom,
                    PATIENCE.as_secs()
                ),
            }
        }
    }

    fn failed(&self) -> Result<()> {
        match self.outcome.recv_timeout(PATIENCE) {
            Ok(Err(error)) => Err(error.context(format!("sink {}", self.name))),
            _ => bail!("bug: sink {} is gone", self.name),
        }
    }
}

impl Drop for AlertSink {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The thread's side.
struct Sending {
    outlet: Box<dyn Outlet>,
    work: Work,
}

impl Sending {
    fn run(&mut self, told: &Receiver<()>) -> Result<()> {
        let mut more = true;
        while more {
            more = match self.outlet.look_after() {
                None => told.recv().is_ok(),
                Some(after) => {
                    !matches!(told.recv_timeout(after), Err(RecvTimeoutError::Disconnected))
                }
            };
            while told.try_recv().is_ok() {}
            if !self.send_new()? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Sends what the catalog has and the outlet has not; `false` when told to stop.
    fn send_new(&mut self) -> Result<bool> {
        let Rows { alerts, files } = self.work.rows(self.outlet.next())?;
        if !self.outlet.settle(&alerts, &mut self.work)? {
            return Ok(false);
        }
        self.work.reader.settle(files);
        Ok(true)
    }
}
