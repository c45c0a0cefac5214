//! Bytes of a blob, decompressed, through one bounded buffer; and lines of them.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parquet::file::reader::ChunkReader;

use super::RAW_MAX;
use super::zip::first_file;
use crate::{Error, Result};

/// Bytes asked of the store at once, and kept decoded.
const BLOCK: usize = 256 * 1024;
/// A record longer than this is rejected; of it only [`RAW_MAX`] bytes are kept.
pub(crate) const RECORD_MAX: usize = 1024 * 1024;

/// Reads a blob from front to back.
struct BlobRead<B> {
    blob: B,
    block: bytes::Bytes,
    at: u64,
    end: u64,
    /// How far into the blob the decoder has read.
    position: Arc<AtomicU64>,
    /// The store's own failure: the decoder above would wrap it beyond recognition.
    failure: Arc<std::sync::Mutex<Option<io::Error>>>,
}

impl<B: ChunkReader> Read for BlobRead<B> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.block.is_empty() && self.at < self.end {
            let length = (self.end - self.at).min(BLOCK as u64);
            self.block = self.blob.get_bytes(self.at, length as usize).map_err(|error| {
                if let Ok(mut failure) = self.failure.lock() {
                    *failure = Some(io::Error::other(error.to_string()));
                }
                io::Error::other(error)
            })?;
            self.at += length;
        }
        let count = out.len().min(self.block.len());
        out[..count].copy_from_slice(&self.block.split_to(count));
        self.position.store(self.at - self.block.len() as u64, Relaxed);
        Ok(count)
    }
}

/// A file's decoded bytes.
///
/// A stream that cannot be decompressed any further just ends; [`Source::cut`] says so.
pub(crate) struct Source {
    file: String,
    inner: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    from: usize,
    to: usize,
    decoded: u64,
    position: Arc<AtomicU64>,
    failure: Arc<std::sync::Mutex<Option<io::Error>>>,
    cut: Option<String>,
    ended: bool,
}

impl Source {
    /// A blob's bytes, decompressed as its name's ending says.
    pub(crate) fn new<B: ChunkReader + 'static>(blob: B, name: &str) -> Result<Self> {
        let position = Arc::<AtomicU64>::default();
        let failure = Arc::<std::sync::Mutex<Option<io::Error>>>::default();
        let end = blob.len();
        let raw = BlobRead {
            blob,
            block: bytes::Bytes::new(),
            at: 0,
            end,
            position: Arc::clone(&position),
            failure: Arc::clone(&failure),
        };
        let lower = name.to_ascii_lowercase();
        let mut room = BLOCK;
        let inner: Box<dyn Read + Send> = if end == 0 {
            Box::new(io::empty())
        } else if lower.ends_with(".gz") {
            Box::new(flate2::read::MultiGzDecoder::new(raw))
        } else if lower.ends_with(".zst") {
            let decoder = zstd::stream::read::Decoder::new(raw)
                .map_err(|source| Error::Read { file: name.to_owned(), source })?;
            Box::new(decoder)
        } else if lower.ends_with(".zip") {
            first_file(raw).map_err(|source| Error::Read { file: name.to_owned(), source })?
        } else {
            // What is not compressed needs no more room than it takes: a message is small.
            room = room.min(end.max(1) as usize);
            Box::new(raw)
        };
        let mut source = Self {
            file: name.to_owned(),
            inner,
            buffer: vec![0; room],
            from: 0,
            to: 0,
            decoded: 0,
            position,
            failure,
            cut: None,
            ended: false,
        };
        if source.peek(3)?.starts_with(b"\xef\xbb\xbf") {
            source.consume(3);
        }
        Ok(source)
    }

    /// The file's name, for messages.
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    /// At least `count` bytes, fewer at the end; `count` is at most a block.
    pub(crate) fn peek(&mut self, count: usize) -> Result<&[u8]> {
        while self.to - self.from < count && !self.ended {
            if self.from > 0 {
                self.buffer.copy_within(self.from..self.to, 0);
                self.to -= self.from;
                self.from = 0;
            }
            match self.inner.read(&mut self.buffer[self.to..]) {
                Ok(0) => self.ended = true,
                Ok(read) => {
                    self.to += read;
                    self.decoded += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.end(&error)?,
            }
        }
        Ok(&self.buffer[self.from..self.to])
    }

    /// What is buffered; reads on when nothing is. Empty at the end.
    pub(crate) fn fill(&mut self) -> Result<&[u8]> {
        self.peek(1)
    }

    /// Drops bytes that were looked at.
    pub(crate) fn consume(&mut self, count: usize) {
        self.from = (self.from + count).min(self.to);
    }

    /// Whether the stream ended before its end.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut.is_some()
    }

    /// Why the stream ended before its end, once.
    pub(crate) fn take_cut(&mut self) -> Option<String> {
        self.cut.take()
    }

    fn end(&mut self, error: &io::Error) -> Result<()> {
        self.ended = true;
        let failure = self.failure.lock().ok().and_then(|mut failure| failure.take());
        if let Some(source) = failure {
            return Err(Error::Read { file: self.file.clone(), source });
        }
        self.cut = Some(format!(
            "the compressed stream ends early or is damaged at byte {} ({} decoded bytes): {error}",
            self.position.load(Relaxed),
            self.decoded,
        ));
        Ok(())
    }
}

/// One line, without its end.
#[derive(Debug, Default, Clone)]
pub(crate) struct Line {
    /// Counted from 1.
    pub(crate) number: u64,
    /// The line; its first [`RAW_MAX`] bytes when it is longer than [`RECORD_MAX`].
    pub(crate) bytes: Vec<u8>,
    /// The line's length as it stands in the file.
    pub(crate) length: u64,
    /// Whether a line end came: the last line of a stream that breaks off has none.
    pub(crate) terminated: bool,
}

impl Line {
    /// Whether `bytes` is only the beginning.
    pub(crate) fn is_over(&self) -> bool {
        self.length > self.bytes.len() as u64
    }
}

/// Lines of a source.
pub(crate) struct Lines {
    pub(crate) source: Source,
    pub(crate) number: u64,
}

impl Lines {
    pub(crate) fn new(source: Source) -> Self {
        Self { source, number: 0 }
    }

    /// Reads the next line into `line`; false at the end.
    pub(crate) fn read(&mut self, line: &mut Line) -> Result<bool> {
        line.bytes.clear();
        line.length = 0;
        line.terminated = false;
        let mut any = false;
        loop {
            let block = self.source.fill()?;
            if block.is_empty() {
                break;
            }
            any = true;
            let end = memchr::memchr(b'\n', block);
            let part = &block[..end.unwrap_or(block.len())];
            keep(&mut line.bytes, &mut line.length, part);
            let consumed = part.len() + usize::from(end.is_some());
            self.source.consume(consumed);
            if end.is_some() {
                line.terminated = true;
                break;
            }
        }
        if any {
            self.number += 1;
            line.number = self.number;
            if !line.is_over() && line.bytes.last() == Some(&b'\r') {
                line.bytes.pop();
                line.length -= 1;
            }
        }
        Ok(any)
    }
}

/// Appends to a record, which is cut to its beginning once it grows over the limit.
pub(crate) fn keep(bytes: &mut Vec<u8>, length: &mut u64, part: &[u8]) {
    let over = *length > bytes.len() as u64;
    *length += part.len() as u64;
    if over {
        return;
    }
    if bytes.len() + part.len() > RECORD_MAX {
        let room = RAW_MAX.saturating_sub(bytes.len());
        bytes.extend_from_slice(&part[..room.min(part.len())]);
        bytes.truncate(RAW_MAX);
        bytes.shrink_to(RAW_MAX);
    } else {
        bytes.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use bytes::Bytes;

    use super::*;

    type Found = (Vec<(u64, Vec<u8>, u64)>, Option<String>);

    fn lines(name: &str, bytes: Vec<u8>) -> Found {
        let mut lines = Lines::new(Source::new(Bytes::from(bytes), name).unwrap());
        let mut line = Line::default();
        let mut all = Vec::new();
        while lines.read(&mut line).unwrap() {
            all.push((line.number, line.bytes.clone(), line.length));
        }
        (all, lines.source.take_cut())
    }

    #[test]
    fn lines_end_in_many_ways() {
        let (all, cut) = lines("a.csv", b"\xef\xbb\xbfa\r\n\nb".to_vec());
        assert_eq!(all, [(1, b"a".to_vec(), 1), (2, vec![], 0), (3, b"b".to_vec(), 1)]);
        assert_eq!(cut, None);
    }

    #[test]
    fn a_long_line_is_counted_not_kept() {
        let mut bytes = vec![b'x'; 10_000_000];
        bytes.extend_from_slice(b"\nend\n");
        let (all, _) = lines("a.csv", bytes);
        assert_eq!(all[0].1.len(), RAW_MAX);
        assert_eq!(all[0].2, 10_000_000);
        assert_eq!(all[1], (2, b"end".to_vec(), 3));
    }

    #[test]
    fn a_cut_gzip_gives_what_came_before() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        let mut state = 7_u64;
        for _ in 0..50_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            writeln!(encoder, "{state}").unwrap();
        }
        let whole = encoder.finish().unwrap();
        let (all, cut) = lines("a.csv.gz", whole[..whole.len() / 2].to_vec());
        assert!(all.len() > 20_000, "{}", all.len());
        let cut = cut.unwrap();
        assert!(cut.contains(&format!("at byte {}", whole.len() / 2)), "{cut}");
    }
}
