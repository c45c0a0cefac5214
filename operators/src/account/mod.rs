//! What operators over changes of totals share: an account's days, and what was known of them when.
//!
//! - [`change`]: a change of a total, as these operators take it
//! - [`history`]: amounts by day, as known by any later day
//! - [`days`]: a history, and the records that it rests on

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array, PrimitiveArray, RecordBatch};
use arrow::datatypes::ArrowPrimitiveType;

use crate::Result;
use crate::schema::cost::{MONEY_PRECISION, MONEY_SCALE};
use crate::schema::{column, mismatch};

pub(crate) mod change;
pub(crate) mod days;
pub(crate) mod history;

/// In whole millionths, in units of 10⁻¹²: what is estimated is not known better.
pub(crate) fn amount(value: f64) -> i128 {
    (value * 1e6).round() as i128 * 1_000_000
}

/// Amounts in units of 10⁻¹² as a column of money.
pub(crate) fn money_array(amounts: impl Iterator<Item = Option<i128>>) -> Result<ArrayRef> {
    let amounts = amounts.collect::<Decimal128Array>();
    Ok(Arc::new(amounts.with_precision_and_scale(MONEY_PRECISION, MONEY_SCALE)?))
}

/// A column of numbers or days, by name.
///
/// # Errors
/// [`crate::Error::Column`] when it is missing or of another type.
pub(crate) fn numbers<'a, T: ArrowPrimitiveType>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a PrimitiveArray<T>> {
    let array = column(batch, name)?;
    array.as_primitive_opt().ok_or_else(|| mismatch(name, &T::DATA_TYPE.to_string(), array))
}

/// In whole units of the currency.
pub(crate) fn units(amount: i128) -> f64 {
    amount as f64 / 1e12
}
