//! `rejects`: input that is no record, with its place and the reason.

use super::{Kind, Table, Type, optional, required};

pub(super) const TABLE: Table = Table {
    name: "rejects",
    description: "a piece of input that could not be read as a record",
    kind: Kind::Result,
    own: &[
        required("file", Type::Text, "file or object it was read from"),
        optional(
            "line",
            Type::I64,
            "line in the decompressed file, from 1; null where the format has none",
        ),
        optional("field", Type::Text, "field at fault; null where the whole piece is"),
        required("reason", Type::Text, "what is wrong with it"),
        required("raw", Type::Bytes, "its first 64 KiB as read, any encoding"),
        required("raw_length", Type::I64, "its whole length in bytes"),
    ],
    sort: &["source", "partition", "offset_from"],
    statistics: &["source", "file", "reason"],
};
