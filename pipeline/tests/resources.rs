//! Resources over eight weeks of four streams: what each costs, who came near it, what may go, what may be
//! smaller; the same rows however the input is cut.

#![allow(clippy::unwrap_used, reason = "a step that fails, fails the test")]

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use support::estate::{BUSY, GONE, LARGE, VOLUME, ZOMBIE, job, write};
use support::{Tables, assert_same, backfill, cloudops, command, count, sql, tables, text};

fn configure(place: &Path, name: &str, records: u64, workers: usize, checkpoints: &str) -> PathBuf {
    let path = place.join(format!("{name}.toml"));
    std::fs::write(&path, job(name, records, workers, checkpoints)).unwrap();
    path
}

fn catalog(place: &Path, name: &str) -> String {
    text(&place.join(format!("results-{name}"))).to_owned()
}

/// The tables of resources alone; those before them have tests of their own.
fn of_resources(catalog: &str) -> Tables {
    let mut all = tables(catalog);
    all.retain(|name, _| {
        name.starts_with("resource") || name.starts_with("zombie") || name.starts_with("right")
    });
    assert_eq!(all.len(), 4, "{:?}", all.keys());
    let empty: Vec<&String> =
        all.iter().filter(|(_, rows)| rows.is_empty()).map(|of| of.0).collect();
    assert!(empty.is_empty(), "without rows the comparison would prove nothing: {empty:?}");
    all
}

#[test]
fn four_streams_tell_what_there_is_what_may_go_and_what_may_be_smaller() {
    let place = tempfile::tempdir().unwrap();
    write(place.path());
    backfill(&configure(place.path(), "one", 1 << 30, 2, "30s"));
    let catalog = catalog(place.path(), "one");
    let ask = |query: &str| sql(&catalog, query);
    let of = |id: &str, columns: &str| {
        ask(&format!("select {columns} from resources where resource = '{id}'")).swap_remove(0)
    };

    // What it costs: exact, as known now; a correction counts in the month that it is of.
    let costs =
        "cast(cost_to_date as varchar) as to_date, cast(cost_last_month as varchar) as last";
    let zombie = of(ZOMBIE, costs);
    assert_eq!(zombie["to_date"], "143.808000000000", "56 days of 2.568");
    let busy = of(BUSY, costs);
    assert_eq!(busy["to_date"], "138.808000000000");
    let before = "select cast(max(cost_to_date) as varchar) as cost from resource_days
                  where day <= date '2026-02-19' and entity_id = ";
    let before = ask(&format!("{before}'{BUSY}'"));
    assert_eq!(before[0]["cost"], "118.128000000000", "46 days, and nothing is corrected yet");
    let all = "select cast(sum(cost_to_date) as varchar) as cost from resources";
    let bill = "select cast(sum(effective_cost) as varchar) as cost from cost_daily";
    assert_eq!(ask(all), ask(bill), "what resources cost is what the bill comes to");

    // What it is, and who came near it.
    let zombie =
        of(ZOMBIE, "owner, size, state, is_declared, last_human, resource_type, provider, region");
    let expected = json!({"owner": "ann", "size": "m5.large", "state": "present", "is_declared": true,
        "last_human": "arn:aws:iam::111122223333:user/ann", "resource_type": "aws_instance",
        "provider": "aws", "region": "eu-west-1"});
    assert_eq!(zombie, expected);
    assert_eq!(of(GONE, "state")["state"], "gone");
    assert_eq!(of(LARGE, "size")["size"], "m5.4xlarge", "its bill calls it by its ARN");
    let needs = format!("select needs from resource_dependencies where resource = '{VOLUME}'");
    assert_eq!(ask(&needs), [json!({"needs": BUSY})]);
    let then = format!(
        "select dependencies from resource_days where entity_id = '{VOLUME}' and day = date '2026-01-25'"
    );
    assert_eq!(ask(&then), [json!({"dependencies": [LARGE]})]);

    // What may go: what does nothing and is still there. Its score is the sum of its parts.
    let zombies = ask("select resource, probability, owner from zombies");
    let named: Vec<&Value> = zombies.iter().map(|row| &row["resource"]).collect();
    assert_eq!(named, [ZOMBIE], "{zombies:?}");
    let sums =
        ask("select max(abs(score - parts)) as off, count(*) as rows from zombie_scores join (
             select entity_id, day, sum(contribution) as parts from zombie_attributions
             group by entity_id, day) as p
         on p.entity_id = zombie_scores.entity_id and p.day = zombie_scores.day");
    assert_eq!(sums[0]["off"], 0.0, "{sums:?}");
    let judged = ask("select count(*) as n, count(distinct day) as days from zombie_scores");
    assert_eq!(judged[0]["days"], 8, "once a week: {judged:?}");
    let kept = ask(&format!(
        "select evidence from zombie_scores where entity_id = '{BUSY}' order by day desc limit 1"
    ));
    assert!(kept[0]["evidence"].to_string().contains("connections"), "{kept:?}");

    // What may be smaller, at the bill's prices: a sixteenth of the CPU, a tenth of the memory is used.
    let smaller = ask("select resource, proposed_size, direction, price_basis,
                       cast(saving_month as varchar) as saving from right_sizing where resource <> ''");
    let large = smaller.iter().find(|row| row["resource"] == LARGE).unwrap();
    assert_eq!(
        (&large["proposed_size"], &large["direction"]),
        (&json!("m5.large"), &json!("down"))
    );
    // 0.856 - 0.107 an hour, 730 hours.
    assert_eq!(
        (&large["saving"], &large["price_basis"]),
        (&json!("546.770000000000"), &json!("bill"))
    );
    let busy = ask(&format!(
        "select outcome, reason from right_sizings where entity_id = '{BUSY}' order by day desc limit 1"
    ));
    assert_eq!(busy, [json!({"outcome": "kept", "reason": "already-smallest"})]);

    // A policy may select from it.
    let policy = ask("select resource, cast(cost_last_month as double) as saving from zombies
                      where resource_type = 'aws_instance'");
    assert_eq!(policy.len(), 1);
}

#[test]
fn rows_of_resources_do_not_depend_on_cuts_or_workers() {
    let place = tempfile::tempdir().unwrap();
    write(place.path());
    backfill(&configure(place.path(), "whole", 1 << 30, 1, "30s"));
    let whole = of_resources(&catalog(place.path(), "whole"));
    for (name, records, workers) in [("thousand-3", 1_000, 3), ("few-2", 61, 2)] {
        backfill(&configure(place.path(), name, records, workers, "30s"));
        assert_same(&whole, &of_resources(&catalog(place.path(), name)), name);
    }
}

#[test]
fn a_killed_and_rescaled_job_comes_to_the_same_resources() {
    let place = tempfile::tempdir().unwrap();
    write(place.path());
    backfill(&configure(place.path(), "whole", 1 << 30, 2, "30s"));
    let config = configure(place.path(), "broken", 97, 2, "0s");
    let log = place.path().join("results-broken/log");
    for (commits, workers) in [(3, "1"), (9, "3"), (20, "2")] {
        let arguments = ["backfill", "--config", text(&config), "--workers", workers];
        let mut run = command(&arguments).spawn().unwrap();
        while count(&log, "\"kind\":\"commit\"") < commits && run.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        run.kill().unwrap();
        run.wait().unwrap();
    }
    backfill(&config);
    let whole = of_resources(&catalog(place.path(), "whole"));
    assert_same(&whole, &of_resources(&catalog(place.path(), "broken")), "killed and rescaled");
    let replayed = cloudops(&["replay", "--config", text(&config), "--epoch", "12"]);
    assert!(replayed.contains("same"), "{replayed}");
}

#[test]
fn what_cannot_be_known_is_refused_before_anything_starts() {
    let place = tempfile::tempdir().unwrap();
    write(place.path());
    let check = |from: &str, to: &str, told: &str| {
        let config = configure(place.path(), "refused", 1, 1, "30s");
        let text_of = std::fs::read_to_string(&config).unwrap();
        assert!(text_of.contains(from), "{from}");
        std::fs::write(&config, text_of.replacen(from, to, 1)).unwrap();
        let output = command(&["backfill", "--config", text(&config)]).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(told), "{error}");
        assert!(!place.path().join("results-refused").exists());
    };
    check("\"region\", \"resource\"", "\"region\"", "add \"resource\" to its bill.by");
    check("cpu = \"cpu\"\n", "cpu = \"load\"\n", "the stream has no channel \"load\"");
    check("[resources]\n", "", "add [resources]");
    check("[resources]\n", "[resources]\njudge = { every_days = 0 }\n", "every_days is 0");
    check("[resources]\n", "[resources]\njudge = { model = \"no.onnx\" }\n", "no.onnx");
    check("[resources]\n", "[resources]\nright_size = { headroom = 1.5 }\n", "headroom is 1.5");
}
