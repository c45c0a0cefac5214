//! An unreadable log is never an empty one, nor a shorter one.

use std::sync::Arc;

use cloudops_sql::catalog::Catalog;
use cloudops_sql::catalog::record::{Record, Takeover, encode};
use cloudops_sql::{Error, Result};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::records::promote;

async fn log(records: u64) -> Arc<InMemory> {
    let store = Arc::new(InMemory::new());
    let mut writer = open(&store).await.unwrap();
    for version in 0..records {
        writer.append(promote(version)).await.unwrap();
    }
    store
}

async fn open(store: &Arc<InMemory>) -> Result<Catalog> {
    let store: Arc<dyn ObjectStore> = Arc::<InMemory>::clone(store);
    Catalog::open_at(store, Path::default()).await
}

fn path(seq: u64) -> Path {
    Path::from(format!("log/{seq:020}.json"))
}

async fn check(damage: impl AsyncFnOnce(&InMemory), named: &str) {
    let store = log(5).await;
    damage(&store).await;
    let error = open(&store).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    assert!(error.to_string().contains(named), "{error}");
}

#[tokio::test]
async fn damage_is_named() {
    let third = "log/00000000000000000003.json is corrupt";
    check(async |store| drop(store.put(&path(3), "".into()).await), third).await;
    check(async |store| drop(store.put(&path(3), "{\"format\":1".into()).await), third).await;
    check(async |store| drop(store.put(&path(3), vec![0; 512].into()).await), third).await;
    check(async |store| drop(store.delete(&path(3)).await), third).await;
    check(async |store| drop(store.delete(&path(1)).await), "0001.json is corrupt").await;
    check(async |store| store.copy(&path(2), &path(3)).await.unwrap(), third).await;
    let stray = Path::from("log/notes.txt");
    check(async |store| drop(store.put(&stray, "".into()).await), "log/notes.txt").await;
    check(async |store| drop(store.put(&path(9), "".into()).await), "0006.json is corrupt").await;
}

#[tokio::test]
async fn a_newer_builds_record_is_refused_by_name() {
    let store = log(2).await;
    let text = r#"{"format":1,"seq":3,"nonce":"n","kind":"reshape","body":{"files":[]}}"#;
    store.put(&path(3), text.into()).await.unwrap();
    let error = open(&store).await.unwrap_err();
    assert!(matches!(error, Error::Configuration(_)), "{error:?}");
    assert!(error.to_string().contains("record kind \"reshape\""), "{error}");
}

#[tokio::test]
async fn a_record_that_breaks_a_rule_is_not_folded() {
    let store = log(2).await;
    let takeover =
        Takeover { generation: 7, build: "b".into(), config_hash: "c".into(), workers: 1 };
    let bytes = encode(3, "n", &Record::Takeover(takeover));
    store.put(&path(3), bytes.into()).await.unwrap();
    let error = open(&store).await.unwrap_err();
    assert!(matches!(error, Error::Bug(_)), "{error:?}");
    assert!(error.to_string().contains("number 3"), "{error}");
    assert!(error.to_string().contains("takeover 7 follows generation 0"), "{error}");
}

#[tokio::test]
async fn an_append_onto_rubbish_stops() {
    let store = log(2).await;
    let mut writer = open(&store).await.unwrap();
    store.put(&path(3), "rubbish".into()).await.unwrap();
    let error = writer.append(promote(3)).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    assert_eq!(store.get(&path(3)).await.unwrap().bytes().await.unwrap(), "rubbish");
}
