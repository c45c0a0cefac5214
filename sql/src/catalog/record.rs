//! The records of the log and how they are written.
//!
//! One record is one JSON object:
//!
//! ```json
//! {"format":1,"seq":7,"nonce":"9c…","kind":"promote","body":{"stream":"sensor",…}}
//! ```
//!
//! `seq` repeats the number in the object's name, so that a misplaced copy is
//! noticed; `nonce` is the writer's own, so that it recognises its bytes when a
//! reply was lost. Unknown kinds, formats and fields are refused by name: a
//! build that guesses at a newer build's record would fold another truth.

use std::collections::BTreeMap;

use cloudops_operators::anomaly;
use cloudops_operators::epoch::{Epoch, Offset, Partition};
use cloudops_operators::score::ModelId;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::action::Act;
use super::delivery::{Attend, Delivered};
use crate::{Error, Result};

/// The version of the format that this build reads and writes.
pub const FORMAT: u32 = 1;

/// One step of the log.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", content = "body", rename_all = "snake_case")]
pub enum Record {
    /// A writer begins; every earlier one is fenced.
    Takeover(Takeover),
    /// What an epoch will read, decided before it is processed.
    Plan(Plan),
    /// An epoch's results become true, all tables at once.
    Commit(Commit),
    /// A model version takes effect from an event time.
    Promote(Promote),
    /// Somebody said what a cost anomaly was.
    Feedback(Feedback),
    /// A step of an action on a resource.
    Act(Act),
    /// A sink has delivered alerts.
    Delivered(Delivered),
    /// Somebody attends to alerts: silences some, or acknowledges one.
    Attend(Attend),
    /// Files of a table are replaced by fewer with the same rows.
    Compact(Compact),
    /// The time of files of a table is over: their rows are no longer true.
    Expire(Expire),
    /// Files that nothing refers to any more are about to be deleted.
    Gc(Gc),
}

/// A writer begins; every earlier one is fenced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Takeover {
    /// The writer's generation: one more than the last.
    pub generation: u64,
    /// The build that writes, e.g. `0.1.0+b28343d`.
    pub build: String,
    /// A hash of its configuration.
    pub config_hash: String,
    /// Its number of workers.
    pub workers: u32,
}

/// What an epoch will read, decided before it is processed. Replaying it gives the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The epoch: greater than every one planned before.
    pub epoch: Epoch,
    /// The generation that planned it; a later one may commit it.
    pub generation: u64,
    /// What to read, at most one entry a source partition; a partition left out does not move.
    pub sources: Vec<SourcePlan>,
    /// Wall clock when planned, µs since 1970; only the `epochs` table shows it.
    pub planned_at_us: i64,
}

/// What an epoch reads of one source partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourcePlan {
    /// The stream's name.
    pub source: String,
    /// Its partition.
    pub partition: Partition,
    /// First offset; where the last plan of the partition ended. A partition's first plan begins at
    /// 0 where it names files, else at the first record that its log still had.
    pub offset_from: Offset,
    /// One past the last offset.
    pub offset_to: Offset,
    /// Where those records lie, in offset order; empty for a source without files.
    pub spans: Vec<FileSpan>,
    /// The watermark that the epoch applies, µs since 1970; `i64::MAX` at the end of input.
    pub watermark_us: i64,
    /// Whether the partition has ended: no later plan reads from it.
    pub ended: bool,
    /// Whether the partition is idle: nothing has come of it for so long that the watermark waits for it
    /// no more. Until a plan brings records of it, the watermarks that are applied are its own, and these
    /// records are judged by the last of them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub idle: bool,
}

/// What most plans need not say.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// A range of records within one input file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSpan {
    /// The file, relative to the source's root.
    pub file: String,
    /// Its length in bytes when planned: a replay that finds another refuses.
    pub size: u64,
    /// Its entity tag, where the store has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// When it was last modified, µs since 1970, where the store says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified_us: Option<i64>,
    /// First record, counted within the file from 0.
    pub record_from: u64,
    /// One past the last record.
    pub record_to: u64,
}

/// An epoch's results become true, all tables at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// The epoch: the least one planned and not yet committed.
    pub epoch: Epoch,
    /// The generation that commits.
    pub generation: u64,
    /// The files that exist from now on.
    pub files: Vec<DataFile>,
    /// What became of the planned records; one entry for each entry of the plan.
    pub sources: Vec<SourceCommit>,
    /// The state after this epoch, where it was written: a restart begins here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Checkpoint>,
    /// Wall clock when committed, µs since 1970; only the `epochs` table shows it.
    pub committed_at_us: i64,
}

/// A Parquet file of a result table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFile {
    /// The table.
    pub table: String,
    /// The object, relative to the catalog's prefix; see [`data_path`](super::store::data_path).
    pub path: String,
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256 of the bytes, lowercase hexadecimal.
    pub sha256: String,
    /// Number of rows.
    pub rows: u64,
    /// Statistics of the columns that queries prune by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, ColumnStats>,
}

/// What is known of a column of a file without reading it.
///
/// Bounds are JSON scalars: numbers and booleans as themselves, timestamps and
/// dates as the integer they are stored as, decimals as their unscaled integer
/// in a string, text as text. An absent bound is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnStats {
    /// No value is less; `null` when unknown.
    pub min: serde_json::Value,
    /// No value is greater; `null` when unknown.
    pub max: serde_json::Value,
    /// Number of nulls.
    pub nulls: u64,
}

/// What became of the records that an epoch read of one source partition.
///
/// `on_time + late + rejected = records_in`. Duplicates were on time when they were read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceCommit {
    /// The stream's name.
    pub source: String,
    /// Its partition.
    pub partition: Partition,
    /// The next offset to read: the plan's `offset_to`.
    pub offset: Offset,
    /// The watermark after the epoch, µs since 1970; `i64::MAX` at the end of input.
    pub watermark_us: i64,
    /// Records read, and rejects that belong to no record.
    pub records_in: u64,
    /// Records accepted in time, duplicates included.
    pub on_time: u64,
    /// Records older than the watermark at their arrival.
    pub late: u64,
    /// Records that could not be read, see the table `rejects`.
    pub rejected: u64,
    /// Rows on time found in this epoch to repeat an earlier one: rows are compared once they are
    /// final, so this may be an epoch later than the one that read them.
    pub duplicates: u64,
    /// Records held back in state after the epoch; a level, not a count of the epoch.
    pub pending: u64,
}

/// The state after an epoch. A restart takes it up and processes the plans after it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// What was written of the operators' state.
    pub states: Vec<StateRef>,
    /// Operators of which only those keys were written that changed since the checkpoint before: what
    /// that one says of the others still counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub continued: Vec<OperatorRef>,
    /// What the coordinator holds, by stream.
    pub streams: Vec<StreamState>,
}

impl Checkpoint {
    /// A checkpoint that needs none before it: what it continues is taken from the one before, and
    /// stands before its own.
    #[must_use]
    pub fn complete(self, before: Option<&Self>) -> Self {
        let before = before.into_iter().flat_map(|before| &before.states);
        let continued = before.filter(|state| self.continues(&state.stream, &state.operator));
        let states = continued.cloned().chain(self.states.iter().cloned()).collect();
        Self { states, continued: Vec::new(), streams: self.streams }
    }

    /// Whether only changes of an operator were written.
    #[must_use]
    pub fn continues(&self, stream: &str, operator: &str) -> bool {
        self.continued.iter().any(|of| of.stream == stream && of.operator == operator)
    }
}

/// An operator of a stream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorRef {
    /// The stream.
    pub stream: String,
    /// The operator's stable id.
    pub operator: String,
}

/// A part of the state of one operator of one stream on one worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateRef {
    /// The stream.
    pub stream: String,
    /// The operator's stable id.
    pub operator: String,
    /// The object, relative to the catalog's prefix; see [`state_path`](super::store::state_path).
    pub path: String,
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256 of the bytes, lowercase hexadecimal.
    pub sha256: String,
    /// Number of rows.
    pub rows: u64,
}

/// How far a stream has come, as its coordinator knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamState {
    /// The stream.
    pub source: String,
    /// Rows on time since the beginning.
    pub admitted: u64,
    /// The watermark that epochs have applied, µs since 1970.
    pub applied_us: i64,
    /// Numbers of the drift periods into which windows that are still open may fall; empty where
    /// nothing waits for verdicts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open_periods: Vec<i64>,
    /// Its partitions, in order.
    pub partitions: Vec<PartitionState>,
}

/// Where a partition's reader stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartitionState {
    /// The next offset.
    pub next: Offset,
    /// Its own watermark, µs since 1970.
    pub watermark_us: i64,
    /// Whether its end has been planned.
    pub ended: bool,
    /// Whether it was planned as idle; see [`SourcePlan::idle`].
    #[serde(default, skip_serializing_if = "is_false")]
    pub idle: bool,
    /// The file that the last record lies in; `None` before the first, and where there are no files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FilePlace>,
}

/// A file, and where it lies in its partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilePlace {
    /// The file, relative to the source's root.
    pub file: String,
    /// Its length in bytes when read.
    pub size: u64,
    /// Offset of its first record.
    pub first: Offset,
}

/// Files of a table are replaced by fewer with the same rows.
///
/// Anyone may append it: its place in the log decides whether the files are still there to replace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compact {
    /// The table.
    pub table: String,
    /// The files replaced, which are live.
    pub removes: Vec<String>,
    /// What takes the place of the first of them.
    pub adds: Vec<DataFile>,
    /// Wall clock when compacted, µs since 1970: the replaced files are kept for a while after it.
    pub compacted_at_us: i64,
}

/// The time of files of a table is over: their rows are no longer true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expire {
    /// The table.
    pub table: String,
    /// Event time, µs since 1970: no row of these files is as young.
    pub before_us: i64,
    /// The files, which are live.
    pub removes: Vec<String>,
    /// Wall clock when decided, µs since 1970: the files are kept for a while after it.
    pub expired_at_us: i64,
}

/// Files that nothing refers to any more are about to be deleted.
///
/// Nothing is deleted that no such record names. Anyone may append it: a file that is dead at its
/// place in the log can never be named again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gc {
    /// The objects, relative to the catalog's prefix.
    pub paths: Vec<String>,
}

/// A model version takes effect from an event time.
///
/// Its place in the log decides which plans know of it: those after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promote {
    /// The stream whose windows it scores.
    pub stream: String,
    /// The model.
    pub model: ModelId,
    /// First window end that it scores, µs since 1970.
    pub effective_from_us: i64,
    /// Why: by hand, by drift, a rollback.
    pub reason: String,
    /// Wall clock when promoted, µs since 1970.
    pub promoted_at_us: i64,
}

/// Somebody said what a cost anomaly was.
///
/// Anyone may append it. It bears on days that close in plans after it: the first of them follows from
/// its place in the log, see [`State::feedback`](super::state::State::feedback).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feedback {
    /// The stream.
    pub stream: String,
    /// The anomaly, as in `cost_anomalies`.
    pub anomaly_id: String,
    /// Its account.
    pub entity_id: String,
    /// FOCUS `BillingCurrency`.
    pub currency: String,
    /// The one service that was strange; absent where all of the day was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The day, since 1970-01-01.
    pub day: i32,
    /// What was said.
    pub said: anomaly::Feedback,
    /// What the day came to then, in the currency.
    pub amount: f64,
    /// How far off that was, in usual errors; negative where it was less than expected.
    pub errors: f64,
    /// Who said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Wall clock when it was said, µs since 1970.
    pub said_at_us: i64,
}

impl Record {
    /// The kind's name in the log.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Takeover(_) => "takeover",
            Self::Plan(_) => "plan",
            Self::Commit(_) => "commit",
            Self::Promote(_) => "promote",
            Self::Feedback(_) => "feedback",
            Self::Act(_) => "act",
            Self::Delivered(_) => "delivered",
            Self::Attend(_) => "attend",
            Self::Compact(_) => "compact",
            Self::Expire(_) => "expire",
            Self::Gc(_) => "gc",
        }
    }

    /// The generation whose writer alone may append it; `None` where anyone may.
    #[must_use]
    pub fn generation(&self) -> Option<u64> {
        match self {
            Self::Takeover(takeover) => Some(takeover.generation),
            Self::Plan(plan) => Some(plan.generation),
            Self::Commit(commit) => Some(commit.generation),
            Self::Promote(_)
            | Self::Feedback(_)
            | Self::Act(_)
            | Self::Delivered(_)
            | Self::Attend(_)
            | Self::Compact(_)
            | Self::Expire(_)
            | Self::Gc(_) => None,
        }
    }
}

#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    seq: u64,
    nonce: &'a str,
    #[serde(flatten)]
    record: &'a Record,
}

/// The one field that every format to come must keep.
#[derive(Deserialize)]
struct Header {
    format: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read<'a> {
    #[serde(rename = "format")]
    _format: u32,
    seq: u64,
    nonce: String,
    kind: String,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// A record's bytes at its place in the log.
#[must_use]
pub fn encode(seq: u64, nonce: &str, record: &Record) -> Vec<u8> {
    let written = Written { format: FORMAT, seq, nonce, record };
    let mut bytes = serde_json::to_vec(&written)
        .expect("records hold only strings, integers and maps with string keys");
    bytes.push(b'\n');
    bytes
}

/// A record and its writer's nonce, from the bytes found at `path`, number `seq` of the log.
///
/// # Errors
/// [`Error::Corrupt`] when the bytes are no record of that number;
/// [`Error::Configuration`] when a newer build wrote them.
pub fn decode(path: &str, seq: u64, bytes: &[u8]) -> Result<(Record, String)> {
    let corrupt = |error: serde_json::Error| Error::Corrupt {
        path: path.to_owned(),
        reason: if bytes.is_empty() { "it is empty".to_owned() } else { error.to_string() },
    };
    let newer = |what: String| {
        Error::Configuration(format!(
            "{path} was written by a newer build ({what}): upgrade this one"
        ))
    };
    let header: Header = serde_json::from_slice(bytes).map_err(corrupt)?;
    if header.format > FORMAT {
        return Err(newer(format!("format {}, this build knows {FORMAT}", header.format)));
    }
    let read: Read<'_> = serde_json::from_slice(bytes).map_err(corrupt)?;
    if read.seq != seq {
        let reason = format!("it holds record {} instead of {seq}", read.seq);
        return Err(Error::Corrupt { path: path.to_owned(), reason });
    }
    let body = read.body.get();
    let record = match read.kind.as_str() {
        "takeover" => Record::Takeover(serde_json::from_str(body).map_err(corrupt)?),
        "plan" => Record::Plan(serde_json::from_str(body).map_err(corrupt)?),
        "commit" => Record::Commit(serde_json::from_str(body).map_err(corrupt)?),
        "promote" => Record::Promote(serde_json::from_str(body).map_err(corrupt)?),
        "feedback" => Record::Feedback(serde_json::from_str(body).map_err(corrupt)?),
        "act" => Record::Act(serde_json::from_str(body).map_err(corrupt)?),
        "delivered" => Record::Delivered(serde_json::from_str(body).map_err(corrupt)?),
        "attend" => Record::Attend(serde_json::from_str(body).map_err(corrupt)?),
        "compact" => Record::Compact(serde_json::from_str(body).map_err(corrupt)?),
        "expire" => Record::Expire(serde_json::from_str(body).map_err(corrupt)?),
        "gc" => Record::Gc(serde_json::from_str(body).map_err(corrupt)?),
        kind => return Err(newer(format!("record kind {kind:?}"))),
    };
    Ok((record, read.nonce))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &str, message: &str) {
        let error = decode("log/7", 7, bytes.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }

    #[test]
    fn what_is_written_is_read() {
        let record = Record::Takeover(Takeover {
            generation: u64::MAX,
            build: "a \"quoted\" build".into(),
            config_hash: "c".into(),
            workers: 2,
        });
        let bytes = encode(7, "n", &record);
        assert_eq!(decode("log/7", 7, &bytes).unwrap(), (record, "n".to_owned()));
    }

    #[test]
    fn the_format_is_pinned() {
        let record = Record::Promote(Promote {
            stream: "sensor".into(),
            model: ModelId { name: "m".into(), version: "v".into() },
            effective_from_us: i64::MIN,
            reason: "first".into(),
            promoted_at_us: 5,
        });
        let text = concat!(
            r#"{"format":1,"seq":3,"nonce":"ab","kind":"promote","body":{"stream":"sensor","#,
            r#""model":{"name":"m","version":"v"},"effective_from_us":-9223372036854775808,"#,
            r#""reason":"first","promoted_at_us":5}}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(encode(3, "ab", &record)).unwrap(), text);
    }

    #[test]
    fn deliveries_are_pinned_too() {
        let text = concat!(
            r#"{"format":1,"seq":9,"nonce":"ab","kind":"delivered","body":{"sink":"ops","#,
            r#""next":{"epoch":3,"sequence":2},"told":7,"matching":{"kind":["cost"]},"sent":1,"#,
            r#""held":[{"place":{"epoch":3,"sequence":1},"alert_id":"1f","event":"opened","#,
            r#""why":{"kind":"dead","reason":"status 400","attempts":2}}],"#,
            r#""again":[{"epoch":2,"sequence":0}],"at_us":5}}"#,
            "\n"
        );
        let (record, nonce) = decode("log/9", 9, text.as_bytes()).unwrap();
        assert!(matches!(&record, Record::Delivered(of) if of.held.len() == 1), "{record:?}");
        assert_eq!(String::from_utf8(encode(9, &nonce, &record)).unwrap(), text);
        let text = concat!(
            r#"{"format":1,"seq":9,"nonce":"ab","kind":"attend","body":{"step":{"kind":"silenced","#,
            r#""matching":{"source":["pumps"]},"until_us":9,"reason":"repair"},"by":"ann","at_us":5}}"#,
            "\n"
        );
        let (record, nonce) = decode("log/9", 9, text.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(encode(9, &nonce, &record)).unwrap(), text);
    }

    #[test]
    fn what_cannot_be_read_is_refused_by_name() {
        check("", "log/7 is corrupt: it is empty");
        check("{\"format\":1,\"se", "log/7 is corrupt");
        check("\0\0\0\0", "log/7 is corrupt");
        check(r#"{"format":2,"of":"the future"}"#, "newer build (format 2, this build knows 1)");
        check(
            r#"{"format":1,"seq":7,"nonce":"","kind":"reshape","body":{"any":1}}"#,
            r#"newer build (record kind "reshape")"#,
        );
        check(
            r#"{"format":1,"seq":8,"nonce":"","kind":"takeover","body":{}}"#,
            "it holds record 8 instead of 7",
        );
        check(
            r#"{"format":1,"seq":7,"nonce":"","kind":"takeover","body":{"generation":1,"build":"",
               "config_hash":"","workers":1,"novel":true}}"#,
            "unknown field `novel`",
        );
    }
}
