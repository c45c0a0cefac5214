//! Silences hold alerts back, and whoever is at an alert is not told of it again.

use std::collections::BTreeMap;
use std::path::Path;

use cloudops_sql::catalog::Catalog;
use cloudops_sql::catalog::delivery::{Attend, Attention, Matchers};
use cloudops_sql::catalog::record::Record;
use serde_json::{Value, json};

use crate::fixture::{begin, commit, deliver, job, row, sql};
use crate::rounds::{body, receiver};

async fn attend(folder: &Path, step: Attention) -> u64 {
    let address = folder.join("results");
    let mut catalog = Catalog::open(address.to_str().unwrap()).await.unwrap();
    let attend = Attend { step, by: "ann".into(), at_us: 1_700_000_000_000_000 };
    catalog.append(Record::Attend(attend)).await.unwrap()
}

fn silence(kind: &str, until_s: Option<i64>) -> Attention {
    Attention::Silenced {
        matching: Matchers([("kind".to_owned(), vec![kind.to_owned()])].into()),
        from_us: None,
        until_us: until_s.map(|second| second * 1_000_000),
        reason: "repair".into(),
    }
}

fn acknowledge(alert: &str, kind: &str) -> Attention {
    let labels = [("alert_id", alert), ("kind", kind)];
    let labels = labels.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let note = Some("on it".to_owned());
    Attention::Acknowledged { alert_id: alert.into(), labels: BTreeMap::from(labels), note }
}

async fn status(folder: &Path) -> Vec<Value> {
    sql(
        folder,
        "select alert_id, event, status, silenced_by, acknowledged_by from alert_status \
         order by epoch, sequence",
    )
    .await
}

#[tokio::test]
async fn what_is_silenced_is_held_from_opening_to_closing() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = begin(&dir.path().join("results")).await;
    let server = receiver(Vec::new());
    let sink = format!(
        "[[sink]]\nname = \"ops\"\nwebhook = \"{}\"\nsecret = SECRET\nbacklog = true\n\
         template = \"{{{{alert_id}}}} {{{{event}}}}\"\n",
        server.url
    );
    let job = job(dir.path(), &sink);
    let texts = || -> Vec<String> {
        let requests = server.requests();
        requests.iter().map(|of| body(of)["text"].as_str().unwrap().to_owned()).collect()
    };
    // Before anybody is silent: what was told as open is told as closed.
    commit(&mut catalog, 0, &[row(0, "a", "opened", "cost", 1)]).await;
    deliver(&job).await;
    let number = attend(dir.path(), silence("cost", Some(10))).await;
    let rows = [
        row(1, "a", "closed", "cost", 5),
        row(1, "b", "opened", "cost", 9),
        row(1, "c", "opened", "cost", 10),
        row(1, "d", "opened", "audit", 3),
    ];
    commit(&mut catalog, 1, &rows).await;
    deliver(&job).await;
    assert_eq!(texts(), ["a opened", "a closed", "c opened", "d opened"]);

    // The silence is over, and what it held is not told of: nobody would know what has closed.
    attend(dir.path(), Attention::Unsilenced { silence: number }).await;
    let rows = [row(2, "b", "closed", "cost", 12), row(2, "e", "opened", "cost", 4)];
    commit(&mut catalog, 2, &rows).await;
    deliver(&job).await;
    assert_eq!(texts()[4..], ["e opened"]);
    let held: Vec<Value> =
        status(dir.path()).await.into_iter().filter(|row| row["status"] == "silenced").collect();
    let expected = |event: &str| json!({ "alert_id": "b", "event": event, "status": "silenced", "silenced_by": "ann" });
    assert_eq!(held, [expected("opened"), expected("closed")]);
    let silences =
        sql(dir.path(), "select silence, matching, effective_until, ended_by from silences").await;
    let expected = json!({ "silence": number, "matching": "{\"kind\":[\"cost\"]}",
        "effective_until": "1970-01-01T00:00:10Z", "ended_by": "ann" });
    assert_eq!(silences, [expected]);
}

#[tokio::test]
async fn whoever_is_at_an_alert_hears_of_its_closing_and_pagerduty_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = begin(&dir.path().join("results")).await;
    let server = receiver(Vec::new());
    let pager = receiver(Vec::new());
    let hook = format!(
        "[[sink]]\nname = \"ops\"\nwebhook = \"{}\"\nsecret = SECRET\nbacklog = true\n\
         template = \"{{{{alert_id}}}} {{{{event}}}}\"\n",
        server.url
    );
    let duty = format!(
        "[[sink]]\nname = \"duty\"\npagerduty = SECRET\nendpoint = \"{}\"\nbacklog = true\n\
         match = {{ kind = \"sensor\" }}\n",
        pager.url
    );
    commit(&mut catalog, 0, &[row(0, "a", "opened", "sensor", 1)]).await;
    let duty = |folder: &Path| job(folder, &duty);
    deliver(&duty(dir.path())).await;
    attend(dir.path(), acknowledge("a", "sensor")).await;
    attend(dir.path(), acknowledge("z", "cost")).await;
    // The webhook has not heard of it yet, and need not any more.
    deliver(&job(dir.path(), &hook)).await;
    deliver(&duty(dir.path())).await;
    deliver(&duty(dir.path())).await;
    commit(&mut catalog, 1, &[row(1, "a", "closed", "sensor", 5)]).await;
    deliver(&job(dir.path(), &hook)).await;
    deliver(&duty(dir.path())).await;

    let texts: Vec<Value> = server.requests().iter().map(|of| body(of)["text"].clone()).collect();
    assert_eq!(texts, ["a closed"]);
    let actions: Vec<String> = pager
        .requests()
        .iter()
        .map(|of| format!("{} {}", body(of)["event_action"], body(of)["dedup_key"]))
        .collect();
    let expected = [r#""trigger" "a""#, r#""acknowledge" "a""#, r#""resolve" "a""#];
    assert_eq!(actions, expected, "each once, and nothing of what is not its own");
    let of_hook =
        "select event, status, acknowledged_by, note from alert_status where sink = 'ops'";
    let expected = [
        json!({ "event": "opened", "status": "acknowledged", "acknowledged_by": "ann", "note": "on it" }),
        json!({ "event": "closed", "status": "delivered", "acknowledged_by": "ann", "note": "on it" }),
    ];
    assert_eq!(sql(dir.path(), &format!("{of_hook} order by epoch")).await, expected);
}
