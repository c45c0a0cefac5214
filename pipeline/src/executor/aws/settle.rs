//! Whether what a step wanted has come to be.

use super::session::Session;
use crate::executor::error::Result;
use crate::executor::observed::{Observed, State};
use crate::executor::operation::Operation;
use crate::executor::resource::{Kind, Resource};
use crate::executor::step::{Outcome, Settled, Step};

impl Session<'_> {
    pub(super) async fn settled(&self, step: &Step, outcome: &Outcome) -> Result<Settled> {
        let target = match (&step.operation, &outcome.created) {
            (
                Operation::Snapshot
                | Operation::Image { .. }
                | Operation::Restore { .. }
                | Operation::Relaunch { .. },
                Some(created),
            ) => created,
            _ => &step.resource,
        };
        let found = self.look(target).await?;
        let Some(found) = found else {
            let gone = step.operation.is_ending();
            return Ok(if gone { Settled::Done } else { Settled::Differs { found: None } });
        };
        if self.is_so(step, target, &found) {
            return Ok(Settled::Done);
        }
        let on_its_way = match &step.operation {
            Operation::Resize { to } => {
                found.state == State::Changing || self.resizing(target, to).await?
            }
            operation if operation.is_ending() => {
                matches!(found.state, State::Changing | State::Ending)
            }
            Operation::Detach { .. } => found.state == State::InUse && found.attachments.is_empty(),
            _ => found.state == State::Changing,
        };
        Ok(if on_its_way {
            Settled::Pending
        } else {
            Settled::Differs { found: Some(Box::new(found)) }
        })
    }

    fn is_so(&self, step: &Step, target: &Resource, found: &Observed) -> bool {
        let is_up = matches!(found.state, State::Running | State::Ready | State::InUse);
        match &step.operation {
            Operation::Stop => found.state == State::Stopped,
            Operation::Start => found.state == State::Running,
            Operation::Resize { to } => {
                let at_rest = is_up || found.state == State::Stopped;
                at_rest && Self::settable(target.kind, to).holds_for(&found.size)
            }
            Operation::Snapshot | Operation::Image { .. } => found.state == State::Ready,
            Operation::Restore { .. } | Operation::Relaunch { .. } => is_up,
            Operation::Terminate { .. } | Operation::Delete { .. } => false,
            Operation::Attach { instance, .. } => {
                found.state == State::InUse && found.attachments.iter().any(|at| at.id == *instance)
            }
            Operation::Detach { instance } => {
                let others = found.attachments.iter().all(|at| at.id != *instance);
                // Until the device is free, the volume is in use by nobody.
                others && (found.state == State::Ready || !found.attachments.is_empty())
            }
            Operation::Tag { set, remove } => {
                set.iter().all(|(key, value)| found.tags.get(key) == Some(value))
                    && !remove.iter().any(|key| found.tags.contains_key(key))
            }
        }
    }

    /// Whether a change of size towards `to` has begun and is not over.
    async fn resizing(
        &self,
        target: &Resource,
        to: &crate::executor::observed::Size,
    ) -> Result<bool> {
        match target.kind {
            Kind::Volume => self.volume_resizing(&target.id, to).await,
            Kind::Database => self.database_resizing(&target.id, to).await,
            _ => Ok(false),
        }
    }
}
