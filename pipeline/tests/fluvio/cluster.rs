//! A cluster to test against, and what a producer does to it.

use std::sync::atomic::{AtomicU64, Ordering};

use cloudops_pipeline::config::FluvioConfig;
use cloudops_pipeline::source::fluvio::address::Address;
use cloudops_pipeline::source::fluvio::cluster::Cluster;
use cloudops_pipeline::source::fluvio::{ask, find, records};
use fluvio::Compression;
use fluvio_future::task::run_block_on;
use fluvio_protocol::record::{Batch, RawRecords, Record};
use fluvio_sc_schema::objects::{CommonCreateRequest, CreateRequest, ObjectApiCreateRequest};
use fluvio_sc_schema::topic::TopicSpec;
use fluvio_sc_schema::{Status, TryEncodableFrom};
use fluvio_socket::{ClientConfig, MultiplexerSocket, VersionedSerialSocket};

use crate::broker::Broker;

/// A cluster, of this process or a real one.
pub(crate) struct TestCluster {
    pub(crate) endpoint: String,
    /// The one of this process.
    pub(crate) broker: Option<Broker>,
}

impl TestCluster {
    /// The real cluster where one is named.
    pub(crate) fn any() -> Self {
        match std::env::var("FLUVIO_ENDPOINT") {
            Ok(endpoint) => Self { endpoint, broker: None },
            Err(_) => Self::in_process().0,
        }
    }

    /// The cluster of this process, which can be made to fail.
    pub(crate) fn in_process() -> (Self, Broker) {
        let broker = Broker::start();
        let endpoint = broker.endpoint.clone();
        (Self { endpoint, broker: Some(broker.clone()) }, broker)
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
            let status: Status = socket.send_and_receive(request).await.unwrap();
            assert!(!status.is_error(), "{status}");
        });
        // A real cluster takes a moment to give each partition a leader.
        let address = self.parsed(&name);
        while !find(&self.cluster(), &address).is_ok_and(|all| all.len() == partitions as usize) {
            std::thread::yield_now();
        }
        name
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
