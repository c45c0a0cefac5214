//! CloudTrail's events: which parameters name a resource, which operations end one, and which connect two.
//!
//! A parameter names a resource by a short id or an ARN, whatever it is called, or by a name in the event's
//! account and region, which [`PARAMETERS`] lists. Policies, tags, filters and text of the caller's own are
//! left out: what they name the event does not touch.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Event, Found, actor};
use crate::resource::id::{canonical, kind_of, named, short_type};
use crate::resource::reference::{DEPTH, is_policy, is_provided};

/// An event, as far as it is looked into.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Raw<'a> {
    user_identity: Value,
    session_credential_from_console: Value,
    /// In OCSF's place for the identity.
    actor: Value,
    #[serde(borrow)]
    request_parameters: Option<&'a RawValue>,
    #[serde(borrow)]
    response_elements: Option<&'a RawValue>,
}

/// What was asked for, and what was given.
struct Call {
    request: Value,
    response: Value,
}

/// Adds what an event says.
pub(super) fn find(event: &Event<'_>, found: &mut Found) {
    let raw: Raw<'_> = serde_json::from_str(event.raw).unwrap_or_default();
    (found.is_human, found.is_interactive) = raw.person(event.principal_type);
    for name in event.listed() {
        found.add_name(&name);
    }
    // What only reads, and is listed, names nothing more.
    if event.reads && event.listed.is_some() {
        return;
    }
    let service = event.service.strip_suffix(".amazonaws.com").unwrap_or(event.service);
    let place = Place { service, region: event.region, account: event.account };
    let value = |part: Option<&RawValue>| -> Value {
        part.and_then(|part| serde_json::from_str(part.get()).ok()).unwrap_or_default()
    };
    let call =
        Call { request: value(raw.request_parameters), response: value(raw.response_elements) };
    place.walk("", &call.request, DEPTH, found);
    place.walk("", &call.response, DEPTH, found);
    if !event.failed {
        end(event.operation, found);
        connect(event.operation, &place, &call, found);
    }
}

impl Raw<'_> {
    fn person(&self, kind: &str) -> actor::Person {
        let is_console = match &self.session_credential_from_console {
            Value::String(text) => text == "true",
            other => *other == true,
        };
        if self.actor.is_object() && self.user_identity.is_null() {
            let (user, session) = (&self.actor["user"], &self.actor["session"]);
            let identity = json!({
                "arn": user["uid"], "invokedBy": self.actor["invoked_by"],
                "sessionContext": {
                    "sessionIssuer": {"arn": session["issuer"]},
                    "attributes": {"mfaAuthenticated": session["is_mfa"]},
                },
            });
            return actor::of_identity(kind, &identity, is_console);
        }
        actor::of_identity(kind, &self.user_identity, is_console)
    }
}

/// Parameters that name a resource within an account and region: name, service (any where none is said),
/// type. Names are compared in any letter case, which services differ in.
const PARAMETERS: &[(&str, &str, &str)] = &[
    ("bucketName", "", "aws_s3_bucket"),
    ("s3BucketName", "", "aws_s3_bucket"),
    ("outputS3BucketName", "", "aws_s3_bucket"),
    ("dBInstanceIdentifier", "rds", "aws_db_instance"),
    ("sourceDBInstanceIdentifier", "rds", "aws_db_instance"),
    ("targetDBInstanceIdentifier", "rds", "aws_db_instance"),
    ("dBClusterIdentifier", "rds", "aws_rds_cluster"),
    ("sourceDBClusterIdentifier", "rds", "aws_rds_cluster"),
    ("dBSnapshotIdentifier", "rds", "aws_db_snapshot"),
    ("sourceDBSnapshotIdentifier", "rds", "aws_db_snapshot"),
    ("targetDBSnapshotIdentifier", "rds", "aws_db_snapshot"),
    ("finalDBSnapshotIdentifier", "rds", "aws_db_snapshot"),
    ("dBClusterSnapshotIdentifier", "rds", "aws_db_cluster_snapshot"),
    ("sourceDBClusterSnapshotIdentifier", "rds", "aws_db_cluster_snapshot"),
    ("targetDBClusterSnapshotIdentifier", "rds", "aws_db_cluster_snapshot"),
    ("finalDBClusterSnapshotIdentifier", "rds", "aws_db_cluster_snapshot"),
    ("dBSubnetGroupName", "rds", "aws_db_subnet_group"),
    ("functionName", "lambda", "aws_lambda_function"),
    ("roleName", "iam", "aws_iam_role"),
    ("userName", "iam", "aws_iam_user"),
    ("groupName", "iam", "aws_iam_group"),
    ("instanceProfileName", "iam", "aws_iam_instance_profile"),
    ("keyName", "ec2", "aws_key_pair"),
    ("loadBalancerName", "elasticloadbalancing", "aws_elb"),
    ("tableName", "dynamodb", "aws_dynamodb_table"),
    ("streamName", "kinesis", "aws_kinesis_stream"),
    ("deliveryStreamName", "firehose", "aws_kinesis_firehose_delivery_stream"),
    ("queueUrl", "sqs", "aws_sqs_queue"),
    ("keyId", "kms", "aws_kms_key"),
    ("targetKeyId", "kms", "aws_kms_key"),
    ("secretId", "secretsmanager", "aws_secretsmanager_secret"),
    ("names", "ssm", "aws_ssm_parameter"),
    ("trailName", "cloudtrail", "aws_cloudtrail"),
    ("name", "cloudtrail", "aws_cloudtrail"),
    ("name", "eks", "aws_eks_cluster"),
    ("clusterName", "eks", "aws_eks_cluster"),
    ("cluster", "ecs", "aws_ecs_cluster"),
    ("clusterName", "ecs", "aws_ecs_cluster"),
    ("repositoryName", "ecr", "aws_ecr_repository"),
    ("logGroupName", "logs", "aws_cloudwatch_log_group"),
    ("autoScalingGroupName", "autoscaling", "aws_autoscaling_group"),
    ("cacheClusterId", "elasticache", "aws_elasticache_cluster"),
    ("replicationGroupId", "elasticache", "aws_elasticache_replication_group"),
    ("clusterIdentifier", "redshift", "aws_redshift_cluster"),
    ("domainName", "es", "aws_opensearch_domain"),
    ("projectName", "codebuild", "aws_codebuild_project"),
    ("alarmName", "monitoring", "aws_cloudwatch_metric_alarm"),
    ("alarmNames", "monitoring", "aws_cloudwatch_metric_alarm"),
    ("rule", "events", "aws_cloudwatch_event_rule"),
    ("hostedZoneId", "route53", "aws_route53_zone"),
    ("id", "cloudfront", "aws_cloudfront_distribution"),
    ("notebookInstanceName", "sagemaker", "aws_sagemaker_notebook_instance"),
    ("endpointName", "sagemaker", "aws_sagemaker_endpoint"),
    ("guardrailIdentifier", "bedrock", "aws_bedrock_guardrail"),
];

/// Parameters that say nothing of what is touched, in lower case.
const LEFT_OUT: [&str; 17] = [
    "tags",
    "tagset",
    "tagspecificationset",
    "tagspecifications",
    "tag",
    "filter",
    "filters",
    "filterset",
    "userdata",
    "clienttoken",
    "description",
    "credentials",
    "rolesessionname",
    "assumedroleuser",
    "environment",
    "encryptioncontext",
    "runtimeversionconfig",
];

/// Wrappers of EC2's and others' lists, which stand between a parameter and its value.
const WRAPPERS: [&str; 5] = ["items", "item", "member", "content", "value"];

/// Where names are looked up.
struct Place<'a> {
    service: &'a str,
    region: &'a str,
    account: &'a str,
}

impl Place<'_> {
    fn walk(&self, key: &str, value: &Value, depth: usize, found: &mut Found) {
        let Some(depth) = depth.checked_sub(1) else { return };
        match value {
            Value::String(text) => self.add(key, text, found),
            Value::Array(elements) => {
                elements.iter().for_each(|element| self.walk(key, element, depth, found));
            }
            Value::Object(members) => {
                for (inner, value) in members {
                    if WRAPPERS.contains(&inner.as_str()) {
                        self.walk(key, value, depth, found);
                    } else if !is_left_out(inner) {
                        self.walk(inner, value, depth, found);
                    }
                }
            }
            _ => {}
        }
    }

    /// Adds the resource that a parameter's value names, if it does.
    fn add(&self, key: &str, text: &str, found: &mut Found) {
        if let Some(resource_type) = short_type(text) {
            return found.add(text, Some(Cow::Borrowed(resource_type)));
        }
        if text.starts_with("arn:") {
            // What belongs to no account is Amazon's own, but for buckets and zones.
            let owner = text.split(':').nth(4).unwrap_or_default();
            let is_own = !owner.is_empty() && !is_provided(text) && !text.contains(":sts:");
            if is_own || text.contains(":s3:::") || text.contains(":assumed-role/") {
                found.add_name(text);
            }
            return;
        }
        let is_named = |(name, service, _): &&(&str, &str, &str)| {
            name.eq_ignore_ascii_case(key) && (service.is_empty() || *service == self.service)
        };
        let Some((_, _, resource_type)) = PARAMETERS.iter().find(is_named) else { return };
        // Origins and behaviours of a distribution have ids, too, of their owner's making.
        let is_made_up = |byte: u8| !byte.is_ascii_uppercase() && !byte.is_ascii_digit();
        if self.service == "cloudfront" && text.bytes().any(is_made_up) {
            return;
        }
        let text = text.strip_prefix("/hostedzone/").unwrap_or(text);
        if let Some(id) = named(resource_type, text, self.region, self.account) {
            found.add(id, Some(Cow::Borrowed(resource_type)));
        }
    }
}

fn is_left_out(key: &str) -> bool {
    is_policy(key) || LEFT_OUT.iter().any(|name| name.eq_ignore_ascii_case(key))
}

/// An operation without the version that some services write behind it: `DeleteFunction20150331`.
fn unversioned(operation: &str) -> &str {
    let version = operation.find("20").filter(|at| {
        operation[*at..].bytes().all(|byte| byte.is_ascii_digit() || b"v_".contains(&byte))
    });
    version.map_or(operation, |at| &operation[..at])
}

/// Operations that end all resources of a type that they name.
const ENDS: &[(&str, &str)] = &[
    ("TerminateInstances", "aws_instance"),
    ("DeleteVolume", "aws_ebs_volume"),
    ("DeleteSnapshot", "aws_ebs_snapshot"),
    ("DeregisterImage", "aws_ami"),
    ("DeleteSecurityGroup", "aws_security_group"),
    ("DeleteSubnet", "aws_subnet"),
    ("DeleteVpc", "aws_vpc"),
    ("DeleteNetworkInterface", "aws_network_interface"),
    ("DeleteNatGateway", "aws_nat_gateway"),
    ("DeleteInternetGateway", "aws_internet_gateway"),
    ("DeleteRouteTable", "aws_route_table"),
    ("DeleteNetworkAcl", "aws_network_acl"),
    ("DeleteVpcEndpoints", "aws_vpc_endpoint"),
    ("DeleteFlowLogs", "aws_flow_log"),
    ("ReleaseAddress", "aws_eip"),
    ("DeleteKeyPair", "aws_key_pair"),
    ("DeleteLaunchTemplate", "aws_launch_template"),
    ("DeleteFileSystem", "aws_efs_file_system"),
    ("DeleteTrafficMirrorTarget", "aws_ec2_traffic_mirror_target"),
    ("DeleteBucket", "aws_s3_bucket"),
    ("DeleteDBInstance", "aws_db_instance"),
    ("DeleteDBCluster", "aws_rds_cluster"),
    ("DeleteDBSnapshot", "aws_db_snapshot"),
    ("DeleteDBClusterSnapshot", "aws_db_cluster_snapshot"),
    ("DeleteDBSubnetGroup", "aws_db_subnet_group"),
    ("DeleteFunction", "aws_lambda_function"),
    ("DeleteTable", "aws_dynamodb_table"),
    ("DeleteQueue", "aws_sqs_queue"),
    ("DeleteTopic", "aws_sns_topic"),
    ("DeleteStream", "aws_kinesis_stream"),
    ("DeleteDeliveryStream", "aws_kinesis_firehose_delivery_stream"),
    ("DeleteRole", "aws_iam_role"),
    ("DeleteUser", "aws_iam_user"),
    ("DeleteGroup", "aws_iam_group"),
    ("DeletePolicy", "aws_iam_policy"),
    ("DeleteInstanceProfile", "aws_iam_instance_profile"),
    ("DeleteLoadBalancer", "aws_lb"),
    ("DeleteLoadBalancer", "aws_elb"),
    ("DeleteTargetGroup", "aws_lb_target_group"),
    ("DeleteAutoScalingGroup", "aws_autoscaling_group"),
    ("DeleteTrail", "aws_cloudtrail"),
    ("DeleteCacheCluster", "aws_elasticache_cluster"),
    ("DeleteReplicationGroup", "aws_elasticache_replication_group"),
    ("DeleteCluster", "aws_ecs_cluster"),
    ("DeleteCluster", "aws_eks_cluster"),
    ("DeleteCluster", "aws_redshift_cluster"),
    ("DeleteNodegroup", "aws_eks_node_group"),
    ("DeleteService", "aws_ecs_service"),
    ("DeleteRepository", "aws_ecr_repository"),
    ("DeleteLogGroup", "aws_cloudwatch_log_group"),
    ("DeleteAlarms", "aws_cloudwatch_metric_alarm"),
    ("DeleteDomain", "aws_opensearch_domain"),
    ("DeleteDistribution", "aws_cloudfront_distribution"),
    ("DeleteHostedZone", "aws_route53_zone"),
    ("DeleteStateMachine", "aws_sfn_state_machine"),
    ("DeleteProject", "aws_codebuild_project"),
    ("DeleteNotebookInstance", "aws_sagemaker_notebook_instance"),
    ("DeleteEndpoint", "aws_sagemaker_endpoint"),
    ("DeleteGuardrail", "aws_bedrock_guardrail"),
];

/// Marks what an operation ended.
fn end(operation: &str, found: &mut Found) {
    let operation = unversioned(operation);
    for (_, resource_type) in ENDS.iter().filter(|(of, _)| *of == operation) {
        found.of_type(resource_type).iter().for_each(|id| found.end(id));
    }
}

/// Operations that connect every resource of one type that they name with every one of others.
struct Link {
    makes: &'static [&'static str],
    parts: &'static [&'static str],
    from: &'static str,
    to: &'static [&'static str],
}

const fn link(
    makes: &'static [&'static str],
    parts: &'static [&'static str],
    from: &'static str,
    to: &'static [&'static str],
) -> Link {
    Link { makes, parts, from, to }
}

const LINKS: &[Link] = &[
    link(&["AttachVolume"], &["DetachVolume"], "aws_ebs_volume", &["aws_instance"]),
    link(&["AttachNetworkInterface"], &[], "aws_network_interface", &["aws_instance"]),
    link(&["AssociateAddress"], &[], "aws_eip", &["aws_instance", "aws_network_interface"]),
    link(&["CreateSnapshot", "CreateSnapshots"], &[], "aws_ebs_snapshot", &["aws_ebs_volume"]),
    link(&["CreateVolume"], &[], "aws_ebs_volume", &["aws_ebs_snapshot"]),
    link(&["CreateImage"], &[], "aws_ami", &["aws_instance"]),
    link(&["RegisterImage"], &[], "aws_ami", &["aws_ebs_snapshot"]),
    link(&["ModifyInstanceAttribute"], &[], "aws_instance", &["aws_security_group"]),
    link(
        &["AssociateIamInstanceProfile", "ReplaceIamInstanceProfileAssociation"],
        &[],
        "aws_instance",
        &["aws_iam_instance_profile"],
    ),
    link(&["CreateSubnet"], &[], "aws_subnet", &["aws_vpc"]),
    link(&["CreateSecurityGroup"], &[], "aws_security_group", &["aws_vpc"]),
    link(&["CreateRouteTable"], &[], "aws_route_table", &["aws_vpc"]),
    link(
        &["AttachInternetGateway"],
        &["DetachInternetGateway"],
        "aws_internet_gateway",
        &["aws_vpc"],
    ),
    link(&["CreateNatGateway"], &[], "aws_nat_gateway", &["aws_subnet", "aws_eip"]),
    link(
        &["CreateRoute", "ReplaceRoute"],
        &[],
        "aws_route_table",
        &["aws_internet_gateway", "aws_nat_gateway", "aws_ec2_transit_gateway", "aws_vpc_endpoint"],
    ),
    link(&["AssociateRouteTable"], &[], "aws_route_table", &["aws_subnet"]),
    link(
        &["CreateNetworkInterface"],
        &[],
        "aws_network_interface",
        &["aws_subnet", "aws_security_group"],
    ),
    link(
        &["CreateVpcEndpoint"],
        &[],
        "aws_vpc_endpoint",
        &["aws_vpc", "aws_subnet", "aws_security_group", "aws_route_table"],
    ),
    link(
        &["CreateFlowLogs"],
        &[],
        "aws_flow_log",
        &["aws_vpc", "aws_subnet", "aws_network_interface"],
    ),
    link(
        &["CreateTrafficMirrorTarget"],
        &[],
        "aws_ec2_traffic_mirror_target",
        &["aws_network_interface"],
    ),
    link(
        &["CreateTrafficMirrorSession"],
        &[],
        "aws_ec2_traffic_mirror_session",
        &[
            "aws_network_interface",
            "aws_ec2_traffic_mirror_target",
            "aws_ec2_traffic_mirror_filter",
        ],
    ),
    link(&["CreateLoadBalancer"], &[], "aws_lb", &["aws_subnet", "aws_security_group"]),
    link(
        &["CreateListener", "ModifyListener", "CreateRule"],
        &[],
        "aws_lb",
        &["aws_lb_target_group"],
    ),
    link(
        &["RegisterTargets"],
        &["DeregisterTargets"],
        "aws_lb_target_group",
        &["aws_instance", "aws_lambda_function"],
    ),
    link(
        &["RegisterInstancesWithLoadBalancer"],
        &["DeregisterInstancesFromLoadBalancer"],
        "aws_elb",
        &["aws_instance"],
    ),
    link(&["AttachInstances"], &["DetachInstances"], "aws_autoscaling_group", &["aws_instance"]),
    link(
        &["AttachLoadBalancerTargetGroups"],
        &["DetachLoadBalancerTargetGroups"],
        "aws_autoscaling_group",
        &["aws_lb_target_group"],
    ),
    link(
        &["CreateAutoScalingGroup"],
        &[],
        "aws_autoscaling_group",
        &["aws_launch_template", "aws_subnet"],
    ),
    link(
        &["CreateFunction", "UpdateFunctionConfiguration"],
        &[],
        "aws_lambda_function",
        &["aws_iam_role", "aws_lambda_layer_version", "aws_subnet", "aws_security_group"],
    ),
    link(
        &["CreateEventSourceMapping"],
        &["DeleteEventSourceMapping"],
        "aws_lambda_function",
        &["aws_sqs_queue", "aws_kinesis_stream", "aws_dynamodb_table"],
    ),
    link(
        &["PutBucketNotification"],
        &[],
        "aws_s3_bucket",
        &["aws_lambda_function", "aws_sqs_queue", "aws_sns_topic"],
    ),
    link(&["Subscribe"], &[], "aws_sns_topic", &["aws_sqs_queue", "aws_lambda_function"]),
    link(
        &["PutTargets"],
        &[],
        "aws_cloudwatch_event_rule",
        &["aws_lambda_function", "aws_sqs_queue", "aws_sns_topic", "aws_sfn_state_machine"],
    ),
    link(
        &["CreateDBInstance", "ModifyDBInstance"],
        &[],
        "aws_db_instance",
        &["aws_rds_cluster", "aws_security_group", "aws_db_subnet_group"],
    ),
    link(
        &["CreateDBCluster"],
        &[],
        "aws_rds_cluster",
        &["aws_security_group", "aws_db_subnet_group"],
    ),
    link(&["CreateDBSnapshot"], &[], "aws_db_snapshot", &["aws_db_instance"]),
    link(&["CreateDBClusterSnapshot"], &[], "aws_db_cluster_snapshot", &["aws_rds_cluster"]),
    link(&["RestoreDBInstanceFromDBSnapshot"], &[], "aws_db_instance", &["aws_db_snapshot"]),
    link(
        &["AddRoleToDBInstance"],
        &["RemoveRoleFromDBInstance"],
        "aws_db_instance",
        &["aws_iam_role"],
    ),
    link(
        &["AddRoleToDBCluster"],
        &["RemoveRoleFromDBCluster"],
        "aws_rds_cluster",
        &["aws_iam_role"],
    ),
    link(
        &["AddRoleToInstanceProfile"],
        &["RemoveRoleFromInstanceProfile"],
        "aws_iam_instance_profile",
        &["aws_iam_role"],
    ),
    link(&["AttachRolePolicy"], &["DetachRolePolicy"], "aws_iam_role", &["aws_iam_policy"]),
    link(&["AttachUserPolicy"], &["DetachUserPolicy"], "aws_iam_user", &["aws_iam_policy"]),
    link(&["AddUserToGroup"], &["RemoveUserFromGroup"], "aws_iam_user", &["aws_iam_group"]),
    link(&["CreateTrail", "UpdateTrail"], &[], "aws_cloudtrail", &["aws_s3_bucket", "aws_kms_key"]),
    link(&["CreateCluster"], &[], "aws_eks_cluster", &["aws_iam_role", "aws_subnet"]),
    link(
        &["CreateNodegroup"],
        &[],
        "aws_eks_node_group",
        &["aws_eks_cluster", "aws_iam_role", "aws_subnet"],
    ),
    link(
        &["CreateService", "UpdateService"],
        &[],
        "aws_ecs_service",
        &["aws_ecs_cluster", "aws_ecs_task_definition", "aws_lb_target_group"],
    ),
];

/// Operations that make a resource of another of its type: what it is called, and the other.
const COPIES: &[(&str, &str, &str)] = &[
    ("CopySnapshot", "/responseElements/snapshotId", "/requestParameters/sourceSnapshotId"),
    ("CopyImage", "/responseElements/imageId", "/requestParameters/sourceImageId"),
    (
        "CreateDBInstanceReadReplica",
        "/requestParameters/dBInstanceIdentifier",
        "/requestParameters/sourceDBInstanceIdentifier",
    ),
    (
        "CopyDBSnapshot",
        "/requestParameters/targetDBSnapshotIdentifier",
        "/requestParameters/sourceDBSnapshotIdentifier",
    ),
    (
        "CopyDBClusterSnapshot",
        "/requestParameters/targetDBClusterSnapshotIdentifier",
        "/requestParameters/sourceDBClusterSnapshotIdentifier",
    ),
];

/// Connects and parts what an operation connects and parts.
fn connect(operation: &str, place: &Place<'_>, call: &Call, found: &mut Found) {
    let operation = unversioned(operation);
    match operation {
        "RunInstances" => {
            let items = call.response["instancesSet"]["items"].as_array();
            items.into_iter().flatten().for_each(|item| launched(place, item, found));
        }
        // An instance takes up its profile's role under its own name.
        "AssumeRole" => {
            let session = call.request["roleSessionName"].as_str().unwrap_or_default();
            let role = call.request["roleArn"].as_str().unwrap_or_default();
            if short_type(session) == Some("aws_instance") && !role.is_empty() {
                found.connect(session, &canonical(role), false);
            }
        }
        _ => {}
    }
    for link in LINKS {
        let is_gone = link.parts.contains(&operation);
        if !is_gone && !link.makes.contains(&operation) {
            continue;
        }
        for from in found.of_type(link.from) {
            for to in link.to.iter().flat_map(|of| found.of_type(of)).collect::<Vec<_>>() {
                found.connect(&from, &to, is_gone);
            }
        }
    }
    for (_, made, of) in COPIES.iter().filter(|(name, _, _)| *name == operation) {
        let id = |path: &str| {
            let (part, key) = path.rsplit_once('/')?;
            let part = match part {
                "/requestParameters" => &call.request,
                _ => &call.response,
            };
            let mut one = Found::default();
            place.add(key, part[key].as_str()?, &mut one);
            one.resources.into_keys().next()
        };
        if let (Some(made), Some(of)) = (id(made), id(of)) {
            found.connect(&made, &of, false);
        }
    }
}

/// Connects an instance that was launched with all that it was launched with.
fn launched(place: &Place<'_>, item: &Value, found: &mut Found) {
    let Some(instance) = item["instanceId"].as_str() else { return };
    let mut with = Found::default();
    place.walk("", item, DEPTH, &mut with);
    for id in with.resources.keys().filter(|id| *id != instance) {
        match kind_of(id).as_ref().map(|(_, kind)| kind.as_ref()) {
            // As they are attached later, too.
            Some("aws_ebs_volume" | "aws_network_interface") => found.connect(id, instance, false),
            _ => found.connect(instance, id, false),
        }
    }
}

impl Found {
    /// Ids of a type.
    fn of_type(&self, resource_type: &str) -> Vec<String> {
        let of = self.resources.iter().filter(|(_, (of, _))| of.as_deref() == Some(resource_type));
        of.map(|(id, _)| id.clone()).collect()
    }
}
