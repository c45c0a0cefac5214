//! Which files a partition has, in the order they are read.
//!
//! A directory, a glob or an object prefix is one partition read in name order.
//! A growing one is read on at its end: a file whose name sorts before one
//! already read can no longer take its place, so it is named in the log and
//! left alone.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use cloudops_datasets::Format;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;

use super::blob::Location;

/// One file of a partition.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its name: the path as found, which orders the partition.
    pub name: Arc<str>,
    /// Bytes, as listed.
    pub size: u64,
    /// Where to read it.
    pub location: Location,
}

impl Found {
    /// Whether this user may open it; what lies in a store is asked for when it is read.
    #[must_use]
    pub fn readable(&self) -> bool {
        match &self.location {
            Location::Local(path) => std::fs::File::open(path).is_ok(),
            Location::Object { .. } => true,
        }
    }
}

/// Where a partition's files are found.
#[derive(Debug, Clone)]
pub enum Listing {
    /// A local path: a file, a directory, or a glob.
    Local(String),
    /// An object or a prefix of a store.
    Objects {
        /// The store.
        store: Arc<dyn ObjectStore>,
        /// The object or prefix.
        prefix: Path,
        /// Where requests run.
        runtime: Handle,
    },
}

impl Listing {
    /// Understands a configured path: `dir`, `dir/*.csv`, `file.parquet`, `s3://bucket/prefix`.
    ///
    /// # Errors
    /// When a URL's scheme is not built in.
    pub fn parse(path: &str, runtime: &Handle) -> Result<Self> {
        if !path.contains("://") {
            return Ok(Self::Local(path.to_owned()));
        }
        let (store, prefix) = cloudops_sql::catalog::store::open_store(path)?;
        Ok(Self::Objects { store, prefix, runtime: runtime.clone() })
    }

    /// The files now there that the format reads, in name order.
    ///
    /// Names beginning with `.` or `_` and names ending in `.tmp` or `.part` are being written
    /// by somebody and are passed over.
    ///
    /// # Errors
    /// When the path does not exist or cannot be listed.
    pub fn list(&self, format: &Format) -> Result<Vec<Found>> {
        let mut files = match self {
            Self::Local(path) => list_local(path, format)?,
            Self::Objects { store, prefix, runtime } => {
                runtime.block_on(list_objects(store, prefix, format, runtime))?
            }
        };
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }
}

fn list_local(path: &str, format: &Format) -> Result<Vec<Found>> {
    let meta = std::fs::metadata(path);
    let candidates: Vec<PathBuf> = match &meta {
        Ok(meta) if meta.is_file() => {
            return Ok(vec![local(PathBuf::from(path), meta.len())]);
        }
        Ok(_) => {
            let entries = std::fs::read_dir(path).with_context(|| format!("listing {path}"))?;
            let mut found = Vec::new();
            for entry in entries {
                found.push(entry.with_context(|| format!("listing {path}"))?.path());
            }
            found
        }
        Err(_) if path.contains(['*', '?', '[']) => glob::glob(path)
            .with_context(|| format!("the glob {path}"))?
            .collect::<std::result::Result<_, _>>()
            .with_context(|| format!("listing {path}"))?,
        Err(error) => bail!("source path {path}: {error}"),
    };
    let mut found = Vec::new();
    for candidate in candidates {
        let name = candidate.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let meta = std::fs::metadata(&candidate)
            .with_context(|| format!("reading {}", candidate.display()))?;
        if meta.is_file() && finished(name) && format.matches(name) {
            found.push(local(candidate, meta.len()));
        }
    }
    Ok(found)
}

async fn list_objects(
    store: &Arc<dyn ObjectStore>,
    prefix: &Path,
    format: &Format,
    runtime: &Handle,
) -> Result<Vec<Found>> {
    let listed: Vec<_> = store.list(Some(prefix)).try_collect().await?;
    let metas = if listed.is_empty() { vec![store.head(prefix).await?] } else { listed };
    Ok(metas
        .into_iter()
        .filter(|meta| {
            let name = meta.location.filename().unwrap_or_default();
            finished(name) && (meta.location == *prefix || format.matches(name))
        })
        .map(|meta| Found {
            name: Arc::from(meta.location.as_ref()),
            size: meta.size,
            location: Location::Object {
                store: Arc::clone(store),
                path: meta.location,
                runtime: runtime.clone(),
            },
        })
        .collect())
}

fn local(path: PathBuf, size: u64) -> Found {
    Found { name: Arc::from(path.to_string_lossy()), size, location: Location::Local(path) }
}

fn finished(name: &str) -> bool {
    !name.starts_with(['.', '_']) && !name.ends_with(".tmp") && !name.ends_with(".part")
}
