//! Ordinary traffic, and what each attack would have looked like in the midst of it.
//!
//! Every technique is played once by every victim, on a day and in an hour in which the victim works: its
//! events get the victim's identity, address, agent, account and region, and stand among what the victim
//! did in that hour anyway. So nothing tells them apart but what was called, in which order, how fast,
//! and what failed.

use std::collections::{BTreeMap, HashSet};

use cloudops_datasets::labels::audit::Technique;
use cloudops_datasets::simulate::{AuditConfig, Traffic};
use cloudops_operators::epoch::Partition;
use cloudops_operators::seeded::SplitMix64;
use cloudops_operators::watermark::Watermark;
use cloudops_operators::window::{EitherWindow, WindowSpec};

use super::AuditOptions;
use super::passage::{Memory, Vector, by_end, operations, rows, windows};
use crate::Result;

pub(super) const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// An hour of a principal's.
pub(super) const WINDOW: WindowSpec = WindowSpec::Tumbling { duration_us: HOUR * SECOND };

/// The fleet's ordinary windows, and those with an attack in them.
#[derive(Debug)]
pub(super) struct Scenes {
    /// By time.
    pub(super) ordinary: Vec<Vector>,
    pub(super) attacks: Vec<Attack>,
    /// Days of the fleet: remembered only, learned from, calibrated on, judged.
    pub(super) days: [u32; 4],
    /// Midnight of the first day, µs.
    pub(super) start: i64,
    /// Techniques with an operation that nobody calls in the ordinary traffic.
    pub(super) unheard: usize,
}

/// A window in which a victim's key was used for a technique.
#[derive(Debug)]
pub(super) struct Attack {
    /// Index into the techniques.
    pub(super) technique: usize,
    /// The victim's kind.
    pub(super) persona: &'static str,
    pub(super) vector: Vector,
}

/// What would be played in an hour.
struct Play {
    technique: usize,
    persona: &'static str,
    events: Vec<String>,
}

/// Days of each part.
pub(super) fn days(options: &AuditOptions) -> [u32; 4] {
    if options.quick { [3, 10, 4, 6] } else { [7, 28, 7, 18] }
}

fn config(options: &AuditOptions) -> AuditConfig {
    AuditConfig {
        days: days(options).iter().sum(),
        principals: if options.quick { 16 } else { 64 },
        events_per_day: 60,
        theft_events: 0,
        ..AuditConfig::default()
    }
}

/// Passes the fleet's days through the operators, and plays every technique for every victim.
pub(super) fn scenes(options: &AuditOptions, techniques: &[Technique]) -> Result<Scenes> {
    let config = config(options);
    let traffic = Traffic::new(&config, options.seed)?;
    let parts = days(options);
    let plays = plays(options, &traffic, techniques, parts);
    let mut memory = Memory::default();
    let mut cut = EitherWindow::audit(WINDOW)?;
    let (mut ordinary, mut attacks, mut offset) = (Vec::new(), Vec::new(), 0);
    let mut called = vec![HashSet::new(); techniques.len()];
    for day in 0..config.days {
        let mut events = traffic.day(day);
        events.sort();
        let events: Vec<String> = events.into_iter().map(|(_, event)| event).collect();
        for rows in rows(&events, offset)? {
            cut.push(Partition(0), &rows, None)?;
        }
        offset += events.len() as u64;
        let until = Watermark(traffic.midnight(day + 1) * SECOND);
        for (end, batch) in by_end(&cut.advance(until)?)? {
            for play in plays.get(&end).into_iter().flatten() {
                let mut copy = memory.clone();
                for batch in windows(WINDOW, &play.events)? {
                    called[play.technique].extend(operations(&batch)?);
                    attacks.extend(copy.pass(&batch)?.into_iter().map(|vector| Attack {
                        technique: play.technique,
                        persona: play.persona,
                        vector,
                    }));
                }
            }
            ordinary.extend(memory.pass(&batch)?);
        }
    }
    let start = traffic.midnight(0) * SECOND;
    let heard = memory.operations();
    let unheard = called.iter().filter(|called| !called.is_subset(&heard)).count();
    Ok(Scenes { ordinary, attacks, days: parts, start, unheard })
}

/// By the end of the hour (µs), what would be played in it.
fn plays(
    options: &AuditOptions,
    traffic: &Traffic,
    techniques: &[Technique],
    parts: [u32; 4],
) -> BTreeMap<i64, Vec<Play>> {
    let judged_from: u32 = parts[..3].iter().sum();
    let mut plays: BTreeMap<i64, Vec<Play>> = BTreeMap::new();
    for (number, victim) in traffic.principals().iter().enumerate() {
        let mut random = SplitMix64::new(options.seed ^ (number as u64) << 32);
        for (technique, attack) in techniques.iter().enumerate() {
            let day = judged_from + (random.bits() % u64::from(parts[3])) as u32;
            let calls = traffic.calls(number, day);
            // An hour in which the victim works: that of one of its calls.
            let at = calls[(random.bits() % calls.len() as u64) as usize].0;
            let hour = at.div_euclid(HOUR) * HOUR;
            let mut events: Vec<(i64, String)> = calls
                .into_iter()
                .filter(|(time, _)| time.div_euclid(HOUR) * HOUR == hour)
                .collect();
            let begin = at.min(hour + HOUR - 120);
            for (after, event) in &attack.events {
                let time = begin + after.min(&119);
                let mut event = event.clone();
                victim.disguise(&mut event, time);
                events.push((time, event.to_string()));
            }
            events.sort();
            plays.entry((hour + HOUR) * SECOND).or_default().push(Play {
                technique,
                persona: victim.persona(),
                events: events.into_iter().map(|(_, event)| event).collect(),
            });
        }
    }
    plays
}

impl Scenes {
    /// The ordinary windows of one of its parts: 1 learned from, 2 calibrated on, 3 judged.
    pub(super) fn part(&self, part: usize) -> impl Iterator<Item = &Vector> {
        let midnight = |days: u32| self.start + i64::from(days) * DAY * SECOND;
        let from = midnight(self.days[..part].iter().sum());
        let to = midnight(self.days[..=part].iter().sum());
        self.ordinary.iter().filter(move |vector| from < vector.end && vector.end <= to)
    }
}
