//! A bill's changes as facts of resources: what each of them costs more, or less.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Date32Type, Decimal128Type, UInt32Type, UInt64Type};

use super::fact::{Cause, Fact, Identity, Money, What, rows};
use super::id;
use crate::Result;
use crate::bill::{EFFECTIVE_AFTER, EFFECTIVE_BEFORE, month_of};
use crate::right_size::provider;
use crate::schema::cost::{
    CURRENCY, DAY, DAY_US, KNOWN_ON, PROVIDER, REGION, RESOURCE, SERVICE, TAGS,
};
use crate::schema::result::{OFFSET_FROM, OFFSET_TO, PARTITION};
use crate::schema::{ENTITY_ID, column, texts};

/// What the totals of one resource that changed on one day have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    resource: String,
    known_on: i32,
    currency: String,
    month: i32,
    identity: Identity,
    tags: Option<String>,
}

/// Facts of the resources whose totals changed ([`crate::bill::change_schema`]), of a stream; none where
/// no total is of a resource.
///
/// # Errors
/// [`crate::Error::Column`] when they are no changes.
pub fn charged(source: &str, changes: &RecordBatch) -> Result<Option<RecordBatch>> {
    let text = |name| texts(changes, name);
    let (resources, accounts, providers) = (text(RESOURCE)?, text(ENTITY_ID)?, text(PROVIDER)?);
    let (services, currencies) = (text(SERVICE)?, text(CURRENCY)?);
    let (regions, tags) = (text(REGION)?, text(TAGS)?);
    let days = column(changes, DAY)?.as_primitive::<Date32Type>();
    let known_on = column(changes, KNOWN_ON)?.as_primitive::<Date32Type>();
    let before = column(changes, EFFECTIVE_BEFORE)?.as_primitive::<Decimal128Type>();
    let after = column(changes, EFFECTIVE_AFTER)?.as_primitive::<Decimal128Type>();
    let partitions = column(changes, PARTITION)?.as_primitive::<UInt32Type>();
    let from = column(changes, OFFSET_FROM)?.as_primitive::<UInt64Type>();
    let to = column(changes, OFFSET_TO)?.as_primitive::<UInt64Type>();
    let mut totals: BTreeMap<Key, (i128, Cause)> = BTreeMap::new();
    for row in 0..changes.num_rows() {
        if resources.is_null(row) || resources.value(row).is_empty() {
            continue;
        }
        let may = |column: &arrow::array::StringArray| {
            column.is_valid(row).then(|| column.value(row).to_owned())
        };
        let key = Key {
            resource: id::canonical(resources.value(row)).into_owned(),
            known_on: known_on.value(row),
            currency: currencies.value(row).to_owned(),
            month: month_of(days.value(row)).0,
            identity: Identity {
                provider: Some(provider(providers.value(row))),
                account: Some(accounts.value(row).to_owned()),
                region: may(regions),
                service: Some(services.value(row).to_owned()),
                resource_type: None,
            },
            tags: may(tags),
        };
        let cause = Cause {
            source: source.to_owned(),
            partition: partitions.value(row),
            from: from.value(row),
            to: to.value(row),
        };
        let amount = after.value(row) - before.value(row);
        let total = totals.entry(key).or_insert_with(|| (0, cause.clone()));
        total.0 += amount;
        total.1.merge(&cause);
    }
    let facts: Vec<Fact> = totals
        .into_iter()
        .map(|(key, (amount, cause))| Fact {
            resource: key.resource,
            at: i64::from(key.known_on) * DAY_US,
            what: What::Charged {
                currency: key.currency,
                month: key.month,
                amount: Money(amount),
                tags: key.tags,
            },
            identity: key.identity,
            cause,
        })
        .collect();
    rows(&facts)
}
