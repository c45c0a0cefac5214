//! `cloudops tables`: what there is to ask, and what each column means.

use anyhow::{Result, bail};
use clap::Args;
use cloudops_sql::{table, view};

use super::{print, print_json};

/// List the tables and what their columns mean.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cloudops tables\n  cloudops tables sensor_scores\n  cloudops tables --json"
)]
pub(super) struct Tables {
    /// Only this table, with its columns.
    name: Option<String>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct TableDoc {
    name: &'static str,
    kind: &'static str,
    description: &'static str,
    columns: Vec<ColumnDoc>,
}

#[derive(serde::Serialize)]
struct ColumnDoc {
    name: &'static str,
    r#type: String,
    nullable: bool,
    description: &'static str,
}

impl Tables {
    pub(super) fn execute(self) -> Result<()> {
        let mut docs: Vec<TableDoc> = table::all().map(document).collect();
        docs.extend(view::all().iter().map(|view| TableDoc {
            name: view.name,
            kind: "view",
            description: view.description,
            columns: Vec::new(),
        }));
        if let Some(name) = &self.name {
            docs.retain(|doc| doc.name == name);
            if docs.is_empty() {
                bail!("there is no table {name:?}: `cloudops tables` lists them");
            }
        }
        if self.json {
            return print_json(&docs);
        }
        let mut text = String::new();
        for doc in &docs {
            text += &format!("{:<16} {:<7} {}\n", doc.name, doc.kind, doc.description);
            if self.name.is_some() {
                for column in &doc.columns {
                    let null = if column.nullable { "null" } else { "" };
                    let ColumnDoc { name, r#type, description, .. } = column;
                    text += &format!("  {name:<22} {type:<32} {null:<5} {description}\n");
                }
            }
        }
        print(&text)
    }
}

fn document(table: &'static table::Table) -> TableDoc {
    TableDoc {
        name: table.name,
        kind: match table.kind {
            table::Kind::Result => "result",
            table::Kind::Log => "log",
        },
        description: table.description,
        columns: table
            .columns()
            .map(|column| ColumnDoc {
                name: column.name,
                r#type: column.type_.arrow().to_string(),
                nullable: column.nullable,
                description: column.doc,
            })
            .collect(),
    }
}
