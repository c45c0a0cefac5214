//! Metrics, status and health; what stands still is named.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Place, assert_same, cloudops, command, text};
use crate::{fifo, files, one, watching, with};

/// A run that answers questions.
pub(crate) struct Watched {
    child: Child,
    address: String,
    /// What it writes to stderr.
    log: std::thread::JoinHandle<String>,
}

impl Watched {
    /// Starts a job on a port that the system chooses.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut all = vec!["--log", "info"];
        all.extend(arguments);
        all.extend(["--listen", "127.0.0.1:0"]);
        let mut child = command(&all).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut log = String::new();
        let address = loop {
            let before = log.len();
            assert!(lines.read_line(&mut log).unwrap() > 0, "it ended: {log}");
            if let Some((_, address)) = log[before..].split_once("listening address=") {
                break address.trim().to_owned();
            }
        };
        let log = std::thread::spawn(move || {
            lines.read_to_string(&mut log).unwrap();
            log
        });
        Self { child, address, log }
    }

    /// Status and body of an answer.
    fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let address = &self.address;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn status(&self) -> Value {
        let (code, body) = self.get("/status");
        assert_eq!(code, 200);
        serde_json::from_str(&body).unwrap()
    }

    /// Waits until `/healthz` says that this is wrong. A machine that is busy may make others stand
    /// still before: the tests' limits are short.
    fn trouble(&self, what: &str) -> String {
        loop {
            match self.get("/healthz") {
                (503, trouble) if trouble.contains(what) => return trouble,
                (503, _) => {}
                (code, body) => assert_eq!((code, body.as_str()), (200, "ok\n")),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the engines' file is committed to its end, and it waits for more.
    pub(crate) fn wait_for_input(&self, file: &str) {
        loop {
            let status = self.status();
            let partition = &status["streams"][0]["partitions"][0];
            if partition["file"].as_str().is_some_and(|last| last.ends_with(file))
                && partition["committed_to"] == partition["planned_to"]
                && status["streams"][0]["queued_batches"] == 0
                && status["epochs"]["in_flight"].as_array().unwrap().is_empty()
                && status["coordinator"]["phase"] == "input"
                && status["coordinator"]["seconds"].as_f64().unwrap() > 0.2
            {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops it as whoever runs it would.
    pub(crate) fn stop(self) -> String {
        let stop = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(stop.unwrap().success());
        self.end(true)
    }

    fn end(mut self, success: bool) -> String {
        assert_eq!(self.child.wait().unwrap().success(), success);
        self.log.join().unwrap()
    }
}

#[test]
fn an_operator_that_stands_still_is_named_until_it_goes_on() {
    let place = Place::simulated(20);
    place.run(&place.configure("whole", 1 << 30, 1));
    let config = place.configure("stuck", 1 << 30, 1);
    with(&config, "stall_after = \"200ms\"");
    cloudops(&["train", "--config", text(&config)]);
    // The operator reads its model from a pipe, and waits for whoever writes it.
    let model = one(&place.path("models-stuck/engines"), "model.onnx");
    let bytes = std::fs::read(&model).unwrap();
    std::fs::remove_file(&model).unwrap();
    fifo(&model);
    let run = Watched::start(&["backfill", "--config", text(&config)]);
    let trouble = run.trouble("operator score of stream \"engines\"");
    for part in ["epoch 0 ", "worker 0 ", "operator score ", "stream \"engines\"", "workers [0]"] {
        assert!(trouble.contains(part), "{part} in {trouble}");
    }
    let status = run.status();
    assert_eq!(status["stall"]["held_by"]["operator"], "score", "{status:#}");
    assert_eq!(status["epochs"]["in_flight"][0]["missing_workers"][0], 0, "{status:#}");
    assert_eq!(status["workers"][0]["inside"], true, "{status:#}");
    let (_, metrics) = run.get("/metrics");
    assert!(metrics.contains("cloudops_stalled 1\n"), "{metrics}");
    assert!(metrics.contains("cloudops_stalls_total{part=\"operator\"} "), "{metrics}");

    let mut pipe = std::fs::File::options().write(true).open(&model).unwrap();
    // Whoever opens the model from now on finds a file.
    std::fs::remove_file(&model).unwrap();
    std::fs::write(&model, &bytes).unwrap();
    pipe.write_all(&bytes).unwrap();
    drop(pipe);
    let log = run.end(true);
    assert!(log.contains("worker 0 is in operator score"), "{log}");
    assert_same(&place.tables("whole"), &place.tables("stuck"), "after a stall");
}

#[test]
fn a_store_that_does_not_answer_is_named_with_phase_and_object() {
    let place = Place::simulated(21);
    place.run(&place.configure("whole", 1 << 30, 1));
    let config = place.configure("hung", 1 << 30, 1);
    with(&config, "stall_after = \"200ms\"");
    cloudops(&["train", "--config", text(&config)]);
    // Where a file is to be put there is a pipe, which the store tries to read: nobody writes to it.
    let scores = std::fs::read_dir(place.path("results-whole/data/sensor_scores/engines")).unwrap();
    let name = scores.map(|entry| entry.unwrap().file_name()).next().unwrap();
    let object = format!("data/sensor_scores/engines/{}", name.to_str().unwrap());
    let pipe = place.path("results-hung").join(&object);
    fifo(&pipe);
    let mut run = Watched::start(&["backfill", "--config", text(&config)]);
    let trouble = run.trouble(&format!("the store does not answer (put {object})"));
    let epoch = name.to_str().unwrap().split(['e', '-']).nth(1).unwrap().to_owned();
    assert!(trouble.starts_with(&format!("epoch {epoch} stands still for ")), "{trouble}");
    assert_eq!(run.status()["coordinator"]["phase"], "put");
    run.child.kill().unwrap();
    run.end(false);
}

#[test]
fn a_live_run_that_waits_for_input_is_well() {
    let place = Place::simulated(22);
    let config = place.configure("live", 100, 2);
    with(&config, "stall_after = \"100ms\"\nepoch_interval = \"10ms\"\nlisten = \"127.0.0.1:1\"");
    watching(&config);
    cloudops(&["train", "--config", text(&config)]);
    let run = Watched::start(&["run", "--config", text(&config)]);
    run.wait_for_input("zz-troubles.csv");
    // It waits for longer than what makes a stall of what stands still.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(run.get("/healthz"), (200, "ok\n".to_owned()), "{:#}", run.status());
    let status = run.status();
    assert_eq!(status["generation"], 1, "{status:#}");
    let engines = &status["streams"][0];
    assert!(engines["models"][0]["model"].as_str().unwrap().starts_with("engines@"), "{engines:#}");
    assert!(engines["watermark"].as_str().unwrap().starts_with("20"), "{engines:#}");
    let (_, metrics) = run.get("/metrics");
    for name in
        ["completion_latency_seconds_count", "watermark_lag_seconds", "windows_closed_total"]
    {
        let name = format!("cloudops_{name}{{source=\"engines\"}} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&name));
        assert!(
            value.is_some_and(|value| value.parse::<f64>().unwrap() > 0.0),
            "{name}: {metrics}"
        );
    }
    assert_eq!(run.get("/nothing").0, 404);
    run.stop();
}

#[test]
fn an_address_that_is_taken_is_refused_before_anything_starts() {
    let place = Place::simulated(23);
    let config = place.configure("taken", 100, 1);
    cloudops(&["train", "--config", text(&config)]);
    let before = files(place.dir.path());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let arguments = ["backfill", "--config", text(&config), "--listen", &address];
    let output = command(&arguments).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains(&address), "{error}");
    assert!(error.contains("run.listen: cannot listen"), "{error}");
    assert_eq!(files(place.dir.path()), before, "nothing was begun");
}
