//! Several processes: the rows of one, and all or nothing when one of them dies.

#![allow(clippy::unwrap_used, reason = "a step that fails, fails the test")]

mod support;

use std::process::{Child, Command, Stdio};

use support::{Cluster, Place, assert_same, cloudops, text};

#[test]
fn two_processes_give_the_rows_of_one() {
    let place = Place::simulated(21);
    place.run(&place.configure("one", 60, 1));
    for (name, workers) in [("two-by-1", 1), ("two-by-2", 2)] {
        let config = place.configure(name, 60, workers);
        cloudops(&["train", "--config", text(&config)]);
        let cluster = Cluster::on_this_machine(&place, 2);
        let summary = cluster.finish("backfill", &config);
        assert_eq!(summary["late"], 1, "{summary}");
        assert_same(&place.tables("one"), &place.tables(name), name);
    }
}

#[test]
fn the_death_of_one_ends_all_and_a_restart_goes_on() {
    let place = Place::simulated(22);
    place.run(&place.configure("whole", 20, 2));
    let config = place.configure_checkpointing("broken", 20);
    cloudops(&["train", "--config", text(&config)]);
    let log = place.path("results-broken/log");
    for (victim, commits) in [(1, 3), (0, 6)] {
        let cluster = Cluster::on_this_machine(&place, 2);
        let mut processes = cluster.start("backfill", &config);
        while support::count(&log, "\"kind\":\"commit\"") < commits
            && processes[victim].try_wait().unwrap().is_none()
        {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        processes[victim].kill().unwrap();
        for process in &mut processes {
            assert!(!process.wait().unwrap().success(), "none goes on without the others");
        }
    }
    // As many processes as one likes go on.
    let cluster = Cluster::on_this_machine(&place, 3);
    let summary = cluster.finish("backfill", &config);
    assert!(summary["replayed"].as_u64().unwrap() < 6, "{summary}");
    assert_same(&place.tables("whole"), &place.tables("broken"), "killed, with other processes");
}

#[test]
fn one_that_is_told_to_stop_stops_all() {
    let place = Place::simulated(23);
    let config = place.configure("stopped", 20, 1);
    cloudops(&["train", "--config", text(&config)]);
    let log = place.path("results-stopped/log");
    let cluster = Cluster::on_this_machine(&place, 2);
    let mut processes = cluster.start("run", &config);
    while support::count(&log, "\"kind\":\"commit\"") < 2 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    // It may have ended by itself meanwhile.
    Command::new("kill").arg(processes[1].id().to_string()).status().unwrap();
    for process in &mut processes {
        assert!(process.wait().unwrap().success(), "they drain and end well");
    }
}

#[test]
fn processes_that_differ_are_refused() {
    let place = Place::simulated(24);
    let (one, other) = (place.configure("same", 20, 1), place.configure("other", 20, 2));
    for config in [&one, &other] {
        cloudops(&["train", "--config", text(config)]);
    }
    let cluster = Cluster::on_this_machine(&place, 2);
    let start = |index: usize, config| -> Child {
        let mut command = cluster.command("backfill", config, index);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let (first, second) = (start(0, &one), start(1, &other));
    let first = first.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&first.stderr);
    assert!(!first.status.success() && error.contains("process 1 is not the same"), "{error}");
    let second = second.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&second.stderr);
    // It is told, and does not wait for a process that will not come back.
    assert!(!second.status.success() && error.contains("process 0"), "{error}");
    assert!(error.contains("it says why"), "{error}");
}
