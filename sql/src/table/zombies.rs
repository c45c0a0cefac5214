//! `zombie_scores` and `zombie_attributions`: which resources will stay idle, and why the model says so.

use cloudops_operators::schema::{cost, result};

use super::resource_days::RESOURCE;
use super::{Kind, Table, Type, optional, required};

const JUDGED_ON: super::Column =
    required(cost::DAY, Type::Day, "the day at whose end the resource was judged, UTC");
const MODEL: super::Column = required(result::MODEL, Type::Text, "name of the forest that judged");
const VERSION: super::Column = required(result::MODEL_VERSION, Type::Text, "its immutable version");

pub(super) const SCORES: Table = Table {
    name: "zombie_scores",
    description: "a resource judged at the end of a week: will it stay idle, and what speaks against that",
    kind: Kind::Result,
    own: &[
        RESOURCE,
        JUDGED_ON,
        MODEL,
        VERSION,
        required(result::SCORE, Type::F32, "share of the forest's trees for it, from 0 to 1"),
        required("probability", Type::F32, "the score calibrated"),
        required("limit", Type::F64, "probability from which the model names a resource"),
        required(
            "policy",
            Type::Text,
            "which evidence counts: 'evidence' any, 'unseen' or 'score' none",
        ),
        required("model_says", Type::Flag, "whether the probability reaches the limit"),
        required(
            "is_zombie",
            Type::Flag,
            "whether it does, and no evidence that counts speaks against it",
        ),
        required(
            "evidence",
            Type::Texts,
            "what speaks against a termination: 'short-history', 'connections-unknown', 'connections', \
             'steady-inbound', 'recent-work', 'periodic-work'",
        ),
        optional(
            "rule_low_utilisation",
            Type::Flag,
            "low CPU and traffic on 4 of the last 14 days",
        ),
        optional("rule_idle", Type::Flag, "next to none on each of the last 14 days"),
        optional("cpu_mean", Type::F64, "mean CPU of four weeks, per cent"),
        optional("cpu_p95", Type::F64, "CPU that 95 of 100 hours stay below, per cent"),
        optional("cpu_peak", Type::F64, "greatest CPU, per cent"),
        optional("net_mb_day", Type::F64, "mean network traffic of a day, MB of 2^20 bytes"),
        optional("connections_peak", Type::F64, "greatest number of open connections of clients"),
        optional("idle_days_share", Type::F64, "share of the days that were idle"),
        optional("days_since_active", Type::F64, "days since one that was not idle"),
    ],
    sort: &["day", "entity_id"],
    statistics: &["source", "entity_id", "day", "probability"],
};

pub(super) const ATTRIBUTIONS: Table = Table {
    name: "zombie_attributions",
    description: "part of a named resource's score owed to one feature",
    kind: Kind::Result,
    own: &[
        RESOURCE,
        JUDGED_ON,
        MODEL,
        VERSION,
        required(
            "feature",
            Type::Text,
            "the feature; '(base)' is what is the same for all resources",
        ),
        optional("value", Type::F64, "the feature's value; null where it is not known"),
        required(
            "contribution",
            Type::F64,
            "part of the score; those of one resource and day sum to it exactly",
        ),
    ],
    sort: &["day", "entity_id", "feature"],
    statistics: &["source", "entity_id", "day"],
};
