//! What lies in a catalog's store and is of no use to anyone.

use std::collections::HashSet;

use anyhow::{Context, Result};
use cloudops_sql::catalog::Catalog;
use futures_util::TryStreamExt;

/// Objects that one record of the log names.
pub(super) const AT_ONCE: usize = 1_000;

/// Objects that can be deleted: files replaced before an instant, and what runs that were stopped have
/// left behind.
///
/// # Errors
/// When the store fails.
pub(super) async fn found(catalog: &Catalog, before_us: i64) -> Result<Vec<String>> {
    let state = catalog.state();
    let young = state.replaced.iter().filter(|file| file.at_us >= before_us);
    let young: HashSet<&str> = young.map(|file| file.path.as_str()).collect();
    let store = catalog.store();
    let mut paths = Vec::new();
    for folder in ["data", "state", "checkpoint"] {
        let prefix = store.location(folder)?;
        let mut listed = store.objects().list(Some(&prefix));
        while let Some(object) = listed.try_next().await.context("listing the catalog")? {
            let parts = object.location.prefix_match(store.prefix());
            let within = parts.map(|parts| parts.map(|part| part.as_ref().to_owned()));
            let Some(within) = within else { continue };
            paths.push(within.collect::<Vec<_>>().join("/"));
        }
    }
    let dead = state.dead(paths.iter().map(String::as_str));
    let mut dead: Vec<String> =
        dead.into_iter().filter(|path| !young.contains(path)).map(str::to_owned).collect();
    dead.sort_unstable();
    Ok(dead)
}
