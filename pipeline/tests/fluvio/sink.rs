//! Alerts in a topic: every one of them, with the key that says which.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fluvio_protocol::record::Record;
use serde_json::Value;

use crate::broker::Faults;
use crate::cluster::TestCluster;
use crate::job::Small;
use crate::support::{assert_same, backfill, cloudops, command, text};

/// A job of so many steps whose alerts go to a topic.
fn job(small: &Small, name: &str, alerts: &str) -> PathBuf {
    let sink = format!("[[sink]]\nfluvio = {:?}\n", small.cluster.address(alerts));
    let config = small.configure(name, 100, &sink);
    cloudops(&["train", "--config", text(&config)]);
    config
}

/// Checks that a topic holds every alert of a catalog, and each once unless `again`.
fn check(small: &Small, name: &str, topic: &str, again: bool) -> Vec<(String, String)> {
    let sent = small.cluster.records(topic);
    let mut kept: Vec<Value> = small.sql(name, "select * from alerts");
    assert!(kept.len() > 10, "too few alerts to prove anything");
    let mut parsed: Vec<Value> =
        sent.iter().map(|(_, value)| serde_json::from_str(value).unwrap()).collect();
    for ((key, _), value) in sent.iter().zip(&parsed) {
        let epoch = key.split_once('-').unwrap().0;
        assert_eq!(value["epoch"].to_string(), epoch, "{key}: {value}");
    }
    let place = |key: &str| {
        let (epoch, sequence) = key.split_once('-').unwrap();
        (epoch.parse::<u64>().unwrap(), sequence.parse::<u64>().unwrap())
    };
    if !again {
        assert!(sent.is_sorted_by(|(a, _), (b, _)| place(a) < place(b)), "each once, in order");
    }
    let identity =
        |alert: &Value| format!("{} {} {}", alert["epoch"], alert["alert_id"], alert["event"]);
    kept.sort_by_key(identity);
    parsed.sort_by_key(identity);
    parsed.dedup();
    assert_eq!(kept.len(), parsed.len());
    for (kept, sent) in kept.iter().zip(&parsed) {
        assert_eq!(identity(kept), identity(sent));
        assert_eq!(kept["score"], sent["score"]);
    }
    sent
}

#[test]
fn alerts_are_sent_once_they_are_committed() {
    let small = Small::new(TestCluster::any(), 1);
    small.produce(0, 0, 2_000);
    let topic = small.cluster.topic("alerts", 1);
    let config = job(&small, "sent", &topic);
    backfill(&config);
    let sent = check(&small, "sent", &topic, false);

    // A run with nothing to do sends nothing; one whose topic is empty sends everything again, with
    // the same keys and values.
    backfill(&config);
    assert_eq!(small.cluster.records(&topic), sent);
    let other = small.cluster.topic("alerts-again", 1);
    let moved = std::fs::read_to_string(&config).unwrap().replace(&topic, &other);
    std::fs::write(&config, moved).unwrap();
    backfill(&config);
    assert_eq!(small.cluster.records(&other), sent);
}

/// Has small files merged, and those that went into them deleted.
const MAINTENANCE: &str = "[maintenance]\nfiles = 2\nkeep = \"0s\"\n";

/// [`job`], with a word on maintenance.
fn maintained(small: &Small, name: &str, alerts: &str) -> PathBuf {
    let config = job(small, name, alerts);
    let job = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, job + MAINTENANCE).unwrap();
    config
}

fn compact(config: &Path) {
    for command in ["compact", "gc"] {
        cloudops(&[command, "--config", text(config)]);
    }
}

/// Checks that no file of alerts is left as an epoch made it, and that files hold several epochs.
fn check_merged(small: &Small, name: &str, config: &Path) {
    let folder = config.with_extension("").join("data/alerts/pumps");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
    let files: Vec<String> = files.map(|file| file.into_string().unwrap()).collect();
    assert!(files.iter().all(|file| file.starts_with('m')), "{files:?}");
    let epochs = &small.sql(name, "select count(distinct epoch) as n from alerts")[0]["n"];
    assert!(2 * files.len() as u64 <= epochs.as_u64().unwrap(), "{files:?} of {epochs} epochs");
}

/// Sends a job's alerts to another topic, where some of them are already.
fn send_again(small: &Small, config: &Path, topic: &str, there: &[(String, String)]) -> String {
    let other = small.cluster.topic("alerts-again", 1);
    let record = |(key, value): &(String, String)| Record::new_key_value(&**key, &**value);
    if !there.is_empty() {
        small.cluster.produce(&other, 0, there.iter().map(record).collect());
    }
    let moved = std::fs::read_to_string(config).unwrap().replace(topic, &other);
    let config = config.with_file_name(format!("{other}.toml"));
    std::fs::write(&config, moved).unwrap();
    assert_eq!(backfill(&config)["epochs"], 0, "nothing is left but alerts");
    other
}

#[test]
fn alerts_that_are_merged_before_they_are_sent_keep_their_keys() {
    let small = Small::new(TestCluster::any(), 1);
    small.produce(0, 0, 2_000);
    let topic = small.cluster.topic("alerts", 1);
    let config = maintained(&small, "merged", &topic);
    backfill(&config);
    let sent = check(&small, "merged", &topic, false);
    compact(&config);
    check_merged(&small, "merged", &config);
    // Nothing had been sent, or one; a part of an epoch; an epoch's last; all but one; all.
    let sequence = |at: usize| sent[at].0.split_once('-').unwrap().1.parse::<u64>().unwrap();
    let within = (1..sent.len()).find(|&at| sequence(at) == 1).unwrap();
    let end = (within..sent.len()).find(|&at| sequence(at) == 0).unwrap();
    for there in [0, 1, within, end, sent.len() - 1, sent.len()] {
        let other = send_again(&small, &config, &topic, &sent[..there]);
        assert_eq!(small.cluster.records(&other), sent, "{there} had been sent");
    }
}

#[test]
fn alerts_are_sent_once_while_their_files_are_merged() {
    let small = Small::new(TestCluster::any(), 1);
    small.produce(0, 0, 400);
    let topic = small.cluster.topic("alerts", 1);
    let config = maintained(&small, "live", &topic);
    let mut run =
        command(&["run", "--config", text(&config)]).stdout(Stdio::null()).spawn().unwrap();
    let mut sent = 0;
    for step in 1..=5 {
        while small.cluster.records(&topic).len() <= sent {
            assert!(run.try_wait().unwrap().is_none(), "it has stopped by itself");
            std::thread::yield_now();
        }
        // What was sent, and what was not yet, now stands in other files.
        compact(&config);
        sent = small.cluster.records(&topic).len();
        small.produce(0, 400 * step, 400 * (step + 1));
    }
    assert!(Command::new("kill").arg(run.id().to_string()).status().unwrap().success());
    assert!(run.wait().unwrap().success(), "it drains and ends well");
    backfill(&config);
    let sent = check(&small, "live", &topic, false);
    compact(&config);
    check_merged(&small, "live", &config);
    let other = send_again(&small, &config, &topic, &[]);
    assert_eq!(small.cluster.records(&other), sent, "what live files gave, merged ones give");
}

#[test]
fn alerts_survive_brokers_that_fail_and_answers_that_are_lost() {
    let (cluster, broker) = TestCluster::in_process();
    let small = Small::new(cluster, 1);
    small.produce(0, 0, 2_000);
    let topic = small.cluster.topic("alerts", 1);
    let config = job(&small, "failing", &topic);
    // What was carried out and not answered is found in the topic, and not sent again.
    broker.state().faults = Faults { unanswered: 1, ..Faults::default() };
    backfill(&config);
    assert_eq!(broker.state().faults.unanswered, 0, "the fault has struck");
    check(&small, "failing", &topic, false);
}

#[test]
fn alerts_that_replicas_lack_are_waited_for_and_not_sent_again() {
    let (cluster, broker) = TestCluster::in_process();
    let small = Small::new(cluster, 1);
    small.produce(0, 0, 2_000);
    let topic = small.cluster.topic("alerts", 1);
    let config = job(&small, "late", &topic);
    broker.state().faults = Faults { unreplicated: 1, ..Faults::default() };
    backfill(&config);
    assert_eq!(broker.state().faults.unreplicated, 0, "the fault has struck");
    check(&small, "late", &topic, false);
}

#[test]
fn a_job_and_its_alerts_are_the_same_while_real_brokers_restart() {
    let Some((cluster, mut restarts)) = TestCluster::restarting() else { return };
    let small = Small::new(cluster, 1);
    small.produce(0, 0, 1_000);
    let topic = small.cluster.topic("alerts", 1);
    let config = job(&small, "restless", &topic);
    let calm = small.configure("calm", 100, "");
    cloudops(&["train", "--config", text(&calm)]);

    let arguments = ["run", "--config", text(&config)];
    let mut run = command(&arguments).stdout(Stdio::null()).spawn().unwrap();
    while small.cluster.records(&topic).is_empty() {
        assert!(run.try_wait().unwrap().is_none(), "it has stopped by itself");
        std::thread::yield_now();
    }
    for at in 1..20 {
        small.produce(0, at * 1_000, (at + 1) * 1_000);
        restarts.next();
        restarts.wait();
        small.cluster.wait_for(&small.topic, 1);
        small.cluster.wait_for(&topic, 1);
        assert!(run.try_wait().unwrap().is_none(), "it has stopped by itself");
    }
    let stopped = Command::new("kill").arg(run.id().to_string()).status().unwrap();
    assert!(stopped.success() && run.wait().unwrap().success(), "it drains and ends well");
    backfill(&config);
    // A broker that dies may take an alert, and not say so to who asks after it.
    let sent = check(&small, "restless", &topic, true).len();

    backfill(&calm);
    assert_same(&small.tables("calm"), &small.tables("restless"), "with restarts");
    println!("{sent} alerts with {} restarts", restarts.begun);
}

#[test]
fn alerts_that_cannot_be_sent_hold_nothing_back_and_are_left_to_the_next_run() {
    let (cluster, broker) = TestCluster::in_process();
    let small = Small::new(cluster, 1);
    small.produce(0, 0, 2_000);
    let topic = small.cluster.topic("alerts", 1);
    let config = job(&small, "waiting", &topic);
    broker.state().faults = Faults { unwilling: true, ..Faults::default() };
    let output = command(&["backfill", "--config", text(&config)]).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("run again when it is back"), "{error}");
    assert!(small.cluster.records(&topic).is_empty());
    broker.state().faults = Faults::default();
    assert_eq!(backfill(&config)["epochs"], 0, "all had been committed");
    check(&small, "waiting", &topic, false);
}

#[test]
fn a_killed_job_sends_the_rest() {
    let small = Small::new(TestCluster::any(), 1);
    small.produce(0, 0, 2_000);
    let topic = small.cluster.topic("alerts", 1);
    let config = job(&small, "killed", &topic);
    for records in [1, 20] {
        let mut run = command(&["backfill", "--config", text(&config)]).spawn().unwrap();
        while small.cluster.records(&topic).len() < records && run.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        run.kill().unwrap();
        run.wait().unwrap();
    }
    backfill(&config);
    check(&small, "killed", &topic, true);
}

#[test]
fn a_topic_of_somebody_else_is_refused() {
    let small = Small::new(TestCluster::any(), 1);
    small.produce(0, 0, 400);
    let refused = |config: &Path, what: &str| {
        let output = command(&["backfill", "--config", text(config)]).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(what), "{what}: {error}");
    };
    let foreign = small.cluster.topic("foreign", 1);
    small.cluster.produce(&foreign, 0, vec![Record::new_key_value("door", "open")]);
    refused(&job(&small, "foreign", &foreign), "\"door\", and not an alert's");
    let other = small.cluster.topic("other", 1);
    small.cluster.produce(&other, 0, vec![Record::new_key_value("70-1", "{}")]);
    refused(&job(&small, "other", &other), "they are another catalog's");
}
