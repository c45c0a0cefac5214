//! Jobs and commands as they are run.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::http::{self, Server};
use crate::rounds::{body, receiver};
use crate::support::{backfill, cloudops, command, sql, text};

const JOB: &str = r#"
[catalog]
url = "results"
[run]
workers = 2
epoch_records = 50
checkpoint_interval = "0s"
fsync = false
[[stream]]
name = "pumps"
window = { kind = "count", length = 8, hop = 4 }
threshold = { policy = "static", static_quantile = 0.8 }
[stream.source]
path = "input.csv"
format = "sensor-wide"
mapping = { entity = "pump", time = "t", channels = ["a", "b"] }
[stream.model]
architecture = "max-abs-z"
"#;

/// A job with a sink, trained; rows now and then stand out.
fn write(place: &Path, url: &str) -> PathBuf {
    let mut rows = "pump,t,a,b\n".to_owned();
    for step in 0..1800 {
        let (wave, spike) = (f64::from(step * 37 % 101) / 50.0, (step / 40) % 4 == 3);
        let (minute, second) = (step / 60, step % 60);
        let b = if spike { 40.0 + wave } else { 1.0 - wave };
        writeln!(rows, "pump-{},2026-01-01T00:{minute:02}:{second:02}Z,{wave},{b}", step % 3)
            .unwrap();
    }
    std::fs::write(place.join("input.csv"), rows).unwrap();
    std::fs::write(place.join("secret"), "a secret of some length").unwrap();
    let config = place.join("job.toml");
    let sink = format!(
        "[[sink]]\nname = \"ops\"\nwebhook = \"{url}\"\nsecret = {{ file = \"secret\" }}\n\
         pause = \"1ms\"\n"
    );
    std::fs::write(&config, format!("{JOB}{sink}")).unwrap();
    cloudops(&["train", "--config", text(&config)]);
    config
}

fn fails(arguments: &[&str], what: &str) {
    let output = command(arguments).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains(what), "{what}: {error}");
}

/// One list of arguments behind another.
fn with<'a>(first: &[&'a str], then: &[&'a str]) -> Vec<&'a str> {
    [first, then].concat()
}

/// Alerts that came, as `alert event`, each once and in the order of their coming.
fn came(server: &Server) -> Vec<String> {
    let mut came: Vec<String> = Vec::new();
    for request in server.requests() {
        for alert in body(&request)["alerts"].as_array().unwrap() {
            let row = &alert["row"];
            let text = format!("{} {} {}", alert["key"], row["alert_id"], row["event"]);
            if !came.contains(&text) {
                came.push(text);
            }
        }
    }
    came
}

#[test]
fn a_job_delivers_what_it_commits_also_when_it_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = text(&dir.path().join("results")).to_owned();
    let server = receiver(Vec::new());
    let config = write(dir.path(), &server.url);
    let mut sent = 0;
    for requests in [1, 5, 9] {
        let mut run = command(&["backfill", "--config", text(&config)]).spawn().unwrap();
        while server.requests().len() < sent + requests && run.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        run.kill().unwrap();
        run.wait().unwrap();
        sent = server.requests().len();
    }
    backfill(&config);
    let kept = sql(&catalog, "select alert_id, event from alerts");
    assert!(kept.len() > 20, "too few alerts to prove anything");
    assert_eq!(came(&server).len(), kept.len());
    let waiting = "select * from alert_status where status <> 'delivered' or status is null";
    assert!(sql(&catalog, waiting).is_empty());
    // An epoch computed again is sent to nobody.
    let before = server.requests().len();
    cloudops(&["replay", "--config", text(&config), "--epoch", "3"]);
    assert_eq!(server.requests().len(), before);
}

#[test]
fn people_attend_to_alerts_by_command() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = text(&dir.path().join("results")).to_owned();
    let refusing = Arc::new(AtomicBool::new(true));
    let refuses = Arc::clone(&refusing);
    let server = Server::start(move |request, stream| {
        let bad = refuses.load(Ordering::Relaxed)
            && String::from_utf8_lossy(&request.body).contains("\"entity_id\":\"pump-1\"");
        http::answer(stream, if bad { 400 } else { 200 }, &[], b"no");
    });
    let config = write(dir.path(), &server.url);
    let of = ["--catalog", catalog.as_str()];
    let run = |arguments: &[&str]| cloudops(&with(arguments, &of));
    let refused = |arguments: &[&str], what: &str| fails(&with(arguments, &of), what);
    // A silence may be there before anything is.
    let missing = ["alerts", "silence", "--match", "entity=x", "--by", "ann", "--reason", "r"];
    refused(&missing, "entity is no column of text of alerts");
    let silence = ["alerts", "silence", "--match", "entity_id=pump-2", "--by", "ann", "--reason"];
    let silence = run(&with(&silence, &["repair", "--until", "2026-01-01T00:05:00Z", "--json"]));
    let silence = serde_json::from_str::<Value>(&silence).unwrap()["silence"].to_string();
    backfill(&config);

    let by_status = "select entity_id, status, count(*) as n from alert_status \
        where event = 'opened' group by entity_id, status order by entity_id, status";
    let rows = sql(&catalog, by_status);
    let status: Vec<String> =
        rows.iter().map(|row| format!("{} {}", row["entity_id"], row["status"])).collect();
    let expected = [
        "\"pump-0\" \"delivered\"",
        "\"pump-1\" \"dead\"",
        "\"pump-2\" \"delivered\"",
        "\"pump-2\" \"silenced\"",
    ];
    assert_eq!(status, expected, "{rows:?}");
    let list = run(&["alerts", "list", "--all", "--json"]);
    let list: Vec<Value> = serde_json::from_str(&list).unwrap();
    let opened = sql(&catalog, "select count(distinct alert_id) as n from alerts");
    assert_eq!(opened[0]["n"], list.len());
    assert!(list.iter().any(|alert| alert["sinks"][0]["status"] == "dead"), "{list:?}");

    // One that is still open is taken on, once.
    let open = run(&["alerts", "list", "--json"]);
    let open: Vec<Value> = serde_json::from_str(&open).unwrap();
    let closed = list.iter().find(|alert| !alert["closed_at"].is_null()).unwrap();
    let closed = closed["alert_id"].as_str().unwrap();
    refused(&["alerts", "ack", closed, "--by", "ann"], "has closed at");
    refused(&["alerts", "ack", "zz", "--by", "ann"], "no alert has an id");
    if let Some(open) = open.first() {
        let id = open["alert_id"].as_str().unwrap();
        let ack = ["alerts", "ack", &id[..12], "--by", "ann"];
        assert!(run(&ack).contains("ann is at alert"));
        refused(&ack, "was acknowledged by ann");
        assert!(run(&["alerts", "list"]).contains("ann is at it"));
    }
    run(&["alerts", "unsilence", &silence, "--by", "bob"]);
    refused(&["alerts", "unsilence", &silence, "--by", "bob"], "taken back by bob");

    // Dead letters stay until somebody has them sent, and the receiver takes them.
    let letters = "select count(*) as n, count(redelivered_at) as sent from dead_letters";
    let before = &sql(&catalog, letters)[0];
    assert!(before["n"].as_u64().unwrap() > 2 && before["sent"] == 0, "{before}");
    fails(&["alerts", "redeliver", "--config", text(&config)], "dead letters stay");
    refusing.store(false, Ordering::Relaxed);
    let one = sql(&catalog, "select alert_id from dead_letters limit 1")[0]["alert_id"].clone();
    cloudops(&["alerts", "redeliver", one.as_str().unwrap(), "--config", text(&config)]);
    let some = &sql(&catalog, letters)[0];
    assert!(some["sent"].as_u64().unwrap() >= 1 && some["sent"] != some["n"], "{some}");
    cloudops(&["alerts", "redeliver", "--sink", "ops", "--config", text(&config)]);
    let after = &sql(&catalog, letters)[0];
    assert_eq!((&after["n"], &after["sent"]), (&before["n"], &before["n"]));
    assert!(sql(&catalog, "select * from alert_status where status = 'dead'").is_empty());
    let again = cloudops(&["alerts", "redeliver", "--config", text(&config)]);
    assert_eq!(again.trim(), "there is no dead letter");
    let all = cloudops(&["alerts", "deliver", "--config", text(&config)]);
    assert_eq!(all.trim(), "ops: all is delivered");
    fails(&["alerts", "deliver", "--sink", "x", "--config", text(&config)], "no sink is named");
}

#[test]
fn a_sink_that_cannot_be_is_refused_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    let server = receiver(Vec::new());
    let config = write(dir.path(), &server.url);
    let good = std::fs::read_to_string(&config).unwrap();
    let log = dir.path().join("results/log");
    let takeovers = || crate::support::count(&log, "\"kind\":\"takeover\"");
    let trained = takeovers();
    let check = |sink: &str, what: &str| {
        let (job, _) = good.split_once("[[sink]]").unwrap();
        std::fs::write(&config, format!("{job}{sink}")).unwrap();
        fails(&["backfill", "--config", text(&config)], what);
        assert_eq!(takeovers(), trained, "{sink}: nobody has taken over");
    };
    let slack = "[[sink]]\nname = \"s\"\nslack = { env = \"NO_SUCH_VARIABLE\" }\n";
    check(slack, "sink \"s\": slack: the environment variable NO_SUCH_VARIABLE is not set");
    check(&slack.replace("\"s\"", "\"a b\""), "name: give the sink one of letters");
    check(&format!("{slack}{slack}"), "two sinks are named \"s\"");
    check(&format!("{slack}template = \"{{{{what}}}}\""), "{{what}} is no column of alerts");
    check(&format!("{slack}match = {{ score = \"4\" }}"), "match: \"score\" is no column of text");
    check(&format!("{slack}group_by = [\"x\"]"), "group_by: \"x\" is no column of text");
    check(&format!("{slack}attempts = 0"), "attempts is 0");
    let duty = "[[sink]]\nname = \"s\"\npagerduty = { file = \"secret\" }\n";
    check(&format!("{duty}severity = \"bad\""), "severity is \"bad\": PagerDuty knows critical");
    check(&format!("{duty}group_by = [\"kind\"]"), "group_by: PagerDuty has an incident for each");
    check(
        "[[sink]]\nname = \"s\"\nemail = { host = \"h\", from = \"a\", to = [\"a@b.c\"] }",
        "email.from: \"a\" is no mailbox",
    );
    check(
        "[[sink]]\nname = \"s\"\nalertmanager = \"host:9093\"",
        "alertmanager: it must be an address",
    );
}
