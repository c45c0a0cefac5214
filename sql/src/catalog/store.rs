//! Addresses to stores, and the files of a catalog.

use std::collections::BTreeMap;
use std::path::Path as FsPath;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use bytes::Bytes;
use cloudops_operators::epoch::Epoch;
use cloudops_operators::key::hex;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use sha2::{Digest, Sha256};
use url::Url;

use super::disk::RealDisk;
use super::durable::Durable;
use crate::{Error, Result};

/// How an address is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreOptions {
    /// Whether a local directory that does not exist is created. Default no: a reader that
    /// mistypes an address should hear of it.
    pub create: bool,
    /// Whether a local store flushes to the disk before it acknowledges. Default yes.
    pub fsync: bool,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { create: false, fsync: true }
    }
}

/// Opens the store at an address, with the prefix that the address names within it.
///
/// An address is a plain directory, `file:///directory`, `memory://name` (shared by all who name
/// it in this process), `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`. The
/// cloud stores take credentials and endpoint from the environment.
///
/// # Errors
/// [`Error::Configuration`] when the address means nothing to this build, or does not exist.
pub fn open_store(address: &str) -> Result<(Arc<dyn ObjectStore>, Path)> {
    open_store_with(address, StoreOptions::default())
}

/// [`open_store`], with options.
///
/// # Errors
/// As [`open_store`].
pub fn open_store_with(
    address: &str,
    options: StoreOptions,
) -> Result<(Arc<dyn ObjectStore>, Path)> {
    let Some((scheme, rest)) = address.split_once("://") else {
        return Ok((open_directory(FsPath::new(address), options)?, Path::default()));
    };
    let bad = |reason: String| Error::Configuration(format!("address {address:?}: {reason}"));
    match scheme {
        "file" => {
            let directory = Url::parse(address)
                .map_err(|error| bad(error.to_string()))?
                .to_file_path()
                .map_err(|()| bad("not an absolute path; write file:///directory".to_owned()))?;
            Ok((open_directory(&directory, options)?, Path::default()))
        }
        "memory" => {
            let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if name.is_empty() {
                return Err(bad("a memory store needs a name: memory://name".to_owned()));
            }
            let prefix = Path::parse(prefix).map_err(|error| bad(error.to_string()))?;
            Ok((named_memory(name), prefix))
        }
        "s3" | "gs" | "az" => {
            let url = Url::parse(address).map_err(|error| bad(error.to_string()))?;
            let prefix = Path::from_url_path(url.path()).map_err(|error| bad(error.to_string()))?;
            Ok((open_cloud(scheme, address)?, prefix))
        }
        _ => Err(bad(format!(
            "unknown scheme {scheme:?}; known are a plain directory, file, memory, s3, gs, az"
        ))),
    }
}

fn open_directory(directory: &FsPath, options: StoreOptions) -> Result<Arc<dyn ObjectStore>> {
    if options.create {
        Durable::create_root(&RealDisk, directory, options.fsync)
            .map_err(|source| Error::Io { path: directory.display().to_string(), source })?;
    } else if !directory.is_dir() {
        let directory = directory.display();
        return Err(Error::Configuration(format!("no catalog at {directory}: no such directory")));
    }
    let local = LocalFileSystem::new_with_prefix(directory)
        .map_err(|error| Error::store(format!("opening {}", directory.display()), error))?;
    Ok(Arc::new(Durable::new(local, options.fsync)))
}

/// The memory stores of this process, by name. A lock and not a channel: it is
/// held for a look-up while opening, and never across an await.
static MEMORY: LazyLock<Mutex<BTreeMap<String, Arc<dyn ObjectStore>>>> =
    LazyLock::new(Mutex::default);

fn named_memory(name: &str) -> Arc<dyn ObjectStore> {
    let mut stores = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(stores.entry(name.to_owned()).or_insert_with(|| Arc::new(InMemory::new())))
}

/// Puts a store of one's own behind `memory://name`, in the place of what was there: for stores that
/// no address names, such as one that fails as a test tells it to.
pub fn mount(name: &str, store: Arc<dyn ObjectStore>) {
    MEMORY.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), store);
}

fn open_cloud(scheme: &str, address: &str) -> Result<Arc<dyn ObjectStore>> {
    match scheme {
        "s3" => built(address, AmazonS3Builder::from_env().with_url(address).build()),
        "gs" => built(address, GoogleCloudStorageBuilder::from_env().with_url(address).build()),
        _ => built(address, MicrosoftAzureBuilder::from_env().with_url(address).build()),
    }
}

fn built<S: ObjectStore>(
    address: &str,
    store: object_store::Result<S>,
) -> Result<Arc<dyn ObjectStore>> {
    match store {
        Ok(store) => Ok(Arc::new(store)),
        Err(error) => Err(Error::Configuration(format!("address {address:?}: {error}"))),
    }
}

/// A catalog's place: a store and the prefix under which its objects lie. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
}

/// A file that exists with these bytes: what a commit says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The object, relative to the catalog's prefix.
    pub path: String,
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256 of the bytes, lowercase hexadecimal.
    pub sha256: String,
}

/// What creating an object found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Created {
    /// The object holds the bytes given, whoever created it.
    Same,
    /// It existed already, with these bytes.
    Other(Bytes),
}

impl Store {
    /// The place `prefix` in `objects`.
    #[must_use]
    pub fn new(objects: Arc<dyn ObjectStore>, prefix: Path) -> Self {
        Self { objects, prefix }
    }

    /// The object store, e.g. to register with a query engine.
    #[must_use]
    pub fn objects(&self) -> &Arc<dyn ObjectStore> {
        &self.objects
    }

    /// The prefix of all objects.
    #[must_use]
    pub fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// Where an object lies in the store, from its path within the catalog.
    ///
    /// # Errors
    /// [`Error::Bug`] when the path has empty parts, `.` or `..`.
    pub fn location(&self, path: &str) -> Result<Path> {
        let path =
            Path::parse(path).map_err(|error| Error::Bug(format!("path {path:?}: {error}")))?;
        Ok(self.prefix.parts().chain(path.parts()).collect())
    }

    /// An object's bytes; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Retry`] or [`Error::Configuration`] when the store fails.
    pub async fn get(&self, path: &str) -> Result<Option<Bytes>> {
        let location = self.location(path)?;
        let failed = |error| Error::store(format!("reading {location}"), error);
        match self.objects.get(&location).await {
            Ok(found) => Ok(Some(found.bytes().await.map_err(failed)?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Stores a file once. One that exists with equal bytes is this one: a plan run again gives the
    /// same files.
    ///
    /// # Errors
    /// [`Error::Diverged`] when it exists with other bytes; [`Error::Retry`] or
    /// [`Error::Configuration`] when the store fails; calling again is safe.
    pub async fn put_file(&self, path: &str, bytes: Bytes) -> Result<Stored> {
        let sha256 = sha256(&bytes);
        match self.create(path, &bytes).await? {
            Created::Same => {
                Ok(Stored { path: path.to_owned(), bytes: bytes.len() as u64, sha256 })
            }
            Created::Other(found) => Err(Error::Diverged {
                path: self.location(path)?.to_string(),
                found: format!("{} bytes, sha256 {}", found.len(), self::sha256(&found)),
                made: format!("{} bytes, sha256 {sha256}", bytes.len()),
            }),
        }
    }

    /// Deletes an object; one that is not there is deleted already.
    ///
    /// # Errors
    /// [`Error::Retry`] or [`Error::Configuration`] when the store fails; calling again is safe.
    pub(super) async fn delete(&self, path: &str) -> Result<()> {
        let location = self.location(path)?;
        match self.objects.delete(&location).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(Error::store(format!("deleting {location}"), error)),
        }
    }

    /// Creates an object, or finds out what is there instead.
    ///
    /// A failed put may have been applied. It is put once more, since only the store can tell, and
    /// a local one flushes before it says "exists already"; reading the bytes back alone would
    /// take a failed flush for a lost reply.
    pub(crate) async fn create(&self, path: &str, bytes: &Bytes) -> Result<Created> {
        let location = self.location(path)?;
        let failed = |error| Error::store(format!("creating {location}"), error);
        let put = || {
            let options = PutOptions::from(PutMode::Create);
            self.objects.put_opts(&location, bytes.clone().into(), options)
        };
        let mut answer = put().await;
        if let Err(error) = &answer
            && !matches!(error, object_store::Error::AlreadyExists { .. })
        {
            tracing::warn!(path = %location, %error, "put failed, asking once more");
            answer = put().await;
        }
        match answer {
            Ok(_) => Ok(Created::Same),
            Err(error @ object_store::Error::AlreadyExists { .. }) => match self.get(path).await? {
                Some(found) if found == *bytes => Ok(Created::Same),
                Some(found) => Ok(Created::Other(found)),
                // Some stores answer a race with "exists" although neither side won it.
                None => Err(failed(error)),
            },
            Err(error) => Err(failed(error)),
        }
    }
}

/// SHA-256 in lowercase hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Which of a run's workers made a file. Both numbers stand in its name: a run with other workers
/// divides the same rows otherwise, and must not find its own files already there with other bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Maker {
    /// The worker's index.
    pub worker: u32,
    /// Number of workers.
    pub workers: u32,
}

impl std::fmt::Display for Maker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "w{}of{}", self.worker, self.workers)
    }
}

/// The path of a result file: `data/<table>/<partition>/e<epoch>-w<worker>of<workers>-<n>.parquet`.
///
/// A function of the plan and the number of workers alone, so that a plan run again makes the same
/// names. `partition` is the folder chosen by the table, `number` counts a worker's files of the
/// epoch.
#[must_use]
pub fn data_path(table: &str, partition: &str, epoch: Epoch, maker: Maker, number: u32) -> String {
    format!("data/{table}/{partition}/e{epoch}-{maker}-{number}.parquet")
}

/// The table and the epoch in the path of a table's file; `None` where it is no such path.
#[must_use]
pub fn data_path_parts(path: &str) -> Option<(&str, Epoch)> {
    let (table, within) = path.strip_prefix("data/")?.split_once('/')?;
    let name = within.rsplit('/').next()?.strip_suffix(".parquet")?;
    let (rest, number) = name.rsplit_once('-')?;
    number.parse::<u32>().ok()?;
    Some((table, epoch_of(rest)?))
}

/// The path of a file merged from others: `data/<table>/<partition>/m<first>-<last>-<digest>.parquet`.
///
/// `first` and `last` are the epochs that its rows span; the digest is of the names of the files merged,
/// so that the same compaction begun twice makes one name.
#[must_use]
pub fn merged_path(
    table: &str,
    partition: &str,
    epochs: (Epoch, Epoch),
    inputs: &[&str],
) -> String {
    let (first, last) = epochs;
    let digest = sha256(inputs.join("\n").as_bytes());
    format!("data/{table}/{partition}/m{first}-{last}-{}.parquet", &digest[..16])
}

/// The epochs in the path of a merged file; `None` where it is no such path.
#[must_use]
pub fn merged_path_epochs(path: &str) -> Option<(Epoch, Epoch)> {
    let name = path.strip_prefix("data/")?.rsplit('/').next()?;
    let mut parts = name.strip_prefix('m')?.strip_suffix(".parquet")?.splitn(3, '-');
    let first = parts.next()?.parse().ok()?;
    let last = parts.next()?.parse().ok()?;
    (parts.next()?.len() == 16).then_some((Epoch(first), Epoch(last)))
}

/// The first and the last epoch that a table's file holds rows of, from its path.
#[must_use]
pub fn epochs_of(path: &str) -> Option<(Epoch, Epoch)> {
    let single = data_path_parts(path).map(|(_, epoch)| (epoch, epoch));
    single.or_else(|| merged_path_epochs(path))
}

/// Whether a path is that of a merged file of a table.
#[must_use]
pub fn is_merged_file(table: &str, path: &str) -> bool {
    let within = path.strip_prefix("data/").and_then(|path| path.strip_prefix(table));
    within.is_some_and(|within| within.starts_with('/')) && merged_path_epochs(path).is_some()
}

/// The partition of a table, in the path of one of its files.
#[must_use]
pub fn partition_of(path: &str) -> Option<&str> {
    path.strip_prefix("data/")?.split('/').nth(1)
}

/// The path of a file of state: `state/<stream>/<operator>/e<epoch>-w<worker>of<workers>-<n>.arrow`.
#[must_use]
pub fn state_path(stream: &str, operator: &str, epoch: Epoch, maker: Maker, n: u32) -> String {
    format!("state/{stream}/{operator}/e{epoch}-{maker}-{n}.arrow")
}

/// The stream, the operator and the epoch in the path of a file of state; `None` where it is no such path.
#[must_use]
pub fn state_path_parts(path: &str) -> Option<(&str, &str, Epoch)> {
    let (stream, within) = path.strip_prefix("state/")?.split_once('/')?;
    let (operator, name) = within.rsplit_once('/')?;
    let (rest, number) = name.strip_suffix(".arrow")?.rsplit_once('-')?;
    number.parse::<u32>().ok()?;
    Some((stream, operator, epoch_of(rest)?))
}

/// The epoch of `e<epoch>-w<worker>of<workers>`.
fn epoch_of(name: &str) -> Option<Epoch> {
    let (epoch, maker) = name.strip_prefix('e')?.split_once("-w")?;
    let (worker, workers) = maker.split_once("of")?;
    (worker.parse::<u32>().ok()? < workers.parse::<u32>().ok()?).then_some(())?;
    Some(Epoch(epoch.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(address: &str, message: &str) {
        let error = open_store(address).unwrap_err();
        assert!(matches!(error, Error::Configuration(_)), "{error:?}");
        assert!(error.to_string().contains(message), "{error}");
    }

    #[test]
    fn addresses() {
        refused("/no/such/directory", "no such directory");
        refused("file://relative", "file:///directory");
        refused("memory://", "needs a name");
        refused("ftp://x/y", "unknown scheme \"ftp\"");
        let (_, prefix) = open_store("memory://addresses/a/b").unwrap();
        assert_eq!(prefix, Path::from("a/b"));
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("new/catalog");
        let options = StoreOptions { create: true, fsync: false };
        open_store_with(below.to_str().unwrap(), options).unwrap();
        open_store(&format!("file://{}", below.display())).unwrap();
    }

    #[test]
    fn a_file_name_tells_its_epoch() {
        let maker = Maker { worker: 3, workers: 5 };
        let path = data_path("late", "p0", Epoch(12), maker, 4);
        assert_eq!(path, "data/late/p0/e12-w3of5-4.parquet");
        assert_eq!(data_path_parts(&path), Some(("late", Epoch(12))));
        for other in ["e-w3of5-4", "e1-w3", "e1-w5of5-0", "e1-w3of5-x"] {
            assert_eq!(data_path_parts(&format!("data/late/p0/{other}.parquet")), None);
        }
        let path = state_path("engines", "window", Epoch(7), maker, 2);
        assert_eq!(state_path_parts(&path), Some(("engines", "window", Epoch(7))));
        let path = merged_path("late", "p0", (Epoch(3), Epoch(9)), &["a", "b"]);
        assert_eq!(merged_path_epochs(&path), Some((Epoch(3), Epoch(9))));
        assert_eq!(data_path_parts(&path), None);
        assert!(is_merged_file("late", &path) && !is_merged_file("lat", &path));
        assert_eq!(partition_of(&path), Some("p0"));
    }

    #[test]
    fn sha256_is_the_standard_one() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
