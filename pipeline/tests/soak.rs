//! Jobs killed at random, again and again, until they end: what they leave must be what an
//! undisturbed job leaves.
//!
//! `make kill-soak`, or `KILLS=1000 SEED=7 make kill-soak`. The last line counts.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a step that fails, fails the test")]

mod support;

use std::process::Stdio;
use std::time::Duration;

use cloudops_operators::seeded::SplitMix64;
use support::{Place, Tables, assert_same, cloudops, command, text};

#[test]
#[ignore = "minutes; see `make kill-soak`"]
fn killed_jobs_leave_what_undisturbed_jobs_leave() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().unwrap())
    };
    let (goal, seed) = (number("KILLS", 200), number("SEED", 1));
    let mut random = SplitMix64::new(seed);
    let (mut kills, mut jobs, mut checkpoints) = (0, 0, 0);
    while kills < goal {
        let place = Place::simulated(random.bits() % 1_000);
        place.run(&place.configure("whole", 1 << 30, 2));
        let whole = place.tables("whole");
        let config = place.configure_checkpointing("broken", 10 + random.bits() % 30);
        cloudops(&["train", "--config", text(&config)]);
        kills += kill_until_it_ends(&place, &config, &mut random, &whole);
        jobs += 1;
        let log = std::fs::read_dir(place.path("results-broken/log")).unwrap();
        checkpoints += log
            .filter(|entry| {
                let path = entry.as_ref().unwrap().path();
                std::fs::read_to_string(path).unwrap().contains("\"checkpoint\":")
            })
            .count();
    }
    println!("{kills} kills of {jobs} jobs, {checkpoints} checkpoints, 0 divergences");
}

/// Runs a job with any number of workers and kills it, until it gets to its end; counts the kills.
fn kill_until_it_ends(
    place: &Place,
    config: &std::path::Path,
    random: &mut SplitMix64,
    whole: &Tables,
) -> u64 {
    let mut kills = 0;
    loop {
        let workers = (1 + random.bits() % 3).to_string();
        // Most runs are killed; the longer it goes on, the longer they may live.
        let life = Duration::from_millis(30 + random.bits() % (150 + 20 * kills));
        let mut run = command(&["backfill", "--config", text(config), "--workers", &workers])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(life);
        if let Some(status) = run.try_wait().unwrap() {
            assert!(status.success(), "after {kills} kills the job fails");
            assert_same(whole, &place.tables("broken"), &format!("after {kills} kills"));
            return kills;
        }
        run.kill().unwrap();
        run.wait().unwrap();
        kills += 1;
    }
}
