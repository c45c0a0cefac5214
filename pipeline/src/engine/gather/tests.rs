use std::time::Instant;

use arrow::array::{ArrayRef, Float32Array, StringArray, TimestampMicrosecondArray, UInt64Array};
use cloudops_datasets::ReadBatch;
use cloudops_operators::schema::OFFSET;
use crossbeam_channel::{Receiver, Sender, unbounded};
use proptest::prelude::*;

use super::*;
use crate::config::Config;
use crate::source::cursor::Judging;
use crate::source::partition::{Chunk, Event};

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;
const ROOM: Room = Room { records: 1 << 20, bytes: u64::MAX };

const JOB: &str = r#"
catalog = { url = "results" }
[[stream]]
name = "machines"
window = { kind = "count", length = 4, hop = 2 }
[stream.source]
path = ["a", "b", "c"]
watch = "1s"
idle_after = "1h"
lateness = "10s"
format = "sensor-wide"
mapping = { entity = "machine", time = "ts", channels = ["value"] }
"#;

fn stream() -> Arc<StreamJob> {
    let config: Config = toml::from_str(JOB).unwrap();
    Arc::clone(&config.validate(true).unwrap().streams[0])
}

/// A record of an event time.
fn record(stream: &StreamJob, offset: u64, ts: i64) -> Event {
    let schema = stream.format.schema();
    let ts = TimestampMicrosecondArray::from_value(ts, 1).with_timezone("UTC");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["machine"])),
        Arc::new(ts),
        Arc::new(UInt64Array::from_value(offset, 1)),
        Arc::new(Float32Array::from_value(1.0, 1)),
    ];
    assert_eq!(schema.field(2).name(), OFFSET);
    let rows = RecordBatch::try_new(schema, columns).unwrap();
    let batch = ReadBatch { first_offset: offset, records: 1, rows, rejects: Vec::new() };
    Event::Chunk(Chunk::new(&Arc::from("topic"), None, batch))
}

/// A stream's partitions, fed by hand.
struct Fed {
    gather: Gather,
    feeds: Vec<Sender<Event>>,
    /// Event times of each partition.
    brought: Vec<Vec<i64>>,
    now_us: i64,
}

impl Fed {
    fn new() -> Self {
        let stream = stream();
        let (feeds, events): (Vec<_>, Vec<_>) = (0..3).map(|_| unbounded()).unzip();
        let cursors = events.into_iter().enumerate().map(|(i, events)| cursor(&stream, i, events));
        let gather = Gather::new(Arc::clone(&stream), cursors.collect());
        Self { gather, feeds, brought: vec![Vec::new(); 3], now_us: 0 }
    }

    fn bring(&mut self, partition: usize, ts: i64) {
        let brought = &mut self.brought[partition];
        let event = record(&self.gather.stream, brought.len() as u64, ts);
        brought.push(ts);
        self.feeds[partition].send(event).unwrap();
    }

    /// The next epoch, after so much silence; `None` where there is no news.
    fn plan(&mut self, after_us: i64, follows: Option<Watermark>) -> Option<Share> {
        self.gather.gather(ROOM, Patience::Until(Instant::now())).unwrap();
        self.gather.listen(self.now_us);
        self.now_us += after_us;
        self.gather.listen(self.now_us);
        self.gather.has_news().then(|| self.gather.share(follows).unwrap())
    }

    /// The same partitions in another process, from where a checkpoint left them or from the beginning, with
    /// what keeps them open.
    fn again(&self, state: Option<&StreamState>) -> (Gather, Vec<Sender<Event>>) {
        let stream = stream();
        let mut feeds = Vec::new();
        let cursors = self.brought.iter().enumerate().map(|(i, brought)| {
            let state = state.map(|state| &state.partitions[i]);
            let (feed, events) = unbounded();
            let from = state.map_or(0, |state| state.next.0);
            for (offset, ts) in brought.iter().enumerate().skip(from as usize) {
                feed.send(record(&stream, offset as u64, *ts)).unwrap();
            }
            feeds.push(feed);
            match state {
                None => cursor(&stream, i, events),
                Some(state) => {
                    let judging = Judging::new(stream.kind, stream.lateness_us, None);
                    Cursor::resume(Partition(i as u32), events, judging, state)
                }
            }
        });
        let cursors: Vec<Cursor> = cursors.collect();
        let gather = match state {
            None => Gather::new(stream, cursors),
            Some(state) => Gather::resume(stream, cursors, state).unwrap(),
        };
        (gather, feeds)
    }
}

fn cursor(stream: &StreamJob, i: usize, events: Receiver<Event>) -> Cursor {
    let judging = Judging::new(stream.kind, stream.lateness_us, None);
    Cursor::new(Partition(i as u32), events, judging, 0)
}

/// What an epoch made of a partition's records: those on time, and those late with their watermark.
type Judged = (Vec<i64>, Vec<(i64, i64)>);

fn judged(share: &Share) -> Vec<Judged> {
    let of = |cut: &Cut| {
        let on_time = cut.rows.iter().flat_map(|batch| {
            let records = batch.records.as_ref().unwrap();
            let ts = times(records, TS).unwrap();
            selected(records, batch.selection.as_deref()).map(|row| ts[row]).collect::<Vec<_>>()
        });
        let late = cut.late.iter().map(|(rows, mark)| (times(rows, TS).unwrap()[0], mark.0));
        (on_time.collect(), late.collect())
    };
    share.cuts.iter().map(of).collect()
}

fn idle(share: &Share) -> Vec<u32> {
    share.plans.iter().filter(|plan| plan.idle).map(|plan| plan.partition.0).collect()
}

#[test]
fn a_partition_that_is_silent_for_long_is_waited_for_no_more() {
    let mut fed = Fed::new();
    fed.bring(0, 100 * SECOND);
    fed.bring(1, 50 * SECOND);
    let first = fed.plan(0, None).unwrap();
    assert_eq!(
        (first.watermark, idle(&first)),
        (Watermark::MIN, vec![]),
        "nobody knows of the third"
    );
    assert!(fed.plan(HOUR - 1, None).is_none(), "it may still come");
    for (partition, ts) in [(0, 110), (1, 60)] {
        fed.bring(partition, ts * SECOND);
    }
    let second = fed.plan(1, None).unwrap();
    assert_eq!((second.watermark, idle(&second)), (Watermark(50 * SECOND), vec![2]));
    assert_eq!(second.plans.len(), 3);
    assert!(fed.plan(0, None).is_none(), "it is said once");

    // What it brings is judged by what was applied, and from then on it is waited for.
    for ts in [49, 50, 70] {
        fed.bring(2, ts * SECOND);
    }
    let third = fed.plan(0, None).unwrap();
    let late = vec![(49 * SECOND, 50 * SECOND)];
    assert_eq!(judged(&third)[2], (vec![50 * SECOND, 70 * SECOND], late));
    assert_eq!((third.watermark, idle(&third)), (Watermark(50 * SECOND), vec![]));
    fed.bring(1, 200 * SECOND);
    assert_eq!(fed.plan(0, None).unwrap().watermark, Watermark(60 * SECOND));
}

#[test]
fn a_quiet_stream_follows_others_and_holds_nothing_back() {
    let mut fed = Fed::new();
    (0..3).for_each(|partition| fed.bring(partition, 100 * SECOND));
    assert_eq!(fed.plan(0, None).unwrap().watermark, Watermark(90 * SECOND));
    assert!(!fed.gather.quiet());
    let share = fed.plan(HOUR, Some(Watermark(500 * SECOND))).unwrap();
    assert_eq!((share.watermark, idle(&share)), (Watermark(500 * SECOND), vec![0, 1, 2]));
    assert!(fed.gather.quiet());
    // It never goes back, nor ahead where there is nothing to follow.
    for follows in [None, Some(Watermark(20 * SECOND))] {
        assert_eq!(fed.gather.share(follows).unwrap().watermark, Watermark(500 * SECOND));
    }
    fed.bring(1, 499 * SECOND);
    fed.bring(1, 600 * SECOND);
    let share = fed.plan(0, None).unwrap();
    assert_eq!(judged(&share)[1].1, [(499 * SECOND, 500 * SECOND)]);
    assert_eq!((share.watermark, idle(&share)), (Watermark(590 * SECOND), vec![0, 2]));
    // The end of all that may come is no reason to close what an idle partition may still bring.
    fed.feeds[1].send(Event::Ended).unwrap();
    let share = fed.plan(0, None).unwrap();
    assert_eq!(share.watermark, Watermark(590 * SECOND));
    fed.feeds[0].send(Event::Ended).unwrap();
    fed.feeds[2].send(Event::Ended).unwrap();
    let share = fed.plan(0, None).unwrap();
    assert_eq!((share.watermark, idle(&share)), (Watermark::MAX, vec![]));
    assert!(fed.gather.finished());
}

/// A record of a partition, or a plan after so many minutes of silence.
#[derive(Debug, Clone)]
enum Step {
    Bring(usize, i64),
    Plan(i64, Option<i64>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bring = (0..3usize, 0..1000i64).prop_map(|(partition, ts)| Step::Bring(partition, ts));
    let plan = (prop_oneof![Just(0), Just(59), Just(61)], proptest::option::of(0..1000i64))
        .prop_map(|(minutes, follows)| Step::Plan(minutes, follows));
    proptest::collection::vec(prop_oneof![3 => bring, 2 => plan], 1..60)
}

proptest! {
    #[test]
    fn what_a_live_job_decides_is_what_its_plans_say(steps in steps(), at in 0..40usize) {
        let mut fed = Fed::new();
        let (mut shares, mut states) = (Vec::new(), Vec::new());
        for step in steps.into_iter().chain([Step::Plan(0, None)]) {
            match step {
                // Event time goes on, with some disorder.
                Step::Bring(partition, ts) => {
                    let base = fed.brought.iter().map(Vec::len).sum::<usize>() as i64 * 20;
                    fed.bring(partition, (base + ts % 60) * SECOND);
                }
                Step::Plan(minutes, follows) => {
                    let follows = follows.map(|at| Watermark(at * SECOND));
                    if let Some(share) = fed.plan(minutes * 60 * SECOND, follows) {
                        shares.push(share);
                        states.push(fed.gather.state());
                    }
                }
            }
        }
        // No record is accepted that is older than what had been applied, and none is lost.
        let (mut applied, mut seen) = (i64::MIN, 0);
        for share in &shares {
            for (on_time, late) in judged(share) {
                prop_assert!(on_time.iter().all(|ts| *ts >= applied), "{on_time:?}, {applied}");
                prop_assert!(late.iter().all(|(ts, mark)| ts < mark));
                seen += on_time.len() + late.len();
            }
            prop_assert!(share.watermark.0 >= applied, "it never falls");
            applied = share.watermark.0;
        }
        prop_assert_eq!(seen, fed.brought.iter().map(Vec::len).sum::<usize>());
        // From the beginning, and from any checkpoint.
        let begins = [None, states.get(at).map(|_| at)];
        for begin in begins.into_iter().take(1 + usize::from(at < states.len())) {
            let (mut again, _feeds) = fed.again(begin.map(|at| &states[at]));
            for (share, state) in shares.iter().zip(&states).skip(begin.map_or(0, |at| at + 1)) {
                let replayed = again.replay(&share.plans).unwrap();
                prop_assert_eq!(judged(&replayed), judged(share));
                prop_assert_eq!(replayed.watermark, share.watermark);
                prop_assert_eq!(&again.state(), state);
            }
        }
    }
}
