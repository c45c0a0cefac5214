//! FOCUS 1.0 to 1.3 to cost rows.
//!
//! Versions differ, for us, in who is named: 1.0 to 1.2 have `ProviderName` and `PublisherName`,
//! 1.3 replaces them by `ServiceProviderName` and `HostProviderName`. Column names are compared
//! without case, spaces and underscores, as warehouses rewrite them.

use std::sync::Arc;

use arrow::array::{Decimal128Array, RecordBatch, StringBuilder, UInt64Array};
use cloudops_operators::schema::cost;

use super::decimal;
use super::decode::Decode;
use super::record::{Cells, Fault, Want};
use super::time::{TimeFormat, shown};
use super::wide::times;
use crate::Result;

/// The columns read, by their place in a record's cells.
const COLUMNS: [(&str, bool); 18] = [
    ("BillingAccountId", true),
    ("SubAccountId", false),
    ("ServiceName", true),
    ("ServiceCategory", false),
    ("RegionId", false),
    ("ResourceId", false),
    ("ChargeCategory", true),
    ("ChargeClass", false),
    ("ChargePeriodStart", true),
    ("ChargePeriodEnd", true),
    ("BilledCost", true),
    ("EffectiveCost", true),
    ("BillingCurrency", true),
    ("Tags", false),
    ("ServiceProviderName", false),
    ("ProviderName", false),
    ("HostProviderName", false),
    ("PublisherName", false),
];
const BILLING_ACCOUNT: usize = 0;
const SUB_ACCOUNT: usize = 1;
const SERVICE: usize = 2;
const SERVICE_CATEGORY: usize = 3;
const REGION: usize = 4;
const RESOURCE: usize = 5;
const CHARGE_CATEGORY: usize = 6;
const CHARGE_CLASS: usize = 7;
const PERIOD_START: usize = 8;
const PERIOD_END: usize = 9;
const BILLED_COST: usize = 10;
const EFFECTIVE_COST: usize = 11;
const CURRENCY: usize = 12;
const TAGS: usize = 13;
const PROVIDERS: std::ops::Range<usize> = 14..18;

/// The columns a FOCUS file must or may have.
pub(crate) fn wants() -> Vec<Want> {
    let want = |&(name, required): &(&str, bool)| match required {
        true => Want::required(name),
        false => Want::optional(name),
    };
    COLUMNS.iter().map(want).collect()
}

/// A cell's text; the word that databases export for nothing is nothing.
fn text<'a>(cells: &Cells<'a>, index: usize) -> Option<&'a str> {
    cells.get(index).filter(|text| !matches!(*text, "NULL" | "null" | "\\N"))
}

fn need<'a>(cells: &Cells<'a>, index: usize) -> Result<&'a str, Fault> {
    text(cells, index).ok_or_else(|| Fault::fixed(COLUMNS[index].0, "missing"))
}

/// Money in units of 10⁻¹²: exact up to there, rounded half to even beyond.
fn money(cells: &Cells<'_>, index: usize) -> Result<i128, Fault> {
    let text = need(cells, index)?;
    let field = COLUMNS[index].0;
    let decimal = decimal::parse(text)
        .ok_or_else(|| Fault::fixed(field, format!("not a decimal number: {}", shown(text))))?;
    decimal.at_scale(i32::from(cost::MONEY_SCALE)).ok_or_else(|| {
        Fault::fixed(field, format!("more than 26 digits before the point: {}", shown(text)))
    })
}

fn time(cells: &Cells<'_>, index: usize) -> Result<i64, Fault> {
    TimeFormat::Auto
        .parse(need(cells, index)?)
        .map_err(|reason| Fault::fixed(COLUMNS[index].0, reason))
}

/// Decodes charges.
#[derive(Default)]
pub(crate) struct Focus {
    entity: StringBuilder,
    time: Vec<i64>,
    offset: Vec<u64>,
    provider: StringBuilder,
    billing_account: StringBuilder,
    service: StringBuilder,
    service_category: StringBuilder,
    region: StringBuilder,
    resource: StringBuilder,
    charge_category: StringBuilder,
    charge_class: StringBuilder,
    period_end: Vec<i64>,
    billed: Vec<i128>,
    effective: Vec<i128>,
    currency: StringBuilder,
    tags: StringBuilder,
}

impl Decode for Focus {
    fn decode(&mut self, _ordinal: u64, offset: u64, cells: &Cells<'_>) -> Result<(), Fault> {
        let billing_account = need(cells, BILLING_ACCOUNT)?;
        let service = need(cells, SERVICE)?;
        let charge_category = need(cells, CHARGE_CATEGORY)?;
        let currency = need(cells, CURRENCY)?;
        let provider = PROVIDERS
            .filter_map(|index| text(cells, index))
            .next()
            .ok_or_else(|| Fault::fixed("ProviderName", "missing, under every version's name"))?;
        let start = time(cells, PERIOD_START)?;
        let end = time(cells, PERIOD_END)?;
        if end < start {
            return Err(Fault::fixed(COLUMNS[PERIOD_END].0, "before ChargePeriodStart"));
        }
        let billed = money(cells, BILLED_COST)?;
        let effective = money(cells, EFFECTIVE_COST)?;

        self.entity.append_value(text(cells, SUB_ACCOUNT).unwrap_or(billing_account));
        self.time.push(start);
        self.offset.push(offset);
        self.provider.append_value(provider);
        self.billing_account.append_value(billing_account);
        self.service.append_value(service);
        self.service_category.append_option(text(cells, SERVICE_CATEGORY));
        self.region.append_option(text(cells, REGION));
        self.resource.append_option(text(cells, RESOURCE));
        self.charge_category.append_value(charge_category);
        self.charge_class.append_option(text(cells, CHARGE_CLASS));
        self.period_end.push(end);
        self.billed.push(billed);
        self.effective.push(effective);
        self.currency.append_value(currency);
        self.tags.append_option(text(cells, TAGS));
        Ok(())
    }

    fn finish(&mut self) -> Result<RecordBatch> {
        let money = |values: &mut Vec<i128>| {
            Decimal128Array::from(std::mem::take(values))
                .with_precision_and_scale(cost::MONEY_PRECISION, cost::MONEY_SCALE)
        };
        Ok(RecordBatch::try_new(
            cost::schema(),
            vec![
                Arc::new(self.entity.finish()),
                Arc::new(times(std::mem::take(&mut self.time))),
                Arc::new(UInt64Array::from(std::mem::take(&mut self.offset))),
                Arc::new(self.provider.finish()),
                Arc::new(self.billing_account.finish()),
                Arc::new(self.service.finish()),
                Arc::new(self.service_category.finish()),
                Arc::new(self.region.finish()),
                Arc::new(self.resource.finish()),
                Arc::new(self.charge_category.finish()),
                Arc::new(self.charge_class.finish()),
                Arc::new(times(std::mem::take(&mut self.period_end))),
                Arc::new(money(&mut self.billed)?),
                Arc::new(money(&mut self.effective)?),
                Arc::new(self.currency.finish()),
                Arc::new(self.tags.finish()),
            ],
        )?)
    }
}
