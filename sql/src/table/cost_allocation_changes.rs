//! `cost_allocation_changes`: every change of what a target has of a month's costs.
//!
//! A ledger like `cost_changes`; the view `cost_allocations` adds it up.

use cloudops_operators::schema::cost;
use cloudops_operators::{allocation, bill, budget};

use super::{Kind, Table, Type, optional, required};

pub(super) const TABLE: Table = Table {
    name: "cost_allocation_changes",
    description: "change of what a target has of a billing account's calendar month, directly or by a \
                  rule; cost_allocations adds them up",
    kind: Kind::Result,
    own: &[
        required(cost::BILLING_ACCOUNT, Type::Text, "FOCUS BillingAccountId"),
        required(budget::MONTH, Type::Day, "first day of the month, UTC"),
        required(
            cost::CURRENCY,
            Type::Text,
            "FOCUS BillingCurrency, ISO 4217; never add across it",
        ),
        required(allocation::ALLOCATION, Type::Text, "name of the configured allocation"),
        optional(
            allocation::TARGET,
            Type::Text,
            "whose costs; null of direct costs is what has no target, null of a rule what nobody \
             shares",
        ),
        required(
            allocation::RULE,
            Type::Text,
            "the rule whose costs are shared, or 'direct': the target's own",
        ),
        required(
            cost::KNOWN_ON,
            Type::Day,
            "day on which what changed it became known: add up those known by a day",
        ),
        required(bill::BILLED_BEFORE, Type::Money, "of BilledCost before, in the currency"),
        required(bill::BILLED_AFTER, Type::Money, "of BilledCost after, in the currency"),
        required(bill::EFFECTIVE_BEFORE, Type::Money, "of EffectiveCost before, in the currency"),
        required(bill::EFFECTIVE_AFTER, Type::Money, "of EffectiveCost after, in the currency"),
    ],
    sort: &[
        "source",
        "billing_account",
        "month",
        "currency",
        "allocation",
        "target",
        "rule",
        "known_on",
    ],
    statistics: &["source", "billing_account", "month", "allocation", "target", "known_on"],
};
