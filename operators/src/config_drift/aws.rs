//! Amazon's audit events as facts: which operation changes which attribute of which resource.
//!
//! Resources have Terraform's types and attributes. Parameters are read where CloudTrail has them
//! (Amazon's [event reference]); an operation that is not listed here changes nothing that is compared.
//!
//! [event reference]: https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html

use serde_json::{Map, Value, json};

use super::observe::Said;
use super::patch::Patch;

/// Operations that are understood.
pub(super) const OPERATIONS: &[&str] = &[
    "RunInstances",
    "TerminateInstances",
    "StartInstances",
    "StopInstances",
    "ModifyInstanceAttribute",
    "CreateTags",
    "DeleteTags",
    "CreateSecurityGroup",
    "DeleteSecurityGroup",
    "AuthorizeSecurityGroupIngress",
    "AuthorizeSecurityGroupEgress",
    "RevokeSecurityGroupIngress",
    "RevokeSecurityGroupEgress",
    "CreateVolume",
    "ModifyVolume",
    "DeleteVolume",
    "CreateBucket",
    "DeleteBucket",
    "PutBucketVersioning",
    "PutBucketPublicAccessBlock",
    "DeleteBucketPublicAccessBlock",
    "PutBucketPolicy",
    "DeleteBucketPolicy",
    "AttachRolePolicy",
    "DetachRolePolicy",
    "PutRolePolicy",
    "DeleteRolePolicy",
    "UpdateAssumeRolePolicy",
    "DeleteRole",
    "ModifyDBInstance",
    "StartDBInstance",
    "StopDBInstance",
    "DeleteDBInstance",
    "UpdateFunctionConfiguration20150331v2",
    "DeleteFunction20150331",
    "StartLogging",
    "StopLogging",
    "DeleteTrail",
    "EnableKey",
    "DisableKey",
];

/// What a CloudTrail event says of resources.
#[must_use]
pub(super) fn said(operation: &str, event: &Value) -> Vec<Said> {
    let request = &event["requestParameters"];
    let response = &event["responseElements"];
    let one = |resource_type: &str, id: &Value, patch: Patch| -> Vec<Said> {
        name_of(id).map(|id| Said::changed(resource_type, &id, patch)).into_iter().collect()
    };
    let gone = |resource_type: &str, id: &Value| -> Vec<Said> {
        name_of(id).map(|id| Said::gone(resource_type, &id)).into_iter().collect()
    };
    match operation {
        "RunInstances" => items(&response["instancesSet"])
            .flat_map(|item| one("aws_instance", &item["instanceId"], launched(item, request)))
            .collect(),
        "TerminateInstances" => items(&request["instancesSet"])
            .flat_map(|item| gone("aws_instance", &item["instanceId"]))
            .collect(),
        "StartInstances" | "StopInstances" => {
            let state = if operation == "StartInstances" { "running" } else { "stopped" };
            items(&request["instancesSet"])
                .flat_map(|i| {
                    one("aws_instance", &i["instanceId"], set(json!({"instance_state": state})))
                })
                .collect()
        }
        "ModifyInstanceAttribute" => one("aws_instance", &request["instanceId"], modified(request)),
        "CreateTags" | "DeleteTags" => tagged(operation == "CreateTags", request),
        "CreateSecurityGroup" => {
            let of =
                [("groupName", "name"), ("vpcId", "vpc_id"), ("groupDescription", "description")];
            one("aws_security_group", &response["groupId"], set(renamed(request, &of)))
        }
        "DeleteSecurityGroup" => gone("aws_security_group", &request["groupId"]),
        "AuthorizeSecurityGroupIngress" | "RevokeSecurityGroupIngress" => {
            one("aws_security_group", &request["groupId"], ruled(operation, "ingress", request))
        }
        "AuthorizeSecurityGroupEgress" | "RevokeSecurityGroupEgress" => {
            one("aws_security_group", &request["groupId"], ruled(operation, "egress", request))
        }
        "CreateVolume" => {
            let of = [
                ("size", "size"),
                ("volumeType", "type"),
                ("iops", "iops"),
                ("encrypted", "encrypted"),
            ];
            one("aws_ebs_volume", &response["volumeId"], set(renamed(response, &of)))
        }
        "ModifyVolume" => {
            let request = &request["ModifyVolumeRequest"];
            let of = [("Size", "size"), ("VolumeType", "type"), ("Iops", "iops")];
            one("aws_ebs_volume", &request["VolumeId"], set(renamed(request, &of)))
        }
        "DeleteVolume" => gone("aws_ebs_volume", &request["volumeId"]),
        "CreateBucket" => one("aws_s3_bucket", &request["bucketName"], Patch::default()),
        "DeleteBucket" => gone("aws_s3_bucket", &request["bucketName"]),
        "PutBucketVersioning" => {
            let status = &request["VersioningConfiguration"]["Status"];
            let patch = set(json!({"versioning_configuration": [{"status": status}]}));
            one("aws_s3_bucket_versioning", &request["bucketName"], patch)
        }
        "PutBucketPublicAccessBlock" => {
            let of = [
                ("BlockPublicAcls", "block_public_acls"),
                ("IgnorePublicAcls", "ignore_public_acls"),
                ("BlockPublicPolicy", "block_public_policy"),
                ("RestrictPublicBuckets", "restrict_public_buckets"),
            ];
            let patch = set(renamed(&request["PublicAccessBlockConfiguration"], &of));
            one("aws_s3_bucket_public_access_block", &request["bucketName"], patch)
        }
        "DeleteBucketPublicAccessBlock" => {
            gone("aws_s3_bucket_public_access_block", &request["bucketName"])
        }
        "PutBucketPolicy" => {
            let patch = set(json!({"policy": policy(&request["bucketPolicy"])}));
            one("aws_s3_bucket_policy", &request["bucketName"], patch)
        }
        "DeleteBucketPolicy" => gone("aws_s3_bucket_policy", &request["bucketName"]),
        "AttachRolePolicy" | "DetachRolePolicy" => {
            let elements = [("managed_policy_arns".to_owned(), vec![request["policyArn"].clone()])];
            let patch = match operation {
                "AttachRolePolicy" => Patch { add: elements.into(), ..Patch::default() },
                _ => Patch { remove: elements.into(), ..Patch::default() },
            };
            one("aws_iam_role", &request["roleName"], patch)
        }
        "PutRolePolicy" | "DeleteRolePolicy" => {
            let name = [&request["roleName"], &request["policyName"]].map(Value::as_str);
            let [Some(role), Some(name)] = name else { return Vec::new() };
            let id = Value::from(format!("{role}:{name}"));
            match operation {
                "PutRolePolicy" => {
                    let patch = set(json!({"policy": policy(&request["policyDocument"])}));
                    one("aws_iam_role_policy", &id, patch)
                }
                _ => gone("aws_iam_role_policy", &id),
            }
        }
        "UpdateAssumeRolePolicy" => {
            let patch = set(json!({"assume_role_policy": policy(&request["policyDocument"])}));
            one("aws_iam_role", &request["roleName"], patch)
        }
        "DeleteRole" => gone("aws_iam_role", &request["roleName"]),
        "ModifyDBInstance" => {
            let of = [
                ("dBInstanceClass", "instance_class"),
                ("allocatedStorage", "allocated_storage"),
                ("deletionProtection", "deletion_protection"),
                ("publiclyAccessible", "publicly_accessible"),
                ("backupRetentionPeriod", "backup_retention_period"),
                ("multiAZ", "multi_az"),
                ("engineVersion", "engine_version"),
            ];
            one("aws_db_instance", &request["dBInstanceIdentifier"], set(renamed(request, &of)))
        }
        "StartDBInstance" | "StopDBInstance" => {
            let status = if operation == "StartDBInstance" { "available" } else { "stopped" };
            let patch = set(json!({"status": status}));
            one("aws_db_instance", &request["dBInstanceIdentifier"], patch)
        }
        "DeleteDBInstance" => gone("aws_db_instance", &request["dBInstanceIdentifier"]),
        "UpdateFunctionConfiguration20150331v2" => {
            let of = [
                ("memorySize", "memory_size"),
                ("timeout", "timeout"),
                ("runtime", "runtime"),
                ("handler", "handler"),
                ("role", "role"),
            ];
            one("aws_lambda_function", &request["functionName"], set(renamed(request, &of)))
        }
        "DeleteFunction20150331" => gone("aws_lambda_function", &request["functionName"]),
        "StartLogging" | "StopLogging" => {
            let patch = set(json!({"enable_logging": operation == "StartLogging"}));
            one("aws_cloudtrail", &request["name"], patch)
        }
        "DeleteTrail" => gone("aws_cloudtrail", &request["name"]),
        "EnableKey" | "DisableKey" => {
            let patch = set(json!({"is_enabled": operation == "EnableKey"}));
            one("aws_kms_key", &request["keyId"], patch)
        }
        _ => Vec::new(),
    }
}

/// The id of a resource, of an ARN its last part.
fn name_of(id: &Value) -> Option<String> {
    let id = id.as_str().filter(|id| !id.is_empty())?;
    Some(match id.starts_with("arn:") {
        true => id.rsplit([':', '/']).next().unwrap_or(id).to_owned(),
        false => id.to_owned(),
    })
}

/// The elements of one of EC2's lists.
fn items(set: &Value) -> impl Iterator<Item = &Value> {
    set["items"].as_array().into_iter().flatten()
}

fn set(attributes: Value) -> Patch {
    match attributes {
        Value::Object(set) => Patch { set, ..Patch::default() },
        _ => Patch::default(),
    }
}

/// What parameters there are, under other names.
fn renamed(parameters: &Value, names: &[(&str, &str)]) -> Value {
    let there = names.iter().filter_map(|(from, to)| {
        let value = parameters.get(*from).filter(|value| !value.is_null())?;
        Some(((*to).to_owned(), value.clone()))
    });
    Value::Object(there.collect())
}

fn launched(item: &Value, request: &Value) -> Patch {
    let of = [("imageId", "ami"), ("instanceType", "instance_type"), ("subnetId", "subnet_id")];
    let mut attributes = renamed(item, &of);
    attributes["instance_state"] = Value::from("running");
    let groups: Vec<&Value> = items(&item["groupSet"]).map(|group| &group["groupId"]).collect();
    if !groups.is_empty() {
        attributes["vpc_security_group_ids"] = json!(groups);
    }
    let specified = items(&request["tagSpecificationSet"])
        .filter(|of| of["resourceType"] == "instance")
        .flat_map(|of| of["tags"].as_array().into_iter().flatten());
    let tags = tags(specified);
    if !tags.is_empty() {
        attributes["tags"] = Value::Object(tags);
    }
    set(attributes)
}

fn modified(request: &Value) -> Patch {
    let of = [
        ("instanceType", "instance_type"),
        ("disableApiTermination", "disable_api_termination"),
        ("disableApiStop", "disable_api_stop"),
        ("sourceDestCheck", "source_dest_check"),
        ("ebsOptimized", "ebs_optimized"),
        ("instanceInitiatedShutdownBehavior", "instance_initiated_shutdown_behavior"),
    ];
    let mut attributes = Map::new();
    for (from, to) in of {
        // `{"value": …}`, or the attribute named and its value beside it.
        let value = match &request[from] {
            Value::Object(object) => object.get("value").cloned(),
            Value::Null if request["attribute"] == from => request.get("value").cloned(),
            Value::Null => None,
            other => Some(other.clone()),
        };
        attributes.extend(value.map(|value| (to.to_owned(), value)));
    }
    let groups: Vec<&Value> = items(&request["groupSet"]).map(|group| &group["groupId"]).collect();
    if !groups.is_empty() {
        attributes.insert("vpc_security_group_ids".to_owned(), json!(groups));
    }
    Patch { set: attributes, ..Patch::default() }
}

fn tags<'a>(tags: impl Iterator<Item = &'a Value>) -> Map<String, Value> {
    tags.filter_map(|tag| Some((tag["key"].as_str()?.to_owned(), tag["value"].clone()))).collect()
}

fn tagged(is_created: bool, request: &Value) -> Vec<Said> {
    let mut given = tags(items(&request["tagSet"]));
    if !is_created {
        given.values_mut().for_each(|value| *value = Value::Null);
    }
    let patch = match (is_created, given.is_empty()) {
        // Without keys, all of them go.
        (false, true) => Patch { drop: vec!["tags".to_owned()], ..Patch::default() },
        _ => set(json!({"tags": given})),
    };
    let ids = items(&request["resourcesSet"]).filter_map(|item| item["resourceId"].as_str());
    ids.filter_map(|id| Some(Said::changed(type_of(id)?, id, patch.clone()))).collect()
}

/// The type of an EC2 resource, by the beginning of its id.
#[must_use]
pub(crate) fn type_of(id: &str) -> Option<&'static str> {
    Some(match id.split_once('-')?.0 {
        "i" => "aws_instance",
        "vol" => "aws_ebs_volume",
        "snap" => "aws_ebs_snapshot",
        "ami" => "aws_ami",
        "sg" => "aws_security_group",
        "vpc" => "aws_vpc",
        "subnet" => "aws_subnet",
        "eni" => "aws_network_interface",
        "rtb" => "aws_route_table",
        "igw" => "aws_internet_gateway",
        "nat" => "aws_nat_gateway",
        "eipalloc" => "aws_eip",
        _ => return None,
    })
}

fn ruled(operation: &str, path: &str, request: &Value) -> Patch {
    let rules: Vec<Value> = items(&request["ipPermissions"]).flat_map(permissions).collect();
    let elements = [(path.to_owned(), rules)].into();
    match operation.starts_with("Authorize") {
        true => Patch { add: elements, ..Patch::default() },
        false => Patch { remove: elements, ..Patch::default() },
    }
}

/// One permission, a rule a peer.
fn permissions(permission: &Value) -> Vec<Value> {
    let list = |set: &str, key: &str| -> Vec<Value> {
        items(&permission[set]).map(|item| item[key].clone()).collect()
    };
    let rule = json!({
        "protocol": permission["ipProtocol"],
        "from_port": permission["fromPort"],
        "to_port": permission["toPort"],
        "cidr_blocks": list("ipRanges", "cidrIp"),
        "ipv6_cidr_blocks": list("ipv6Ranges", "cidrIpv6"),
        "security_groups": list("groups", "groupId"),
        "prefix_list_ids": list("prefixListIds", "prefixListId"),
    });
    parted(&rule)
}

const PEERS: [&str; 4] = ["cidr_blocks", "ipv6_cidr_blocks", "security_groups", "prefix_list_ids"];

/// A rule of a security group as several, of one peer each: so they come and go with the API's calls.
fn parted(rule: &Value) -> Vec<Value> {
    let mut base = Map::new();
    base.insert("protocol".to_owned(), rule["protocol"].clone());
    // All protocols have all ports; Terraform writes that as 0, the API not at all.
    if rule["protocol"] != "-1" {
        for port in ["from_port", "to_port"] {
            base.insert(port.to_owned(), rule[port].clone());
        }
    }
    let of_peer = |key: &str, value: Value| {
        let mut part = base.clone();
        part.insert(key.to_owned(), value);
        Value::Object(part)
    };
    let peers = PEERS.iter().flat_map(|key| {
        let peers = rule[*key].as_array().into_iter().flatten();
        peers.map(|peer| of_peer(key, json!([peer]))).collect::<Vec<_>>()
    });
    let own = (rule["self"] == true).then(|| of_peer("self", Value::Bool(true)));
    peers.chain(own).collect()
}

/// A policy document as text that two systems write alike.
fn policy(document: &Value) -> Value {
    let parsed = match document {
        Value::String(text) => serde_json::from_str(text).ok(),
        Value::Null => None,
        other => Some(other.clone()),
    };
    parsed
        .map_or_else(|| document.clone(), |parsed: Value| Value::from(sorted(&parsed).to_string()))
}

/// The same with keys in order and lists of one as their element, as Amazon's policies may have either.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut keys: Vec<&String> = object.keys().collect();
            keys.sort_unstable();
            Value::Object(keys.into_iter().map(|key| (key.clone(), sorted(&object[key]))).collect())
        }
        Value::Array(elements) => match &elements[..] {
            [one] => sorted(one),
            several => {
                let mut several: Vec<Value> = several.iter().map(sorted).collect();
                several.sort_by_key(Value::to_string);
                Value::Array(several)
            }
        },
        scalar => scalar.clone(),
    }
}

/// Brings what a document says into the form that events are brought into.
pub(super) fn canonical(resource_type: &str, body: &mut Value) {
    let Some(object) = body.as_object_mut() else { return };
    if resource_type == "aws_security_group" {
        for path in ["ingress", "egress"] {
            if let Some(Value::Array(rules)) = object.get_mut(path) {
                *rules = rules.iter().flat_map(parted).collect();
            }
        }
    }
    if resource_type.starts_with("aws_") {
        for path in ["policy", "assume_role_policy"] {
            if let Some(document) = object.get_mut(path) {
                *document = policy(document);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(operation: &str, event: Value, expected: Value) {
        let said: Vec<Value> = said(operation, &event)
            .into_iter()
            .map(|said| {
                json!([
                    said.resource_type,
                    said.id,
                    said.body.map(|body| serde_json::from_str::<Value>(&body).unwrap())
                ])
            })
            .collect();
        assert_eq!(Value::Array(said), expected, "{operation}");
        assert!(OPERATIONS.contains(&operation), "{operation} is listed");
    }

    #[test]
    fn events_change_what_terraform_declares() {
        check(
            "ModifyInstanceAttribute",
            json!({"requestParameters": {"instanceId": "i-1", "instanceType": {"value": "m5.large"}}}),
            json!([["aws_instance", "i-1", {"set": {"instance_type": "m5.large"}}]]),
        );
        check(
            "TerminateInstances",
            json!({"requestParameters": {"instancesSet": {"items": [{"instanceId": "i-1"}, {"instanceId": "i-2"}]}}}),
            json!([["aws_instance", "i-1", null], ["aws_instance", "i-2", null]]),
        );
        check(
            "DeleteTags",
            json!({"requestParameters": {"resourcesSet": {"items": [{"resourceId": "vol-1"}, {"resourceId": "x"}]},
                   "tagSet": {"items": [{"key": "owner"}]}}}),
            json!([["aws_ebs_volume", "vol-1", {"set": {"tags": {"owner": null}}}]]),
        );
        check(
            "AuthorizeSecurityGroupIngress",
            json!({"requestParameters": {"groupId": "sg-1", "ipPermissions": {"items": [
                {"ipProtocol": "tcp", "fromPort": 22, "toPort": 22, "groups": {}, "ipRanges": {"items": [
                    {"cidrIp": "0.0.0.0/0"}, {"cidrIp": "10.0.0.0/8"}]}}]}}}),
            json!([["aws_security_group", "sg-1", {"add": {"ingress": [
                {"protocol": "tcp", "from_port": 22, "to_port": 22, "cidr_blocks": ["0.0.0.0/0"]},
                {"protocol": "tcp", "from_port": 22, "to_port": 22, "cidr_blocks": ["10.0.0.0/8"]}]}}]]),
        );
        check(
            "UpdateFunctionConfiguration20150331v2",
            json!({"requestParameters": {"functionName": "arn:aws:lambda:eu-west-1:1:function:f", "timeout": 9}}),
            json!([["aws_lambda_function", "f", {"set": {"timeout": 9}}]]),
        );
        check("CreateTags", json!({"requestParameters": null}), json!([]));
    }

    #[test]
    fn policies_are_compared_by_what_they_say() {
        let one = json!(
            r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject"]}]}"#
        );
        let other = json!({"Statement": {"Action": "s3:GetObject", "Effect": "Allow"}, "Version": "2012-10-17"});
        assert_eq!(policy(&one), policy(&other));
        assert_eq!(policy(&json!("no policy")), json!("no policy"));
    }

    #[test]
    fn a_declared_rule_of_several_peers_is_as_many() {
        let mut body = json!({"ingress": [{"protocol": "-1", "from_port": 0, "to_port": 0, "self": true,
            "cidr_blocks": ["10.0.0.0/8", "10.1.0.0/16"], "description": "all"}]});
        canonical("aws_security_group", &mut body);
        assert_eq!(body["ingress"].as_array().unwrap().len(), 3);
        assert_eq!(body["ingress"][0], json!({"protocol": "-1", "cidr_blocks": ["10.0.0.0/8"]}));
    }
}
