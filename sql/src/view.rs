//! Views: the questions people ask first, answered.
//!
//! Each is a query over the tables, declared as text with what its columns
//! mean; a view may use those before it.

mod focus;

/// A named query.
#[derive(Debug)]
pub struct View {
    /// Its name in SQL.
    pub name: &'static str,
    /// One sentence: what a row is.
    pub description: &'static str,
    /// Its columns, in order, and what each means.
    pub columns: &'static [(&'static str, &'static str)],
    /// The query.
    pub sql: &'static str,
}

/// Every view; each uses only tables and views before it.
#[must_use]
pub fn all() -> &'static [View] {
    ALL
}

/// The view of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static View> {
    ALL.iter().find(|view| view.name == name)
}

const ALL: &[View] = &[
    View {
        name: "top_features",
        description: "channels or features of every alert, those that explain most of its score first",
        columns: &[
            ("alert_id", "the alert"),
            ("kind", "'sensor', 'audit' or 'cost'"),
            ("source", "name of the configured stream"),
            ("entity_id", "whose alert it is"),
            ("at", "event time at which the alert opened, UTC"),
            ("method", "how the score was divided; compare values only within one method"),
            ("feature", "channel or feature"),
            ("value", "part of the score, all time steps together"),
            ("share", "value as a share of the score; 1 is all of it"),
            ("rank", "place by value among the alert's features, from 1"),
        ],
        sql: "
            WITH feature AS (
                SELECT alert_id, source, method, feature, SUM(value) AS value
                FROM attributions
                GROUP BY alert_id, source, method, feature
            ), opened AS (
                SELECT alert_id, kind, source, entity_id, at FROM alerts WHERE event = 'opened'
            )
            SELECT opened.alert_id, opened.kind, opened.source, opened.entity_id, opened.at,
                   feature.method, feature.feature, feature.value,
                   feature.value / NULLIF(SUM(feature.value) OVER whole, 0) AS share,
                   ROW_NUMBER() OVER (PARTITION BY opened.alert_id, opened.source, feature.method
                                      ORDER BY feature.value DESC, feature.feature) AS rank
            FROM feature JOIN opened
              ON opened.alert_id = feature.alert_id AND opened.source = feature.source
            WINDOW whole AS (PARTITION BY opened.alert_id, opened.source, feature.method)",
    },
    View {
        name: "top_sensors",
        description: "channels of every sensor alert, those that explain most of its score first; what no \
                      channel explains (`baseline`, `latent_kl`) is in top_features",
        columns: &[
            ("alert_id", "the alert"),
            ("source", "name of the configured stream"),
            ("entity_id", "whose alert it is"),
            ("at", "event time at which the alert opened, UTC"),
            ("method", "how the score was divided; compare values only within one method"),
            ("sensor", "the channel"),
            ("value", "part of the score, all time steps together"),
            ("share", "value as a share of all channels' values"),
            ("rank", "place by value among the alert's channels, from 1"),
        ],
        sql: "
            SELECT alert_id, source, entity_id, at, method, feature AS sensor, value,
                   value / NULLIF(SUM(value) OVER whole, 0) AS share,
                   ROW_NUMBER() OVER (PARTITION BY alert_id, source, method
                                      ORDER BY value DESC, feature) AS rank
            FROM top_features
            WHERE kind = 'sensor' AND feature NOT IN ('baseline', 'latent_kl')
            WINDOW whole AS (PARTITION BY alert_id, source, method)
            ORDER BY at, alert_id, method, rank",
    },
    View {
        name: "open_alerts",
        description: "an alert that was opened and not yet closed",
        columns: &[
            ("alert_id", "the alert"),
            ("kind", "'sensor', 'audit' or 'cost'"),
            ("source", "name of the configured stream"),
            ("entity_id", "whose alert it is"),
            ("at", "event time at which it opened, UTC"),
            ("score", "score of the window that opened it"),
            ("threshold", "limit that this score was held against"),
            ("top_channel", "channel or feature with the greatest share in the error"),
            ("model", "name of the model that scored"),
            ("model_version", "its immutable version"),
        ],
        sql: "
            SELECT alert_id, kind, source, entity_id, at, score, threshold, top_channel,
                   model, model_version
            FROM alerts AS opened
            WHERE event = 'opened' AND NOT EXISTS (
                SELECT 1 FROM alerts AS closed
                WHERE closed.event = 'closed' AND closed.alert_id = opened.alert_id
                  AND closed.source = opened.source)
            ORDER BY at, source, entity_id",
    },
    View {
        name: "alerts_summary",
        description: "alerts of one entity: how many, since when, how bad",
        columns: &[
            ("kind", "'sensor', 'audit' or 'cost'"),
            ("source", "name of the configured stream"),
            ("entity_id", "whose alerts they are"),
            ("alerts", "alerts opened"),
            ("open", "alerts not yet closed"),
            ("first_at", "event time at which the first opened, UTC"),
            ("last_at", "event time at which the last opened, UTC"),
            ("max_score", "greatest score that opened one"),
        ],
        sql: "
            SELECT kind, source, entity_id,
                   SUM(CASE WHEN event = 'opened' THEN 1 ELSE 0 END) AS alerts,
                   SUM(CASE WHEN event = 'opened' THEN 1 ELSE -1 END) AS open,
                   MIN(CASE WHEN event = 'opened' THEN at END) AS first_at,
                   MAX(CASE WHEN event = 'opened' THEN at END) AS last_at,
                   MAX(CASE WHEN event = 'opened' THEN score END) AS max_score
            FROM alerts
            GROUP BY kind, source, entity_id
            ORDER BY alerts DESC, first_at, source, entity_id",
    },
    View {
        name: "first_alarms",
        description: "first alert of every entity, the earliest first, with the channels that explain it",
        columns: &[
            ("kind", "'sensor', 'audit' or 'cost'"),
            ("source", "name of the configured stream"),
            ("place", "place among the source's entities by time, from 1"),
            ("entity_id", "whose alert it is"),
            ("at", "event time at which it opened, UTC"),
            ("score", "score of the window that opened it"),
            ("threshold", "limit that this score was held against"),
            ("channels", "the three channels or features with the greatest part in the score"),
            ("alert_id", "the alert"),
        ],
        sql: "
            WITH numbered AS (
                SELECT *, ROW_NUMBER() OVER (PARTITION BY source, entity_id
                                             ORDER BY at, alert_id) AS number
                FROM alerts WHERE event = 'opened'
            ), explained AS (
                SELECT alert_id, source, STRING_AGG(feature, ', ' ORDER BY rank) AS channels
                FROM (SELECT *, DENSE_RANK() OVER (PARTITION BY alert_id, source
                                                   ORDER BY method) AS method_number
                      FROM top_features)
                WHERE rank <= 3 AND method_number = 1
                GROUP BY alert_id, source
            )
            SELECT kind, numbered.source,
                   ROW_NUMBER() OVER (PARTITION BY numbered.source ORDER BY at, entity_id) AS place,
                   entity_id, at, score, threshold,
                   COALESCE(explained.channels, top_channel) AS channels, numbered.alert_id
            FROM numbered LEFT JOIN explained
              ON explained.alert_id = numbered.alert_id AND explained.source = numbered.source
            WHERE number = 1
            ORDER BY numbered.source, place",
    },
    View {
        name: "cost_daily",
        description: "what an account's charges of a day add up to, exactly, as far as is known now",
        columns: &[
            ("source", "name of the configured stream"),
            ("entity_id", "sub-account, or the billing account where there is none"),
            ("day", "day on which the charge periods begin, UTC"),
            ("provider", "FOCUS ProviderName"),
            ("billing_account", "FOCUS BillingAccountId"),
            ("service", "FOCUS ServiceName"),
            ("currency", "FOCUS BillingCurrency, ISO 4217; never add across it"),
            ("service_category", "FOCUS ServiceCategory, where bill.by names it"),
            ("region", "FOCUS RegionId, where bill.by names it"),
            ("resource", "FOCUS ResourceId, where bill.by names it"),
            ("charge_category", "FOCUS ChargeCategory, where bill.by names it"),
            ("invoice", "FOCUS InvoiceId, where bill.by names it"),
            ("tags", "JSON object of the tags that bill.by names"),
            ("billed_cost", "sum of BilledCost, in the currency"),
            ("effective_cost", "sum of EffectiveCost, in the currency"),
            ("charges", "charges added up"),
            ("known_on", "day on which it last changed"),
        ],
        sql: "
            SELECT source, entity_id, day, provider, billing_account, service, currency,
                   service_category, region, resource, charge_category, invoice, tags,
                   SUM(billed_after - billed_before) AS billed_cost,
                   SUM(effective_after - effective_before) AS effective_cost,
                   SUM(charges_after - charges_before) AS charges, MAX(known_on) AS known_on
            FROM cost_changes
            GROUP BY source, entity_id, day, provider, billing_account, service, currency,
                     service_category, region, resource, charge_category, invoice, tags
            HAVING SUM(charges_after - charges_before) <> 0",
    },
    View {
        name: "cost_revisions",
        description: "what a day's charges were known to add up to, before and after each day that \
                      changed it; those known by a day say what was believed on it",
        columns: &[
            ("source", "name of the configured stream"),
            ("entity_id", "sub-account, or the billing account where there is none"),
            ("day", "day on which the charge periods begin, UTC"),
            ("provider", "FOCUS ProviderName"),
            ("billing_account", "FOCUS BillingAccountId"),
            ("service", "FOCUS ServiceName"),
            ("currency", "FOCUS BillingCurrency, ISO 4217; never add across it"),
            ("service_category", "FOCUS ServiceCategory, where bill.by names it"),
            ("region", "FOCUS RegionId, where bill.by names it"),
            ("resource", "FOCUS ResourceId, where bill.by names it"),
            ("charge_category", "FOCUS ChargeCategory, where bill.by names it"),
            ("invoice", "FOCUS InvoiceId, where bill.by names it"),
            ("tags", "JSON object of the tags that bill.by names"),
            ("known_on", "day on which the change became known"),
            ("reason", "'charge', 'correction' or 'restatement': the gravest of that day"),
            ("billed_before", "sum of BilledCost before, in the currency"),
            ("billed_after", "sum of BilledCost after, in the currency"),
            ("billed_change", "their difference: add up those known by a day"),
            ("effective_before", "sum of EffectiveCost before, in the currency"),
            ("effective_after", "sum of EffectiveCost after, in the currency"),
            ("effective_change", "their difference"),
            ("charges_after", "charges that add up to it after"),
            ("records", "records that made the change"),
            ("epoch", "epoch that committed the last of them"),
        ],
        sql: "
            WITH change AS (
                SELECT source, entity_id, day, provider, billing_account, service, currency,
                       service_category, region, resource, charge_category, invoice, tags, known_on,
                       MAX(reason) AS reason, SUM(records) AS records, MAX(epoch) AS epoch,
                       SUM(billed_after - billed_before) AS billed_change,
                       SUM(effective_after - effective_before) AS effective_change,
                       SUM(charges_after - charges_before) AS charges_change
                FROM cost_changes
                GROUP BY source, entity_id, day, provider, billing_account, service, currency,
                         service_category, region, resource, charge_category, invoice, tags,
                         known_on
            ), total AS (
                SELECT *, SUM(billed_change) OVER key AS billed_after,
                       SUM(effective_change) OVER key AS effective_after,
                       SUM(charges_change) OVER key AS charges_after
                FROM change
                WINDOW key AS (
                    PARTITION BY source, entity_id, day, provider, billing_account, service,
                                 currency, service_category, region, resource, charge_category,
                                 invoice, tags
                    ORDER BY known_on ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
            )
            SELECT source, entity_id, day, provider, billing_account, service, currency,
                   service_category, region, resource, charge_category, invoice, tags, known_on,
                   reason, billed_after - billed_change AS billed_before, billed_after,
                   billed_change, effective_after - effective_change AS effective_before,
                   effective_after, effective_change, charges_after, records, epoch
            FROM total",
    },
    View {
        name: "cost_rollups",
        description: "what one account, service, region, tag's value … costs in a day or a month, \
                      exactly, as far as is known now",
        columns: &[
            ("source", "name of the configured stream"),
            ("by", "by what costs are added up: 'account', 'service', 'tag:team' and so on"),
            ("period", "'day' or 'month'"),
            ("start", "first day of the period, UTC"),
            ("name", "whose costs; null where charges name none"),
            ("currency", "FOCUS BillingCurrency, ISO 4217; never add across it"),
            ("billed_cost", "sum of BilledCost, in the currency"),
            ("effective_cost", "sum of EffectiveCost, in the currency"),
            ("charges", "charges added up"),
            ("known_on", "day on which it last changed"),
        ],
        sql: "
            SELECT source, \"by\", period, start, name, currency,
                   SUM(billed_after - billed_before) AS billed_cost,
                   SUM(effective_after - effective_before) AS effective_cost,
                   SUM(charges_after - charges_before) AS charges, MAX(known_on) AS known_on
            FROM cost_rollup_changes
            GROUP BY source, \"by\", period, start, name, currency
            HAVING SUM(charges_after - charges_before) <> 0",
    },
    View {
        name: "cost_allocations",
        description: "what a target has of a billing account's calendar month, directly or by a rule, as \
                      far as is known now; all targets and rules together are the bill, exactly",
        columns: &[
            ("source", "name of the configured stream"),
            ("billing_account", "FOCUS BillingAccountId"),
            ("month", "first day of the month, UTC"),
            ("currency", "FOCUS BillingCurrency, ISO 4217; never add across it"),
            ("allocation", "name of the configured allocation; never add across it"),
            ("target", "whose costs; null where nobody has them: see rule"),
            ("rule", "the rule whose costs are shared, or 'direct': the target's own"),
            ("billed_cost", "of BilledCost, in the currency"),
            ("effective_cost", "of EffectiveCost, in the currency"),
            ("known_on", "day on which it last changed"),
        ],
        sql: "
            WITH change AS (
                SELECT source, billing_account, month, currency, allocation, target, rule, known_on,
                       SUM(billed_after - billed_before) AS billed_change,
                       SUM(effective_after - effective_before) AS effective_change
                FROM cost_allocation_changes
                GROUP BY source, billing_account, month, currency, allocation, target, rule, known_on
                HAVING SUM(billed_after - billed_before) <> 0
                    OR SUM(effective_after - effective_before) <> 0
            )
            SELECT source, billing_account, month, currency, allocation, target, rule,
                   SUM(billed_change) AS billed_cost, SUM(effective_change) AS effective_cost,
                   MAX(known_on) AS known_on
            FROM change
            GROUP BY source, billing_account, month, currency, allocation, target, rule
            HAVING SUM(billed_change) <> 0 OR SUM(effective_change) <> 0",
    },
    View {
        name: "cost_anomalies",
        description: "days that came to more or less than the days before let expect, and whether \
                      that still stands after what was restated",
        columns: &[
            ("source", "name of the configured stream"),
            ("entity_id", "sub-account, or the billing account where there is none"),
            ("day", "the day, UTC"),
            ("currency", "FOCUS BillingCurrency, ISO 4217"),
            ("service", "the one service that was strange, where the day as a whole was not"),
            ("state", "'open', or 'retracted': strange when it closed, not any more"),
            ("expected", "what the days before let expect"),
            ("at_close", "what the day came to when it closed"),
            ("actual", "what it comes to now"),
            ("deviation", "actual - expected"),
            ("score", "the deviation's size in usual errors"),
            ("above_impact", "whether it was off by anomaly.min_impact or more"),
            ("lower", "less is strange"),
            ("upper", "more is strange"),
            ("reason", "the gravest reason of what came after the day had closed"),
            ("known_on", "day on which the last of that became known"),
            ("feedback", "what was last said of it by `cloudops feedback`: 'yes', 'no' or 'planned'"),
            ("event_id", "anomaly_id of the first of the strange days in a row"),
            ("anomaly_id", "names the anomaly; its causes are in cost_causes"),
            ("model", "what said what was to be expected"),
            ("model_version", "its version"),
            ("partition", "partition of the stream"),
            ("offset_from", "first record of the partition that the day rests on"),
            ("offset_to", "last record of the partition that the day rests on, inclusive"),
            ("epoch", "epoch that committed the last word on it"),
        ],
        sql: "
            WITH last AS (
                SELECT *, MAX(epoch) OVER (PARTITION BY source, anomaly_id) AS last_epoch
                FROM cost_anomaly_changes
            ), said AS (
                SELECT source, anomaly_id, said, seq,
                       MAX(seq) OVER (PARTITION BY source, anomaly_id) AS last_seq
                FROM feedback
            )
            SELECT last.source, last.entity_id, last.day, last.currency, last.service, state, expected,
                   at_close, actual, deviation, score, above_impact, lower, upper, reason, known_on,
                   said.said AS feedback, event_id, last.anomaly_id, model, model_version,
                   \"partition\", offset_from, offset_to, epoch
            FROM last
            LEFT JOIN said ON said.source = last.source AND said.anomaly_id = last.anomaly_id
                          AND said.seq = said.last_seq
            WHERE epoch = last_epoch AND state <> 'withdrawn'",
    },
    View {
        name: "cost_causes",
        description: "whose charges made an anomaly: by each dimension, rows that sum to its \
                      deviation exactly",
        columns: &[
            ("source", "name of the configured stream"),
            ("entity_id", "sub-account, or the billing account where there is none"),
            ("day", "the day, UTC"),
            ("currency", "FOCUS BillingCurrency, ISO 4217"),
            ("dimension", "'service', 'region', 'tag:team' and so on"),
            ("rank", "from 1 on, by the deviation's size"),
            ("name", "whose charges; null without a name, and of several together"),
            ("names", "how many names the row is of"),
            ("expected", "what was to be expected of them"),
            ("actual", "what they come to now"),
            ("deviation", "actual - expected"),
            ("anomaly_id", "names the anomaly in cost_anomalies"),
            ("epoch", "epoch that committed the last word on it"),
        ],
        sql: "
            WITH last AS (
                SELECT source, anomaly_id, MAX(epoch) AS epoch
                FROM cost_anomaly_changes GROUP BY source, anomaly_id
            )
            SELECT c.source, c.entity_id, c.day, c.currency, c.dimension, c.rank, c.name, c.names,
                   c.expected, c.actual, c.deviation, c.anomaly_id, c.epoch
            FROM cost_cause_changes c
            JOIN last ON last.source = c.source AND last.anomaly_id = c.anomaly_id
                     AND last.epoch = c.epoch
            JOIN cost_anomaly_changes a ON a.source = c.source AND a.anomaly_id = c.anomaly_id
                     AND a.epoch = c.epoch
            WHERE a.state <> 'withdrawn'",
    },
    View {
        name: "cost_monthly",
        description: "what an account was charged for a service in a calendar month, exactly",
        columns: &[
            ("month", "first day of the month, UTC"),
            ("source", "name of the configured stream"),
            ("account", "sub-account, or the billing account where there is none"),
            ("provider", "FOCUS ProviderName"),
            ("service", "FOCUS ServiceName"),
            ("currency", "FOCUS BillingCurrency, ISO 4217; never add across it"),
            ("billed_cost", "sum of BilledCost, in the currency"),
            ("effective_cost", "sum of EffectiveCost, in the currency"),
            ("charges", "charges added up"),
        ],
        sql: "
            SELECT CAST(DATE_TRUNC('month', day) AS DATE) AS month, source, entity_id AS account,
                   provider, service, currency, SUM(billed_cost) AS billed_cost,
                   SUM(effective_cost) AS effective_cost, SUM(charges) AS charges
            FROM cost_daily
            GROUP BY CAST(DATE_TRUNC('month', day) AS DATE), source, entity_id, provider, service,
                     currency
            ORDER BY month, account, billed_cost DESC, provider, service, currency",
    },
    View {
        name: "cost_by_service",
        description: "what one account was charged for one service on one day, exactly",
        columns: &[
            ("day", "day on which the charge periods begin, UTC"),
            ("account", "sub-account, or the billing account where there is none"),
            ("provider", "FOCUS ProviderName"),
            ("service", "FOCUS ServiceName"),
            ("currency", "FOCUS BillingCurrency, ISO 4217; never add across it"),
            ("billed_cost", "sum of BilledCost, in the currency"),
            ("effective_cost", "sum of EffectiveCost, in the currency"),
            ("charges", "charge rows added up"),
        ],
        sql: "
            SELECT day, entity_id AS account, provider, service, currency,
                   SUM(billed_cost) AS billed_cost, SUM(effective_cost) AS effective_cost,
                   SUM(charges) AS charges
            FROM cost_daily
            GROUP BY day, entity_id, provider, service, currency
            ORDER BY day, account, billed_cost DESC, provider, service, currency",
    },
    View {
        name: "audit_by_principal",
        description: "one principal's API activity: how strange at most and on average",
        columns: &[
            ("source", "name of the configured stream"),
            ("principal", "the principal"),
            ("max_score", "greatest score of its windows"),
            ("mean_score", "mean score of its windows"),
            ("windows", "windows scored"),
            ("anomalous", "windows judged anomalous"),
            ("alerts", "alerts opened"),
            ("events", "API calls in these windows"),
            ("last_window_end", "end of its last window, UTC"),
        ],
        sql: "
            WITH opened AS (
                SELECT source, entity_id, COUNT(*) AS alerts
                FROM alerts WHERE event = 'opened' AND kind = 'audit'
                GROUP BY source, entity_id
            ), scored AS (
                SELECT source, entity_id, MAX(score) AS max_score, AVG(score) AS mean_score,
                       COUNT(*) AS windows,
                       SUM(CASE WHEN is_anomaly THEN 1 ELSE 0 END) AS anomalous,
                       SUM(rows) AS events, MAX(window_end) AS last_window_end
                FROM audit_scores
                GROUP BY source, entity_id
            )
            SELECT scored.source, scored.entity_id AS principal, max_score, mean_score, windows,
                   anomalous, COALESCE(alerts, 0) AS alerts, events, last_window_end
            FROM scored LEFT JOIN opened
              ON opened.source = scored.source AND opened.entity_id = scored.entity_id
            ORDER BY max_score DESC, scored.source, principal",
    },
    View {
        name: "accounting",
        description: "what became of every record of a source; nothing is missing where missing is 0",
        columns: &[
            ("source", "name of the configured stream"),
            ("records_in", "records read, and rejects that belong to no record"),
            ("on_time", "records accepted in time, duplicates included"),
            ("late", "records older than the watermark at their arrival"),
            ("rejected", "pieces of input that could not be read"),
            ("missing", "records_in - on_time - late - rejected"),
            ("duplicates", "records accepted but seen before, and so without effect"),
            ("late_rows", "rows in the table late"),
            ("reject_rows", "rows in the table rejects"),
            ("epochs", "epochs committed"),
        ],
        sql: "
            WITH told AS (
                SELECT source, SUM(records_in) AS records_in, SUM(on_time) AS on_time,
                       SUM(late) AS late, SUM(rejected) AS rejected,
                       SUM(duplicates) AS duplicates, COUNT(DISTINCT epoch) AS epochs
                FROM epochs GROUP BY source
            ), kept_late AS (
                SELECT source, COUNT(*) AS late_rows FROM late GROUP BY source
            ), kept_rejects AS (
                SELECT source, COUNT(*) AS reject_rows FROM rejects GROUP BY source
            )
            SELECT told.source, records_in, on_time, late, rejected,
                   CAST(records_in AS BIGINT) - CAST(on_time AS BIGINT) - CAST(late AS BIGINT)
                       - CAST(rejected AS BIGINT) AS missing,
                   duplicates, COALESCE(late_rows, 0) AS late_rows,
                   COALESCE(reject_rows, 0) AS reject_rows, epochs
            FROM told
            LEFT JOIN kept_late ON kept_late.source = told.source
            LEFT JOIN kept_rejects ON kept_rejects.source = told.source
            ORDER BY told.source",
    },
    focus::FOCUS,
    focus::COMMITMENT_UTILISATION,
    focus::COMMITMENT_COVERAGE,
];
