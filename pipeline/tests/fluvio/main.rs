//! Fluvio as source and sink, against a cluster in this process, or a real one that `FLUVIO_ENDPOINT`
//! names: what only the one in this process can do, to fail on demand, is tested there in any case.
//! Where `FLUVIO_RESTART` names a command that restarts a broker, the real one fails too.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic, and says what it has measured"
)]

mod broker;
mod cluster;
mod job;
mod reading;
mod restarts;
mod sink;
#[path = "../support/mod.rs"]
mod support;
mod tls;
