//! `cost_changes`: every change of what an account's charges of a day add up to.
//!
//! The table is a ledger: rows are only ever added, and the changes of a key add up to its total. The
//! views `cost_daily`, `cost_revisions` and `cost_monthly` add them up.

use cloudops_operators::bill;
use cloudops_operators::schema::cost;

use super::{ENTITY, Kind, Table, Type, optional, required};

pub(super) const TABLE: Table = Table {
    name: "cost_changes",
    description: "change of an exact total of charges, of one account, service, currency and day; add \
                  up what lies between before and after, or ask cost_daily",
    kind: Kind::Result,
    own: &[
        ENTITY,
        required(cost::DAY, Type::Day, "day on which the charge periods begin, UTC"),
        required(cost::PROVIDER, Type::Text, "FOCUS ProviderName"),
        required(cost::BILLING_ACCOUNT, Type::Text, "FOCUS BillingAccountId"),
        required(cost::SERVICE, Type::Text, "FOCUS ServiceName"),
        required(
            cost::CURRENCY,
            Type::Text,
            "FOCUS BillingCurrency, ISO 4217; never add across it",
        ),
        optional(
            cost::SERVICE_CATEGORY,
            Type::Text,
            "FOCUS ServiceCategory, where bill.by names it",
        ),
        optional(cost::REGION, Type::Text, "FOCUS RegionId, where bill.by names it"),
        optional(cost::RESOURCE, Type::Text, "FOCUS ResourceId, where bill.by names it"),
        optional(cost::CHARGE_CATEGORY, Type::Text, "FOCUS ChargeCategory, where bill.by names it"),
        optional(cost::INVOICE, Type::Text, "FOCUS InvoiceId, where bill.by names it"),
        optional(cost::TAGS, Type::Text, "JSON object of the tags that bill.by names"),
        required(
            cost::KNOWN_ON,
            Type::Day,
            "day on which the change became known: the greatest event time of the partition till then",
        ),
        required(bill::IS_LATE, Type::Flag, "whether the day had closed by then"),
        required(
            bill::REASON,
            Type::Text,
            "'charge', 'correction' (of class Correction) or 'restatement' (of a line stated before)",
        ),
        required(bill::RECORDS, Type::I64, "records that made the change"),
        required(bill::BILLED_BEFORE, Type::Money, "sum of BilledCost before, in the currency"),
        required(bill::BILLED_AFTER, Type::Money, "sum of BilledCost after, in the currency"),
        required(
            bill::EFFECTIVE_BEFORE,
            Type::Money,
            "sum of EffectiveCost before, in the currency",
        ),
        required(bill::EFFECTIVE_AFTER, Type::Money, "sum of EffectiveCost after, in the currency"),
        required(bill::CHARGES_BEFORE, Type::I64, "charges that added up to it before"),
        required(bill::CHARGES_AFTER, Type::I64, "charges that add up to it after"),
    ],
    sort: &["source", "entity_id", "day", "provider", "billing_account", "service", "currency"],
    statistics: &["source", "entity_id", "day", "service", "known_on"],
};
