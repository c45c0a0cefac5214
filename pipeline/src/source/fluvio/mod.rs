//! A Fluvio topic as a source: every partition of it a partition of the stream.
//!
//! Offsets are the topic's own. They are kept in our commits and nowhere else, so that a result and
//! the place it was read up to become true together; a broker's own record of consumers plays no part.
//! [`address`] says which topic, [`cluster`] finds who leads a partition, [`leader`] talks to it, and
//! `fetch` brings every record once and in order. Here they are decoded and handed on.
//!
//! The client's I/O runs on threads of its own; no worker ever waits for it.

pub mod address;
pub mod cluster;
mod fetch;
pub mod leader;
mod tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use cloudops_datasets::{Format, Messages};
use cpu_time::ThreadTime;
use crossbeam_channel::{Receiver, Sender};
use fluvio_future::task::run_block_on;
use fluvio_future::timer::sleep;
use fluvio_protocol::record::Record;

use super::partition::{Chunk, Event, spawn_reader};
use crate::job::StreamJob;
use address::Address;
use cluster::{Cluster, Failure};
use fetch::Fetch;
pub(crate) use fetch::rest;
use leader::Offsets;

/// Bytes asked of a broker at a time, at first.
pub const FETCH_BYTES: i32 = 4 << 20;

/// How often a cluster is asked at the start before it counts as gone.
const TRIES: u32 = 20;

/// What to read of a partition, and how.
#[derive(Debug, Clone)]
pub struct TopicSpec {
    /// The cluster.
    pub cluster: Cluster,
    /// The partition.
    pub address: Address,
    /// What its messages hold.
    pub format: Format,
    /// The columns of CSV messages that have no header.
    pub columns: Option<Vec<String>>,
    /// The first record to read.
    pub from: u64,
    /// Where the partition ends; `None` where it is followed.
    pub end: Option<u64>,
    /// Bytes asked of the broker at a time, at first.
    pub fetch_bytes: i32,
    /// Bytes read so far, of all partitions.
    pub bytes_read: Arc<AtomicU64>,
    /// CPU time of the stream's readers so far, ns.
    pub cpu_nanos: Arc<AtomicU64>,
}

/// Asks a cluster until it answers, but not for long: at the start somebody waits for the error.
///
/// # Errors
/// What the cluster said last.
pub fn ask<T>(mut question: impl AsyncFnMut() -> Result<T, Failure>) -> Result<T> {
    run_block_on(async {
        let mut tries = 1;
        loop {
            match question().await {
                Err(Failure::Again(_)) if tries < TRIES => {
                    tries += 1;
                    sleep(Duration::from_millis(100)).await;
                }
                answer => return answer.map_err(Failure::into_error),
            }
        }
    })
}

/// The partitions that an address means, and where each begins and ends now.
///
/// # Errors
/// When there are none, or the cluster cannot be asked.
pub fn find(cluster: &Cluster, address: &Address) -> Result<Vec<(Address, Offsets)>> {
    let numbers = match address.partition {
        Some(partition) => vec![partition],
        None => {
            let asked = ask(async || cluster.partitions(&address.topic).await);
            asked.with_context(|| address.to_string())?
        }
    };
    numbers
        .into_iter()
        .map(|number| {
            let address = address.with_partition(number);
            let offsets =
                ask(async || cluster.leader(&address.topic, number).await?.offsets().await);
            let offsets = offsets.with_context(|| address.to_string())?;
            Ok((address, offsets))
        })
        .collect()
}

/// Records of a partition as they are, from one offset to another.
///
/// # Errors
/// When they are not there, or the cluster cannot be asked.
pub async fn records(
    cluster: &Cluster,
    address: &Address,
    from: u64,
    end: u64,
) -> Result<Vec<Record>, Failure> {
    let mut fetch = Fetch::new(cluster.clone(), address.clone(), from, Some(end), FETCH_BYTES);
    let mut all = Vec::new();
    let mut take = |records: Vec<(u64, Record)>| {
        all.extend(records.into_iter().map(|(_, record)| record));
        Ok(true)
    };
    fetch.once(&mut take).await?;
    Ok(all)
}

/// Starts the reader of a partition; it stops when `stop` is set or the receiver is dropped.
///
/// # Errors
/// When messages of the format cannot be read, or the operating system has no thread to give.
pub fn spawn(name: String, spec: TopicSpec, stop: Arc<AtomicBool>) -> Result<Receiver<Event>> {
    let place: Arc<str> = Arc::from(spec.address.to_string());
    let messages = Messages::new(&place, &spec.format, spec.columns.as_deref())?;
    spawn_reader(name, move |sender| {
        let TopicSpec { cluster, address, from, end, fetch_bytes, .. } = spec;
        let mut fetch = Fetch::new(cluster, address, from, end, fetch_bytes);
        let mut decode = Decode {
            place,
            messages,
            sender,
            bytes_read: spec.bytes_read,
            cpu_nanos: spec.cpu_nanos,
        };
        run_block_on(fetch.run(&mut |records| decode.take(records), &stop))
    })
}

/// Readers of what a topic's partitions hold now, one after the other to be read to its end.
///
/// # Errors
/// When the topic cannot be found, or messages of the format cannot be read.
pub fn held(stream: &StreamJob, address: &Address) -> Result<Vec<(Address, Receiver<Event>)>> {
    let cluster = Cluster::new(address, &stream.fluvio)?;
    let mut readers = Vec::new();
    for (address, offsets) in find(&cluster, address)? {
        let spec = TopicSpec {
            cluster: cluster.clone(),
            address: address.clone(),
            format: stream.format.clone(),
            columns: stream.columns.clone(),
            from: offsets.start,
            end: Some(offsets.end),
            fetch_bytes: FETCH_BYTES,
            bytes_read: Arc::default(),
            cpu_nanos: Arc::default(),
        };
        readers.push((address.clone(), spawn(address.to_string(), spec, Arc::default())?));
    }
    Ok(readers)
}

/// From records to chunks.
struct Decode<'a> {
    place: Arc<str>,
    messages: Messages,
    sender: &'a Sender<Event>,
    bytes_read: Arc<AtomicU64>,
    cpu_nanos: Arc<AtomicU64>,
}

impl Decode<'_> {
    /// Takes a response's records in; `false` when nobody listens any more.
    ///
    /// It waits while the plan is far behind, and only then is the response acknowledged: that is the
    /// back-pressure towards the broker.
    fn take(&mut self, records: Vec<(u64, Record)>) -> Result<bool> {
        let mut begin = ThreadTime::now();
        let mut bytes = 0;
        for (offset, record) in records {
            bytes += record.value.len() as u64;
            self.messages.push(offset, record.key.as_deref().map(|key| &key[..]), &record.value)?;
            if self.messages.is_full() {
                if !self.send(begin)? {
                    return Ok(false);
                }
                begin = ThreadTime::now();
            }
        }
        self.bytes_read.fetch_add(bytes, Ordering::Relaxed);
        self.send(begin)
    }

    fn send(&mut self, begin: ThreadTime) -> Result<bool> {
        let batch = self.messages.finish()?;
        self.cpu_nanos.fetch_add(begin.elapsed().as_nanos() as u64, Ordering::Relaxed);
        let Some(batch) = batch else { return Ok(true) };
        let chunk = Chunk::new(&self.place, None, batch);
        Ok(self.sender.send(Event::Chunk(chunk)).is_ok())
    }
}
