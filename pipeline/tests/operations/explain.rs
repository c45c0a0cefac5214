//! An alert back to its records.

use std::collections::BTreeMap;

use serde_json::Value;

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
        *kinds.entry(kind).or_default() += 1;
        if kinds[kind] > 3 {
            continue;
        }
        let told = cloudops(&["explain", id, "--config", text(&config), "--json"]);
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(&told["opened"], alert);
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
