//! A resource's attributes: a JSON object as paths and values that two systems write alike.
//!
//! - Objects become paths: `metadata.labels.app`; a key that is no plain word stands in brackets.
//! - A list of objects that all have a name of their own is told apart by it:
//!   `containers[web].image`.
//! - Any other list is a set: its elements as text, sorted, without what is empty or `false` within
//!   objects, since one system leaves out what another writes.
//! - Text, numbers and flags are compared as text: `"80"` is `80`. What is null or empty is absent.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Paths and values.
pub(crate) type Attributes = BTreeMap<String, String>;

/// What stands in the place of a value that is not to be seen.
pub(super) const MASKED: &str = "(sensitive)";

/// What the names of attributes end with whose values are not to be seen.
const SENSITIVE: [&str; 13] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "privatekey",
    "secretkey",
    "accesskey",
    "apikey",
    "authkey",
    "credential",
    "credentials",
    "connectionstring",
];

/// Masks passwords, keys and tokens: on both sides alike, so they are never compared; and all data
/// of a Kubernetes secret.
pub fn mask(body: &mut Value) {
    if body["data"].is_object() && body["type"].as_str().is_some_and(|kind| kind != "ConfigMap")
        || body["stringData"].is_object()
    {
        for key in ["data", "stringData"] {
            if let Some(data) = body.get_mut(key) {
                *data = Value::from(MASKED);
            }
        }
    }
    mask_below(body);
}

fn mask_below(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let letters = key.chars().filter(|c| c.is_ascii_alphanumeric());
                let name: String = letters.map(|c| c.to_ascii_lowercase()).collect();
                let is_value = !value.is_null() && value.as_str() != Some("");
                match SENSITIVE.iter().any(|end| name.ends_with(end)) {
                    true if is_value && !value.is_boolean() => *value = Value::from(MASKED),
                    _ => mask_below(value),
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(mask_below),
        _ => {}
    }
}

/// The attributes of a JSON object; of anything else its value, at the path ``.
#[must_use]
pub(crate) fn flatten(body: &Value) -> Attributes {
    let mut found = Attributes::new();
    walk(body, String::new(), &mut found);
    found
}

fn walk(value: &Value, path: String, found: &mut Attributes) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                walk(value, below(&path, key), found);
            }
        }
        Value::Array(elements) => {
            if let Some(names) = names(elements) {
                for (name, element) in names.into_iter().zip(elements) {
                    walk(element, format!("{path}[{name}]"), found);
                }
            } else if let Some(set) = set(elements) {
                found.insert(path, set);
            }
        }
        scalar => {
            if let Some(text) = text(scalar) {
                found.insert(path, text);
            }
        }
    }
}

/// The path of a key below another path.
#[must_use]
pub(super) fn below(path: &str, key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match (path, key.chars().all(plain) && !key.is_empty()) {
        ("", true) => key.to_owned(),
        (_, true) => format!("{path}.{key}"),
        (_, false) => format!("{path}[{}]", Value::from(key)),
    }
}

/// The names of a list's elements, where all are objects with one, each its own.
fn names(elements: &[Value]) -> Option<Vec<&str>> {
    let names = elements.iter().map(|element| element.as_object()?.get("name")?.as_str());
    let names: Vec<&str> = names.collect::<Option<_>>()?;
    let mut distinct = names.clone();
    distinct.sort_unstable();
    distinct.dedup();
    (!names.is_empty() && distinct.len() == names.len()).then_some(names)
}

/// A scalar as text; none where it is null or empty.
fn text(scalar: &Value) -> Option<String> {
    match scalar {
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(match number.as_f64() {
            // 1.0 is 1, as long as both are exact.
            Some(float) if float.fract() == 0.0 && float.abs() < 9e15 => (float as i64).to_string(),
            _ => number.to_string(),
        }),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A list as a set; none where nothing is in it.
fn set(elements: &[Value]) -> Option<String> {
    let mut elements: Vec<String> = elements.iter().filter_map(element).collect();
    elements.sort_unstable();
    elements.dedup();
    (!elements.is_empty()).then(|| format!("[{}]", elements.join(",")))
}

/// One element of a set: scalars as JSON text, objects without what is absent.
pub(super) fn element(value: &Value) -> Option<String> {
    match plain(value)? {
        Value::String(text) => Some(Value::String(text).to_string()),
        other => Some(other.to_string()),
    }
}

/// A value within a set, all scalars as text; none where it says nothing.
fn plain(value: &Value) -> Option<Value> {
    match value {
        Value::Bool(false) => None,
        Value::Array(elements) => {
            let mut elements: Vec<Value> = elements.iter().filter_map(plain).collect();
            elements.sort_by_key(Value::to_string);
            (!elements.is_empty()).then_some(Value::Array(elements))
        }
        Value::Object(object) => {
            let kept = object.iter().filter_map(|(key, value)| Some((key.clone(), plain(value)?)));
            // By name, whatever order a build of the JSON library keeps.
            let kept: BTreeMap<String, Value> = kept.collect();
            (!kept.is_empty()).then(|| Value::Object(kept.into_iter().collect::<Map<_, _>>()))
        }
        scalar => text(scalar).map(Value::String),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn two_ways_of_writing_are_one() {
        let check = |left: Value, right: Value| assert_eq!(flatten(&left), flatten(&right));
        check(json!({"size": 80, "on": true}), json!({"on": "true", "size": "80", "none": null}));
        check(json!({"size": 1.0, "list": []}), json!({"size": 1, "text": ""}));
        check(json!({"ids": ["b", "a", "b"]}), json!({"ids": ["a", "b"]}));
        check(
            json!({"ingress": [{"from_port": 22, "cidr_blocks": ["10.0.0.0/8"], "self": false, "description": ""}]}),
            json!({"ingress": [{"cidr_blocks": ["10.0.0.0/8"], "from_port": "22"}]}),
        );
    }

    #[test]
    fn what_is_not_to_be_seen_is_not() {
        let mut body = json!({
            "password": "a", "masterUserPassword": {"x": 1}, "api-key": "b", "token_enabled": "yes",
            "nested": [{"client_secret": "c", "secret": null}], "secret": true,
        });
        mask(&mut body);
        let expected = json!({
            "password": MASKED, "masterUserPassword": MASKED, "api-key": MASKED, "token_enabled": "yes",
            "nested": [{"client_secret": MASKED, "secret": null}], "secret": true,
        });
        assert_eq!(body, expected);
        let mut secret =
            json!({"type": "Opaque", "data": {"a": "eA=="}, "metadata": {"name": "s"}});
        mask(&mut secret);
        assert_eq!(secret["data"], MASKED);
    }

    #[test]
    fn paths_tell_where_a_value_stands() {
        let body = json!({
            "metadata": {"labels": {"app": "web", "app.kubernetes.io/name": "api"}},
            "containers": [{"name": "web", "image": "a:1"}, {"name": "log", "image": "b:1"}],
            "twins": [{"name": "x"}, {"name": "x"}],
            "ratio": 0.5,
        });
        let found = flatten(&body);
        let found: Vec<_> =
            found.iter().map(|(path, value)| (path.as_str(), value.as_str())).collect();
        assert_eq!(
            found,
            [
                ("containers[log].image", "b:1"),
                ("containers[log].name", "log"),
                ("containers[web].image", "a:1"),
                ("containers[web].name", "web"),
                ("metadata.labels.app", "web"),
                ("metadata.labels[\"app.kubernetes.io/name\"]", "api"),
                ("ratio", "0.5"),
                ("twins", r#"[{"name":"x"}]"#),
            ]
        );
    }
}
