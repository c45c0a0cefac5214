//! One row of a provider's export: its texts, and what they say.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::super::record::{Cells, Fault, Want};
use super::super::super::time::{TimeFormat, shown};
use super::super::decode::{is_nothing, money};

/// A row of an export.
pub(super) struct Row<'a> {
    pub(super) cells: &'a Cells<'a>,
    pub(super) wants: &'a [Want],
    /// By column, which of the cells are its.
    pub(super) columns: &'a [Range<usize>],
    /// Columns that hold a tag each: cell and name.
    pub(super) tags: &'a [(usize, String)],
    /// Whether rows are kept.
    pub(super) lines: bool,
}

impl<'a> Row<'a> {
    pub(super) fn cell(&self, at: usize) -> Option<&'a str> {
        self.cells.get(at).filter(|text| !is_nothing(text))
    }

    /// Where a column has its text, and the text.
    pub(super) fn found(&self, column: impl Into<usize>) -> Option<(usize, &'a str)> {
        let mut cells = self.columns[column.into()].clone();
        cells.find_map(|at| Some((at, self.cell(at)?)))
    }

    pub(super) fn text(&self, column: impl Into<usize>) -> Option<&'a str> {
        self.found(column).map(|(_, text)| text)
    }

    pub(super) fn need(&self, column: impl Into<usize> + Copy) -> Result<&'a str, Fault> {
        self.text(column).ok_or_else(|| self.fault(column, "missing".to_owned()))
    }

    /// The error for a column's text.
    pub(super) fn fault(&self, column: impl Into<usize> + Copy, reason: String) -> Fault {
        let at = self.found(column).map_or(self.columns[column.into()].start, |(at, _)| at);
        Fault::field(self.wants[at].name.clone(), reason)
    }

    /// The error for a text that is none of those known.
    pub(super) fn unknown(&self, column: impl Into<usize> + Copy, what: &str, text: &str) -> Fault {
        self.fault(column, format!("unknown {what} {}", shown(text)))
    }

    pub(super) fn amount(&self, column: impl Into<usize> + Copy) -> Result<Option<i128>, Fault> {
        let amount = self.text(column).map(money).transpose();
        amount.map_err(|reason| self.fault(column, reason))
    }

    pub(super) fn need_amount(&self, column: impl Into<usize> + Copy) -> Result<i128, Fault> {
        money(self.need(column)?).map_err(|reason| self.fault(column, reason))
    }

    pub(super) fn time(&self, column: impl Into<usize> + Copy) -> Result<Option<i64>, Fault> {
        let time = self.text(column).map(instant).transpose();
        time.map_err(|reason| self.fault(column, reason))
    }

    pub(super) fn need_time(&self, column: impl Into<usize> + Copy) -> Result<i64, Fault> {
        instant(self.need(column)?).map_err(|reason| self.fault(column, reason))
    }

    /// An object of the columns that hold a tag each; `name` says what a tag is called.
    pub(super) fn tag_columns(&self, name: impl Fn(&str) -> String) -> Option<Cow<'a, str>> {
        let mut object = Map::new();
        for (at, column) in self.tags {
            if let Some(value) = self.cell(*at) {
                object.insert(name(column), value.into());
            }
        }
        (!object.is_empty()).then(|| Cow::Owned(Value::Object(object).to_string()))
    }

    /// A column's text as a JSON value of some type.
    pub(super) fn json<T: Deserialize<'a>>(
        &self,
        column: impl Into<usize> + Copy,
        what: &str,
    ) -> Result<Option<T>, Fault> {
        let Some(text) = self.text(column) else { return Ok(None) };
        let wrong = |_| self.fault(column, format!("not {what}: {}", shown(text)));
        serde_json::from_str(text).map(Some).map_err(wrong)
    }
}

/// A JSON object of the members that are there; none where none is.
pub(super) fn object<'a, const N: usize>(
    members: [(&str, Option<&str>); N],
) -> Option<Cow<'a, str>> {
    let there = members.into_iter().filter_map(|(name, value)| {
        let value = value.filter(|value| !value.is_empty())?;
        Some((name.to_owned(), Value::from(value)))
    });
    let object: Map<String, Value> = there.collect();
    (!object.is_empty()).then(|| Cow::Owned(Value::Object(object).to_string()))
}

/// An instant as ISO 8601, or a day as the United States write it.
pub(super) fn instant(text: &str) -> Result<i64, String> {
    match text.contains('/') {
        true => TimeFormat::Pattern("%m/%d/%Y".to_owned()).parse(text),
        false => TimeFormat::Auto.parse(text),
    }
}

/// The sum of two amounts of a row.
pub(super) fn plus(
    row: &Row<'_>,
    column: impl Into<usize> + Copy,
    a: i128,
    b: i128,
) -> Result<i128, Fault> {
    let sum = a.checked_add(b).filter(|sum| sum.unsigned_abs() < 10_u128.pow(38));
    sum.ok_or_else(|| row.fault(column, "amounts add up to more than 38 digits".to_owned()))
}

/// A price times a quantity, both in units of 10⁻¹², rounded half to even; none where it does not fit.
pub(super) fn times(price: i128, quantity: i128) -> Option<i128> {
    const UNIT: i128 = 10_i128.pow(12);
    let product = price.checked_mul(quantity)?;
    let (whole, rest) = (product.div_euclid(UNIT), product.rem_euclid(UNIT));
    Some(whole + i128::from(rest * 2 > UNIT || (rest * 2 == UNIT && whole % 2 != 0)))
}
