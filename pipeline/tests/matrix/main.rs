//! The crash matrix: every operation on the store fails in every way, and what is committed in the end
//! is what an undisturbed run commits.
//!
//! A case is a job of sensors, bills and configuration that is started again until it ends, then compaction, publication
//! and the deletion of dead files, each started again until it is done. One operation of all of these
//! fails, or in the soak several. Epochs go one at a time, so that a case is the same case again.
//!
//! [`actions`] does so to actions on resources: each call has its effect once; [`deliveries`] to alerts that
//! leave: each arrives.
//!
//! [`power`] does the same to the disk beneath the local store.
//!
//! ```text
//! make soak CASES=100000 SEED=1
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a case that fails, fails the test"
)]

mod actions;
mod case;
#[path = "../support/configuration.rs"]
mod configuration;
mod deliveries;
mod delta;
mod disk;
#[path = "../delivery/fixture.rs"]
mod fixture;
#[allow(dead_code, reason = "others look at headers")]
#[path = "../executor/http.rs"]
mod http;
mod kept;
mod power;
mod store;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use case::{Case, Job, number};
use cloudops_operators::seeded::SplitMix64;
use kept::Kept;
use store::Fault;

/// Cases of the matrix that each run takes, spread over all operations.
const CASES: u64 = 2_100;

#[test]
fn every_operation_fails_in_every_way() {
    let job = Job::write();
    let mut undisturbed = Vec::new();
    for workers in [1, 2, 4] {
        let (kept, operations) = job.run(&Case { workers, faults: Vec::new() }).unwrap();
        undisturbed.push((workers, kept, operations));
    }
    same_rows(&undisturbed);
    let continued = undisturbed.iter().map(|(_, kept, _)| kept.continued).min();
    assert!(continued > Some(0), "checkpoints of changes are among what is broken off");
    let all: u64 = undisturbed.iter().map(|(_, _, operations)| operations).sum();
    let all = all * Fault::ALL.len() as u64;
    let cases = number("CASES", CASES).min(all);
    // Steps through the whole matrix with a stride that does not divide it.
    let mut at = number("SEED", 1);
    let mut seen = vec![false; all as usize];
    let mut chosen = Vec::with_capacity(cases as usize);
    for _ in 0..cases {
        at = (at + all / cases.max(1) + 1) % all;
        while std::mem::replace(&mut seen[at as usize], true) {
            at = (at + 1) % all;
        }
        chosen.push(at);
    }
    let next = AtomicU64::new(0);
    let failed = Mutex::new(Vec::new());
    at_once(|| {
        while let Some(at) = chosen.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
            let (workers, want, operation, fault) = place(&undisturbed, *at);
            let case = Case { workers, faults: vec![(operation, fault)] };
            if let Err(difference) = job.run(&case).and_then(|(kept, _)| want.differs(&kept)) {
                failed.lock().unwrap().push(format!("{case:?}: {difference}"));
                next.store(cases, Ordering::Relaxed);
            }
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    println!("{cases} cases of {all}, 0 divergences");
}

#[test]
#[ignore = "as long as you like; see `make soak`"]
fn several_operations_fail_at_once() {
    let job = Job::write();
    let (cases, first) = (number("CASES", 10_000), number("SEED", 1));
    let mut undisturbed = Vec::new();
    for workers in [1, 2, 4] {
        let (kept, operations) = job.run(&Case { workers, faults: Vec::new() }).unwrap();
        undisturbed.push((workers, kept, operations));
    }
    let next = AtomicU64::new(first);
    let run = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + cases {
                return;
            }
            let (case, want) = seeded(&undisturbed, seed);
            if let Err(difference) = job.run(&case).and_then(|(kept, _)| want.differs(&kept)) {
                next.store(first + cases, Ordering::Relaxed);
                println!("SEED={seed} CASES=1: {case:?}");
                println!("{} cases, 1 divergences", seed - first + 1);
                panic!("{difference}");
            }
            let done = seed - first + 1;
            if done.is_multiple_of(1_000) {
                println!("{done} …");
            }
        }
    };
    at_once(run);
    println!("{cases} cases, 0 divergences");
}

/// A case has a store and a log of its own: as many at once as there are cores.
fn at_once(run: impl Fn() + Sync) {
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().unwrap().get() {
            scope.spawn(&run);
        }
    });
}

/// The case of a seed, and what it must leave.
fn seeded(undisturbed: &[(usize, Kept, u64)], seed: u64) -> (Case, &Kept) {
    let mut random = SplitMix64::new(seed);
    let (workers, want, operations) = &undisturbed[(random.bits() % 3) as usize];
    let faults = (0..1 + random.bits() % 5).map(|_| {
        let fault = Fault::ALL[(random.bits() % Fault::ALL.len() as u64) as usize];
        (random.bits() % (operations + operations / 2), fault)
    });
    (Case { workers: *workers, faults: faults.collect() }, want)
}

/// The case number `at` of the matrix.
fn place(undisturbed: &[(usize, Kept, u64)], mut at: u64) -> (usize, &Kept, u64, Fault) {
    let kinds = Fault::ALL.len() as u64;
    for (workers, kept, operations) in undisturbed {
        if at < operations * kinds {
            return (*workers, kept, at / kinds, Fault::ALL[(at % kinds) as usize]);
        }
        at -= operations * kinds;
    }
    unreachable!("the matrix is as large as its parts")
}

/// Whatever the workers, the rows are the same; files are not.
fn same_rows(runs: &[(usize, Kept, u64)]) {
    for (workers, kept, _) in &runs[1..] {
        assert_eq!(kept.rows, runs[0].1.rows, "{workers} workers");
    }
    assert!(runs[0].1.rows.iter().map(|(_, rows)| rows.len()).sum::<usize>() > 60);
}
