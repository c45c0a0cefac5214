//! SQL text to statements: where one ends, and which may run.
//!
//! The catalog is written by the dataflow alone, so a session reads. It may
//! also name a query (`CREATE VIEW`, gone with the session), write a query's
//! rows to files of the user's (`COPY … TO`) and change its own settings.

use datafusion::common::TableReference;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{DdlStatement, LogicalPlan};
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{SetExpr, Statement as SqlStatement};
use datafusion::sql::sqlparser::dialect::GenericDialect;

use crate::{Error, Result, table, view};

/// The statements of a text, separated by semicolons.
///
/// # Errors
/// [`Error::Query`] where the text is no SQL; the message has line and column.
pub fn parse(text: &str) -> Result<Vec<Statement>> {
    let mut parser = DFParserBuilder::new(text).with_dialect(&GenericDialect {}).build()?;
    Ok(parser.parse_statements()?.into())
}

/// Whether a text is one query with a condition of its own: `SELECT … WHERE …`, not of all rows.
///
/// # Errors
/// [`Error::Query`] where the text is no SQL, [`Error::Configuration`] where it is no single `SELECT`.
pub fn has_condition(text: &str) -> Result<bool> {
    let refused = || Error::Configuration("the text must be one SELECT".to_owned());
    let mut statements = parse(text)?;
    let (Some(Statement::Statement(only)), true) = (statements.pop(), statements.is_empty()) else {
        return Err(refused());
    };
    let SqlStatement::Query(query) = *only else { return Err(refused()) };
    let SetExpr::Select(select) = *query.body else { return Err(refused()) };
    Ok(select.selection.is_some_and(|condition| {
        let bare = condition.to_string().to_ascii_lowercase().replace([' ', '(', ')'], "");
        !matches!(bare.as_str(), "true" | "1=1")
    }))
}

/// Whether a text, as typed so far, ends with a whole statement: a semicolon
/// outside of quotes and comments, with nothing after it.
#[must_use]
pub fn is_complete(text: &str) -> bool {
    let mut complete = false;
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match (character, rest.peek()) {
            ('-', Some('-')) => {
                rest.by_ref().find(|next| *next == '\n');
            }
            ('/', Some('*')) => {
                let mut last = ' ';
                let closed = rest.by_ref().skip(1).any(|next| {
                    let end = last == '*' && next == '/';
                    last = next;
                    end
                });
                if !closed {
                    return false;
                }
            }
            // A doubled quote inside a literal closes it and opens the next.
            ('\'' | '"', _) => {
                if !rest.by_ref().any(|next| next == character) {
                    return false;
                }
                complete = false;
            }
            (';', _) => complete = true,
            (blank, _) if blank.is_whitespace() => {}
            _ => complete = false,
        }
    }
    complete
}

/// Refuses a plan that would change what is not the session's own.
///
/// `catalog` is the catalog's folder where that is a local one: `COPY` must
/// not write there.
///
/// # Errors
/// [`Error::Refused`] names the statement and what to do instead.
pub(crate) fn permit(plan: &LogicalPlan, catalog: Option<&std::path::Path>) -> Result<()> {
    let mut refused = None;
    plan.apply_with_subqueries(|node| {
        refused = refusal(node, catalog);
        Ok(match refused {
            Some(_) => TreeNodeRecursion::Stop,
            None => TreeNodeRecursion::Continue,
        })
    })?;
    refused.map_or(Ok(()), Err)
}

fn refusal(node: &LogicalPlan, catalog: Option<&std::path::Path>) -> Option<Error> {
    let refuse = |statement: &str, instead: &str| {
        Some(Error::Refused { statement: statement.to_owned(), instead: instead.to_owned() })
    };
    match node {
        LogicalPlan::Ddl(DdlStatement::CreateView(create)) => {
            let name = &create.name;
            if is_builtin(name) {
                return refuse(
                    &format!("CREATE VIEW {name}"),
                    "a table or view of the catalog has this name: choose another",
                );
            }
            None
        }
        LogicalPlan::Ddl(DdlStatement::DropView(drop)) if !is_builtin(&drop.name) => None,
        LogicalPlan::Ddl(ddl) => refuse(
            ddl.name(),
            "tables are written by the dataflow alone; use CREATE VIEW to name a query or COPY (…) TO 'file' to keep its rows",
        ),
        LogicalPlan::Dml(dml) => refuse(
            &dml.op.to_string(),
            "tables are written by the dataflow alone; use COPY (…) TO 'file' to keep a query's rows",
        ),
        LogicalPlan::Copy(copy) if is_within(&copy.output_url, catalog) => refuse(
            &format!("COPY TO '{}'", copy.output_url),
            "this is the catalog's own folder, where every file is named by the log: choose another",
        ),
        _ => None,
    }
}

/// Whether a name is taken by a table or view of the catalog.
fn is_builtin(name: &TableReference) -> bool {
    let name = name.table();
    table::find(name).is_some() || view::find(name).is_some()
}

/// Whether a `COPY` would write into the folder, however its path is spelled.
fn is_within(output: &str, folder: Option<&std::path::Path>) -> bool {
    let Some(folder) = folder.and_then(|folder| folder.canonicalize().ok()) else { return false };
    let local = output.strip_prefix("file://").unwrap_or(output);
    let Ok(target) = std::path::absolute(local) else { return false };
    // The file itself need not exist yet: its nearest existing folder decides.
    target
        .ancestors()
        .find_map(|ancestor| ancestor.canonicalize().ok())
        .is_some_and(|nearest| nearest.starts_with(&folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_of_everything_has_no_condition() {
        assert!(has_condition("select a from t where b = 1 limit 3").unwrap());
        for all in
            ["select a from t", "select a from t where true", "select a from t where (1 = 1)"]
        {
            assert!(!has_condition(all).unwrap(), "{all}");
        }
        for none in
            ["select a from t where b union select 1", "select 1; select 2", "set a = 1", ""]
        {
            assert!(has_condition(none).is_err(), "{none}");
        }
    }

    #[test]
    fn a_statement_is_complete_at_a_semicolon_outside_of_quotes_and_comments() {
        for (text, complete) in [
            ("", false),
            ("select 1", false),
            ("select 1;", true),
            ("select 1; \n ", true),
            ("select 1; -- done", true),
            ("select 1; select 2", false),
            ("select ';", false),
            ("select ';'", false),
            ("select ';';", true),
            ("select 'it''s';", true),
            ("select \"a;b\" from t;", true),
            ("select 1 -- ;", false),
            ("select 1 /* ;", false),
            ("select 1 /* ; */", false),
            ("select 1 /* x **/;", true),
            ("select 4/2;", true),
            ("select 1 - -1;", true),
        ] {
            assert_eq!(is_complete(text), complete, "{text:?}");
        }
    }

    #[test]
    fn a_text_has_many_statements() {
        assert_eq!(parse("select 1; select ';' ;; -- the end").unwrap().len(), 2);
        assert!(parse("selec 1").unwrap_err().to_string().contains("selec"));
    }
}
