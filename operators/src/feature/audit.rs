//! Features of a window of audit events: what a principal did, and what is new to it.
//!
//! [`Events`] reduces each event to four plain numbers, so that a window holds
//! no text; [`AuditFeatures`] turns windows of those into vectors. Source
//! addresses, account ids and raw user agents never become model input: they
//! differ between a simulated attack and daily work for reasons that have
//! nothing to do with attacks. A user agent counts only as a family out of a
//! fixed list, and only for being new to the principal.
//!
//! What is new depends on the principal's own earlier windows, in event-time
//! order. Its memory is bounded: of each kind the values least recently seen
//! are forgotten first.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, PrimitiveArray, RecordBatch, StringArray, UInt8Array,
    UInt64Array,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, UInt8Type, UInt64Type};
use hashbrown::HashMap;

use crate::key::{SHARDS, Shard, hash};
use crate::schema::audit::{
    ERROR_CODE, EVENT_ID, OPERATION, READ_ONLY, REGION, SERVICE, USER_AGENT,
};
use crate::schema::result::{FEATURES, WINDOW, WINDOW_END};
use crate::schema::{ENTITY_ID, TS, column, mismatch, texts, times, vector, vector_array};
use crate::snapshot::{Changes, Extent, Snapshot};
use crate::window::{Extract, selected};
use crate::{Error, Result};

/// What an operation does, whatever the provider calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Class {
    /// Reads, lists or describes configuration.
    Read,
    /// Creates or changes a resource.
    Write,
    /// Deletes, terminates or detaches one.
    Delete,
    /// Changes users, roles, keys, policies or permissions.
    Permission,
    /// Signs in, assumes a role, asks for a token.
    Authentication,
    /// Reads or writes customers' data: objects, items, rows.
    Data,
    /// Uses keys or reads secrets.
    Secret,
    /// Stops, deletes or narrows logging and detection.
    Logging,
}

const CLASSES: [(Class, &str); 8] = [
    (Class::Read, "read"),
    (Class::Write, "write"),
    (Class::Delete, "delete"),
    (Class::Permission, "permission"),
    (Class::Authentication, "authentication"),
    (Class::Data, "data"),
    (Class::Secret, "secret"),
    (Class::Logging, "logging"),
];

const READ_VERBS: [&str; 13] = [
    "get", "list", "describe", "head", "read", "lookup", "search", "check", "test", "simulate",
    "preview", "estimate", "view",
];
const DELETE_VERBS: [&str; 10] = [
    "delete",
    "remove",
    "terminate",
    "destroy",
    "purge",
    "drop",
    "detach",
    "deregister",
    "revoke",
    "release",
];
const AUTHENTICATION_WORDS: [&str; 8] =
    ["assume", "login", "signin", "authenticate", "federation", "session", "token", "mfa"];
const PERMISSION_WORDS: [&str; 14] = [
    "policy",
    "policies",
    "role",
    "roles",
    "permission",
    "permissions",
    "acl",
    "user",
    "users",
    "group",
    "profile",
    "grant",
    "binding",
    "credential",
];
const PERMISSION_SERVICES: [&str; 5] =
    ["iam", "organizations", "sso", "authorization", "cloudresourcemanager"];
const DATA_WORDS: [&str; 12] = [
    "object",
    "objects",
    "blob",
    "blobs",
    "item",
    "items",
    "rows",
    "records",
    "query",
    "scan",
    "select",
    "tabledata",
];
const SECRET_SERVICES: [&str; 5] =
    ["kms", "secretsmanager", "keyvault", "cloudkms", "secretmanager"];
const SECRET_WORDS: [&str; 6] =
    ["secret", "secrets", "decrypt", "encrypt", "password", "parameter"];
const LOGGING_WORDS: [&str; 12] = [
    "logging",
    "trail",
    "detector",
    "flow",
    "sink",
    "sinks",
    "selectors",
    "recorder",
    "alarms",
    "diagnosticsettings",
    "findings",
    "audit",
];

impl Class {
    /// The class of an operation, by its words and its service; the first rule that holds:
    ///
    /// 1. not a reading verb, and a word of logging or detection: [`Class::Logging`];
    /// 2. a word of signing in, or the service `sts` or `signin`: [`Class::Authentication`];
    /// 3. a key or secret service, or a word of secrets: [`Class::Secret`];
    /// 4. not reading, and an identity service or a word of permissions: [`Class::Permission`];
    /// 5. a word of stored data: [`Class::Data`];
    /// 6. a deleting verb: [`Class::Delete`];
    /// 7. a reading verb, or marked read-only: [`Class::Read`]; else [`Class::Write`].
    ///
    /// The words are those of the operation's last segment (`DeleteTrail`;
    /// `…/networkSecurityGroups/delete`; `v1.compute.instances.insert`), and of the one before
    /// it where the last is a bare verb.
    #[must_use]
    pub fn of(service: &str, operation: &str, read_only: bool) -> Self {
        let words = words(operation);
        let service = service.to_ascii_lowercase();
        let service_is = |names: &[&str]| {
            service.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| names.contains(&part))
        };
        let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
        let reads = read_only || has(&READ_VERBS[..]) && !has(&["set", "put", "create", "update"]);
        if !reads && has(&LOGGING_WORDS) {
            Self::Logging
        } else if has(&AUTHENTICATION_WORDS) || service_is(&["sts", "signin"]) {
            Self::Authentication
        } else if service_is(&SECRET_SERVICES) || has(&SECRET_WORDS) {
            Self::Secret
        } else if !reads && (service_is(&PERMISSION_SERVICES) || has(&PERMISSION_WORDS)) {
            Self::Permission
        } else if has(&DATA_WORDS) {
            Self::Data
        } else if has(&DELETE_VERBS) {
            Self::Delete
        } else if reads {
            Self::Read
        } else {
            Self::Write
        }
    }
}

/// The lower-case words of an operation's last segment or two; see [`Class::of`].
fn words(operation: &str) -> Vec<String> {
    let segments: Vec<&str> =
        operation.split(['/', '.', ':']).filter(|segment| !segment.is_empty()).collect();
    let bare = segments.last().is_some_and(|last| last.starts_with(char::is_lowercase));
    let kept = segments.len().saturating_sub(if bare { 2 } else { 1 });
    let mut words: Vec<String> = Vec::new();
    for segment in &segments[kept..] {
        // Azure names resource types in one word: keep it whole as well.
        words.push(segment.to_ascii_lowercase());
        let mut before = '_';
        for c in segment.chars() {
            if !c.is_alphanumeric() {
                before = '_';
                continue;
            }
            match words.last_mut() {
                Some(word) if before != '_' && !(c.is_uppercase() && before.is_lowercase()) => {
                    word.push(c.to_ascii_lowercase());
                }
                _ => words.push(c.to_ascii_lowercase().to_string()),
            }
            before = c;
        }
    }
    words
}

/// Families of user agents: the first whose mark the agent contains.
const FAMILIES: [(&str, &str); 20] = [
    ("terraform", "terraform"),
    ("pulumi", "pulumi"),
    ("ansible", "ansible"),
    ("aws-cli", "aws-cli"),
    ("azure-cli", "azure-cli"),
    ("azurecli", "azure-cli"),
    ("gcloud", "gcloud"),
    ("powershell", "powershell"),
    ("boto", "python-sdk"),
    ("python", "python"),
    ("aws-sdk-go", "go-sdk"),
    ("aws-sdk-java", "java-sdk"),
    ("aws-sdk", "sdk"),
    ("kubectl", "kubernetes"),
    ("kubernetes", "kubernetes"),
    ("console", "console"),
    ("mozilla", "browser"),
    ("curl", "curl"),
    ("amazonaws.com", "service"),
    ("aws internal", "service"),
];

/// The family of a user agent; `other` where none is known.
#[must_use]
pub fn agent_family(user_agent: &str) -> &'static str {
    let agent = user_agent.to_ascii_lowercase();
    FAMILIES.iter().find(|(mark, _)| agent.contains(mark)).map_or("other", |(_, family)| family)
}

/// Lanes an event.
const LANES: usize = 4;
const READ_ONLY_FLAG: u64 = 1 << 8;
const ERROR_FLAG: u64 = 1 << 9;
/// The first lane: class (8 bits), flags (8 bits), then minutes since 1970-01-01.
const MINUTE_SHIFT: u32 = 16;
const MINUTE_US: i64 = 60_000_000;

/// Audit events ([`crate::schema::audit`]) as four lanes a row: class, flags and minute; region;
/// agent family; service and operation (all but the first hashed). Told apart by event id.
#[derive(Debug, Clone, Copy, Default)]
pub struct Events;

impl Extract<u64> for Events {
    fn width(&self) -> usize {
        LANES
    }

    fn lanes(
        &self,
        rows: &RecordBatch,
        selection: Option<&[u32]>,
        lanes: &mut Vec<u64>,
    ) -> Result<()> {
        let ts = times(rows, TS)?;
        let (services, operations) = (texts(rows, SERVICE)?, texts(rows, OPERATION)?);
        let (regions, agents) = (texts(rows, REGION)?, texts(rows, USER_AGENT)?);
        let errors = texts(rows, ERROR_CODE)?;
        let read_only = column(rows, READ_ONLY)?;
        let read_only =
            read_only.as_boolean_opt().ok_or_else(|| mismatch(READ_ONLY, "Boolean", read_only))?;
        // Few operations and agents make up most events: classify each once a batch.
        let mut classes: HashMap<(&str, &str, bool), (Class, u64)> = HashMap::new();
        let mut families: HashMap<&str, u64> = HashMap::new();
        for row in selected(rows, selection) {
            let (service, operation) = (services.value(row), operations.value(row));
            let reads = read_only.value(row);
            let (class, name) = *classes.entry((service, operation, reads)).or_insert_with(|| {
                let name = [service.as_bytes(), b"\0", operation.as_bytes()].concat();
                (Class::of(service, operation, reads), hash(&name))
            });
            let agent = if agents.is_valid(row) { agents.value(row) } else { "" };
            let family =
                *families.entry(agent).or_insert_with(|| hash(agent_family(agent).as_bytes()));
            let minute = ts[row].div_euclid(MINUTE_US).max(0) as u64;
            let flags = if reads { READ_ONLY_FLAG } else { 0 }
                | if errors.is_valid(row) { ERROR_FLAG } else { 0 };
            lanes.extend([
                u64::from(class as u8) | flags | minute << MINUTE_SHIFT,
                hash(regions.value(row).as_bytes()),
                family,
                name,
            ]);
        }
        Ok(())
    }

    fn ids(&self, rows: &RecordBatch, selection: Option<&[u32]>, ids: &mut Vec<u64>) -> Result<()> {
        let events = texts(rows, EVENT_ID)?;
        ids.extend(selected(rows, selection).map(|row| hash(events.value(row).as_bytes())));
        Ok(())
    }
}

/// Values of each kind remembered a principal.
const REMEMBERED: usize = 512;

/// Regions, agent families, operations: lanes 1 to 3.
const KINDS: usize = 3;

/// Values seen, each with the end of the last window that showed it (µs).
type Seen = BTreeMap<u64, i64>;

/// What is remembered of a principal.
#[derive(Debug, Clone, Default)]
struct Principal {
    /// What it has shown before, by kind.
    seen: [Seen; KINDS],
    /// Whether that has changed since the last checkpoint.
    changed: bool,
}

/// The operator: appends `features` to windows of [`Events`].
#[derive(Debug, Clone)]
pub struct AuditFeatures {
    shards: Vec<HashMap<String, Principal>>,
}

impl Default for AuditFeatures {
    fn default() -> Self {
        Self { shards: vec![HashMap::new(); SHARDS] }
    }
}

const AFTER_CLASSES: [&str; 11] = [
    "events",
    "error_rate",
    "read_ratio",
    "distinct_operations",
    "new_regions",
    "new_agents",
    "new_operations",
    "first_window",
    "hour_sin",
    "hour_cos",
    "burst",
];

impl AuditFeatures {
    /// An operator that knows no principal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The names of the features, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let classes = CLASSES.iter().map(|(_, name)| format!("class:{name}"));
        classes.chain(AFTER_CLASSES.iter().map(|name| (*name).to_owned())).collect()
    }

    /// Replaces the `window` column by `features`: counts as `ln(1 + n)`, rates in `[0, 1]`, the
    /// events' mean time of day on the circle, and `burst`, the most events in one minute.
    ///
    /// A principal's windows must come in ascending `window_end`, in a batch and from call to call.
    ///
    /// # Errors
    /// [`Error::Column`] when `window` is missing or holds no four lanes an event.
    pub fn append(&mut self, windows: &RecordBatch) -> Result<RecordBatch> {
        let entities = texts(windows, ENTITY_ID)?;
        let ends = times(windows, WINDOW_END)?;
        let (values, bounds) = events(windows)?;
        let width = CLASSES.len() + AFTER_CLASSES.len();
        let mut features = Vec::with_capacity(windows.num_rows() * width);
        for row in 0..windows.num_rows() {
            let events = &values[bounds[row]..bounds[row + 1]];
            let name = entities.value(row);
            let principals = &mut self.shards[usize::from(Shard::of(name).0)];
            let first = !principals.contains_key(name);
            let principal = principals.entry_ref(name).or_default();
            let news = remember(principal, events, ends[row]);
            describe(events, news, first, &mut features);
        }
        let kept =
            (0..windows.num_columns()).filter(|at| windows.schema().field(*at).name() != WINDOW);
        let kept = windows.project(&kept.collect::<Vec<_>>())?;
        let mut fields: Vec<_> = kept.schema().fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(FEATURES, vector(width), false)));
        let mut columns = kept.columns().to_vec();
        columns.push(Arc::new(vector_array(width, features)));
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
    }
}

/// The lanes of all windows, and where each window's begin and the last's end.
fn events(windows: &RecordBatch) -> Result<(&[u64], Vec<usize>)> {
    let array = column(windows, WINDOW)?;
    let wrong = || mismatch(WINDOW, "a list of UInt64, four an event", array);
    let (values, bounds): (&ArrayRef, Vec<usize>) = if let Some(list) = array.as_list_opt::<i32>() {
        (list.values(), list.value_offsets().iter().map(|bound| *bound as usize).collect())
    } else if let Some(list) = array.as_fixed_size_list_opt() {
        let width = list.value_length() as usize;
        (list.values(), (0..=list.len()).map(|row| (list.offset() + row) * width).collect())
    } else {
        return Err(wrong());
    };
    let values: &PrimitiveArray<UInt64Type> = values.as_primitive_opt().ok_or_else(wrong)?;
    if bounds.windows(2).any(|pair| (pair[1] - pair[0]) % LANES != 0) {
        return Err(wrong());
    }
    Ok((values.values(), bounds))
}

/// Counts what is new to the principal, and remembers it.
fn remember(principal: &mut Principal, events: &[u64], end: i64) -> [usize; KINDS] {
    let mut news = [0; KINDS];
    principal.changed = true;
    for (kind, seen) in principal.seen.iter_mut().enumerate() {
        for event in events.chunks_exact(LANES) {
            if seen.insert(event[1 + kind], end).is_none() {
                news[kind] += 1;
            }
        }
        while seen.len() > REMEMBERED {
            let oldest = seen.iter().map(|(value, last)| (*last, *value)).min();
            if let Some((_, value)) = oldest {
                seen.remove(&value);
            }
        }
    }
    news
}

/// Appends one window's features.
fn describe(events: &[u64], news: [usize; KINDS], first: bool, features: &mut Vec<f32>) {
    let log = |count: usize| (count as f64).ln_1p();
    let mut counts = [0usize; CLASSES.len()];
    let (mut errors, mut reads) = (0usize, 0usize);
    let mut minutes: BTreeMap<u64, usize> = BTreeMap::new();
    let mut operations: Vec<u64> = Vec::with_capacity(events.len() / LANES);
    for event in events.chunks_exact(LANES) {
        counts[(event[0] & 0xff) as usize % CLASSES.len()] += 1;
        errors += usize::from(event[0] & ERROR_FLAG != 0);
        reads += usize::from(event[0] & READ_ONLY_FLAG != 0);
        *minutes.entry(event[0] >> MINUTE_SHIFT).or_default() += 1;
        operations.push(event[3]);
    }
    operations.sort_unstable();
    operations.dedup();
    let total = events.len() / LANES;
    let rate = |count: usize| count as f64 / total.max(1) as f64;
    let (mut sin, mut cos) = (0.0, 0.0);
    for (minute, count) in &minutes {
        let angle = (minute % 1440) as f64 * std::f64::consts::TAU / 1440.0;
        sin += angle.sin() * *count as f64;
        cos += angle.cos() * *count as f64;
    }
    features.extend(counts.iter().map(|count| log(*count) as f32));
    let after = [
        log(total),
        rate(errors),
        rate(reads),
        log(operations.len()),
        log(news[0]),
        log(news[1]),
        log(news[2]),
        f64::from(u8::from(first)),
        sin / total.max(1) as f64,
        cos / total.max(1) as f64,
        log(minutes.values().copied().max().unwrap_or(0)),
    ];
    features.extend(after.iter().map(|value| *value as f32));
}

impl Snapshot for AuditFeatures {
    fn operator(&self) -> &'static str {
        "audit_features"
    }

    fn snapshot(&self, shard: Shard, extent: Extent) -> Result<Option<RecordBatch>> {
        let whole = extent == Extent::Whole;
        let principals = self.shards[usize::from(shard.0)].iter();
        let mut principals: Vec<_> =
            principals.filter(|(_, principal)| whole || principal.changed).collect();
        if principals.is_empty() {
            return Ok(None);
        }
        principals.sort_unstable_by_key(|(name, _)| *name);
        let mut rows: Vec<(&str, u8, u64, i64)> = Vec::new();
        for (name, principal) in principals {
            for (kind, seen) in principal.seen.iter().enumerate() {
                rows.extend(seen.iter().map(|(value, last)| (&**name, kind as u8, *value, *last)));
            }
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
            Arc::new(UInt8Array::from_iter_values(rows.iter().map(|row| row.1))),
            Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.2))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.3))),
        ];
        Ok(Some(RecordBatch::try_new(state_schema(), columns)?))
    }

    fn restore(&mut self, shard: Shard, state: &RecordBatch) -> Result<()> {
        let wrong = |reason: &str| Error::Snapshot {
            operator: "audit_features",
            reason: reason.to_owned(),
        };
        if state.schema().fields() != state_schema().fields() {
            return Err(wrong("its columns are not those of this build"));
        }
        let names = state.column(0).as_string::<i32>();
        let kinds = state.column(1).as_primitive::<UInt8Type>();
        let values = state.column(2).as_primitive::<UInt64Type>();
        let lasts = state.column(3).as_primitive::<Int64Type>();
        let principals = &mut self.shards[usize::from(shard.0)];
        for row in 0..state.num_rows() {
            let principal = principals.entry_ref(names.value(row)).or_default();
            let seen = principal
                .seen
                .get_mut(usize::from(kinds.value(row)))
                .ok_or_else(|| wrong("it remembers a kind that this build does not know"))?;
            seen.insert(values.value(row), lasts.value(row));
        }
        Ok(())
    }

    fn changes(&self) -> Option<Changes> {
        let principals = self.shards.iter().flat_map(HashMap::values);
        let changed = principals.filter(|principal| principal.changed).count();
        Some(Changes { keys: self.shards.iter().map(HashMap::len).sum(), changed })
    }

    fn saved(&mut self) {
        let principals = self.shards.iter_mut().flat_map(HashMap::values_mut);
        principals.for_each(|principal| principal.changed = false);
    }
}

fn state_schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new(ENTITY_ID, DataType::Utf8, false),
        Field::new("kind", DataType::UInt8, false),
        Field::new("value", DataType::UInt64, false),
        Field::new("last", DataType::Int64, false),
    ]))
}

#[cfg(test)]
mod tests {
    use arrow::array::{BooleanArray, RecordBatchOptions, TimestampMicrosecondArray};
    use arrow::compute::concat_batches;

    use super::*;
    use crate::epoch::Partition;
    use crate::schema::{audit, vectors};
    use crate::snapshot::{chunks, restore};
    use crate::watermark::Watermark;
    use crate::window::{Window, WindowSpec};

    #[test]
    fn operations_of_three_providers_have_the_same_classes() {
        use Class::*;
        for (service, operation, read_only, want) in [
            ("ec2.amazonaws.com", "DescribeInstances", true, Read),
            ("ec2.amazonaws.com", "RunInstances", false, Write),
            ("ec2.amazonaws.com", "TerminateInstances", false, Delete),
            ("iam.amazonaws.com", "CreateAccessKey", false, Permission),
            ("iam.amazonaws.com", "ListUsers", true, Read),
            ("s3.amazonaws.com", "PutBucketPolicy", false, Permission),
            ("sts.amazonaws.com", "AssumeRole", true, Authentication),
            ("signin.amazonaws.com", "ConsoleLogin", false, Authentication),
            ("s3.amazonaws.com", "GetObject", true, Data),
            ("kms.amazonaws.com", "Decrypt", true, Secret),
            ("secretsmanager.amazonaws.com", "GetSecretValue", true, Secret),
            ("cloudtrail.amazonaws.com", "StopLogging", false, Logging),
            ("cloudtrail.amazonaws.com", "DeleteTrail", false, Logging),
            ("cloudtrail.amazonaws.com", "DescribeTrails", true, Read),
            ("Microsoft.Network", "Microsoft.Network/networkSecurityGroups/delete", false, Delete),
            (
                "Microsoft.Authorization",
                "Microsoft.Authorization/roleAssignments/write",
                false,
                Permission,
            ),
            ("Microsoft.Insights", "Microsoft.Insights/diagnosticSettings/delete", false, Logging),
            ("Microsoft.KeyVault", "Microsoft.KeyVault/vaults/secrets/read", true, Secret),
            ("compute.googleapis.com", "v1.compute.instances.insert", false, Write),
            ("compute.googleapis.com", "v1.compute.instances.delete", false, Delete),
            (
                "iam.googleapis.com",
                "google.iam.admin.v1.CreateServiceAccountKey",
                false,
                Permission,
            ),
            ("storage.googleapis.com", "storage.objects.get", true, Data),
            (
                "logging.googleapis.com",
                "google.logging.v2.ConfigServiceV2.DeleteSink",
                false,
                Logging,
            ),
        ] {
            assert_eq!(Class::of(service, operation, read_only), want, "{service} {operation}");
        }
    }

    #[test]
    fn user_agents_count_as_families_alone() {
        for (agent, family) in [
            ("aws-cli/2.1 Python/3.8 prompt/off", "aws-cli"),
            ("Boto3/1.9 Botocore/1.12", "python-sdk"),
            ("APN/1.0 HashiCorp/1.0 Terraform/1.1.2 (+https://x)", "terraform"),
            ("ec2.amazonaws.com", "service"),
            ("stratus-red-team_3f2a", "other"),
        ] {
            assert_eq!(agent_family(agent), family, "{agent}");
        }
    }

    /// An event: principal, second, operation, region, agent, address.
    type Event = (&'static str, i64, &'static str, &'static str, &'static str, &'static str);

    fn batch(events: &[Event]) -> RecordBatch {
        let text = |of: &dyn Fn(usize) -> String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values((0..events.len()).map(of)))
        };
        let same = |value: &str| text(&|_| value.to_owned());
        let reads: BooleanArray = events.iter().map(|e| Some(e.2.starts_with("Get"))).collect();
        let times =
            TimestampMicrosecondArray::from_iter_values(events.iter().map(|e| e.1 * 1_000_000));
        let error = |event: &Event| event.2.starts_with("Delete").then_some("AccessDenied");
        let columns: Vec<ArrayRef> = vec![
            text(&|i| events[i].0.to_owned()),
            Arc::new(times.with_timezone("UTC")),
            Arc::new(UInt64Array::from_iter_values(0..events.len() as u64)),
            text(&|i| format!("{:?}", events[i])),
            same("aws"),
            same("123"),
            text(&|i| events[i].3.to_owned()),
            same("IAMUser"),
            text(&|i| events[i].5.to_owned()),
            text(&|i| events[i].4.to_owned()),
            same("s3.amazonaws.com"),
            text(&|i| events[i].2.to_owned()),
            Arc::new(reads),
            Arc::new(events.iter().map(error).collect::<StringArray>()),
            same("[]"),
            same("{}"),
        ];
        let options = RecordBatchOptions::new().with_row_count(Some(events.len()));
        RecordBatch::try_new_with_options(audit::schema(), columns, &options).unwrap()
    }

    fn windows(events: &[Event]) -> Vec<RecordBatch> {
        let spec = WindowSpec::Tumbling { duration_us: 600_000_000 };
        let mut window = Window::new(spec, Events).unwrap();
        window.push(Partition(0), &batch(events), None).unwrap();
        let mut batches = Vec::new();
        let keep = |batch| {
            batches.push(batch);
            Ok(())
        };
        window.advance(Watermark::MAX, keep).unwrap();
        batches
    }

    const EVENTS: [Event; 7] = [
        ("ann", 1, "GetObject", "eu", "aws-cli/2", "1.1.1.1"),
        ("ann", 2, "GetObject", "eu", "aws-cli/2", "1.1.1.1"),
        ("bob", 3, "GetObject", "eu", "aws-cli/2", "1.1.1.1"),
        ("ann", 300, "DeleteBucket", "us", "aws-cli/2", "1.1.1.1"),
        ("ann", 601, "GetObject", "eu", "curl/8", "1.1.1.1"),
        ("ann", 1201, "GetObject", "us", "curl/8", "1.1.1.1"),
        ("bob", 1202, "PutBucketPolicy", "us", "aws-cli/2", "1.1.1.1"),
    ];

    fn feature(batch: &RecordBatch, row: usize, name: &str) -> f32 {
        let (values, width) = vectors(batch, FEATURES).unwrap();
        let names = AuditFeatures::new().names();
        assert_eq!(width, names.len());
        values[row * width + names.iter().position(|found| found == name).unwrap()]
    }

    fn append(features: &mut AuditFeatures, batches: &[RecordBatch]) -> RecordBatch {
        let batches: Vec<_> = batches.iter().map(|batch| features.append(batch).unwrap()).collect();
        concat_batches(&batches[0].schema(), &batches).unwrap()
    }

    #[test]
    fn features_count_classes_and_what_is_new_to_the_principal() {
        let found = append(&mut AuditFeatures::new(), &windows(&EVENTS));
        assert!(found.column_by_name(WINDOW).is_none());
        let names = texts(&found, ENTITY_ID).unwrap();
        let ann: Vec<usize> =
            (0..found.num_rows()).filter(|row| names.value(*row) == "ann").collect();
        assert_eq!(ann.len(), 3);
        let close = |at: usize, name: &str, want: f64| {
            let value = f64::from(feature(&found, ann[at], name));
            assert!((value - want).abs() < 1e-6, "{at} {name}: {value}, {want}");
        };
        close(0, "events", 4f64.ln());
        close(0, "class:data", 3f64.ln());
        close(0, "class:delete", 2f64.ln());
        close(0, "error_rate", 1.0 / 3.0);
        close(0, "read_ratio", 2.0 / 3.0);
        close(0, "distinct_operations", 3f64.ln());
        close(0, "burst", 3f64.ln());
        close(0, "first_window", 1.0);
        close(1, "first_window", 0.0);
        for (at, regions, agents, operations) in [(0, 2, 1, 2), (1, 0, 1, 0), (2, 0, 0, 0)] {
            close(at, "new_regions", f64::from(regions).ln_1p());
            close(at, "new_agents", f64::from(agents).ln_1p());
            close(at, "new_operations", f64::from(operations).ln_1p());
        }
    }

    #[test]
    fn addresses_and_the_text_of_agents_leave_no_trace() {
        let mut other = EVENTS;
        for event in &mut other {
            event.5 = "203.0.113.9";
            event.4 =
                if event.4.starts_with("curl") { "curl/1.2 attack" } else { "aws-cli/9 attack" };
        }
        let vectors = |events: &[Event]| {
            let found = append(&mut AuditFeatures::new(), &windows(events));
            found.column_by_name(FEATURES).unwrap().to_data()
        };
        assert_eq!(vectors(&EVENTS), vectors(&other));
    }

    #[test]
    fn memory_is_bounded_and_forgets_the_oldest_first() {
        let mut principal = Principal::default();
        for value in 0..2 * REMEMBERED as u64 {
            remember(&mut principal, &[0, 1, 2, value], value as i64);
        }
        assert_eq!(principal.seen[2].len(), REMEMBERED);
        assert_eq!(
            principal.seen[2].first_key_value(),
            Some((&(REMEMBERED as u64), &(REMEMBERED as i64)))
        );
        assert_eq!(principal.seen[0].len(), 1);
    }

    #[test]
    fn neither_cuts_nor_restarts_matter() {
        let whole = windows(&EVENTS);
        let whole = concat_batches(&whole[0].schema(), &whole).unwrap();
        let want = append(&mut AuditFeatures::new(), std::slice::from_ref(&whole));
        let all = |features: &AuditFeatures, extent| -> Vec<RecordBatch> {
            chunks(features, extent).collect::<Result<_>>().unwrap()
        };
        let mut first = AuditFeatures::new();
        let (mut before, mut snapshots) = (Vec::new(), Vec::new());
        for cut in 1..whole.num_rows() {
            before.push(first.append(&whole.slice(cut - 1, 1)).unwrap());
            let extent = if cut == 1 { Extent::Whole } else { Extent::Changed };
            snapshots.push(all(&first, extent));
            first.saved();
            let mut second = AuditFeatures::new();
            restore(&mut second, &snapshots, |_| true).unwrap();
            assert_eq!(all(&second, Extent::Whole), all(&first, Extent::Whole));
            let after = second.append(&whole.slice(cut, whole.num_rows() - cut)).unwrap();
            let found = before.iter().chain([&after]);
            assert_eq!(concat_batches(&want.schema(), found).unwrap(), want, "cut at {cut}");
        }
    }
}
