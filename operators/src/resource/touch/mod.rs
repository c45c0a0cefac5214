//! Which resources an audit event touches, how, and who did it; and which two it connected.
//!
//! Resources of an event are those that its reader listed, and those that its parameters name: each
//! provider's in its file here. The event as it was written is looked into only where that can tell
//! something: a call that merely describes configuration counts by what its reader listed, if anything, so
//! that a log of describing costs next to nothing. Nothing here becomes a model's input.
//!
//! - *Use* reads or writes a resource's data, reads its secret, starts it, calls it, or works within it; a
//!   role is used by who assumes it, an image by what is launched from it.
//! - *Change* creates it, configures it, or ends it: all else that is not read-only.
//! - *Look* reads its configuration.
//!
//! An event of one operation on several resources has one kind for all of them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use hashbrown::HashMap;
use serde_json::Value;

use super::id::{around, canonical, kind_of, path_kinds};
use super::reference::references;
use crate::Result;
use crate::schema::audit::{
    ACCOUNT, ERROR_CODE, OPERATION, PRINCIPAL_TYPE, PROVIDER, RAW, READ_ONLY, REGION, RESOURCES,
    SERVICE,
};
use crate::schema::{ENTITY_ID, TS, column, mismatch, offsets, texts, times};

mod actor;
mod aws;
mod google;
mod kind;
mod kubernetes;
#[cfg(test)]
mod tests;

/// What a touch does with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Reads its configuration.
    Look,
    /// Creates, configures or ends it.
    Change,
    /// Works with it: its data, its secret, its running.
    Use,
}

impl Kind {
    /// `look`, `change` or `use`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Change => "change",
            Self::Use => "use",
        }
    }
}

/// One resource touched by one event.
#[derive(Debug, Clone, PartialEq)]
pub struct Touch<'a> {
    /// The event's row in the batch.
    pub row: usize,
    /// The resource's canonical id ([`canonical`]).
    pub resource: String,
    /// What it is, in Terraform's word, of Kubernetes resource and group; none where neither the id nor the
    /// event says so.
    pub resource_type: Option<Cow<'static, str>>,
    /// Whose resource: `aws`, `azure`, `gcp`, `kubernetes`.
    pub provider: &'a str,
    /// The event's account, subscription, project or cluster.
    pub account: &'a str,
    /// The event's region; of Kubernetes the namespace.
    pub region: &'a str,
    /// Event time, µs since 1970-01-01.
    pub at_us: i64,
    /// The record.
    pub offset: u64,
    /// Who: the event's `entity_id`.
    pub principal: &'a str,
    /// What they called.
    pub operation: &'a str,
    /// What that does.
    pub kind: Kind,
    /// Whether the call only reads.
    pub reads: bool,
    /// Whether it failed: such a touch changed nothing, but somebody tried.
    pub failed: bool,
    /// Whether a person called, as far as the credentials tell; see [`Seen`].
    pub is_human: bool,
    /// Whether they show that the person sat there: a console's session, or a second factor.
    pub is_interactive: bool,
    /// Whether the event ended the resource: of what it was connected to, nothing holds any more.
    pub is_gone: bool,
}

/// Two resources that one event connected, or parted.
///
/// `from` is what was attached, launched, made or configured, `to` what it was attached to, made from, put
/// in, or made to call: as Terraform's attributes have it. The same two always stand in the same order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// The event's row in the batch.
    pub row: usize,
    /// Event time, µs since 1970-01-01.
    pub at_us: i64,
    /// The record.
    pub offset: u64,
    /// A canonical id.
    pub from: String,
    /// Another's.
    pub to: String,
    /// Whether the event parted them.
    pub is_gone: bool,
}

/// What a batch of events says of resources, in the order of its rows; within one by id.
///
/// Who is a person is told by credentials, never by user agents, which anyone may set:
///
/// - AWS: root, IAM users, federated users, sessions of IAM Identity Center (`AWSReservedSSO_…`), and
///   sessions of roles that have a second factor, a console behind them, a source identity, or an e-mail
///   address for a name. Not what a service does on somebody's behalf (`invokedBy`: their own call is an
///   event of its own), service-linked roles, instance profiles, web identities, and all other sessions of
///   roles, which workloads have. An IAM user by its key may be a machine: it counts as a person, so that
///   nothing is taken for forgotten that somebody may care for.
/// - Azure: who signs in by a name with an address. Google: accounts that are no service accounts, and
///   people behind a service account that acts for them. Kubernetes: users that are neither the system's
///   nor a provider's.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen<'a> {
    /// Touches.
    pub touches: Vec<Touch<'a>>,
    /// What succeeded in connecting or parting two of them.
    pub edges: Vec<Edge>,
}

/// An event, as far as the providers' files look into it.
struct Event<'a> {
    provider: &'a str,
    account: &'a str,
    region: &'a str,
    service: &'a str,
    operation: &'a str,
    principal: &'a str,
    principal_type: &'a str,
    /// The reader's list, JSON.
    listed: Option<&'a str>,
    raw: &'a str,
    kind: Kind,
    reads: bool,
    failed: bool,
}

impl<'a> Event<'a> {
    /// What the reader listed. A list that is none holds nothing.
    fn listed(&self) -> Vec<Cow<'a, str>> {
        self.listed.and_then(|list| serde_json::from_str(list).ok()).unwrap_or_default()
    }

    /// Whether its parameters are looked into.
    fn is_read(&self) -> bool {
        self.kind != Kind::Look
    }
}

/// What an event says.
#[derive(Debug, Default)]
struct Found {
    /// Type, and whether the event ended it, by canonical id.
    resources: BTreeMap<String, (Option<Cow<'static, str>>, bool)>,
    /// From, to, whether parted.
    edges: BTreeSet<(String, String, bool)>,
    /// The provider, where it is not the event's.
    provider: Option<&'static str>,
    is_human: bool,
    is_interactive: bool,
}

impl Found {
    fn add(&mut self, id: impl Into<String>, resource_type: Option<Cow<'static, str>>) {
        let known = self.resources.entry(id.into()).or_default();
        if known.0.is_none() {
            known.0 = resource_type;
        }
    }

    /// Adds what an id says by itself.
    fn add_id(&mut self, id: &str) {
        let kind = kind_of(id).map(|(_, kind)| Cow::Owned(kind.into_owned()));
        self.add(id, kind);
    }

    /// Adds a resource that an event names as it is named anywhere.
    fn add_name(&mut self, name: &str) {
        let id = canonical(name);
        if name.contains(":s3:::") && id != name {
            // The bucket's name alone does not say so any more.
            self.add(id, Some(Cow::Borrowed("aws_s3_bucket")));
        } else {
            self.add_id(&id);
        }
    }

    fn end(&mut self, id: &str) {
        if let Some((_, is_gone)) = self.resources.get_mut(id) {
            *is_gone = true;
        }
    }

    fn connect(&mut self, from: &str, to: &str, is_gone: bool) {
        if from != to {
            self.edges.insert((from.to_owned(), to.to_owned(), is_gone));
        }
    }

    /// Connects a resource with what a request or an object names.
    fn connect_references(&mut self, id: &str, body: &Value) {
        for other in references(id, body) {
            self.connect(id, &other, false);
        }
    }
}

/// What the events of a batch ([`crate::schema::audit`]) say of resources. An event that names none says
/// nothing.
///
/// # Errors
/// [`crate::Error::Column`] when they are no audit events.
pub fn touches(rows: &RecordBatch) -> Result<Seen<'_>> {
    let columns = Columns::of(rows)?;
    let (at, offsets) = (times(rows, TS)?, offsets(rows)?);
    let reads = column(rows, READ_ONLY)?;
    let reads = reads.as_boolean_opt().ok_or_else(|| mismatch(READ_ONLY, "Boolean", reads))?;
    // Few operations make up most events: tell each one's kind once a batch.
    let mut kinds: HashMap<(&str, &str, &str, bool), Kind> = HashMap::new();
    let mut seen = Seen::default();
    for (row, at_us) in at.iter().copied().enumerate() {
        let reads = reads.value(row);
        let mut event = columns.event(row);
        event.reads = reads;
        let key = (event.provider, event.service, event.operation, reads);
        event.kind = *kinds.entry(key).or_insert_with(|| kind::of(key.0, key.1, key.2, reads));
        if event.listed.is_none() && !event.is_read() {
            continue;
        }
        let mut found = Found::default();
        match event.provider {
            "aws" => aws::find(&event, &mut found),
            "azure" => azure(&event, &mut found),
            "gcp" => google::find(&event, &mut found),
            "kubernetes" => kubernetes::find(&event, &mut found),
            _ => {
                event.listed().iter().for_each(|name| found.add_name(name));
                (found.is_human, found.is_interactive) = actor::plain(&event);
            }
        }
        let offset = offsets.value(row);
        let provider = found.provider.unwrap_or(event.provider);
        for (resource, (resource_type, is_gone)) in found.resources {
            if resource.is_empty() {
                continue;
            }
            seen.touches.push(Touch {
                row,
                resource,
                resource_type,
                provider,
                account: event.account,
                region: event.region,
                at_us,
                offset,
                principal: event.principal,
                operation: event.operation,
                kind: event.kind,
                reads,
                failed: event.failed,
                is_human: found.is_human,
                is_interactive: found.is_interactive,
                is_gone: is_gone && !event.failed,
            });
        }
        if !event.failed {
            let edges = found.edges.into_iter();
            seen.edges.extend(edges.map(|(from, to, is_gone)| Edge {
                row,
                at_us,
                offset,
                from,
                to,
                is_gone,
            }));
        }
    }
    Ok(seen)
}

/// The columns that events are read from.
struct Columns<'a> {
    principals: &'a StringArray,
    providers: &'a StringArray,
    accounts: &'a StringArray,
    regions: &'a StringArray,
    principal_types: &'a StringArray,
    services: &'a StringArray,
    operations: &'a StringArray,
    errors: &'a StringArray,
    resources: &'a StringArray,
    raws: &'a StringArray,
}

impl<'a> Columns<'a> {
    fn of(rows: &'a RecordBatch) -> Result<Self> {
        Ok(Self {
            principals: texts(rows, ENTITY_ID)?,
            providers: texts(rows, PROVIDER)?,
            accounts: texts(rows, ACCOUNT)?,
            regions: texts(rows, REGION)?,
            principal_types: texts(rows, PRINCIPAL_TYPE)?,
            services: texts(rows, SERVICE)?,
            operations: texts(rows, OPERATION)?,
            errors: texts(rows, ERROR_CODE)?,
            resources: texts(rows, RESOURCES)?,
            raws: texts(rows, RAW)?,
        })
    }

    fn event(&self, row: usize) -> Event<'a> {
        Event {
            provider: self.providers.value(row),
            account: self.accounts.value(row),
            region: self.regions.value(row),
            service: self.services.value(row),
            operation: self.operations.value(row),
            principal: self.principals.value(row),
            principal_type: self.principal_types.value(row),
            listed: self.resources.is_valid(row).then(|| self.resources.value(row)),
            raw: self.raws.value(row),
            kind: Kind::Look,
            reads: false,
            failed: self.errors.is_valid(row),
        }
    }
}

/// An Azure event: the resource of its path, and those around it; what a request's body names.
fn azure(event: &Event<'_>, found: &mut Found) {
    (found.is_human, found.is_interactive) = actor::plain(event);
    let listed = event.listed();
    for name in &listed {
        let id = canonical(name);
        around(&id).for_each(|outer| found.add_id(outer));
        found.add_id(&id);
    }
    let [name] = &listed[..] else { return };
    let id = canonical(name);
    let operation = event.operation.to_ascii_lowercase();
    // `microsoft.compute/virtualmachines/delete` of a machine, not of what is in it.
    if let Some(deleted) = operation.strip_suffix("/delete") {
        let is_itself = path_kinds(&id).is_some_and(|kinds| kinds == deleted);
        if is_itself && is_done(event.raw) {
            found.end(&id);
        }
    } else if event.is_read() && event.raw.contains("requestbody") {
        let raw: Value = serde_json::from_str(event.raw).unwrap_or_default();
        let body = raw["properties"]["requestbody"].as_str().unwrap_or_default();
        found.connect_references(&id, &serde_json::from_str(body).unwrap_or_default());
    }
}

/// Whether an Azure event tells of an operation's end: most log their start, and some that they were
/// accepted, in events of their own.
fn is_done(raw: &str) -> bool {
    let raw: Value = serde_json::from_str(raw).unwrap_or_default();
    let results = [&raw["resultType"], &raw["resulttype"], &raw["status"]["value"], &raw["status"]];
    let mut texts = results.into_iter().filter_map(Value::as_str);
    !texts.any(|text| {
        ["start", "started", "accept", "accepted"].iter().any(|at| text.eq_ignore_ascii_case(at))
    })
}
