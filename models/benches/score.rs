//! Windows scored per CPU second: ours against ONNX Runtime called plainly.
//!
//! `cargo bench --workspace --bench score`: the small model of the tests, and the default VAE over
//! windows of 30 steps of 14 channels that overlap; then what the forest that ships takes for a
//! resource. `-- model.onnx STEPS CHANNELS [more models ...]` adds others. One thread; each figure is the best of several passes, taken in turn so that a noisy
//! machine disturbs all alike.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, and may stop at anything"
)]

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use cloudops_datasets::simulate::fleet::{FleetConfig, simulate};
use cloudops_models::runtime;
use cloudops_models::scorer::{OrtScorer, ScorerOptions, Tile};
use cloudops_models::zombie::{Features, PRETRAINED, ZombieModel};
use cloudops_operators::schema::result::WINDOW;
use cloudops_operators::schema::{vector_array, vectors};
use cloudops_operators::score::{ModelId, ModelInfo, Scorer};
use cloudops_operators::utilisation::{LOOKBACK_DAYS, features};
use cpu_time::ThreadTime;

const SMALL: &[u8] = include_bytes!("../tests/golden/small.onnx");
const ROWS: usize = 8_192;
const PASSES: usize = 5;
/// Windows in a row that overlap: those of one of 1,000 entities in an epoch of 131,072 rows, hop 5.
const RUN: usize = 26;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let version = runtime::init(None).unwrap().version;
    println!(
        "onnx runtime {version}, {ROWS} windows, best of {PASSES}, CPU µs a window, one thread"
    );
    compare("small", SMALL, 12, 5);
    #[cfg(feature = "train")]
    overlapping(&vae(30, 14), 30, 14);
    resources();
    for model in arguments.chunks_exact(3) {
        let bytes = std::fs::read(&model[0]).unwrap();
        compare(&model[0], &bytes, model[1].parse().unwrap(), model[2].parse().unwrap());
    }
}

/// Plain runs of 2,048 windows against tiles of several sizes, and which bits vary with the batch.
fn compare(name: &str, onnx: &[u8], steps: usize, channels: usize) {
    let plain = ScorerOptions { tile: Tile::Fixed(2048), rewrite: false, ..options() };
    let mut variants = vec![("plain 2048".to_owned(), scorer(onnx, steps, channels, &plain))];
    for tile in [64, 128, 256, 512, 2048] {
        let ours = ScorerOptions { tile: Tile::Fixed(tile), ..options() };
        variants.push((format!("ours {tile}"), scorer(onnx, steps, channels, &ours)));
    }
    let sample = variants[0].1.sample(ROWS).unwrap();
    measure(name, &mut variants, &sample);
    for (rewrite, what) in [(false, "plain"), (true, "ours")] {
        let mut scorer = scorer(onnx, steps, channels, &ScorerOptions { rewrite, ..options() });
        let found = scorer.verify_batch_invariance(&sample.slice(0, 2_111)).unwrap();
        println!("  {what}: rows whose bits vary with the batch: {:?}", found.varying);
    }
}

/// Windows that overlap, each scored alone and with their encoder run once over what they share.
#[cfg(feature = "train")]
fn overlapping(onnx: &[u8], steps: usize, channels: usize) {
    for hop in [1, 2, 4, 5, 8] {
        let plain = ScorerOptions { tile: Tile::Fixed(2048), rewrite: false, ..options() };
        let shared = ScorerOptions { hop: Some(hop), ..options() };
        let mut variants = vec![
            ("plain 2048".to_owned(), scorer(onnx, steps, channels, &plain)),
            ("ours, alone".to_owned(), scorer(onnx, steps, channels, &options())),
            ("ours".to_owned(), scorer(onnx, steps, channels, &shared)),
        ];
        let shares = if variants[2].1.shares_overlap() { "" } else { ", not worth sharing" };
        let stream = variants[0].1.sample((ROWS * hop).div_ceil(steps) + ROWS / RUN + 2).unwrap();
        let (stream, _) = vectors(&stream, WINDOW).unwrap();
        let width = steps * channels;
        let windows = (0..ROWS).flat_map(|at| {
            let from = (at * hop + at / RUN * steps) * channels;
            &stream[from..from + width]
        });
        let array: ArrayRef = Arc::new(vector_array(width, windows.copied().collect()));
        let batch = RecordBatch::try_from_iter([(WINDOW, array)]).unwrap();
        measure(&format!("vae-cnn, hop {hop}{shares}"), &mut variants, &batch);
    }
}

/// A score in batches of several sizes, and a score divided among its features.
fn resources() {
    let fleet = simulate(&FleetConfig { resources: 1_024, days: 40 }, 1);
    let rows: Vec<Features> = fleet
        .iter()
        .map(|resource| features(&resource.recorded.rows().unwrap().last_days(LOOKBACK_DAYS)))
        .collect();
    let mut model = ZombieModel::open(PRETRAINED).unwrap();
    println!("{}, CPU µs a resource", model.id());
    let mut best = |name: &str, pass: &mut dyn FnMut(&mut ZombieModel)| {
        let mut micros = f64::INFINITY;
        for _ in 0..PASSES {
            let start = ThreadTime::now();
            pass(&mut model);
            micros = micros.min(start.elapsed().as_secs_f64() * 1e6 / rows.len() as f64);
        }
        println!("  {name:12} {micros:8.2} µs");
    };
    for size in [1, 16, 128, 1_024] {
        best(&format!("score, {size}"), &mut |model| {
            for batch in rows.chunks(size) {
                model.score(batch).unwrap();
            }
        });
    }
    best("attribution", &mut |model| {
        for row in &rows {
            std::hint::black_box(model.attribute(row));
        }
    });
}

fn measure(name: &str, variants: &mut [(String, OrtScorer)], sample: &RecordBatch) {
    let mut best = vec![f64::INFINITY; variants.len()];
    for _ in 0..PASSES {
        for ((_, scorer), best) in variants.iter_mut().zip(&mut best) {
            let start = ThreadTime::now();
            let scores = scorer.score(sample).unwrap();
            let micros = start.elapsed().as_secs_f64() * 1e6 / scores.score.len() as f64;
            *best = best.min(micros);
        }
    }
    println!("{name}");
    for ((variant, _), micros) in variants.iter().zip(&best) {
        println!("  {variant:12} {micros:8.2} µs  {:5.2} of plain", micros / best[0]);
    }
}

fn options() -> ScorerOptions {
    ScorerOptions { step_errors: false, latents: false, ..ScorerOptions::default() }
}

fn scorer(onnx: &[u8], steps: usize, channels: usize, options: &ScorerOptions) -> OrtScorer {
    let info = ModelInfo {
        id: ModelId { name: "bench".into(), version: String::new() },
        channels: (0..channels).map(|c| c.to_string()).collect(),
        steps,
        latents: 0,
        weights: None,
        score_quantiles: vec![],
        channel_mean: vec![],
        channel_std: vec![],
        entities: vec![],
    };
    OrtScorer::new(onnx, info, options).unwrap()
}

/// The default VAE after one pass over noise: what it says is nothing, what it costs is the same.
#[cfg(feature = "train")]
fn vae(steps: usize, channels: usize) -> Vec<u8> {
    use cloudops_models::specification::{Architecture, Specification};
    use cloudops_models::{Samples, train};

    let names = (0..channels).map(|channel| format!("c{channel}")).collect();
    let mut spec = Specification::new(Architecture::VaeCnn, "bench", steps, names);
    spec.training.epochs = 1;
    let values = (0..256 * steps * channels).map(|i| (i * i % 9_973) as f32 * 0.001).collect();
    let samples = Samples { steps, channels, values, future: None, entities: None };
    train(&spec, &samples, &samples, &mut train::Quiet).unwrap().onnx
}
