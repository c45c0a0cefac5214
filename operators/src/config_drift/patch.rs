//! Changes of some attributes, as an audit event tells them.
//!
//! As JSON: `set` gives paths values (null takes one away), `add` and `remove` an element of a set,
//! `drop` takes away everything at or below a path.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::attributes::{Attributes, element, flatten};

/// What one event changes of one resource.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Patch {
    /// Attributes, laid out as in a document; what is null or empty is taken away.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(super) set: Map<String, Value>,
    /// By the path of a set, elements that come to it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) add: BTreeMap<String, Vec<Value>>,
    /// By the path of a set, elements that leave it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) remove: BTreeMap<String, Vec<Value>>,
    /// Paths of which everything is taken away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) drop: Vec<String>,
}

impl Patch {
    /// As the body of a fact.
    #[must_use]
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What becomes of paths: their new value, or none. `now` says what each has; `known` are all paths.
    pub(crate) fn apply<'a>(
        &self,
        now: impl Fn(&str) -> Option<&'a str>,
        known: impl Iterator<Item = &'a str>,
    ) -> BTreeMap<String, Option<String>> {
        let mut changed: BTreeMap<String, Option<String>> = BTreeMap::new();
        for path in known {
            if self.drop.iter().any(|top| is_at_or_below(path, top)) {
                changed.insert(path.to_owned(), None);
            }
        }
        let set: Attributes = flatten(&Value::Object(self.set.clone()));
        for path in empties(&self.set) {
            changed.insert(path, None);
        }
        changed.extend(set.into_iter().map(|(path, value)| (path, Some(value))));
        for (elements, is_new) in [(&self.remove, false), (&self.add, true)] {
            for (path, elements) in elements {
                let before = match changed.get(path) {
                    Some(value) => value.as_deref(),
                    None => now(path),
                };
                let value = with_elements(before, elements, is_new);
                changed.insert(path.clone(), value);
            }
        }
        changed
    }
}

/// Whether a path is another, or lies below it.
#[must_use]
pub(super) fn is_at_or_below(path: &str, top: &str) -> bool {
    path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Paths of an object that say nothing: they are taken away.
fn empties(set: &Map<String, Value>) -> Vec<String> {
    fn walk(value: &Value, path: String, found: &mut Vec<String>) {
        match value {
            Value::Object(object) if !object.is_empty() => {
                for (key, value) in object {
                    walk(value, super::attributes::below(&path, key), found);
                }
            }
            other if flatten(other).is_empty() => found.push(path),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for (key, value) in set {
        walk(value, super::attributes::below("", key), &mut found);
    }
    found
}

/// A set with more elements, or less.
fn with_elements(before: Option<&str>, elements: &[Value], is_new: bool) -> Option<String> {
    let before = before.and_then(|text| serde_json::from_str::<Vec<Value>>(text).ok());
    let mut set: Vec<String> = before.iter().flatten().filter_map(element).collect();
    let elements: Vec<String> = elements.iter().filter_map(element).collect();
    if is_new {
        set.extend(elements);
    } else {
        set.retain(|known| !elements.contains(known));
    }
    set.sort_unstable();
    set.dedup();
    (!set.is_empty()).then(|| format!("[{}]", set.join(",")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn applied(patch: Value, now: &[(&str, &str)]) -> Vec<(String, Option<String>)> {
        let patch: Patch = serde_json::from_value(patch).unwrap();
        let value = |path: &str| now.iter().find(|(known, _)| *known == path).map(|(_, v)| *v);
        patch.apply(value, now.iter().map(|(path, _)| *path)).into_iter().collect()
    }

    #[test]
    fn sets_gain_and_lose_elements() {
        let rule = |port: u16| json!({"from_port": port, "cidr_blocks": ["0.0.0.0/0"]});
        let one = r#"[{"cidr_blocks":["0.0.0.0/0"],"from_port":"80"}]"#;
        let two = r#"[{"cidr_blocks":["0.0.0.0/0"],"from_port":"22"},{"cidr_blocks":["0.0.0.0/0"],"from_port":"80"}]"#;
        let path = || "ingress".to_owned();
        assert_eq!(
            applied(json!({"add": {"ingress": [rule(22)]}}), &[("ingress", one)]),
            [(path(), Some(two.to_owned()))]
        );
        assert_eq!(
            applied(json!({"remove": {"ingress": [rule(22)]}}), &[("ingress", two)]),
            [(path(), Some(one.to_owned()))]
        );
        assert_eq!(
            applied(json!({"remove": {"ingress": [rule(80)]}}), &[("ingress", one)]),
            [(path(), None)]
        );
    }

    #[test]
    fn what_is_set_to_nothing_is_taken_away() {
        let now = [("tags.a", "1"), ("tags.b", "2"), ("tagsy", "3"), ("size", "80")];
        let gone = |path: &str| (path.to_owned(), None);
        assert_eq!(applied(json!({"set": {"tags": {"a": null}}}), &now), [gone("tags.a")]);
        assert_eq!(applied(json!({"drop": ["tags"]}), &now), [gone("tags.a"), gone("tags.b")]);
        let set = applied(json!({"drop": ["tags"], "set": {"tags": {"b": "4"}}}), &now);
        assert_eq!(set, [gone("tags.a"), ("tags.b".to_owned(), Some("4".to_owned()))]);
    }
}
