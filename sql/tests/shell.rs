//! The shell, typed at: what it answers, and that nothing but `.quit` ends it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a step that fails, fails the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cloudops_sql::session::Session;
use cloudops_sql::shell::Shell;

mod fixture;

struct Typed {
    shell: Shell,
    interrupted: Arc<AtomicBool>,
    // Dropped last: the session reads files below the folder, on the runtime.
    _folder: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Typed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(fixture::write(folder.path()));
        let session = runtime.block_on(Session::open(folder.path().to_str().unwrap())).unwrap();
        let interrupted = Arc::new(AtomicBool::new(false));
        let handle = runtime.handle().clone();
        let shell = Shell::new(session, handle, Arc::clone(&interrupted), Some(80));
        Self { shell, interrupted, _folder: folder, _runtime: runtime }
    }

    fn answer(&mut self, text: &str) -> (bool, String) {
        let mut out = Vec::new();
        let go_on = self.shell.answer(text, &mut out).unwrap();
        (go_on, String::from_utf8(out).unwrap())
    }

    fn check(&mut self, text: &str, parts: &[&str]) {
        let (go_on, answer) = self.answer(text);
        assert!(go_on, "{text}");
        for part in parts {
            assert!(answer.contains(part), "{text}: {answer}");
        }
    }
}

#[test]
fn commands_and_statements() {
    let mut typed = Typed::new();
    typed.check("", &[]);
    typed.check(".help", &[".schema NAME", ".timing"]);
    typed.check(".tables", &["sensor_scores", "top_sensors", "view", "result", "rows in "]);
    typed.check(".schema late", &["watermark", "Timestamp"]);
    typed.check(".schema nonesuch", &["error: no table or view \"nonesuch\""]);
    typed.check(".timing off", &[]);
    typed.check("SELECT 1 AS one; SELECT 2 AS two;", &["one\n───\n  1\n", "two\n───\n  2\n"]);
    typed.check(".mode csv", &[]);
    assert_eq!(typed.answer("SELECT 1 AS one, 'a,b' AS two;").1, "one,two\n1,\"a,b\"\n");
    typed.check(".mode xml", &["error: no output format \"xml\""]);
    typed.check("SELEC 1;", &["error: ", "SELEC"]);
    typed.check("DROP TABLE late;", &["error: ", "is refused: "]);
    typed.check(".nonesuch", &["error: no command"]);
    assert!(!typed.answer(".quit").0);
}

#[test]
fn ctrl_c_ends_the_query_alone() {
    let mut typed = Typed::new();
    let interrupted = Arc::clone(&typed.interrupted);
    let ctrl_c = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        interrupted.store(true, Ordering::Relaxed);
    });
    // It would run for years.
    let numbers = "generate_series(1, 1000000)";
    let endless = format!(
        "SELECT COUNT(*) FROM {numbers} a, {numbers} b, {numbers} c WHERE a.value + b.value = c.value * b.value;"
    );
    typed.check(&endless, &["error: interrupted"]);
    ctrl_c.join().unwrap();
    typed.check("SELECT 1 AS one;", &["one"]);
}
