//! Three programs and one failing store, in every order that the seed deals:
//! whatever happens, the log folds, and what was acknowledged stands where it
//! was said to stand.

use std::sync::Arc;

use cloudops_sql::Error;
use cloudops_sql::catalog::Catalog;
use cloudops_sql::catalog::invariants;
use cloudops_sql::catalog::record::Record;
use futures_util::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::faulty::{Fault, Faulty};
use crate::records::{commit, delivered, plan, promote, silence};

const PROGRAMS: usize = 3;

#[derive(Debug, Clone, Copy)]
enum Step {
    /// The program dies and starts again.
    Restart,
    TakeOver,
    Plan(u64),
    Commit,
    Promote(u64),
    /// Another program delivers likewise: one of them comes too late.
    Deliver,
    Silence(u64),
    Refresh,
    /// Its next puts fail so.
    Fail(Fault, usize),
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let fault = prop_oneof![Just(Fault::Refuse), Just(Fault::LoseReply)];
    let step = prop_oneof![
        1 => Just(Step::Restart),
        2 => Just(Step::TakeOver),
        6 => (0..5u64).prop_map(Step::Plan),
        6 => Just(Step::Commit),
        1 => (0..9u64).prop_map(Step::Promote),
        3 => Just(Step::Deliver),
        1 => (0..9u64).prop_map(Step::Silence),
        1 => Just(Step::Refresh),
        3 => (fault, 1..4usize).prop_map(|(fault, times)| Step::Fail(fault, times)),
    ];
    (0..PROGRAMS, step)
}

struct Program {
    store: Faulty,
    catalog: Catalog,
    /// Not known to have landed.
    pending: Option<Record>,
}

impl Program {
    async fn start(inner: &Arc<InMemory>) -> Self {
        let store = Faulty::over(inner);
        let catalog = Catalog::open_at(Arc::new(store.clone()), Path::default()).await.unwrap();
        Self { store, catalog, pending: None }
    }

    /// The record that this program would append now, by its own view.
    fn next(&self, step: Step) -> Option<Record> {
        if let Some(pending) = &self.pending {
            return Some(pending.clone());
        }
        let state = self.catalog.state();
        let generation = self.catalog.generation();
        match step {
            Step::Plan(rows) => Some(Record::Plan(plan(state, generation?, rows))),
            Step::Commit => Some(Record::Commit(commit(state.open_plans.front()?, generation?))),
            Step::Promote(version) => Some(promote(version)),
            Step::Silence(stream) => Some(silence(stream)),
            Step::Deliver => {
                Some(delivered(state)).filter(|record| invariants::check(state, record).is_ok())
            }
            _ => None,
        }
    }
}

async fn simulate(steps: Vec<(usize, Step)>) -> usize {
    let inner = Arc::new(InMemory::new());
    let mut programs = Vec::new();
    for _ in 0..PROGRAMS {
        programs.push(Program::start(&inner).await);
    }
    let mut acknowledged = Vec::new();
    for (program, step) in steps {
        let program = &mut programs[program];
        match step {
            Step::Restart => *program = Program::start(&inner).await,
            Step::Fail(fault, times) => program.store.fail(&vec![fault; times]),
            Step::Refresh => program.catalog.refresh().await.unwrap(),
            Step::TakeOver => {
                program.pending = None;
                match program.catalog.take_over("test", "", 1).await {
                    Ok(_) | Err(Error::Retry { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
            }
            Step::Plan(_) | Step::Commit | Step::Promote(_) | Step::Deliver | Step::Silence(_) => {
                let Some(record) = program.next(step) else { continue };
                match program.catalog.append(record.clone()).await {
                    Ok(seq) => {
                        acknowledged.push((seq, record));
                        program.pending = None;
                    }
                    Err(Error::Retry { .. }) => program.pending = Some(record),
                    // Another program has delivered, before this one or since it last asked.
                    Err(Error::Superseded { kind: "delivered", .. }) => program.pending = None,
                    Err(Error::Bug(rule)) if rule.contains("delivery of sink") => {
                        assert_eq!(program.pending.take(), Some(record));
                    }
                    Err(Error::Fenced { own, current, .. }) => {
                        assert!(own < current);
                        program.pending = None;
                    }
                    Err(other) => panic!("{other}"),
                }
            }
        }
    }

    let reader = Catalog::open_at(inner, Path::default()).await.unwrap();
    let log: Vec<_> = reader.history().records().try_collect().await.unwrap();
    for (seq, record) in &acknowledged {
        let found = &log[*seq as usize - 1];
        assert_eq!((found.0, &found.1), (*seq, record));
    }
    for program in &mut programs {
        program.catalog.refresh().await.unwrap();
        assert_eq!(program.catalog.state(), reader.state());
    }
    // Whoever delivered, each row is said to be dead once, and sinks have only gone forward.
    let mut next = None;
    let mut dead = Vec::new();
    for (_, record) in &log {
        if let Record::Delivered(delivered) = record {
            assert!(next.replace(delivered.next) < Some(delivered.next));
            dead.extend(delivered.held.iter().map(|held| held.place));
        }
    }
    assert!(dead.is_sorted_by(|a, b| a < b), "{dead:?}");
    acknowledged.len()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        rng_seed: RngSeed::Fixed(0x0c10_0d05),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_was_acknowledged_stands(steps in proptest::collection::vec(step(), 0..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(simulate(steps));
    }
}

#[tokio::test]
async fn the_simulation_gets_somewhere() {
    let mut steps = vec![(0, Step::TakeOver)];
    for _ in 0..10 {
        steps.extend([(0, Step::Plan(3)), (0, Step::Commit)]);
    }
    assert_eq!(simulate(steps).await, 20);
}
