//! The evaluation's figures against implementations that are not ours.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a step that fails, fails the test; a skipped one says so"
)]

use cloudops_models::evaluate::metrics::{
    Episodes, VUS_THRESHOLDS, auroc, average_precision, hit_rate, rank_descending, vus_pr,
};
use serde::Deserialize;

/// One series with the values that `golden/metrics.py` computed for it.
#[derive(Deserialize)]
struct Golden {
    name: String,
    scores: Vec<f32>,
    labels: Vec<u8>,
    window: usize,
    threshold: f32,
    vus_pr: f64,
    auprc: f64,
    auroc: f64,
    events: usize,
    events_found: usize,
    episodes: usize,
    false_episodes: usize,
}

#[test]
fn figures_agree_with_the_reference_implementations() {
    let cases: Vec<Golden> = serde_json::from_str(include_str!("golden/metrics.json")).unwrap();
    assert!(cases.len() >= 10);
    for case in &cases {
        let labels: Vec<bool> = case.labels.iter().map(|&label| label == 1).collect();
        let close = |figure: &str, got: Option<f64>, want: f64| {
            let got = got.unwrap();
            assert!((got - want).abs() < 1e-9, "{}: {figure} {got}, want {want}", case.name);
        };
        let volume = vus_pr(&case.scores, &labels, case.window, VUS_THRESHOLDS);
        close("vus_pr", volume, case.vus_pr);
        close("auprc", average_precision(&case.scores, &labels), case.auprc);
        close("auroc", auroc(&case.scores, &labels), case.auroc);
        let flagged: Vec<bool> = case.scores.iter().map(|&s| s > case.threshold).collect();
        let want = Episodes {
            events: case.events,
            events_found: case.events_found,
            episodes: case.episodes,
            false_episodes: case.false_episodes,
        };
        assert_eq!(Episodes::count(&labels, &flagged), want, "{}", case.name);
    }
}

#[test]
fn without_labelled_points_there_are_no_areas() {
    let scores = [0.1, 0.2, 0.3];
    let none = [false; 3];
    assert_eq!(vus_pr(&scores, &none, 10, VUS_THRESHOLDS), None);
    assert_eq!(average_precision(&scores, &none), None);
    assert_eq!(auroc(&scores, &none), None);
    assert_eq!(auroc(&scores, &[true; 3]), None);
    assert_eq!(vus_pr(&[], &[], 10, VUS_THRESHOLDS), None);
}

#[test]
fn a_perfect_score_has_every_area_of_one() {
    let labels: Vec<bool> = (0..1000).map(|at| (400..450).contains(&at)).collect();
    let scores: Vec<f32> = labels.iter().map(|&label| f32::from(u8::from(label))).collect();
    assert_eq!(average_precision(&scores, &labels), Some(1.0));
    assert_eq!(auroc(&scores, &labels), Some(1.0));
    assert!((vus_pr(&scores, &labels, 0, VUS_THRESHOLDS).unwrap() - 1.0).abs() < 0.01);
}

#[test]
fn vus_pr_takes_long_series() {
    // 24,000 points at the tolerance used: the packages take minutes over it.
    let labels: Vec<bool> = (0..24_000).map(|at| at % 2_000 > 1_700).collect();
    let scores: Vec<f32> = (0..24_000_u64).map(|at| (at * 7_919 % 4_801) as f32).collect();
    let volume = vus_pr(&scores, &labels, 100, VUS_THRESHOLDS).unwrap();
    assert!((0.1..0.4).contains(&volume), "{volume}");
}

#[test]
fn hit_rate_counts_channels_among_the_first() {
    let ranking = rank_descending(&[0.1, 0.9, 0.5, 0.5, 0.0]);
    assert_eq!(ranking, [1, 2, 3, 0, 4]);
    assert_eq!(hit_rate(&ranking, &[1, 3], 100), Some(0.5));
    assert_eq!(hit_rate(&ranking, &[1, 3], 150), Some(1.0));
    // 150 % of three channels is four and a half: four are looked at.
    assert_eq!(hit_rate(&ranking, &[1, 0, 4], 150), Some(2.0 / 3.0));
    assert_eq!(hit_rate(&ranking, &[], 100), None);
    // A ranking can be shorter than 150 % of the channels at fault.
    assert_eq!(hit_rate(&ranking, &[0, 1, 2, 3, 4], 150), Some(1.0));
}
