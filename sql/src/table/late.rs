//! `late`: records that came after their time, kept as they were.

use cloudops_operators::schema;

use super::{ENTITY, Kind, Table, Type, required};

pub(super) const TABLE: Table = Table {
    name: "late",
    description: "a record older than its partition's watermark when it arrived",
    kind: Kind::Result,
    own: &[
        ENTITY,
        required(schema::TS, Type::Instant, "the record's event time, UTC"),
        required("watermark", Type::Instant, "its partition's watermark at its arrival, UTC"),
        required("raw", Type::Text, "the record, as a JSON object"),
    ],
    sort: &["source", "partition", "offset_from"],
    statistics: &["source", "entity_id", "ts"],
};
