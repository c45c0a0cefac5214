//! Plain documents, YAML or JSON: resources and their attributes, declared by hand or listed by a script.
//!
//! ```yaml
//! time: 2026-01-05T10:15:00Z   # default: the date in the path
//! scope: shop                  # default: by the path
//! resources:
//! - id: i-0abc
//!   type: aws_instance
//!   provider: aws              # default: what the type begins with
//!   name: web
//!   attributes: {instance_type: m5.large}
//! ```

use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::record::Fault;
use super::{Document, Item, instant, provider_of, values};
use crate::Result;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(default)]
    time: Value,
    scope: Option<String>,
    resources: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resource {
    id: String,
    #[serde(rename = "type")]
    resource_type: String,
    provider: Option<String>,
    name: Option<String>,
    #[serde(default)]
    attributes: Map<String, Value>,
}

pub(super) fn document(text: &str) -> Result<Document, Fault> {
    let mut all = values(text)?;
    if all.len() != 1 {
        return Err(Fault::of(format!("{} documents in one file: write a file each", all.len())));
    }
    let text: Text = serde_json::from_value(all.remove(0))
        .map_err(|error| Fault::of(format!("not a list of resources: {error}")))?;
    let items = text.resources.into_iter().map(|resource| {
        let resource: Resource = serde_json::from_value(resource)
            .map_err(|error| Fault::fixed("resources", error.to_string()))?;
        if resource.id.is_empty() || resource.resource_type.is_empty() {
            return Err(Fault::fixed("resources", "id and type must not be empty"));
        }
        let provider = resource.provider.as_deref().unwrap_or(provider_of(&resource.resource_type));
        Ok(Item {
            provider: provider.to_owned(),
            id: resource.id,
            resource_type: resource.resource_type,
            name: resource.name,
            attributes: Value::Object(resource.attributes),
        })
    });
    Ok(Document { items: items.collect(), at: instant(&text.time, "time")?, scope: text.scope })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_listed() {
        let text = "
time: 2026-01-05T10:15:00Z
scope: shop
resources:
- {id: i-1, type: aws_instance, attributes: {size: 1}}
- {id: vm, type: machine, provider: own}
- {id: x}
";
        let document = document(text).unwrap();
        let found: Vec<_> = document
            .items
            .iter()
            .map(|item| item.as_ref().map(|item| &*item.provider).ok())
            .collect();
        assert_eq!(found, [Some("aws"), Some("own"), None]);
        assert_eq!(document.scope.as_deref(), Some("shop"));
        assert_eq!(document.at, Some(1_767_608_100_000_000));
        for wrong in [
            "resources: 1",
            "resource: []",
            "time: 3\nresources: []",
            "resources: []\n---\nresources: []",
        ] {
            assert!(super::document(wrong).is_err(), "{wrong}");
        }
    }
}
