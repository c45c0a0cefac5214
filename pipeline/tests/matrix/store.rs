//! A store that fails as it is told: which operation, and how.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not applied, and says so.
    Refused,
    /// It is applied, but the reply is lost.
    ReplyLost,
    /// It is not applied, and nothing is after it: the program has died.
    CrashBefore,
    /// It is applied, and nothing is after it.
    CrashAfter,
    /// The program dies, and the operation is applied once the next program has taken over.
    Delayed,
    /// A list leaves out what came last; anything else is refused.
    Stale,
    /// The store refuses everything for a while.
    Storm,
}

impl Fault {
    pub(crate) const ALL: [Self; 7] = [
        Self::Refused,
        Self::ReplyLost,
        Self::CrashBefore,
        Self::CrashAfter,
        Self::Delayed,
        Self::Stale,
        Self::Storm,
    ];
}

/// Operations that a storm lasts.
const STORM: u64 = 7;

/// Objects that a stale list leaves out.
const STALE: usize = 3;

/// What all programs of a case share: the objects, and the faults to come.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) objects: Arc<dyn ObjectStore>,
    /// Objects that a program was told of that they are there.
    acknowledged: Arc<Mutex<BTreeMap<String, Bytes>>>,
    /// Operations so far, of all programs.
    operations: AtomicU64,
    /// Which operations fail, ascending.
    faults: Mutex<Vec<(u64, Fault)>>,
    /// Puts of dead programs that are still on their way.
    delayed: Mutex<Vec<(Path, PutPayload, PutOptions)>>,
    storm_until: AtomicU64,
}

impl World {
    pub(crate) fn new(faults: &[(u64, Fault)]) -> Arc<Self> {
        let mut faults = faults.to_vec();
        faults.sort_by_key(|(at, _)| *at);
        let world = Self::empty(Arc::new(InMemory::new()), Arc::default());
        Arc::new(Self { faults: Mutex::new(faults), ..world })
    }

    /// One without faults over other objects; what programs are told of is noted with the rest.
    pub(crate) fn on(
        objects: Arc<dyn ObjectStore>,
        acknowledged: Arc<Mutex<BTreeMap<String, Bytes>>>,
    ) -> Arc<Self> {
        Arc::new(Self::empty(objects, acknowledged))
    }

    fn empty(
        objects: Arc<dyn ObjectStore>,
        acknowledged: Arc<Mutex<BTreeMap<String, Bytes>>>,
    ) -> Self {
        Self {
            objects,
            acknowledged,
            operations: AtomicU64::new(0),
            faults: Mutex::default(),
            delayed: Mutex::default(),
            storm_until: AtomicU64::new(0),
        }
    }

    /// Notes what a program is told about an object.
    async fn tell(&self, location: &Path, told: &Result<PutResult>) {
        if !matches!(told, Ok(_) | Err(Error::AlreadyExists { .. })) {
            return;
        }
        // What is there, and not what was put: the two differ where it exists already.
        if let Ok(found) = self.objects.get(location).await
            && let Ok(bytes) = found.bytes().await
        {
            self.acknowledged.lock().unwrap().insert(location.to_string(), bytes);
        }
    }

    /// Nothing fails any more.
    pub(crate) fn calm(&self) {
        self.faults.lock().unwrap().clear();
        self.storm_until.store(0, Ordering::Relaxed);
    }

    pub(crate) fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }
}

/// The store as one program sees it: when the program has died, nothing of it comes through.
#[derive(Debug)]
pub(crate) struct Simulated {
    world: Arc<World>,
    dead: Mutex<bool>,
}

impl Simulated {
    pub(crate) fn over(world: &Arc<World>) -> Arc<Self> {
        Arc::new(Self { world: Arc::clone(world), dead: Mutex::new(false) })
    }

    /// What happens to the next operation: `Err` where it fails unapplied.
    fn next(&self) -> Result<Option<Fault>> {
        if *self.dead.lock().unwrap() {
            return Err(failed("the program is dead"));
        }
        let world = &*self.world;
        let at = world.operations.fetch_add(1, Ordering::Relaxed);
        if at < world.storm_until.load(Ordering::Relaxed) {
            return Err(failed("503 Slow Down"));
        }
        let mut faults = world.faults.lock().unwrap();
        if faults.first().is_none_or(|(next, _)| *next > at) {
            return Ok(None);
        }
        let (_, fault) = faults.remove(0);
        match fault {
            Fault::Refused => Err(failed("refused")),
            Fault::Storm => {
                world.storm_until.store(at + STORM, Ordering::Relaxed);
                Err(failed("503 Slow Down"))
            }
            Fault::CrashBefore => {
                self.die();
                Err(failed("the program has died"))
            }
            fault => Ok(Some(fault)),
        }
    }

    fn die(&self) {
        *self.dead.lock().unwrap() = true;
    }

    /// After an operation was applied.
    fn after<T>(&self, fault: Option<Fault>, applied: T) -> Result<T> {
        match fault {
            Some(Fault::ReplyLost) => Err(failed("the connection broke")),
            Some(Fault::CrashAfter | Fault::Delayed) => {
                self.die();
                Err(failed("the program has died"))
            }
            _ => Ok(applied),
        }
    }
}

fn failed(why: &'static str) -> Error {
    Error::Generic { store: "Simulated", source: why.into() }
}

impl std::fmt::Display for Simulated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Simulated")
    }
}

#[async_trait]
impl ObjectStore for Simulated {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let fault = self.next()?;
        if fault == Some(Fault::Delayed) {
            let put = (location.clone(), payload, options);
            self.world.delayed.lock().unwrap().push(put);
            self.die();
            return Err(failed("the program has died"));
        }
        if fault == Some(Fault::Stale) {
            return Err(failed("refused"));
        }
        let takes_over = is_takeover(location, &payload);
        let applied = self.world.objects.put_opts(location, payload, options).await;
        self.world.tell(location, &applied).await;
        if takes_over && applied.is_ok() {
            // What the dead had sent arrives now, and must not matter.
            let late: Vec<_> = self.world.delayed.lock().unwrap().drain(..).collect();
            for (location, payload, options) in late {
                drop(self.world.objects.put_opts(&location, payload, options).await);
            }
        }
        self.after(fault, applied?)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.next()?;
        self.world.objects.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let fault = self.next()?;
        if fault == Some(Fault::Stale) {
            return Err(failed("refused"));
        }
        let found = self.world.objects.get_opts(location, options).await;
        self.after(fault, found)?
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let fault = match self.next() {
            Ok(Some(Fault::Stale)) => return once(failed("refused")),
            Ok(fault) => fault,
            Err(error) => return once(error),
        };
        let world = Arc::clone(&self.world);
        let forget = move |location: &Result<Path>| {
            if let Ok(location) = location {
                world.acknowledged.lock().unwrap().remove(location.as_ref());
            }
        };
        let deleted = self.world.objects.delete_stream(locations.inspect(forget).boxed());
        match self.after(fault, deleted) {
            Ok(deleted) => deleted,
            Err(error) => once(error),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let fault = match self.next() {
            Ok(fault) => fault,
            Err(error) => return once(error),
        };
        let listed = self.world.objects.list(prefix);
        match self.after(fault, listed) {
            Err(error) => once(error),
            Ok(listed) if fault == Some(Fault::Stale) => {
                let stale = listed.try_collect::<Vec<_>>().map_ok(|mut found| {
                    found.sort_by(|a, b| a.location.cmp(&b.location));
                    found.truncate(found.len().saturating_sub(STALE));
                    futures_util::stream::iter(found.into_iter().map(Ok))
                });
                stale.try_flatten_stream().boxed()
            }
            Ok(listed) => listed,
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let fault = self.next()?;
        let listed = self.world.objects.list_with_delimiter(prefix).await?;
        self.after(fault, listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.next()?;
        self.world.objects.copy_opts(from, to, options).await
    }
}

use futures_util::TryFutureExt;

fn once<T: Send + 'static>(error: Error) -> BoxStream<'static, Result<T>> {
    futures_util::stream::once(async { Err(error) }).boxed()
}

fn is_takeover(location: &Path, payload: &PutPayload) -> bool {
    let log = location.as_ref().contains("log/") && location.as_ref().ends_with(".json");
    log && payload.iter().any(|part| {
        let text = String::from_utf8_lossy(part);
        text.contains("\"kind\":\"takeover\"")
    })
}
