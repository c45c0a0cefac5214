//! From files and topics to judged records: list, read, decode, cut, judge.
//!
//! Reading runs ahead on a thread a partition ([`partition`], [`fluvio`]); the coordinator
//! cuts what has been read into epochs and judges it on the way ([`cursor`]).

pub mod blob;
pub mod cursor;
pub mod files;
pub mod fluvio;
pub mod partition;
