//! Config drift: what is declared, minus what is observed, as a difference that is maintained.
//!
//! Three kinds of input meet: declarations (Terraform, manifests, plain YAML), inventories, and audit events
//! that change configuration. Each becomes facts of single resources; [`Documents`] compares whole
//! declarations and inventories with those before. Facts are taken up in the order of event time, once the
//! least watermark of all their streams has passed them, so that cuts, workers and restarts do not
//! show. After each instant that says anything of a resource its drift is what `Resource::drift` gives of
//! its state; what that has more or less than before appears or heals.
//!
//! - `changed`: an attribute that is declared has another value.
//! - `removed`: an attribute that is declared is there no more.
//! - `added`: an attribute is there, below a path that is declared exactly (`tags`), and not declared.
//! - `missing`: a resource that is declared is there no more.
//! - `unmanaged`: a resource is there, of a type that is asked for, and no document declares it.
//!
//! What was never observed is not known to drift, and an event that adds to a set, or takes from it, does so
//! to what is declared as long as nothing else was observed of it.
//!
//! Not written in differential dataflow, though it is a difference of collections: comparing a
//! document with the last one needs both at hand, so an arrangement would hold everything a second time.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};

use crate::key::Shard;
use crate::keyed::Keyed;
use crate::snapshot::{Changes, Extent, Snapshot};
use crate::watermark::Watermark;
use crate::{Error, Result};

pub mod attributes;
mod aws;
mod documents;
mod fact;
mod ignore;
pub mod kubernetes;
pub mod observe;
mod patch;
mod resource;
mod rows;
#[cfg(test)]
mod tests;

pub(crate) use aws::type_of;
pub use documents::Documents;
use fact::Fact;
pub use ignore::Ignore;
use resource::{Drift, Resource};
pub use rows::EVENT;
use rows::{DriftEvent, rows};

/// What counts as drift.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigDriftConfig {
    /// Paths whose attributes are all declared: one that is there and not declared has been added.
    /// Default: `["tags"]`.
    pub exact: Vec<String>,
    /// Types of which a resource that nobody declares is drift; `*` stands for any text.
    /// Default: none.
    pub unmanaged: Vec<String>,
    /// What is not to be told. Default: nothing.
    #[serde(rename = "ignore")]
    pub ignores: Vec<Ignore>,
}

impl Default for ConfigDriftConfig {
    fn default() -> Self {
        Self { exact: vec!["tags".to_owned()], unmanaged: Vec::new(), ignores: Vec::new() }
    }
}

impl ConfigDriftConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Configuration`] when a path is empty or a rule ignores everything.
    pub fn validate(&self) -> Result<()> {
        let refused = |what: &str| Err(Error::Configuration(format!("config_drift.{what}")));
        if self.exact.iter().chain(&self.unmanaged).any(String::is_empty) {
            return refused("exact and unmanaged: a text is empty");
        }
        if self.ignores.iter().any(Ignore::is_all) {
            return refused(
                "ignore: a rule without resource, resource_type and path ignores everything",
            );
        }
        Ok(())
    }

    fn ignores(&self, resource: &str, resource_type: &str, path: &str) -> bool {
        self.ignores.iter().any(|rule| rule.matches(resource, resource_type, path))
    }
}

/// All that is known of one id.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    /// By type: an id may stand for a bucket, its policy and its encryption.
    types: BTreeMap<String, Resource>,
    /// Drift that was told and has not healed, by type and path.
    open: BTreeMap<String, BTreeMap<String, Open>>,
    /// Facts that are not final, by event time.
    pending: BTreeMap<i64, Vec<Fact>>,
}

/// Drift that was told and has not healed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    drift: Drift,
    /// When it appeared, µs.
    since: i64,
}

/// The operator: every resource's declared and observed state, and its open drift.
#[derive(Debug, Clone, Default)]
pub struct ConfigDrift {
    config: ConfigDriftConfig,
    resources: Keyed<State>,
    /// Resources that wait for the watermark, by the time of their facts.
    due: BTreeSet<(i64, String)>,
}

impl ConfigDrift {
    /// An operator that knows no resource.
    ///
    /// # Errors
    /// As [`ConfigDriftConfig::validate`].
    pub fn new(config: ConfigDriftConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self { config, ..Self::default() })
    }

    /// Takes in facts.
    ///
    /// # Errors
    /// [`Error::Column`] when they are no facts.
    pub fn push(&mut self, facts: &RecordBatch) -> Result<()> {
        for fact in fact::facts(facts)? {
            self.due.insert((fact.cause.at, fact.resource.clone()));
            let resource = fact.resource.clone();
            let pending = &mut self.resources.entry(&resource).pending;
            pending.entry(fact.cause.at).or_default().push(fact);
        }
        Ok(())
    }

    /// Takes up the facts that the watermark has passed; drift that appeared or healed, in the order of event
    /// time.
    ///
    /// # Errors
    /// [`Error::Column`] when a fact's body is no JSON.
    pub fn advance(&mut self, watermark: Watermark) -> Result<Option<RecordBatch>> {
        let mut events = Vec::new();
        while let Some((at, id)) = self.due.pop_first() {
            if at >= watermark.0 && watermark != Watermark::MAX {
                self.due.insert((at, id));
                break;
            }
            let state = self.resources.entry(&id);
            let mut now = state.pending.remove(&at).unwrap_or_default();
            now.sort_by(|a, b| a.place().cmp(&b.place()));
            state.take_up(&id, &now, &self.config, &mut events)?;
        }
        events.sort_by(|a: &DriftEvent, b| a.place().cmp(&b.place()));
        if events.is_empty() { Ok(None) } else { rows(&events).map(Some) }
    }
}

impl State {
    /// Takes up what one instant says.
    fn take_up(
        &mut self,
        id: &str,
        facts: &[Fact],
        config: &ConfigDriftConfig,
        events: &mut Vec<DriftEvent>,
    ) -> Result<()> {
        for fact in facts {
            self.types.entry(fact.resource_type.clone()).or_default().take_up(fact, config)?;
        }
        let mut types: Vec<&str> = facts.iter().map(|fact| fact.resource_type.as_str()).collect();
        types.sort_unstable();
        types.dedup();
        for resource_type in types {
            let last = facts.iter().rev().find(|fact| fact.resource_type == resource_type);
            let (Some(resource), Some(last)) = (self.types.get(resource_type), last) else {
                continue;
            };
            let event = |path: &str, open: &Open, is_healed: bool| DriftEvent {
                resource: id.to_owned(),
                provider: resource.provider.clone(),
                resource_type: resource_type.to_owned(),
                name: resource.name().map(str::to_owned),
                path: path.to_owned(),
                remediation: (!is_healed)
                    .then(|| resource.remediation(id, resource_type, path, &open.drift)),
                drift: open.drift.clone(),
                since: open.since,
                cause: if is_healed { last.cause.clone() } else { open.drift.cause.clone() },
                is_healed,
                at: last.cause.at,
            };
            let now = resource.drift(id, resource_type, config);
            let open = self.open.entry(resource_type.to_owned()).or_default();
            open.retain(|path, known| {
                let stays = now.get(path) == Some(&known.drift);
                if !stays {
                    events.push(event(path, known, true));
                }
                stays
            });
            for (path, drift) in now {
                if let Entry::Vacant(place) = open.entry(path) {
                    let appeared = Open { drift, since: last.cause.at };
                    events.push(event(place.key(), &appeared, false));
                    place.insert(appeared);
                }
            }
        }
        Ok(())
    }
}

impl Snapshot for ConfigDrift {
    fn operator(&self) -> &'static str {
        "config_drift"
    }

    fn snapshot(&self, shard: Shard, extent: Extent) -> Result<Option<RecordBatch>> {
        self.resources.snapshot(shard, extent)
    }

    fn restore(&mut self, shard: Shard, state: &RecordBatch) -> Result<()> {
        self.resources.restore(self.operator(), shard, state)?;
        let waiting = self
            .resources
            .of(shard)
            .flat_map(|(id, state)| state.pending.keys().map(move |at| (*at, id.to_owned())));
        self.due.extend(waiting);
        Ok(())
    }

    fn changes(&self) -> Option<Changes> {
        self.resources.changes()
    }

    fn saved(&mut self) {
        self.resources.saved();
    }
}
