//! Google's export of billing data to BigQuery, standard or detailed, as JSON lines or as CSV with nested
//! fields either flattened (`service.description`, `service_description`) or as JSON.
//!
//! The columns are those of "Structure of Standard data export" and "Structure of Detailed data export"
//! (<https://cloud.google.com/billing/docs/how-to/export-data-bigquery-tables>). A row's credits, which are
//! amounts below nought, belong to its cost: what is due is `cost` with all of them, and so billed and
//! effective cost are. The export names no invoice, only its month.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::super::record::Fault;
use super::super::super::time::shown;
use super::super::decode::money;
use super::{Mapped, Row, Said, columns, object, plus, text};

columns! {
    BillingAccount = "billing_account_id",
    Service = "service",
    ServiceName = "service.description",
    Sku = "sku",
    SkuId = "sku.id",
    SkuName = "sku.description",
    Start = "usage_start_time",
    End = "usage_end_time",
    Project = "project",
    ProjectId = "project.id",
    ProjectName = "project.name",
    Labels = "labels",
    SystemLabels = "system_labels",
    Location = "location",
    Region = "location.region",
    Zone = "location.zone",
    Resource = "resource",
    ResourceId = "resource.global_name",
    ResourceName = "resource.name",
    Usage = "usage",
    UsageAmount = "usage.amount",
    UsageUnit = "usage.unit",
    PricingAmount = "usage.amount_in_pricing_units",
    PricingUnit = "usage.pricing_unit",
    Cost = "cost",
    Currency = "currency",
    Credits = "credits",
    CreditsTotal = "credits.amount",
    Invoice = "invoice",
    InvoiceMonth = "invoice.month",
    CostType = "cost_type",
    Adjustment = "adjustment_info",
    AdjustmentType = "adjustment_info.type",
    ListCost = "cost_at_list",
    Seller = "seller_name",
}

/// What every export has.
pub(super) const REQUIRED: &[&str] =
    &["billing_account_id", "cost", "usage_start_time", "currency"];

/// A credit, as far as it counts: its amount as it is written.
#[derive(Deserialize)]
struct Credit<'a> {
    #[serde(borrow)]
    amount: &'a serde_json::value::RawValue,
}

/// A label.
#[derive(Deserialize)]
struct Label {
    key: String,
    value: Option<String>,
}

/// A member of a nested field: of its own column where the export is flat, else of the JSON object.
fn member<'a>(
    row: &Row<'a>,
    flat: Column,
    nested: Column,
    name: &str,
) -> Result<Option<Cow<'a, str>>, Fault> {
    if let Some(text) = row.text(flat) {
        return Ok(Some(text.into()));
    }
    let object: Option<Map<String, Value>> = row.json(nested, "a JSON object")?;
    Ok(object.and_then(|mut object| match object.remove(name)? {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.into()),
        other => Some(other.to_string().into()),
    }))
}

/// A number within a nested field, exactly as it is written.
fn number(row: &Row<'_>, flat: Column, nested: Column, name: &str) -> Result<Option<i128>, Fault> {
    if row.text(flat).is_some() {
        return row.amount(flat);
    }
    let object: Option<std::collections::HashMap<&str, &serde_json::value::RawValue>> =
        row.json(nested, "a JSON object")?;
    let written = object.and_then(|object| object.get(name).map(|value| value.get()));
    let written = written.map(|text| text.trim_matches('"')).filter(|text| *text != "null");
    written.map(money).transpose().map_err(|reason| row.fault(nested, reason))
}

/// What a row's credits add up to.
fn credits(row: &Row<'_>) -> Result<i128, Fault> {
    if let Some(total) = row.amount(Column::CreditsTotal)? {
        return Ok(total);
    }
    let all: Option<Vec<Credit<'_>>> = row.json(Column::Credits, "an array of credits")?;
    all.unwrap_or_default().iter().try_fold(0, |sum, credit| {
        let amount = money(credit.amount.get().trim_matches('"'));
        let amount = amount.map_err(|reason| row.fault(Column::Credits, reason))?;
        plus(row, Column::Credits, sum, amount)
    })
}

/// Labels as a JSON object: the export has pairs of key and value.
fn labels<'a>(row: &Row<'a>) -> Result<Option<Cow<'a, str>>, Fault> {
    let Some(written) = row.text(Column::Labels) else { return Ok(None) };
    let object: Map<String, Value> = match serde_json::from_str::<Vec<Label>>(written) {
        Ok(pairs) => pairs
            .into_iter()
            .map(|Label { key, value }| (key, value.unwrap_or_default().into()))
            .collect(),
        Err(_) => serde_json::from_str(written).map_err(|_| {
            row.fault(Column::Labels, format!("neither pairs nor an object: {}", shown(written)))
        })?,
    };
    Ok((!object.is_empty()).then(|| Value::Object(object).to_string().into()))
}

/// FOCUS `SkuPriceDetails`, as far as it is of a machine: the type that Google's own label names.
fn price_details<'a>(row: &Row<'a>) -> Option<Cow<'a, str>> {
    let labels: Vec<Label> = serde_json::from_str(row.text(Column::SystemLabels)?).ok()?;
    let machine = labels.iter().find(|label| label.key == "compute.googleapis.com/machine_spec")?;
    object([("InstanceType", machine.value.as_deref())])
}

/// The beginning of the month that an invoice is of, written as `202309`, and of the one after.
fn months(row: &Row<'_>) -> Result<Option<(i64, i64)>, Fault> {
    let Some(month) = member(row, Column::InvoiceMonth, Column::Invoice, "month")? else {
        return Ok(None);
    };
    let wrong = || row.fault(Column::InvoiceMonth, format!("not a month: {}", shown(&month)));
    let number: i64 = month.parse().map_err(|_| wrong())?;
    let (year, of_year) = (number / 100, number % 100);
    let next = if of_year == 12 { (year + 1, 1) } else { (year, of_year + 1) };
    let first = |(year, month): (i64, i64)| super::instant(&format!("{year:04}-{month:02}-01"));
    let both = first((year, of_year)).and_then(|from| Ok((from, first(next)?)));
    both.map(Some).map_err(|_| wrong())
}

pub(super) fn map<'a>(row: &Row<'a>) -> Result<Mapped<'a>, Fault> {
    let kind = row.text(Column::CostType).unwrap_or("regular");
    let category = match kind {
        "regular" => "Usage",
        "tax" => "Tax",
        "adjustment" | "rounding_error" => "Adjustment",
        other => return Err(row.unknown(Column::CostType, "cost type", other)),
    };
    let adjusted = member(row, Column::AdjustmentType, Column::Adjustment, "type")?;
    let correction = adjusted.is_some_and(|kind| kind.ends_with("_CORRECTION"));
    let due = plus(row, Column::Cost, row.need_amount(Column::Cost)?, credits(row)?)?;
    let billing_account = row.need(Column::BillingAccount)?;
    let project = member(row, Column::ProjectId, Column::Project, "id")?;
    let name = member(row, Column::ResourceName, Column::Resource, "name")?;
    let global = member(row, Column::ResourceId, Column::Resource, "global_name")?;
    let start = row.need_time(Column::Start)?;
    let mut mapped = Mapped {
        account: Some(project.clone().unwrap_or_else(|| billing_account.into())),
        provider: "Google Cloud",
        billing_account: Some(billing_account.into()),
        service: member(row, Column::ServiceName, Column::Service, "description")?,
        region: member(row, Column::Region, Column::Location, "region")?,
        resource: global.or_else(|| name.clone()),
        category,
        correction,
        currency: row.text(Column::Currency),
        tags: labels(row)?,
        start,
        end: row.time(Column::End)?,
        billed: due,
        effective: due,
        ..Mapped::default()
    };
    if row.lines {
        let months = months(row)?;
        let frequency = if category == "Usage" { "Usage-Based" } else { "One-Time" };
        let unit = member(row, Column::PricingUnit, Column::Usage, "pricing_unit")?;
        mapped.details = vec![
            ("BillingPeriodStart", Said::Instant(months.map(|(from, _)| from))),
            ("BillingPeriodEnd", Said::Instant(months.map(|(_, to)| to))),
            ("ChargePeriodStart", Said::Instant(Some(start))),
            ("ChargePeriodEnd", Said::Instant(mapped.end)),
            ("SubAccountId", Said::Text(project)),
            (
                "SubAccountName",
                Said::Text(member(row, Column::ProjectName, Column::Project, "name")?),
            ),
            ("InvoiceIssuerName", text(Some("Google Cloud"))),
            ("PublisherName", text(row.text(Column::Seller).or(Some("Google Cloud")))),
            (
                "ChargeDescription",
                Said::Text(member(row, Column::SkuName, Column::Sku, "description")?),
            ),
            ("ChargeFrequency", text(Some(frequency))),
            ("ListCost", Said::Amount(row.amount(Column::ListCost)?)),
            (
                "PricingQuantity",
                Said::Amount(number(
                    row,
                    Column::PricingAmount,
                    Column::Usage,
                    "amount_in_pricing_units",
                )?),
            ),
            ("PricingUnit", Said::Text(unit)),
            (
                "ConsumedQuantity",
                Said::Amount(number(row, Column::UsageAmount, Column::Usage, "amount")?),
            ),
            ("ConsumedUnit", Said::Text(member(row, Column::UsageUnit, Column::Usage, "unit")?)),
            ("SkuId", Said::Text(member(row, Column::SkuId, Column::Sku, "id")?)),
            ("SkuPriceDetails", Said::Text(price_details(row))),
            ("AvailabilityZone", Said::Text(member(row, Column::Zone, Column::Location, "zone")?)),
            ("ResourceName", Said::Text(name)),
        ];
    }
    Ok(mapped)
}
