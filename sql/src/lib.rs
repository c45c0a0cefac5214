//! The catalog (what is true) and how to ask: tables, views and the shell.
//!
//! A result exists if and only if a commit in the catalog's log names its
//! file. In reading order:
//!
//! - [`catalog`]: the log of create-only records, its fold, and who may write it
//! - [`table`]: every table, declared once: names, columns, meaning

pub mod catalog;
mod error;
pub mod table;

pub use error::{Error, Result};
