//! Alerts to a Fluvio topic, once their epoch is committed: at least once, never before they are true.
//!
//! What is to be sent is read from the catalog, and how far sending has come from the topic itself: its
//! last record's key is `<epoch>-<sequence>`, the sequence counting an epoch's alerts in the order of
//! their text. So there is nothing to keep, nothing that could disagree, and a crash costs at most a
//! few alerts that come twice, with the same keys. It takes a partition that nobody else writes to.
//!
//! Sending runs on a thread of its own. A broker that is away holds nothing back: commits go on, the
//! alerts wait in the catalog, and the end of the run waits for them for a while before it says that
//! they are left to the next run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::json::LineDelimitedWriter;
use cloudops_operators::epoch::Epoch;
use cloudops_operators::schema::{column, mismatch};
use cloudops_sql::catalog::Catalog;
use cloudops_sql::catalog::store::epochs_of;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use fluvio_future::task::run_block_on;
use fluvio_protocol::record::Record;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tokio::runtime::Runtime;

use crate::clock::Clock;
use crate::job::SinkJob;
use crate::source::fluvio::address::Address;
use crate::source::fluvio::cluster::{Cluster, Failure};
use crate::source::fluvio::leader::Leader;
use crate::source::fluvio::{ask, records, rest};

/// The table that is sent.
const TABLE: &str = "alerts";

/// How long the end of a run waits for a sink that makes no progress.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes of alerts that are sent as one batch, about.
const BATCH_BYTES: usize = 256 * 1024;

/// Pause after a failure.
const PAUSE: Duration = Duration::from_millis(500);

/// How often a file is looked for under another name before it counts as gone.
const LOOKS: u32 = 5;

/// The place of an alert: its epoch, and its number there. As text it is the record's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    epoch: u64,
    sequence: u64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.epoch, self.sequence)
    }
}

impl Place {
    fn parse(key: &[u8]) -> Option<Self> {
        let (epoch, sequence) = str::from_utf8(key).ok()?.split_once('-')?;
        Some(Self { epoch: epoch.parse().ok()?, sequence: sequence.parse().ok()? })
    }
}

/// A sink at work; dropping it stops it where it is.
#[derive(Debug)]
pub struct AlertSink {
    address: Address,
    news: Option<Sender<()>>,
    outcome: Receiver<Result<()>>,
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl AlertSink {
    /// Finds out what has been sent, and begins to send the rest of what `catalog` holds.
    ///
    /// # Errors
    /// When the topic cannot be reached, or holds records that are not this catalog's alerts.
    pub fn start(job: &SinkJob, catalog: Catalog, clock: Arc<dyn Clock>) -> Result<Self> {
        let address = job.address.clone();
        let cluster = Cluster::new(&address, &job.fluvio)?;
        let place = ask(async || sent_up_to(&cluster, &address).await)
            .with_context(|| format!("sink {address}"))?;
        let committed = catalog.state().committed;
        if let Some(place) = place {
            ensure!(
                committed.is_some_and(|Epoch(last)| place.epoch <= last),
                "sink {address}: alerts up to epoch {} have been sent there, and the catalog has none \
                 so late: they are another catalog's; name a topic that has no records",
                place.epoch
            );
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("starting the sink's runtime")?;
        let (news, told) = unbounded();
        let (report, outcome) = bounded(1);
        let (sent, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let mut sending = Sending {
            address: address.clone(),
            cluster,
            catalog,
            runtime,
            clock,
            place,
            leader: None,
            read: BTreeSet::new(),
            sent: Arc::clone(&sent),
            stop: Arc::clone(&stop),
        };
        std::thread::Builder::new()
            .name("alerts".to_owned())
            .spawn(move || {
                let outcome = sending.run(&told);
                // Where nobody waits for the outcome, the run has failed and says so itself.
                drop(report.send(outcome));
            })
            .context("starting the sink")?;
        let sink = Self { address, news: Some(news), outcome, sent, stop };
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
            let before = self.sent.load(Ordering::Relaxed);
            match self.outcome.recv_timeout(PATIENCE) {
                Ok(outcome) => return outcome.with_context(|| format!("sink {}", self.address)),
                Err(RecvTimeoutError::Disconnected) => bail!("bug: sink {} is gone", self.address),
                Err(RecvTimeoutError::Timeout) => ensure!(
                    self.sent.load(Ordering::Relaxed) > before,
                    "sink {}: the results are committed, but some alerts could not be sent: the topic \
                     has not answered for {} s; run again when it is back",
                    self.address,
                    PATIENCE.as_secs()
                ),
            }
        }
    }

    fn failed(&self) -> Result<()> {
        match self.outcome.recv_timeout(PATIENCE) {
            Ok(Err(error)) => Err(error.context(format!("sink {}", self.address))),
            _ => bail!("bug: sink {} is gone", self.address),
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
    address: Address,
    cluster: Cluster,
    catalog: Catalog,
    runtime: Runtime,
    clock: Arc<dyn Clock>,
    /// The last alert that is known to be there.
    place: Option<Place>,
    leader: Option<Leader>,
    /// Live files whose alerts have all been sent.
    read: BTreeSet<String>,
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

/// One alert.
struct Alert {
    place: Place,
    text: String,
}

impl Sending {
    fn run(&mut self, told: &Receiver<()>) -> Result<()> {
        let mut more = true;
        while more {
            more = told.recv().is_ok();
            while told.try_recv().is_ok() {}
            if !self.send_new()? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Sends what the catalog has and the topic has not; `false` when told to stop.
    fn send_new(&mut self) -> Result<bool> {
        let (alerts, files) = self.new_alerts()?;
        let mut rest: &[Alert] = &alerts;
        while !rest.is_empty() {
            let mut bytes = 0;
            let within = rest.iter().take_while(|alert| {
                bytes += alert.text.len();
                bytes <= BATCH_BYTES
            });
            let (batch, after) = rest.split_at(within.count().max(1));
            if !self.send(batch)? {
                return Ok(false);
            }
            rest = after;
        }
        self.read = files;
        Ok(true)
    }

    /// Sends alerts, for as long as it takes; `false` when told to stop.
    fn send(&mut self, batch: &[Alert]) -> Result<bool> {
        let now_ms = self.clock.now_us() / 1000;
        loop {
            let Self { cluster, address, leader, place, .. } = self;
            let attempt = run_block_on(async {
                if leader.is_none() {
                    let found = cluster.leader(&address.topic, partition(address)).await?;
                    // What an attempt without an answer has left there need not be sent again, nor
                    // what replicas still lack: each attempt would leave it there once more.
                    found.settled().await?;
                    *place = sent_up_to(cluster, address).await?.max(*place);
                    *leader = Some(found);
                }
                let Some(leader) = leader else { return Ok(()) };
                let new = batch.iter().filter(|alert| Some(alert.place) > *place);
                let records: Vec<Record> = new
                    .map(|Alert { place, text }| {
                        Record::new_key_value(place.to_string(), text.clone())
                    })
                    .collect();
                if !records.is_empty() {
                    leader.produce(records, now_ms).await?;
                }
                Ok(())
            });
            match attempt {
                Ok(()) => {
                    self.place = batch.last().map(|alert| alert.place).max(self.place);
                    self.sent.fetch_add(batch.len() as u64, Ordering::Relaxed);
                    return Ok(true);
                }
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Again(error)) => {
                    self.leader = None;
                    tracing::warn!(
                        topic = %self.address,
                        error = format!("{error:#}"),
                        "alerts could not be sent; trying again"
                    );
                    if !run_block_on(rest(PAUSE, &self.stop)) {
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// The alerts that have not been sent, in order, and the files that need not be read again once
    /// they are.
    fn new_alerts(&mut self) -> Result<(Vec<Alert>, BTreeSet<String>)> {
        for _ in 0..LOOKS {
            self.runtime.block_on(self.catalog.refresh())?;
            if let Some(found) = self.read_files()? {
                return Ok(found);
            }
        }
        bail!("files of the table alerts are named and not there: the catalog is damaged")
    }

    /// The same; `None` where a file has just been replaced by another.
    fn read_files(&self) -> Result<Option<(Vec<Alert>, BTreeSet<String>)>> {
        let first = self.place.map_or(0, |place| place.epoch);
        let state = Arc::clone(self.catalog.state());
        let mut epochs: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        let mut files = BTreeSet::new();
        for file in state.files(TABLE) {
            if epochs_of(&file.path).is_some_and(|(_, last)| last.0 < first) {
                continue;
            }
            files.insert(file.path.clone());
            if self.read.contains(&file.path) {
                continue;
            }
            let bytes = self.runtime.block_on(self.catalog.store().get(&file.path))?;
            let Some(bytes) = bytes else { return Ok(None) };
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
                .and_then(ParquetRecordBatchReaderBuilder::build)
                .with_context(|| file.path.clone())?;
            for batch in reader {
                texts_by_epoch(&batch.with_context(|| file.path.clone())?, &mut epochs)?;
            }
        }
        let mut alerts = Vec::new();
        for (epoch, mut texts) in epochs {
            // Which worker wrote a row, and into which file, must not show in its number.
            texts.sort_unstable();
            for (sequence, text) in (0..).zip(texts) {
                let place = Place { epoch, sequence };
                if Some(place) > self.place {
                    alerts.push(Alert { place, text });
                }
            }
        }
        Ok(Some((alerts, files)))
    }
}

/// The last alert in the topic.
async fn sent_up_to(cluster: &Cluster, address: &Address) -> Result<Option<Place>, Failure> {
    let leader = cluster.leader(&address.topic, partition(address)).await?;
    let offsets = leader.offsets().await?;
    if offsets.start == offsets.end {
        return Ok(None);
    }
    let last = records(cluster, address, offsets.end - 1, offsets.end).await?;
    let last = last.first().and_then(|record| record.key.as_deref());
    let key = last.map(|key| &key[..]).unwrap_or_default();
    let place = Place::parse(key).with_context(|| {
        format!(
            "the last record's key is {:?}, and not an alert's: nobody else may write there; name a \
             topic of its own",
            String::from_utf8_lossy(key)
        )
    });
    place.map(Some).map_err(Failure::Final)
}

fn partition(address: &Address) -> u32 {
    address.partition.unwrap_or_default()
}

/// Adds each row as a JSON object to its epoch.
fn texts_by_epoch(batch: &RecordBatch, epochs: &mut BTreeMap<u64, Vec<String>>) -> Result<()> {
    let array = column(batch, "epoch")?;
    let numbers = array.as_primitive_opt::<Int64Type>();
    let numbers = numbers.ok_or_else(|| mismatch("epoch", "Int64", array))?;
    let mut writer = LineDelimitedWriter::new(Vec::new());
    writer.write(batch)?;
    writer.finish()?;
    let text = String::from_utf8(writer.into_inner())?;
    for (epoch, line) in numbers.values().iter().zip(text.lines()) {
        epochs.entry(u64::try_from(*epoch)?).or_default().push(line.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_places() {
        let place = Place { epoch: 12, sequence: 3 };
        assert_eq!(Place::parse(place.to_string().as_bytes()), Some(place));
        for other in ["", "12", "12-", "a-3", "12-3-4", "-1-2"] {
            assert_eq!(Place::parse(other.as_bytes()), None, "{other}");
        }
        assert!(place < Place { epoch: 100, sequence: 0 }, "by number, not by text");
    }
}
