//! `cost_rollup_changes`: every change of what a service, an account, a region… costs in a day or month.

use cloudops_operators::schema::cost;
use cloudops_operators::{bill, rollup};

use super::{Kind, Table, Type, optional, required};

pub(super) const TABLE: Table = Table {
    name: "cost_rollup_changes",
    description: "change of an exact total of charges by one name alone; cost_rollups adds them up",
    kind: Kind::Result,
    own: &[
        required(
            rollup::BY,
            Type::Text,
            "by what costs are added up: 'account', 'service', 'tag:team' and so on",
        ),
        required(rollup::PERIOD, Type::Text, "'day' or 'month'"),
        required(rollup::START, Type::Day, "first day of the period, UTC"),
        optional(
            rollup::NAME,
            Type::Text,
            "whose costs: an account, a service, a tag's value; null where charges name none",
        ),
        required(
            cost::CURRENCY,
            Type::Text,
            "FOCUS BillingCurrency, ISO 4217; never add across it",
        ),
        required(cost::KNOWN_ON, Type::Day, "day on which the change became known"),
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
    sort: &["source", "by", "period", "start", "name", "currency"],
    statistics: &["source", "by", "period", "start", "name", "known_on"],
};
