//! Every record of a partition once and in order, whatever happens to brokers and connections.
//!
//! The client's own consumer stream does not give that: it takes a batch that was cut at `max_bytes`
//! for a whole one and goes on behind it. Here a batch is taken only when all its bytes have come;
//! the next offset moves only over records that were handed on, and everything else, another leader,
//! a lost connection, a stream that has gone quiet, begins again at that offset. A broker sends no
//! more before the last response is acknowledged, which is done once there is room for more.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, anyhow};
use fluvio_future::future::or;
use fluvio_future::timer::sleep;
use fluvio_protocol::record::{BATCH_HEADER_SIZE, Batch, RawRecords, Record};
use futures_util::StreamExt;

use super::address::Address;
use super::cluster::{Cluster, Failure};
use super::leader::{Leader, Offsets};

/// Shortest and longest pause before trying again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// How often the stop flag is looked at while nothing comes.
const TICK: Duration = Duration::from_millis(50);

/// Ticks without a response after which the broker is asked whether it is still there.
const QUIET: u32 = 100;

/// Bytes asked for beyond which a batch cannot be: brokers take none near that size.
const BYTES_MAX: i32 = 1 << 30;

/// How often a leader may say that the log ends before records that were already read: after a change
/// of leaders it catches up.
const BEHIND_MAX: u32 = 50;

/// Takes in records with their offsets; `false` when it wants no more.
pub(super) type Deliver<'a> = &'a mut dyn FnMut(Vec<(u64, Record)>) -> Result<bool>;

/// A partition's place.
#[derive(Debug)]
pub(super) struct Fetch {
    cluster: Cluster,
    address: Address,
    partition: u32,
    /// The next offset to hand on.
    next: u64,
    /// Where to end; `None` never ends.
    end: Option<u64>,
    bytes_max: i32,
    /// Whether the partition has been found as expected once.
    begun: bool,
    behind: u32,
}

/// How a stream came to its end.
enum Step {
    /// Everything asked for has been handed on.
    Ended,
    /// Nobody wants more.
    Stopped,
    /// The next batch is larger than what was asked for.
    Larger,
}

impl Fetch {
    /// Reads `address`'s partition from `next` to `end`, at first `bytes_max` bytes at a time.
    pub(super) fn new(
        cluster: Cluster,
        address: Address,
        next: u64,
        end: Option<u64>,
        bytes_max: i32,
    ) -> Self {
        let partition = address.partition.unwrap_or_default();
        let (begun, behind) = (false, 0);
        Self { cluster, address, partition, next, end, bytes_max, begun, behind }
    }

    /// Hands records on until the end (`true`), or until told to stop (`false`).
    ///
    /// # Errors
    /// When records are gone or are not what the log says, and when they cannot be taken in.
    pub(super) async fn run(&mut self, deliver: Deliver<'_>, stop: &AtomicBool) -> Result<bool> {
        let mut pause = PAUSE.0;
        loop {
            if self.end.is_some_and(|end| self.next >= end) {
                return Ok(true);
            }
            let before = self.next;
            match self.stream(&mut *deliver, stop).await {
                Ok(Step::Ended) => return Ok(true),
                Ok(Step::Stopped) => return Ok(false),
                Ok(Step::Larger) => {}
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Again(error)) => {
                    if self.next > before {
                        pause = PAUSE.0;
                    }
                    tracing::warn!(
                        partition = %self.address,
                        next = self.next,
                        error = format!("{error:#}"),
                        "lost the partition's leader; trying again"
                    );
                    if !rest(pause, stop).await {
                        return Ok(false);
                    }
                    pause = (2 * pause).min(PAUSE.1);
                }
            }
        }
    }

    /// Hands on what one connection brings, up to the end.
    pub(super) async fn once(&mut self, deliver: Deliver<'_>) -> Result<(), Failure> {
        let never = AtomicBool::new(false);
        if self.end.is_some_and(|end| self.next >= end) {
            return Ok(());
        }
        while let Step::Larger = self.stream(&mut *deliver, &never).await? {}
        Ok(())
    }

    /// Follows one stream to its end.
    async fn stream(&mut self, deliver: Deliver<'_>, stop: &AtomicBool) -> Result<Step, Failure> {
        let leader = self.cluster.leader(&self.address.topic, self.partition).await?;
        self.check(leader.offsets().await?)?;
        let mut stream = leader.stream(self.next as i64, self.bytes_max).await?;
        let mut quiet = 0;
        loop {
            let tick = async {
                sleep(TICK).await;
                None
            };
            let Some(response) = or(async { Some(stream.next().await) }, tick).await else {
                if stop.load(Ordering::Relaxed) {
                    return Ok(Step::Stopped);
                }
                quiet += 1;
                if quiet % QUIET == 0 {
                    self.still_there(&leader).await?;
                }
                continue;
            };
            quiet = 0;
            let response = match response {
                Some(Ok(response)) => response,
                Some(Err(error)) => return Err(Failure::Again(error.into())),
                None => return Err(Failure::Again(anyhow!("the broker closed the stream"))),
            };
            leader.accept(&response.partition.error_code).map_err(|failure| self.named(failure))?;
            let records = self.whole(response.partition.records.batches).map_err(Failure::Final)?;
            let Some((last, _)) = records.last() else {
                // Something was sent, and no whole batch was in it.
                self.larger()?;
                return Ok(Step::Larger);
            };
            let next = last + 1;
            if !deliver(records).map_err(Failure::Final)? {
                return Ok(Step::Stopped);
            }
            self.next = next;
            self.behind = 0;
            if self.end.is_some_and(|end| next >= end) {
                return Ok(Step::Ended);
            }
            leader.acknowledge(response.stream_id, next as i64).await?;
        }
    }

    /// The records of the batches that have come whole, from the next one on and before the end.
    fn whole(&self, batches: Vec<Batch<RawRecords>>) -> Result<Vec<(u64, Record)>> {
        let mut records = Vec::new();
        let mut next = self.next;
        let end = self.end.unwrap_or(u64::MAX);
        for batch in batches {
            if next >= end {
                // What others have appended since.
                break;
            }
            let schema = if batch.header.has_schema() { size_of::<u32>() } else { 0 };
            let held = BATCH_HEADER_SIZE + schema + batch.records().0.len();
            if held < batch.batch_len as usize {
                break;
            }
            let (base, count) = (batch.base_offset as u64, batch.records_len());
            anyhow::ensure!(
                base <= next,
                "{}: record {next} is next, and the broker goes on at {base}: records are missing",
                self.address
            );
            // The protocol's own decoder passes over records that it cannot read.
            let found = batch.memory_records()?;
            anyhow::ensure!(
                found.len() == count,
                "{}: the batch at record {base} says that it holds {count} records, and {} can be read: \
                 it is damaged",
                self.address,
                found.len()
            );
            for (offset, record) in (base..).zip(found) {
                if offset == next && offset < end {
                    records.push((offset, record));
                    next += 1;
                }
            }
        }
        Ok(records)
    }

    /// Asks for more bytes at a time from now on.
    fn larger(&mut self) -> Result<(), Failure> {
        if self.bytes_max >= BYTES_MAX {
            return Err(Failure::Final(anyhow!(
                "{}: the batch at record {} is larger than {} bytes",
                self.address,
                self.next,
                self.bytes_max
            )));
        }
        self.bytes_max = self.bytes_max.saturating_mul(2).min(BYTES_MAX);
        tracing::debug!(partition = %self.address, bytes = self.bytes_max, "a larger batch comes");
        Ok(())
    }

    /// Checks that the next record is in the log, or will be the next to come.
    fn check(&mut self, offsets: Offsets) -> Result<(), Failure> {
        let Err(error) = offsets.hold(&self.address, self.next) else {
            self.begun = true;
            return Ok(());
        };
        let ahead = self.next > offsets.end;
        self.behind += u32::from(ahead);
        let may_catch_up = ahead && self.begun && self.behind < BEHIND_MAX;
        Err(if may_catch_up { Failure::Again(error) } else { Failure::Final(error) })
    }

    /// A quiet stream is one without news, or a dead one.
    async fn still_there(&mut self, leader: &Leader) -> Result<(), Failure> {
        let offsets = leader.offsets().await?;
        self.check(offsets)?;
        if offsets.end > self.next {
            return Err(Failure::Again(anyhow!("the stream has stopped at record {}", self.next)));
        }
        Ok(())
    }

    /// A broker's refusal with what it means for the job.
    fn named(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Final(error) => Failure::Final(error.context(format!(
                "{}: record {} cannot be had any more; start a new catalog, and give the topic a longer \
                 retention",
                self.address, self.next
            ))),
            again @ Failure::Again(_) => again,
        }
    }
}

/// Waits, but not once told to stop: then it is `false`.
pub(crate) async fn rest(pause: Duration, stop: &AtomicBool) -> bool {
    let mut waited = Duration::ZERO;
    while waited < pause {
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        let nap = TICK.min(pause - waited);
        sleep(nap).await;
        waited += nap;
    }
    !stop.load(Ordering::Relaxed)
}
