//! Prices that bills show, as facts, and as the list by which resources are judged.
//!
//! A price belongs to a size and not to a resource, so it lives with the worker that owns its name
//! ([`PriceList`]). Whenever days end, all workers are told all prices as they were known on each of these
//! days: a few hundred rows, where asking for each resource would take two more ways through the graph.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use super::fact::{Cause, Fact, Identity, What, rows};
use super::id;
use crate::epoch::Partition;
use crate::key::Shard;
use crate::keyed::Keyed;
use crate::right_size::{Prices, Seen, Sold, priced};
use crate::schema::cost::{DAY_US, KNOWN_ON, day_of};
use crate::schema::{ENTITY_ID, OFFSET, numbers, texts};
use crate::snapshot::{Changes, Extent, Snapshot};
use crate::watermark::Watermark;
use crate::{Error, Result};

/// The column that holds a price; `Utf8`, JSON.
const PRICE: &str = "price";

/// A price, and the day from whose end on it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    #[serde(skip)]
    pub(super) since: i32,
    pub(super) sold: Sold,
    pub(super) seen: Seen,
}

/// What a partition's rows of a bill say of sizes: facts of the resources that are of them, and prices.
/// Rows have FOCUS's other columns ([`crate::schema::focus`]).
///
/// # Errors
/// [`crate::Error::Column`] when a column is missing.
pub fn sold(source: &str, partition: Partition, bill: &RecordBatch) -> Result<Vec<RecordBatch>> {
    let mut facts: BTreeMap<(i32, String), (i32, Sold, bool, Cause)> = BTreeMap::new();
    let mut prices: BTreeMap<(i32, Sold), Seen> = BTreeMap::new();
    for row in priced(bill)? {
        let cause = Cause {
            source: source.to_owned(),
            partition: partition.0,
            from: row.offset,
            to: row.offset,
        };
        if let Some(seen) = row.seen(partition) {
            let known = prices.entry((row.known_on, row.sold.clone())).or_insert(seen);
            *known = seen.max(*known);
        }
        let Some(resource) = &row.resource else { continue };
        let key = (row.known_on, id::canonical(resource).into_owned());
        let said = (row.day, row.sold, row.committed);
        match facts.get_mut(&key) {
            None => drop(facts.insert(key, (said.0, said.1, said.2, cause))),
            Some((day, sold, committed, known)) => {
                known.merge(&cause);
                if (said.0, &said.1, said.2) > (*day, sold, *committed) {
                    (*day, *sold, *committed) = said;
                }
            }
        }
    }
    let facts: Vec<Fact> = facts
        .into_iter()
        .map(|((known_on, resource), (day, sold, committed, cause))| Fact {
            resource,
            at: i64::from(known_on) * DAY_US,
            identity: Identity {
                provider: Some(sold.provider.clone()),
                region: Some(sold.region.clone()).filter(|region| !region.is_empty()),
                ..Identity::default()
            },
            what: What::Sold { day, sold, committed },
            cause,
        })
        .collect();
    let prices: Vec<Known> =
        prices.into_iter().map(|((since, sold), seen)| Known { since, sold, seen }).collect();
    Ok(rows(&facts)?.into_iter().chain(price_rows(&prices)?).collect())
}

pub(super) fn price_rows(prices: &[Known]) -> Result<Option<RecordBatch>> {
    if prices.is_empty() {
        return Ok(None);
    }
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new(ENTITY_ID, DataType::Utf8, false),
        Field::new(KNOWN_ON, DataType::Int32, false),
        Field::new(OFFSET, DataType::UInt64, false),
        Field::new(PRICE, DataType::Utf8, false),
    ]));
    let names = prices.iter().map(|known| name(&known.sold));
    let text = |known| serde_json::to_string(known).expect("a price is text and numbers");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(names)),
        Arc::new(Int32Array::from_iter_values(prices.iter().map(|known| known.since))),
        Arc::new(UInt64Array::from_iter_values(prices.iter().map(|known| known.seen.offset))),
        Arc::new(StringArray::from_iter_values(prices.iter().map(text))),
    ];
    Ok(Some(RecordBatch::try_new(schema, columns)?))
}

/// A price's name: what it is the price of.
fn name(sold: &Sold) -> String {
    let Sold { provider, region, terms, currency, size } = sold;
    [provider, region, terms, currency, size].map(String::as_str).join("\n")
}

/// Whether rows are prices.
#[must_use]
pub fn is_prices(rows: &RecordBatch) -> bool {
    rows.column_by_name(PRICE).is_some()
}

/// Rows as prices.
///
/// # Errors
/// [`Error::Column`] when they are none.
pub(super) fn prices(rows: &RecordBatch) -> Result<Vec<Known>> {
    let (since, bodies) = (numbers::<Int32Type>(rows, KNOWN_ON)?, texts(rows, PRICE)?);
    (0..rows.num_rows())
        .map(|row| {
            let known: Known =
                serde_json::from_str(bodies.value(row)).map_err(|error| Error::Column {
                    column: PRICE.to_owned(),
                    expected: "a price".to_owned(),
                    found: error.to_string(),
                })?;
            Ok(Known { since: since.value(row), ..known })
        })
        .collect()
}

/// One price, as it holds and as it will.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Held {
    sold: Option<Sold>,
    seen: Option<Seen>,
    /// By the day on which they became known.
    pending: BTreeMap<i32, Seen>,
}

/// The operator: prices of the names that a worker owns.
#[derive(Debug, Default)]
pub struct PriceList {
    held: Keyed<Held>,
    due: BTreeSet<(i32, String)>,
    /// The day that was not over when the list was last told.
    told_at: Option<i32>,
}

impl PriceList {
    /// Takes in prices.
    ///
    /// # Errors
    /// [`Error::Column`] when they are none.
    pub fn push(&mut self, rows: &RecordBatch) -> Result<()> {
        for Known { since, sold, seen } in prices(rows)? {
            let name = name(&sold);
            let held = self.held.entry(&name);
            held.sold = Some(sold);
            held.pending.entry(since).and_modify(|known| *known = seen.max(*known)).or_insert(seen);
            self.due.insert((since, name));
        }
        Ok(())
    }

    /// All prices as they were known at the end of each day that the watermark has newly passed; none where
    /// it has passed none.
    ///
    /// # Errors
    /// When Arrow refuses to build the batch, which is a bug.
    pub fn advance(&mut self, watermark: Watermark) -> Result<Option<RecordBatch>> {
        let now = day_of(watermark.0);
        if self.told_at.is_some_and(|told| told >= now) {
            return Ok(None);
        }
        self.told_at = Some(now);
        let mut list: Vec<Known> = self
            .held
            .iter()
            .filter_map(|(_, held)| {
                Some(Known { since: i32::MIN, sold: held.sold.clone()?, seen: held.seen? })
            })
            .collect();
        while let Some((since, name)) = self.due.pop_first() {
            if since >= now && watermark != Watermark::MAX {
                self.due.insert((since, name));
                break;
            }
            let held = self.held.entry(&name);
            let Some(seen) = held.pending.remove(&since) else { continue };
            let seen = held.seen.map_or(seen, |known| known.max(seen));
            held.seen = Some(seen);
            list.extend(held.sold.clone().map(|sold| Known { since, sold, seen }));
        }
        price_rows(&list)
    }
}

impl Snapshot for PriceList {
    fn operator(&self) -> &'static str {
        "prices"
    }

    fn snapshot(&self, shard: Shard, extent: Extent) -> Result<Option<RecordBatch>> {
        self.held.snapshot(shard, extent)
    }

    fn restore(&mut self, shard: Shard, state: &RecordBatch) -> Result<()> {
        self.held.restore(self.operator(), shard, state)?;
        let waiting = self
            .held
            .of(shard)
            .flat_map(|(name, held)| held.pending.keys().map(move |day| (*day, name.to_owned())));
        self.due.extend(waiting);
        Ok(())
    }

    fn changes(&self) -> Option<Changes> {
        self.held.changes()
    }

    fn saved(&mut self) {
        self.held.saved();
    }
}

/// Prices as workers were told of them, by the day from whose end on they hold.
#[derive(Debug, Default)]
pub(super) struct Board(BTreeMap<i32, Vec<(Sold, Seen)>>);

impl Board {
    pub(super) fn put(&mut self, known: Known) {
        self.0.entry(known.since).or_default().push((known.sold, known.seen));
    }

    /// Moves what holds at the end of a day into a list.
    pub(super) fn known_by(&mut self, day: i32, prices: &mut Prices) {
        while let Some(entry) = self.0.first_entry().filter(|entry| *entry.key() <= day) {
            entry.remove().into_iter().for_each(|(sold, seen)| prices.see(sold, seen));
        }
    }

    /// The next epoch's list is whole again.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
