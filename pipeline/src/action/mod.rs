//! Acting on what the tables say, with guard-rails: propose, mark, check again, approve, execute, verify, undo.
//!
//! A policy may have the executor mark the resource itself (a tag), so that those see it who own it.
//!
//! A [`policy`] selects resources by a query. Every step of an action is a record of the catalog's log
//! ([`cloudops_sql::catalog::action`]), which alone decides what may follow what: nothing is executed
//! whose grace is not over, that is not approved by as many people as it needs, or while the switch says
//! halt. An intent stands in the log before a call is made, and its outcome behind it, so a program that
//! is killed in between leaves what the next one needs to go on: the call, and its token.
//!
//! [`run`] makes one pass over all policies. Without `apply` it makes the same steps on a copy of the log's
//! state, with executors that only look; that is what it prints, and nothing is written or sent.

mod ledger;
mod mark;
mod plan;
pub mod policy;
mod run;
mod select;
mod undo;

pub use ledger::Ledger;
pub use run::{News, Run, run};
pub use undo::undo;
