//! Signed webhooks, against a receiver of our own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloudops_pipeline::clock::FixedClock;
use cloudops_pipeline::executor::error::code;
use cloudops_pipeline::executor::secret::Secret;
use cloudops_pipeline::executor::signature::{self, HEADER};
use cloudops_pipeline::executor::{
    Error, Executor, ExecutorConfig, Observed, Operation, Outcome, Resource, Settled, State, Step,
    Token,
};
use serde_json::{Value, json};

use super::http::{self, Server};

const SECRET: &str = "a secret of some length";
const NOW_S: i64 = 1_800_000_000;

/// A status, headers, and a body.
type Answer = (u16, Vec<(&'static str, &'static str)>, String);

/// A receiver with these answers, one after the other.
fn receiver(answers: Vec<Answer>) -> Server {
    let answers = Mutex::new(VecDeque::from(answers));
    Server::start(move |_, stream| {
        let (status, headers, body) = answers.lock().unwrap().pop_front().unwrap();
        http::answer(stream, status, &headers, body.as_bytes());
    })
}

fn executor(url: &str, more: &str) -> Box<dyn Executor> {
    let text = format!(
        "kind = \"webhook\"\nname = \"hook\"\nurl = \"{url}/steps\"\n\
         secret = {{ env = \"HOOK_SECRET\" }}\n{more}"
    );
    let config: ExecutorConfig = toml::from_str(&text).unwrap();
    let environment = |name: &str| (name == "HOOK_SECRET").then(|| SECRET.to_owned());
    let executor = config.build(&environment, Arc::new(FixedClock(NOW_S * 1_000_000)));
    let executor = executor.unwrap();
    assert!(!format!("{executor:?}").contains(SECRET));
    executor
}

fn step() -> Step {
    Step {
        token: Token::new("step-1").unwrap(),
        resource: Resource::foreign("azure", "/subscriptions/1/vm/a"),
        operation: Operation::Stop,
        before: None,
    }
}

fn plain(status: u16, body: &str) -> Answer {
    (status, Vec::new(), body.to_owned())
}

#[test]
fn a_step_is_sent_signed_and_its_answer_is_the_outcome() {
    let server = receiver(vec![plain(200, r#"{"note": "ticket 12"}"#), plain(204, "")]);
    let executor = executor(&server.url, "");
    let outcome = executor.perform(&step()).unwrap();
    assert_eq!(outcome.note.as_deref(), Some("ticket 12"));
    assert_eq!(executor.settled(&step(), &outcome).unwrap(), Settled::Done);
    assert_eq!(executor.perform(&step()).unwrap(), Outcome::default());

    let requests = server.requests();
    assert_eq!(requests.len(), 2, "to settle it asks nothing");
    let request = &requests[0];
    assert_eq!(request.line, "POST /steps HTTP/1.1");
    assert_eq!(request.header("Idempotency-Key"), Some("step-1"));
    let header = request.header(HEADER).unwrap();
    let check = |secret: &str, body: &[u8]| {
        signature::verify(&Secret::new(secret), header, body, NOW_S + 10, 300)
    };
    assert_eq!(check(SECRET, &request.body), Ok(()));
    assert!(check("another one of some length", &request.body).is_err());
    assert!(check(SECRET, b"{}").is_err());
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body["ask"], "perform");
    assert_eq!(body["step"], serde_json::to_value(step()).unwrap());
    assert_eq!(body["step"]["operation"], json!("stop"));
}

#[test]
fn a_server_in_trouble_is_asked_again_with_the_same_key() {
    let busy = (429, vec![("Retry-After", "7")], "busy".to_owned());
    let server = receiver(vec![plain(503, "down"), busy, plain(200, "")]);
    let executor = executor(&server.url, "retry_after = \"2s\"");
    for expected in [2, 7] {
        match executor.perform(&step()) {
            Err(Error::Retry { after, .. }) => assert_eq!(after, Duration::from_secs(expected)),
            other => panic!("{other:?}"),
        }
    }
    executor.perform(&step()).unwrap();
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    let keys = requests.iter().map(|request| request.header("Idempotency-Key"));
    assert!(keys.into_iter().all(|key| key == Some("step-1")));
}

#[test]
fn a_conflict_with_our_key_is_done_and_every_other_answer_a_refusal() {
    let ours = (409, vec![("Idempotency-Key", "step-1")], r#"{"note": "before"}"#.to_owned());
    let theirs = (409, vec![("Idempotency-Key", "step-2")], String::new());
    let elsewhere = (307, vec![("Location", "http://example.com/")], String::new());
    let server = receiver(vec![ours, theirs, plain(409, ""), plain(403, "no"), elsewhere]);
    let executor = executor(&server.url, "");
    let outcome = executor.perform(&step()).unwrap();
    assert!(outcome.already);
    assert_eq!(outcome.note.as_deref(), Some("before"));
    for status in ["status 409", "status 409", "status 403", "status 307"] {
        match executor.perform(&step()) {
            Err(Error::Refused { code, .. }) => assert_eq!(code, status),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn nobody_there_is_no_refusal() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // Connections are taken by the system and never answered.
    let error = executor(&url, "timeout = \"50ms\"").perform(&step()).unwrap_err();
    assert!(matches!(error, Error::Retry { .. }), "{error}");
    drop(listener);
    let error = executor(&url, "").perform(&step()).unwrap_err();
    assert!(matches!(error, Error::Retry { .. }), "{error}");
}

#[test]
fn a_receiver_may_look_and_verify() {
    let found = Observed::new(State::Stopped, "deallocated");
    let server = receiver(vec![
        plain(200, &serde_json::to_string(&found).unwrap()),
        plain(404, ""),
        plain(200, r#"{"settled": "pending"}"#),
        plain(200, r#"{"settled": "done"}"#),
        plain(200, "what?"),
    ]);
    let executor = executor(&server.url, "looks = true");
    let resource = step().resource;
    assert_eq!(executor.look(&resource).unwrap(), Some(found));
    assert_eq!(executor.look(&resource).unwrap(), None);
    let outcome = Outcome::default();
    assert_eq!(executor.settled(&step(), &outcome).unwrap(), Settled::Pending);
    assert_eq!(executor.settled(&step(), &outcome).unwrap(), Settled::Done);
    assert!(executor.settled(&step(), &outcome).is_err());
}

#[test]
fn what_is_guarded_is_not_sent() {
    let server = receiver(Vec::new());
    let guarded = executor(&server.url, "guard = { protected_tags = [\"keep\"] }");
    let mut step = step();
    let mut before = Observed::new(State::Running, "running");
    before.tags.insert("keep".to_owned(), "yes".to_owned());
    step.before = Some(before);
    let reader = executor(&server.url, "read_only = true");
    for (executor, expected) in [(guarded, code::PROTECTED_TAG), (reader, code::READ_ONLY)] {
        match executor.perform(&step) {
            Err(Error::Refused { code, .. }) => assert_eq!(code, expected),
            other => panic!("{other:?}"),
        }
    }
    let look = executor(&server.url, "").look(&step.resource);
    assert!(matches!(look, Err(Error::Unsupported(_))), "{look:?}");
    assert_eq!(server.requests().len(), 0);
}
