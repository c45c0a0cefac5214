//! `models`, `epochs`, `tables`, `columns`: what the log, and we, say about ourselves.

use super::{Kind, Table, Type, optional, required};

pub(super) const MODELS: Table = Table {
    name: "models",
    description: "a model version was put in force from an event time on",
    kind: Kind::Log,
    own: &[
        required("name", Type::Text, "the model"),
        required("version", Type::Text, "its immutable version"),
        optional(
            "effective_from",
            Type::Instant,
            "event time from which it scores, UTC; null: from the beginning",
        ),
        required(
            "promoted_seq",
            Type::U64,
            "number of the log record that says so",
        ),
    ],
    sort: &["promoted_seq"],
    statistics: &[],
};

pub(super) const EPOCHS: Table = Table {
    name: "epochs",
    description: "what became of the records of one source in one committed epoch",
    kind: Kind::Log,
    own: &[
        required("epoch", Type::U64, "the epoch"),
        required("source", Type::Text, "name of the configured stream"),
        required(
            "records_in",
            Type::U64,
            "records read: on_time + late + rejected + duplicates",
        ),
        required("on_time", Type::U64, "records handed to windows"),
        required("late", Type::U64, "rows added to late"),
        required("rejected", Type::U64, "rows added to rejects"),
        required("duplicates", Type::U64, "records seen before, dropped"),
        optional(
            "watermark",
            Type::Instant,
            "least watermark over the source's partitions at the epoch's end, UTC",
        ),
        required("files", Type::U64, "files the commit added, of all sources"),
        required("rows", Type::U64, "rows in those files"),
        optional(
            "started_at",
            Type::Instant,
            "wall clock when the epoch was planned, UTC",
        ),
        optional(
            "committed_at",
            Type::Instant,
            "wall clock when it was committed, UTC",
        ),
    ],
    sort: &["epoch", "source"],
    statistics: &[],
};

pub(super) const TABLES: Table = Table {
    name: "tables",
    description: "a table or view",
    kind: Kind::Log,
    own: &[
        required("name", Type::Text, "its name"),
        required(
            "kind",
            Type::Text,
            "'result' (Parquet files), 'log' (the log's records) or 'view'",
        ),
        required("description", Type::Text, "what a row is"),
        required("files", Type::U64, "files it has now"),
        required("rows", Type::U64, "rows in them; 0 for views"),
        required("bytes", Type::U64, "bytes in them"),
    ],
    sort: &[],
    statistics: &[],
};

pub(super) const COLUMNS: Table = Table {
    name: "columns",
    description: "a column of a table or view",
    kind: Kind::Log,
    own: &[
        required("table_name", Type::Text, "the table or view"),
        required("ordinal", Type::U32, "its place, from 1"),
        required("name", Type::Text, "its name"),
        required("type", Type::Text, "its Arrow type"),
        required("nullable", Type::Flag, "whether a row may lack it"),
        optional("description", Type::Text, "what it means, with its unit"),
    ],
    sort: &[],
    statistics: &[],
};
