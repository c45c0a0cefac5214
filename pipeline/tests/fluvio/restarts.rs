//! Brokers of a real cluster that are restarted, by a command that `FLUVIO_RESTART` names.

use std::process::{Child, Command, Stdio};

/// What restarts a broker: it must kill one and start it again.
pub(crate) struct Restarts {
    command: String,
    running: Option<Child>,
    /// Restarts that have begun.
    pub(crate) begun: u64,
}

impl Restarts {
    /// None where no command is named.
    pub(crate) fn named() -> Option<Self> {
        let command = std::env::var("FLUVIO_RESTART").ok()?;
        Some(Self { command, running: None, begun: 0 })
    }

    /// Begins another, once the last has ended; every second one is waited for, so that what follows
    /// meets a broker that has been restarted, and what follows the others meets one that goes away.
    pub(crate) fn next(&mut self) {
        self.wait();
        self.begun += 1;
        let mut command = Command::new("sh");
        command.args(["-c", &self.command]).stdin(Stdio::null());
        self.running = Some(command.spawn().unwrap());
        if self.begun.is_multiple_of(2) {
            self.wait();
        }
    }

    /// Waits for the last one.
    pub(crate) fn wait(&mut self) {
        if let Some(mut running) = self.running.take() {
            let status = running.wait().unwrap();
            assert!(status.success(), "FLUVIO_RESTART: {status}");
        }
    }
}
