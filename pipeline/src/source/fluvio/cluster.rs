//! A cluster's controller: which partitions a topic has, and who leads each.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use fluvio::FluvioClusterConfig;
use fluvio_future::future::or;
use fluvio_future::net::{DefaultDomainConnector, DomainConnector};
use fluvio_future::timer::sleep;
use fluvio_protocol::record::ReplicaKey;
use fluvio_protocol::{Decoder, Encoder};
use fluvio_sc_schema::objects::{
    ListFilter, ListRequest, ListResponse, Metadata, ObjectApiListRequest,
};
use fluvio_sc_schema::partition::PartitionSpec;
use fluvio_sc_schema::spu::SpuSpec;
use fluvio_sc_schema::{AdminSpec, TryEncodableFrom};
use fluvio_socket::{ClientConfig, MultiplexerSocket, SocketError, VersionedSerialSocket};

use super::address::Address;
use super::leader::Leader;
use super::tls;
use crate::config::FluvioConfig;

/// How long a connection or a reply is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often a connection that says nothing is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Why a cluster did not do what it was asked, by what to do next.
#[derive(Debug)]
pub enum Failure {
    /// Brokers restart and leaders move: ask again in a moment.
    Again(anyhow::Error),
    /// Asking again would change nothing.
    Final(anyhow::Error),
}

impl Failure {
    /// The reason, whatever is to be done.
    #[must_use]
    pub fn into_error(self) -> anyhow::Error {
        match self {
            Self::Again(error) | Self::Final(error) => error,
        }
    }
}

/// A cluster, by its controller. Every question is a connection of its own: they are rare.
#[derive(Clone)]
pub struct Cluster {
    endpoint: String,
    connector: DomainConnector,
    local: bool,
}

impl Cluster {
    /// The cluster that an address and its settings mean; nothing is connected yet.
    ///
    /// # Errors
    /// When no endpoint is named, the profile is unknown, or a certificate cannot be read.
    pub fn new(address: &Address, config: &FluvioConfig) -> Result<Self> {
        let profile = match &config.profile {
            None => None,
            Some(name) => {
                let found = FluvioClusterConfig::load_with_profile(name)
                    .with_context(|| format!("profile {name:?}: reading Fluvio's configuration"))?;
                let what = || format!("profile {name:?} is not known: see `fluvio profile list`");
                Some(found.with_context(what)?)
            }
        };
        let named = address.endpoint.clone();
        let endpoint = named.or_else(|| profile.as_ref().map(|profile| profile.endpoint.clone()));
        let Some(endpoint) = endpoint else {
            bail!("{address}: no host is named, and no profile that would name one");
        };
        let connector: DomainConnector = match (&config.tls, &profile) {
            (Some(tls), _) => tls::connector(tls, &endpoint)?,
            (None, Some(profile)) => profile.tls.clone().try_into().context("the profile's TLS")?,
            (None, None) => Box::new(DefaultDomainConnector::new()),
        };
        let local = profile.is_some_and(|profile| profile.use_spu_local_address);
        Ok(Self { endpoint, connector, local })
    }

    /// A topic's partitions, ascending.
    ///
    /// # Errors
    /// When there is no such topic, or the controller cannot be asked.
    pub async fn partitions(&self, topic: &str) -> Result<Vec<u32>, Failure> {
        let sc = connect(self.client()).await?;
        let mut numbers: Vec<u32> =
            partitions_of(&sc, topic).await?.into_iter().map(|(number, _)| number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Connects to the broker that leads a partition.
    ///
    /// # Errors
    /// When there is no such partition, or no leader of it can be reached.
    pub async fn leader(&self, topic: &str, partition: u32) -> Result<Leader, Failure> {
        let sc = connect(self.client()).await?;
        let partitions = partitions_of(&sc, topic).await?;
        let Some((_, spec)) = partitions.into_iter().find(|(number, _)| *number == partition)
        else {
            return Err(Failure::Final(anyhow!(
                "topic {topic:?} on {} has no partition {partition}",
                self.endpoint
            )));
        };
        let spus: Vec<Metadata<SpuSpec>> = list(&sc).await?;
        let Some(spu) = spus.into_iter().find(|spu| spu.spec.id == spec.leader) else {
            let leader = spec.leader;
            let what = format!("broker {leader}, the leader of {topic}/{partition}, is not known");
            return Err(Failure::Again(anyhow!(what)));
        };
        // The broker's own certificate is for its name under the cluster's domain.
        let mut client = self.client().with_prefix_sni_domain(&spu.name);
        client.set_addr(match spu.spec.public_endpoint_local {
            Some(local) if self.local => format!("{}:{}", local.host, local.port),
            _ => spu.spec.public_endpoint.addr(),
        });
        Ok(Leader::new(connect(client).await?, topic, partition, spec.replicas.len()))
    }

    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new(&self.endpoint, self.connector.clone(), self.local);
        client.set_client_id("cloudops");
        client
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

async fn partitions_of(
    sc: &VersionedSerialSocket,
    topic: &str,
) -> Result<Vec<(u32, PartitionSpec)>, Failure> {
    let all: Vec<Metadata<PartitionSpec>> = list(sc).await?;
    let of_topic = all.into_iter().filter_map(|partition| {
        let key: ReplicaKey = partition.name.parse().ok()?;
        (key.topic == topic).then_some((key.partition, partition.spec))
    });
    let found: Vec<_> = of_topic.collect();
    if found.is_empty() {
        return Err(Failure::Final(anyhow!(
            "the cluster has no topic {topic:?}, or none we may see: create it with \
             `fluvio topic create {topic}`"
        )));
    }
    Ok(found)
}

/// All objects of a kind that the controller knows.
async fn list<S>(sc: &VersionedSerialSocket) -> Result<Vec<Metadata<S>>, Failure>
where
    S: AdminSpec,
    S::Status: Encoder + Decoder + fmt::Debug,
{
    let Some(version) = sc.lookup_version::<ObjectApiListRequest>() else {
        let platform = sc.versions().platform_version();
        return Err(Failure::Final(anyhow!(
            "the cluster runs Fluvio {platform}, which this client (0.50) does not understand"
        )));
    };
    let everything: Vec<ListFilter> = Vec::new();
    let request =
        ObjectApiListRequest::try_encode_from(ListRequest::<S>::new(everything, false), version);
    let request = request.map_err(Failure::Final)?;
    let request = sc.new_request(request, Some(version));
    let response = over(sc, "asking the controller", sc.send_and_receive(request)).await?;
    let found: Option<ListResponse<S>> = response.downcast().map_err(Failure::Again)?;
    match found {
        Some(found) => Ok(found.inner()),
        None => Err(Failure::Again(anyhow!("the controller answered another question"))),
    }
}

async fn connect(client: ClientConfig) -> Result<VersionedSerialSocket, Failure> {
    let what = format!("connecting to {}", client.addr());
    let (socket, config, versions) = within(&what, client.connect()).await?.split();
    Ok(VersionedSerialSocket::new(MultiplexerSocket::shared(socket), config, versions))
}

/// Waits for a reply, but not for ever: a host that has vanished says nothing.
async fn within<T>(
    what: &str,
    reply: impl Future<Output = Result<T, SocketError>>,
) -> Result<T, Failure> {
    let reply = async { reply.await.map_err(anyhow::Error::from) };
    let timer = async {
        sleep(PATIENCE).await;
        Err(anyhow!("no answer in {} s", PATIENCE.as_secs()))
    };
    or(reply, timer).await.with_context(|| what.to_owned()).map_err(Failure::Again)
}

/// The same over a connection. One that closes while a request is on its way forgets the request: who
/// waited for the reply alone would wait in vain.
pub(super) async fn over<T>(
    socket: &VersionedSerialSocket,
    what: &str,
    reply: impl Future<Output = Result<T, SocketError>>,
) -> Result<T, Failure> {
    let closed = async {
        while !socket.is_stale() {
            sleep(LOOK).await;
        }
        Err(SocketError::SocketClosed)
    };
    within(what, or(reply, closed)).await
}
