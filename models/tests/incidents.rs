//! Strange days of simulated bills: found, few others, their causes first, and retracted in time.

#![allow(clippy::unwrap_used, reason = "a step that fails, fails the test")]

use cloudops_models::evaluate::incident::{IncidentOptions, evaluate_incidents};

#[test]
fn incidents_are_found_with_their_causes_and_retracted_by_their_corrections() {
    for seed in [1, 4] {
        let options = IncidentOptions { seed, ..IncidentOptions::default() };
        let found = evaluate_incidents(&options).unwrap();
        let row = |model: &str, kind: &str| {
            let mut rows = found.rows.iter();
            rows.find(|row| row.model == model && row.kind == kind).unwrap()
        };
        let all = row("cloudops", "all");
        assert!(all.incidents > 150, "{all:?}");
        assert!(all.f1.unwrap() >= 0.85, "{all:?}");
        assert!(all.false_alerts.unwrap() <= 1.0, "{all:?}");
        assert!(all.service_first.unwrap() >= 0.9, "{all:?}");
        assert!(all.region_first.unwrap() >= 0.9, "{all:?}");
        assert_eq!(row("cloudops", "doubled").retracted, Some(1.0), "seed {seed}");
        for baseline in ["mean-3-sigma-28d", "same-weekday-30pct"] {
            assert!(row(baseline, "all").f1 < all.f1, "{baseline}");
        }
        assert!(found.to_markdown().contains("`cloudops` wins"));
        assert_eq!(found, evaluate_incidents(&options).unwrap(), "the figures repeat");
    }
}
