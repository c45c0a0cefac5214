//! `cost_daily`: what each account spent on each service, by day, exactly.

use cloudops_operators::schema::cost;

use super::{ENTITY, Kind, Table, Type, required};

pub(super) const TABLE: Table = Table {
    name: "cost_daily",
    description: "charges of one account, service, currency and day, added up exactly",
    kind: Kind::Result,
    own: &[
        ENTITY,
        required("day", Type::Day, "day on which the charge periods begin, UTC"),
        required(cost::PROVIDER, Type::Text, "FOCUS ProviderName"),
        required(cost::BILLING_ACCOUNT, Type::Text, "FOCUS BillingAccountId"),
        required(cost::SERVICE, Type::Text, "FOCUS ServiceName"),
        required(
            cost::CURRENCY,
            Type::Text,
            "FOCUS BillingCurrency, ISO 4217; never add across it",
        ),
        required(cost::BILLED_COST, Type::Money, "sum of BilledCost, in the currency"),
        required(cost::EFFECTIVE_COST, Type::Money, "sum of EffectiveCost, in the currency"),
        required("charges", Type::I64, "charge rows added up"),
    ],
    sort: &["source", "entity_id", "day", "provider", "billing_account", "service", "currency"],
    statistics: &["source", "entity_id", "day", "service"],
};
