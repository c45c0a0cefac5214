//! Changes of totals to a vector a day: how an account spent.
//!
//! A charge counts on the UTC day on which its period begins, whole: a monthly fee is a cost of the day
//! that it is charged from, as on the provider's own daily view. A day closes once the watermark has
//! reached its end, and gives one window for each account, whose features describe the day: spending by
//! service, in total, against the account's own previous days, and how it is spread. Changes that came
//! after a day had closed ([`crate::bill`]) are in its totals and not in its vector. Sums are of
//! integers, so they are exact and do not depend on order.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Date32Type, Decimal128Type, Int64Type, UInt32Type, UInt64Type};
use hashbrown::HashMap;

use crate::bill::{
    BILLED_AFTER, BILLED_BEFORE, CHARGES_AFTER, CHARGES_BEFORE, EFFECTIVE_AFTER, EFFECTIVE_BEFORE,
    IS_LATE, change_schema,
};
use crate::key::{SHARDS, Shard};
use crate::schema::cost::{
    BILLING_ACCOUNT, CURRENCY, DAY, EFFECTIVE_COST, PROVIDER, SERVICE, day_of,
};
use crate::schema::result::{OFFSET_FROM, OFFSET_TO, PARTITION};
use crate::schema::{ENTITY_ID, column, mismatch, texts};
use crate::watermark::Watermark;
use crate::{Error, Result};

mod snapshot;
#[cfg(test)]
mod tests;
mod vector;

use vector::{TRAILING, Vectors};

/// What is added up within an entity and day, by provider, billing account, service and currency.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Line {
    provider: String,
    billing_account: String,
    service: String,
    currency: String,
}

/// Exact sums, and where their charges stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sum {
    /// In units of 10⁻¹² of the currency.
    billed: i128,
    /// In units of 10⁻¹² of the currency.
    effective: i128,
    charges: i64,
    /// The least partition with a charge: offsets of different partitions do not compare.
    partition: u32,
    from: u64,
    to: u64,
}

impl Sum {
    fn add(&mut self, other: &Self) -> Option<()> {
        self.billed = self.billed.checked_add(other.billed)?;
        self.effective = self.effective.checked_add(other.effective)?;
        self.charges += other.charges;
        if other.partition < self.partition {
            (self.partition, self.from, self.to) = (other.partition, other.from, other.to);
        } else if other.partition == self.partition {
            self.from = self.from.min(other.from);
            self.to = self.to.max(other.to);
        }
        Some(())
    }
}

type Lines = BTreeMap<Line, Sum>;

/// Something kept, and whether it has changed since the last checkpoint.
#[derive(Debug, Clone, Default, PartialEq)]
struct Kept<T> {
    value: T,
    changed: bool,
}

/// One shard's entities.
#[derive(Debug, Clone, Default, PartialEq)]
struct State {
    /// Open days (since 1970-01-01), and each entity's charges in them.
    open: BTreeMap<i32, HashMap<String, Kept<Lines>>>,
    /// Each entity's totals of recent closed days, in units of 10⁻¹², ascending by day.
    closed: HashMap<String, Kept<BTreeMap<i32, i128>>>,
}

impl State {
    /// Its entities, and whether anything of each has changed.
    fn entities(&self) -> HashMap<&str, bool> {
        let open = self.open.values().flatten().map(|(name, kept)| (name, kept.changed));
        let closed = self.closed.iter().map(|(name, kept)| (name, kept.changed));
        let mut entities = HashMap::new();
        for (name, changed) in open.chain(closed) {
            *entities.entry(name.as_str()).or_default() |= changed;
        }
        entities
    }
}

/// The operator: describes days.
#[derive(Debug, Clone)]
pub struct Daily {
    services: Vec<String>,
    shards: Vec<State>,
}

impl Daily {
    /// An operator without charges. `services` are those that get a feature of their own, in
    /// order; all others share one.
    ///
    /// # Errors
    /// [`Error::Configuration`] when a service is named twice.
    pub fn new(services: Vec<String>) -> Result<Self> {
        for (at, service) in services.iter().enumerate() {
            if services[..at].contains(service) {
                return Err(Error::Configuration(format!("services: {service} is named twice")));
            }
        }
        Ok(Self { services, shards: vec![State::default(); SHARDS] })
    }

    /// The names of the features, in order.
    #[must_use]
    pub fn feature_names(&self) -> Vec<String> {
        let services = self.services.iter().map(|service| format!("service:{service}"));
        services.chain(TRAILING.iter().map(|name| (*name).to_owned())).collect()
    }

    /// Charges in days that are still open.
    #[must_use]
    pub fn pending_rows(&self) -> u64 {
        let lines = self.shards.iter().flat_map(|state| state.open.values().flatten());
        let charges = lines.flat_map(|(_, lines)| lines.value.values()).map(|sum| sum.charges);
        charges.sum::<i64>().unsigned_abs()
    }

    /// Takes up changes of totals ([`change_schema`]), those that are not late.
    ///
    /// # Errors
    /// [`Error::Column`] when they are not of that schema, or a sum exceeds `Decimal128(38, 12)`.
    pub fn push(&mut self, changes: &RecordBatch) -> Result<()> {
        if changes.schema().fields() != change_schema().fields() {
            return Err(Error::Column {
                column: DAY.to_owned(),
                expected: "changes of totals".to_owned(),
                found: "another batch".to_owned(),
            });
        }
        let late = column(changes, IS_LATE)?.as_boolean();
        let entities = texts(changes, ENTITY_ID)?;
        let days = column(changes, DAY)?.as_primitive::<Date32Type>();
        let names = [PROVIDER, BILLING_ACCOUNT, SERVICE, CURRENCY].map(|name| texts(changes, name));
        let [providers, accounts, services, currencies] = names;
        let (providers, accounts) = (providers?, accounts?);
        let (services, currencies) = (services?, currencies?);
        let difference = |before: &str, after: &str| {
            let (before, after) = (column(changes, before)?, column(changes, after)?);
            let before = before.as_primitive::<Decimal128Type>().values();
            let after = after.as_primitive::<Decimal128Type>().values();
            Ok::<Vec<i128>, Error>(before.iter().zip(after).map(|(b, a)| a - b).collect())
        };
        let billed = difference(BILLED_BEFORE, BILLED_AFTER)?;
        let effective = difference(EFFECTIVE_BEFORE, EFFECTIVE_AFTER)?;
        let count = |name: &str| Ok::<_, Error>(column(changes, name)?.as_primitive::<Int64Type>());
        let (before, after) = (count(CHARGES_BEFORE)?, count(CHARGES_AFTER)?);
        let offset =
            |name: &str| Ok::<_, Error>(column(changes, name)?.as_primitive::<UInt64Type>());
        let (from, to) = (offset(OFFSET_FROM)?, offset(OFFSET_TO)?);
        let partitions = column(changes, PARTITION)?.as_primitive::<UInt32Type>();
        // One buffer a batch: a line seen before costs no allocation.
        let mut line = Line::default();
        for row in (0..changes.num_rows()).filter(|row| !late.value(*row)) {
            let entity = entities.value(row);
            for (to, from) in [
                (&mut line.provider, providers),
                (&mut line.billing_account, accounts),
                (&mut line.service, services),
                (&mut line.currency, currencies),
            ] {
                to.clear();
                to.push_str(from.value(row));
            }
            let sum = Sum {
                billed: billed[row],
                effective: effective[row],
                charges: after.value(row) - before.value(row),
                partition: partitions.value(row),
                from: from.value(row),
                to: to.value(row),
            };
            let state = &mut self.shards[usize::from(Shard::of(entity).0)];
            let day = state.open.entry(days.value(row)).or_default();
            let lines = day.entry_ref(entity).or_default();
            lines.changed = true;
            match lines.value.get_mut(&line) {
                Some(known) => known.add(&sum).ok_or_else(|| too_large(entity, &line))?,
                None => drop(lines.value.insert(line.clone(), sum)),
            }
        }
        Ok(())
    }

    /// Closes the days that end at or before the watermark: window batches with `features`, ordered
    /// by day and entity; none when no day closes.
    ///
    /// # Errors
    /// [`Error::Column`] when an entity's total exceeds `Decimal128(38, 12)`.
    pub fn advance(&mut self, watermark: Watermark) -> Result<Vec<RecordBatch>> {
        let end = day_of(watermark.0);
        let mut closing: BTreeMap<i32, BTreeMap<String, Lines>> = BTreeMap::new();
        for state in &mut self.shards {
            let open = state.open.split_off(&end);
            for (day, entities) in std::mem::replace(&mut state.open, open) {
                let lines = entities.into_iter().map(|(entity, kept)| (entity, kept.value));
                closing.entry(day).or_default().extend(lines);
            }
        }
        let mut vectors = Vectors::default();
        for (day, entities) in closing {
            for (entity, lines) in entities {
                let state = &mut self.shards[usize::from(Shard::of(&entity).0)];
                let history = state.closed.entry_ref(&entity).or_default();
                history.changed = true;
                vectors.push(&self.services, day, &entity, &lines, &mut history.value)?;
            }
        }
        Ok(vectors.finish(self.services.len() + TRAILING.len())?.into_iter().collect())
    }
}

fn too_large(entity: &str, line: &Line) -> Error {
    Error::Column {
        column: EFFECTIVE_COST.to_owned(),
        expected: "sums within Decimal128(38, 12)".to_owned(),
        found: format!("more in a day of {entity}, {}", line.service),
    }
}

/// A column of texts, by place.
fn text_at(batch: &RecordBatch, at: usize) -> Result<&arrow::array::StringArray> {
    let array = batch.column(at);
    array.as_string_opt().ok_or_else(|| mismatch(batch.schema().field(at).name(), "Utf8", array))
}
