//! EBS volumes: copied, deleted, restored, detached, attached, resized.

use cloudops_pipeline::executor::error::code;
use cloudops_pipeline::executor::observed::Size;
use cloudops_pipeline::executor::{
    Backup, Error, Kind, Observed, Operation, Resource, State, Step, Token, Undo,
};

use super::cloud::{Cloud, created, map, refusal};

fn delete(snapshot: &str) -> Operation {
    Operation::Delete { backup: Backup::Taken(snapshot.to_owned()) }
}

/// What a volume has that must come back.
fn shape(found: &Observed) -> (Size, Option<String>, Option<bool>) {
    (found.size.clone(), found.zone.clone(), found.build.encrypted)
}

#[test]
fn a_volume_is_copied_deleted_and_restored() {
    let Some(cloud) = Cloud::start() else { return };
    let tags = [("team", "a"), ("Name", "data")];
    let (volume, other) = (cloud.volume(&tags), cloud.volume(&[]));
    let before = cloud.look(&volume);
    assert_eq!((before.state, before.zone.clone()), (State::Ready, Some(cloud.zone.clone())));
    let size = Size {
        class: Some("gp3".to_owned()),
        storage_gib: Some(9),
        iops: Some(3500),
        throughput_mib: Some(250),
    };
    assert_eq!((&before.size, &before.tags), (&size, &map(&tags)));

    // A copy a token, however often it is performed.
    let copy = cloud.step("a1", &volume, Operation::Snapshot);
    let snapshot = created(&cloud.twice(&copy), Kind::Snapshot);
    assert_eq!(cloud.snapshots(&volume), 1);
    assert_eq!(copy.undo(), Undo::Nothing);
    let second = cloud.step("a2", &volume, Operation::Snapshot);
    assert_ne!(created(&cloud.twice(&second), Kind::Snapshot), snapshot);
    assert_eq!(cloud.snapshots(&volume), 2);
    let found = cloud.look(&snapshot);
    assert_eq!((found.state, found.source.as_ref()), (State::Ready, Some(&volume.id)));

    // Another volume's copy is none, nor one that is not there, nor a word without a reason.
    for (target, id) in [(&other, snapshot.id.as_str()), (&volume, "snap-0123456789abcdef0")] {
        let step = cloud.step("a3", target, delete(id));
        assert_eq!(refusal(cloud.executor.perform(&step)), code::NO_BACKUP);
    }
    assert_eq!(cloud.volumes(), 2);

    let step = cloud.step("a4", &volume, delete(&snapshot.id));
    cloud.twice(&step);
    assert_eq!(cloud.executor.look(&volume).unwrap(), None);
    assert_eq!(cloud.volumes(), 1);

    let restore = cloud.undo_twice("a5", &step, &volume);
    let again = created(&restore, Kind::Volume);
    assert_eq!(cloud.volumes(), 2);
    let found = cloud.look(&again);
    assert_eq!(shape(&found), shape(&before));
    let tags = [("team", "a"), ("Name", "data"), ("cloudops:token", "a5")];
    assert_eq!(found.tags, map(&tags));

    // The copies go in steps of their own, which need say no more than why.
    let gone = Operation::Delete { backup: Backup::Waived("a test".to_owned()) };
    cloud.twice(&cloud.step("a6", &snapshot, gone));
    assert_eq!(cloud.snapshots(&volume), 1);
}

#[test]
fn a_copy_is_waived_in_words() {
    let Some(cloud) = Cloud::start() else { return };
    let volume = cloud.volume(&[]);
    let gone = Operation::Delete { backup: Backup::Waived("it was never attached".to_owned()) };
    let step = cloud.step("b1", &volume, gone);
    cloud.twice(&step);
    assert_eq!(cloud.volumes(), 0);
    assert!(matches!(step.undo(), Undo::Irreversible { .. }));
}

#[test]
fn an_attached_volume_is_detached_before_it_is_deleted_and_attached_again() {
    let Some(cloud) = Cloud::start() else { return };
    let (instance, volume) = (cloud.launch(&[]), cloud.volume(&[]));
    let attach = Operation::Attach { instance: instance.id.clone(), device: "/dev/sdf".to_owned() };
    let attach = cloud.step("c1", &volume, attach);
    cloud.twice(&attach);
    assert_eq!(cloud.look(&volume).state, State::InUse);
    let snapshot = cloud.step("c2", &volume, Operation::Snapshot);
    let snapshot = created(&cloud.twice(&snapshot), Kind::Snapshot);
    let step = cloud.step("c3", &volume, delete(&snapshot.id));
    assert_eq!(refusal(cloud.executor.perform(&step)), code::WRONG_STATE);

    let detach = cloud.step("c4", &volume, Operation::Detach { instance: instance.id.clone() });
    cloud.twice(&detach);
    let step = cloud.step("c5", &volume, delete(&snapshot.id));
    cloud.twice(&step);

    // Undone from the last to the first, on what has taken the volume's place.
    let Undo::By { operation, .. } = step.undo() else { panic!("{:?}", step.undo()) };
    let restore = cloud.step("c6", &volume, operation);
    let outcome = cloud.twice(&restore);
    let again = outcome.successor(&restore);
    assert_ne!(*again, volume);
    cloud.undo_twice("c7", &detach, again);
    let found = cloud.look(again);
    assert_eq!(found.attachments[0].id, instance.id);
    assert_eq!(found.attachments[0].device, "/dev/sdf");
}

#[test]
fn a_volume_changes_its_type_and_back_but_never_shrinks() {
    let Some(cloud) = Cloud::start() else { return };
    let volume = cloud.volume(&[]);
    let to = Size { class: Some("io2".to_owned()), iops: Some(4000), ..Size::default() };
    let step = cloud.step("d1", &volume, Operation::Resize { to });
    cloud.twice(&step);
    let size = cloud.look(&volume).size;
    assert_eq!((size.class.as_deref(), size.iops), (Some("io2"), Some(4000)));
    cloud.undo_twice("d2", &step, &volume);
    let size = cloud.look(&volume).size;
    assert_eq!((size.class.as_deref(), size.iops), (Some("gp3"), Some(3500)));

    let storage = |gib| {
        let to = Size { storage_gib: Some(gib), ..Size::default() };
        cloud.step("d3", &volume, Operation::Resize { to })
    };
    let answer = cloud.executor.perform(&storage(8));
    assert!(matches!(answer, Err(Error::Unsupported(_))), "{answer:?}");
    let grow = storage(12);
    cloud.twice(&grow);
    assert_eq!(cloud.look(&volume).size.storage_gib, Some(12));
    assert!(matches!(grow.undo(), Undo::Irreversible { .. }));
}

#[test]
fn what_makes_no_sense_is_not_supported() {
    let Some(cloud) = Cloud::start() else { return };
    for (id, operation) in [
        ("vol-0a", Operation::Stop),
        ("snap-0a", Operation::Snapshot),
        ("i-0a", Operation::Delete { backup: Backup::Waived("a test".to_owned()) }),
        ("ami-0a", Operation::Image { reboot: false }),
    ] {
        let step = Step {
            token: Token::new("e1").unwrap(),
            resource: Resource::parse(id).unwrap(),
            operation,
            before: None,
        };
        let answer = cloud.executor.perform(&step);
        assert!(matches!(answer, Err(Error::Unsupported(_))), "{id}: {answer:?}");
    }
}
