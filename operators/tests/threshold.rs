//! Verdicts and alerts: laws, and the false-positive rate on machines that shift.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and tells its figures"
)]

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Float32Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Float32Type, Schema};
use cloudops_operators::schema::result::{
    ALERT_EVENT, ALERT_ID, ANOMALY, ANOMALY_STATIC, SCORE, THRESHOLD_ADAPTIVE, WINDOW_END,
};
use cloudops_operators::schema::{ENTITY_ID, texts};
use cloudops_operators::score::{ModelId, ModelInfo};
use cloudops_operators::snapshot::{Extent, chunks, restore};
use cloudops_operators::threshold::{Policy, Threshold, ThresholdConfig};
use proptest::prelude::*;

fn info(version: &str, score_quantiles: Vec<f32>) -> ModelInfo {
    ModelInfo {
        id: ModelId { name: "m".to_owned(), version: version.to_owned() },
        channels: Vec::new(),
        steps: 1,
        latents: 0,
        weights: None,
        score_quantiles,
        channel_mean: Vec::new(),
        channel_std: Vec::new(),
        entities: vec![],
    }
}

fn scores(rows: &[(String, i64, f32)]) -> RecordBatch {
    let ends = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.1));
    let columns: Vec<(&str, ArrayRef)> = vec![
        (ENTITY_ID, Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.0)))),
        (WINDOW_END, Arc::new(ends.with_timezone("UTC"))),
        (SCORE, Arc::new(Float32Array::from_iter_values(rows.iter().map(|row| row.2)))),
    ];
    let field =
        |(name, array): &(&str, ArrayRef)| Field::new(*name, array.data_type().clone(), false);
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns.into_iter().map(|c| c.1).collect()).unwrap()
}

fn flags<'a>(batch: &'a RecordBatch, name: &str) -> &'a BooleanArray {
    batch.column_by_name(name).unwrap().as_boolean()
}

/// Rows of one entity, a score each.
fn one(values: &[f32]) -> Vec<(String, i64, f32)> {
    values.iter().enumerate().map(|(i, v)| ("e".to_owned(), i as i64, *v)).collect()
}

#[test]
fn alerts_open_after_enough_flags_and_close_after_enough_calm() {
    let check = |open_after, close_after, values: &[f32], events: &[&str]| {
        let config = ThresholdConfig {
            policy: Policy::Static,
            static_value: Some(1.0),
            open_after,
            close_after,
            ..ThresholdConfig::default()
        };
        let mut threshold = Threshold::new("s", config).unwrap();
        let judged = threshold.apply(&scores(&one(values)), &info("1", Vec::new())).unwrap();
        let (ids, found) =
            (texts(&judged, ALERT_ID).unwrap(), texts(&judged, ALERT_EVENT).unwrap());
        let shown: Vec<&str> = ids
            .iter()
            .zip(found)
            .map(|(id, event)| event.unwrap_or(if id.is_some() { "within" } else { "" }))
            .collect();
        assert_eq!(shown, events);
        assert!(ids.iter().flatten().all(|id| id.len() == 16));
    };
    check(1, 1, &[0.0, 2.0, 0.0, 0.0, 2.0], &["", "opened", "closed", "", "opened"]);
    check(2, 1, &[2.0, 2.0, 2.0, 0.0], &["", "opened", "within", "closed"]);
    check(1, 2, &[2.0, 0.0, 2.0, 0.0, 0.0], &["opened", "within", "within", "within", "closed"]);
    check(1, 1, &[f32::NAN, f32::INFINITY, 0.0], &["opened", "within", "closed"]);
}

#[test]
fn a_level_shift_is_flagged_and_then_slowly_accepted() {
    let mut values: Vec<f32> = (0..300).map(|i| (i % 7) as f32 * 0.1).collect();
    values.extend((0..2000).map(|i| 50.0 + (i % 7) as f32 * 0.1));
    let mut threshold = Threshold::new("s", ThresholdConfig::default()).unwrap();
    let judged = threshold.apply(&scores(&one(&values)), &info("1", vec![0.0, 0.7])).unwrap();
    let flagged = flags(&judged, ANOMALY);
    assert!((0..300).all(|row| !flagged.value(row)));
    let held = (300..2300).take_while(|row| flagged.value(*row)).count();
    assert!((20..500).contains(&held), "{held}");
    let fixed = flags(&judged, ANOMALY_STATIC);
    assert!((300..2300).all(|row| fixed.value(row)), "the static verdict never recovers");
    // One wild score moves the limit by less than its own excess over it, by far.
    let limits = judged.column_by_name(THRESHOLD_ADAPTIVE).unwrap().as_primitive::<Float32Type>();
    assert!(
        limits.value(301) < 2.0 * limits.value(300),
        "{} {}",
        limits.value(300),
        limits.value(301)
    );
}

#[test]
fn policies_combine_the_two_verdicts() {
    // Warm at a level of its own, above the static limit of 1, then calm and wild scores.
    let mut values = vec![3.0f32; 100];
    values.extend([0.5, 3.0, 1000.0]);
    for (policy, want) in [
        (Policy::Static, [false, true, true]),
        (Policy::Adaptive, [false, false, true]),
        (Policy::Either, [false, true, true]),
        (Policy::Both, [false, false, true]),
    ] {
        let config =
            ThresholdConfig { policy, static_value: Some(1.0), ..ThresholdConfig::default() };
        let mut threshold = Threshold::new("s", config).unwrap();
        let judged = threshold.apply(&scores(&one(&values)), &info("1", Vec::new())).unwrap();
        let found: Vec<bool> = (100..103).map(|row| flags(&judged, ANOMALY).value(row)).collect();
        assert_eq!(found, want, "{policy:?}");
        assert!(flags(&judged, ANOMALY).value(0), "the static limit decides before warm-up");
    }
}

#[test]
fn another_version_forgets_the_level_but_not_the_alert() {
    let config = ThresholdConfig { close_after: 1, ..ThresholdConfig::default() };
    let mut threshold = Threshold::new("s", config).unwrap();
    let mut values = vec![0.5f32; 100];
    values.push(9.0);
    let (first, second) = (info("1", vec![0.0, 1.0]), info("2", vec![0.0, 100.0]));
    let before = threshold.apply(&scores(&one(&values)), &first).unwrap();
    let after = threshold.apply(&scores(&[("e".to_owned(), 200, 50.0)]), &second).unwrap();
    let id =
        |batch: &RecordBatch, row: usize| texts(batch, ALERT_ID).unwrap().value(row).to_owned();
    assert_eq!(texts(&before, ALERT_EVENT).unwrap().value(100), "opened");
    assert_eq!(texts(&after, ALERT_EVENT).unwrap().value(0), "closed");
    assert_eq!(id(&before, 100), id(&after, 0));
    assert_eq!(after.column_by_name(THRESHOLD_ADAPTIVE).unwrap().null_count(), 1);
}

#[test]
fn settings_that_cannot_be_are_refused_with_their_name() {
    let wrong = ThresholdConfig { memory: 1, ..ThresholdConfig::default() };
    assert!(Threshold::new("s", wrong).unwrap_err().to_string().contains("threshold.memory"));
    let mut threshold = Threshold::new("s", ThresholdConfig::default()).unwrap();
    let error = threshold.apply(&scores(&one(&[1.0])), &info("1", Vec::new())).unwrap_err();
    assert!(error.to_string().contains("threshold.static_value"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However a stream is cut, with a restart at any cut, the rows of each entity are the same.
    #[test]
    fn neither_cuts_nor_restarts_matter(
        values in prop::collection::vec((0u8..4, -1.0f32..30.0), 1..400),
        cuts in prop::collection::vec(0usize..400, 0..6),
    ) {
        let config = ThresholdConfig { warm_up: 8, memory: 16, open_after: 2, ..ThresholdConfig::default() };
        let rows: Vec<(String, i64, f32)> = values
            .iter()
            .enumerate()
            .map(|(i, (entity, value))| (format!("e{entity}"), i as i64, *value))
            .collect();
        let model = info("1", vec![0.0, 20.0]);
        let whole = Threshold::new("s", config.clone()).unwrap().apply(&scores(&rows), &model).unwrap();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(rows.len())).collect();
        cuts.extend([0, rows.len()]);
        cuts.sort_unstable();
        let mut threshold = Threshold::new("s", config.clone()).unwrap();
        let (mut parts, mut snapshots) = (Vec::new(), Vec::new());
        for cut in cuts.windows(2) {
            parts.push(threshold.apply(&scores(&rows[cut[0]..cut[1]]), &model).unwrap());
            let all = |threshold: &Threshold, extent| -> Vec<RecordBatch> {
                chunks(threshold, extent).collect::<Result<_, _>>().unwrap()
            };
            let extent = if snapshots.is_empty() { Extent::Whole } else { Extent::Changed };
            snapshots.push(all(&threshold, extent));
            let mut next = Threshold::new("s", config.clone()).unwrap();
            restore(&mut next, &snapshots, |_| true).unwrap();
            prop_assert_eq!(all(&next, Extent::Whole), all(&threshold, Extent::Whole));
            threshold = next;
        }
        prop_assert_eq!(concat_batches(&whole.schema(), &parts).unwrap(), whole);
    }
}

const CHANNELS: usize = 38;
const STEPS: usize = 30;
const HOP: usize = 10;

/// A machine's rows, or labels.
fn table(path: &str) -> Vec<Vec<f32>> {
    let root = PathBuf::from(std::env::var_os("CLOUDOPS_DATASETS").unwrap());
    let mut bytes = std::fs::File::open(root.join("smd").join(path)).unwrap();
    let mut text = String::new();
    if path.ends_with(".gz") {
        flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    } else {
        bytes.read_to_string(&mut text).unwrap();
    }
    text.lines().map(|line| line.split(',').map(|x| x.trim().parse().unwrap()).collect()).collect()
}

/// Each window's mean squared deviation from the training data, clipped: the plainest score.
fn windows(rows: &[Vec<f32>], moments: &[(f32, f32)]) -> Vec<f32> {
    let row_scores: Vec<f32> = rows
        .iter()
        .map(|row| {
            let squares = row.iter().zip(moments).map(|(x, (mean, std))| {
                let z = ((x - mean) / (std + 1e-4)).clamp(-20.0, 20.0);
                z * z
            });
            squares.sum::<f32>() / CHANNELS as f32
        })
        .collect();
    row_scores.windows(STEPS).step_by(HOP).map(|w| w.iter().sum::<f32>() / STEPS as f32).collect()
}

#[test]
fn on_machines_that_shift_the_adaptive_limit_rarely_cries_wolf() {
    if std::env::var_os("CLOUDOPS_DATASETS").is_none() {
        println!("skipped: CLOUDOPS_DATASETS is not set");
        return;
    }
    let (mut by_static, mut by_own, mut caught) = (Vec::new(), Vec::new(), Vec::new());
    for machine in ["machine-1-6", "machine-2-1", "machine-2-7", "machine-3-3"] {
        let train = table(&format!("train/{machine}.txt.gz"));
        let (fit, held) = train.split_at(train.len() * 7 / 10);
        let moments: Vec<(f32, f32)> = (0..CHANNELS)
            .map(|c| {
                let mean = fit.iter().map(|row| row[c]).sum::<f32>() / fit.len() as f32;
                let square = fit.iter().map(|row| (row[c] - mean).powi(2)).sum::<f32>();
                (mean, (square / fit.len() as f32).sqrt())
            })
            .collect();
        let mut quantiles = windows(held, &moments);
        quantiles.sort_unstable_by(f32::total_cmp);
        let labels: Vec<f32> =
            table(&format!("test_label/{machine}.txt")).into_iter().map(|row| row[0]).collect();
        let sick: Vec<bool> =
            labels.windows(STEPS).step_by(HOP).map(|w| w.iter().any(|l| *l > 0.0)).collect();
        let test = windows(&table(&format!("test/{machine}.txt.gz")), &moments);
        let mut threshold = Threshold::new("s", ThresholdConfig::default()).unwrap();
        let judged = threshold.apply(&scores(&one(&test)), &info("1", quantiles)).unwrap();
        let rate = |name: &str, of: bool| {
            let rows: Vec<usize> = (0..test.len()).filter(|row| sick[*row] == of).collect();
            let hits = rows.iter().filter(|row| flags(&judged, name).value(**row)).count();
            100.0 * hits as f64 / rows.len() as f64
        };
        by_static.push(rate(ANOMALY_STATIC, false));
        by_own.push(rate(ANOMALY, false));
        caught.push(rate(ANOMALY, true));
    }
    println!("healthy windows flagged, %: static {by_static:.2?}, adaptive {by_own:.2?}");
    println!("sick windows flagged, %: adaptive {caught:.1?}");
    let mean = |rates: &[f64]| rates.iter().sum::<f64>() / rates.len() as f64;
    assert!(mean(&by_own) < 2.0 && mean(&by_own) < mean(&by_static) / 4.0);
    assert!(mean(&caught) > 5.0);
}
