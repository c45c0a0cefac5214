//! Columns of the batches that operators hand on, and of the result tables.

use arrow::datatypes::{DataType, Field};

use super::{ENTITY_ID, timestamp, vector};

/// First event time in a window.
pub const WINDOW_START: &str = "window_start";
/// A window's end. By count: the last row's event time. By time: the window's exclusive bound.
pub const WINDOW_END: &str = "window_end";
/// Partition of the window's last row; `UInt32`.
pub const PARTITION: &str = "partition";
/// Least offset of the window's rows in that partition; `UInt64`.
pub const OFFSET_FROM: &str = "offset_from";
/// Greatest offset of the window's rows in that partition, inclusive; `UInt64`.
pub const OFFSET_TO: &str = "offset_to";
/// Rows in the window; `UInt32`.
pub const ROWS: &str = "rows";
/// Raw values, time-major: value of step `t`, channel `c` is element `t * channels + c`.
pub const WINDOW: &str = "window";
/// The feature vector.
pub const FEATURES: &str = "features";

/// Name of the model that scored; `Utf8`.
pub const MODEL: &str = "model";
/// Its immutable version; `Utf8`.
pub const MODEL_VERSION: &str = "model_version";
/// The anomaly score; `f32`; higher is stranger.
pub const SCORE: &str = "score";
/// Reconstruction error; `f32`, nullable.
pub const RECONSTRUCTION_ERROR: &str = "reconstruction_error";
/// Kullback–Leibler divergence of the latent from its prior, nats; `f32`, nullable.
pub const KL: &str = "kl";
/// Latent mean; a vector; absent where the model has none.
pub const LATENT: &str = "latent";
/// Each channel's part of the reconstruction error; a vector, sums to it.
pub const CHANNEL_ERROR: &str = "channel_error";
/// Each step's part of the reconstruction error; a vector, sums to it; absent where the model has none.
pub const STEP_ERROR: &str = "step_error";

/// The limit set once from calibration scores; `f32`.
pub const THRESHOLD_STATIC: &str = "threshold_static";
/// The entity's own adaptive limit; `f32`, null until it has warmed up.
pub const THRESHOLD_ADAPTIVE: &str = "threshold_adaptive";
/// `score > threshold_static`; `Boolean`.
pub const ANOMALY_STATIC: &str = "is_anomaly_static";
/// `score > threshold_adaptive`; `Boolean`, null until warmed up.
pub const ANOMALY_ADAPTIVE: &str = "is_anomaly_adaptive";
/// The verdict by the configured policy; `Boolean`.
pub const ANOMALY: &str = "is_anomaly";
/// The open alert this window belongs to; `Utf8`, null where none is open.
pub const ALERT_ID: &str = "alert_id";
/// `opened` on an alert's first window, `closed` on its last, else null; `Utf8`.
pub const ALERT_EVENT: &str = "alert_event";

/// For each event of a window, how many other principals had used its operation before; a list of `u32`.
pub const PEERS: &str = "peers";
/// Ids of the ATT&CK techniques that events of a window may be steps of; a list of `Utf8`.
pub const TECHNIQUES: &str = "techniques";

/// The columns every window batch begins with.
#[must_use]
pub fn window_key_fields() -> Vec<Field> {
    vec![
        Field::new(ENTITY_ID, DataType::Utf8, false),
        Field::new(WINDOW_START, timestamp(), false),
        Field::new(WINDOW_END, timestamp(), false),
        Field::new(PARTITION, DataType::UInt32, false),
        Field::new(OFFSET_FROM, DataType::UInt64, false),
        Field::new(OFFSET_TO, DataType::UInt64, false),
        Field::new(ROWS, DataType::UInt32, false),
    ]
}

/// The window batch: the key columns, then `window` (when the windows have one length).
#[must_use]
pub fn window_fields(window_width: Option<usize>) -> Vec<Field> {
    let mut fields = window_key_fields();
    fields.extend(window_width.map(|width| Field::new(WINDOW, vector(width), false)));
    fields
}
