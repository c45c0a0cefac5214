//! Overlapping windows encoded once have the bits of windows scored alone.
//!
//! The ONNX Runtime shared library is named by `ORT_DYLIB_PATH`; without it these tests say so and
//! pass.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a step that fails, fails the test; a skipped one says so"
)]

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use cloudops_models::scorer::{OrtScorer, ScorerOptions, Tile};
use cloudops_models::specification::{Architecture, Specification};
use cloudops_models::train::Quiet;
use cloudops_models::{Samples, train};
use cloudops_operators::schema::result::WINDOW;
use cloudops_operators::schema::vector_array;
use cloudops_operators::score::{ModelId, Scorer, Scores};

/// A small deterministic generator: enough for test data.
struct Scatter(u64);

impl Scatter {
    fn next(&mut self) -> f32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1_u64 << 24) as f32 * 2.0 - 1.0
    }

    fn below(&mut self, most: usize) -> usize {
        ((self.next() + 1.0) / 2.0 * most as f32) as usize
    }
}

/// A model of so many steps and channels; `None` where the runtime's library is not named.
fn trained(architecture: Architecture, steps: usize, channels: usize) -> Option<Vec<u8>> {
    if std::env::var_os("ORT_DYLIB_PATH").is_none() {
        println!("skipped: ORT_DYLIB_PATH names no onnx runtime");
        return None;
    }
    let names = (0..channels).map(|channel| format!("c{channel}")).collect();
    let mut spec = Specification::new(architecture, "overlap", steps, names);
    spec.training.epochs = 1;
    let values = |windows, seed| {
        let mut noise = Scatter(seed);
        let values = (0..windows * steps * channels).map(|_| noise.next()).collect();
        Samples { steps, channels, values, future: None, entities: None }
    };
    Some(train(&spec, &values(128, 1), &values(64, 2), &mut Quiet).unwrap().onnx)
}

fn scorer(onnx: &[u8], hop: Option<usize>, tile: usize) -> OrtScorer {
    let id = ModelId { name: "overlap".into(), version: "v".into() };
    let options = ScorerOptions { hop, tile: Tile::Fixed(tile), ..ScorerOptions::default() };
    OrtScorer::open(onnx, id, &options).unwrap()
}

/// Windows of several entities: runs of any length, each with gaps, now and then an odd value.
fn windows(steps: usize, channels: usize, hop: usize, seed: u64) -> RecordBatch {
    let mut noise = Scatter(seed);
    let mut values = Vec::new();
    for _ in 0..12 {
        let length = 1 + noise.below(40);
        let mut stream: Vec<f32> =
            (0..(length * hop + steps) * channels).map(|_| noise.next()).collect();
        for odd in [-0.0, 1e30, -1e-40] {
            let at = noise.below(stream.len());
            stream[at] = odd;
        }
        for window in 0..length {
            if noise.below(15) > 0 {
                let from = window * hop * channels;
                values.extend_from_slice(&stream[from..from + steps * channels]);
            }
        }
    }
    let array: ArrayRef = Arc::new(vector_array(steps * channels, values));
    RecordBatch::try_from_iter([(WINDOW, array)]).unwrap()
}

fn bits(scores: &Scores) -> Vec<u32> {
    let Scores { score, reconstruction_error, kl, latent, channel_error, step_error } = scores;
    [score, reconstruction_error, kl, latent, channel_error, step_error]
        .into_iter()
        .flatten()
        .map(|value| value.to_bits())
        .collect()
}

#[test]
fn shared_or_alone_the_bits_are_the_same() {
    for (steps, channels) in [(30, 14), (17, 3), (64, 1)] {
        let Some(onnx) = trained(Architecture::VaeCnn, steps, channels) else { return };
        let mut alone = scorer(&onnx, None, 128);
        assert!(!alone.shares_overlap());
        for hop in [1, 2, 3, 4, 5, 8] {
            let mut shared = scorer(&onnx, Some(hop), 128);
            let mut narrow = scorer(&onnx, Some(hop), 7);
            // Wherever strides divide the hop, and on the default shape up to a sixth of it.
            let must = hop.is_multiple_of(4) || (steps == 30 && hop <= 5);
            assert!(shared.shares_overlap() || !must, "{steps} × {channels}, hop {hop}");
            for seed in 0..8 {
                let batch = windows(steps, channels, hop, seed * 97 + hop as u64);
                let expected = bits(&alone.score(&batch).unwrap());
                let place = format!("{steps} × {channels}, hop {hop}, seed {seed}");
                assert_eq!(bits(&shared.score(&batch).unwrap()), expected, "{place}");
                assert_eq!(bits(&narrow.score(&batch).unwrap()), expected, "{place}, tiles of 7");
            }
        }
    }
}

#[test]
fn windows_that_do_not_overlap_are_scored_alone() {
    let Some(onnx) = trained(Architecture::VaeCnn, 30, 14) else { return };
    let (mut shared, mut alone) = (scorer(&onnx, Some(5), 128), scorer(&onnx, None, 128));
    let batch = alone.sample(300).unwrap();
    assert_eq!(bits(&shared.score(&batch).unwrap()), bits(&alone.score(&batch).unwrap()));
    let empty = batch.slice(0, 0);
    assert_eq!(shared.score(&empty).unwrap(), Scores::default());
    for hop in [0, 30, 31] {
        assert!(!scorer(&onnx, Some(hop), 128).shares_overlap(), "hop {hop}");
    }
}

#[test]
fn what_does_not_begin_with_convolutions_is_left_whole() {
    for architecture in [Architecture::VaeTransformer, Architecture::Pca, Architecture::MaxAbsZ] {
        let Some(onnx) = trained(architecture, 30, 14) else { return };
        assert!(!scorer(&onnx, Some(1), 128).shares_overlap(), "{architecture}");
    }
}
