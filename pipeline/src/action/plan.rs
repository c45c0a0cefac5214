//! A deed as parts: the calls it takes, for a resource as it was found.

use anyhow::{Context, Result, bail};
use cloudops_operators::key::hex;
use cloudops_sql::catalog::action::Action;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::policy::{Deed, Policy};
use crate::executor::observed::Size;
use crate::executor::{Backup, Kind, Observed, Operation, Outcome, Resource, Step, Token, Undo};

/// What stands in a plan for the copy that the part before makes.
const COPY: &str = "of the part before";

/// The resource that an id names; what is none of Amazon's is its executor's own.
pub(super) fn resource(id: &str) -> Resource {
    Resource::parse(id).unwrap_or_else(|_| Resource::foreign("", id))
}

/// The calls that a deed takes.
pub(super) fn parts(
    policy: &Policy,
    kind: Kind,
    found: &Observed,
    row: &Map<String, Value>,
) -> Result<Vec<Operation>> {
    let copy = || Backup::Taken(COPY.to_owned());
    Ok(match policy.deed {
        Deed::Stop => vec![Operation::Stop],
        Deed::Start => vec![Operation::Start],
        Deed::Snapshot => vec![Operation::Snapshot],
        Deed::Terminate => {
            vec![Operation::Image { reboot: false }, Operation::Terminate { backup: copy() }]
        }
        Deed::Delete => vec![Operation::Snapshot, Operation::Delete { backup: copy() }],
        Deed::Resize => {
            let to = row.get("resize_to").and_then(Value::as_str);
            let to = to.context("the query has no column `resize_to` of text")?;
            Operation::Resize { to: Size::class(to) }.steps(kind, found)
        }
    })
}

/// Why an operation can never be taken back; none where it can.
pub(super) fn irreversible(
    operation: &Operation,
    kind: Kind,
    found: &Observed,
) -> Option<&'static str> {
    match operation.undo(kind, Some(found)) {
        Undo::Irreversible { why } => Some(why),
        Undo::By { .. } | Undo::Nothing => None,
    }
}

/// Whether a deed would change nothing: what is of the size already need not be stopped for it.
pub(super) fn is_so(parts: &[Operation], kind: Kind, found: &Observed) -> bool {
    let changes_nothing =
        |part: &Operation| !part.is_harmless() && part.undo(kind, Some(found)) == Undo::Nothing;
    match parts.iter().find(|part| matches!(part, Operation::Resize { .. })) {
        Some(resize) => changes_nothing(resize),
        None => parts.iter().all(changes_nothing),
    }
}

/// The token of a part: a digest of what it is a part of.
pub(super) fn token(action: &str, part: usize, undo: bool) -> Result<Token> {
    let digest = Sha256::digest(format!("{action} {part} {undo}"));
    Token::new(hex(&digest)).map_err(anyhow::Error::new)
}

/// The token of the call that marks an action's resource, or takes the mark away.
pub(super) fn mark_token(action: &str, remove: bool) -> Result<Token> {
    let digest = Sha256::digest(format!("{action} mark {remove}"));
    Token::new(hex(&digest)).map_err(anyhow::Error::new)
}

/// The call of an action's next part, for a resource as it is now.
pub(super) fn call(id: &str, action: &Action, before: Option<Observed>) -> Result<Step> {
    let part = action.done.len();
    let planned = action.proposal.parts.get(part).context("the action has no such part")?;
    let mut operation: Operation = serde_json::from_value(planned.clone())?;
    if let Operation::Terminate { backup } | Operation::Delete { backup } = &mut operation
        && matches!(backup, Backup::Taken(copy) if copy == COPY)
    {
        let Some(made) = action.done.last() else { bail!("no part before has made a copy") };
        let outcome: Outcome = serde_json::from_value(made.outcome.clone())?;
        let copy = outcome.created.context("the part before says of no copy")?;
        *backup = Backup::Taken(copy.id);
    }
    let resource: Resource = serde_json::from_value(action.proposal.resource.clone())?;
    Ok(Step { token: token(id, part, false)?, resource, operation, before })
}
