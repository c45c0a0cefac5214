//! Which operations are known steps of an attack: MITRE ATT&CK's cloud matrix.
//!
//! A technique never judges by itself and is no model's input: most of these operations are daily work
//! for somebody. It says what a window that was found strange may be part of.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, StringBuilder};

/// A technique, and the tactic that it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Technique {
    /// `T1562.008`.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The tactic's id, `TA0005`.
    pub tactic: &'static str,
}

const fn technique(id: &'static str, name: &'static str, tactic: &'static str) -> Technique {
    Technique { id, name, tactic }
}

/// Those that an operation may be a step of.
const TECHNIQUES: [Technique; 26] = [
    technique("T1562.008", "Disable or Modify Cloud Logs", "TA0005"),
    technique("T1562.001", "Disable or Modify Tools", "TA0005"),
    technique("T1562.007", "Disable or Modify Cloud Firewall", "TA0005"),
    technique("T1666", "Modify Cloud Resource Hierarchy", "TA0005"),
    technique("T1098.001", "Additional Cloud Credentials", "TA0003"),
    technique("T1098.003", "Additional Cloud Roles", "TA0003"),
    technique("T1098.004", "SSH Authorized Keys", "TA0003"),
    technique("T1098.006", "Additional Container Cluster Roles", "TA0003"),
    technique("T1136.003", "Create Account: Cloud Account", "TA0003"),
    technique("T1525", "Implant Internal Image", "TA0003"),
    technique("T1053.007", "Container Orchestration Job", "TA0003"),
    technique("T1550.001", "Application Access Token", "TA0008"),
    technique("T1021.004", "Remote Services: SSH", "TA0008"),
    technique("T1555.006", "Cloud Secrets Management Stores", "TA0006"),
    technique("T1552", "Unsecured Credentials", "TA0006"),
    technique("T1552.007", "Container API", "TA0006"),
    technique("T1651", "Cloud Administration Command", "TA0002"),
    technique("T1609", "Container Administration Command", "TA0002"),
    technique("T1648", "Serverless Execution", "TA0002"),
    technique("T1578.002", "Create Cloud Instance", "TA0005"),
    technique("T1537", "Transfer Data to Cloud Account", "TA0010"),
    technique("T1078.004", "Valid Accounts: Cloud Accounts", "TA0001"),
    technique("T1087.004", "Account Discovery: Cloud Account", "TA0007"),
    technique("T1580", "Cloud Infrastructure Discovery", "TA0007"),
    technique("T1485", "Data Destruction", "TA0040"),
    technique("T1490", "Inhibit System Recovery", "TA0040"),
];

/// Service (its first label, or a whole name) and operation to technique. An operation matches those
/// that go on with a version's digits (`UpdateFunctionCode20150331v2`); one that begins with `.` or `/`
/// matches names that end so.
const STEPS: [(&str, &str, &str); 88] = [
    ("cloudtrail", "StopLogging", "T1562.008"),
    ("cloudtrail", "DeleteTrail", "T1562.008"),
    ("cloudtrail", "UpdateTrail", "T1562.008"),
    ("cloudtrail", "PutEventSelectors", "T1562.008"),
    ("cloudtrail", "DeleteEventDataStore", "T1562.008"),
    ("ec2", "DeleteFlowLogs", "T1562.008"),
    ("logs", "DeleteLogGroup", "T1562.008"),
    ("logs", "DeleteLogStream", "T1562.008"),
    ("config", "StopConfigurationRecorder", "T1562.008"),
    ("config", "DeleteConfigurationRecorder", "T1562.008"),
    ("config", "DeleteDeliveryChannel", "T1562.008"),
    ("route53resolver", "DeleteResolverQueryLogConfig", "T1562.008"),
    ("guardduty", "DeleteDetector", "T1562.001"),
    ("guardduty", "UpdateDetector", "T1562.001"),
    ("securityhub", "DisableSecurityHub", "T1562.001"),
    ("monitoring", "DeleteAlarms", "T1562.001"),
    ("ec2", "AuthorizeSecurityGroupIngress", "T1562.007"),
    ("organizations", "LeaveOrganization", "T1666"),
    ("iam", "CreateAccessKey", "T1098.001"),
    ("iam", "CreateLoginProfile", "T1098.001"),
    ("iam", "UpdateLoginProfile", "T1098.001"),
    ("iam", "CreateServiceSpecificCredential", "T1098.001"),
    ("iam", "AttachUserPolicy", "T1098.003"),
    ("iam", "AttachRolePolicy", "T1098.003"),
    ("iam", "AttachGroupPolicy", "T1098.003"),
    ("iam", "PutUserPolicy", "T1098.003"),
    ("iam", "PutRolePolicy", "T1098.003"),
    ("iam", "AddUserToGroup", "T1098.003"),
    ("iam", "UpdateAssumeRolePolicy", "T1098.003"),
    ("iam", "CreatePolicyVersion", "T1098.003"),
    ("iam", "CreateUser", "T1136.003"),
    ("iam", "CreateRole", "T1136.003"),
    ("ec2", "ImportKeyPair", "T1098.004"),
    ("ec2", "CreateKeyPair", "T1098.004"),
    ("sts", "GetFederationToken", "T1550.001"),
    ("ec2-instance-connect", "SendSSHPublicKey", "T1021.004"),
    ("ec2-instance-connect", "SendSerialConsoleSSHPublicKey", "T1021.004"),
    ("secretsmanager", "GetSecretValue", "T1555.006"),
    ("secretsmanager", "BatchGetSecretValue", "T1555.006"),
    ("ssm", "GetParameters", "T1552"),
    ("ssm", "GetParametersByPath", "T1552"),
    ("ec2", "GetPasswordData", "T1552"),
    ("ssm", "SendCommand", "T1651"),
    ("ssm", "StartSession", "T1651"),
    ("ec2", "ModifyInstanceAttribute", "T1651"),
    ("lambda", "UpdateFunctionCode", "T1648"),
    ("lambda", "UpdateFunctionConfiguration", "T1648"),
    ("ec2", "RunInstances", "T1578.002"),
    ("ecr", "PutImage", "T1525"),
    ("ec2", "ModifySnapshotAttribute", "T1537"),
    ("ec2", "ModifyImageAttribute", "T1537"),
    ("rds", "ModifyDBSnapshotAttribute", "T1537"),
    ("rds", "ModifyDBClusterSnapshotAttribute", "T1537"),
    ("s3", "PutBucketReplication", "T1537"),
    ("signin", "ConsoleLogin", "T1078.004"),
    ("iam", "ListUsers", "T1087.004"),
    ("iam", "GetAccountAuthorizationDetails", "T1087.004"),
    ("ec2", "DescribeInstances", "T1580"),
    ("organizations", "ListAccounts", "T1580"),
    ("ec2", "TerminateInstances", "T1485"),
    ("ec2", "DeleteVolume", "T1485"),
    ("s3", "DeleteBucket", "T1485"),
    ("rds", "DeleteDBInstance", "T1485"),
    ("kms", "ScheduleKeyDeletion", "T1485"),
    ("ec2", "DeleteSnapshot", "T1490"),
    ("rds", "DeleteDBSnapshot", "T1490"),
    ("s3", "PutBucketLifecycle", "T1490"),
    ("Microsoft.Insights", "Microsoft.Insights/diagnosticSettings/delete", "T1562.008"),
    ("Microsoft.Authorization", "Microsoft.Authorization/roleAssignments/write", "T1098.003"),
    ("Microsoft.Authorization", "Microsoft.Authorization/elevateAccess/action", "T1098.003"),
    ("Microsoft.Compute", "/virtualMachines/runCommand/action", "T1651"),
    ("Microsoft.Compute", "/virtualMachines/delete", "T1485"),
    ("Microsoft.Storage", "/storageAccounts/listKeys/action", "T1552"),
    ("Microsoft.KeyVault", "SecretGet", "T1555.006"),
    ("Microsoft.Network", "/securityRules/write", "T1562.007"),
    ("iam", ".CreateServiceAccountKey", "T1098.001"),
    ("iam", ".CreateServiceAccount", "T1136.003"),
    ("cloudresourcemanager", "SetIamPolicy", "T1098.003"),
    ("logging", ".DeleteSink", "T1562.008"),
    ("logging", ".UpdateSink", "T1562.008"),
    ("secretmanager", ".AccessSecretVersion", "T1555.006"),
    ("compute", "v1.compute.instances.setMetadata", "T1098.004"),
    ("core", "create pods/exec", "T1609"),
    ("core", "get pods/exec", "T1609"),
    ("core", "list secrets", "T1552.007"),
    ("core", "get secrets", "T1552.007"),
    ("rbac", "create clusterrolebindings", "T1098.006"),
    ("batch", "create cronjobs", "T1053.007"),
];

/// Whether an operation is the step that a pattern names.
fn is_step(pattern: &str, operation: &str) -> bool {
    if pattern.starts_with(['.', '/']) {
        return operation.len() > pattern.len()
            && operation
                .get(operation.len() - pattern.len()..)
                .is_some_and(|end| end.eq_ignore_ascii_case(pattern));
    }
    operation.get(..pattern.len()).is_some_and(|head| head.eq_ignore_ascii_case(pattern))
        && operation[pattern.len()..].chars().next().is_none_or(|next| next.is_ascii_digit())
}

impl Technique {
    /// The technique that an operation may be a step of.
    #[must_use]
    pub fn of(service: &str, operation: &str) -> Option<&'static Self> {
        Self::numbered(Self::number(service, operation))
    }

    /// Its number; 0 where there is none.
    pub(super) fn number(service: &str, operation: &str) -> u8 {
        let label = service.split('.').next().unwrap_or_default();
        let named =
            |known: &str| known.eq_ignore_ascii_case(label) || known.eq_ignore_ascii_case(service);
        let step = STEPS
            .iter()
            .find(|(service, pattern, _)| named(service) && is_step(pattern, operation));
        let Some((_, _, id)) = step else { return 0 };
        let at = TECHNIQUES.iter().position(|technique| technique.id == *id);
        at.map_or(0, |at| at as u8 + 1)
    }

    pub(super) fn numbered(number: u8) -> Option<&'static Self> {
        TECHNIQUES.get(usize::from(number.checked_sub(1)?))
    }

    /// What is known of a technique by its id.
    #[must_use]
    pub fn by_id(id: &str) -> Option<&'static Self> {
        TECHNIQUES.iter().find(|technique| technique.id == id)
    }

    /// A list of ids for each row.
    pub(crate) fn lists(rows: &[Vec<&'static Self>]) -> ArrayRef {
        let mut lists = ListBuilder::new(StringBuilder::new());
        for row in rows {
            for technique in row {
                lists.values().append_value(technique.id);
            }
            lists.append(true);
        }
        Arc::new(lists.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_of_four_providers_are_steps_of_techniques() {
        for (service, operation, id) in [
            ("cloudtrail.amazonaws.com", "StopLogging", Some("T1562.008")),
            ("lambda.amazonaws.com", "UpdateFunctionCode20150331v2", Some("T1648")),
            ("ssm.amazonaws.com", "GetParametersByPath", Some("T1552")),
            ("ssm.amazonaws.com", "GetParameter", None),
            ("iam.amazonaws.com", "ListUsers", Some("T1087.004")),
            (
                "iam.googleapis.com",
                "google.iam.admin.v1.CreateServiceAccountKey",
                Some("T1098.001"),
            ),
            ("Microsoft.Compute", "Microsoft.Compute/virtualMachines/delete", Some("T1485")),
            ("rbac.authorization.k8s.io", "create clusterrolebindings", Some("T1098.006")),
            ("core", "list pods", None),
        ] {
            assert_eq!(Technique::of(service, operation).map(|t| t.id), id, "{operation}");
        }
    }

    #[test]
    fn every_step_names_a_technique_and_every_technique_has_a_step() {
        for (_, operation, id) in STEPS {
            assert!(Technique::by_id(id).is_some(), "{operation}: {id}");
        }
        for technique in TECHNIQUES {
            assert!(STEPS.iter().any(|step| step.2 == technique.id), "{}", technique.id);
        }
    }
}
