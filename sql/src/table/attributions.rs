//! `attributions`: why an alert's score is what it is.

use super::{ENTITY, Kind, MODEL, MODEL_VERSION, Table, Type, WINDOW_END, optional, required};

pub(super) const TABLE: Table = Table {
    name: "attributions",
    description: "part of an alert's score owed to one channel, feature or time step",
    kind: Kind::Result,
    own: &[
        required("alert_id", Type::Text, "alert explained"),
        ENTITY,
        WINDOW_END,
        MODEL,
        MODEL_VERSION,
        required(
            "method",
            Type::Text,
            "how the score was divided; compare values only within one method",
        ),
        required("feature", Type::Text, "channel or feature"),
        optional(
            "t_offset",
            Type::I32,
            "step from the window's end (0 is the last, negative before); null: all steps",
        ),
        required(
            "value",
            Type::F32,
            "part of the score; the values of one alert and method sum to it",
        ),
    ],
    sort: &["source", "entity_id", "window_end", "alert_id", "method"],
    statistics: &["source", "entity_id", "window_end", "alert_id", "value"],
};
