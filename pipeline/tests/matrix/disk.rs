//! A disk that keeps apart what programs see and what a power cut leaves.
//!
//! What programs see lies in a directory, so that they read it as they always do. Beside it stands which
//! names and which bytes have been flushed; only those are there after a cut, and of the rest what chance
//! has left.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use cloudops_operators::seeded::SplitMix64;
use cloudops_sql::catalog::disk::{Disk, RealDisk};
use object_store::PutPayload;

/// What ends a program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop {
    /// The operation, counted from the program's start.
    pub(crate) at: u64,
    /// Whether it is still done.
    pub(crate) done: bool,
    /// Whether the power goes, or only the program.
    pub(crate) power: bool,
}

/// Which flushes the disk carries out; the others it only acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flushes {
    All,
    NoFiles,
    NoDirectories,
    /// None of a directory that the program has found a name in, instead of adding it.
    NotWhatExists,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Directory,
    /// The number of a file.
    File(usize),
}

type Names = BTreeMap<PathBuf, Entry>;

#[derive(Debug, Default, Clone)]
struct State {
    operations: u64,
    off: bool,
    stop: Option<Stop>,
    /// Every file's bytes, and whether they are flushed.
    files: Vec<(Bytes, bool)>,
    /// Names as programs see them.
    seen: Names,
    /// Names that are flushed.
    held: Names,
    /// Directories in which the last name to be added was there already.
    found: BTreeSet<PathBuf>,
}

/// The disk as one program has it.
#[derive(Debug)]
pub(crate) struct Simulated {
    /// Where programs see the files.
    root: Arc<tempfile::TempDir>,
    flushes: Flushes,
    state: Mutex<State>,
}

impl Simulated {
    pub(crate) fn empty(stop: Option<Stop>, flushes: Flushes) -> Self {
        let state = Mutex::new(State { stop, ..State::default() });
        Self { root: Arc::new(tempfile::tempdir().unwrap()), flushes, state }
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn operations(&self) -> u64 {
        self.state.lock().unwrap().operations
    }

    /// Whether the program has been ended, and by the power: nothing is done for it any more.
    pub(crate) fn ended(&self) -> Option<Stop> {
        let state = self.state.lock().unwrap();
        state.stop.filter(|_| state.off)
    }

    /// The disk for the next program where only the last one has died.
    pub(crate) fn again(&self, stop: Option<Stop>) -> Self {
        let mut state = self.state.lock().unwrap();
        state.off = true;
        let next = State { operations: 0, off: false, stop, ..state.clone() };
        Self { root: Arc::clone(&self.root), flushes: self.flushes, state: Mutex::new(next) }
    }

    /// The disk after a power cut: without all that was not flushed, or with what chance has kept of it.
    pub(crate) fn after_cut(&self, stop: Option<Stop>, mut chance: Option<SplitMix64>) -> Self {
        let left = Self::empty(stop, self.flushes);
        let mut state = self.state.lock().unwrap();
        state.off = true;
        let mut to = left.state.lock().unwrap();
        let names: BTreeSet<&PathBuf> = state.seen.keys().chain(state.held.keys()).collect();
        // A directory's name comes before those in it.
        for name in names {
            let (seen, held) = (state.seen.get(name), state.held.get(name));
            let lucky = chance.as_mut().is_some_and(|chance| chance.bits() % 2 == 0);
            let path = left.root().join(name);
            let Some(entry) = (if lucky { seen } else { held }) else { continue };
            if !path.parent().unwrap().is_dir() {
                continue;
            }
            let entry = match entry {
                Entry::Directory => {
                    std::fs::create_dir(path).unwrap();
                    Entry::Directory
                }
                Entry::File(number) => {
                    let (bytes, flushed) = &state.files[*number];
                    // Of a file that was not flushed nothing is left, half of it, or all.
                    let halves = chance.as_mut().map_or(0, |chance| chance.bits() % 3);
                    let length = bytes.len() * halves as usize / 2;
                    let bytes = if *flushed { bytes.clone() } else { bytes.slice(..length) };
                    std::fs::write(path, &bytes).unwrap();
                    to.files.push((bytes, true));
                    Entry::File(to.files.len() - 1)
                }
            };
            to.seen.insert(name.clone(), entry);
        }
        to.held = to.seen.clone();
        drop(to);
        left
    }

    /// Does an operation, unless the program has been ended.
    fn step(
        &self,
        real: impl FnOnce() -> io::Result<()>,
        change: impl FnOnce(&mut State),
    ) -> io::Result<()> {
        let ended = || Err(io::Error::other("Simulated: the program has been ended"));
        let mut state = self.state.lock().unwrap();
        if state.off {
            return ended();
        }
        let now = state.stop.filter(|stop| stop.at == state.operations);
        state.operations += 1;
        state.off = now.is_some();
        if now.is_some_and(|stop| !stop.done) {
            return ended();
        }
        let done = real();
        if done.is_ok() {
            change(&mut state);
        }
        if now.is_some() { ended() } else { done }
    }

    /// Adds a name, or notes that it is there already.
    fn add(
        &self,
        path: &Path,
        real: impl FnOnce() -> io::Result<()>,
        entry: impl FnOnce(&mut State) -> Entry,
    ) -> io::Result<()> {
        let name = self.name(path);
        let directory = name.parent().unwrap().to_owned();
        let added = self.step(real, |state| {
            let entry = entry(state);
            state.seen.insert(name, entry);
            state.found.remove(&directory);
        });
        if matches!(&added, Err(error) if error.kind() == ErrorKind::AlreadyExists) {
            self.state.lock().unwrap().found.insert(self.name(path).parent().unwrap().to_owned());
        }
        added
    }

    fn name(&self, path: &Path) -> PathBuf {
        path.strip_prefix(self.root()).unwrap().to_owned()
    }
}

impl Disk for Simulated {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.add(path, || RealDisk.create_directory(path), |_| Entry::Directory)
    }

    fn write(&self, path: &Path, payload: &PutPayload, flush: bool) -> io::Result<()> {
        let flushed = flush && self.flushes != Flushes::NoFiles;
        let real = || RealDisk.write(path, payload, false);
        self.step(real, |state| {
            state.files.push((payload.clone().into(), flushed));
            let file = Entry::File(state.files.len() - 1);
            state.seen.insert(self.name(path), file);
        })
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.add(to, || RealDisk.link(from, to), |state| state.seen[&self.name(from)])
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let real = || RealDisk.rename(from, to);
        self.step(real, |state| {
            let file = state.seen.remove(&self.name(from)).unwrap();
            state.seen.insert(self.name(to), file);
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let real = || RealDisk.remove(path);
        self.step(real, |state| {
            state.seen.remove(&self.name(path)).unwrap();
        })
    }

    fn flush_directory(&self, path: &Path) -> io::Result<()> {
        // What the root itself lies in is another disk.
        let Ok(directory) = path.strip_prefix(self.root()) else { return Ok(()) };
        let real = || if path.is_dir() { Ok(()) } else { Err(ErrorKind::NotFound.into()) };
        self.step(real, |state| {
            let found = state.found.remove(directory);
            let ignored = match self.flushes {
                Flushes::All | Flushes::NoFiles => false,
                Flushes::NoDirectories => true,
                Flushes::NotWhatExists => found,
            };
            if ignored {
                return;
            }
            let State { seen, held, .. } = state;
            let within = |name: &Path| name.parent() == Some(directory);
            held.retain(|name, _| !within(name));
            let now = seen.iter().filter(|(name, _)| within(name));
            held.extend(now.map(|(name, entry)| (name.clone(), *entry)));
        })
    }
}
