//! One log of create-only objects: what is true, and who may add to it.
//!
//! A catalog is one prefix of one object store:
//!
//! ```text
//! log/<20-digit seq>.json                          truth: a record an object, from 1 without gaps
//! checkpoint/…                                     copies of the log in few objects
//! state/<stream>/<operator>/e<epoch>-w<i>of<n>-<k>.arrow  what operators held after an epoch
//! data/<table>/<stream>/e<epoch>-w<i>of<n>-<n>.parquet  what an epoch made
//! data/<table>/<stream>/m<first>-<last>-<digest>.parquet  files of several epochs merged
//! ```
//!
//! Every object is created once and never changed. Whoever creates the next
//! number of the log has decided what comes next; that one conditional put is
//! all the coordination there is: no clock, no lease, no lock. In reading order:
//!
//! - [`record`]: the records and their format
//! - [`action`], [`delivery`]: records of actions on resources, and of alerts that leave
//! - [`invariants`]: what no sequence of records may break
//! - [`state`]: the fold of the log
//! - [`store`], [`durable`], [`disk`]: addresses, files, a local store that survives a power cut, and
//!   what it does to the disk
//! - [`log`]: open, append, fence, refresh
//! - [`fold`]: the log in few objects, so that opening is quick
//! - [`history`]: the log read again from its beginning
//! - [`rewind`]: the catalog as it was before a commit
//!
//! ```
//! use cloudops_sql::catalog::Catalog;
//! use cloudops_sql::catalog::record::{Promote, Record};
//! use cloudops_operators::score::ModelId;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> cloudops_sql::Result<()> {
//! let mut writer = Catalog::open_or_create("memory://example").await?;
//! writer.take_over("0.1.0", "config", 2).await?;
//! writer
//!     .append(Record::Promote(Promote {
//!         stream: "sensor".into(),
//!         model: ModelId { name: "turbofan".into(), version: "1f3a".into() },
//!         effective_from_us: 0,
//!         reason: "first".into(),
//!         promoted_at_us: 0,
//!     }))
//!     .await?;
//!
//! let reader = Catalog::open("memory://example").await?;
//! assert_eq!(reader.state().timeline("sensor").at(1).unwrap().name, "turbofan");
//! # Ok(())
//! # }
//! ```

pub mod action;
pub mod delivery;
pub mod disk;
pub mod durable;
pub mod fold;
pub mod history;
pub mod invariants;
pub mod log;
pub mod record;
pub mod rewind;
pub mod state;
pub mod store;

pub use log::Catalog;
pub use state::State;
pub use store::Store;
