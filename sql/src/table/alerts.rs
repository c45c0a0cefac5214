//! `alerts`: one shape for all kinds; an alert is two rows, opened and closed, and where a corrected bill
//! leaves nothing of it, a third.

use cloudops_operators::schema::result;

use super::{
    ENTITY, Kind, MODEL, MODEL_VERSION, TECHNIQUES, TOP_CHANNEL, Table, Type, WINDOW_END,
    WINDOW_START, required,
};

pub(super) const TABLE: Table = Table {
    name: "alerts",
    description: "an alert was opened, closed or retracted",
    kind: Kind::Result,
    own: &[
        required(
            result::ALERT_ID,
            Type::Text,
            "names the alert in all its rows, in scores and in attributions; of a cost anomaly's, it is \
             the event_id in cost_anomalies",
        ),
        required(
            "event",
            Type::Text,
            "'opened', 'closed', or, of a cost anomaly's alert after that, 'retracted': corrections of \
             the bill have left nothing of it",
        ),
        required("kind", Type::Text, "'sensor', 'audit' or 'cost'"),
        ENTITY,
        required(
            "at",
            Type::Instant,
            "event time at which the alert opened or closed, or by which what retracted it was known, UTC",
        ),
        WINDOW_START,
        WINDOW_END,
        MODEL,
        MODEL_VERSION,
        required(
            result::SCORE,
            Type::F32,
            "score of the window that opened or closed it; of a cost anomaly's, how far the day was off, in \
             usual errors",
        ),
        required("threshold", Type::F32, "limit that this score was held against"),
        TOP_CHANNEL,
        TECHNIQUES,
    ],
    sort: &["source", "entity_id", "at", "alert_id"],
    statistics: &["source", "entity_id", "at", "window_end", "score", "kind", "event"],
};
