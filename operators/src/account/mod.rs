//! What operators over changes of totals share: an account's days, and what was known of them when.
//!
//! - [`change`]: a change of a total, as these operators take it
//! - [`history`]: amounts by day, as known by any later day
//! - [`days`]: a history, and the records that it rests on

pub(crate) mod change;
pub(crate) mod days;
pub(crate) mod history;

/// In whole millionths, in units of 10⁻¹²: what is estimated is not known better.
pub(crate) fn amount(value: f64) -> i128 {
    (value * 1e6).round() as i128 * 1_000_000
}

/// In whole units of the currency.
pub(crate) fn units(amount: i128) -> f64 {
    amount as f64 / 1e12
}
