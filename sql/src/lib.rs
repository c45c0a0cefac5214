//! The catalog (what is true) and how to ask: tables, views and the shell.
//!
//! A result exists if and only if a commit in the catalog's log names its
//! file. In reading order:
//!
//! - [`catalog`]: the log of create-only records, its fold, and who may write it
//! - [`alerts`]: rows of `alerts` in the order in which they leave
//! - [`table`]: every table, declared once: names, columns, meaning
//! - [`view`]: the questions people ask first, answered
//! - [`function`]: the functions that queries have besides DataFusion's
//! - [`statement`], [`session`]: from SQL text to rows of the catalog
//! - [`output`], [`shell`]: rows to text and files, and the interactive shell

pub mod alerts;
pub mod catalog;
mod error;
pub mod function;
pub mod output;
pub mod session;
pub mod shell;
pub mod statement;
pub mod table;
pub mod view;

pub use error::{Error, Result};
