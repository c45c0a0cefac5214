//! The rows of a bill as they were stated, each with what decides between rows of one line.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, RecordBatch, UInt32Array};
use arrow::datatypes::{Date32Type, Field, Schema};

use super::columns::digests;
use super::key::{Grain, PLACES, Symbols};
use super::{Dimension, Key};
use crate::epoch::Partition;
use crate::schema::cost::DAY;
use crate::schema::result::{OFFSET_FROM, OFFSET_TO, PARTITION};
use crate::schema::{numbers, offsets};
use crate::{Error, Result};

/// Of two rows that state one line in one version with the same amounts, the one with the greater rank
/// holds; `Binary`, null where the row states no line.
pub const RANK: &str = "rank";

/// Appends to judged rows where they stood and their [`RANK`].
///
/// A rank is the key of the total that the row counts for, by its names, written so that bytes compare
/// as [`super::Bill`] compares the names: so it depends on the same dimensions.
#[derive(Debug, Clone)]
pub struct Statements {
    grain: Grain,
}

impl Statements {
    /// For a bill whose totals are told apart by these dimensions.
    ///
    /// # Errors
    /// [`Error::Configuration`] when a dimension is named twice.
    pub fn new(dimensions: &[Dimension]) -> Result<Self> {
        Ok(Self { grain: Grain::new(dimensions)? })
    }

    /// A partition's judged rows with [`PARTITION`], [`OFFSET_FROM`], [`OFFSET_TO`] and [`RANK`].
    ///
    /// # Errors
    /// [`Error::Column`] when a column is missing.
    pub fn of(&self, partition: Partition, rows: &RecordBatch) -> Result<RecordBatch> {
        let offsets: ArrayRef = Arc::new(offsets(rows)?.clone());
        let added: [(&str, ArrayRef, bool); 4] = [
            (PARTITION, Arc::new(UInt32Array::from_value(partition.0, rows.num_rows())), false),
            (OFFSET_FROM, Arc::clone(&offsets), false),
            (OFFSET_TO, offsets, false),
            (RANK, Arc::new(self.ranks(rows)?), true),
        ];
        let mut fields: Vec<_> = rows.schema().fields().iter().cloned().collect();
        let mut columns = rows.columns().to_vec();
        for (name, array, nullable) in added {
            fields.push(Arc::new(Field::new(name, array.data_type().clone(), nullable)));
            columns.push(array);
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(Error::from)
    }

    fn ranks(&self, rows: &RecordBatch) -> Result<BinaryArray> {
        let lines = digests(rows)?;
        if lines.null_count() == rows.num_rows() {
            return Ok(BinaryArray::new_null(rows.num_rows()));
        }
        let mut symbols = Symbols::default();
        let places = self.grain.code(rows, &mut symbols)?;
        let days = numbers::<Date32Type>(rows, DAY)?;
        let mut rank = Vec::new();
        let ranks = (0..rows.num_rows()).map(|row| {
            let mut key = Key { places: [0; PLACES], day: days.value(row) };
            for (place, column) in &places {
                key.places[*place] = column.get(row);
            }
            rank.clear();
            write(&symbols, &key, &mut rank);
            lines.is_valid(row).then(|| rank.clone())
        });
        Ok(BinaryArray::from_iter(ranks))
    }
}

/// Writes a key so that bytes compare as names do: no name is before any, and one that another begins
/// with is before it.
fn write(symbols: &Symbols, key: &Key, rank: &mut Vec<u8>) {
    let (day, names) = symbols.names(key);
    rank.extend_from_slice(&(i64::from(day) - i64::from(i32::MIN)).to_be_bytes());
    for name in names {
        let Some(name) = name else {
            rank.push(0);
            continue;
        };
        rank.push(1);
        for byte in name.bytes() {
            rank.push(byte);
            // A zero within a name is after its end.
            if byte == 0 {
                rank.push(0xFF);
            }
        }
        rank.push(0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bytes_compare_as_names(
            texts in proptest::collection::vec(proptest::option::of("[\0\u{1}a-cé]{0,3}"), 2 * PLACES),
            days in proptest::array::uniform2(-2_i32..2),
        ) {
            let mut symbols = Symbols::default();
            let symbol = |text: &Option<String>| text.as_ref().map_or(0, |text| symbols.of(text));
            let all: Vec<_> = texts.iter().map(symbol).collect();
            let key = |at: usize| Key {
                places: std::array::from_fn(|place| all[at * PLACES + place]),
                day: days[at],
            };
            let bytes = |key: &Key| {
                let mut rank = Vec::new();
                write(&symbols, key, &mut rank);
                rank
            };
            let (a, b) = (key(0), key(1));
            prop_assert_eq!(bytes(&a).cmp(&bytes(&b)), symbols.names(&a).cmp(&symbols.names(&b)));
        }
    }
}
