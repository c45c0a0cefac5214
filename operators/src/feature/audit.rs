//! Features of a window of audit events.
