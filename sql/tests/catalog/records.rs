//! Records to append: a stream of one partition, cut into epochs.

use std::collections::BTreeMap;

use cloudops_operators::epoch::{Epoch, Offset, Partition};
use cloudops_operators::score::ModelId;
use cloudops_sql::catalog::State;
use cloudops_sql::catalog::delivery::{Attend, Attention, Delivered, Held, Matchers, Place, Why};
use cloudops_sql::catalog::record::{
    Checkpoint, ColumnStats, Commit, DataFile, FilePlace, FileSpan, PartitionState, Plan, Promote,
    Record, SourceCommit, SourcePlan, StateRef, StreamState,
};
use cloudops_sql::catalog::store::{Maker, data_path, sha256, state_path};

/// The plan of the next `rows` records, as a writer of `generation` with this view makes it.
pub(crate) fn plan(state: &State, generation: u64, rows: u64) -> Plan {
    let last = state.source("sensor", Partition(0));
    let from = last.map_or(0, |last| last.planned_to.0);
    Plan {
        epoch: state.next_epoch(),
        generation,
        sources: vec![SourcePlan {
            source: "sensor".into(),
            partition: Partition(0),
            offset_from: Offset(from),
            offset_to: Offset(from + rows),
            spans: vec![FileSpan {
                file: "fd001.txt".into(),
                size: 1 << 20,
                etag: None,
                modified_us: Some(3),
                record_from: from,
                record_to: from + rows,
            }],
            watermark_us: (from + rows) as i64,
            ended: false,
            idle: false,
        }],
        planned_at_us: 1,
    }
}

/// The commit of a plan: a function of the plan, but for who commits.
pub(crate) fn commit(plan: &Plan, generation: u64) -> Commit {
    let source = &plan.sources[0];
    let rows = source.offset_to.0 - source.offset_from.0;
    let late = u64::from(rows > 1);
    Commit {
        epoch: plan.epoch,
        generation,
        files: vec![file(plan.epoch, rows.max(1))],
        sources: vec![SourceCommit {
            source: source.source.clone(),
            partition: source.partition,
            offset: source.offset_to,
            watermark_us: source.watermark_us,
            records_in: rows,
            on_time: rows - late,
            late,
            rejected: 0,
            duplicates: 0,
            pending: 1,
        }],
        checkpoint: plan.epoch.0.is_multiple_of(2).then(|| checkpoint(plan.epoch)),
        committed_at_us: 2,
    }
}

/// The state after an epoch.
pub(crate) fn checkpoint(epoch: Epoch) -> Checkpoint {
    Checkpoint {
        states: vec![StateRef {
            stream: "sensor".into(),
            operator: "window".into(),
            path: state_path("sensor", "window", epoch, ALONE, 0),
            bytes: 3,
            sha256: sha256(b"abc"),
            rows: 1,
        }],
        continued: Vec::new(),
        streams: vec![StreamState {
            source: "sensor".into(),
            admitted: 10,
            applied_us: 7,
            open_periods: vec![-1, 0],
            partitions: vec![PartitionState {
                next: Offset(12),
                watermark_us: 8,
                ended: false,
                idle: true,
                file: Some(FilePlace { file: "a.csv".into(), size: 100, first: Offset(3) }),
            }],
        }],
    }
}

/// The only worker.
const ALONE: Maker = Maker { worker: 0, workers: 1 };

/// A file of one epoch.
pub(crate) fn file(epoch: Epoch, rows: u64) -> DataFile {
    DataFile {
        table: "sensor_scores".into(),
        path: data_path("sensor_scores", "p0", epoch, ALONE, 0),
        bytes: 1000,
        sha256: sha256(&epoch.0.to_le_bytes()),
        rows,
        columns: BTreeMap::from([(
            "entity_id".to_owned(),
            ColumnStats { min: "engine-001".into(), max: "engine-100".into(), nulls: 0 },
        )]),
    }
}

/// A promotion of version `version`.
pub(crate) fn promote(version: u64) -> Record {
    Record::Promote(Promote {
        stream: "sensor".into(),
        model: ModelId { name: "turbofan".into(), version: version.to_string() },
        effective_from_us: version as i64 * 10,
        reason: "by hand".into(),
        promoted_at_us: 3,
    })
}

/// A silence of stream `stream`.
pub(crate) fn silence(stream: u64) -> Record {
    let matching = Matchers([("source".to_owned(), vec![stream.to_string()])].into());
    let (from_us, until_us, reason) = (None, Some(9), "repair".to_owned());
    let step = Attention::Silenced { matching, from_us, until_us, reason };
    Record::Attend(Attend { step, by: "ann".into(), at_us: 4 })
}

/// What a program says that delivers everything committed that it knows of, but for one dead letter.
pub(crate) fn delivered(state: &State) -> Record {
    let sink = state.delivery.sinks.get("ops");
    let next = Place::of_epoch(state.committed.map_or(0, |Epoch(last)| last + 1));
    let held = sink.filter(|sink| sink.next < next).map(|sink| Held {
        place: sink.next,
        alert_id: format!("alert-{}", sink.next),
        event: "opened".into(),
        why: Why::Dead { reason: "status 400".into(), attempts: 1 },
    });
    Record::Delivered(Delivered {
        sink: "ops".into(),
        next,
        told: 0,
        matching: Matchers::default(),
        sent: 1,
        held: held.into_iter().collect(),
        again: Vec::new(),
        at_us: 5,
    })
}
