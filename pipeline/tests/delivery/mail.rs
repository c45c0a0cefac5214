//! Mail, against a server of somebody else's: aiosmtpd, where `CLOUDOPS_PYTHON` names a Python that has it.
//!
//! The certificates beside this file were made for these tests and are good for nothing else.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::fixture::{begin, commit, deliver, job, row, sql};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/delivery").join(name)
}

/// A mail server; dropping it stops it.
struct Mail {
    child: Child,
    port: u16,
    lines: BufReader<ChildStdout>,
}

impl Mail {
    fn start(security: &str) -> Option<Self> {
        let Some(python) = std::env::var_os("CLOUDOPS_PYTHON") else {
            println!("skipped: CLOUDOPS_PYTHON does not name a Python that has aiosmtpd");
            return None;
        };
        let has =
            Command::new(&python).args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
        if !has.unwrap().success() {
            println!("skipped: {} has no aiosmtpd", python.display());
            return None;
        }
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = held.local_addr().unwrap().port();
        drop(held);
        let mut command = Command::new(python);
        command.arg(file("mail.py")).args([&port.to_string(), security]);
        command.args([file("certificates/server.pem"), file("certificates/server.key")]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(child.try_wait().unwrap().is_none(), "the mail server has ended");
            std::thread::sleep(Duration::from_millis(20));
        }
        let lines = BufReader::new(child.stdout.take().unwrap());
        Some(Self { child, port, lines })
    }

    /// The next mail that it took.
    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// All mails that it took and nobody has asked for.
    fn rest(mut self) -> Vec<Value> {
        self.child.kill().unwrap();
        let mut mails = Vec::new();
        let mut line = String::new();
        while self.lines.read_line(&mut line).unwrap() > 0 {
            mails.push(serde_json::from_str(&line).unwrap());
            line.clear();
        }
        mails
    }
}

impl Drop for Mail {
    fn drop(&mut self) {
        drop(self.child.kill());
        self.child.wait().unwrap();
    }
}

async fn two(folder: &Path) {
    let mut catalog = begin(&folder.join("results")).await;
    let rows = [row(0, "a", "opened", "sensor", 3), row(0, "b", "opened", "cost", 5)];
    commit(&mut catalog, 0, &rows).await;
}

fn sink(
    folder: &Path,
    port: u16,
    to: &str,
    more: &str,
    of_sink: &str,
) -> cloudops_pipeline::job::Job {
    let sink = format!(
        "[[sink]]\nname = \"mail\"\nbacklog = true\npause = \"1ms\"\n{of_sink}\n[sink.email]\n\
         host = \"localhost\"\nport = {port}\nfrom = \"CloudOps <alerts@example.com>\"\n\
         to = [{to}]\n{more}\n"
    );
    job(folder, &sink)
}

fn secure(security: &str, ca: bool) -> String {
    let ca = match ca {
        true => format!("ca = {:?}\n", file("certificates/ca.pem")),
        false => String::new(),
    };
    format!("security = \"{security}\"\n{ca}user = \"cloudops\"\npassword = SECRET\n")
}

#[tokio::test]
async fn mail_goes_over_tls_to_whom_it_is_meant_for() {
    for security in ["starttls", "implicit"] {
        let Some(mut mail) = Mail::start(security) else { return };
        let dir = tempfile::tempdir().unwrap();
        two(dir.path()).await;
        let more = secure(security, true);
        deliver(&sink(
            dir.path(),
            mail.port,
            "\"ann@example.com\", \"Bob <bob@b.org>\"",
            &more,
            "",
        ))
        .await;
        let first = mail.next();
        assert_eq!(first["from"], "alerts@example.com");
        assert_eq!(first["to"], json!(["ann@example.com", "bob@b.org"]));
        assert_eq!(first["tls"], security == "starttls", "implicit TLS is below the protocol");
        for (name, value) in [
            ("From", "CloudOps <alerts@example.com>"),
            ("To", "ann@example.com, Bob <bob@b.org>"),
            ("Message-ID", "<0-0.mail@example.com>"),
            ("Date", "Fri, 15 Jan 2027 08:00:00 +0000"),
            ("Subject", "sensor alert opened: pump-a of pumps"),
        ] {
            assert_eq!(first["head"][name], value);
        }
        assert_eq!(
            first["body"].as_str().unwrap().trim_end(),
            "sensor alert opened: pump-a of pumps at 1970-01-01T00:00:03Z, score 4.5 against a limit \
             of 1.25, mostly T30"
        );
        assert_eq!(mail.next()["head"]["Message-ID"], "<0-1.mail@example.com>");
        assert_eq!(mail.rest().len(), 0);
    }
}

#[tokio::test]
async fn a_server_that_is_not_who_it_says_is_sent_nothing() {
    let Some(mail) = Mail::start("starttls") else { return };
    let dir = tempfile::tempdir().unwrap();
    two(dir.path()).await;
    let more = secure("starttls", false);
    deliver(&sink(dir.path(), mail.port, "\"ann@example.com\"", &more, "attempts = 2")).await;
    assert_eq!(mail.rest().len(), 0);
    let dead = sql(dir.path(), "select attempts, reason from dead_letters").await;
    assert_eq!(dead.len(), 2);
    let reason = dead[0]["reason"].as_str().unwrap();
    assert!(dead[0]["attempts"] == 2 && reason.contains("certificate"), "{reason}");
}

#[tokio::test]
async fn a_refusal_is_a_dead_letter_and_a_server_that_is_busy_is_tried_again() {
    let Some(mail) = Mail::start("none") else { return };
    let dir = tempfile::tempdir().unwrap();
    two(dir.path()).await;
    let plain = "security = \"none\"";
    let nobody = sink(dir.path(), mail.port, "\"nobody@example.com\"", plain, "");
    deliver(&nobody).await;
    let dead = sql(dir.path(), "select alert_id, attempts, reason from dead_letters").await;
    assert_eq!(dead.len(), 2);
    assert!(dead[0]["reason"].as_str().unwrap().contains("there is nobody of this name"));
    assert_eq!(dead[0]["attempts"], 1);

    // A group is one mail.
    let dir = tempfile::tempdir().unwrap();
    two(dir.path()).await;
    let grouped = "group_by = [\"source\"]\ntemplate = \"{{entity_id}} {{event}}\"";
    let subject = format!("{plain}\nsubject = \"{{{{source}}}}\"");
    deliver(&sink(dir.path(), mail.port, "\"busy@example.com\"", &subject, grouped)).await;
    let mails = mail.rest();
    assert_eq!(mails.len(), 1, "{mails:?}");
    assert_eq!(mails[0]["head"]["Subject"], "pumps and 1 more");
    assert_eq!(mails[0]["body"].as_str().unwrap().trim_end(), "pump-a opened\r\npump-b opened");
    assert!(sql(dir.path(), "select * from dead_letters").await.is_empty());
}
