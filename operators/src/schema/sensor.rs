//! Sensor telemetry: one row an entity and instant, declared channels.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::{ENTITY_ID, OFFSET, TS, timestamp};

/// The input schema: `entity_id`, `ts`, `offset`, then one `f32` column a channel.
///
/// Channels are in declared order and hold only finite values; a row with a
/// missing or non-finite channel is rejected before it gets here.
#[must_use]
pub fn schema(channels: &[String]) -> SchemaRef {
    let mut fields = vec![
        Field::new(ENTITY_ID, DataType::Utf8, false),
        Field::new(TS, timestamp(), false),
        Field::new(OFFSET, DataType::UInt64, false),
    ];
    fields.extend(channels.iter().map(|name| Field::new(name, DataType::Float32, false)));
    Arc::new(Schema::new(fields))
}

/// Index of the first channel column in [`schema`].
pub const FIRST_CHANNEL: usize = 3;
