//! `sensor_windows`, `audit_windows`, `cost_windows`: the features the models saw.
//!
//! Written only where the configuration asks: they are the widest tables, and
//! a window can be had again from its offsets.

use cloudops_operators::schema::result;

use super::{
    Column, ENTITY, Kind, ROWS, Table, Type, WINDOW_END, WINDOW_START, optional, required,
};

const COLUMNS: &[Column] = &[
    ENTITY,
    WINDOW_START,
    WINDOW_END,
    ROWS,
    required(
        result::FEATURES,
        Type::Floats,
        "feature vector, in the order of the stream's feature schema",
    ),
    optional(
        "values",
        Type::Floats,
        "raw values, time-major: step t, channel c is element t * channels + c + 1; kept only when asked",
    ),
];

const fn windows(name: &'static str, description: &'static str) -> Table {
    Table {
        name,
        description,
        kind: Kind::Result,
        own: COLUMNS,
        sort: &["source", "entity_id", "window_end"],
        statistics: &["source", "entity_id", "window_start", "window_end"],
    }
}

pub(super) const SENSOR: Table =
    windows("sensor_windows", "one window of an entity's telemetry, with its features");
pub(super) const AUDIT: Table =
    windows("audit_windows", "one window of a principal's API activity, with its features");
pub(super) const COST: Table =
    windows("cost_windows", "one window of an account's daily cost, with its features");
