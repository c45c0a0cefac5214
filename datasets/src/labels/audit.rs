//! Public audit sets: detonated attack techniques, a recorded exfiltration, cases of detection rules.
//!
//! Events are kept as JSON, so that an evaluation may give them another identity, place and time before
//! they are read: what an attack did is learned from, never who played it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{corrupt, read_error, text};
use crate::Result;
use crate::describe::matching;
use crate::read::{AuditSource, Format, TimeFormat, first_file};

/// The events of one attack technique, all of them the attacker's.
#[derive(Debug, Clone)]
pub struct Technique {
    /// `aws.persistence.iam-backdoor-user`.
    pub name: String,
    /// Its tactic: `persistence`.
    pub tactic: String,
    /// CloudTrail events, by time, each with the seconds since the first.
    pub events: Vec<(i64, Value)>,
}

/// Loads the techniques of a directory laid out as Stratus Red Team's detonation logs, by name.
///
/// # Errors
/// When the directory or a file in it cannot be read, or a name or file is not laid out so.
pub fn techniques(dir: &Path) -> Result<Vec<Technique>> {
    let mut found = Vec::new();
    for path in matching(dir, &Format::CloudTrail(AuditSource::default()))? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let tactic = name.split('.').nth(1);
        let tactic = tactic.ok_or_else(|| corrupt(&path, "not named <cloud>.<tactic>.<name>"))?;
        let events: Vec<Value> = parse(&path, &text(&path)?)?;
        let timed = events.into_iter().map(|event| {
            let time = TimeFormat::Auto.parse(event["eventTime"].as_str().unwrap_or_default());
            let time = time.map_err(|reason| corrupt(&path, format!("eventTime: {reason}")))?;
            Ok((time.div_euclid(1_000_000), event))
        });
        let mut events = timed.collect::<Result<Vec<(i64, Value)>>>()?;
        events.sort_by_key(|(time, _)| *time);
        let first = events.first().map_or(0, |(time, _)| *time);
        events.iter_mut().for_each(|(time, _)| *time -= first);
        found.push(Technique { tactic: tactic.to_owned(), name, events });
    }
    Ok(found)
}

/// The CloudTrail events of a zipped file of JSON lines, by time.
///
/// # Errors
/// When the file cannot be read, or is not laid out so.
pub fn zipped_events(path: &Path) -> Result<Vec<Value>> {
    let archive = File::open(path).map_err(|source| read_error(path, source))?;
    let mut lines = String::new();
    first_file(archive)
        .and_then(|mut file| file.read_to_string(&mut lines))
        .map_err(|source| read_error(path, source))?;
    let lines = lines.lines().filter(|line| !line.trim().is_empty());
    let mut events = lines.map(|line| parse(path, line)).collect::<Result<Vec<Value>>>()?;
    events.sort_by_key(|event| event["eventTime"].as_str().map(str::to_owned));
    Ok(events)
}

/// A hand-written case of a detection rule: one event, and whether the rule must fire.
#[derive(Debug, Clone, Deserialize)]
pub struct RuleCase {
    /// The rule.
    pub rule_id: String,
    /// What the case is about.
    pub test: String,
    /// `AWS.CloudTrail`, `Azure.MonitorActivity`, `GCP.AuditLog`, …
    pub log_type: String,
    /// ATT&CK tactics and techniques, `TA0007:T1078`.
    #[serde(default)]
    pub mitre: Option<Vec<String>>,
    /// Whether the rule must fire.
    pub matches_rule: bool,
    /// The event, often cut to what the rule reads.
    #[serde(rename = "log")]
    pub event: Value,
}

/// What an envelope must have, by where it stands, and what stands for it where a case leaves it out.
type Envelope = &'static [(&'static str, &'static str)];

/// A format of given keys.
type Constructor = fn(AuditSource) -> Format;

const CLOUDTRAIL: Envelope = &[
    ("/eventTime", "2024-01-01T00:00:00Z"),
    ("/eventID", "case"),
    ("/awsRegion", "us-east-1"),
    ("/recipientAccountId", "123456789012"),
    ("/userIdentity/type", "Unknown"),
    ("/userIdentity/principalId", "somebody"),
];
const AZURE: Envelope = &[("/time", "2024-01-01T00:00:00Z"), ("/tenantId", "tenant")];
const GCP: Envelope = &[("/timestamp", "2024-01-01T00:00:00Z"), ("/logName", "projects/p/logs/l")];
const KUBERNETES: Envelope =
    &[("/requestReceivedTimestamp", "2024-01-01T00:00:00Z"), ("/user/username", "somebody")];

impl RuleCase {
    /// How its provider's events are read; none for other kinds of logs.
    #[must_use]
    pub fn format(&self) -> Option<Format> {
        self.kind().map(|(format, _)| format(AuditSource::default()))
    }

    fn kind(&self) -> Option<(Constructor, Envelope)> {
        match self.log_type.as_str() {
            "AWS.CloudTrail" => Some((Format::CloudTrail, CLOUDTRAIL)),
            "Azure.MonitorActivity" | "Azure.Audit" => Some((Format::AzureActivity, AZURE)),
            "GCP.AuditLog" => Some((Format::GcpAudit, GCP)),
            "Amazon.EKS.Audit" => Some((Format::KubernetesAudit, KUBERNETES)),
            _ => None,
        }
    }

    /// The event with what its author left out of the envelope: time, id, place, a caller. What it
    /// says is left as it is, in whatever case its names are written.
    #[must_use]
    pub fn completed(&self) -> Value {
        let mut event = self.event.clone();
        for (path, value) in self.kind().map_or(&[][..], |(_, envelope)| envelope) {
            let mut steps = path.split('/').skip(1).peekable();
            let mut at = &mut event;
            while let Some(step) = steps.next() {
                if !at.is_object() {
                    *at = Value::Object(Map::new());
                }
                let Some(members) = at.as_object_mut() else { break };
                let known = members.keys().find(|key| key.eq_ignore_ascii_case(step)).cloned();
                let member = members.entry(known.unwrap_or_else(|| step.to_owned()));
                at = member.or_insert(Value::Null);
                let empty = at.is_null() || at.as_str().is_some_and(str::is_empty);
                if steps.peek().is_none() && empty {
                    *at = json!(value);
                }
            }
        }
        event
    }
}

/// Loads the cases of a directory of gzipped JSON lines.
///
/// # Errors
/// When the directory or a file in it cannot be read, or is not laid out so.
pub fn rule_cases(dir: &Path) -> Result<Vec<RuleCase>> {
    let mut cases = Vec::new();
    for path in matching(dir, &Format::CloudTrail(AuditSource::default()))? {
        let file = File::open(&path).map_err(|source| read_error(&path, source))?;
        let mut lines = String::new();
        GzDecoder::new(file)
            .read_to_string(&mut lines)
            .map_err(|source| read_error(&path, source))?;
        for line in lines.lines().filter(|line| !line.trim().is_empty()) {
            cases.push(parse(&path, line)?);
        }
    }
    Ok(cases)
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| corrupt(path, error.to_string()))
}
