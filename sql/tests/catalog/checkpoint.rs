//! Checkpoints of what changed, upon one that is whole.

use cloudops_operators::epoch::Epoch;
use cloudops_sql::catalog::State;
use cloudops_sql::catalog::record::{Checkpoint, Commit, OperatorRef, Record, StateRef, Takeover};
use cloudops_sql::catalog::store::state_path_parts;

use crate::records::{checkpoint, commit, plan};

fn window() -> OperatorRef {
    OperatorRef { stream: "sensor".into(), operator: "window".into() }
}

/// The next epoch's commit, with this checkpoint.
fn next(state: &mut State, change: impl FnOnce(&mut Checkpoint)) -> Commit {
    let planned = plan(state, 1, 5);
    state.apply(Record::Plan(planned.clone())).expect("in order");
    let mut commit = commit(&planned, 1);
    let mut taken = checkpoint(planned.epoch);
    change(&mut taken);
    commit.checkpoint = Some(taken);
    commit
}

fn begun() -> State {
    let takeover = Takeover {
        generation: 1,
        build: "test".to_owned(),
        config_hash: String::new(),
        workers: 1,
    };
    let mut state = State::default();
    state.apply(Record::Takeover(takeover)).expect("the first");
    state
}

fn epochs(state: &State) -> Vec<u64> {
    let at = state.checkpoint.as_ref().expect("a checkpoint");
    assert!(at.checkpoint.continued.is_empty(), "it needs none before it");
    let epoch = |state: &StateRef| state_path_parts(&state.path).map(|(_, _, epoch)| epoch.0);
    at.checkpoint.states.iter().filter_map(epoch).collect()
}

#[test]
fn changes_stand_behind_what_they_continue_until_all_is_written_again() {
    let mut state = begun();
    for (continued, want) in [(false, vec![0]), (true, vec![0, 1]), (true, vec![0, 1, 2])] {
        let commit = next(&mut state, |taken| taken.continued.extend(continued.then(window)));
        state.apply(Record::Commit(commit)).expect("in order");
        assert_eq!(epochs(&state), want);
    }
    let needed = state.checkpoint.as_ref().expect("a checkpoint").checkpoint.states.clone();
    let paths: Vec<&str> = needed.iter().map(|state| state.path.as_str()).collect();
    assert!(state.dead(paths.iter().copied()).is_empty(), "all three are needed");

    // Nothing has changed: nothing is written, and all of it still counts.
    let commit = next(&mut state, |taken| {
        taken.continued.push(window());
        taken.states.clear();
    });
    state.apply(Record::Commit(commit)).expect("in order");
    assert_eq!(epochs(&state), [0, 1, 2]);

    let commit = next(&mut state, |_| {});
    state.apply(Record::Commit(commit)).expect("in order");
    assert_eq!(epochs(&state), [4]);
    assert_eq!(state.dead(paths.iter().copied()), paths, "none of them is needed");
}

#[test]
fn there_must_be_something_to_continue() {
    let mut state = begun();
    let commit = next(&mut state, |taken| taken.continued.push(window()));
    let error = state.apply(Record::Commit(commit.clone())).expect_err("nothing before it");
    assert!(error.contains("continues a checkpoint where there is none"), "{error}");
    assert_eq!(state.committed, None, "and nothing has been applied");

    let commit = next(&mut begun(), |taken| taken.continued.extend([window(), window()]));
    assert_eq!(commit.epoch, Epoch(0));
    let error = state.apply(Record::Commit(commit)).expect_err("twice");
    assert!(error.contains("twice"), "{error}");
}
