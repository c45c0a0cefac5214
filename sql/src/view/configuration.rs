//! Views of configuration: what differs from its declaration, and what did.

use super::View;

pub(super) const CONFIG_DRIFT: View = View {
    name: "config_drift",
    description: "a difference between what is declared and what was observed that has not healed",
    columns: &[
        ("resource", "the resource's id"),
        ("provider", "'aws', 'azure', 'gcp', 'kubernetes' or another"),
        ("resource_type", "Terraform's type; of Kubernetes resource and group"),
        ("name", "what its declaration calls it"),
        ("path", "the attribute; empty of the resource as a whole"),
        ("kind", "'changed', 'removed', 'added', 'missing' or 'unmanaged'"),
        ("declared", "what is declared; null where nothing is"),
        ("observed", "what was observed; null where nothing is left"),
        ("since", "event time at which it appeared, UTC"),
        ("principal", "who made it appear; null where no event told"),
        ("operation", "what they called"),
        ("event_id", "the provider's id of that event"),
        ("remediation", "what would heal it"),
        ("drift_id", "the difference, from its appearance on"),
        ("source", "stream of the record that made it appear"),
        ("partition", "its partition"),
        ("offset", "its offset"),
    ],
    sql: "
        SELECT entity_id AS resource, provider, resource_type, name, path, kind, declared, observed,
               since, principal, operation, event_id, remediation, drift_id, source, partition,
               offset_from AS offset
        FROM config_drift_changes AS appeared
        WHERE event = 'appeared' AND NOT EXISTS (
            SELECT 1 FROM config_drift_changes AS healed
            WHERE healed.event = 'healed' AND healed.drift_id = appeared.drift_id)
        ORDER BY since, resource, resource_type, path",
};

pub(super) const CONFIG_DRIFT_HISTORY: View = View {
    name: "config_drift_history",
    description: "a difference between what is declared and what was observed, from appearance to healing",
    columns: &[
        ("drift_id", "the difference"),
        ("resource", "the resource's id"),
        ("resource_type", "Terraform's type; of Kubernetes resource and group"),
        ("path", "the attribute; empty of the resource as a whole"),
        ("kind", "'changed', 'removed', 'added', 'missing' or 'unmanaged'"),
        ("declared", "what was declared; null where nothing was"),
        ("observed", "what was observed; null where nothing was left"),
        ("appeared_at", "event time at which it appeared, UTC"),
        ("appeared_by", "who made it appear; null where no event told"),
        ("healed_at", "event time at which it healed, UTC; null while it is open"),
        ("healed_by", "who made it heal; null where no event told"),
    ],
    sql: "
        SELECT appeared.drift_id, appeared.entity_id AS resource, appeared.resource_type, appeared.path,
               appeared.kind, appeared.declared, appeared.observed, appeared.at AS appeared_at,
               appeared.principal AS appeared_by, healed.at AS healed_at,
               healed.principal AS healed_by
        FROM config_drift_changes AS appeared
        LEFT JOIN (SELECT * FROM config_drift_changes WHERE event = 'healed') AS healed
          ON healed.drift_id = appeared.drift_id
        WHERE appeared.event = 'appeared'
        ORDER BY appeared_at, resource, appeared.resource_type, appeared.path",
};
