//! `right_sizings`: the smallest size that would do, or why none is proposed.

use cloudops_operators::schema::cost;

use super::resource_days::RESOURCE;
use super::{Kind, Table, Type, optional, required};

pub(super) const TABLE: Table = Table {
    name: "right_sizings",
    description: "a running resource of a known size at the end of a week: the size that would do, or why \
                  none is proposed",
    kind: Kind::Result,
    own: &[
        RESOURCE,
        required(cost::DAY, Type::Day, "the day at whose end the resource was judged, UTC"),
        required(
            "outcome",
            Type::Text,
            "'down' to save, 'up' as the size at hand does not do, or 'kept'",
        ),
        optional(
            "reason",
            Type::Text,
            "why it is kept, or why the size at hand does not do: 'short-history', 'size-unknown', \
             'no-price', 'already-smallest', 'cpu', 'memory', 'network', 'disk', 'memory-unknown', \
             'baseline', 'risk', 'saving-small', 'nothing-fits'; null of what is proposed to save",
        ),
        required("size", Type::Text, "the size at hand, in lower case"),
        optional(
            "other_size",
            Type::Text,
            "the size proposed; of what is kept the one that the reason speaks of",
        ),
        optional(cost::CURRENCY, Type::Text, "currency of prices; empty where no bill names one"),
        optional(
            "price_hour",
            Type::Money,
            "price of an hour of the size at hand; of proposals only",
        ),
        optional("other_price_hour", Type::Money, "price of an hour of the other size"),
        optional(
            "price_basis",
            Type::Text,
            "what that rests on: 'bill', 'given', 'parts' of it in the bill, or another of its 'family'",
        ),
        optional(
            "saving_month",
            Type::Money,
            "what it saves in 730 hours; below 0 where it costs more",
        ),
        optional(
            "risk",
            Type::F64,
            "share of the hours that asked for more than the other size has",
        ),
        optional("is_committed", Type::Flag, "whether a commitment covered the last charge"),
        optional("cpu_share", Type::F64, "share of the size at hand used at the percentile: CPU"),
        optional("other_cpu_share", Type::F64, "the same of the other size"),
        optional("memory_share", Type::F64, "share of the size at hand used: memory"),
        optional("other_memory_share", Type::F64, "the same of the other size"),
        optional("network_share", Type::F64, "share of the size at hand used: network"),
        optional("other_network_share", Type::F64, "the same of the other size"),
        optional("disk_share", Type::F64, "share of the size at hand used: disk"),
        optional("other_disk_share", Type::F64, "the same of the other size"),
    ],
    sort: &["day", "entity_id"],
    statistics: &["source", "entity_id", "day", "outcome"],
};
