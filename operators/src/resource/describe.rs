//! Facts of configuration as facts of resources: what declarations, inventories and events say they are.

use arrow::array::RecordBatch;
use serde_json::Value;

use super::fact::{Cause, Described, Fact, Identity, What, rows};
use super::reference;
use super::state::is_kept;
use crate::Result;
use crate::config_drift::attributes::flatten;
use crate::config_drift::fact::{self as configuration, What as Said};

/// Facts of resources, of what [`crate::config_drift`] takes.
///
/// # Errors
/// [`crate::Error::Column`] when they are no facts of configuration.
pub fn described(facts: &RecordBatch) -> Result<Option<RecordBatch>> {
    let facts = configuration::facts(facts)?;
    let facts: Vec<Fact> = facts.into_iter().filter_map(of).collect();
    rows(&facts)
}

/// `None` of an id that says nothing.
fn of(fact: configuration::Fact) -> Option<Fact> {
    let resource = fact.canonical.clone();
    if resource.is_empty() {
        return None;
    }
    let body = || serde_json::from_str::<Value>(fact.body.as_deref().unwrap_or("{}")).ok();
    let described = || {
        let body = body().unwrap_or_default();
        let needs = reference::references(&resource, &body);
        Described {
            scope: fact.scope.clone(),
            name: fact.name.clone(),
            attributes: flatten(&body).into_iter().filter(|(path, _)| is_kept(path)).collect(),
            needs,
        }
    };
    let what = match fact.what {
        Said::Declared => What::Declared(described()),
        Said::Undeclared => What::Undeclared { scope: fact.scope.clone() },
        Said::Observed => What::Observed(described()),
        Said::Gone => What::Gone,
        Said::Changed => What::Changed { patch: fact.body.clone().unwrap_or_default() },
    };
    let identity = Identity {
        provider: (!fact.provider.is_empty()).then(|| fact.provider.clone()),
        resource_type: (!fact.resource_type.is_empty()).then(|| fact.resource_type.clone()),
        ..Identity::default()
    };
    let cause = Cause {
        source: fact.cause.source,
        partition: fact.cause.partition,
        from: fact.cause.offset,
        to: fact.cause.offset,
    };
    Some(Fact { resource, at: fact.cause.at, what, identity, cause })
}
