//! Acting on resources: what stops, resizes, copies, ends and makes again.
//!
//! An [`Executor`] performs a [`Step`]: one [`Operation`] on one [`Resource`], with a [`Token`] that is the
//! same for every attempt. It knows nothing of policies, approvals or the log; the caller decides what is
//! to be done, writes that down, has it performed, and writes down what came of it.
//!
//! **A step happens once.** Between a call and the record of its outcome a process can be killed, and a
//! request whose answer was lost may have been carried out. So `perform` is to be called again with the
//! same step until it gives an outcome or a refusal, and it looks before it acts: what is so already is
//! done. Where a provider takes a client token, it gets the step's; where it does not, what is made
//! carries the token as a tag or in its name, from the call that makes it.
//!
//! **What ends has a backup.** [`Operation::Delete`] and [`Operation::Terminate`] name a copy that is
//! complete and of that resource, or say in words why there is none. [`Step::undo`] says what brings a
//! resource back, what that loses, or that nothing does.
//!
//! **Some things are never touched** ([`guard`]): what the provider protects, what carries a protected tag,
//! what an Auto Scaling group manages, and the instance that this process runs on.
//!
//! In reading order: [`resource`], [`operation`], [`step`] and [`observed`] are the words; [`error`] what
//! can go wrong, by the caller's next move; [`Aws`](aws::Aws), [`webhook`] and [`command`] those who act;
//! [`config`] their settings; [`signature`] how requests are signed.

mod ask;
#[cfg(feature = "aws")]
pub mod aws;
pub mod backoff;
pub mod command;
pub mod config;
pub mod error;
pub mod guard;
pub mod observed;
pub mod operation;
pub mod read_only;
pub mod resource;
pub mod secret;
pub mod signature;
pub mod step;
pub mod webhook;

pub use config::ExecutorConfig;
pub use error::{Error, Result};
pub use observed::{Observed, State};
pub use operation::{Backup, Operation, Undo};
pub use resource::{Kind, Resource};
pub use step::{Outcome, Settled, Step, Token};

/// Whoever can act on resources. Methods are called in the order in which they stand here, each as often as
/// its answer asks for; none is called from asynchronous code.
pub trait Executor: Send + Sync + std::fmt::Debug {
    /// What it is called in configurations and in the log.
    fn name(&self) -> &str;

    /// How a resource is now; `None` where it is gone, or never was. It changes nothing.
    ///
    /// # Errors
    /// When it cannot be known, by the caller's next move.
    fn look(&self, resource: &Resource) -> Result<Option<Observed>>;

    /// Does what a step says, once, however often it is called with that step.
    ///
    /// The caller has written the step down before, with what [`look`](Self::look) found. The
    /// implementer looks before it acts, and gives an outcome only for what it knows to be done or under
    /// way.
    ///
    /// # Errors
    /// After [`Error::Retry`] the same step is to be performed again, also where the process has ended in
    /// between: it may or may not have taken effect.
    fn perform(&self, step: &Step) -> Result<Outcome>;

    /// Whether what a step wanted has come to be. It changes nothing.
    ///
    /// # Errors
    /// When it cannot be known.
    fn settled(&self, step: &Step, outcome: &Outcome) -> Result<Settled>;
}
