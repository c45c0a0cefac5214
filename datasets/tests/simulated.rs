//! What the simulators say they wrote is what the readers find.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a step that fails, fails the test; a skipped one says so"
)]

use std::collections::BTreeMap;

use cloudops_datasets::simulate::{
    AuditConfig, CostConfig, SensorConfig, SimulationConfig, Truth, write,
};
use cloudops_datasets::{AuditSource, Format, describe};

fn small() -> SimulationConfig {
    SimulationConfig {
        seed: 7,
        sensor: Some(SensorConfig {
            engines: 4,
            healthy: 1,
            steps: 50,
            rows_per_file: 70,
            ..SensorConfig::default()
        }),
        cost: Some(CostConfig { days: 40, accounts: 2, services: 3, ..CostConfig::default() }),
        audit: Some(AuditConfig { days: 5, principals: 3, ..AuditConfig::default() }),
    }
}

fn simulate(config: &SimulationConfig) -> (tempfile::TempDir, Truth) {
    let dir = tempfile::tempdir().unwrap();
    let mut told = (0, 0);
    let truth = write(dir.path(), config, &mut |done, total| told = (done, total)).unwrap();
    assert_eq!(told.0, truth.records);
    assert_eq!(told.0, told.1);
    (dir, truth)
}

#[test]
fn readers_find_what_was_written() {
    let config = small();
    let (dir, truth) = simulate(&config);

    let sensor = config.sensor.unwrap();
    let found = describe(&dir.path().join("sensor"), &sensor.format().unwrap()).unwrap();
    assert_eq!((found.files, found.rows, found.rejects, found.entities), (3, 200, 0, 4));
    let faulty = truth.sensor.iter().filter(|engine| engine.faulty_channel.is_some());
    assert_eq!(faulty.count(), 3);

    let focus = Format::focus();
    let found = describe(&dir.path().join("cost"), &focus).unwrap();
    let cost = truth.cost.unwrap();
    assert_eq!((found.rows, found.rejects), (40 * 2 * 3 * 2 + 2, 0));
    let expected = cost.total.trim_end_matches('0').to_owned();
    assert_eq!(found.billed, BTreeMap::from([("USD".to_owned(), expected)]));

    let found =
        describe(&dir.path().join("audit"), &Format::CloudTrail(AuditSource::default())).unwrap();
    assert_eq!((found.files, found.rows, found.rejects), (5, 5 * 3 * 80 + 90, 0));
    let theft = truth.audit.unwrap();
    assert!(theft.errors > 20 && theft.start < theft.end, "{theft:?}");
}

#[test]
fn a_seed_means_the_same_bytes() {
    let (first, truth) = simulate(&small());
    let (second, same) = simulate(&small());
    assert_eq!(truth, same);
    for file in &truth.files {
        let bytes = |dir: &tempfile::TempDir| std::fs::read(dir.path().join(file)).unwrap();
        assert!(bytes(&first) == bytes(&second), "{file}");
    }
    let (_, other) = simulate(&SimulationConfig { seed: 8, ..small() });
    assert_ne!(truth.sensor, other.sensor);
}

#[test]
fn a_size_that_makes_no_stream_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = small();
    config.cost = Some(CostConfig { days: 3, ..CostConfig::default() });
    assert!(write(dir.path(), &config, &mut |_, _| {}).is_err());
}
