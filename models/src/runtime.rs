//! Finding and loading the ONNX Runtime shared library, once a process.
//!
//! The library is loaded at run time, never linked, so a build needs nothing
//! but Rust. Looked for, in this order: the path given, `ORT_DYLIB_PATH`,
//! `CLOUDOPS_ONNXRUNTIME`, then `.runtime/onnxruntime/` in a directory above
//! the executable or the working directory. A path that is *named* and missing
//! is an error, not a reason to look further: two versions may differ in bits.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;

use crate::{Error, Result};

/// The version that scores are tested with.
pub const VERSION: &str = "1.31.1";
/// Where `make runtime` puts the library, below the checkout.
pub const DIRECTORY: &str = ".runtime/onnxruntime";
/// Environment variables that may name the library, in the order they are asked.
pub const VARIABLES: [&str; 2] = ["ORT_DYLIB_PATH", "CLOUDOPS_ONNXRUNTIME"];

/// The library that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeInfo {
    /// Its file.
    pub path: PathBuf,
    /// Its version where the file's name tells it, else the build it says it is.
    pub version: String,
}

/// `ort` keeps only a weak reference to its environment: this one keeps it alive.
static LOADED: Mutex<Option<(Environment, RuntimeInfo)>> = Mutex::new(None);

/// Loads the library if need be, and says which one is in use. Later calls return the first's answer.
///
/// # Errors
/// [`Error::Runtime`] when none is found (naming what was looked for) or it cannot be loaded.
pub fn init(path: Option<&Path>) -> Result<RuntimeInfo> {
    loaded(path).map(|(_, info)| info)
}

/// The environment every session is made in.
pub(crate) fn environment() -> Result<Environment> {
    loaded(None).map(|(environment, _)| environment)
}

fn loaded(path: Option<&Path>) -> Result<(Environment, RuntimeInfo)> {
    let mut slot = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(loaded) = &*slot {
        return Ok(loaded.clone());
    }
    let loaded = load(&find(path)?)?;
    *slot = Some(loaded.clone());
    Ok(loaded)
}

/// Sessions are single-threaded (see the scorer): parallelism is between workers, so no pool is made.
fn load(path: &Path) -> Result<(Environment, RuntimeInfo)> {
    let refused = |reason: String| Error::Runtime(format!("{}: {reason}", path.display()));
    let environment = ort::init_from(path)
        .map_err(|error| refused(error.to_string()))?
        .with_name("cloudops")
        .with_telemetry(false)
        .with_logger(Arc::new(log))
        .build()
        .map_err(|error| refused(error.to_string()))?;
    environment.set_log_level(LogLevel::Warning);
    let info = RuntimeInfo { path: path.to_owned(), version: version(path) };
    tracing::debug!(path = %info.path.display(), version = info.version, "onnx runtime loaded");
    Ok((environment, info))
}

fn log(level: LogLevel, category: &str, _id: &str, place: &str, message: &str) {
    match level {
        LogLevel::Verbose | LogLevel::Info => {}
        LogLevel::Warning => tracing::warn!(category, place, "{message}"),
        LogLevel::Error | LogLevel::Fatal => tracing::error!(category, place, "{message}"),
    }
}

/// `libonnxruntime.so.1.31.1` says 1.31.1; a bare `libonnxruntime.so` leaves the build string.
fn version(path: &Path) -> String {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = real.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let from = name.find(|c: char| c.is_ascii_digit()).unwrap_or(name.len());
    let version = name[from..].trim_end_matches(".dylib").trim_end_matches(".dll");
    if version.contains('.') { version.to_owned() } else { ort::info().to_owned() }
}

fn find(path: Option<&Path>) -> Result<PathBuf> {
    let named = path.map(|path| ("the path given", path.to_owned())).or_else(|| {
        VARIABLES.into_iter().find_map(|name| {
            let value = env::var_os(name).filter(|value| !value.is_empty())?;
            Some((name, PathBuf::from(value)))
        })
    });
    if let Some((by, path)) = named {
        return if path.is_file() {
            Ok(path)
        } else {
            Err(Error::Runtime(format!(
                "{by} names {}, which is no file; correct it, or unset it and run `make runtime`",
                path.display()
            )))
        };
    }
    let starts = [env::current_exe().ok(), env::current_dir().ok()];
    starts.iter().flatten().flat_map(|start| start.ancestors()).find_map(library_below).ok_or_else(
        || {
            Error::Runtime(format!(
                "no shared library: neither {} nor {} is set, and no directory above the executable \
                 or the working directory holds {DIRECTORY}/{}; run `make runtime`",
                VARIABLES[0],
                VARIABLES[1],
                file_name()
            ))
        },
    )
}

fn library_below(directory: &Path) -> Option<PathBuf> {
    let directory = directory.join(DIRECTORY);
    let pinned = directory.join(file_name());
    if pinned.is_file() {
        return Some(pinned);
    }
    // Another version than the pinned one: the greatest name, so that the choice is repeatable.
    let mut found: Vec<PathBuf> = std::fs::read_dir(directory)
        .ok()?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with(STEM) && !name.contains("providers"))
        })
        .collect();
    found.sort();
    found.pop()
}

#[cfg(target_os = "windows")]
const STEM: &str = "onnxruntime.dll";
#[cfg(target_os = "macos")]
const STEM: &str = "libonnxruntime.";
#[cfg(not(any(target_os = "windows", target_os = "macos")))]
const STEM: &str = "libonnxruntime.so";

fn file_name() -> String {
    match env::consts::OS {
        "windows" => STEM.to_owned(),
        "macos" => format!("{STEM}{VERSION}.dylib"),
        _ => format!("{STEM}.{VERSION}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_file_that_is_missing_is_an_error_with_the_fix() {
        let error = find(Some(Path::new("/nowhere/libonnxruntime.so"))).unwrap_err().to_string();
        assert!(error.contains("/nowhere/libonnxruntime.so"), "{error}");
        assert!(error.contains("make runtime"), "{error}");
    }

    #[test]
    fn the_pinned_version_comes_first_and_else_the_greatest_name() {
        let root = tempfile::tempdir().unwrap();
        let below = root.path().join(DIRECTORY);
        std::fs::create_dir_all(&below).unwrap();
        assert_eq!(library_below(root.path()), None);
        for name in [format!("{STEM}.9.1"), format!("{STEM}.9.2")] {
            std::fs::write(below.join(name), b"").unwrap();
        }
        assert_eq!(library_below(root.path()), Some(below.join(format!("{STEM}.9.2"))));
        std::fs::write(below.join(file_name()), b"").unwrap();
        assert_eq!(library_below(root.path()), Some(below.join(file_name())));
    }
}
