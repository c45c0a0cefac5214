//! Events through the kernels that the dataflow runs: to windows, peers, features.

use std::collections::{BTreeMap, HashMap, HashSet};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use bytes::Bytes;
use cloudops_datasets::{AuditSource, Format, open};
use cloudops_operators::epoch::Partition;
use cloudops_operators::feature::audit::AuditFeatures;
use cloudops_operators::peers::{self, Peers};
use cloudops_operators::schema::result::{FEATURES, WINDOW_END};
use cloudops_operators::schema::{ENTITY_ID, texts, times, vectors};
use cloudops_operators::watermark::Watermark;
use cloudops_operators::window::{EitherWindow, WindowSpec};

use crate::{Error, Result};

/// A window as the models see it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Vector {
    pub(super) entity: String,
    /// Its end, µs.
    pub(super) end: i64,
    pub(super) features: Vec<f32>,
    /// Its operations that its principal had never called before, in all its history.
    pub(super) first_seen: usize,
}

/// Events as CloudTrail writes them, to rows; a reject is an error here.
pub(super) fn rows(events: &[String], first: u64) -> Result<Vec<RecordBatch>> {
    let format = Format::CloudTrail(AuditSource::default());
    let text = Bytes::from(events.join("\n"));
    let mut reader = open(text, "events.json", &format, first, 0)?;
    let mut batches = Vec::new();
    while let Some(batch) = reader.next_batch()? {
        if let Some(reject) = batch.rejects.first() {
            return Err(Error::Data(format!("event {}: {}", reject.offset, reject.reason)));
        }
        batches.push(batch.rows);
    }
    Ok(batches)
}

/// The windows of some events, by their end.
pub(super) fn windows(window: WindowSpec, events: &[String]) -> Result<Vec<RecordBatch>> {
    let mut cut = EitherWindow::audit(window)?;
    for rows in rows(events, 0)? {
        cut.push(Partition(0), &rows, None)?;
    }
    Ok(by_end(&cut.advance(Watermark::MAX)?)?.into_values().collect())
}

/// Windows parted by their end.
pub(super) fn by_end(batches: &[RecordBatch]) -> Result<BTreeMap<i64, RecordBatch>> {
    let mut parts: BTreeMap<i64, Vec<RecordBatch>> = BTreeMap::new();
    for batch in batches {
        for (row, end) in times(batch, WINDOW_END)?.iter().enumerate() {
            parts.entry(*end).or_default().push(batch.slice(row, 1));
        }
    }
    let whole = parts.into_iter().map(|(end, parts)| {
        let schema = parts[0].schema();
        let whole = concat_batches(&schema, &parts);
        Ok((end, whole.map_err(cloudops_operators::Error::from)?))
    });
    whole.collect()
}

/// The operations of some windows.
pub(super) fn operations(windows: &RecordBatch) -> Result<HashSet<String>> {
    let asked = peers::operations(windows)?;
    Ok(texts(&asked, peers::OPERATION)?.iter().flatten().map(str::to_owned).collect())
}

/// What the operators remember; a copy of it answers what would have been.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    peers: Peers,
    features: AuditFeatures,
    /// By principal, all operations ever called: the first-seen detector's memory.
    called: HashMap<String, HashSet<String>>,
}

impl Memory {
    /// Windows that end together, to vectors.
    pub(super) fn pass(&mut self, windows: &RecordBatch) -> Result<Vec<Vector>> {
        let asked = peers::operations(windows)?;
        let first_seen = self.first_seen(&asked)?;
        let mut vectors_of = Vec::with_capacity(windows.num_rows());
        for batch in self.peers.append(std::slice::from_ref(windows))? {
            let described = self.features.append(&batch)?;
            let (values, width) = vectors(&described, FEATURES)?;
            let (entities, ends) = (texts(&described, ENTITY_ID)?, times(&described, WINDOW_END)?);
            for (row, end) in ends.iter().enumerate() {
                let entity = entities.value(row).to_owned();
                vectors_of.push(Vector {
                    end: *end,
                    features: values[row * width..(row + 1) * width].to_vec(),
                    first_seen: first_seen.get(&entity).copied().unwrap_or(0),
                    entity,
                });
            }
        }
        Ok(vectors_of)
    }

    /// All operations that anybody has ever called.
    pub(super) fn operations(&self) -> HashSet<String> {
        self.called.values().flatten().cloned().collect()
    }

    fn first_seen(&mut self, asked: &RecordBatch) -> Result<HashMap<String, usize>> {
        let operations = texts(asked, peers::OPERATION)?;
        let entities = texts(asked, ENTITY_ID)?;
        let mut counts = HashMap::new();
        for row in 0..asked.num_rows() {
            let known = self.called.entry(entities.value(row).to_owned()).or_default();
            if known.insert(operations.value(row).to_owned()) {
                *counts.entry(entities.value(row).to_owned()).or_insert(0) += 1;
            }
        }
        Ok(counts)
    }
}
