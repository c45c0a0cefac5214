//! `resource_days`: what is known of resources at the end of each day on which anything was said of them.

use cloudops_operators::schema::{self, cost};

use super::{Column, Kind, Table, Type, optional, required};

pub(super) const RESOURCE: Column =
    required(schema::ENTITY_ID, Type::Text, "the resource's id, the same in all streams");

pub(super) const TABLE: Table = Table {
    name: "resource_days",
    description: "what is known of a resource at the end of a day on which any stream said something of it",
    kind: Kind::Result,
    own: &[
        RESOURCE,
        required(cost::DAY, Type::Day, "the day at whose end this is known, UTC"),
        optional("provider", Type::Text, "'aws', 'azure', 'gcp', 'kubernetes' or another"),
        optional(
            "resource_type",
            Type::Text,
            "Terraform's type; of Kubernetes resource and group; null where nothing tells",
        ),
        optional(cost::SERVICE, Type::Text, "the bill's service that it costs most by"),
        optional("account", Type::Text, "account, subscription or project"),
        optional(cost::REGION, Type::Text, "region"),
        optional("name", Type::Text, "what its declaration calls it"),
        optional(
            "size",
            Type::Text,
            "instance type, class or machine type, as the provider names it",
        ),
        required("state", Type::Text, "'present', 'stopped' or 'gone'"),
        required("is_declared", Type::Flag, "whether a document declares it"),
        optional("owner", Type::Text, "value of the first of resources.owner_tags that it has"),
        optional("tags", Type::Text, "its tags, a JSON object"),
        optional("first_seen", Type::Instant, "event time of the first thing said of it, UTC"),
        optional("last_seen", Type::Instant, "event time of the last thing said of it, UTC"),
        optional(
            cost::CURRENCY,
            Type::Text,
            "currency of its costs, of several that of the largest",
        ),
        optional("cost_to_date", Type::Money, "effective cost so far, as known by the day"),
        optional("cost_month", Type::Money, "the same of the day's calendar month"),
        optional("cost_last_month", Type::Money, "the same of the month before"),
        optional("other_costs", Type::Text, "costs in other currencies, a JSON array"),
        optional("hours_measured", Type::I32, "hours of the day of which CPU is known"),
        optional("cpu_mean", Type::F64, "mean CPU of the day, per cent"),
        optional("cpu_peak", Type::F64, "greatest CPU of the day, per cent"),
        optional("memory_mean", Type::F64, "mean memory in use, per cent"),
        optional("disk_mb", Type::F64, "read from and written to disk, MB of 2^20 bytes"),
        optional("net_in_mb", Type::F64, "received, MB"),
        optional("net_out_mb", Type::F64, "sent, MB"),
        optional("connections_mean", Type::F64, "mean number of open connections of clients"),
        optional(
            "last_use",
            Type::Instant,
            "end of the last day that was not idle, or the last call that used it, UTC",
        ),
        optional("last_change", Type::Instant, "last call that changed it, UTC"),
        optional("last_change_by", Type::Text, "who made it"),
        optional("last_change_operation", Type::Text, "what they called"),
        optional("last_human_touch", Type::Instant, "last call that a person made on it, UTC"),
        optional("last_human", Type::Text, "who made it"),
        optional("last_human_operation", Type::Text, "what they called"),
        required("dependencies", Type::Texts, "ids of resources that it needs, as far as was seen"),
        required(
            "sources",
            Type::Text,
            "JSON array: of each stream that spoke that day, first partition and its records",
        ),
    ],
    sort: &["day", "entity_id"],
    statistics: &["source", "entity_id", "day"],
};
