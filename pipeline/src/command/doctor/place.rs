//! The machine: room and rights for a local catalog, and the address to listen on.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

use super::Findings;
use crate::config::Config;
use crate::job::Job;
use crate::{memory, size};

/// Room below which a run is about to end.
const ROOM_MIN: u64 = 1 << 30;

pub(super) fn look(job: &Job, config: &Config, findings: &mut Findings) {
    if let Some(directory) = local(&job.catalog) {
        room(&directory, findings);
    }
    if let (Some(limit), Some(resident)) = (job.memory_limit, memory::resident()) {
        // What a run holds before it has read anything is about what this process holds.
        if limit < 2 * resident {
            findings.mind(
                "memory limit",
                format!(
                    "{}, and the program itself takes {}",
                    size::show(limit),
                    size::show(resident)
                ),
                "raise run.memory_limit: epochs of the smallest size are slow",
            );
        } else {
            findings.ok("memory limit", size::show(limit));
        }
    }
    if let Some(address) = &config.run.listen {
        // Bound and let go at once: nobody is answered.
        match TcpListener::bind(address) {
            Ok(_) => findings.ok("listen", format!("{address} is free")),
            Err(error) => findings.mind(
                "listen",
                format!("{address}: {error}"),
                "if that is not this job at work already, choose another run.listen",
            ),
        }
    }
}

/// The catalog's directory, where it is a local one.
pub(super) fn local(address: &str) -> Option<PathBuf> {
    match address.split_once("://") {
        None => Some(PathBuf::from(address)),
        Some(("file", _)) => url::Url::parse(address).ok()?.to_file_path().ok(),
        Some(_) => None,
    }
}

/// Whether there is room, and whether files may be made there.
fn room(directory: &Path, findings: &mut Findings) {
    let there = directory.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("."));
    match statvfs(there) {
        Ok(about) => {
            // Their types differ from system to system; so precise it need not be.
            let free = (about.blocks_available() as f64 * about.fragment_size() as f64) as u64;
            let found = format!("{} free at {}", size::show(free), there.display());
            if free < ROOM_MIN {
                findings.failed("disk", found, "make room: a run that cannot write stops");
            } else {
                findings.ok("disk", found);
            }
        }
        Err(error) => findings.mind(
            "disk",
            format!("{}: {error}", there.display()),
            "look for yourself whether there is room",
        ),
    }
    match access(there, AccessFlags::W_OK | AccessFlags::X_OK) {
        Ok(()) => findings.ok("rights", format!("{} may be written", there.display())),
        Err(error) => findings.failed(
            "rights",
            format!("{}: {error}", there.display()),
            "grant this user to write there, or run as the one that made the catalog",
        ),
    }
}
