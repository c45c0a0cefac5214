//! What a resource depends on, as its attributes name it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::id::{canonical, kind_of, named, object, short_type};
use crate::config_drift::kubernetes::{resource_of, type_of};

/// How deep attributes are looked into.
pub(super) const DEPTH: usize = 16;

/// Attributes that name the resource itself or hold text of its owner's; policies name whom they concern,
/// which is no dependence.
const OWN: [&str; 8] =
    ["id", "arn", "self_link", "selfLink", "name", "description", "tags", "tags_all"];

/// Canonical ids of other resources that the attributes of a resource name: of a declaration's or an
/// inventory's `body` ([`crate::schema::configuration`]), or of a request. `id` is the resource's own
/// canonical id; of a Kubernetes object it says where names are looked up. In order, each once.
#[must_use]
pub fn references(id: &str, attributes: &Value) -> Vec<String> {
    let mut found = BTreeSet::new();
    match kind_of(id) {
        Some(("kubernetes", _)) => object_references(id, attributes, &mut found),
        _ => {
            for (key, value) in attributes.as_object().into_iter().flatten() {
                if !OWN.contains(&key.as_str()) && !is_policy(key) {
                    walk(key, value, DEPTH, &mut found);
                }
            }
        }
    }
    found.remove(id);
    found.into_iter().collect()
}

/// Whether a name is a policy's, and not its id.
pub(super) fn is_policy(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let key = key.replace('_', "");
    key == "statement" || key.contains("policy") && !key.contains("policyarn")
}

fn walk(key: &str, value: &Value, depth: usize, found: &mut BTreeSet<String>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    match value {
        Value::String(text) => found.extend(referred(key, text)),
        Value::Array(elements) => elements.iter().for_each(|one| walk(key, one, depth, found)),
        Value::Object(members) => {
            for (key, value) in members.iter().filter(|(key, _)| !is_policy(key)) {
                walk(key, value, depth, found);
            }
        }
        _ => {}
    }
}

/// The resource that a text names by itself, or as a bucket's name where that is what it must be.
fn referred(key: &str, text: &str) -> Option<String> {
    if matches!(key, "bucket" | "s3_bucket_name" | "s3_bucket") {
        return named("aws_s3_bucket", text, "", "");
    }
    let is_id = short_type(text).is_some()
        || ["arn:", "//", "https://", "/subscriptions/", "projects/"]
            .iter()
            .any(|start| text.get(..start.len()).is_some_and(|t| t.eq_ignore_ascii_case(start)));
    if !is_id {
        return None;
    }
    let id = canonical(text);
    // A bucket's name says nothing any more; its ARN did.
    let is_bucket = text.contains(":s3:::") && id != text;
    (is_bucket || !is_provided(&id) && kind_of(&id).is_some()).then(|| id.into_owned())
}

/// Whether an ARN is of what Amazon provides to all.
pub(super) fn is_provided(id: &str) -> bool {
    let mut parts = id.split(':');
    parts.next() == Some("arn") && parts.nth(3) == Some("aws")
}

/// What a Kubernetes object names within its namespace: the key above a name, the name's key, what it is
/// of. An empty key stands for any.
const NAMES: [(&str, &str, &str); 14] = [
    ("", "nodeName", "nodes"),
    ("", "serviceAccountName", "serviceaccounts"),
    ("", "secretName", "secrets"),
    ("", "claimName", "persistentvolumeclaims"),
    ("", "volumeName", "persistentvolumes"),
    ("", "storageClassName", "storageclasses.storage.k8s.io"),
    ("", "ingressClassName", "ingressclasses.networking.k8s.io"),
    ("configMap", "name", "configmaps"),
    ("configMapRef", "name", "configmaps"),
    ("configMapKeyRef", "name", "configmaps"),
    ("secretRef", "name", "secrets"),
    ("secretKeyRef", "name", "secrets"),
    ("imagePullSecrets", "name", "secrets"),
    ("service", "name", "services"),
];

/// Types that stand in no namespace, of those in [`NAMES`].
const OF_CLUSTER: [&str; 4] = [
    "nodes",
    "persistentvolumes",
    "storageclasses.storage.k8s.io",
    "ingressclasses.networking.k8s.io",
];

fn object_references(id: &str, object: &Value, found: &mut BTreeSet<String>) {
    let parts: Vec<&str> = id.split('/').collect();
    let (cluster, namespace) = match parts[..] {
        [cluster, namespace, _, _] => (cluster, namespace),
        [cluster, ..] => (cluster, object["metadata"]["namespace"].as_str().unwrap_or_default()),
        [] => return,
    };
    let place = Place { cluster, namespace };
    for owner in object["metadata"]["ownerReferences"].as_array().into_iter().flatten() {
        found.extend(place.of_kind(owner));
    }
    // What an object is not made of stands outside its specification.
    for part in ["spec", "target", "backend", "webhooks", "subsets"] {
        place.walk("", &object[part], DEPTH, found);
    }
}

/// Where names are looked up.
struct Place<'a> {
    cluster: &'a str,
    namespace: &'a str,
}

impl Place<'_> {
    fn object(&self, resource_type: &str, name: &str) -> String {
        let of_cluster = OF_CLUSTER.contains(&resource_type);
        let namespace = if of_cluster { "" } else { self.namespace };
        object(self.cluster, namespace, resource_type, name)
    }

    /// What `{"apiVersion": …, "kind": …, "name": …}` names.
    fn of_kind(&self, named: &Value) -> Option<String> {
        let name = named["name"].as_str().filter(|name| !name.is_empty())?;
        let kind = named["kind"].as_str().filter(|kind| !kind.is_empty())?;
        let version = named["apiVersion"].as_str().unwrap_or_default();
        let group = version.rsplit_once('/').map_or("", |(group, _)| group);
        Some(self.object(&type_of(&resource_of(kind), group), name))
    }

    fn walk(&self, key: &str, value: &Value, depth: usize, found: &mut BTreeSet<String>) {
        let Some(depth) = depth.checked_sub(1) else { return };
        match value {
            Value::Array(elements) => {
                elements.iter().for_each(|one| self.walk(key, one, depth, found));
            }
            Value::Object(members) => {
                if matches!(key, "scaleTargetRef" | "targetRef") {
                    found.extend(self.of_kind(value));
                }
                for (inner, value) in members {
                    let is_named = |(above, name, _): &&(&str, &str, &str)| {
                        *name == inner.as_str() && (above.is_empty() || *above == key)
                    };
                    let of = NAMES.iter().find(is_named);
                    match (of, value.as_str()) {
                        (Some((_, _, kind)), Some(name)) if !name.is_empty() => {
                            found.insert(self.object(kind, name));
                        }
                        _ => self.walk(inner, value, depth, found),
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(id: &str, attributes: Value, want: &[&str]) {
        assert_eq!(references(id, &attributes), want, "{id}");
    }

    #[test]
    fn attributes_name_what_a_resource_depends_on() {
        check(
            "i-0abc",
            json!({
                "id": "i-0abc", "arn": "arn:aws:ec2:eu-west-1:1:instance/i-0abc",
                "ami": "ami-1", "subnet_id": "subnet-1", "vpc_security_group_ids": ["sg-2", "sg-1"],
                "root_block_device": [{"volume_id": "vol-1"}], "instance_type": "m5.large",
                "iam_instance_profile": "web", "tags": {"twin": "i-0def"}, "user_data": "i-0abc or sg-1",
            }),
            &["ami-1", "sg-1", "sg-2", "subnet-1", "vol-1"],
        );
        check(
            "arn:aws:lambda:eu-west-1:1:function:f",
            json!({
                "role": "arn:aws:iam::1:role/service-role/f", "layers": ["arn:aws:lambda:eu-west-1:1:layer:l:3"],
                "vpc_config": [{"subnet_ids": ["subnet-1"]}], "s3_bucket": "code",
                "policy": "arn:aws:s3:::not-this", "managed": "arn:aws:iam::aws:policy/ReadOnly",
                "destination": "arn:aws:s3:::out/prefix",
            }),
            &[
                "arn:aws:iam::1:role/f",
                "arn:aws:lambda:eu-west-1:1:layer:l",
                "code",
                "out",
                "subnet-1",
            ],
        );
        check(
            "/subscriptions/s/resourcegroups/g/providers/microsoft.compute/virtualmachines/v",
            json!({"network_interface_ids":
                ["/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/networkInterfaces/N"]}),
            &["/subscriptions/s/resourcegroups/g/providers/microsoft.network/networkinterfaces/n"],
        );
        check(
            "//compute.googleapis.com/projects/p/zones/z/instances/n",
            json!({"boot_disk": [{"source": "https://www.googleapis.com/compute/v1/projects/p/zones/z/disks/d"}],
                "network_interface": [{"network": "projects/p/global/networks/default"}]}),
            &[
                "//compute.googleapis.com/projects/p/global/networks/default",
                "//compute.googleapis.com/projects/p/zones/z/disks/d",
            ],
        );
        check("i-1", json!("sg-1"), &[]);
    }

    #[test]
    fn objects_name_what_they_are_made_of() {
        check(
            "prod/shop/pods/web-1",
            json!({
                "metadata": {"name": "web-1", "ownerReferences": [
                    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web"}]},
                "spec": {
                    "nodeName": "n-1", "serviceAccountName": "web",
                    "containers": [{"name": "web", "envFrom": [{"configMapRef": {"name": "env"}}],
                        "env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "k"}}}]}],
                    "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "disk"}}],
                },
            }),
            &[
                "prod/nodes/n-1",
                "prod/shop/configmaps/env",
                "prod/shop/persistentvolumeclaims/disk",
                "prod/shop/replicasets.apps/web",
                "prod/shop/secrets/keys",
                "prod/shop/serviceaccounts/web",
            ],
        );
        check(
            "prod/shop/horizontalpodautoscalers.autoscaling/web",
            json!({"spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}}),
            &["prod/shop/deployments.apps/web"],
        );
    }

    #[test]
    fn depth_is_bounded() {
        let mut deep = json!("sg-1");
        for _ in 0..100 {
            deep = json!([deep]);
        }
        check("i-1", json!({"security_group": deep}), &[]);
    }
}
