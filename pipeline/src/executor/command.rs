//! A step as a program that is run.
//!
//! The program gets the question as JSON on its standard input, its name in `CLOUDOPS_ASK` and the step's
//! token in `CLOUDOPS_TOKEN`, and answers on its standard output. There is no shell in between, and of
//! this process's environment only what is named: credentials do not leak into scripts. What its end means:
//!
//! | end | meaning |
//! |---|---|
//! | exit status 0 | done; the output is the [`Outcome`], if it is JSON |
//! | exit status 75 (`EX_TEMPFAIL`) | ask again |
//! | any other exit status | refused, with the end of what it wrote to its standard error |
//! | a signal, or more time than it has | ask again: it may be done or not |
//!
//! A program that takes too long is killed with all that it has started, as far as that has stayed in its
//! process group.

use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::Executor;
use super::ask::{self, ANSWER_BYTES_MAX, Ask};
use super::config::{CommandConfig, Environment};
use super::error::{Error, Result};
use super::guard::Guard;
use super::observed::Observed;
use super::resource::Resource;
use super::step::{Outcome, Settled, Step};

/// "Temporary failure" of `sysexits.h`.
const EX_TEMPFAIL: i32 = 75;

/// Variables of this process that every program gets.
const PASSED: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];

/// How often a program is looked at while it runs.
const LOOK: Duration = Duration::from_millis(10);

/// How long pipes are read after a program has ended or was killed: whoever still holds them open then has
/// left the process group.
const PIPES: Duration = Duration::from_secs(1);

/// An executor that runs a program.
#[derive(Debug)]
pub struct CommandHook {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    /// Names and values of what the program sees.
    environment: Vec<(String, String)>,
    looks: bool,
    timeout: Duration,
    retry_after: Duration,
    guard: Guard,
}

impl CommandHook {
    /// Checks a configuration. Nothing is run.
    ///
    /// # Errors
    /// [`Error::Configuration`], with the field's name.
    pub fn new(config: CommandConfig, environment: &Environment<'_>) -> Result<Self> {
        if config.program.as_os_str().is_empty() {
            return Err(Error::configuration("program", "it is empty"));
        }
        if config.timeout.is_zero() {
            return Err(Error::configuration("timeout", "it must be longer than nothing"));
        }
        let passed =
            PASSED.into_iter().filter_map(|name| Some((name.to_owned(), environment(name)?)));
        let mut seen: Vec<(String, String)> = passed.collect();
        for name in config.environment {
            let value = environment(&name).ok_or_else(|| {
                Error::configuration("environment", format!("the variable {name} is not set"))
            })?;
            seen.push((name, value));
        }
        Ok(Self {
            name: config.name,
            program: config.program,
            arguments: config.arguments,
            environment: seen,
            looks: config.looks,
            timeout: config.timeout,
            retry_after: config.retry_after,
            guard: config.guard.validate(environment)?,
        })
    }

    /// Runs the program with a question; gives what it wrote to its standard output.
    fn ask(&self, question: &Ask<'_>) -> Result<Vec<u8>> {
        let body = question.body()?;
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("CLOUDOPS_ASK", question.name())
            .envs(question.token().map(|token| ("CLOUDOPS_TOKEN", token)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let child = command.spawn().map_err(|error| {
            Error::configuration("program", format!("{}: {error}", self.program.display()))
        })?;
        let mut running = Running::new(child, body);
        let unknown = |message: String| Error::retry(question.what(), self.retry_after, message);
        let Some(status) = running.wait(self.timeout) else {
            running.kill();
            let message = format!("no end within {} s; killed", self.timeout.as_secs_f64());
            return Err(unknown(message));
        };
        let (output, errors) = running.written();
        match (status.code(), status.signal()) {
            (Some(0), _) => Ok(output),
            (Some(EX_TEMPFAIL), _) => Err(unknown(ask::tail(&errors))),
            (Some(code), _) => {
                Err(Error::refused(question.what(), &format!("exit {code}"), ask::tail(&errors)))
            }
            (None, signal) => {
                let signal = signal.unwrap_or_default();
                Err(unknown(format!("ended by signal {signal}: {}", ask::tail(&errors))))
            }
        }
    }
}

/// A program at work, and the threads at its pipes.
struct Running {
    child: Child,
    output: Receiver<Vec<u8>>,
    errors: Receiver<Vec<u8>>,
}

impl Running {
    fn new(mut child: Child, body: Vec<u8>) -> Self {
        if let Some(mut input) = child.stdin.take() {
            // Who does not read its input has no use for it.
            std::thread::spawn(move || drop(input.write_all(&body)));
        }
        let output = reader(child.stdout.take());
        let errors = reader(child.stderr.take());
        Self { child, output, errors }
    }

    /// Waits for the end; `None` where it does not come in time.
    fn wait(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            let left = timeout.checked_sub(started.elapsed())?;
            std::thread::sleep(left.min(LOOK));
        }
    }

    /// Ends the process group. Its leader has not been waited for, so the number is still its own.
    fn kill(&mut self) {
        if let Ok(group) = i32::try_from(self.child.id()) {
            // An error says that there is nobody left.
            killpg(Pid::from_raw(group), Signal::SIGKILL).ok();
        }
        drop(self.child.wait());
    }

    /// What the program wrote before its end.
    fn written(&self) -> (Vec<u8>, Vec<u8>) {
        let written = |pipe: &Receiver<Vec<u8>>| pipe.recv_timeout(PIPES).unwrap_or_default();
        (written(&self.output), written(&self.errors))
    }
}

/// Reads a pipe to its end on a thread of its own, so that a full pipe stops nobody; what is beyond the
/// limit is read and forgotten.
fn reader(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (send, receive) = bounded(1);
    if let Some(mut pipe) = pipe {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = pipe.by_ref().take(ANSWER_BYTES_MAX).read_to_end(&mut bytes);
            let rest = std::io::copy(&mut pipe, &mut std::io::sink());
            drop((read, rest));
            // Nobody waits where the program was killed.
            drop(send.send(bytes));
        });
    }
    receive
}

impl Executor for CommandHook {
    fn name(&self) -> &str {
        &self.name
    }

    fn look(&self, resource: &Resource) -> Result<Option<Observed>> {
        if !self.looks {
            return Err(Error::Unsupported(format!("{} is not asked how things are", self.name)));
        }
        let question = Ask::Look { resource };
        ask::observed(&question, &self.ask(&question)?)
    }

    fn perform(&self, step: &Step) -> Result<Outcome> {
        self.guard.check(step, step.before.as_ref())?;
        Ok(ask::outcome(&self.ask(&Ask::Perform { step })?))
    }

    fn settled(&self, step: &Step, outcome: &Outcome) -> Result<Settled> {
        if !self.looks {
            return Ok(Settled::Done);
        }
        let question = Ask::Settled { step, outcome };
        ask::settled(&question, &self.ask(&question)?)
    }
}
