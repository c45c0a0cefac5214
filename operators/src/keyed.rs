//! State by key, for operators whose state is a document rather than numbers: written as JSON.
//!
//! Keys are few next to records — resources, not readings — so a snapshot's size matters less than
//! that a state has one definition, its type.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::key::{SHARDS, Shard};
use crate::schema::{ENTITY_ID, texts};
use crate::snapshot::{Changes, Extent};
use crate::{Error, Result};

/// State by key, told apart by shard.
#[derive(Debug, Clone)]
pub(crate) struct Keyed<S> {
    shards: Vec<BTreeMap<String, S>>,
    changed: Vec<BTreeSet<String>>,
}

impl<S> Default for Keyed<S> {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| BTreeMap::new()).collect();
        Self { shards, changed: vec![BTreeSet::new(); SHARDS] }
    }
}

impl<S: Default + Serialize + DeserializeOwned> Keyed<S> {
    /// A key's state, to be changed.
    pub(crate) fn entry(&mut self, key: &str) -> &mut S {
        let shard = usize::from(Shard::of(key).0);
        if !self.changed[shard].contains(key) {
            self.changed[shard].insert(key.to_owned());
        }
        if !self.shards[shard].contains_key(key) {
            self.shards[shard].insert(key.to_owned(), S::default());
        }
        self.shards[shard].get_mut(key).expect("the key was put in above")
    }

    /// A key's state, where there is one.
    pub(crate) fn get(&self, key: &str) -> Option<&S> {
        self.shards[usize::from(Shard::of(key).0)].get(key)
    }

    /// A key's state, where there is one, to be changed in what no snapshot holds.
    pub(crate) fn known_mut(&mut self, key: &str) -> Option<&mut S> {
        self.shards[usize::from(Shard::of(key).0)].get_mut(key)
    }

    /// Every key's state.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &S)> {
        self.shards.iter().flatten().map(|(key, state)| (key.as_str(), state))
    }

    /// The state of a shard's keys.
    pub(crate) fn of(&self, shard: Shard) -> impl Iterator<Item = (&str, &S)> {
        self.shards[usize::from(shard.0)].iter().map(|(key, state)| (key.as_str(), state))
    }

    /// See [`Snapshot::snapshot`](crate::snapshot::Snapshot::snapshot).
    pub(crate) fn snapshot(&self, shard: Shard, extent: Extent) -> Result<Option<RecordBatch>> {
        let shard = usize::from(shard.0);
        let wanted = |key: &str| extent == Extent::Whole || self.changed[shard].contains(key);
        let states = self.shards[shard].iter().filter(|(key, _)| wanted(key));
        let (keys, states): (Vec<&str>, Vec<String>) = states
            .map(|(key, state)| {
                let text = serde_json::to_string(state).expect("a state has text keys");
                (key.as_str(), text)
            })
            .unzip();
        if keys.is_empty() {
            return Ok(None);
        }
        let columns: Vec<ArrayRef> =
            vec![Arc::new(StringArray::from(keys)), Arc::new(StringArray::from(states))];
        Ok(Some(RecordBatch::try_new(schema(), columns)?))
    }

    /// See [`Snapshot::restore`](crate::snapshot::Snapshot::restore).
    pub(crate) fn restore(
        &mut self,
        operator: &'static str,
        shard: Shard,
        state: &RecordBatch,
    ) -> Result<()> {
        let refused = |reason: String| Error::Snapshot { operator, reason };
        if state.schema().fields() != schema().fields() {
            return Err(refused("its columns are not those of this build".to_owned()));
        }
        let (keys, states) = (texts(state, ENTITY_ID)?, texts(state, "state")?);
        let shard = &mut self.shards[usize::from(shard.0)];
        for row in 0..keys.len() {
            let key = keys.value(row);
            let state = serde_json::from_str(states.value(row))
                .map_err(|error| refused(format!("state of {key}: {error}")))?;
            shard.insert(key.to_owned(), state);
        }
        Ok(())
    }

    /// See [`Snapshot::changes`](crate::snapshot::Snapshot::changes).
    pub(crate) fn changes(&self) -> Option<Changes> {
        let keys = self.shards.iter().map(BTreeMap::len).sum();
        Some(Changes { keys, changed: self.changed.iter().map(BTreeSet::len).sum() })
    }

    /// See [`Snapshot::saved`](crate::snapshot::Snapshot::saved).
    pub(crate) fn saved(&mut self) {
        self.changed.iter_mut().for_each(BTreeSet::clear);
    }
}

/// The columns of a snapshot.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new(ENTITY_ID, DataType::Utf8, false),
        Field::new("state", DataType::Utf8, false),
    ]))
}
