//! How often and in which order receivers are sent alerts, and what becomes of those that they do not take.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Mutex;

use cloudops_pipeline::executor::secret::Secret;
use cloudops_pipeline::executor::signature::{self, HEADER};
use cloudops_pipeline::job::Job;
use cloudops_sql::catalog::Catalog;
use serde_json::{Value, json};

use crate::fixture::{NOW_S, SECRET, begin, commit, deliver, job, row, sql, start};
use crate::http::{self, Request, Server};

/// A status, headers, and a body.
pub(crate) type Answer = (u16, Vec<(&'static str, &'static str)>, &'static str);

/// A receiver with these answers, one after the other, and then with 200; 0 is none.
pub(crate) fn receiver(answers: Vec<Answer>) -> Server {
    let answers = Mutex::new(VecDeque::from(answers));
    Server::start(move |_, stream| {
        let answer = answers.lock().unwrap().pop_front();
        let (status, headers, body) = answer.unwrap_or((200, Vec::new(), ""));
        if status != 0 {
            http::answer(stream, status, &headers, body.as_bytes());
        }
    })
}

/// A receiver that answers so whenever a body holds a text.
fn refusing(what: &'static str, status: u16) -> Server {
    Server::start(move |request, stream| {
        let bad = String::from_utf8_lossy(&request.body).contains(what);
        http::answer(stream, if bad { status } else { 200 }, &[], b"not so");
    })
}

pub(crate) fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

/// The keys of the alerts in a receiver's requests, in order.
fn keys(server: &Server) -> Vec<String> {
    let bodies = server.requests().iter().map(body).collect::<Vec<_>>();
    let alerts = bodies.iter().flat_map(|body| body["alerts"].as_array().unwrap());
    alerts.map(|alert| alert["key"].as_str().unwrap().to_owned()).collect()
}

fn webhook(folder: &Path, url: &str, more: &str) -> Job {
    let sink = format!(
        "[[sink]]\nname = \"ops\"\nwebhook = \"{url}/alerts\"\nsecret = SECRET\npause = \"1ms\"\n\
         backlog = true\n{more}\n"
    );
    job(folder, &sink)
}

/// Three alerts in three epochs, the second of which has none.
async fn three(folder: &Path) -> Catalog {
    let mut catalog = begin(&folder.join("results")).await;
    commit(
        &mut catalog,
        0,
        &[row(0, "b", "opened", "cost", 5), row(0, "a", "opened", "sensor", 3)],
    )
    .await;
    commit(&mut catalog, 1, &[]).await;
    let last = [
        row(2, "a", "closed", "sensor", 9),
        row(2, "c", "opened", "sensor", 8),
        row(2, "b", "closed", "cost", 8),
    ];
    commit(&mut catalog, 2, &last).await;
    catalog
}

const ALL: [&str; 5] = ["0-0", "0-1", "2-0", "2-1", "2-2"];

async fn status(folder: &Path) -> Vec<String> {
    let query = "select epoch, sequence, status from alert_status order by epoch, sequence";
    let rows = sql(folder, query).await;
    let text = |row: &Value| {
        format!("{}-{} {}", row["epoch"], row["sequence"], row["status"].as_str().unwrap_or("none"))
    };
    rows.iter().map(text).collect()
}

#[tokio::test]
async fn alerts_arrive_signed_in_order_and_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = three(dir.path()).await;
    let server = receiver(Vec::new());
    let job = webhook(dir.path(), &server.url, "");
    assert_eq!(status(dir.path()).await, ALL.map(|key| format!("{key} none")));
    deliver(&job).await;
    assert_eq!(keys(&server), ALL);
    deliver(&job).await;
    assert_eq!(server.requests().len(), 5, "nothing is new");
    assert_eq!(status(dir.path()).await, ALL.map(|key| format!("{key} delivered")));

    let request = &server.requests()[0];
    assert_eq!(request.line, "POST /alerts HTTP/1.1");
    assert_eq!(request.header("Idempotency-Key"), Some("0-0"));
    let header = request.header(HEADER).unwrap();
    let check = |secret: &str, body: &[u8]| {
        signature::verify(&Secret::new(secret), header, body, NOW_S + 10, 300)
    };
    assert_eq!(check(SECRET, &request.body), Ok(()));
    assert!(check("another secret of some length", &request.body).is_err());
    assert!(check(SECRET, b"{}").is_err());

    commit(&mut catalog, 3, &[row(3, "d", "opened", "sensor", 20)]).await;
    deliver(&job).await;
    assert_eq!(keys(&server)[5..], ["3-0"]);
}

#[tokio::test]
async fn a_sink_begins_with_what_is_committed_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = three(dir.path()).await;
    let server = receiver(Vec::new());
    let job = webhook(dir.path(), &server.url, "");
    let mut later = job;
    let cloudops_pipeline::job::SinkJob::Delivery(sink) = &mut later.sinks[0] else { panic!() };
    sink.config.backlog = false;
    deliver(&later).await;
    assert_eq!(server.requests().len(), 0);
    commit(&mut catalog, 3, &[row(3, "d", "opened", "sensor", 20)]).await;
    deliver(&later).await;
    assert_eq!(keys(&server), ["3-0"]);
    let expected = ALL.map(|key| format!("{key} none")).into_iter();
    let expected: Vec<String> = expected.chain(["3-0 delivered".to_owned()]).collect();
    assert_eq!(status(dir.path()).await, expected);
}

#[tokio::test]
async fn a_receiver_in_trouble_is_tried_again_with_the_same_key() {
    let dir = tempfile::tempdir().unwrap();
    three(dir.path()).await;
    let busy = (429, vec![("Retry-After", "0")], "busy");
    let down = || (503, Vec::new(), "down");
    let good = || (200, Vec::new(), "");
    // The last of these took it, and its answer was lost.
    let lost = (0, Vec::new(), "");
    let server = receiver(vec![good(), down(), busy, down(), good(), lost]);
    deliver(&webhook(dir.path(), &server.url, "")).await;
    assert_eq!(keys(&server), ["0-0", "0-1", "0-1", "0-1", "0-1", "2-0", "2-0", "2-1", "2-2"]);
    assert!(sql(dir.path(), "select * from dead_letters").await.is_empty());
}

#[tokio::test]
async fn what_is_refused_is_a_dead_letter_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    three(dir.path()).await;
    let server = refusing("\"key\":\"0-1\"", 400);
    deliver(&webhook(dir.path(), &server.url, "")).await;
    assert_eq!(keys(&server), ALL, "it is not sent again");
    let dead = sql(dir.path(), "select sink, alert_id, event, reason, attempts from dead_letters");
    let expected = json!({ "sink": "ops", "alert_id": "b", "event": "opened",
        "reason": "status 400: not so", "attempts": 1 });
    assert_eq!(dead.await, [expected]);
    assert_eq!(status(dir.path()).await[1], "0-1 dead");
}

#[tokio::test]
async fn what_is_tried_often_enough_is_a_dead_letter_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    three(dir.path()).await;
    let server = refusing("\"key\":\"0-0\"", 503);
    deliver(&webhook(dir.path(), &server.url, "attempts = 3")).await;
    assert_eq!(keys(&server), ["0-0", "0-0", "0-0", "0-1", "2-0", "2-1", "2-2"]);
    let dead = sql(dir.path(), "select alert_id, reason, attempts from dead_letters").await;
    assert_eq!(dead, [json!({ "alert_id": "a", "reason": "status 503: not so", "attempts": 3 })]);
}

#[tokio::test]
async fn what_a_round_finds_together_is_grouped_and_one_bad_alert_takes_no_other_with_it() {
    let dir = tempfile::tempdir().unwrap();
    three(dir.path()).await;
    let server = refusing("\"alert_id\":\"c\"", 422);
    deliver(&webhook(dir.path(), &server.url, "group_by = [\"kind\"]")).await;
    // The sensors' group is refused for the alert c, and sent again one by one.
    let requests = server.requests();
    let of: Vec<Vec<String>> = requests
        .iter()
        .map(|request| {
            let body = body(request);
            let alerts = body["alerts"].as_array().unwrap().clone();
            alerts.iter().map(|alert| alert["key"].as_str().unwrap().to_owned()).collect()
        })
        .collect();
    let (sensors, costs): (Vec<_>, Vec<_>) =
        of.iter().partition(|keys| keys.contains(&"0-0".to_owned()) || keys.len() == 1);
    assert_eq!(costs, [&["0-1".to_owned(), "2-1".to_owned()]]);
    assert_eq!(sensors, [&["0-0", "2-0", "2-2"][..], &["0-0"], &["2-0"], &["2-2"]]);
    let first = requests[0].header("Idempotency-Key").unwrap();
    assert!(first.starts_with("0-0+2-"), "{first}");
    assert_eq!(body(&requests[0])["key"], first);
    let dead = sql(dir.path(), "select alert_id from dead_letters").await;
    assert_eq!(dead, [json!({ "alert_id": "c" })]);
}

#[tokio::test]
async fn only_what_matches_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    three(dir.path()).await;
    let server = receiver(Vec::new());
    let more = "match = { kind = [\"c*\", \"audit\"], entity_id = \"pump-?\" }";
    deliver(&webhook(dir.path(), &server.url, more)).await;
    assert_eq!(keys(&server), ["0-1", "2-1"]);
    let expected = ["0-0 none", "0-1 delivered", "2-0 none", "2-1 delivered", "2-2 none"];
    assert_eq!(status(dir.path()).await, expected);
}

#[tokio::test]
async fn two_programs_at_once_lose_nothing_and_settle_each_row_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = begin(&dir.path().join("results")).await;
    for epoch in 0..30 {
        let second = epoch;
        let rows: Vec<Value> = (0..4)
            .map(|n| row(epoch, &format!("{epoch:02}{n}"), "opened", "sensor", second))
            .collect();
        commit(&mut catalog, epoch, &rows).await;
    }
    let server = refusing("\"alert_id\":\"072\"", 400);
    let job = webhook(dir.path(), &server.url, "");
    let mut catalogs = Vec::new();
    for _ in 0..3 {
        catalogs.push(Catalog::open(&job.catalog).await.unwrap());
    }
    std::thread::scope(|scope| {
        for catalog in catalogs {
            scope.spawn(|| start(&job, 0, catalog).unwrap().finish().unwrap());
        }
    });
    let mut arrived = keys(&server);
    arrived.sort_unstable();
    arrived.dedup();
    assert_eq!(arrived.len(), 120);
    let dead = sql(dir.path(), "select alert_id from dead_letters").await;
    assert_eq!(dead, [json!({ "alert_id": "072" })], "what became of it is said once");
    let sent = "select status, count(*) as n from alert_status group by status order by status";
    let of = |status: &str, n: u64| json!({ "status": status, "n": n });
    assert_eq!(sql(dir.path(), sent).await, [of("dead", 1), of("delivered", 119)]);
}

#[tokio::test]
async fn a_receiver_that_is_away_holds_no_other_back() {
    let dir = tempfile::tempdir().unwrap();
    three(dir.path()).await;
    let server = receiver(Vec::new());
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let away = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let sink = |name: &str, url: &str| {
        format!(
            "[[sink]]\nname = \"{name}\"\nwebhook = \"{url}\"\nsecret = SECRET\nbacklog = true\n\
             pause = \"1h\"\npause_max = \"1h\"\n"
        )
    };
    let job = job(dir.path(), &(sink("away", &away) + &sink("ops", &server.url)));
    let mut catalogs = Vec::new();
    for _ in 0..2 {
        catalogs.push(Catalog::open(&job.catalog).await.unwrap());
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (one, other) = (catalogs.pop().unwrap(), catalogs.pop().unwrap());
            let waiting = start(&job, 0, one).unwrap();
            start(&job, 1, other).unwrap().finish().unwrap();
            drop(waiting);
        });
    });
    assert_eq!(keys(&server), ALL);
    let of =
        "select sink, status, count(*) as n from alert_status group by sink, status order by sink";
    let expected = [
        json!({ "sink": "away", "status": "waiting", "n": 5 }),
        json!({ "sink": "ops", "status": "delivered", "n": 5 }),
    ];
    assert_eq!(sql(dir.path(), of).await, expected);
}

#[tokio::test]
async fn a_secret_that_a_receiver_repeats_is_in_no_table_and_no_record() {
    let dir = tempfile::tempdir().unwrap();
    three(dir.path()).await;
    // An address that is a secret, and a receiver that says it.
    let server = Server::start(|request, stream| {
        http::answer(stream, 404, &[], format!("no channel at {}", request.line).as_bytes());
    });
    let address = format!("{}/services/T0/B0/very-secret", server.url);
    let job = job(dir.path(), "[[sink]]\nname = \"ops\"\nslack = SECRET\nbacklog = true\n");
    std::fs::write(dir.path().join("secret"), &address).unwrap();
    deliver(&job).await;
    assert_eq!(server.requests().len(), 5);
    let dead = sql(dir.path(), "select reason from dead_letters").await;
    assert_eq!(dead.len(), 5);
    assert_eq!(dead[0]["reason"], "status 404: no channel at POST … HTTP/1.1");
    for entry in std::fs::read_dir(dir.path().join("results/log")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains("very-secret"), "{text}");
    }
}
