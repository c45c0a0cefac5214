//! Periods delivered anew as a whole: the latest delivery of a billing account's period holds.
//!
//! A delivery is told by its label, the greater of two by name being the later. Its first row takes
//! back all that earlier deliveries of the period have said, and its rows then say it anew; what comes
//! to the same is no change. A delivery that comes again, or an older one, has no effect.

use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{Field, Schema};
use hashbrown::HashMap;

use crate::Result;
use crate::key::SEPARATOR;
use crate::schema::cost::DELIVERY;
use crate::schema::label;

use super::key::{Symbol, Symbols};

/// What has been delivered of one billing account's period.
#[derive(Debug, Clone, Default)]
pub(super) struct Delivered {
    /// The latest delivery's label.
    pub(super) label: Symbol,
    /// The account-months that it has charges in.
    pub(super) places: Vec<u32>,
}

/// What has been delivered, by billing account and period.
#[derive(Debug, Clone, Default)]
pub(super) struct Deliveries {
    known: HashMap<Symbol, Delivered>,
    /// A billing account's period as one symbol.
    scopes: HashMap<(Symbol, i32), Symbol>,
}

impl Deliveries {
    /// The symbol of a billing account's period.
    pub(super) fn scope(&mut self, payer: Symbol, period: i32, symbols: &mut Symbols) -> Symbol {
        if let Some(scope) = self.scopes.get(&(payer, period)) {
            return *scope;
        }
        let name = format!("{}{SEPARATOR}{period}", symbols.name(payer).unwrap_or_default());
        let scope = symbols.of(&name);
        self.scopes.insert((payer, period), scope);
        scope
    }

    /// Who is charged in a scope.
    pub(super) fn payer(scope: &str) -> &str {
        scope.rsplit_once(SEPARATOR).map_or(scope, |(payer, _)| payer)
    }

    pub(super) fn of(&mut self, scope: Symbol) -> &mut Delivered {
        self.known.entry(scope).or_default()
    }

    /// The label of a scope's latest delivery.
    pub(super) fn label(&self, scope: Symbol) -> Symbol {
        self.known.get(&scope).map_or(0, |delivered| delivered.label)
    }
}

/// Appends to judged rows which delivery they are of ([`DELIVERY`]).
///
/// # Errors
/// Only where Arrow refuses to build the batch, which is a bug.
pub fn of_delivery(rows: &RecordBatch, delivery: &str) -> Result<RecordBatch> {
    let keys = Int32Array::from_value(0, rows.num_rows());
    let names: ArrayRef = Arc::new(StringArray::from_iter_values([delivery]));
    let mut fields: Vec<_> = rows.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(DELIVERY, label(), false)));
    let mut columns = rows.columns().to_vec();
    columns.push(Arc::new(DictionaryArray::try_new(keys, names)?));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}
