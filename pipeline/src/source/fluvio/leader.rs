//! The broker that leads a partition: its offsets, its stream of records, and writing to it.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use fluvio_protocol::link::ErrorCode;
use fluvio_protocol::record::{
    Batch, ProducerBatchHeader, RawRecords, Record, RecordSet, ReplicaKey,
};
use fluvio_socket::{AsyncResponse, VersionedSerialSocket};
use fluvio_spu_schema::Isolation;
use fluvio_spu_schema::fetch::{FetchPartition, FetchRequest, FetchableTopic};
use fluvio_spu_schema::produce::{DefaultProduceRequest, PartitionProduceData, TopicProduceData};
use fluvio_spu_schema::server::fetch_offset::FetchOffsetsRequest;
use fluvio_spu_schema::server::stream_fetch::DefaultStreamFetchRequest;
use fluvio_spu_schema::server::update_offset::{OffsetUpdate, UpdateOffsetsRequest};

use super::address::Address;
use super::cluster::{Failure, over};

/// How long a broker may take to have a record on all its replicas.
const COMMIT: Duration = Duration::from_secs(10);

/// Bytes that are enough to see that there is a batch.
const GLANCE: i32 = 1 << 10;

/// Where a partition's log begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offsets {
    /// The first offset that is still there.
    pub start: u64,
    /// One past the last that every replica has: what is read can never be taken back.
    pub end: u64,
}

impl Offsets {
    /// Whether a record is in the log, or will be the next to come.
    ///
    /// # Errors
    /// What has become of it, and what to do.
    pub fn hold(self, address: &Address, next: u64) -> Result<()> {
        let Self { start, end } = self;
        ensure!(
            next >= start,
            "{address}: record {next} is next, and the topic now begins at {start}: records {next} to \
             {} were evicted before they were read; start a new catalog, which begins at {start}, and \
             give the topic a longer retention",
            start - 1
        );
        ensure!(
            next <= end,
            "{address}: record {next} is next, and the topic ends at {end}: it is another topic of that \
             name, or has lost records; start a new catalog"
        );
        Ok(())
    }
}

/// A connection to the broker that leads a partition.
pub struct Leader {
    socket: VersionedSerialSocket,
    topic: String,
    partition: u32,
    replicas: usize,
}

impl Leader {
    pub(super) fn new(
        socket: VersionedSerialSocket,
        topic: &str,
        partition: u32,
        replicas: usize,
    ) -> Self {
        Self { socket, topic: topic.to_owned(), partition, replicas }
    }

    /// Where the log begins and ends now.
    ///
    /// # Errors
    /// When the connection is gone or the partition is led by another broker now.
    pub async fn offsets(&self) -> Result<Offsets, Failure> {
        let request = FetchOffsetsRequest::new(self.topic.clone(), self.partition);
        let response =
            over(&self.socket, "asking for offsets", self.socket.send_receive(request)).await?;
        let key = ReplicaKey::new(self.topic.clone(), self.partition);
        let Some(found) = response.find_partition(&key) else {
            return Err(Failure::Again(anyhow!("the broker says nothing of {key}")));
        };
        self.accept(&found.error_code)?;
        let whole = |offset: i64| u64::try_from(offset).context("a negative offset");
        let start = whole(found.start_offset).map_err(Failure::Again)?;
        let end = whole(found.last_stable_offset).map_err(Failure::Again)?;
        Ok(Offsets { start, end })
    }

    /// Checks that all replicas have all of the log. What they lack is not among what [`Leader::offsets`]
    /// counts, and may yet come to be.
    ///
    /// # Errors
    /// When they do not have it now, and when the broker cannot say.
    pub async fn settled(&self) -> Result<(), Failure> {
        if self.replicas < 2 {
            // There is nothing to wait for: after a crash a broker may count less than its log holds, and
            // that stays so until more is written.
            return Ok(());
        }
        let end = self.offsets().await?.end;
        let partition = FetchPartition {
            partition_index: self.partition,
            fetch_offset: end as i64,
            max_bytes: GLANCE,
            ..FetchPartition::default()
        };
        let topic = FetchableTopic { name: self.topic.clone(), fetch_partitions: vec![partition] };
        let request = FetchRequest::<RecordSet<RawRecords>> {
            max_bytes: GLANCE,
            isolation_level: Isolation::ReadUncommitted,
            topics: vec![topic],
            ..FetchRequest::default()
        };
        let answer = over(&self.socket, "reading", self.socket.send_receive(request)).await?;
        let Some(found) = answer.find_partition(&self.topic, self.partition) else {
            return Err(Failure::Again(anyhow!("the broker says nothing of what was asked for")));
        };
        self.accept(&found.error_code)?;
        if found.records.batches.is_empty() {
            return Ok(());
        }
        let Self { topic, partition, .. } = self;
        Err(Failure::Again(anyhow!("{topic}/{partition}: replicas lack records from {end} on")))
    }

    /// The stream of responses from an offset on, each of at most so many bytes.
    pub(super) async fn stream(
        &self,
        from: i64,
        bytes_max: i32,
    ) -> Result<AsyncResponse<DefaultStreamFetchRequest>, Failure> {
        let mut request = DefaultStreamFetchRequest::default();
        request.topic.clone_from(&self.topic);
        request.partition = self.partition;
        request.fetch_offset = from;
        request.max_bytes = bytes_max;
        request.isolation = Isolation::ReadCommitted;
        let version = self.socket.lookup_version::<DefaultStreamFetchRequest>();
        let request = self.socket.new_request(request, version);
        // The broker sends one response and waits for its acknowledgement; the rest is for its last word.
        over(&self.socket, "opening the stream", self.socket.create_stream(request, 4)).await
    }

    /// Tells the broker that everything before an offset has been taken: it sends what follows.
    pub(super) async fn acknowledge(&self, stream: u32, offset: i64) -> Result<(), Failure> {
        let request = UpdateOffsetsRequest::new(vec![OffsetUpdate { offset, session_id: stream }]);
        let response =
            over(&self.socket, "acknowledging", self.socket.send_receive(request)).await?;
        response.status.iter().try_for_each(|status| self.accept(&status.error))
    }

    /// Appends records as one batch; gives the offset of the first once all replicas have them.
    ///
    /// # Errors
    /// When the broker refuses or does not answer. In the latter case the records may be there.
    pub async fn produce(&self, records: Vec<Record>, now_ms: i64) -> Result<u64, Failure> {
        let mut batch = Batch::from(records);
        batch.header.set_first_timestamp(now_ms);
        batch.header.set_max_time_stamp(now_ms);
        let batch = Batch::<RawRecords>::try_from(batch);
        let batch = batch.context("encoding a batch").map_err(Failure::Final)?;
        let data = PartitionProduceData {
            partition_index: self.partition,
            records: RecordSet { batches: vec![batch] },
        };
        let topic = TopicProduceData {
            name: self.topic.clone(),
            partitions: vec![data],
            ..TopicProduceData::default()
        };
        let request = DefaultProduceRequest {
            isolation: Isolation::ReadCommitted,
            timeout: COMMIT,
            topics: vec![topic],
            ..DefaultProduceRequest::default()
        };
        let response = over(&self.socket, "producing", self.socket.send_receive(request)).await?;
        let Some(part) = response.find_partition_response(&self.topic, self.partition) else {
            return Err(Failure::Again(anyhow!("the broker says nothing of what was produced")));
        };
        self.accept(&part.error_code)?;
        u64::try_from(part.base_offset).context("a negative offset").map_err(Failure::Again)
    }

    /// What a broker's answer means for who asked.
    pub(super) fn accept(&self, code: &ErrorCode) -> Result<(), Failure> {
        let what = || anyhow!("{}/{}: the broker says: {code}", self.topic, self.partition);
        match code {
            ErrorCode::None => Ok(()),
            ErrorCode::OffsetOutOfRange
            | ErrorCode::OffsetEvicted { .. }
            | ErrorCode::TopicDeleted
            | ErrorCode::PermissionDenied
            | ErrorCode::MessageTooLarge
            | ErrorCode::CompressionError => Err(Failure::Final(what())),
            _ => Err(Failure::Again(what())),
        }
    }
}

impl fmt::Debug for Leader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Leader({}/{}, {})", self.topic, self.partition, self.socket)
    }
}
