//! `sensor_scores`, `audit_scores`, `cost_scores`: every window's verdict.

use cloudops_operators::schema::result;

use super::{
    Column, ENTITY, Kind, MODEL, MODEL_VERSION, ROWS, TECHNIQUES, TOP_CHANNEL, Table, Type,
    WINDOW_END, WINDOW_START, optional, required,
};

const COLUMNS: [Column; 17] = [
    ENTITY,
    WINDOW_START,
    WINDOW_END,
    ROWS,
    MODEL,
    MODEL_VERSION,
    required(result::SCORE, Type::F32, "anomaly score; higher is stranger; scale is the model's"),
    optional(
        result::RECONSTRUCTION_ERROR,
        Type::F32,
        "error of the reconstruction, in standardised units",
    ),
    optional(result::KL, Type::F32, "divergence of the latent from its prior, nats"),
    required(
        result::THRESHOLD_STATIC,
        Type::F32,
        "limit from calibration scores, same scale as the score",
    ),
    optional(
        result::THRESHOLD_ADAPTIVE,
        Type::F32,
        "the entity's own limit; null until it has warmed up",
    ),
    required(result::ANOMALY_STATIC, Type::Flag, "score above threshold_static"),
    optional(
        result::ANOMALY_ADAPTIVE,
        Type::Flag,
        "score above threshold_adaptive; null until warmed up",
    ),
    required(result::ANOMALY, Type::Flag, "verdict by the configured policy"),
    optional(
        "contributions",
        Type::Floats,
        "share of each channel or feature in the reconstruction error, in schema order; sums to 1",
    ),
    TOP_CHANNEL,
    optional(
        result::ALERT_ID,
        Type::Text,
        "alert that the window belongs to; null where none is open",
    ),
];

/// Those of audit events: techniques as well.
const AUDIT_COLUMNS: [Column; COLUMNS.len() + 1] = {
    let mut columns = [TECHNIQUES; COLUMNS.len() + 1];
    let mut at = 0;
    while at < COLUMNS.len() {
        columns[at] = COLUMNS[at];
        at += 1;
    }
    columns
};

const fn scores(name: &'static str, description: &'static str, own: &'static [Column]) -> Table {
    Table {
        name,
        description,
        kind: Kind::Result,
        own,
        sort: &["source", "entity_id", "window_end"],
        statistics: &["source", "entity_id", "window_start", "window_end", "score", "is_anomaly"],
    }
}

pub(super) const SENSOR: Table =
    scores("sensor_scores", "score and verdict of one window of an entity's telemetry", &COLUMNS);
pub(super) const AUDIT: Table = scores(
    "audit_scores",
    "score and verdict of one window of a principal's API activity",
    &AUDIT_COLUMNS,
);
pub(super) const COST: Table =
    scores("cost_scores", "score and verdict of one window of an account's daily cost", &COLUMNS);
