//! Amazon's ids: short ones, ARNs, and names that become ARNs in an account and region.

use std::borrow::Cow;

use super::canonical;
use crate::config_drift::type_of;

/// Prefixes of short ids beside those that config drift compares. `fs-` is EFS's here; FSx's are written
/// alike.
const SHORT: &[(&str, &str)] = &[
    ("acl", "aws_network_acl"),
    ("vpce", "aws_vpc_endpoint"),
    ("vgw", "aws_vpn_gateway"),
    ("cgw", "aws_customer_gateway"),
    ("vpn", "aws_vpn_connection"),
    ("tgw", "aws_ec2_transit_gateway"),
    ("pcx", "aws_vpc_peering_connection"),
    ("eigw", "aws_egress_only_internet_gateway"),
    ("fl", "aws_flow_log"),
    ("lt", "aws_launch_template"),
    ("fs", "aws_efs_file_system"),
    ("dopt", "aws_vpc_dhcp_options"),
    ("cr", "aws_ec2_capacity_reservation"),
    ("sir", "aws_spot_instance_request"),
    ("tmf", "aws_ec2_traffic_mirror_filter"),
    ("tms", "aws_ec2_traffic_mirror_session"),
    ("tmt", "aws_ec2_traffic_mirror_target"),
];

/// Services whose resources' ARNs end in short ids, and kinds of theirs that are named instead.
const SHORT_SERVICES: [&str; 3] = ["ec2", "elasticfilesystem", "fsx"];
const NAMED_KINDS: [&str; 2] = ["key-pair", "placement-group"];

/// What ARNs name: service, how the last part begins, type. Of one beginning that holds another, the longer
/// stands first.
const ARNS: &[(&str, &str, &str)] = &[
    ("rds", "db:", "aws_db_instance"),
    ("rds", "cluster:", "aws_rds_cluster"),
    ("rds", "snapshot:", "aws_db_snapshot"),
    ("rds", "cluster-snapshot:", "aws_db_cluster_snapshot"),
    ("rds", "global-cluster:", "aws_rds_global_cluster"),
    ("rds", "subgrp:", "aws_db_subnet_group"),
    ("lambda", "function:", "aws_lambda_function"),
    ("lambda", "layer:", "aws_lambda_layer_version"),
    ("dynamodb", "table/", "aws_dynamodb_table"),
    ("sqs", "", "aws_sqs_queue"),
    ("sns", "", "aws_sns_topic"),
    ("kinesis", "stream/", "aws_kinesis_stream"),
    ("firehose", "deliverystream/", "aws_kinesis_firehose_delivery_stream"),
    ("iam", "role/", "aws_iam_role"),
    ("iam", "user/", "aws_iam_user"),
    ("iam", "group/", "aws_iam_group"),
    ("iam", "policy/", "aws_iam_policy"),
    ("iam", "instance-profile/", "aws_iam_instance_profile"),
    ("kms", "key/", "aws_kms_key"),
    ("kms", "alias/", "aws_kms_alias"),
    ("secretsmanager", "secret:", "aws_secretsmanager_secret"),
    ("ssm", "parameter/", "aws_ssm_parameter"),
    ("ecs", "cluster/", "aws_ecs_cluster"),
    ("ecs", "service/", "aws_ecs_service"),
    ("ecs", "task-definition/", "aws_ecs_task_definition"),
    ("eks", "cluster/", "aws_eks_cluster"),
    ("eks", "nodegroup/", "aws_eks_node_group"),
    ("ecr", "repository/", "aws_ecr_repository"),
    ("elasticache", "cluster:", "aws_elasticache_cluster"),
    ("elasticache", "replicationgroup:", "aws_elasticache_replication_group"),
    ("elasticloadbalancing", "loadbalancer/app/", "aws_lb"),
    ("elasticloadbalancing", "loadbalancer/net/", "aws_lb"),
    ("elasticloadbalancing", "loadbalancer/gwy/", "aws_lb"),
    ("elasticloadbalancing", "loadbalancer/", "aws_elb"),
    ("elasticloadbalancing", "targetgroup/", "aws_lb_target_group"),
    ("autoscaling", "autoScalingGroup:autoScalingGroupName/", "aws_autoscaling_group"),
    ("logs", "log-group:", "aws_cloudwatch_log_group"),
    ("cloudwatch", "alarm:", "aws_cloudwatch_metric_alarm"),
    ("events", "rule/", "aws_cloudwatch_event_rule"),
    ("cloudtrail", "trail/", "aws_cloudtrail"),
    ("cloudfront", "distribution/", "aws_cloudfront_distribution"),
    ("route53", "hostedzone/", "aws_route53_zone"),
    ("redshift", "cluster:", "aws_redshift_cluster"),
    ("es", "domain/", "aws_opensearch_domain"),
    ("states", "stateMachine:", "aws_sfn_state_machine"),
    ("codebuild", "project/", "aws_codebuild_project"),
    ("cloudformation", "stack/", "aws_cloudformation_stack"),
    ("sagemaker", "notebook-instance/", "aws_sagemaker_notebook_instance"),
    ("sagemaker", "endpoint/", "aws_sagemaker_endpoint"),
    ("bedrock", "guardrail/", "aws_bedrock_guardrail"),
    ("ec2", "key-pair/", "aws_key_pair"),
    ("ec2", "placement-group/", "aws_placement_group"),
];

/// Services whose ARNs have no region; of the second sort no account either.
const GLOBAL: [&str; 3] = ["iam", "cloudfront", "route53"];
const NOBODYS: &str = "route53";

/// Of `aws`, all of Terraform's types for a bucket and its settings.
pub(super) fn is_of_bucket(resource_type: &str) -> bool {
    resource_type.starts_with("aws_s3_bucket")
}

/// The type of a short id that no two resources have; none of another text.
pub(crate) fn short_type(id: &str) -> Option<&'static str> {
    let (prefix, rest) = id.split_once('-')?;
    // `i-photos` may be a bucket.
    let is_id = rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && rest.bytes().any(|byte| byte.is_ascii_digit());
    if !is_id {
        return None;
    }
    type_of(id).or_else(|| SHORT.iter().find(|(of, _)| *of == prefix).map(|(_, name)| *name))
}

/// The parts of an ARN: `arn:partition:service:region:account:resource`.
struct Arn<'a> {
    partition: &'a str,
    service: &'a str,
    region: &'a str,
    account: &'a str,
    resource: &'a str,
}

fn parse(arn: &str) -> Option<Arn<'_>> {
    let mut parts = arn.splitn(6, ':').skip(1);
    let mut part = || parts.next();
    let (partition, service, region) = (part()?, part()?, part()?);
    let (account, resource) = (part()?, part()?);
    Some(Arn { partition, service, region, account, resource })
}

/// The canonical id of what an ARN names.
pub(super) fn of_arn(arn: &str) -> Cow<'_, str> {
    let canonical = parse(arn).and_then(|parts| shorter(arn, &parts));
    canonical.unwrap_or(Cow::Borrowed(arn))
}

/// Another text for what an ARN names, where it has one.
fn shorter<'a>(arn: &'a str, parts: &Arn<'a>) -> Option<Cow<'a, str>> {
    let Arn { partition, service, region, account, resource } = parts;
    // What stands behind a resource's name: a version, an index, a stream.
    let without = |start: &str, end: char| {
        let (name, rest) = resource.strip_prefix(start)?.split_once(end)?;
        (!name.is_empty()).then(|| Cow::Borrowed(&arn[..arn.len() - rest.len() - end.len_utf8()]))
    };
    match *service {
        "s3" if region.is_empty() && account.is_empty() => {
            let bucket = resource.split('/').next()?;
            is_bucket(bucket).then_some(Cow::Borrowed(bucket))
        }
        service if SHORT_SERVICES.contains(&service) => {
            let (kind, id) = resource.split_once('/')?;
            let is_short = !NAMED_KINDS.contains(&kind) && short_type(id).is_some();
            is_short.then_some(Cow::Borrowed(id))
        }
        "iam" => {
            let (kind, path) = resource.split_once('/')?;
            let (_, name) = path.rsplit_once('/')?;
            (!name.is_empty())
                .then(|| Cow::Owned(format!("arn:{partition}:iam::{account}:{kind}/{name}")))
        }
        "sts" => {
            let (role, _) = resource.strip_prefix("assumed-role/")?.split_once('/')?;
            (!role.is_empty())
                .then(|| Cow::Owned(format!("arn:{partition}:iam::{account}:role/{role}")))
        }
        "lambda" => without("function:", ':').or_else(|| without("layer:", ':')),
        "dynamodb" => without("table/", '/'),
        "logs" => without("log-group:", ':'),
        "sns" => without("", ':'),
        "autoscaling" => {
            let group = resource.strip_prefix("autoScalingGroup:")?;
            let (id, name) = group.split_once(":autoScalingGroupName/")?;
            let at = format!("arn:{partition}:autoscaling:{region}:{account}");
            let name = format!("{at}:autoScalingGroup:autoScalingGroupName/{name}");
            (!id.contains('/')).then_some(Cow::Owned(name))
        }
        "elasticloadbalancing" => {
            let mut parts = resource.split('/');
            let is_listener = parts.next()?.starts_with("listener");
            let balancer = [parts.next()?, parts.next()?, parts.next()?].join("/");
            let at = format!("arn:{partition}:elasticloadbalancing:{region}:{account}");
            is_listener.then(|| Cow::Owned(format!("{at}:loadbalancer/{balancer}")))
        }
        "states" => {
            let machine = resource.strip_prefix("execution:")?.split(':').next()?;
            let at = format!("arn:{partition}:states:{region}:{account}");
            Some(Cow::Owned(format!("{at}:stateMachine:{machine}")))
        }
        _ => None,
    }
}

/// The type of what an ARN names.
pub(super) fn arn_type(arn: &str) -> Option<&'static str> {
    let arn = parse(arn)?;
    let is_of = |(service, start, _): &&(&str, &str, &str)| {
        *service == arn.service
            && arn.resource.len() > start.len()
            && arn.resource.starts_with(start)
    };
    ARNS.iter().find(is_of).map(|(_, _, name)| *name)
}

fn is_bucket(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    !name.is_empty() && name.bytes().all(is_allowed)
}

/// The ARN of a queue by its URL, `https://sqs.<region>.amazonaws.com/<account>/<name>`.
pub(super) fn of_queue(url: &str) -> Option<String> {
    let (region, path) = url.strip_prefix("https://sqs.")?.split_once(".amazonaws.com")?;
    let (account, name) = path.trim_start_matches(".cn").strip_prefix('/')?.split_once('/')?;
    let is_name = !name.is_empty() && !name.contains('/');
    is_name.then(|| format!("arn:{}:sqs:{region}:{account}:{name}", partition(region)))
}

fn partition(region: &str) -> &'static str {
    match region {
        _ if region.starts_with("cn-") => "aws-cn",
        _ if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// The canonical id of a resource that a parameter names in an account and region; none of a name that is
/// unique nowhere, or of a type whose ids are not known here.
#[must_use]
pub fn named(resource_type: &str, name: &str, region: &str, account: &str) -> Option<String> {
    let name = name.trim();
    if name.starts_with("arn:") || name.starts_with("https://") {
        return Some(canonical(name).into_owned());
    }
    if short_type(name).is_some_and(|of| of == resource_type) {
        return Some(name.to_owned());
    }
    if resource_type == "aws_s3_bucket" {
        return is_bucket(name).then(|| name.to_owned());
    }
    let (service, start, _) = ARNS.iter().find(|(_, _, of)| *of == resource_type)?;
    // `<account>:function:<name>` is a name of a function, too.
    let name = name.rsplit_once(":function:").map_or(name, |(_, name)| name);
    let name = if *service == "ssm" { name.trim_start_matches('/') } else { name };
    if name.is_empty() {
        return None;
    }
    let start = if name.starts_with("alias/") { "" } else { *start };
    let at = if GLOBAL.contains(service) { "" } else { region };
    let of = if *service == NOBODYS { "" } else { account };
    let arn = format!("arn:{}:{service}:{at}:{of}:{start}{name}", partition(region));
    Some(canonical(&arn).into_owned())
}
