//! Who may write: takeovers, zombies, lost replies, unfinished plans.

use std::sync::Arc;

use bytes::Bytes;
use cloudops_operators::epoch::Epoch;
use cloudops_sql::Error;
use cloudops_sql::catalog::Catalog;
use cloudops_sql::catalog::record::Record;
use object_store::memory::InMemory;
use object_store::path::Path;

use crate::faulty::{Fault, Faulty};
use crate::records::{commit, plan, promote};

async fn open(store: &Faulty) -> Catalog {
    Catalog::open_at(Arc::new(store.clone()), Path::default()).await.unwrap()
}

fn store() -> Faulty {
    Faulty::over(&Arc::new(InMemory::new()))
}

#[tokio::test]
async fn the_older_of_two_writers_is_fenced_at_its_next_append() {
    let store = store();
    let (mut a, mut b) = (open(&store).await, open(&store).await);
    // Both read an empty log, so both reach for the same number.
    assert_eq!(a.take_over("a", "", 1).await.unwrap(), 1);
    assert_eq!(b.take_over("b", "", 1).await.unwrap(), 2);
    let stale = Record::Plan(plan(a.state(), 1, 5));
    for _ in 0..2 {
        match a.append(stale.clone()).await.unwrap_err() {
            Error::Fenced { own, current, build } => {
                assert_eq!((own, current, build.as_str()), (1, 2, "b"));
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(b.append(Record::Plan(plan(b.state(), 2, 5))).await.unwrap(), 3);
    // The zombie may come back, in a generation of its own.
    assert_eq!(a.take_over("a", "", 1).await.unwrap(), 3);
    let fenced = b.append(Record::Plan(plan(b.state(), 2, 5))).await;
    assert!(matches!(fenced, Err(Error::Fenced { .. })), "{fenced:?}");
}

#[tokio::test]
async fn equal_takeovers_of_two_writers_are_told_apart() {
    let store = store();
    let (mut a, mut b) = (open(&store).await, open(&store).await);
    // The same build, configuration and workers: only the nonce differs.
    assert_eq!(a.take_over("same", "same", 1).await.unwrap(), 1);
    assert_eq!(b.take_over("same", "same", 1).await.unwrap(), 2);
    assert_eq!(open(&store).await.state().generation, 2);
}

#[tokio::test]
async fn only_a_writer_appends_and_only_by_the_rules() {
    let store = store();
    let mut catalog = open(&store).await;
    let early = catalog.append(Record::Plan(plan(catalog.state(), 0, 5))).await;
    assert!(matches!(early, Err(Error::Bug(_))), "{early:?}");
    catalog.take_over("a", "", 1).await.unwrap();
    let unplanned = Record::Commit(commit(&plan(catalog.state(), 1, 5), 1));
    let refused = catalog.append(unplanned).await;
    assert!(matches!(refused, Err(Error::Bug(_))), "{refused:?}");
    assert_eq!(open(&store).await.state().next_seq, 2);
}

#[tokio::test]
async fn a_lost_reply_is_success() {
    let store = store();
    let mut writer = open(&store).await;
    store.fail(&[Fault::LoseReply]);
    assert_eq!(writer.take_over("a", "", 1).await.unwrap(), 1);
    let planned = plan(writer.state(), 1, 5);
    store.fail(&[Fault::LoseReply]);
    assert_eq!(writer.append(Record::Plan(planned)).await.unwrap(), 2);
    store.fail(&[Fault::LoseReply]);
    writer.put_file("data/x", Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(open(&store).await.state(), writer.state());
}

#[tokio::test]
async fn an_unresolved_append_is_asked_for_again_and_lands_once() {
    for faults in [[Fault::Refuse, Fault::Refuse], [Fault::LoseReply, Fault::Refuse]] {
        for refresh in [false, true] {
            let store = store();
            let mut writer = open(&store).await;
            writer.take_over("a", "", 1).await.unwrap();
            let planned = Record::Plan(plan(writer.state(), 1, 5));
            store.fail(&faults);
            let unknown = writer.append(planned.clone()).await;
            assert!(matches!(unknown, Err(Error::Retry { .. })), "{unknown:?}");
            let other = writer.append(promote(1)).await;
            assert!(matches!(other, Err(Error::Bug(_))), "{other:?}");
            if refresh {
                writer.refresh().await.unwrap();
            }
            assert_eq!(writer.append(planned).await.unwrap(), 2);
            assert_eq!(writer.append(promote(1)).await.unwrap(), 3);
            let again = open(&store).await;
            assert_eq!(again.state(), writer.state());
            assert_eq!(again.state().next_seq, 4);
        }
    }
}

#[tokio::test]
async fn an_unresolved_append_whose_number_was_taken_goes_to_the_next() {
    let store = store();
    let (mut writer, mut person) = (open(&store).await, open(&store).await);
    writer.take_over("a", "", 1).await.unwrap();
    let planned = Record::Plan(plan(writer.state(), 1, 5));
    store.fail(&[Fault::Refuse, Fault::Refuse]);
    assert!(writer.append(planned.clone()).await.is_err());
    assert_eq!(person.append(promote(1)).await.unwrap(), 2);
    assert_eq!(writer.append(planned).await.unwrap(), 3);
}

#[tokio::test]
async fn an_unfinished_plan_is_adopted_by_the_next_generation() {
    let store = store();
    let mut first = open(&store).await;
    first.take_over("a", "", 1).await.unwrap();
    for _ in 0..3 {
        first.append(Record::Plan(plan(first.state(), 1, 5))).await.unwrap();
    }
    let done = Arc::clone(&first.state().open_plans[0]);
    first.append(Record::Commit(commit(&done, 1))).await.unwrap();
    drop(first);

    let mut second = open(&store).await;
    second.take_over("b", "", 4).await.unwrap();
    let open_plans: Vec<_> = second.state().open_plans.iter().cloned().collect();
    assert_eq!(open_plans.iter().map(|plan| plan.epoch.0).collect::<Vec<_>>(), [1, 2]);
    // It cannot be replaced: the offsets are taken, and the epochs too.
    let mut other = plan(second.state(), 2, 9);
    other.epoch = Epoch(1);
    assert!(matches!(second.append(Record::Plan(other)).await, Err(Error::Bug(_))));
    for plan in &open_plans {
        assert_eq!(plan.generation, 1);
        second.append(Record::Commit(commit(plan, 2))).await.unwrap();
    }
    assert_eq!(second.state().committed, Some(Epoch(2)));
    assert!(second.state().open_plans.is_empty());
}

#[tokio::test]
async fn another_writer_with_this_generation_is_a_bug() {
    let store = store();
    let mut writer = open(&store).await;
    writer.take_over("a", "", 1).await.unwrap();
    let stolen = plan(writer.state(), 1, 5);
    let bytes = cloudops_sql::catalog::record::encode(2, "another", &Record::Plan(stolen));
    let path = "log/00000000000000000002.json";
    writer.put_file(path, bytes.into()).await.unwrap();
    let error = writer.append(Record::Plan(plan(writer.state(), 1, 7))).await.unwrap_err();
    assert!(error.to_string().contains("another wrote it"), "{error}");
    assert!(matches!(error, Error::Bug(_)));
}
