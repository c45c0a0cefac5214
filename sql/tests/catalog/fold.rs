//! The fold: what reopening gives, and what no sequence of records may break.

use std::sync::Arc;

use cloudops_operators::epoch::{Epoch, Offset, Partition};
use cloudops_sql::catalog::fold::EVERY;
use cloudops_sql::catalog::record::{
    Commit, Compact, DataFile, Gc, Plan, Record, StateRef, Takeover,
};
use cloudops_sql::catalog::store::{epochs_of, merged_path, partition_of};
use cloudops_sql::catalog::{Catalog, State};
use futures_util::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::records::{checkpoint, commit, file, plan, promote};

#[tokio::test]
async fn a_thousand_commits_reopened_equal_the_incremental_fold() {
    let store = Arc::new(InMemory::new());
    let open = async || Catalog::open_at(Arc::<InMemory>::clone(&store), Path::default()).await;
    let mut writer = open().await.unwrap();
    let mut reader = open().await.unwrap();
    writer.take_over("test", "", 2).await.unwrap();
    for epoch in 0..1000 {
        // Two plans in flight, as the back-pressure allows.
        let planned = plan(writer.state(), 1, epoch % 7);
        writer.append(Record::Plan(planned)).await.unwrap();
        if writer.state().open_plans.len() > 1 {
            let first = Arc::clone(&writer.state().open_plans[0]);
            writer.append(Record::Commit(commit(&first, 1))).await.unwrap();
        }
        if epoch % 100 == 0 {
            writer.append(promote(epoch)).await.unwrap();
            reader.refresh().await.unwrap();
            assert_eq!(reader.state(), writer.state());
        }
    }
    let first = Arc::clone(&writer.state().open_plans[0]);
    writer.append(Record::Commit(commit(&first, 1))).await.unwrap();
    reader.refresh().await.unwrap();
    let again = open().await.unwrap();
    assert_eq!(again.state(), writer.state());
    assert_eq!(reader.state(), writer.state());

    let state = again.state();
    assert_eq!(state.next_seq, 1 + 1 + 1000 + 1000 + 10);
    assert_eq!(state.committed, Some(Epoch(999)));
    assert_eq!(state.files("sensor_scores").len(), 1000);
    let at = state.checkpoint.as_ref().unwrap();
    assert_eq!((at.epoch, at.checkpoint.states.len()), (Epoch(998), 1));
    let replayed = again.plans_to_replay().map_ok(|plan| plan.epoch);
    assert_eq!(replayed.try_collect::<Vec<_>>().await.unwrap(), [Epoch(999)]);
    let source = state.source("sensor", Partition(0)).unwrap();
    assert_eq!(source.committed_to, source.planned_to);
    let read: u64 = again
        .history()
        .epochs()
        .try_fold(0, async |sum, epoch| Ok(sum + epoch.commit.sources[0].records_in))
        .await
        .unwrap();
    assert_eq!(Offset(read), source.committed_to);
}

/// A state with one epoch committed and one open: offsets 0..10 and 10..20.
fn state() -> State {
    let mut state = State::default();
    apply(&mut state, takeover(1));
    for _ in 0..2 {
        let planned = plan(&state, 1, 10);
        apply(&mut state, Record::Plan(planned));
    }
    let first = state.open_plans[0].as_ref().clone();
    apply(&mut state, Record::Commit(commit(&first, 1)));
    state
}

fn apply(state: &mut State, record: Record) {
    state.apply(record).unwrap();
}

fn takeover(generation: u64) -> Record {
    Record::Takeover(Takeover {
        generation,
        build: "b".into(),
        config_hash: "c".into(),
        workers: 2,
    })
}

fn refused(record: Record, message: &str) {
    let mut state = state();
    let before = state.clone();
    let error = state.apply(record).unwrap_err();
    assert!(error.contains(message), "{error:?} does not say {message:?}");
    assert_eq!(state, before, "a refused record leaves the state as it was");
}

fn refused_plan(change: impl FnOnce(&mut Plan), message: &str) {
    let mut plan = plan(&state(), 1, 5);
    apply(&mut state(), Record::Plan(plan.clone()));
    change(&mut plan);
    refused(Record::Plan(plan), message);
}

fn refused_commit(change: impl FnOnce(&mut Commit), message: &str) {
    let mut commit = commit(&state().open_plans[0], 1);
    apply(&mut state(), Record::Commit(commit.clone()));
    change(&mut commit);
    refused(Record::Commit(commit), message);
}

#[test]
fn takeovers_count() {
    apply(&mut state(), takeover(2));
    refused(takeover(1), "takeover 1 follows generation 1");
    refused(takeover(3), "takeover 3 follows generation 1");
}

#[test]
fn plans_go_on_where_the_last_ended() {
    refused_plan(|p| p.generation = 2, "generation 2 in generation 1");
    refused_plan(|p| p.epoch = Epoch(1), "epoch 2 is next");
    refused_plan(|p| p.sources[0].offset_from = Offset(19), "from offset 19 where 20 is next");
    refused_plan(|p| p.sources[0].offset_from = Offset(21), "from offset 21 where 20 is next");
    refused_plan(|p| p.sources[0].offset_to = Offset(3), "run backwards");
    refused_plan(|p| p.sources[0].spans[0].record_to += 1, "do not hold the 5 records");
    refused_plan(|p| p.sources[0].watermark_us = 19, "watermark falls from 20 to 19");
    refused_plan(|p| p.sources.push(p.sources[0].clone()), "twice");
    refused_plan(|p| p.sources[0].idle = true, "idle, and offsets 20 to 25");
    refused_plan(|p| p.sources[0].partition = Partition(1), "from offset 20 where 0 is next");
}

#[test]
fn a_partition_without_files_begins_where_its_log_does() {
    let mut state = state();
    let mut first = plan(&state, 1, 5);
    let source = &mut first.sources[0];
    source.partition = Partition(1);
    source.spans.clear();
    apply(&mut state, Record::Plan(first.clone()));
    let mut second = plan(&state, 1, 5);
    second.sources = first.sources;
    let source = &mut second.sources[0];
    (source.offset_from, source.offset_to) = (Offset(26), Offset(30));
    let error = state.apply(Record::Plan(second.clone())).unwrap_err();
    assert!(error.contains("from offset 26 where 25 is next"), "{error}");
    second.sources[0].offset_from = Offset(25);
    apply(&mut state, Record::Plan(second));
}

#[test]
fn an_ended_partition_stays_ended() {
    let mut state = state();
    let mut last = plan(&state, 1, 0);
    last.sources[0].ended = true;
    last.sources[0].watermark_us = i64::MAX;
    apply(&mut state, Record::Plan(last.clone()));
    // A flush at the end is an epoch like any other.
    last.epoch = last.epoch.next();
    apply(&mut state, Record::Plan(last.clone()));
    last.epoch = last.epoch.next();
    last.sources[0].offset_to = Offset(21);
    last.sources[0].spans.clear();
    assert!(state.apply(Record::Plan(last)).unwrap_err().contains("it has ended"));
}

#[test]
fn commits_account_for_their_plan() {
    refused_commit(|c| c.epoch = Epoch(0), "commit of epoch 0 where epoch 1 is next");
    refused_commit(|c| c.epoch = Epoch(2), "commit of epoch 2 where epoch 1 is next");
    refused_commit(|c| c.generation = 0, "generation 0 in generation 1");
    refused_commit(|c| c.sources.clear(), "1 partitions planned, 0 accounted for");
    refused_commit(|c| c.sources[0].partition = Partition(1), "not in the plan");
    refused_commit(|c| c.sources[0].offset = Offset(19), "up to offset 19, planned up to 20");
    refused_commit(|c| c.sources[0].late += 1, "≠ 10 in");
    refused_commit(|c| c.sources[0].late = u64::MAX, "≠ 10 in");
    refused_commit(
        |c| {
            c.sources[0].on_time -= 1;
            c.sources[0].records_in -= 1;
        },
        "10 records planned, 9 accounted for",
    );
    refused_commit(|c| c.sources[0].watermark_us = 9, "watermark falls from 10 to 9");
    refused_commit(|c| c.files[0] = file(Epoch(0), 1), "no file of that epoch");
    refused_commit(|c| c.files[0].table = "late".into(), "no file of that epoch");
    refused_commit(|c| c.files[0].rows = 0, "without rows");
    refused_commit(|c| c.files.push(c.files[0].clone()), "twice");
    let state_of = |c: &mut Commit, change: fn(&mut Vec<StateRef>)| {
        change(&mut c.checkpoint.get_or_insert_with(|| checkpoint(Epoch(1))).states);
    };
    refused_commit(|c| state_of(c, |states| states.push(states[0].clone())), "twice");
    refused_commit(|c| state_of(c, |states| states[0].operator = "score".into()), "no state of");

    let mut state = state();
    let planned = state.open_plans[0].as_ref().clone();
    apply(&mut state, Record::Commit(commit(&planned, 1)));
    let error = state.apply(Record::Commit(commit(&planned, 1))).unwrap_err();
    assert!(error.contains("without a plan"), "{error}");
}

#[test]
fn the_later_promotion_from_the_same_time_holds() {
    let mut state = State::default();
    apply(&mut state, promote(1));
    apply(&mut state, promote(2));
    let Record::Promote(mut other) = promote(3) else { unreachable!() };
    other.effective_from_us = 10;
    apply(&mut state, Record::Promote(other));
    let timeline = state.timeline("sensor");
    let at = |time| timeline.at(time).map(|model| model.version.as_str());
    assert_eq!([at(9), at(10), at(19), at(20)], [None, Some("3"), Some("3"), Some("2")]);
    assert!(state.timeline("audit").entries().is_empty());
    assert_eq!(state.promotions.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [1, 2, 3]);
}

#[tokio::test]
async fn only_what_nothing_can_need_is_deleted() {
    let objects = Arc::new(InMemory::new());
    let mut writer = Catalog::open_at(Arc::clone(&objects) as _, Path::from("c")).await.unwrap();
    writer.take_over("test", "config", 1).await.unwrap();
    let path = |epoch| checkpoint(Epoch(epoch)).states[0].path.clone();
    for epoch in 0..3 {
        writer.put_file(&path(epoch), bytes::Bytes::from_static(b"abc")).await.unwrap();
        let plan = plan(writer.state(), 1, 10);
        writer.append(Record::Plan(plan.clone())).await.unwrap();
        writer.append(Record::Commit(commit(&plan, 1))).await.unwrap();
    }
    // Epochs 0 and 2 are checkpoints, and epoch 3 is yet to come.
    let live = writer.state().files("sensor_scores")[0].path.clone();
    let future = "data/sensor_scores/p0/e3-w0of1-0.parquet".to_owned();
    let foreign = "data/sensor_scores/_delta_log/00000000000000000000.json".to_owned();
    for needed in [path(2), path(3), live, future, foreign] {
        let dead = writer.state().dead([needed.as_str()]);
        assert!(dead.is_empty(), "{dead:?}");
        let error = writer.append(Record::Gc(Gc { paths: vec![needed] })).await.unwrap_err();
        assert!(error.to_string().contains("which is needed"), "{error}");
    }
    // A file of a committed epoch that its commit does not name is a stopped run's.
    let orphan = "data/sensor_scores/p0/e1-w1of2-0.parquet".to_owned();
    writer.put_file(&orphan, bytes::Bytes::from_static(b"abc")).await.unwrap();
    writer.collect(&[path(0), orphan.clone(), path(2)]).await.unwrap();
    assert_eq!(writer.store().get(&path(0)).await.unwrap(), None);
    assert_eq!(writer.store().get(&orphan).await.unwrap(), None);
    assert!(writer.store().get(&path(2)).await.unwrap().is_some());

    // A program that was stopped between the record and the deletion: the next writer deletes.
    writer.put_file(&path(0), bytes::Bytes::from_static(b"abc")).await.unwrap();
    let mut next = Catalog::open_at(objects, Path::from("c")).await.unwrap();
    next.take_over("test", "config", 1).await.unwrap();
    assert_eq!(next.store().get(&path(0)).await.unwrap(), None);
    let error = writer.collect(&[path(1)]).await.unwrap_err();
    assert!(
        matches!(error, cloudops_sql::Error::Fenced { .. }),
        "a zombie deletes nothing: {error}"
    );
}

fn merge(state: &State, from: usize, to: usize) -> Compact {
    let files = &state.files("sensor_scores")[from..to];
    let removes: Vec<String> = files.iter().map(|file| file.path.clone()).collect();
    let inputs: Vec<&str> = removes.iter().map(String::as_str).collect();
    let epochs = (epochs_of(inputs[0]).unwrap().0, epochs_of(inputs[inputs.len() - 1]).unwrap().1);
    let partition = partition_of(inputs[0]).unwrap();
    let path = merged_path("sensor_scores", partition, epochs, &inputs);
    let rows = files.iter().map(|file| file.rows).sum();
    let merged = DataFile { path, rows, ..(*files[0]).clone() };
    Compact { table: "sensor_scores".into(), removes, adds: vec![merged], compacted_at_us: 5 }
}

/// Six epochs committed, a file each.
async fn six(objects: &Arc<InMemory>) -> Catalog {
    let mut writer = Catalog::open_at(Arc::clone(objects) as _, Path::default()).await.unwrap();
    writer.take_over("test", "", 1).await.unwrap();
    for _ in 0..6 {
        let plan = plan(writer.state(), 1, 10);
        writer.append(Record::Plan(plan.clone())).await.unwrap();
        writer.append(Record::Commit(commit(&plan, 1))).await.unwrap();
    }
    writer
}

#[tokio::test]
async fn files_are_merged_by_anyone_once() {
    let objects = Arc::new(InMemory::new());
    let mut writer = six(&objects).await;
    let mut one = Catalog::open_at(Arc::clone(&objects) as _, Path::default()).await.unwrap();
    let mut two = Catalog::open_at(Arc::clone(&objects) as _, Path::default()).await.unwrap();
    let first = merge(one.state(), 1, 4);
    let (merged, removes) = (first.adds[0].path.clone(), first.removes.clone());
    let second = merge(two.state(), 3, 5);
    let lost = second.adds[0].path.clone();
    // Both may still land, so neither file is dead.
    assert!(one.state().dead([merged.as_str(), lost.as_str()]).is_empty());
    one.append(Record::Compact(first)).await.unwrap();
    let error = two.append(Record::Compact(second)).await.unwrap_err();
    assert!(matches!(error, cloudops_sql::Error::Superseded { .. }), "{error}");
    assert_eq!(two.state().dead([merged.as_str(), lost.as_str()]), [lost.as_str()]);

    // The writer goes on, and the merged file stands where its first part stood.
    let plan = plan(writer.state(), 1, 10);
    writer.append(Record::Plan(plan.clone())).await.unwrap();
    writer.append(Record::Commit(commit(&plan, 1))).await.unwrap();
    let files = writer.state().files("sensor_scores");
    assert_eq!(files.len(), 5);
    assert_eq!(files[1].path, merged);
    let replaced = writer.state().replaced.iter().map(|file| (file.path.clone(), file.at_us));
    assert!(replaced.eq(removes.iter().map(|path| (path.clone(), 5))));
    writer.collect(&removes).await.unwrap();
    assert!(writer.state().replaced.is_empty());
}

#[tokio::test]
async fn compaction_neither_loses_nor_invents() {
    let objects = Arc::new(InMemory::new());
    let state = State::clone(six(&objects).await.state());
    let refused = |change: &dyn Fn(&mut Compact), message: &str| {
        let mut compact = merge(&state, 0, 3);
        apply(&mut state.clone(), Record::Compact(compact.clone()));
        change(&mut compact);
        let error = state.clone().apply(Record::Compact(compact)).unwrap_err();
        assert!(error.contains(message), "{error:?} does not say {message:?}");
    };
    refused(&|c| c.adds[0].rows += 1, "rows become");
    refused(&|c| c.adds.clear(), "rows become 0");
    refused(&|c| c.removes[0] = "data/sensor_scores/p0/e77-w0of1-0.parquet".into(), "not there");
    refused(&|c| c.removes.clear(), "of no file");
    refused(&|c| c.adds[0].path = c.removes[0].clone(), "no merged file");
    refused(&|c| c.table = "late".into(), "not there");
}

#[tokio::test]
async fn a_long_log_is_folded_and_opened_from_its_fold() {
    let store = Arc::new(InMemory::new());
    let open = async || Catalog::open_at(Arc::<InMemory>::clone(&store), Path::default()).await;
    let mut writer = open().await.unwrap();
    writer.take_over("test", "", 1).await.unwrap();
    while writer.state().next_seq < 3 * EVERY + 100 {
        let plan = plan(writer.state(), 1, 10);
        writer.append(Record::Plan(plan.clone())).await.unwrap();
        writer.append(Record::Commit(commit(&plan, 1))).await.unwrap();
    }
    let folded: Vec<_> = store.list(Some(&Path::from("checkpoint"))).try_collect().await.unwrap();
    assert_eq!(folded.len(), 6, "three runs of records, three states");
    let whole: Vec<_> = writer.history().records().try_collect().await.unwrap();

    // What is folded is read from its fold: the records themselves may even be gone.
    for seq in 1..=3 * EVERY {
        store.delete(&Path::from(format!("log/{seq:020}.json"))).await.unwrap();
    }
    let reader = open().await.unwrap();
    assert_eq!(reader.state(), writer.state());
    let again: Vec<_> = reader.history().records().try_collect().await.unwrap();
    assert_eq!(again, whole);
    let part = reader.history().records_from(EVERY + 7).map_ok(|(seq, _)| seq);
    let part: Vec<_> = part.try_collect().await.unwrap();
    assert!(part.into_iter().eq(EVERY + 7..reader.state().next_seq));

    // A fold that is not whole is named, and nothing is guessed.
    let last = Path::from(format!("checkpoint/state-{:020}.json.zst", 3 * EVERY));
    let bytes = store.get(&last).await.unwrap().bytes().await.unwrap();
    for broken in [bytes.slice(..bytes.len() - 9), bytes::Bytes::new()] {
        store.put(&last, broken.into()).await.unwrap();
        let error = open().await.unwrap_err().to_string();
        assert!(error.contains("state-") && error.contains("corrupt"), "{error}");
    }
}
