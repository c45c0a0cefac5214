//! The first law, for windows and features: results are a function of the rows alone.
//!
//! However a stream is cut into batches and epochs, spread over workers, shuffled within an epoch
//! or interrupted by a restart, the same windows come out, to the bit; and they are those of a
//! plain recomputation from the definition.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Float32Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt64Array,
};
use arrow::datatypes::{Float32Type, UInt32Type, UInt64Type};
use cloudops_operators::epoch::{Offset, Partition};
use cloudops_operators::feature::sensor::{Features, Statistic};
use cloudops_operators::key::{SHARDS, Shard};
use cloudops_operators::schema::result::{
    FEATURES, OFFSET_FROM, OFFSET_TO, PARTITION, ROWS, WINDOW, WINDOW_END, WINDOW_START,
};
use cloudops_operators::schema::{ENTITY_ID, column, sensor, texts, times, vectors};
use cloudops_operators::snapshot::{Changes, Extent, Snapshot, chunks, restore};
use cloudops_operators::watermark::{Judge, Watermark};
use cloudops_operators::window::{Channels, Duplicate, Window, WindowSpec};
use proptest::prelude::*;

const CHANNELS: usize = 3;
const LATENESS_US: i64 = 20;

#[derive(Debug, Clone, PartialEq)]
struct Row {
    partition: u32,
    offset: u64,
    entity: String,
    ts: i64,
    values: [f32; CHANNELS],
}

/// Rows in order of arrival, with the watermark that holds once each has been judged.
#[derive(Debug, Clone)]
struct Stream {
    rows: Vec<(Row, Watermark)>,
}

/// A window as it came out, floats as bits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Out {
    entity: String,
    end: i64,
    start: i64,
    partition: u32,
    offsets: (u64, u64),
    rows: u32,
    values: Vec<u32>,
    features: Vec<u32>,
}

/// How a stream is put through the operators.
#[derive(Debug, Clone)]
struct Cut {
    /// Rows of each epoch in turn, over and over.
    epochs: Vec<usize>,
    workers: usize,
    /// Order in which a worker meets an epoch's rows: by partition, unless shuffled by this.
    shuffle: Option<u64>,
    /// After so many epochs the state moves to this many workers.
    restart: Option<(usize, usize)>,
}

const PLAIN: Cut = Cut { epochs: Vec::new(), workers: 1, shuffle: None, restart: None };

fn channels() -> Vec<String> {
    (0..CHANNELS).map(|channel| format!("ch_{channel}")).collect()
}

fn features() -> Features {
    let statistics = vec![
        Statistic::Mean,
        Statistic::Std,
        Statistic::Slope,
        Statistic::Kurtosis,
        Statistic::Quantile(0.5),
        Statistic::BandEnergy(2),
    ];
    Features::new(statistics, CHANNELS).unwrap()
}

fn batch(rows: &[&Row]) -> RecordBatch {
    let times: Vec<i64> = rows.iter().map(|row| row.ts).collect();
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.entity))),
        Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.offset))),
    ];
    for channel in 0..CHANNELS {
        let values = rows.iter().map(|row| row.values[channel]);
        columns.push(Arc::new(Float32Array::from_iter_values(values)));
    }
    RecordBatch::try_new(sensor::schema(&channels()), columns).unwrap()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Takes a window batch apart.
fn read(windows: &RecordBatch, out: &mut Vec<Out>) {
    let scored = features().append(windows).unwrap();
    let (vectors, width) = vectors(&scored, FEATURES).unwrap();
    let list = |row: usize| -> Vec<f32> {
        let window = column(windows, WINDOW).unwrap();
        let values = match window.as_list_opt::<i32>() {
            Some(list) => list.value(row),
            None => window.as_fixed_size_list().value(row),
        };
        values.as_primitive::<Float32Type>().values().to_vec()
    };
    let number = |name, row| column(windows, name).unwrap().as_primitive::<UInt64Type>().value(row);
    let small = |name, row| column(windows, name).unwrap().as_primitive::<UInt32Type>().value(row);
    for row in 0..windows.num_rows() {
        out.push(Out {
            entity: texts(windows, ENTITY_ID).unwrap().value(row).to_owned(),
            end: times(windows, WINDOW_END).unwrap()[row],
            start: times(windows, WINDOW_START).unwrap()[row],
            partition: small(PARTITION, row),
            offsets: (number(OFFSET_FROM, row), number(OFFSET_TO, row)),
            rows: small(ROWS, row),
            values: bits(&list(row)),
            features: bits(&vectors[row * width..][..width]),
        });
    }
}

fn workers(spec: WindowSpec, count: usize) -> Vec<Window<f32>> {
    (0..count).map(|_| Window::new(spec, Channels::new(&channels()).unwrap()).unwrap()).collect()
}

/// What has changed on all workers since it was last asked; at first, everything.
fn save(windows: &mut [Window<f32>], first: bool) -> Vec<RecordBatch> {
    let extent = if first { Extent::Whole } else { Extent::Changed };
    let mut saved = Vec::new();
    for window in windows {
        saved.extend(chunks(window, extent).map(Result::unwrap));
        window.saved();
        assert_eq!(window.changes().unwrap(), Changes { keys: window.entities(), changed: 0 });
    }
    saved
}

/// Moves the state that was saved to new workers, and checks that it arrives whole.
fn restart(
    spec: WindowSpec,
    old: &[Window<f32>],
    saved: &[Vec<RecordBatch>],
    count: usize,
) -> Vec<Window<f32>> {
    let mut new = workers(spec, count);
    for (index, window) in new.iter_mut().enumerate() {
        restore(window, saved, |shard| shard.worker(count) == index).unwrap();
    }
    for shard in (0..SHARDS).map(|shard| Shard(shard as u8)) {
        let state = old[shard.worker(old.len())].snapshot(shard, Extent::Whole).unwrap();
        let owner = &new[shard.worker(count)];
        assert_eq!(owner.snapshot(shard, Extent::Whole).unwrap(), state);
    }
    for window in old {
        let one_by_one = (0..=u8::MAX).map(Shard).filter_map(|shard| {
            let state = window.snapshot(shard, Extent::Whole).unwrap()?;
            Some((shard, state))
        });
        let in_one_pass = window.snapshots(Extent::Whole).map(Result::unwrap);
        assert!(in_one_pass.eq(one_by_one), "all shards in one pass");
    }
    let pending = |windows: &[Window<f32>]| windows.iter().map(Window::pending_rows).sum::<u64>();
    assert_eq!(pending(&new), pending(old));
    new
}

/// All windows by entity and end, and all duplicates, of a stream put through as the cut says.
fn run(stream: &Stream, spec: WindowSpec, cut: &Cut) -> (Vec<Out>, Vec<Duplicate>) {
    let mut windows = workers(spec, cut.workers);
    let (mut out, mut duplicates) = (Vec::new(), Vec::new());
    let (mut from, mut epoch) = (0, 0);
    let mut saved = Vec::new();
    while from < stream.rows.len() {
        let size =
            if cut.epochs.is_empty() { usize::MAX } else { cut.epochs[epoch % cut.epochs.len()] };
        let to = from.saturating_add(size.max(1)).min(stream.rows.len());
        let rows: Vec<&Row> = stream.rows[from..to].iter().map(|(row, _)| row).collect();
        push(&mut windows, &rows, cut.shuffle);
        for window in &mut windows {
            advance(window, stream.rows[to - 1].1, &mut out, &mut duplicates);
        }
        (from, epoch) = (to, epoch + 1);
        if let Some((after, count)) = cut.restart.filter(|(after, _)| epoch <= *after) {
            saved.push(save(&mut windows, saved.is_empty()));
            if epoch == after {
                windows = restart(spec, &windows, &saved, count);
            }
        }
    }
    for window in &mut windows {
        advance(window, Watermark::MAX, &mut out, &mut duplicates);
    }
    out.sort();
    duplicates.sort();
    (out, duplicates)
}

/// Gives each worker its rows, by selection from a partition's batch.
fn push(windows: &mut [Window<f32>], rows: &[&Row], shuffle: Option<u64>) {
    let mut batches: Vec<Vec<&Row>> = Vec::new();
    match shuffle {
        Some(seed) => {
            batches.extend(rows.iter().map(|row| vec![*row]));
            let place = |row: &Row| Shard::of(&format!("{seed} {} {}", row.partition, row.offset));
            batches.sort_by_key(|rows| place(rows[0]));
        }
        None => {
            let partitions: BTreeSet<u32> = rows.iter().map(|row| row.partition).collect();
            let of = |p: u32| rows.iter().copied().filter(|row| row.partition == p).collect();
            batches.extend(partitions.into_iter().map(of));
        }
    }
    let count = windows.len();
    for rows in batches {
        let records = batch(&rows);
        for (index, window) in windows.iter_mut().enumerate() {
            let mine = |at: &u32| Shard::of(&rows[*at as usize].entity).worker(count) == index;
            let selection: Vec<u32> = (0..rows.len() as u32).filter(mine).collect();
            let selection = (selection.len() < rows.len()).then_some(&selection[..]);
            window.push(Partition(rows[0].partition), &records, selection).unwrap();
        }
    }
}

/// Advances a worker; within an advance windows come by entity and end.
fn advance(
    window: &mut Window<f32>,
    watermark: Watermark,
    out: &mut Vec<Out>,
    duplicates: &mut Vec<Duplicate>,
) {
    let mut now = Vec::new();
    window
        .advance(watermark, |batch| {
            read(&batch, &mut now);
            Ok(())
        })
        .unwrap();
    assert!(now.is_sorted_by_key(|out: &Out| (out.entity.clone(), out.end)));
    out.append(&mut now);
    duplicates.append(&mut window.take_duplicates());
}

/// The windows by definition: sort everything, drop repeats, try every window there may be.
fn recompute(stream: &Stream, spec: WindowSpec) -> Vec<Out> {
    let mut entities: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for (row, _) in &stream.rows {
        entities.entry(&row.entity).or_default().push(row);
    }
    let mut out = Vec::new();
    for rows in entities.values_mut() {
        rows.sort_by_key(|row| (row.ts, row.partition, row.offset));
        rows.dedup_by_key(|row| row.ts);
        for (window, end) in cut_by_definition(rows, spec) {
            let last = window[window.len() - 1];
            let offsets: Vec<u64> = window
                .iter()
                .filter(|row| row.partition == last.partition)
                .map(|row| row.offset)
                .collect();
            let values: Vec<f32> = window.iter().flat_map(|row| row.values).collect();
            let mut alone = Vec::new();
            let array = cloudops_operators::schema::vector_array(values.len(), values.clone());
            let one = RecordBatch::try_from_iter([(WINDOW, Arc::new(array) as ArrayRef)]).unwrap();
            let one = features().append(&one).unwrap();
            alone.extend_from_slice(vectors(&one, FEATURES).unwrap().0);
            out.push(Out {
                entity: last.entity.clone(),
                end,
                start: window[0].ts,
                partition: last.partition,
                offsets: (*offsets.iter().min().unwrap(), *offsets.iter().max().unwrap()),
                rows: window.len() as u32,
                values: bits(&values),
                features: bits(&alone),
            });
        }
    }
    out.sort();
    out
}

fn cut_by_definition<'a>(rows: &[&'a Row], spec: WindowSpec) -> Vec<(Vec<&'a Row>, i64)> {
    let by_time = |duration: i64, hop: i64| {
        let first = rows[0].ts - duration;
        let first = first - first.rem_euclid(hop);
        (first..=rows[rows.len() - 1].ts)
            .step_by(hop as usize)
            .map(|start| {
                let inside = |row: &&&Row| (start..start + duration).contains(&row.ts);
                (rows.iter().filter(inside).copied().collect::<Vec<_>>(), start + duration)
            })
            .filter(|(rows, _)| !rows.is_empty())
            .collect()
    };
    match spec {
        WindowSpec::Count { length, hop } => rows
            .windows(length as usize)
            .step_by(hop as usize)
            .map(|rows| (rows.to_vec(), rows[rows.len() - 1].ts))
            .collect(),
        WindowSpec::Tumbling { duration_us } => by_time(duration_us, duration_us),
        WindowSpec::Sliding { duration_us, hop_us } => by_time(duration_us, hop_us),
        WindowSpec::Session { gap_us, max_duration_us } => {
            let mut sessions: Vec<(Vec<&Row>, i64)> = Vec::new();
            for row in rows {
                match sessions.last_mut() {
                    Some((session, end)) if row.ts < *end => {
                        session.push(row);
                        *end = (row.ts + gap_us).min(session[0].ts + max_duration_us);
                    }
                    _ => sessions.push((vec![row], row.ts + gap_us.min(max_duration_us))),
                }
            }
            sessions
        }
    }
}

prop_compose! {
    /// A stream over few entities and partitions, out of order within the lateness, with repeats.
    fn streams()(
        partitions in 1_u32..4,
        arrivals in prop::collection::vec(
            (0_u32..4, 0_u8..5, -30_i64..10, any::<[i16; CHANNELS]>()),
            1..250,
        ),
    ) -> Stream {
        let mut judges = vec![Judge::new(LATENESS_US); partitions as usize];
        let mut offsets = vec![0; partitions as usize];
        let mut rows = Vec::new();
        for (at, (partition, entity, jitter, values)) in arrivals.into_iter().enumerate() {
            let partition = partition % partitions;
            let (judge, offset) =
                (&mut judges[partition as usize], &mut offsets[partition as usize]);
            let ts = at as i64 * 2 + jitter;
            let mut late = Vec::new();
            judge.judge(&[ts], &mut late);
            *offset += 1;
            if late.is_empty() {
                rows.push(Row {
                    partition,
                    offset: *offset,
                    entity: format!("pump-{entity}"),
                    ts,
                    values: values.map(|value| f32::from(value) * 0.37),
                });
            }
        }
        Stream::judged(rows, partitions)
    }
}

impl Stream {
    /// Accepted rows with the watermark after each, over all partitions.
    fn judged(rows: Vec<Row>, partitions: u32) -> Self {
        let mut judges = vec![Judge::new(LATENESS_US); partitions as usize];
        let judged = rows.into_iter().map(|row| {
            judges[row.partition as usize].judge(&[row.ts], &mut Vec::new());
            let least = judges.iter().map(Judge::watermark).min().unwrap();
            (row, least)
        });
        Self { rows: judged.collect() }
    }
}

fn specs() -> impl Strategy<Value = WindowSpec> {
    prop_oneof![
        (1_u32..9, 1_u32..12).prop_map(|(length, hop)| WindowSpec::Count { length, hop }),
        (1_i64..60).prop_map(|duration_us| WindowSpec::Tumbling { duration_us }),
        (1_i64..60, 1_i64..80)
            .prop_map(|(duration_us, hop_us)| WindowSpec::Sliding { duration_us, hop_us }),
        (1_i64..40, 1_i64..120)
            .prop_map(|(gap_us, max_duration_us)| WindowSpec::Session { gap_us, max_duration_us }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn windows_are_those_of_the_definition(stream in streams(), spec in specs()) {
        let (out, duplicates) = run(&stream, spec, &PLAIN);
        prop_assert_eq!(out, recompute(&stream, spec));
        let times: BTreeSet<_> = stream.rows.iter().map(|(row, _)| (&row.entity, row.ts)).collect();
        prop_assert_eq!(duplicates.len(), stream.rows.len() - times.len());
    }

    #[test]
    fn how_a_stream_is_cut_never_shows(
        stream in streams(),
        spec in specs(),
        epochs in prop_oneof![Just(vec![1]), prop::collection::vec(1_usize..40, 1..6)],
        workers in 1_usize..5,
        shuffle in any::<Option<u64>>(),
        restart in any::<Option<(u8, u8)>>(),
    ) {
        let wanted = run(&stream, spec, &PLAIN);
        let restart =
            restart.map(|(after, count)| (1 + usize::from(after) % 20, 1 + usize::from(count) % 4));
        let cut = Cut { epochs, workers, shuffle, restart };
        prop_assert_eq!(run(&stream, spec, &cut), wanted, "{:?}", cut);
    }
}

#[test]
fn a_late_row_is_refused() {
    let spec = WindowSpec::Count { length: 2, hop: 1 };
    let mut window = workers(spec, 1).remove(0);
    let row = |ts| Row { partition: 0, offset: 0, entity: "a".to_owned(), ts, values: [0.0; 3] };
    window.push(Partition(0), &batch(&[&row(10)]), None).unwrap();
    window.advance(Watermark(11), |_| Ok(())).unwrap();
    let error = window.push(Partition(0), &batch(&[&row(10)]), None).unwrap_err();
    assert!(error.to_string().contains("no row older than the watermark 11"), "{error}");
}

#[test]
fn the_first_in_order_wins_over_its_repeats() {
    let spec = WindowSpec::Tumbling { duration_us: 10 };
    let mut window = workers(spec, 1).remove(0);
    let row = |partition, offset, value| Row {
        partition,
        offset,
        entity: "a".to_owned(),
        ts: 5,
        values: [value; 3],
    };
    window.push(Partition(1), &batch(&[&row(1, 0, 1.0)]), None).unwrap();
    window.push(Partition(0), &batch(&[&row(0, 9, 2.0), &row(0, 3, 3.0)]), None).unwrap();
    let mut out = Vec::new();
    let read = |batch: RecordBatch| {
        read(&batch, &mut out);
        Ok(())
    };
    window.advance(Watermark::MAX, read).unwrap();
    assert_eq!(out[0].values, bits(&[3.0; 3]));
    let duplicate = |partition, offset| Duplicate {
        entity_id: "a".to_owned(),
        ts: 5,
        partition: Partition(partition),
        offset: Offset(offset),
    };
    assert_eq!(window.take_duplicates(), [duplicate(0, 9), duplicate(1, 0)]);
    assert_eq!(window.pending_rows(), 0);
}

#[test]
fn a_snapshot_of_other_windows_is_refused() {
    let mut window = workers(WindowSpec::Count { length: 2, hop: 1 }, 1).remove(0);
    let row = Row { partition: 0, offset: 0, entity: "a".to_owned(), ts: 1, values: [0.0; 3] };
    window.push(Partition(0), &batch(&[&row]), None).unwrap();
    let shard = Shard::of("a");
    let state = window.snapshot(shard, Extent::Whole).unwrap().unwrap();
    let mut other = workers(WindowSpec::Count { length: 3, hop: 1 }, 1).remove(0);
    let error = other.restore(shard, &state).unwrap_err();
    assert!(error.to_string().starts_with("snapshot of window: written as"), "{error}");
}
