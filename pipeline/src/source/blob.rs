//! A file's bytes, wherever it lies: a local file, or an object in a store.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};
use tokio::runtime::Handle;

/// Where a file lies.
#[derive(Debug, Clone)]
pub enum Location {
    /// On this machine.
    Local(PathBuf),
    /// In an object store, read through the runtime's I/O threads.
    Object {
        /// The store.
        store: Arc<dyn ObjectStore>,
        /// The object.
        path: Path,
        /// Where requests run.
        runtime: Handle,
    },
}

/// A file opened for positional and sequential reading.
#[derive(Debug, Clone)]
pub struct Blob {
    bytes: Source,
    length: u64,
    read: Arc<AtomicU64>,
}

#[derive(Debug, Clone)]
enum Source {
    Local(Arc<File>),
    Object { store: Arc<dyn ObjectStore>, path: Path, runtime: Handle },
}

impl Blob {
    /// Opens a file; bytes read are added to `read`, for the progress bar.
    ///
    /// # Errors
    /// When it does not exist or may not be read.
    pub fn open(location: &Location, read: &Arc<AtomicU64>) -> std::io::Result<Self> {
        let read = Arc::clone(read);
        match location {
            Location::Local(path) => {
                let file = File::open(path)?;
                let length = file.metadata()?.len();
                Ok(Self { bytes: Source::Local(Arc::new(file)), length, read })
            }
            Location::Object { store, path, runtime } => {
                let meta = runtime.block_on(store.head(path)).map_err(std::io::Error::other)?;
                let (store, path, runtime) = (Arc::clone(store), path.clone(), runtime.clone());
                let bytes = Source::Object { store, path, runtime };
                Ok(Self { bytes, length: meta.size, read })
            }
        }
    }

    fn range(&self, start: u64, length: usize) -> std::io::Result<Bytes> {
        self.read.fetch_add(length as u64, Ordering::Relaxed);
        match &self.bytes {
            Source::Local(file) => {
                let mut buffer = vec![0; length];
                file.read_exact_at(&mut buffer, start)?;
                Ok(Bytes::from(buffer))
            }
            Source::Object { store, path, runtime } => runtime
                .block_on(store.get_range(path, start..start + length as u64))
                .map_err(std::io::Error::other),
        }
    }
}

impl Length for Blob {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Blob {
    type T = Sequential;

    fn get_read(&self, start: u64) -> Result<Sequential> {
        Ok(Sequential { blob: self.clone(), at: start, block: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        self.range(start, length).map_err(|error| ParquetError::External(Box::new(error)))
    }
}

/// Bytes read at once when reading sequentially.
const BLOCK: u64 = 1 << 20;

/// Reads a blob from a position to its end, a block at a time.
#[derive(Debug)]
pub struct Sequential {
    blob: Blob,
    at: u64,
    block: Bytes,
}

impl Read for Sequential {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.block.is_empty() {
            let length = BLOCK.min(self.blob.length.saturating_sub(self.at));
            if length == 0 {
                return Ok(0);
            }
            self.block = self.blob.range(self.at, length as usize)?;
            self.at += length;
        }
        let taken = buffer.len().min(self.block.len());
        buffer[..taken].copy_from_slice(&self.block.split_to(taken));
        Ok(taken)
    }
}
