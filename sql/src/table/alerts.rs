//! `alerts`: one shape for all kinds; an alert is two rows, opened and closed.

use cloudops_operators::schema::result;

use super::{
    ENTITY, Kind, MODEL, MODEL_VERSION, TECHNIQUES, TOP_CHANNEL, Table, Type, WINDOW_END,
    WINDOW_START, required,
};

pub(super) const TABLE: Table = Table {
    name: "alerts",
    description: "an alert was opened or closed",
    kind: Kind::Result,
    own: &[
        required(
            result::ALERT_ID,
            Type::Text,
            "names the alert in both its rows, in scores and in attributions",
        ),
        required("event", Type::Text, "'opened' or 'closed'"),
        required("kind", Type::Text, "'sensor', 'audit' or 'cost'"),
        ENTITY,
        required("at", Type::Instant, "event time at which the alert opened or closed, UTC"),
        WINDOW_START,
        WINDOW_END,
        MODEL,
        MODEL_VERSION,
        required(result::SCORE, Type::F32, "score of the window that opened or closed it"),
        required("threshold", Type::F32, "limit that this score was held against"),
        TOP_CHANNEL,
        TECHNIQUES,
    ],
    sort: &["source", "entity_id", "at", "alert_id"],
    statistics: &["source", "entity_id", "at", "window_end", "score", "kind", "event"],
};
