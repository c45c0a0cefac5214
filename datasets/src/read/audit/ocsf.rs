//! OCSF 1.x: events of the categories that tell who did what, API Activity (6003) above all.
//!
//! Other classes with an actor (account change 3001, authentication 3002, entity management 3004, web
//! resources 6001, …) are read alike: their operation is `api.operation`, else the activity's name.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::super::record::Fault;
use super::super::time::in_range;
use super::{Event, Text, instant, reads, some, take};
use crate::Result;

/// An event, as far as we look into it.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(default)]
    class_uid: Option<u32>,
    #[serde(borrow, default)]
    class_name: Text<'a>,
    /// Milliseconds since 1970-01-01.
    #[serde(default)]
    time: Option<i64>,
    #[serde(borrow, default)]
    time_dt: Text<'a>,
    #[serde(borrow, default)]
    activity_name: Text<'a>,
    #[serde(default)]
    activity_id: Option<u32>,
    #[serde(borrow, default)]
    status: Text<'a>,
    #[serde(default)]
    status_id: Option<u32>,
    #[serde(borrow, default)]
    status_code: Text<'a>,
    #[serde(borrow, default)]
    metadata: Option<Metadata<'a>>,
    #[serde(borrow, default)]
    actor: Option<Actor<'a>>,
    #[serde(borrow, default)]
    user: Option<User<'a>>,
    #[serde(borrow, default)]
    api: Option<Api<'a>>,
    #[serde(borrow, default)]
    cloud: Option<Cloud<'a>>,
    #[serde(borrow, default)]
    src_endpoint: Option<Endpoint<'a>>,
    #[serde(borrow, default)]
    http_request: Option<Http<'a>>,
    #[serde(borrow, default)]
    resources: Option<Vec<Resource<'a>>>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    uid: Text<'a>,
    #[serde(borrow, default)]
    event_code: Text<'a>,
}

#[derive(Deserialize)]
struct Actor<'a> {
    #[serde(borrow, default)]
    user: Option<User<'a>>,
    #[serde(borrow, default)]
    session: Option<Session<'a>>,
    #[serde(borrow, default)]
    invoked_by: Text<'a>,
    #[serde(borrow, default)]
    app_name: Text<'a>,
}

#[derive(Deserialize)]
struct User<'a> {
    #[serde(borrow, default)]
    uid: Text<'a>,
    #[serde(borrow, default)]
    uid_alt: Text<'a>,
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow, default, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    account: Option<Identified<'a>>,
}

#[derive(Deserialize)]
struct Session<'a> {
    #[serde(borrow, default)]
    uid: Text<'a>,
    #[serde(borrow, default)]
    issuer: Text<'a>,
}

#[derive(Deserialize)]
struct Identified<'a> {
    #[serde(borrow, default)]
    uid: Text<'a>,
}

#[derive(Deserialize)]
struct Api<'a> {
    #[serde(borrow, default)]
    operation: Text<'a>,
    #[serde(borrow, default)]
    service: Option<Service<'a>>,
    #[serde(default)]
    response: Value,
}

#[derive(Deserialize)]
struct Service<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
}

#[derive(Default, Deserialize)]
struct Cloud<'a> {
    #[serde(borrow, default)]
    provider: Text<'a>,
    #[serde(borrow, default)]
    region: Text<'a>,
    #[serde(borrow, default)]
    account: Option<Identified<'a>>,
}

#[derive(Deserialize)]
struct Endpoint<'a> {
    #[serde(borrow, default)]
    ip: Text<'a>,
    #[serde(borrow, default)]
    domain: Text<'a>,
}

#[derive(Deserialize)]
struct Http<'a> {
    #[serde(borrow, default)]
    user_agent: Text<'a>,
}

#[derive(Deserialize)]
struct Resource<'a> {
    #[serde(borrow, default)]
    uid: Text<'a>,
    #[serde(borrow, default)]
    name: Text<'a>,
}

/// Activity 2 of API Activity.
const READ: u32 = 2;
/// The class whose activities are create, read, update, delete.
const API_ACTIVITY: u32 = 6003;
/// Status: failure.
const FAILURE: u32 = 2;

/// Verbs of operations that change nothing, where the activity does not say.
const READING: [&str; 8] =
    ["Get", "List", "Describe", "Head", "Lookup", "Search", "Query", "BatchGet"];

/// Reads an event.
pub(super) fn event(text: &str) -> Result<Event<'_>, Fault> {
    let mut record: Record<'_> = serde_json::from_str(text)
        .map_err(|error| Fault::of(format!("not an OCSF event: {error}")))?;
    let time = match (record.time, some(&record.time_dt)) {
        (Some(ms), _) => ms
            .checked_mul(1_000)
            .and_then(in_range)
            .ok_or_else(|| Fault::fixed("time", format!("{ms} ms lie outside 1970 to 2200")))?,
        (None, Some(time)) => instant(time, "time_dt")?,
        (None, None) => return Err(Fault::fixed("time", "missing")),
    };
    let mut api = record.api;
    let operation = api.as_mut().and_then(|api| take(&mut api.operation));
    let activity = take(&mut record.activity_name);
    let operation = operation.or_else(|| activity.clone()).ok_or_else(|| {
        Fault::fixed("api.operation", "missing, and the event has no activity_name")
    })?;
    let mut cloud = record.cloud.unwrap_or_default();
    let mut actor = record.actor;
    let session = actor.as_mut().and_then(|actor| actor.session.take());
    let invoked = actor
        .as_mut()
        .and_then(|actor| take(&mut actor.invoked_by).or_else(|| take(&mut actor.app_name)));
    let user = actor.and_then(|actor| actor.user).or(record.user);
    let (issuer, session) = session
        .map_or((None, None), |mut session| (take(&mut session.issuer), take(&mut session.uid)));
    let (named, kind, owner) = user.map_or((None, None, None), |mut user| {
        let id = take(&mut user.uid).or_else(|| take(&mut user.uid_alt));
        let owner = user.account.and_then(|mut account| take(&mut account.uid));
        (id.or_else(|| take(&mut user.name)), take(&mut user.kind), owner)
    });
    // A role's session is its issuer's, as in the provider's own format.
    let (principal, session) = match (issuer, named) {
        (Some(issuer), named) => (Some(issuer), named.or(session)),
        (None, named) => (named.or(invoked), session),
    };
    let missing = || Fault::fixed("actor", "missing, or names nobody");
    let principal = principal.ok_or_else(missing)?;
    let failed = record.status_id == Some(FAILURE)
        || some(&record.status).is_some_and(|status| status.eq_ignore_ascii_case("failure"));
    let response = api.as_ref().and_then(|api| {
        ["/error", "/code"].iter().find_map(|at| match api.response.pointer(at)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(code) => Some(code.to_string()),
            _ => None,
        })
    });
    let code = take(&mut record.status_code).or_else(|| response.map(Cow::Owned));
    let service = api.and_then(|api| take(&mut api.service?.name));
    let mut metadata = record.metadata;
    let addressed = record
        .src_endpoint
        .and_then(|mut from| take(&mut from.ip).or_else(|| take(&mut from.domain)));
    let account = cloud.account.and_then(|mut account| take(&mut account.uid));
    let provider = take(&mut cloud.provider).map(|name| name.to_ascii_lowercase());
    Ok(Event {
        time,
        id: metadata.as_mut().and_then(|meta| take(&mut meta.uid)),
        provider: provider.map_or(Cow::Borrowed("ocsf"), Cow::Owned),
        account: account.or(owner),
        region: take(&mut cloud.region).unwrap_or(Cow::Borrowed("global")),
        principal,
        principal_type: kind.unwrap_or(Cow::Borrowed("Unknown")),
        session,
        source_ip: addressed,
        user_agent: record.http_request.and_then(|mut http| take(&mut http.user_agent)),
        service: service
            .or_else(|| take(&mut record.class_name))
            .or_else(|| metadata.and_then(|mut meta| take(&mut meta.event_code)))
            .unwrap_or(Cow::Borrowed("ocsf")),
        read_only: match (record.class_uid, record.activity_id) {
            (Some(API_ACTIVITY), Some(activity @ 1..=4)) => activity == READ,
            _ => reads(&operation, &READING),
        },
        operation,
        error: failed.then(|| code.unwrap_or(Cow::Borrowed("Failure"))),
        resources: record
            .resources
            .into_iter()
            .flatten()
            .filter_map(|mut one| take(&mut one.uid).or_else(|| take(&mut one.name)))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_activity_has_the_same_columns() {
        let found = event(
            r#"{"class_uid": 6003, "activity_id": 4, "time": 1714564800000, "status_id": 2,
                "metadata": {"uid": "e-1", "product": {"name": "CloudTrail"}},
                "actor": {"user": {"uid": "arn:aws:sts::1:assumed-role/Deploy/ci", "type": "AssumedRole"},
                          "session": {"issuer": "arn:aws:iam::1:role/Deploy"}},
                "api": {"operation": "DeleteTrail", "service": {"name": "cloudtrail.amazonaws.com"},
                        "response": {"error": "AccessDenied"}},
                "cloud": {"provider": "AWS", "region": "eu-west-1", "account": {"uid": "1"}},
                "src_endpoint": {"ip": "203.0.113.1"}, "http_request": {"user_agent": "aws-cli/2"},
                "resources": [{"uid": "arn:aws:cloudtrail:eu-west-1:1:trail/t"}]}"#,
        )
        .unwrap();
        assert_eq!(found.time, 1_714_564_800_000_000);
        assert_eq!((&*found.principal, &*found.provider), ("arn:aws:iam::1:role/Deploy", "aws"));
        assert_eq!(found.session.as_deref(), Some("arn:aws:sts::1:assumed-role/Deploy/ci"));
        assert_eq!((found.read_only, found.error.as_deref()), (false, Some("AccessDenied")));
        assert_eq!(found.account.as_deref(), Some("1"));
        let login = event(
            r#"{"class_uid": 3002, "class_name": "Authentication", "activity_name": "Logon",
                "activity_id": 1, "time_dt": "2024-05-01T12:00:00Z", "user": {"name": "ann"}}"#,
        )
        .unwrap();
        assert_eq!((&*login.service, &*login.operation), ("Authentication", "Logon"));
        assert_eq!((&*login.principal, login.account, login.read_only), ("ann", None, false));
        let fault = event(r#"{"time": 1714564800000, "activity_name": "Logon"}"#).unwrap_err();
        assert_eq!(fault.field.as_deref(), Some("actor"));
    }
}
