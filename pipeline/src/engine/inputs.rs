//! A stream's partitions, opened where they begin or go on.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use anyhow::{Result, bail, ensure};
use cloudops_operators::epoch::Partition;
use cloudops_sql::catalog::Catalog;
use cloudops_sql::catalog::record::{PartitionState, StreamState};
use cloudops_sql::catalog::state::SourceState;
use futures_util::TryStreamExt;
use tokio::runtime::Runtime;

use crate::job::StreamJob;
use crate::source::cursor::{Cursor, Judging};
use crate::source::files::Listing;
use crate::source::fluvio::address::Address;
use crate::source::fluvio::cluster::Cluster;
use crate::source::fluvio::leader::Offsets;
use crate::source::fluvio::{self, FETCH_BYTES, TopicSpec};
use crate::source::partition::{self, PartitionSpec, Start};

/// What opening a stream's input needs.
pub(super) struct Inputs<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) runtime: &'a Runtime,
    /// Whether topics are followed, or read to where they end now.
    pub(super) live: bool,
    pub(super) stop: &'a Arc<AtomicBool>,
    /// Bytes read so far, of all partitions.
    pub(super) bytes_read: Arc<AtomicU64>,
    /// Bytes there are to read; `None` where nobody knows.
    pub(super) bytes: Option<u64>,
}

/// One stream's partitions as they are opened, in order.
struct Opening<'a> {
    stream: &'a StreamJob,
    /// Where the checkpoint left the stream.
    state: Option<&'a StreamState>,
    /// What has been planned of its partitions.
    planned: Option<&'a BTreeMap<Partition, SourceState>>,
    /// Where partitions were first planned, for those of topics that are replayed.
    first: HashMap<Partition, u64>,
    cpu_nanos: Arc<AtomicU64>,
    cursors: Vec<Cursor>,
}

impl Inputs<'_> {
    /// Starts the readers of a stream's partitions; `state` is where a checkpoint left it.
    pub(super) fn open(
        &mut self,
        stream: &StreamJob,
        state: Option<&StreamState>,
        cpu_nanos: Arc<AtomicU64>,
    ) -> Result<Vec<Cursor>> {
        let planned = self.catalog.state().sources.get(&stream.name);
        let mut opening = Opening {
            first: HashMap::new(),
            cursors: Vec::new(),
            stream,
            state,
            planned,
            cpu_nanos,
        };
        let mut inputs = Vec::new();
        for path in &stream.paths {
            inputs.push((path, Address::parse(path)?));
        }
        let topics = inputs.iter().any(|(_, address)| address.is_some());
        if topics && state.is_none() && planned.is_some() {
            opening.first = self.first_planned(&stream.name)?;
        }
        for (path, address) in inputs {
            match address {
                None => self.open_files(path, &mut opening)?,
                Some(address) => self.open_topic(&address, &mut opening)?,
            }
        }
        opening.same_partitions()?;
        Ok(opening.cursors)
    }

    fn open_files(&mut self, path: &str, opening: &mut Opening<'_>) -> Result<()> {
        let stream = opening.stream;
        let listing = Listing::parse(path, self.runtime.handle())?;
        let files = listing.list(&stream.format)?;
        ensure!(
            stream.watch.is_some() || !files.is_empty(),
            "stream {:?}: {path} holds no file that its format reads",
            stream.name
        );
        self.bytes = self
            .bytes
            .filter(|_| stream.watch.is_none())
            .map(|sum| sum + files.iter().map(|file| file.size).sum::<u64>());
        let spec = PartitionSpec {
            start: opening
                .place()
                .and_then(|place| Some(Start { place: place.file.clone()?, next: place.next.0 })),
            listing,
            format: stream.format.clone(),
            watch: stream.watch,
            bytes_read: Arc::clone(&self.bytes_read),
            cpu_nanos: Arc::clone(&opening.cpu_nanos),
            whole_files: stream.bill.deliveries.is_some(),
        };
        let events = partition::spawn(opening.name(), spec, Arc::clone(self.stop))?;
        opening.push(events, 0);
        Ok(())
    }

    fn open_topic(&mut self, address: &Address, opening: &mut Opening<'_>) -> Result<()> {
        let stream = opening.stream;
        // A topic does not say how many bytes it holds.
        self.bytes = None;
        let cluster = Cluster::new(address, &stream.fluvio)?;
        for (address, offsets) in fluvio::find(&cluster, address)? {
            let (from, end) = opening.range(&address, offsets, self.live)?;
            let spec = TopicSpec {
                cluster: cluster.clone(),
                address,
                format: stream.format.clone(),
                columns: stream.columns.clone(),
                from,
                end,
                fetch_bytes: FETCH_BYTES,
                bytes_read: Arc::clone(&self.bytes_read),
                cpu_nanos: Arc::clone(&opening.cpu_nanos),
            };
            let events = fluvio::spawn(opening.name(), spec, Arc::clone(self.stop))?;
            opening.push(events, from);
        }
        Ok(())
    }

    /// Where a stream's partitions were first planned, among the plans to be replayed.
    fn first_planned(&self, stream: &str) -> Result<HashMap<Partition, u64>> {
        let mut plans = self.catalog.plans_to_replay();
        let mut first = HashMap::new();
        self.runtime.block_on(async {
            while let Some(plan) = plans.try_next().await? {
                for part in plan.sources.iter().filter(|part| part.source == stream) {
                    first.entry(part.partition).or_insert(part.offset_from.0);
                }
            }
            Ok(first)
        })
    }
}

impl Opening<'_> {
    /// The partition that is opened next.
    fn partition(&self) -> Partition {
        Partition(self.cursors.len() as u32)
    }

    fn name(&self) -> String {
        format!("{}/{}", self.stream.name, self.cursors.len())
    }

    /// Where the checkpoint left it.
    fn place(&self) -> Option<&PartitionState> {
        self.state?.partitions.get(self.cursors.len())
    }

    /// The records of a topic's partition that are to be read: from where the log stands, to where the
    /// topic ends now, or ended when a backfill was complete.
    fn range(&self, address: &Address, offsets: Offsets, live: bool) -> Result<(u64, Option<u64>)> {
        let partition = self.partition();
        let known = self.place().map(|place| place.next.0);
        let known = known.or_else(|| self.first.get(&partition).copied());
        let from = known.unwrap_or(offsets.start);
        let planned = self.planned.and_then(|planned| planned.get(&partition));
        if let Some(planned) = planned.filter(|planned| planned.ended) {
            let end = planned.planned_to.0;
            if live {
                bail!(
                    "{address}: a backfill has ended it at record {end}, and closed every window; to \
                     follow it, start a new catalog"
                );
            }
            return Ok((from, Some(end)));
        }
        offsets.hold(address, from)?;
        Ok((from, (!live).then_some(offsets.end)))
    }

    fn push(&mut self, events: crossbeam_channel::Receiver<partition::Event>, first: u64) {
        let partition = self.partition();
        let judging =
            Judging::new(self.stream.kind, self.stream.lateness_us, self.stream.bill.deliveries);
        self.cursors.push(match self.place() {
            Some(place) => Cursor::resume(partition, events, judging, place),
            None => Cursor::new(partition, events, judging, first),
        });
    }

    /// Once a watermark has been applied, a partition that nobody knew of comes too late for it.
    fn same_partitions(&self) -> Result<()> {
        let applied = |planned: &&BTreeMap<Partition, SourceState>| {
            planned.values().any(|source| source.planned_watermark_us > i64::MIN)
        };
        let known = self.state.map(|state| state.partitions.len());
        let known = known.or_else(|| self.planned.filter(applied).map(BTreeMap::len));
        let now = self.cursors.len();
        ensure!(
            known.is_none_or(|known| known == now),
            "stream {:?} has {now} partitions now and had {} when its results were begun: name those in \
             source.path one by one (fluvio://host:9003/topic/0, …), or start a new catalog",
            self.stream.name,
            known.unwrap_or_default()
        );
        Ok(())
    }
}
