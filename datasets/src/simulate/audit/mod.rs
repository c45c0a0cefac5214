//! Audit events of ordinary principals, and one stolen credential.
//!
//! Every principal is of a kind ([`persona`]), with its region, agent, address, working hours and tasks
//! that it keeps to, but for one now and then. People work in the day, and on some nights; roles that
//! machines assume at any hour. The thief uses one person's key for an hour from
//! another region, agent and address: first enumerating, mostly denied, then reading what it found.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::persona::{Habits, PERSONAS};
use super::rng::Rng;
use super::{Output, at_least, rfc3339, start_seconds};
use crate::{Error, Result};

mod persona;

const DAY: i64 = 86_400;
const ACCOUNT: &str = "123456789012";

/// Sizes and shape of the simulated audit log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// Days, one file each; default 14.
    pub days: u32,
    /// Principals; default 12.
    pub principals: u32,
    /// Events of a principal on a working day, about; default 80.
    pub events_per_day: u32,
    /// First day, RFC 3339.
    pub start: String,
    /// Events of the thief; default 90.
    pub theft_events: u32,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            days: 14,
            principals: 12,
            events_per_day: 80,
            start: "2025-01-01T00:00:00Z".to_owned(),
            theft_events: 90,
        }
    }
}

impl AuditConfig {
    /// Events that will be written.
    #[must_use]
    pub fn records(&self) -> u64 {
        [self.days, self.principals, self.events_per_day].map(u64::from).iter().product::<u64>()
            + u64::from(self.theft_events)
    }

    fn validate(&self) -> Result<()> {
        at_least("days", self.days.into(), 4)?;
        at_least("principals", self.principals.into(), 1)?;
        at_least("events_per_day", self.events_per_day.into(), 1)?;
        if self.theft_events > 3600 {
            return Err(Error::Configuration("theft_events must be at most 3600".to_owned()));
        }
        Ok(())
    }
}

/// The stolen credential.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TheftTruth {
    /// Whose key: the stream's `entity_id`.
    pub principal: String,
    /// The thief's first call, RFC 3339.
    pub start: String,
    /// The last.
    pub end: String,
    /// A region the principal never used.
    pub region: String,
    /// An agent it never used.
    pub user_agent: String,
    /// An address it never used.
    pub source_ip: String,
    /// The thief's events.
    pub events: u32,
    /// Of them, those that failed.
    pub errors: u32,
}

const REGIONS: [&str; 3] = ["us-east-1", "eu-west-1", "us-west-2"];
const AGENTS: [&str; 4] = [
    "console.amazonaws.com",
    "aws-cli/2.15.30 Python/3.11.8 Linux/6.5 exe/x86_64",
    "Boto3/1.34.69 md/Botocore#1.34.69 ua/2.0 os/linux",
    "APN/1.0 HashiCorp/1.0 Terraform/1.7.5 terraform-provider-aws/5.42.0",
];
const ENUMERATION: [(&str, &str); 10] = [
    ("sts", "GetCallerIdentity"),
    ("iam", "ListUsers"),
    ("iam", "ListRoles"),
    ("iam", "ListAttachedUserPolicies"),
    ("s3", "ListBuckets"),
    ("ec2", "DescribeInstances"),
    ("secretsmanager", "ListSecrets"),
    ("ssm", "DescribeParameters"),
    ("organizations", "DescribeOrganization"),
    ("ec2", "DescribeSecurityGroups"),
];
const LOOTING: [(&str, &str); 3] =
    [("s3", "GetObject"), ("secretsmanager", "GetSecretValue"), ("ssm", "GetParameters")];

/// A caller.
#[derive(Debug)]
pub struct Principal {
    name: String,
    region: &'static str,
    agent: &'static str,
    address: String,
    /// Hour the working day begins, UTC.
    hour: i64,
    habits: Habits,
}

impl Principal {
    fn new(seed: u64, number: u32) -> Self {
        let mut rng = Rng::of(seed, &[3, 1, number.into()]);
        let persona = &PERSONAS[number as usize % PERSONAS.len()];
        let agents = if persona.machine { &AGENTS[2..] } else { &AGENTS[..3] };
        let kind = if persona.machine { "role" } else { "user" };
        Self {
            name: format!("{kind}-{:03}", number + 1),
            region: REGIONS[rng.below(REGIONS.len())],
            agent: agents[rng.below(agents.len())],
            address: format!("198.51.100.{}", 1 + number % 250),
            hour: 6 + rng.below(6) as i64,
            habits: Habits::of(persona, &mut rng),
        }
    }

    /// What kind of principal it is: `developer`, `administrator`, …
    #[must_use]
    pub fn persona(&self) -> &'static str {
        self.habits.persona().name
    }

    /// The stream's `entity_id`.
    #[must_use]
    pub fn entity(&self) -> String {
        let kind = if self.habits.persona().machine { "role" } else { "user" };
        format!("arn:aws:iam::{ACCOUNT}:{kind}/{}", self.name)
    }

    /// CloudTrail's `userIdentity`; a role's sessions are a day long.
    fn identity(&self, time: i64) -> Value {
        let id = self.name.to_uppercase();
        if !self.habits.persona().machine {
            return json!({
                "type": "IAMUser",
                "principalId": format!("AIDA{id}"),
                "arn": self.entity(),
                "accountId": ACCOUNT,
                "userName": self.name,
            });
        }
        let session = format!("session-{}", time.div_euclid(DAY));
        json!({
            "type": "AssumedRole",
            "principalId": format!("AROA{id}:{session}"),
            "arn": format!("arn:aws:sts::{ACCOUNT}:assumed-role/{}/{session}", self.name),
            "accountId": ACCOUNT,
            "sessionContext": {"sessionIssuer": {
                "type": "Role",
                "principalId": format!("AROA{id}"),
                "arn": self.entity(),
                "accountId": ACCOUNT,
                "userName": self.name,
            }},
        })
    }

    /// Gives an event of somebody else this principal's identity, account, address, agent and region,
    /// and another time: nothing is left of who it was, and of what it did everything.
    pub fn disguise(&self, event: &mut Value, time: i64) {
        event["userIdentity"] = self.identity(time);
        event["recipientAccountId"] = ACCOUNT.into();
        event["sourceIPAddress"] = self.address.clone().into();
        event["userAgent"] = self.agent.into();
        event["awsRegion"] = self.region.into();
        event["eventTime"] = rfc3339(time).into();
    }

    /// One day's calls, by time.
    fn day(&self, config: &AuditConfig, midnight: i64, rng: &mut Rng) -> Vec<(i64, String)> {
        let persona = self.habits.persona();
        let mut calls = Vec::new();
        // Machines work at any hour; a person in the day and, on call, one night in forty.
        let (begin, hours) = match persona.machine {
            true => (0, 24.0),
            false if rng.chance(0.025) => (0, 9.0),
            false => (self.hour * 3600, 9.0),
        };
        while calls.len() < config.events_per_day as usize {
            // The sum of two uniforms: a person's tasks begin mostly in the middle of the day.
            let into_day =
                if persona.machine { rng.uniform() } else { (rng.uniform() + rng.uniform()) / 2.0 };
            let mut time = midnight + begin + (into_day * hours * 3600.0) as i64;
            'task: for (service, operation, read_only, most) in self.habits.task(rng) {
                for _ in 0..=rng.below(*most) {
                    if calls.len() == config.events_per_day as usize {
                        break 'task;
                    }
                    let refused = rng.chance(persona.refused);
                    let kinds = ["AccessDenied", "ThrottlingException"];
                    let call = Call {
                        time: time.min(midnight + DAY - 1),
                        principal: self,
                        region: self.region,
                        agent: self.agent,
                        address: &self.address,
                        service,
                        operation,
                        read_only: *read_only,
                        error: refused.then(|| *rng.pick(&kinds)),
                    };
                    calls.push((call.time, call.event(rng)));
                    time += 1 + (rng.uniform() * rng.uniform() * 40.0) as i64;
                }
            }
        }
        calls
    }
}

/// A fleet's ordinary traffic, day by day.
#[derive(Debug)]
pub struct Traffic {
    config: AuditConfig,
    seed: u64,
    start: i64,
    principals: Vec<Principal>,
}

impl Traffic {
    /// The traffic of a seed.
    ///
    /// # Errors
    /// [`Error::Configuration`] when a size is out of range.
    pub fn new(config: &AuditConfig, seed: u64) -> Result<Self> {
        config.validate()?;
        let start = start_seconds(&config.start)?.div_euclid(DAY) * DAY;
        let principals = (0..config.principals).map(|number| Principal::new(seed, number));
        Ok(Self { config: config.clone(), seed, start, principals: principals.collect() })
    }

    /// Who calls.
    #[must_use]
    pub fn principals(&self) -> &[Principal] {
        &self.principals
    }

    /// A day's midnight, seconds since 1970-01-01.
    #[must_use]
    pub fn midnight(&self, day: u32) -> i64 {
        self.start + i64::from(day) * DAY
    }

    /// One principal's events of a day as CloudTrail writes them, with their times (seconds); in no
    /// order. `number` is its place among [`Self::principals`].
    ///
    /// # Panics
    /// When there is no such principal.
    #[must_use]
    pub fn calls(&self, number: usize, day: u32) -> Vec<(i64, String)> {
        let mut rng = Rng::of(self.seed, &[3, 2, number as u64, day.into()]);
        self.principals[number].day(&self.config, self.midnight(day), &mut rng)
    }

    /// Everybody's events of a day.
    #[must_use]
    pub fn day(&self, day: u32) -> Vec<(i64, String)> {
        (0..self.principals.len()).flat_map(|number| self.calls(number, day)).collect()
    }
}

/// One call.
struct Call<'a> {
    time: i64,
    principal: &'a Principal,
    region: &'a str,
    agent: &'a str,
    address: &'a str,
    service: &'a str,
    operation: &'a str,
    read_only: bool,
    error: Option<&'static str>,
}

pub(super) fn write(config: &AuditConfig, seed: u64, out: &mut Output<'_>) -> Result<TheftTruth> {
    let traffic = Traffic::new(config, seed)?;
    let mut rng = Rng::of(seed, &[3, 0]);
    let people = || traffic.principals.iter().filter(|one| !one.habits.persona().machine);
    let victim = people().nth(rng.below(people().count()));
    let victim = victim.ok_or_else(|| Error::Configuration("nobody has a key".to_owned()))?;
    // In the last quarter, so that there is a history to differ from.
    let theft_day = config.days - 1 - rng.below((config.days / 4).max(1) as usize) as u32;
    let theft_start = traffic.midnight(theft_day) + 3600 * (2 + rng.below(20) as i64);
    let mut truth = None;
    for day in 0..config.days {
        let midnight = traffic.midnight(day);
        let mut events = traffic.day(day);
        if day == theft_day {
            truth = Some(theft(config, seed, victim, theft_start, &mut events));
        }
        events.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let date = &rfc3339(midnight)[..10];
        let file = out.create(format!("audit/{ACCOUNT}_CloudTrail_{date}.json.gz"))?;
        let mut gzip = GzEncoder::new(file, Compression::fast());
        let written = write_records(&mut gzip, &events).and_then(|()| gzip.try_finish());
        written.map_err(|error| gzip.get_ref().failed(error))?;
        gzip.finish()
            .map_err(|source| Error::Write { path: out.dir.to_owned(), source })?
            .finish()?;
        out.wrote(events.len() as u64);
    }
    truth.ok_or_else(|| Error::Configuration("no day is left for the theft".to_owned()))
}

fn write_records(out: &mut impl Write, events: &[(i64, String)]) -> std::io::Result<()> {
    out.write_all(b"{\"Records\":[")?;
    for (index, (_, event)) in events.iter().enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        out.write_all(event.as_bytes())?;
    }
    out.write_all(b"]}\n")
}

fn theft(
    config: &AuditConfig,
    seed: u64,
    victim: &Principal,
    start: i64,
    events: &mut Vec<(i64, String)>,
) -> TheftTruth {
    let mut rng = Rng::of(seed, &[3, 3]);
    let mut truth = TheftTruth {
        principal: victim.entity(),
        start: rfc3339(start),
        end: rfc3339(start),
        region: "ap-southeast-3".to_owned(),
        user_agent: "python-requests/2.31.0".to_owned(),
        source_ip: "203.0.113.77".to_owned(),
        events: config.theft_events,
        errors: 0,
    };
    for number in 0..config.theft_events {
        let enumerating = number * 3 < config.theft_events * 2;
        let (service, operation) =
            if enumerating { *rng.pick(&ENUMERATION) } else { *rng.pick(&LOOTING) };
        let error = (enumerating && rng.chance(0.6)).then_some("AccessDenied");
        let call = Call {
            time: start + 3600 * i64::from(number) / i64::from(config.theft_events.max(1)),
            principal: victim,
            region: &truth.region,
            agent: &truth.user_agent,
            address: &truth.source_ip,
            service,
            operation,
            read_only: true,
            error,
        };
        let event = (call.time, call.event(&mut rng));
        truth.end = rfc3339(event.0);
        truth.errors += u32::from(error.is_some());
        events.push(event);
    }
    truth
}

impl Call<'_> {
    fn event(&self, rng: &mut Rng) -> String {
        let (high, low) = (rng.next(), rng.next());
        let mut event = json!({
            "eventVersion": "1.09",
            "userIdentity": self.principal.identity(self.time),
            "eventTime": rfc3339(self.time),
            "eventSource": format!("{}.amazonaws.com", self.service),
            "eventName": self.operation,
            "awsRegion": self.region,
            "sourceIPAddress": self.address,
            "userAgent": self.agent,
            "eventID": format!(
                "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
                high >> 32,
                high >> 16 & 0xffff,
                high & 0xfff,
                low >> 48 & 0xfff,
                low & 0xffff_ffff_ffff
            ),
            "readOnly": self.read_only,
            "eventType": "AwsApiCall",
            "managementEvent": true,
            "recipientAccountId": ACCOUNT,
            "eventCategory": "Management",
        });
        if let Some(error) = self.error {
            event["errorCode"] = error.into();
            event["errorMessage"] = "the simulated service said no".into();
        }
        event.to_string()
    }
}
