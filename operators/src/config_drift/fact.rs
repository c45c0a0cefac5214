//! What somebody said of one resource at one instant: what declarations, inventories and audit events
//! have in common.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
    UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type};
use serde::{Deserialize, Serialize};

use crate::schema::configuration::{BODY, NAME, PROVIDER, RESOURCE_TYPE, SCOPE};
use crate::schema::result::PARTITION;
use crate::schema::{ENTITY_ID, OFFSET, TS, numbers, offsets, texts, times, timestamp};
use crate::{Error, Result};

/// The column of the stream that a fact came by; `Utf8`.
pub(super) const SOURCE: &str = "source";
const WHAT: &str = "what";
const PRINCIPAL: &str = "principal";
const OPERATION: &str = "operation";
const EVENT_ID: &str = "event_id";
const CANONICAL: &str = "canonical";

/// What is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum What {
    /// It should have these attributes.
    Declared,
    /// Its scope declares it no longer.
    Undeclared,
    /// It has these attributes, and no others.
    Observed,
    /// It is no more.
    Gone,
    /// Some of its attributes changed: see [`super::patch`].
    Changed,
}

impl What {
    const ALL: [(Self, &str); 5] = [
        (Self::Declared, "declared"),
        (Self::Undeclared, "undeclared"),
        (Self::Observed, "observed"),
        (Self::Gone, "gone"),
        (Self::Changed, "changed"),
    ];

    fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(what, _)| *what)
    }
}

/// Which record said it, and of events who did it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Cause {
    /// Event time, µs since 1970-01-01.
    pub(crate) at: i64,
    /// The stream.
    pub(crate) source: String,
    /// Its partition.
    pub(crate) partition: u32,
    /// The record.
    pub(crate) offset: u64,
    /// Who did it; of audit events only.
    pub(crate) principal: Option<String>,
    /// What they called.
    pub(crate) operation: Option<String>,
    /// The provider's id of the event.
    pub(crate) event_id: Option<String>,
}

/// What somebody said of one resource at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fact {
    /// The resource's id.
    pub(crate) resource: String,
    /// The id that all streams have for it, [`crate::resource::id`].
    #[serde(default)]
    pub(crate) canonical: String,
    /// What is said of it.
    pub(crate) what: What,
    /// Of declarations, which document says so.
    pub(crate) scope: String,
    /// `aws`, `kubernetes`, …
    pub(crate) provider: String,
    /// What it is.
    pub(crate) resource_type: String,
    /// What the declaration calls it.
    pub(crate) name: Option<String>,
    /// Attributes, or a patch, as JSON.
    pub(crate) body: Option<String>,
    /// Where it stands.
    pub(crate) cause: Cause,
}

impl Fact {
    /// The order in which facts are taken up: by event time; of one instant what is declared before what
    /// is observed; else as they stood.
    #[must_use]
    pub(super) fn place(&self) -> impl Ord + '_ {
        let is_observed = self.what > What::Undeclared;
        let Cause { at, source, partition, offset, .. } = &self.cause;
        (*at, is_observed, source.as_str(), *partition, *offset)
    }
}

/// The columns of facts.
#[must_use]
pub(super) fn schema() -> SchemaRef {
    let text = |name, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        text(ENTITY_ID, false),
        Field::new(TS, timestamp(), false),
        Field::new(OFFSET, DataType::UInt64, false),
        Field::new(PARTITION, DataType::UInt32, false),
        text(CANONICAL, false),
        text(SOURCE, false),
        text(WHAT, false),
        text(SCOPE, false),
        text(PROVIDER, false),
        text(RESOURCE_TYPE, false),
        text(NAME, true),
        text(BODY, true),
        text(PRINCIPAL, true),
        text(OPERATION, true),
        text(EVENT_ID, true),
    ]))
}

/// Facts as rows.
///
/// # Errors
/// When Arrow refuses to build the batch, which is a bug.
pub(super) fn rows(facts: &[Fact]) -> Result<RecordBatch> {
    let need = |of: fn(&Fact) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(facts.iter().map(of)))
    };
    let may = |of: fn(&Fact) -> Option<&str>| -> ArrayRef {
        let mut column = StringBuilder::new();
        facts.iter().for_each(|fact| column.append_option(of(fact)));
        Arc::new(column.finish())
    };
    let at = facts.iter().map(|fact| fact.cause.at);
    let columns = vec![
        need(|fact| &fact.resource),
        Arc::new(TimestampMicrosecondArray::from_iter_values(at).with_timezone("UTC")),
        Arc::new(UInt64Array::from_iter_values(facts.iter().map(|fact| fact.cause.offset))),
        Arc::new(UInt32Array::from_iter_values(facts.iter().map(|fact| fact.cause.partition))),
        need(|fact| &fact.canonical),
        need(|fact| &fact.cause.source),
        need(|fact| fact.what.name()),
        need(|fact| &fact.scope),
        need(|fact| &fact.provider),
        need(|fact| &fact.resource_type),
        may(|fact| fact.name.as_deref()),
        may(|fact| fact.body.as_deref()),
        may(|fact| fact.cause.principal.as_deref()),
        may(|fact| fact.cause.operation.as_deref()),
        may(|fact| fact.cause.event_id.as_deref()),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

/// Rows as facts.
///
/// # Errors
/// [`Error::Column`] when they are not of [`schema`].
pub(crate) fn facts(rows: &RecordBatch) -> Result<Vec<Fact>> {
    let [
        resource,
        source,
        what,
        scope,
        provider,
        resource_type,
        name,
        body,
        principal,
        operation,
        event,
    ] = [
        ENTITY_ID,
        SOURCE,
        WHAT,
        SCOPE,
        PROVIDER,
        RESOURCE_TYPE,
        NAME,
        BODY,
        PRINCIPAL,
        OPERATION,
        EVENT_ID,
    ]
    .map(|name| texts(rows, name));
    let (resource, source, what, scope) = (resource?, source?, what?, scope?);
    let (provider, resource_type, name, body) = (provider?, resource_type?, name?, body?);
    let (principal, operation, event) = (principal?, operation?, event?);
    let canonical = texts(rows, CANONICAL)?;
    let (at, offsets) = (times(rows, TS)?, offsets(rows)?);
    let partitions = numbers::<UInt32Type>(rows, PARTITION)?;
    let may = |column: &StringArray, row: usize| {
        column.is_valid(row).then(|| column.value(row).to_owned())
    };
    (0..rows.num_rows())
        .map(|row| {
            let said = what.value(row);
            Ok(Fact {
                resource: resource.value(row).to_owned(),
                canonical: canonical.value(row).to_owned(),
                what: What::named(said).ok_or_else(|| Error::Column {
                    column: WHAT.to_owned(),
                    expected: "a kind of fact".to_owned(),
                    found: said.to_owned(),
                })?,
                scope: scope.value(row).to_owned(),
                provider: provider.value(row).to_owned(),
                resource_type: resource_type.value(row).to_owned(),
                name: may(name, row),
                body: may(body, row),
                cause: Cause {
                    at: at[row],
                    source: source.value(row).to_owned(),
                    partition: partitions.value(row),
                    offset: offsets.value(row),
                    principal: may(principal, row),
                    operation: may(operation, row),
                    event_id: may(event, row),
                },
            })
        })
        .collect()
}
