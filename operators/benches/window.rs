//! Window alone, then window and feature together: 1,000 entities, 14 channels, 30 rows every 5.
//!
//! `cargo bench --workspace --bench window -- [rows]`, 2 million rows unless told. Rows
//! come step by step, entity by entity, 1 % of them 1 to 5 steps late, in batches of 16,384.

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use cloudops_operators::epoch::Partition;
use cloudops_operators::feature::sensor::{Features, Statistic};
use cloudops_operators::schema::sensor::schema;
use cloudops_operators::watermark::{Judge, Watermark};
use cloudops_operators::window::{Channels, Window, WindowSpec};
use cpu_time::ThreadTime;

const ENTITIES: u64 = 1_000;
const CHANNELS: usize = 14;
const BATCH: usize = 16_384;
const STEP_US: i64 = 1_000_000;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let rows = arguments.find_map(|argument| argument.parse().ok()).unwrap_or(2_000_000);
    let six = [
        Statistic::Mean,
        Statistic::Std,
        Statistic::Min,
        Statistic::Max,
        Statistic::Slope,
        Statistic::Rms,
    ];
    let mut eleven = six.to_vec();
    eleven.extend([Statistic::Kurtosis, Statistic::BandEnergy(4)]);
    let input = Input::new(rows);
    report("push and settle only", &input, 100_000, None);
    report("window", &input, 5, None);
    report("window, 6 statistics", &input, 5, Some(six.to_vec()));
    report("window, 7 statistics and 4 bands", &input, 5, Some(eleven));
}

/// Runs the whole input through the operators three times and prints the best.
fn report(name: &str, input: &Input, hop: u32, statistics: Option<Vec<Statistic>>) {
    let features = statistics.map(|list| Features::new(list, CHANNELS).expect("valid"));
    let mut best = u64::MAX;
    let mut windows = 0;
    for _ in 0..3 {
        let begin = ThreadTime::now();
        windows = run(input, hop, features.as_ref());
        best = best.min(begin.elapsed().as_nanos() as u64);
    }
    let rows = input.rows as f64;
    #[allow(clippy::print_stdout, reason = "a bench prints its result")]
    {
        println!(
            "{name}: {:.1} ns/row, {:.2} M rows per CPU second, {windows} windows",
            best as f64 / rows,
            rows * 1e3 / best as f64
        );
    }
}

fn run(input: &Input, hop: u32, features: Option<&Features>) -> u64 {
    let spec = WindowSpec::Count { length: 30, hop };
    let channels = Channels::new(&input.channels).expect("there are channels");
    let mut window = Window::new(spec, channels).expect("valid");
    let mut windows = 0;
    let mut take = |batch: RecordBatch| {
        windows += batch.num_rows() as u64;
        if let Some(features) = features {
            black_box(features.append(&batch)?);
        }
        Ok(())
    };
    for (batch, watermark) in &input.batches {
        window.push(Partition(0), batch, None).expect("the reader's schema");
        window.advance(*watermark, &mut take).expect("windows fit");
    }
    window.advance(Watermark::MAX, &mut take).expect("windows fit");
    assert_eq!(window.take_duplicates(), []);
    windows
}

/// The input, with the watermark after each batch.
struct Input {
    channels: Vec<String>,
    rows: usize,
    batches: Vec<(RecordBatch, Watermark)>,
}

impl Input {
    fn new(rows: usize) -> Self {
        let channels: Vec<String> = (0..CHANNELS).map(|c| format!("ch_{c:02}")).collect();
        let steps = rows as u64 / ENTITIES;
        let mut order = Vec::with_capacity(rows);
        for step in 0..steps {
            for entity in 0..ENTITIES {
                let chance = mix(step * ENTITIES + entity);
                let delay = if chance.is_multiple_of(100) { 1 + chance / 100 % 5 } else { 0 };
                // Directly after the same entity's own row of the later step.
                order.push((step + delay, entity, delay > 0, step));
            }
        }
        order.sort_unstable();
        let mut judge = Judge::new(6 * STEP_US);
        let mut late = Vec::new();
        let batches = order.chunks(BATCH).enumerate().map(|(at, rows)| {
            let times: Vec<i64> = rows
                .iter()
                .map(|(_, entity, _, step)| *step as i64 * STEP_US + *entity as i64 * 1_000)
                .collect();
            judge.judge(&times, &mut late);
            let names = rows.iter().map(|(_, entity, _, _)| format!("machine-{entity:04}"));
            let offsets = (at * BATCH) as u64..(at * BATCH + rows.len()) as u64;
            let mut columns: Vec<ArrayRef> = vec![
                Arc::new(StringArray::from_iter_values(names)),
                Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
                Arc::new(UInt64Array::from_iter_values(offsets)),
            ];
            for channel in 0..CHANNELS as u64 {
                let value = |(_, entity, _, step): &(u64, u64, bool, u64)| {
                    let noise = mix((step * ENTITIES + entity) * CHANNELS as u64 + channel);
                    (noise % 10_000) as f32 * 0.01 + channel as f32 * 10.0
                };
                columns.push(Arc::new(Float32Array::from_iter_values(rows.iter().map(value))));
            }
            let batch = RecordBatch::try_new(schema(&channels), columns).expect("the schema");
            (batch, judge.watermark())
        });
        let batches = batches.collect();
        assert!(late.is_empty(), "the lateness allowed covers the disorder");
        Self { rows: order.len(), batches, channels }
    }
}

/// A number that looks random (the finaliser of splitmix64).
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}
