//! RDS instances: stopped, started, resized, tagged, copied, deleted, restored.

use std::collections::BTreeSet;

use cloudops_pipeline::executor::error::code;
use cloudops_pipeline::executor::observed::{Protection, Size};
use cloudops_pipeline::executor::{Backup, Kind, Operation, Resource, State, Undo};

use super::cloud::{Cloud, created, map, refusal};

fn database(cloud: &Cloud) -> Resource {
    let tag = aws_sdk_rds::types::Tag::builder().key("team").value("a").build();
    cloud.run(
        cloud
            .rds
            .create_db_instance()
            .db_instance_identifier("orders")
            .db_instance_class("db.t3.medium")
            .engine("postgres")
            .allocated_storage(20)
            .master_username("admin1")
            .master_user_password("not-a-secret")
            .port(5444)
            .tags(tag)
            .send(),
    );
    Resource::parse(&format!("arn:aws:rds:{}:123456789012:db:orders", cloud.region)).unwrap()
}

fn copies(cloud: &Cloud) -> usize {
    cloud.run(cloud.rds.describe_db_snapshots().snapshot_type("manual").send()).db_snapshots().len()
}

#[test]
fn a_database_is_stopped_started_resized_and_tagged() {
    let Some(cloud) = Cloud::start() else { return };
    let database = database(&cloud);
    let found = cloud.look(&database);
    assert_eq!((found.state, found.said.as_str()), (State::Running, "available"));
    assert_eq!(found.size.class.as_deref(), Some("db.t3.medium"));
    assert_eq!((found.size.storage_gib, found.build.port), (Some(20), Some(5444)));
    assert_eq!(found.tags, map(&[("team", "a")]));

    let stop = cloud.step("a1", &database, Operation::Stop);
    cloud.twice(&stop);
    assert_eq!(cloud.look(&database).state, State::Stopped);
    cloud.undo_twice("a2", &stop, &database);
    assert_eq!(cloud.look(&database).state, State::Running);

    let resize = Operation::Resize { to: Size::class("db.t3.small") };
    let resize = cloud.step("a3", &database, resize);
    cloud.twice(&resize);
    cloud.undo_twice("a4", &resize, &database);
    assert_eq!(cloud.look(&database).size, found.size);

    let mark = Operation::Tag {
        set: map(&[("cloudops:mark", "2026-01-01")]),
        remove: BTreeSet::from(["team".to_owned()]),
    };
    let mark = cloud.step("a5", &database, mark);
    cloud.twice(&mark);
    assert_eq!(cloud.look(&database).tags, map(&[("cloudops:mark", "2026-01-01")]));
    cloud.undo_twice("a6", &mark, &database);
    assert_eq!(cloud.look(&database).tags, map(&[("team", "a")]));
}

#[test]
fn a_database_is_copied_deleted_and_restored_under_its_name() {
    let Some(cloud) = Cloud::start() else { return };
    let database = database(&cloud);
    // What was written before it stopped is in the copy.
    cloud.twice(&cloud.step("b1", &database, Operation::Stop));
    // moto also makes an automated snapshot; only ours are counted.
    let copy = cloud.step("b2", &database, Operation::Snapshot);
    let snapshot = created(&cloud.twice(&copy), Kind::DatabaseSnapshot);
    assert_eq!((snapshot.id.as_str(), copies(&cloud)), ("cloudops-b2", 1));
    let before = cloud.look(&database);

    let delete = |id: &str| Operation::Delete { backup: Backup::Taken(id.to_owned()) };
    let step = cloud.step("b3", &database, delete("cloudops-other"));
    assert_eq!(refusal(cloud.executor.perform(&step)), code::NO_BACKUP);
    let protect = |on| {
        let request = cloud.rds.modify_db_instance().db_instance_identifier("orders");
        cloud.run(request.deletion_protection(on).send());
    };
    let step = cloud.step("b4", &database, delete(&snapshot.id));
    protect(true);
    assert_eq!(cloud.look(&database).protections, [Protection::Ending]);
    assert_eq!(refusal(cloud.executor.perform(&step)), code::PROTECTED);
    protect(false);

    let Undo::By { operation, .. } = step.undo() else { panic!("{:?}", step.undo()) };
    let early = cloud.step("b5", &database, operation);
    assert_eq!(refusal(cloud.executor.perform(&early)), code::TAKEN);

    cloud.twice(&step);
    assert_eq!(cloud.executor.look(&database).unwrap(), None);
    let outcome = cloud.undo_twice("b6", &step, &database);
    assert_eq!(created(&outcome, Kind::Database), database);
    let found = cloud.look(&database);
    assert_eq!(found.state, State::Running);
    assert_eq!(found.size, before.size);
    assert_eq!(found.build, before.build);
    assert_eq!(found.tags, map(&[("team", "a"), ("cloudops:token", "b6")]));
    assert_eq!(copies(&cloud), 1);

    let clear = Operation::Delete { backup: Backup::Waived("a test".to_owned()) };
    cloud.twice(&cloud.step("b7", &snapshot, clear));
    assert_eq!(copies(&cloud), 0);
}
