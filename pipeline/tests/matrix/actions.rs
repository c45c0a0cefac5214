//! Actions over a store that fails: every operation of a pass in every way, and each call has its effect
//! once in the end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use cloudops_pipeline::action::policy::Policies;
use cloudops_pipeline::action::{Ledger, Run, run, undo};
use cloudops_pipeline::clock::Clock;
use cloudops_pipeline::executor::{
    Executor, Observed, Operation, Outcome, Resource, Result, Settled, State, Step,
};
use cloudops_sql::catalog::Catalog;
use cloudops_sql::catalog::action::{Action, Actions, Marked, Phase};
use cloudops_sql::catalog::store::mount;
use cloudops_sql::session::Session;
use object_store::path::Path;
use tokio::runtime::Runtime;

use crate::case::allowed;
use crate::store::{Fault, Simulated, World};

/// Starts of a program after which it is stuck.
const STARTS: usize = 40;

/// Policies over what every catalog has: its own tables.
const POLICIES: &str = "
executors: []
policies:
- name: stop
  select: SELECT name AS resource FROM tables WHERE name IN ('alerts', 'drift')
  population: SELECT name AS resource FROM tables
  executor: estate
  do: stop
  grace: 0s
  approvals: {people: 0}
  mark: {tag: 'cloudops:action'}
";

/// Resources that run until they are stopped; each call's token with how often it had its effect.
#[derive(Debug, Default)]
struct Estate {
    stopped: BTreeMap<String, bool>,
    tags: BTreeMap<String, BTreeMap<String, String>>,
    effects: BTreeMap<String, u32>,
}

#[derive(Debug, Clone, Default)]
struct Shared(Arc<Mutex<Estate>>);

impl Executor for Shared {
    fn name(&self) -> &str {
        "estate"
    }

    fn look(&self, resource: &Resource) -> Result<Option<Observed>> {
        let estate = self.0.lock().unwrap();
        let is_stopped = estate.stopped.get(&resource.id) == Some(&true);
        let state = if is_stopped { State::Stopped } else { State::Running };
        let tags = estate.tags.get(&resource.id).cloned().unwrap_or_default();
        Ok(Some(Observed { tags, ..Observed::new(state, "") }))
    }

    fn perform(&self, step: &Step) -> Result<Outcome> {
        let mut estate = self.0.lock().unwrap();
        if estate.effects.contains_key(step.token.as_str()) {
            return Ok(Outcome { already: true, ..Outcome::default() });
        }
        *estate.effects.entry(step.token.to_string()).or_default() += 1;
        let id = step.resource.id.clone();
        match &step.operation {
            Operation::Tag { set, remove } => {
                let tags = estate.tags.entry(id).or_default();
                tags.extend(set.clone());
                tags.retain(|key, _| !remove.contains(key));
            }
            other => drop(estate.stopped.insert(id, other.verb() == "stop")),
        }
        Ok(Outcome::default())
    }

    fn settled(&self, _: &Step, _: &Outcome) -> Result<Settled> {
        Ok(Settled::Done)
    }
}

/// A clock that goes on whenever it is looked at.
#[derive(Debug, Default)]
struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now_us(&self) -> i64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// A pass over the policies, then everything taken back, each program started again until it is done; gives
/// what is left, and how many operations of the store it took.
fn carry_out(
    name: &str,
    faults: &[(u64, Fault)],
) -> std::result::Result<(Actions, Estate, u64), String> {
    let world = World::new(faults);
    let (estate, clock) = (Shared::default(), Arc::new(Ticking::default()));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("policies.yaml");
    std::fs::write(&file, POLICIES).unwrap();
    let policies = Policies::read(&file).unwrap();
    let again = |work: &dyn Fn(&mut Run<'_>, &Runtime) -> anyhow::Result<bool>| {
        for _ in 0..STARTS {
            mount(name, Simulated::over(&world));
            let runtime = Runtime::new().unwrap();
            let opened =
                runtime.block_on(Catalog::open_at(Simulated::over(&world), Path::default()));
            let ended = opened.map_err(anyhow::Error::from).and_then(|catalog| {
                let executors: BTreeMap<String, Box<dyn Executor>> =
                    [("estate".to_owned(), Box::new(estate.clone()) as _)].into();
                let ledger = Ledger::new(catalog, Runtime::new()?, true);
                let clock = Arc::clone(&clock) as Arc<dyn Clock>;
                let (by, news) = ("test".to_owned(), Vec::new());
                let mut pass = Run { policies: &policies, executors, ledger, clock, by, news };
                work(&mut pass, &runtime)
            });
            match ended {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => allowed(&error)?,
            }
        }
        Err("it does not get on".to_owned())
    };
    again(&|pass, runtime| {
        let mut session = runtime.block_on(Session::open(&format!("memory://{name}")))?;
        run(pass, &mut session, runtime)?;
        let verified = |actions: &Actions| {
            let all = actions.all.values();
            all.filter(|action| action.phase == Phase::Verified).count() == 2
        };
        Ok(verified(pass.ledger.actions()))
    })?;
    again(&|pass, _| {
        let of = |phase: Phase, actions: &Actions| -> Vec<String> {
            let all = actions.all.iter();
            all.filter(|(_, action)| action.phase == phase).map(|(id, _)| id.clone()).collect()
        };
        let (done, begun) =
            (of(Phase::Verified, pass.ledger.actions()), of(Phase::Undoing, pass.ledger.actions()));
        for id in begun.into_iter().chain(done) {
            undo(pass, &id)?;
        }
        Ok(of(Phase::Undone, pass.ledger.actions()).len() == 2)
    })?;
    let operations = world.operations();
    world.calm();
    let runtime = Runtime::new().unwrap();
    let catalog = runtime.block_on(Catalog::open_at(Simulated::over(&world), Path::default()));
    let actions = catalog.map_err(|error| error.to_string())?.state().actions.clone();
    let estate = std::mem::take(&mut *estate.0.lock().unwrap());
    Ok((actions, estate, operations))
}

#[test]
fn an_action_has_its_effect_once_whatever_the_store_does() {
    let (_, _, operations) = carry_out("actions", &[]).unwrap();
    assert!(operations > 20, "{operations}");
    for fault in Fault::ALL {
        for at in 0..operations {
            let case = format!("{fault:?} at {at}");
            let (actions, estate, _) =
                carry_out("actions", &[(at, fault)]).unwrap_or_else(|why| panic!("{case}: {why}"));
            assert!(estate.effects.values().all(|times| *times == 1), "{case}: {estate:?}");
            assert_eq!(
                estate.effects.len(),
                8,
                "{case}: two marked, stopped, unmarked, started: {estate:?}"
            );
            assert_eq!(estate.tags.len(), 2, "{case}: {estate:?}");
            assert!(estate.tags.values().all(BTreeMap::is_empty), "{case}: {estate:?}");
            assert!(actions.all.values().all(|action| action.marked == Marked::Removed), "{case}");
            assert!(estate.stopped.values().all(|stopped| !stopped), "{case}: {estate:?}");
            let undone = actions.all.values().filter(|action| action.phase == Phase::Undone);
            assert_eq!(undone.count(), 2, "{case}");
            let is_open = |action: &Action| action.intent.is_some() || action.mark_intent.is_some();
            assert!(!actions.all.values().any(is_open), "{case}");
        }
    }
}
