//! One pass over all policies.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use cloudops_operators::key::hex;
use cloudops_sql::catalog::action::{Action, Phase, Proposal, Step as Said, Tag};
use cloudops_sql::session::Session;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;

use super::ledger::Ledger;
use super::policy::{Deed, Policies, Policy};
use super::select::{Selected, select};
use super::{mark, plan};
use crate::clock::Clock;
use crate::executor::{Error, Executor, Observed, Outcome, Resource, Settled, Step};

const HOUR_US: i64 = 3_600_000_000;

/// What a pass has to say of one resource or policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct News {
    /// The policy.
    pub policy: String,
    /// The resource; empty of the policy as a whole.
    pub resource: String,
    /// The action; empty where there is none.
    pub action: String,
    /// What happened: a step's name, or `waiting`, `skipped`, `refused`, `over-limit`, `retry`.
    pub what: &'static str,
    /// Why, or what of it.
    pub why: String,
}

/// What a pass needs.
#[derive(Debug)]
pub struct Run<'a> {
    /// What is to be done.
    pub policies: &'a Policies,
    /// Who does it, by name.
    pub executors: BTreeMap<String, Box<dyn Executor>>,
    /// Where it is written down.
    pub ledger: Ledger,
    /// What the clock says.
    pub clock: Arc<dyn Clock>,
    /// Who runs it.
    pub by: String,
    /// What it has to say, in order.
    pub news: Vec<News>,
}

/// Makes one pass: proposes, withdraws, executes, verifies.
///
/// # Errors
/// When a query, the store or the configuration fails; what providers refuse is news.
pub fn run(run: &mut Run<'_>, session: &mut Session, runtime: &Runtime) -> Result<()> {
    // What was begun is ended first, whatever the policies say now.
    for id in run.ids(|action| matches!(action.phase, Phase::Executing)) {
        run.go_on(&id)?;
    }
    for id in run.ids(|action| action.phase == Phase::Executed) {
        run.verify(&id)?;
    }
    run.unmark_all()?;
    let policies = run.policies;
    for policy in &policies.policies {
        let selected = select(policy, session, runtime)?;
        match &selected.over {
            Some(why) => run.tell(&policy.name, "", "", "over-limit", why),
            None => run.pass(policy, &selected)?,
        }
    }
    for id in run.ids(|action| action.phase == Phase::Marked) {
        let Some(action) = run.ledger.actions().find(&id) else { continue };
        if policies.find(&action.proposal.policy).is_none() {
            run.withdraw(&id, "its policy is no more")?;
        }
    }
    run.unmark_all()
}

impl Run<'_> {
    /// Ids of actions, in order.
    pub(super) fn ids(&self, which: impl Fn(&Action) -> bool) -> Vec<String> {
        let all = self.ledger.actions().all.iter();
        all.filter(|(_, action)| which(action)).map(|(id, _)| id.clone()).collect()
    }

    fn tell(&mut self, policy: &str, resource: &str, action: &str, what: &'static str, why: &str) {
        self.news.push(News {
            policy: policy.to_owned(),
            resource: resource.to_owned(),
            action: action.to_owned(),
            what,
            why: why.to_owned(),
        });
    }

    /// Says something of an action.
    pub(super) fn tell_of(&mut self, id: &str, what: &'static str, why: &str) {
        let proposal = self.ledger.actions().find(id).map(|action| &action.proposal);
        let (policy, resource) = proposal
            .map(|proposal| (proposal.policy.clone(), proposal.resource_id.clone()))
            .unwrap_or_default();
        self.tell(&policy, &resource, id, what, why);
    }

    /// Writes a step down; whether it may be so.
    pub(super) fn step(&mut self, id: &str, step: Said, why: &str) -> Result<bool> {
        let (name, at_us, by) = (step.name(), self.clock.now_us(), self.by.clone());
        match self.ledger.step(id, &by, at_us, step)? {
            Ok(()) => {
                self.tell_of(id, name, why);
                Ok(true)
            }
            Err(rule) => {
                self.tell_of(id, "waiting", &rule);
                Ok(false)
            }
        }
    }

    pub(super) fn executor(&self, name: &str) -> Result<&dyn Executor> {
        let executor = self.executors.get(name);
        executor.map(Box::as_ref).with_context(|| format!("no executor is named {name:?}"))
    }

    fn withdraw(&mut self, id: &str, reason: &str) -> Result<()> {
        self.step(id, Said::Withdrawn { reason: reason.to_owned() }, reason)?;
        self.unmark(id)
    }

    /// One policy whose selection is few enough.
    fn pass(&mut self, policy: &Policy, selected: &Selected) -> Result<()> {
        let of_policy = |action: &Action| {
            action.phase == Phase::Marked && action.proposal.policy == policy.name
        };
        for id in self.ids(of_policy) {
            let Some(action) = self.ledger.actions().find(&id).cloned() else { continue };
            if action.proposal.policy_digest != policy.digest() {
                self.withdraw(&id, "its policy has changed")?;
            } else if !selected.rows.contains_key(&action.proposal.resource_id) {
                self.withdraw(&id, "it is no longer selected")?;
            } else {
                self.begin(&id, policy)?;
            }
        }
        for (resource_id, row) in &selected.rows {
            self.ledger.refresh()?;
            if !self.is_known(policy, resource_id) {
                self.propose(policy, resource_id, row)?;
            }
        }
        Ok(())
    }

    /// Whether nothing is to be proposed: something is open on the resource, or this policy has had its
    /// say and people took it back, or the provider refused it.
    fn is_known(&self, policy: &Policy, resource_id: &str) -> bool {
        let of_resource = self.ledger.actions().all.values();
        let mut of_resource =
            of_resource.filter(|action| action.proposal.resource_id == *resource_id);
        of_resource.any(|action| {
            let is_same = action.proposal.policy_digest == policy.digest();
            match action.phase {
                Phase::Undone | Phase::Failed | Phase::Differing => is_same,
                // A copy is no change that a look would show.
                Phase::Verified => is_same && policy.deed == Deed::Snapshot,
                Phase::Withdrawn => false,
                _ => true,
            }
        })
    }

    fn propose(&mut self, policy: &Policy, id: &str, row: &Map<String, Value>) -> Result<()> {
        let resource = plan::resource(id);
        let found = match self.executor(&policy.executor)?.look(&resource) {
            Ok(Some(found)) => found,
            Ok(None) => {
                self.tell(&policy.name, id, "", "skipped", "it is no more");
                return Ok(());
            }
            Err(error) => {
                self.tell(&policy.name, id, "", "skipped", &error.to_string());
                return Ok(());
            }
        };
        let parts = plan::parts(policy, resource.kind, &found, row)?;
        if plan::is_so(&parts, resource.kind, &found) {
            self.tell(&policy.name, id, "", "skipped", "it is so already");
            return Ok(());
        }
        for part in &parts {
            if !part.applies_to(resource.kind) {
                let why = format!("{} is nothing that can be done to it", part.verb());
                self.tell(&policy.name, id, "", "skipped", &why);
                return Ok(());
            }
            if let Some(why) = plan::irreversible(part, resource.kind, &found)
                && !policy.irreversible
            {
                self.tell(
                    &policy.name,
                    id,
                    "",
                    "skipped",
                    &format!("nothing takes it back: {why}"),
                );
                return Ok(());
            }
            if let Some(protection) = found.forbidding(part) {
                let why = format!("it is protected: {protection:?}");
                self.tell(&policy.name, id, "", "skipped", &why);
                return Ok(());
            }
        }
        let now = self.clock.now_us();
        let saving = row.get("saving").and_then(Value::as_f64);
        let grace = i64::try_from(policy.grace.as_micros()).unwrap_or(i64::MAX);
        let digest = Sha256::digest(format!("{} {id} {now}", policy.name));
        let action = hex(&digest[..8]);
        let verbs: Vec<&str> = parts.iter().map(|part| part.verb()).collect();
        let grace_until_us = now.saturating_add(grace);
        let mark = policy.mark.as_ref().map(|mark| Tag {
            key: mark.tag.clone(),
            value: mark::value(&verbs, grace_until_us, &action),
        });
        let proposal = Proposal {
            policy: policy.name.clone(),
            policy_digest: policy.digest(),
            resource: serde_json::to_value(&resource)?,
            resource_id: id.to_owned(),
            parts: parts.iter().map(serde_json::to_value).collect::<Result<_, _>>()?,
            executor: policy.executor.clone(),
            evidence: json!({ "row": row, "found": found }),
            saving,
            approvals: policy.approvals.needed(saving, &found.tags),
            grace_until_us,
            mark,
        };
        let why = format!("{}, {} to agree", verbs.join(", "), proposal.approvals);
        self.step(&action, Said::Proposed(Box::new(proposal)), &why)?;
        self.begin(&action, policy)
    }

    /// Checks again, and executes what may be.
    fn begin(&mut self, id: &str, policy: &Policy) -> Result<()> {
        if !self.mark(id)? {
            return Ok(());
        }
        let Some(action) = self.ledger.actions().find(id).cloned() else { return Ok(()) };
        let now = self.clock.now_us();
        let proposal = &action.proposal;
        if now < action.grace_until_us() {
            let left = (action.grace_until_us() - now) / 1_000_000;
            self.tell_of(id, "waiting", &format!("its grace lasts for {left} s more"));
            return Ok(());
        }
        let agreed = action.approved_by.len() as u32;
        if agreed < proposal.approvals {
            let why = format!(
                "{agreed} of {} have agreed: cloudops act approve {id}",
                proposal.approvals
            );
            self.tell_of(id, "waiting", &why);
            return Ok(());
        }
        if let Some(why) = self.held_back(policy, now) {
            self.tell_of(id, "waiting", &why);
            return Ok(());
        }
        let resource: Resource = serde_json::from_value(proposal.resource.clone())?;
        let found = match self.executor(&proposal.executor)?.look(&resource) {
            Ok(Some(found)) => found,
            Ok(None) => return self.withdraw(id, "it is no more"),
            Err(error) => {
                self.tell_of(id, "retry", &error.to_string());
                return Ok(());
            }
        };
        let proposed: Observed = serde_json::from_value(proposal.evidence["found"].clone())?;
        if (found.state, &found.size) != (proposed.state, &proposed.size) {
            return self.withdraw(id, "it is not as it was when this was proposed");
        }
        self.go_on(id)
    }

    /// Why a policy does no more for now: its rate, or its breaker.
    fn held_back(&self, policy: &Policy, now: i64) -> Option<String> {
        let of_policy = self.ledger.actions().all.values();
        let mut begun: Vec<&Action> = of_policy
            .filter(|action| action.proposal.policy == policy.name)
            .filter(|action| action.executed_at_us.is_some())
            .collect();
        begun.sort_by_key(|action| std::cmp::Reverse(action.executed_at_us));
        let recent = begun.iter().filter(|action| action.executed_at_us > Some(now - HOUR_US));
        if recent.count() >= policy.per_hour {
            return Some(format!("{} actions of the policy began within an hour", policy.per_hour));
        }
        let last = begun.iter().take(policy.breaker.of_last);
        let undone = last.filter(|action| matches!(action.phase, Phase::Undone | Phase::Undoing));
        let undone = undone.count();
        (undone >= policy.breaker.undone)
            .then(|| format!("{undone} of its last actions were taken back: it does no more"))
    }

    /// Makes the calls that are left of an action, as far as it goes now.
    fn go_on(&mut self, id: &str) -> Result<()> {
        loop {
            let Some(action) = self.ledger.actions().find(id).cloned() else { return Ok(()) };
            // A trial makes no call, so what the next one needs is not known.
            if !self.ledger.is_true() && !action.done.is_empty() {
                return Ok(());
            }
            let step = match &action.intent {
                // A call that may have been made: the same one again.
                Some(intent) if !intent.undo => serde_json::from_value(intent.call.clone())?,
                Some(_) => return Ok(()),
                None if action.done.len() == action.proposal.parts.len() => break,
                None => match self.next(id, &action)? {
                    Some(step) => step,
                    None => return Ok(()),
                },
            };
            if !self.perform(id, &action, &step)? {
                return Ok(());
            }
        }
        self.verify(id)
    }

    /// Writes the intent of the next part down; its call, if it may be made now.
    fn next(&mut self, id: &str, action: &Action) -> Result<Option<Step>> {
        if let Some(made) = action.done.last().filter(|_| self.ledger.is_true()) {
            let (step, outcome): (Step, Outcome) = (
                serde_json::from_value(made.call.clone())?,
                serde_json::from_value(made.outcome.clone())?,
            );
            match self.executor(&action.proposal.executor)?.settled(&step, &outcome) {
                Ok(Settled::Done) => {}
                Ok(Settled::Pending) => {
                    self.tell_of(id, "waiting", "the part before is under way");
                    return Ok(None);
                }
                Ok(Settled::Differs { .. }) => {
                    self.tell_of(id, "waiting", "the part before has not come to what it should");
                    return Ok(None);
                }
                Err(error) => {
                    self.tell_of(id, "retry", &error.to_string());
                    return Ok(None);
                }
            }
        }
        let resource: Resource = serde_json::from_value(action.proposal.resource.clone())?;
        let before = match self.executor(&action.proposal.executor)?.look(&resource) {
            Ok(before) => before,
            Err(error) => {
                self.tell_of(id, "retry", &error.to_string());
                return Ok(None);
            }
        };
        let step = plan::call(id, action, before)?;
        let intended = Said::Intended {
            undo: false,
            part: action.done.len() as u32,
            token: step.token.to_string(),
            call: serde_json::to_value(&step)?,
        };
        let may = self.step(id, intended, step.operation.verb())?;
        Ok(may.then_some(step))
    }

    /// Makes a call and writes down what came of it; whether one may go on.
    pub(super) fn perform(&mut self, id: &str, action: &Action, step: &Step) -> Result<bool> {
        let token = step.token.to_string();
        // A call whose intent stands already is held by the switch as well.
        self.ledger.refresh()?;
        if let Some(why) = self.ledger.actions().halted.clone() {
            self.tell_of(id, "waiting", &format!("all actions are halted: {why}"));
            return Ok(false);
        }
        if !self.ledger.is_true() {
            // What would be made is not known; what needs it says so.
            let outcome = serde_json::to_value(Outcome::default())?;
            self.step(id, Said::Done { token, outcome }, "would be done")?;
            return Ok(false);
        }
        match self.executor(&action.proposal.executor)?.perform(step) {
            Ok(outcome) => {
                let outcome = serde_json::to_value(&outcome)?;
                self.step(id, Said::Done { token, outcome }, step.operation.verb())
            }
            Err(error @ Error::Retry { .. }) => {
                self.tell_of(id, "retry", &error.to_string());
                Ok(false)
            }
            Err(error) => {
                let reason = error.to_string();
                self.step(id, Said::Failed { token, reason: reason.clone() }, &reason)?;
                Ok(false)
            }
        }
    }

    /// Looks whether what was done has come to be.
    fn verify(&mut self, id: &str) -> Result<()> {
        let Some(action) = self.ledger.actions().find(id).cloned() else { return Ok(()) };
        let Some(made) = action.done.last().filter(|_| self.ledger.is_true()) else {
            return Ok(());
        };
        let step: Step = serde_json::from_value(made.call.clone())?;
        let outcome: Outcome = serde_json::from_value(made.outcome.clone())?;
        match self.executor(&action.proposal.executor)?.settled(&step, &outcome) {
            Ok(Settled::Done) => {
                self.step(id, Said::Verified {}, "it is as it should be").map(drop)
            }
            Ok(Settled::Pending) => {
                self.tell_of(id, "waiting", "what was done is under way");
                Ok(())
            }
            Ok(Settled::Differs { found }) => {
                let found = found.map_or("nothing".to_owned(), |found| found.said.clone());
                self.step(id, Said::Differs { found: found.clone() }, &found).map(drop)
            }
            Err(error) => {
                self.tell_of(id, "retry", &error.to_string());
                Ok(())
            }
        }
    }
}
