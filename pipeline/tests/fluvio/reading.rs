//! Every record once and in order, whatever happens; and a hard stop where that cannot be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use arrow::array::AsArray;
use arrow::datatypes::{Float32Type, UInt64Type};
use cloudops_datasets::Format;
use cloudops_operators::seeded::SplitMix64;
use cloudops_pipeline::source::fluvio::{TopicSpec, find, spawn};
use cloudops_pipeline::source::partition::Event;
use crossbeam_channel::Receiver;
use fluvio::Compression;
use fluvio_protocol::record::Record;

use crate::broker::{Fault, Faults};
use crate::cluster::{TestCluster, batch};

/// Records in the large test.
const MILLION: u64 = 1_000_000;

fn format() -> Format {
    let text = r#"{"format": "sensor-wide",
        "mapping": {"time": "t", "time_format": "ms", "channels": ["a"]}}"#;
    serde_json::from_str(text).unwrap()
}

/// The record at an offset says so itself.
fn record(offset: u64) -> Record {
    Record::new_key_value("pump", format!(r#"{{"t":{offset},"a":{offset}}}"#))
}

fn records(from: u64, to: u64) -> Vec<Record> {
    (from..to).map(record).collect()
}

impl TestCluster {
    fn spec(&self, topic: &str, from: u64, end: Option<u64>) -> TopicSpec {
        TopicSpec {
            cluster: self.cluster(),
            address: self.parsed(topic).with_partition(0),
            format: format(),
            columns: None,
            from,
            end,
            fetch_bytes: 64 << 10,
            bytes_read: Arc::default(),
            cpu_nanos: Arc::default(),
        }
    }

    fn read(&self, topic: &str, from: u64, end: Option<u64>) -> Receiver<Event> {
        spawn(topic.to_owned(), self.spec(topic, from, end), Arc::default()).unwrap()
    }

    /// Appends what [`record`] makes, in batches of various sizes; every so often one that no first
    /// response holds.
    fn fill(&self, topic: &str, to: u64) {
        let mut random = SplitMix64::new(7);
        let (mut next, mut batches) = (0, 0);
        while next < to {
            let count = if batches % 40 == 39 { 6_000 } else { 1 + random.bits() % 2_000 };
            let end = to.min(next + count);
            self.produce(topic, 0, records(next, end));
            next = end;
            batches += 1;
        }
    }
}

/// Checks that what comes is the records from one offset to another, each once and in order; gives
/// whether the partition has ended then.
fn expect(events: &Receiver<Event>, from: u64, to: u64) -> bool {
    expect_with(events, from, to, |_| {})
}

/// The same; `before` is told what is next, each time before more is taken.
fn expect_with(events: &Receiver<Event>, from: u64, to: u64, mut before: impl FnMut(u64)) -> bool {
    let mut next = from;
    while next < to {
        before(next);
        let chunk = match events.recv().unwrap() {
            Event::Chunk(chunk) => chunk,
            Event::Ended | Event::FileEnd => panic!("ended at {next}"),
            Event::Failed(error) => panic!("at {next}: {error:#}"),
        };
        assert!(chunk.batch.rejects.is_empty(), "{:?}", chunk.batch.rejects[0]);
        assert_eq!(chunk.batch.first_offset, next);
        let rows = &chunk.batch.rows;
        assert_eq!(rows.num_rows() as u64, chunk.batch.records);
        let offsets = rows["offset"].as_primitive::<UInt64Type>().values();
        let values = rows["a"].as_primitive::<Float32Type>().values();
        for (offset, value) in offsets.iter().zip(values) {
            assert_eq!((*offset, *value), (next, next as f32));
            next += 1;
        }
    }
    assert_eq!(next, to);
    matches!(events.try_recv(), Ok(Event::Ended)) || matches!(events.recv(), Ok(Event::Ended))
}

/// The error that reading ends with.
fn failure(events: &Receiver<Event>) -> String {
    loop {
        match events.recv().unwrap() {
            Event::Chunk(_) => {}
            Event::Ended | Event::FileEnd => panic!("it ended well"),
            Event::Failed(error) => return format!("{error:#}"),
        }
    }
}

#[test]
fn a_million_records_come_once_and_in_order_while_brokers_restart() {
    let (cluster, broker) = TestCluster::in_process();
    let topic = cluster.topic("million", 1);
    cluster.fill(&topic, MILLION);
    let kinds = vec![Fault::Disconnect, Fault::BreakOff, Fault::Move, Fault::Restart];
    broker.state().faults = Faults { every: 5, kinds, ..Faults::default() };
    let begin = Instant::now();
    assert!(expect(&cluster.read(&topic, 0, Some(MILLION)), 0, MILLION));
    let state = broker.state();
    println!(
        "{MILLION} records in {:.1} s: {} responses, {} cut within a batch, {} faults, {} times misled",
        begin.elapsed().as_secs_f64(),
        state.responses,
        state.cut,
        state.struck,
        state.misled
    );
    assert!(state.cut > 50 && state.struck > 20 && state.misled > 5, "the faults have struck");
}

#[test]
fn a_million_records_come_once_and_in_order_while_real_brokers_restart() {
    let Some((cluster, mut restarts)) = TestCluster::restarting() else { return };
    let topic = cluster.topic("million", 1);
    cluster.fill(&topic, MILLION);
    let begin = Instant::now();
    // Far more than a reader runs ahead by: it meets every restart.
    let every = 50_000;
    let events = cluster.read(&topic, 0, Some(MILLION));
    assert!(expect_with(&events, 0, MILLION, |next| {
        if next / every > restarts.begun {
            restarts.next();
        }
    }));
    restarts.wait();
    println!(
        "{MILLION} records in {:.1} s with {} restarts",
        begin.elapsed().as_secs_f64(),
        restarts.begun
    );
    assert_eq!(restarts.begun, MILLION / every - 1);
}

#[test]
fn many_records_come_once_and_in_order() {
    let cluster = TestCluster::any();
    let topic = cluster.topic("many", 1);
    cluster.fill(&topic, 200_000);
    let begin = Instant::now();
    assert!(expect(&cluster.read(&topic, 0, Some(200_000)), 0, 200_000));
    println!("200000 records in {:.2} s", begin.elapsed().as_secs_f64());
    // From the middle of a batch on, and to the middle of another.
    assert!(expect(&cluster.read(&topic, 123_457, Some(150_001)), 123_457, 150_001));
}

#[test]
fn a_topic_is_followed() {
    let cluster = TestCluster::any();
    let topic = cluster.topic("followed", 1);
    let stop = Arc::new(AtomicBool::new(false));
    let spec = cluster.spec(&topic, 0, None);
    let events = spawn(topic.clone(), spec, Arc::clone(&stop)).unwrap();
    let mut next = 0;
    for to in [1, 2, 1_000, 1_001] {
        cluster.produce(&topic, 0, records(next, to));
        while next < to {
            let Event::Chunk(chunk) = events.recv().unwrap() else { panic!("it does not go on") };
            assert_eq!(chunk.batch.first_offset, next);
            next += chunk.batch.records;
        }
    }
    stop.store(true, Ordering::Relaxed);
    assert!(events.recv().is_err(), "told to stop, it says nothing more");
}

#[test]
fn compressed_batches_are_read() {
    let (cluster, broker) = TestCluster::in_process();
    let topic = cluster.topic("compressed", 1);
    let all = [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
    for (at, compression) in (0..).zip(all) {
        broker.append(&topic, 0, batch(records(at * 1_000, (at + 1) * 1_000), compression));
    }
    assert!(expect(&cluster.read(&topic, 0, Some(4_000)), 0, 4_000));
}

#[test]
fn every_partition_of_a_topic_is_found() {
    let cluster = TestCluster::any();
    let topic = cluster.topic("three", 3);
    cluster.produce(&topic, 1, records(0, 5));
    let found = find(&cluster.cluster(), &cluster.parsed(&topic)).unwrap();
    let ends: Vec<_> =
        found.iter().map(|(address, offsets)| (address.partition, offsets.end)).collect();
    assert_eq!(ends, [(Some(0), 0), (Some(1), 5), (Some(2), 0)]);
    let error = find(&cluster.cluster(), &cluster.parsed("no-such-topic")).unwrap_err();
    assert!(format!("{error:#}").contains("no topic \"no-such-topic\""), "{error:#}");
    let three = cluster.parsed(&topic).with_partition(3);
    let error = find(&cluster.cluster(), &three).unwrap_err();
    assert!(format!("{error:#}").contains("no partition 3"), "{error:#}");
}

#[test]
fn a_stream_that_falls_silent_is_opened_again() {
    let (cluster, broker) = TestCluster::in_process();
    let topic = cluster.topic("silent", 1);
    for at in 0..3 {
        // One of them fills more than half of a response.
        cluster.produce(&topic, 0, records(at * 1_500, (at + 1) * 1_500));
    }
    broker.state().faults = Faults { every: 2, kinds: vec![Fault::Silence], ..Faults::default() };
    assert!(expect(&cluster.read(&topic, 0, Some(4_500)), 0, 4_500));
    assert_eq!(broker.state().struck, 1, "the fault has struck");
}

#[test]
fn what_was_evicted_is_no_silent_gap() {
    let (cluster, broker) = TestCluster::in_process();
    let topic = cluster.topic("evicted", 1);
    for at in 0..40 {
        cluster.produce(&topic, 0, records(at * 1_000, (at + 1) * 1_000));
    }
    // Evicted while it is read: what has come is good, and then it stops.
    let events = cluster.read(&topic, 0, None);
    let Event::Chunk(first) = events.recv().unwrap() else { panic!("no records") };
    assert_eq!(first.batch.first_offset, 0);
    broker.evict(&topic, 0, 39_000);
    let error = failure(&events);
    assert!(error.contains("cannot be had any more") && error.contains(&topic), "{error}");
    // Evicted before.
    let error = failure(&cluster.read(&topic, 2_000, None));
    assert!(error.contains("now begins at 39000: records 2000 to 38999 were evicted"), "{error}");
    assert!(expect(&cluster.read(&topic, 39_000, Some(40_000)), 39_000, 40_000));
}

#[test]
fn what_is_appended_behind_the_end_is_left_alone() {
    let cluster = TestCluster::any();
    let topic = cluster.topic("grows", 1);
    for at in 0..4 {
        cluster.produce(&topic, 0, records(at * 3, (at + 1) * 3));
    }
    // One response holds all of it, whichever record was the last when the reader began.
    for end in 1..=12 {
        assert!(expect(&cluster.read(&topic, 0, Some(end)), 0, end));
    }
}

#[test]
fn a_log_that_ends_before_the_next_record_is_another_log() {
    let cluster = TestCluster::any();
    let topic = cluster.topic("short", 1);
    cluster.produce(&topic, 0, records(0, 10));
    let error = failure(&cluster.read(&topic, 11, None));
    assert!(error.contains("record 11 is next, and the topic ends at 10"), "{error}");
}

#[test]
fn a_reader_runs_ahead_of_the_plan_only_so_far() {
    let (cluster, broker) = TestCluster::in_process();
    let topic = cluster.topic("ahead", 1);
    for at in 0..100 {
        cluster.produce(&topic, 0, records(at * 1_000, (at + 1) * 1_000));
    }
    let events = cluster.read(&topic, 0, Some(100_000));
    let (mut next, mut chunks) = (0, 0);
    while next < 100_000 {
        let Event::Chunk(chunk) = events.recv().unwrap() else { panic!("no records") };
        next += chunk.batch.records;
        chunks += 1;
        // In the channel, in the reader's hands, and sent ahead of the acknowledgement.
        let responses = broker.state().responses;
        assert!(responses <= chunks + 7, "{responses} responses for {chunks} chunks taken");
    }
}
