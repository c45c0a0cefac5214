//! Power cuts: whatever was acknowledged is there afterwards, and the job comes to its end.
//!
//! The job of the matrix and its maintenance run on the local store over a simulated disk. The power goes
//! before or after any one of its operations; in a second round the program dies first, and the power
//! goes while its successor works on what the dead one has left unflushed. When all is done the power
//! goes once more.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use cloudops_operators::seeded::SplitMix64;
use cloudops_sql::catalog::durable::Durable;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;

use crate::case::{Job, number};
use crate::disk::{self, Flushes, Stop};
use crate::kept::Kept;
use crate::store::{Simulated, World};

/// Cuts that each run of the tests takes in each of the two rounds, spread over all operations.
const CUTS: u64 = 240;

/// How many operations the successor of a dead program does at most before the power goes.
const SOON: u64 = 60;

/// What is said of an object that is gone.
const LOST: &str = "was acknowledged and is lost";

fn is_loss(error: &str) -> bool {
    error.contains(LOST)
}

/// A job that is ended and started again.
#[derive(Debug, Clone)]
struct Case {
    workers: usize,
    stops: Vec<Stop>,
    /// What is left of what was not flushed; nothing without a seed.
    chance: Option<u64>,
    fsync: bool,
    flushes: Flushes,
}

impl Case {
    fn undisturbed(workers: usize) -> Self {
        Self { workers, stops: Vec::new(), chance: None, fsync: true, flushes: Flushes::All }
    }

    fn chance(&self) -> Option<SplitMix64> {
        self.chance.map(SplitMix64::new)
    }
}

/// The first acknowledged object that a disk does not hold as it was.
fn lost(disk: &disk::Simulated, acknowledged: &BTreeMap<String, Bytes>) -> Option<String> {
    let is_lost = |(path, bytes): &(&String, &Bytes)| {
        std::fs::read(disk.root().join(path)).map_or(true, |found| found != **bytes)
    };
    acknowledged.iter().find(is_lost).map(|(path, _)| path.clone())
}

/// Runs a case to its end and cuts the power; gives what is left and the operations of the first program.
fn run(job: &Job, case: &Case) -> Result<(Kept, u64), String> {
    let acknowledged = Arc::new(Mutex::default());
    let over = |disk: &Arc<disk::Simulated>| {
        let inner = LocalFileSystem::new_with_prefix(disk.root()).unwrap();
        let store = Durable::on(Arc::clone(disk), inner, case.fsync);
        World::on(Arc::new(store), Arc::clone(&acknowledged))
    };
    let mut stops = case.stops.iter().copied();
    let first = Arc::new(disk::Simulated::empty(stops.next(), case.flushes));
    let mut disk = Arc::clone(&first);
    let mut world = over(&disk);
    let mut loss = None;
    let mut store = || -> Arc<dyn ObjectStore> {
        if let Some(stop) = disk.ended() {
            disk = Arc::new(if stop.power {
                disk.after_cut(stops.next(), case.chance())
            } else {
                disk.again(stops.next())
            });
            if stop.power && loss.is_none() {
                loss = lost(&disk, &acknowledged.lock().unwrap());
            }
            world = over(&disk);
        }
        Simulated::over(&world)
    };
    let done = job.carry_out(case.workers, &mut store);
    let last = Arc::new(disk.after_cut(None, case.chance()));
    let loss = loss.or_else(|| lost(&last, &acknowledged.lock().unwrap()));
    if let Some(path) = loss {
        return Err(format!("{path} {LOST}"));
    }
    done?;
    Ok((job.kept(&over(&last))?, first.operations()))
}

/// Runs so many cases of a kind on all cores; each must leave what is wanted.
fn all(job: &Job, want: &Kept, cases: u64, case: impl Fn(u64) -> Case + Sync) {
    let next = AtomicU64::new(0);
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= cases {
                return;
            }
            let case = case(at);
            let found = run(job, &case);
            if let Err(difference) = found.and_then(|(kept, _)| want.differs(&kept)) {
                next.store(cases, Ordering::Relaxed);
                panic!("{case:?}: {difference}");
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().unwrap().get() {
            scope.spawn(work);
        }
    });
}

/// Where the power goes in case `at` of so many, spread evenly over a program's operations, and whether
/// chance leaves some of what was not flushed.
fn cut(operations: u64, cases: u64, at: u64) -> (Stop, Option<u64>) {
    // Before and after every operation, and either kind of loss. The stride is odd: all four come up.
    let all = 4 * operations;
    let place = at * ((all / cases.min(all)) | 1) % all;
    (Stop { at: place / 4, done: place % 2 == 1, power: true }, (place / 2 % 2 == 1).then_some(at))
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let job = Job::write();
    let mut done = 0;
    for workers in [1, 2] {
        let undisturbed = Case::undisturbed(workers);
        let (want, operations) = run(&job, &undisturbed).unwrap();
        let cuts = (number("CUTS", CUTS) / 2).min(4 * operations);
        all(&job, &want, cuts, |at| {
            let (cut, chance) = cut(operations, cuts, at);
            Case { stops: vec![cut], chance, ..undisturbed.clone() }
        });
        println!("{cuts} cuts of {operations} operations on {workers} workers, 0 divergences");
        done += cuts;
    }
    println!("{done} cuts, 0 divergences");
}

#[test]
fn what_a_dead_program_left_unflushed_is_not_lost_once_its_successor_relies_on_it() {
    let job = Job::write();
    let undisturbed = Case::undisturbed(1);
    let (want, operations) = run(&job, &undisturbed).unwrap();
    let cuts = number("CUTS", CUTS);
    let case = |at| {
        let (cut, chance) = cut(operations, cuts, at);
        let mut random = SplitMix64::new(at);
        let soon =
            Stop { at: random.bits() % SOON, done: random.bits().is_multiple_of(2), power: true };
        Case { stops: vec![Stop { power: false, ..cut }, soon], chance, ..undisturbed.clone() }
    };
    all(&job, &want, cuts, case);
    println!("{cuts} deaths and cuts, 0 divergences");

    // Unless what is found instead of created is flushed too.
    let unflushed = |at| Case { flushes: Flushes::NotWhatExists, chance: None, ..case(at) };
    let lost = (0..cuts).find(|at| run(&job, &unflushed(*at)).is_err_and(|error| is_loss(&error)));
    assert!(lost.is_some(), "nothing is lost by a disk that does not flush what exists");
}

#[test]
fn the_directory_of_a_catalog_is_there_for_good() {
    let make = |disk: &disk::Simulated| {
        let path = disk.root().join("a/b/c");
        Durable::create_root(disk, &path, true)
    };
    for (at, done) in (0..8).flat_map(|at| [(at, false), (at, true)]) {
        let dead = disk::Simulated::empty(Some(Stop { at, done, power: false }), Flushes::All);
        let ended = make(&dead).is_err();
        assert_eq!(ended, dead.ended().is_some());
        let next = dead.again(None);
        make(&next).unwrap();
        let left = next.after_cut(None, None);
        assert!(left.root().join("a/b/c").is_dir(), "{at} {done}");
    }
}

#[test]
fn without_flushing_a_power_cut_loses_what_was_acknowledged() {
    let job = Job::write();
    let undisturbed = Case::undisturbed(1);
    let (_, operations) = run(&job, &undisturbed).unwrap();
    let stops = vec![Stop { at: operations / 2, done: true, power: true }];
    let without = [(false, Flushes::All), (true, Flushes::NoFiles), (true, Flushes::NoDirectories)];
    for (fsync, flushes) in without {
        let case = Case { stops: stops.clone(), fsync, flushes, ..undisturbed.clone() };
        let error = run(&job, &case).unwrap_err();
        assert!(is_loss(&error), "{case:?}: {error}");
    }
}
