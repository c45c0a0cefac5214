//! The mark of an action at its provider: a tag, there from before the grace until the action is over.
//!
//! It is put there and taken away by calls like the others: an intent before, an outcome behind, the same
//! token for every attempt, and a look before it. What cannot be marked is not acted on. A tag that somebody
//! has changed or taken away meanwhile is left as it is.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use chrono::{DateTime, SecondsFormat};
use cloudops_sql::catalog::action::{Action, Marked, Step as Said, Tag};

use super::plan;
use super::run::Run;
use crate::executor::{Observed, Operation, Outcome, Resource, State, Step};

/// What a mark says: what is to be done, not before when, and by which action. Only characters that
/// every provider has in tags.
pub(super) fn value(verbs: &[&str], until_us: i64, action: &str) -> String {
    let until =
        DateTime::from_timestamp_micros(until_us).unwrap_or(DateTime::<chrono::Utc>::MAX_UTC);
    let until = until.to_rfc3339_opts(SecondsFormat::Secs, true);
    format!("{} not before {until} action {action}", verbs.join("+"))
}

impl Run<'_> {
    /// Marks an action's resource where its policy wants that; whether one may go on.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn mark(&mut self, id: &str) -> Result<bool> {
        let Some(action) = self.ledger.actions().find(id).cloned() else { return Ok(false) };
        let Some(mark) = action.proposal.mark.clone() else { return Ok(true) };
        if action.marked == Marked::Yes {
            return Ok(true);
        }
        let step = match &action.mark_intent {
            // A call that may have been made: the same one again.
            Some(intent) => serde_json::from_value(intent.call.clone())?,
            None => {
                let Some(before) = self.look_to_mark(id, &action)? else { return Ok(false) };
                match self.mark_call(id, &action, &mark, before)? {
                    Some(step) => step,
                    None => return Ok(false),
                }
            }
        };
        self.perform(id, &action, &step)?;
        Ok(self.ledger.actions().find(id).is_some_and(|action| action.marked == Marked::Yes))
    }

    /// Takes the marks of actions that are over away.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn unmark_all(&mut self) -> Result<()> {
        for id in self.ids(|action| action.phase.is_over() && action.may_be_marked()) {
            self.unmark(&id)?;
        }
        Ok(())
    }

    /// Takes the mark of an action that is over away, as far as it goes now.
    pub(super) fn unmark(&mut self, id: &str) -> Result<()> {
        loop {
            let Some(action) = self.ledger.actions().find(id).cloned() else { return Ok(()) };
            let Some(mark) = action.proposal.mark.clone() else { return Ok(()) };
            if !action.phase.is_over() || !action.may_be_marked() {
                return Ok(());
            }
            let executor = &action.proposal.executor;
            if !self.executors.contains_key(executor) {
                let why = format!("its mark is left for now: no executor is named {executor:?}");
                self.tell_of(id, "waiting", &why);
                return Ok(());
            }
            let Some(found) = self.look_to_mark(id, &action)? else { return Ok(()) };
            // Where it was withdrawn while the mark was on its way, that ends first.
            let step = match &action.mark_intent {
                Some(intent) => serde_json::from_value(intent.call.clone())?,
                None => match self.mark_call(id, &action, &mark, found.clone())? {
                    Some(step) => step,
                    None => return Ok(()),
                },
            };
            let removes = matches!(&step.operation, Operation::Tag { set, .. } if set.is_empty());
            let goes_on = if removes && !carries(found.as_ref(), &mark) {
                let outcome = serde_json::to_value(Outcome::already())?;
                let token = step.token.to_string();
                self.step(id, Said::Done { token, outcome }, "the mark is there no more")?
            } else {
                self.perform(id, &action, &step)?
            };
            let after = self.ledger.actions().find(id);
            if !goes_on && after.is_none_or(|action| action.mark_intent.is_some()) {
                return Ok(());
            }
        }
    }

    /// How the resource is now, `None` within where it is gone; without, where that cannot be known.
    fn look_to_mark(&mut self, id: &str, action: &Action) -> Result<Option<Option<Observed>>> {
        let resource: Resource = serde_json::from_value(action.proposal.resource.clone())?;
        match self.executor(&action.proposal.executor)?.look(&resource) {
            Ok(found) => Ok(Some(found)),
            Err(error) => {
                self.tell_of(id, "retry", &error.to_string());
                Ok(None)
            }
        }
    }

    /// Writes the intent of a call down: of one that marks, or, where the action is over, takes the mark
    /// away; the call, if it may be made now.
    fn mark_call(
        &mut self,
        id: &str,
        action: &Action,
        mark: &Tag,
        before: Option<Observed>,
    ) -> Result<Option<Step>> {
        let resource: Resource = serde_json::from_value(action.proposal.resource.clone())?;
        let remove = action.phase.is_over();
        let (mut set, mut gone) = (BTreeMap::new(), BTreeSet::new());
        if remove {
            gone.insert(mark.key.clone());
        } else {
            set.insert(mark.key.clone(), mark.value.clone());
        }
        let operation = Operation::Tag { set, remove: gone };
        let step = Step { token: plan::mark_token(id, remove)?, resource, operation, before };
        let said = Said::Marking {
            remove,
            token: step.token.to_string(),
            call: serde_json::to_value(&step)?,
        };
        let may = self.step(id, said, &format!("{}={}", mark.key, mark.value))?;
        Ok(may.then_some(step))
    }
}

/// Whether a resource carries a mark: what is gone does not, nor what says something else by now.
fn carries(found: Option<&Observed>, mark: &Tag) -> bool {
    let there = found.filter(|found| found.state != State::Ending);
    there.is_some_and(|found| found.tags.get(&mark.key) == Some(&mark.value))
}
