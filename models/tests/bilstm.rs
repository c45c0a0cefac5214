//! The exported BiLSTM against the training backend, and what it learned.
#![cfg(feature = "train")]

use cloudops_models::forecast::bilstm::{BiLstm, PRETRAINED, Training, Window, train};
use cloudops_models::forecast::{Cadence, Forecaster, History};

fn short() -> Training {
    Training { steps: 12, batch: 64, ..Training::default() }
}

fn series(kind: usize, days: usize) -> Vec<f64> {
    let day = |at: usize| match kind {
        0 => 7.0,
        1 => 100.0 + (at % 7) as f64 * 10.0,
        2 => 1e6 * (1.0 + (at * 37 % 101) as f64 / 101.0),
        _ => {
            if at.is_multiple_of(3) {
                0.02
            } else {
                0.0
            }
        }
    };
    (0..days).map(day).collect()
}

#[test]
fn the_runtime_says_what_the_training_backend_says() {
    let learned = train(&short()).unwrap();
    let mut model = BiLstm::open(&learned.onnx).unwrap();
    let mut worst: f64 = 0.0;
    for kind in 0..4 {
        for days in [5, 50, 150] {
            let window = Window::of(&series(kind, days));
            let (ours, theirs) = (model.run(&window).unwrap(), learned.native(&window));
            for (ours, theirs) in ours.iter().zip(&theirs) {
                let size = theirs.iter().fold(0.0, |max: f32, v| max.max(v.abs()));
                for (a, b) in ours.iter().zip(theirs) {
                    worst = worst.max(f64::from((a - b).abs() / size));
                }
            }
        }
    }
    eprintln!("largest difference {worst:.2e} of the largest value");
    assert!(worst < 1e-5, "{worst:.2e}");
}

#[test]
fn equal_seeds_learn_equal_files() {
    let short = Training { steps: 3, ..short() };
    let (one, two) = (train(&short).unwrap(), train(&short).unwrap());
    assert!(one.onnx == two.onnx, "two trainings of one seed differ");
    assert!(train(&Training { seed: 2, ..short }).unwrap().onnx != one.onnx);
}

#[test]
fn quantiles_are_in_order_and_scale_with_the_series() {
    let learned = train(&short()).unwrap();
    let mut model = BiLstm::open(&learned.onnx).unwrap();
    let values = series(1, 120);
    let mut forecast =
        |values: &[f64]| model.forecast(&History::new(Cadence::Daily, 0, values), 90, 1).unwrap();
    let said = forecast(&values);
    assert_eq!((said.days.len(), said.totals.len()), (90, 90));
    assert!(said.days.iter().all(|day| day.p10 <= day.p50 && day.p50 <= day.p90));
    let tenfold = forecast(&values.iter().map(|value| 10.0 * value).collect::<Vec<_>>());
    for (one, ten) in said.days.iter().zip(&tenfold.days) {
        assert!((ten.p50 / one.p50 - 10.0).abs() < 1e-3, "{one:?} {ten:?}");
    }
    // Nothing before the window, and nothing after the origin, is looked at.
    let mut longer = vec![1e9; 30];
    longer.extend(&values);
    assert_eq!(forecast(&longer), said);
}

#[test]
fn the_model_that_ships_knows_a_week() {
    let values: Vec<f64> = (0..140).map(|day| 70.0 + f64::from(day % 7) * 10.0).collect();
    let history = History::new(Cadence::Daily, 0, &values);
    let mut model = BiLstm::open(PRETRAINED).unwrap();
    let ahead = model.forecast(&history, 30, 1).unwrap();
    for (at, day) in ahead.days.iter().take(14).enumerate() {
        let want = 70.0 + (at % 7) as f64 * 10.0;
        assert!((day.p50 - want).abs() < 0.1 * want, "{at}: {day:?}");
        assert!(day.p10 <= day.p50 && day.p50 <= day.p90, "{at}: {day:?}");
    }
}

#[test]
#[ignore = "a minute or two: learns the model that ships anew"]
fn the_model_that_ships_is_what_its_settings_give() {
    assert!(train(&Training::default()).unwrap().onnx == PRETRAINED);
}
