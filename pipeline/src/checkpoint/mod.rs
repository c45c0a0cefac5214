//! The state of operators to files and back.
//!
//! A file holds a part of one operator's state on one worker, as an Arrow IPC stream: the operator's
//! own columns behind the shard that each row belongs to. A checkpoint writes all keys of an operator,
//! or those that changed since the one before; who holds which shard is decided anew when the state is
//! taken up.

mod read;
mod write;

pub use read::{Piece, Restorers};
pub(crate) use read::{Supply, supply};
pub use write::{EncodedState, StagedState};
pub(crate) use write::{checkpoint, due, encode};
