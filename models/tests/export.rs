//! Exported files against the trainer's own forward pass, against Python's
//! onnxruntime, and against themselves in other batches.
//!
//! The ONNX Runtime shared library is named by `ORT_DYLIB_PATH`; without it
//! the tests that need it say so and pass.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a step that fails, fails the test; a skipped one says so"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use cloudops_models::learn::Outputs;
use cloudops_models::specification::{
    Architecture, Forecast, Input, Loss, MaskedPretraining, Specification,
};
use cloudops_models::train::{Quiet, fit};
use cloudops_models::{Samples, calibrate, onnx, train};
use ort::environment::Environment;
use ort::session::Session;
use ort::value::TensorRef;

/// A small deterministic generator: enough for test data.
struct Scatter(u64);

impl Scatter {
    fn next(&mut self) -> f32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1_u64 << 24) as f32 * 2.0 - 1.0
    }
}

/// Windows over waves of several periods and units, one constant channel, a few outliers.
fn samples(spec: &Specification, windows: usize, from: usize) -> Samples {
    let (steps, channels) = (spec.steps, spec.channels.len());
    let horizon = spec.forecast.map_or(0, |forecast| forecast.horizon);
    let mut noise = Scatter(from as u64 + 1);
    let mut at = |time: usize, channel: usize| {
        let unit = 10_f32.powi(channel as i32 % 5 - 2);
        let wave = (time as f32 / (5.0 + channel as f32)).sin() + 0.1 * noise.next();
        let outlier = if (time * 31 + channel * 17).is_multiple_of(997) { 30.0 } else { 0.0 };
        if channel == 2 { 42.0 } else { (wave + outlier) * unit + 3.0 * unit }
    };
    let (mut values, mut future) = (vec![], vec![]);
    for window in from..from + windows {
        for step in 0..steps + horizon {
            let target = if step < steps { &mut values } else { &mut future };
            target.extend((0..channels).map(|channel| at(window * 3 + step, channel)));
        }
    }
    Samples { steps, channels, values, future: spec.forecast.map(|_| future), entities: None }
}

fn small(architecture: Architecture) -> Specification {
    let (steps, channels) = if architecture.is_dense() { (1, 11) } else { (13, 5) };
    let names = (0..channels).map(|channel| format!("channel_{channel}")).collect();
    let mut spec = Specification::new(architecture, format!("small-{architecture}"), steps, names);
    spec.training.epochs = 3;
    spec.training.max_windows = 600;
    spec.training.batch_size = 64;
    match architecture {
        Architecture::VaeCnn => {
            spec.latents = 4;
            spec.hidden = vec![12, 16];
            spec.forecast = Some(Forecast { horizon: 2, weight: 0.5 });
            spec.masked_pretraining = Some(MaskedPretraining { epochs: 1, ratio: 0.2 });
        }
        Architecture::VaeTransformer => {
            spec.latents = 4;
            spec.hidden = vec![16, 24, 24];
            spec.loss = Loss::Mae;
        }
        Architecture::VaeDense | Architecture::Autoencoder => spec.hidden = vec![24, 12],
        Architecture::Pca | Architecture::MaxAbsZ => {}
    }
    spec
}

/// Named outputs, each with its elements a row.
type Named = BTreeMap<String, Vec<f32>>;

/// A process may have one.
static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();

struct Runtime {
    session: Session,
    input: String,
    shape: Vec<i64>,
    names: Vec<String>,
}

impl Runtime {
    /// `None` where no shared library is named.
    fn new(file: &[u8]) -> Option<Self> {
        let Some(path) = std::env::var_os("ORT_DYLIB_PATH") else {
            println!("skipped: ORT_DYLIB_PATH names no onnx runtime");
            return None;
        };
        let environment =
            ENVIRONMENT.get_or_init(|| ort::init_from(path).unwrap().build().unwrap());
        let session = Session::builder(environment)
            .unwrap()
            .with_intra_threads(1)
            .unwrap()
            .commit_from_memory(file)
            .unwrap();
        let input = session.inputs()[0].name().to_owned();
        let shape = session.inputs()[0].dtype().tensor_shape().unwrap().to_vec();
        let names = session.outputs().iter().map(|output| output.name().to_owned()).collect();
        Some(Self { session, input, shape, names })
    }

    fn run(&mut self, values: &[f32]) -> Named {
        let row: i64 = self.shape[1..].iter().product();
        let mut shape = self.shape.clone();
        shape[0] = values.len() as i64 / row;
        let tensor = TensorRef::from_array_view((shape, values)).unwrap();
        let outputs = self.session.run(ort::inputs![self.input.as_str() => tensor]).unwrap();
        self.names
            .iter()
            .map(|name| {
                let (_, values) = outputs[name.as_str()].try_extract_tensor::<f32>().unwrap();
                (name.clone(), values.to_vec())
            })
            .collect()
    }
}

fn named(outputs: &Outputs) -> Vec<(&'static str, &[f32])> {
    vec![
        ("reconstruction_error", &outputs.reconstruction_error),
        ("kl", &outputs.kl),
        ("mu", &outputs.mu),
        ("logvar", &outputs.logvar),
        ("error_by_channel", &outputs.error_by_channel),
        ("error_by_step", &outputs.error_by_step),
        ("reconstruction", &outputs.reconstruction),
        ("forecast", &outputs.forecast),
    ]
}

/// The greatest difference, relative to the value where that is large.
fn furthest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs() / (1.0 + b.abs())).fold(0.0, f32::max)
}

#[test]
fn a_file_says_what_its_trainer_says() {
    for architecture in Architecture::ALL {
        let spec = small(architecture);
        let (before, after) = (samples(&spec, 600, 0), samples(&spec, 300, 1_000));
        let fitted = fit(&spec, &before, &after, &mut Quiet).unwrap();
        let trained = train(&spec, &before, &after, &mut Quiet).unwrap();
        let Some(mut runtime) = Runtime::new(&trained.onnx) else { return };
        let found = runtime.run(&after.values);

        let mut expected = 1;
        for (name, own) in named(&fitted.outputs) {
            if own.is_empty() {
                assert!(!found.contains_key(name), "{architecture} should have no {name}");
                continue;
            }
            expected += 1;
            let difference = furthest(&found[name], own);
            println!("{architecture} {name}: {difference:.1e}");
            assert!(difference < 1e-5, "{architecture} {name} differs by {difference:e}");
        }
        assert_eq!(found.len(), expected);
        let weights = trained.info.weights.unwrap();
        let own: Vec<f32> =
            (0..after.len()).map(|at| calibrate::score(&weights, &fitted.outputs, at)).collect();
        // A score is in units of its spread: its parts' rounding is magnified by the weights.
        let allowed = 1e-5 * (1.0 + weights.reconstruction.max(weights.kl));
        assert!(furthest(&found["score"], &own) < allowed);
        let quantiles = &trained.info.score_quantiles;
        assert!((quantiles[500]).abs() < 1.0 && quantiles[0] < quantiles[1_000]);
    }
}

#[test]
fn parts_sum_to_the_reconstruction_error() {
    for architecture in Architecture::ALL {
        let spec = small(architecture);
        let after = samples(&spec, 300, 1_000);
        let trained = train(&spec, &samples(&spec, 600, 0), &after, &mut Quiet).unwrap();
        let Some(mut runtime) = Runtime::new(&trained.onnx) else { return };
        let found = runtime.run(&after.values);
        for (name, width) in
            [("error_by_channel", spec.channels.len()), ("error_by_step", spec.steps)]
        {
            let sums: Vec<f32> =
                found[name].chunks(width).map(|parts| parts.iter().sum()).collect();
            let difference = furthest(&sums, &found["reconstruction_error"]);
            assert!(difference < 1e-6, "{architecture} {name}: {difference:e}");
        }
    }
}

#[test]
fn training_twice_gives_the_same_bytes() {
    let run = |architecture| {
        let spec = small(architecture);
        let (before, after) = (samples(&spec, 600, 0), samples(&spec, 300, 1_000));
        train(&spec, &before, &after, &mut Quiet).unwrap()
    };
    for architecture in Architecture::ALL {
        // Side by side, so that shared state in the backend would show.
        let [a, b] = std::thread::scope(|scope| {
            [scope.spawn(|| run(architecture)), scope.spawn(|| run(architecture))]
                .map(|thread| thread.join().unwrap())
        });
        assert!(a.onnx == b.onnx, "{architecture}: two trainings differ");
        assert_eq!(a.report, b.report);
        if architecture.is_deep() {
            let spec = Specification {
                training: cloudops_models::specification::Training {
                    seed: 2,
                    ..small(architecture).training
                },
                ..small(architecture)
            };
            let (before, after) = (samples(&spec, 600, 0), samples(&spec, 300, 1_000));
            let other = train(&spec, &before, &after, &mut Quiet).unwrap();
            assert!(other.onnx != a.onnx, "{architecture}: the seed does nothing");
        }
    }
}

#[test]
fn training_lowers_the_loss_and_keeps_the_best() {
    for architecture in Architecture::ALL.into_iter().filter(|a| a.is_deep()) {
        let mut spec = small(architecture);
        spec.training.epochs = 15;
        let trained =
            train(&spec, &samples(&spec, 600, 0), &samples(&spec, 300, 1_000), &mut Quiet).unwrap();
        let history = &trained.report.history;
        let best = history[trained.report.best_epoch - 1].holdout;
        println!("{architecture}: {} to {best}", history[0].holdout);
        assert!(best < 0.8 * history[0].holdout, "{architecture} learns nothing: {history:?}");
        assert!(history.iter().all(|loss| loss.holdout >= best));
        assert_eq!(trained.report.windows_train, 600);
        assert_eq!(trained.report.windows_calibration, 300);
    }
}

/// The law that results do not depend on how a stream is cut rests on this.
#[test]
fn a_row_has_the_same_bits_in_every_batch() {
    const ROWS: usize = 4_096;
    let mut cases: Vec<Specification> = Architecture::ALL.into_iter().map(small).collect();
    // The bench's shape, and one whose widths are odd.
    for (steps, channels) in [(30, 14), (17, 3)] {
        for architecture in Architecture::ALL {
            let names = (0..channels).map(|c| format!("c{c}")).collect();
            let mut spec = Specification::new(architecture, "wide", steps, names);
            spec.input = Input::Window;
            spec.training.epochs = 1;
            spec.training.max_windows = 256;
            cases.push(spec);
        }
    }
    for spec in cases {
        let after = samples(&spec, 100, 1_000);
        let trained = train(&spec, &samples(&spec, 256, 0), &after, &mut Quiet).unwrap();
        let Some(mut runtime) = Runtime::new(&trained.onnx) else { return };
        let stream = samples(&spec, ROWS, 2_000);
        let whole = runtime.run(&stream.values);
        // Batches of these sizes in turn, over rows in an order of their own.
        for (round, size) in [1, 2, 3, 5, 16, 63, 1_000, ROWS].into_iter().enumerate() {
            let order: Vec<usize> = (0..ROWS).map(|at| (at * 1_237 + round * 7) % ROWS).collect();
            // One row at a time is slow: a part of them will do.
            let some = if size == 1 { 256 } else { ROWS };
            for rows in order[..some].chunks(size) {
                let values: Vec<f32> =
                    rows.iter().flat_map(|row| stream.window(*row)).copied().collect();
                for (name, found) in runtime.run(&values) {
                    let width = whole[&name].len() / ROWS;
                    for (row, found) in rows.iter().zip(found.chunks(width)) {
                        let expected = &whole[&name][row * width..(row + 1) * width];
                        let same =
                            expected.iter().zip(found).all(|(a, b)| a.to_bits() == b.to_bits());
                        assert!(
                            same,
                            "{} {}×{}: `{name}` of row {row} in a batch of {size}: {found:?}, not {expected:?}",
                            spec.architecture,
                            spec.steps,
                            spec.channels.len()
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_file_describes_itself() {
    let spec = small(Architecture::Pca);
    let trained =
        train(&spec, &samples(&spec, 600, 0), &samples(&spec, 300, 1_000), &mut Quiet).unwrap();
    let entries = onnx::metadata::metadata(&trained.onnx).unwrap();
    assert_eq!(entries[onnx::metadata::NAME], "small-pca");
    assert_eq!(entries[onnx::metadata::ARCHITECTURE], "pca");
    assert_eq!(entries[onnx::metadata::SCHEMA_HASH], spec.schema_hash());
    assert_eq!(onnx::metadata::specification(&trained.onnx).unwrap(), spec);
    let info = onnx::metadata::model_info(&trained.onnx, "v").unwrap();
    assert_eq!(info.id.version, "v");
    assert_eq!(info.score_quantiles, trained.info.score_quantiles);

    let more = BTreeMap::from([("training_data".to_owned(), "offsets 0..600".to_owned())]);
    let longer = onnx::metadata::with_metadata(&trained.onnx, &more).unwrap();
    let entries = onnx::metadata::metadata(&longer).unwrap();
    assert_eq!(entries["training_data"], "offsets 0..600");
    assert_eq!(entries[onnx::metadata::NAME], "small-pca");
    assert!(onnx::metadata::metadata(b"no onnx").is_err());
    if let Some(runtime) = Runtime::new(&longer) {
        let metadata = runtime.session.metadata().unwrap();
        assert_eq!(metadata.custom("training_data").unwrap(), "offsets 0..600");
    }
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// `tests/golden/export.py` wrote inputs and outputs of these files by Python's onnxruntime.
#[test]
fn python_says_the_same_of_our_files() {
    let text = std::fs::read_to_string(golden("export.json")).unwrap();
    let golden_outputs: BTreeMap<String, Named> = serde_json::from_str(&text).unwrap();
    assert_eq!(golden_outputs.len(), Architecture::ALL.len());
    for (model, mut expected) in golden_outputs {
        let file = std::fs::read(golden(&format!("export-{model}.onnx"))).unwrap();
        let Some(mut runtime) = Runtime::new(&file) else { return };
        let found = runtime.run(&expected.remove("input").unwrap());
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (name, values) in &expected {
            let difference = furthest(&found[name], values);
            assert!(difference < 1e-6, "{model} {name} differs by {difference:e}");
        }
    }
}

/// Run by hand when the export changes, then `tests/golden/export.py`.
#[test]
#[ignore = "rewrites the golden models"]
fn write_the_golden_models() {
    for architecture in Architecture::ALL {
        let spec = small(architecture);
        let (before, after) = (samples(&spec, 600, 0), samples(&spec, 300, 1_000));
        let trained = train(&spec, &before, &after, &mut Quiet).unwrap();
        std::fs::write(golden(&format!("export-{architecture}.onnx")), trained.onnx).unwrap();
    }
}
