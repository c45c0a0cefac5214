//! The forest's file in ONNX Runtime, and the forest against scikit-learn and shap.

#![allow(clippy::unwrap_used, reason = "a step that fails, fails the test")]

use cloudops_models::learn::forest::{Forest, ForestConfig, Node, Platt, Table, Tree, fit};
use cloudops_models::onnx::forest::{ForestFile, read};
use cloudops_models::onnx::metadata::metadata;
use cloudops_models::registry::Registry;
use cloudops_models::scorer::{ForestScorer, Scheme};
use cloudops_operators::seeded::SplitMix64;
use serde_json::Value;

/// Rows with a class that follows from two features, some values unknown.
fn sample(rows: usize, features: usize, seed: u64) -> (Table, Vec<bool>) {
    let mut random = SplitMix64::new(seed);
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..rows {
        let row: Vec<f64> = (0..features).map(|_| 4.0 * random.uniform() - 2.0).collect();
        labels.push(row[0] * row[1] + 0.5 * random.uniform() > 0.3);
        values
            .extend(row.iter().map(|v| if random.uniform() < 0.05 { f32::NAN } else { *v as f32 }));
    }
    let names = (0..features).map(|feature| format!("f{feature}")).collect();
    (Table::new(names, values).unwrap(), labels)
}

fn file(trees: usize) -> ForestFile {
    let (table, labels) = sample(700, 9, 1);
    let config = ForestConfig { trees, ..ForestConfig::default() };
    let fitted = fit(&config, &table, &labels, None).unwrap();
    let shares: Vec<f64> = fitted.out_of_bag.iter().map(|share| share.unwrap_or(0.5)).collect();
    ForestFile {
        name: "sample".to_owned(),
        target: "positive".to_owned(),
        calibration: Platt::fit(&shares, &labels).unwrap(),
        forest: fitted.forest,
    }
}

#[test]
fn the_runtime_says_what_the_forest_says_to_the_bit() {
    for trees in [1, 60, 500] {
        let file = file(trees);
        let mut scorer = ForestScorer::open(&file.to_onnx().unwrap()).unwrap();
        let (other, _) = sample(997, 9, 2);
        let said = scorer.run(&other).unwrap();
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<u32>>();
        assert!(bits(&said.score) == bits(&file.forest.scores(&other)), "{trees} trees");
        for (score, probability) in said.score.iter().zip(&said.probability) {
            let native = file.calibration.probability(f64::from(*score));
            assert!(
                (native - f64::from(*probability)).abs() < 2e-6,
                "{score}: {probability} {native}"
            );
        }
    }
}

#[test]
fn a_row_has_the_same_bits_in_whatever_batch_it_stands() {
    let file = file(200);
    let mut scorer = ForestScorer::open(&file.to_onnx().unwrap()).unwrap();
    let (table, _) = sample(1_031, 9, 3);
    let whole = scorer.run(&table).unwrap();
    let mut random = SplitMix64::new(4);
    let mut order: Vec<usize> = (0..table.len()).collect();
    for at in (1..order.len()).rev() {
        order.swap(at, (random.uniform() * (at + 1) as f64) as usize);
    }
    for size in [1, 2, 3, 7, 8, 33, 64, 257, 1_031] {
        for rows in order.chunks(size).take(40) {
            let values: Vec<f32> = rows.iter().flat_map(|row| table.row(*row).to_vec()).collect();
            let batch = Table::new(table.features.clone(), values).unwrap();
            let said = scorer.run(&batch).unwrap();
            for (at, row) in rows.iter().enumerate() {
                assert_eq!(said.score[at].to_bits(), whole.score[*row].to_bits());
                let (a, b) = (said.probability[at], whole.probability[*row]);
                assert_eq!(a.to_bits(), b.to_bits(), "batch of {size}: {a} {b}");
            }
        }
    }
}

#[test]
fn a_forest_is_explained_from_its_file_alone() {
    let file = file(50);
    let onnx = file.to_onnx().unwrap();
    let back = read(&onnx).unwrap();
    assert_eq!(back, file);
    let entries = metadata(&onnx).unwrap();
    assert_eq!(entries["architecture"], "random-forest");
    assert!(entries["forest"].contains("\"f8\""));
    let (other, _) = sample(20, 9, 5);
    let said = ForestScorer::open(&onnx).unwrap().run(&other).unwrap();
    for row in 0..other.len() {
        let found = back.forest.attribute(other.row(row));
        let off = found.score() - f64::from(said.score[row]);
        assert!(off.abs() < 1e-7, "row {row}: {off:e}");
    }
}

#[test]
fn a_registered_forest_is_scored_and_explained() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(dir.path()).unwrap();
    let file = file(50);
    let id = registry.register_described("zombie", &file.to_onnx().unwrap(), Value::Null).unwrap();
    assert_eq!(registry.show("zombie").unwrap().invariance.scheme, Scheme::Tiles);
    assert!(registry.verify(&id).unwrap().iter().all(|check| check.passed));
    assert_eq!(read(&registry.load(&id).unwrap()).unwrap(), file);
}

#[test]
fn wrong_rows_are_refused() {
    let mut scorer = ForestScorer::open(&file(2).to_onnx().unwrap()).unwrap();
    assert!(scorer.run(&sample(3, 8, 1).0).is_err());
    let (empty, _) = sample(0, 9, 1);
    assert!(scorer.run(&empty).unwrap().score.is_empty());
}

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/forest.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn table(value: &Value, features: usize) -> Table {
    let names = (0..features).map(|feature| format!("f{feature}")).collect();
    Table::new(names, numbers(value).into_iter().map(|v| v as f32).collect()).unwrap()
}

#[test]
fn a_single_tree_is_that_of_scikit_learn() {
    let golden = golden();
    let features = golden["features"].as_u64().unwrap() as usize;
    let labels: Vec<bool> =
        golden["y"].as_array().unwrap().iter().map(|y| y.as_bool().unwrap()).collect();
    let config = ForestConfig {
        trees: 1,
        bootstrap: false,
        features_per_split: Some(features),
        depth_max: 4,
        leaf_min: 25,
        ..ForestConfig::default()
    };
    let fitted = fit(&config, &table(&golden["x"], features), &labels, None).unwrap();
    let other = table(&golden["other"], features);
    for (ours, theirs) in fitted.forest.scores(&other).iter().zip(numbers(&golden["tree"])) {
        // Half a step of a leaf's share.
        assert!((f64::from(*ours) - theirs).abs() < 3.1e-5, "{ours} {theirs}");
    }
}

#[test]
fn attributions_are_those_of_shap() {
    let golden = golden();
    let features = golden["features"].as_u64().unwrap() as usize;
    let node = |node: &Value| {
        let of = numbers(node);
        match of[0] < 0.0 {
            true => Node::Leaf { share: of[5] as f32, cover: of[4] as f32 },
            false => Node::Split {
                feature: of[0] as usize,
                threshold: {
                    let single = of[1] as f32;
                    if f64::from(single) > of[1] { single.next_down() } else { single }
                },
                missing_below: false,
                below: of[2] as usize,
                above: of[3] as usize,
                cover: of[4] as f32,
            },
        }
    };
    let theirs = &golden["forest"];
    let trees = theirs["trees"].as_array().unwrap().iter().map(|tree| {
        Tree::new(tree.as_array().unwrap().iter().map(node).collect(), features).unwrap()
    });
    let other = table(&golden["other"], features);
    let forest = Forest::new(other.features.clone(), trees.collect()).unwrap();
    let (scores, values) = (numbers(&theirs["score"]), numbers(&theirs["values"]));
    for row in 0..other.len() {
        let found = forest.attribute(other.row(row));
        assert!((found.base - theirs["base"].as_f64().unwrap()).abs() < 1e-6);
        assert!((found.score() - scores[row]).abs() < 1e-6);
        for (ours, theirs) in found.values.iter().zip(&values[row * features..]) {
            assert!((ours - theirs).abs() < 1e-6, "row {row}: {ours} {theirs}");
        }
    }
}
