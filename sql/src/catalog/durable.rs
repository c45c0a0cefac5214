//! A local store that acknowledges only what survives a power cut.
//!
//! `object_store`'s local store links a file under its name without ever
//! flushing it. A power cut may then leave a log object that is empty, which no
//! reader can tell from corruption, or lose one that was acknowledged. This
//! wrapper writes under a temporary name, flushes the file, links it under its
//! own name (which fails if that exists: the conditional put), and flushes the
//! directory; and it flushes every directory that it had to create.
//!
//! Whoever is told that an object exists may rely on it too, so that answer
//! flushes the directory as well: the writer that linked it may have died
//! before it could.
//!
//! Only creation is offered. Overwriting, renaming, copying and uploading in
//! parts are refused: nothing in a catalog is ever changed. The one exception
//! lies below `_delta_log`: the checkpoints of Delta Lake and the pointer to
//! the last one, copies that any reader can do without.
//!
//! Objects are listed in the order of their names, as in every other store.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryFutureExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result,
};

/// A local store that creates objects durably.
#[derive(Debug)]
pub struct Durable {
    inner: Arc<LocalFileSystem>,
    fsync: bool,
}

impl Durable {
    /// Wraps a local store. Without `fsync` an acknowledged object survives the death of the
    /// process but not that of the machine.
    #[must_use]
    pub fn new(inner: LocalFileSystem, fsync: bool) -> Self {
        Self { inner: Arc::new(inner), fsync }
    }
}

impl std::fmt::Display for Durable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Durable({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Durable {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        if options.mode == PutMode::Overwrite && is_delta_log(location) {
            return self.inner.put_opts(location, payload, options).await;
        }
        if options.mode != PutMode::Create || !options.attributes.is_empty() {
            return Err(refuse("put other than PutMode::Create without attributes"));
        }
        let path = self.inner.path_to_filesystem(location)?;
        let fsync = self.fsync;
        let name = location.to_string();
        tokio::task::spawn_blocking(move || create(&path, &payload, fsync))
            .await?
            .map_err(|error| explain(name, error))?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        if is_delta_log(location) {
            return self.inner.put_multipart_opts(location, options).await;
        }
        Err(refuse("multipart upload"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
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
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            Error::PermissionDenied { path, source }
        }
        _ => Error::Generic { store: "Durable", source },
    }
}

fn create(path: &FsPath, payload: &PutPayload, fsync: bool) -> io::Result<()> {
    let parent = path.parent().ok_or(ErrorKind::InvalidInput)?;
    create_directories(parent, fsync)?;
    let (mut file, staged) = stage(path)?;
    let linked = payload
        .iter()
        .try_for_each(|bytes| file.write_all(bytes))
        .and_then(|()| if fsync { file.sync_all() } else { Ok(()) })
        .and_then(|()| fs::hard_link(&staged, path));
    // A staged file that stays behind is invisible to listings, so that is no failure.
    if let Err(error) = fs::remove_file(&staged) {
        tracing::warn!(path = %staged.display(), %error, "staged file stays behind");
    }
    let exists = matches!(&linked, Err(error) if error.kind() == ErrorKind::AlreadyExists);
    if fsync && (linked.is_ok() || exists) {
        File::open(parent)?.sync_all()?;
    }
    linked
}

/// A new file beside `path`, under a name that the local store's listings leave out:
/// `#` and digits only. Unique among processes by its id, among threads by a count.
fn stage(path: &FsPath) -> io::Result<(File, PathBuf)> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut staged = path.as_os_str().to_owned();
        staged.push(format!("#{}{count:06}", std::process::id()));
        let staged = PathBuf::from(staged);
        match OpenOptions::new().write(true).create_new(true).open(&staged) {
            Ok(file) => return Ok((file, staged)),
            // Left by a dead process that had the same id.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

fn create_directories(path: &FsPath, fsync: bool) -> io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let parent = path.parent().ok_or(error)?;
            create_directories(parent, fsync)?;
            // Another writer may have been faster; then it flushes.
            match fs::create_dir(path) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        Err(error) => return Err(error),
    }
    if fsync && let Some(parent) = path.parent() {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::TryStreamExt;
    use object_store::ObjectStoreExt;

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
