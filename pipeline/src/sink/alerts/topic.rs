//! Alerts to a Fluvio topic.
//!
//! How far sending has come says the topic itself: its last record's key is the place of an alert. So there is
//! nothing to keep. It takes a partition that nobody else writes to.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cloudops_operators::epoch::Epoch;
use cloudops_sql::alerts::Alert;
use cloudops_sql::catalog::delivery::Place;
use fluvio_future::task::run_block_on;
use fluvio_protocol::record::Record;

use super::{Outlet, Work};
use crate::job::TopicJob;
use crate::source::fluvio::address::Address;
use crate::source::fluvio::cluster::{Cluster, Failure};
use crate::source::fluvio::leader::Leader;
use crate::source::fluvio::{ask, records, rest};

/// Bytes of alerts that are sent as one batch, about.
const BATCH_BYTES: usize = 256 * 1024;

/// Pause after a failure.
const PAUSE: Duration = Duration::from_millis(500);

/// A topic's partition.
pub(super) struct Topic {
    address: Address,
    cluster: Cluster,
    /// The last alert that is known to be there.
    place: Option<Place>,
    leader: Option<Leader>,
}

impl Topic {
    /// Finds out what has been sent.
    ///
    /// # Errors
    /// When the topic cannot be reached, or holds records that are not this catalog's alerts.
    pub(super) fn open(job: &TopicJob, work: &mut Work) -> Result<Self> {
        let address = job.address.clone();
        let cluster = Cluster::new(&address, &job.fluvio)?;
        let place = ask(async || sent_up_to(&cluster, &address).await)
            .with_context(|| format!("sink {address}"))?;
        let committed = work.reader.catalog().state().committed;
        if let Some(place) = place {
            ensure!(
                committed.is_some_and(|Epoch(last)| place.epoch <= last),
                "sink {address}: alerts up to epoch {} have been sent there, and the catalog has none \
                 so late: they are another catalog's; name a topic that has no records",
                place.epoch
            );
        }
        Ok(Self { address, cluster, place, leader: None })
    }

    /// Sends alerts, for as long as it takes; `false` when told to stop.
    fn send(&mut self, batch: &[Alert], work: &Work) -> Result<bool> {
        let now_ms = work.clock.now_us() / 1000;
        loop {
            let Self { cluster, address, leader, place } = self;
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
                    work.settled.fetch_add(batch.len() as u64, Ordering::Relaxed);
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
                    if !run_block_on(rest(PAUSE, &work.stop)) {
                        return Ok(false);
                    }
                }
            }
        }
    }
}

impl Outlet for Topic {
    fn name(&self) -> String {
        self.address.to_string()
    }

    fn whom(&self) -> &'static str {
        "topic"
    }

    fn next(&self) -> Place {
        self.place.map_or(Place::default(), Place::after)
    }

    fn look_after(&self) -> Option<Duration> {
        None
    }

    fn settle(&mut self, alerts: &[Alert], work: &mut Work) -> Result<bool> {
        let mut rest = alerts;
        while !rest.is_empty() {
            let mut bytes = 0;
            let within = rest.iter().take_while(|alert| {
                bytes += alert.text.len();
                bytes <= BATCH_BYTES
            });
            let (batch, after) = rest.split_at(within.count().max(1));
            if !self.send(batch, work)? {
                return Ok(false);
            }
            rest = after;
        }
        Ok(true)
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
