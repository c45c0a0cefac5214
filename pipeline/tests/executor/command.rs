//! Programs that act, written as small scripts.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cloudops_pipeline::clock::FixedClock;
use cloudops_pipeline::executor::{
    Error, Executor, ExecutorConfig, Observed, Operation, Outcome, Resource, Settled, State, Step,
    Token,
};
use serde_json::Value;

/// A script in a directory of its own.
struct Script {
    dir: tempfile::TempDir,
    path: PathBuf,
}

impl Script {
    fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hook");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        Self { dir, path }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// It gets its directory as its argument.
    fn executor(&self, more: &str) -> Box<dyn Executor> {
        executor(&self.path, self.dir.path(), more)
    }

    fn perform(&self, more: &str) -> Result<Outcome, Error> {
        self.executor(more).perform(&step())
    }
}

fn executor(program: &Path, argument: &Path, more: &str) -> Box<dyn Executor> {
    // Run by the shell, not by itself: a script that has just been written may still be open in a child
    // that another test's thread is about to start.
    let text = format!(
        "kind = \"command\"\nname = \"hook\"\nprogram = \"/bin/sh\"\n\
         arguments = [{program:?}, {argument:?}, \"$HOME; true\"]\n{more}"
    );
    let config: ExecutorConfig = toml::from_str(&text).unwrap();
    let environment = |name: &str| match name {
        "PATH" => std::env::var(name).ok(),
        "PASSED" | "HIDDEN" => Some(name.to_lowercase()),
        _ => None,
    };
    config.build(&environment, Arc::new(FixedClock(0))).unwrap()
}

fn step() -> Step {
    Step {
        token: Token::new("step-1").unwrap(),
        resource: Resource::foreign("rack", "server 12"),
        operation: Operation::Stop,
        before: None,
    }
}

#[test]
fn a_program_gets_the_step_and_answers_with_the_outcome() {
    let script = Script::new(
        "cat > \"$1/input\"\nenv > \"$1/environment\"\necho \"$2\" > \"$1/argument\"\n\
         echo '{\"note\": \"done\"}'",
    );
    let outcome = script.perform("environment = [\"PASSED\"]").unwrap();
    assert_eq!(outcome, Outcome { note: Some("done".to_owned()), ..Outcome::default() });
    let input: Value =
        serde_json::from_slice(&std::fs::read(script.file("input")).unwrap()).unwrap();
    assert_eq!(input["ask"], "perform");
    assert_eq!(input["step"], serde_json::to_value(step()).unwrap());
    let seen = std::fs::read_to_string(script.file("environment")).unwrap();
    for line in ["CLOUDOPS_TOKEN=step-1", "CLOUDOPS_ASK=perform", "PASSED=passed"] {
        assert!(seen.lines().any(|other| other == line), "{line}: {seen}");
    }
    assert!(!seen.contains("HIDDEN"), "{seen}");
    let argument = std::fs::read_to_string(script.file("argument")).unwrap();
    assert_eq!(argument, "$HOME; true\n", "no shell has read it");
}

#[test]
fn how_a_program_ends_says_what_to_do_next() {
    let done = Script::new("echo stopped by hand").perform("").unwrap();
    assert_eq!(done.note.as_deref(), Some("stopped by hand"));
    // Neither a program that does not read nor one that writes much can stop anything.
    let much = Script::new("i=0; while [ $i -lt 5000 ]; do echo $i$i$i$i$i$i; i=$((i+1)); done");
    assert!(much.perform("").is_ok());

    match Script::new("echo first >&2; echo it is locked >&2; exit 3").perform("") {
        Err(Error::Refused { code, message, .. }) => {
            assert_eq!((code.as_str(), message.as_str()), ("exit 3", "first\nit is locked"));
        }
        other => panic!("{other:?}"),
    }
    match Script::new("echo busy >&2; exit 75").perform("retry_after = \"7s\"") {
        Err(Error::Retry { after, message, .. }) => {
            assert_eq!((after.as_secs(), message.as_str()), (7, "busy"));
        }
        other => panic!("{other:?}"),
    }
    let killed = Script::new("kill -9 $$").perform("").unwrap_err();
    assert!(matches!(killed, Error::Retry { .. }), "{killed}");
    let text = "kind = \"command\"\nname = \"hook\"\nprogram = \"/nowhere/hook\"";
    let config: ExecutorConfig = toml::from_str(text).unwrap();
    let none = config.build(&|_| None, Arc::new(FixedClock(0))).unwrap();
    let error = none.perform(&step()).unwrap_err();
    assert!(matches!(error, Error::Configuration { .. }), "{error}");
}

#[test]
fn a_program_that_takes_too_long_is_killed_with_what_it_has_started() {
    // The child waits for a pipe that nobody writes to; it holds a lock on its end of another, which is
    // free once it is dead.
    let script = Script::new(
        "mkfifo \"$1/never\"\n(exec cat \"$1/never\") &\necho $! > \"$1/child\"\n\
         mv \"$1/child\" \"$1/started\"\nwait",
    );
    let mut timeout_ms = 200;
    let child = loop {
        let error = script.perform(&format!("timeout = \"{timeout_ms}ms\"")).unwrap_err();
        assert!(matches!(error, Error::Retry { .. }), "{error}");
        // On a busy machine the script may not have come so far; it then gets more time.
        if let Ok(text) = std::fs::read_to_string(script.file("started")) {
            break text.trim().to_owned();
        }
        std::fs::remove_file(script.file("never")).ok();
        timeout_ms *= 2;
    };
    let stat = PathBuf::from(format!("/proc/{child}/stat"));
    let is_dead = || match std::fs::read_to_string(&stat) {
        // Whoever takes over orphans may take its time to bury them.
        Ok(text) => text.contains(") Z "),
        Err(_) => true,
    };
    while !is_dead() {
        std::thread::yield_now();
    }
}

#[test]
fn a_program_may_look_and_verify() {
    let script = Script::new(
        "case $CLOUDOPS_ASK in\nlook) cat \"$1/found\";;\n\
         settled) echo '{\"settled\": \"differs\"}';;\nesac",
    );
    let found = Observed::new(State::Running, "up");
    std::fs::write(script.file("found"), serde_json::to_vec(&found).unwrap()).unwrap();
    let executor = script.executor("looks = true");
    let resource = step().resource;
    assert_eq!(executor.look(&resource).unwrap(), Some(found));
    std::fs::write(script.file("found"), "null").unwrap();
    assert_eq!(executor.look(&resource).unwrap(), None);
    let settled = executor.settled(&step(), &Outcome::default()).unwrap();
    assert_eq!(settled, Settled::Differs { found: None });

    let look = script.executor("").look(&resource);
    assert!(matches!(look, Err(Error::Unsupported(_))), "{look:?}");
    let refused = script.executor("read_only = true").perform(&step());
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
}
