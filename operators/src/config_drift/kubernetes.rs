//! Kubernetes' objects: what an audit event says of one, and how an object is named.

use serde_json::{Value, json};

use super::observe::Said;
use super::patch::Patch;

/// What an object is: its resource and group, `deployments.apps`; of the core group `pods`.
#[must_use]
pub fn type_of(resource: &str, group: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}

/// The resource of a kind, as Kubernetes itself guesses it (`meta.UnsafeGuessKindToResource`).
#[must_use]
pub fn resource_of(kind: &str) -> String {
    let singular = kind.to_ascii_lowercase();
    match singular.as_bytes().last() {
        _ if singular.ends_with("endpoints") => singular,
        Some(b's') => format!("{singular}es"),
        Some(b'y') => format!("{}ies", &singular[..singular.len() - 1]),
        _ => format!("{singular}s"),
    }
}

/// The id of an object: cluster, namespace (none of what has none), name.
#[must_use]
pub fn id_of(cluster: &str, namespace: &str, name: &str) -> String {
    let parts = [cluster, namespace, name];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

/// What an object is configured to be: without its state, and without what the server keeps of it.
#[must_use]
pub fn configured(mut object: Value) -> Value {
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
        // Both sides have them in the type.
        object.remove("kind");
        object.remove("apiVersion");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for kept in [
            "managedFields",
            "resourceVersion",
            "uid",
            "generation",
            "creationTimestamp",
            "namespace",
        ] {
            metadata.remove(kept);
        }
        if let Some(Value::Object(notes)) = metadata.get_mut("annotations") {
            notes.remove("kubectl.kubernetes.io/last-applied-configuration");
            notes.remove("deployment.kubernetes.io/revision");
        }
    }
    object
}

/// What an audit event says of the object that it is about.
#[must_use]
pub(super) fn said(cluster: &str, event: &Value) -> Option<Said> {
    let of = &event["objectRef"];
    let text = |key: &str| of[key].as_str().unwrap_or_default();
    let body = |key: &str| {
        let body = &event[key];
        (body.is_object() && body["kind"] != "Status").then_some(body)
    };
    let name = Some(text("name")).filter(|name| !name.is_empty());
    let name = name.or_else(|| body("responseObject")?["metadata"]["name"].as_str())?;
    let id = id_of(cluster, text("namespace"), name);
    let resource_type = type_of(of["resource"].as_str()?, text("apiGroup"));
    match (event["verb"].as_str()?, text("subresource")) {
        ("delete", "") => Some(Said::gone(&resource_type, &id)),
        ("create" | "update" | "patch", "") => {
            // A patch's own body is no object; a server that logs no response leaves nothing to read.
            let whole = body("responseObject").or_else(|| match event["verb"].as_str() {
                Some("create" | "update") => body("requestObject"),
                _ => None,
            })?;
            Some(Said::observed(&resource_type, &id, &configured(whole.clone())))
        }
        ("update" | "patch", "scale") => {
            let scaled = body("responseObject").or_else(|| body("requestObject"))?;
            let replicas = scaled["spec"].get("replicas")?;
            let set = json!({"spec": {"replicas": replicas}});
            let patch = Patch { set: set.as_object()?.clone(), ..Patch::default() };
            Some(Said::changed(&resource_type, &id, patch))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_become_resources() {
        for (kind, resource) in [
            ("Deployment", "deployments"),
            ("Ingress", "ingresses"),
            ("NetworkPolicy", "networkpolicies"),
            ("Endpoints", "endpoints"),
        ] {
            assert_eq!(resource_of(kind), resource);
        }
        assert_eq!(type_of("deployments", "apps"), "deployments.apps");
        assert_eq!(id_of("c", "", "node-1"), "c/node-1");
    }

    #[test]
    fn an_event_says_what_its_object_is_now() {
        let event = json!({
            "verb": "patch",
            "objectRef": {"resource": "deployments", "apiGroup": "apps", "namespace": "shop", "name": "web"},
            "requestObject": {"spec": {"replicas": 5}},
            "responseObject": {
                "kind": "Deployment", "apiVersion": "apps/v1",
                "metadata": {"name": "web", "uid": "u"}, "spec": {"replicas": 5}, "status": {"replicas": 2},
            },
        });
        let said = said("prod", &event).unwrap();
        assert_eq!(
            (said.resource_type.as_str(), said.id.as_str()),
            ("deployments.apps", "prod/shop/web")
        );
        let body: Value = serde_json::from_str(&said.body.unwrap()).unwrap();
        assert_eq!(body, json!({"metadata": {"name": "web"}, "spec": {"replicas": 5}}));
        let deleted = json!({"verb": "delete", "objectRef": {"resource": "pods", "name": "p"},
            "responseObject": {"kind": "Status"}});
        assert_eq!(super::said("prod", &deleted).unwrap().body, None);
        let unread = json!({"verb": "patch", "objectRef": {"resource": "pods", "name": "p"}});
        assert!(super::said("prod", &unread).is_none());
    }
}
