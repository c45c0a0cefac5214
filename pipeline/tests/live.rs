//! A live job over a stream that grows, killed at random all along: in the end it has what a backfill of
//! the same data has, and what two processes have.
//!
//! `make live-soak`, or `make live-soak MINUTES=60 SEED=7`. The last line counts.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a step that fails, fails the test")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cloudops_operators::seeded::SplitMix64;
use support::{Cluster, Place, assert_same, backfill, cloudops, command, sql, text};

#[test]
fn a_live_job_killed_all_along_has_what_a_backfill_has() {
    lives(&Place::simulated(15), Duration::from_secs(8), 1, 40);
}

#[test]
#[ignore = "as many minutes as you like; see `make live-soak`"]
fn a_live_job_killed_for_minutes_has_what_a_backfill_has() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().unwrap())
    };
    let (minutes, seed) = (number("MINUTES", 10), number("SEED", 1));
    lives(&Place::large(seed), Duration::from_secs(60 * minutes), seed, 40 * minutes as usize);
}

/// Feeds a place's input part by part for so long, to a job that is killed at random.
fn lives(place: &Place, time: Duration, seed: u64, parts: usize) {
    for stream in ["sensor", "cost"] {
        divide(&place.path("input").join(stream), parts);
    }
    place.run(&place.configure("whole", 1 << 30, 2));
    let config = place.configure("two", 500, 1);
    cloudops(&["train", "--config", text(&config)]);
    Cluster::on_this_machine(place, 2).finish("backfill", &config);
    let config = place.configure_checkpointing("live", 1 << 20);
    let settings = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, settings.replace("format =", "watch = \"50ms\"\nformat =")).unwrap();
    cloudops(&["train", "--config", text(&config)]);

    let mut feed = Feed::begin(place, time);
    let mut random = SplitMix64::new(seed);
    let (mut kills, mut stops) = (0, 0);
    while !feed.bring() {
        let two = random.bits().is_multiple_of(3);
        let mut processes = if two {
            Cluster::on_this_machine(place, 2).start("run", &config)
        } else {
            let workers = (1 + random.bits() % 3).to_string();
            let arguments = ["run", "--config", text(&config), "--workers", &workers];
            vec![command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()]
        };
        let life = time.as_millis() as u64 / 50;
        let until = Instant::now() + Duration::from_millis(500 + random.bits() % life);
        while Instant::now() < until && !feed.bring() {
            std::thread::sleep(Duration::from_millis(20));
        }
        let victim = (random.bits() % processes.len() as u64) as usize;
        if random.bits().is_multiple_of(5) {
            stops += 1;
            let told = Command::new("kill").arg(processes[victim].id().to_string()).status();
            assert!(told.unwrap().success());
        } else {
            kills += 1;
            processes[victim].kill().unwrap();
        }
        end(&mut processes);
    }
    let rest = backfill(&config);
    let live = place.tables("live");
    assert_same(&place.tables("whole"), &live, "as a backfill");
    assert_same(&place.tables("two"), &live, "as two processes");
    let catalog = place.catalog("live");
    let missing = sql(&catalog, "select * from accounting where missing <> 0");
    assert!(missing.is_empty(), "{missing:?}");
    let epochs = &sql(&catalog, "select count(distinct epoch) as n from epochs")[0]["n"];
    println!(
        "{kills} kills and {stops} stops of a live job in {:.0} s, {epochs} epochs, {} of them after it, \
         {} rows in {} tables, 0 divergences",
        time.as_secs_f64(),
        rest["epochs"],
        live.values().map(Vec::len).sum::<usize>(),
        live.values().filter(|rows| !rows.is_empty()).count(),
    );
}

/// Waits for all processes to end, and sees to it where one waits for another that is gone.
fn end(processes: &mut [Child]) {
    let until = Instant::now() + Duration::from_secs(10);
    while processes.iter_mut().any(|process| process.try_wait().unwrap().is_none()) {
        if Instant::now() >= until {
            processes.iter_mut().for_each(|process| process.kill().unwrap());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Cuts each of a directory's files of rows under a header into parts of one name order with it.
fn divide(directory: &Path, parts: usize) {
    for path in files(directory) {
        let bytes = std::fs::read(&path).unwrap();
        let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        let Some((header, rows)) = lines.split_first().filter(|(_, rows)| rows.len() > 100) else {
            continue;
        };
        std::fs::remove_file(&path).unwrap();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        for (part, rows) in rows.chunks(rows.len().div_ceil(parts)).enumerate() {
            let bytes = [&[*header], rows].concat().concat();
            std::fs::write(directory.join(format!("{stem}-{part:05}.csv")), bytes).unwrap();
        }
    }
}

/// A directory's files in name order.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Brings held back files into their place, evenly over a time.
struct Feed {
    /// By stream, in name order: where each file lies, and where it belongs.
    held: Vec<Vec<(PathBuf, PathBuf)>>,
    brought: Vec<usize>,
    begin: Instant,
    time: Duration,
}

impl Feed {
    /// Takes all of a place's input away.
    fn begin(place: &Place, time: Duration) -> Self {
        let held: Vec<Vec<(PathBuf, PathBuf)>> = ["sensor", "audit", "cost"]
            .iter()
            .map(|stream| {
                let away = place.path("held").join(stream);
                std::fs::create_dir_all(&away).unwrap();
                let of_stream = files(&place.path("input").join(stream)).into_iter();
                of_stream.map(|at| (away.join(at.file_name().unwrap()), at)).collect()
            })
            .collect();
        for (away, at) in held.iter().flatten() {
            std::fs::rename(at, away).unwrap();
        }
        Self { brought: vec![0; held.len()], held, begin: Instant::now(), time }
    }

    /// Brings what is due; `true` once everything has been brought.
    fn bring(&mut self) -> bool {
        let part = (self.begin.elapsed().as_secs_f64() / self.time.as_secs_f64()).min(1.0);
        for (files, brought) in self.held.iter().zip(&mut self.brought) {
            let due = (files.len() as f64 * part) as usize;
            for (away, at) in &files[*brought..due.max(*brought)] {
                std::fs::rename(away, at).unwrap();
            }
            *brought = due.max(*brought);
        }
        part >= 1.0
    }
}
