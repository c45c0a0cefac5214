//! What each receiver is sent, held against what its documentation asks for.

use serde_json::{Value, json};

use crate::fixture::{SECRET, begin, commit, deliver, job, row};
use crate::http::Server;
use crate::rounds::{body, receiver};

/// An alert that opens and closes, of an entity whose name means something in markup.
async fn sent(sink: &str, server: &Server) -> Vec<Value> {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = begin(&dir.path().join("results")).await;
    let mut opened = row(0, "1f3a", "opened", "sensor", 3);
    opened["entity_id"] = "<pump> & co".into();
    let mut closed = row(1, "1f3a", "closed", "sensor", 63);
    closed["entity_id"] = "<pump> & co".into();
    closed.as_object_mut().unwrap().remove("top_channel");
    commit(&mut catalog, 0, &[opened]).await;
    commit(&mut catalog, 1, &[closed]).await;
    let job = job(dir.path(), &format!("[[sink]]\nname = \"ops\"\nbacklog = true\n{sink}\n"));
    deliver(&job).await;
    server.requests().iter().map(body).collect()
}

const OPENED: &str = "sensor alert opened: <pump> & co of pumps at 1970-01-01T00:00:03Z, score 4.5 \
    against a limit of 1.25, mostly T30";
const CLOSED: &str = "sensor alert closed: <pump> & co of pumps at 1970-01-01T00:01:03Z, score 4.5 \
    against a limit of 1.25";

fn opened_row() -> Value {
    let mut row = row(0, "1f3a", "opened", "sensor", 3);
    row["entity_id"] = "<pump> & co".into();
    row
}

#[tokio::test]
async fn a_webhook_is_sent_rows_with_their_keys() {
    let server = receiver(Vec::new());
    let sink = format!("webhook = \"{}\"\nsecret = SECRET", server.url);
    let bodies = sent(&sink, &server).await;
    assert_eq!(bodies.len(), 2);
    let expected = json!({
        "sink": "ops", "key": "0-0", "text": OPENED,
        "alerts": [{ "key": "0-0", "text": OPENED, "row": opened_row() }],
    });
    assert_eq!(bodies[0], expected);
    assert_eq!((&bodies[1]["key"], &bodies[1]["text"]), (&json!("1-0"), &json!(CLOSED)));
    assert_eq!(bodies[1]["alerts"][0]["row"].get("top_channel"), None, "nulls are left out");
}

/// <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>, and what its
/// <https://docs.slack.dev/messaging/formatting-message-text> says is to be escaped.
#[tokio::test]
async fn slack_is_sent_text() {
    let server = receiver(Vec::new());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("address");
    std::fs::write(&file, format!("{}/services/T0/B0/abc\n", server.url)).unwrap();
    let template = "template = \"*{{event}}* <https://wiki/{{kind}}|{{entity_id}}>\"";
    let bodies = sent(&format!("slack = {{ file = {file:?} }}\n{template}"), &server).await;
    let text = |event: &str| json!({ "text": format!("*{event}* <https://wiki/sensor|&lt;pump&gt; &amp; co>") });
    assert_eq!(bodies, [text("opened"), text("closed")]);
    assert_eq!(server.requests()[0].line, "POST /services/T0/B0/abc HTTP/1.1");
    assert_eq!(server.requests()[0].header("Content-Type"), Some("application/json"));
}

/// <https://developer.pagerduty.com/docs/send-alert-event>
#[tokio::test]
async fn pagerduty_is_sent_events_of_one_key() {
    let server = receiver(Vec::new());
    let sink = format!(
        "pagerduty = SECRET\nendpoint = \"{}/v2/enqueue\"\nseverity = \"warning\"",
        server.url
    );
    let bodies = sent(&sink, &server).await;
    let trigger = json!({
        "routing_key": SECRET,
        "event_action": "trigger",
        "dedup_key": "1f3a",
        "client": "CloudOps",
        "payload": {
            "summary": OPENED,
            "source": "<pump> & co",
            "severity": "warning",
            "timestamp": "1970-01-01T00:00:03Z",
            "component": "pumps",
            "class": "sensor",
            "custom_details": opened_row(),
        },
    });
    let resolve = json!({ "routing_key": SECRET, "event_action": "resolve", "dedup_key": "1f3a" });
    assert_eq!(bodies, [trigger, resolve]);
    assert_eq!(server.requests()[0].line, "POST /v2/enqueue HTTP/1.1");
}

/// `postableAlerts` of <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>
#[tokio::test]
async fn alertmanager_is_sent_alerts_that_its_labels_name() {
    let server = receiver(Vec::new());
    let sink = format!("alertmanager = \"{}/\"\ntoken = SECRET", server.url);
    let bodies = sent(&sink, &server).await;
    let labels = json!({
        "alertname": "CloudOps", "alert_id": "1f3a", "source": "pumps", "kind": "sensor",
        "entity_id": "<pump> & co",
    });
    let expected = json!([
        {
            "labels": labels,
            "annotations": { "summary": OPENED },
            "startsAt": "1970-01-01T00:00:03Z",
            "endsAt": "9999-12-31T00:00:00Z",
        },
        {
            "labels": labels,
            "annotations": { "summary": CLOSED },
            "endsAt": "1970-01-01T00:01:03Z",
        },
    ]);
    assert_eq!(bodies, [expected], "what a round finds is one request");
    let request = &server.requests()[0];
    assert_eq!(request.line, "POST /api/v2/alerts HTTP/1.1");
    assert_eq!(request.header("Authorization"), Some(&*format!("Bearer {SECRET}")));
}
