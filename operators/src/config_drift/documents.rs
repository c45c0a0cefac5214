//! Documents to facts: what a scope's new document says that its last one did not.
//!
//! Rows come by scope ([`crate::schema::configuration`]). Once the watermark has passed a document, it
//! is compared with the one before it: a resource that is new or has other attributes is a fact, one
//! that is no longer named is another. What stays as it was is none, so a document that is delivered
//! again and again costs nothing behind this operator.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, RecordBatch};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fact::{Cause, Fact, What, rows};
use crate::Result;
use crate::epoch::Partition;
use crate::key::{Shard, hash};
use crate::keyed::Keyed;
use crate::resource::id;
use crate::schema::configuration::{BODY, DECLARED, NAME, PROVIDER, RESOURCE_TYPE, SCOPE, SIDE};
use crate::schema::{ENTITY_ID, TS, offsets, texts, times};
use crate::snapshot::{Changes, Extent, Snapshot};
use crate::watermark::Watermark;

/// The operator: every scope's last document.
#[derive(Debug, Clone)]
pub struct Documents {
    /// The stream, for facts to name it.
    source: String,
    scopes: Keyed<Scope>,
    /// Scopes that wait for the watermark, by the time of their documents.
    due: BTreeSet<(i64, String)>,
}

/// A scope's last document, as far as the next one is compared with it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Scope {
    /// By id and type.
    resources: BTreeMap<String, BTreeMap<String, Held>>,
    /// Documents that are not final, by their time.
    pending: BTreeMap<i64, Vec<Row>>,
}

/// A resource as the last document named it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    provider: String,
    /// The id that all streams have for it.
    #[serde(default)]
    canonical: String,
    /// Of name and attributes.
    digest: u64,
}

/// A row of a document.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Row {
    at: i64,
    partition: u32,
    offset: u64,
    is_declared: bool,
    resource: String,
    provider: String,
    resource_type: String,
    name: Option<String>,
    body: Option<String>,
}

impl Row {
    /// Whether it is a document's first row.
    fn is_head(&self) -> bool {
        self.resource.is_empty()
    }
}

impl Documents {
    /// An operator of a stream that has seen no document.
    #[must_use]
    pub fn new(source: &str) -> Self {
        Self { source: source.to_owned(), scopes: Keyed::default(), due: BTreeSet::new() }
    }

    /// Takes in rows of a partition.
    ///
    /// # Errors
    /// [`crate::Error::Column`] when they are not of the schema.
    pub fn push(&mut self, partition: Partition, rows: &RecordBatch) -> Result<()> {
        let [scopes, sides, providers, types, names, bodies] =
            [SCOPE, SIDE, PROVIDER, RESOURCE_TYPE, NAME, BODY].map(|name| texts(rows, name));
        let (scopes, sides, providers) = (scopes?, sides?, providers?);
        let (types, names, bodies) = (types?, names?, bodies?);
        let (resources, at, offsets) = (texts(rows, ENTITY_ID)?, times(rows, TS)?, offsets(rows)?);
        for (row, at) in at.iter().copied().enumerate() {
            let may = |column: &arrow::array::StringArray| {
                column.is_valid(row).then(|| column.value(row).to_owned())
            };
            let scope = scopes.value(row);
            self.due.insert((at, scope.to_owned()));
            self.scopes.entry(scope).pending.entry(at).or_default().push(Row {
                at,
                partition: partition.0,
                offset: offsets.value(row),
                is_declared: sides.value(row) == DECLARED,
                resource: resources.value(row).to_owned(),
                provider: providers.value(row).to_owned(),
                resource_type: types.value(row).to_owned(),
                name: may(names),
                body: may(bodies),
            });
        }
        Ok(())
    }

    /// Compares the documents that the watermark has passed; facts.
    ///
    /// # Errors
    /// When Arrow refuses to build the batch, which is a bug.
    pub fn advance(&mut self, watermark: Watermark) -> Result<Option<RecordBatch>> {
        let mut facts = Vec::new();
        while let Some((at, name)) = self.due.pop_first() {
            if at >= watermark.0 && watermark != Watermark::MAX {
                self.due.insert((at, name));
                break;
            }
            let scope = self.scopes.entry(&name);
            let mut document = scope.pending.remove(&at).unwrap_or_default();
            scope.replace(&name, &self.source, &mut document, &mut facts);
        }
        facts.sort_by(|a: &Fact, b| (a.place(), &a.resource).cmp(&(b.place(), &b.resource)));
        if facts.is_empty() { Ok(None) } else { rows(&facts).map(Some) }
    }

    /// Rows that wait for the watermark.
    #[must_use]
    pub fn pending_rows(&self) -> u64 {
        let pending = self.scopes.iter().flat_map(|(_, scope)| scope.pending.values());
        pending.map(|rows| rows.len() as u64).sum()
    }
}

impl Scope {
    /// Takes a document up in place of the last; what it says anew. Without a head, rows are
    /// news of single resources.
    fn replace(&mut self, name: &str, source: &str, document: &mut [Row], facts: &mut Vec<Fact>) {
        document.sort_by_key(|row| (row.partition, row.offset));
        let head = document.iter().find(|row| row.is_head()).cloned();
        let mut before = match head {
            Some(_) => std::mem::take(&mut self.resources),
            None => BTreeMap::new(),
        };
        for row in document.iter().filter(|row| !row.is_head()) {
            let known = match head {
                Some(_) => {
                    before.get_mut(&row.resource).and_then(|of| of.remove(&row.resource_type))
                }
                None => self
                    .resources
                    .get(&row.resource)
                    .and_then(|of| of.get(&row.resource_type).cloned()),
            };
            let what = match (row.is_declared, row.body.is_some()) {
                (true, true) => What::Declared,
                (true, false) => What::Undeclared,
                (false, true) => What::Observed,
                (false, false) => What::Gone,
            };
            let of_type = self.resources.entry(row.resource.clone()).or_default();
            let is_news = match &row.body {
                Some(body) => {
                    let text = format!("{:?}{body}", row.name);
                    let held = Held {
                        provider: row.provider.clone(),
                        canonical: row.canonical(),
                        digest: hash(text.as_bytes()),
                    };
                    let is_news = known.as_ref() != Some(&held);
                    of_type.insert(row.resource_type.clone(), held);
                    is_news
                }
                None => {
                    of_type.remove(&row.resource_type);
                    known.is_some() || !row.is_declared
                }
            };
            // What was seen is seen again: an event in between may have said otherwise.
            if is_news || what == What::Observed {
                // What is no more has no attributes that would tell.
                let canonical = match known {
                    Some(held) if row.body.is_none() => held.canonical,
                    _ => row.canonical(),
                };
                facts.push(row.fact(name, source, what, canonical));
            }
        }
        let Some(head) = head else { return };
        for (resource, types) in before {
            for (resource_type, held) in types {
                let what = if head.is_declared { What::Undeclared } else { What::Gone };
                let row = Row {
                    resource: resource.clone(),
                    provider: held.provider.clone(),
                    resource_type,
                    name: None,
                    ..head.clone()
                };
                facts.push(row.fact(name, source, what, held.canonical));
            }
        }
    }
}

impl Row {
    /// The id that all streams have for its resource, as far as its attributes tell.
    fn canonical(&self) -> String {
        let body = self.body.as_deref().and_then(|body| serde_json::from_str(body).ok());
        let body: Value = body.unwrap_or_default();
        id::declared(&self.provider, &self.resource_type, &self.resource, &body)
    }

    fn fact(&self, scope: &str, source: &str, what: What, canonical: String) -> Fact {
        Fact {
            resource: self.resource.clone(),
            canonical,
            what,
            scope: scope.to_owned(),
            provider: self.provider.clone(),
            resource_type: self.resource_type.clone(),
            name: self.name.clone(),
            body: self.body.clone(),
            cause: Cause {
                at: self.at,
                source: source.to_owned(),
                partition: self.partition,
                offset: self.offset,
                principal: None,
                operation: None,
                event_id: None,
            },
        }
    }
}

impl Snapshot for Documents {
    fn operator(&self) -> &'static str {
        "documents"
    }

    fn snapshot(&self, shard: Shard, extent: Extent) -> Result<Option<RecordBatch>> {
        self.scopes.snapshot(shard, extent)
    }

    fn restore(&mut self, shard: Shard, state: &RecordBatch) -> Result<()> {
        self.scopes.restore(self.operator(), shard, state)?;
        let waiting = self
            .scopes
            .of(shard)
            .flat_map(|(name, scope)| scope.pending.keys().map(move |at| (*at, name.to_owned())));
        self.due.extend(waiting);
        Ok(())
    }

    fn changes(&self) -> Option<Changes> {
        self.scopes.changes()
    }

    fn saved(&mut self) {
        self.scopes.saved();
    }
}
