//! Whose costs are whose: an allocation as it is written, and as the operator needs it.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::DIRECT;
use crate::bill::Dimension;
use crate::bill::key::{Symbol, Symbols};
use crate::rollup::By;
use crate::{Error, Result};

/// Costs by target, with rules for those that several targets share.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allocation {
    /// Its name in results.
    pub name: String,
    /// What a target is: a charge is its target's own cost where no rule takes it. `account`,
    /// `provider`, `billing_account`, `service`, or what `bill.by` names, e.g. `tag:team`.
    pub by: By,
    /// Charges that are shared. The first rule that takes a charge has it. Default: none.
    #[serde(default, rename = "rule")]
    pub rules: Vec<Rule>,
}

/// Charges that several targets share, and in which proportion.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name in results; not `direct`, which is what a target's own costs are called.
    pub name: String,
    /// Which charges: by every name here, such as `service` or `tag:kind`, they have one of its
    /// values.
    #[serde(default, rename = "match")]
    pub matches: BTreeMap<String, Vec<String>>,
    /// In place of `match`: charges without a target. Default: false.
    #[serde(default)]
    pub unallocated: bool,
    /// How they are shared.
    pub split: Split,
}

/// How a rule's charges are shared. Direct costs are those of the same billing account, currency and
/// calendar month.
#[derive(Debug, Clone, PartialEq)]
pub enum Split {
    /// `"proportional"`: by direct costs, as far as they are above 0.
    Proportional,
    /// `"even"`: among those whose direct costs are not 0.
    Even,
    /// A table of targets and their weights, above 0, to a millionth: whether they have costs or not.
    Weights(BTreeMap<String, f64>),
}

impl<'de> Deserialize<'de> for Split {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = Split;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "\"proportional\", \"even\" or a table of weights such as { search = 2 }",
                )
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> std::result::Result<Split, E> {
                match name {
                    "proportional" => Ok(Split::Proportional),
                    "even" => Ok(Split::Even),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(name), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                weights: A,
            ) -> std::result::Result<Split, A::Error> {
                BTreeMap::deserialize(MapAccessDeserializer::new(weights)).map(Split::Weights)
            }
        }
        deserializer.deserialize_any(Written)
    }
}

/// An allocation with names looked up.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) name: String,
    /// What a target is, by place among the operator's names.
    by: usize,
    pub(super) rules: Vec<Shared>,
}

/// A rule with names looked up.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) name: String,
    takes: Takes,
    pub(super) weights: Weights,
}

#[derive(Debug, Clone)]
enum Takes {
    /// Names by place, and what each may be.
    Named(Vec<(usize, Vec<String>)>),
    Unallocated,
}

/// In which proportion targets share.
#[derive(Debug, Clone)]
pub(super) enum Weights {
    /// By direct costs above 0.
    Proportional,
    /// Those with direct costs alike.
    Even,
    /// Targets in order of name; in millionths.
    Fixed(Vec<(Symbol, u128)>),
}

impl Plan {
    /// An allocation over totals that are told apart by `told_apart`; what it asks of charges is added
    /// to `names`.
    ///
    /// # Errors
    /// [`Error::Configuration`] naming the rule and what is wrong with it.
    pub(super) fn new(
        allocation: &Allocation,
        told_apart: &[Dimension],
        names: &mut Vec<By>,
        symbols: &mut Symbols,
    ) -> Result<Self> {
        let Allocation { name, by, rules } = allocation;
        let refused = |what: &str| Error::Configuration(format!("allocation {name:?}: {what}"));
        if name.is_empty() {
            return Err(refused("it needs a name"));
        }
        let by = place(by, told_apart, names).map_err(|what| refused(&format!("by: {what}")))?;
        let mut known: Vec<Shared> = Vec::with_capacity(rules.len());
        for rule in rules {
            let refused = |what: &str| refused(&format!("rule {:?}: {what}", rule.name));
            if rule.name.is_empty() || rule.name == DIRECT {
                return Err(refused("it needs a name, and another than \"direct\""));
            }
            if known.iter().any(|other| other.name == rule.name) {
                return Err(refused("it is named twice"));
            }
            known.push(Shared {
                name: rule.name.clone(),
                takes: takes(rule, told_apart, names).map_err(|what| refused(&what))?,
                weights: weights(&rule.split, symbols).map_err(|what| refused(&what))?,
            });
        }
        Ok(Self { name: name.clone(), by, rules: known })
    }

    /// Which rule takes a charge of these names, counted from 1, or 0; and whose it is if none does.
    pub(super) fn of<'a>(&self, names: &'a [Option<Box<str>>]) -> (u16, Option<&'a str>) {
        let name = |place: usize| names[place].as_deref().filter(|name| !name.is_empty());
        let target = name(self.by);
        let taken = self.rules.iter().position(|rule| match &rule.takes {
            Takes::Named(named) => named.iter().all(|(place, values)| {
                name(*place).is_some_and(|name| values.iter().any(|value| value == name))
            }),
            Takes::Unallocated => target.is_none(),
        });
        match taken {
            Some(rule) => (rule as u16 + 1, None),
            None => (0, target),
        }
    }
}

/// The place of a name that is asked of charges.
fn place(
    by: &By,
    told_apart: &[Dimension],
    names: &mut Vec<By>,
) -> std::result::Result<usize, String> {
    if let By::Dimension(dimension) = by
        && !told_apart.contains(dimension)
    {
        return Err(format!("totals are not told apart by {by}: add it to bill.by"));
    }
    Ok(names.iter().position(|known| known == by).unwrap_or_else(|| {
        names.push(by.clone());
        names.len() - 1
    }))
}

fn takes(
    rule: &Rule,
    told_apart: &[Dimension],
    names: &mut Vec<By>,
) -> std::result::Result<Takes, String> {
    match (rule.matches.is_empty(), rule.unallocated) {
        (true, true) => return Ok(Takes::Unallocated),
        (false, false) => {}
        _ => return Err("it needs either match, by a name or more, or unallocated = true".into()),
    }
    let mut named = Vec::with_capacity(rule.matches.len());
    for (by, values) in &rule.matches {
        let place = place(&By::try_from(by.clone())?, told_apart, names)
            .map_err(|what| format!("match: {what}"))?;
        if values.is_empty() || values.iter().any(String::is_empty) {
            return Err(format!("match: {by} needs values, none of them empty"));
        }
        named.push((place, values.clone()));
    }
    Ok(Takes::Named(named))
}

fn weights(split: &Split, symbols: &mut Symbols) -> std::result::Result<Weights, String> {
    let weights = match split {
        Split::Proportional => return Ok(Weights::Proportional),
        Split::Even => return Ok(Weights::Even),
        Split::Weights(weights) => weights,
    };
    let mut fixed = Vec::with_capacity(weights.len());
    for (target, weight) in weights {
        let millionths = (weight * 1e6).round();
        if target.is_empty() || !(1.0..=1e15).contains(&millionths) {
            return Err(format!(
                "split: the weight of {target:?} is {weight}: from 0.000001 to 1e9"
            ));
        }
        fixed.push((symbols.of(target), millionths as u128));
    }
    if fixed.is_empty() {
        Err("split: a table of weights names a target".into())
    } else {
        Ok(Weights::Fixed(fixed))
    }
}
