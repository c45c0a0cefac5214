//! Oracle's cost report.
//!
//! The columns are those of "Cost and Usage Reports Overview"
//! (<https://docs.oracle.com/iaas/Content/Billing/Concepts/usagereportsoverview.htm>). The report has no
//! purchases and no amortisation: what a line costs is what it is billed for. A compartment is the
//! sub-account.

use super::super::super::record::Fault;
use super::{Mapped, Row, Said, columns, text};

columns! {
    Tenant = "lineItem/tenantId",
    Start = "lineItem/intervalUsageStart",
    End = "lineItem/intervalUsageEnd",
    Service = "product/service",
    Compartment = "product/compartmentId",
    CompartmentName = "product/compartmentName",
    Region = "product/region",
    Zone = "product/availabilityDomain",
    Resource = "product/resourceId" | "product/resource",
    Quantity = "usage/billedQuantity",
    Unit = "cost/billingUnitReadable" | "cost/skuUnitDescription",
    Sku = "cost/productSku",
    Description = "product/Description",
    UnitPrice = "cost/unitPrice",
    Cost = "cost/myCost",
    Currency = "cost/currencyCode",
    Correction = "lineItem/isCorrection",
}

/// What every report has.
pub(super) const REQUIRED: &[&str] =
    &["lineItem/tenantId", "lineItem/intervalUsageStart", "cost/myCost", "cost/currencyCode"];

/// What the names of columns begin with that hold a tag each.
pub(super) const TAGS: &str = "tags/";

pub(super) fn map<'a>(row: &Row<'a>) -> Result<Mapped<'a>, Fault> {
    let correction = match row.text(Column::Correction) {
        Some(said) if said.eq_ignore_ascii_case("true") => true,
        Some(said) if said.eq_ignore_ascii_case("false") => false,
        None => false,
        Some(other) => return Err(row.unknown(Column::Correction, "truth value", other)),
    };
    let cost = row.need_amount(Column::Cost)?;
    let (start, end) = (row.need_time(Column::Start)?, row.time(Column::End)?);
    let tenant = row.need(Column::Tenant)?;
    let compartment = row.text(Column::Compartment);
    let mut mapped = Mapped {
        account: Some(compartment.unwrap_or(tenant).into()),
        provider: "Oracle",
        billing_account: Some(tenant.into()),
        service: Some(row.need(Column::Service)?.into()),
        region: row.text(Column::Region).map(Into::into),
        resource: row.text(Column::Resource).map(Into::into),
        category: "Usage",
        correction,
        currency: row.text(Column::Currency),
        tags: row.tag_columns(|name| name.strip_prefix(TAGS).unwrap_or(name).to_owned()),
        start,
        end,
        billed: cost,
        effective: cost,
        ..Mapped::default()
    };
    if row.lines {
        let quantity = row.amount(Column::Quantity)?;
        mapped.details = vec![
            ("ChargePeriodStart", Said::Instant(Some(start))),
            ("ChargePeriodEnd", Said::Instant(end)),
            ("SubAccountId", text(compartment)),
            ("SubAccountName", text(row.text(Column::CompartmentName))),
            ("SubAccountType", text(compartment.map(|_| "Compartment"))),
            ("InvoiceIssuerName", text(Some("Oracle"))),
            ("PublisherName", text(Some("Oracle"))),
            ("ChargeDescription", text(row.text(Column::Description))),
            ("ChargeFrequency", text(Some("Usage-Based"))),
            ("ContractedCost", Said::Amount(Some(cost))),
            ("ContractedUnitPrice", Said::Amount(row.amount(Column::UnitPrice)?)),
            ("PricingQuantity", Said::Amount(quantity)),
            ("PricingUnit", text(row.text(Column::Unit))),
            ("ConsumedQuantity", Said::Amount(quantity)),
            ("ConsumedUnit", text(row.text(Column::Unit))),
            ("SkuId", text(row.text(Column::Sku))),
            ("AvailabilityZone", text(row.text(Column::Zone))),
        ];
    }
    Ok(mapped)
}
