//! Microsoft's cost and usage details: of enterprise agreements (EA) and customer agreements (MCA), as
//! invoiced (`ActualCost`) or amortised (`AmortizedCost`).
//!
//! The mapping is Microsoft's own to FOCUS
//! (<https://learn.microsoft.com/cloud-computing/finops/focus/convert>). The two exports of one account tell
//! the same use twice, so a stream reads one of them. In the one as invoiced, the purchase of a
//! commitment is billed and has no effective cost, as its use will have. In the amortised one, use that a
//! commitment covers, and what went unused, has an effective cost and was not billed: the purchase was.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::super::super::record::Fault;
use super::super::super::time::shown;
use super::{Mapped, Row, Said, columns, next_day, object, text, times};

columns! {
    BillingAccount = "BillingAccountId",
    BillingAccountName = "BillingAccountName",
    PeriodStart = "BillingPeriodStartDate" | "BillingPeriodStart",
    PeriodEnd = "BillingPeriodEndDate" | "BillingPeriodEnd",
    Subscription = "SubscriptionId" | "SubscriptionGuid",
    SubscriptionName = "SubscriptionName",
    Date = "Date" | "UsageDateTime" | "UsageDate",
    Product = "ProductName" | "Product",
    PartNumber = "PartNumber",
    Meter = "MeterId",
    MeterName = "MeterName",
    Family = "ServiceFamily",
    Service = "MeterCategory" | "ConsumedService",
    Subcategory = "MeterSubCategory",
    Quantity = "Quantity" | "UsageQuantity",
    Unit = "UnitOfMeasure",
    Cost = "CostInBillingCurrency" | "Cost" | "PreTaxCost",
    Currency = "BillingCurrencyCode" | "BillingCurrency" | "Currency",
    ListPrice = "PayGPrice",
    UnitPrice = "UnitPrice",
    Region = "ResourceLocation",
    Zone = "AvailabilityZone",
    Resource = "ResourceId" | "InstanceId",
    ResourceName = "ResourceName",
    Tags = "Tags",
    Additional = "AdditionalInfo",
    ChargeType = "ChargeType",
    Frequency = "Frequency",
    PricingModel = "PricingModel",
    Benefit = "benefitId" | "ReservationId",
    BenefitName = "benefitName" | "ReservationName",
    PublisherType = "PublisherType",
    Publisher = "PublisherName",
    Invoice = "InvoiceId",
}

/// What every export has.
pub(super) const REQUIRED: &[&str] = &["ChargeType"];

/// What kind of charge a row is, and whether it corrects one.
fn category(charge: &str) -> Option<(&'static str, bool)> {
    Some(match charge.to_ascii_lowercase().as_str() {
        "usage" | "unusedreservation" | "unusedsavingsplan" => ("Usage", false),
        "purchase" => ("Purchase", false),
        // Of a commitment that was given back.
        "refund" => ("Purchase", true),
        "tax" => ("Tax", false),
        "credit" => ("Credit", false),
        "adjustment" | "roundingadjustment" => ("Adjustment", false),
        _ => return None,
    })
}

/// FOCUS's name for a family of services.
fn service_category(family: &str) -> &str {
    const KNOWN: [&str; 14] = [
        "Analytics",
        "Business Applications",
        "Compute",
        "Databases",
        "Developer Tools",
        "Identity",
        "Integration",
        "Internet of Things",
        "Management and Governance",
        "Media",
        "Networking",
        "Security",
        "Storage",
        "Web",
    ];
    match family {
        "AI + Machine Learning" => "AI and Machine Learning",
        _ if KNOWN.contains(&family) => family,
        _ => "Other",
    }
}

/// Tags as a JSON object: older exports leave out its braces.
fn tags<'a>(row: &Row<'a>) -> Result<Option<Cow<'a, str>>, Fault> {
    let Some(written) = row.text(Column::Tags) else { return Ok(None) };
    let object = match written.starts_with('{') {
        true => Cow::Borrowed(written),
        false => Cow::Owned(format!("{{{written}}}")),
    };
    match serde_json::from_str::<Map<String, Value>>(&object) {
        Ok(tags) if tags.is_empty() => Ok(None),
        Ok(_) => Ok(Some(object)),
        Err(_) => {
            Err(row.fault(Column::Tags, format!("not an object of tags: {}", shown(written))))
        }
    }
}

/// FOCUS `SkuPriceDetails`, as far as it is of a machine: what else a row says of it is not a price's.
fn price_details<'a>(row: &Row<'a>) -> Option<Cow<'a, str>> {
    // Other services write what they like there, and need not write JSON.
    let additional: Map<String, Value> =
        serde_json::from_str(row.text(Column::Additional)?).ok()?;
    let member = |name| additional.get(name).and_then(Value::as_str);
    object([("InstanceType", member("ServiceType")), ("x_ImageType", member("ImageType"))])
}

pub(super) fn map<'a>(row: &Row<'a>, amortised: bool) -> Result<Mapped<'a>, Fault> {
    let charge = row.need(Column::ChargeType)?;
    let (category, correction) =
        category(charge).ok_or_else(|| row.unknown(Column::ChargeType, "charge type", charge))?;
    let cost = row.need_amount(Column::Cost)?;
    let model = row.text(Column::PricingModel);
    let commitment = match model {
        Some("Reservation") => Some(("Reservation", "Usage")),
        Some("SavingsPlan") => Some(("Savings Plan", "Spend")),
        None | Some("OnDemand" | "Spot") => None,
        Some(other) => return Err(row.unknown(Column::PricingModel, "pricing model", other)),
    };
    let (billed, effective) = match (commitment.is_some(), category, amortised) {
        (true, "Usage", true) => (0, cost),
        (true, "Purchase", _) => (cost, 0),
        _ => (cost, cost),
    };
    let start = row.need_time(Column::Date)?;
    let billing_account = row.need(Column::BillingAccount)?;
    let account = row.text(Column::Subscription);
    let service = row.text(Column::Service).or_else(|| row.text(Column::Product));
    let mut mapped = Mapped {
        account: Some(account.unwrap_or(billing_account).into()),
        provider: "Microsoft",
        billing_account: Some(billing_account.into()),
        service: service.map(Cow::Borrowed),
        service_category: row.text(Column::Family).map(service_category),
        region: row.text(Column::Region).map(|region| region.to_lowercase().into()),
        // Resources are one, whatever the case in which they are written.
        resource: row.text(Column::Resource).map(|resource| resource.to_lowercase().into()),
        category,
        correction,
        invoice: row.text(Column::Invoice),
        currency: row.text(Column::Currency),
        tags: tags(row)?,
        start,
        end: Some(next_day(start)),
        billed,
        effective,
        ..Mapped::default()
    };
    if row.lines {
        mapped.details = details(row, charge, commitment, &mapped)?;
    }
    Ok(mapped)
}

fn details<'a>(
    row: &Row<'a>,
    charge: &str,
    commitment: Option<(&'static str, &'static str)>,
    mapped: &Mapped<'a>,
) -> Result<Vec<(&'static str, Said<'a>)>, Fault> {
    let frequency = row.text(Column::Frequency).map(|frequency| match frequency {
        "OneTime" => "One-Time",
        "UsageBased" => "Usage-Based",
        other => other,
    });
    let pricing = match (row.text(Column::PricingModel), commitment) {
        (_, Some(_)) => "Committed",
        (Some("Spot"), None) => "Dynamic",
        _ => "Standard",
    };
    let unused = charge.to_ascii_lowercase().starts_with("unused");
    let status = (commitment.is_some() && mapped.category == "Usage").then_some(if unused {
        "Unused"
    } else {
        "Used"
    });
    let quantity = row.amount(Column::Quantity)?;
    let (list, unit) = (row.amount(Column::ListPrice)?, row.amount(Column::UnitPrice)?);
    let at = |price: Option<i128>| {
        // What went unused has no price of its own.
        let of_use = quantity.filter(|_| mapped.category == "Usage" && !unused);
        Said::Amount(price.zip(of_use).and_then(|(price, quantity)| times(price, quantity)))
    };
    let issuer = match row.text(Column::PublisherType) {
        Some("Marketplace") => row.text(Column::Publisher),
        _ => Some("Microsoft"),
    };
    Ok(vec![
        ("BillingPeriodStart", Said::Instant(row.time(Column::PeriodStart)?)),
        // The export names the last day.
        ("BillingPeriodEnd", Said::Instant(row.time(Column::PeriodEnd)?.map(next_day))),
        ("ChargePeriodStart", Said::Instant(Some(mapped.start))),
        ("ChargePeriodEnd", Said::Instant(mapped.end)),
        ("BillingAccountName", text(row.text(Column::BillingAccountName))),
        ("SubAccountId", text(row.text(Column::Subscription))),
        ("SubAccountName", text(row.text(Column::SubscriptionName))),
        ("SubAccountType", text(row.text(Column::Subscription).map(|_| "Subscription"))),
        ("InvoiceIssuerName", text(Some("Microsoft"))),
        ("PublisherName", text(issuer)),
        ("ChargeDescription", text(row.text(Column::Product))),
        ("ChargeFrequency", text(frequency)),
        ("ListCost", at(list)),
        ("ListUnitPrice", Said::Amount(list)),
        ("ContractedCost", at(unit)),
        ("ContractedUnitPrice", Said::Amount(unit)),
        ("PricingQuantity", Said::Amount(quantity)),
        ("PricingUnit", text(row.text(Column::Unit))),
        ("PricingCategory", text(Some(pricing))),
        ("ConsumedQuantity", Said::Amount(quantity.filter(|_| mapped.category == "Usage"))),
        ("ConsumedUnit", text(row.text(Column::Unit).filter(|_| mapped.category == "Usage"))),
        ("SkuId", text(row.text(Column::PartNumber))),
        ("SkuPriceId", text(row.text(Column::Meter))),
        ("SkuMeter", text(row.text(Column::MeterName))),
        ("SkuPriceDetails", Said::Text(price_details(row))),
        ("ServiceSubcategory", text(row.text(Column::Subcategory))),
        ("AvailabilityZone", text(row.text(Column::Zone))),
        ("ResourceName", text(row.text(Column::ResourceName))),
        ("CommitmentDiscountId", text(commitment.and_then(|_| row.text(Column::Benefit)))),
        ("CommitmentDiscountName", text(commitment.and_then(|_| row.text(Column::BenefitName)))),
        ("CommitmentDiscountType", text(commitment.map(|(kind, _)| kind))),
        ("CommitmentDiscountCategory", text(commitment.map(|(_, basis)| basis))),
        ("CommitmentDiscountStatus", text(status)),
    ])
}
