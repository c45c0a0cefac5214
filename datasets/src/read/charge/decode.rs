//! Charges record by record.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, FixedSizeBinaryArray, Int64Array, RecordBatch,
    StringDictionaryBuilder, UInt64Array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::Int32Type;
use cloudops_operators::key::digest;
use cloudops_operators::schema::cost;

use super::super::decimal;
use super::super::decode::Decode;
use super::super::record::{Cells, Fault};
use super::super::time::shown;
use super::super::wide::times;
use super::{CATEGORIES, CHARGE_CATEGORY, CHARGE_CLASS, LABELS, Plan};
use crate::Result;

/// Decodes charges.
pub(in crate::read) struct Charges {
    plan: Arc<Plan>,
    labels: [StringDictionaryBuilder<Int32Type>; 12],
    time: Vec<i64>,
    offset: Vec<u64>,
    day: Vec<i32>,
    billed: Vec<i128>,
    effective: Vec<i128>,
    line: Vec<Option<[u8; 16]>>,
    version: Vec<i64>,
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
        Self {
            plan,
            labels: std::array::from_fn(|_| StringDictionaryBuilder::new()),
            time: Vec::new(),
            offset: Vec::new(),
            day: Vec::new(),
            billed: Vec::new(),
            effective: Vec::new(),
            line: Vec::new(),
            version: Vec::new(),
        }
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
        for (builder, value) in self.labels.iter_mut().zip(labels) {
            builder.append_option(value);
        }
        self.time.push(known);
        self.offset.push(offset);
        self.day.push(cost::day_of(start));
        self.billed.push(billed);
        self.effective.push(effective);
        self.line.push(line);
        self.version.push(version);
        Ok(())
    }

    fn finish(&mut self) -> Result<RecordBatch> {
        let line = std::mem::take(&mut self.line);
        let known = line.iter().map(Option::is_some).collect::<NullBuffer>();
        let digests = line.iter().flat_map(|line| line.unwrap_or_default()).collect();
        let rows = Rows {
            labels: self.labels.each_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef),
            time: Arc::new(times(std::mem::take(&mut self.time))),
            offset: std::mem::take(&mut self.offset),
            day: std::mem::take(&mut self.day),
            billed: money_array(std::mem::take(&mut self.billed))?,
            effective: money_array(std::mem::take(&mut self.effective))?,
            line: line_array(digests, Some(known))?,
            version: Arc::new(Int64Array::from(std::mem::take(&mut self.version))),
        };
        rows.batch()
    }
}

/// Rows, column by column.
pub(super) struct Rows {
    /// By place in [`LABELS`].
    pub(super) labels: [ArrayRef; 12],
    pub(super) time: ArrayRef,
    pub(super) offset: Vec<u64>,
    pub(super) day: Vec<i32>,
    pub(super) billed: ArrayRef,
    pub(super) effective: ArrayRef,
    pub(super) line: ArrayRef,
    pub(super) version: ArrayRef,
}

/// Amounts in units of 10⁻¹².
pub(super) fn money_array(amounts: Vec<i128>) -> Result<ArrayRef> {
    let amounts = Decimal128Array::from(amounts)
        .with_precision_and_scale(cost::MONEY_PRECISION, cost::MONEY_SCALE)?;
    Ok(Arc::new(amounts))
}

/// Digests, row after row; null where `known` says so.
pub(super) fn line_array(digests: Vec<u8>, known: Option<NullBuffer>) -> Result<ArrayRef> {
    let nulls = known.filter(|known| known.null_count() > 0);
    Ok(Arc::new(FixedSizeBinaryArray::try_new(cost::LINE_BYTES, digests.into(), nulls)?))
}

impl Rows {
    /// The rows in [`cost::schema`].
    pub(super) fn batch(self) -> Result<RecordBatch> {
        let [account, provider, billing, service, category, region, resource, rest @ ..] =
            self.labels;
        let [charge_category, charge_class, invoice, currency, tags] = rest;
        let columns: Vec<ArrayRef> = vec![
            account,
            self.time,
            Arc::new(UInt64Array::from(self.offset)),
            provider,
            billing,
            service,
            category,
            region,
            resource,
            charge_category,
            charge_class,
            Arc::new(Date32Array::from(self.day)),
            invoice,
            self.billed,
            self.effective,
            currency,
            tags,
            self.line,
            self.version,
        ];
        Ok(RecordBatch::try_new(cost::schema(), columns)?)
    }
}
