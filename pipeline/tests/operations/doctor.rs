//! What is broken is found, and nothing is written.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::support::{Place, cloudops, command, text};
use crate::{files, one};

/// The checks of a doctor, by name, the worst of each; and whether it passed.
fn doctor(config: &Path, deep: bool) -> (bool, BTreeMap<String, Value>) {
    let mut arguments = vec!["doctor", "--json", "--config", text(config)];
    arguments.extend(deep.then_some("--deep"));
    let output = command(&arguments).output().unwrap();
    let checks: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let mut by_name = BTreeMap::new();
    for check in checks {
        let name = check["name"].as_str().unwrap().to_owned();
        assert_eq!(check["outcome"] == "ok", check["fix"].is_null(), "{check}");
        let worse = check["outcome"] != "ok";
        if worse || !by_name.contains_key(&name) {
            by_name.insert(name, check);
        }
    }
    (output.status.success(), by_name)
}

#[test]
fn a_doctor_finds_what_is_broken_and_writes_nothing() {
    let place = Place::simulated(26);
    let config = place.configure_checkpointing("ill", 300);
    let (passed, checks) = doctor(&config, false);
    assert!(!passed && checks["model of engines"]["fix"].as_str().unwrap().contains("train"));
    assert_eq!(checks["catalog"]["outcome"], "mind", "{checks:#?}");
    assert!(!place.path("results-ill").exists() && !place.path("models-ill").exists());

    place.run(&config);
    let before = files(place.dir.path());
    for deep in [false, true] {
        let (passed, checks) = doctor(&config, deep);
        assert!(passed, "{checks:#?}");
        assert!(checks.values().all(|check| check["outcome"] == "ok"), "{checks:#?}");
    }
    let shown = cloudops(&["doctor", "--config", text(&config)]);
    assert!(shown.contains("ok      result files"), "{shown}");
    assert_eq!(files(place.dir.path()), before, "nothing is written");

    let broken = |name: &str, said: &str, deep: bool| {
        let (passed, checks) = doctor(&config, deep);
        assert!(checks.contains_key(name), "{name} is checked: {checks:#?}");
        let check = &checks[name];
        let found = check["found"].as_str().unwrap();
        assert!(!passed && check["outcome"] == "failed" && found.contains(said), "{check:#}");
    };
    let damage = |path: &Path, name: &str, said: &str| {
        let bytes = std::fs::read(path).unwrap();
        let mut other = bytes.clone();
        let middle = other.len() / 2;
        other[middle] ^= 1;
        std::fs::write(path, other).unwrap();
        broken(name, said, true);
        std::fs::write(path, &bytes[..middle]).unwrap();
        broken(name, said.split(" or ").next().unwrap(), true);
        std::fs::write(path, bytes).unwrap();
    };
    let mut results = files(&place.path("results-ill/data")).into_keys();
    let result = results.find(|path| path.extension() == Some("parquet".as_ref())).unwrap();
    let file = result.file_name().unwrap().to_str().unwrap();
    damage(&result, "result files", file);
    let state = files(&place.path("results-ill/state")).into_keys().next().unwrap();
    let file = state.file_name().unwrap().to_str().unwrap();
    damage(&state, "state files", file);
    let model = one(&place.path("models-ill/bills"), "model.onnx");
    let id = model.parent().unwrap().file_name().unwrap().to_str().unwrap();
    damage(&model, &format!("model bills@{id}"), "damaged");

    std::fs::rename(&result, place.path("aside")).unwrap();
    broken("result files", "is gone", false);
    std::fs::rename(place.path("aside"), &result).unwrap();

    let input = place.path("input/sensor/zz-troubles.csv");
    std::fs::rename(&input, place.path("aside")).unwrap();
    broken("source engines", "was read and is gone", false);
    std::fs::rename(place.path("aside"), &input).unwrap();

    let right = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, right.replace("length = 10", "length = 11")).unwrap();
    broken("writer", "its configuration was another", false);
    std::fs::write(&config, right.replace("hop = 3", "hops = 3")).unwrap();
    broken("configuration", "hops", false);
    std::fs::write(&config, right.replace("input/audit", "input/nowhere")).unwrap();
    broken("source principals/0", "input/nowhere", false);
    std::fs::write(&config, right).unwrap();
    assert!(doctor(&config, true).0, "put back, all is well");
}
