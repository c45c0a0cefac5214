//! Rows to windows: by count, by time, by session.
