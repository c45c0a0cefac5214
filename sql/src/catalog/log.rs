//! Open, append, fence, refresh.
//!
//! To append is to create the next number. If that number exists, its bytes
//! tell why: they are this writer's own (an earlier reply was lost: success), a
//! newer takeover (this writer is the zombie: [`Error::Fenced`]), or a
//! promotion made by hand meanwhile (fold it, try the next number). Nothing
//! here knows a clock, a lease or a lock.
//!
//! A reader is a catalog that never takes over. It may refresh while a writer
//! appends: a record either exists whole or not at all.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use object_store::path::Path;

use super::fold::{self, Folder};
use super::history::History;
use super::invariants;
use super::record::{self, Gc, Plan, Record, Takeover};
use super::state::State;
use super::store::{self, Created, Store, StoreOptions, Stored};
use crate::{Error, Result};

/// Log objects read at once.
pub(crate) const READ_AHEAD: usize = 32;

/// The folder of the log.
const LOG: &str = "log";

/// The object of a number of the log.
pub(crate) fn log_path(seq: u64) -> String {
    format!("{LOG}/{seq:020}.json")
}

/// A catalog: its log folded, and the right to append where it has taken over.
///
/// A writer's life: [`open_or_create`](Self::open_or_create), [`take_over`](Self::take_over),
/// only then read [`state`](Self::state) and restore from it; for every epoch append its plan
/// (unless [`State::open_plans`] has one to adopt), [`put_file`](Self::put_file) its results,
/// append its commit.
#[derive(Debug)]
pub struct Catalog {
    store: Store,
    nonce: String,
    generation: Option<u64>,
    unresolved: Option<Unresolved>,
    state: Arc<State>,
    folder: Folder,
    /// The last record that is known to be there for good.
    confirmed: u64,
}

/// A record that may or may not have landed: the store did not say.
#[derive(Debug)]
struct Unresolved {
    seq: u64,
    record: Record,
    landed: bool,
}

impl Catalog {
    /// Opens an existing catalog, see [`open_store`](store::open_store) for addresses.
    ///
    /// # Errors
    /// [`Error::Configuration`] when there is no such place or a newer build wrote there,
    /// [`Error::Corrupt`] when the log cannot be read whole, [`Error::Retry`] when the store fails.
    pub async fn open(address: &str) -> Result<Self> {
        let (objects, prefix) = store::open_store(address)?;
        Self::open_at(objects, prefix).await
    }

    /// Opens a catalog to write, creating a local directory that does not exist.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_or_create(address: &str) -> Result<Self> {
        let options = StoreOptions { create: true, ..StoreOptions::default() };
        let (objects, prefix) = store::open_store_with(address, options)?;
        Self::open_at(objects, prefix).await
    }

    /// Opens the catalog under `prefix` of a store.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_at(objects: Arc<dyn ObjectStore>, prefix: Path) -> Result<Self> {
        let mut catalog = Self {
            store: Store::new(objects, prefix),
            nonce: nonce(),
            generation: None,
            unresolved: None,
            state: Arc::default(),
            folder: Folder::default(),
            confirmed: 0,
        };
        if let Some(state) = fold::newest(&catalog.store).await? {
            catalog.state = Arc::new(state);
        }
        catalog.refresh().await?;
        Ok(catalog)
    }

    /// What is true as of the last record folded. Clone the `Arc` to keep a consistent view.
    #[must_use]
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Where the objects lie.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// This writer's generation; `None` for a reader.
    #[must_use]
    pub fn generation(&self) -> Option<u64> {
        self.generation
    }

    /// The log up to the current state, to be read again from its beginning.
    #[must_use]
    pub fn history(&self) -> History {
        History::new(self.store.clone(), self.state.next_seq)
    }

    /// Every plan after the last checkpoint, or since the beginning, in order, read again from the log.
    pub fn plans_to_replay(&self) -> BoxStream<'static, Result<Plan>> {
        self.history().plans_after(self.state.checkpoint.as_ref().map_or(0, |at| at.plan_number))
    }

    /// Stores a file once, see [`Store::put_file`].
    ///
    /// # Errors
    /// As [`Store::put_file`].
    pub async fn put_file(&self, path: &str, bytes: Bytes) -> Result<Stored> {
        self.store.put_file(path, bytes).await
    }

    /// Folds the records appended since. After an error nothing is lost: call it again.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when a record is missing or unreadable, [`Error::Configuration`] when a
    /// newer build wrote it, [`Error::Bug`] when it breaks a rule, [`Error::Retry`] when the store
    /// fails.
    pub async fn refresh(&mut self) -> Result<()> {
        let Some(last) = self.last_listed().await? else { return Ok(()) };
        // Numbers up to the last, rather than the names listed: a directory listed while it
        // grows may show a later name without an earlier one.
        let store = self.store.clone();
        let mut records = futures_util::stream::iter(self.state.next_seq..=last)
            .map(move |seq| {
                let store = store.clone();
                async move { get(&store, seq).await.map(|(path, bytes)| (seq, path, bytes)) }
            })
            .buffered(READ_AHEAD);
        while let Some(read) = records.next().await {
            let (seq, path, bytes) = read?;
            let (record, nonce) = record::decode(&path, seq, &bytes)?;
            self.fold(seq, record, &nonce, &bytes)?;
        }
        Ok(())
    }

    /// Makes sure that what has been read is there for good, as an append does: a writer that was killed
    /// may have left a record that a power cut would still take away. For those who pass on what they
    /// read to others, and append nothing.
    ///
    /// # Errors
    /// As [`refresh`](Self::refresh).
    pub async fn confirm(&mut self) -> Result<()> {
        let last = self.state.next_seq - 1;
        if last > self.confirmed {
            let path = log_path(last);
            if let Some(bytes) = self.store.get(&path).await? {
                // A store that is told to create what exists flushes it, too.
                self.store.put_file(&path, bytes).await?;
            }
            self.confirmed = last;
        }
        Ok(())
    }

    /// Begins a new generation, fencing every writer before it, and returns its number.
    ///
    /// The state is then as the fenced writer left it, and final: restore from it.
    ///
    /// # Errors
    /// As [`refresh`](Self::refresh).
    pub async fn take_over(&mut self, build: &str, config_hash: &str, workers: u32) -> Result<u64> {
        // Whatever this handle wrote before belongs to the generation that ends here: if it
        // landed, the fold finds it.
        self.unresolved = None;
        self.refresh().await?;
        loop {
            let generation = self.state.generation + 1;
            let record = Record::Takeover(Takeover {
                generation,
                build: build.to_owned(),
                config_hash: config_hash.to_owned(),
                workers,
            });
            self.allow(&record)?;
            match self.attempt(record).await {
                Ok(Some(_)) => {
                    self.generation = Some(generation);
                    tracing::info!(generation, build, workers, "took over");
                    self.write_folds().await;
                    self.delete_collected().await;
                    return Ok(generation);
                }
                Ok(None) => {}
                Err(error) => {
                    // Nobody waits for this very takeover: the next call makes one of its own.
                    self.unresolved = None;
                    return Err(error);
                }
            }
        }
    }

    /// Appends a record and returns its number in the log.
    ///
    /// Takeovers, plans and commits are the writer's, who has called [`take_over`](Self::take_over);
    /// anyone may append the others.
    ///
    /// # Errors
    /// [`Error::Retry`] when it is unknown whether the record landed: append the same one again.
    /// [`Error::Fenced`] when another writer has taken over. [`Error::Superseded`] when what another
    /// appended meanwhile leaves no place for the record, [`Error::Bug`] when it breaks a rule without;
    /// nothing is written then. Else as [`refresh`](Self::refresh).
    pub async fn append(&mut self, record: Record) -> Result<u64> {
        if let Some(unresolved) = &self.unresolved {
            let (seq, landed) = (unresolved.seq, unresolved.landed);
            if unresolved.record != record {
                let kind = unresolved.record.kind();
                return Err(Error::Bug(format!(
                    "the {kind} at number {seq} is not known to have landed: append it again first"
                )));
            }
            if landed {
                self.unresolved = None;
                return Ok(seq);
            }
        }
        self.allow_own(&record)?;
        self.allow(&record)?;
        loop {
            if let Some(seq) = self.attempt(record.clone()).await? {
                self.confirmed = seq;
                self.write_folds().await;
                return Ok(seq);
            }
            self.allow_own(&record)?;
            invariants::check(&self.state, &record)
                .map_err(|reason| Error::Superseded { kind: record.kind(), reason })?;
        }
    }

    /// Deletes files that nothing refers to: first says so in the log, so that the next writer ends
    /// what this one may not. Those that are needed after all are passed over. Gives the number of
    /// those that could not be deleted now: they take room, and do no harm.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub async fn collect(&mut self, paths: &[String]) -> Result<usize> {
        let dead = self.state.dead(paths.iter().map(String::as_str));
        let paths: Vec<String> = dead.into_iter().map(str::to_owned).collect();
        if paths.is_empty() {
            return Ok(0);
        }
        self.append(Record::Gc(Gc { paths })).await?;
        Ok(self.delete_collected().await)
    }

    /// Folds the log where enough has come together. A fold that cannot be written costs time at the
    /// next start, and is written then.
    async fn write_folds(&mut self) {
        if self.generation.is_none() || !self.folder.is_due() {
            return;
        }
        if let Err(error) = self.folder.write(&self.store).await {
            tracing::warn!(%error, "the log was not folded");
        }
    }

    /// Deletes what the last `Gc` names; gives the number of those that could not be.
    async fn delete_collected(&self) -> usize {
        let mut left = 0;
        for path in &self.state.collected {
            if let Err(error) = self.store.delete(path).await {
                tracing::warn!(path, %error, "not deleted");
                left += 1;
            }
        }
        left
    }

    /// Whether this writer may append a record of its generation.
    fn allow_own(&self, record: &Record) -> Result<()> {
        if matches!(record, Record::Takeover(_)) {
            return Err(Error::Bug("a takeover is appended by take_over alone".to_owned()));
        }
        let Some(own) = self.generation else {
            return match record.generation() {
                None => Ok(()),
                Some(_) => Err(Error::Bug(format!("{} appended before take_over", record.kind()))),
            };
        };
        if self.state.generation == own {
            return Ok(());
        }
        let build = self.state.writer.as_ref().map_or_else(String::new, |w| w.build.clone());
        Err(Error::Fenced { own, current: self.state.generation, build })
    }

    fn allow(&self, record: &Record) -> Result<()> {
        invariants::check(&self.state, record).map_err(Error::Bug)
    }

    /// Tries the next number once; `None` when another's record was there, which is folded.
    async fn attempt(&mut self, record: Record) -> Result<Option<u64>> {
        let seq = self.state.next_seq;
        let path = log_path(seq);
        let bytes = Bytes::from(record::encode(seq, &self.nonce, &record));
        self.unresolved = Some(Unresolved { seq, record: record.clone(), landed: false });
        let created = self.store.create(&path, &bytes).await?;
        self.unresolved = None;
        match created {
            Created::Same => {
                self.fold(seq, record, &self.nonce.clone(), &bytes)?;
                Ok(Some(seq))
            }
            Created::Other(found) => {
                let path = self.store.location(&path)?;
                let (record, nonce) = record::decode(path.as_ref(), seq, &found)?;
                self.fold(seq, record, &nonce, &found)?;
                Ok(None)
            }
        }
    }

    /// Folds the next record in, whoever wrote it.
    fn fold(&mut self, seq: u64, record: Record, nonce: &str, bytes: &[u8]) -> Result<()> {
        let own = nonce == self.nonce;
        if !own && record.generation().is_some() && record.generation() == self.generation {
            return Err(Error::Bug(format!(
                "the {} at number {seq} claims this writer's generation, but another wrote it",
                record.kind()
            )));
        }
        if let Some(unresolved) = &mut self.unresolved
            && unresolved.seq == seq
        {
            if own {
                unresolved.landed = true;
            } else {
                // Its number is taken: it can never land there.
                self.unresolved = None;
            }
        }
        let kind = record.kind();
        Arc::make_mut(&mut self.state)
            .apply(record)
            .map_err(|broken| Error::Bug(format!("{kind} at number {seq} of the log: {broken}")))?;
        self.folder.note(seq, bytes, &self.state);
        Ok(())
    }

    /// The greatest number listed from the next one on.
    async fn last_listed(&self) -> Result<Option<u64>> {
        let folder = self.store.location(LOG)?;
        let offset = self.store.location(&log_path(self.state.next_seq - 1))?;
        let mut listed = self.store.objects().list_with_offset(Some(&folder), &offset);
        let mut last = None;
        while let Some(found) = listed
            .try_next()
            .await
            .map_err(|error| Error::store(format!("listing {folder}"), error))?
        {
            let seq = number(&found.location).ok_or_else(|| Error::Corrupt {
                path: found.location.to_string(),
                reason: "its name is no 20-digit number of the log".to_owned(),
            })?;
            last = last.max(Some(seq));
        }
        Ok(last)
    }
}

/// The number in a log object's name.
fn number(location: &Path) -> Option<u64> {
    let digits = location.filename()?.strip_suffix(".json")?;
    let ok = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    ok.then(|| digits.parse().ok())?
}

/// The bytes of a record that must exist, and where they lie.
async fn get(store: &Store, seq: u64) -> Result<(String, Bytes)> {
    let path = log_path(seq);
    let location = store.location(&path)?.to_string();
    let Some(bytes) = store.get(&path).await? else {
        let reason = "it is missing, but later numbers of the log exist".to_owned();
        return Err(Error::Corrupt { path: location, reason });
    };
    Ok((location, bytes))
}

/// Reads a record that must exist.
pub(crate) async fn read(store: &Store, seq: u64) -> Result<Record> {
    let (path, bytes) = get(store, seq).await?;
    Ok(record::decode(&path, seq, &bytes)?.0)
}

/// 128 bits that no other writer has. They are compared, never computed with: no result depends
/// on them. The standard library's hash seeds are drawn from the operating system.
fn nonce() -> String {
    let half = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", half(), half())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_object_is_twenty_digits() {
        assert_eq!(log_path(7), "log/00000000000000000007.json");
        let number_of = |name: &str| number(&Path::from(name));
        assert_eq!(number_of(&log_path(u64::MAX)), Some(u64::MAX));
        for name in ["log/7.json", "log/0000000000000000000x.json", "log/00000000000000000007.tmp"]
        {
            assert_eq!(number_of(name), None);
        }
    }

    #[test]
    fn nonces_differ() {
        assert_ne!(nonce(), nonce());
        assert_eq!(nonce().len(), 32);
    }
}
