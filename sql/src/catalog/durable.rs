//! A local store that acknowledges only what survives a power cut.
//!
//! `object_store`'s local store links a file under its name without ever
//! flushing it. A power cut may then leave a log object that is empty, which no
//! reader can tell from corruption, or lose one that was acknowledged. This
//! wrapper writes under a temporary name, flushes the file, links it under its
//! own name (which fails if that exists: the conditional put), and flushes the
//! directory; and so it does, once, with every directory on the way there.
//!
//! Whoever is told that an object exists may rely on it too, so that answer
//! flushes the directory as well: the writer that linked it may have died
//! before it could. So may one that made a directory.
//!
//! Only creation and deletion are offered. Overwriting, renaming, copying and
//! uploading in parts are refused: nothing in a catalog is ever changed. The one
//! exception lies below `_delta_log`: the checkpoints of Delta Lake and the
//! pointer to the last one are put in the place of older ones, as durably.
//!
//! Objects are listed in the order of their names, as in every other store.

use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::path::{Path as FsPath, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryFutureExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result, UploadPart,
};

use super::disk::{Disk, RealDisk};

/// A local store that creates objects durably.
#[derive(Debug)]
pub struct Durable<D = RealDisk> {
    inner: Arc<LocalFileSystem>,
    disk: Arc<D>,
    fsync: bool,
    /// Directories that are there for good.
    directories: Arc<Mutex<HashSet<PathBuf>>>,
}

impl Durable {
    /// Wraps a local store. Without `fsync` an acknowledged object survives the death of the
    /// process but not that of the machine.
    #[must_use]
    pub fn new(inner: LocalFileSystem, fsync: bool) -> Self {
        Self::on(Arc::new(RealDisk), inner, fsync)
    }
}

impl<D: Disk> Durable<D> {
    /// The same on a disk of one's own, whose files are those of the local store.
    #[must_use]
    pub fn on(disk: Arc<D>, inner: LocalFileSystem, fsync: bool) -> Self {
        // Only an object has a path to be asked for.
        let object = inner.path_to_filesystem(&Path::from("object"));
        let root = object.ok().and_then(|path| Some(path.parent()?.to_owned()));
        let directories = Arc::new(Mutex::new(root.into_iter().collect()));
        Self { inner: Arc::new(inner), disk, fsync, directories }
    }

    /// Creates the directory of a store, and what it lies in, one durable before the next.
    ///
    /// # Errors
    /// When that cannot be.
    pub fn create_root(disk: &D, path: &FsPath, fsync: bool) -> io::Result<()> {
        let parent = path.parent().map(|parent| match parent.as_os_str().is_empty() {
            true => FsPath::new("."),
            false => parent,
        });
        let flush = || match parent {
            Some(parent) if fsync => disk.flush_directory(parent),
            _ => Ok(()),
        };
        if path.is_dir() {
            // Whoever made it may have died before it was flushed. Where that may not be flushed now, it
            // lies in what is not ours, and was not made by us.
            if let Err(error) = flush() {
                tracing::debug!(path = %path.display(), %error, "not flushed");
            }
            return Ok(());
        }
        if let Some(parent) = parent {
            Self::create_root(disk, parent, fsync)?;
        }
        match disk.create_directory(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        flush()
    }

    /// Puts an object, in the place of another where that is asked for.
    async fn place(
        &self,
        location: &Path,
        payload: PutPayload,
        replace: bool,
    ) -> Result<PutResult> {
        let path = self.inner.path_to_filesystem(location)?;
        let (store, name) = (self.again(), location.to_string());
        tokio::task::spawn_blocking(move || store.put_file(&path, &payload, replace))
            .await?
            .map_err(|error| explain(name, error))?;
        Ok(PutResult { e_tag: None, version: None })
    }

    /// The same store, for what outlives a borrow.
    fn again(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            disk: Arc::clone(&self.disk),
            fsync: self.fsync,
            directories: Arc::clone(&self.directories),
        }
    }

    /// Writes a file under another name, then gives it its own.
    fn put_file(&self, path: &FsPath, payload: &PutPayload, replace: bool) -> io::Result<()> {
        let disk = &*self.disk;
        let parent = path.parent().ok_or(ErrorKind::InvalidInput)?;
        self.make_directory(parent)?;
        let staged = stage(disk, path, payload, self.fsync)?;
        let named = if replace { disk.rename(&staged, path) } else { disk.link(&staged, path) };
        // A staged file that stays behind is invisible to listings, so that is no failure.
        if (!replace || named.is_err())
            && let Err(error) = disk.remove(&staged)
        {
            tracing::warn!(path = %staged.display(), %error, "staged file stays behind");
        }
        let exists = matches!(&named, Err(error) if error.kind() == ErrorKind::AlreadyExists);
        if self.fsync && (named.is_ok() || exists) {
            disk.flush_directory(parent)?;
        }
        named
    }

    /// Makes a directory and what it lies in, for good.
    fn make_directory(&self, path: &FsPath) -> io::Result<()> {
        let known = |path: &FsPath| self.known().contains(path);
        let (false, Some(parent)) = (known(path), path.parent()) else { return Ok(()) };
        self.make_directory(parent)?;
        match self.disk.create_directory(path) {
            // Whoever made it may have died before it was flushed.
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if self.fsync {
            self.disk.flush_directory(parent)?;
        }
        self.known().insert(path.to_owned());
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.directories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D> std::fmt::Display for Durable<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Durable({})", self.inner)
    }
}

#[async_trait]
impl<D: Disk> ObjectStore for Durable<D> {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let replace = options.mode == PutMode::Overwrite && is_delta_log(location);
        if !replace && (options.mode != PutMode::Create || !options.attributes.is_empty()) {
            return Err(refuse("put other than PutMode::Create without attributes"));
        }
        self.place(location, payload, replace).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        if !is_delta_log(location) {
            return Err(refuse("multipart upload"));
        }
        let (store, location) = (self.again(), location.clone());
        Ok(Box::new(Parts { store, location, parts: Vec::new() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.again();
        let delete = move |location: Result<Path>| {
            let store = store.again();
            async move {
                let location = location?;
                let path = store.inner.path_to_filesystem(&location)?;
                let name = location.to_string();
                tokio::task::spawn_blocking(move || store.disk.remove(&path))
                    .await?
                    .map_err(|error| explain(name, error))?;
                Ok(location)
            }
        };
        locations.map(delete).buffered(DELETIONS).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        in_order(self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        in_order(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(refuse("copy"))
    }

    async fn rename_opts(&self, _: &Path, _: &Path, _: RenameOptions) -> Result<()> {
        Err(refuse("rename"))
    }
}

/// Objects that are deleted at the same time.
const DELETIONS: usize = 8;

fn is_delta_log(location: &Path) -> bool {
    location.parts().any(|part| part.as_ref() == "_delta_log")
}

/// A directory is read in no order at all.
fn in_order(
    listed: BoxStream<'static, Result<ObjectMeta>>,
) -> BoxStream<'static, Result<ObjectMeta>> {
    let sorted = listed.try_collect::<Vec<_>>().map_ok(|mut found| {
        found.sort_by(|a, b| a.location.cmp(&b.location));
        futures_util::stream::iter(found.into_iter().map(Ok))
    });
    sorted.try_flatten_stream().boxed()
}

fn refuse(operation: &str) -> Error {
    Error::NotSupported { source: format!("{operation}: objects are only ever created").into() }
}

fn explain(path: String, source: io::Error) -> Error {
    let kind = source.kind();
    let source = Box::new(source);
    match kind {
        ErrorKind::AlreadyExists => Error::AlreadyExists { path, source },
        ErrorKind::NotFound => Error::NotFound { path, source },
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            Error::PermissionDenied { path, source }
        }
        _ => Error::Generic { store: "Durable", source },
    }
}

/// Writes a new file beside `path`, under a name that the local store's listings leave out:
/// `#` and digits only. Unique among processes by its id, among threads by a count.
fn stage<D: Disk>(
    disk: &D,
    path: &FsPath,
    payload: &PutPayload,
    fsync: bool,
) -> io::Result<PathBuf> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut staged = path.as_os_str().to_owned();
        staged.push(format!("#{}{count:06}", std::process::id()));
        let staged = PathBuf::from(staged);
        match disk.write(&staged, payload, fsync) {
            Ok(()) => return Ok(staged),
            // Left by a dead process that had the same id.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// An object that comes in parts: it is there once the last has come.
#[derive(Debug)]
struct Parts<D> {
    store: Durable<D>,
    location: Path,
    parts: Vec<PutPayload>,
}

#[async_trait]
impl<D: Disk> MultipartUpload for Parts<D> {
    fn put_part(&mut self, payload: PutPayload) -> UploadPart {
        self.parts.push(payload);
        Box::pin(async { Ok(()) })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let whole = self.parts.drain(..).flatten().collect();
        self.store.place(&self.location, whole, true).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.parts.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use object_store::ObjectStoreExt;

    use super::*;

    fn create_only() -> PutOptions {
        PutOptions::from(PutMode::Create)
    }

    #[tokio::test]
    async fn creates_once_in_new_directories_and_lists_no_staged_file() {
        for fsync in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let store =
                Durable::new(LocalFileSystem::new_with_prefix(directory.path()).unwrap(), fsync);
            let path = Path::from("a/b/c.json");
            store.put_opts(&path, "one".into(), create_only()).await.unwrap();
            let again = store.put_opts(&path, "two".into(), create_only()).await;
            assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
            assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "one");

            // A process that died between writing and linking.
            fs::write(directory.path().join("a/b/d.json#17000001"), "half").unwrap();
            let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
            assert_eq!(listed.len(), 1);
            assert_eq!(listed[0].location, path);
        }
    }

    #[tokio::test]
    async fn offers_nothing_but_creation() {
        let directory = tempfile::tempdir().unwrap();
        let store = Durable::new(LocalFileSystem::new_with_prefix(directory.path()).unwrap(), true);
        let path = Path::from("x");
        let refused = |result: Result<()>| {
            assert!(matches!(result, Err(Error::NotSupported { .. })), "{result:?}");
        };
        refused(store.put(&path, "y".into()).await.map(drop));
        refused(store.put_multipart(&path).await.map(drop));
        refused(store.copy(&path, &Path::from("z")).await);
        refused(store.rename(&path, &Path::from("z")).await);
    }

    #[tokio::test]
    async fn one_of_many_creators_wins() {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(Durable::new(
            LocalFileSystem::new_with_prefix(directory.path()).unwrap(),
            false,
        ));
        let mut tasks = Vec::new();
        for i in 0..16 {
            let store = Arc::clone(&store);
            tasks.push(tokio::spawn(async move {
                let bytes = PutPayload::from(vec![i; 1000]);
                store.put_opts(&Path::from("log/1"), bytes, create_only()).await
            }));
        }
        let mut won = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(_) => won += 1,
                Err(error) => assert!(matches!(error, Error::AlreadyExists { .. }), "{error}"),
            }
        }
        assert_eq!(won, 1);
        let bytes = store.get(&Path::from("log/1")).await.unwrap().bytes().await.unwrap();
        assert_eq!(bytes.len(), 1000);
        assert!(bytes.iter().all(|byte| *byte == bytes[0]));
    }
}
