//! Taking back what an action did: its parts, the last one first.

use anyhow::{Context, Result, bail, ensure};
use cloudops_sql::catalog::action::{Action, Made, Step as Said};

use super::plan;
use super::run::Run;
use crate::executor::{Operation, Outcome, Resource, Step, Undo};

/// Takes an action back, as far as it goes now; gives what that does not bring back.
///
/// # Errors
/// When nothing was done, a part cannot be taken back, or a call is refused.
pub fn undo(run: &mut Run<'_>, id: &str) -> Result<Vec<&'static str>> {
    let action =
        run.ledger.actions().find(id).with_context(|| format!("there is no action {id}"))?;
    ensure!(!action.done.is_empty(), "action {id} has done nothing: withdraw it");
    let mut lost = Vec::new();
    // All of it or nothing: looked at before the first call.
    for made in &action.done[..action.done.len() - action.undone.len()] {
        let step: Step = serde_json::from_value(made.call.clone())?;
        match step.undo() {
            Undo::Irreversible { why } => {
                bail!("action {id}: {} cannot be taken back: {why}", step.operation.verb())
            }
            Undo::By { lost: what, .. } if !what.is_empty() => lost.push(what),
            Undo::By { .. } | Undo::Nothing => {}
        }
    }
    loop {
        let Some(action) = run.ledger.actions().find(id).cloned() else { return Ok(lost) };
        let step: Step = match &action.intent {
            Some(intent) if intent.undo => serde_json::from_value(intent.call.clone())?,
            Some(_) => {
                bail!("action {id}: the outcome of a call is not known: run the policies first")
            }
            None => match next(run, id, &action)? {
                Next::Call(step) => *step,
                Next::Nothing => continue,
                Next::End => return Ok(lost),
            },
        };
        if !run.perform(id, &action, &step)? {
            return Ok(lost);
        }
    }
}

enum Next {
    /// This call.
    Call(Box<Step>),
    /// There was nothing to take back of this part.
    Nothing,
    /// All is taken back, or nothing more may be done now.
    End,
}

fn next(run: &mut Run<'_>, id: &str, action: &Action) -> Result<Next> {
    let left = action.done.len() - action.undone.len();
    let Some(part) = left.checked_sub(1) else { return Ok(Next::End) };
    let made: Step = serde_json::from_value(action.done[part].call.clone())?;
    let resource = successor(action, &made)?;
    let token = plan::token(id, part, true)?;
    let before = run.executor(&action.proposal.executor)?.look(&resource)?;
    let (operation, is_call) = match made.undo() {
        Undo::By { operation, .. } => (operation, true),
        // It is written down like the others, so that all parts are accounted for.
        _ => (Operation::Tag { set: Default::default(), remove: Default::default() }, false),
    };
    let step = Step { token, resource, operation, before };
    let intended = Said::Intended {
        undo: true,
        part: part as u32,
        token: step.token.to_string(),
        call: serde_json::to_value(&step)?,
    };
    let what = if is_call { step.operation.verb() } else { "nothing to take back" };
    if !run.step(id, intended, what)? {
        return Ok(Next::End);
    }
    if is_call {
        return Ok(Next::Call(Box::new(step)));
    }
    let outcome = serde_json::to_value(Outcome { already: true, ..Outcome::default() })?;
    run.step(id, Said::Done { token: step.token.to_string(), outcome }, what)?;
    Ok(Next::Nothing)
}

/// What has taken the resource's place: what an undone part made anew.
fn successor(action: &Action, made: &Step) -> Result<Resource> {
    for Made { call, outcome } in action.undone.iter().rev() {
        let (step, outcome): (Step, Outcome) =
            (serde_json::from_value(call.clone())?, serde_json::from_value(outcome.clone())?);
        let successor = outcome.successor(&step);
        if *successor != step.resource {
            return Ok(successor.clone());
        }
    }
    Ok(made.resource.clone())
}
