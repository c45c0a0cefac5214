//! An alert back to its records.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Place, cloudops, command, sql, text};

#[test]
fn every_alert_is_explained_back_to_its_records() {
    let place = Place::simulated(25);
    let config = place.configure("why", 300, 2);
    place.run(&config);
    let catalog = place.catalog("why");
    let alerts = sql(&catalog, "select * from alerts where event = 'opened' order by alert_id");
    assert!(alerts.len() > 3, "{alerts:?}");
    let mut kinds = BTreeMap::<&str, u64>::new();
    for alert in &alerts {
        let (id, kind) = (alert["alert_id"].as_str().unwrap(), alert["kind"].as_str().unwrap());
        if alert["model"] == "cost-anomaly" {
            continue;
        }
        *kinds.entry(kind).or_default() += 1;
        if kinds[kind] > 3 {
            continue;
        }
        let told = cloudops(&["explain", id, "--config", text(&config), "--json"]);
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(&told["opened"], alert);
        assert_eq!((&told["anomalies"], &told["causes"]), (&json!([]), &json!([])));
        let score = alert["score"].as_f64().unwrap();
        for attribution in told["attributions"].as_array().unwrap() {
            let total = attribution["total"].as_f64().unwrap();
            assert!((total - score).abs() <= 1e-5 * score.abs().max(1.0), "{attribution:#}");
        }
        let here = told["scores"].as_array().unwrap().iter().filter(|score| score["here"] == true);
        let here: Vec<_> = here.collect();
        assert_eq!(here.len(), 1, "{told:#}");
        assert_eq!(here[0]["score"], alert["score"]);
        let input = match kind {
            "sensor" => "sensor",
            "audit" => "audit",
            _ => "cost",
        };
        for file in told["files"].as_array().unwrap() {
            let file = file["file"].as_str().unwrap();
            assert!(file.contains(&format!("input/{input}/")), "{file}");
        }
        assert!(!told["files"].as_array().unwrap().is_empty());
        assert_eq!(told["card"]["info"]["id"]["version"], alert["model_version"]);
        let records = told["records"].as_array().unwrap();
        assert!(records.iter().all(|record| record["entity_id"] == alert["entity_id"]), "{told:#}");
        if kind == "sensor" {
            assert_eq!(records.len(), 10, "{told:#}");
            let channels = ["sensor_01", "sensor_02", "sensor_03"];
            let read = records.iter().flat_map(|record| channels.map(|channel| &record[channel]));
            let kept = told["window"]["values"].as_array().unwrap();
            assert!(read.eq(kept), "the records are the window: {told:#}");
        }
        let shown = cloudops(&["explain", &id[..8], "--catalog", &catalog]);
        for part in ["◀ this alert", "held against", "by ", "█"] {
            assert!(shown.contains(part), "{part:?} in {shown}");
        }
    }
    assert!(kinds.contains_key("sensor") && kinds.len() > 1, "{kinds:?}");
    for (id, said) in [("zzzz", "there is no alert"), ("a'b", "is no alert id")] {
        let output = command(&["explain", id, "--catalog", &catalog]).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(said), "{error}");
    }
}

/// An alert of a bill leads to its days, and to whose charges made them: what the rows say, and what a
/// person reads.
#[test]
fn an_alert_of_a_bill_is_explained_by_its_causes() {
    let place = Place::simulated(25);
    let config = place.configure("bills", 300, 2);
    place.run(&config);
    let catalog = place.catalog("bills");
    let of_bills = "from alerts where model = 'cost-anomaly'";
    let alerts = sql(&catalog, &format!("select * {of_bills} and event = 'opened' order by at"));
    assert!(alerts.len() > 1, "{alerts:?}");
    let events = sql(&catalog, &format!("select event, count(*) as n {of_bills} group by event"));
    let count = |event: &str| {
        let row = events.iter().find(|row| row["event"] == event);
        row.map_or(0, |row| row["n"].as_u64().unwrap())
    };
    assert!(count("closed") > 0 && count("retracted") > 0, "{events:?}");
    let mut retracted = 0;
    for alert in &alerts {
        let id = alert["alert_id"].as_str().unwrap();
        let told = cloudops(&["explain", id, "--config", text(&config), "--json"]);
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(&told["opened"], alert);
        let days = told["anomalies"].as_array().unwrap();
        assert!(
            days.iter().all(|day| day["event_id"] == id && day["score"].is_number()),
            "{days:?}"
        );
        let opened = days.iter().find(|day| {
            alert["window_start"].as_str().unwrap().starts_with(day["day"].as_str().unwrap())
        });
        let opened = opened.unwrap();
        assert_eq!(opened["entity_id"], alert["entity_id"]);
        let causes = told["causes"].as_array().unwrap();
        assert!(causes.iter().any(|by| by["dimension"] == "service"), "{causes:?}");
        for by in causes {
            let parts = by["parts"].as_array().unwrap().iter();
            let sum: f64 = parts.map(|part| amount(&part["deviation"])).sum();
            assert!((sum - amount(&opened["deviation"])).abs() < 1e-6, "{by:#} of {opened:#}");
        }
        assert!(!told["files"].as_array().unwrap().is_empty());
        let records = told["records"].as_array().unwrap();
        assert!(
            !records.is_empty()
                && records.iter().all(|record| {
                    record["entity_id"] == alert["entity_id"] && record["day"] == opened["day"]
                }),
            "{told:#}"
        );
        let shown = cloudops(&["explain", id, "--catalog", &catalog]);
        for part in ["held against", "strange days, ", "by service: "] {
            assert!(shown.contains(part), "{part:?} in {shown}");
        }
        assert!(shown.contains(['█', '░']), "bars of what was more or less: {shown}");
        assert!(!shown.contains("scores about that time"), "{shown}");
        if told["retracted"].is_object() {
            retracted += 1;
            assert!(days.iter().all(|day| day["state"] == "retracted"), "{days:?}");
            assert!(shown.contains("corrections had left no day strange"), "{shown}");
        }
    }
    assert_eq!(retracted, count("retracted"));
}

/// An amount of money, as a number or as text.
fn amount(value: &Value) -> f64 {
    value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap()
}
