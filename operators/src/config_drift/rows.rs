//! Drift that appeared or healed, as rows.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::fact::{Cause, SOURCE};
use super::resource::Drift;
use crate::Result;
use crate::key::{digest, hex};
use crate::schema::configuration::{NAME, PROVIDER, RESOURCE_TYPE};
use crate::schema::result::{OFFSET_FROM, OFFSET_TO, PARTITION};
use crate::schema::{ENTITY_ID, timestamp};

/// Whether drift `appeared` or `healed`; `Utf8`.
pub const EVENT: &str = "event";

/// A difference that appeared, or that healed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DriftEvent {
    /// The resource's id.
    pub(super) resource: String,
    /// Whose it is.
    pub(super) provider: String,
    /// What it is.
    pub(super) resource_type: String,
    /// What its declaration calls it.
    pub(super) name: Option<String>,
    /// Where it differs; empty of the resource as a whole.
    pub(super) path: String,
    /// How it differs, or differed.
    pub(super) drift: Drift,
    /// Whether it is over.
    pub(super) is_healed: bool,
    /// Event time, µs.
    pub(super) at: i64,
    /// Event time at which it appeared, µs.
    pub(super) since: i64,
    /// What made it appear, or heal.
    pub(super) cause: Cause,
    /// What would heal it; none of what is healed.
    pub(super) remediation: Option<String>,
}

impl DriftEvent {
    /// The order of rows: what heals before what appears at the same path.
    pub(super) fn place(&self) -> impl Ord + '_ {
        (self.at, &self.resource, &self.resource_type, &self.path, !self.is_healed)
    }

    /// One name for a difference from its appearance on.
    fn id(&self) -> String {
        let since = self.since.to_le_bytes();
        let parts = [self.resource.as_bytes(), self.resource_type.as_bytes(), self.path.as_bytes()];
        hex(&digest(parts.into_iter().chain([&since[..]]))[..8])
    }
}

/// The columns of drift that appeared or healed.
#[must_use]
pub(super) fn schema() -> SchemaRef {
    let text = |name, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        text(SOURCE, false),
        Field::new(PARTITION, DataType::UInt32, false),
        Field::new(OFFSET_FROM, DataType::UInt64, false),
        Field::new(OFFSET_TO, DataType::UInt64, false),
        text(ENTITY_ID, false),
        text("drift_id", false),
        text(EVENT, false),
        Field::new("at", timestamp(), false),
        Field::new("since", timestamp(), false),
        text(PROVIDER, false),
        text(RESOURCE_TYPE, false),
        text(NAME, true),
        text("path", false),
        text("kind", false),
        text("declared", true),
        text("observed", true),
        text("principal", true),
        text("operation", true),
        text("event_id", true),
        text("remediation", true),
    ]))
}

/// Events as rows.
///
/// # Errors
/// When Arrow refuses to build the batch, which is a bug.
pub(super) fn rows(events: &[DriftEvent]) -> Result<RecordBatch> {
    let need = |of: fn(&DriftEvent) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(events.iter().map(of)))
    };
    let may = |of: fn(&DriftEvent) -> Option<&str>| -> ArrayRef {
        Arc::new(events.iter().map(of).collect::<StringArray>())
    };
    let time = |of: fn(&DriftEvent) -> i64| -> ArrayRef {
        let times = TimestampMicrosecondArray::from_iter_values(events.iter().map(of));
        Arc::new(times.with_timezone("UTC"))
    };
    let offsets: ArrayRef =
        Arc::new(UInt64Array::from_iter_values(events.iter().map(|event| event.cause.offset)));
    let partitions = events.iter().map(|event| event.cause.partition);
    let columns = vec![
        need(|event| &event.cause.source),
        Arc::new(UInt32Array::from_iter_values(partitions)),
        Arc::clone(&offsets),
        offsets,
        need(|event| &event.resource),
        Arc::new(StringArray::from_iter_values(events.iter().map(DriftEvent::id))),
        need(|event| if event.is_healed { "healed" } else { "appeared" }),
        time(|event| event.at),
        time(|event| event.since),
        need(|event| &event.provider),
        need(|event| &event.resource_type),
        may(|event| event.name.as_deref()),
        need(|event| &event.path),
        need(|event| event.drift.kind.name()),
        may(|event| event.drift.declared.as_deref()),
        may(|event| event.drift.observed.as_deref()),
        may(|event| event.cause.principal.as_deref()),
        may(|event| event.cause.operation.as_deref()),
        may(|event| event.cause.event_id.as_deref()),
        may(|event| event.remediation.as_deref()),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}
