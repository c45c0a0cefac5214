//! Days that are strange: by what they came to, by what they were made of, and why.

use super::View;

pub(super) const COST_ANOMALIES: View = View {
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
};

pub(super) const COST_CAUSES: View = View {
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
};

pub(super) const COST_VERDICTS: View = View {
    name: "cost_verdicts",
    description: "an account's day that is strange by what it came to (cost_anomalies), by the mix of its \
                  services (the stream's model, cost_scores), or by both",
    columns: &[
        ("source", "name of the configured stream"),
        ("entity_id", "sub-account, or the billing account where there is none"),
        ("day", "the day, UTC"),
        ("found_by", "'amount', 'mix' or 'both'"),
        ("state", "'open' or 'retracted', of the amount; null where it was as expected"),
        ("currency", "FOCUS BillingCurrency, ISO 4217; null where the amount was as expected"),
        ("service", "the one service whose amount was strange; null where the whole day's was"),
        ("deviation", "actual - expected; null where the amount was as expected"),
        ("above_impact", "whether it was off by anomaly.min_impact or more; null likewise"),
        ("amount_score", "the deviation's size in usual errors; null likewise"),
        ("mix_score", "score of the day's vector; null where no model scored it"),
        ("mix_threshold", "limit that it was held against"),
        ("top_feature", "feature with the greatest share in the score"),
        ("feedback", "what was last said of the anomaly"),
        ("anomaly_id", "names the anomaly in cost_anomalies and cost_causes"),
        ("alert_id", "alert of the model that the day belongs to"),
    ],
    sql: "
        WITH mix AS (
            SELECT source, entity_id, CAST(window_start AS DATE) AS day, score, is_anomaly, alert_id,
                   COALESCE(threshold_adaptive, threshold_static) AS threshold, top_channel
            FROM cost_scores
        )
        SELECT COALESCE(a.source, mix.source) AS source,
               COALESCE(a.entity_id, mix.entity_id) AS entity_id, COALESCE(a.day, mix.day) AS day,
               CASE WHEN a.source IS NULL THEN 'mix' WHEN mix.is_anomaly THEN 'both' ELSE 'amount' END
                   AS found_by,
               a.state, a.currency, a.service, a.deviation, a.above_impact, a.score AS amount_score,
               mix.score AS mix_score, mix.threshold AS mix_threshold,
               mix.top_channel AS top_feature, a.feedback, a.anomaly_id, mix.alert_id
        FROM cost_anomalies AS a
        FULL OUTER JOIN mix
          ON mix.source = a.source AND mix.entity_id = a.entity_id AND mix.day = a.day
        WHERE a.source IS NOT NULL OR mix.is_anomaly
        ORDER BY day, source, entity_id",
};
