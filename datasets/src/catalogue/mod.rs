//! Public data sets that are known to work here, and where they come from.
//!
//! The list is `files.csv`: each file's place in its repository at a pinned commit, its size and
//! its SHA-256. Nothing is redistributed: [`fetch`] downloads from the original address.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use cloudops_operators::key::hex;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::file::NewFile;
use crate::{Error, Result};

/// A published data set.
#[derive(Debug, Clone, Serialize)]
pub struct PublicSet {
    /// Its name here, and its folder's.
    pub name: &'static str,
    /// What it holds.
    pub what: &'static str,
    /// Licence, as the source states it.
    pub licence: &'static str,
    /// `owner/repository` on GitHub.
    pub repository: &'static str,
    /// The pinned commit.
    pub commit: &'static str,
    /// `format` in a stream's configuration.
    pub format: &'static str,
    /// Its files.
    pub files: Vec<PublicFile>,
}

/// A file of a published set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PublicFile {
    /// Path below the set's folder.
    pub path: &'static str,
    /// The original address.
    pub url: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the original, in hexadecimal.
    pub sha256: &'static str,
    /// SHA-256 of a cut or rewritten copy that is accepted from a directory, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub derived_sha256: Option<&'static str>,
}

/// A set without its files.
struct Entry {
    name: &'static str,
    what: &'static str,
    licence: &'static str,
    repository: &'static str,
    commit: &'static str,
    format: &'static str,
}

const SETS: [Entry; 8] = [
    Entry {
        name: "cmapss",
        what: "NASA C-MAPSS turbofan FD001: 100 engines run to failure, 100 to be judged, 21 sensors",
        licence: "NASA public data; none stated in the repository",
        repository: "hankroark/Turbofan-Engine-Degradation",
        commit: "ffde9492639af9c02ef6ab6607f8029dc8302591",
        format: "cmapss",
    },
    Entry {
        name: "smd",
        what: "Server Machine Dataset: 38 metrics a minute, anomalies and their root-cause dimensions",
        licence: "MIT",
        repository: "NetManAIOps/OmniAnomaly",
        commit: "7fb0e0acf89ea49908896bcc9f9e80fcfff6baf4",
        format: "smd",
    },
    Entry {
        name: "skab",
        what: "Skoltech Anomaly Benchmark: a pump and valves, 8 sensors a second, labelled experiments",
        licence: "GPL-3.0",
        repository: "waico/SKAB",
        commit: "b2c0d46c2971dcbfe71e26087b6d231998bb91c2",
        format: "skab",
    },
    Entry {
        name: "nab",
        what: "Numenta Anomaly Benchmark: single series with labelled anomaly windows",
        licence: "MIT",
        repository: "numenta/NAB",
        commit: "ea702d75cc2258d9d7dd35ca8e5e2539d71f3140",
        format: "nab",
    },
    Entry {
        name: "ai4i2020",
        what: "UCI AI4I 2020 predictive maintenance: 10,000 rows, machine failures and their causes",
        licence: "CC BY 4.0 at UCI; none stated in the repository",
        repository: "swapnil-nangare-crave/Predictive-Maintenance",
        commit: "0c473ebfc579fc8dba6b1697f2bd96dc80ba6422",
        format: "ai4i",
    },
    Entry {
        name: "focus_1_0",
        what: "FOCUS 1.0 sample: anonymised cloud charges of September 2024",
        licence: "CC BY 4.0",
        repository: "maxjahn/FOCUS-Sample-Data",
        commit: "8ac5ea6cbc3a8af74f517052f4c2ff3ad33d91cd",
        format: "focus",
    },
    Entry {
        name: "cloudtrail_stratus",
        what: "CloudTrail events of 24 attack techniques, detonated with Stratus Red Team",
        licence: "Apache-2.0",
        repository: "DataDog/stratus-red-team",
        commit: "7c9a7a5a63dc370260a6528dd0d30476854806c1",
        format: "cloudtrail",
    },
    Entry {
        name: "cloudtrail_otrf",
        what: "CloudTrail of an EC2 proxy exfiltrating from S3, zipped JSON lines: unzip it first",
        licence: "MIT",
        repository: "OTRF/Security-Datasets",
        commit: "d9d40ef123d2c87d5d3df28c96bcab4f0faccc87",
        format: "cloudtrail",
    },
];

/// The known public sets.
#[must_use]
pub fn list() -> Vec<PublicSet> {
    SETS.iter().map(Entry::with_files).collect()
}

impl Entry {
    fn with_files(&self) -> PublicSet {
        // Fields hold no commas and no quotes; a test reads every line.
        let lines = include_str!("files.csv").lines().skip(1);
        let files = lines.filter_map(|line| {
            let mut fields = line.split(',');
            let mut next = || fields.next();
            (next()? == self.name).then_some(())?;
            let (path, source) = (next()?, next()?);
            Some(PublicFile {
                path,
                url: format!(
                    "https://raw.githubusercontent.com/{}/{}/{}",
                    self.repository,
                    self.commit,
                    source.replace(' ', "%20")
                ),
                bytes: next()?.parse().ok()?,
                sha256: next()?,
                derived_sha256: next().filter(|digest| !digest.is_empty()),
            })
        });
        PublicSet {
            name: self.name,
            what: self.what,
            licence: self.licence,
            repository: self.repository,
            commit: self.commit,
            format: self.format,
            files: files.collect(),
        }
    }
}

/// What [`fetch`] did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fetched {
    /// The set's folder.
    pub folder: PathBuf,
    /// Files that came.
    pub fetched: usize,
    /// Files that were there already, and right.
    pub present: usize,
    /// Bytes that came.
    pub bytes: u64,
}

/// Brings a set into `dest/<name>`, checked by SHA-256.
///
/// Files come from `from/<name>/<path>` or `from/<path>` (also with `.gz` behind), or, without
/// `from`, from the original address. Files that are there and right are left alone, and a wrong
/// or half file never gets its name. A progress bar is drawn on stderr when that is a terminal.
///
/// # Errors
/// [`Error::Configuration`] for an unknown name, [`Error::Fetch`] when a download fails,
/// [`Error::Read`] when a file cannot be copied, [`Error::Checksum`] when bytes are not the
/// published ones, [`Error::Write`] when a file cannot be written.
pub fn fetch(name: &str, dest: &Path, from: Option<&Path>) -> Result<Fetched> {
    let Some(set) = SETS.iter().find(|set| set.name == name).map(Entry::with_files) else {
        let names: Vec<&str> = SETS.iter().map(|set| set.name).collect();
        return Err(Error::Configuration(format!(
            "no data set {name:?}; there are {}",
            names.join(", ")
        )));
    };
    let folder = dest.join(set.name);
    let bar = ProgressBar::new(set.files.iter().map(|file| file.bytes).sum());
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {eta}")
    {
        bar.set_style(style);
    }
    let mut fetched = Fetched { folder: folder.clone(), fetched: 0, present: 0, bytes: 0 };
    for file in &set.files {
        bar.set_message(file.path);
        let path = folder.join(file.path);
        if path.is_file() && file.accepts(&digest(&path)?) {
            fetched.present += 1;
            bar.inc(file.bytes);
            continue;
        }
        let source = match from {
            Some(from) => local(from, set.name, file)?,
            None => remote(&file.url)?,
        };
        fetched.bytes += store(source, &path, file, &bar)?;
        fetched.fetched += 1;
    }
    bar.finish_and_clear();
    Ok(fetched)
}

impl PublicFile {
    fn accepts(&self, digest: &str) -> bool {
        digest == self.sha256 || Some(digest) == self.derived_sha256
    }
}

/// Opens the file in a directory, unpacked.
fn local(from: &Path, set: &str, file: &PublicFile) -> Result<Box<dyn Read>> {
    for path in [from.join(set).join(file.path), from.join(file.path)] {
        let packed = PathBuf::from(format!("{}.gz", path.display()));
        for (path, is_packed) in [(path, false), (packed, true)] {
            match File::open(&path) {
                Ok(file) if is_packed => {
                    return Ok(Box::new(flate2::read::MultiGzDecoder::new(file)));
                }
                Ok(file) => return Ok(Box::new(file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(read_error(&path, source)),
            }
        }
    }
    let source = io::Error::new(io::ErrorKind::NotFound, format!("no {set}/{}", file.path));
    Err(read_error(from, source))
}

fn remote(url: &str) -> Result<Box<dyn Read>> {
    let response = ureq::get(url)
        .call()
        .map_err(|error| Error::Fetch { url: url.to_owned(), reason: error.to_string() })?;
    Ok(Box::new(response.into_body().into_reader()))
}

/// Copies and checks; the file gets its name only when it is right.
fn store(
    mut source: Box<dyn Read>,
    path: &Path,
    expected: &PublicFile,
    bar: &ProgressBar,
) -> Result<u64> {
    let mut file = NewFile::create(path)?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 64 * 1024];
    let mut bytes = 0;
    loop {
        let count = match source.read(&mut block) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                file.abandon()?;
                let url = expected.url.clone();
                return Err(Error::Fetch { url, reason: error.to_string() });
            }
        };
        hash.update(&block[..count]);
        file.write_all(&block[..count]).map_err(|error| file.failed(error))?;
        bytes += count as u64;
        bar.inc(count as u64);
    }
    let found = hex(&hash.finalize());
    if !expected.accepts(&found) {
        file.abandon()?;
        let expected = expected.sha256.to_owned();
        return Err(Error::Checksum { file: path.display().to_string(), expected, found });
    }
    file.finish()?;
    Ok(bytes)
}

fn digest(path: &Path) -> Result<String> {
    let read = |source| read_error(path, source);
    let mut file = File::open(path).map_err(read)?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 64 * 1024];
    loop {
        let count = file.read(&mut block).map_err(read)?;
        if count == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&block[..count]);
    }
}

fn read_error(path: &Path, source: io::Error) -> Error {
    Error::Read { file: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_list_is_read() {
        let lines = include_str!("files.csv").lines().count() - 1;
        let sets = list();
        assert_eq!(sets.iter().map(|set| set.files.len()).sum::<usize>(), lines);
        for file in sets.iter().flat_map(|set| &set.files) {
            assert_eq!(file.sha256.len(), 64, "{}", file.path);
            assert!(file.derived_sha256.is_none_or(|digest| digest.len() == 64));
        }
    }

    #[test]
    fn wrong_bytes_never_get_a_name() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("from/focus_1_0");
        std::fs::create_dir_all(&from).unwrap();
        std::fs::write(from.join("focus_sample_aws.csv"), "not it").unwrap();
        let dest = dir.path().join("dest");
        let error = fetch("focus_1_0", &dest, Some(&dir.path().join("from"))).unwrap_err();
        assert!(matches!(error, Error::Checksum { .. }), "{error}");
        assert_eq!(std::fs::read_dir(dest.join("focus_1_0")).unwrap().count(), 0);
        assert!(matches!(fetch("smd", &dest, Some(dir.path())).unwrap_err(), Error::Read { .. }));
        assert!(matches!(fetch("mnist", &dest, None).unwrap_err(), Error::Configuration(_)));
    }
}
