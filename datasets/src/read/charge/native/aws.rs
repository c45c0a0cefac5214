//! Amazon's cost and usage report: the legacy report and CUR 2.0.
//!
//! What a line's type means for amortised cost is Amazon's own reckoning, from "Understanding your
//! amortized reservation data" and "Understanding Savings Plans" of the Data Exports user guide
//! (<https://docs.aws.amazon.com/cur/latest/userguide/>): use under a reservation costs
//! `reservation/EffectiveCost`, its monthly fee only what went unused; use under a savings plan costs
//! `savingsPlan/SavingsPlanEffectiveCost`, its recurring fee what of the commitment went unused. As in
//! FOCUS, `BilledCost` of use that a savings plan covers is nought, and so is that of the negation which
//! takes it back: the two of them cancel in the report.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::super::super::record::Fault;
use super::{Mapped, Row, Said, columns, object, plus, text};

columns! {
    Account = "lineItem/UsageAccountId",
    AccountName = "lineItem/UsageAccountName",
    Payer = "bill/PayerAccountId",
    PayerName = "bill/PayerAccountName",
    PeriodStart = "bill/BillingPeriodStartDate",
    PeriodEnd = "bill/BillingPeriodEndDate",
    BillType = "bill/BillType",
    Invoice = "bill/InvoiceId",
    Issuer = "bill/InvoicingEntity",
    LegalEntity = "lineItem/LegalEntity",
    LineType = "lineItem/LineItemType",
    Start = "lineItem/UsageStartDate",
    End = "lineItem/UsageEndDate",
    ProductName = "product/ProductName",
    ServiceName = "product/servicename",
    ProductCode = "lineItem/ProductCode",
    Product = "product",
    Region = "product/regionCode" | "product/region",
    Zone = "lineItem/AvailabilityZone",
    Resource = "lineItem/ResourceId",
    Currency = "lineItem/CurrencyCode",
    Unblended = "lineItem/UnblendedCost",
    Description = "lineItem/LineItemDescription",
    UsageType = "lineItem/UsageType",
    InstanceType = "product/instanceType",
    System = "product/operatingSystem",
    Quantity = "lineItem/UsageAmount",
    Unit = "pricing/unit",
    Sku = "product/sku",
    RateCode = "pricing/RateCode",
    ListCost = "pricing/publicOnDemandCost",
    ListPrice = "pricing/publicOnDemandRate",
    Tags = "resourceTags",
    ReservationArn = "reservation/ReservationARN",
    ReservationCost = "reservation/EffectiveCost",
    UnusedUpfront = "reservation/UnusedAmortizedUpfrontFeeForBillingPeriod",
    UnusedRecurring = "reservation/UnusedRecurringFee",
    PlanArn = "savingsPlan/SavingsPlanARN",
    PlanCost = "savingsPlan/SavingsPlanEffectiveCost",
    PlanCommitment = "savingsPlan/TotalCommitmentToDate",
    PlanUsed = "savingsPlan/UsedCommitment",
    CapacityReservation = "capacityReservation/capacityReservationArn",
    CapacityStatus = "capacityReservation/capacityReservationStatus",
}

/// What every report has.
pub(super) const REQUIRED: &[&str] = &[
    "bill/PayerAccountId",
    "lineItem/LineItemType",
    "lineItem/UsageStartDate",
    "lineItem/UnblendedCost",
    "lineItem/CurrencyCode",
];

/// What the names of columns begin with that hold a tag each.
pub(super) const TAGS: &str = "resourceTags/";

/// What kind of charge a line is, and how often it comes.
fn category(line: &str) -> Option<(&'static str, &'static str)> {
    Some(match line {
        "Usage" | "DiscountedUsage" | "SavingsPlanCoveredUsage" | "SavingsPlanNegation" => {
            ("Usage", "Usage-Based")
        }
        "RIFee" | "SavingsPlanRecurringFee" => ("Purchase", "Recurring"),
        "Fee" | "SavingsPlanUpfrontFee" => ("Purchase", "One-Time"),
        "Tax" => ("Tax", "One-Time"),
        "Credit" => ("Credit", "One-Time"),
        // What is taken off other lines, now or later: FOCUS has no kind of its own for it.
        "Refund"
        | "Discount"
        | "BundledDiscount"
        | "EdpDiscount"
        | "PrivateRateDiscount"
        | "SppDiscount"
        | "DistributorDiscount" => ("Adjustment", "One-Time"),
        _ => return None,
    })
}

/// A user's tag by its own name: the report puts `user:` or `user_` before it.
fn tag_name(name: &str) -> String {
    let own =
        name.strip_prefix(TAGS).or_else(|| name.strip_prefix("resource_tags_")).unwrap_or(name);
    own.strip_prefix("user:").or_else(|| own.strip_prefix("user_")).unwrap_or(own).to_owned()
}

/// The tags of CUR 2.0, one object; of the legacy report, a column each.
fn tags<'a>(row: &Row<'a>) -> Result<Option<Cow<'a, str>>, Fault> {
    let Some(object) = row.json::<Map<String, Value>>(Column::Tags, "a JSON object of tags")?
    else {
        return Ok(row.tag_columns(tag_name));
    };
    let renamed: Map<_, _> =
        object.into_iter().map(|(name, value)| (tag_name(&name), value)).collect();
    Ok((!renamed.is_empty()).then(|| Value::Object(renamed).to_string().into()))
}

/// FOCUS `SkuPriceDetails`, as far as it is of an instance: columns of the legacy report, of CUR 2.0
/// members of `product` as well.
fn price_details<'a>(row: &Row<'a>) -> Result<Option<Cow<'a, str>>, Fault> {
    let product =
        row.json::<Map<String, Value>>(Column::Product, "a JSON object of the product")?;
    let member = |name| product.as_ref().and_then(|product| product.get(name)?.as_str());
    let details = [
        ("InstanceType", row.text(Column::InstanceType).or_else(|| member("instance_type"))),
        ("OperatingSystem", row.text(Column::System).or_else(|| member("operating_system"))),
    ];
    Ok(object(details))
}

/// The product's name: a column of the legacy report, of CUR 2.0 a member of `product`.
fn service<'a>(row: &Row<'a>) -> Result<Option<Cow<'a, str>>, Fault> {
    let named = row.text(Column::ProductName).or_else(|| row.text(Column::ServiceName));
    if named.is_some() {
        return Ok(named.map(Cow::Borrowed));
    }
    let product =
        row.json::<Map<String, Value>>(Column::Product, "a JSON object of the product")?;
    let member = product.as_ref().and_then(|product| product.get("product_name")?.as_str());
    let member = member.filter(|name| !name.is_empty()).map(|name| Cow::Owned(name.to_owned()));
    Ok(member.or_else(|| row.text(Column::ProductCode).map(Cow::Borrowed)))
}

pub(super) fn map<'a>(row: &Row<'a>) -> Result<Mapped<'a>, Fault> {
    let line = row.need(Column::LineType)?;
    let (category, frequency) =
        category(line).ok_or_else(|| row.unknown(Column::LineType, "line item type", line))?;
    let unblended = row.need_amount(Column::Unblended)?;
    let billed = match line {
        "SavingsPlanCoveredUsage" | "SavingsPlanNegation" => 0,
        _ => unblended,
    };
    let reservation = row.text(Column::ReservationArn);
    let or_nought = |column| row.amount(column).map(Option::unwrap_or_default);
    let effective = match line {
        "DiscountedUsage" => row.need_amount(Column::ReservationCost)?,
        "RIFee" => {
            let (upfront, recurring) =
                (or_nought(Column::UnusedUpfront)?, or_nought(Column::UnusedRecurring)?);
            plus(row, Column::UnusedRecurring, upfront, recurring)?
        }
        "SavingsPlanCoveredUsage" => row.need_amount(Column::PlanCost)?,
        "SavingsPlanRecurringFee" => {
            let (all, used) =
                (row.need_amount(Column::PlanCommitment)?, or_nought(Column::PlanUsed)?);
            plus(row, Column::PlanUsed, all, -used)?
        }
        "SavingsPlanNegation" | "SavingsPlanUpfrontFee" => 0,
        // The upfront fee of a reservation: spread over its use.
        "Fee" if reservation.is_some() => 0,
        _ => unblended,
    };
    let start = row.need_time(Column::Start)?;
    let period = row.time(Column::PeriodStart)?;
    // Of a bill that was closed: a refund's own bill, or a period before the one it is on.
    let closed =
        row.text(Column::BillType) == Some("Refund") || period.is_some_and(|period| start < period);
    let billing_account = row.need(Column::Payer)?;
    let mut mapped = Mapped {
        account: Some(row.text(Column::Account).unwrap_or(billing_account).into()),
        provider: "AWS",
        billing_account: Some(billing_account.into()),
        service: service(row)?,
        region: row.text(Column::Region).map(Cow::Borrowed),
        resource: row.text(Column::Resource).map(Cow::Borrowed),
        category,
        correction: line == "Refund" && closed,
        invoice: row.text(Column::Invoice),
        currency: row.text(Column::Currency),
        tags: tags(row)?,
        start,
        end: row.time(Column::End)?,
        billed,
        effective,
        ..Mapped::default()
    };
    if row.lines {
        mapped.details = details(row, line, frequency, &mapped, unblended)?;
        mapped.details.push(("BillingPeriodStart", Said::Instant(period)));
    }
    Ok(mapped)
}

fn details<'a>(
    row: &Row<'a>,
    line: &str,
    frequency: &'static str,
    mapped: &Mapped<'a>,
    unblended: i128,
) -> Result<Vec<(&'static str, Said<'a>)>, Fault> {
    let (plan, reservation) = (row.text(Column::PlanArn), row.text(Column::ReservationArn));
    let (kind, basis) = match (plan, reservation) {
        (Some(_), _) => (Some("Savings Plan"), Some("Spend")),
        (None, Some(_)) => (Some("Reserved Instance"), Some("Usage")),
        (None, None) => (None, None),
    };
    let covered = matches!(line, "DiscountedUsage" | "SavingsPlanCoveredUsage");
    let used = mapped.category == "Usage";
    // What a negation takes back was said of the use itself.
    let priced = used && line != "SavingsPlanNegation";
    let pricing = if covered { "Committed" } else { "Standard" };
    let amount = |column, asked: bool| match asked {
        true => row.amount(column).map(Said::Amount),
        false => Ok(Said::Amount(None)),
    };
    Ok(vec![
        ("BillingPeriodEnd", Said::Instant(row.time(Column::PeriodEnd)?)),
        ("ChargePeriodStart", Said::Instant(Some(mapped.start))),
        ("ChargePeriodEnd", Said::Instant(mapped.end)),
        ("BillingAccountName", text(row.text(Column::PayerName))),
        ("SubAccountId", text(row.text(Column::Account))),
        ("SubAccountName", text(row.text(Column::AccountName))),
        ("InvoiceIssuerName", text(row.text(Column::Issuer))),
        ("PublisherName", text(row.text(Column::LegalEntity))),
        ("ChargeDescription", text(row.text(Column::Description))),
        ("ChargeFrequency", text(Some(frequency))),
        ("ListCost", amount(Column::ListCost, priced)?),
        ("ListUnitPrice", amount(Column::ListPrice, priced)?),
        (
            "ContractedCost",
            Said::Amount((priced && line != "DiscountedUsage").then_some(unblended)),
        ),
        ("PricingQuantity", amount(Column::Quantity, priced)?),
        ("PricingUnit", text(row.text(Column::Unit))),
        ("PricingCategory", text(priced.then_some(pricing))),
        ("ConsumedQuantity", amount(Column::Quantity, priced)?),
        ("ConsumedUnit", text(row.text(Column::Unit).filter(|_| priced))),
        ("SkuId", text(row.text(Column::Sku))),
        ("SkuMeter", text(row.text(Column::UsageType))),
        ("SkuPriceId", text(row.text(Column::RateCode))),
        ("SkuPriceDetails", Said::Text(price_details(row)?)),
        ("AvailabilityZone", text(row.text(Column::Zone))),
        ("CommitmentDiscountId", text(plan.or(reservation))),
        ("CommitmentDiscountType", text(kind)),
        ("CommitmentDiscountCategory", text(basis)),
        ("CommitmentDiscountStatus", text(covered.then_some("Used"))),
        ("CapacityReservationId", text(row.text(Column::CapacityReservation))),
        ("CapacityReservationStatus", text(row.text(Column::CapacityStatus))),
    ])
}
