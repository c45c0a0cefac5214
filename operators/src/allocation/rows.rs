//! Changes as rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, RecordBatch, StringArray, UInt32Array, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::{Allocations, Cell, DIRECT, Key, Sums, plus};
use crate::Result;
use crate::account::days::Origin;
use crate::bill::{BILLED_AFTER, BILLED_BEFORE, EFFECTIVE_AFTER, EFFECTIVE_BEFORE};
use crate::budget::MONTH;
use crate::schema::cost::{BILLING_ACCOUNT, CURRENCY, KNOWN_ON, money, money_array};
use crate::schema::result::{OFFSET_FROM, OFFSET_TO, PARTITION};

/// The allocation's name; `Utf8`.
pub const ALLOCATION: &str = "allocation";
/// Whose costs; `Utf8`, null for nobody's.
pub const TARGET: &str = "target";
/// The rule's name, or [`DIRECT`]; `Utf8`.
pub const RULE: &str = "rule";

/// A change of what a target has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    /// Which month.
    pub(super) place: u32,
    pub(super) cell: Cell,
    pub(super) known_on: i32,
    /// The records of the epoch that changed the month.
    pub(super) origin: Origin,
    pub(super) before: Sums,
    pub(super) by: Sums,
}

/// The columns of changes: where the records stood, the key, then the change.
#[must_use]
pub fn allocation_schema() -> SchemaRef {
    let field = |name: &str, kind| Field::new(name, kind, false);
    Arc::new(Schema::new(vec![
        field(PARTITION, DataType::UInt32),
        field(OFFSET_FROM, DataType::UInt64),
        field(OFFSET_TO, DataType::UInt64),
        field(BILLING_ACCOUNT, DataType::Utf8),
        field(MONTH, DataType::Date32),
        field(CURRENCY, DataType::Utf8),
        field(ALLOCATION, DataType::Utf8),
        Field::new(TARGET, DataType::Utf8, true),
        field(RULE, DataType::Utf8),
        field(KNOWN_ON, DataType::Date32),
        field(BILLED_BEFORE, money()),
        field(BILLED_AFTER, money()),
        field(EFFECTIVE_BEFORE, money()),
        field(EFFECTIVE_AFTER, money()),
    ]))
}

impl Allocations {
    /// The rows of changes.
    pub(super) fn rows(&self, changes: &[Change]) -> Result<RecordBatch> {
        let key = |change: &Change| &self.units[change.place as usize].key;
        let name = |symbol| self.symbols.name(symbol).unwrap_or_default();
        let day = |of: &dyn Fn(&Change) -> i32| -> ArrayRef {
            Arc::new(Date32Array::from_iter_values(changes.iter().map(of)))
        };
        let offset = |of: fn(&Change) -> u64| -> ArrayRef {
            Arc::new(UInt64Array::from_iter_values(changes.iter().map(of)))
        };
        let mut after = Vec::with_capacity(changes.len());
        for change in changes {
            after.push(plus(change.before, change.by)?);
        }
        let before = |at: usize| money_array(changes.iter().map(|change| Some(change.before[at])));
        let after = |at: usize| money_array(after.iter().map(|sums| Some(sums[at])));
        let partitions = changes.iter().map(|change| change.origin.partition);
        let targets = changes.iter().map(|change| self.symbols.name(change.cell.target));
        let columns = vec![
            Arc::new(UInt32Array::from_iter_values(partitions)) as ArrayRef,
            offset(|change| change.origin.from),
            offset(|change| change.origin.to),
            text(changes.iter().map(|change| name(key(change).payer))),
            day(&|change| key(change).month),
            text(changes.iter().map(|change| name(key(change).currency))),
            text(changes.iter().map(|change| self.plan(key(change)))),
            Arc::new(targets.collect::<StringArray>()),
            text(changes.iter().map(|change| self.rule(key(change), change.cell))),
            day(&|change| change.known_on),
            before(0)?,
            after(0)?,
            before(1)?,
            after(1)?,
        ];
        Ok(RecordBatch::try_new(allocation_schema(), columns)?)
    }

    /// The name of a month's allocation.
    pub(super) fn plan(&self, key: &Key) -> &str {
        &self.plans[usize::from(key.plan)].name
    }

    /// The name of the rule that an amount is of, or [`DIRECT`].
    pub(super) fn rule(&self, key: &Key, cell: Cell) -> &str {
        match cell.rule.checked_sub(1) {
            Some(rule) => &self.plans[usize::from(key.plan)].rules[usize::from(rule)].name,
            None => DIRECT,
        }
    }
}

fn text<'a>(names: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(names))
}
