//! Actions by policies, with a program that acts on files: nothing without `--apply`, grace and approval;
//! nothing over a limit; once, whenever the program is killed; and back.

#![allow(clippy::unwrap_used, reason = "a step that fails, fails the test")]

#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;

use serde_json::Value;
use support::{backfill, command, configuration, sql, text};

/// A catalog that all tests copy: a week of changes, in which `i-1` and `i-9` drift.
fn catalog() -> &'static Path {
    static CATALOG: OnceLock<tempfile::TempDir> = OnceLock::new();
    let dir = CATALOG.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        configuration::write(dir.path());
        let job = format!(
            "[catalog]\nurl = \"results\"\n[run]\nworkers = 1\nfsync = false\n{}[[stream]]\n\
             name = \"trail\"\nwindow = {{ kind = \"tumbling\", duration_us = 3_600_000_000 }}\n\
             [stream.source]\npath = \"changes\"\nformat = \"cloudtrail\"\n",
            configuration::streams(".")
        );
        std::fs::write(dir.path().join("job.toml"), job).unwrap();
        backfill(&dir.path().join("job.toml"));
        dir
    });
    dir.path()
}

/// A provider of files: it answers as a resource's file says, writes a line for every question, has each
/// step's effect once, and kills whoever asks where it is told to.
const PROVIDER: &str = r#"#!/bin/sh
dir=$1
question=$(cat)
resource=$(echo "$question" | sed 's/.*"id":"\([^"]*\)".*/\1/')
state="$dir/state-$resource.json"
count=$(($(wc -l < "$dir/asked") + 1))
echo "$CLOUDOPS_ASK $CLOUDOPS_TOKEN" >> "$dir/asked"
[ "$(cat "$dir/kill-before" 2>/dev/null)" = "$count" ] && { kill -9 $PPID; exit 1; }
case $CLOUDOPS_ASK in
look) cat "$state" ;;
settled) echo '{"settled": "done"}' ;;
perform)
  if [ -e "$dir/refuses" ]; then echo "not today" >&2; exit 1; fi
  case $question in *'"operation":{"tag"'*)
    if [ -e "$dir/refuses-tags" ]; then echo "no tags here" >&2; exit 1; fi ;;
  esac
  # Making a directory succeeds once, whoever tries at the same time.
  if mkdir "$dir/once-$CLOUDOPS_TOKEN" 2>/dev/null; then
    case $question in
    *'"operation":{"tag"'*) operation=tag ;;
    *) operation=$(echo "$question" | sed 's/.*"operation":"\([a-z]*\)".*/\1/') ;;
    esac
    echo "$operation $CLOUDOPS_TOKEN" >> "$dir/effects"
    case $operation in
    stop) sed -i 's/running/stopped/g' "$state" ;;
    start) sed -i 's/stopped/running/g' "$state" ;;
    tag)
      value=$(echo "$question" | sed -n 's/.*"set":{"cloudops:action":"\([^"]*\)".*/\1/p')
      sed -i 's/, "tags": {[^}]*}//' "$state"
      [ -n "$value" ] && sed -i "s/}\$/, \"tags\": {\"cloudops:action\": \"$value\"}}/" "$state" ;;
    esac
  fi
  echo '{}' ;;
esac
[ "$(cat "$dir/kill-after" 2>/dev/null)" = "$count" ] && kill -9 $PPID
exit 0
"#;

/// A resource as it is at first.
const RUNNING: &str = r#"{"state": "running", "said": "running"}"#;

/// A catalog, a provider, and policies over both.
struct Scene {
    dir: tempfile::TempDir,
}

impl Scene {
    /// With so many settings of the policy beside what all have.
    fn new(settings: &str) -> Self {
        let scene = Self { dir: tempfile::tempdir().unwrap() };
        let copied = std::process::Command::new("cp")
            .args(["-r", text(&catalog().join("results")), text(&scene.path("results"))])
            .status();
        assert!(copied.unwrap().success());
        for (name, content) in [
            ("asked", ""),
            ("effects", ""),
            ("state-i-1.json", RUNNING),
            ("state-i-9.json", RUNNING),
            ("state-sg-1.json", RUNNING),
            ("provider.sh", PROVIDER),
        ] {
            std::fs::write(scene.path(name), content).unwrap();
        }
        scene.set(settings);
        scene
    }

    fn set(&self, settings: &str) {
        let settings: String =
            settings.lines().map(|line| format!("  {}\n", line.trim_start_matches('|'))).collect();
        let policies = format!(
            "executors:\n- kind: command\n  name: files\n  program: /bin/sh\n  arguments: [{}, {}]\n  looks: true\n\
             policies:\n- name: stop-drifted\n  executor: files\n  do: stop\n\
             \x20 population: SELECT DISTINCT entity_id AS resource FROM config_drift_changes\n{settings}",
            text(&self.path("provider.sh")),
            text(self.dir.path()),
        );
        std::fs::write(self.path("policies.yaml"), policies).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn act(&self, arguments: &[&str]) -> Output {
        let mut all = vec!["act"];
        all.extend(arguments);
        let results = self.path("results");
        all.extend(["--catalog", text(&results)]);
        command(&all).output().unwrap()
    }

    /// One pass; what it says of each resource.
    fn run(&self, apply: bool) -> Vec<String> {
        let policies = self.path("policies.yaml");
        let mut arguments = vec!["run", "--json", "--policies", text(&policies)];
        arguments.extend(apply.then_some("--apply"));
        let output = self.act(&arguments);
        let said = String::from_utf8(output.stdout).unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        let Ok(said) = serde_json::from_str::<Value>(&said) else { return vec![error] };
        let news = said["news"].as_array().unwrap().iter();
        news.map(|news| {
            let text = |name: &str| news[name].as_str().unwrap().to_owned();
            format!("{} {}: {}", text("what"), text("resource"), text("why"))
        })
        .collect()
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        text.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    }

    fn sql(&self, query: &str) -> Vec<Value> {
        sql(text(&self.path("results")), query)
    }

    /// Where actions stand, by resource.
    fn phases(&self) -> Vec<String> {
        let rows =
            self.sql("select resource, phase from action_status order by proposed_at, resource");
        let name = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
        rows.iter().map(|row| format!("{} {}", name(row, "resource"), name(row, "phase"))).collect()
    }

    /// The mark that a resource carries.
    fn mark(&self, resource: &str) -> Option<String> {
        let state = std::fs::read_to_string(self.path(&format!("state-{resource}.json"))).unwrap();
        let state: Value = serde_json::from_str(&state).unwrap();
        Some(state["tags"]["cloudops:action"].as_str()?.to_owned())
    }

    fn action(&self, resource: &str) -> String {
        let query = format!(
            "select action_id from action_status where resource = '{resource}' order by proposed_at desc"
        );
        self.sql(&query)[0]["action_id"].as_str().unwrap().to_owned()
    }
}

const BOTH: &str = "select: SELECT DISTINCT entity_id AS resource FROM config_drift_changes WHERE entity_id IN ('i-1', 'i-9')
max-percent: 100";
const ONE: &str = "select: SELECT DISTINCT entity_id AS resource FROM config_drift_changes WHERE entity_id = 'i-9'
max-percent: 100";

fn with(base: &str, more: &str) -> String {
    format!("{base}\n{more}")
}

#[test]
fn nothing_is_done_before_its_time() {
    let now = "grace: 0s\napprovals: {people: 0}";
    // Without --apply: the same steps, and nothing of them true.
    let scene = Scene::new(&with(BOTH, now));
    let said = scene.run(false);
    assert!(said.contains(&"done i-1: would be done".to_owned()), "{said:?}");
    assert!(scene.lines("asked").iter().all(|ask| ask == "look"), "{said:?}");
    assert_eq!(scene.sql("select * from actions").len(), 0);
    // Before the grace is over, agreed or not.
    scene.set(&with(BOTH, "approvals: {people: 0}"));
    let said = scene.run(true);
    assert!(said.iter().filter(|said| said.contains("its grace lasts")).count() == 2, "{said:?}");
    assert_eq!(scene.phases(), ["i-1 marked", "i-9 marked"]);
    scene.run(true);
    assert_eq!(scene.lines("effects"), [""; 0]);
    // A policy that has changed begins anew; and what it says now it does.
    scene.set(&with(BOTH, now));
    scene.run(true);
    assert_eq!(scene.lines("effects"), ["stop", "stop"]);
    let phases = ["i-1 withdrawn", "i-9 withdrawn", "i-1 verified", "i-9 verified"];
    assert_eq!(scene.phases(), phases);
    // What is done is done once.
    scene.run(true);
    assert_eq!(scene.lines("effects").len(), 2);
}

#[test]
fn people_have_to_agree() {
    let scene = Scene::new(&with(ONE, "grace: 0s"));
    std::fs::write(
        scene.path("state-i-9.json"),
        r#"{"state": "running", "said": "running", "tags": {"Env": "prod"}}"#,
    )
    .unwrap();
    let said = scene.run(true);
    assert!(said.iter().any(|said| said.contains("0 of 2 have agreed")), "{said:?}");
    let action = scene.action("i-9");
    let approve = |by: &str| scene.act(&["approve", &action, "--by", by]).status.success();
    assert!(approve("ann"));
    assert!(!approve("ann"), "one person agrees once");
    assert!(scene.run(true).iter().any(|said| said.contains("1 of 2 have agreed")));
    assert_eq!(scene.lines("effects"), [""; 0]);
    assert!(approve("bob"));
    let halted = scene.act(&["halt", "--by", "eve", "--reason", "migration"]);
    assert!(halted.status.success());
    let said = scene.run(true);
    assert!(said.iter().any(|said| said.contains("halted: migration")), "{said:?}");
    assert_eq!(scene.lines("effects"), [""; 0]);
    assert!(scene.act(&["resume", "--by", "eve"]).status.success());
    scene.run(true);
    assert_eq!(scene.lines("effects"), ["stop"]);
    let steps = scene.sql("select step from actions order by seq");
    let steps: Vec<&str> = steps.iter().map(|row| row["step"].as_str().unwrap()).collect();
    let told =
        ["proposed", "approved", "approved", "halted", "resumed", "intended", "done", "verified"];
    assert_eq!(steps, told);
}

#[test]
fn over_a_limit_nothing_is_touched() {
    let now = "grace: 0s\napprovals: {people: 0}";
    for limit in ["max-resources: 1", "max-resources: 9\nmax-percent: 20"] {
        let base = BOTH.replace("\nmax-percent: 100", "");
        let base = if limit.contains("percent") { base } else { BOTH.to_owned() };
        let scene = Scene::new(&with(&with(&base, limit), now));
        let policies = scene.path("policies.yaml");
        let output = scene.act(&["run", "--apply", "--policies", text(&policies)]);
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains("over-limit"), "{output:?}");
        assert_eq!(scene.lines("asked"), [""; 0], "nothing is even looked at");
        assert_eq!(scene.sql("select * from actions").len(), 0);
    }
}

#[test]
fn what_has_changed_is_withdrawn() {
    let scene = Scene::new(&with(ONE, "grace: 0s\napprovals: {people: 1}"));
    scene.run(true);
    let action = scene.action("i-9");
    assert!(scene.act(&["approve", &action, "--by", "ann"]).status.success());
    std::fs::write(scene.path("state-i-9.json"), r#"{"state": "stopped", "said": "stopped"}"#)
        .unwrap();
    let said = scene.run(true);
    assert!(
        said.iter().any(|said| said.contains("not as it was when this was proposed")),
        "{said:?}"
    );
    assert_eq!(scene.lines("effects"), [""; 0]);
    // Nobody selects it any more; and one that a person objects to.
    std::fs::write(scene.path("state-i-9.json"), r#"{"state": "running", "said": "running"}"#)
        .unwrap();
    scene.run(true);
    let objected = scene.action("i-9");
    let reason = ["withdraw", &objected, "--by", "ann", "--reason", "needed"];
    assert!(scene.act(&reason).status.success());
    assert!(!scene.act(&["approve", &objected, "--by", "bob"]).status.success());
    assert_eq!(scene.lines("effects"), [""; 0]);
}

#[test]
fn what_was_done_is_taken_back_and_the_policy_stops() {
    let scene = Scene::new(&with(
        BOTH,
        "grace: 0s\napprovals: {people: 0}\nbreaker: {of-last: 5, undone: 2}",
    ));
    scene.run(true);
    assert_eq!(scene.lines("effects"), ["stop", "stop"]);
    let policies = scene.path("policies.yaml");
    for resource in ["i-1", "i-9"] {
        let action = scene.action(resource);
        let undo = ["undo", &action[..6], "--by", "ann", "--policies", text(&policies)];
        assert!(scene.act(&undo).status.success());
        let applied = [&undo[..], &["--apply"]].concat();
        let output = scene.act(&applied);
        assert!(output.status.success(), "{output:?}");
    }
    assert_eq!(scene.lines("effects"), ["stop", "stop", "start", "start"]);
    assert_eq!(scene.phases(), ["i-1 undone", "i-9 undone"]);
    // A third resource is proposed, and waits: people take back what the policy does.
    let third = BOTH.replace("'i-9'", "'i-9', 'sg-1'");
    scene.set(&with(&third, "grace: 0s\napprovals: {people: 0}\nbreaker: {of-last: 5, undone: 2}"));
    let said = scene.run(true);
    assert!(said.iter().any(|said| said.contains("were taken back: it does no more")), "{said:?}");
    assert_eq!(scene.lines("effects").len(), 4);
}

const MARK: &str = "mark: {tag: 'cloudops:action'}";

#[test]
fn a_resource_carries_its_mark_while_it_waits() {
    let waits = with(ONE, &format!("approvals: {{people: 0}}\n{MARK}"));
    let scene = Scene::new(&waits);
    let said = scene.run(false);
    assert!(
        said.iter().any(|said| said.starts_with("marking i-9: cloudops:action=stop")),
        "{said:?}"
    );
    assert!(scene.lines("asked").iter().all(|ask| ask == "look"), "{said:?}");
    scene.run(true);
    let action = scene.action("i-9");
    let mark = scene.mark("i-9").unwrap();
    assert!(mark.starts_with("stop not before 20") && mark.ends_with(&format!("action {action}")));
    let status = "select mark, is_marked, phase from action_status order by proposed_at";
    assert_eq!(scene.sql(status)[0]["mark"], format!("cloudops:action={mark}"));
    assert_eq!(scene.sql(status)[0]["is_marked"], "yes");
    scene.run(true);
    assert_eq!(scene.lines("effects"), ["tag"], "once");
    // A person objects; the next pass takes the mark away, and a later proposal has one of its own.
    let objects = ["withdraw", &action, "--by", "ann", "--reason", "needed"];
    assert!(scene.act(&objects).status.success());
    assert_eq!(scene.mark("i-9"), Some(mark.clone()));
    scene.run(true);
    let marks = scene.sql(status);
    assert_eq!((&marks[0]["is_marked"], marks.len()), (&Value::from("removed"), 2));
    assert_eq!(marks[1]["is_marked"], "yes");
    let second = scene.mark("i-9").unwrap();
    assert!(second != mark && second.ends_with(&scene.action("i-9")), "{second}");
    assert_eq!(scene.lines("effects"), ["tag", "tag", "tag"]);
    // What somebody has made of the tag meanwhile is theirs.
    let state = scene.path("state-i-9.json");
    let text = std::fs::read_to_string(&state).unwrap();
    std::fs::write(&state, text.replace(&second, "keep out")).unwrap();
    scene.set(&with(ONE, "approvals: {people: 0}"));
    scene.run(true);
    assert_eq!(scene.mark("i-9").unwrap(), "keep out");
    assert_eq!(scene.sql(status)[1]["is_marked"], "removed");
    let steps = scene.sql("select step from actions order by seq");
    let steps: Vec<&str> = steps.iter().map(|row| row["step"].as_str().unwrap()).collect();
    let once = ["proposed", "marking", "done", "withdrawn", "unmarking", "done"];
    assert_eq!(steps, [&once[..], &once, &["proposed"]].concat());
}

#[test]
fn what_is_done_carries_no_mark_and_what_cannot_carry_one_is_not_done() {
    let now = with(ONE, &format!("grace: 0s\napprovals: {{people: 0}}\n{MARK}"));
    let scene = Scene::new(&now);
    scene.run(true);
    assert_eq!(scene.lines("effects"), ["tag", "stop", "tag"]);
    assert_eq!((scene.mark("i-9"), scene.phases()), (None, vec!["i-9 verified".to_owned()]));

    let scene = Scene::new(&now);
    std::fs::write(scene.path("refuses-tags"), "").unwrap();
    let said = scene.run(true);
    let why = |said: &String| said.starts_with("failed i-9") && said.contains("no tags here");
    assert!(said.iter().any(why), "{said:?}");
    scene.run(true);
    assert_eq!(scene.lines("effects"), [""; 0]);
    assert_eq!(scene.lines("asked").iter().filter(|ask| *ask == "perform").count(), 1);
    assert_eq!(scene.phases(), ["i-9 failed"]);
}

#[test]
fn a_refused_call_is_told_and_not_repeated() {
    let scene = Scene::new(&with(ONE, "grace: 0s\napprovals: {people: 0}"));
    std::fs::write(scene.path("refuses"), "").unwrap();
    let said = scene.run(true);
    assert!(
        said.iter().any(|said| said.starts_with("failed i-9") && said.contains("not today")),
        "{said:?}"
    );
    scene.run(true);
    assert_eq!(scene.lines("asked").iter().filter(|ask| *ask == "perform").count(), 1);
    assert_eq!(scene.phases(), ["i-9 failed"]);
}

#[test]
fn a_kill_between_any_two_steps_neither_loses_nor_repeats() {
    killed_between_any_two_steps("", &["stop"]);
}

#[test]
fn a_kill_neither_loses_a_mark_nor_leaves_one() {
    killed_between_any_two_steps("\nmark: {tag: 'cloudops:action'}", &["tag", "stop", "tag"]);
}

/// What a policy of more settings does to each of two resources has its effect once.
fn killed_between_any_two_steps(more: &str, each: &[&str]) {
    let settings = with(BOTH, &format!("grace: 0s\napprovals: {{people: 0}}{more}"));
    let undisturbed = Scene::new(&settings);
    undisturbed.run(true);
    let asks = undisturbed.lines("asked").len();
    assert!(asks >= 8, "look, perform, settled, for each of two: {asks}");
    for kill in ["kill-before", "kill-after"] {
        for at in 1..=asks {
            let scene = Scene::new(&settings);
            std::fs::write(scene.path(kill), at.to_string()).unwrap();
            let policies = scene.path("policies.yaml");
            let output = scene.act(&["run", "--apply", "--policies", text(&policies)]);
            assert!(!output.status.success(), "{kill} {at}: the program was killed");
            std::fs::remove_file(scene.path(kill)).unwrap();
            scene.run(true);
            let mut effects = scene.lines("effects");
            effects.sort();
            let mut want = [each, each].concat();
            want.sort_unstable();
            assert_eq!(effects, want, "{kill} {at}");
            assert_eq!(scene.phases(), ["i-1 verified", "i-9 verified"], "{kill} {at}");
            for resource in ["i-1", "i-9"] {
                assert_eq!(scene.mark(resource), None, "{kill} {at}: {resource}");
            }
            let done = scene.sql("select resource, count(*) as done from actions where step = 'done' group by resource");
            assert!(
                done.len() == 2 && done.iter().all(|row| row["done"] == each.len()),
                "{kill} {at}: {done:?}"
            );
        }
    }
}

#[test]
fn the_switch_holds_a_call_whose_intent_stands() {
    let scene = Scene::new(&with(ONE, "grace: 0s\napprovals: {people: 0}"));
    // Looked at to propose, and again before it; killed where the call is about to be made.
    let undisturbed = Scene::new(&with(ONE, "grace: 0s\napprovals: {people: 0}"));
    undisturbed.run(true);
    let at = 1 + undisturbed.lines("asked").iter().position(|ask| ask == "perform").unwrap();
    std::fs::write(scene.path("kill-before"), at.to_string()).unwrap();
    scene.run(true);
    std::fs::remove_file(scene.path("kill-before")).unwrap();
    assert_eq!(scene.phases(), ["i-9 executing"]);
    assert!(scene.act(&["halt", "--by", "eve", "--reason", "migration"]).status.success());
    let said = scene.run(true);
    assert!(said.iter().any(|said| said.contains("halted: migration")), "{said:?}");
    assert_eq!(scene.lines("effects"), [""; 0]);
    assert!(scene.act(&["resume", "--by", "eve"]).status.success());
    scene.run(true);
    assert_eq!(scene.lines("effects"), ["stop"]);
    assert_eq!(scene.phases(), ["i-9 verified"]);
}

#[test]
fn two_programs_at_once_do_it_once() {
    let scene = Scene::new(&with(BOTH, "grace: 0s\napprovals: {people: 0}"));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| scene.run(true));
        }
    });
    scene.run(true);
    let open =
        scene.sql("select * from action_status where phase not in ('verified', 'withdrawn')");
    assert!(open.is_empty(), "{open:?}");
    let effects = scene.lines("effects").len();
    let done = scene.sql("select distinct token from actions where step = 'done'").len();
    assert_eq!(effects, done, "an effect for every call that the log knows");
    assert_eq!(scene.sql("select distinct resource from action_status").len(), 2);
}
