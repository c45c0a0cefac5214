//! Views: the questions people ask first, answered.
//!
//! Each is a query over the tables, declared as text with what its columns
//! mean; a view may use those before it.

mod audit;
mod configuration;
mod cost;
mod focus;
mod resource;
mod strange;

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
                   SUM(CASE event WHEN 'opened' THEN 1 WHEN 'closed' THEN -1 ELSE 0 END) AS open,
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
    cost::COST_DAILY,
    cost::COST_REVISIONS,
    cost::COST_ROLLUPS,
    cost::COST_ALLOCATIONS,
    strange::COST_ANOMALIES,
    strange::COST_CAUSES,
    strange::COST_VERDICTS,
    cost::COST_MONTHLY,
    cost::COST_BY_SERVICE,
    audit::AUDIT_BY_PRINCIPAL,
    audit::FINDINGS,
    audit::FINDING_ATTACKS,
    configuration::CONFIG_DRIFT,
    configuration::CONFIG_DRIFT_HISTORY,
    resource::RESOURCES,
    resource::RESOURCE_DEPENDENCIES,
    resource::ZOMBIES,
    resource::RIGHT_SIZING,
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
