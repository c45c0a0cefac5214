//! Versions in a directory: registered, found, checked, damaged, described.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a step that fails, fails the test; a skipped one says so"
)]

use std::fs;
use std::path::Path;

use cloudops_models::Error;
use cloudops_models::card::{CurvePoint, DataCard, ModelCard};
use cloudops_models::registry::{BroughtModel, Registry, scorer_factory};
use cloudops_models::scorer::{Invariance, Scheme, ScorerOptions};
use cloudops_operators::score::{ModelId, ModelInfo, ScoreWeights};
use serde_json::{Value, json};

fn small() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/small.onnx"))
}

fn brought() -> BroughtModel {
    BroughtModel {
        steps: 12,
        channels: (0..5).map(|c| format!("c{c}")).collect(),
        outputs: None,
        score_quantiles: vec![0.5, 1.0, 4.0],
    }
}

#[test]
fn a_model_goes_in_and_comes_out_again() {
    let root = tempfile::tempdir().unwrap();
    let registry = Registry::open(root.path().join("models")).unwrap();
    assert!(registry.list().unwrap().is_empty());
    let id = registry.register_onnx(small(), "pump", brought()).unwrap();
    assert_eq!(id.version.len(), 16);
    assert_eq!(registry.load(&id).unwrap(), fs::read(small()).unwrap());

    let entry = registry.show("pump").unwrap();
    assert_eq!(entry.info.id, id);
    assert_eq!(entry.info.score_quantile(0.75), Some(2.5));
    assert_eq!(entry.outputs.error_by_channel.as_deref(), Some("channel_error"));
    assert_eq!((entry.inputs.window, entry.inputs.features), (Some(60), Some(10)));
    assert!(entry.rewrite && entry.rewrite_difference < 1e-5, "{entry:?}");
    assert!(entry.invariance.holds(), "{:?}", entry.invariance);
    assert_eq!(registry.list().unwrap(), std::slice::from_ref(&entry));

    // The same bytes are the same version; nothing is left beside it.
    assert_eq!(registry.register_onnx(small(), "pump", brought()).unwrap(), id);
    let inside: Vec<_> = fs::read_dir(registry.root().join("pump")).unwrap().collect();
    assert_eq!(inside.len(), 1);
    for file in ["card.md", "card.json", "info.json", "model.onnx"] {
        assert!(registry.directory(&id).join(file).is_file(), "{file}");
    }

    let checks = registry.verify(&id).unwrap();
    assert!(checks.iter().all(|check| check.passed), "{checks:?}");
    assert_eq!(checks.len(), 5);

    let factory = scorer_factory(&registry, ScorerOptions::default());
    let mut scorer = factory(&id).unwrap();
    let sample = registry.scorer(&id, &ScorerOptions::default()).unwrap().sample(3).unwrap();
    assert_eq!(scorer.score(&sample).unwrap().score.len(), 3);
    assert_eq!(scorer.info().id, id);
}

#[test]
fn a_damaged_file_is_named_and_left_as_it_is() {
    let root = tempfile::tempdir().unwrap();
    let registry = Registry::open(root.path()).unwrap();
    let id = registry.register_onnx(small(), "pump", brought()).unwrap();
    let path = registry.directory(&id).join("model.onnx");
    let mut bytes = fs::read(&path).unwrap();
    bytes[1000] ^= 1;
    fs::write(&path, &bytes).unwrap();

    let error = registry.load(&id).unwrap_err();
    assert!(matches!(error, Error::Model { .. }));
    assert!(error.to_string().contains("model.onnx"), "{error}");
    assert!(registry.scorer(&id, &ScorerOptions::default()).is_err());
    // Registering the sound file again does not paper over the damage.
    assert!(registry.register_onnx(small(), "pump", brought()).is_err());
    let checks = registry.verify(&id).unwrap();
    assert!(checks.iter().any(|check| check.name == "hash" && !check.passed));
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn references_are_names_versions_or_their_beginnings() {
    let root = tempfile::tempdir().unwrap();
    let registry = Registry::open(root.path()).unwrap();
    let a = registry.register_onnx(small(), "a", brought()).unwrap();
    let b = registry.register_onnx(small(), "b", brought()).unwrap();
    assert_eq!(registry.resolve("a").unwrap(), a);
    assert_eq!(registry.resolve(&b.to_string()).unwrap(), b);
    assert_eq!(registry.resolve(&format!("b@{}", &b.version[..5])).unwrap(), b);
    let ambiguous = registry.resolve(&a.version[..5]).unwrap_err().to_string();
    assert!(ambiguous.contains("ambiguous") && ambiguous.contains(&b.to_string()), "{ambiguous}");
    let unknown = registry.resolve("c").unwrap_err().to_string();
    assert!(unknown.contains(&a.to_string()), "{unknown}");
}

#[test]
fn names_that_leave_the_directory_and_reserved_members_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let registry = Registry::open(root.path()).unwrap();
    for name in ["", "..", "a/b", ".hidden", "a b"] {
        assert!(registry.register_onnx(small(), name, brought()).is_err(), "{name:?}");
    }
    let onnx = fs::read(small()).unwrap();
    let info = card().info;
    let info = ModelInfo { steps: 12, channels: brought().channels, ..info };
    for extra in [json!({"info": 1}), json!({"../x": 1}), json!([1])] {
        assert!(registry.register("m", &onnx, info.clone(), extra).is_err());
    }
    let id = registry.register("m", &onnx, info, json!({"report": {"best": 3}})).unwrap();
    assert_eq!(registry.extra(&id, "report").unwrap(), Some(json!({"best": 3})));
    assert_eq!(registry.extra(&id, "specification").unwrap(), None);
}

fn card() -> ModelCard {
    let info = ModelInfo {
        id: ModelId { name: "turbofan".into(), version: "0123456789abcdef".into() },
        channels: vec!["T24".into(), "P15|bar".into()],
        steps: 30,
        latents: 4,
        weights: Some(ScoreWeights { reconstruction: 1.25, kl: 0.031_25, offset: -0.5 }),
        score_quantiles: vec![-1.0, 0.0, 0.5, 1.0, 3.25],
        channel_mean: vec![642.68, 21.61],
        channel_std: vec![0.500_05, 0.0],
        entities: vec![],
    };
    let mut card = ModelCard::new(info, "vae-cnn");
    card.parameters = Some(31_234);
    card.specification = json!({"architecture": "vae-cnn", "latents": 4});
    card.data = Some(DataCard {
        source: "engines".into(),
        train_windows: 4_000,
        holdout_windows: 500,
        calibration_windows: 500,
        offsets: Some((0, 20_630)),
        time_range: Some((1_704_067_200_000_000, 1_711_929_599_000_000)),
        fingerprint: Some("ab".repeat(32)),
    });
    let losses = [(1.02, 0.98), (0.61, 0.57), (0.42, 0.44), (0.35, 0.41), (0.31, 0.43)];
    card.curve = (1..)
        .zip(losses)
        .map(|(epoch, (train, holdout))| CurvePoint { epoch, train, holdout })
        .collect();
    card.invariance = Some(Invariance {
        scheme: Scheme::Tiles,
        rows: 2_111,
        batches: vec![2, 7, 64],
        varying: vec![],
    });
    card.evaluation =
        vec![json!({"set": "FD001", "vus_pr": 0.512_345}), json!({"set": "FD002", "fpr": 0.001})];
    card.reproduce = vec!["cloudops train turbofan.toml".into()];
    card
}

/// Set `UPDATE_GOLDEN` to write the files anew, then read them.
#[test]
fn the_card_reads_as_it_did() {
    let card = card();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for (name, text) in [("card.md", card.markdown()), ("card.svg", card.svg().unwrap())] {
        let path = golden.join(name);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, &text).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "{name}");
    }
    let back: ModelCard = serde_json::from_str(&card.json().unwrap()).unwrap();
    assert_eq!(back, card);
    assert_eq!(card.best_pass().map(|point| point.epoch), Some(4));
}

#[test]
fn a_card_without_anything_known_still_reads() {
    let info = ModelInfo { score_quantiles: vec![], weights: None, steps: 1, ..card().info };
    let card = ModelCard::new(info, "onnx");
    let text = card.markdown();
    assert!(text.contains("not recorded") && text.contains("not evaluated"), "{text}");
    assert_eq!(card.svg(), None);
    assert_eq!(card.specification, Value::Null);
}
