//! Kubernetes' objects: cluster, namespace, what it is, name.

use crate::config_drift::kubernetes::id_of;

/// Objects of the core group, which has no name: what else tells that a path is an object's.
const CORE: [&str; 17] = [
    "bindings",
    "configmaps",
    "endpoints",
    "events",
    "limitranges",
    "namespaces",
    "nodes",
    "persistentvolumeclaims",
    "persistentvolumes",
    "pods",
    "podtemplates",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "serviceaccounts",
    "services",
    "componentstatuses",
];

/// The canonical id of an object; its type is resource and group, `deployments.apps`.
#[must_use]
pub fn object(cluster: &str, namespace: &str, resource_type: &str, name: &str) -> String {
    // A namespace's event names it twice: as what it is about, and as where that is.
    let namespace = if resource_type == "namespaces" { "" } else { namespace };
    id_of(cluster, namespace, &format!("{resource_type}/{name}"))
}

/// The type in an object's id.
pub(super) fn object_type(id: &str) -> Option<&str> {
    let parts: Vec<&str> = id.split('/').collect();
    let ([_, of, name] | [_, _, of, name]) = parts[..] else { return None };
    let is_word = of.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    let is_known = CORE.contains(&of)
        || of.split_once('.').is_some_and(|(what, group)| !what.is_empty() && !group.is_empty());
    (is_word && is_known && !name.is_empty()).then_some(of)
}

/// The id of an object whose configuration has the id `<cluster>/<namespace>/<name>`.
pub(super) fn declared(resource_type: &str, id: &str) -> String {
    match id.rsplit_once('/') {
        Some((place, name)) => format!("{place}/{resource_type}/{name}"),
        None => format!("{resource_type}/{id}"),
    }
}
