//! A cluster to test against, and what a producer does to it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use cloudops_pipeline::config::FluvioConfig;
use cloudops_pipeline::source::fluvio::address::Address;
use cloudops_pipeline::source::fluvio::cluster::{Cluster, Failure};
use cloudops_pipeline::source::fluvio::{ask, find, records};
use fluvio::Compression;
use fluvio_future::future::or;
use fluvio_future::task::run_block_on;
use fluvio_future::timer::sleep;
use fluvio_protocol::record::{Batch, RawRecords, Record};
use fluvio_sc_schema::objects::{CommonCreateRequest, CreateRequest, ObjectApiCreateRequest};
use fluvio_sc_schema::topic::TopicSpec;
use fluvio_sc_schema::{Status, TryEncodableFrom};
use fluvio_socket::{ClientConfig, MultiplexerSocket, VersionedSerialSocket};

use crate::broker::Broker;
use crate::restarts::Restarts;

/// Tests share the real cluster, but for one that restarts its brokers.
static REAL: RwLock<()> = RwLock::new(());

/// What a test holds of the real cluster.
enum Share {
    Part { _held: RwLockReadGuard<'static, ()> },
    Whole { _held: RwLockWriteGuard<'static, ()> },
}

/// A cluster, of this process or a real one.
pub(crate) struct TestCluster {
    pub(crate) endpoint: String,
    /// The one of this process.
    pub(crate) broker: Option<Broker>,
    /// None of a cluster of this process.
    _share: Option<Share>,
}

impl TestCluster {
    /// The real cluster where one is named.
    pub(crate) fn any() -> Self {
        match std::env::var("FLUVIO_ENDPOINT") {
            Ok(endpoint) => {
                let held = REAL.read().unwrap_or_else(PoisonError::into_inner);
                Self { endpoint, broker: None, _share: Some(Share::Part { _held: held }) }
            }
            Err(_) => Self::in_process().0,
        }
    }

    /// The real cluster for one test alone, and what restarts its brokers; none where none is named,
    /// and the test passes by.
    pub(crate) fn restarting() -> Option<(Self, Restarts)> {
        let (Ok(endpoint), Some(restarts)) = (std::env::var("FLUVIO_ENDPOINT"), Restarts::named())
        else {
            println!("skipped: FLUVIO_ENDPOINT and FLUVIO_RESTART are not set");
            return None;
        };
        let held = REAL.write().unwrap_or_else(PoisonError::into_inner);
        let share = Some(Share::Whole { _held: held });
        Some((Self { endpoint, broker: None, _share: share }, restarts))
    }

    /// The cluster of this process, which can be made to fail.
    pub(crate) fn in_process() -> (Self, Broker) {
        let broker = Broker::start();
        let endpoint = broker.endpoint.clone();
        (Self { endpoint, broker: Some(broker.clone()), _share: None }, broker)
    }

    /// Makes a topic that no other test has.
    pub(crate) fn topic(&self, name: &str, partitions: u32) -> String {
        static TOPICS: AtomicU64 = AtomicU64::new(0);
        let number = TOPICS.fetch_add(1, Ordering::Relaxed);
        let name = format!("{name}-{}-{number}", std::process::id());
        run_block_on(async {
            let client = ClientConfig::with_addr(self.endpoint.clone());
            let (socket, config, versions) = client.connect().await.unwrap().split();
            let socket =
                VersionedSerialSocket::new(MultiplexerSocket::shared(socket), config, versions);
            let version = socket.lookup_version::<ObjectApiCreateRequest>().unwrap();
            let common = CommonCreateRequest { name: name.clone(), ..Default::default() };
            let topic = TopicSpec::new_computed(partitions, 1, None);
            let request = CreateRequest::new(common, topic);
            let request = ObjectApiCreateRequest::try_encode_from(request, version).unwrap();
            let request = socket.new_request(request, Some(version));
            let answered = async {
                let status: Status = socket.send_and_receive(request).await.unwrap();
                assert!(!status.is_error(), "{status}");
            };
            // A real controller may forget to answer. It takes a moment, too, to choose the leaders.
            or(answered, self.led(&name, partitions as usize)).await;
            self.led(&name, partitions as usize).await;
        });
        name
    }

    /// Waits until each of a topic's partitions has a leader.
    pub(crate) fn wait_for(&self, topic: &str, partitions: usize) {
        run_block_on(self.led(topic, partitions));
    }

    async fn led(&self, topic: &str, partitions: usize) {
        let cluster = self.cluster();
        let leaders = async || {
            let numbers = cluster.partitions(topic).await?;
            for number in &numbers {
                cluster.leader(topic, *number).await?.offsets().await?;
            }
            Ok::<_, Failure>(numbers.len())
        };
        while !leaders().await.is_ok_and(|leaders| leaders == partitions) {
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn address(&self, topic: &str) -> String {
        format!("fluvio://{}/{topic}", self.endpoint)
    }

    pub(crate) fn parsed(&self, topic: &str) -> Address {
        Address::parse(&self.address(topic)).unwrap().unwrap()
    }

    pub(crate) fn cluster(&self) -> Cluster {
        Cluster::new(&self.parsed("any"), &FluvioConfig::default()).unwrap()
    }

    /// Appends records as one batch.
    pub(crate) fn produce(&self, topic: &str, partition: u32, records: Vec<Record>) {
        match &self.broker {
            Some(broker) => {
                broker.append(topic, partition as usize, batch(records, Compression::None));
            }
            None => {
                let cluster = self.cluster();
                let produced = ask(async || {
                    cluster.leader(topic, partition).await?.produce(records.clone(), 0).await
                });
                produced.unwrap();
            }
        }
    }

    /// Every record of a partition, as key and value.
    pub(crate) fn records(&self, topic: &str) -> Vec<(String, String)> {
        let cluster = self.cluster();
        let address = self.parsed(topic).with_partition(0);
        let offsets = find(&cluster, &address).unwrap()[0].1;
        let read = async || records(&cluster, &address, offsets.start, offsets.end).await;
        let records = ask(read).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        records
            .into_iter()
            .map(|record| (text(record.key.unwrap().as_ref()), text(record.value.as_ref())))
            .collect()
    }
}

/// Records as a batch, as a producer encodes it.
pub(crate) fn batch(records: Vec<Record>, compression: Compression) -> Batch<RawRecords> {
    let mut batch = Batch::from(records);
    batch.header.set_compression(compression);
    Batch::try_from(batch).unwrap()
}
