//! Jobs killed at random, again and again, until they end: what they leave must be what an
//! undisturbed job leaves.
//!
//! A job runs on one process or two, and its catalog lies on the disk or, where moto is there, in S3.
//! `make kill-soak`, or `make kill-soak KILLS=1000 SEED=7`. The last line counts.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a step that fails, fails the test")]

mod support;

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use cloudops_operators::seeded::SplitMix64;
use support::moto::Moto;
use support::{Cluster, Place, Tables, assert_same, cloudops, command, sql, tables, text};

/// What was done.
#[derive(Default)]
struct Count {
    kills: u64,
    with_two_processes: u64,
    jobs: u64,
    in_s3: u64,
    checkpoints: u64,
}

#[test]
#[ignore = "minutes; see `make kill-soak`"]
fn killed_jobs_leave_what_undisturbed_jobs_leave() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().unwrap())
    };
    let (goal, seed) = (number("KILLS", 200), number("SEED", 1));
    let moto = Moto::start();
    let mut random = SplitMix64::new(seed);
    let mut count = Count::default();
    while count.kills < goal {
        let place = Place::simulated(random.bits() % 1_000);
        place.run(&place.configure("whole", 1 << 30, 2));
        let whole = place.tables("whole");
        let in_s3 = moto.is_some() && count.jobs % 3 == 1;
        let epoch_records = 10 + random.bits() % 30;
        let (config, catalog) = if in_s3 {
            let url = format!("s3://lake/{seed}-{}", count.jobs);
            place.configure_at("broken", &url, 2 * epoch_records, 2)
        } else {
            (place.configure_checkpointing("broken", epoch_records), place.catalog("broken"))
        };
        cloudops(&["train", "--config", text(&config)]);
        kill_until_it_ends(&place, &config, &catalog, &mut random, &whole, &mut count);
        count.jobs += 1;
        count.in_s3 += u64::from(in_s3);
        count.checkpoints += sql(&catalog, "select count(distinct epoch) as n from epochs")[0]["n"]
            .as_u64()
            .unwrap();
    }
    let Count { kills, with_two_processes, jobs, in_s3, checkpoints } = count;
    println!(
        "{kills} kills ({with_two_processes} of one of two processes) of {jobs} jobs ({in_s3} in S3), \
         {checkpoints} epochs, 0 divergences"
    );
}

/// Runs a job with any number of workers and processes and kills it, until it gets to its end.
fn kill_until_it_ends(
    place: &Place,
    config: &std::path::Path,
    catalog: &str,
    random: &mut SplitMix64,
    whole: &Tables,
    count: &mut Count,
) {
    let mut kills = 0;
    loop {
        let two = random.bits().is_multiple_of(2);
        let mut processes = if two {
            Cluster::on_this_machine(place, 2).start("backfill", config)
        } else {
            let workers = (1 + random.bits() % 3).to_string();
            let arguments = ["backfill", "--config", text(config), "--workers", &workers];
            vec![command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()]
        };
        // Most runs are killed; the longer it goes on, the longer they may live.
        let life = Duration::from_millis(30 + random.bits() % (200 + 40 * kills));
        let ended = wait(&mut processes, Instant::now() + life);
        if ended {
            assert!(
                processes.iter_mut().all(|process| process.wait().unwrap().success()),
                "after {kills} kills the job fails"
            );
            assert_same(whole, &tables(catalog), &format!("after {kills} kills"));
            return;
        }
        let victim = (random.bits() % processes.len() as u64) as usize;
        processes[victim].kill().unwrap();
        // The other ends by itself, but for one that still waits for the victim to come.
        if !wait(&mut processes, Instant::now() + Duration::from_secs(2)) {
            processes.iter_mut().for_each(|process| process.kill().unwrap());
        }
        for process in &mut processes {
            process.wait().unwrap();
        }
        kills += 1;
        count.kills += 1;
        count.with_two_processes += u64::from(two);
    }
}

/// Waits for all processes to end; `false` where some are still at work when the time comes.
fn wait(processes: &mut [Child], until: Instant) -> bool {
    while processes.iter_mut().any(|process| process.try_wait().unwrap().is_none()) {
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}
