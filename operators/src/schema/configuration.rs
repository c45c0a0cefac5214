//! Configuration: what resources are declared to be, or were seen to be, at an instant.
//!
//! A *document* declares, or lists, all resources of its *scope*: a Terraform state, a folder of
//! manifests, an account's inventory. A later document of the same scope replaces it, so what it no
//! longer names is gone. A document is a row without a resource (`entity_id` empty, no `body`), its head,
//! and a row a resource.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::{ENTITY_ID, OFFSET, TS, timestamp};

/// What a later document replaces: names of its own; `Utf8`.
pub const SCOPE: &str = "scope";
/// [`DECLARED`] or [`OBSERVED`]; `Utf8`.
pub const SIDE: &str = "side";
/// `aws`, `azure`, `gcp`, `kubernetes`, …; `Utf8`, empty in a head.
pub const PROVIDER: &str = "provider";
/// What the resource is: Terraform's type (`aws_instance`), of Kubernetes resource and group
/// (`deployments.apps`); `Utf8`, empty in a head.
pub const RESOURCE_TYPE: &str = "resource_type";
/// What the document calls the resource, e.g. `module.web.aws_instance.api[0]`; `Utf8`, nullable.
pub const NAME: &str = "name";
/// Its attributes, a JSON object; `Utf8`, null in a head and of a resource that is no more.
pub const BODY: &str = "body";

/// The side of what should be.
pub const DECLARED: &str = "declared";
/// The side of what was seen.
pub const OBSERVED: &str = "observed";

/// The input schema. `entity_id` is the resource's id, `ts` when the document holds from.
#[must_use]
pub fn schema() -> SchemaRef {
    let text = |name, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        text(ENTITY_ID, false),
        Field::new(TS, timestamp(), false),
        Field::new(OFFSET, DataType::UInt64, false),
        text(SCOPE, false),
        text(SIDE, false),
        text(PROVIDER, false),
        text(RESOURCE_TYPE, false),
        text(NAME, true),
        text(BODY, true),
    ]))
}
