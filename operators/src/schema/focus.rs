//! FOCUS's columns that the totals of a bill have no use for, and its rows are known by.
//!
//! Readers add them to [`cost::schema`] where the rows themselves are to be kept; all are nullable, as
//! the versions of FOCUS and the providers' own exports have more or fewer of them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::cost::{self, money};
use super::{label, timestamp};

/// What a column of [`DETAILS`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Text: a [`label`].
    Text,
    /// An exact amount, price or quantity: [`money`]'s type.
    Amount,
    /// An instant: [`timestamp`].
    Instant,
}

impl Holds {
    /// The Arrow type.
    #[must_use]
    pub fn arrow(self) -> DataType {
        match self {
            Self::Text => label(),
            Self::Amount => money(),
            Self::Instant => timestamp(),
        }
    }
}

/// A column of FOCUS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detail {
    /// Its name here.
    pub name: &'static str,
    /// FOCUS's name for it.
    pub focus: &'static str,
    /// What it holds.
    pub holds: Holds,
    /// What it means: one phrase.
    pub doc: &'static str,
}

const fn text(name: &'static str, focus: &'static str, doc: &'static str) -> Detail {
    Detail { name, focus, holds: Holds::Text, doc }
}

const fn amount(name: &'static str, focus: &'static str, doc: &'static str) -> Detail {
    Detail { name, focus, holds: Holds::Amount, doc }
}

const fn instant(name: &'static str, focus: &'static str, doc: &'static str) -> Detail {
    Detail { name, focus, holds: Holds::Instant, doc }
}

/// FOCUS `ChargePeriodStart`.
pub const CHARGE_PERIOD_START: &str = "charge_period_start";
/// FOCUS `BillingPeriodStart`.
pub const BILLING_PERIOD_START: &str = "billing_period_start";
/// FOCUS `ChargePeriodEnd`.
pub const CHARGE_PERIOD_END: &str = "charge_period_end";

/// FOCUS `ChargeDescription`.
pub const CHARGE_DESCRIPTION: &str = "charge_description";
/// FOCUS `ListCost`.
pub const LIST_COST: &str = "list_cost";
/// FOCUS `ListUnitPrice`.
pub const LIST_UNIT_PRICE: &str = "list_unit_price";
/// FOCUS `ContractedUnitPrice`.
pub const CONTRACTED_UNIT_PRICE: &str = "contracted_unit_price";
/// FOCUS `PricingQuantity`.
pub const PRICING_QUANTITY: &str = "pricing_quantity";
/// FOCUS `PricingUnit`.
pub const PRICING_UNIT: &str = "pricing_unit";
/// FOCUS `PricingCategory`.
pub const PRICING_CATEGORY: &str = "pricing_category";
/// FOCUS `SkuMeter`.
pub const SKU_METER: &str = "sku_meter";
/// FOCUS `SkuPriceDetails`, a JSON object as written.
pub const SKU_PRICE_DETAILS: &str = "sku_price_details";
/// FOCUS `CommitmentDiscountId`.
pub const COMMITMENT: &str = "commitment";

/// The columns, periods first.
pub const DETAILS: [Detail; 42] = [
    instant(BILLING_PERIOD_START, "BillingPeriodStart", "when the billing period begins, UTC"),
    instant("billing_period_end", "BillingPeriodEnd", "its exclusive end, UTC"),
    instant(CHARGE_PERIOD_START, "ChargePeriodStart", "when the charge's period begins, UTC"),
    instant(CHARGE_PERIOD_END, "ChargePeriodEnd", "its exclusive end, UTC"),
    text("billing_account_name", "BillingAccountName", "name of the billing account"),
    text("billing_account_type", "BillingAccountType", "what the provider calls such an account"),
    text("sub_account", "SubAccountId", "the sub-account, where there is one"),
    text("sub_account_name", "SubAccountName", "its name"),
    text("sub_account_type", "SubAccountType", "what the provider calls such an account"),
    text("invoice_issuer", "InvoiceIssuerName", "who issues the invoice"),
    text("publisher", "PublisherName", "who made what is sold"),
    text("host_provider", "HostProviderName", "on whose infrastructure the service runs"),
    text(CHARGE_DESCRIPTION, "ChargeDescription", "the charge, in the provider's words"),
    text("charge_frequency", "ChargeFrequency", "'One-Time', 'Recurring' or 'Usage-Based'"),
    amount(LIST_COST, "ListCost", "cost at the published price, in the currency"),
    amount("contracted_cost", "ContractedCost", "cost at the negotiated price, in the currency"),
    amount(LIST_UNIT_PRICE, "ListUnitPrice", "published price of a pricing unit"),
    amount(CONTRACTED_UNIT_PRICE, "ContractedUnitPrice", "negotiated price of a pricing unit"),
    amount(PRICING_QUANTITY, "PricingQuantity", "how much was priced, in pricing units"),
    text(PRICING_UNIT, "PricingUnit", "the unit of prices"),
    text(PRICING_CATEGORY, "PricingCategory", "'Standard', 'Committed', 'Dynamic' or 'Other'"),
    text("pricing_currency", "PricingCurrency", "national or virtual currency of the prices"),
    amount("consumed_quantity", "ConsumedQuantity", "how much was used, in consumed units"),
    text("consumed_unit", "ConsumedUnit", "the unit of use"),
    text("sku", "SkuId", "what is sold"),
    text("sku_price", "SkuPriceId", "at which of its prices"),
    text(SKU_METER, "SkuMeter", "what of it is metered"),
    text(SKU_PRICE_DETAILS, "SkuPriceDetails", "what its price depends on: a JSON object"),
    text("service_subcategory", "ServiceSubcategory", "what kind of service within its category"),
    text("region_name", "RegionName", "name of the region"),
    text("availability_zone", "AvailabilityZone", "the zone within the region"),
    text("resource_name", "ResourceName", "name of the resource"),
    text("resource_type", "ResourceType", "what kind of resource"),
    text(COMMITMENT, "CommitmentDiscountId", "the commitment that discounts the charge"),
    text("commitment_name", "CommitmentDiscountName", "its name"),
    text("commitment_type", "CommitmentDiscountType", "what the provider calls such a commitment"),
    text("commitment_category", "CommitmentDiscountCategory", "'Spend' or 'Usage'"),
    text("commitment_status", "CommitmentDiscountStatus", "'Used' or 'Unused'"),
    amount("commitment_quantity", "CommitmentDiscountQuantity", "how much of it, in its units"),
    text("commitment_unit", "CommitmentDiscountUnit", "the unit of that quantity"),
    text("capacity_reservation", "CapacityReservationId", "the capacity reserved for the charge"),
    text("capacity_reservation_status", "CapacityReservationStatus", "'Used' or 'Unused'"),
];

/// [`cost::schema`] with all of [`DETAILS`] behind it.
#[must_use]
pub fn schema() -> SchemaRef {
    let own = cost::schema();
    let mut fields: Vec<_> = own.fields().iter().cloned().collect();
    let field = |detail: &Detail| Arc::new(Field::new(detail.name, detail.holds.arrow(), true));
    fields.extend(DETAILS.iter().map(field));
    Arc::new(Schema::new(fields))
}
