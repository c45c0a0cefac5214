//! A progress bar on stderr, where that is a terminal.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::engine::Summary;

/// How far the input has been read, and what has been committed.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    bytes_read: Arc<AtomicU64>,
}

impl Progress {
    /// A bar over `bytes` of input, or a spinner where the input has no end; hidden unless `show`
    /// and stderr is a terminal.
    #[must_use]
    pub fn new(show: bool, bytes: Option<u64>, bytes_read: Arc<AtomicU64>) -> Self {
        if !show || !std::io::stderr().is_terminal() {
            return Self { bar: ProgressBar::hidden(), bytes_read };
        }
        let (bar, template) = match bytes {
            Some(bytes) => (
                ProgressBar::new(bytes),
                "{bar:32} {bytes}/{total_bytes} read, {msg} [{elapsed} elapsed, {eta} left]",
            ),
            None => (ProgressBar::new_spinner(), "{spinner} {bytes} read, {msg} [{elapsed}]"),
        };
        let style =
            ProgressStyle::with_template(template).expect("the template above is well formed");
        bar.set_style(style);
        bar.enable_steady_tick(Duration::from_millis(250));
        Self { bar, bytes_read }
    }

    /// Shows how far things are.
    pub fn advance(&self, summary: &Summary) {
        self.bar.set_position(self.bytes_read.load(Ordering::Relaxed));
        self.bar.set_message(format!(
            "epoch {}, {} windows, {} rows committed",
            summary.epochs + summary.replayed,
            summary.windows,
            summary.rows
        ));
    }

    /// Takes the bar away; what was done is in the summary.
    pub fn finish(&self, summary: &Summary) {
        self.advance(summary);
        self.bar.finish_and_clear();
    }
}
