use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, TimestampMicrosecondArray, UInt64Array};
use serde_json::json;

use super::*;
use crate::schema::audit;

/// A batch of one event a value: `columns` in the words of the schema, and the event as it was written.
fn batch(events: &[Value]) -> RecordBatch {
    let text = |name: &str, default: Option<&str>| -> ArrayRef {
        let of = |event: &Value| event["columns"][name].as_str().or(default).map(str::to_owned);
        Arc::new(events.iter().map(of).collect::<StringArray>())
    };
    let resources = |event: &Value| event["columns"].get(RESOURCES).map(ToString::to_string);
    let reads = |event: &Value| Some(event["columns"][READ_ONLY] == true);
    let rows = events.len() as u64;
    let times = TimestampMicrosecondArray::from_iter_values((0..rows).map(|row| row as i64));
    let columns: Vec<ArrayRef> = vec![
        text(ENTITY_ID, Some("ann")),
        Arc::new(times.with_timezone("UTC")),
        Arc::new(UInt64Array::from_iter_values((0..rows).map(|row| 100 + row))),
        text(audit::EVENT_ID, Some("e")),
        text(PROVIDER, Some("aws")),
        text(ACCOUNT, Some("1")),
        text(REGION, Some("eu-west-1")),
        text(PRINCIPAL_TYPE, Some("IAMUser")),
        text(audit::SOURCE_IP, None),
        text(audit::USER_AGENT, None),
        text(SERVICE, Some("ec2.amazonaws.com")),
        text(OPERATION, Some("")),
        Arc::new(events.iter().map(reads).collect::<BooleanArray>()),
        text(ERROR_CODE, None),
        Arc::new(events.iter().map(resources).collect::<StringArray>()),
        Arc::new(StringArray::from_iter_values(
            events.iter().map(|event| event["raw"].to_string()),
        )),
    ];
    RecordBatch::try_new(audit::schema(), columns).unwrap()
}

/// What one event says: resources, the gone ones with a `-` before them, and edges `from > to`, parted
/// ones with a `-`.
fn said(columns: &Value, raw: &Value) -> (Vec<String>, Vec<String>) {
    let batch = batch(&[json!({"columns": columns, "raw": raw})]);
    let seen = touches(&batch).unwrap();
    let mark = |is_gone: bool| if is_gone { "-" } else { "" };
    let touched =
        seen.touches.iter().map(|touch| format!("{}{}", mark(touch.is_gone), touch.resource));
    let edges =
        seen.edges.iter().map(|edge| format!("{}{} > {}", mark(edge.is_gone), edge.from, edge.to));
    (touched.collect(), edges.collect())
}

#[track_caller]
fn check(columns: Value, raw: Value, resources: &[&str], edges: &[&str]) {
    let (touched, connected) = said(&columns, &raw);
    assert_eq!(touched, resources, "{columns}");
    assert_eq!(connected, edges, "{columns}");
}

/// A call of Amazon's: `ec2 RunInstances`, its request and its response.
#[track_caller]
fn call(operation: &str, request: Value, response: Value, resources: &[&str], edges: &[&str]) {
    let (service, operation) = operation.split_once(' ').unwrap();
    let columns = json!({"service": format!("{service}.amazonaws.com"), "operation": operation});
    let raw = json!({"requestParameters": request, "responseElements": response});
    check(columns, raw, resources, edges);
}

#[test]
fn parameters_name_what_a_call_touches() {
    let instances =
        json!({"instancesSet": {"items": [{"instanceId": "i-0a"}, {"instanceId": "i-0b"}]}});
    call("ec2 StopInstances", instances.clone(), json!(null), &["i-0a", "i-0b"], &[]);
    call("ec2 TerminateInstances", instances, json!(null), &["-i-0a", "-i-0b"], &[]);
    call(
        "ec2 ModifyVolume",
        json!({"ModifyVolumeRequest": {"VolumeId": "vol-1", "Size": 9}}),
        json!(null),
        &["vol-1"],
        &[],
    );
    call(
        "ec2 DeleteFlowLogs",
        json!({"DeleteFlowLogsRequest": {"FlowLogId": {"tag": 1, "content": "fl-1"}}}),
        json!(null),
        &["-fl-1"],
        &[],
    );
    call(
        "ec2 CreateTags",
        json!({"resourcesSet": {"items": [{"resourceId": "vol-1"}]},
            "tagSet": {"items": [{"key": "of", "value": "i-0a"}]}}),
        json!(null),
        &["vol-1"],
        &[],
    );
    call(
        "s3 PutBucketPolicy",
        json!({"bucketName": "b", "bucketPolicy": {"Statement": [{"Resource": "arn:aws:s3:::other"}]}}),
        json!(null),
        &["b"],
        &[],
    );
    call("s3 DeleteBucketPolicy", json!({"bucketName": "b"}), json!(null), &["b"], &[]);
    call(
        "rds DeleteDBInstance",
        json!({"dBInstanceIdentifier": "shop", "finalDBSnapshotIdentifier": "last"}),
        json!({"dBInstanceArn": "arn:aws:rds:eu-west-1:1:db:shop"}),
        &["-arn:aws:rds:eu-west-1:1:db:shop", "arn:aws:rds:eu-west-1:1:snapshot:last"],
        &[],
    );
    call(
        "lambda DeleteFunction20150331",
        json!({"functionName": "f"}),
        json!(null),
        &["-arn:aws:lambda:eu-west-1:1:function:f"],
        &[],
    );
    call("iam DeleteRole", json!({"roleName": "r"}), json!(null), &["-arn:aws:iam::1:role/r"], &[]);
    call(
        "kms DisableKey",
        json!({"keyId": "k-1"}),
        json!(null),
        &["arn:aws:kms:eu-west-1:1:key/k-1"],
        &[],
    );
    call(
        "sqs DeleteQueue",
        json!({"queueUrl": "https://sqs.eu-west-1.amazonaws.com/1/jobs"}),
        json!(null),
        &["-arn:aws:sqs:eu-west-1:1:jobs"],
        &[],
    );
    call("organizations LeaveOrganization", json!(null), json!(null), &[], &[]);
}

#[test]
fn calls_connect_and_part() {
    let attached = json!({"volumeId": "vol-1", "instanceId": "i-0a", "device": "/dev/sdf"});
    let both = ["i-0a", "vol-1"];
    call("ec2 AttachVolume", attached.clone(), json!(null), &both, &["vol-1 > i-0a"]);
    call("ec2 DetachVolume", json!({"volumeId": "vol-1"}), attached, &both, &["-vol-1 > i-0a"]);
    call(
        "ec2 RunInstances",
        json!({"instancesSet": {"items": [{"imageId": "ami-1"}]}, "subnetId": "subnet-1"}),
        json!({"instancesSet": {"items": [
            {"instanceId": "i-0a", "imageId": "ami-1", "subnetId": "subnet-1",
             "groupSet": {"items": [{"groupId": "sg-1"}]},
             "blockDeviceMapping": {"items": [{"ebs": {"volumeId": "vol-1"}}]}},
            {"instanceId": "i-0b", "imageId": "ami-1",
             "iamInstanceProfile": {"arn": "arn:aws:iam::1:instance-profile/web"}},
        ]}}),
        &[
            "ami-1",
            "arn:aws:iam::1:instance-profile/web",
            "i-0a",
            "i-0b",
            "sg-1",
            "subnet-1",
            "vol-1",
        ],
        &[
            "i-0a > ami-1",
            "i-0a > sg-1",
            "i-0a > subnet-1",
            "i-0b > ami-1",
            "i-0b > arn:aws:iam::1:instance-profile/web",
            "vol-1 > i-0a",
        ],
    );
    call(
        "ec2 CopySnapshot",
        json!({"sourceSnapshotId": "snap-1", "sourceRegion": "us-east-1"}),
        json!({"snapshotId": "snap-2"}),
        &["snap-1", "snap-2"],
        &["snap-2 > snap-1"],
    );
    let group = "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/web/6d0e";
    call(
        "elasticloadbalancing RegisterTargets",
        json!({"targetGroupArn": group, "targets": [{"id": "i-0a"}, {"id": "i-0b"}]}),
        json!(null),
        &[group, "i-0a", "i-0b"],
        &[&format!("{group} > i-0a"), &format!("{group} > i-0b")],
    );
    let function = "arn:aws:lambda:eu-west-1:1:function:f";
    call(
        "s3 PutBucketNotification",
        json!({"bucketName": "b", "NotificationConfiguration": {"CloudFunctionConfiguration":
            {"CloudFunction": function, "Event": "s3:ObjectCreated:*"}}}),
        json!(null),
        &[function, "b"],
        &[&format!("b > {function}")],
    );
    let replica = "arn:aws:rds:eu-west-1:1:db:replica";
    let primary = "arn:aws:rds:eu-west-1:1:db:primary";
    call(
        "rds CreateDBInstanceReadReplica",
        json!({"dBInstanceIdentifier": "replica", "sourceDBInstanceIdentifier": "primary"}),
        json!(null),
        &[primary, replica],
        &[&format!("{replica} > {primary}")],
    );
    // The role is listed; the instance is not touched, but has it.
    let role = "arn:aws:iam::1:role/web";
    check(
        json!({"service": "sts.amazonaws.com", "operation": "AssumeRole", "principal_type": "AWSService"}),
        json!({"requestParameters": {"roleArn": role, "roleSessionName": "i-0a"}}),
        &[role],
        &[&format!("i-0a > {role}")],
    );
}

#[test]
fn failures_touch_but_do_not_connect() {
    let batch = batch(&[json!({
        "columns": {"operation": "AttachVolume", "error_code": "Client.UnauthorizedOperation"},
        "raw": {"requestParameters": {"volumeId": "vol-1", "instanceId": "i-0a"}},
    })]);
    let seen = touches(&batch).unwrap();
    assert_eq!((seen.touches.len(), seen.edges.len()), (2, 0));
    assert!(seen.touches.iter().all(|touch| touch.failed && touch.kind == Kind::Change));
}

#[test]
fn looking_counts_by_what_is_listed_alone() {
    let request = json!({"requestParameters": {"instanceId": "i-0a"}});
    let look = |operation: &str| json!({"operation": operation, "read_only": true});
    check(look("DescribeInstanceAttribute"), request.clone(), &[], &[]);
    // It reads a secret of the machine's.
    check(look("GetPasswordData"), request, &["i-0a"], &[]);
    let objects = ["arn:aws:s3:::b/k", "arn:aws:s3:::b"];
    let read = json!({"service": "s3.amazonaws.com", "operation": "GetObject", "read_only": true,
        "resources": objects});
    let raw =
        json!({"userIdentity": {"type": "IAMUser"}, "requestParameters": {"bucketName": "b"}});
    let batch = batch(&[json!({"columns": read, "raw": raw})]);
    let seen = touches(&batch).unwrap();
    let [touch] = &seen.touches[..] else { panic!("{seen:?}") };
    assert_eq!((touch.resource.as_str(), touch.kind, touch.reads), ("b", Kind::Use, true));
    assert_eq!(touch.resource_type.as_deref(), Some("aws_s3_bucket"));
    assert_eq!((touch.row, touch.offset, touch.at_us), (0, 100, 0));
    assert!(touch.is_human && !touch.is_interactive && !touch.failed && !touch.is_gone);
}

#[test]
fn azure_paths_and_what_is_around_them() {
    let azure = |operation: &str, path: &str| {
        json!({"provider": "azure", "service": "Microsoft.Compute", "operation": operation,
            "principal_type": "User", "resources": [path]})
    };
    let group = "/subscriptions/s/resourceGroups/G/providers";
    let lower = "/subscriptions/s/resourcegroups/g/providers";
    let machine = format!("{lower}/microsoft.compute/virtualmachines/v");
    check(
        azure(
            "Microsoft.Compute/virtualMachines/delete",
            &format!("{group}/Microsoft.Compute/virtualMachines/V"),
        ),
        json!({}),
        &[&format!("-{machine}")],
        &[],
    );
    check(
        azure(
            "Microsoft.Compute/virtualMachines/extensions/write",
            &format!("{group}/Microsoft.Compute/virtualMachines/V/extensions/e"),
        ),
        json!({}),
        &[&machine, &format!("{machine}/extensions/e")],
        &[],
    );
    let begun = json!({"resultType": "Start"});
    let path = format!("{group}/Microsoft.Compute/virtualMachines/V");
    check(azure("Microsoft.Compute/virtualMachines/delete", &path), begun, &[&machine], &[]);
    let interface = format!("{group}/Microsoft.Network/networkInterfaces/N");
    let body =
        json!({"properties": {"networkProfile": {"networkInterfaces": [{"id": interface}]}}});
    check(
        azure(
            "Microsoft.Compute/virtualMachines/write",
            &format!("{group}/Microsoft.Compute/virtualMachines/V"),
        ),
        json!({"properties": {"requestbody": body.to_string()}}),
        &[&machine],
        &[&format!("{machine} > {lower}/microsoft.network/networkinterfaces/n")],
    );
}

#[test]
fn google_names_in_their_project() {
    let google = |service: &str, operation: &str, name: &str| {
        json!({"provider": "gcp", "service": format!("{service}.googleapis.com"), "account": "p",
            "operation": operation, "principal_type": "User", "resources": [name]})
    };
    let instance = "//compute.googleapis.com/projects/p/zones/z/instances/n";
    let short = "projects/p/zones/z/instances/n";
    check(
        google("compute", "v1.compute.instances.delete", short),
        json!({}),
        &[&format!("-{instance}")],
        &[],
    );
    let disk = "https://www.googleapis.com/compute/v1/projects/p/zones/z/disks/d";
    check(
        google("compute", "v1.compute.instances.attachDisk", short),
        json!({"protoPayload": {"request": {"source": disk}}}),
        &[instance],
        &[&format!("{instance} > //compute.googleapis.com/projects/p/zones/z/disks/d")],
    );
    check(
        google("storage", "storage.objects.delete", "projects/_/buckets/b/objects/o"),
        json!({}),
        &["//storage.googleapis.com/projects/_/buckets/b"],
        &[],
    );
    check(
        google("dns", "dns.managedZones.delete", "managedZones/z"),
        json!({}),
        &["-//dns.googleapis.com/projects/p/managedZones/z"],
        &[],
    );
    check(google("oslogin", "AuthorizeUser", "1234567890"), json!({}), &[], &[]);
    let exec = "core/v1/namespaces/shop/pods/web/exec";
    let columns = json!({"provider": "gcp", "service": "k8s.io", "account": "p", "resources": [exec],
        "operation": "io.k8s.core.v1.pods.exec.create", "principal_type": "User"});
    let raw = json!({"resource": {"labels": {"cluster_name": "prod"}}});
    check(columns.clone(), raw.clone(), &["prod/shop/pods/web"], &[]);
    let batch = batch(&[json!({"columns": columns, "raw": raw})]);
    let seen = touches(&batch).unwrap();
    let touch = &seen.touches[0];
    assert_eq!((touch.provider, touch.resource_type.as_deref()), ("kubernetes", Some("pods")));
    assert_eq!((touch.kind, touch.is_human), (Kind::Use, true));
}

#[test]
fn a_service_account_may_act_for_a_person() {
    let entry = |delegate: Value| {
        json!({
            "columns": {"provider": "gcp", "service": "compute.googleapis.com", "principal_type": "ServiceAccount",
                "operation": "v1.compute.instances.stop", "resources": ["projects/p/zones/z/instances/n"]},
            "raw": {"protoPayload": {"authenticationInfo": {"serviceAccountDelegationInfo":
                [{"firstPartyPrincipal": {"principalEmail": delegate}}]}}},
        })
    };
    let batch = batch(&[
        entry(json!("ann@example.com")),
        entry(json!("ci@p.iam.gserviceaccount.com")),
        entry(json!(null)),
    ]);
    let people: Vec<bool> = touches(&batch).unwrap().touches.iter().map(|t| t.is_human).collect();
    assert_eq!(people, [true, false, false]);
}

#[test]
fn kubernetes_objects_and_what_they_are_made_of() {
    let event = |operation: &str, service: &str, resources: Value| {
        let mut columns = json!({"provider": "kubernetes", "service": service, "account": "prod",
            "operation": operation, "principal_type": "User"});
        if !resources.is_null() {
            columns["resources"] = resources;
        }
        columns
    };
    check(
        event("patch deployments", "apps", json!(["shop/deployments/web"])),
        json!({"objectRef": {"resource": "deployments", "apiGroup": "apps", "namespace": "shop", "name": "web"},
            "responseObject": {"kind": "Deployment", "metadata": {"name": "web"},
                "spec": {"template": {"spec": {"serviceAccountName": "web"}}}}}),
        &["prod/shop/deployments.apps/web"],
        &["prod/shop/deployments.apps/web > prod/shop/serviceaccounts/web"],
    );
    check(
        event("create pods", "core", json!(null)),
        json!({"objectRef": {"resource": "pods", "namespace": "shop"},
            "responseObject": {"kind": "Pod", "metadata": {"name": "web-x1", "ownerReferences":
                [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web"}]}}}),
        &["prod/shop/pods/web-x1"],
        &["prod/shop/pods/web-x1 > prod/shop/replicasets.apps/web"],
    );
    check(
        event("create pods/binding", "core", json!(["shop/pods/web-x1"])),
        json!({"objectRef": {"resource": "pods", "subresource": "binding"},
            "requestObject": {"target": {"kind": "Node", "name": "n-1"}}}),
        &["prod/shop/pods/web-x1"],
        &["prod/shop/pods/web-x1 > prod/nodes/n-1"],
    );
    check(
        event("delete namespaces", "core", json!(["shop/namespaces/shop"])),
        json!({"objectRef": {"resource": "namespaces", "name": "shop"}}),
        &["-prod/namespaces/shop"],
        &[],
    );
    check(event("list /apis", "core", json!(null)), json!({}), &[], &[]);
}

#[test]
fn what_is_no_list_and_no_event_says_nothing() {
    let rows = batch(&[
        json!({"columns": {"operation": "StopInstances", "resources": {"no": "list"}}, "raw": "no event"}),
        json!({"columns": {"provider": "ocsf", "operation": "Logon", "resources": ["db-1"],
            "principal_type": "User"}, "raw": {}}),
    ]);
    let seen = touches(&rows).unwrap();
    let [touch] = &seen.touches[..] else { panic!("{seen:?}") };
    assert_eq!((touch.row, touch.resource.as_str(), touch.is_human), (1, "db-1", true));
    let error = touches(&rows.project(&[0, 1]).unwrap()).unwrap_err();
    assert!(error.to_string().contains(PROVIDER), "{error}");
}
