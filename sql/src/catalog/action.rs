//! Actions on resources: their steps as records, and the order that these may come in.
//!
//! An action is proposed by a policy, waits until its grace is over, is approved by as many people as it
//! needs, and is then executed part by part: before each call of a provider stands an *intent* with the
//! token that the call carries, behind it its outcome. So whoever finds an intent without an outcome
//! knows that the call may have been made, and makes it again with the same token, which has the effect
//! of once. What may follow what is decided here, at a record's place in the log: two programs that both
//! want to act find that one of them came too late, and nobody acts while the switch says halt.
//!
//! Where a proposal says so, the resource carries a *mark* at its provider, a tag, from before its grace
//! begins until the action is over. Putting it there and taking it away are calls as the others are, with
//! an intent before and an outcome behind; what cannot be marked is not acted on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A step of an action, or of the switch over all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Act {
    /// The action; empty of the switch.
    pub action: String,
    /// What happens.
    pub step: Step,
    /// Who says so: a person, or the program that runs policies.
    pub by: String,
    /// Wall clock, µs since 1970.
    pub at_us: i64,
}

/// What happens to an action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// A policy wants it; it is marked from here on.
    Proposed(Box<Proposal>),
    /// Somebody agrees.
    Approved {},
    /// Its reason is gone, or somebody objects: it is over.
    Withdrawn {
        /// Why.
        reason: String,
    },
    /// A call is about to be made.
    Intended {
        /// Whether it takes back what was done.
        undo: bool,
        /// Which part of the action, from 0.
        part: u32,
        /// What the call carries, so that making it twice has the effect of once.
        token: String,
        /// The call, as its executor understands it: with what the resource was like before.
        call: Value,
    },
    /// The call that marks the resource, or takes the mark away, is about to be made.
    Marking {
        /// Whether it takes the mark away.
        remove: bool,
        /// What the call carries.
        token: String,
        /// The call, as its executor understands it.
        call: Value,
    },
    /// The call was made.
    Done {
        /// The intent's token.
        token: String,
        /// What the provider said: what is needed to check it, and to take it back.
        outcome: Value,
    },
    /// The call was refused, and made no difference.
    Failed {
        /// The intent's token.
        token: String,
        /// Why.
        reason: String,
    },
    /// All parts are as they should be.
    Verified {},
    /// They are not.
    Differs {
        /// What was found instead.
        found: String,
    },
    /// The switch: nobody may act.
    Halted {
        /// Why.
        reason: String,
    },
    /// The switch: one may act again.
    Resumed {},
}

impl Step {
    /// Its name in tables.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Proposed(_) => "proposed",
            Self::Approved {} => "approved",
            Self::Withdrawn { .. } => "withdrawn",
            Self::Intended { .. } => "intended",
            Self::Marking { remove: false, .. } => "marking",
            Self::Marking { remove: true, .. } => "unmarking",
            Self::Done { .. } => "done",
            Self::Failed { .. } => "failed",
            Self::Verified {} => "verified",
            Self::Differs { .. } => "differs",
            Self::Halted { .. } => "halted",
            Self::Resumed {} => "resumed",
        }
    }

    fn is_of_the_switch(&self) -> bool {
        matches!(self, Self::Halted { .. } | Self::Resumed {})
    }
}

/// What a policy wants to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// The policy.
    pub policy: String,
    /// A digest of the policy as it was then.
    pub policy_digest: String,
    /// The resource, as its executor understands it.
    pub resource: Value,
    /// Its id.
    pub resource_id: String,
    /// What is done, part by part, as the executor understands it.
    pub parts: Vec<Value>,
    /// Which executor does it.
    pub executor: String,
    /// Why: the row that the policy's query found.
    pub evidence: Value,
    /// What it saves in a month, where the query says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saving: Option<f64>,
    /// How many people must agree.
    pub approvals: u32,
    /// Before this wall clock nothing is done, µs since 1970.
    pub grace_until_us: i64,
    /// The tag that the resource carries meanwhile; none where it need not carry any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<Tag>,
}

/// A tag of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tag {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// Whether a resource carries its mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Marked {
    /// Not yet.
    No,
    /// It does.
    Yes,
    /// Not any more.
    Removed,
    /// It may still: the provider would not take it away.
    Left,
}

impl Marked {
    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Yes => "yes",
            Self::Removed => "removed",
            Self::Left => "left",
        }
    }
}

/// A call that marks, or takes a mark away, and that may have been made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarkIntent {
    /// Whether it takes away.
    pub remove: bool,
    /// What it carries.
    pub token: String,
    /// The call.
    pub call: Value,
}

/// Where an action stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Proposed, and none of its parts begun.
    Marked,
    /// Being done.
    Executing,
    /// Done, and not yet looked at.
    Executed,
    /// Done, and as it should be.
    Verified,
    /// Done, and not as it should be.
    Differing,
    /// A part was refused: what was done before it may be taken back.
    Failed,
    /// Being taken back.
    Undoing,
    /// Taken back.
    Undone,
    /// Over without anything done.
    Withdrawn,
}

impl Phase {
    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Marked => "marked",
            Self::Executing => "executing",
            Self::Executed => "executed",
            Self::Verified => "verified",
            Self::Differing => "differs",
            Self::Failed => "failed",
            Self::Undoing => "undoing",
            Self::Undone => "undone",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Whether another action on the resource would get into its way.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Marked | Self::Executing | Self::Executed | Self::Undoing)
    }

    /// Whether the action is over, so that a mark says nothing true any more.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(
            self,
            Self::Verified | Self::Differing | Self::Failed | Self::Undone | Self::Withdrawn
        )
    }
}

/// A call that may have been made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// Whether it takes back.
    pub undo: bool,
    /// Which part.
    pub part: u32,
    /// What it carries.
    pub token: String,
    /// The call.
    pub call: Value,
}

/// A call that was made, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Made {
    /// The call.
    pub call: Value,
    /// What its executor said.
    pub outcome: Value,
}

/// An action so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// What is to be done.
    pub proposal: Proposal,
    /// When it was proposed, µs.
    pub proposed_at_us: i64,
    /// Where it stands.
    pub phase: Phase,
    /// Who has agreed.
    pub approved_by: Vec<String>,
    /// A call without outcome.
    pub intent: Option<Intent>,
    /// The parts that are done, in order.
    pub done: Vec<Made>,
    /// What took parts back, those of the last part first.
    pub undone: Vec<Made>,
    /// When the first part was intended, µs.
    pub executed_at_us: Option<i64>,
    /// Whether the resource carries its mark.
    #[serde(default = "not_marked")]
    pub marked: Marked,
    /// When it came to carry it, µs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marked_at_us: Option<i64>,
    /// A call that marks, or takes away, without outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark_intent: Option<MarkIntent>,
}

fn not_marked() -> Marked {
    Marked::No
}

/// Every action, and the switch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actions {
    /// By id.
    pub all: BTreeMap<String, Action>,
    /// Every step, with its number in the log.
    pub steps: Vec<(u64, Act)>,
    /// Why nobody may act; none where one may.
    pub halted: Option<String>,
}

impl Actions {
    /// Whether a step may follow; the error is the rule that it would break.
    ///
    /// # Errors
    /// A sentence that names the action and the rule.
    pub fn check(&self, act: &Act) -> Result<(), String> {
        let refuse = |why: &str| Err(format!("action {}: {}: {why}", act.action, act.step.name()));
        if act.step.is_of_the_switch() != act.action.is_empty() {
            return refuse("only the switch has no action");
        }
        if act.by.is_empty() {
            return refuse("nobody says so");
        }
        if act.step.is_of_the_switch() {
            return Ok(());
        }
        if let Step::Proposed(proposal) = &act.step {
            if self.all.contains_key(&act.action) {
                return refuse("there is one of this name");
            }
            if proposal.parts.is_empty() || proposal.resource_id.is_empty() {
                return refuse("nothing is to be done");
            }
            let id = &proposal.resource_id;
            let mut others =
                self.all.iter().filter(|(_, action)| action.proposal.resource_id == *id);
            return match others.find(|(_, action)| action.phase.is_open() || action.may_be_marked())
            {
                Some((other, action)) if action.phase.is_open() => {
                    refuse(&format!("{other} is open on {id}"))
                }
                Some((other, _)) => refuse(&format!("{id} carries the mark of {other}")),
                None => Ok(()),
            };
        }
        let Some(action) = self.all.get(&act.action) else { return refuse("there is none") };
        let parts = action.proposal.parts.len();
        match &act.step {
            Step::Approved {} if action.phase != Phase::Marked => refuse("it is not waiting"),
            Step::Approved {} if action.approved_by.contains(&act.by) => {
                refuse("they have already")
            }
            Step::Withdrawn { .. } if action.phase != Phase::Marked => refuse("it has begun"),
            Step::Intended { token, .. } if token.is_empty() => refuse("without a token"),
            Step::Intended { undo, part, .. } => self.check_intent(action, *undo, *part, act),
            Step::Marking { token, .. } if token.is_empty() => refuse("without a token"),
            Step::Marking { remove, .. } => match self.check_marking(action, *remove) {
                Ok(()) => Ok(()),
                Err(why) => refuse(&why),
            },
            Step::Done { token, .. } | Step::Failed { token, .. } => {
                let of_part = action.intent.as_ref().map(|intent| &intent.token);
                let of_mark = action.mark_intent.as_ref().map(|intent| &intent.token);
                match [of_part, of_mark].contains(&Some(token)) {
                    true => Ok(()),
                    false => refuse("no call of this token is open"),
                }
            }
            Step::Verified {} | Step::Differs { .. } => {
                let is_done = action.phase == Phase::Executed && action.done.len() == parts;
                if is_done { Ok(()) } else { refuse("it has not been done") }
            }
            Step::Approved {} | Step::Withdrawn { .. } => Ok(()),
            Step::Proposed(_) | Step::Halted { .. } | Step::Resumed {} => refuse("checked above"),
        }
    }

    fn check_intent(
        &self,
        action: &Action,
        undo: bool,
        part: u32,
        act: &Act,
    ) -> Result<(), String> {
        let refuse = |why: &str| Err(format!("action {}: intended: {why}", act.action));
        if let Some(why) = &self.halted {
            return refuse(&format!("all actions are halted: {why}"));
        }
        if action.intent.is_some() {
            return refuse("the outcome of the call before is not known");
        }
        let (done, undone) = (action.done.len() as u32, action.undone.len() as u32);
        if undo {
            let may = matches!(
                action.phase,
                Phase::Executed
                    | Phase::Verified
                    | Phase::Differing
                    | Phase::Failed
                    | Phase::Undoing
            );
            return match may && undone < done && part == done - undone - 1 {
                true => Ok(()),
                false => refuse("this part cannot be taken back now"),
            };
        }
        if action.phase == Phase::Marked
            && action.proposal.mark.is_some()
            && action.marked != Marked::Yes
        {
            return refuse("its resource does not carry the mark");
        }
        match action.phase {
            Phase::Marked if act.at_us < action.grace_until_us() => {
                return refuse("its grace is not over");
            }
            Phase::Marked if (action.approved_by.len() as u32) < action.proposal.approvals => {
                return refuse("it is not approved");
            }
            Phase::Marked | Phase::Executing => {}
            _ => return refuse("it is over"),
        }
        if part != done || part as usize >= action.proposal.parts.len() {
            return refuse("parts are done in order");
        }
        Ok(())
    }

    /// A mark is put there before anything else is done, and taken away when all is over.
    fn check_marking(&self, action: &Action, remove: bool) -> Result<(), String> {
        if let Some(why) = &self.halted {
            return Err(format!("all actions are halted: {why}"));
        }
        if action.proposal.mark.is_none() {
            return Err("its policy says of no mark".to_owned());
        }
        if action.mark_intent.is_some() || action.intent.is_some() {
            return Err("the outcome of the call before is not known".to_owned());
        }
        let may = match remove {
            false => action.phase == Phase::Marked && action.marked == Marked::No,
            true => action.phase.is_over() && action.marked == Marked::Yes,
        };
        if may { Ok(()) } else { Err(format!("it is {} now", action.phase.name())) }
    }

    /// Takes a step up that [`check`](Self::check) allows, at its number in the log.
    pub fn apply(&mut self, number: u64, act: Act) {
        match &act.step {
            Step::Halted { reason } => self.halted = Some(reason.clone()),
            Step::Resumed {} => self.halted = None,
            Step::Proposed(proposal) => {
                let action = Action {
                    proposal: (**proposal).clone(),
                    proposed_at_us: act.at_us,
                    phase: Phase::Marked,
                    approved_by: Vec::new(),
                    intent: None,
                    done: Vec::new(),
                    undone: Vec::new(),
                    executed_at_us: None,
                    marked: Marked::No,
                    marked_at_us: None,
                    mark_intent: None,
                };
                self.all.insert(act.action.clone(), action);
            }
            _ => {
                if let Some(action) = self.all.get_mut(&act.action) {
                    action.apply(&act);
                }
            }
        }
        self.steps.push((number, act));
    }

    /// Where an action stands.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&Action> {
        self.all.get(id)
    }
}

impl Action {
    /// Before this wall clock nothing is done, µs since 1970: the mark is there for all of the grace.
    #[must_use]
    pub fn grace_until_us(&self) -> i64 {
        let late = self.marked_at_us.map_or(0, |at_us| at_us.saturating_sub(self.proposed_at_us));
        self.proposal.grace_until_us.saturating_add(late.max(0))
    }

    /// Whether the resource may carry a mark that is to be taken away.
    #[must_use]
    pub fn may_be_marked(&self) -> bool {
        self.marked == Marked::Yes || self.mark_intent.is_some()
    }

    /// Takes up what became of a call that marks; `None` where it is another's outcome.
    fn apply_mark(&mut self, act: &Act) -> Option<()> {
        let (token, is_done) = match &act.step {
            Step::Done { token, .. } => (token, true),
            Step::Failed { token, .. } => (token, false),
            _ => return None,
        };
        let intent = self.mark_intent.take_if(|intent| intent.token == *token)?;
        self.marked = match (intent.remove, is_done) {
            (false, true) => Marked::Yes,
            (false, false) => Marked::No,
            (true, true) => Marked::Removed,
            (true, false) => Marked::Left,
        };
        if self.marked == Marked::Yes {
            self.marked_at_us = Some(act.at_us);
        }
        // What cannot be marked is not acted on.
        if self.marked == Marked::No && self.phase == Phase::Marked {
            self.phase = Phase::Failed;
        }
        Some(())
    }

    fn apply(&mut self, act: &Act) {
        if self.apply_mark(act).is_some() {
            return;
        }
        match &act.step {
            Step::Marking { remove, token, call } => {
                let (token, call) = (token.clone(), call.clone());
                self.mark_intent = Some(MarkIntent { remove: *remove, token, call });
            }
            Step::Approved {} => self.approved_by.push(act.by.clone()),
            Step::Withdrawn { .. } => self.phase = Phase::Withdrawn,
            Step::Intended { undo, part, token, call } => {
                self.phase = if *undo { Phase::Undoing } else { Phase::Executing };
                self.executed_at_us = self.executed_at_us.or(Some(act.at_us));
                let (token, call) = (token.clone(), call.clone());
                self.intent = Some(Intent { undo: *undo, part: *part, token, call });
            }
            Step::Done { outcome, .. } => {
                let Some(intent) = self.intent.take() else { return };
                let made = Made { call: intent.call, outcome: outcome.clone() };
                if intent.undo {
                    self.undone.push(made);
                    if self.undone.len() == self.done.len() {
                        self.phase = Phase::Undone;
                    }
                } else {
                    self.done.push(made);
                    if self.done.len() == self.proposal.parts.len() {
                        self.phase = Phase::Executed;
                    }
                }
            }
            Step::Failed { .. } => {
                self.intent = None;
                self.phase = Phase::Failed;
            }
            Step::Verified {} => self.phase = Phase::Verified,
            Step::Differs { .. } => self.phase = Phase::Differing,
            Step::Proposed(_) | Step::Halted { .. } | Step::Resumed {} => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn proposal(resource: &str, approvals: u32, grace_until_us: i64) -> Step {
        Step::Proposed(Box::new(Proposal {
            policy: "p".to_owned(),
            policy_digest: "d".to_owned(),
            resource: json!({"id": resource}),
            resource_id: resource.to_owned(),
            parts: vec![json!("snapshot"), json!("delete")],
            executor: "command".to_owned(),
            evidence: json!({}),
            saving: None,
            approvals,
            grace_until_us,
            mark: None,
        }))
    }

    /// The same, of a resource that is to carry a mark.
    fn marked(resource: &str, grace_until_us: i64) -> Step {
        let Step::Proposed(mut proposal) = proposal(resource, 0, grace_until_us) else {
            unreachable!("it is a proposal")
        };
        proposal.mark = Some(Tag { key: "action".to_owned(), value: "delete".to_owned() });
        Step::Proposed(proposal)
    }

    fn marking(remove: bool, token: &str) -> Step {
        Step::Marking { remove, token: token.to_owned(), call: json!({}) }
    }

    fn intended(undo: bool, part: u32, token: &str) -> Step {
        Step::Intended { undo, part, token: token.to_owned(), call: json!({}) }
    }

    fn done(token: &str) -> Step {
        Step::Done { token: token.to_owned(), outcome: json!({"of": token}) }
    }

    /// Says steps one after the other; the last must be refused where a rule is given.
    fn check(steps: &[(&str, i64, &str, Step)], refused: Option<&str>) -> Actions {
        let mut actions = Actions::default();
        for (at, (action, at_us, by, step)) in steps.iter().enumerate() {
            let act = Act {
                action: (*action).to_owned(),
                step: step.clone(),
                by: (*by).to_owned(),
                at_us: *at_us,
            };
            match (actions.check(&act), refused) {
                (Ok(()), _) => {
                    assert!(refused.is_none() || at + 1 < steps.len(), "nothing was refused");
                    actions.apply(at as u64, act);
                }
                (Err(why), Some(rule)) if at + 1 == steps.len() => {
                    assert!(why.contains(rule), "{why}");
                }
                (Err(why), _) => panic!("step {at}: {why}"),
            }
        }
        actions
    }

    #[test]
    fn an_action_goes_its_way_and_back() {
        let steps = [
            ("a", 0, "policy", proposal("vol-1", 1, 10)),
            ("a", 1, "ann", Step::Approved {}),
            ("a", 10, "run", intended(false, 0, "a-0")),
            ("a", 11, "run", done("a-0")),
            ("a", 12, "run", intended(false, 1, "a-1")),
            ("a", 13, "run", done("a-1")),
            ("a", 14, "run", Step::Verified {}),
            ("a", 20, "ann", intended(true, 1, "a-u1")),
            ("a", 21, "ann", done("a-u1")),
            ("a", 22, "ann", intended(true, 0, "a-u0")),
            ("a", 23, "ann", done("a-u0")),
            ("b", 24, "policy", proposal("vol-1", 0, 0)),
        ];
        let phases = [
            (1, Phase::Marked),
            (3, Phase::Executing),
            (6, Phase::Executed),
            (7, Phase::Verified),
            (9, Phase::Undoing),
            (11, Phase::Undone),
        ];
        for (steps_made, phase) in phases {
            assert_eq!(check(&steps[..steps_made], None).all["a"].phase, phase, "{steps_made}");
        }
        assert_eq!(check(&steps, None).all["b"].phase, Phase::Marked);
    }

    #[test]
    fn a_mark_is_there_from_before_the_grace_until_the_end() {
        let first = || ("a", 0, "policy", marked("vol-1", 10));
        let say = |at, step| ("a", at, "run", step);
        let failed = |token: &str| Step::Failed { token: token.to_owned(), reason: "r".to_owned() };
        let mut steps = vec![
            first(),
            say(3, marking(false, "m")),
            say(4, done("m")),
            say(14, intended(false, 0, "a-0")),
            say(15, done("a-0")),
            say(16, intended(false, 1, "a-1")),
            say(17, done("a-1")),
            say(18, Step::Verified {}),
            say(19, marking(true, "u")),
            say(20, done("u")),
        ];
        let marks = [(1, Marked::No), (3, Marked::Yes), (8, Marked::Yes), (10, Marked::Removed)];
        for (made, marked) in marks {
            assert_eq!(check(&steps[..made], None).all["a"].marked, marked, "{made}");
        }
        let refused = |steps: &[(&str, i64, &str, Step)], last, rule: &str| {
            let mut steps = steps.to_vec();
            steps.push(last);
            check(&steps, Some(rule));
        };
        refused(&steps[..1], say(99, intended(false, 0, "t")), "does not carry the mark");
        refused(&steps[..2], say(99, marking(false, "t")), "outcome of the call before");
        // It has been there for as long as the grace is.
        refused(&steps[..3], say(13, intended(false, 0, "t")), "grace is not over");
        refused(&steps[..3], say(9, marking(true, "t")), "it is marked now");
        refused(&steps[..8], ("b", 19, "policy", proposal("vol-1", 0, 0)), "carries the mark of a");
        refused(&steps[..10], say(21, marking(true, "t")), "it is verified now");
        steps.truncate(2);
        // What cannot be marked is over; what cannot be taken away is left.
        let over = [&steps[..], &[say(4, failed("m"))]].concat();
        let action = &check(&over, None).all["a"];
        assert_eq!((action.phase, action.marked), (Phase::Failed, Marked::No));
        refused(&over, say(5, marking(true, "t")), "it is failed now");
        // Withdrawn while the call may be on its way: it is waited for, and taken away then.
        steps.push(say(4, Step::Withdrawn { reason: "r".to_owned() }));
        refused(&steps, say(5, marking(true, "t")), "outcome of the call before");
        refused(&steps, ("b", 5, "policy", proposal("vol-1", 0, 0)), "carries the mark of a");
        steps.extend([say(6, done("m")), say(7, marking(true, "u")), say(8, failed("u"))]);
        let action = &check(&steps, None).all["a"];
        assert_eq!((action.phase, action.marked), (Phase::Withdrawn, Marked::Left));
        let halted = ("", 1, "ann", Step::Halted { reason: "fire".to_owned() });
        refused(&[first(), halted], say(2, marking(false, "m")), "halted: fire");
        refused(&[("a", 0, "p", proposal("vol-1", 0, 0))], say(1, marking(false, "m")), "no mark");
    }

    #[test]
    fn what_may_not_follow_is_refused() {
        let first = || ("a", 0, "policy", proposal("vol-1", 2, 10));
        let approve = |by| ("a", 1, by, Step::Approved {});
        let begin = |at| ("a", at, "run", intended(false, 0, "t"));
        check(&[first(), begin(10)], Some("not approved"));
        check(&[first(), approve("ann"), approve("ann")], Some("they have already"));
        check(&[first(), approve("ann"), approve("bob"), begin(9)], Some("grace is not over"));
        check(&[first(), ("b", 1, "policy", proposal("vol-1", 0, 0))], Some("a is open on vol-1"));
        check(&[first(), ("a", 1, "policy", proposal("vol-2", 0, 0))], Some("one of this name"));
        let begun = [first(), approve("ann"), approve("bob"), begin(10)];
        let then = |step| {
            let mut steps = begun.to_vec();
            steps.push(("a", 11, "run", step));
            steps
        };
        check(&then(intended(false, 0, "again")), Some("outcome of the call before"));
        check(&then(done("other")), Some("no call of this token"));
        check(&then(Step::Withdrawn { reason: "r".to_owned() }), Some("it has begun"));
        check(&then(Step::Verified {}), Some("has not been done"));
        let halted = ("", 1, "ann", Step::Halted { reason: "fire".to_owned() });
        let mut switched = begun.to_vec();
        switched.insert(3, halted);
        check(&switched, Some("halted: fire"));
        switched.insert(4, ("", 1, "ann", Step::Resumed {}));
        check(&switched, None);
        check(&[("", 0, "ann", Step::Approved {})], Some("only the switch"));
        check(&[("a", 0, "run", intended(false, 0, "t"))], Some("there is none"));
    }
}
