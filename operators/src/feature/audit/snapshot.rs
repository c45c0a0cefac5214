//! What [`AuditFeatures`] remembers, to Arrow and back: a row a principal, kind and value.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, UInt8Array, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, UInt8Type, UInt64Type};
use hashbrown::HashMap;

use super::AuditFeatures;
use super::history::{Kind, Sight};
use crate::key::Shard;
use crate::schema::ENTITY_ID;
use crate::snapshot::{Changes, Extent, Snapshot};
use crate::{Error, Result};

impl Snapshot for AuditFeatures {
    fn operator(&self) -> &'static str {
        "audit_features"
    }

    fn snapshot(&self, shard: Shard, extent: Extent) -> Result<Option<RecordBatch>> {
        let whole = extent == Extent::Whole;
        let principals = self.shards[usize::from(shard.0)].iter();
        let mut principals: Vec<_> =
            principals.filter(|(_, principal)| whole || principal.changed).collect();
        if principals.is_empty() {
            return Ok(None);
        }
        principals.sort_unstable_by_key(|(name, _)| *name);
        let mut rows: Vec<(&str, u8, u64, Sight)> = Vec::new();
        for (name, principal) in principals {
            for kind in Kind::ALL {
                let seen = principal.seen(kind).iter();
                rows.extend(seen.map(|(value, sight)| (&**name, kind as u8, value, sight)));
            }
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
            Arc::new(UInt8Array::from_iter_values(rows.iter().map(|row| row.1))),
            Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.2))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.3.last))),
            Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.3.count))),
        ];
        Ok(Some(RecordBatch::try_new(state_schema(), columns)?))
    }

    fn restore(&mut self, shard: Shard, state: &RecordBatch) -> Result<()> {
        let wrong = |reason: &str| Error::Snapshot {
            operator: "audit_features",
            reason: reason.to_owned(),
        };
        if state.schema().fields() != state_schema().fields() {
            return Err(wrong("its columns are not those of this build"));
        }
        let names = state.column(0).as_string::<i32>();
        let kinds = state.column(1).as_primitive::<UInt8Type>();
        let values = state.column(2).as_primitive::<UInt64Type>();
        let lasts = state.column(3).as_primitive::<Int64Type>();
        let counts = state.column(4).as_primitive::<UInt64Type>();
        let principals = &mut self.shards[usize::from(shard.0)];
        for row in 0..state.num_rows() {
            let principal = principals.entry_ref(names.value(row)).or_default();
            let kind = *Kind::ALL
                .get(usize::from(kinds.value(row)))
                .ok_or_else(|| wrong("it remembers a kind that this build does not know"))?;
            let sight = Sight { last: lasts.value(row), count: counts.value(row) };
            principal.seen_mut(kind).put(values.value(row), sight);
        }
        Ok(())
    }

    fn changes(&self) -> Option<Changes> {
        let principals = self.shards.iter().flat_map(HashMap::values);
        let changed = principals.filter(|principal| principal.changed).count();
        Some(Changes { keys: self.shards.iter().map(HashMap::len).sum(), changed })
    }

    fn saved(&mut self) {
        let principals = self.shards.iter_mut().flat_map(HashMap::values_mut);
        principals.for_each(|principal| principal.changed = false);
    }
}

fn state_schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new(ENTITY_ID, DataType::Utf8, false),
        Field::new("kind", DataType::UInt8, false),
        Field::new("value", DataType::UInt64, false),
        Field::new("last", DataType::Int64, false),
        Field::new("count", DataType::UInt64, false),
    ]))
}
