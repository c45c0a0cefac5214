//! AWS CloudTrail events to audit rows.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{BooleanBuilder, RecordBatch, StringBuilder, UInt64Array};
use cloudops_operators::schema::audit;
use serde::Deserialize;

use super::decode::Decode;
use super::record::{Cells, Fault};
use super::time::TimeFormat;
use super::wide::times;
use crate::Result;

/// An event, as far as we look into it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow, default)]
    event_time: Option<Cow<'a, str>>,
    /// Where log shippers put the time.
    #[serde(borrow, default, rename = "@timestamp")]
    shipped_time: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "eventID")]
    event_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    event_name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    event_source: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    aws_region: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    recipient_account_id: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "sourceIPAddress")]
    source_ip: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    user_agent: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    error_code: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    error_message: Option<Cow<'a, str>>,
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
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    arn: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    principal_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    invoked_by: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    user_name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    account_id: Option<Cow<'a, str>>,
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
    arn: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Resource<'a> {
    #[serde(borrow, default, rename = "ARN", alias = "arn")]
    arn: Option<Cow<'a, str>>,
}

impl Identity<'_> {
    /// The principal: its ARN, else its session issuer's, else `type:id`.
    fn entity(&self) -> Option<Cow<'_, str>> {
        let issuer = self.session_context.as_ref().and_then(|c| c.session_issuer.as_ref());
        let arn = some(&self.arn).or_else(|| some(&issuer?.arn));
        arn.map(Cow::Borrowed).or_else(|| {
            let id = some(&self.principal_id)
                .or_else(|| some(&self.invoked_by))
                .or_else(|| some(&self.user_name))
                .or_else(|| some(&self.account_id))?;
            Some(Cow::Owned(format!("{}:{id}", self.kind())))
        })
    }

    fn kind(&self) -> &str {
        some(&self.kind).unwrap_or("Unknown")
    }
}

fn some<'a>(text: &'a Option<Cow<'_, str>>) -> Option<&'a str> {
    text.as_deref().filter(|text| !text.is_empty())
}

fn need<'a>(text: &'a Option<Cow<'_, str>>, field: &'static str) -> Result<&'a str, Fault> {
    some(text).ok_or_else(|| Fault::fixed(field, "missing"))
}

/// Verbs of operations that change nothing, where the event does not say.
const READING: [&str; 19] = [
    "Get", "List", "Describe", "Head", "Lookup", "Search", "BatchGet", "Query", "Scan", "Select",
    "View", "Check", "Estimate", "Preview", "Test", "Simulate", "Detect", "Discover", "Verify",
];

/// Whether an operation's verb only reads.
fn reads(operation: &str) -> bool {
    READING.iter().any(|verb| {
        operation
            .strip_prefix(verb)
            .is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_lowercase()))
    })
}

/// Decodes events.
#[derive(Default)]
pub(crate) struct CloudTrail {
    time: Vec<i64>,
    offset: Vec<u64>,
    entity: StringBuilder,
    event_id: StringBuilder,
    provider: StringBuilder,
    account: StringBuilder,
    region: StringBuilder,
    principal_type: StringBuilder,
    source_ip: StringBuilder,
    user_agent: StringBuilder,
    service: StringBuilder,
    operation: StringBuilder,
    read_only: BooleanBuilder,
    error_code: StringBuilder,
    resources: StringBuilder,
    raw: StringBuilder,
}

impl Decode for CloudTrail {
    fn decode(&mut self, _ordinal: u64, offset: u64, cells: &Cells<'_>) -> Result<(), Fault> {
        let event: Event<'_> = serde_json::from_str(cells.text)
            .map_err(|error| Fault::of(format!("not a CloudTrail event: {error}")))?;
        let (time_field, time) = match some(&event.event_time) {
            Some(time) => ("eventTime", time),
            None => ("eventTime", need(&event.shipped_time, "eventTime")?),
        };
        let time =
            TimeFormat::Auto.parse(time).map_err(|reason| Fault::fixed(time_field, reason))?;
        let event_id = need(&event.event_id, "eventID")?;
        let service = need(&event.event_source, "eventSource")?;
        let operation = need(&event.event_name, "eventName")?;
        let region = need(&event.aws_region, "awsRegion")?;
        let missing = || Fault::fixed("userIdentity", "missing, or names nobody");
        let identity = event.user_identity.as_ref().ok_or_else(missing)?;
        let entity = identity.entity().ok_or_else(missing)?;
        let account = some(&event.recipient_account_id)
            .or_else(|| some(&identity.account_id))
            .ok_or_else(|| Fault::fixed("recipientAccountId", "missing"))?;
        let read_only = match &event.read_only {
            Some(ReadOnly::Flag(flag)) => *flag,
            Some(ReadOnly::Text(text)) => text.eq_ignore_ascii_case("true"),
            None => reads(operation),
        };
        // A failed console login has a message, but no code.
        let error_code = some(&event.error_code).or_else(|| some(&event.error_message));
        let ids: Vec<&str> =
            event.resources.iter().flatten().filter_map(|resource| some(&resource.arn)).collect();
        let resources = if ids.is_empty() { None } else { serde_json::to_string(&ids).ok() };

        self.time.push(time);
        self.offset.push(offset);
        self.entity.append_value(&entity);
        self.event_id.append_value(event_id);
        self.provider.append_value("aws");
        self.account.append_value(account);
        self.region.append_value(region);
        self.principal_type.append_value(identity.kind());
        self.source_ip.append_option(some(&event.source_ip));
        self.user_agent.append_option(some(&event.user_agent));
        self.service.append_value(service);
        self.operation.append_value(operation);
        self.read_only.append_value(read_only);
        self.error_code.append_option(error_code);
        self.resources.append_option(resources);
        self.raw.append_value(cells.text.trim());
        Ok(())
    }

    fn finish(&mut self) -> Result<RecordBatch> {
        Ok(RecordBatch::try_new(
            audit::schema(),
            vec![
                Arc::new(self.entity.finish()),
                Arc::new(times(std::mem::take(&mut self.time))),
                Arc::new(UInt64Array::from(std::mem::take(&mut self.offset))),
                Arc::new(self.event_id.finish()),
                Arc::new(self.provider.finish()),
                Arc::new(self.account.finish()),
                Arc::new(self.region.finish()),
                Arc::new(self.principal_type.finish()),
                Arc::new(self.source_ip.finish()),
                Arc::new(self.user_agent.finish()),
                Arc::new(self.service.finish()),
                Arc::new(self.operation.finish()),
                Arc::new(self.read_only.finish()),
                Arc::new(self.error_code.finish()),
                Arc::new(self.resources.finish()),
                Arc::new(self.raw.finish()),
            ],
        )?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_tell_reading_from_writing() {
        for operation in ["GetObject", "ListBuckets", "DescribeInstances", "Scan", "BatchGetItem"] {
            assert!(reads(operation), "{operation}");
        }
        for operation in ["PutObject", "Listen", "Getaway", "AssumeRole", "DeleteTrail"] {
            assert!(!reads(operation), "{operation}");
        }
    }

    #[test]
    fn principals_have_names() {
        let check = |json: &str, expected: Option<&str>| {
            let identity: Identity<'_> = serde_json::from_str(json).unwrap();
            assert_eq!(identity.entity().as_deref(), expected, "{json}");
        };
        check(r#"{"type": "IAMUser", "arn": "arn:a", "principalId": "P"}"#, Some("arn:a"));
        check(
            r#"{"type": "AssumedRole", "sessionContext": {"sessionIssuer": {"arn": "arn:r"}}}"#,
            Some("arn:r"),
        );
        check(r#"{"type": "AWSAccount", "principalId": "P"}"#, Some("AWSAccount:P"));
        check(
            r#"{"type": "AWSService", "invokedBy": "ec2.amazonaws.com", "sessionContext": null}"#,
            Some("AWSService:ec2.amazonaws.com"),
        );
        check(r#"{}"#, None);
    }
}
