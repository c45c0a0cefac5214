//! The first file of a zip archive, streamed.
//!
//! Public log sets are often one file in an archive. Its local header stands
//! first (APPNOTE 6.3, section 4.3.7), so nothing has to be read from the end.

use std::io::{self, Read};

use flate2::read::DeflateDecoder;

const SIGNATURE: [u8; 4] = *b"PK\x03\x04";
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
/// Sizes follow the data instead of standing in the header.
const SIZES_FOLLOW: u16 = 1 << 3;

/// Skips the local header of an archive's first file; gives that file's bytes.
///
/// # Errors
/// When this is no archive, or the file is neither deflated nor stored with a known size.
pub(crate) fn first_file(
    mut archive: impl Read + Send + 'static,
) -> io::Result<Box<dyn Read + Send>> {
    let mut header = [0; 30];
    archive.read_exact(&mut header)?;
    let short = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    if header[..4] != SIGNATURE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no zip archive"));
    }
    let (flags, method) = (short(6), short(8));
    let size = u64::from(short(18)) | u64::from(short(20)) << 16;
    let behind = u64::from(short(26)) + u64::from(short(28));
    io::copy(&mut archive.by_ref().take(behind), &mut io::sink())?;
    match method {
        DEFLATED => Ok(Box::new(DeflateDecoder::new(archive))),
        STORED if flags & SIZES_FOLLOW == 0 => Ok(Box::new(archive.take(size))),
        other => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("zip method {other} cannot be streamed: unpack the archive"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn archive(method: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([20, 0, 0, 0]);
        bytes.extend(method.to_le_bytes());
        bytes.extend([0; 8]);
        bytes.extend((body.len() as u32).to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend([5, 0, 2, 0]);
        bytes.extend(b"a.txt\0\0");
        bytes.extend(body);
        bytes.extend(b"PK\x01\x02 the directory");
        bytes
    }

    fn check(bytes: Vec<u8>, want: Result<&str, &str>) {
        let read = first_file(io::Cursor::new(bytes)).and_then(|mut file| {
            let mut text = String::new();
            file.read_to_string(&mut text).map(|_| text)
        });
        match (read, want) {
            (Ok(found), Ok(want)) => assert_eq!(found, want),
            (Err(error), Err(want)) => assert!(error.to_string().contains(want), "{error}"),
            (found, want) => panic!("{found:?} is not {want:?}"),
        }
    }

    #[test]
    fn the_first_file_is_read() {
        let mut deflate =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        deflate.write_all(b"one\ntwo\n").unwrap();
        check(archive(DEFLATED, &deflate.finish().unwrap()), Ok("one\ntwo\n"));
        check(archive(STORED, b"one\ntwo\n"), Ok("one\ntwo\n"));
        check(archive(12, b"bzip2"), Err("method 12"));
        check(
            b"{\"not\": \"an archive, but longer than its header\"}".to_vec(),
            Err("no zip archive"),
        );
    }
}
