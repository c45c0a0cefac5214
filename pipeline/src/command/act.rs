//! `cloudops act`: what policies want done, what is done, and what is taken back.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};
use cloudops_sql::catalog::Catalog;
use cloudops_sql::catalog::action::{Act as Said, Step};
use cloudops_sql::session::Session;
use serde_json::json;
use tokio::runtime::Runtime;

use super::{address, print, print_json};
use crate::action::policy::Policies;
use crate::action::{Ledger, News, Run, run, undo};
use crate::clock::{Clock, SystemClock};
use crate::executor::config::process_environment;

/// Act on what the tables say, by policies: nothing is done without `--apply`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cloudops act run --policies policies.yaml --catalog results\n  \
    cloudops act run --policies policies.yaml --catalog results --apply\n  \
    cloudops act approve 3f1a9c --by ann --catalog results\n  \
    cloudops act undo 3f1a9c --policies policies.yaml --by ann --catalog results --apply\n  \
    cloudops act halt --by ann --reason 'migration' --catalog results\n\n\
    `run` makes one pass and is meant to be called again, by a timer: it proposes, waits for the grace \
    and for people to agree, looks again, executes and verifies. Every step is a row of the table \
    `actions`; `action_status` has where each action stands."
)]
pub(super) struct Act {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// One pass over all policies.
    Run {
        #[command(flatten)]
        place: Place,
        /// The file of policies, YAML.
        #[arg(long, value_name = "FILE")]
        policies: PathBuf,
        /// Do it. Without, nothing is written or sent.
        #[arg(long)]
        apply: bool,
        /// Who runs it.
        #[arg(long, default_value = "cloudops")]
        by: String,
    },
    /// Agree to an action.
    Approve(OfOne),
    /// Object to an action that has not begun: it is over.
    Withdraw {
        #[command(flatten)]
        of: OfOne,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Take back what an action did.
    Undo {
        #[command(flatten)]
        of: OfOne,
        /// The file of policies: it names the executors.
        #[arg(long, value_name = "FILE")]
        policies: PathBuf,
        /// Do it. Without, nothing is written or sent.
        #[arg(long)]
        apply: bool,
    },
    /// Nobody may act from here on.
    Halt {
        #[command(flatten)]
        place: Place,
        /// Who says so.
        #[arg(long)]
        by: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// One may act again.
    Resume {
        #[command(flatten)]
        place: Place,
        /// Who says so.
        #[arg(long)]
        by: String,
    },
}

#[derive(Debug, Args)]
struct Place {
    /// The job's configuration: names the catalog.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The catalog's directory or URL.
    #[arg(long, value_name = "URL", required_unless_present = "config")]
    catalog: Option<String>,
    /// Print as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct OfOne {
    /// The action's id, or a beginning of it that no other has.
    #[arg(value_name = "ACTION")]
    action: String,
    /// Who says so.
    #[arg(long)]
    by: String,
    #[command(flatten)]
    place: Place,
}

impl Place {
    fn address(&self) -> Result<String> {
        address(self.catalog.as_deref(), self.config.as_deref())
    }

    /// The catalog's log, or a copy of its state.
    fn ledger(&self, apply: bool) -> Result<Ledger> {
        let runtime = Runtime::new().context("starting the I/O runtime")?;
        let catalog = runtime.block_on(Catalog::open(&self.address()?))?;
        Ok(Ledger::new(catalog, runtime, apply))
    }

    /// Writes one step down that needs no executor.
    fn say(&self, action: &str, by: &str, step: Step) -> Result<()> {
        let mut ledger = self.ledger(true)?;
        let action = if action.is_empty() { String::new() } else { find(&ledger, action)? };
        let (name, at_us) = (step.name(), SystemClock.now_us());
        let act = Said { action: action.clone(), step, by: by.to_owned(), at_us };
        if let Err(rule) = ledger.say(act)? {
            bail!("{rule}");
        }
        let phase = ledger.actions().find(&action).map(|action| action.phase.name());
        if self.json {
            return print_json(&json!({ "action": action, "step": name, "phase": phase }));
        }
        match phase {
            Some(phase) => print(&format!("{name}: {action} is {phase}")),
            None => print(name),
        }
    }
}

/// The action of a beginning of its id.
fn find(ledger: &Ledger, beginning: &str) -> Result<String> {
    let all = ledger.actions().all.keys();
    let mut found = all.filter(|id| !beginning.is_empty() && id.starts_with(beginning));
    match (found.next(), found.next()) {
        (Some(id), None) => Ok(id.clone()),
        (Some(_), Some(_)) => bail!("several actions have an id that begins with {beginning}"),
        _ => bail!(
            "no action has an id that begins with {beginning}: `cloudops sql \"select * from \
             action_status\"` lists them"
        ),
    }
}

impl Act {
    pub(super) fn execute(&self) -> Result<()> {
        match &self.verb {
            Verb::Run { place, policies, apply, by } => {
                let policies = Policies::read(policies)?;
                let mut pass = pass(place, &policies, *apply, by)?;
                let runtime = Runtime::new().context("starting the I/O runtime")?;
                let mut session = runtime.block_on(Session::open(&place.address()?))?;
                let ended = run(&mut pass, &mut session, &runtime);
                tell(place, &pass.news, *apply)?;
                ended?;
                let bad = ["over-limit", "failed", "differs", "refused"];
                let bad = pass.news.iter().filter(|news| bad.contains(&news.what)).count();
                ensure!(bad == 0, "{bad} of them need somebody's attention");
                Ok(())
            }
            Verb::Approve(of) => of.place.say(&of.action, &of.by, Step::Approved {}),
            Verb::Withdraw { of, reason } => {
                of.place.say(&of.action, &of.by, Step::Withdrawn { reason: reason.clone() })
            }
            Verb::Undo { of, policies, apply } => {
                let policies = Policies::read(policies)?;
                let mut pass = pass(&of.place, &policies, *apply, &of.by)?;
                let id = find(&pass.ledger, &of.action)?;
                let lost = undo(&mut pass, &id);
                tell(&of.place, &pass.news, *apply)?;
                for lost in lost? {
                    print(&format!("it does not bring back: {lost}"))?;
                }
                Ok(())
            }
            Verb::Halt { place, by, reason } => {
                place.say("", by, Step::Halted { reason: reason.clone() })
            }
            Verb::Resume { place, by } => place.say("", by, Step::Resumed {}),
        }
    }
}

fn pass<'a>(place: &Place, policies: &'a Policies, apply: bool, by: &str) -> Result<Run<'a>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut executors = BTreeMap::new();
    for config in &policies.executors {
        let executor = config.clone().build(&process_environment, Arc::clone(&clock))?;
        let name = executor.name().to_owned();
        ensure!(
            executors.insert(name.clone(), executor).is_none(),
            "two executors are named {name:?}"
        );
    }
    for policy in &policies.policies {
        ensure!(
            executors.contains_key(&policy.executor),
            "policy {:?}: no executor is named {:?}",
            policy.name,
            policy.executor
        );
    }
    let (ledger, by) = (place.ledger(apply)?, by.to_owned());
    Ok(Run { policies, executors, ledger, clock, by, news: Vec::new() })
}

fn tell(place: &Place, news: &[News], apply: bool) -> Result<()> {
    if place.json {
        return print_json(&json!({ "applied": apply, "news": news }));
    }
    let mut text = String::new();
    for News { policy, resource, action, what, why } in news {
        let of = [policy, resource, action].into_iter().filter(|part| !part.is_empty());
        let of: Vec<&str> = of.map(String::as_str).collect();
        text += &format!("{what:<12}{}: {why}\n", of.join(" "));
    }
    if news.is_empty() {
        text += "nothing is to be done\n";
    }
    if !apply {
        text += "nothing was written or done: add --apply to do it\n";
    }
    print(&text)
}
