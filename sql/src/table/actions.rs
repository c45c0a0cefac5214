//! `actions`, `action_status`: steps of actions as the log has them, and where each action stands.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, ListBuilder, RecordBatch, StringArray,
    StringBuilder,
};
use arrow::datatypes::{DataType, Field};

use super::log::{batch, instants, numbers};
use super::{Kind, Table, Type, optional, required};
use crate::catalog::State;
use crate::catalog::action::{Act, Action, Step};

pub(super) const ACTIONS: Table = Table {
    name: "actions",
    description: "a step of an action on a resource, or of the switch over all of them",
    kind: Kind::Log,
    own: &[
        required("seq", Type::I64, "number of the log record that says so"),
        required("action_id", Type::Text, "the action; empty of the switch"),
        required(
            "step",
            Type::Text,
            "'proposed', 'approved', 'withdrawn', 'intended', 'done', 'failed', 'verified', 'differs'; \
             'marking' and 'unmarking', the intents of calls that tag the resource; 'halted' and 'resumed' \
             of the switch",
        ),
        required("by", Type::Text, "who says so"),
        optional("at", Type::Instant, "wall clock, UTC"),
        optional("policy", Type::Text, "the policy that proposed it"),
        optional("resource", Type::Text, "the resource's id"),
        optional("part", Type::I32, "which part of the action, from 0"),
        optional("undo", Type::Flag, "whether the call takes back what was done"),
        optional(
            "token",
            Type::Text,
            "what the call carries, so that twice has the effect of once",
        ),
        optional("detail", Type::Text, "the step, JSON: proposal, call, outcome, or reason"),
    ],
    sort: &["seq"],
    statistics: &[],
};

pub(super) const ACTION_STATUS: Table = Table {
    name: "action_status",
    description: "where an action on a resource stands",
    kind: Kind::Log,
    own: &[
        required("action_id", Type::Text, "the action"),
        required("policy", Type::Text, "the policy that proposed it"),
        required("resource", Type::Text, "the resource's id"),
        required(
            "phase",
            Type::Text,
            "'marked', 'executing', 'executed', 'verified', 'differs', 'failed', 'undoing', 'undone' or \
             'withdrawn'",
        ),
        required("parts", Type::I32, "calls that it takes"),
        required("done", Type::I32, "of them made"),
        required("undone", Type::I32, "of those taken back"),
        required("is_open_call", Type::Flag, "whether a call was begun whose outcome is not known"),
        optional(
            "mark",
            Type::Text,
            "the tag that the resource carries meanwhile, 'key=value'; null where its policy says of none",
        ),
        optional(
            "is_marked",
            Type::Text,
            "'no' (not yet), 'yes', 'removed', or 'left' where it would not be taken away; null likewise",
        ),
        required("approvals", Type::I32, "people who have to agree"),
        optional("approved_by", Type::Texts, "those who have"),
        optional("saving", Type::F64, "what it saves in a month, by its policy's query"),
        optional("proposed_at", Type::Instant, "wall clock when it was proposed, UTC"),
        optional("grace_until", Type::Instant, "wall clock before which nothing is done, UTC"),
        required("executor", Type::Text, "who does it"),
        required(
            "evidence",
            Type::Text,
            "the row that the query found, and the resource then, JSON",
        ),
    ],
    sort: &["action_id"],
    statistics: &[],
};

/// The rows of `actions`.
pub(crate) fn actions(state: &State) -> RecordBatch {
    let all = || state.actions.steps.iter().map(|(_, act)| act);
    let need = |value: fn(&Act) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(all().map(value)))
    };
    let of = |act: &Act| state.actions.find(&act.action).map(|action| &action.proposal);
    let policies = all().map(|act| Some(of(act)?.policy.clone()));
    let resources = all().map(|act| Some(of(act)?.resource_id.clone()));
    // An outcome tells by its token which part it is of.
    let mut open: HashMap<&str, (u32, bool)> = HashMap::new();
    let (mut parts, mut undo, mut tokens) = (Vec::new(), Vec::new(), Vec::new());
    for act in all() {
        let token = match &act.step {
            Step::Intended { undo, part, token, .. } => {
                open.insert(token, (*part, *undo));
                Some(token.as_str())
            }
            Step::Marking { token, .. } | Step::Done { token, .. } | Step::Failed { token, .. } => {
                Some(token.as_str())
            }
            _ => None,
        };
        let known = token.and_then(|token| open.get(token));
        parts.push(known.map(|(part, _)| *part as i32));
        undo.push(known.map(|(_, undo)| *undo));
        tokens.push(token);
    }
    let details = all().map(|act| match &act.step {
        Step::Approved {} | Step::Verified {} | Step::Resumed {} => None,
        step => serde_json::to_string(step).ok(),
    });
    batch(
        &ACTIONS,
        vec![
            numbers(state.actions.steps.iter().map(|(number, _)| *number)),
            need(|act| &act.action),
            need(|act| act.step.name()),
            need(|act| &act.by),
            instants(all().map(|act| act.at_us)),
            Arc::new(policies.collect::<StringArray>()),
            Arc::new(resources.collect::<StringArray>()),
            Arc::new(parts.into_iter().collect::<Int32Array>()),
            Arc::new(undo.into_iter().collect::<BooleanArray>()),
            Arc::new(tokens.into_iter().collect::<StringArray>()),
            Arc::new(details.collect::<StringArray>()),
        ],
    )
}

/// The rows of `action_status`.
pub(crate) fn action_status(state: &State) -> RecordBatch {
    let all = || state.actions.all.iter();
    let text = |value: fn(&Action) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(all().map(|(_, action)| value(action))))
    };
    let count = |value: fn(&Action) -> usize| -> ArrayRef {
        Arc::new(Int32Array::from_iter_values(all().map(|(_, action)| value(action) as i32)))
    };
    let mut agreed = ListBuilder::new(StringBuilder::new()).with_field(Field::new(
        "item",
        DataType::Utf8,
        false,
    ));
    for (_, action) in all() {
        action.approved_by.iter().for_each(|by| agreed.values().append_value(by));
        agreed.append(true);
    }
    let is_open = |action: &Action| action.intent.is_some() || action.mark_intent.is_some();
    let open = all().map(|(_, action)| Some(is_open(action)));
    let marks = all().map(|(_, action)| {
        action.proposal.mark.as_ref().map(|mark| format!("{}={}", mark.key, mark.value))
    });
    let marked =
        all().map(|(_, action)| action.proposal.mark.as_ref().map(|_| action.marked.name()));
    batch(
        &ACTION_STATUS,
        vec![
            Arc::new(StringArray::from_iter_values(all().map(|(id, _)| id))),
            text(|action| action.proposal.policy.clone()),
            text(|action| action.proposal.resource_id.clone()),
            text(|action| action.phase.name().to_owned()),
            count(|action| action.proposal.parts.len()),
            count(|action| action.done.len()),
            count(|action| action.undone.len()),
            Arc::new(open.collect::<BooleanArray>()),
            Arc::new(marks.collect::<StringArray>()),
            Arc::new(marked.collect::<StringArray>()),
            count(|action| action.proposal.approvals as usize),
            Arc::new(agreed.finish()),
            Arc::new(all().map(|(_, action)| action.proposal.saving).collect::<Float64Array>()),
            instants(all().map(|(_, action)| action.proposed_at_us)),
            instants(all().map(|(_, action)| action.grace_until_us())),
            text(|action| action.proposal.executor.clone()),
            text(|action| action.proposal.evidence.to_string()),
        ],
    )
}
