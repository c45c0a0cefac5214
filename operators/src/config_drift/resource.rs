//! One resource: what is declared of it, what was seen of it, and the difference.
//!
//! What is no more keeps its id: a document may still declare it, now or years later.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ConfigDriftConfig;
use super::attributes::{Attributes, flatten};
use super::aws;
use super::fact::{Cause, Fact, What};
use super::ignore::glob;
use super::patch::{Patch, is_at_or_below};
use crate::{Error, Result};

/// How a resource differs from its declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum DriftKind {
    /// An attribute has another value.
    Changed,
    /// An attribute is there no more.
    Removed,
    /// An attribute is there that is not declared.
    Added,
    /// The resource is there no more.
    Missing,
    /// The resource is declared nowhere.
    Unmanaged,
}

impl DriftKind {
    /// The name in tables.
    #[must_use]
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Added => "added",
            Self::Missing => "missing",
            Self::Unmanaged => "unmanaged",
        }
    }
}

/// One difference, at a path of a resource; of the resource as a whole the path is empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Drift {
    /// How it differs.
    pub(super) kind: DriftKind,
    /// What is declared; none where nothing is.
    pub(super) declared: Option<String>,
    /// What was observed; none where it is there no more.
    pub(super) observed: Option<String>,
    /// What made the difference: the later of declaration and observation.
    pub(super) cause: Cause,
}

/// What was last said, and by which record it came to be so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    value: Option<String>,
    cause: Cause,
}

/// What a scope declares a resource to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Declared {
    /// The last document that said something new of it, µs.
    at: i64,
    /// Since when it has been declared.
    cause: Cause,
    name: Option<String>,
    attributes: BTreeMap<String, Told>,
}

/// One resource: what is declared of it, and what was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Resource {
    pub(super) provider: String,
    /// By scope: the latest holds.
    declared: BTreeMap<String, Declared>,
    /// Whether it is there, where anything was said of that.
    existence: Option<(bool, Cause)>,
    observed: BTreeMap<String, Told>,
}

impl Resource {
    /// Takes up what is said of it; facts come in order.
    pub(super) fn take_up(&mut self, fact: &Fact, config: &ConfigDriftConfig) -> Result<()> {
        self.provider.clone_from(&fact.provider);
        let cause = &fact.cause;
        match fact.what {
            What::Declared => {
                let told = flatten(&canonical(fact)?);
                let declared =
                    self.declared.entry(fact.scope.clone()).or_insert_with(|| Declared {
                        at: cause.at,
                        cause: cause.clone(),
                        name: None,
                        attributes: BTreeMap::new(),
                    });
                declared.at = cause.at;
                declared.name.clone_from(&fact.name);
                declared.attributes.retain(|path, _| told.contains_key(path));
                tell(&mut declared.attributes, told, cause);
            }
            What::Undeclared => drop(self.declared.remove(&fact.scope)),
            What::Observed => {
                let seen = flatten(&canonical(fact)?);
                self.exists(true, cause);
                let is_exact =
                    |path: &str| config.exact.iter().any(|top| is_at_or_below(path, top));
                let declared =
                    self.latest().into_iter().flat_map(|of| of.attributes.keys().cloned());
                let gone: Vec<String> = declared
                    .chain(self.observed.keys().cloned())
                    .filter(|path| !seen.contains_key(path) && is_exact(path))
                    .collect();
                self.observed.retain(|path, _| seen.contains_key(path) || is_exact(path));
                tell(&mut self.observed, seen, cause);
                gone.into_iter().for_each(|path| tell_one(&mut self.observed, path, None, cause));
            }
            What::Gone => {
                self.exists(false, cause);
                self.observed.clear();
            }
            What::Changed => {
                let patch: Patch =
                    serde_json::from_value(body(fact)?).map_err(|e| wrong(fact, &e))?;
                self.exists(true, cause);
                let declared = self.latest().map(|declared| &declared.attributes);
                let value = |path: &str| {
                    let seen = self.observed.get(path);
                    seen.or_else(|| declared?.get(path))?.value.as_deref()
                };
                let known =
                    self.observed.keys().chain(declared.into_iter().flat_map(BTreeMap::keys));
                let changed = patch.apply(value, known.map(String::as_str));
                for (path, value) in changed {
                    tell_one(&mut self.observed, path, value, cause);
                }
            }
        }
        Ok(())
    }

    fn exists(&mut self, exists: bool, cause: &Cause) {
        if self.existence.as_ref().is_none_or(|(before, _)| *before != exists) {
            self.existence = Some((exists, cause.clone()));
        }
    }

    /// The declaration that holds.
    fn latest(&self) -> Option<&Declared> {
        let latest = self.declared.iter().max_by_key(|(scope, declared)| (declared.at, *scope));
        latest.map(|(_, declared)| declared)
    }

    /// What its declaration calls it.
    pub(super) fn name(&self) -> Option<&str> {
        self.latest()?.name.as_deref()
    }

    /// The difference, by path: a function of what was taken up.
    pub(super) fn drift(
        &self,
        id: &str,
        resource_type: &str,
        config: &ConfigDriftConfig,
    ) -> BTreeMap<String, Drift> {
        let mut found = BTreeMap::new();
        let mut tell = |path: &str, drift: Drift| {
            if !config.ignores(id, resource_type, path) {
                found.insert(path.to_owned(), drift);
            }
        };
        let whole = |kind, cause: &Cause| Drift {
            kind,
            declared: None,
            observed: None,
            cause: cause.clone(),
        };
        let Some(declared) = self.latest() else {
            if let Some((true, cause)) = &self.existence
                && config.unmanaged.iter().any(|pattern| glob(pattern, resource_type))
            {
                tell("", whole(DriftKind::Unmanaged, cause));
            }
            return found;
        };
        if let Some((false, cause)) = &self.existence {
            tell("", whole(DriftKind::Missing, later(cause, &declared.cause)));
            return found;
        }
        for (path, should) in &declared.attributes {
            let Some(seen) = self.observed.get(path) else { continue };
            if seen.value == should.value {
                continue;
            }
            let kind = match seen.value {
                Some(_) => DriftKind::Changed,
                None => DriftKind::Removed,
            };
            let cause = later(&seen.cause, &should.cause).clone();
            let (declared, observed) = (should.value.clone(), seen.value.clone());
            tell(path, Drift { kind, declared, observed, cause });
        }
        for (path, seen) in &self.observed {
            let is_exact = config.exact.iter().any(|top| is_at_or_below(path, top));
            if is_exact && seen.value.is_some() && !declared.attributes.contains_key(path) {
                let observed = seen.value.clone();
                let cause = later(&seen.cause, &declared.cause).clone();
                tell(path, Drift { kind: DriftKind::Added, declared: None, observed, cause });
            }
        }
        found
    }

    /// What would heal a difference, in words that can be run or done.
    pub(super) fn remediation(
        &self,
        id: &str,
        resource_type: &str,
        path: &str,
        drift: &Drift,
    ) -> String {
        let latest = self.declared.iter().max_by_key(|(scope, declared)| (declared.at, *scope));
        let address = self.name().filter(|name| name.contains(&format!("{resource_type}.")));
        match (drift.kind, latest, address) {
            (DriftKind::Unmanaged, _, _) => {
                format!("declare {resource_type} {id}, or delete it")
            }
            (_, _, Some(address)) => format!("terraform apply -target='{address}'"),
            (_, Some((scope, _)), _) if self.provider == "kubernetes" => {
                format!("kubectl apply -f {scope}")
            }
            (DriftKind::Missing, _, _) => format!("create {resource_type} {id} again"),
            (DriftKind::Added, _, _) => format!("remove {path} from {id}"),
            (DriftKind::Changed | DriftKind::Removed, _, _) => {
                format!("set {path} of {id} to {}", drift.declared.as_deref().unwrap_or_default())
            }
        }
    }
}

/// The later of two causes; of one instant the first.
fn later<'a>(first: &'a Cause, second: &'a Cause) -> &'a Cause {
    if second.at > first.at { second } else { first }
}

fn tell(known: &mut BTreeMap<String, Told>, told: Attributes, cause: &Cause) {
    for (path, value) in told {
        tell_one(known, path, Some(value), cause);
    }
}

/// What was said already keeps the record that said it first.
fn tell_one(
    known: &mut BTreeMap<String, Told>,
    path: String,
    value: Option<String>,
    cause: &Cause,
) {
    if known.get(&path).is_none_or(|told| told.value != value) {
        known.insert(path, Told { value, cause: cause.clone() });
    }
}

/// The body as both sides write it.
fn canonical(fact: &Fact) -> Result<Value> {
    let mut body = body(fact)?;
    aws::canonical(&fact.resource_type, &mut body);
    Ok(body)
}

fn body(fact: &Fact) -> Result<Value> {
    serde_json::from_str(fact.body.as_deref().unwrap_or("{}")).map_err(|error| wrong(fact, &error))
}

fn wrong(fact: &Fact, error: &serde_json::Error) -> Error {
    Error::Column {
        column: format!("body of {}", fact.resource),
        expected: "JSON of a fact".to_owned(),
        found: error.to_string(),
    }
}
