//! An executor that looks and never acts.

use super::Executor;
use super::error::{Error, Result, code};
use super::observed::Observed;
use super::resource::Resource;
use super::step::{Outcome, Settled, Step};

/// Any executor, with every step refused before a request is sent. What it can be asked needs no more
/// than credentials that read.
#[derive(Debug)]
pub struct ReadOnly<E>(pub E);

impl<E: Executor> Executor for ReadOnly<E> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn look(&self, resource: &Resource) -> Result<Option<Observed>> {
        self.0.look(resource)
    }

    fn perform(&self, step: &Step) -> Result<Outcome> {
        let message = format!("the executor {} only looks", self.name());
        Err(Error::refused(step.what(), code::READ_ONLY, message))
    }

    fn settled(&self, step: &Step, outcome: &Outcome) -> Result<Settled> {
        self.0.settled(step, outcome)
    }
}
