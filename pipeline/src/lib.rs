//! The top floor: sources, the dataflow, the coordinator, and the `cloudops` commands.
//!
//! In reading order:
//!
//! - [`config`], [`size`], [`job`]: a configuration file, and the validated job it becomes
//! - [`source`]: files to judged records
//! - [`dataflow`]: **the data path**, one line an operator
//! - [`path`], [`kernel`], [`drift`]: what each step does with a stream's settings
//! - [`zombie`]: the forest that judges resources, as the dataflow has it
//! - [`worker`]: a worker's life
//! - [`checkpoint`]: the state of operators to files and back
//! - [`engine`]: the coordinator: plan, process, commit
//! - [`sink`]: rows to Parquet files, and alerts on from there
//! - [`delivery`]: alerts to webhooks, Slack, PagerDuty, Alertmanager and mailboxes
//! - [`maintenance`]: files merged and deleted, tables published as Delta Lake
//! - [`monitor`], [`memory`]: how a run is watched, and kept within its memory
//! - [`profile`]: where the CPU time went
//! - [`learning`]: records to trained models
//! - [`action`]: policies, and what they want done, step by step
//! - [`executor`]: what acts on resources: AWS, signed webhooks, commands
//! - [`command`]: one file a subcommand

pub mod action;
mod answer;
pub mod checkpoint;
pub mod clock;
pub mod cluster;
pub mod command;
pub mod config;
mod crew;
pub mod dataflow;
pub mod delivery;
pub mod drift;
pub mod engine;
pub mod executor;
mod forecaster;
pub mod job;
pub mod kernel;
pub mod learning;
pub mod maintenance;
pub mod memory;
pub mod monitor;
pub mod path;
pub mod profile;
pub mod progress;
pub mod shelf;
pub mod sink;
pub mod size;
pub mod source;
pub mod worker;
pub mod zombie;
