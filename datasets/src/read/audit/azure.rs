//! Azure: activity, resource and directory logs, as diagnostic settings export them, and activity
//! events as the REST interface gives them.
//!
//! Resource logs carry no id of their own (`correlationId` is shared by all steps of an operation), so
//! that they are told apart by a digest. Many name no caller: such events belong to `Unknown:<account>`.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::super::record::Fault;
use super::{Event, Text, instant, reads, some, take};
use crate::Result;

/// An event, as far as we look into it. Event hubs spell names in lower case, too.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    #[serde(borrow, default)]
    time: Text<'a>,
    #[serde(borrow, default, alias = "eventtimestamp")]
    event_timestamp: Text<'a>,
    #[serde(borrow, default, alias = "eventdataid")]
    event_data_id: Text<'a>,
    #[serde(default, alias = "operationname")]
    operation_name: Option<Named>,
    #[serde(default)]
    category: Option<Named>,
    #[serde(borrow, default, alias = "resourceid")]
    resource_id: Text<'a>,
    #[serde(borrow, default, alias = "subscriptionid")]
    subscription_id: Text<'a>,
    #[serde(borrow, default, alias = "tenantid")]
    tenant_id: Text<'a>,
    #[serde(borrow, default)]
    location: Text<'a>,
    #[serde(borrow, default, alias = "calleripaddress")]
    caller_ip_address: Text<'a>,
    #[serde(borrow, default)]
    caller: Text<'a>,
    #[serde(default, alias = "resulttype")]
    result_type: Option<Value>,
    #[serde(default, alias = "resultsignature")]
    result_signature: Option<Value>,
    #[serde(default)]
    status: Option<Named>,
    #[serde(default)]
    result: Option<Value>,
    #[serde(default)]
    identity: Value,
    #[serde(default)]
    claims: Value,
    #[serde(default)]
    properties: Value,
    #[serde(default, alias = "httprequest")]
    http_request: Value,
}

/// Text, or `{ "value": text }` as the REST interface writes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    Plain(String),
    Value { value: String },
    Other(Value),
}

impl Named {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Plain(text) | Self::Value { value: text } => Some(text.as_str()),
            Self::Other(other) => other.as_str(),
        }
        .filter(|text| !text.is_empty())
    }
}

/// Claims that name a caller, the plainest first.
const CLAIMS: [&str; 7] = [
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn",
    "upn",
    "unique_name",
    "name",
    "http://schemas.microsoft.com/identity/claims/objectidentifier",
    "oid",
    "appid",
];

/// What of an event's other parts names who acted, with the kind of principal.
const CALLERS: [(&str, &str); 8] = [
    ("/initiatedBy/user/userPrincipalName", "User"),
    ("/initiatedBy/user/id", "User"),
    ("/userPrincipalName", "User"),
    ("/initiatedBy/app/servicePrincipalId", "ServicePrincipal"),
    ("/initiatedBy/app/appId", "ServicePrincipal"),
    ("/initiatedBy/app/displayName", "ServicePrincipal"),
    ("/servicePrincipalId", "ServicePrincipal"),
    ("/servicePrincipalName", "ServicePrincipal"),
];

/// Results of operations that have not failed, in lower case.
const FINE: [&str; 8] =
    ["success", "succeeded", "start", "started", "accept", "accepted", "0", "active"];

fn text<'v>(value: &'v Value, path: &str) -> Option<&'v str> {
    value.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty())
}

impl Record<'_> {
    /// Who acted, and what kind of principal that is.
    fn principal(&self) -> Option<(String, &'static str)> {
        let claimed = |claims: &Value| {
            let found = CLAIMS.iter().find_map(|claim| claims.get(*claim)?.as_str());
            let found = found.filter(|text| !text.is_empty());
            found.map(|name| {
                (name.to_owned(), if name.contains('@') { "User" } else { "ServicePrincipal" })
            })
        };
        let plain = |name: &str| {
            (name.to_owned(), if name.contains('@') { "User" } else { "ServicePrincipal" })
        };
        let called = || some(&self.caller).map(plain);
        let known = || {
            let found = CALLERS
                .iter()
                .find_map(|(path, kind)| Some((text(&self.properties, path)?.to_owned(), *kind)));
            let upn = || text(&self.identity, "/UserName").map(|name| (name.to_owned(), "User"));
            let requester = || text(&self.identity, "/requester/upn").map(plain);
            let object = || text(&self.identity, "/requester/objectId").map(plain);
            found.or_else(upn).or_else(requester).or_else(object)
        };
        called()
            .or_else(|| claimed(self.identity.get("claims")?))
            .or_else(|| claimed(self.identity.get("claim")?))
            .or_else(|| claimed(&self.claims))
            .or_else(known)
            .or_else(|| self.identity.as_str().filter(|name| !name.is_empty()).map(plain))
    }

    /// Why the operation failed; none where it did not.
    fn error(&self) -> Option<String> {
        let plain = |value: &Value| match value {
            Value::String(text) => (!text.is_empty()).then(|| text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let result = self.result_type.as_ref().and_then(plain);
        let result = result.or_else(|| self.status.as_ref()?.text().map(str::to_owned));
        let result = result.or_else(|| self.result.as_ref().and_then(plain))?;
        if FINE.contains(&result.to_ascii_lowercase().as_str()) {
            return None;
        }
        let code = text(&self.properties, "/statusCode").map(str::to_owned);
        Some(code.or_else(|| self.result_signature.as_ref().and_then(plain)).unwrap_or(result))
    }
}

/// The value behind a name in a resource's path, `/subscriptions/<id>/…`.
fn within<'r>(resource: &'r str, name: &str) -> Option<&'r str> {
    let mut parts = resource.split('/');
    parts.find(|part| part.eq_ignore_ascii_case(name))?;
    parts.next().filter(|part| !part.is_empty())
}

/// Who provides an operation: of `Microsoft.Compute/virtualMachines/delete` what stands before the
/// first slash, else the resource's provider, else the log's category.
fn service(operation: &str, resource: Option<&str>, category: Option<&str>) -> String {
    let named = operation.split_once('/').map(|(service, _)| service);
    named
        .filter(|service| service.contains('.'))
        .or_else(|| within(resource?, "providers"))
        .or(category)
        .unwrap_or("Azure")
        .to_owned()
}

/// Reads an event.
pub(super) fn event(json: &str) -> Result<Event<'_>, Fault> {
    let mut record: Record<'_> = serde_json::from_str(json)
        .map_err(|error| Fault::of(format!("not an Azure log record: {error}")))?;
    let time = take(&mut record.time).or_else(|| take(&mut record.event_timestamp));
    let time = match (&time, text(&record.properties, "/activityDateTime")) {
        (Some(time), _) => time,
        (None, Some(time)) => time,
        (None, None) => return Err(Fault::fixed("time", "missing")),
    };
    let time = instant(time, "time")?;
    let operation = record.operation_name.as_ref().and_then(Named::text);
    let operation = operation.ok_or_else(|| Fault::fixed("operationName", "missing"))?.to_owned();
    let resource = take(&mut record.resource_id);
    let subscription = resource.as_deref().and_then(|path| within(path, "subscriptions"));
    let account = take(&mut record.subscription_id)
        .or_else(|| subscription.map(|id| Cow::Owned(id.to_owned())))
        .or_else(|| take(&mut record.tenant_id))
        .or_else(|| text(&record.properties, "/tenantId").map(|id| Cow::Owned(id.to_owned())));
    let principal = record.principal();
    let (principal, principal_type) = principal.unwrap_or_else(|| {
        (format!("Unknown:{}", account.as_deref().unwrap_or("azure")), "Unknown")
    });
    let category = record.category.as_ref().and_then(Named::text);
    let address = take(&mut record.caller_ip_address).or_else(|| {
        let found = text(&record.http_request, "/clientIpAddress")
            .or_else(|| text(&record.properties, "/initiatedBy/user/ipAddress"));
        found.map(|address| Cow::Owned(address.to_owned()))
    });
    let agent = text(&record.properties, "/userAgent")
        .or_else(|| text(&record.properties, "/userAgentHeader"))
        .map(|agent| Cow::Owned(agent.to_owned()));
    Ok(Event {
        time,
        id: take(&mut record.event_data_id),
        provider: Cow::Borrowed("azure"),
        account,
        region: take(&mut record.location).unwrap_or(Cow::Borrowed("global")),
        principal: Cow::Owned(principal),
        principal_type: Cow::Borrowed(principal_type),
        session: None,
        source_ip: address,
        user_agent: agent,
        service: Cow::Owned(service(&operation, resource.as_deref(), category)),
        read_only: operation.to_ascii_lowercase().ends_with("/read")
            || reads(&operation, &["Get", "List", "Read", "Search", "Query"]),
        operation: Cow::Owned(operation),
        error: record.error().map(Cow::Owned),
        resources: resource.into_iter().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_logs_have_the_same_columns() {
        let activity = event(
            r#"{"time": "2024-12-17T10:30:00.0000000Z", "category": "Administrative",
                "operationName": "Microsoft.Compute/virtualMachines/delete", "location": "eastus",
                "resourceId": "/SUBSCRIPTIONS/s-1/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/v",
                "resultType": "Failure", "resultSignature": "Forbidden", "callerIpAddress": "203.0.113.1",
                "identity": {"claims": {"name": "Ann", "upn": "ann@example.com"}}}"#,
        )
        .unwrap();
        assert_eq!(activity.account.as_deref(), Some("s-1"));
        assert_eq!((&*activity.principal, &*activity.principal_type), ("ann@example.com", "User"));
        assert_eq!((&*activity.service, activity.read_only), ("Microsoft.Compute", false));
        assert_eq!(activity.error.as_deref(), Some("Forbidden"));
        let rest = event(
            r#"{"eventTimestamp": "2024-12-17T10:30:00Z", "eventDataId": "e-1", "caller": "app-7",
                "operationName": {"value": "Microsoft.Storage/storageAccounts/read"},
                "status": {"value": "Succeeded"}, "subscriptionId": "s-1"}"#,
        )
        .unwrap();
        assert_eq!((rest.id.as_deref(), rest.read_only), (Some("e-1"), true));
        assert_eq!((&*rest.principal_type, rest.error.as_deref()), ("ServicePrincipal", None));
        let directory = event(
            r#"{"time": "2025-01-15 08:45:30.123", "category": "AuditLogs", "tenantid": "t-1",
                "operationname": "Add member to role", "resulttype": "",
                "properties": {"initiatedBy": {"user": {"userPrincipalName": "bo@example.com"}}}}"#,
        )
        .unwrap();
        assert_eq!(directory.account.as_deref(), Some("t-1"));
        assert_eq!((&*directory.principal, &*directory.service), ("bo@example.com", "AuditLogs"));
    }

    #[test]
    fn who_is_not_named_is_unknown_and_what_is_not_said_is_missing() {
        let anonymous = r#"{"time": "2024-12-17T10:30:00Z", "operationName": "GetBlob",
            "resourceId": "/subscriptions/s-1/providers/Microsoft.Storage/storageAccounts/a"}"#;
        let anonymous = event(anonymous).unwrap();
        assert_eq!((&*anonymous.principal, anonymous.read_only), ("Unknown:s-1", true));
        assert_eq!(anonymous.service, "Microsoft.Storage");
        let fault = event(r#"{"operationName": "GetBlob"}"#).unwrap_err();
        assert_eq!(fault.field.as_deref(), Some("time"));
        let fault = event(r#"{"time": "2024-12-17T10:30:00Z"}"#).unwrap_err();
        assert_eq!(fault.field.as_deref(), Some("operationName"));
    }
}
