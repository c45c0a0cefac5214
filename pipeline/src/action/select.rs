//! What a policy's queries find, and whether that is few enough.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use cloudops_sql::session::Session;
use serde_json::{Map, Value};
use tokio::runtime::Runtime;

use super::policy::Policy;
use crate::answer::rows;

/// What a policy selects, by resource.
#[derive(Debug, Clone, Default)]
pub(super) struct Selected {
    /// The row of each.
    pub(super) rows: BTreeMap<String, Map<String, Value>>,
    /// Why nothing at all is to be done; none where that is not so.
    pub(super) over: Option<String>,
}

/// Asks a policy's queries.
pub(super) fn select(
    policy: &Policy,
    session: &mut Session,
    runtime: &Runtime,
) -> Result<Selected> {
    let mut ask = |what: &str, query: &str| -> Result<BTreeMap<String, Map<String, Value>>> {
        let found = runtime.block_on(rows(session, query));
        let found = found.with_context(|| format!("policy {}: {what}", policy.name))?;
        let mut by_resource = BTreeMap::new();
        for row in found {
            let Some(id) = row.get("resource").and_then(Value::as_str).map(str::to_owned) else {
                bail!("policy {}: {what} has no column `resource` of text", policy.name);
            };
            by_resource.entry(id).or_insert(row);
        }
        Ok(by_resource)
    };
    let rows = ask("select", &policy.select)?;
    let population: BTreeSet<String> =
        ask("population", &policy.population)?.into_keys().chain(rows.keys().cloned()).collect();
    let share = 100.0 * rows.len() as f64 / population.len().max(1) as f64;
    let over = if rows.len() > policy.max_resources {
        Some(format!(
            "{} resources are selected, max-resources is {}",
            rows.len(),
            policy.max_resources
        ))
    } else if share > policy.max_percent {
        let (some, all) = (rows.len(), population.len());
        Some(format!(
            "{some} of {all} resources are selected ({share:.1} %), max-percent is {}",
            policy.max_percent
        ))
    } else {
        None
    };
    Ok(Selected { rows, over })
}
