//! AWS CloudTrail: management, data and insight events.

use std::borrow::Cow;

use serde::Deserialize;

use super::super::record::Fault;
use super::{Event, Text, instant, need, reads, some, take};
use crate::Result;

/// An event, as far as we look into it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    #[serde(borrow, default)]
    event_time: Text<'a>,
    /// Where log shippers put the time.
    #[serde(borrow, default, rename = "@timestamp")]
    shipped_time: Text<'a>,
    #[serde(borrow, default, rename = "eventID")]
    event_id: Text<'a>,
    #[serde(borrow, default)]
    event_name: Text<'a>,
    #[serde(borrow, default)]
    event_source: Text<'a>,
    #[serde(borrow, default)]
    aws_region: Text<'a>,
    #[serde(borrow, default)]
    recipient_account_id: Text<'a>,
    #[serde(borrow, default, rename = "sourceIPAddress")]
    source_ip: Text<'a>,
    #[serde(borrow, default)]
    user_agent: Text<'a>,
    #[serde(borrow, default)]
    error_code: Text<'a>,
    #[serde(borrow, default)]
    error_message: Text<'a>,
    #[serde(default)]
    read_only: Option<ReadOnly>,
    #[serde(borrow, default)]
    user_identity: Option<Identity<'a>>,
    #[serde(borrow, default)]
    resources: Option<Vec<Resource<'a>>>,
}

/// `true`, or `"true"` as some exporters write.
#[derive(Deserialize)]
#[serde(untagged)]
enum ReadOnly {
    Flag(bool),
    Text(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    arn: Text<'a>,
    #[serde(borrow, default)]
    principal_id: Text<'a>,
    #[serde(borrow, default)]
    invoked_by: Text<'a>,
    #[serde(borrow, default)]
    user_name: Text<'a>,
    #[serde(borrow, default)]
    account_id: Text<'a>,
    #[serde(borrow, default)]
    session_context: Option<SessionContext<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SessionContext<'a> {
    #[serde(borrow, default)]
    session_issuer: Option<Issuer<'a>>,
}

#[derive(Deserialize)]
struct Issuer<'a> {
    #[serde(borrow, default)]
    arn: Text<'a>,
}

#[derive(Deserialize)]
struct Resource<'a> {
    #[serde(borrow, default, rename = "ARN", alias = "arn")]
    arn: Text<'a>,
}

impl<'a> Identity<'a> {
    fn kind(&self) -> &str {
        some(&self.kind).unwrap_or("Unknown")
    }

    /// The principal: of a session its issuer, of an assumed role without one the role in its name;
    /// else the ARN, else `type:id`.
    fn principal(&self) -> Option<Cow<'a, str>> {
        let issuer = self.session_context.as_ref().and_then(|c| c.session_issuer.as_ref());
        let issuer = issuer.and_then(|issuer| issuer.arn.clone()).filter(|arn| !arn.is_empty());
        let arn = self.arn.clone().filter(|arn| !arn.is_empty());
        if let Some(arn) = &arn
            && let Some((role, _)) = arn.rsplit_once('/')
            && role.contains(":assumed-role/")
        {
            return Some(issuer.unwrap_or_else(|| Cow::Owned(role.to_owned())));
        }
        arn.or(issuer).or_else(|| {
            let id = some(&self.principal_id)
                .or_else(|| some(&self.invoked_by))
                .or_else(|| some(&self.user_name))
                .or_else(|| some(&self.account_id))?;
            Some(Cow::Owned(format!("{}:{id}", self.kind())))
        })
    }
}

/// Verbs of operations that change nothing, where the event does not say.
const READING: [&str; 19] = [
    "Get", "List", "Describe", "Head", "Lookup", "Search", "BatchGet", "Query", "Scan", "Select",
    "View", "Check", "Estimate", "Preview", "Test", "Simulate", "Detect", "Discover", "Verify",
];

/// Reads an event.
pub(super) fn event(text: &str) -> Result<Event<'_>, Fault> {
    let mut record: Record<'_> = serde_json::from_str(text)
        .map_err(|error| Fault::of(format!("not a CloudTrail event: {error}")))?;
    let shipped = take(&mut record.shipped_time);
    let time = take(&mut record.event_time).or(shipped);
    let time = time.ok_or_else(|| Fault::fixed("eventTime", "missing"))?;
    let operation = need(&mut record.event_name, "eventName")?;
    let missing = || Fault::fixed("userIdentity", "missing, or names nobody");
    let mut identity = record.user_identity.ok_or_else(missing)?;
    let principal = identity.principal().ok_or_else(missing)?;
    let account = take(&mut record.recipient_account_id).or_else(|| take(&mut identity.account_id));
    Ok(Event {
        time: instant(&time, "eventTime")?,
        id: Some(need(&mut record.event_id, "eventID")?),
        provider: Cow::Borrowed("aws"),
        account: Some(account.ok_or_else(|| Fault::fixed("recipientAccountId", "missing"))?),
        region: need(&mut record.aws_region, "awsRegion")?,
        principal,
        principal_type: Cow::Owned(identity.kind().to_owned()),
        session: take(&mut identity.arn),
        source_ip: record.source_ip,
        user_agent: record.user_agent,
        service: need(&mut record.event_source, "eventSource")?,
        read_only: match &record.read_only {
            Some(ReadOnly::Flag(flag)) => *flag,
            Some(ReadOnly::Text(text)) => text.eq_ignore_ascii_case("true"),
            None => reads(&operation, &READING),
        },
        operation,
        // A failed console login has a message, but no code.
        error: take(&mut record.error_code).or(record.error_message),
        resources: record
            .resources
            .into_iter()
            .flatten()
            .filter_map(|mut resource| take(&mut resource.arn))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_have_names() {
        let check = |json: &str, expected: Option<&str>| {
            let identity: Identity<'_> = serde_json::from_str(json).unwrap();
            assert_eq!(identity.principal().as_deref(), expected, "{json}");
        };
        check(r#"{"type": "IAMUser", "arn": "arn:a", "principalId": "P"}"#, Some("arn:a"));
        check(
            r#"{"type": "AssumedRole", "sessionContext": {"sessionIssuer": {"arn": "arn:r"}}}"#,
            Some("arn:r"),
        );
        let session = r#""arn": "arn:aws:sts::1:assumed-role/Deploy/ci-42""#;
        check(
            &format!(
                r#"{{"type": "AssumedRole", {session}, "sessionContext": {{"sessionIssuer": {{"arn": "arn:aws:iam::1:role/Deploy"}}}}}}"#
            ),
            Some("arn:aws:iam::1:role/Deploy"),
        );
        check(
            &format!(r#"{{"type": "AssumedRole", {session}}}"#),
            Some("arn:aws:sts::1:assumed-role/Deploy"),
        );
        check(r#"{"type": "AWSAccount", "principalId": "P"}"#, Some("AWSAccount:P"));
        check(
            r#"{"type": "AWSService", "invokedBy": "ec2.amazonaws.com", "sessionContext": null}"#,
            Some("AWSService:ec2.amazonaws.com"),
        );
        check(r#"{}"#, None);
    }
}
