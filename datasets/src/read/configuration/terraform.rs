//! Terraform: its state (format 4), and a plan or a state as `terraform show -json` writes it (format 1).
//!
//! What a document declares are the resources that it manages, with their attributes; data sources are
//! not. A resource that is only planned has no id yet and cannot be compared: declare it from the
//! state that the plan's application leaves.
//!
//! Formats: <https://developer.hashicorp.com/terraform/internals/json-format>; the state's own is
//! described by its version in Terraform's source.

use serde_json::Value;

use super::super::record::Fault;
use super::{Document, Item, instant, provider_of, values};
use crate::Result;

pub(super) fn document(text: &str) -> Result<Document, Fault> {
    let values = values(text)?;
    let value = &values[0];
    if value["version"].is_number() {
        return state(value);
    }
    let root = [&value["planned_values"]["root_module"], &value["values"]["root_module"]];
    let Some(root) = root.into_iter().find(|root| root.is_object()) else {
        return Err(Fault::of(
            "no Terraform state of version 4, and no plan or state as `terraform show -json` writes it",
        ));
    };
    let mut items = Vec::new();
    module(root, &mut items);
    Ok(Document { at: instant(&value["timestamp"], "timestamp")?, scope: None, items })
}

fn state(value: &Value) -> Result<Document, Fault> {
    if value["version"] != 4 {
        let reason = format!("version {}: only 4 is known", value["version"]);
        return Err(Fault::fixed("version", reason));
    }
    let Some(resources) = value["resources"].as_array() else {
        return Err(Fault::fixed("resources", "missing"));
    };
    let mut items = Vec::new();
    for resource in resources.iter().filter(|resource| resource["mode"] == "managed") {
        let text = |key: &str| resource[key].as_str().unwrap_or_default();
        let module = match text("module") {
            "" => String::new(),
            module => format!("{module}."),
        };
        for instance in resource["instances"].as_array().into_iter().flatten() {
            let index = match &instance["index_key"] {
                Value::Null => String::new(),
                key => format!("[{key}]"),
            };
            let name = format!("{module}{}.{}{index}", text("type"), text("name"));
            let mut attributes = instance["attributes"].clone();
            for path in instance["sensitive_attributes"].as_array().into_iter().flatten() {
                // The first step of a path: the attribute that it is in.
                let top = path[0]["value"].as_str().or_else(|| path["value"].as_str());
                hide(&mut attributes, top);
            }
            items.push(item(text("type"), name, attributes));
        }
    }
    Ok(Document { at: None, scope: None, items })
}

/// Resources of a module and those in it.
fn module(module: &Value, items: &mut Vec<Result<Item, Fault>>) {
    for resource in module["resources"].as_array().into_iter().flatten() {
        if resource["mode"] != "managed" {
            continue;
        }
        let text = |key: &str| resource[key].as_str().unwrap_or_default();
        let mut attributes = resource["values"].clone();
        for (name, sensitive) in resource["sensitive_values"].as_object().into_iter().flatten() {
            if contains_true(sensitive) {
                hide(&mut attributes, Some(name));
            }
        }
        items.push(item(text("type"), text("address").to_owned(), attributes));
    }
    for child in module["child_modules"].as_array().into_iter().flatten() {
        self::module(child, items);
    }
}

fn contains_true(value: &Value) -> bool {
    match value {
        Value::Bool(flag) => *flag,
        Value::Array(elements) => elements.iter().any(contains_true),
        Value::Object(object) => object.values().any(contains_true),
        _ => false,
    }
}

/// Takes an attribute out that is not to be seen.
fn hide(attributes: &mut Value, name: Option<&str>) {
    if let (Some(attributes), Some(name)) = (attributes.as_object_mut(), name) {
        attributes.remove(name);
    }
}

fn item(resource_type: &str, name: String, attributes: Value) -> Result<Item, Fault> {
    if resource_type.is_empty() {
        return Err(Fault::fixed("type", "missing"));
    }
    // What events and inventories call the resource, where that is not the id.
    let key = match resource_type {
        "aws_db_instance" => "identifier",
        "aws_cloudtrail" => "name",
        _ => "id",
    };
    let Some(id) = attributes[key].as_str().filter(|id| !id.is_empty()) else {
        let reason = format!("{name} has none yet: declare it from the state, once it is applied");
        return Err(Fault::field(format!("attributes.{key}"), reason));
    };
    Ok(Item {
        id: id.to_owned(),
        provider: provider_of(resource_type).to_owned(),
        resource_type: resource_type.to_owned(),
        name: Some(name),
        attributes,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(document: &Value) -> Vec<String> {
        let items = super::document(&document.to_string()).unwrap().items;
        let names = items.into_iter().map(|item| match item {
            Ok(item) => format!("{} {} {}", item.provider, item.id, item.name.unwrap_or_default()),
            Err(fault) => fault.reason,
        });
        names.collect()
    }

    #[test]
    fn a_state_declares_what_it_manages() {
        let state = json!({"version": 4, "terraform_version": "1.9.0", "serial": 3, "lineage": "l", "resources": [
            {"mode": "data", "type": "aws_ami", "name": "a", "instances": [{"attributes": {"id": "ami-1"}}]},
            {"mode": "managed", "type": "aws_instance", "name": "web", "module": "module.shop", "instances": [
                {"index_key": 0, "attributes": {"id": "i-1"}}, {"index_key": "b", "attributes": {"id": "i-2"}}]},
            {"mode": "managed", "type": "aws_db_instance", "name": "db", "instances": [
                {"attributes": {"id": "db-ABC", "identifier": "shop", "password": "x"},
                 "sensitive_attributes": [[{"type": "get_attr", "value": "password"}]]}]},
        ]});
        assert_eq!(
            names(&state),
            [
                "aws i-1 module.shop.aws_instance.web[0]",
                "aws i-2 module.shop.aws_instance.web[\"b\"]",
                "aws shop aws_db_instance.db",
            ]
        );
        let items = document(&state.to_string()).unwrap().items;
        assert!(!format!("{items:?}").contains("password"), "what is sensitive is not read");
    }

    #[test]
    fn a_plan_declares_what_it_will_leave() {
        let plan = json!({"format_version": "1.2", "timestamp": "2026-01-05T10:15:00Z", "planned_values": {"root_module": {
            "resources": [{"address": "azurerm_kubernetes_cluster.a", "mode": "managed",
                "type": "azurerm_kubernetes_cluster", "values": {"id": "/sub/a"}}],
            "child_modules": [{"resources": [{"address": "module.m.aws_instance.new", "mode": "managed",
                "type": "aws_instance", "values": {"instance_type": "t3.micro"}}]}]}}});
        let found = names(&plan);
        assert_eq!(found[0], "azure /sub/a azurerm_kubernetes_cluster.a");
        assert!(found[1].contains("module.m.aws_instance.new has none yet"), "{found:?}");
        assert!(document(&plan.to_string()).unwrap().at.is_some());
        assert!(document("{}").is_err());
        assert!(document(r#"{"version": 3}"#).unwrap_err().reason.contains("only 4"));
    }
}
