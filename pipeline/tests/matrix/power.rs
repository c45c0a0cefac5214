//! Power cuts: what was not flushed to the disk is gone, and no more than that.
//!
//! The job of the matrix runs on the local store, whose disk is a simulated one. It loses its power
//! before or after any one of its operations; the job goes on from what the disk then still holds.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use cloudops_sql::catalog::disk::{Disk, RealDisk};
use cloudops_sql::catalog::durable::Durable;
use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, PutPayload};

use crate::case::{Job, Kept, number};
use crate::store::{Simulated, World};

/// Cuts that each run of the tests takes, spread over all operations.
const CUTS: u64 = 240;

/// What a name stands for.
#[derive(Debug, Clone, PartialEq)]
enum Entry {
    Directory,
    /// The number of a file.
    File(usize),
}

type Names = BTreeMap<PathBuf, Entry>;

#[derive(Debug, Default)]
struct State {
    operations: u64,
    off: bool,
    /// Every file's bytes, and whether they are on the disk.
    files: Vec<(Bytes, bool)>,
    /// Names as programs see them.
    seen: Names,
    /// Names as the disk holds them.
    held: Names,
}

/// A disk that keeps apart what programs see and what a power cut leaves.
#[derive(Debug)]
struct Cuttable {
    /// Where programs see the files.
    root: tempfile::TempDir,
    state: Mutex<State>,
    /// The operation at which the power is cut, and whether it is still done; `None` for never.
    cut: Option<(u64, bool)>,
}

impl Cuttable {
    fn new(cut: Option<(u64, bool)>) -> Self {
        Self { root: tempfile::tempdir().unwrap(), state: Mutex::default(), cut }
    }

    fn is_off(&self) -> bool {
        self.state.lock().unwrap().off
    }

    /// Another disk with what this one holds.
    fn left(&self) -> Self {
        let left = Self::new(None);
        let (from, mut to) = (self.state.lock().unwrap(), left.state.lock().unwrap());
        // A directory's name comes before those in it.
        for (name, entry) in &from.held {
            let path = left.root.path().join(name);
            if !path.parent().unwrap().is_dir() {
                continue;
            }
            let entry = match entry {
                Entry::Directory => {
                    std::fs::create_dir(path).unwrap();
                    Entry::Directory
                }
                Entry::File(number) => {
                    let (bytes, flushed) = &from.files[*number];
                    let bytes = if *flushed { bytes.clone() } else { Bytes::new() };
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

    /// Does an operation, unless there is no power.
    fn step(
        &self,
        real: impl FnOnce() -> io::Result<()>,
        change: impl FnOnce(&mut State),
    ) -> io::Result<()> {
        let gone = || Err(io::Error::other("Simulated power cut"));
        let mut state = self.state.lock().unwrap();
        if state.off {
            return gone();
        }
        let now = self.cut.filter(|(at, _)| *at == state.operations);
        state.operations += 1;
        state.off = now.is_some();
        if let Some((_, false)) = now {
            return gone();
        }
        real()?;
        change(&mut state);
        if now.is_some() { gone() } else { Ok(()) }
    }

    fn name(&self, path: &Path) -> PathBuf {
        path.strip_prefix(self.root.path()).unwrap().to_owned()
    }
}

impl Disk for Cuttable {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        let real = || RealDisk.create_directory(path);
        self.step(real, |state| {
            state.seen.insert(self.name(path), Entry::Directory);
        })
    }

    fn write(&self, path: &Path, payload: &PutPayload, flush: bool) -> io::Result<()> {
        let real = || RealDisk.write(path, payload, false);
        self.step(real, |state| {
            state.files.push((payload.clone().into(), flush));
            let file = Entry::File(state.files.len() - 1);
            state.seen.insert(self.name(path), file);
        })
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let real = || RealDisk.link(from, to);
        self.step(real, |state| {
            let file = state.seen[&self.name(from)].clone();
            state.seen.insert(self.name(to), file);
        })
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
        let directory = self.name(path);
        let real = || if path.is_dir() { Ok(()) } else { Err(ErrorKind::NotFound.into()) };
        self.step(real, |state| {
            let State { seen, held, .. } = state;
            let within = |name: &Path| name.parent() == Some(&directory);
            held.retain(|name, _| !within(name));
            let now = seen.iter().filter(|(name, _)| within(name));
            held.extend(now.map(|(name, entry)| (name.clone(), entry.clone())));
        })
    }
}

/// Runs the job to its end through one cut; gives what is left and the operations of the first disk.
fn run(
    job: &Job,
    workers: usize,
    cut: Option<(u64, bool)>,
    fsync: bool,
) -> Result<(Kept, u64), String> {
    let on = |disk: &Arc<Cuttable>| {
        let inner = LocalFileSystem::new_with_prefix(disk.root.path()).unwrap();
        World::on(Arc::new(Durable::on(Arc::clone(disk), inner, fsync)))
    };
    let first = Arc::new(Cuttable::new(cut));
    let mut disk = Arc::clone(&first);
    let mut world = on(&disk);
    let mut lost = None;
    let mut store = || -> Arc<dyn ObjectStore> {
        if disk.is_off() {
            disk = Arc::new(disk.left());
            let there = |path: &String| disk.root.path().join(path).metadata();
            let is_lost = |path: &String| there(path).map_or(true, |file| file.len() == 0);
            lost = world.acknowledged().into_iter().find(is_lost);
            world = on(&disk);
        }
        Simulated::over(&world)
    };
    let done = job.carry_out(workers, &mut store);
    // The last step may have been cut at its last operation.
    drop(store());
    if let Some(path) = lost {
        return Err(format!("{path} was acknowledged and is lost"));
    }
    done?;
    let kept = job.kept(&world)?;
    let operations = first.state.lock().unwrap().operations;
    Ok((kept, operations))
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let job = Job::write();
    let cuts = number("CUTS", CUTS);
    let mut done = 0;
    for workers in [1, 2] {
        let (want, operations) = run(&job, workers, None, true).unwrap();
        let all = 2 * operations;
        let step = (2 * all).div_ceil(cuts).max(1);
        for at in (0..all).step_by(step as usize) {
            // Every other time the operation is still done.
            let cut = (at / 2, (at / step + at).is_multiple_of(2));
            let found = run(&job, workers, Some(cut), true);
            if let Err(difference) = found.and_then(|(kept, _)| want.differs(&kept)) {
                panic!("{workers} workers, {cut:?} of {operations}: {difference}");
            }
            done += 1;
        }
    }
    println!("{done} power cuts, 0 divergences");
}

#[test]
fn without_flushing_a_power_cut_loses_what_was_acknowledged() {
    let job = Job::write();
    let (_, operations) = run(&job, 1, None, false).unwrap();
    let error = run(&job, 1, Some((operations / 2, true)), false).unwrap_err();
    assert!(error.contains("was acknowledged and is lost"), "{error}");
}
