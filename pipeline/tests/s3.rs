//! A catalog in S3: moto's server, which honours If-None-Match, on a port of this machine.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a step that fails, fails the test")]

mod support;

use support::moto::Moto;
use support::{Place, assert_same, backfill, cloudops, command, sql, text};

#[test]
fn a_catalog_in_s3_holds_what_one_on_disk_holds() {
    let Some(_moto) = Moto::start() else { return };
    let place = Place::simulated(31);
    place.run(&place.configure("disk", 60, 2));
    let whole = place.tables("disk");
    let (config, catalog) = place.configure_at("s3", "s3://lake/whole", 60, 2);
    place.run(&config);
    assert_same(&whole, &support::tables(&catalog), "S3");

    // Killed on the way, it goes on from its checkpoints.
    let (config, catalog) = place.configure_at("s3-broken", "s3://lake/broken", 20, 2);
    cloudops(&["train", "--config", text(&config)]);
    let committed = || {
        let count = "select count(distinct epoch) as n from epochs";
        sql(&catalog, count)[0]["n"].as_u64().unwrap()
    };
    for commits in [2, 6] {
        let mut run = command(&["backfill", "--config", text(&config)]).spawn().unwrap();
        while committed() < commits && run.try_wait().unwrap().is_none() {}
        run.kill().unwrap();
        run.wait().unwrap();
    }
    backfill(&config);
    assert_same(&whole, &support::tables(&catalog), "S3, killed twice");

    // Kept like any other: merged, published, and the dead deleted.
    cloudops(&["compact", "--config", text(&config)]);
    cloudops(&["publish", "--config", text(&config)]);
    cloudops(&["gc", "--config", text(&config)]);
    assert_same(&whole, &support::tables(&catalog), "S3, compacted");
}
