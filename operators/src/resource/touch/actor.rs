//! Whether a person acted: what credentials say.

use serde_json::Value;

use super::Event;
use crate::resource::id::short_type;

/// Whether a person acted, and whether it is shown that they sat there.
pub(super) type Person = (bool, bool);

/// By the kind of principal that a reader told, and its name.
pub(super) fn plain(event: &Event<'_>) -> Person {
    let is_user = event.principal_type == "User";
    let is_human = match event.provider {
        "kubernetes" => is_user && !is_providers(event.principal),
        "gcp" => match event.principal_type {
            "User" => !event.principal.starts_with("system:"),
            // People of an organisation, as against workloads of a project.
            "Federated" => event.principal.contains("/workforcePools/"),
            _ => false,
        },
        _ => is_user || is_persons(event.principal_type),
    };
    (is_human, false)
}

/// Users of a cluster that are its provider's, or another cloud's workloads.
fn is_providers(user: &str) -> bool {
    let starts = ["system:", "eks:", "aks:", "gke:", "kube-"];
    let is_named = ["aksService", "masterclient", "kubelet", "nodeclient"].contains(&user);
    let session = user.rsplit_once('/').filter(|(role, _)| role.contains(":assumed-role/"));
    is_named
        || starts.iter().any(|start| user.starts_with(start))
        || user.ends_with("gserviceaccount.com")
        || session.is_some_and(|(_, session)| is_instance(session))
}

/// Kinds of AWS identities that people have.
fn is_persons(kind: &str) -> bool {
    ["Root", "IAMUser", "FederatedUser", "SAMLUser", "IdentityCenterUser", "User", "Admin"]
        .contains(&kind)
}

/// What an instance profile calls its sessions.
fn is_instance(session: &str) -> bool {
    short_type(session) == Some("aws_instance")
}

/// Console users, of whom old events say so in place of a service.
const SIGN_IN: &str = "signin.amazonaws.com";

/// By a `userIdentity` of CloudTrail's, of a kind, with or without a console behind it.
pub(super) fn of_identity(kind: &str, identity: &Value, is_console: bool) -> Person {
    let text =
        |path: &str| identity.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty());
    let service = text("/invokedBy").filter(|by| ![SIGN_IN, "AWS Internal"].contains(by));
    if service.is_some() {
        return (false, false);
    }
    let second_factor = &identity["sessionContext"]["attributes"]["mfaAuthenticated"];
    let is_interactive = is_console
        || text("/invokedBy") == Some(SIGN_IN)
        || *second_factor == "true"
        || *second_factor == true;
    if is_persons(kind) {
        return (true, is_interactive);
    }
    if kind != "AssumedRole" {
        return (false, false);
    }
    let arn = text("/arn").unwrap_or_default();
    let issuer = text("/sessionContext/sessionIssuer/arn").unwrap_or_default();
    let session = arn.rsplit('/').next().unwrap_or_default();
    let has = |part: &str| arn.contains(part) || issuer.contains(part);
    let is_workload = has("/aws-service-role/")
        || has("/AWSServiceRoleFor")
        || is_instance(session)
        || !identity["sessionContext"]["ec2RoleDelivery"].is_null()
        || identity["sessionContext"]["webIdFederationData"]
            .as_object()
            .is_some_and(|by| !by.is_empty());
    let is_human = has("/aws-reserved/sso.amazonaws.com/")
        || has("/AWSReservedSSO_")
        || is_interactive
        || text("/sessionContext/sourceIdentity").is_some()
        || session.contains('@');
    (is_human && !is_workload, is_interactive && !is_workload)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn people_are_told_from_workloads() {
        let check = |kind: &str, identity: Value, want: Person| {
            assert_eq!(of_identity(kind, &identity, false), want, "{kind} {identity}");
        };
        let session = |role: &str, name: &str, context: Value| json!({"arn": format!("arn:aws:sts::1:assumed-role/{role}/{name}"), "sessionContext": context});
        let factor = json!({"attributes": {"mfaAuthenticated": "true"}});
        check("Root", json!({}), (true, false));
        check("IAMUser", json!({"accessKeyId": "AKIA"}), (true, false));
        check("IAMUser", json!({"sessionContext": factor}), (true, true));
        check("IAMUser", json!({"invokedBy": "signin.amazonaws.com"}), (true, true));
        check("IAMUser", json!({"invokedBy": "cloudformation.amazonaws.com"}), (false, false));
        check("FederatedUser", json!({}), (true, false));
        check("AWSService", json!({"invokedBy": "ec2.amazonaws.com"}), (false, false));
        check("AWSAccount", json!({}), (false, false));
        check("AssumedRole", session("Deploy", "ci-42", json!({})), (false, false));
        check("AssumedRole", session("Admin", "jack", factor.clone()), (true, true));
        check("AssumedRole", session("Admin", "jack@example.com", json!({})), (true, false));
        check(
            "AssumedRole",
            session("Admin", "x", json!({"sourceIdentity": "jack"})),
            (true, false),
        );
        check("AssumedRole", session("AWSReservedSSO_Dev_01", "jack", json!({})), (true, false));
        check("AssumedRole", session("Web", "i-0abc", factor.clone()), (false, false));
        check(
            "AssumedRole",
            session("Web", "f", json!({"ec2RoleDelivery": "2.0"})),
            (false, false),
        );
        check("AssumedRole", session("AWSServiceRoleForSupport", "a@b", json!({})), (false, false));
        let web = json!({"webIdFederationData": {"federatedProvider": "token.example.com"}});
        check("AssumedRole", session("Deploy", "a@b", web), (false, false));
        assert_eq!(of_identity("AssumedRole", &session("Dev", "x", json!({})), true), (true, true));
    }

    #[test]
    fn users_of_clusters_may_be_nobody() {
        for user in [
            "system:node:n-1",
            "eks:certificate-controller",
            "ci@p.iam.gserviceaccount.com",
            "arn:aws:sts::1:assumed-role/nodes/i-0abc",
            "masterclient",
        ] {
            assert!(is_providers(user), "{user}");
        }
        for user in ["ann@example.com", "kubernetes-admin", "arn:aws:sts::1:assumed-role/Dev/ann"] {
            assert!(!is_providers(user), "{user}");
        }
    }
}
