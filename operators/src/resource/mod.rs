//! Resources: one id for each across streams, who touched it, and what it depends on.
//!
//! A bill, a configuration, a sensor stream and an audit log call the same machine by four names. [`id`]
//! brings these to one; [`touch`] reads of audit events which resources they touched, how, by whom, and
//! which two they connected; [`reference`] reads of a resource's attributes which others it names.

pub mod id;
pub mod reference;
pub mod touch;
