//! Delimited text: CSV and its relatives, and columns between spaces.
//!
//! A record is a line; a line that ends inside a quoted field goes on. A quote that is not closed
//! within [`JOIN_MAX`] bytes costs only its own line, not the rest of the file.

use std::collections::VecDeque;

use super::record::{Cells, Fault, Naming, Raw, Records, Want, below, select};
use super::source::{Line, Lines, Source};
use crate::{Error, Result};

/// How far a quoted field is followed over line ends.
const JOIN_MAX: usize = 64 * 1024;

/// What stands between fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Separator {
    /// One byte; fields may be quoted.
    Byte(u8),
    /// Any run of white space; no quoting.
    Spaces,
}

/// How a file's columns are known.
#[derive(Debug)]
pub(crate) enum Columns<'a> {
    /// The first line names them.
    Header { wants: &'a [Want], naming: Naming },
    /// There is no header, and every record has this many.
    Count(usize),
}

/// Records of delimited text.
pub(crate) struct Delimited {
    lines: Lines,
    separator: Separator,
    /// The header line, to recognise its repetition.
    header: Option<Vec<u8>>,
    /// The names in it.
    names: Vec<String>,
    columns: usize,
    select: Option<Vec<Option<usize>>>,
    line: Line,
    /// Lines read ahead for a quoted field that never closed.
    ahead: VecDeque<Line>,
    spans: Vec<(u32, u32)>,
    /// The text of a record that has quotes, without them.
    unquoted: Vec<u8>,
    fault: Option<Fault>,
    ended: bool,
    /// The current record has been read, but not handed on.
    again: bool,
}

impl Delimited {
    pub(crate) fn new(source: Source, separator: Separator, columns: &Columns<'_>) -> Result<Self> {
        let mut records = Self {
            lines: Lines::new(source),
            separator,
            header: None,
            names: Vec::new(),
            columns: 0,
            select: None,
            line: Line::default(),
            ahead: VecDeque::new(),
            spans: Vec::new(),
            unquoted: Vec::new(),
            fault: None,
            ended: false,
            again: false,
        };
        match columns {
            Columns::Count(count) => records.columns = *count,
            Columns::Header { wants, naming } => records.read_header(wants, *naming)?,
        }
        Ok(records)
    }

    /// Adds the columns whose names begin with a prefix to those asked for; gives their names.
    pub(crate) fn also(&mut self, prefix: &str, naming: Naming) -> Vec<String> {
        let (places, names) = below(&self.names, prefix, naming);
        if let Some(select) = &mut self.select {
            select.extend(places.into_iter().map(Some));
        }
        names
    }

    fn read_header(&mut self, wants: &[Want], naming: Naming) -> Result<()> {
        if !self.advance()? {
            return Ok(());
        }
        // A file cut inside its header has no records but the cut itself.
        if self.ended && self.fault.is_some() {
            self.again = true;
            return Ok(());
        }
        let corrupt = |file: &str, reason: String| Error::Corrupt { file: file.to_owned(), reason };
        let file = self.lines.source.file().to_owned();
        if let Some(fault) = self.fault.take().or_else(|| self.split().err()) {
            return Err(corrupt(&file, format!("the header: {}", fault.reason)));
        }
        let text = if self.unquoted.is_empty() { &self.line.bytes } else { &self.unquoted };
        let text = std::str::from_utf8(text)
            .map_err(|error| corrupt(&file, format!("the header is not UTF-8: {error}")))?;
        let names: Vec<String> = self
            .spans
            .iter()
            .map(|&(from, to)| text[from as usize..to as usize].trim().to_owned())
            .collect();
        self.select = Some(select(&file, wants, &names, naming)?);
        self.columns = names.len();
        self.names = names;
        self.header = Some(self.line.bytes.clone());
        Ok(())
    }

    /// Reads the next line that is not blank; false at the end.
    fn next_line(&mut self) -> Result<bool> {
        loop {
            if let Some(line) = self.ahead.pop_front() {
                self.line = line;
            } else if !self.lines.read(&mut self.line)? {
                return Ok(false);
            }
            if !self.line.bytes.trim_ascii().is_empty() || self.line.is_over() {
                return Ok(true);
            }
        }
    }

    /// Follows a quoted field over line ends; gives the lines back when it does not close.
    fn join(&mut self, separator: u8) -> Result<()> {
        let first = self.line.bytes.len();
        let mut joined = self.line.bytes.clone();
        let mut length = self.line.length;
        let mut terminated = self.line.terminated;
        let mut taken = Vec::new();
        let mut state = QuoteState::default();
        state.follow(&joined, separator);
        while state.is_open() && joined.len() < first + JOIN_MAX {
            let next = match self.ahead.pop_front() {
                Some(next) => next,
                None => {
                    let mut next = Line::default();
                    if !self.lines.read(&mut next)? {
                        break;
                    }
                    next
                }
            };
            if next.is_over() {
                taken.push(next);
                break;
            }
            joined.push(b'\n');
            joined.extend_from_slice(&next.bytes);
            length += next.length + 1;
            terminated = next.terminated;
            state.follow(b"\n", separator);
            state.follow(&next.bytes, separator);
            taken.push(next);
        }
        if state.is_open() {
            self.fault = Some(Fault::of("a quoted field is not closed"));
            for line in taken.into_iter().rev() {
                self.ahead.push_front(line);
            }
        } else {
            self.line.bytes = joined;
            self.line.length = length;
            self.line.terminated = terminated;
        }
        Ok(())
    }

    /// Cuts the current record into spans.
    fn split(&mut self) -> Result<(), Fault> {
        self.spans.clear();
        self.unquoted.clear();
        if self.line.is_over() {
            return Err(Fault::of(format!(
                "a line of {} bytes is longer than a record may be (1 MiB)",
                self.line.length
            )));
        }
        let bytes = &self.line.bytes;
        let separator = match self.separator {
            Separator::Byte(separator) => separator,
            Separator::Spaces => {
                let mut from = 0;
                for word in bytes.split(u8::is_ascii_whitespace) {
                    if !word.is_empty() {
                        self.spans.push((from as u32, (from + word.len()) as u32));
                    }
                    from += word.len() + 1;
                }
                return Ok(());
            }
        };
        if memchr::memchr(b'"', bytes).is_none() {
            let mut from = 0;
            for at in memchr::memchr_iter(separator, bytes) {
                self.spans.push((from as u32, at as u32));
                from = at + 1;
            }
            self.spans.push((from as u32, bytes.len() as u32));
        } else {
            let mut state = QuoteState::default();
            let mut from = 0;
            for &byte in bytes {
                match state.step(byte, separator) {
                    Role::Text => self.unquoted.push(byte),
                    Role::Quote => {}
                    Role::Separator => {
                        self.spans.push((from, self.unquoted.len() as u32));
                        from = self.unquoted.len() as u32;
                    }
                }
            }
            self.spans.push((from, self.unquoted.len() as u32));
            // An unquoted text without a byte would be taken for a record without quotes.
            self.unquoted.push(b' ');
        }
        Ok(())
    }
}

impl Records for Delimited {
    fn advance(&mut self) -> Result<bool> {
        if std::mem::take(&mut self.again) {
            return Ok(true);
        }
        self.fault = None;
        if self.ended {
            return Ok(false);
        }
        let found = self.next_line()?;
        if let Separator::Byte(separator) = self.separator
            && found
            && !self.line.is_over()
            && memchr::memchr(b'"', &self.line.bytes).is_some()
        {
            let mut state = QuoteState::default();
            state.follow(&self.line.bytes, separator);
            if state.is_open() {
                self.join(separator)?;
            }
        }
        // A stream that breaks off makes one last reject of the line it breaks off in.
        if !(found && self.line.terminated) && self.ahead.is_empty() {
            self.ended = true;
            let cut = self.lines.source.take_cut();
            let is_cut = cut.is_some();
            if let Some(reason) = cut {
                self.fault = Some(Fault::of(reason));
            }
            return Ok(found || is_cut);
        }
        Ok(true)
    }

    fn cells(&mut self) -> Result<Cells<'_>, Fault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        if self.header.as_ref().is_some_and(|header| *header == self.line.bytes) {
            return Err(Fault::of("the header line again"));
        }
        self.split()?;
        if self.spans.len() != self.columns {
            return Err(Fault::of(format!(
                "{} fields where {} were expected",
                self.spans.len(),
                self.columns
            )));
        }
        let text = if self.unquoted.is_empty() { &self.line.bytes } else { &self.unquoted };
        let text = std::str::from_utf8(text)
            .map_err(|error| Fault::of(format!("not UTF-8 at byte {}", error.valid_up_to())))?;
        Ok(Cells { text, spans: &self.spans, select: self.select.as_deref() })
    }

    fn line(&self) -> Option<u64> {
        Some(self.line.number)
    }

    fn raw(&self) -> Raw {
        Raw::new(Some(self.line.number), &self.line.bytes, self.line.length)
    }
}

/// What a byte of a CSV record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Text,
    Quote,
    Separator,
}

/// RFC 4180's quoting, one byte at a time. A quote counts only at the start of a field, so that
/// a stray one inside is text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum QuoteState {
    #[default]
    FieldStart,
    Plain,
    Quoted,
    /// After a quote in a quoted field: it was the end, or the first half of an escaped one.
    QuoteInQuoted,
}

impl QuoteState {
    fn step(&mut self, byte: u8, separator: u8) -> Role {
        let (next, role) = match (*self, byte) {
            (Self::FieldStart, b'"') => (Self::Quoted, Role::Quote),
            (Self::Quoted, b'"') => (Self::QuoteInQuoted, Role::Quote),
            (Self::Quoted, _) => (Self::Quoted, Role::Text),
            (Self::QuoteInQuoted, b'"') => (Self::Quoted, Role::Text),
            (_, byte) if byte == separator => (Self::FieldStart, Role::Separator),
            _ => (Self::Plain, Role::Text),
        };
        *self = next;
        role
    }

    fn follow(&mut self, bytes: &[u8], separator: u8) {
        for &byte in bytes {
            self.step(byte, separator);
        }
    }

    fn is_open(self) -> bool {
        self == Self::Quoted
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn check(text: &[u8], expected: &[Result<&[Option<&str>], &str>]) {
        let source = Source::new(Bytes::copy_from_slice(text), "t.csv").unwrap();
        let wants = [Want::required("a"), Want::optional("b"), Want::optional("c")];
        let columns = Columns::Header { wants: &wants, naming: Naming::Exact };
        let mut records = Delimited::new(source, Separator::Byte(b','), &columns).unwrap();
        let mut found = Vec::new();
        while records.advance().unwrap() {
            found.push(match records.cells() {
                Ok(cells) => {
                    Ok((0..3).map(|i| cells.get(i).map(str::to_owned)).collect::<Vec<_>>())
                }
                Err(fault) => Err(fault.reason),
            });
        }
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            match (found, expected) {
                (Ok(found), Ok(expected)) => {
                    let found: Vec<Option<&str>> = found.iter().map(Option::as_deref).collect();
                    assert_eq!(&found, expected);
                }
                (Err(found), Err(expected)) => assert!(found.contains(*expected), "{found}"),
                _ => panic!("{found:?} is not {expected:?}"),
            }
        }
    }

    #[test]
    fn quotes_and_orders() {
        check(
            b"b,a\n1,2\r\n\n\"x, \"\"y\"\"\",3\n5\" pipe,\"two\nlines\"\n,\"\"\n",
            &[
                Ok(&[Some("2"), Some("1"), None]),
                Ok(&[Some("3"), Some("x, \"y\""), None]),
                Ok(&[Some("two\nlines"), Some("5\" pipe"), None]),
                Ok(&[None, None, None]),
            ],
        );
    }

    #[test]
    fn bad_lines_cost_only_themselves() {
        check(
            b"a,b\n1\n1,2,3\na,b\n\xff,1\n\"open,1\n3,4\n5,6\n",
            &[
                Err("1 fields where 2"),
                Err("3 fields where 2"),
                Err("header line again"),
                Err("not UTF-8 at byte 0"),
                Err("not closed"),
                Ok(&[Some("3"), Some("4"), None]),
                Ok(&[Some("5"), Some("6"), None]),
            ],
        );
    }

    #[test]
    fn a_missing_column_is_refused_by_name() {
        let source = Source::new(Bytes::from_static(b"x,b\n1,2\n"), "bill.csv").unwrap();
        let wants = [Want::required("a")];
        let columns = Columns::Header { wants: &wants, naming: Naming::Exact };
        let error = Delimited::new(source, Separator::Byte(b','), &columns).err().unwrap();
        let text = error.to_string();
        assert!(text.contains("bill.csv: no column a; the file has: x, b"), "{text}");
    }
}
