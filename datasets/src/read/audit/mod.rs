//! Audit events of every provider, to [`audit::schema`]: one file a format, one row an event.
//!
//! A format's module says what of its events is the time, the principal, the operation; what is
//! common to all of them is here. Everything that identifies somebody stays in columns of its own and
//! never becomes a model's input (`operators::feature::audit`).

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{BooleanBuilder, RecordBatch, StringBuilder, UInt64Array};
use cloudops_operators::key::hash;
use cloudops_operators::schema::audit;
use serde::{Deserialize, Serialize};

use super::decode::Decode;
use super::format::Format;
use super::record::{Cells, Fault};
use super::time::TimeFormat;
use super::wide::times;
use crate::Result;

mod azure;
mod cloudtrail;
mod gcp;
mod kubernetes;
mod ocsf;

/// Whose behaviour is watched: what an event's `entity_id` is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actor {
    /// Who acts: a user, a service account, a role whoever has assumed it.
    #[default]
    Principal,
    /// One sign-in of it: an assumed role's session, a key, where the event says so; else the principal.
    Session,
    /// The account, subscription, project or cluster in which it acts.
    Account,
}

/// The keys beside an audit format.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditSource {
    /// Whose behaviour is watched: `principal` (default), `session` or `account`.
    pub entity: Actor,
    /// The account of events that name none, such as a Kubernetes cluster's name. Default: a reject,
    /// and of Kubernetes `kubernetes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

/// Who wrote the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Provider {
    CloudTrail,
    Azure,
    Gcp,
    Kubernetes,
    Ocsf,
}

/// One event, in the words of the schema; text is the record's own where it can be.
#[derive(Debug)]
struct Event<'a> {
    /// µs since 1970-01-01.
    time: i64,
    /// None: a digest of the record, so that a copy of it is one.
    id: Option<Cow<'a, str>>,
    provider: Cow<'a, str>,
    account: Option<Cow<'a, str>>,
    region: Cow<'a, str>,
    principal: Cow<'a, str>,
    principal_type: Cow<'a, str>,
    /// None: the principal.
    session: Option<Cow<'a, str>>,
    source_ip: Option<Cow<'a, str>>,
    user_agent: Option<Cow<'a, str>>,
    service: Cow<'a, str>,
    operation: Cow<'a, str>,
    read_only: bool,
    error: Option<Cow<'a, str>>,
    resources: Vec<Cow<'a, str>>,
}

/// Optional text of a record.
type Text<'a> = Option<Cow<'a, str>>;

/// Text that is there and not empty.
fn some<'a>(text: &'a Text<'_>) -> Option<&'a str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// Takes text that is there and not empty.
fn take<'a>(text: &mut Text<'a>) -> Text<'a> {
    text.take().filter(|text| !text.is_empty())
}

/// Takes text that must be there.
fn need<'a>(text: &mut Text<'a>, field: &'static str) -> Result<Cow<'a, str>, Fault> {
    take(text).ok_or_else(|| Fault::fixed(field, "missing"))
}

/// An instant.
fn instant(text: &str, field: &'static str) -> Result<i64, Fault> {
    TimeFormat::Auto.parse(text).map_err(|reason| Fault::fixed(field, reason))
}

/// Whether the last segment of a path of names begins with a verb that reads.
fn reads(operation: &str, verbs: &[&str]) -> bool {
    let last = operation.rsplit(['.', '/', ' ', ':']).next().unwrap_or_default();
    verbs.iter().any(|verb| {
        last.get(..verb.len()).is_some_and(|head| head.eq_ignore_ascii_case(verb))
            && !last[verb.len()..].starts_with(|next: char| next.is_ascii_lowercase())
    })
}

/// Decodes events of one format.
pub(super) struct Events {
    provider: Provider,
    source: AuditSource,
    time: Vec<i64>,
    offset: Vec<u64>,
    entity: StringBuilder,
    event_id: StringBuilder,
    /// Provider, account, region, principal type.
    place: [StringBuilder; 4],
    source_ip: StringBuilder,
    user_agent: StringBuilder,
    service: StringBuilder,
    operation: StringBuilder,
    read_only: BooleanBuilder,
    error_code: StringBuilder,
    resources: StringBuilder,
    raw: StringBuilder,
}

impl Events {
    /// A decoder of an audit format's events; none for another format.
    pub(super) fn of(format: &Format) -> Option<Self> {
        let (provider, source) = format.audit()?;
        let text = StringBuilder::new;
        Some(Self {
            provider,
            source: source.clone(),
            time: Vec::new(),
            offset: Vec::new(),
            entity: text(),
            event_id: text(),
            place: [text(), text(), text(), text()],
            source_ip: text(),
            user_agent: text(),
            service: text(),
            operation: text(),
            read_only: BooleanBuilder::new(),
            error_code: text(),
            resources: text(),
            raw: text(),
        })
    }

    fn push(&mut self, offset: u64, event: &Event<'_>, raw: &str) -> Result<(), Fault> {
        let fallback = || self.source.account.as_deref();
        let cluster = || (self.provider == Provider::Kubernetes).then_some("kubernetes");
        let account = event.account.as_deref().or_else(fallback).or_else(cluster);
        let account = account.ok_or_else(|| {
            Fault::fixed("account", "missing: name one beside the format, `account = \"…\"`")
        })?;
        match self.source.entity {
            Actor::Principal => self.entity.append_value(&event.principal),
            Actor::Session => {
                self.entity.append_value(event.session.as_ref().unwrap_or(&event.principal));
            }
            Actor::Account => self.entity.append_value(format!("{}:{account}", event.provider)),
        }
        match &event.id {
            Some(id) => self.event_id.append_value(id),
            None => self.event_id.append_value(format!("{:016x}", hash(raw.as_bytes()))),
        }
        let place = [&event.provider, account, &event.region, &event.principal_type];
        for (column, value) in self.place.iter_mut().zip(place) {
            column.append_value(value);
        }
        let resources = (!event.resources.is_empty()).then(|| serde_json::json!(event.resources));
        self.time.push(event.time);
        self.offset.push(offset);
        self.source_ip.append_option(some(&event.source_ip));
        self.user_agent.append_option(some(&event.user_agent));
        self.service.append_value(&event.service);
        self.operation.append_value(&event.operation);
        self.read_only.append_value(event.read_only);
        self.error_code.append_option(some(&event.error));
        self.resources.append_option(resources.map(|list| list.to_string()));
        self.raw.append_value(raw);
        Ok(())
    }
}

impl Decode for Events {
    fn decode(&mut self, _ordinal: u64, offset: u64, cells: &Cells<'_>) -> Result<(), Fault> {
        let text = cells.text.trim();
        let event = match self.provider {
            Provider::CloudTrail => cloudtrail::event(text)?,
            Provider::Azure => azure::event(text)?,
            Provider::Gcp => gcp::event(text)?,
            Provider::Kubernetes => kubernetes::event(text)?,
            Provider::Ocsf => ocsf::event(text)?,
        };
        self.push(offset, &event, text)
    }

    fn finish(&mut self) -> Result<RecordBatch> {
        let [provider, account, region, principal_type] = &mut self.place;
        Ok(RecordBatch::try_new(
            audit::schema(),
            vec![
                Arc::new(self.entity.finish()),
                Arc::new(times(std::mem::take(&mut self.time))),
                Arc::new(UInt64Array::from(std::mem::take(&mut self.offset))),
                Arc::new(self.event_id.finish()),
                Arc::new(provider.finish()),
                Arc::new(account.finish()),
                Arc::new(region.finish()),
                Arc::new(principal_type.finish()),
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
        let verbs = &["Get", "List", "Describe", "Scan", "BatchGet"];
        for operation in
            ["GetObject", "ListBuckets", "v1.compute.instances.list", "Scan", "BatchGetItem"]
        {
            assert!(reads(operation, verbs), "{operation}");
        }
        for operation in ["PutObject", "Listen", "Getaway", "AssumeRole", "lists/delete"] {
            assert!(!reads(operation, verbs), "{operation}");
        }
    }
}
