//! A week of a small estate: what Terraform declares, what people change, what an inventory finds.

use std::path::Path;

use serde_json::{Value, json};

/// Writes `declared/`, `changes/` and `seen/` into a directory.
pub(crate) fn write(place: &Path) {
    let write = |name: &str, text: String| {
        let path = place.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let web = |class: &str, instances: &[Value]| {
        let rule = json!({"from_port": 443, "to_port": 443, "protocol": "tcp", "self": false,
            "cidr_blocks": ["0.0.0.0/0"], "ipv6_cidr_blocks": [], "description": "web"});
        let managed = |kind: &str, name: &str, attributes: Value| json!({"mode": "managed", "type": kind, "name": name, "instances": [{"attributes": attributes}]});
        let mut resources = vec![
            managed("aws_security_group", "web", json!({"id": "sg-1", "ingress": [rule]})),
            managed(
                "aws_s3_bucket_versioning",
                "logs",
                json!({"id": "logs", "versioning_configuration":
                [{"mfa_delete": "", "status": "Enabled"}]}),
            ),
            managed(
                "aws_db_instance",
                "shop",
                json!({"id": "db-XYZ", "identifier": "shop",
                "instance_class": class, "password": "hunter2"}),
            ),
        ];
        resources.extend(
            instances.iter().map(|instance| managed("aws_instance", "api", instance.clone())),
        );
        json!({"version": 4, "serial": 1, "lineage": "l", "resources": resources}).to_string()
    };
    let api = json!({"id": "i-1", "instance_type": "m5.large", "tags": {"team": "web"}});
    write("declared/network/2025-01-01T00:00:00Z.tfstate", web("db.m5.large", &[api]));
    write("declared/network/2025-01-04T12:00:00Z.tfstate", web("db.m5.xlarge", &[]));
    write("declared/network/2025-01-07.tfstate", web("db.m5.xlarge", &[]));

    let port = |port: u16| {
        json!({"groupId": "sg-1", "ipPermissions": {"items": [{"ipProtocol": "tcp", "fromPort": port,
            "toPort": port, "groups": {}, "ipRanges": {"items": [{"cidrIp": "0.0.0.0/0"}]}}]}})
    };
    let events = [
        ("02T10:00:00", "mallory", "AuthorizeSecurityGroupIngress", port(22)),
        (
            "02T12:00:00",
            "ann",
            "ModifyInstanceAttribute",
            json!({"instanceId": "i-1", "instanceType": {"value": "m5.4xlarge"}}),
        ),
        ("02T13:00:00", "eve", "failed AuthorizeSecurityGroupIngress", port(3389)),
        ("03T09:00:00", "bob", "RevokeSecurityGroupIngress", port(22)),
        (
            "03T11:00:00",
            "ann",
            "PutBucketVersioning",
            json!({"bucketName": "logs", "VersioningConfiguration": {"Status": "Suspended"}}),
        ),
        (
            "04T08:00:00",
            "ann",
            "TerminateInstances",
            json!({"instancesSet": {"items": [{"instanceId": "i-1"}]}}),
        ),
        (
            "05T09:00:00",
            "bot",
            "ModifyDBInstance",
            json!({"dBInstanceIdentifier": "shop", "dBInstanceClass": "db.m5.xlarge"}),
        ),
        (
            "07T09:00:00",
            "bot",
            "CreateTags",
            json!({"resourcesSet": {"items": [{"resourceId": "sg-1"}]},
                   "tagSet": {"items": [{"key": "owner", "value": "bot"}]}}),
        ),
    ];
    let events: Vec<Value> = events
        .into_iter()
        .enumerate()
        .map(|(number, (at, who, operation, parameters))| {
            let plain = operation.trim_start_matches("failed ");
            let mut event = json!({
                "eventVersion": "1.11", "eventID": format!("change-{number}"), "eventTime": format!("2025-01-{at}Z"),
                "eventName": plain, "eventSource": "ec2.amazonaws.com", "awsRegion": "eu-west-1",
                "recipientAccountId": "100000000000", "sourceIPAddress": "198.51.100.7", "userAgent": "cli",
                "readOnly": false, "requestParameters": parameters,
                "userIdentity": {"type": "IAMUser", "arn": format!("arn:aws:iam::100000000000:user/{who}")},
            });
            if plain != operation {
                event["errorCode"] = json!("Client.UnauthorizedOperation");
            }
            event
        })
        .collect();
    write("changes/events.json", json!({"Records": events}).to_string());

    let seen = |rest: &str| {
        format!(
            "scope: account\nresources:\n- id: sg-1\n  type: aws_security_group\n  attributes:\n    ingress:\n    \
             - {{protocol: tcp, from_port: 443, to_port: 443, cidr_blocks: [0.0.0.0/0]}}\n{rest}"
        )
    };
    let stray = "- {id: i-9, type: aws_instance, attributes: {instance_type: t3.micro}}\n";
    write("seen/2025-01-05T00:00:00Z.yaml", seen(stray));
    write("seen/2025-01-06T00:00:00Z.yaml", seen(""));
    write("seen/2025-01-08T00:00:00Z.yaml", seen("- {id: x}\n"));
}

/// The streams that read it, for a configuration beside its directory.
pub(crate) fn streams(place: &str) -> String {
    format!(
        r#"
[config_drift]
unmanaged = ["aws_instance"]
[[stream]]
name = "terraform"
[stream.source]
path = "{place}/declared/network"
format = "terraform"
[[stream]]
name = "inventory"
[stream.source]
path = "{place}/seen"
format = "resources"
side = "observed"
"#
    )
}
