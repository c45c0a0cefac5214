//! Kubernetes: events of the API server's audit log (`audit.k8s.io`), as every distribution writes them.
//!
//! The event names no cluster: `account` beside the format does. Its *region* is the namespace: the
//! place within the cluster in which a principal acts. All stages of a request share its `auditID`, so
//! that of several only the first counts; the policy's `omitStages` should leave out `RequestReceived`,
//! which knows no outcome yet.

use std::borrow::Cow;

use serde::Deserialize;

use super::super::record::Fault;
use super::{Event, Text, instant, need, some, take};
use crate::Result;

/// An event, as far as we look into it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    #[serde(borrow, default, rename = "auditID")]
    audit_id: Text<'a>,
    #[serde(borrow, default)]
    request_received_timestamp: Text<'a>,
    #[serde(borrow, default)]
    stage_timestamp: Text<'a>,
    #[serde(borrow, default)]
    verb: Text<'a>,
    #[serde(borrow, default, rename = "requestURI")]
    request_uri: Text<'a>,
    #[serde(borrow, default)]
    user: Option<User<'a>>,
    #[serde(borrow, default)]
    impersonated_user: Option<User<'a>>,
    #[serde(borrow, default, rename = "sourceIPs")]
    source_ips: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow, default)]
    user_agent: Text<'a>,
    #[serde(borrow, default)]
    object_ref: Option<Object<'a>>,
    #[serde(borrow, default)]
    response_status: Option<Status<'a>>,
}

#[derive(Deserialize)]
struct User<'a> {
    #[serde(borrow, default)]
    username: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object<'a> {
    #[serde(borrow, default)]
    api_group: Text<'a>,
    #[serde(borrow, default)]
    resource: Text<'a>,
    #[serde(borrow, default)]
    subresource: Text<'a>,
    #[serde(borrow, default)]
    namespace: Text<'a>,
    #[serde(borrow, default)]
    name: Text<'a>,
}

#[derive(Deserialize)]
struct Status<'a> {
    #[serde(default)]
    code: Option<i64>,
    #[serde(borrow, default)]
    reason: Text<'a>,
}

/// Subresources through which somebody works within a container or node, whatever the verb.
const INSIDE: [&str; 4] = ["exec", "attach", "portforward", "proxy"];

impl Object<'_> {
    /// `pods/exec`.
    fn kind(&self) -> Option<String> {
        let resource = some(&self.resource)?;
        Some(match some(&self.subresource) {
            Some(subresource) => format!("{resource}/{subresource}"),
            None => resource.to_owned(),
        })
    }

    /// `<namespace>/<resource>/<name>`.
    fn path(&self) -> Option<String> {
        let parts = [some(&self.namespace), some(&self.resource), some(&self.name)];
        self.name.as_ref().map(|_| parts.into_iter().flatten().collect::<Vec<_>>().join("/"))
    }
}

/// Reads an event.
pub(super) fn event(text: &str) -> Result<Event<'_>, Fault> {
    let mut record: Record<'_> = serde_json::from_str(text)
        .map_err(|error| Fault::of(format!("not a Kubernetes audit event: {error}")))?;
    let staged = take(&mut record.stage_timestamp);
    let time = take(&mut record.request_received_timestamp).or(staged);
    let time = time.ok_or_else(|| Fault::fixed("requestReceivedTimestamp", "missing"))?;
    let verb = need(&mut record.verb, "verb")?;
    let mut object = record.object_ref.unwrap_or_default();
    let what = object.kind().or_else(|| some(&record.request_uri).map(str::to_owned));
    let what = what.ok_or_else(|| Fault::fixed("objectRef", "missing, and no requestURI"))?;
    let inside = some(&object.subresource).is_some_and(|sub| INSIDE.contains(&sub));
    // Who asked, not whom he posed as: that is what he did.
    let posed = record.impersonated_user.is_some();
    let user = record.user.and_then(|mut user| take(&mut user.username));
    let user = user.ok_or_else(|| Fault::fixed("user.username", "missing"))?;
    let principal_type = match &*user {
        name if name.starts_with("system:serviceaccount:") => "ServiceAccount",
        "system:anonymous" => "Anonymous",
        name if name.starts_with("system:node:") => "Node",
        name if name.starts_with("system:") => "System",
        _ => "User",
    };
    let failed = record.response_status.filter(|status| status.code.is_some_and(|c| c >= 400));
    Ok(Event {
        time: instant(&time, "requestReceivedTimestamp")?,
        id: take(&mut record.audit_id),
        provider: Cow::Borrowed("kubernetes"),
        account: None,
        resources: object.path().map(Cow::Owned).into_iter().collect(),
        region: take(&mut object.namespace).unwrap_or(Cow::Borrowed("cluster")),
        principal: user,
        principal_type: Cow::Borrowed(principal_type),
        session: None,
        source_ip: record
            .source_ips
            .and_then(|mut list| (!list.is_empty()).then(|| list.swap_remove(0))),
        user_agent: take(&mut record.user_agent),
        service: take(&mut object.api_group).unwrap_or(Cow::Borrowed("core")),
        read_only: matches!(&*verb, "get" | "list" | "watch" | "head") && !inside && !posed,
        operation: Cow::Owned(format!("{verb} {what}{}", if posed { " impersonated" } else { "" })),
        error: failed.map(|mut status| {
            let code = || Cow::Owned(status.code.unwrap_or_default().to_string());
            take(&mut status.reason).unwrap_or_else(code)
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_same_columns() {
        let shell = event(
            r#"{"kind": "Event", "apiVersion": "audit.k8s.io/v1", "auditID": "a-1", "verb": "get",
                "stage": "ResponseComplete", "requestReceivedTimestamp": "2024-05-01T12:00:00.000000Z",
                "user": {"username": "ann@example.com", "groups": ["system:masters"]},
                "sourceIPs": ["203.0.113.1"], "userAgent": "kubectl/v1.30.0",
                "objectRef": {"resource": "pods", "subresource": "exec", "namespace": "shop", "name": "p"},
                "responseStatus": {"code": 403, "reason": "Forbidden"}}"#,
        )
        .unwrap();
        assert_eq!((&*shell.operation, shell.read_only), ("get pods/exec", false));
        assert_eq!((&*shell.region, &*shell.service), ("shop", "core"));
        assert_eq!(shell.error.as_deref(), Some("Forbidden"));
        assert_eq!(shell.resources, ["shop/pods/p"]);
        let list = event(
            r#"{"stageTimestamp": "2024-05-01T12:00:00Z", "verb": "list", "requestURI": "/apis",
                "user": {"username": "system:serviceaccount:shop:ci"}, "responseStatus": {"code": 200}}"#,
        )
        .unwrap();
        assert_eq!((&*list.operation, list.read_only), ("list /apis", true));
        assert_eq!((&*list.principal_type, list.error), ("ServiceAccount", None));
        let fault = event(r#"{"verb": "list", "requestURI": "/apis"}"#).unwrap_err();
        assert_eq!(fault.field.as_deref(), Some("requestReceivedTimestamp"));
    }
}
