//! All that is known of one resource, but for its hours.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::fact::{Cause, Deed, Fact, Identity, Money, What};
use super::id;
use crate::config_drift::patch::Patch;
use crate::right_size::Sold;

/// Below these paths stand the tags of a resource.
const TAGS: [&str; 3] = ["tags", "labels", "metadata.labels"];
/// Attributes that say what size a resource is of, by what ends its type; `*` of any.
const SIZES: [(&str, &str); 6] = [
    ("aws_db_instance", "instance_class"),
    ("aws_elasticache_cluster", "node_type"),
    ("azurerm_linux_virtual_machine", "size"),
    ("azurerm_windows_virtual_machine", "size"),
    ("azurerm_virtual_machine", "vm_size"),
    ("google_compute_instance", "machine_type"),
];
/// The same of all other types.
const SIZE: &str = "instance_type";
/// Whether it runs, in the words of its provider.
const RUNS: [&str; 3] = ["instance_state", "status", "power_state"];

/// Whether an attribute is kept.
pub(super) fn is_kept(path: &str) -> bool {
    TAGS.iter().any(|top| tag(path, top).is_some())
        || path == SIZE
        || RUNS.contains(&path)
        || path == "region"
        || path == "location"
        || SIZES.iter().any(|(_, size)| *size == path)
}

/// The tag that stands at a path.
fn tag(path: &str, top: &str) -> Option<String> {
    let rest = path.strip_prefix(top)?;
    match rest.strip_prefix('.') {
        Some(plain) => Some(plain.to_owned()),
        None => serde_json::from_str(rest.strip_prefix('[')?.strip_suffix(']')?).ok(),
    }
}

/// What a scope declares of a resource.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Declared {
    /// When it last said so, µs.
    at: i64,
    name: Option<String>,
    attributes: BTreeMap<String, String>,
    needs: BTreeSet<String>,
}

/// What is known of a resource by one of its types: an id may stand for a bucket, its policy and its
/// encryption.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    /// By scope: the latest holds.
    declared: BTreeMap<String, Declared>,
    observed: BTreeMap<String, String>,
    needs: BTreeSet<String>,
}

impl Part {
    /// The declaration that holds.
    fn latest(&self) -> Option<&Declared> {
        let latest = self.declared.iter().max_by_key(|(scope, declared)| (declared.at, *scope));
        latest.map(|(_, declared)| declared)
    }

    /// What was seen, and of what was not, what is declared.
    fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        let declared = self.latest().into_iter().flat_map(|declared| &declared.attributes);
        let all = declared.chain(&self.observed);
        all.map(|(path, value)| (path.as_str(), value.as_str()))
    }

    fn change(&mut self, patch: &Patch) {
        let now: BTreeMap<&str, &str> = self.attributes().collect();
        let changed = patch.apply(|path| now.get(path).copied(), now.keys().copied());
        for (path, value) in changed.into_iter().filter(|(path, _)| is_kept(path)) {
            // What is taken away stays, as nothing: it may be declared.
            self.observed.insert(path, value.unwrap_or_default());
        }
    }
}

/// All that is known of one resource.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct State {
    /// Facts of days that are not over, by day.
    pub(super) pending: BTreeMap<i32, Vec<Fact>>,
    /// Days up to this one have been taken up.
    pub(super) done_to: Option<i32>,
    /// Days up to this one have been judged.
    pub(super) judged_to: Option<i32>,
    identity: Identity,
    pub(super) first_seen: Option<i64>,
    pub(super) last_seen: Option<i64>,
    /// By type.
    parts: BTreeMap<String, Part>,
    /// What events said it was joined to.
    joined: BTreeSet<String>,
    /// When it was last told to be no more, µs.
    gone_at: Option<i64>,
    /// By what its bill has it tagged.
    billed_tags: BTreeMap<String, String>,
    /// As what its bill has it: the day of the last charge, what was sold, whether a commitment covers it.
    sold: Option<(i32, Sold, bool)>,
    /// What it cost, by the bill's service.
    services: BTreeMap<String, Money>,
    /// By currency, then month.
    costs: BTreeMap<String, BTreeMap<i32, Money>>,
    /// When it was last used, µs.
    pub(super) last_use: Option<i64>,
    pub(super) last_change: Option<Deed>,
    pub(super) last_human: Option<Deed>,
}

/// What a resource cost in one currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) to_date: i128,
    pub(super) month: i128,
    pub(super) last_month: i128,
}

impl State {
    /// Takes up what a record says; facts come in order.
    pub(super) fn take_up(&mut self, fact: &Fact) {
        if !matches!(fact.what, What::Touched { .. }) {
            self.saw(fact.at);
        }
        self.knows(&fact.identity);
        match &fact.what {
            What::Charged { currency, month, amount, tags } => {
                if let Some(service) = &fact.identity.service {
                    let cost = self.services.entry(service.clone()).or_default();
                    cost.0 = cost.0.saturating_add(amount.0);
                }
                let months = self.costs.entry(currency.clone()).or_default();
                let cost = months.entry(*month).or_default();
                // 38 digits hold any sum of a bill: the ledger before has refused what they do not.
                cost.0 = cost.0.saturating_add(amount.0);
                let tags = tags.as_ref().and_then(|tags| serde_json::from_str(tags).ok());
                let tags: Map<String, Value> = tags.unwrap_or_default();
                let text = |value: Value| match value {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                self.billed_tags.extend(tags.into_iter().map(|(tag, value)| (tag, text(value))));
            }
            What::Touched { first, last, used, changed, by_human } => {
                self.saw(*first);
                self.saw(*last);
                used.iter().for_each(|at| self.used(*at));
                // Whatever the order in which one hears of them.
                self.last_change = self.last_change.take().max(changed.clone());
                self.last_human = self.last_human.take().max(by_human.clone());
            }
            What::Joined(other) => drop(self.joined.insert(other.clone())),
            What::Parted(other) => drop(self.joined.remove(other)),
            What::Declared(said) => {
                let declared = Declared {
                    at: fact.at,
                    name: said.name.clone(),
                    attributes: said.attributes.clone(),
                    needs: said.needs.iter().cloned().collect(),
                };
                self.part(fact).declared.insert(said.scope.clone(), declared);
            }
            What::Undeclared { scope } => drop(self.part(fact).declared.remove(scope)),
            What::Observed(said) => {
                self.gone_at = None;
                let part = self.part(fact);
                part.observed.clone_from(&said.attributes);
                part.needs = said.needs.iter().cloned().collect();
            }
            What::Changed { patch } => {
                self.gone_at = None;
                if let Ok(patch) = serde_json::from_str(patch) {
                    self.part(fact).change(&patch);
                }
            }
            What::Gone => {
                let part = self.part(fact);
                (part.observed, part.needs) = Default::default();
                // A bucket outlives its policy.
                if self.identity.resource_type == fact.identity.resource_type {
                    self.gone_at = Some(fact.at);
                    self.joined.clear();
                }
            }
            What::Sold { day, sold, committed } => {
                // The latest day's holds, whatever the order in which one hears of them.
                let said = Some((*day, sold.clone(), *committed));
                self.sold = self.sold.take().max(said);
            }
        }
    }

    /// What is known by the type that a fact is of.
    fn part(&mut self, fact: &Fact) -> &mut Part {
        let resource_type = fact.identity.resource_type.clone().unwrap_or_default();
        self.parts.entry(resource_type).or_default()
    }

    /// Something was said of it at an instant.
    pub(super) fn saw(&mut self, at: i64) {
        self.first_seen = Some(self.first_seen.map_or(at, |first| first.min(at)));
        self.last_seen = Some(self.last_seen.map_or(at, |last| last.max(at)));
    }

    /// Whether it is no more: nobody has changed anything of it since it was told so.
    pub(super) fn is_gone(&self) -> bool {
        let is_before = |at: i64| self.last_change.as_ref().is_none_or(|deed| deed.at <= at);
        self.gone_at.is_some_and(is_before)
    }

    /// It was used at an instant.
    pub(super) fn used(&mut self, at: i64) {
        self.last_use = Some(self.last_use.map_or(at, |last| last.max(at)));
    }

    /// What a resource is is believed of whoever said so last.
    fn knows(&mut self, said: &Identity) {
        let Identity { provider, resource_type, account, region, service: _ } = said;
        let own = &mut self.identity;
        for (own, said) in
            [(&mut own.provider, provider), (&mut own.account, account), (&mut own.region, region)]
        {
            if said.is_some() {
                own.clone_from(said);
            }
        }
        let Some(said) = resource_type else { return };
        // Of a bucket and its policy, which have one id, the bucket.
        let is_part = own.resource_type.as_ref().is_some_and(|own| said.starts_with(own.as_str()));
        if !is_part {
            own.resource_type = Some(said.clone());
        }
    }

    /// What was seen of it, and of what was not, what is declared.
    fn attributes(&self) -> BTreeMap<&str, &str> {
        let mut all: BTreeMap<&str, &str> =
            self.parts.values().flat_map(Part::attributes).collect();
        // What was taken away hides what is declared.
        all.retain(|_, value| !value.is_empty());
        all
    }

    /// What the resource is; its id may say what no record did.
    pub(super) fn identity(&self, id: &str) -> Identity {
        let mut identity = self.identity.clone();
        // Of several services the dearest: an instance is charged for traffic, too.
        let dearest =
            self.services.iter().max_by_key(|(name, cost)| (cost.0, std::cmp::Reverse(*name)));
        identity.service = dearest.map(|(name, _)| name.clone());
        if let Some((provider, resource_type)) = id::kind_of(id) {
            identity.provider.get_or_insert_with(|| provider.to_owned());
            identity.resource_type.get_or_insert_with(|| resource_type.into_owned());
        }
        let attributes = self.attributes();
        let region = attributes.get("region").or(attributes.get("location"));
        if let Some(region) = region {
            identity.region.get_or_insert_with(|| (*region).to_owned());
        }
        identity
    }

    /// What its declaration calls it.
    pub(super) fn name(&self) -> Option<String> {
        let main = self.parts.get(self.identity.resource_type.as_deref()?);
        let named = |part: &Part| part.latest()?.name.clone();
        main.and_then(named).or_else(|| self.parts.values().find_map(named))
    }

    /// Whether a document declares it.
    pub(super) fn is_declared(&self) -> bool {
        self.parts.values().any(|part| !part.declared.is_empty())
    }

    /// Its tags: what the bill says, what is declared, what was seen; the later of these holds.
    pub(super) fn tags(&self) -> BTreeMap<String, String> {
        let mut tags = self.billed_tags.clone();
        for (path, value) in self.attributes() {
            let tag = TAGS.iter().find_map(|top| tag(path, top));
            if let Some(tag) = tag {
                tags.insert(tag, value.to_owned());
            }
        }
        tags
    }

    /// What size it is of: as it was seen or declared, else as it is billed.
    pub(super) fn size(&self, id: &str) -> Option<String> {
        let attributes = self.attributes();
        let kind = self.identity(id).resource_type;
        let of_type =
            SIZES.iter().find(|(of, _)| kind.as_deref() == Some(of)).map(|(_, size)| size);
        let size = attributes.get(of_type.copied().unwrap_or(SIZE)).copied();
        size.map(str::to_owned).or_else(|| Some(self.sold.as_ref()?.1.size.clone()))
    }

    /// As what it is sold, with its size as it was last seen; none where no size is known.
    pub(super) fn sold(&self, id: &str) -> Option<Sold> {
        let size = self.size(id)?.to_ascii_lowercase();
        if let Some((_, sold, _)) = &self.sold {
            return Some(Sold { size, ..sold.clone() });
        }
        let identity = self.identity(id);
        Some(Sold {
            provider: identity.provider.unwrap_or_default(),
            region: identity.region.unwrap_or_default(),
            terms: String::new(),
            currency: self.costs(0).first().map_or("", |(currency, _)| *currency).to_owned(),
            size,
        })
    }

    /// Whether a commitment covered its last charge.
    pub(super) fn is_committed(&self) -> bool {
        self.sold.as_ref().is_some_and(|(_, _, committed)| *committed)
    }

    /// Whether it is known to be stopped.
    pub(super) fn is_stopped(&self) -> bool {
        let attributes = self.attributes();
        let states = RUNS.iter().filter_map(|path| attributes.get(path));
        let is_stopped = |state: &&str| {
            let state = state.to_ascii_lowercase();
            state.contains("stopped") || state.contains("deallocated") || state == "terminated"
        };
        states.copied().any(|state| is_stopped(&state))
    }

    /// Ids of the resources that it needs.
    pub(super) fn needs(&self) -> BTreeSet<&str> {
        let latest = self.parts.values().filter_map(Part::latest);
        let declared = latest.flat_map(|declared| &declared.needs);
        let observed = self.parts.values().flat_map(|part| &part.needs);
        declared.chain(observed).chain(&self.joined).map(String::as_str).collect()
    }

    /// What it cost by the end of a day of a month, by currency; the dearest first.
    pub(super) fn costs(&self, month: i32) -> Vec<(&str, Cost)> {
        let mut costs: Vec<_> = self
            .costs
            .iter()
            .map(|(currency, months)| {
                let of = |month: i32| months.get(&month).map_or(0, |money| money.0);
                let to_date = months.values().map(|money| money.0).sum();
                let cost = Cost { to_date, month: of(month), last_month: of(month - 1) };
                (currency.as_str(), cost)
            })
            .collect();
        costs.sort_by_key(|(_, cost)| std::cmp::Reverse(cost.to_date.unsigned_abs()));
        costs
    }
}

/// Which records a row rests on, by stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sources {
    streams: BTreeMap<String, Cause>,
    /// When each last spoke.
    last: BTreeMap<String, i64>,
}

impl Sources {
    /// More records, that spoke at an instant.
    pub(super) fn add(&mut self, at: i64, cause: &Cause) {
        let known = self.streams.entry(cause.source.clone()).or_insert_with(|| cause.clone());
        known.merge(cause);
        let last = self.last.entry(cause.source.clone()).or_insert(at);
        *last = (*last).max(at);
    }

    /// Those of the stream that spoke last.
    pub(super) fn last(&self) -> Option<&Cause> {
        let last = self.last.iter().max_by_key(|(source, at)| (**at, *source));
        self.streams.get(last?.0)
    }

    /// All of them, as a JSON array.
    pub(super) fn text(&self) -> String {
        let all = self.streams.values().map(|Cause { source, partition, from, to }| {
            serde_json::json!({"source": source, "partition": partition, "from": from, "to": to})
        });
        Value::Array(all.collect()).to_string()
    }
}
