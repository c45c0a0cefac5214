//! Views of API activity: principals, and findings as OCSF has them.

use super::View;

pub(super) const AUDIT_BY_PRINCIPAL: View = View {
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
};

/// Flattened: `finding_info.uid` is `finding_uid`, `actor.user.uid` `actor_uid`,
/// `finding_info.analytic.name` `analytic_name`, `attacks[].technique.uid` `technique_uids`.
pub(super) const FINDINGS: View = View {
    name: "findings",
    description: "an audit alert as OCSF's Detection Finding (class 2004), with the ATT&CK techniques \
                  that its calls may be steps of",
    columns: &[
        ("class_uid", "2004, Detection Finding"),
        ("activity_id", "1 where the finding was created, 3 where it was closed"),
        ("time", "event time of that, UTC"),
        ("finding_uid", "the alert"),
        ("title", "whose behaviour it is, and what of it is strangest"),
        (
            "severity_id",
            "4 (high) of a score four times its limit, 3 (medium) where techniques are known, else 2 (low)",
        ),
        ("status", "'New' or 'Resolved'"),
        ("actor_uid", "the principal, session or account"),
        ("technique_uids", "ids of ATT&CK techniques; see finding_attacks"),
        ("score", "score of the window that opened or closed it"),
        ("threshold", "limit that this score was held against"),
        ("analytic_name", "name of the model"),
        ("analytic_version", "its immutable version"),
        ("source", "name of the configured stream"),
        ("partition", "partition of the window's last event"),
        ("offset_from", "least offset of the window's events there"),
        ("offset_to", "greatest offset of the window's events there"),
        ("epoch", "epoch that committed it"),
    ],
    sql: "
        SELECT 2004 AS class_uid,
               CASE event WHEN 'opened' THEN 1 ELSE 3 END AS activity_id,
               at AS time, alert_id AS finding_uid,
               'strange behaviour of ' || entity_id || COALESCE(': ' || top_channel, '') AS title,
               CASE WHEN threshold > 0 AND score >= 4 * threshold THEN 4
                    WHEN array_length(techniques) > 0 THEN 3 ELSE 2 END AS severity_id,
               CASE event WHEN 'opened' THEN 'New' ELSE 'Resolved' END AS status,
               entity_id AS actor_uid, techniques AS technique_uids, score, threshold,
               model AS analytic_name, model_version AS analytic_version,
               source, partition, offset_from, offset_to, epoch
        FROM alerts WHERE kind = 'audit'
        ORDER BY time, finding_uid, activity_id",
};

pub(super) const FINDING_ATTACKS: View = View {
    name: "finding_attacks",
    description: "an ATT&CK technique that calls of a finding's first window may be steps of",
    columns: &[
        ("finding_uid", "the finding"),
        ("time", "event time at which it was created, UTC"),
        ("actor_uid", "the principal, session or account"),
        ("technique_uid", "the technique, e.g. 'T1562.008'"),
        ("technique_name", "its name"),
        ("tactic_uid", "the tactic that it serves, e.g. 'TA0005'"),
        ("source", "name of the configured stream"),
    ],
    sql: "
        SELECT finding_uid, time, actor_uid, technique_uid,
               attack_name(technique_uid) AS technique_name,
               attack_tactic(technique_uid) AS tactic_uid, source
        FROM (
            SELECT finding_uid, time, actor_uid, unnest(technique_uids) AS technique_uid, source
            FROM findings WHERE activity_id = 1
        )
        ORDER BY time, finding_uid, technique_uid",
};
