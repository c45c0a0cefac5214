//! `cost_anomaly_changes` and `cost_cause_changes`: what is said of days that came to more or less than
//! was to be expected, each time anew.

use cloudops_operators::schema::{cost, result};
use cloudops_operators::{anomaly, bill};

use super::{ENTITY, Kind, Table, Type, optional, required};

const DAY: super::Column = required(cost::DAY, Type::Day, "the day, UTC");
const CURRENCY: super::Column =
    required(cost::CURRENCY, Type::Text, "FOCUS BillingCurrency, ISO 4217");
const ID: super::Column = required(
    anomaly::ANOMALY_ID,
    Type::Text,
    "names the account's day in this currency; its last epoch holds",
);

pub(super) const TABLE: Table = Table {
    name: "cost_anomaly_changes",
    description: "what is said of a day that came to more or less than the days before let expect, \
                  when it closed and whenever it was restated; cost_anomalies has the last of it",
    kind: Kind::Result,
    own: &[
        ENTITY,
        DAY,
        CURRENCY,
        ID,
        optional(
            cost::SERVICE,
            Type::Text,
            "the one service that was strange on a day that was not, as a whole; amounts are its own",
        ),
        required(
            anomaly::EVENT_ID,
            Type::Text,
            "anomaly_id of the first of the strange days in a row that this one belongs to",
        ),
        required(
            anomaly::STATE,
            Type::Text,
            "'open', 'retracted' (strange when it closed, not any more) or 'withdrawn' (strange only \
             in between)",
        ),
        optional(
            bill::REASON,
            Type::Text,
            "the gravest reason of what came after the day had closed; null where nothing did",
        ),
        optional(cost::KNOWN_ON, Type::Day, "day on which the last of that became known"),
        required(anomaly::EXPECTED, Type::Money, "what the days before let expect"),
        required(anomaly::LOWER, Type::Money, "less is strange"),
        required(anomaly::UPPER, Type::Money, "more is strange"),
        required(anomaly::AT_CLOSE, Type::Money, "what the day came to when it closed"),
        required(anomaly::ACTUAL, Type::Money, "what it comes to with all that came since"),
        required(anomaly::DEVIATION, Type::Money, "actual - expected"),
        required(result::SCORE, Type::F64, "the deviation's size in usual errors"),
        required(
            anomaly::ABOVE_IMPACT,
            Type::Flag,
            "whether it was off by anomaly.min_impact or more, when it closed or now",
        ),
        required(result::MODEL, Type::Text, "what said what was to be expected"),
        required(result::MODEL_VERSION, Type::Text, "its version"),
    ],
    sort: &["source", "entity_id", "day", "currency"],
    statistics: &["source", "entity_id", "day", "state", "anomaly_id"],
};

pub(super) const CAUSES: Table = Table {
    name: "cost_cause_changes",
    description: "what part of an anomaly's deviation is whose, by each dimension: a dimension's rows \
                  of an epoch sum to it exactly; cost_causes has the last of it",
    kind: Kind::Result,
    own: &[
        ENTITY,
        DAY,
        CURRENCY,
        ID,
        required(anomaly::DIMENSION, Type::Text, "'service', 'region', 'tag:team' and so on"),
        required(anomaly::RANK, Type::I32, "from 1 on, by the deviation's size"),
        optional(
            anomaly::NAME,
            Type::Text,
            "whose charges; null of those without a name, and of several names together",
        ),
        required(anomaly::NAMES, Type::I32, "how many names the row is of"),
        required(anomaly::EXPECTED, Type::Money, "what was to be expected of them"),
        required(anomaly::ACTUAL, Type::Money, "what they come to"),
        required(anomaly::DEVIATION, Type::Money, "actual - expected"),
    ],
    sort: &["source", "entity_id", "day", "currency", "dimension", "rank"],
    statistics: &["source", "entity_id", "day", "anomaly_id"],
};
