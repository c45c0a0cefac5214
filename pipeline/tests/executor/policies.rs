//! Policies against moto: terminated, deleted and resized with all that belongs to it, and taken back.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudops_pipeline::action::policy::Policies;
use cloudops_pipeline::action::{Ledger, News, Run, run, undo};
use cloudops_pipeline::clock::SystemClock;
use cloudops_pipeline::executor::{Executor, Resource, State};
use cloudops_sql::catalog::Catalog;
use cloudops_sql::session::Session;
use tokio::runtime::Runtime;

use super::cloud::Cloud;

/// A policy over one resource of a cloud, with a catalog of its own.
struct Scene<'a> {
    cloud: &'a Cloud,
    address: String,
    policies: Policies,
    runtime: Runtime,
}

impl<'a> Scene<'a> {
    fn new(cloud: &'a Cloud, name: &str, resource: &Resource, deed: &str) -> Self {
        Self::with_settings(cloud, name, resource, &format!("{deed}\n  grace: 0s"))
    }

    /// With the deed and settings beside it.
    fn with_settings(cloud: &'a Cloud, name: &str, resource: &Resource, deed: &str) -> Self {
        let address = format!("memory://policies-{name}");
        let policies = Self::policies(name, resource, deed);
        Self { cloud, address, policies, runtime: Runtime::new().unwrap() }
    }

    fn policies(name: &str, resource: &Resource, deed: &str) -> Policies {
        let values = format!("(VALUES ('{}', 't3.small')) AS r(resource, resize_to)", resource.id);
        let text = format!(
            "executors: []\npolicies:\n- name: {name}\n  select: \"SELECT resource, resize_to FROM {values} \
             WHERE resource <> ''\"\n  population: \"SELECT resource FROM {values}\"\n  executor: cloud\n  \
             do: {deed}\n  max-percent: 100\n  approvals: {{people: 0}}\n"
        );
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("policies.yaml");
        std::fs::write(&file, text).unwrap();
        Policies::read(&file).unwrap()
    }

    fn with<T>(&self, apply: bool, work: impl FnOnce(&mut Run<'_>) -> T) -> (T, Vec<News>) {
        let executors: BTreeMap<String, Box<dyn Executor>> =
            [("cloud".to_owned(), self.cloud.executor(&self.cloud.endpoint, ""))].into();
        let catalog = self.runtime.block_on(Catalog::open_or_create(&self.address)).unwrap();
        let mut pass = Run {
            policies: &self.policies,
            executors,
            ledger: Ledger::new(catalog, Runtime::new().unwrap(), apply),
            clock: Arc::new(SystemClock),
            by: "test".to_owned(),
            news: Vec::new(),
        };
        (work(&mut pass), pass.news)
    }

    /// Passes until an action is verified; its id, and what the passes said.
    fn run(&self, apply: bool) -> (Option<String>, Vec<News>) {
        self.with(apply, |pass| {
            let mut session = self.runtime.block_on(Session::open(&self.address)).unwrap();
            for _ in 0..10 {
                run(pass, &mut session, &self.runtime).unwrap();
            }
            let all = pass.ledger.actions().all.iter();
            let verified = all.filter(|(_, action)| action.phase.name() == "verified");
            verified.map(|(id, _)| id.clone()).next()
        })
    }

    fn undo(&self, id: &str) {
        let (phase, news) = self.with(true, |pass| {
            undo(pass, id).unwrap();
            pass.ledger.actions().find(id).unwrap().phase.name()
        });
        assert_eq!(phase, "undone", "{news:?}");
    }
}

#[test]
fn an_instance_is_imaged_terminated_and_launched_again() {
    let Some(cloud) = Cloud::start() else { return };
    let instance = cloud.launch(&[("team", "a")]);
    let scene = Scene::new(&cloud, "terminate", &instance, "terminate");
    let (none, news) = scene.run(false);
    assert!(none.is_none() && cloud.look(&instance).state == State::Running, "{news:?}");
    // Protected by its provider: nothing is even proposed.
    cloud.protect(&instance, true);
    let (none, news) = scene.run(true);
    assert!(none.is_none() && news.iter().any(|news| news.why.contains("protected")), "{news:?}");
    cloud.protect(&instance, false);
    let (id, news) = scene.run(true);
    let id = id.unwrap_or_else(|| panic!("{news:?}"));
    assert!(
        cloud.executor.look(&instance).unwrap().is_none_or(|found| found.state == State::Ending)
    );
    let before = cloud.instances().len();
    scene.undo(&id);
    let after = cloud.instances();
    assert_eq!(after.len(), before + 1, "{after:?}");
    let again = after.iter().filter(|id| **id != instance.id);
    let again: Vec<_> = again.map(|id| cloud.look(&Resource::parse(id).unwrap())).collect();
    assert!(again.iter().any(|found| found.tags.get("team").map(String::as_str) == Some("a")));
}

#[test]
fn a_volume_is_copied_deleted_and_made_again() {
    let Some(cloud) = Cloud::start() else { return };
    let volume = cloud.volume(&[("team", "a")]);
    let scene = Scene::new(&cloud, "delete", &volume, "delete");
    let (volumes, (id, news)) = (cloud.volumes(), scene.run(true));
    let id = id.unwrap_or_else(|| panic!("{news:?}"));
    assert_eq!((cloud.volumes(), cloud.snapshots(&volume)), (volumes - 1, 1));
    scene.undo(&id);
    assert_eq!(cloud.volumes(), volumes);
    // Another pass finds the volume gone, and has nothing to do.
    scene.run(true);
    assert_eq!((cloud.volumes(), cloud.snapshots(&volume)), (volumes, 1));
}

#[test]
fn a_running_instance_is_resized_and_back() {
    let Some(cloud) = Cloud::start() else { return };
    let instance = cloud.launch(&[]);
    let scene = Scene::new(&cloud, "resize", &instance, "resize");
    let (id, news) = scene.run(true);
    let id = id.unwrap_or_else(|| panic!("{news:?}"));
    let again = news.iter().filter(|news| news.what == "skipped" && news.why.contains("already"));
    assert_eq!(again.count(), 9, "what is of the size already is not stopped again: {news:?}");
    let size = || cloud.look(&instance).size.class.unwrap_or_default();
    assert_eq!((size().as_str(), cloud.look(&instance).state), ("t3.small", State::Running));
    scene.undo(&id);
    assert_eq!((size().as_str(), cloud.look(&instance).state), ("t3.micro", State::Running));
}

#[test]
fn what_is_proposed_carries_a_tag_until_it_is_done() {
    let Some(cloud) = Cloud::start() else { return };
    let mark = |resource: &Resource| cloud.look(resource).tags.get("cloudops:action").cloned();
    let (instance, volume) = (cloud.launch(&[("team", "a")]), cloud.volume(&[]));
    for (name, resource, deed) in [("wait", &instance, "stop"), ("keep", &volume, "snapshot")] {
        let tag = "mark: {tag: 'cloudops:action'}";
        let waits = format!("{deed}\n  grace: 1h\n  {tag}");
        let scene = Scene::with_settings(&cloud, name, resource, &waits);
        let (none, news) = scene.run(false);
        assert!(none.is_none() && mark(resource).is_none(), "{news:?}");
        let (_, news) = scene.run(true);
        let found = mark(resource).unwrap_or_else(|| panic!("{news:?}"));
        assert!(found.starts_with(&format!("{deed} not before ")), "{found}");
        // Its policy has changed: the mark goes, another one comes, and goes when all is done.
        let now = format!("{deed}\n  grace: 0s\n  {tag}");
        let scene = Scene { policies: Scene::policies(name, resource, &now), ..scene };
        let (done, news) = scene.run(true);
        assert!(done.is_some() && mark(resource).is_none(), "{news:?}");
        let marked = news.iter().filter(|news| news.what.ends_with("marking")).count();
        assert_eq!(
            marked, 3,
            "the old one taken away, the new one put there and taken away: {news:?}"
        );
    }
    assert_eq!(cloud.look(&instance).state, State::Stopped);
    assert_eq!(cloud.look(&instance).tags.get("team").map(String::as_str), Some("a"));
}
