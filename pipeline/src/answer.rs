//! What a query answers, as JSON objects: for commands that read a few rows.

use anyhow::Result;
use cloudops_sql::session::Session;
use serde_json::{Map, Value};

/// A query's rows as JSON objects.
pub(crate) async fn rows(session: &mut Session, query: &str) -> Result<Vec<Map<String, Value>>> {
    let batches = session.query(query).await?.collect().await?;
    // As `cloudops sql` gives them: what a row lacks is null, and not left out.
    let explicit = arrow::json::WriterBuilder::new().with_explicit_nulls(true);
    let mut writer = explicit.build::<_, arrow::json::writer::JsonArray>(Vec::new());
    writer.write_batches(&batches.iter().collect::<Vec<_>>())?;
    writer.finish()?;
    let bytes = writer.into_inner();
    Ok(if bytes.is_empty() { Vec::new() } else { serde_json::from_slice(&bytes)? })
}
