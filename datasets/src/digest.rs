//! CloudTrail's log file integrity: has any log file been changed, or taken away?
//!
//! Every hour CloudTrail writes a *digest*: the log files it has delivered, each with the SHA-256 of its
//! content, and the hash and signature of the digest before. So one signature that can be trusted vouches
//! for all digests before it, and through them for all log files
//! (<https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-validation-digest-file-structure.html>).
//! Hashes are of uncompressed content; signatures are SHA-256 with RSA (PKCS #1 v1.5) over a string of end
//! time, place, hash, and the signature before. The newest digest's own signature stands in the metadata
//! of its S3 object; put beside the file as `<file>.signature`, in hexadecimal, it is checked as well.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine;
use cloudops_operators::key::hex;
use flate2::read::MultiGzDecoder;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::describe::below;
use crate::{Error, Result};

/// A digest file's content, as far as it is checked.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Digest {
    digest_end_time: String,
    digest_s3_bucket: String,
    digest_s3_object: String,
    #[serde(default)]
    digest_public_key_fingerprint: Option<String>,
    #[serde(default)]
    previous_digest_s3_object: Option<String>,
    #[serde(default)]
    previous_digest_hash_value: Option<String>,
    #[serde(default)]
    previous_digest_signature: Option<String>,
    #[serde(default)]
    log_files: Vec<LogFile>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogFile {
    s3_object: String,
    hash_value: String,
}

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wrong {
    /// A log file that a digest names is not there.
    Missing,
    /// Its content is not what the digest vouches for.
    Changed,
    /// It cannot be read, or is no digest.
    Unreadable,
    /// A signature that the key does not fit.
    Signature,
}

/// A file that cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// The file, or the object's name where it is not there.
    pub file: String,
    /// What is wrong.
    pub wrong: Wrong,
    /// In words.
    pub reason: String,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Digest files read.
    pub digests: usize,
    /// Log files whose content is what a digest vouches for.
    pub intact: usize,
    /// Signatures that the key fits.
    pub signatures: usize,
    /// Digests that nothing vouches for: the newest of a chain, and any whose next one is not there.
    pub unsigned: usize,
    /// Digests whose predecessor is not there: where the chain that was checked begins.
    pub beginnings: usize,
    /// Files that cannot be trusted, in order.
    pub problems: Vec<Problem>,
}

impl Verification {
    /// Whether every file is what it was.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.problems.is_empty()
    }
}

/// A public key of CloudTrail's: `PKCS #1`, as `aws cloudtrail list-public-keys` gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(Vec<u8>);

impl PublicKey {
    /// Reads a key: PEM (`RSA PUBLIC KEY`), base64, or DER.
    ///
    /// # Errors
    /// [`Error::Read`] when there is no such file, [`Error::Corrupt`] when it holds no such key.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path)
            .map_err(|source| Error::Read { file: path.display().to_string(), source })?;
        let Ok(text) = std::str::from_utf8(&bytes) else { return Ok(Self(bytes)) };
        let corrupt = |reason: &str| Error::Corrupt {
            file: path.display().to_string(),
            reason: reason.to_owned(),
        };
        if text.contains("BEGIN PUBLIC KEY") {
            return Err(corrupt(
                "it is a key of another form: `openssl rsa -pubin -RSAPublicKey_out` writes PKCS #1",
            ));
        }
        let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
        let decoded = base64::engine::general_purpose::STANDARD.decode(body.trim());
        decoded.map(Self).map_err(|error| corrupt(&format!("it is no key in base64: {error}")))
    }

    fn fits(&self, text: &str, signature: &str) -> bool {
        let Some(signature) = unhex(signature) else { return false };
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.0);
        key.verify(text.as_bytes(), &signature).is_ok()
    }
}

/// A digest at hand.
struct Held {
    file: String,
    /// SHA-256 of its content, hexadecimal.
    hash: String,
    digest: Digest,
    /// Its own signature, where it lies beside it.
    signature: Option<String>,
}

impl Held {
    /// What its signature is over.
    fn signed_text(&self) -> String {
        let Digest { digest_end_time, digest_s3_bucket, digest_s3_object, .. } = &self.digest;
        let before = self.digest.previous_digest_signature.as_deref().unwrap_or("null");
        format!("{digest_end_time}\n{digest_s3_bucket}/{digest_s3_object}\n{}\n{before}", self.hash)
    }
}

/// Checks every digest below `digests`, and every log file that they name below `logs`; with `key` also
/// the signatures. Log files are found by their object's name below `logs`, else by their file's name.
///
/// # Errors
/// [`Error::Read`] when a directory cannot be listed; [`Error::Configuration`] when `digests` holds none.
pub fn verify(digests: &Path, logs: &Path, key: Option<&PublicKey>) -> Result<Verification> {
    let mut found = Verification::default();
    let mut held = BTreeMap::new();
    for path in below(digests)? {
        match read_digest(&path) {
            Ok(Some(digest)) => {
                found.digests += 1;
                held.insert(digest.digest.digest_s3_object.clone(), digest);
            }
            Ok(None) => {}
            Err(reason) => found.problem(path.display().to_string(), Wrong::Unreadable, reason),
        }
    }
    if found.digests == 0 && found.problems.is_empty() {
        return Err(Error::Configuration(format!(
            "{} holds no digest: they lie under CloudTrail-Digest in the trail's bucket",
            digests.display()
        )));
    }
    let by_name: HashMap<String, PathBuf> = below(logs)?
        .into_iter()
        .filter_map(|path| Some((path.file_name()?.to_string_lossy().into_owned(), path)))
        .collect();
    let mut vouched = 0;
    for digest in held.values() {
        check_files(digest, logs, &by_name, &mut found);
        vouched += usize::from(check_before(digest, &held, key, &mut found));
        if let (Some(key), Some(signature)) = (key, &digest.signature) {
            check_signature(digest, signature, key, &mut found);
            vouched += 1;
        }
    }
    found.unsigned = found.digests.saturating_sub(vouched);
    found.problems.sort();
    Ok(found)
}

impl Verification {
    fn problem(&mut self, file: String, wrong: Wrong, reason: impl Into<String>) {
        self.problems.push(Problem { file, wrong, reason: reason.into() });
    }
}

/// The log files that a digest names.
fn check_files(
    digest: &Held,
    logs: &Path,
    by_name: &HashMap<String, PathBuf>,
    found: &mut Verification,
) {
    for log in &digest.digest.log_files {
        let whole = logs.join(&log.s3_object);
        let name = log.s3_object.rsplit('/').next().unwrap_or_default();
        let path = if whole.is_file() { Some(&whole) } else { by_name.get(name) };
        let Some(path) = path else {
            let reason = format!("{} vouches for it", digest.file);
            found.problem(log.s3_object.clone(), Wrong::Missing, reason);
            continue;
        };
        match content(path) {
            Ok(content) if hash(&content).eq_ignore_ascii_case(&log.hash_value) => {
                found.intact += 1
            }
            Ok(_) => {
                let reason = format!("its content is not what {} vouches for", digest.file);
                found.problem(path.display().to_string(), Wrong::Changed, reason);
            }
            Err(reason) => {
                found.problem(path.display().to_string(), Wrong::Unreadable, reason);
            }
        }
    }
}

/// The digest before: what this one says of it, and its signature, which this one holds. Whether there is
/// one that is vouched for.
fn check_before(
    digest: &Held,
    held: &BTreeMap<String, Held>,
    key: Option<&PublicKey>,
    found: &mut Verification,
) -> bool {
    let before = digest.digest.previous_digest_s3_object.as_ref().and_then(|name| held.get(name));
    let Some(before) = before else {
        found.beginnings += 1;
        return false;
    };
    let says = digest.digest.previous_digest_hash_value.as_deref().unwrap_or_default();
    if !says.eq_ignore_ascii_case(&before.hash) {
        let reason = format!("its content is not what {} vouches for", digest.file);
        found.problem(before.file.clone(), Wrong::Changed, reason);
    }
    match (key, &digest.digest.previous_digest_signature) {
        (Some(key), Some(signature)) => {
            check_signature(before, signature, key, found);
            true
        }
        _ => key.is_none(),
    }
}

fn check_signature(digest: &Held, signature: &str, key: &PublicKey, found: &mut Verification) {
    if key.fits(&digest.signed_text(), signature) {
        found.signatures += 1;
        return;
    }
    let of = digest.digest.digest_public_key_fingerprint.as_deref().unwrap_or("unknown");
    let reason = format!("the key does not fit its signature; it was signed by the key {of}");
    found.problem(digest.file.clone(), Wrong::Signature, reason);
}

/// A file's digest; none where it is a signature, or no JSON by its name.
fn read_digest(path: &Path) -> Result<Option<Held>, String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if !(name.ends_with(".json") || name.ends_with(".json.gz")) {
        return Ok(None);
    }
    let content = content(path)?;
    let digest = serde_json::from_slice(&content).map_err(|error| format!("no digest: {error}"))?;
    let beside = PathBuf::from(format!("{}.signature", path.display()));
    let signature = match std::fs::read_to_string(&beside) {
        Ok(text) => Some(text.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(format!("its signature cannot be read: {error}")),
    };
    let file = path.display().to_string();
    Ok(Some(Held { file, hash: hash(&content), digest, signature }))
}

/// A file's uncompressed content.
fn content(path: &Path) -> Result<Vec<u8>, String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let mut content = Vec::new();
    MultiGzDecoder::new(&bytes[..])
        .read_to_end(&mut content)
        .map_err(|error| format!("it cannot be decompressed: {error}"))?;
    Ok(content)
}

fn hash(content: &[u8]) -> String {
    hex(&Sha256::digest(content))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()).collect()
}
