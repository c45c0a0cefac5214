//! Audit events: OCSF-style API activity.
//!
//! Columns follow OCSF's API Activity class (`class_uid` 6003) flattened:
//! `actor.user` is the entity, `api.operation`, `api.service.name`,
//! `cloud.provider`, `cloud.account.uid`, `cloud.region`, `src_endpoint.ip`,
//! `http_request.user_agent`, `status`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::{ENTITY_ID, OFFSET, TS, timestamp};

/// The provider's id of the event; `Utf8`; deduplicates.
pub const EVENT_ID: &str = "event_id";
/// `aws`, `azure`, `gcp`; `Utf8`.
pub const PROVIDER: &str = "provider";
/// Account, subscription or project; `Utf8`.
pub const ACCOUNT: &str = "account";
/// Region; `Utf8`.
pub const REGION: &str = "region";
/// `IAMUser`, `AssumedRole`, `AWSService`, …; `Utf8`.
pub const PRINCIPAL_TYPE: &str = "principal_type";
/// Source address as written; `Utf8`, nullable.
pub const SOURCE_IP: &str = "source_ip";
/// User agent as written; `Utf8`, nullable.
pub const USER_AGENT: &str = "user_agent";
/// Service, e.g. `s3.amazonaws.com`; `Utf8`.
pub const SERVICE: &str = "service";
/// Operation, e.g. `GetObject`; `Utf8`.
pub const OPERATION: &str = "operation";
/// Whether the operation only reads; `Boolean`.
pub const READ_ONLY: &str = "read_only";
/// The provider's error code when the call failed; `Utf8`, null on success.
pub const ERROR_CODE: &str = "error_code";
/// Touched resources' ids, a JSON array; `Utf8`, nullable.
pub const RESOURCES: &str = "resources";
/// The event as it was read, JSON; `Utf8`.
pub const RAW: &str = "raw";

/// The input schema. `entity_id` is the principal (ARN, or type and id where there is none).
#[must_use]
pub fn schema() -> SchemaRef {
    let text = |name, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        text(ENTITY_ID, false),
        Field::new(TS, timestamp(), false),
        Field::new(OFFSET, DataType::UInt64, false),
        text(EVENT_ID, false),
        text(PROVIDER, false),
        text(ACCOUNT, false),
        text(REGION, false),
        text(PRINCIPAL_TYPE, false),
        text(SOURCE_IP, true),
        text(USER_AGENT, true),
        text(SERVICE, false),
        text(OPERATION, false),
        Field::new(READ_ONLY, DataType::Boolean, false),
        text(ERROR_CODE, true),
        text(RESOURCES, true),
        text(RAW, false),
    ]))
}
