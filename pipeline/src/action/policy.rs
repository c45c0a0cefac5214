//! Policies: which resources, what is done to them, and what has to be true before it is.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cloudops_operators::key::hex;
use cloudops_sql::statement;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::config::parse_duration;
use crate::executor::ExecutorConfig;
use crate::executor::guard::{SOURCE_TAG, TOKEN_TAG};

/// The file of policies, YAML.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policies {
    /// Who acts.
    pub executors: Vec<ExecutorConfig>,
    /// What is done.
    pub policies: Vec<Policy>,
}

/// One policy.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Policy {
    /// Its name: in the table `actions`, and in every message.
    pub name: String,
    /// A query of the catalog with a condition. Its column `resource` names what is acted on; `saving`, where
    /// there is one, what that saves in a month; `resize_to` what a resize gives. All columns are kept as
    /// the evidence.
    pub select: String,
    /// A query whose column `resource` names all that the policy could have chosen from: what `max-percent`
    /// is of.
    pub population: String,
    /// The executor that acts, by name.
    pub executor: String,
    /// What is done.
    #[serde(rename = "do")]
    pub deed: Deed,
    /// How long a proposal stands before anything is done. Default: 4 days.
    #[serde(default = "four_days", deserialize_with = "lasting")]
    pub grace: Duration,
    /// Where more resources are selected, nothing at all is done. Default: 10.
    #[serde(default = "ten")]
    pub max_resources: usize,
    /// Where more of the population is selected, per cent, nothing at all is done. Default: 10.
    #[serde(default = "ten_percent")]
    pub max_percent: f64,
    /// How many people have to agree. Default: one.
    #[serde(default)]
    pub approvals: Approvals,
    /// How many actions of the policy begin within an hour at most. Default: 10.
    #[serde(default = "ten")]
    pub per_hour: usize,
    /// When so many of its last actions were taken back, it does no more.
    #[serde(default)]
    pub breaker: Breaker,
    /// The tag that a resource carries from its proposal until the action is over: what is to be done, not
    /// before when, and by which action. What cannot be tagged is not acted on. Default: none.
    #[serde(default)]
    pub mark: Option<MarkConfig>,
    /// Whether it may do what nothing takes back. Default: false.
    #[serde(default)]
    pub irreversible: bool,
}

/// How resources are marked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarkConfig {
    /// The tag's key, such as `cloudops:action`.
    pub tag: String,
}

/// What a policy does to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// Stops it.
    Stop,
    /// Starts it.
    Start,
    /// Gives it the size in the column `resize_to`; what runs is stopped for that and started again.
    Resize,
    /// Takes an image, then terminates.
    Terminate,
    /// Takes a snapshot, then deletes.
    Delete,
    /// Takes a snapshot.
    Snapshot,
}

/// How many people have to agree.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Approvals {
    /// To anything. Default: 1.
    pub people: u32,
    /// What an action saves in a month from which two have to. Default: 1000.
    pub two_above: f64,
    /// Tags of resources for which two have to: production. Default: `env` and `environment` of `prod` and
    /// `production`.
    pub two_for: BTreeMap<String, Vec<String>>,
}

impl Default for Approvals {
    fn default() -> Self {
        let production = || vec!["prod".to_owned(), "production".to_owned()];
        let two_for = ["env", "environment"].map(|tag| (tag.to_owned(), production()));
        Self { people: 1, two_above: 1000.0, two_for: two_for.into() }
    }
}

impl Approvals {
    /// How many have to agree to an action on a resource of these tags.
    #[must_use]
    pub fn needed(&self, saving: Option<f64>, tags: &BTreeMap<String, String>) -> u32 {
        let is_large = saving.is_some_and(|saving| saving.abs() >= self.two_above);
        let is_marked = self.two_for.iter().any(|(tag, values)| {
            let of = tags.iter().find(|(key, _)| key.eq_ignore_ascii_case(tag));
            of.is_some_and(|(_, value)| values.iter().any(|v| v.eq_ignore_ascii_case(value)))
        });
        if is_large || is_marked { self.people.max(2) } else { self.people }
    }
}

/// When a policy does no more: people take back what it does.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Breaker {
    /// Of so many of its last actions. Default: 10.
    pub of_last: usize,
    /// So many were taken back. Default: 2.
    pub undone: usize,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { of_last: 10, undone: 2 }
    }
}

fn four_days() -> Duration {
    Duration::from_secs(4 * 86_400)
}
fn ten() -> usize {
    10
}
fn ten_percent() -> f64 {
    10.0
}

fn lasting<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).map_err(serde::de::Error::custom)
}

impl Policies {
    /// Reads a file of policies.
    ///
    /// # Errors
    /// With the place in the file, or the policy and the field, that is wrong.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("reading the policies {}", path.display()))?;
        let policies: Self = serde_saphyr::from_str(&text)
            .map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
        policies.validate().with_context(|| format!("in {}", path.display()))?;
        Ok(policies)
    }

    fn validate(&self) -> Result<()> {
        for (at, policy) in self.policies.iter().enumerate() {
            let twice = self.policies[..at].iter().any(|other| other.name == policy.name);
            ensure!(!twice, "two policies are named {:?}", policy.name);
            policy.validate().with_context(|| format!("policy {:?}", policy.name))?;
        }
        Ok(())
    }

    /// The policy of a name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Policy> {
        self.policies.iter().find(|policy| policy.name == name)
    }
}

impl Policy {
    fn validate(&self) -> Result<()> {
        ensure!(!self.name.is_empty(), "name is empty");
        ensure!(!self.population.trim().is_empty(), "population is empty");
        ensure!(
            statement::has_condition(&self.select).context("select")?,
            "select: it has no condition and would select everything: add a WHERE"
        );
        ensure!(self.max_resources > 0, "max-resources is 0: it would never do anything");
        let share = self.max_percent;
        ensure!(share > 0.0 && share <= 100.0, "max-percent is {share}: above 0, at most 100");
        ensure!(self.per_hour > 0, "per-hour is 0: it would never do anything");
        if let Some(MarkConfig { tag }) = &self.mark {
            let long = tag.chars().count();
            ensure!((1..=127).contains(&long), "mark.tag has {long} characters: 1 to 127");
            let is_other = tag.starts_with("aws:") || [TOKEN_TAG, SOURCE_TAG].contains(&&**tag);
            ensure!(!is_other, "mark.tag: {tag} is used for something else");
        }
        let Breaker { of_last, undone } = self.breaker;
        ensure!(undone > 0 && undone <= of_last, "breaker: undone is {undone}, of-last {of_last}");
        Ok(())
    }

    /// What it says, in short: two policies of one digest do the same.
    #[must_use]
    pub fn digest(&self) -> String {
        hex(&Sha256::digest(format!("{self:?}"))[..8])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "
executors:
- {kind: command, name: hook, program: /bin/true}
policies:
- name: stop-idle
  select: SELECT resource FROM config_drift WHERE kind = 'unmanaged'
  population: SELECT resource FROM config_drift
  executor: hook
  do: stop
";

    fn read(text: &str) -> Result<Policies> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policies.yaml");
        std::fs::write(&path, text).unwrap();
        Policies::read(&path)
    }

    #[test]
    fn a_policy_is_careful_by_default() {
        let policies = read(POLICY).unwrap();
        let policy = policies.find("stop-idle").unwrap();
        assert_eq!(policy.grace, Duration::from_secs(345_600));
        assert_eq!((policy.max_resources, policy.per_hour, policy.irreversible), (10, 10, false));
        let none = BTreeMap::new();
        let production = BTreeMap::from([("Env".to_owned(), "Production".to_owned())]);
        let needed = |saving, tags| policy.approvals.needed(saving, tags);
        assert_eq!(needed(Some(10.0), &none), 1);
        assert_eq!(needed(Some(1000.0), &none), 2);
        assert_eq!(needed(None, &production), 2);
    }

    #[test]
    fn the_readme_has_a_policy_that_can_be_read() {
        let readme = include_str!("../../../README.md");
        let example = readme.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
        let policies = read(example).unwrap();
        let policy = policies.find("stop-unmanaged").unwrap();
        assert_eq!(policy.deed, Deed::Stop);
        assert_eq!(policy.approvals.two_for["env"], ["prod"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (from, to, message) in [
            (" WHERE kind = 'unmanaged'", "", "no condition"),
            ("WHERE kind = 'unmanaged'", "WHERE 1 = 1", "no condition"),
            ("do: stop", "do: explode", "explode"),
            ("do: stop", "do: stop\n  max-percent: 0", "max-percent is 0"),
            ("do: stop", "do: stop\n  grace: soon", "no duration"),
            ("do: stop", "do: stop\n  gracious: 1d", "gracious"),
            ("do: stop", "do: stop\n  mark: {tag: ''}", "mark.tag has 0 characters"),
            ("do: stop", "do: stop\n  mark: {tag: 'cloudops:token'}", "used for something else"),
            ("do: stop", "do: stop\n  mark: {label: x}", "label"),
            ("name: stop-idle", "name: ''", "name is empty"),
        ] {
            let error = format!("{:#}", read(&POLICY.replace(from, to)).unwrap_err());
            assert!(error.contains(message), "{error}");
        }
    }
}
