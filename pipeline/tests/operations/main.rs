//! A job as the one who runs it sees it: watched, stalled, held within its memory, looked at again.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic, and says what it found"
)]

mod doctor;
mod explain;
mod feedback;
mod overload;
mod replay;
#[path = "../support/mod.rs"]
mod support;
mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::text;

/// A configuration with another `[run]` setting.
pub(crate) fn with(config: &Path, setting: &str) {
    let text = std::fs::read_to_string(config).unwrap();
    std::fs::write(config, text.replace("fsync = false", &format!("fsync = false\n{setting}")))
        .unwrap();
}

/// Every stream of a configuration looks for new files.
pub(crate) fn watching(config: &Path) {
    let text = std::fs::read_to_string(config).unwrap();
    std::fs::write(config, text.replace("format =", "watch = \"50ms\"\nformat =")).unwrap();
}

pub(crate) fn fifo(path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Every file below a directory, with its bytes' length and its time.
pub(crate) fn files(root: &Path) -> BTreeMap<PathBuf, (u64, std::time::SystemTime)> {
    let mut found = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            if meta.is_dir() {
                directories.push(entry.path());
            } else {
                found.insert(entry.path(), (meta.len(), meta.modified().unwrap()));
            }
        }
    }
    found
}

/// The one file that ends so.
pub(crate) fn one(root: &Path, end: &str) -> PathBuf {
    let found = files(root).into_keys().filter(|path| text(path).ends_with(end));
    let found: Vec<_> = found.collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}
