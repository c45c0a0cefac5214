//! What an operation does, told by its words.

/// What an operation does, whatever the provider calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Class {
    /// Reads, lists or describes configuration.
    Read,
    /// Creates or changes a resource.
    Write,
    /// Deletes, terminates or detaches one.
    Delete,
    /// Changes users, roles, keys, policies or permissions.
    Permission,
    /// Signs in, assumes a role, asks for a token.
    Authentication,
    /// Reads or writes customers' data: objects, items, rows.
    Data,
    /// Uses keys or reads secrets.
    Secret,
    /// Stops, deletes or narrows logging and detection.
    Logging,
}

pub(crate) const CLASSES: [(Class, &str); 8] = [
    (Class::Read, "read"),
    (Class::Write, "write"),
    (Class::Delete, "delete"),
    (Class::Permission, "permission"),
    (Class::Authentication, "authentication"),
    (Class::Data, "data"),
    (Class::Secret, "secret"),
    (Class::Logging, "logging"),
];

const READ_VERBS: [&str; 13] = [
    "get", "list", "describe", "head", "read", "lookup", "search", "check", "test", "simulate",
    "preview", "estimate", "view",
];
const DELETE_VERBS: [&str; 10] = [
    "delete",
    "remove",
    "terminate",
    "destroy",
    "purge",
    "drop",
    "detach",
    "deregister",
    "revoke",
    "release",
];
const AUTHENTICATION_WORDS: [&str; 8] =
    ["assume", "login", "signin", "authenticate", "federation", "session", "token", "mfa"];
const PERMISSION_WORDS: [&str; 14] = [
    "policy",
    "policies",
    "role",
    "roles",
    "permission",
    "permissions",
    "acl",
    "user",
    "users",
    "group",
    "profile",
    "grant",
    "binding",
    "credential",
];
const PERMISSION_SERVICES: [&str; 5] =
    ["iam", "organizations", "sso", "authorization", "cloudresourcemanager"];
const DATA_WORDS: [&str; 12] = [
    "object",
    "objects",
    "blob",
    "blobs",
    "item",
    "items",
    "rows",
    "records",
    "query",
    "scan",
    "select",
    "tabledata",
];
const SECRET_SERVICES: [&str; 5] =
    ["kms", "secretsmanager", "keyvault", "cloudkms", "secretmanager"];
const SECRET_WORDS: [&str; 6] =
    ["secret", "secrets", "decrypt", "encrypt", "password", "parameter"];
const LOGGING_WORDS: [&str; 12] = [
    "logging",
    "trail",
    "detector",
    "flow",
    "sink",
    "sinks",
    "selectors",
    "recorder",
    "alarms",
    "diagnosticsettings",
    "findings",
    "audit",
];

impl Class {
    /// The class of an operation, by its words and its service; the first rule that holds:
    ///
    /// 1. not a reading verb, and a word of logging or detection: [`Class::Logging`];
    /// 2. a word of signing in, or the service `sts` or `signin`: [`Class::Authentication`];
    /// 3. a key or secret service, or a word of secrets: [`Class::Secret`];
    /// 4. not reading, and an identity service or a word of permissions: [`Class::Permission`];
    /// 5. a word of stored data: [`Class::Data`];
    /// 6. a deleting verb: [`Class::Delete`];
    /// 7. a reading verb, or marked read-only: [`Class::Read`]; else [`Class::Write`].
    ///
    /// The words are those of the operation's last segment (`DeleteTrail`;
    /// `…/networkSecurityGroups/delete`; `v1.compute.instances.insert`), and of the one before
    /// it where the last is a bare verb.
    #[must_use]
    pub fn of(service: &str, operation: &str, read_only: bool) -> Self {
        let words = words(operation);
        let service = service.to_ascii_lowercase();
        let service_is = |names: &[&str]| {
            service.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| names.contains(&part))
        };
        let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
        let reads = read_only || has(&READ_VERBS[..]) && !has(&["set", "put", "create", "update"]);
        if !reads && has(&LOGGING_WORDS) {
            Self::Logging
        } else if has(&AUTHENTICATION_WORDS) || service_is(&["sts", "signin"]) {
            Self::Authentication
        } else if service_is(&SECRET_SERVICES) || has(&SECRET_WORDS) {
            Self::Secret
        } else if !reads && (service_is(&PERMISSION_SERVICES) || has(&PERMISSION_WORDS)) {
            Self::Permission
        } else if has(&DATA_WORDS) {
            Self::Data
        } else if has(&DELETE_VERBS) {
            Self::Delete
        } else if reads {
            Self::Read
        } else {
            Self::Write
        }
    }
}

/// The lower-case words of an operation's last segment or two; see [`Class::of`].
pub(crate) fn words(operation: &str) -> Vec<String> {
    let segments: Vec<&str> =
        operation.split(['/', '.', ':']).filter(|segment| !segment.is_empty()).collect();
    let bare = segments.last().is_some_and(|last| last.starts_with(char::is_lowercase));
    let kept = segments.len().saturating_sub(if bare { 2 } else { 1 });
    let mut words: Vec<String> = Vec::new();
    for segment in &segments[kept..] {
        // Azure names resource types in one word: keep it whole as well.
        words.push(segment.to_ascii_lowercase());
        let mut before = '_';
        for c in segment.chars() {
            if !c.is_alphanumeric() {
                before = '_';
                continue;
            }
            match words.last_mut() {
                Some(word) if before != '_' && !(c.is_uppercase() && before.is_lowercase()) => {
                    word.push(c.to_ascii_lowercase());
                }
                _ => words.push(c.to_ascii_lowercase().to_string()),
            }
            before = c;
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_of_three_providers_have_the_same_classes() {
        use Class::*;
        for (service, operation, read_only, want) in [
            ("ec2.amazonaws.com", "DescribeInstances", true, Read),
            ("ec2.amazonaws.com", "RunInstances", false, Write),
            ("ec2.amazonaws.com", "TerminateInstances", false, Delete),
            ("iam.amazonaws.com", "CreateAccessKey", false, Permission),
            ("iam.amazonaws.com", "ListUsers", true, Read),
            ("s3.amazonaws.com", "PutBucketPolicy", false, Permission),
            ("sts.amazonaws.com", "AssumeRole", true, Authentication),
            ("signin.amazonaws.com", "ConsoleLogin", false, Authentication),
            ("s3.amazonaws.com", "GetObject", true, Data),
            ("kms.amazonaws.com", "Decrypt", true, Secret),
            ("secretsmanager.amazonaws.com", "GetSecretValue", true, Secret),
            ("cloudtrail.amazonaws.com", "StopLogging", false, Logging),
            ("cloudtrail.amazonaws.com", "DeleteTrail", false, Logging),
            ("cloudtrail.amazonaws.com", "DescribeTrails", true, Read),
            ("Microsoft.Network", "Microsoft.Network/networkSecurityGroups/delete", false, Delete),
            (
                "Microsoft.Authorization",
                "Microsoft.Authorization/roleAssignments/write",
                false,
                Permission,
            ),
            ("Microsoft.Insights", "Microsoft.Insights/diagnosticSettings/delete", false, Logging),
            ("Microsoft.KeyVault", "Microsoft.KeyVault/vaults/secrets/read", true, Secret),
            ("compute.googleapis.com", "v1.compute.instances.insert", false, Write),
            ("compute.googleapis.com", "v1.compute.instances.delete", false, Delete),
            (
                "iam.googleapis.com",
                "google.iam.admin.v1.CreateServiceAccountKey",
                false,
                Permission,
            ),
            ("storage.googleapis.com", "storage.objects.get", true, Data),
            (
                "logging.googleapis.com",
                "google.logging.v2.ConfigServiceV2.DeleteSink",
                false,
                Logging,
            ),
        ] {
            assert_eq!(Class::of(service, operation, read_only), want, "{service} {operation}");
        }
    }
}
