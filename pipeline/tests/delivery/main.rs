//! Alerts out: what receivers are sent, how often, in which order, and what the catalog then says of it.
//!
//! Receivers are servers of this process that answer as a test has them do, and a mail server of somebody
//! else. `matrix/deliveries.rs` has programs die between sending and writing down.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a step that fails, fails the test"
)]

mod fixture;
#[path = "../executor/http.rs"]
mod http;
mod job;
mod mail;
mod payloads;
mod rounds;
mod silences;
#[path = "../support/mod.rs"]
mod support;
