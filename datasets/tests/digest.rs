//! A trail with its digests, made by `testdata/trail/make.py` and signed by openssl: whole, and tampered with.

#![allow(clippy::unwrap_used, reason = "a step that fails, fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

use cloudops_datasets::digest::{PublicKey, Verification, Wrong, verify};

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/trail")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}

/// A copy of the trail, tampered with, and what is found in it.
fn check(signed: bool, tamper: impl Fn(&Path)) -> Verification {
    let dir = tempfile::tempdir().unwrap();
    copy(&fixture(), dir.path());
    let account = dir.path().join("AWSLogs/123456789012");
    tamper(&account);
    let key = PublicKey::read(&fixture().join("key.pem")).unwrap();
    let digests = account.join("CloudTrail-Digest");
    verify(&digests, dir.path(), signed.then_some(&key)).unwrap()
}

fn log(account: &Path, name: &str) -> PathBuf {
    account.join("CloudTrail/us-east-1/2024/05/01").join(name)
}

fn digest(account: &Path, name: &str) -> PathBuf {
    account.join("CloudTrail-Digest/us-east-1/2024/05/01").join(name)
}

fn wrongs(found: &Verification) -> Vec<Wrong> {
    found.problems.iter().map(|problem| problem.wrong).collect()
}

#[test]
fn a_whole_trail_holds() {
    let found = check(true, |_| {});
    assert!(found.holds(), "{found:?}");
    assert_eq!((found.digests, found.intact, found.signatures), (3, 6, 3));
    assert_eq!((found.unsigned, found.beginnings), (0, 1));
    // Without the newest one's signature nothing vouches for that one alone.
    let found = check(true, |account| {
        fs::remove_file(digest(account, "digest-2.json.gz.signature")).unwrap();
    });
    assert!(found.holds() && (found.signatures, found.unsigned) == (2, 1), "{found:?}");
    let found = check(false, |_| {});
    assert!(found.holds() && found.signatures == 0);
}

#[test]
fn a_log_file_that_was_changed_or_taken_away_is_named() {
    for signed in [false, true] {
        let found = check(signed, |account| {
            fs::write(log(account, "log-1a.json.gz"), b"{\"Records\": []}").unwrap();
            fs::remove_file(log(account, "log-2b.json.gz")).unwrap();
            fs::write(log(account, "log-0b.json.gz"), [0x1f, 0x8b, 0]).unwrap();
        });
        assert_eq!(found.intact, 3);
        let mut wrong = wrongs(&found);
        wrong.sort();
        assert_eq!(wrong, [Wrong::Missing, Wrong::Changed, Wrong::Unreadable]);
        assert!(found.problems.iter().any(|problem| problem.file.ends_with("log-1a.json.gz")));
    }
}

#[test]
fn a_digest_that_was_changed_or_taken_away_shows() {
    // Who changes a log and its digest with it is told by the next digest, and by the signature.
    let forged = |account: &Path| {
        let path = digest(account, "digest-1.json.gz");
        let mut content = String::new();
        let mut file = flate2::read::GzDecoder::new(fs::File::open(&path).unwrap());
        std::io::Read::read_to_string(&mut file, &mut content).unwrap();
        fs::write(&path, content.replace("2024-05-01T02:00:00Z", "2024-05-01T02:30:00Z")).unwrap();
    };
    assert_eq!(wrongs(&check(false, forged)), [Wrong::Changed]);
    let found = check(true, forged);
    assert_eq!(wrongs(&found), [Wrong::Changed, Wrong::Signature]);
    assert_eq!(found.signatures, 2);
    let found = check(true, |account| {
        fs::remove_file(digest(account, "digest-1.json.gz")).unwrap();
    });
    assert_eq!((found.beginnings, found.unsigned), (2, 1), "{found:?}");
}

#[test]
fn what_is_no_key_is_refused() {
    let error = PublicKey::read(&fixture().join("make.py")).unwrap_err().to_string();
    assert!(error.contains("no key in base64"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let error = verify(empty.path(), empty.path(), None).unwrap_err().to_string();
    assert!(error.contains("CloudTrail-Digest"), "{error}");
}
