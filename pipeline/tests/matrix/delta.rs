//! What the Delta logs say, against what the catalog says.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudops_sql::catalog::record::DataFile;
use futures_util::TryStreamExt;
use object_store::path::Path;
use serde_json::Value;

use crate::kept::bytes;
use crate::store::World;

/// Files by their path in the catalog, with rows and length.
type Files = BTreeMap<String, (u64, u64)>;

/// The actions of a table's Delta log, in the order of its versions.
pub(crate) async fn actions(world: &World, table: &str) -> Result<Vec<Value>, String> {
    let folder = Path::from(format!("data/{table}/_delta_log"));
    let listed: Vec<_> = world.objects.list(Some(&folder)).try_collect().await.unwrap();
    let mut versions: Vec<Path> = listed.into_iter().map(|object| object.location).collect();
    versions.retain(|path| path.extension() == Some("json"));
    versions.sort();
    let mut actions = Vec::new();
    for (number, version) in versions.iter().enumerate() {
        if version.filename() != Some(format!("{number:020}.json").as_str()) {
            return Err(format!("{version} follows on version {number} of {table}, less one"));
        }
        let bytes = bytes(world, version.as_ref()).await;
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        actions.extend(lines.map(|line| serde_json::from_slice::<Value>(line).unwrap()));
    }
    Ok(actions)
}

/// A table's files as the catalog has them.
pub(crate) fn files(files: &[Arc<DataFile>]) -> Files {
    files.iter().map(|file| (file.path.clone(), (file.rows, file.bytes))).collect()
}

/// Whether the actions leave just these files, and no action is there twice or without another.
pub(crate) fn compare(table: &str, actions: &[Value], want: &Files) -> Result<(), String> {
    let mut found = Files::new();
    for action in actions {
        let path = |kind: &str| Some(format!("data/{table}/{}", action[kind]["path"].as_str()?));
        if let Some(path) = path("add") {
            let add = &action["add"];
            let stats = add["stats"].as_str().ok_or("a file without statistics")?;
            let stats: Value = serde_json::from_str(stats).map_err(|error| error.to_string())?;
            let file = stats["numRecords"].as_u64().zip(add["size"].as_u64());
            if found.insert(path.clone(), file.ok_or("a file without rows or size")?).is_some() {
                return Err(format!("Delta adds {path} twice"));
            }
        } else if let Some(path) = path("remove")
            && found.remove(&path).is_none()
        {
            return Err(format!("Delta removes {path}, which is not there"));
        }
    }
    if found == *want { Ok(()) } else { Err(format!("Delta holds {found:?} instead of {want:?}")) }
}

#[cfg(test)]
mod tests {
    use cloudops_sql::catalog::Catalog;

    use super::*;
    use crate::case::Job;
    use crate::store::Simulated;

    #[test]
    fn an_action_that_is_left_out_or_there_twice_is_found() {
        let (job, world) = (Job::write(), World::new(&[]));
        job.carry_out(1, &mut || Simulated::over(&world)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (mut adds, mut removes) = (0, 0);
        runtime.block_on(async {
            let catalog = Catalog::open_at(Simulated::over(&world), Path::default()).await.unwrap();
            for (table, live) in &catalog.state().tables {
                let (all, want) = (actions(&world, table).await.unwrap(), files(live));
                compare(table, &all, &want).unwrap();
                for (at, action) in all.iter().enumerate() {
                    let (is_add, is_remove) =
                        (!action["add"].is_null(), !action["remove"].is_null());
                    if is_add || is_remove {
                        let mut less = all.clone();
                        less.remove(at);
                        compare(table, &less, &want).unwrap_err();
                        let mut more = all.clone();
                        more.insert(at, action.clone());
                        compare(table, &more, &want).unwrap_err();
                    }
                    adds += usize::from(is_add);
                    removes += usize::from(is_remove);
                }
            }
        });
        assert!(adds > 10 && removes > 10, "{adds} adds and {removes} removes prove little");
    }
}
