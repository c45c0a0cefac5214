//! Data drift against scipy, river and numpy; its laws; its run length; real drift.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and tells its figures"
)]

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Float32Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt32Array, UInt64Array,
};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Field, Schema};
use cloudops_operators::data_drift::{
    Adwin, DriftConfig, DriftJudge, DriftPartial, Fourier, Judged, PageHinkley, PeriodPartial,
    population_stability_index, wasserstein,
};
use cloudops_operators::key::{SHARDS, Shard};
use cloudops_operators::schema::{self, result, vector_array};
use cloudops_operators::score::{ModelId, ModelInfo};
use cloudops_operators::snapshot::{Extent, Snapshot};
use cloudops_operators::watermark::Watermark;

/// A seeded stream of numbers (xorshift), for simulated data and for shuffling.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// About standard normal: the sum of twelve uniform numbers.
    fn normal(&mut self) -> f32 {
        let sum: f64 = (0..12).map(|_| (self.next() >> 11) as f64 / (1u64 << 53) as f64).sum();
        (sum - 6.0) as f32
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, (self.next() % (i as u64 + 1)) as usize);
        }
    }
}

fn info(version: &str) -> ModelInfo {
    ModelInfo {
        id: ModelId { name: "m".to_owned(), version: version.to_owned() },
        channels: vec!["a".to_owned(), "b".to_owned()],
        steps: 1,
        latents: 2,
        weights: None,
        score_quantiles: Vec::new(),
        channel_mean: Vec::new(),
        channel_std: Vec::new(),
        entities: vec![],
    }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("f{i}")).collect()
}

/// One judged window: entity, end, features, error.
type Row = (String, i64, Vec<f32>, f32);

/// Rows as the batch that threshold gives. Latent and channel errors follow from the features.
fn judged(rows: &[Row]) -> RecordBatch {
    let width = rows[0].2.len();
    let time = |after: i64| -> ArrayRef {
        let times = rows.iter().map(|row| row.1 + after);
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
    };
    let offsets = || -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.1 as u64)))
    };
    let errors =
        || -> ArrayRef { Arc::new(Float32Array::from_iter_values(rows.iter().map(|row| row.3))) };
    let pair = |scale: f32| -> ArrayRef {
        let values = rows.iter().flat_map(|row| [row.2[0] * scale, row.2[width - 1]]);
        Arc::new(vector_array(2, values.collect()))
    };
    let features = rows.iter().flat_map(|row| row.2.iter().copied()).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        (schema::ENTITY_ID, Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.0)))),
        (result::WINDOW_START, time(-10)),
        (result::WINDOW_END, time(0)),
        (result::PARTITION, Arc::new(UInt32Array::from(vec![3; rows.len()]))),
        (result::OFFSET_FROM, offsets()),
        (result::OFFSET_TO, offsets()),
        (result::ROWS, Arc::new(UInt32Array::from(vec![11; rows.len()]))),
        (result::FEATURES, Arc::new(vector_array(width, features))),
        (result::SCORE, errors()),
        (result::RECONSTRUCTION_ERROR, errors()),
        (result::LATENT, pair(0.5)),
        (result::CHANNEL_ERROR, pair(1.0)),
        (
            result::ANOMALY,
            Arc::new(rows.iter().map(|row| Some(row.3 > 3.0)).collect::<BooleanArray>()),
        ),
    ];
    let field =
        |(name, array): &(&str, ArrayRef)| Field::new(*name, array.data_type().clone(), true);
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns.into_iter().map(|c| c.1).collect()).unwrap()
}

const PERIOD_US: i64 = 1_000_000;

fn config() -> DriftConfig {
    DriftConfig { period_s: 1, ..DriftConfig::default() }
}

/// A period of windows around a mean.
fn period(
    seeded: &mut Seeded,
    number: i64,
    windows: usize,
    features: usize,
    mean: f32,
) -> Vec<Row> {
    (0..windows)
        .map(|i| {
            let end = number * PERIOD_US + (i as i64 * PERIOD_US / windows as i64);
            let values: Vec<f32> = (0..features).map(|_| seeded.normal() + mean).collect();
            let error = (seeded.normal() + mean).abs();
            (format!("e{}", i % 17), end, values, error)
        })
        .collect()
}

/// One worker, whole periods at a time.
fn run(config: &DriftConfig, periods: impl Iterator<Item = Vec<Row>>) -> Vec<Judged> {
    let mut judge = DriftJudge::new(config.clone()).unwrap();
    let mut partial = None;
    let mut found = Vec::new();
    for rows in periods {
        let features = rows[0].2.len();
        let partial = partial
            .get_or_insert_with(|| DriftPartial::new(config.clone(), names(features)).unwrap());
        partial.observe(&judged(&rows), &info("1")).unwrap();
        let end = (rows[0].1.div_euclid(config.period_us()) + 1) * config.period_us();
        found.push(judge.judge(partial.take_closed(Watermark(end))).unwrap());
    }
    found
}

#[test]
fn statistics_equal_those_of_scipy_river_and_numpy() {
    let floats = |text: &str| -> Vec<f64> { text.split(';').map(|x| x.parse().unwrap()).collect() };
    let mut lines = 0;
    for line in include_str!("golden/drift.csv").lines() {
        lines += 1;
        let fields: Vec<&str> = line.split(',').collect();
        let (parameters, values) = (floats(fields[1]), floats(fields[2]));
        let want = floats(fields[3]);
        let split = || {
            let (a, b) = values.split_at(parameters[0] as usize);
            let sorted = |part: &[f64]| {
                let mut part: Vec<f32> = part.iter().map(|x| *x as f32).collect();
                part.sort_unstable_by(f32::total_cmp);
                part
            };
            (sorted(a), sorted(b))
        };
        match fields[0] {
            "wasserstein" => {
                let (a, b) = split();
                let found = wasserstein(&a, &b);
                assert!((found - want[0]).abs() < 1e-6, "{line}: {found}");
            }
            "psi" => {
                let (a, b) = split();
                let quantile = |tenth: usize| {
                    let at = (a.len() - 1) as f64 * tenth as f64 / 10.0;
                    let low = at.floor() as usize;
                    let (x, y) = (f64::from(a[low]), f64::from(a[(low + 1).min(a.len() - 1)]));
                    x + (y - x) * (at - low as f64)
                };
                let mut edges: Vec<f64> = (1..10).map(quantile).collect();
                edges.dedup();
                let found = population_stability_index(&a, &b, &edges);
                assert!((found - want[0]).abs() < 1e-6, "{line}: {found}");
            }
            "mmd" => {
                let dimensions = parameters[1] as usize;
                let (x, y) = values.split_at(parameters[0] as usize * dimensions);
                let fourier = Fourier::new(dimensions, 4096, 1);
                let found = Fourier::discrepancy(&fourier.embed(x), &fourier.embed(y));
                // Random features estimate the kernel: four thousand of them to a hundredth.
                assert!((found - want[0]).abs() < 0.01 * (1.0 + want[0]), "{}: {found}", want[0]);
            }
            "adwin" => {
                let mut adwin = Adwin::new(parameters[0], parameters[1] as u64);
                let mut found = Vec::new();
                let mut detected = false;
                for (at, value) in values.iter().enumerate() {
                    if std::mem::take(&mut detected) {
                        // River forgets everything after a detection, not the old part alone.
                        adwin = Adwin::new(parameters[0], parameters[1] as u64);
                    }
                    detected = adwin.update(*value).is_some_and(|cut| cut.effect > cut.limit);
                    if detected {
                        found.push(at as f64);
                    }
                }
                found.push(adwin.width() as f64);
                assert_eq!(found, want, "adwin {parameters:?}");
            }
            "page_hinkley" => {
                let mut test = PageHinkley::new(parameters[0]);
                let found = values.iter().position(|value| test.update(*value) > parameters[1]);
                assert_eq!(
                    found.map_or(-1.0, |at| at as f64),
                    want[0],
                    "page_hinkley {parameters:?}"
                );
            }
            other => unreachable!("no statistic {other}"),
        }
    }
    assert!(lines > 20);
}

#[test]
fn neither_order_nor_cuts_nor_workers_matter() {
    let config = DriftConfig { sample: 64, retrain_windows: 40, reference_periods: 5, ..config() };
    let mut seeded = Seeded(5);
    let periods: Vec<Vec<Row>> =
        (0..9).map(|n| period(&mut seeded, n, 150, 3, if n < 7 { 0.0 } else { 2.0 })).collect();
    let whole = run(&config, periods.iter().cloned());
    let rows = |judged: &[Judged]| {
        let rows: Vec<_> = judged.iter().filter_map(|judged| judged.rows.clone()).collect();
        concat_batches(&rows[0].schema(), &rows).unwrap()
    };
    let verdicts = |judged: &[Judged]| -> Vec<_> {
        judged.iter().flat_map(|judged| judged.verdicts.clone()).collect()
    };
    let retrain = verdicts(&whole).into_iter().find(|verdict| verdict.retrain).unwrap();
    assert_eq!(retrain.period_end_us, 9 * PERIOD_US, "the second period of patience");
    let sample = retrain.sample.unwrap();
    let ends = schema::times(&sample, result::WINDOW_END).unwrap();
    assert!(ends.is_sorted() && sample.num_rows() > 100);
    for workers in [1usize, 3, 8] {
        let batch = judged(&periods.concat());
        let mut order: Vec<u32> = (0..batch.num_rows() as u32).collect();
        seeded.shuffle(&mut order);
        let mut partials: Vec<DriftPartial> =
            (0..workers).map(|_| DriftPartial::new(config.clone(), names(3)).unwrap()).collect();
        for part in order.chunks(37) {
            let worker = (seeded.next() % workers as u64) as usize;
            let part = take_record_batch(&batch, &UInt32Array::from(part.to_vec())).unwrap();
            partials[worker].observe(&part, &info("1")).unwrap();
        }
        let mut judge = DriftJudge::new(config.clone()).unwrap();
        let mut found = Vec::new();
        for watermark in [2 * PERIOD_US + 1, 6 * PERIOD_US, i64::MAX] {
            let mut closed = Vec::new();
            for partial in &mut partials {
                let sent =
                    PeriodPartial::encode(&partial.take_closed(Watermark(watermark))).unwrap();
                closed
                    .extend(sent.map_or(Vec::new(), |sent| PeriodPartial::decode(&sent).unwrap()));
            }
            seeded.shuffle(&mut closed);
            found.push(judge.judge(closed).unwrap());
        }
        assert_eq!(rows(&found), rows(&whole), "{workers} workers");
        assert_eq!(verdicts(&found), verdicts(&whole), "{workers} workers");
    }
}

#[test]
fn a_restored_detector_goes_on_as_the_first_would_have() {
    let config = DriftConfig { sample: 64, reference_periods: 5, ..config() };
    let mut seeded = Seeded(9);
    let rows: Vec<Row> = (0..12)
        .flat_map(|n| period(&mut seeded, n, 120, 2, if n < 9 { 0.0 } else { 1.0 }))
        .collect();
    let step = |partial: &mut DriftPartial, judge: &mut DriftJudge, rows: &[Row]| {
        partial.observe(&judged(rows), &info("1")).unwrap();
        let watermark = Watermark(rows[rows.len() - 1].1);
        judge.judge(partial.take_closed(watermark)).unwrap()
    };
    for cut in [70, 300, 650, 1000, 1200, 1330] {
        let mut partial = DriftPartial::new(config.clone(), names(2)).unwrap();
        let mut judge = DriftJudge::new(config.clone()).unwrap();
        step(&mut partial, &mut judge, &rows[..cut]);
        let mut partial_again = DriftPartial::new(config.clone(), names(2)).unwrap();
        let mut judge_again = DriftJudge::new(config.clone()).unwrap();
        let mut held = 0;
        for shard in (0..SHARDS).map(|shard| Shard(shard as u8)) {
            if let Some(state) = partial.snapshot(shard, Extent::Whole).unwrap() {
                partial_again.restore(shard, &state).unwrap();
                assert_eq!(partial_again.snapshot(shard, Extent::Whole).unwrap().unwrap(), state);
                held += 1;
            }
            if let Some(state) = judge.snapshot(shard, Extent::Whole).unwrap() {
                judge_again.restore(shard, &state).unwrap();
                assert_eq!(judge_again.snapshot(shard, Extent::Whole).unwrap().unwrap(), state);
            }
        }
        assert!(held <= 1);
        for part in rows[cut..].chunks(101) {
            let want = step(&mut partial, &mut judge, part);
            assert_eq!(step(&mut partial_again, &mut judge_again, part), want, "cut at {cut}");
        }
    }
}

#[test]
fn a_new_version_starts_a_reference_of_its_own() {
    let config = DriftConfig { sample: 64, reference_periods: 5, ..config() };
    let mut seeded = Seeded(3);
    let mut partial = DriftPartial::new(config.clone(), names(2)).unwrap();
    let mut judge = DriftJudge::new(config).unwrap();
    let mut fired = Vec::new();
    for n in 0..24 {
        let mean = if n < 8 { 0.0 } else { 2.0 };
        let version = if n < 12 { "1" } else { "2" };
        let rows = period(&mut seeded, n, 100, 2, mean);
        partial.observe(&judged(&rows), &info(version)).unwrap();
        for verdict in
            judge.judge(partial.take_closed(Watermark((n + 1) * PERIOD_US))).unwrap().verdicts
        {
            fired.push((verdict.period_end_us / PERIOD_US - 1, verdict.fired, verdict.retrain));
        }
    }
    let judged: Vec<i64> = fired.iter().map(|verdict| verdict.0).collect();
    assert_eq!(judged, [5, 6, 7, 8, 9, 10, 11, 17, 18, 19, 20, 21, 22, 23]);
    let loud: Vec<i64> = fired.iter().filter(|v| v.1).map(|v| v.0).collect();
    assert_eq!(loud, [9, 10, 11], "after patience, until the version that knows the new level");
    let asked: Vec<i64> = fired.iter().filter(|v| v.2).map(|v| v.0).collect();
    assert_eq!(asked, [9], "asked once");
}

/// Alarms (runs of periods in which anything fires) on data whose law does not change, though
/// every period has a small shift of its own.
fn alarms(config: &DriftConfig, seed: u64, periods: i64) -> usize {
    let mut seeded = Seeded(seed);
    let stream = (0..periods).map(|n| {
        let mean = seeded.normal() * 0.03;
        period(&mut seeded, n, 128, 4, mean)
    });
    let mut before = false;
    let mut count = 0;
    for judged in run(config, stream.collect::<Vec<_>>().into_iter()) {
        for verdict in judged.verdicts {
            count += usize::from(verdict.fired && !before);
            before = verdict.fired;
        }
    }
    count
}

#[test]
fn stationary_data_raise_no_more_alarms_than_promised() {
    let least = DriftConfig { psi_min: 0.0, wasserstein_min: 0.0, mmd_min: 0.0, ..config() };
    let found: Vec<usize> = (1..=6).map(|seed| alarms(&least, seed * 7919, 1014)).collect();
    let promised = 6.0 * least.expected_false_alarms_per_1000_periods;
    println!("alarms in 1,000 stationary periods, by seed, no least effect: {found:?}");
    assert!(found.iter().sum::<usize>() as f64 <= promised, "{found:?}");
    let loose = DriftConfig { expected_false_alarms_per_1000_periods: 20.0, ..least };
    let found: Vec<usize> = (1..=3).map(|seed| alarms(&loose, seed * 104_729, 1014)).collect();
    println!("with 20 promised: {found:?}");
    assert!(found.iter().sum::<usize>() <= 60, "{found:?}");
}

/// Rows of a gzipped CSV of the data sets; `None` when there are no data sets here.
fn dataset(path: &str) -> Option<Vec<Vec<String>>> {
    let Some(root) = std::env::var_os("CLOUDOPS_DATASETS") else {
        println!("skipped: CLOUDOPS_DATASETS is not set");
        return None;
    };
    let file = std::fs::File::open(PathBuf::from(root).join(path)).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    Some(text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect())
}

/// The periods in which anything fired, and the statistics that did at the first.
fn fired(judged: &[Judged]) -> (Vec<i64>, Vec<String>) {
    let verdicts = judged.iter().flat_map(|judged| &judged.verdicts);
    let periods = verdicts.filter(|v| v.fired).map(|v| v.period_end_us / PERIOD_US - 1).collect();
    let mut first = Vec::new();
    for rows in judged.iter().filter_map(|judged| judged.rows.as_ref()) {
        let fired = rows.column_by_name("fired").unwrap().as_boolean();
        for row in 0..rows.num_rows() {
            if fired.value(row) && first.len() < 6 {
                let text =
                    |name: &str| rows.column_by_name(name).unwrap().as_string::<i32>().value(row);
                first.push(format!("{} {}", text("statistic"), text("feature")));
            }
        }
    }
    (periods, first)
}

/// A week of half hours is a period; features alone, no model.
#[test]
fn the_electricity_market_drifts_once_the_second_state_joins_it() {
    let Some(lines) = dataset("elec2_drift/elec_first_two_thirds.csv.gz") else { return };
    let rows: Vec<Vec<f32>> = lines[1..]
        .iter()
        .map(|line| line[..6].iter().map(|value| value.parse().unwrap()).collect())
        .collect();
    // Until half hour 17,424 the last three features (the neighbour's price and demand, and the
    // transfer between them) are not recorded and constant.
    let joined = rows.windows(2).position(|pair| pair[0][3] != pair[1][3]).unwrap() as i64 / 336;
    let stream = rows.chunks(336).enumerate().map(|(n, rows)| {
        let at = |i: usize| n as i64 * PERIOD_US + i as i64 * (PERIOD_US / 336);
        rows.iter()
            .enumerate()
            .map(|(i, row)| ("nsw".to_owned(), at(i), row.clone(), 1.0))
            .collect()
    });
    let config = DriftConfig { windows_min: 300, ..config() };
    let (periods, first) = fired(&run(&config, stream.collect::<Vec<Vec<Row>>>().into_iter()));
    println!("joined in week {joined}; fired in weeks {periods:?}; first {first:?}");
    assert!(periods.contains(&(joined + 2)) || periods.contains(&(joined + 1)));
    let after = periods.iter().filter(|week| **week > joined + 1).count() as i64;
    assert!(after >= 85 - joined, "{after} of {}", 90 - joined);
}

#[test]
fn gas_sensors_drift_over_three_years_but_not_within_a_shuffled_one() {
    let mut seeded = Seeded(11);
    let mut load = |batches: &[u32]| -> Option<Vec<Vec<f32>>> {
        let mut rows = Vec::new();
        for batch in batches {
            let lines = dataset(&format!("gas_sensor_drift/batch{batch}.dat.gz"))?;
            rows.extend(lines.iter().map(|line| {
                line[2..].iter().map(|value| value.trim().parse::<f32>().unwrap()).collect()
            }));
        }
        // The gases come one after the other: shuffled, their mix is the same in every period.
        seeded.shuffle(&mut rows);
        Some(rows)
    };
    let Some(early) = load(&[1, 2]) else { return };
    let late = load(&[4, 8]).unwrap();
    let size = 80;
    let control = early.len() / size;
    let chunks = early.chunks_exact(size).chain(late.chunks_exact(size));
    let stream = chunks.enumerate().map(|(n, rows)| {
        let at = |i: usize| n as i64 * PERIOD_US + i as i64;
        rows.iter()
            .enumerate()
            .map(|(i, row)| ("array".to_owned(), at(i), row.clone(), 1.0))
            .collect()
    });
    let (periods, first) = fired(&run(&config(), stream.collect::<Vec<Vec<Row>>>().into_iter()));
    println!("control until period {control}; fired in {periods:?}; first {first:?}");
    assert!(periods.iter().all(|period| *period >= control as i64));
    assert!(periods.contains(&(control as i64 + 1)), "in the second late period, after patience");
}
