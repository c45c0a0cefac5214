//! A brought model in ONNX Runtime, against values that Python's onnxruntime gave
//! (`golden/scorer.py`), and the law that a row's bits are its own.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a step that fails, fails the test; a skipped one says so"
)]

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use cloudops_models::scorer::{OrtScorer, OutputNames, Scheme, ScorerOptions, Tile};
use cloudops_models::{Error, runtime};
use cloudops_operators::schema::result::{FEATURES, WINDOW};
use cloudops_operators::schema::vector_array;
use cloudops_operators::score::{ModelId, ModelInfo, Scorer, Scores};

const SMALL: &[u8] = include_bytes!("golden/small.onnx");
const GOLDEN: &str = include_str!("golden/small.json");

fn info() -> ModelInfo {
    ModelInfo {
        id: ModelId { name: "small".into(), version: "0".into() },
        channels: (0..5).map(|c| format!("c{c}")).collect(),
        steps: 12,
        latents: 0,
        weights: None,
        score_quantiles: vec![],
        channel_mean: vec![],
        channel_std: vec![],
        entities: vec![],
    }
}

fn golden(name: &str) -> Vec<f32> {
    let values: serde_json::Value = serde_json::from_str(GOLDEN).unwrap();
    values[name].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
}

fn batch(window: Vec<f32>, features: Vec<f32>) -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        (WINDOW, Arc::new(vector_array(60, window))),
        (FEATURES, Arc::new(vector_array(10, features))),
    ];
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), false))
        .collect();
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= 2e-6 * b.abs().max(1e-3), "{a} against {b}");
    }
}

fn bits(scores: &Scores) -> Vec<u32> {
    scores.score.iter().chain(&scores.channel_error).map(|value| value.to_bits()).collect()
}

#[test]
fn scores_agree_with_python_with_and_without_rewriting() {
    let given = batch(golden("window"), golden("features"));
    for rewrite in [false, true] {
        let options = ScorerOptions { rewrite, ..ScorerOptions::default() };
        let mut scorer = OrtScorer::new(SMALL, info(), &options).unwrap();
        assert_eq!(scorer.is_rewritten(), rewrite);
        let scores = scorer.score(&given).unwrap();
        close(&scores.score, &golden("score"));
        close(&scores.channel_error, &golden("channel_error"));
        assert!(scores.reconstruction_error.is_empty() && scores.step_error.is_empty());
    }
}

#[test]
fn bits_do_not_depend_on_batch_place_tile_or_slice() {
    let mut scorer = OrtScorer::new(SMALL, info(), &ScorerOptions::default()).unwrap();
    let sample = scorer.sample(2111).unwrap();
    let found = scorer.verify_batch_invariance(&sample).unwrap();
    assert!(found.holds(), "{found:?}");
    assert_eq!(found.scheme, Scheme::Tiles);
    let whole = scorer.score(&sample).unwrap();
    for tile in [1, 7, 64, 2048] {
        let options = ScorerOptions { tile: Tile::Fixed(tile), ..ScorerOptions::default() };
        let mut other = OrtScorer::new(SMALL, info(), &options).unwrap();
        assert_eq!(bits(&other.score(&sample).unwrap()), bits(&whole), "tile {tile}");
    }
    let slice = scorer.score(&sample.slice(1001, 37)).unwrap();
    assert_eq!(slice.score, whole.score[1001..1038]);
    assert_eq!(slice.channel_error, whole.channel_error[1001 * 5..1038 * 5]);
}

#[test]
fn full_tiles_and_single_rows_give_the_same_values() {
    let mut free = OrtScorer::new(SMALL, info(), &ScorerOptions::default()).unwrap();
    let sample = free.sample(71).unwrap();
    let expected = free.score(&sample).unwrap();
    for scheme in [Scheme::FullTiles, Scheme::Rows] {
        let options = ScorerOptions { scheme, ..ScorerOptions::default() };
        let mut scorer = OrtScorer::new(SMALL, info(), &options).unwrap();
        assert_eq!(scorer.scheme(), scheme);
        assert_eq!(bits(&scorer.score(&sample).unwrap()), bits(&expected), "{scheme:?}");
    }
}

#[test]
fn an_empty_batch_has_no_scores() {
    let mut scorer = OrtScorer::new(SMALL, info(), &ScorerOptions::default()).unwrap();
    assert_eq!(scorer.score(&batch(vec![], vec![])).unwrap(), Scores::default());
}

#[test]
fn what_overflows_is_the_strangest_of_all() {
    let mut scorer = OrtScorer::new(SMALL, info(), &ScorerOptions::default()).unwrap();
    let mut window = golden("window");
    window[0] = f32::MAX;
    let scores = scorer.score(&batch(window, golden("features"))).unwrap();
    assert_eq!(scores.score[0], f32::MAX);
    assert!(scores.score[1..].iter().all(|score| *score < 1e6));
    assert!(scores.channel_error[..5].iter().sum::<f32>().is_finite());
}

#[test]
fn what_does_not_fit_is_refused_with_a_reason() {
    let refusal = |info: ModelInfo, options: ScorerOptions| {
        OrtScorer::new(SMALL, info, &options).unwrap_err().to_string()
    };
    let short = ModelInfo { steps: 11, ..info() };
    assert!(refusal(short, ScorerOptions::default()).contains("[n, 11, 5]"));
    let mut outputs = OutputNames::among(&["score"]).unwrap();
    outputs.kl = Some("divergence".into());
    let named = ScorerOptions { outputs: Some(outputs), ..ScorerOptions::default() };
    assert!(refusal(info(), named).contains("no output `divergence`"));
    assert!(matches!(OutputNames::among(&["y"]), Err(Error::Configuration(_))));
    let garbage = OrtScorer::new(b"no model", info(), &ScorerOptions::default());
    assert!(matches!(garbage, Err(Error::Model { .. })));

    let mut scorer = OrtScorer::new(SMALL, info(), &ScorerOptions::default()).unwrap();
    let wrong = scorer.score(&batch(vec![0.0; 60], vec![0.0; 10]).project(&[0]).unwrap());
    assert!(wrong.unwrap_err().to_string().contains("features"));
    let field = Arc::new(Field::new("item", DataType::Float32, true));
    let values = arrow::array::Float32Array::from(vec![None; 60]);
    let nulls = arrow::array::FixedSizeListArray::new(field, 60, Arc::new(values), None);
    let features: ArrayRef = Arc::new(vector_array(10, vec![0.0; 10]));
    let nulls: ArrayRef = Arc::new(nulls);
    let nulls = RecordBatch::try_from_iter([(WINDOW, nulls), (FEATURES, features)]).unwrap();
    assert!(scorer.score(&nulls).unwrap_err().to_string().contains("without nulls"));
}

#[test]
fn the_runtime_is_loaded_once() {
    let first = runtime::init(None).unwrap();
    let again = runtime::init(Some(Path::new("/nowhere"))).unwrap();
    assert_eq!(first, again);
    assert!(first.path.is_file() && !first.version.is_empty());
}
