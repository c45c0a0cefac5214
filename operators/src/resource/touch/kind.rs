//! What an operation does with the resources that it names.

use super::Kind;
use crate::event::{Class, words};

/// Words of operations on what is said about data, not on data.
const ABOUT: [&str; 9] = [
    "acl",
    "attributes",
    "configuration",
    "notification",
    "policy",
    "retention",
    "tag",
    "tagging",
    "tags",
];
/// Verbs that read or use a secret or key, and those that keep it.
const SECRET_USE: [&str; 10] = [
    "access",
    "decrypt",
    "encrypt",
    "generate",
    "get",
    "getsecret",
    "reencrypt",
    "sign",
    "unwrap",
    "verify",
];
const SECRET_CARE: [&str; 8] =
    ["create", "delete", "describe", "list", "put", "rotate", "schedule", "update"];
/// Verbs that start a resource, call it or work within it.
const WORKING: [&str; 19] = [
    "assume",
    "connect",
    "download",
    "exec",
    "execute",
    "insertjob",
    "invoke",
    "portforward",
    "proxy",
    "publish",
    "query",
    "reboot",
    "receive",
    "restart",
    "resume",
    "run",
    "send",
    "start",
    "upload",
];
/// Subresources of Kubernetes through which somebody works within a container.
const INSIDE: [&str; 4] = ["attach", "exec", "portforward", "proxy"];

/// The kind of an operation.
pub(super) fn of(provider: &str, service: &str, operation: &str, reads: bool) -> Kind {
    let plain = if reads { Kind::Look } else { Kind::Change };
    if provider == "kubernetes" {
        let (verb, what) = operation.split_once(' ').unwrap_or((operation, ""));
        let what = what.split(' ').next().unwrap_or_default();
        let is_inside = what.split_once('/').is_some_and(|(_, within)| INSIDE.contains(&within));
        return if is_inside || (verb, what) == ("get", "secrets") { Kind::Use } else { plain };
    }
    let words = words(operation);
    let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    if has(&ABOUT) {
        return plain;
    }
    let is_use = match Class::of(service, operation, reads) {
        Class::Data => true,
        Class::Secret => has(&SECRET_USE) && !has(&SECRET_CARE),
        Class::Logging | Class::Permission | Class::Delete => false,
        Class::Read | Class::Write | Class::Authentication => has(&WORKING),
    };
    if is_use { Kind::Use } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn using_is_told_from_changing_and_looking() {
        let check = |provider: &str, service: &str, operation: &str, reads: bool, want: Kind| {
            assert_eq!(of(provider, service, operation, reads), want, "{operation}");
        };
        for (service, operation, reads, want) in [
            ("s3", "GetObject", true, Kind::Use),
            ("s3", "PutObject", false, Kind::Use),
            ("s3", "PutObjectTagging", false, Kind::Change),
            ("s3", "GetBucketPolicy", true, Kind::Look),
            ("s3", "DeleteBucket", false, Kind::Change),
            ("dynamodb", "Query", true, Kind::Use),
            ("dynamodb", "DescribeTable", true, Kind::Look),
            ("ec2", "StartInstances", false, Kind::Use),
            ("ec2", "RunInstances", false, Kind::Use),
            ("ec2", "StopInstances", false, Kind::Change),
            ("ec2", "AttachVolume", false, Kind::Change),
            ("ec2", "CreateTags", false, Kind::Change),
            ("ec2", "GetPasswordData", true, Kind::Use),
            ("ec2", "DescribeInstances", true, Kind::Look),
            ("ssm", "StartSession", false, Kind::Use),
            ("ssm", "SendCommand", false, Kind::Use),
            ("ec2-instance-connect", "SendSSHPublicKey", false, Kind::Use),
            ("lambda", "Invoke", false, Kind::Use),
            ("lambda", "UpdateFunctionCode20150331v2", false, Kind::Change),
            ("kms", "Decrypt", true, Kind::Use),
            ("kms", "ScheduleKeyDeletion", false, Kind::Change),
            ("kms", "DescribeKey", true, Kind::Look),
            ("secretsmanager", "GetSecretValue", true, Kind::Use),
            ("secretsmanager", "ListSecrets", true, Kind::Look),
            ("sts", "AssumeRole", true, Kind::Use),
            ("cloudtrail", "StartLogging", false, Kind::Change),
            ("rds", "StartDBInstance", false, Kind::Use),
            ("iam", "CreateAccessKey", false, Kind::Change),
        ] {
            check("aws", &format!("{service}.amazonaws.com"), operation, reads, want);
        }
        let machines = "Microsoft.Compute/virtualMachines";
        check("azure", "Microsoft.Compute", &format!("{machines}/start/action"), false, Kind::Use);
        check(
            "azure",
            "Microsoft.Compute",
            &format!("{machines}/runCommand/action"),
            false,
            Kind::Use,
        );
        check("azure", "Microsoft.Compute", &format!("{machines}/write"), false, Kind::Change);
        check("azure", "Microsoft.Compute", &format!("{machines}/read"), true, Kind::Look);
        check("azure", "Microsoft.Storage", "GetBlob", true, Kind::Use);
        let compute = "compute.googleapis.com";
        check("gcp", compute, "v1.compute.instances.start", false, Kind::Use);
        check("gcp", compute, "v1.compute.instances.attachDisk", false, Kind::Change);
        check("gcp", "storage.googleapis.com", "storage.objects.get", true, Kind::Use);
        check("gcp", "k8s.io", "io.k8s.core.v1.pods.exec.create", false, Kind::Use);
        check("kubernetes", "core", "get pods/exec", false, Kind::Use);
        check("kubernetes", "core", "get secrets", true, Kind::Use);
        check("kubernetes", "core", "get pods", true, Kind::Look);
        check("kubernetes", "apps", "patch deployments", false, Kind::Change);
        check("kubernetes", "core", "create pods impersonated", false, Kind::Change);
        check("kubernetes", "core", "list /apis", true, Kind::Look);
    }
}
