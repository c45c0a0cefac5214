//! What a window keeps of each row: a fixed number of plain values, its lanes.
//!
//! Sensor rows keep their channels as `f32`; audit events keep hashes and
//! classes as `u64`. An [`Extract`] takes the lanes out of an input batch,
//! row-major, so that a window is one contiguous stretch of memory.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{ArrowNativeType, ArrowPrimitiveType, Float32Type, UInt64Type};

use crate::schema::sensor::FIRST_CHANNEL;
use crate::schema::{column, mismatch};
use crate::{Error, Result};

/// A value that windows can hold.
pub trait Lane: ArrowNativeType {
    /// Its Arrow type.
    type Arrow: ArrowPrimitiveType<Native = Self>;
}

impl Lane for f32 {
    type Arrow = Float32Type;
}

impl Lane for u64 {
    type Arrow = UInt64Type;
}

/// Takes lanes and identity of rows out of one stream's input batches.
///
/// The implementer's duty: a row's lanes and id are a function of that row alone.
pub trait Extract<L: Lane>: std::fmt::Debug {
    /// Lanes a row, at least 1.
    fn width(&self) -> usize;

    /// Appends the lanes of the selected rows (all when `None`), row after row.
    ///
    /// # Errors
    /// [`Error::Column`] when the batch lacks a column or has it with another type.
    fn lanes(
        &self,
        rows: &RecordBatch,
        selection: Option<&[u32]>,
        lanes: &mut Vec<L>,
    ) -> Result<()>;

    /// Appends, for each selected row, what tells rows of one entity and instant apart.
    ///
    /// Two rows equal in entity, event time and id are one record delivered twice. Streams
    /// whose entities have one row an instant give 0 for every row.
    ///
    /// # Errors
    /// As [`Extract::lanes`].
    fn ids(&self, rows: &RecordBatch, selection: Option<&[u32]>, ids: &mut Vec<u64>) -> Result<()>;
}

/// The selected rows' numbers: those in `selection`, or all.
pub fn selected(
    rows: &RecordBatch,
    selection: Option<&[u32]>,
) -> impl ExactSizeIterator<Item = usize> {
    let count = selection.map_or(rows.num_rows(), <[u32]>::len);
    (0..count).map(move |at| selection.map_or(at, |selection| selection[at] as usize))
}

/// The channels of sensor batches ([`crate::schema::sensor`]) as lanes.
#[derive(Debug, Clone)]
pub struct Channels {
    names: Vec<String>,
}

impl Channels {
    /// All declared channels, in their order.
    ///
    /// # Errors
    /// [`Error::Configuration`] when there is none.
    pub fn new(names: &[String]) -> Result<Self> {
        if names.is_empty() {
            return Err(Error::Configuration("declare at least one channel".to_owned()));
        }
        Ok(Self { names: names.to_vec() })
    }

    /// A batch's channel columns. Columns are found by place, which is what the reader's schema
    /// promises, and checked by name.
    fn columns<'a>(&self, rows: &'a RecordBatch) -> Result<Vec<&'a [f32]>> {
        let schema = rows.schema_ref();
        let place = |(at, name): (usize, &String)| {
            let at = at + FIRST_CHANNEL;
            let array = match schema.fields().get(at) {
                Some(field) if field.name() == name => rows.column(at),
                _ => column(rows, name)?,
            };
            let values = array
                .as_primitive_opt::<Float32Type>()
                .filter(|values| values.null_count() == 0)
                .ok_or_else(|| mismatch(name, "Float32 without nulls", array))?;
            Ok(&values.values()[..])
        };
        self.names.iter().enumerate().map(place).collect()
    }
}

/// Rows transposed at a time: their lanes stay in the first-level cache while columns pass by.
const BLOCK: usize = 128;

impl Extract<f32> for Channels {
    fn width(&self) -> usize {
        self.names.len()
    }

    fn lanes(
        &self,
        rows: &RecordBatch,
        selection: Option<&[u32]>,
        lanes: &mut Vec<f32>,
    ) -> Result<()> {
        let (columns, width) = (self.columns(rows)?, self.names.len());
        let count = selection.map_or(rows.num_rows(), <[u32]>::len);
        let from = lanes.len();
        lanes.resize(from + count * width, 0.0);
        for (at, block) in lanes[from..].chunks_mut(BLOCK * width).enumerate() {
            let at = at * BLOCK;
            let steps = block.len() / width;
            for (channel, column) in columns.iter().enumerate() {
                let out = block[channel..].iter_mut().step_by(width);
                match selection {
                    None => {
                        out.zip(&column[at..at + steps]).for_each(|(lane, value)| *lane = *value);
                    }
                    Some(selection) => out
                        .zip(&selection[at..at + steps])
                        .for_each(|(lane, &row)| *lane = column[row as usize]),
                }
            }
        }
        Ok(())
    }

    fn ids(&self, rows: &RecordBatch, selection: Option<&[u32]>, ids: &mut Vec<u64>) -> Result<()> {
        ids.resize(ids.len() + selection.map_or(rows.num_rows(), <[u32]>::len), 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, Float32Array, StringArray, TimestampMicrosecondArray, UInt64Array,
    };

    use super::*;
    use crate::schema::sensor;

    #[test]
    fn lanes_are_rows_of_channels() {
        let names = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let rows = 300;
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(vec!["m"; rows])),
            Arc::new(
                TimestampMicrosecondArray::from_iter_values(0..rows as i64).with_timezone("UTC"),
            ),
            Arc::new(UInt64Array::from_iter_values(0..rows as u64)),
        ];
        for channel in 0..3 {
            columns.push(Arc::new(Float32Array::from_iter_values(
                (0..rows).map(|row| (row * 3 + channel) as f32),
            )));
        }
        let batch = RecordBatch::try_new(sensor::schema(&names), columns).unwrap();
        let channels = Channels::new(&names).unwrap();
        let mut lanes = Vec::new();
        channels.lanes(&batch, None, &mut lanes).unwrap();
        assert_eq!(lanes, (0..rows * 3).map(|i| i as f32).collect::<Vec<_>>());
        lanes.clear();
        channels.lanes(&batch, Some(&[7, 299]), &mut lanes).unwrap();
        assert_eq!(lanes, [21.0, 22.0, 23.0, 897.0, 898.0, 899.0]);

        let wrong = Channels::new(&["a".to_owned(), "z".to_owned()]).unwrap();
        let error = wrong.lanes(&batch, None, &mut lanes).unwrap_err();
        assert!(error.to_string().contains("column z"), "{error}");
    }
}
