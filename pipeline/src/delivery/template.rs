//! What is said of an alert: text with `{{column}}` in the place of a column of `alerts`.
//!
//! `{{#column}}…{{/column}}` is said only where the row has that column; sections do not hold sections. A
//! column that a row lacks is empty. Unknown columns are refused before anything starts.

use anyhow::{Context, Result, bail, ensure};
use cloudops_sql::alerts::columns;
use cloudops_sql::catalog::delivery::shown;
use serde_json::{Map, Value};

/// What is said where nothing is configured.
pub const TEXT: &str = "{{kind}} alert {{event}}: {{entity_id}} of {{source}} at {{at}}\
    {{#score}}, score {{score}}{{/score}}{{#threshold}} against a limit of {{threshold}}{{/threshold}}\
    {{#top_channel}}, mostly {{top_channel}}{{/top_channel}}";

/// The subject of a mail where nothing is configured.
pub const SUBJECT: &str = "{{kind}} alert {{event}}: {{entity_id}} of {{source}}";

/// A text with places for columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Column(String),
    Section(String, Vec<Part>),
}

impl Template {
    /// A template from its text.
    ///
    /// # Errors
    /// When a brace is not closed, a section does not end, or a column is not one of `alerts`.
    pub fn parse(text: &str) -> Result<Self> {
        let mut parts = Vec::new();
        let mut section: Option<(String, Vec<Part>)> = None;
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}").context("{{ without its closing }}")?;
            let into = section.as_mut().map_or(&mut parts, |(_, parts)| parts);
            if !before.is_empty() {
                into.push(Part::Text(before.to_owned()));
            }
            match name.trim().split_at_checked(1) {
                Some(("#", name)) => {
                    ensure!(section.is_none(), "{{{{#{name}}}}} stands within another section");
                    section = Some((column(name)?, Vec::new()));
                }
                Some(("/", name)) => match section.take() {
                    Some((begun, inner)) if begun == name.trim() => {
                        parts.push(Part::Section(begun, inner));
                    }
                    _ => bail!("{{{{/{name}}}}} ends no section"),
                },
                _ => into.push(Part::Column(column(name)?)),
            }
            rest = after;
        }
        if let Some((name, _)) = section {
            bail!("{{{{#{name}}}}} is not ended by {{{{/{name}}}}}");
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// What it says of a row; `escape` is done to what the row brings, and not to the template's own text.
    pub(crate) fn say(&self, row: &Map<String, Value>, escape: fn(&str) -> String) -> String {
        let mut said = String::new();
        say(&self.0, row, escape, &mut said);
        said
    }
}

fn say(parts: &[Part], row: &Map<String, Value>, escape: fn(&str) -> String, said: &mut String) {
    for part in parts {
        match part {
            Part::Text(text) => said.push_str(text),
            Part::Column(name) => said.push_str(&escape(&shown(row.get(name)))),
            Part::Section(name, inner) => {
                if row.get(name).is_some_and(|value| !value.is_null()) {
                    say(inner, row, escape, said);
                }
            }
        }
    }
}

/// A column's name, which is one of `alerts`.
fn column(name: &str) -> Result<String> {
    let name = name.trim();
    ensure!(
        columns().any(|column| column.name == name),
        "{{{{{name}}}}} is no column of alerts; those are {}",
        columns().map(|column| column.name).collect::<Vec<_>>().join(", ")
    );
    Ok(name.to_owned())
}

/// For texts in which nothing has a meaning.
pub(crate) fn plain(text: &str) -> String {
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &str, said: &str) {
        let row = r#"{"kind":"sensor","entity_id":"<pump>","score":4.5,"techniques":["T1","T2"]}"#;
        let row = serde_json::from_str(row).unwrap();
        let template = Template::parse(template).unwrap();
        assert_eq!(template.say(&row, plain), said);
    }

    #[test]
    fn columns_stand_in_their_places() {
        check("", "");
        check("no column, one } and {", "no column, one } and {");
        check("{{kind}}: {{ entity_id }}!", "sensor: <pump>!");
        check("{{score}}{{top_channel}}", "4.5");
        check("{{techniques}}", r#"["T1","T2"]"#);
        check(
            "a{{#score}} ({{score}}){{/score}}{{#top_channel}}, {{top_channel}}{{/top_channel}}b",
            "a (4.5)b",
        );
    }

    #[test]
    fn only_what_a_row_brings_is_escaped() {
        let row = serde_json::from_str(r#"{"entity_id":"<b>"}"#).unwrap();
        let template = Template::parse("<{{entity_id}}>").unwrap();
        assert_eq!(template.say(&row, |text| text.replace('<', "&lt;")), "<&lt;b>>");
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let check = |template: &str, wrong: &str| {
            let error = Template::parse(template).unwrap_err().to_string();
            assert!(error.contains(wrong), "{template}: {error}");
        };
        check("{{kind", "without its closing");
        check("{{kinds}}", "{{kinds}} is no column of alerts; those are epoch, source");
        check("{{}}", "no column");
        check("{{#kind}}", "{{#kind}} is not ended");
        check("{{/kind}}", "ends no section");
        check("{{#kind}}{{#score}}{{/score}}{{/kind}}", "within another");
        check("{{#kind}}{{/score}}", "ends no section");
    }

    #[test]
    fn the_defaults_are_templates() {
        Template::parse(TEXT).unwrap();
        Template::parse(SUBJECT).unwrap();
    }
}
