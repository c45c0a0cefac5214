//! Cost: the FOCUS columns the dataflow needs, money exact.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::{ENTITY_ID, OFFSET, TS, timestamp};

/// FOCUS `ProviderName`; `Utf8`.
pub const PROVIDER: &str = "provider";
/// FOCUS `BillingAccountId`; `Utf8`.
pub const BILLING_ACCOUNT: &str = "billing_account";
/// FOCUS `ServiceName`; `Utf8`.
pub const SERVICE: &str = "service";
/// FOCUS `ServiceCategory`; `Utf8`, nullable.
pub const SERVICE_CATEGORY: &str = "service_category";
/// FOCUS `RegionId`; `Utf8`, nullable.
pub const REGION: &str = "region";
/// FOCUS `ResourceId`; `Utf8`, nullable.
pub const RESOURCE: &str = "resource";
/// FOCUS `ChargeCategory`; `Utf8`.
pub const CHARGE_CATEGORY: &str = "charge_category";
/// FOCUS `ChargeClass` (`Correction`); `Utf8`, nullable.
pub const CHARGE_CLASS: &str = "charge_class";
/// FOCUS `ChargePeriodEnd`, exclusive.
pub const CHARGE_PERIOD_END: &str = "charge_period_end";
/// FOCUS `BilledCost`.
pub const BILLED_COST: &str = "billed_cost";
/// FOCUS `EffectiveCost`.
pub const EFFECTIVE_COST: &str = "effective_cost";
/// FOCUS `BillingCurrency`; `Utf8`.
pub const CURRENCY: &str = "currency";
/// FOCUS `Tags`, a JSON object as written; `Utf8`, nullable.
pub const TAGS: &str = "tags";

/// Digits of money in all, and after the point.
pub const MONEY_PRECISION: u8 = 38;
/// Digits of money after the point.
pub const MONEY_SCALE: i8 = 12;

/// The type of money: `Decimal128(38, 12)`.
#[must_use]
pub fn money() -> DataType {
    DataType::Decimal128(MONEY_PRECISION, MONEY_SCALE)
}

/// The input schema. `entity_id` is the sub-account (the billing account where there is none),
/// `ts` is `ChargePeriodStart`.
#[must_use]
pub fn schema() -> SchemaRef {
    let text = |name, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        text(ENTITY_ID, false),
        Field::new(TS, timestamp(), false),
        Field::new(OFFSET, DataType::UInt64, false),
        text(PROVIDER, false),
        text(BILLING_ACCOUNT, false),
        text(SERVICE, false),
        text(SERVICE_CATEGORY, true),
        text(REGION, true),
        text(RESOURCE, true),
        text(CHARGE_CATEGORY, false),
        text(CHARGE_CLASS, true),
        Field::new(CHARGE_PERIOD_END, timestamp(), false),
        Field::new(BILLED_COST, money(), false),
        Field::new(EFFECTIVE_COST, money(), false),
        text(CURRENCY, false),
        text(TAGS, true),
    ]))
}
