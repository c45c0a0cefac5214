//! What lies between an executor and AWS: lost answers, throttling, errors, nobody at all.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use cloudops_pipeline::executor::error::code;
use cloudops_pipeline::executor::{Backup, Error, Kind, Operation, Settled, State};

use super::cloud::{Cloud, created, refusal};
use super::http::{self, Request, Server};

/// What befalls the next request with an action.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// It is carried out, and its answer is lost.
    Answer,
    /// It is turned away with a status and a code.
    Turned(u16, &'static str),
}

/// A server before moto's.
struct Way {
    server: Server,
    faults: Arc<Mutex<Vec<(&'static str, Fault)>>>,
}

impl Way {
    fn to(cloud: &Cloud) -> Self {
        let faults: Arc<Mutex<Vec<(&'static str, Fault)>>> = Arc::default();
        let (next, moto) = (Arc::clone(&faults), cloud.endpoint.replace("http://", ""));
        let server = Server::start(move |request, stream| {
            let action = action(request);
            let fault = {
                let mut faults = next.lock().unwrap();
                let place = faults.iter().position(|(name, _)| *name == action);
                place.map(|place| faults.remove(place).1)
            };
            if let Some(Fault::Turned(status, code)) = fault {
                let body = format!(
                    "<Response><Errors><Error><Code>{code}</Code><Message>a test</Message></Error>\
                     </Errors><RequestID>1</RequestID></Response>"
                );
                http::answer(stream, status, &[("Content-Type", "text/xml")], body.as_bytes());
                return;
            }
            let answer = forward(request, &moto);
            if fault.is_none() {
                let mut stream = stream;
                stream.write_all(&answer).unwrap();
            }
        });
        Self { server, faults }
    }

    fn add(&self, action: &'static str, fault: Fault) {
        self.faults.lock().unwrap().push((action, fault));
    }

    fn count(&self, name: &str) -> usize {
        self.server.requests().iter().filter(|request| action(request) == name).count()
    }
}

/// The name of the call.
fn action(request: &Request) -> String {
    let body = String::from_utf8_lossy(&request.body);
    let named = body.split('&').find_map(|part| part.strip_prefix("Action="));
    named.unwrap_or_default().to_owned()
}

fn forward(request: &Request, moto: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(moto).unwrap();
    let mut head = format!("{}\r\n", request.line);
    for (name, value) in &request.headers {
        if !name.eq_ignore_ascii_case("connection") {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    head.push_str("Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&request.body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

fn is_retry(error: &Error) -> bool {
    matches!(error, Error::Retry { .. })
}

#[test]
fn a_lost_answer_costs_a_look_and_no_second_effect() {
    let Some(cloud) = Cloud::start() else { return };
    let way = Way::to(&cloud);
    let executor = cloud.executor(&way.server.url, "");
    let volume = cloud.volume(&[]);
    let instance = cloud.launch(&[]);
    let lost = |token: &str, resource, operation, action: &'static str| {
        let step = cloud.step(token, resource, operation);
        way.add(action, Fault::Answer);
        let error = executor.perform(&step).unwrap_err();
        assert!(is_retry(&error), "{error}");
        let outcome = executor.perform(&step).unwrap();
        assert!(outcome.already, "{action}");
        assert_eq!(way.count(action), 1, "{action} is called once");
        assert_eq!(executor.settled(&step, &outcome).unwrap(), Settled::Done, "{action}");
        (step, outcome)
    };
    let (_, outcome) = lost("a1", &volume, Operation::Snapshot, "CreateSnapshot");
    assert_eq!(cloud.snapshots(&volume), 1);
    let backup = Backup::Taken(created(&outcome, Kind::Snapshot).id);
    let (step, _) = lost("a2", &volume, Operation::Delete { backup }, "DeleteVolume");
    let cloudops_pipeline::executor::Undo::By { operation, .. } = step.undo() else {
        panic!("{:?}", step.undo());
    };
    let volumes = cloud.volumes();
    lost("a3", &volume, operation, "CreateVolume");
    assert_eq!(cloud.volumes(), volumes + 1);

    lost("a4", &instance, Operation::Stop, "StopInstances");
    let (_, outcome) = lost("a5", &instance, Operation::Image { reboot: false }, "CreateImage");
    let backup = Backup::Taken(created(&outcome, Kind::Image).id);
    let (step, _) = lost("a6", &instance, Operation::Terminate { backup }, "TerminateInstances");
    let cloudops_pipeline::executor::Undo::By { operation, .. } = step.undo() else {
        panic!("{:?}", step.undo());
    };
    lost("a7", &instance, operation, "RunInstances");
    assert_eq!(cloud.instances().len(), 2);
}

#[test]
fn throttling_is_waited_out_within_bounds() {
    let Some(cloud) = Cloud::start() else { return };
    let way = Way::to(&cloud);
    let executor = cloud.executor(&way.server.url, "attempts = 3");
    let instance = cloud.launch(&[]);
    let throttled = Fault::Turned(503, "RequestLimitExceeded");
    let stop = cloud.step("b1", &instance, Operation::Stop);
    way.add("StopInstances", throttled);
    way.add("StopInstances", throttled);
    assert!(!executor.perform(&stop).unwrap().already);
    assert_eq!(way.count("StopInstances"), 3);

    let start = cloud.step("b2", &instance, Operation::Start);
    (0..3).for_each(|_| way.add("StartInstances", throttled));
    let error = executor.perform(&start).unwrap_err();
    assert!(is_retry(&error), "{error}");
    assert_eq!(way.count("StartInstances"), 3);
    assert_eq!(cloud.look(&instance).state, State::Stopped);
}

#[test]
fn errors_say_what_to_do_next() {
    let Some(cloud) = Cloud::start() else { return };
    let way = Way::to(&cloud);
    let executor = cloud.executor(&way.server.url, "");
    let instance = cloud.launch(&[]);
    let stop = cloud.step("c1", &instance, Operation::Stop);
    let perform = |status, code| {
        way.add("StopInstances", Fault::Turned(status, code));
        executor.perform(&stop)
    };
    assert_eq!(refusal(perform(403, "UnauthorizedOperation")), "UnauthorizedOperation");
    assert_eq!(refusal(perform(400, "OperationNotPermitted")), "OperationNotPermitted");
    for (status, code) in [(500, "InternalError"), (400, "IncorrectInstanceState")] {
        let error = perform(status, code).unwrap_err();
        assert!(is_retry(&error), "{error}");
    }
    let error = perform(401, "AuthFailure").unwrap_err();
    assert!(matches!(error, Error::Configuration { .. }), "{error}");
    assert_eq!(way.count("StopInstances"), 5, "none of these is sent again");
    assert_eq!(cloud.look(&instance).state, State::Running);

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let error = cloud.executor(&address, "").perform(&stop).unwrap_err();
    assert!(is_retry(&error), "{error}");
}

#[test]
fn an_executor_that_only_looks_sends_no_step() {
    let Some(cloud) = Cloud::start() else { return };
    let way = Way::to(&cloud);
    let executor = cloud.executor(&way.server.url, "read_only = true");
    let instance = cloud.launch(&[]);
    let stop = cloud.step("d1", &instance, Operation::Stop);
    assert_eq!(refusal(executor.perform(&stop)), code::READ_ONLY);
    assert_eq!(way.server.requests().len(), 0);

    // It looks all the same, and what it asks changes nothing.
    assert_eq!(executor.look(&instance).unwrap(), stop.before);
    let asked = way.server.requests();
    assert!(!asked.is_empty());
    assert!(asked.iter().all(|request| action(request).starts_with("Describe")));
}
