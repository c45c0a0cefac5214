//! Kubernetes' audit events: the object that one is about, and what that is made of.

use serde_json::Value;

use super::{Event, Found, actor};
use crate::config_drift::kubernetes::{resource_of, type_of};
use crate::resource::id::object;

/// Adds what an event says.
pub(super) fn find(event: &Event<'_>, found: &mut Found) {
    (found.is_human, found.is_interactive) = actor::plain(event);
    let group = if event.service == "core" { "" } else { event.service };
    let cluster = event.account;
    // `<namespace>/<resource>/<name>`, the namespace only of what has one.
    let listed = event.listed().first().and_then(|path| {
        let (place, name) = path.rsplit_once('/').filter(|(_, name)| !name.is_empty())?;
        let (namespace, resource) = place.rsplit_once('/').unwrap_or(("", place));
        let resource_type = type_of(resource, group);
        Some((object(cluster, namespace, &resource_type, name), resource_type))
    });
    // Reading an object says nothing else of it; neither does an event that is about no object.
    if event.reads {
        if let Some((id, resource_type)) = listed {
            found.add(id, Some(resource_type.into()));
        }
        return;
    }
    let raw: Value = serde_json::from_str(event.raw).unwrap_or_default();
    let of = &raw["objectRef"];
    // A server that logs no response may have logged what it was sent.
    let body = [&raw["responseObject"], &raw["requestObject"]]
        .into_iter()
        .find(|body| body.is_object() && body["kind"] != "Status");
    // A name that the server makes up is known to its response alone.
    let created = || {
        let name = body?["metadata"]["name"].as_str().filter(|name| !name.is_empty())?;
        let resource_type = type_of(of["resource"].as_str()?, group);
        let namespace = of["namespace"].as_str().unwrap_or_default();
        Some((object(cluster, namespace, &resource_type, name), resource_type))
    };
    let Some((id, resource_type)) = listed.or_else(created) else { return };
    found.add(id.as_str(), Some(resource_type.into()));
    let verb = event.operation.split(' ').next().unwrap_or_default();
    match (verb, of["subresource"].as_str().unwrap_or_default()) {
        ("delete", "") => found.end(&id),
        // A scheduler puts a pod on a node by binding them.
        ("create", "binding") => {
            let target = &raw["requestObject"]["target"];
            let kind = target["kind"].as_str().filter(|kind| !kind.is_empty()).unwrap_or("Node");
            if let Some(name) = target["name"].as_str().filter(|name| !name.is_empty()) {
                let node = object(cluster, "", &resource_of(kind), name);
                found.connect(&id, &node, false);
            }
        }
        ("create" | "update" | "patch", "") => {
            if let Some(body) = body {
                found.connect_references(&id, body);
            }
        }
        _ => {}
    }
}
