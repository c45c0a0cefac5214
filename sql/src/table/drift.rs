//! `drift`: has the input or the error moved since training?

use super::{Kind, MODEL, MODEL_VERSION, Table, Type, optional, required};

pub(super) const TABLE: Table = Table {
    name: "drift",
    description: "one test of whether data or reconstruction error moved away from training",
    kind: Kind::Result,
    own: &[
        required("kind", Type::Text, "what is watched: input, latent or error"),
        required("statistic", Type::Text, "test applied, such as psi or page_hinkley"),
        optional("feature", Type::Text, "channel or feature tested; null: all together"),
        required("period_start", Type::Instant, "first event time of the data tested, UTC"),
        required("period_end", Type::Instant, "last event time of the data tested, UTC"),
        required("effect", Type::F64, "size of the shift, in the statistic's own scale"),
        required("limit", Type::F64, "size from which the test fires"),
        required("fired", Type::Flag, "effect above limit"),
        required("action", Type::Text, "'none' or 'retrain'"),
        MODEL,
        MODEL_VERSION,
    ],
    sort: &["source", "period_end", "kind", "statistic"],
    statistics: &["source", "period_end", "effect", "fired"],
};
