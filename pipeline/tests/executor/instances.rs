//! EC2 instances: stopped, started, resized, tagged, copied, terminated, launched again.

use std::collections::BTreeSet;

use cloudops_pipeline::executor::error::code;
use cloudops_pipeline::executor::observed::{Protection, Size};
use cloudops_pipeline::executor::{
    Backup, Error, Kind, Operation, Resource, Settled, State, Step, Undo,
};

use super::cloud::{Cloud, EMPTY, created, map, refusal};

fn waived() -> Backup {
    Backup::Waived("a test".to_owned())
}

#[test]
fn an_instance_is_seen_as_it_is() {
    let Some(cloud) = Cloud::start() else { return };
    let instance = cloud.launch(&[("team", "a")]);
    let found = cloud.look(&instance);
    assert_eq!((found.state, found.said.as_str()), (State::Running, "running"));
    assert_eq!(found.size, Size::class("t3.micro"));
    assert_eq!(found.zone, Some(cloud.zone.clone()));
    assert_eq!(found.tags, map(&[("team", "a")]));
    assert_eq!(found.protections, []);
    assert!(found.made_us.unwrap() > 0 && found.build.subnet.is_some());
    let [disk] = &found.attachments[..] else { panic!("{found:?}") };
    assert!(disk.ends_with_instance);
    let disk = cloud.look(&instance.beside(Kind::Volume, &disk.id));
    assert_eq!((disk.state, disk.attachments[0].id.as_str()), (State::InUse, &*instance.id));

    cloud.protect(&instance, true);
    assert_eq!(cloud.look(&instance).protections, [Protection::Ending]);
    let none = instance.beside(Kind::Instance, "i-0123456789abcdef0");
    assert_eq!(cloud.executor.look(&none).unwrap(), None);
}

#[test]
fn an_instance_is_stopped_and_started() {
    let Some(cloud) = Cloud::start() else { return };
    let instance = cloud.launch(&[]);
    let stop = cloud.step("a1", &instance, Operation::Stop);
    cloud.twice(&stop);
    assert_eq!(cloud.look(&instance).state, State::Stopped);
    cloud.undo_twice("a2", &stop, &instance);
    assert_eq!(cloud.look(&instance).state, State::Running);

    // Stopping what was stopped before changes nothing, and undoing it neither.
    cloud.executor.perform(&cloud.step("a3", &instance, Operation::Stop)).unwrap();
    let stop = cloud.step("a4", &instance, Operation::Stop);
    assert!(cloud.executor.perform(&stop).unwrap().already);
    assert_eq!(stop.undo(), Undo::Nothing);
    let start = cloud.step("a5", &instance, Operation::Start);
    let outcome = cloud.executor.perform(&stop).unwrap();
    let settled = cloud.executor.settled(&start, &outcome).unwrap();
    assert!(matches!(settled, Settled::Differs { found: Some(_) }), "{settled:?}");
}

#[test]
fn an_instance_is_terminated_once_and_only_where_it_may_be() {
    let Some(cloud) = Cloud::start() else { return };
    let (instance, other) = (cloud.launch(&[]), cloud.launch(&[]));
    let terminate = |token, instance: &Resource| {
        cloud.step(token, instance, Operation::Terminate { backup: waived() })
    };
    cloud.protect(&instance, true);
    let step = terminate("b1", &instance);
    assert_eq!(refusal(cloud.executor.perform(&step)), code::PROTECTED);
    assert_eq!(cloud.look(&instance).state, State::Running);
    cloud.protect(&instance, false);
    cloud.twice(&step);
    assert_eq!(cloud.executor.look(&instance).unwrap(), None);
    assert_eq!(cloud.look(&other).state, State::Running);
    assert!(matches!(step.undo(), Undo::Irreversible { .. }));

    // What never was cannot be ended; a stop of what is gone is no success.
    let none = instance.beside(Kind::Instance, "i-0123456789abcdef0");
    assert_eq!(refusal(cloud.executor.perform(&terminate("b2", &none))), code::NOT_FOUND);
    let stop = cloud.step("b3", &instance, Operation::Stop);
    assert_eq!(refusal(cloud.executor.perform(&stop)), code::NOT_FOUND);

    // AWS itself keeps `aws:` for its own tags; moto lets a test set what a group would.
    let grouped = cloud.launch(&[("aws:autoscaling:groupName", "web")]);
    let step = terminate("b4", &grouped);
    assert_eq!(refusal(cloud.executor.perform(&step)), code::PROTECTED);
}

#[test]
fn an_instance_is_resized_once_it_is_stopped() {
    let Some(cloud) = Cloud::start() else { return };
    let instance = cloud.launch(&[]);
    let resize = Operation::Resize { to: Size::class("t3.large") };
    let running = cloud.step("c1", &instance, resize.clone());
    assert_eq!(refusal(cloud.executor.perform(&running)), code::WRONG_STATE);

    // A running one in three steps, and back again in the opposite order.
    let operations = resize.steps(Kind::Instance, &cloud.look(&instance));
    let mut done: Vec<Step> = Vec::new();
    for (number, operation) in operations.into_iter().enumerate() {
        let step = cloud.step(&format!("c2-{number}"), &instance, operation);
        cloud.twice(&step);
        done.push(step);
    }
    let found = cloud.look(&instance);
    assert_eq!((found.state, found.size), (State::Running, Size::class("t3.large")));
    for (number, step) in done.iter().rev().enumerate() {
        cloud.undo_twice(&format!("c3-{number}"), step, &instance);
    }
    let found = cloud.look(&instance);
    assert_eq!((found.state, found.size), (State::Running, Size::class("t3.micro")));

    let storage = Operation::Resize { to: Size { storage_gib: Some(9), ..Size::default() } };
    let answer = cloud.executor.perform(&cloud.step("c4", &instance, storage));
    assert!(matches!(answer, Err(Error::Unsupported(_))), "{answer:?}");
}

#[test]
fn tags_are_set_removed_and_put_back() {
    let Some(cloud) = Cloud::start() else { return };
    let volume = cloud.volume(&[("team", "a"), ("old", "1")]);
    for resource in [cloud.launch(&[("team", "a"), ("old", "1")]), volume] {
        let mark = Operation::Tag {
            set: map(&[("team", "b"), ("cloudops:mark", "2026-01-01")]),
            remove: BTreeSet::from(["old".to_owned()]),
        };
        let step = cloud.step("d1", &resource, mark);
        cloud.twice(&step);
        let tags = cloud.look(&resource).tags;
        assert_eq!(tags, map(&[("team", "b"), ("cloudops:mark", "2026-01-01")]));
        cloud.undo_twice("d2", &step, &resource);
        assert_eq!(cloud.look(&resource).tags, map(&[("team", "a"), ("old", "1")]));
    }
}

#[test]
fn a_terminated_instance_is_launched_again_from_its_image() {
    let Some(cloud) = Cloud::start() else { return };
    let (instance, other) = (cloud.launch(&[("team", "a")]), cloud.launch(&[]));
    let before = cloud.look(&instance);
    let image = cloud.step("e1", &instance, Operation::Image { reboot: false });
    let image = created(&cloud.twice(&image), Kind::Image);
    let own = cloud.run(cloud.ec2.describe_images().owners("self").send());
    assert_eq!(own.images().len(), 1);

    // An image of another instance is no backup, nor is one that is not there.
    let terminate = |id: &str| Operation::Terminate { backup: Backup::Taken(id.to_owned()) };
    for (target, id) in [(&other, image.id.as_str()), (&instance, "ami-0123456789abcdef0")] {
        let step = cloud.step("e2", target, terminate(id));
        assert_eq!(refusal(cloud.executor.perform(&step)), code::NO_BACKUP);
        assert_eq!(cloud.look(target).state, State::Running);
    }
    let step = cloud.step("e3", &instance, terminate(&image.id));
    // While it is there, nothing takes its place.
    let Undo::By { operation, lost } = step.undo() else { panic!("{:?}", step.undo()) };
    assert!(lost.contains("its id"));
    let early = cloud.step("e4", &instance, operation);
    assert_eq!(refusal(cloud.executor.perform(&early)), code::WRONG_STATE);

    cloud.twice(&step);
    // moto takes no notice of the client token: here it is the tag that makes it one.
    let outcome = cloud.undo_twice("e5", &step, &instance);
    let again = created(&outcome, Kind::Instance);
    assert_eq!(cloud.instances().len(), 3, "two before, and one again");
    let found = cloud.look(&again);
    assert_eq!(found.state, State::Running);
    assert_eq!((&found.size, &found.zone), (&before.size, &before.zone));
    assert_eq!(found.build.subnet, before.build.subnet);
    assert_eq!(found.build.security_groups, before.build.security_groups);
    assert_eq!(found.tags, map(&[("team", "a"), ("cloudops:token", "e5")]));

    // The image is cleared away by a step of its own.
    let clear = cloud.step("e6", &image, Operation::Delete { backup: waived() });
    cloud.twice(&clear);
    assert_eq!(cloud.executor.look(&image).unwrap(), None);
}

#[test]
fn its_own_instance_other_regions_and_protected_tags_are_left_alone() {
    let Some(cloud) = Cloud::start() else { return };
    let (own, kept) = (cloud.launch(&[]), cloud.launch(&[("keep", "")]));
    let more = format!(
        "account = \"123456789012\"\n[guard]\nself_id = {:?}\nprotected_tags = [\"keep\"]",
        own.id
    );
    let executor = cloud.executor(&cloud.endpoint, &more);
    let stop = |resource: &Resource| {
        let step = cloud.step("f1", resource, Operation::Stop);
        refusal(executor.perform(&step))
    };
    assert_eq!(stop(&own), code::OWN_INSTANCE);
    assert_eq!(stop(&kept), code::PROTECTED_TAG);
    let disk = own.beside(Kind::Volume, &cloud.look(&own).attachments[0].id);
    let detach = Operation::Detach { instance: own.id.clone() };
    let step = cloud.step("f2", &disk, detach);
    assert_eq!(refusal(executor.perform(&step)), code::OWN_INSTANCE);
    for arn in [
        "arn:aws:ec2:us-gov-west-1:123456789012:instance/i-0a",
        "arn:aws:ec2:af-south-1:999999999999:instance/i-0a",
    ] {
        let mut step = step.clone();
        (step.resource, step.operation) = (Resource::parse(arn).unwrap(), Operation::Stop);
        assert_eq!(refusal(executor.perform(&step)), code::PROTECTED, "{arn}");
    }
    assert_eq!(cloud.look(&own).state, State::Running);
    assert_eq!(cloud.look(&kept).state, State::Running);

    // The other region is another: what is here is not there.
    let mut there = own.clone();
    there.region = Some(EMPTY.to_owned());
    assert_eq!(executor.look(&there).unwrap(), None);
    let foreign = executor.look(&Resource::foreign("azure", "/subscriptions/1"));
    assert!(matches!(foreign, Err(Error::Unsupported(_))), "{foreign:?}");
}
