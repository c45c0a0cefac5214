//! `cost_forecasts` and `cost_forecast_choices`: what accounts will be charged, and what said so.

use cloudops_operators::forecast;
use cloudops_operators::schema::{cost, result};

use super::{Column, ENTITY, Kind, Table, Type, optional, required};

const CURRENCY: Column =
    required(cost::CURRENCY, Type::Text, "FOCUS BillingCurrency, ISO 4217; never add across it");
const KNOWN_TO: Column = required(
    forecast::KNOWN_TO,
    Type::Day,
    "the last day that was known, as it was known when the forecast was due",
);
const VERSION: Column =
    required(result::MODEL_VERSION, Type::Text, "version of the models, and of what they learned");

pub(super) const TABLE: Table = Table {
    name: "cost_forecasts",
    description: "what an account is expected to be charged on a day to come, and till that day; every \
                  forecast stays as it was made",
    kind: Kind::Result,
    own: &[
        ENTITY,
        CURRENCY,
        KNOWN_TO,
        required(cost::DAY, Type::Day, "the day to come, UTC"),
        required(forecast::DAYS_AHEAD, Type::I32, "days from known_to to it"),
        required(
            forecast::SPENT,
            Type::Money,
            "what the day's month came to till known_to; 0 of months to come",
        ),
        required("p10", Type::Money, "one in ten outcomes of the day lies below"),
        required("p50", Type::Money, "half of the outcomes of the day lie below"),
        required("p90", Type::Money, "nine in ten outcomes of the day lie below"),
        required("total_p10", Type::Money, "the same of the total from the first day ahead to it"),
        required("total_p50", Type::Money, "the same of that total"),
        required("total_p90", Type::Money, "the same of that total"),
        optional("trend", Type::Money, "of a seasonal model (Prophet's): the bending line"),
        optional("weekly", Type::Money, "its effect of the day of the week"),
        optional("monthly", Type::Money, "its effect of the day of the month"),
        optional("yearly", Type::Money, "its effect of the day of the year"),
        optional(
            "holidays",
            Type::Money,
            "its effects of holidays; the five sum to what it expects",
        ),
        required(
            result::MODEL,
            Type::Text,
            "the candidate that was chosen: whose quantiles they are",
        ),
        VERSION,
    ],
    sort: &["source", "entity_id", "currency", "known_to", "day"],
    statistics: &["source", "entity_id", "known_to", "day"],
};

pub(super) const CHOICES: Table = Table {
    name: "cost_forecast_choices",
    description: "what a forecast was chosen from, by how far off each candidate's totals were at \
                  earlier origins of the same days",
    kind: Kind::Result,
    own: &[
        ENTITY,
        CURRENCY,
        KNOWN_TO,
        required(forecast::CANDIDATE, Type::Text, "the model, or 'ensemble': several, weighted"),
        optional(
            forecast::ERROR,
            Type::F64,
            "mean error of its totals of 7, 14, 30 and 60 days, as a share of the series; null where \
             nothing was to be judged",
        ),
        required(forecast::IS_CHOSEN, Type::Flag, "whether it was chosen"),
        VERSION,
    ],
    sort: &["source", "entity_id", "currency", "known_to", "candidate"],
    statistics: &["source", "entity_id", "known_to"],
};
