//! Cost: what of a bill's columns the dataflow needs, money exact.
//!
//! Names in bills repeat, so all text is dictionary-encoded ([`label`]): a batch's
//! dictionary is looked at once, and its rows are numbers from there on.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::{ENTITY_ID, OFFSET, TS, label, timestamp};
use crate::Result;

/// FOCUS `ProviderName`; a label.
pub const PROVIDER: &str = "provider";
/// FOCUS `BillingAccountId`; a label.
pub const BILLING_ACCOUNT: &str = "billing_account";
/// FOCUS `ServiceName`; a label.
pub const SERVICE: &str = "service";
/// FOCUS `ServiceCategory`; a label, nullable.
pub const SERVICE_CATEGORY: &str = "service_category";
/// FOCUS `RegionId`; a label, nullable.
pub const REGION: &str = "region";
/// FOCUS `ResourceId`; a label, nullable.
pub const RESOURCE: &str = "resource";
/// FOCUS `ChargeCategory`; a label.
pub const CHARGE_CATEGORY: &str = "charge_category";
/// FOCUS `ChargeClass` (`Correction`); a label, nullable.
pub const CHARGE_CLASS: &str = "charge_class";
/// The day on which the charge's period begins, UTC; `Date32`.
pub const DAY: &str = "day";
/// FOCUS `InvoiceId`; a label, nullable.
pub const INVOICE: &str = "invoice";
/// FOCUS `BilledCost`.
pub const BILLED_COST: &str = "billed_cost";
/// FOCUS `EffectiveCost`.
pub const EFFECTIVE_COST: &str = "effective_cost";
/// FOCUS `BillingCurrency`; a label.
pub const CURRENCY: &str = "currency";
/// FOCUS `Tags`, a JSON object as written; a label, nullable.
pub const TAGS: &str = "tags";
/// Which line of the bill the row states, so that a later row can replace it: a digest of the
/// columns that say so; `FixedSizeBinary(16)`, null where rows have no identity.
pub const LINE: &str = "line";
/// Of two rows that state one line, the one with the greater version holds; `Int64`.
pub const VERSION: &str = "version";

/// Which delivery of its billing account's period the row is of: the greatest by name holds; a label.
/// Where bills are delivered anew as a whole; put in by whoever reads the partition's files.
pub const DELIVERY: &str = "delivery";

/// The day on which the row became known: the greatest `ts` of its partition up to the row, as a
/// day; `Date32`. Put in by whoever reads the partition in order.
pub const KNOWN_ON: &str = "known_on";
/// The day before which all days had closed when the row came; `Date32`. Put in likewise.
pub const CLOSED_BEFORE: &str = "closed_before";

/// Digits of money in all.
pub const MONEY_PRECISION: u8 = 38;
/// Digits of money after the point.
pub const MONEY_SCALE: i8 = 12;
/// Bytes of a line's digest.
pub const LINE_BYTES: i32 = 16;

/// Microseconds in a day.
pub const DAY_US: i64 = 86_400_000_000;

/// The type of money: `Decimal128(38, 12)`.
#[must_use]
pub fn money() -> DataType {
    DataType::Decimal128(MONEY_PRECISION, MONEY_SCALE)
}

/// Amounts in units of 10⁻¹² as a column of money.
pub(crate) fn money_array<T>(amounts: impl Iterator<Item = T>) -> Result<ArrayRef>
where
    Option<i128>: From<T>,
{
    let amounts = amounts.map(Option::<i128>::from).collect::<Decimal128Array>();
    Ok(Arc::new(amounts.with_precision_and_scale(MONEY_PRECISION, MONEY_SCALE)?))
}

/// The day, since 1970-01-01, that an instant falls on, UTC.
#[must_use]
pub fn day_of(us: i64) -> i32 {
    us.div_euclid(DAY_US) as i32
}

/// The input schema. `entity_id` is the sub-account (the billing account where there is none); `ts`
/// is when the row became known where the bill says so, and else when its charge period begins.
#[must_use]
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(input_fields()))
}

/// A schema of input rows with what only the order of a partition tells behind its columns:
/// [`KNOWN_ON`], [`CLOSED_BEFORE`].
#[must_use]
pub fn judged(rows: &Schema) -> SchemaRef {
    let mut fields: Vec<_> = rows.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(KNOWN_ON, DataType::Date32, false)));
    fields.push(Arc::new(Field::new(CLOSED_BEFORE, DataType::Date32, false)));
    Arc::new(Schema::new(fields))
}

fn input_fields() -> Vec<Field> {
    let text = |name, nullable| Field::new(name, label(), nullable);
    vec![
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
        Field::new(DAY, DataType::Date32, false),
        text(INVOICE, true),
        Field::new(BILLED_COST, money(), false),
        Field::new(EFFECTIVE_COST, money(), false),
        text(CURRENCY, false),
        text(TAGS, true),
        Field::new(LINE, DataType::FixedSizeBinary(LINE_BYTES), true),
        Field::new(VERSION, DataType::Int64, false),
    ]
}
