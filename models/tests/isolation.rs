//! The isolation forest against scikit-learn's (`golden/isolation.py`): trees are drawn by chance, so that
//! scores agree as two forests of the same data do, and no better.

#![allow(clippy::unwrap_used, reason = "a step that fails, fails the test")]

use std::path::Path;

use cloudops_models::Samples;
use cloudops_models::learn::isolation_forest::{IsolationForest, IsolationOptions};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    channels: usize,
    values: Vec<f32>,
    scores: Vec<f64>,
}

#[test]
fn scores_are_those_of_scikit_learn() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/isolation.json");
    let golden: Golden = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let samples = Samples::new(1, golden.channels, golden.values);
    // As many trees as the golden scores are the mean of.
    let forests: Vec<IsolationForest> = (1..=5)
        .map(|seed| IsolationOptions { trees: 400, sample: 256, seed })
        .map(|options| IsolationForest::fit(&samples, &options))
        .collect();
    let score = |at: usize| {
        let window = samples.window(at);
        let sum: f64 = forests.iter().map(|forest| f64::from(forest.score(window))).sum();
        sum / forests.len() as f64
    };
    for (at, expected) in golden.scores.iter().enumerate() {
        let found = score(at);
        assert!((found - expected).abs() < 0.01, "point {at}: {found}, scikit-learn {expected}");
    }
}
