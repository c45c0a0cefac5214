//! Audit events as plain numbers: what a window keeps of them.
//!
//! Source addresses, account ids and raw user agents are left behind here: no operator after the
//! window sees them, and so no model.

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, RecordBatch};
use arrow::datatypes::UInt64Type;
use hashbrown::HashMap;

use crate::Result;
use crate::key::hash;
use crate::schema::audit::{
    ERROR_CODE, EVENT_ID, OPERATION, READ_ONLY, REGION, SERVICE, USER_AGENT,
};
use crate::schema::result::WINDOW;
use crate::schema::{TS, column, mismatch, texts, times};
use crate::window::{Extract, selected};

mod class;
mod technique;

pub use self::class::Class;
pub(crate) use self::class::{CLASSES, words};
pub use self::technique::Technique;

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
pub(crate) const LANES: usize = 4;
/// The lanes behind the first.
pub(crate) const REGION_LANE: usize = 1;
pub(crate) const AGENT_LANE: usize = 2;
pub(crate) const OPERATION_LANE: usize = 3;
pub(crate) const READ_ONLY_FLAG: u64 = 1 << 8;
pub(crate) const ERROR_FLAG: u64 = 1 << 9;
/// The first lane: class (8 bits), flags (8), number of a known technique (8), then minutes since
/// 1970-01-01.
const TECHNIQUE_SHIFT: u32 = 16;
const MINUTE_SHIFT: u32 = 24;
const MINUTE_US: i64 = 60_000_000;

/// The minute of an event's first lane.
pub(crate) fn minute(first: u64) -> u64 {
    first >> MINUTE_SHIFT
}

/// The class of an event's first lane, as an index into its list.
pub(crate) fn class(first: u64) -> usize {
    (first & 0xff) as usize
}

/// The technique of an event's first lane, if it is a known one.
pub(crate) fn technique(first: u64) -> Option<&'static Technique> {
    Technique::numbered((first >> TECHNIQUE_SHIFT & 0xff) as u8)
}

/// Audit events ([`crate::schema::audit`]) as four lanes a row: class, flags, technique and minute;
/// region; agent family; service and operation (all but the first hashed). Told apart by event id.
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
        let mut classes: HashMap<(&str, &str, bool), (u64, u64)> = HashMap::new();
        let mut families: HashMap<&str, u64> = HashMap::new();
        for row in selected(rows, selection) {
            let (service, operation) = (services.value(row), operations.value(row));
            let reads = read_only.value(row);
            let (kind, name) = *classes.entry((service, operation, reads)).or_insert_with(|| {
                let name = [service.as_bytes(), b"\0", operation.as_bytes()].concat();
                let technique = u64::from(Technique::number(service, operation));
                let class = u64::from(Class::of(service, operation, reads) as u8);
                (class | technique << TECHNIQUE_SHIFT, hash(&name))
            });
            let agent = if agents.is_valid(row) { agents.value(row) } else { "" };
            let family =
                *families.entry(agent).or_insert_with(|| hash(agent_family(agent).as_bytes()));
            let minute = ts[row].div_euclid(MINUTE_US).max(0) as u64;
            let flags = if reads { READ_ONLY_FLAG } else { 0 }
                | if errors.is_valid(row) { ERROR_FLAG } else { 0 };
            lanes.extend([
                kind | flags | minute << MINUTE_SHIFT,
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

/// The lanes of all windows, and where each window's begin and the last's end.
pub(crate) fn events(windows: &RecordBatch) -> Result<(&[u64], Vec<usize>)> {
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

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BooleanArray, RecordBatchOptions, StringArray, TimestampMicrosecondArray, UInt64Array,
    };

    use super::*;
    use crate::epoch::Partition;
    use crate::schema::audit;
    use crate::watermark::Watermark;
    use crate::window::{Window, WindowSpec};

    /// An event: principal, second, operation, region, agent, address.
    pub(crate) type Event =
        (&'static str, i64, &'static str, &'static str, &'static str, &'static str);

    pub(crate) fn batch(events: &[Event]) -> RecordBatch {
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

    pub(crate) fn windows(events: &[Event]) -> Vec<RecordBatch> {
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

    pub(crate) const EVENTS: [Event; 7] = [
        ("ann", 1, "GetObject", "eu", "aws-cli/2", "1.1.1.1"),
        ("ann", 2, "GetObject", "eu", "aws-cli/2", "1.1.1.1"),
        ("bob", 3, "GetObject", "eu", "aws-cli/2", "1.1.1.1"),
        ("ann", 300, "DeleteBucket", "us", "aws-cli/2", "1.1.1.1"),
        ("ann", 601, "GetObject", "eu", "curl/8", "1.1.1.1"),
        ("ann", 1201, "GetObject", "us", "curl/8", "1.1.1.1"),
        ("bob", 1202, "PutBucketPolicy", "us", "aws-cli/2", "1.1.1.1"),
    ];

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
}
