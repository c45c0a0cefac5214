//! Executors against what they act on: moto's server as AWS, a receiver of webhooks, programs.
//!
//! What is asserted of every step that changes something is that performing it twice, with the outcome of
//! the first forgotten as a crash would, has the effect of once.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a step that fails, fails the test"
)]

#[cfg(feature = "aws")]
mod cloud;
mod command;
#[cfg(feature = "aws")]
mod databases;
#[cfg(feature = "aws")]
mod faults;
mod http;
#[cfg(feature = "aws")]
mod instances;
#[cfg(feature = "aws")]
#[allow(dead_code, reason = "one way to start a server is for commands")]
#[path = "../support/moto.rs"]
mod moto;
#[cfg(feature = "aws")]
mod policies;
#[cfg(feature = "aws")]
mod volumes;
mod webhook;
