//! Views of resources: what there is, what it needs, what may go, what may be smaller.

use super::View;

pub(super) const RESOURCES: View = View {
    name: "resources",
    description: "a resource as it is known now",
    columns: &[
        ("resource", "the resource's id, the same in all streams"),
        ("provider", "'aws', 'azure', 'gcp', 'kubernetes' or another"),
        ("resource_type", "Terraform's type; of Kubernetes resource and group; null where nothing tells"),
        ("service", "the bill's service that it costs most by"),
        ("account", "account, subscription or project"),
        ("region", "region"),
        ("name", "what its declaration calls it"),
        ("size", "instance type, class or machine type, as the provider names it"),
        ("state", "'present', 'stopped' or 'gone'"),
        ("is_declared", "whether a document declares it"),
        ("owner", "value of the first of resources.owner_tags that it has"),
        ("tags", "its tags, a JSON object"),
        ("first_seen", "event time of the first thing said of it, UTC"),
        ("last_seen", "event time of the last thing said of it, UTC"),
        ("currency", "currency of its costs, of several that of the largest"),
        ("cost_to_date", "effective cost so far"),
        ("cost_month", "the same of the calendar month of `as_of`"),
        ("cost_last_month", "the same of the month before"),
        ("other_costs", "costs in other currencies, a JSON array"),
        ("last_use", "end of the last day that was not idle, or the last call that used it, UTC"),
        ("last_change", "last call that changed it, UTC"),
        ("last_change_by", "who made it"),
        ("last_human_touch", "last call that a person made on it, UTC"),
        ("last_human", "who made it"),
        ("dependencies", "ids of resources that it needs, as far as was seen"),
        ("as_of", "the last day on which anything was said of it"),
        ("measured_on", "the last day of which its use is known"),
        ("cpu_mean", "mean CPU of that day, per cent"),
        ("cpu_peak", "greatest CPU of that day, per cent"),
        ("memory_mean", "mean memory in use, per cent"),
        ("disk_mb", "read from and written to disk on that day, MB of 2^20 bytes"),
        ("net_in_mb", "received on that day, MB"),
        ("net_out_mb", "sent on that day, MB"),
        ("connections_mean", "mean number of open connections of clients"),
    ],
    sql: "
        WITH latest AS (
            SELECT *, ROW_NUMBER() OVER (PARTITION BY entity_id ORDER BY day DESC) AS age
            FROM resource_days
        ), measured AS (
            SELECT entity_id, day, cpu_mean, cpu_peak, memory_mean, disk_mb, net_in_mb, net_out_mb,
                   connections_mean,
                   ROW_NUMBER() OVER (PARTITION BY entity_id ORDER BY day DESC) AS age
            FROM resource_days WHERE hours_measured IS NOT NULL
        )
        SELECT latest.entity_id AS resource, provider, resource_type, service, account, region, name, size,
               state, is_declared, owner, tags, first_seen, last_seen, currency, cost_to_date,
               cost_month, cost_last_month, other_costs, last_use, last_change, last_change_by,
               last_human_touch, last_human, dependencies, latest.day AS as_of,
               measured.day AS measured_on, measured.cpu_mean, measured.cpu_peak,
               measured.memory_mean, measured.disk_mb, measured.net_in_mb, measured.net_out_mb,
               measured.connections_mean
        FROM latest LEFT JOIN (SELECT * FROM measured WHERE age = 1) AS measured
          ON measured.entity_id = latest.entity_id
        WHERE latest.age = 1
        ORDER BY resource",
};

pub(super) const RESOURCE_DEPENDENCIES: View = View {
    name: "resource_dependencies",
    description: "a resource that needs another, as far as was seen, and neither is gone",
    columns: &[
        ("resource", "the resource"),
        ("resource_type", "Terraform's type; of Kubernetes resource and group"),
        ("needs", "the id of the other"),
        ("needs_type", "its type; null where nothing is known of it"),
    ],
    sql: "
        WITH pairs AS (
            SELECT resource, resource_type, UNNEST(dependencies) AS needs
            FROM resources WHERE state <> 'gone'
        )
        SELECT pairs.resource, pairs.resource_type, pairs.needs, other.resource_type AS needs_type
        FROM pairs LEFT JOIN resources AS other ON other.resource = pairs.needs
        WHERE other.state IS NULL OR other.state <> 'gone'
        ORDER BY pairs.resource, pairs.needs",
};

pub(super) const ZOMBIES: View = View {
    name: "zombies",
    description: "a resource that is named as idle for good by its last judgement, and is still there, the \
                  dearest first",
    columns: &[
        ("resource", "the resource's id"),
        ("resource_type", "Terraform's type; null where nothing tells"),
        ("name", "what its declaration calls it"),
        ("owner", "value of the first of resources.owner_tags that it has"),
        ("size", "instance type, class or machine type"),
        ("region", "region"),
        ("currency", "currency of its costs"),
        ("cost_last_month", "effective cost of the month before its last day"),
        ("cost_month", "the same of the month of its last day"),
        ("judged_on", "the day at whose end it was judged, UTC"),
        ("probability", "probability that it stays idle"),
        ("score", "share of the forest's trees for it"),
        ("last_use", "end of the last day that was not idle, or the last call that used it, UTC"),
        ("last_human_touch", "last call that a person made on it, UTC"),
        ("last_human", "who made it"),
        ("days_since_active", "days since one that was not idle"),
        ("cpu_p95", "CPU that 95 of 100 hours stay below, per cent"),
        ("cpu_peak", "greatest CPU of four weeks, per cent"),
        ("net_mb_day", "mean network traffic of a day, MB of 2^20 bytes"),
        ("reasons", "the features that most of its score is owed to, first the greatest"),
        ("tags", "its tags, a JSON object"),
        ("model", "name of the forest that judged"),
        ("model_version", "its immutable version"),
    ],
    sql: "
        WITH judged AS (
            SELECT *, ROW_NUMBER() OVER (PARTITION BY entity_id ORDER BY day DESC) AS age
            FROM zombie_scores
        ), parts AS (
            SELECT entity_id, day, feature,
                   ROW_NUMBER() OVER (PARTITION BY entity_id, day
                                      ORDER BY contribution DESC, feature) AS place
            FROM zombie_attributions WHERE feature <> '(base)'
        ), reasons AS (
            SELECT entity_id, day, STRING_AGG(feature, ', ' ORDER BY place) AS reasons
            FROM parts WHERE place <= 3 GROUP BY entity_id, day
        )
        SELECT resources.resource, resource_type, name, owner, size, region, currency, cost_last_month,
               cost_month, judged.day AS judged_on, probability, score, last_use, last_human_touch,
               last_human, days_since_active, cpu_p95, judged.cpu_peak, net_mb_day, reasons, tags, model,
               model_version
        FROM judged JOIN resources ON resources.resource = judged.entity_id
        LEFT JOIN reasons ON reasons.entity_id = judged.entity_id AND reasons.day = judged.day
        WHERE judged.age = 1 AND is_zombie AND state <> 'gone'
        ORDER BY cost_last_month DESC NULLS LAST, resources.resource",
};

pub(super) const RIGHT_SIZING: View = View {
    name: "right_sizing",
    description: "another size proposed for a resource by its last judgement, the greatest saving first",
    columns: &[
        ("resource", "the resource's id"),
        ("resource_type", "Terraform's type; null where nothing tells"),
        ("name", "what its declaration calls it"),
        ("owner", "value of the first of resources.owner_tags that it has"),
        ("region", "region"),
        ("size", "the size at hand"),
        ("proposed_size", "the size that would do"),
        ("direction", "'down' to save, 'up' as the size at hand does not do"),
        ("reason", "why the size at hand does not do; null of 'down'"),
        ("saving_month", "what it saves in 730 hours; below 0 where it costs more"),
        ("currency", "currency of that"),
        ("price_basis", "what the price rests on: 'bill', 'given', 'parts' or 'family'"),
        ("risk", "share of the hours that asked for more than the proposed size has"),
        ("cpu_share", "share of the proposed size's CPU used at the percentile"),
        ("memory_share", "the same of memory"),
        ("network_share", "the same of network; null where its baseline is not published"),
        ("disk_share", "the same of disk; null where its baseline is not published"),
        ("is_committed", "whether a commitment covered the last charge: then nothing is saved before it ends"),
        ("judged_on", "the day at whose end it was judged, UTC"),
    ],
    sql: "
        WITH judged AS (
            SELECT *, ROW_NUMBER() OVER (PARTITION BY entity_id ORDER BY day DESC) AS age
            FROM right_sizings
        )
        SELECT resource, resource_type, name, owner, region, judged.size, other_size AS proposed_size,
               outcome AS direction, reason, saving_month, judged.currency, price_basis, risk,
               other_cpu_share AS cpu_share, other_memory_share AS memory_share,
               other_network_share AS network_share, other_disk_share AS disk_share, is_committed,
               judged.day AS judged_on
        FROM judged JOIN resources ON resources.resource = judged.entity_id
        WHERE judged.age = 1 AND outcome <> 'kept' AND state = 'present'
        ORDER BY saving_month DESC NULLS LAST, resource",
};
