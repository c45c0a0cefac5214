//! What operators over changes of totals share: an account's days, and what was known of them when.
//!
//! - [`change`]: a change of a total, as these operators take it
//! - [`history`]: amounts by day, as known by any later day
//! - [`days`]: a history, and the records that it rests on

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array};

use crate::Result;
use crate::schema::cost::{MONEY_PRECISION, MONEY_SCALE};

pub(crate) mod change;
pub(crate) mod days;
pub(crate) mod history;

/// In whole millionths, in units of 10⁻¹²: what is estimated is not known better.
pub(crate) fn amount(value: f64) -> i128 {
    (value * 1e6).round() as i128 * 1_000_000
}

/// Between the parts of a key's name in snapshots: no name holds it.
pub(crate) const SEPARATOR: char = '\u{1f}';

/// Amounts in units of 10⁻¹² as a column of money.
pub(crate) fn money_array<T>(amounts: impl Iterator<Item = T>) -> Result<ArrayRef>
where
    Option<i128>: From<T>,
{
    let amounts = amounts.map(Option::<i128>::from).collect::<Decimal128Array>();
    Ok(Arc::new(amounts.with_precision_and_scale(MONEY_PRECISION, MONEY_SCALE)?))
}

/// In whole units of the currency.
pub(crate) fn units(amount: i128) -> f64 {
    amount as f64 / 1e12
}
