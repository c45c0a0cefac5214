//! Alerts out over a store that fails: every operation of a sink in every way, and each alert arrives, in
//! order, with the key that it always has.

use std::sync::Arc;
use std::time::Duration;

use cloudops_pipeline::job::Job;
use cloudops_pipeline::sink::alerts::AlertSink;
use cloudops_sql::catalog::Catalog;
use cloudops_sql::catalog::State;
use cloudops_sql::catalog::delivery::Place;
use object_store::path::Path;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::case::allowed;
use crate::fixture::{self, row};
use crate::http::{self, Server};
use crate::store::{Fault, Simulated, World};

/// Starts of a program after which it is stuck.
const STARTS: usize = 40;

/// Epochs, each with two alerts.
const EPOCHS: u64 = 4;

fn open(world: &Arc<World>, runtime: &Runtime) -> anyhow::Result<Catalog> {
    let opened = runtime.block_on(Catalog::open_at(Simulated::over(world), Path::default()));
    Ok(opened?)
}

/// Commits the alerts.
fn prepare(world: &Arc<World>, runtime: &Runtime) {
    let mut catalog = open(world, runtime).unwrap();
    runtime.block_on(catalog.take_over("test", "config", 1)).unwrap();
    for epoch in 0..EPOCHS {
        let alert = |name: &str| row(epoch, &format!("{name}{epoch}"), "opened", "sensor", epoch);
        runtime.block_on(fixture::commit(&mut catalog, epoch, &[alert("b"), alert("a")]));
    }
}

/// Delivers all, each program started again until it is done; gives the keys that came, what the log then
/// says, and how many operations of the store were the sink's.
fn carry_out(faults: &[(u64, Fault)]) -> Result<(Vec<String>, State, u64), String> {
    let runtime = Runtime::new().unwrap();
    // What comes before the sink is the same each time, and goes well.
    let calm = World::new(&[]);
    prepare(&calm, &runtime);
    let before = calm.operations();
    let faults: Vec<_> = faults.iter().map(|(at, fault)| (at + before, *fault)).collect();
    let world = World::new(&faults);
    prepare(&world, &runtime);
    let server = Server::start(|_, stream| http::answer(stream, 200, &[], b""));
    let dir = tempfile::tempdir().unwrap();
    let sink = format!(
        "[[sink]]\nname = \"ops\"\nwebhook = \"{}\"\nsecret = SECRET\nbacklog = true\n",
        server.url
    );
    let job = fixture::job(dir.path(), &sink);
    let deliver = |job: &Job| -> anyhow::Result<()> {
        let catalog = open(&world, &runtime)?;
        fixture::start(job, 0, catalog).and_then(AlertSink::finish)
    };
    let mut starts = 0;
    while let Err(error) = deliver(&job) {
        allowed(&error)?;
        starts += 1;
        if starts == STARTS {
            return Err("it does not get on".to_owned());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let operations = world.operations() - before;
    world.calm();
    // What a stale list hid is found by the next program.
    deliver(&job).map_err(|error| format!("{error:#}"))?;
    let state = State::clone(open(&world, &runtime).map_err(|error| format!("{error:#}"))?.state());
    let keys = server.requests().into_iter().map(|request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        body["key"].as_str().unwrap().to_owned()
    });
    Ok((keys.collect(), state, operations))
}

#[test]
fn an_alert_arrives_at_least_once_and_in_order_whatever_the_store_does() {
    let (keys, _, operations) = carry_out(&[]).unwrap();
    let all: Vec<String> =
        (0..EPOCHS).flat_map(|epoch| [format!("{epoch}-0"), format!("{epoch}-1")]).collect();
    assert_eq!(keys, all, "undisturbed, each comes once");
    assert!(operations > 10, "{operations}");
    let mut repeated = 0;
    for fault in Fault::ALL {
        for at in 0..operations {
            let case = format!("{fault:?} at {at}");
            let (mut keys, state, _) =
                carry_out(&[(at, fault)]).unwrap_or_else(|why| panic!("{case}: {why}"));
            repeated += usize::from(keys.len() > all.len());
            let mut seen = Vec::new();
            keys.retain(|key| {
                !seen.contains(key) && {
                    seen.push(key.clone());
                    true
                }
            });
            assert_eq!(keys, all, "{case}");
            let sink = &state.delivery.sinks["ops"];
            assert!(sink.dead.is_empty(), "{case}: {sink:?}");
            assert_eq!(sink.next, Place { epoch: EPOCHS - 1, sequence: 2 }, "{case}");
        }
    }
    assert!(repeated > 0, "a program that dies before it writes down sends again");
}
