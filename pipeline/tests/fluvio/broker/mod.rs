//! A cluster in this process that speaks Fluvio's protocol: a controller and two brokers.
//!
//! Built on the published protocol crates, so that what it sends is what they encode. It answers as a
//! real cluster does where that matters here: a response is cut at the bytes asked for, in the middle
//! of a batch; it begins with the whole batch that the offset lies in; one response is sent for each
//! acknowledgement; another broker than the leader says so; evicted offsets are refused. And it fails
//! on demand: connections break off in the middle of a response, brokers go away, leaders move while
//! the controller still names the old one.

mod controller;
mod log;
mod spu;

use std::collections::BTreeMap;
use std::net::Shutdown;
use std::sync::{Arc, Mutex, MutexGuard};

use fluvio_future::net::{AsConnectionFd, SplitConnection, TcpListener, TcpStream};
use fluvio_future::rust_tls::TlsAcceptor;
use fluvio_future::task::{run_block_on, spawn};
use fluvio_protocol::record::{Batch, RawRecords};
use fluvio_socket::FluvioSocket;
use futures_util::StreamExt;
use tokio::sync::watch;

pub(crate) use log::Log;

/// Which broker: its place in [`State::brokers`].
pub(crate) type BrokerId = usize;

/// A running cluster. It ends with the test's process.
#[derive(Clone)]
pub(crate) struct Broker {
    /// Host and port of the controller.
    pub(crate) endpoint: String,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Changes with every append.
    appended: watch::Sender<u64>,
    acceptor: Option<TlsAcceptor>,
}

/// What the cluster holds.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) topics: BTreeMap<String, Vec<Partition>>,
    brokers: Vec<BrokerState>,
    pub(crate) faults: Faults,
    /// Responses with records that have been sent.
    pub(crate) responses: u64,
    /// Of those, how many ended in the middle of a batch.
    pub(crate) cut: u64,
    /// Times that a broker was asked about a partition that it does not lead.
    pub(crate) misled: u64,
    /// Faults that have struck.
    pub(crate) struck: u64,
}

/// A partition: its log, and who leads it.
#[derive(Default)]
pub(crate) struct Partition {
    pub(crate) log: Log,
    pub(crate) leader: BrokerId,
    /// How often the controller will still name the other broker.
    pub(crate) stale: u32,
    /// Where the log ends for all replicas while they lack its last records, and how often offsets are
    /// asked for until they have them.
    pub(crate) lacking: Option<(i64, u32)>,
}

#[derive(Default)]
struct BrokerState {
    port: u16,
    connections: Vec<TcpStream>,
    /// How many connections it will refuse: it is being restarted.
    refuses: u32,
}

/// What goes wrong, by counting: nothing depends on time.
#[derive(Default, Clone)]
pub(crate) struct Faults {
    /// After so many responses with records, the next fault strikes; 0 never.
    pub(crate) every: u64,
    /// The faults, in turn.
    pub(crate) kinds: Vec<Fault>,
    /// How many produce requests are carried out and never answered.
    pub(crate) unanswered: u32,
    /// How many produce requests are carried out and replicas are late with.
    pub(crate) unreplicated: u32,
    /// Whether produce requests are refused.
    pub(crate) unwilling: bool,
}

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// All connections to the broker are closed.
    Disconnect,
    /// The response breaks off in its middle, and the connection with it.
    BreakOff,
    /// The broker closes its connections and refuses some new ones.
    Restart,
    /// The other broker leads from now on; the controller says so only after a while.
    Move,
    /// Nothing more is sent over the connection, which stays open.
    Silence,
}

impl Broker {
    /// Starts a cluster.
    pub(crate) fn start() -> Self {
        Self::start_with(None)
    }

    /// Starts a cluster that speaks TLS.
    pub(crate) fn start_with(acceptor: Option<TlsAcceptor>) -> Self {
        let shared =
            Arc::new(Shared { state: Mutex::default(), appended: watch::channel(0).0, acceptor });
        let listen = || run_block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        for id in 0..2 {
            let listener = listen();
            let port = listener.local_addr().unwrap().port();
            shared.state().brokers.push(BrokerState { port, ..BrokerState::default() });
            spawn(accept(listener, Arc::clone(&shared), Some(id)));
        }
        let listener = listen();
        let endpoint = listener.local_addr().unwrap().to_string();
        spawn(accept(listener, Arc::clone(&shared), None));
        Self { endpoint, shared }
    }

    /// What the cluster holds, to look at and to meddle with.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    /// Appends a batch without a request.
    pub(crate) fn append(&self, topic: &str, partition: usize, batch: Batch<RawRecords>) {
        self.state().topics.get_mut(topic).unwrap()[partition].log.append(batch);
        self.shared.appended.send_modify(|appends| *appends += 1);
    }

    /// Forgets a partition's records before an offset.
    pub(crate) fn evict(&self, topic: &str, partition: usize, before: i64) {
        self.state().topics.get_mut(topic).unwrap()[partition].log.evict(before);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn restart(&mut self, id: BrokerId, refuses: u32) {
        self.brokers[id].refuses = refuses;
        for connection in self.brokers[id].connections.drain(..) {
            // It may have been closed already.
            let _closed = connection.shutdown(Shutdown::Both);
        }
    }

    /// Counts a response with records; gives the fault that strikes now, if one does.
    fn strike(&mut self) -> Option<Fault> {
        self.responses += 1;
        let Faults { every, kinds, .. } = &self.faults;
        if *every == 0 || kinds.is_empty() || !self.responses.is_multiple_of(*every) {
            return None;
        }
        let fault = kinds[(self.struck % kinds.len() as u64) as usize];
        self.struck += 1;
        Some(fault)
    }
}

/// Takes connections in: a broker's, or the controller's.
async fn accept(listener: TcpListener, shared: Arc<Shared>, id: Option<BrokerId>) {
    let mut incoming = listener.incoming();
    while let Some(Ok(connection)) = incoming.next().await {
        if let Some(id) = id {
            let broker = &mut shared.state().brokers[id];
            if broker.refuses > 0 {
                broker.refuses -= 1;
                continue;
            }
            broker.connections.push(connection.clone());
        }
        let shared = Arc::clone(&shared);
        spawn(async move {
            let Some(socket) = open(connection, &shared).await else { return };
            match id {
                Some(id) => spu::serve(socket, shared, id).await,
                None => controller::serve(socket, &shared).await,
            }
        });
    }
}

async fn open(connection: TcpStream, shared: &Shared) -> Option<FluvioSocket> {
    let fd = connection.as_connection_fd();
    let Some(acceptor) = &shared.acceptor else { return Some(FluvioSocket::from(connection)) };
    let stream = acceptor.accept(connection).await.ok()?;
    let (write, read) = stream.split_connection();
    Some(FluvioSocket::from_stream(write, read, fd))
}
