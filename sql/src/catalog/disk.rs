//! What a durable store does to a disk.
//!
//! A trait, so that a test can put a disk beneath it that loses what was not flushed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use object_store::PutPayload;

/// The few operations by which objects come and go. Nothing is durable before it is flushed: neither
/// a file's bytes, nor that it has a name.
pub trait Disk: std::fmt::Debug + Send + Sync + 'static {
    /// Creates a directory.
    ///
    /// # Errors
    /// When it exists, or what it lies in does not.
    fn create_directory(&self, path: &Path) -> io::Result<()>;

    /// Writes a new file, and flushes its bytes where asked to.
    ///
    /// # Errors
    /// When a file has that name.
    fn write(&self, path: &Path, payload: &PutPayload, flush: bool) -> io::Result<()>;

    /// Gives a file a second name.
    ///
    /// # Errors
    /// When a file has that name.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file another name, in the place of whatever had it.
    ///
    /// # Errors
    /// When there is no such file.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Takes a name away.
    ///
    /// # Errors
    /// When nothing has it.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Flushes which names a directory holds.
    ///
    /// # Errors
    /// When there is no such directory.
    fn flush_directory(&self, path: &Path) -> io::Result<()>;
}

/// The operating system's.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn write(&self, path: &Path, payload: &PutPayload, flush: bool) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        let written = payload
            .iter()
            .try_for_each(|bytes| file.write_all(bytes))
            .and_then(|()| if flush { file.sync_all() } else { Ok(()) });
        if written.is_err() {
            // A part of a file is of no use; that it stays where this fails too is no other failure.
            drop(fs::remove_file(path));
        }
        written
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn flush_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}
