//! Models that know some entities by themselves: scaled by their own history, others by the fleet's.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a step that fails, fails the test; a skipped one says so"
)]

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use cloudops_models::samples::Entities;
use cloudops_models::scorer::{OrtScorer, ScorerOptions};
use cloudops_models::specification::{Architecture, Specification};
use cloudops_models::train::{Quiet, fit};
use cloudops_models::{Samples, train};
use cloudops_operators::schema::vector_array;
use cloudops_operators::score::Scorer;
use cloudops_operators::seeded::SplitMix64;

/// Vectors of six channels: noise about 1.
fn samples(windows: usize, seed: u64) -> Samples {
    let mut random = SplitMix64::new(seed);
    Samples::new(1, 6, (0..windows * 6).map(|_| 1.0 + random.uniform() as f32).collect())
}

fn furthest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs() / (1.0 + b.abs())).fold(0.0, f32::max)
}

/// Entities that were seen often have a scaling of their own in the graph, others the fleet's.
#[test]
fn the_file_knows_its_entities() {
    for architecture in [Architecture::Autoencoder, Architecture::Pca] {
        let names = (0..6).map(|channel| format!("c{channel}")).collect();
        let mut spec = Specification::new(architecture, "personal", 1, names);
        spec.personal = true;
        spec.training.epochs = 3;
        let of = |windows: usize| Entities {
            names: ["ann", "bob", "cat"].map(str::to_owned).to_vec(),
            // cat is seen three times.
            of: (0..windows)
                .map(|at| if at % 200 == 7 { 2 } else { (at % 3 == 0).into() })
                .collect(),
        };
        let shifted = |mut samples: Samples| {
            let entities = of(samples.len());
            for (at, value) in samples.values.iter_mut().enumerate() {
                *value += if entities.of[at / 6] == 1 { 5.0 } else { 0.0 };
            }
            samples.of(entities)
        };
        let (before, after) = (shifted(samples(600, 1)), shifted(samples(300, 2)));
        let fitted = fit(&spec, &before, &after, &mut Quiet).unwrap();
        let trained = train(&spec, &before, &after, &mut Quiet).unwrap();
        assert_eq!(trained.info.entities, ["ann", "bob"]);
        if std::env::var_os("ORT_DYLIB_PATH").is_none() {
            println!("skipped: ORT_DYLIB_PATH names no onnx runtime");
            return;
        }
        let mut scorer =
            OrtScorer::new(&trained.onnx, trained.info, &ScorerOptions::default()).unwrap();
        let entities: StringArray =
            (0..after.len()).map(|at| after.entity(at).map(str::to_owned)).collect();
        let features: ArrayRef = Arc::new(vector_array(6, after.values.clone()));
        let batch = |entities: StringArray| {
            let entities: ArrayRef = Arc::new(entities);
            let columns = [("entity_id", entities), ("features", Arc::clone(&features))];
            RecordBatch::try_from_iter(columns).unwrap()
        };
        let found = scorer.score(&batch(entities)).unwrap();
        let furthest = furthest(&found.reconstruction_error, &fitted.outputs.reconstruction_error);
        assert!(furthest < 1e-5, "{architecture}: {furthest:e}");
        // Somebody whom nobody knows is judged by the fleet: the same windows score differently.
        let strangers: StringArray = (0..after.len()).map(|_| Some("dan")).collect();
        let strange = scorer.score(&batch(strangers)).unwrap();
        let known = |at: usize| after.entity(at) != Some("cat");
        for at in 0..after.len() {
            assert_eq!(strange.score[at] != found.score[at], known(at), "{architecture}: {at}");
        }
        let sample = scorer.sample(256).unwrap();
        assert!(scorer.verify_batch_invariance(&sample).unwrap().holds(), "{architecture}");
    }
}
