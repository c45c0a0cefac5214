//! `config_drift_changes`: how configuration came to differ from what is declared, and back.

use cloudops_operators::config_drift::EVENT;
use cloudops_operators::schema::{self, configuration};

use super::{Column, Kind, Table, Type, optional, required};

const RESOURCE: Column = required(schema::ENTITY_ID, Type::Text, "the resource's id");

pub(super) const TABLE: Table = Table {
    name: "config_drift_changes",
    description: "a difference between what is declared and what was observed, as it appears and as it heals",
    kind: Kind::Result,
    own: &[
        RESOURCE,
        required("drift_id", Type::Text, "the difference, from its appearance on"),
        required(EVENT, Type::Text, "'appeared' or 'healed'"),
        required("at", Type::Instant, "event time at which it appeared or healed, UTC"),
        required("since", Type::Instant, "event time at which it appeared, UTC"),
        required(
            configuration::PROVIDER,
            Type::Text,
            "'aws', 'azure', 'gcp', 'kubernetes' or another",
        ),
        required(
            configuration::RESOURCE_TYPE,
            Type::Text,
            "Terraform's type; of Kubernetes resource and group",
        ),
        optional(configuration::NAME, Type::Text, "what its declaration calls it"),
        required("path", Type::Text, "the attribute; empty of the resource as a whole"),
        required("kind", Type::Text, "'changed', 'removed', 'added', 'missing' or 'unmanaged'"),
        optional("declared", Type::Text, "what is declared; null where nothing is"),
        optional("observed", Type::Text, "what was observed; null where nothing is left"),
        optional("principal", Type::Text, "who made it appear, or heal; null where no event told"),
        optional("operation", Type::Text, "what they called"),
        optional("event_id", Type::Text, "the provider's id of that event"),
        optional("remediation", Type::Text, "what would heal it; null of what has healed"),
    ],
    sort: &["at", "entity_id", "resource_type", "path"],
    statistics: &["source", "entity_id", "at"],
};
