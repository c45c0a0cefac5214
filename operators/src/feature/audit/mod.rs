//! Features of a window of audit events: what a principal did, what is new to it, and to its peers.
//!
//! [`crate::event`] reduces each event to four plain numbers, so that a window holds
//! no text; [`AuditFeatures`] turns windows of those into vectors. Source
//! addresses, account ids and raw user agents never become model input: they
//! differ between a simulated attack and daily work for reasons that have
//! nothing to do with attacks. A user agent counts only as a family out of a
//! fixed list, and only for being new to the principal.
//!
//! What is new or surprising depends on the principal's own earlier windows, in
//! event-time order (`history`), and on how many other principals had used an
//! operation before ([`crate::peers`]). Memory is bounded.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, PrimitiveArray, RecordBatch};
use arrow::datatypes::{Field, Schema, UInt32Type};
use hashbrown::HashMap;

mod history;
mod snapshot;
#[cfg(test)]
mod tests;

use self::history::{Kind, News, Principal};
use crate::Result;
use crate::event::{
    self, AGENT_LANE, CLASSES, ERROR_FLAG, LANES, OPERATION_LANE, READ_ONLY_FLAG, REGION_LANE,
    Technique, events,
};
use crate::key::{SHARDS, Shard, hash};
use crate::peers::ENOUGH;
use crate::schema::result::{FEATURES, PEERS, TECHNIQUES, WINDOW, WINDOW_END};
use crate::schema::{ENTITY_ID, column, mismatch, texts, times, vector, vector_array};

/// The operator: appends `features` and `techniques` to windows of [`event::Events`].
#[derive(Debug, Clone)]
pub struct AuditFeatures {
    shards: Vec<HashMap<String, Principal>>,
}

impl Default for AuditFeatures {
    fn default() -> Self {
        Self { shards: vec![HashMap::new(); SHARDS] }
    }
}

/// Behind the classes: counts as `ln(1 + n)`, rates in `[0, 1]`, surprises in nats.
const AFTER_CLASSES: [&str; 18] = [
    "events",
    "error_rate",
    "read_ratio",
    "distinct_operations",
    "new_regions",
    "new_agents",
    "new_operations",
    "new_transitions",
    "first_window",
    "operation_surprise_mean",
    "operation_surprise_max",
    "transition_surprise_mean",
    "hour_surprise",
    "peer_rarity_mean",
    "peer_rarity_max",
    // The greatest among operations that are new to the principal as well.
    "peer_rarity_new",
    "burst",
    "failed_operations",
];

impl AuditFeatures {
    /// An operator that knows no principal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The names of the features, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let classes = CLASSES.iter().map(|(_, name)| format!("class:{name}"));
        classes.chain(AFTER_CLASSES.iter().map(|name| (*name).to_owned())).collect()
    }

    /// Replaces the `window` and `peers` columns by `techniques`, the ids of the known attack
    /// techniques that an event of the window may be a step of, and `features`: counts as `ln(1 + n)`,
    /// rates in `[0, 1]`, surprises in nats, `burst` the most events in one minute, rarities
    /// `ln((1 + enough) / (1 + peers))` of an operation that so many others had used before.
    ///
    /// A principal's windows must come in ascending `window_end`, in a batch and from call to call.
    ///
    /// # Errors
    /// [`crate::Error::Column`] when `window` is missing or holds no four lanes an event, or `peers` is
    /// missing or does not hold a number an event.
    pub fn append(&mut self, windows: &RecordBatch) -> Result<RecordBatch> {
        let entities = texts(windows, ENTITY_ID)?;
        let ends = times(windows, WINDOW_END)?;
        let (values, bounds) = events(windows)?;
        let peers = peers(windows, &bounds)?;
        let width = CLASSES.len() + AFTER_CLASSES.len();
        let mut features = Vec::with_capacity(windows.num_rows() * width);
        let mut techniques = Vec::with_capacity(windows.num_rows());
        for row in 0..windows.num_rows() {
            let (from, to) = (bounds[row], bounds[row + 1]);
            let events = &values[from..to];
            let name = entities.value(row);
            let principals = &mut self.shards[usize::from(Shard::of(name).0)];
            let first = !principals.contains_key(name);
            let principal = principals.entry_ref(name).or_default();
            let peers = rarities(principal, events, &peers[from / LANES..to / LANES]);
            let met = meet(principal, events, ends[row]);
            describe(events, &met, &peers, first, &mut features);
            techniques.push(known(events));
        }
        let kept = (0..windows.num_columns()).filter(|at| {
            let schema = windows.schema();
            !matches!(schema.field(*at).name().as_str(), WINDOW | PEERS)
        });
        let kept = windows.project(&kept.collect::<Vec<_>>())?;
        let mut fields: Vec<_> = kept.schema().fields().iter().cloned().collect();
        let mut columns = kept.columns().to_vec();
        let techniques = Technique::lists(&techniques);
        fields.push(Arc::new(Field::new(TECHNIQUES, techniques.data_type().clone(), false)));
        columns.push(techniques);
        fields.push(Arc::new(Field::new(FEATURES, vector(width), false)));
        columns.push(Arc::new(vector_array(width, features)));
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
    }
}

/// How many others had used each event's operation, in line with the windows' lanes, of which `bounds` says
/// where they begin and end.
fn peers(windows: &RecordBatch, bounds: &[usize]) -> Result<Vec<u32>> {
    let array = column(windows, PEERS)?;
    let wrong = || mismatch(PEERS, "a list of UInt32, one an event", array);
    let list = array.as_list_opt::<i32>().ok_or_else(wrong)?;
    let values: &PrimitiveArray<UInt32Type> = list.values().as_primitive_opt().ok_or_else(wrong)?;
    let offsets = list.value_offsets();
    let (from, to) = (offsets[0] as usize, offsets[list.len()] as usize);
    // A sliced batch's lanes do not begin at 0.
    let (first, last) = (bounds[0] / LANES, bounds[windows.num_rows()] / LANES);
    if last - first != to - from {
        return Err(wrong());
    }
    let mut aligned = vec![0; first];
    aligned.extend_from_slice(&values.values()[from..to]);
    Ok(aligned)
}

/// How rare a window's operations are among other principals.
#[derive(Debug, Clone, Copy, Default)]
struct Rarity {
    mean: f64,
    most: f64,
    most_new: f64,
}

fn rarities(principal: &Principal, events: &[u64], peers: &[u32]) -> Rarity {
    let mut rarity = Rarity::default();
    let operations = principal.seen(Kind::Operation);
    for (event, peers) in events.chunks_exact(LANES).zip(peers) {
        let value = (f64::from(ENOUGH + 1) / f64::from(peers + 1)).ln();
        rarity.mean += value;
        rarity.most = rarity.most.max(value);
        if !operations.knows(event[OPERATION_LANE]) {
            rarity.most_new = rarity.most_new.max(value);
        }
    }
    rarity.mean /= peers.len().max(1) as f64;
    rarity
}

/// Judges a window by its principal's history, by kind, and remembers it.
fn meet(principal: &mut Principal, events: &[u64], end: i64) -> [News; Kind::ALL.len()] {
    let lane = |at: usize| events.chunks_exact(LANES).map(|event| event[at]).collect::<Vec<_>>();
    let operations = lane(OPERATION_LANE);
    // Pages of one listing are no step from one operation to the next.
    let transitions = operations.windows(2).filter(|pair| pair[0] != pair[1]);
    let transitions = transitions
        .map(|pair| hash(&[pair[0].to_le_bytes(), pair[1].to_le_bytes()].concat()))
        .collect();
    let hours = events.chunks_exact(LANES).map(|event| event::minute(event[0]) / 60 % 24);
    let hours = hours.collect();
    Kind::ALL.map(|kind| {
        let values = match kind {
            Kind::Region => &lane(REGION_LANE),
            Kind::Agent => &lane(AGENT_LANE),
            Kind::Operation => &operations,
            Kind::Transition => &transitions,
            Kind::Hour => &hours,
        };
        principal.meet(kind, values, end)
    })
}

/// The techniques that a window's events may be steps of, by id.
fn known(events: &[u64]) -> Vec<&'static Technique> {
    let mut found: Vec<_> =
        events.chunks_exact(LANES).filter_map(|event| event::technique(event[0])).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Appends one window's features.
fn describe(
    events: &[u64],
    met: &[News; Kind::ALL.len()],
    rarity: &Rarity,
    first: bool,
    features: &mut Vec<f32>,
) {
    let log = |count: usize| (count as f64).ln_1p();
    let mut counts = [0usize; CLASSES.len()];
    let (mut errors, mut reads) = (0usize, 0usize);
    let mut minutes: BTreeMap<u64, usize> = BTreeMap::new();
    let mut operations: Vec<u64> = Vec::with_capacity(events.len() / LANES);
    let mut failed: Vec<u64> = Vec::new();
    for event in events.chunks_exact(LANES) {
        counts[event::class(event[0]) % CLASSES.len()] += 1;
        errors += usize::from(event[0] & ERROR_FLAG != 0);
        reads += usize::from(event[0] & READ_ONLY_FLAG != 0);
        *minutes.entry(event::minute(event[0])).or_default() += 1;
        operations.push(event[OPERATION_LANE]);
        if event[0] & ERROR_FLAG != 0 {
            failed.push(event[OPERATION_LANE]);
        }
    }
    for list in [&mut operations, &mut failed] {
        list.sort_unstable();
        list.dedup();
    }
    let total = events.len() / LANES;
    let rate = |count: usize| count as f64 / total.max(1) as f64;
    let of = |kind: Kind| met[kind as usize];
    features.extend(counts.iter().map(|count| log(*count) as f32));
    let after: [f64; AFTER_CLASSES.len()] = [
        log(total),
        rate(errors),
        rate(reads),
        log(operations.len()),
        log(of(Kind::Region).new),
        log(of(Kind::Agent).new),
        log(of(Kind::Operation).new),
        log(of(Kind::Transition).new),
        f64::from(u8::from(first)),
        of(Kind::Operation).mean,
        of(Kind::Operation).most,
        of(Kind::Transition).mean,
        of(Kind::Hour).mean,
        rarity.mean,
        rarity.most,
        rarity.most_new,
        log(minutes.values().copied().max().unwrap_or(0)),
        log(failed.len()),
    ];
    features.extend(after.iter().map(|value| *value as f32));
}
