//! Each sensor statistic alone over windows of 30 rows of 14 channels.
//!
//! `cargo bench --workspace --bench feature`

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use cloudops_operators::feature::sensor::{Features, Statistic};
use cloudops_operators::schema::result::WINDOW;
use cloudops_operators::schema::vector_array;
use cpu_time::ThreadTime;

const STEPS: usize = 30;
const CHANNELS: usize = 14;
const WINDOWS: usize = 2_048;
/// Batches a measurement.
const REPEATS: usize = 50;

fn main() {
    let values = (0..WINDOWS * STEPS * CHANNELS).map(|i| (i * i % 9_973) as f32 * 0.01).collect();
    let array = vector_array(STEPS * CHANNELS, values);
    let windows =
        RecordBatch::try_from_iter([(WINDOW, Arc::new(array) as ArrayRef)]).expect("one column");
    let six = [
        Statistic::Mean,
        Statistic::Std,
        Statistic::Min,
        Statistic::Max,
        Statistic::Slope,
        Statistic::Rms,
    ];
    report(
        &windows,
        "mean, min, max, slope, rms",
        six.iter().copied().filter(|s| *s != Statistic::Std).collect(),
    );
    report(&windows, "the same and std", six.to_vec());
    for statistic in
        [Statistic::Mean, Statistic::Kurtosis, Statistic::Quantile(0.95), Statistic::BandEnergy(4)]
    {
        report(&windows, &format!("{statistic:?}"), vec![statistic]);
    }
}

fn report(windows: &RecordBatch, name: &str, statistics: Vec<Statistic>) {
    let features = Features::new(statistics, CHANNELS).expect("valid");
    let mut best = u64::MAX;
    for _ in 0..5 {
        let begin = ThreadTime::now();
        for _ in 0..REPEATS {
            black_box(features.append(black_box(windows)).expect("whole rows"));
        }
        best = best.min(begin.elapsed().as_nanos() as u64);
    }
    #[allow(clippy::print_stdout, reason = "a bench prints its result")]
    {
        println!("{name}: {:.3} µs a window", best as f64 / 1e3 / (WINDOWS * REPEATS) as f64);
    }
}
