//! Google Cloud's audit logs: the resource of an entry, what its request names, and objects of clusters.

use serde_json::Value;

use super::{Event, Found, actor};
use crate::config_drift::kubernetes::type_of;
use crate::resource::id::{exact, object, within_project};

/// Adds what an entry says.
pub(super) fn find(event: &Event<'_>, found: &mut Found) {
    (found.is_human, found.is_interactive) = actor::plain(event);
    let is_delegated = event.raw.contains("DelegationInfo") || event.raw.contains("delegationinfo");
    let raw: Value = if event.is_read() || event.service == "k8s.io" || is_delegated {
        serde_json::from_str(event.raw).unwrap_or_default()
    } else {
        Value::Null
    };
    let payload = member(&raw, "protoPayload");
    if is_delegated && event.principal_type == "ServiceAccount" {
        found.is_human = is_on_behalf(member(payload, "authenticationInfo"));
    }
    let mut names = event.listed();
    if names.is_empty() {
        let asked = member(payload, "authorizationInfo").as_array().into_iter().flatten();
        names.extend(asked.filter_map(|one| Some(one["resource"].as_str()?.to_owned().into())));
    }
    if event.service == "k8s.io" {
        let cluster = member(&member(&raw, "resource")["labels"], "cluster_name");
        let cluster = cluster.as_str().unwrap_or(event.account);
        for (id, resource_type) in names.iter().filter_map(|name| of_cluster(cluster, name)) {
            found.provider = Some("kubernetes");
            found.add(id.as_str(), Some(resource_type.into()));
            if event.operation.ends_with(".delete") {
                found.end(&id);
            }
        }
        return;
    }
    for name in &names {
        let Some(id) = within_project(event.service, event.account, name) else { continue };
        found.add_id(&id);
        if is_deleted(event.operation, name) {
            found.end(&id);
        } else if !event.reads {
            found.connect_references(&id, member(payload, "request"));
        }
    }
}

/// A member by its name, which some shippers write in lower case.
fn member<'v>(value: &'v Value, name: &str) -> &'v Value {
    match value.get(name) {
        Some(member) => member,
        None => &value[name.to_ascii_lowercase()],
    }
}

/// Whether a service account acts for a person.
fn is_on_behalf(who: &Value) -> bool {
    let chain = member(who, "serviceAccountDelegationInfo").as_array().into_iter().flatten();
    let mut emails = chain.filter_map(|link| {
        let of = member(link, "firstPartyPrincipal");
        member(of, "principalEmail").as_str().filter(|email| email.contains('@'))
    });
    emails.any(|email| !email.ends_with("gserviceaccount.com"))
}

/// An object by its path within a cluster, `apps/v1/namespaces/shop/deployments/web`, and its type.
fn of_cluster(cluster: &str, path: &str) -> Option<(String, String)> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, _version, rest) = match parts[..] {
        [group, version, ref rest @ ..] => (group, version, rest),
        _ => return None,
    };
    let group = if group == "core" { "" } else { group };
    let (namespace, resource, name) = match rest {
        ["namespaces", namespace, resource, name, ..] => (*namespace, *resource, *name),
        // A list has no name.
        ["namespaces", _, _] => return None,
        [resource, name, ..] => ("", *resource, *name),
        _ => return None,
    };
    let resource_type = type_of(resource, group);
    Some((object(cluster, namespace, &resource_type, name), resource_type))
}

/// Whether a method deletes the resource that it names: `v1.compute.instances.delete`, `DeleteCluster`.
fn is_deleted(method: &str, name: &str) -> bool {
    let verb = method.rsplit('.').next().unwrap_or_default();
    let Some(collection) = exact(name) else { return false };
    match verb.strip_prefix("Delete") {
        Some(noun) => format!("{noun}s").eq_ignore_ascii_case(collection),
        None => verb == "delete" && method.ends_with(&format!("{collection}.delete")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_deletes_what_it_names() {
        let check = |method: &str, name: &str, want: bool| {
            assert_eq!(is_deleted(method, name), want, "{method} {name}");
        };
        check("v1.compute.instances.delete", "projects/p/zones/z/instances/n", true);
        check("v1.compute.instances.deleteAccessConfig", "projects/p/zones/z/instances/n", false);
        check(
            "google.container.v1.ClusterManager.DeleteCluster",
            "projects/p/zones/z/clusters/c",
            true,
        );
        check(
            "google.container.v1.ClusterManager.DeleteNodePool",
            "projects/p/zones/z/clusters/c",
            false,
        );
        check("storage.objects.delete", "projects/_/buckets/b/objects/o", false);
        check("storage.buckets.delete", "projects/_/buckets/b", true);
        check("dns.managedZones.delete", "managedZones/z", true);
    }
}
