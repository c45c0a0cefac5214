//! Charges record by record.

use std::sync::Arc;

use arrow::array::RecordBatch;
use cloudops_operators::key::digest;
use cloudops_operators::schema::cost;
use cloudops_operators::schema::focus::{DETAILS, Holds};

use super::super::decimal;
use super::super::decode::Decode;
use super::super::record::{Cells, Fault};
use super::super::time::shown;
use super::collect::{Charge, Collected, Value};
use super::{CATEGORIES, CHARGE_CATEGORY, CHARGE_CLASS, LABELS, Plan};
use crate::Result;

/// Decodes charges.
pub(in crate::read) struct Charges {
    plan: Arc<Plan>,
    collected: Collected,
}

/// A cell's text; the word that databases export for nothing is nothing.
fn text<'a>(cells: &Cells<'a>, column: usize) -> Option<&'a str> {
    cells.get(column).filter(|text| !is_nothing(text))
}

/// Whether a text stands for no value.
pub(super) fn is_nothing(text: &str) -> bool {
    matches!(text, "NULL" | "null" | "\\N")
}

/// Money in units of 10⁻¹²: exact up to there, rounded half to even beyond.
pub(super) fn money(text: &str) -> Result<i128, String> {
    let decimal =
        decimal::parse(text).ok_or_else(|| format!("not a decimal number: {}", shown(text)))?;
    decimal
        .at_scale(i32::from(cost::MONEY_SCALE))
        .ok_or_else(|| format!("more than 26 digits before the point: {}", shown(text)))
}

/// What FOCUS says a label may be.
pub(super) fn check(place: usize, value: &str) -> Result<(), String> {
    let (name, allowed): (_, &[&str]) = match place {
        CHARGE_CATEGORY => ("charge category", &CATEGORIES),
        CHARGE_CLASS => ("charge class", &["Correction"]),
        _ => return Ok(()),
    };
    if allowed.iter().any(|known| known.eq_ignore_ascii_case(value)) {
        return Ok(());
    }
    Err(format!("unknown {name} {}: it is one of {}", shown(value), allowed.join(", ")))
}

impl Charges {
    pub(in crate::read) fn new(plan: Arc<Plan>) -> Self {
        let collected = Collected::new(!plan.details.is_empty());
        Self { plan, collected }
    }
}

impl Decode for Charges {
    fn decode(&mut self, _ordinal: u64, offset: u64, cells: &Cells<'_>) -> Result<(), Fault> {
        let plan = &self.plan;
        let fault = |column: usize| {
            move |reason: String| Fault::field(plan.name(column).to_owned(), reason)
        };
        let need =
            |column: usize| text(cells, column).ok_or_else(|| fault(column)("missing".to_owned()));
        let time = |column: usize| plan.time_format.parse(need(column)?).map_err(fault(column));
        let amount = |column: usize| money(need(column)?).map_err(fault(column));
        let mut labels = [None; 12];
        for (place, (value, label)) in labels.iter_mut().zip(&plan.labels).enumerate() {
            let found = label.columns.iter().find_map(|column| text(cells, *column));
            *value = found.or(label.otherwise.as_deref());
            match (*value, &label.required) {
                (Some(value), _) => check(place, value).map_err(|reason| {
                    let name = label.columns.first().map_or(LABELS[place], |at| plan.name(*at));
                    Fault::field(name.to_owned(), reason)
                })?,
                (None, Some(name)) => {
                    let several = label.columns.len() > 1;
                    let more = if several { ", under every name it may have" } else { "" };
                    return Err(Fault::field(name.clone(), format!("missing{more}")));
                }
                (None, None) => {}
            }
        }
        let start = time(plan.start)?;
        if let Some(column) = plan.end
            && time(column)? < start
        {
            let reason = format!("before {}", plan.name(plan.start));
            return Err(fault(column)(reason));
        }
        let known = plan.known.map(time).transpose()?.unwrap_or(start);
        let (billed, effective) = (amount(plan.billed)?, amount(plan.effective)?);
        let version = match plan.version {
            None => 0,
            Some(column) => {
                let whole = decimal::parse(need(column)?).and_then(decimal::Decimal::whole);
                whole.ok_or_else(|| fault(column)("not a whole number".to_owned()))?
            }
        };
        let line = match plan.line.as_slice() {
            [] => None,
            columns => {
                let parts = columns.iter().map(|column| need(*column).map(str::as_bytes));
                Some(digest(parts.collect::<Result<Vec<_>, _>>()?))
            }
        };
        let detail = |(column, holds): (&Option<usize>, Holds)| {
            let found = column.and_then(|column| Some((column, text(cells, column)?)));
            let Some((column, text)) = found else { return Ok(Value::None) };
            Ok(match holds {
                Holds::Text => Value::Text(text),
                Holds::Amount => Value::Amount(money(text).map_err(fault(column))?),
                Holds::Instant => {
                    Value::Instant(plan.time_format.parse(text).map_err(fault(column))?)
                }
            })
        };
        let details = plan.details.iter().zip(DETAILS.iter().map(|detail| detail.holds));
        let details = details.map(detail).collect::<Result<Vec<_>, Fault>>()?;
        let charge = Charge { labels, start, known, billed, effective, line, version, details };
        self.collected.push(offset, &charge);
        Ok(())
    }

    fn finish(&mut self) -> Result<RecordBatch> {
        self.collected.finish()
    }
}
