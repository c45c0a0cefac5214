//! Windows scored per CPU second: ours against ONNX Runtime called plainly.
//!
//! `cargo bench -p cloudops-models --bench score -- model.onnx STEPS CHANNELS [more models ...]`;
//! without arguments, the small model of the tests. One thread; each figure is the best of several
//! passes, taken in turn so that a noisy machine disturbs all alike.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, and may stop at anything"
)]

use arrow::array::RecordBatch;
use cloudops_models::runtime;
use cloudops_models::scorer::{OrtScorer, ScorerOptions, Tile};
use cloudops_operators::score::{ModelId, ModelInfo, Scorer};

const SMALL: &[u8] = include_bytes!("../tests/golden/small.onnx");
const ROWS: usize = 8_192;
const PASSES: usize = 5;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let version = runtime::init(None).unwrap().version;
    println!(
        "onnx runtime {version}, {ROWS} windows, best of {PASSES}, CPU µs a window, one thread"
    );
    if arguments.is_empty() {
        compare("small", SMALL, 12, 5);
    }
    for model in arguments.chunks_exact(3) {
        let bytes = std::fs::read(&model[0]).unwrap();
        compare(&model[0], &bytes, model[1].parse().unwrap(), model[2].parse().unwrap());
    }
}

/// CPU time of this thread, which another process's load does not swell; wall time where the system
/// does not tell.
fn cpu_seconds() -> f64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    nanos.map_or_else(
        || START.get_or_init(std::time::Instant::now).elapsed().as_secs_f64(),
        |nanos| nanos / 1e9,
    )
}

fn compare(name: &str, onnx: &[u8], steps: usize, channels: usize) {
    let info = ModelInfo {
        id: ModelId { name: name.into(), version: String::new() },
        channels: (0..channels).map(|c| c.to_string()).collect(),
        steps,
        latents: 0,
        weights: None,
        score_quantiles: vec![],
        channel_mean: vec![],
        channel_std: vec![],
    };
    let scorer = |tile: usize, rewrite: bool| {
        let options = ScorerOptions {
            tile: Tile::Fixed(tile),
            rewrite,
            step_errors: false,
            latents: false,
            ..ScorerOptions::default()
        };
        OrtScorer::new(onnx, info.clone(), &options).unwrap()
    };
    let mut variants: Vec<(String, OrtScorer)> = vec![("plain 2048".into(), scorer(2048, false))];
    for tile in [64, 128, 256, 512, 2048] {
        variants.push((format!("ours {tile}"), scorer(tile, true)));
    }
    let sample: RecordBatch = variants[0].1.sample(ROWS).unwrap();
    let mut best = vec![f64::INFINITY; variants.len()];
    for _ in 0..PASSES {
        for ((_, scorer), best) in variants.iter_mut().zip(&mut best) {
            let start = cpu_seconds();
            let scores = scorer.score(&sample).unwrap();
            let micros = (cpu_seconds() - start) * 1e6 / scores.score.len() as f64;
            *best = best.min(micros);
        }
    }
    println!("{name}");
    for ((variant, _), micros) in variants.iter().zip(&best) {
        println!("  {variant:12} {micros:8.2} µs  {:5.2} of plain", micros / best[0]);
    }
    for (rewrite, what) in [(false, "plain"), (true, "ours")] {
        let found = scorer(128, rewrite).verify_batch_invariance(&sample.slice(0, 2_111)).unwrap();
        println!("  {what}: rows whose bits vary with the batch: {:?}", found.varying);
    }
}
