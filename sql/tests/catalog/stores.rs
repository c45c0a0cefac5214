//! One suite for every store: what a catalog needs of it.

use bytes::Bytes;
use cloudops_operators::epoch::Epoch;
use cloudops_sql::Error;
use cloudops_sql::catalog::Catalog;
use cloudops_sql::catalog::record::Record;
use futures_util::TryStreamExt;

use crate::records::{commit, plan, promote};

async fn suite(address: &str) {
    let mut writer = Catalog::open_or_create(address).await.unwrap();
    assert_eq!(writer.state().next_seq, 1);
    assert_eq!(writer.take_over("test", "config", 2).await.unwrap(), 1);

    let mut reader = Catalog::open(address).await.unwrap();
    for epoch in 0..3 {
        let planned = plan(writer.state(), 1, 10);
        assert_eq!(planned.epoch, Epoch(epoch));
        writer.append(Record::Plan(planned.clone())).await.unwrap();
        let commit = commit(&planned, 1);
        let path = commit.files[0].path.clone();
        let stored = writer.put_file(&path, Bytes::from(format!("rows {epoch}"))).await.unwrap();
        assert_eq!((stored.path, stored.bytes, stored.sha256.len()), (path, 6, 64));
        writer.append(Record::Commit(commit)).await.unwrap();
        reader.refresh().await.unwrap();
        assert_eq!(reader.state(), writer.state());
    }
    // Promotions need no takeover: a person makes them while the writer runs.
    assert_eq!(reader.append(promote(1)).await.unwrap(), 8);
    let planned = plan(writer.state(), 1, 1);
    assert_eq!(writer.append(Record::Plan(planned)).await.unwrap(), 9);
    assert_eq!(writer.state().timeline("sensor").at(10).unwrap().version, "1");

    let again = Catalog::open(address).await.unwrap();
    assert_eq!(again.state(), writer.state());
    assert_eq!(again.state().files("sensor_scores").len(), 3);
    assert_eq!(again.state().committed, Some(Epoch(2)));
    let plans: Vec<_> = again.history().plans_after(0).try_collect().await.unwrap();
    assert_eq!(plans.iter().map(|plan| plan.epoch.0).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let epochs: Vec<_> = again.history().epochs().try_collect().await.unwrap();
    assert_eq!(epochs.len(), 3);
    assert!(epochs.iter().all(|epoch| epoch.plan.epoch == epoch.commit.epoch));

    // A file made again is the same file; other bytes are an alarm.
    let path = again.state().files("sensor_scores")[0].path.clone();
    let stored = writer.put_file(&path, Bytes::from_static(b"rows 0")).await.unwrap();
    assert_eq!(stored.bytes, 6);
    let found = again.store().get(&path).await.unwrap().unwrap();
    assert_eq!(found, "rows 0");
    for other in ["rows 1", "rows", ""] {
        let error = writer.put_file(&path, Bytes::from_static(other.as_bytes())).await.unwrap_err();
        assert!(matches!(error, Error::Diverged { .. }), "{error}");
    }
    assert_eq!(again.store().get("data/none").await.unwrap(), None);
    assert!(matches!(again.store().get("../up").await, Err(Error::Bug(_))));
}

#[tokio::test]
async fn in_memory() {
    suite("memory://suite").await;
    suite("memory://suite/with/a/prefix").await;
}

#[tokio::test]
async fn in_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    suite(directory.path().join("plain").to_str().unwrap()).await;
    suite(&format!("file://{}/url", directory.path().display())).await;
}

#[tokio::test]
async fn a_reader_does_not_create_what_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let address = directory.path().join("mistyped");
    let error = Catalog::open(address.to_str().unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::Configuration(_)), "{error}");
    assert!(!address.exists());
}
