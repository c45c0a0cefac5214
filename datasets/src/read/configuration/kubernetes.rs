//! Kubernetes manifests: YAML of several documents, or JSON; lists are what they hold.

use cloudops_operators::config_drift::kubernetes::{configured, id_of, resource_of, type_of};
use serde_json::Value;

use super::super::record::Fault;
use super::{Document, Item, values};
use crate::Result;

pub(super) fn document(text: &str, cluster: &str) -> Result<Document, Fault> {
    let mut items = Vec::new();
    for value in values(text)?.into_iter().filter(|value| !value.is_null()) {
        object(value, cluster, &mut items);
    }
    Ok(Document { items, ..Document::default() })
}

fn object(value: Value, cluster: &str, items: &mut Vec<Result<Item, Fault>>) {
    let kind = value["kind"].as_str().unwrap_or_default();
    if kind == "List" {
        for item in value["items"].as_array().into_iter().flatten() {
            object(item.clone(), cluster, items);
        }
        return;
    }
    items.push(item(value, cluster));
}

fn item(value: Value, cluster: &str) -> Result<Item, Fault> {
    let need = |value: &Value, field: &'static str| {
        let text = value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        text.ok_or_else(|| Fault::fixed(field, "missing"))
    };
    let version = need(&value["apiVersion"], "apiVersion")?;
    let kind = need(&value["kind"], "kind")?;
    let name = need(&value["metadata"]["name"], "metadata.name")?;
    let group = version.rsplit_once('/').map_or("", |(group, _)| group);
    // Without one, `kubectl apply` takes `default`; kinds of the whole cluster have none.
    let namespace = match value["metadata"]["namespace"].as_str() {
        Some(namespace) => namespace,
        None if OF_CLUSTER.contains(&kind.as_str()) => "",
        None => "default",
    };
    Ok(Item {
        id: id_of(cluster, namespace, &name),
        provider: "kubernetes".to_owned(),
        resource_type: type_of(&resource_of(&kind), group),
        name: Some(format!("{kind}/{name}")),
        attributes: configured(value),
    })
}

/// Kinds that stand in no namespace, of those that Kubernetes itself has.
const OF_CLUSTER: [&str; 16] = [
    "APIService",
    "ClusterRole",
    "ClusterRoleBinding",
    "CSIDriver",
    "CSINode",
    "CustomResourceDefinition",
    "IngressClass",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PriorityClass",
    "RuntimeClass",
    "StorageClass",
    "ValidatingWebhookConfiguration",
    "VolumeAttachment",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_are_one_object_each() {
        let text = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {replicas: 3}
---
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Service
  metadata: {name: web}
- apiVersion: rbac.authorization.k8s.io/v1
  kind: ClusterRole
  metadata: {name: reader}
- kind: Pod
";
        let items = document(text, "prod").unwrap().items;
        let found: Vec<String> = items
            .iter()
            .map(|item| match item {
                Ok(item) => format!("{} {}", item.resource_type, item.id),
                Err(fault) => fault.field.clone().unwrap_or_default().into_owned(),
            })
            .collect();
        assert_eq!(
            found,
            [
                "deployments.apps prod/shop/web",
                "services prod/default/web",
                "clusterroles.rbac.authorization.k8s.io prod/reader",
                "apiVersion",
            ]
        );
        assert_eq!(items[0].as_ref().unwrap().attributes["spec"]["replicas"], 3);
        let fault = document("a: [", "prod").unwrap_err();
        assert!(fault.reason.starts_with("not YAML"), "{}", fault.reason);
    }
}
