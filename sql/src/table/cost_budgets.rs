//! `cost_budgets`: what a month will have come to, against what may be spent in it.

use cloudops_operators::schema::{cost, result};
use cloudops_operators::{budget, forecast};

use super::{ENTITY, Kind, Table, Type, optional, required};

pub(super) const TABLE: Table = Table {
    name: "cost_budgets",
    description: "a budget of an account's month, as a forecast lets expect it to end; one row for each \
                  forecast",
    kind: Kind::Result,
    own: &[
        ENTITY,
        required(budget::BUDGET, Type::Text, "name of the configured budget"),
        required(budget::MONTH, Type::Day, "first day of the month, UTC"),
        required(cost::CURRENCY, Type::Text, "FOCUS BillingCurrency, ISO 4217"),
        required(budget::AMOUNT, Type::Money, "what may be spent in the month"),
        required(forecast::KNOWN_TO, Type::Day, "the last day that was known"),
        required(forecast::SPENT, Type::Money, "what the month came to till then"),
        required("end_p10", Type::Money, "one in ten outcomes of the month lies below"),
        required("end_p50", Type::Money, "half of the outcomes of the month lie below"),
        required("end_p90", Type::Money, "nine in ten outcomes of the month lie below"),
        required(
            budget::STATE,
            Type::Text,
            "'over' already; 'breach' by the middle of the month to come; 'risk' by its p90; 'within'",
        ),
        optional(
            budget::BREACH_ON,
            Type::Day,
            "day on which the middle exceeds the amount; known_to where it is exceeded already",
        ),
        optional(budget::BREACH_EARLIEST, Type::Day, "the same by p90"),
        required(result::MODEL, Type::Text, "the model that forecast it"),
        required(result::MODEL_VERSION, Type::Text, "its version"),
    ],
    sort: &["source", "entity_id", "budget", "known_to"],
    statistics: &["source", "entity_id", "known_to", "month"],
};
