//! Audit events to facts: what those that changed configuration say of resources.

use arrow::array::{Array, RecordBatch};
use serde_json::Value;

use super::attributes::mask;
use super::fact::{Cause, Fact, What, rows};
use super::patch::Patch;
use super::{aws, kubernetes};
use crate::Result;
use crate::epoch::Partition;
use crate::resource::id;
use crate::schema::audit::{
    ACCOUNT, ERROR_CODE, EVENT_ID, OPERATION, PROVIDER, RAW, READ_ONLY, REGION,
};
use crate::schema::{ENTITY_ID, TS, column, mismatch, offsets, texts, times};

/// What an event says of one resource.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Said {
    /// What the resource is.
    pub(super) resource_type: String,
    /// Its id.
    pub(super) id: String,
    /// What is said.
    pub(super) what: What,
    /// A patch or attributes, as JSON.
    pub(super) body: Option<String>,
}

impl Said {
    /// Some attributes changed.
    #[must_use]
    pub(super) fn changed(resource_type: &str, id: &str, patch: Patch) -> Self {
        Self::new(resource_type, id, What::Changed, Some(patch.text()))
    }

    /// These are its attributes.
    #[must_use]
    pub(super) fn observed(resource_type: &str, id: &str, body: &Value) -> Self {
        let mut body = body.clone();
        mask(&mut body);
        Self::new(resource_type, id, What::Observed, Some(body.to_string()))
    }

    /// It is no more.
    #[must_use]
    pub(super) fn gone(resource_type: &str, id: &str) -> Self {
        Self::new(resource_type, id, What::Gone, None)
    }

    /// The id that all streams have for the resource, whose name may be unique in an account's region alone.
    fn canonical(&self, provider: &str, account: &str, region: &str) -> String {
        if provider == "kubernetes" {
            return id::declared(provider, &self.resource_type, &self.id, &Value::Null);
        }
        id::named(&self.resource_type, &self.id, region, account)
            .unwrap_or_else(|| id::canonical(&self.id).into_owned())
    }

    fn new(resource_type: &str, id: &str, what: What, body: Option<String>) -> Self {
        Self { resource_type: resource_type.to_owned(), id: id.to_owned(), what, body }
    }
}

/// Facts of a partition's audit events ([`crate::schema::audit`]); none where they change nothing that is
/// understood. Calls that only read, or failed, say nothing.
///
/// # Errors
/// [`crate::Error::Column`] when they are no audit events.
pub fn facts(
    source: &str,
    partition: Partition,
    events: &RecordBatch,
) -> Result<Option<RecordBatch>> {
    let [principals, providers, accounts, regions, operations, errors, ids, raws] =
        [ENTITY_ID, PROVIDER, ACCOUNT, REGION, OPERATION, ERROR_CODE, EVENT_ID, RAW]
            .map(|name| texts(events, name));
    let (principals, providers, accounts, regions) = (principals?, providers?, accounts?, regions?);
    let (operations, errors, ids, raws) = (operations?, errors?, ids?, raws?);
    let reads = column(events, READ_ONLY)?;
    let reads = arrow::array::AsArray::as_boolean_opt(reads)
        .ok_or_else(|| mismatch(READ_ONLY, "Boolean", reads))?;
    let (at, offsets) = (times(events, TS)?, offsets(events)?);
    let mut facts = Vec::new();
    for (row, at) in at.iter().copied().enumerate() {
        if reads.value(row) || errors.is_valid(row) {
            continue;
        }
        let (provider, operation) = (providers.value(row), operations.value(row));
        let is_understood = match provider {
            "aws" => aws::OPERATIONS.contains(&operation),
            "kubernetes" => true,
            _ => false,
        };
        if !is_understood {
            continue;
        }
        let Ok(event) = serde_json::from_str::<Value>(raws.value(row)) else { continue };
        let said = match provider {
            "aws" => aws::said(operation, &event),
            _ => kubernetes::said(accounts.value(row), &event).into_iter().collect(),
        };
        let (account, region) = (accounts.value(row), regions.value(row));
        facts.extend(said.into_iter().map(|said| Fact {
            canonical: said.canonical(provider, account, region),
            resource: said.id,
            what: said.what,
            scope: String::new(),
            provider: provider.to_owned(),
            resource_type: said.resource_type,
            name: None,
            body: said.body,
            cause: Cause {
                at,
                source: source.to_owned(),
                partition: partition.0,
                offset: offsets.value(row),
                principal: Some(principals.value(row).to_owned()),
                operation: Some(operation.to_owned()),
                event_id: Some(ids.value(row).to_owned()),
            },
        }));
    }
    if facts.is_empty() { Ok(None) } else { rows(&facts).map(Some) }
}
