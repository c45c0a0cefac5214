//! The whole evaluation, on small sets laid out as the public ones are, whose
//! faults are known because they were put there.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a step that fails, fails the test; a skipped one says so"
)]

use std::fmt::Write as _;
use std::path::Path;

use cloudops_models::evaluate::{
    Evaluation, MEAN, Options, Row, SensorSet, Silent, evaluate_sensor,
};
use cloudops_models::specification::Architecture;

/// Noise of which the next value depends on the last alone (a linear congruential generator).
struct Noise(u64);

impl Noise {
    /// Between −1 and 1.
    fn next(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}

fn write(path: &Path, content: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// Waves with noise, between commas or the like; the second leaves its wave where `fault` says so.
fn waves(channels: usize, row: usize, noise: &mut Noise, fault: bool) -> Vec<String> {
    let wave = |channel: usize| {
        let phase = row as f64 / 9.0 + channel as f64;
        let lift = if fault && channel == 1 { 2.5 } else { 0.0 };
        format!("{:.6}", phase.sin() + 0.1 * noise.next() + lift)
    };
    (0..channels).map(wave).collect()
}

fn smd(dir: &Path) {
    for (seed, machine) in ["machine-9-1", "machine-9-2"].iter().enumerate() {
        let mut noise = Noise(seed as u64);
        let is_faulty = |row: usize| (500..560).contains(&row) || (800..830).contains(&row);
        let mut part = |fault: &dyn Fn(usize) -> bool| {
            (0..1200).fold(String::new(), |mut text, row| {
                writeln!(text, "{}", waves(38, row, &mut noise, fault(row)).join(",")).unwrap();
                text
            })
        };
        write(&dir.join(format!("train/{machine}.txt")), &part(&|_| false));
        write(&dir.join(format!("test/{machine}.txt")), &part(&is_faulty));
        let labels: String =
            (0..1200).map(|row| if is_faulty(row) { "1\n" } else { "0\n" }).collect();
        write(&dir.join(format!("test_label/{machine}.txt")), &labels);
        write(&dir.join(format!("interpretation_label/{machine}.txt")), "500-559:2\n800-829:2\n");
    }
}

fn skab(dir: &Path) {
    let mut noise = Noise(3);
    let head = "datetime;Accelerometer1RMS;Accelerometer2RMS;Current;Pressure;Temperature;\
                Thermocouple;Voltage;Volume Flow RateRMS";
    let row_of = |row: usize, values: Vec<String>| {
        let (hour, minute, second) = (10 + row / 3600, row / 60 % 60, row % 60);
        format!("2020-03-09 {hour:02}:{minute:02}:{second:02};{}", values.join(";"))
    };
    let mut free = format!("{head}\n");
    for row in 0..900 {
        writeln!(free, "{}", row_of(row, waves(8, row, &mut noise, false))).unwrap();
    }
    write(&dir.join("anomaly-free/anomaly-free.csv"), &free);
    let mut experiment = format!("{head};anomaly;changepoint\n");
    for row in 0..900 {
        let fault = (600..700).contains(&row);
        let values = waves(8, row, &mut noise, fault);
        writeln!(experiment, "{};{}.0;0.0", row_of(row, values), u8::from(fault)).unwrap();
    }
    write(&dir.join("valve9/4.csv"), &experiment);
}

fn nab(dir: &Path) {
    let mut noise = Noise(4);
    let mut series = String::from("timestamp,value\n");
    let time = |row: usize| {
        let minutes = row * 5;
        format!("2014-04-{:02} {:02}:{:02}:00", 1 + minutes / 1440, minutes / 60 % 24, minutes % 60)
    };
    for row in 0..2000 {
        let values = waves(2, row, &mut noise, (1200..1260).contains(&row));
        writeln!(series, "{},{}", time(row), values[1]).unwrap();
    }
    write(&dir.join("data/realSynthetic/wave.csv"), &series);
    let windows = format!(
        "{{\"realSynthetic/wave.csv\": [[\"{}.000000\", \"{}.000000\"]]}}",
        time(1200),
        time(1259)
    );
    write(&dir.join("labels/combined_windows.json"), &windows);
}

fn cmapss(dir: &Path) {
    let mut noise = Noise(5);
    let mut text = String::new();
    for engine in 1..=20 {
        let life = 100 + engine * 3;
        for cycle in 1..=life {
            let wear = (cycle as f64 / life as f64).powi(4);
            write!(text, "{engine} {cycle} 0.0 0.0 100.0").unwrap();
            for sensor in 0..21 {
                let drift = if sensor % 3 == 0 { 5.0 * wear } else { 0.0 };
                write!(text, " {:.4}", 500.0 + drift + noise.next()).unwrap();
            }
            text.push_str("  \n");
        }
    }
    write(&dir.join("train_FD001.txt"), &text);
}

fn figure(rows: &[Row], set: &str, entity: &str, model: &str) -> Row {
    let found = rows.iter().find(|r| r.set == set && r.entity == entity && r.model == model);
    found.unwrap_or_else(|| panic!("no row of {set} {entity} {model}")).clone()
}

#[test]
fn injected_faults_are_found_on_sets_laid_out_as_the_public_ones() {
    let dir = tempfile::tempdir().unwrap();
    smd(&dir.path().join("smd"));
    skab(&dir.path().join("skab"));
    nab(&dir.path().join("nab"));
    cmapss(&dir.path().join("cmapss"));
    let options = Options { quick: true, ..Options::default() };
    let found = evaluate_sensor(dir.path(), &options, &mut Silent).unwrap();

    // Five entities and four means, four models each.
    assert_eq!(found.rows.len(), (2 + 1 + 1 + 1 + 4) * 4);
    for model in ["vae-cnn", "vae-transformer", "pca", "max-abs-z"] {
        for set in ["smd", "skab", "nab"] {
            let mean = figure(&found.rows, set, MEAN, model).figures;
            assert!(mean.vus_pr.unwrap() > 0.4, "{set} {model}: {mean:?}");
            assert!(mean.auprc.is_some() && mean.event_f1.is_some());
            assert!(mean.fpr_static.unwrap() < 0.5 && mean.fpr_adaptive.unwrap() < 0.5);
            assert!(mean.false_episodes_per_day.is_some());
            assert_eq!(mean.hit_rate_100.is_some(), set == "smd", "{set} {model}");
        }
        let engines = figure(&found.rows, "cmapss", "FD001", model).figures;
        assert!(engines.auroc.unwrap() > 0.7, "{model}: {engines:?}");
        assert_eq!(engines.vus_pr, None);
    }
    // Two events a machine, of sixty and thirty rows; one channel of 38 at fault.
    let machine = figure(&found.rows, "smd", "machine-9-2", "max-abs-z").figures;
    assert_eq!((machine.events, machine.points), (Some(2.0), Some(1200.0)));
    assert_eq!((machine.hit_rate_100, machine.hit_rate_150), (Some(1.0), Some(1.0)));

    let text = found.to_markdown();
    assert!(text.contains("cloudops evaluate sensor --data DIR --quick"), "{text}");
    assert!(text.contains("skab: 1 experiments"), "{text}");
    let committed = include_str!("../evaluation/sensor.md");
    let shared = found.notes.iter().filter(|note| committed.contains(note.as_str())).count();
    assert_eq!(shared, 5, "the committed report describes another set-up: regenerate it");
    let json: Vec<Row> = serde_json::from_str(&found.to_json()).unwrap();
    assert_eq!(json, found.rows);
}

#[test]
fn figures_do_not_depend_on_the_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    smd(&dir.path().join("smd"));
    let run = |threads: usize| {
        let options = Options {
            quick: true,
            threads,
            models: vec![Architecture::VaeCnn, Architecture::VaeTransformer],
            ..Options::default()
        };
        evaluate_sensor(dir.path(), &options, &mut Silent).unwrap()
    };
    assert_eq!(run(1), run(2));
}

#[test]
fn directories_without_what_is_asked_for_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refusal = |options: &Options| {
        evaluate_sensor(dir.path(), options, &mut Silent).unwrap_err().to_string()
    };
    assert!(refusal(&Options::default()).contains("holds none of smd, skab, nab, cmapss"));
    smd(&dir.path().join("smd"));
    let nab_too = Options { sets: vec![SensorSet::Smd, SensorSet::Nab], ..Options::default() };
    assert!(refusal(&nab_too).contains("no nab data"));
    std::fs::remove_file(dir.path().join("smd/test_label/machine-9-1.txt")).unwrap();
    assert!(refusal(&Options::default()).contains("machine-9-1"));
}

/// The real sets, where the environment says they are; else the test is skipped.
fn real() -> Option<std::path::PathBuf> {
    let dir = std::env::var_os("CLOUDOPS_DATASETS");
    if dir.is_none() {
        eprintln!("skipped: CLOUDOPS_DATASETS is not set");
    }
    dir.map(Into::into)
}

#[test]
fn real_sets_are_read_and_judged() {
    let Some(dir) = real() else { return };
    let models = vec![Architecture::MaxAbsZ];
    let options = Options { quick: true, models, ..Options::default() };
    let found = evaluate_sensor(&dir, &options, &mut Silent).unwrap();
    for set in SensorSet::ALL {
        let mean = figure(&found.rows, set.name(), MEAN, "max-abs-z").figures;
        assert!(mean.points.unwrap() > 500.0, "{set}: {mean:?}");
        assert!(mean.fpr_static.is_some() && mean.fpr_adaptive.is_some(), "{set}: {mean:?}");
    }
    let machine = found.rows.iter().find(|row| row.set == "smd").unwrap();
    assert!(machine.figures.hit_rate_100.unwrap() > 0.3, "{machine:?}");
}

#[test]
fn the_committed_report_is_what_its_rows_say() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("evaluation");
    let read = |file: &str| std::fs::read_to_string(dir.join(file)).unwrap();
    let report = read("sensor.md");
    let notes = report.split("## How\n\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let committed = Evaluation {
        rows: serde_json::from_str(&read("sensor.json")).unwrap(),
        notes: notes.lines().map(|note| note.trim_start_matches("- ").to_owned()).collect(),
        command: "cloudops evaluate sensor --data DIR".to_owned(),
    };
    assert_eq!(committed.to_markdown(), report);
    assert_eq!(committed.to_json(), read("sensor.json"));
    for (file, chart) in committed.charts() {
        assert_eq!(chart.to_svg(), read(&file), "{file}");
    }
}

#[test]
#[ignore = "takes ten minutes; regenerates models/evaluation from the real sets"]
fn the_committed_report() {
    let dir = real().expect("CLOUDOPS_DATASETS names the real sets");
    let found = evaluate_sensor(&dir, &Options::default(), &mut Silent).unwrap();
    found.write(&Path::new(env!("CARGO_MANIFEST_DIR")).join("evaluation")).unwrap();
}
