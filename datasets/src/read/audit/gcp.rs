//! Google Cloud: log entries whose payload is an `AuditLog`.

use std::borrow::Cow;

use serde::Deserialize;

use super::super::record::Fault;
use super::{Event, Text, instant, need, reads, some, take};
use crate::Result;

/// A log entry, as far as we look into it. Some shippers spell names in lower case.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    #[serde(borrow, default, alias = "insertid")]
    insert_id: Text<'a>,
    #[serde(borrow, default, alias = "logname")]
    log_name: Text<'a>,
    #[serde(borrow, default)]
    timestamp: Text<'a>,
    #[serde(borrow, default, alias = "receivetimestamp")]
    receive_timestamp: Text<'a>,
    #[serde(borrow, default)]
    resource: Option<Resource<'a>>,
    #[serde(borrow, default, alias = "protopayload")]
    proto_payload: Option<Payload<'a>>,
}

#[derive(Default, Deserialize)]
struct Resource<'a> {
    #[serde(borrow, default)]
    labels: Option<Labels<'a>>,
}

#[derive(Default, Deserialize)]
struct Labels<'a> {
    #[serde(borrow, default)]
    project_id: Text<'a>,
    #[serde(borrow, default)]
    location: Text<'a>,
    #[serde(borrow, default)]
    region: Text<'a>,
    #[serde(borrow, default)]
    zone: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    #[serde(borrow, default, alias = "servicename")]
    service_name: Text<'a>,
    #[serde(borrow, default, alias = "methodname")]
    method_name: Text<'a>,
    #[serde(borrow, default, alias = "resourcename")]
    resource_name: Text<'a>,
    #[serde(borrow, default, alias = "authenticationinfo")]
    authentication_info: Option<Authentication<'a>>,
    #[serde(borrow, default, alias = "requestmetadata")]
    request_metadata: Option<Request<'a>>,
    #[serde(borrow, default)]
    status: Option<Status<'a>>,
    #[serde(borrow, default, alias = "authorizationinfo")]
    authorization_info: Option<Vec<Authorization<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authentication<'a> {
    #[serde(borrow, default, alias = "principalemail")]
    principal_email: Text<'a>,
    #[serde(borrow, default, alias = "principalsubject")]
    principal_subject: Text<'a>,
    #[serde(borrow, default, alias = "serviceaccountkeyname")]
    service_account_key_name: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    #[serde(borrow, default, alias = "callerIP", alias = "callerip")]
    caller_ip: Text<'a>,
    #[serde(borrow, default, alias = "callersupplieduseragent")]
    caller_supplied_user_agent: Text<'a>,
}

#[derive(Deserialize)]
struct Status<'a> {
    #[serde(default)]
    code: Option<i64>,
    #[serde(borrow, default)]
    message: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorization<'a> {
    #[serde(borrow, default, alias = "permissiontype")]
    permission_type: Text<'a>,
}

/// Verbs of methods that change nothing, where the event does not say.
const READING: [&str; 9] =
    ["Get", "List", "AggregatedList", "Search", "Query", "Lookup", "Test", "Read", "BatchGet"];

/// The project, folder, organisation or billing account of `projects/<id>/logs/…`.
fn holder(log_name: &str) -> Option<&str> {
    log_name.split('/').nth(1).filter(|id| !id.is_empty())
}

/// Where a resource lies; a zone's region.
fn place<'a>(labels: &mut Labels<'a>) -> Cow<'a, str> {
    let zone = take(&mut labels.zone).map(|zone| {
        let region = zone.rsplit_once('-').filter(|(_, letter)| letter.len() == 1);
        match region {
            Some((region, _)) => Cow::Owned(region.to_owned()),
            None => zone,
        }
    });
    let place = take(&mut labels.location).or_else(|| take(&mut labels.region)).or(zone);
    place.unwrap_or(Cow::Borrowed("global"))
}

/// Reads an event.
pub(super) fn event(text: &str) -> Result<Event<'_>, Fault> {
    let mut record: Record<'_> = serde_json::from_str(text)
        .map_err(|error| Fault::of(format!("not a Google Cloud log entry: {error}")))?;
    let missing = || Fault::fixed("protoPayload", "missing: not an entry of an audit log");
    let mut payload = record.proto_payload.ok_or_else(missing)?;
    let received = take(&mut record.receive_timestamp);
    let time = take(&mut record.timestamp).or(received);
    let time = time.ok_or_else(|| Fault::fixed("timestamp", "missing"))?;
    let operation = need(&mut payload.method_name, "protoPayload.methodName")?;
    let mut labels = record.resource.unwrap_or_default().labels.unwrap_or_default();
    let named = || holder(some(&record.log_name)?).map(|id| Cow::Owned(id.to_owned()));
    let account = take(&mut labels.project_id).or_else(named);
    let mut who = payload.authentication_info.unwrap_or_default();
    let principal = take(&mut who.principal_email).or_else(|| take(&mut who.principal_subject));
    let principal_type = match &principal {
        None => "Unknown",
        Some(name) if name.ends_with("gserviceaccount.com") => "ServiceAccount",
        Some(name) if name.starts_with("principal:") || name.starts_with("principalSet:") => {
            "Federated"
        }
        Some(_) => "User",
    };
    let principal = principal
        .unwrap_or_else(|| Cow::Owned(format!("Unknown:{}", account.as_deref().unwrap_or("gcp"))));
    let permissions = payload.authorization_info.unwrap_or_default();
    let mut kinds = permissions.iter().filter_map(|one| some(&one.permission_type)).peekable();
    let read_only = match kinds.peek() {
        Some(_) => kinds.all(|kind| kind.ends_with("_READ")),
        None => reads(&operation, &READING),
    };
    let failed = payload.status.filter(|status| status.code.is_some_and(|code| code != 0));
    let error = failed.map(|status| match status.code {
        Some(7) => Cow::Borrowed("PERMISSION_DENIED"),
        Some(16) => Cow::Borrowed("UNAUTHENTICATED"),
        Some(code) => Cow::Owned(code.to_string()),
        None => status.message.unwrap_or(Cow::Borrowed("failed")),
    });
    let mut request = payload.request_metadata.unwrap_or_default();
    Ok(Event {
        time: instant(&time, "timestamp")?,
        id: take(&mut record.insert_id),
        provider: Cow::Borrowed("gcp"),
        account,
        region: place(&mut labels),
        principal,
        principal_type: Cow::Borrowed(principal_type),
        session: take(&mut who.service_account_key_name),
        source_ip: take(&mut request.caller_ip),
        user_agent: take(&mut request.caller_supplied_user_agent),
        service: take(&mut payload.service_name).unwrap_or(Cow::Borrowed("gcp")),
        read_only,
        operation,
        error,
        resources: take(&mut payload.resource_name).into_iter().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_the_same_columns() {
        let denied = event(
            r#"{"insertId": "i-1", "logName": "projects/p-1/logs/cloudaudit.googleapis.com%2Factivity",
                "timestamp": "2024-05-01T12:00:00.123456789Z",
                "resource": {"type": "gce_instance", "labels": {"zone": "europe-west1-b"}},
                "protoPayload": {"serviceName": "compute.googleapis.com",
                  "methodName": "v1.compute.instances.delete",
                  "authenticationInfo": {"principalEmail": "ci@p-1.iam.gserviceaccount.com"},
                  "requestMetadata": {"callerIp": "203.0.113.1", "callerSuppliedUserAgent": "gcloud"},
                  "status": {"code": 7, "message": "no"}, "resourceName": "projects/p-1/zones/z/instances/v"}}"#,
        )
        .unwrap();
        assert_eq!((denied.account.as_deref(), &*denied.region), (Some("p-1"), "europe-west1"));
        assert_eq!((&*denied.principal_type, denied.read_only), ("ServiceAccount", false));
        assert_eq!(denied.error.as_deref(), Some("PERMISSION_DENIED"));
        assert_eq!(denied.resources, ["projects/p-1/zones/z/instances/v"]);
        let read = event(
            r#"{"receiveTimestamp": "2024-05-01T12:00:00Z", "logName": "organizations/77/logs/x",
                "protoPayload": {"methodName": "google.iam.admin.v1.CreateRole", "status": {},
                  "authorizationInfo": [{"permissionType": "ADMIN_READ"}]}}"#,
        )
        .unwrap();
        assert_eq!((read.account.as_deref(), read.read_only), (Some("77"), true));
        assert_eq!((&*read.principal, read.error), ("Unknown:77", None));
        let fault = event(r#"{"textPayload": "hello"}"#).unwrap_err();
        assert_eq!(fault.field.as_deref(), Some("protoPayload"));
    }
}
